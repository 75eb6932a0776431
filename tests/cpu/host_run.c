/* GNU's <signal.h> names registers as decoder/insn.h does. */
#undef _GNU_SOURCE
#define _DEFAULT_SOURCE

#include "host_run.h"

#include "host/codemem.h"
#include "host/features.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct host_runner {
    struct host_state state __attribute__((aligned(64)));
    struct fx_image fx_after;
    uint64_t host_rsp;
    uint32_t host_mxcsr;
    bool avx;
    struct codemem code;
    sigjmp_buf escape;
    struct sigaction old[3];
    uint8_t signal_stack[64 << 10];
};

static const int signals[3] = {SIGILL, SIGFPE, SIGSEGV};

/* The handler has no argument that could lead it here. */
static struct host_runner *running;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    ucontext_t *uc = context;
    running->state.mxcsr = uc->uc_mcontext.fpregs->mxcsr;
    siglongjmp(running->escape, number);
}

struct host_runner *host_runner_create(void)
{
    struct host_features features;
    struct error error;
    struct host_runner *runner = mmap(NULL, sizeof(*runner), PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (runner == MAP_FAILED)
        return NULL;
    if (!codemem_create(&runner->code, 4096, &error))
        abort();
    host_features_read(&features);
    runner->avx = host_enables_avx(&features);
    runner->host_mxcsr = 0x1f80;

    stack_t stack = {.ss_sp = runner->signal_stack, .ss_size = sizeof(runner->signal_stack)};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &action, &runner->old[i]);
    running = runner;
    return runner;
}

void host_runner_destroy(struct host_runner *runner)
{
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &runner->old[i], NULL);
    stack_t stack = {.ss_flags = SS_DISABLE};
    sigaltstack(&stack, NULL);
    codemem_destroy(&runner->code);
    running = NULL;
    munmap(runner, sizeof(*runner));
}

struct host_state *host_runner_state(struct host_runner *runner)
{
    return &runner->state;
}

/* --- Code: every access is to an absolute 32-bit address. */

static uint8_t *put(uint8_t *p, const void *bytes, size_t size)
{
    memcpy(p, bytes, size);
    return p + size;
}

#define PUT(p, ...) put((p), (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static uint8_t *put_absolute(uint8_t *p, unsigned reg, const void *address)
{
    uint32_t at = (uint32_t)(uintptr_t)address;
    p = PUT(p, (uint8_t)(0x04 | (reg & 7) << 3), 0x25);
    return put(p, &at, sizeof(at));
}

static uint8_t *put_gpr(uint8_t *p, bool store, unsigned reg, const void *address)
{
    p = PUT(p, reg < 8 ? 0x48 : 0x4c, store ? 0x89 : 0x8b);
    return put_absolute(p, reg, address);
}

static uint8_t *put_vec(uint8_t *p, bool avx, bool store, unsigned reg, const void *address)
{
    uint8_t opcode = store ? 0x11 : 0x10;
    if (avx)
        p = PUT(p, 0xc5, reg < 8 ? 0xfc : 0x7c, opcode);
    else if (reg < 8)
        p = PUT(p, 0x0f, opcode);
    else
        p = PUT(p, 0x44, 0x0f, opcode);
    return put_absolute(p, reg, address);
}

static uint8_t *put_state_op(uint8_t *p, bool wide, unsigned extension, const void *address)
{
    if (wide)
        p = PUT(p, 0x48);
    p = PUT(p, 0x0f, 0xae);
    return put_absolute(p, extension, address);
}

static void put_loads(uint8_t **at, struct host_runner *r)
{
    uint8_t *p = *at;
    p = PUT(p, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* callee-saved */
    p = PUT(p, 0xff);
    p = put_absolute(p, 6, &r->state.rflags); /* PUSH */
    p = put_gpr(p, true, REG_RSP, &r->host_rsp);
    p = put_state_op(p, true, 1, &r->state.fx); /* FXRSTOR64 */
    p = put_state_op(p, false, 2, &r->state.mxcsr);
    for (unsigned i = 0; i < 16; i++)
        p = put_vec(p, r->avx, false, i, &r->state.vec[i]);
    p = PUT(p, 0x9d); /* POPFQ */
    for (unsigned i = 0; i < 16; i++)
        p = put_gpr(p, false, i, &r->state.gpr[i]);
    *at = p;
}

static void put_stores(uint8_t **at, struct host_runner *r)
{
    uint8_t *p = *at;
    for (unsigned i = 0; i < 16; i++)
        p = put_gpr(p, true, i, &r->state.gpr[i]);
    p = put_gpr(p, false, REG_RSP, &r->host_rsp);
    p = PUT(p, 0x9c, 0x8f); /* PUSHFQ; POP */
    p = put_absolute(p, 0, &r->state.rflags);
    for (unsigned i = 0; i < 16; i++)
        p = put_vec(p, r->avx, true, i, &r->state.vec[i]);
    p = put_state_op(p, false, 3, &r->state.mxcsr);
    p = put_state_op(p, false, 2, &r->host_mxcsr);
    p = put_state_op(p, true, 0, &r->fx_after); /* FXSAVE64 */
    p = PUT(p, 0xdb, 0xe3);                     /* FNINIT */
    if (r->avx)
        p = PUT(p, 0xc5, 0xf8, 0x77); /* VZEROUPPER */
    p = PUT(p, 0x48, 0x83, 0xc4, 0x08, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b,
            0xc3);
    *at = p;
}

enum host_outcome host_run(struct host_runner *runner, const uint8_t *insn, unsigned length)
{
    uint8_t *p = runner->code.write;
    put_loads(&p, runner);
    p = put(p, insn, length);
    put_stores(&p, runner);

    int number = sigsetjmp(runner->escape, 1);
    if (!number) {
        ((void (*)(void))(uintptr_t)runner->code.exec)();
        runner->state.fx = runner->fx_after;
        return HOST_OK;
    }
    return number == SIGILL ? HOST_SIGILL : number == SIGFPE ? HOST_SIGFPE : HOST_SIGSEGV;
}
