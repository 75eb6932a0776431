/* With it <ucontext.h> takes the names REG_RAX and so on. */
#undef _GNU_SOURCE
#define _DEFAULT_SOURCE

#include "native.h"

#include "base/bits.h"
#include "cpu/xstate.h"

#include <asm/ldt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SIGNAL_STACK_SIZE (256 * 1024) /* frames hold all vector state of the processor */
#define HWCAP2_FSGSBASE_BIT BIT(1)

#define XSAVE_BV_OFFSET XSTATE_HEADER_OFFSET

#define MODIFY_LDT_WRITE 0x11

/* In the code page: where code that is not 64-bit jumps to when it is done. */
#define TRAMPOLINE 0x800u

/* At an address that 32-bit displacements reach, so that no register is needed for it. */
#define BLOCK (NATIVE_STACK16_UPPER + 0x7000u)

struct block {
    struct diff_state in;
    struct diff_outcome out;
    struct {
        uint64_t rip, cs, rflags, rsp, ss;
    } frame; /* IRETQ's */
    uint64_t host_rsp, host_fs_base, host_gs_base, leave;
    uint32_t host_mxcsr;
};

_Static_assert(sizeof(struct block) <= PAGE_SIZE, "the block is one page");

struct native {
    struct block *block;
    uint8_t *code, *data; /* aliases that can be written */
    size_t code_size;
    void *signal_stack;
    bool has_mode[3], has_segments;
    const struct diff_run *run;
    volatile bool running;
    unsigned layout; /* what DS, ES, FS and GS hold: mode and layout */
};

static struct native *current; /* for the signal handler */

static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};

/* --- Entering and leaving. */

void native_enter_state(void);
void native_leave_state(void);
void native_leave_fault(void);

#define EACH_GPR(X)                                                                                \
    X(1, rcx)                                                                                      \
    X(2, rdx)                                                                                      \
    X(3, rbx)                                                                                      \
    X(5, rbp)                                                                                      \
    X(6, rsi)                                                                                      \
    X(7, rdi)                                                                                      \
    X(8, r8) X(9, r9) X(10, r10) X(11, r11) X(12, r12) X(13, r13) X(14, r14) X(15, r15) X(0, rax)
#define EACH_VECTOR(X)                                                                             \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD_GPR(n, name) "movq %c[in_gpr] + 8 * " #n ", %%" #name "\n"
#define STORE_GPR(n, name) "movq %%" #name ", %c[out_gpr] + 8 * " #n "\n"
#define LOAD_VECTOR(n) "vmovups %c[in_vec] + 32 * " #n ", %%ymm" #n "\n"
#define STORE_VECTOR(n) "vmovups %%ymm" #n ", %c[out_vec] + 32 * " #n "\n"

#define FIELD(name, field) [name] "i"(BLOCK + offsetof(struct block, field))

/* RIP, RSP, RFLAGS and the selectors come with IRETQ. Behind native_leave_state() the instruction
 * has run; a signal handler that has stored the state itself returns to native_leave_fault(). */
__attribute__((naked, noinline)) void native_enter_state(void)
{
    asm volatile("push %%rbx\n push %%rbp\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
                 "mov %%rsp, %c[host_rsp]\n"
                 "cmpb $0, %c[has_vectors]\n"
                 "je 1f\n"
                 "fxrstor64 %c[in_fx]\n"
                 "ldmxcsr %c[in_mxcsr]\n" EACH_VECTOR(LOAD_VECTOR) //
                 "1:\n"
                 "mov %c[in_fs], %%rax\n wrfsbase %%rax\n"
                 "mov %c[in_gs], %%rax\n wrgsbase %%rax\n" EACH_GPR(LOAD_GPR) //
                 "mov %[frame], %%esp\n"
                 "iretq\n"

                 ".globl native_leave_state\n"
                 "native_leave_state:\n" EACH_GPR(STORE_GPR) //
                 "mov %%rsp, %c[out_gpr] + 8 * 4\n"
                 "mov %c[host_rsp], %%rsp\n"
                 "mov %%es, %c[out_selector]\n mov %%ss, %c[out_selector] + 4\n"
                 "mov %%ds, %c[out_selector] + 6\n mov %%fs, %c[out_selector] + 8\n"
                 "mov %%gs, %c[out_selector] + 10\n"
                 "pushfq\n popq %c[out_rflags]\n"
                 "push $2\n popfq\n"
                 "rdfsbase %%rax\n mov %%rax, %c[out_fs]\n"
                 "rdgsbase %%rax\n mov %%rax, %c[out_gs]\n"
                 "mov %c[host_fs], %%rax\n wrfsbase %%rax\n"
                 "mov %c[host_gs], %%rax\n wrgsbase %%rax\n"
                 "cmpb $0, %c[has_vectors]\n"
                 "je 2f\n"
                 "fxsave64 %c[out_fx]\n"
                 "stmxcsr %c[out_mxcsr]\n" EACH_VECTOR(STORE_VECTOR) //
                 "fninit\n"
                 "ldmxcsr %c[host_mxcsr]\n"

                 ".globl native_leave_fault\n"
                 "native_leave_fault:\n"
                 "cmpb $0, %c[has_vectors]\n"
                 "je 2f\n"
                 "vzeroupper\n"
                 "2:\n"
                 "pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbp\n pop %%rbx\n"
                 "ret\n"
                 :
                 : FIELD(host_rsp, host_rsp), FIELD(host_fs, host_fs_base),
                   FIELD(host_gs, host_gs_base), FIELD(host_mxcsr, host_mxcsr), FIELD(frame, frame),
                   FIELD(has_vectors, in.has_vectors), FIELD(in_fx, in.fx),
                   FIELD(in_mxcsr, in.mxcsr), FIELD(in_vec, in.vec), FIELD(in_gpr, in.gpr),
                   FIELD(in_fs, in.fs_base), FIELD(in_gs, in.gs_base),
                   FIELD(out_gpr, out.state.gpr), FIELD(out_rflags, out.state.rflags),
                   FIELD(out_selector, out.state.selector), FIELD(out_fs, out.state.fs_base),
                   FIELD(out_gs, out.state.gs_base), FIELD(out_fx, out.state.fx),
                   FIELD(out_mxcsr, out.state.mxcsr), FIELD(out_vec, out.state.vec));
}

/* Where the kernel's context has the registers, by their numbers in encodings. */
#define CONTEXT(reg) offsetof(struct sigcontext, reg)
static const size_t gpr_offsets[16] = {CONTEXT(rax), CONTEXT(rcx), CONTEXT(rdx), CONTEXT(rbx),
                                       CONTEXT(rsp), CONTEXT(rbp), CONTEXT(rsi), CONTEXT(rdi),
                                       CONTEXT(r8),  CONTEXT(r9),  CONTEXT(r10), CONTEXT(r11),
                                       CONTEXT(r12), CONTEXT(r13), CONTEXT(r14), CONTEXT(r15)};

/* Takes the x87 and vector state out of a signal frame and leaves the default there. */
static void read_vectors(struct diff_state *state, uint8_t *xsave)
{
    memcpy(&state->fx, xsave, sizeof(state->fx));
    state->mxcsr = state->fx.mxcsr;
    uint64_t present = load_le(xsave + XSAVE_BV_OFFSET, 8);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&state->vec[i], xsave + offsetof(struct fx_image, unused) + 16 * i, 16);
        if (present & XSTATE_AVX)
            memcpy(&state->vec[i].u64[2], xsave + XSTATE_AVX_OFFSET + 16 * i, 16);
        else
            memset(&state->vec[i].u64[2], 0, 16);
    }
    struct fx_image *fx = (struct fx_image *)xsave;
    fx->fcw = FCW_DEFAULT;
    fx->fsw = 0;
    fx->ftw = 0;
    fx->mxcsr = MXCSR_DEFAULT;
}

static void leave_run(struct native *native, struct sigcontext *context)
{
    struct block *block = native->block;
    struct diff_outcome *out = &block->out;
    for (unsigned i = 0; i < 16; i++)
        out->state.gpr[i] = load_le((const uint8_t *)context + gpr_offsets[i], 8);
    out->state.rip = context->rip;
    out->state.rflags = context->eflags;
    out->state.selector[SEG_CS] = context->cs;
    out->state.selector[SEG_SS] = context->__pad0; /* as Linux has it */
    out->vector = (int)context->trapno;
    out->error = (uint32_t)context->err;
    out->address = context->cr2;
    if (native->run->step && out->vector == VECTOR_DB)
        out->vector = OUTCOME_COMPLETED;
    if (block->in.has_vectors)
        read_vectors(&out->state, (uint8_t *)context->fpstate);
    context->rip = (uintptr_t)native_leave_fault;
    context->rsp = block->host_rsp;
    context->cs = SELECTOR_CODE64;
    context->__pad0 = SELECTOR_DATA;
    context->eflags = FLAGS_FIXED;
    native->running = false;
}

/* Begins with the instruction's own bases of FS and GS, alignment checks on, and NT, which
 * sigreturn() would leave: until these are the host's, nothing may be called and no canary be
 * loaded. */
__attribute__((no_stack_protector)) static void on_signal(int number, siginfo_t *info, void *opaque)
{
    asm volatile("push $2\n popfq\n" : : : "memory", "cc");
    if (!current || !current->running) {
        signal(number, SIG_DFL); /* the test's own fault: comes again */
        return;
    }
    struct block *block = current->block;
    uint16_t *selector = block->out.state.selector;
    asm volatile("mov %%es, %0\n mov %%ds, %1\n mov %%fs, %2\n mov %%gs, %3"
                 : "=m"(selector[SEG_ES]), "=m"(selector[SEG_DS]), "=m"(selector[SEG_FS]),
                   "=m"(selector[SEG_GS]));
    asm volatile("rdfsbase %0" : "=r"(block->out.state.fs_base));
    asm volatile("rdgsbase %0" : "=r"(block->out.state.gs_base));
    asm volatile("wrfsbase %0" : : "r"(block->host_fs_base));
    asm volatile("wrgsbase %0" : : "r"(block->host_gs_base));
    (void)info;
    /* The C library names the kernel's structure differently. */
    leave_run(current, (struct sigcontext *)&((ucontext_t *)opaque)->uc_mcontext);
}

/* --- The code. */

/* Jumps to native_leave_state(). */
static void put_exit(uint8_t *at, enum dec_mode mode)
{
    if (mode == DEC_MODE_64) {
        static const uint8_t jmp[] = {0xff, 0x24, 0x25}; /* JMP [disp32] */
        memcpy(at, jmp, sizeof(jmp));
        store_le(at + sizeof(jmp), BLOCK + offsetof(struct block, leave), 4);
        return;
    }
    if (mode == DEC_MODE_16)
        *at++ = 0x66;
    *at++ = 0xea; /* JMP ptr16:32 */
    store_le(at, AREA_CODE + TRAMPOLINE, 4);
    store_le(at + 4, SELECTOR_CODE64, 2);
}

static void load_selectors(struct native *native, enum dec_mode mode, enum layout layout)
{
    unsigned key = (unsigned)mode << 1 | layout;
    if (native->layout == key)
        return;
    native->layout = key;
    bool segments = mode != DEC_MODE_64 && native->has_segments;
    uint32_t data = layout == LAYOUT_WINDOW ? SELECTOR_LDT(LDT_WINDOW) : SELECTOR_DATA;
    uint32_t fs = segments ? SELECTOR_LDT(LDT_EXPAND_DOWN) : 0;
    uint32_t gs = segments ? SELECTOR_LDT(LDT_READ_ONLY) : 0;
    asm volatile("mov %0, %%ds\n mov %0, %%es\n mov %1, %%fs\n wrfsbase %3\n"
                 "mov %2, %%gs\n wrgsbase %4\n"
                 :
                 : "r"(data), "r"(fs), "r"(gs), "r"(native->block->host_fs_base),
                   "r"(native->block->host_gs_base));
}

void native_prepare_program(struct native *native, const struct diff_run *run)
{
    static const uint16_t selectors[] = {SELECTOR_LDT(LDT_CODE16), SELECTOR_CODE32,
                                         SELECTOR_CODE64};
    native->run = run;
    native->block->frame.cs = selectors[run->mode];
    native->block->frame.ss =
        run->layout == LAYOUT_WINDOW ? SELECTOR_LDT(LDT_STACK16) : SELECTOR_DATA;
    load_selectors(native, run->mode, run->layout);
}

void native_prepare(struct native *native, const struct diff_run *run)
{
    memcpy(native->code, run->code, run->length);
    put_exit(native->code + run->length, run->mode);
    native_prepare_program(native, run);
}

const struct diff_outcome *native_run(struct native *native)
{
    struct block *block = native->block;
    block->frame.rip = block->in.rip;
    block->frame.rflags = block->in.rflags | (native->run->step ? FLAG_TF : 0);
    block->frame.rsp = block->in.gpr[REG_RSP];
    block->out.vector = OUTCOME_COMPLETED;
    block->out.state.has_vectors = block->in.has_vectors;
    block->out.state.rip = AREA_CODE + native->run->length;
    block->out.state.selector[SEG_CS] = (uint16_t)block->frame.cs;
    native->running = true;
    native_enter_state();
    native->running = false;
    block->out.state.rflags &= ~(uint64_t)(FLAG_TF | FLAG_RF);
    if (native->run->loads_segments) {
        native->layout = ~0u;
        load_selectors(native, native->run->mode, native->run->layout);
    }
    return &block->out;
}

/* --- Making. */

static void *map_shared(uint64_t address, size_t size, int protection, int fd, off_t offset)
{
    int flags = MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0);
    void *mapping = mmap((void *)address, size, protection, flags, fd, offset);
    return mapping == MAP_FAILED ? NULL : mapping;
}

static bool map_areas(struct native *native, enum diff_kind kind)
{
    int rw = PROT_READ | PROT_WRITE, code_rights = PROT_READ | PROT_EXEC;
    native->code_size = PAGE_SIZE;
    if (kind == DIFF_PROGRAMS) {
        native->code_size = AREA_CODE_SIZE;
        code_rights |= PROT_WRITE;
    }
    size_t size = native->code_size;
    int fd = (int)syscall(SYS_memfd_create, "differential", 0);
    if (fd < 0 || ftruncate(fd, (off_t)(PAGE_SIZE + AREA_SIZE + size)))
        return false;
    native->block = map_shared(BLOCK, PAGE_SIZE, rw, fd, 0);
    native->data = map_shared(0, AREA_SIZE, rw, fd, PAGE_SIZE);
    native->code = map_shared(0, size, rw, fd, PAGE_SIZE + AREA_SIZE);
    void *code = map_shared(AREA_CODE, size, code_rights, fd, PAGE_SIZE + AREA_SIZE);
    void *data = map_shared(AREA_DATA, AREA_SIZE, rw, fd, PAGE_SIZE);
    close(fd);
    if (!native->code || !native->data || !native->block || !code || !data)
        return false;
    /* Faults must not depend on what the kernel has mapped lazily so far. */
    if (mlock(code, size) || mlock(data, AREA_SIZE) || mlock(native->block, PAGE_SIZE))
        return false;
    return !mprotect((void *)(AREA_DATA + AREA_WRITABLE), AREA_SIZE - AREA_WRITABLE, PROT_READ);
}

static bool make_segments(void)
{
    struct user_desc entries[LDT_ENTRIES] = {
        [LDT_CODE16] = {.limit = 0xfffff,
                        .limit_in_pages = 1,
                        .contents = MODIFY_LDT_CONTENTS_CODE},
        [LDT_WINDOW] = {.base_addr = AREA_DATA, .limit = LDT_WINDOW_LIMIT, .seg_32bit = 1},
        [LDT_STACK16] = {.base_addr = AREA_DATA, .limit = AREA_SIZE - 1},
        [LDT_EXPAND_DOWN] = {.limit = LDT_EXPAND_LIMIT,
                             .seg_32bit = 1,
                             .contents = MODIFY_LDT_CONTENTS_STACK},
        [LDT_READ_ONLY] = {.limit = 0xfffff,
                           .limit_in_pages = 1,
                           .seg_32bit = 1,
                           .read_exec_only = 1},
        [LDT_EMPTY] = {.read_exec_only = 1, .seg_not_present = 1}, /* to Linux: none */
        [LDT_ABSENT] = {.limit = 0xfff, .seg_32bit = 1, .seg_not_present = 1},
        [LDT_CODE32] = {.base_addr = AREA_CODE,
                        .limit = PAGE_SIZE - 1,
                        .seg_32bit = 1,
                        .contents = MODIFY_LDT_CONTENTS_CODE},
        [LDT_CODE32_EXECUTE] = {.limit = 0xfffff,
                                .limit_in_pages = 1,
                                .seg_32bit = 1,
                                .contents = MODIFY_LDT_CONTENTS_CODE,
                                .read_exec_only = 1},
        [LDT_CODE16_ABSENT] = {.limit = 0xfff,
                               .contents = MODIFY_LDT_CONTENTS_CODE,
                               .seg_not_present = 1},
        [LDT_CONFORMING_ABSENT] = {.limit = 0xfff,
                                   .seg_32bit = 1,
                                   .contents = MODIFY_LDT_CONTENTS_CODE | 1,
                                   .seg_not_present = 1},
    };
    for (unsigned i = 0; i < LDT_ENTRIES; i++) {
        entries[i].entry_number = i;
        if (syscall(SYS_modify_ldt, MODIFY_LDT_WRITE, &entries[i], sizeof(entries[i])))
            return false;
    }
    return true;
}

/* Whether code of the mode runs: NOP. */
static bool try_mode(struct native *native, enum dec_mode mode)
{
    static const uint8_t nop = 0x90;
    const struct diff_run run = {.mode = mode, .code = &nop, .length = 1};
    native->block->in = (struct diff_state){.rip = AREA_CODE, .rflags = FLAGS_FIXED | FLAG_IF};
    native_prepare(native, &run);
    return native_run(native)->vector == OUTCOME_COMPLETED;
}

static void prepare_block(struct native *native)
{
    struct block *block = native->block;
    asm volatile("rdfsbase %0" : "=r"(block->host_fs_base));
    asm volatile("rdgsbase %0" : "=r"(block->host_gs_base));
    block->host_mxcsr = MXCSR_DEFAULT;
    block->leave = (uintptr_t)native_leave_state;
    put_exit(native->code + TRAMPOLINE, DEC_MODE_64);
}

struct native *native_create(enum diff_kind kind)
{
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)) {
        fprintf(stderr, "differential: the host's kernel does not enable FSGSBASE\n");
        return NULL;
    }
    struct native *native = calloc(1, sizeof(*native));
    if (!native || !map_areas(native, kind)) {
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
    prepare_block(native);
    current = native;
    native->layout = ~0u;
    native->has_segments = make_segments();
    native->has_mode[DEC_MODE_64] = true;
    native->has_mode[DEC_MODE_32] = try_mode(native, DEC_MODE_32);
    native->has_mode[DEC_MODE_16] = native->has_segments && try_mode(native, DEC_MODE_16);
    return native;
}

void native_destroy(struct native *native)
{
    if (!native)
        return;
    for (unsigned i = 0; current && i < ARRAY_SIZE(signals); i++)
        signal(signals[i], SIG_DFL);
    current = NULL;
    munmap(native->code, native->code_size);
    munmap(native->data, AREA_SIZE);
    munmap(native->block, PAGE_SIZE);
    munmap((void *)AREA_CODE, native->code_size);
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

bool native_has_segments(const struct native *native)
{
    return native->has_segments;
}

uint8_t *native_data(struct native *native)
{
    return native->data;
}

struct diff_state *native_state(struct native *native)
{
    return &native->block->in;
}

uint8_t *native_code(struct native *native)
{
    return native->code;
}
