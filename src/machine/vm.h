/* A guest: memory, CPU, board and clock, from configuration to end. */
#ifndef DOPPEL_MACHINE_VM_H
#define DOPPEL_MACHINE_VM_H

#include "backends/display/screenshot.h"
#include "base/error.h"
#include "base/trace.h"
#include "base/types.h"
#include "jit/jit.h"

#include <stdio.h>

/* What runs the guest's code: the interpreter, the translator, or both in lockstep. */
enum vm_engine { VM_INTERP, VM_JIT, VM_COSIM };

struct loop;
struct vm;

/* Strings are the caller's and outlive the vm. */
struct vm_config {
    const char *firmware; /* machine/firmware.h; or NULL: direct boot of the kernel */
    const char *kernel, *initrd, *append;
    uint64_t memory;       /* bytes, page-aligned */
    const char *cpu_model; /* NULL: the best the host can run */
    const char *serial;    /* chardev spec of COM1 */
    const char *debugcon;  /* chardev spec of the debug console, or NULL: no such port */
    uint16_t debugcon_port;
    bool debug_exit; /* port 0xf4 ends the guest with a status of its own; pc-testdev */
    enum vm_engine engine;
    struct jit_config jit_config;
    bool no_reboot;     /* a reset ends the guest */
    const char *gdb;    /* where the gdb stub listens (machine/gdb.h), or NULL: no stub */
    bool start_stopped; /* gdb lets the guest go */
    struct trace trace;
};

enum vm_end {
    VM_POWERED_OFF,
    VM_RESET,      /* under no_reboot */
    VM_DIED,       /* triple fault */
    VM_DEBUG_EXIT, /* vm_result.status */
    VM_DIFFERED,   /* the engines, under VM_COSIM */
    VM_ENDED,      /* by vm_end() */
};

struct vm_result {
    enum vm_end end;
    unsigned status;
};

/* Builds the guest and loads its kernel. loop is the caller's and is run by vm_run(). NULL with
 * *error set on failure. */
struct vm *vm_create(const struct vm_config *config, struct loop *loop, struct error *error);
void vm_destroy(struct vm *vm);

/* Runs the guest to its end; the calling thread becomes the loop's. */
bool vm_run(struct vm *vm, struct vm_result *result, struct error *error);

/* Loop's thread. */
void vm_press_power_button(struct vm *vm);
void vm_end(struct vm *vm);

/* Writes what the guest's screen shows, to path. False with *error set where it has none, or as
 * screenshot_write(). Any thread, without the bus lock, while the vm lives. */
bool vm_screendump(struct vm *vm, const char *path, enum image_format format, struct error *error);

/* After vm_run(): where the guest died, for a person to read. */
void vm_report_death(struct vm *vm, FILE *out);

/* After vm_run(): in what the engines differ, likewise. */
void vm_report_difference(struct vm *vm, FILE *out);

/* After vm_run(): what --stats shows, as a table or as JSON. */
void vm_print_stats(struct vm *vm, FILE *out, bool json);

#endif
