/* With it <ucontext.h> takes the names REG_RAX and so on. */
#undef _GNU_SOURCE
#define _DEFAULT_SOURCE

#include "native.h"

#include "base/bits.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SIGNAL_STACK_SIZE (256 * 1024) /* frames hold all vector state of the processor */
#define INT3 0xcc

/* XSAVE's standard format (SDM vol. 1, 13.4). */
#define XSAVE_BV_OFFSET 512
#define XSAVE_YMM_OFFSET 576
#define XSAVE_X87_SSE_AVX 7

struct native {
    uint8_t *code, *data; /* aliases that can be written */
    void *signal_stack;
    bool has_mode[3];
    uint64_t fs_base;

    /* The run under way. */
    const struct diff_run *run;
    const struct diff_state *in;
    struct diff_outcome *out;
    struct sigcontext caller;
    struct fx_image caller_fx;
};

static struct native *current; /* for the signal handler */

static const int signals[] = {SIGUSR1, SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};

/* Where the kernel's context has the registers, by their numbers in encodings. */
#define AT(reg) offsetof(struct sigcontext, reg)
static const size_t gpr_offsets[16] = {AT(rax), AT(rcx), AT(rdx), AT(rbx), AT(rsp), AT(rbp),
                                       AT(rsi), AT(rdi), AT(r8),  AT(r9),  AT(r10), AT(r11),
                                       AT(r12), AT(r13), AT(r14), AT(r15)};

static uint64_t *context_gpr(struct sigcontext *context, unsigned reg)
{
    return (uint64_t *)((uint8_t *)context + gpr_offsets[reg]);
}

/* The general part, up to the pointer to the vector state, which stays the frame's own. */
static void copy_context(struct sigcontext *to, const struct sigcontext *from)
{
    memcpy(to, from, offsetof(struct sigcontext, fpstate));
}

static void enter_run(struct native *native, struct sigcontext *context)
{
    static const uint16_t selectors[] = {SELECTOR_CODE16, SELECTOR_CODE32, SELECTOR_CODE64};
    const struct diff_state *in = native->in;
    copy_context(&native->caller, context);
    for (unsigned i = 0; i < 16; i++)
        *context_gpr(context, i) = in->gpr[i];
    context->cs = selectors[native->run->mode];
    context->rip = in->rip;
    context->eflags = in->rflags | (native->run->step ? FLAG_TF : 0);

    uint8_t *xsave = (uint8_t *)context->fpstate;
    memcpy(&native->caller_fx, xsave, sizeof(native->caller_fx));
    if (!in->has_vectors)
        return;
    struct fx_image fx = in->fx;
    fx.mxcsr = in->mxcsr;
    fx.mxcsr_mask = native->caller_fx.mxcsr_mask;
    for (unsigned i = 0; i < 16; i++) {
        memcpy((uint8_t *)&fx + offsetof(struct fx_image, unused) + 16 * i, &in->vec[i], 16);
        memcpy(xsave + XSAVE_YMM_OFFSET + 16 * i, &in->vec[i].u64[2], 16);
    }
    /* The tail is the kernel's. */
    memcpy(xsave, &fx, offsetof(struct fx_image, unused) + 256);
    uint64_t present = load_le(xsave + XSAVE_BV_OFFSET, 8) | XSAVE_X87_SSE_AVX;
    store_le(xsave + XSAVE_BV_OFFSET, present, 8);
}

static void read_vectors(struct diff_state *state, const uint8_t *xsave)
{
    memcpy(&state->fx, xsave, sizeof(state->fx));
    state->mxcsr = state->fx.mxcsr;
    uint64_t present = load_le(xsave + XSAVE_BV_OFFSET, 8);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&state->vec[i], xsave + offsetof(struct fx_image, unused) + 16 * i, 16);
        if (present & 4)
            memcpy(&state->vec[i].u64[2], xsave + XSAVE_YMM_OFFSET + 16 * i, 16);
        else
            memset(&state->vec[i].u64[2], 0, 16);
    }
}

static void leave_run(struct native *native, struct sigcontext *context)
{
    struct diff_outcome *out = native->out;
    for (unsigned i = 0; i < 16; i++)
        out->state.gpr[i] = *context_gpr(context, i);
    out->state.rip = context->rip;
    out->state.rflags = context->eflags & ~(uint64_t)(FLAG_TF | FLAG_RF);
    out->vector = (int)context->trapno;
    out->error = (uint32_t)context->err;
    out->address = context->cr2;
    if (native->run->step && out->vector == VECTOR_DB) {
        out->vector = OUTCOME_COMPLETED;
    } else if (out->vector == VECTOR_BP && out->state.rip == AREA_CODE + native->run->length + 1) {
        out->vector = OUTCOME_COMPLETED;
        out->state.rip--;
    }
    out->state.has_vectors = native->in->has_vectors;
    if (out->state.has_vectors)
        read_vectors(&out->state, (const uint8_t *)context->fpstate);

    memcpy(context->fpstate, &native->caller_fx, offsetof(struct fx_image, unused) + 256);
    copy_context(context, &native->caller);
    native->run = NULL;
}

static void on_signal(int number, siginfo_t *info, void *opaque)
{
    (void)info;
    /* The C library names the kernel's structure differently. */
    struct sigcontext *context = (struct sigcontext *)&((ucontext_t *)opaque)->uc_mcontext;
    if (current && current->run && number == SIGUSR1) {
        enter_run(current, context);
    } else if (current && current->run) {
        leave_run(current, context);
    } else {
        signal(number, SIG_DFL); /* the test's own fault: comes again */
    }
}

static void *map_shared(void *address, size_t size, int protection, int fd, off_t offset)
{
    int flags = MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0);
    void *mapping = mmap(address, size, protection, flags, fd, offset);
    return mapping == MAP_FAILED ? NULL : mapping;
}

static bool map_areas(struct native *native)
{
    int fd = (int)syscall(SYS_memfd_create, "differential", 0);
    if (fd < 0 || ftruncate(fd, PAGE_SIZE + AREA_SIZE))
        return false;
    native->code = map_shared(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, fd, 0);
    native->data = map_shared(NULL, AREA_SIZE, PROT_READ | PROT_WRITE, fd, PAGE_SIZE);
    void *code = map_shared((void *)AREA_CODE, PAGE_SIZE, PROT_READ | PROT_EXEC, fd, 0);
    void *data = map_shared((void *)AREA_DATA, AREA_SIZE, PROT_READ | PROT_WRITE, fd, PAGE_SIZE);
    close(fd);
    if (!native->code || !native->data || !code || !data)
        return false;
    /* Faults must not depend on what the kernel has mapped lazily so far. */
    if (mlock(code, PAGE_SIZE) || mlock(data, AREA_SIZE))
        return false;
    return !mprotect((void *)(AREA_DATA + AREA_WRITABLE), AREA_SIZE - AREA_WRITABLE, PROT_READ);
}

static bool make_code16_segment(void)
{
    struct user_desc segment = {
        .entry_number = SELECTOR_CODE16 >> 3,
        .limit = 0xfffff,
        .contents = MODIFY_LDT_CONTENTS_CODE,
        .limit_in_pages = 1,
    };
    return syscall(SYS_modify_ldt, 1, &segment, sizeof(segment)) == 0;
}

/* Whether code of the mode runs: NOP, and the breakpoint after it is met. */
static bool try_mode(struct native *native, enum dec_mode mode)
{
    static const uint8_t nop = 0x90;
    const struct diff_run run = {.mode = mode, .code = &nop, .length = 1};
    const struct diff_state in = {.rip = AREA_CODE, .rflags = FLAGS_FIXED | FLAG_IF};
    struct diff_outcome out;
    native_run(native, &run, &in, &out);
    return out.vector == OUTCOME_COMPLETED;
}

struct native *native_create(void)
{
    struct native *native = calloc(1, sizeof(*native));
    if (!native || !map_areas(native)) {
        perror("differential: cannot map the areas that the instructions run in");
        native_destroy(native);
        return NULL;
    }
    native->signal_stack = malloc(SIGNAL_STACK_SIZE);
    const stack_t stack = {.ss_sp = native->signal_stack, .ss_size = SIGNAL_STACK_SIZE};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &action, NULL);
    syscall(SYS_arch_prctl, ARCH_GET_FS, &native->fs_base);
    /* 64-bit processes have null selectors here, which 32-bit code cannot use. */
    asm volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(SELECTOR_DATA));
    current = native;
    native->has_mode[DEC_MODE_64] = true;
    native->has_mode[DEC_MODE_32] = try_mode(native, DEC_MODE_32);
    native->has_mode[DEC_MODE_16] = make_code16_segment() && try_mode(native, DEC_MODE_16);
    return native;
}

void native_destroy(struct native *native)
{
    if (!native)
        return;
    for (unsigned i = 0; current && i < ARRAY_SIZE(signals); i++)
        signal(signals[i], SIG_DFL);
    current = NULL;
    munmap(native->code, PAGE_SIZE);
    munmap(native->data, AREA_SIZE);
    munmap((void *)AREA_CODE, PAGE_SIZE);
    munmap((void *)AREA_DATA, AREA_SIZE);
    const stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    free(native->signal_stack);
    free(native);
}

bool native_has_mode(const struct native *native, enum dec_mode mode)
{
    return native->has_mode[mode];
}

uint8_t *native_data(struct native *native)
{
    return native->data;
}

uint64_t native_fs_base(const struct native *native)
{
    return native->fs_base;
}

void native_run(struct native *native, const struct diff_run *run, const struct diff_state *in,
                struct diff_outcome *out)
{
    memset(native->code, INT3, DEC_MAX_LENGTH + 1);
    memcpy(native->code, run->code, run->length);
    native->run = run;
    native->in = in;
    native->out = out;
    /* The compiler may think that raise() changes nothing of ours: glibc declares it a leaf. */
    atomic_signal_fence(memory_order_seq_cst);
    raise(SIGUSR1);
    atomic_signal_fence(memory_order_seq_cst);
}
