/* Runs one instruction natively with a whole register state of our choice, for comparison. */
#ifndef DOPPEL_TESTS_CPU_HOST_RUN_H
#define DOPPEL_TESTS_CPU_HOST_RUN_H

#include "cpu/state.h"

/* Registers before and after. RFLAGS: only the status flags are loaded. */
struct host_state {
    union vec vec[16];
    struct fx_image fx;
    uint64_t gpr[16];
    uint64_t rflags;
    uint32_t mxcsr;
};

enum host_outcome {
    HOST_OK,
    HOST_SIGILL,  /* #UD */
    HOST_SIGFPE,  /* #XM, #MF */
    HOST_SIGSEGV, /* #GP, #PF, #SS */
};

struct host_runner;

/* The runner keeps its state below 2 GiB, where the code it makes reaches it without a register. */
struct host_runner *host_runner_create(void);
void host_runner_destroy(struct host_runner *runner);
struct host_state *host_runner_state(struct host_runner *runner);

/* Runs the instruction on the state. After a signal the state is what it was, but for mxcsr, which
 * then has the flags that the exception left. */
enum host_outcome host_run(struct host_runner *runner, const uint8_t *insn, unsigned length);

#endif
