/* The run loop: takes requests, finds the next block and executes it. */
#include "cpu/interp.h"

#include "base/trace.h"
#include "cpu/blocks.h"
#include "cpu/breakpoint.h"
#include "cpu/cpu.h"
#include "cpu/debug.h"
#include "cpu/exception.h"
#include "cpu/monitor.h"
#include "cpu/smm.h"
#include "mmu/phys.h"

#include <stdio.h>
#include <stdlib.h>

struct interp {
    struct blocks blocks;
    const struct block *running; /* for the count of instructions up to a fault */
    uint64_t started;            /* its RIP */
    bool tracing;                /* every instruction: TRACE_INSN */
    bool careful;                /* that, or a debugger has breakpoints */
    uint64_t turns_left;         /* under CPU_REQUEST_COUNT */
    unsigned recent_next;
    uint64_t recent[INTERP_RECENT];
};

static void code_written(void *opaque, gpa_t gpa, unsigned size)
{
    struct cpu *cpu = opaque;
    blocks_note_write(&cpu->interp->blocks, gpa, size);
    cpu_request(cpu, CPU_REQUEST_CODE);
}

/* The next instruction is to find it so. */
static void memory_switched(void *opaque)
{
    struct cpu *cpu = opaque;
    cpu_request(cpu, CPU_REQUEST_MAP);
    cpu->leave = 1;
}

static void direct_taken(void *opaque)
{
    cpu_request(opaque, CPU_REQUEST_REARM);
}

bool interp_init(struct cpu *cpu)
{
    cpu->interp = calloc(1, sizeof(*cpu->interp));
    if (!cpu->interp || !blocks_init(&cpu->interp->blocks))
        return false;
    phys_set_code_listener(cpu->phys, code_written, cpu);
    phys_set_switch_listener(cpu->phys, memory_switched, cpu);
    phys_set_rearm_listener(cpu->phys, direct_taken, cpu);
    return true;
}

void interp_free(struct cpu *cpu)
{
    if (!cpu->interp)
        return;
    phys_set_code_listener(cpu->phys, NULL, NULL);
    phys_set_switch_listener(cpu->phys, NULL, NULL);
    phys_set_rearm_listener(cpu->phys, NULL, NULL);
    blocks_free(&cpu->interp->blocks);
    free(cpu->interp);
    cpu->interp = NULL;
}

void interp_flush(struct cpu *cpu)
{
    blocks_note_drop_all(&cpu->interp->blocks);
    cpu_request(cpu, CPU_REQUEST_CODE);
    cpu->leave = 1;
}

void interp_suspend(struct cpu *cpu)
{
    cpu->next_rip = cpu->rip;
    cpu->rflags |= FLAG_RF;
    cpu->leave = 1;
    cpu_update_mode(cpu);
}

unsigned interp_recent(const struct cpu *cpu, uint64_t rip[INTERP_RECENT])
{
    const struct interp *interp = cpu->interp;
    unsigned count = interp->recent_next < INTERP_RECENT ? interp->recent_next : INTERP_RECENT;
    for (unsigned i = 0; i < count; i++)
        rip[i] = interp->recent[(interp->recent_next - 1 - i) % INTERP_RECENT];
    return count;
}

/* A block cut short by a fault: its instructions before cpu->rip have been executed. */
static void count_until_fault(struct cpu *cpu)
{
    struct interp *interp = cpu->interp;
    if (!interp->running)
        return;
    uint64_t offset = 0;
    for (unsigned i = 0; i < interp->running->count; i++) {
        if (interp->started + offset == cpu->rip)
            break;
        offset += interp->running->insn[i].insn.length;
        cpu->stats.instructions++;
    }
    interp->running = NULL;
}

static gva_t linear_rip(const struct cpu *cpu)
{
    if (LIKELY(cpu->mode & MODE_FLAT_CS))
        return cpu->rip;
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

/* What RIP is cut to: EIP outside 64-bit mode. 16-bit code that runs past its limit faults. */
static uint64_t rip_mask(const struct cpu *cpu)
{
    return mode_code(cpu->mode) == DEC_MODE_64 ? ~0ull : UINT32_MAX;
}

static bool fits_code_segment(const struct cpu *cpu, unsigned length)
{
    return cpu->mode & MODE_FLAT_CS || cpu->rip + length - 1 <= cpu->seg[SEG_CS].limit;
}

struct blocks *interp_blocks(struct cpu *cpu)
{
    return &cpu->interp->blocks;
}

static inline struct block *next_block(struct cpu *cpu)
{
    struct interp *interp = cpu->interp;
    interp->running = NULL;
    struct block *block = blocks_find(cpu, &interp->blocks, linear_rip(cpu));
    interp->running = block;
    interp->started = cpu->rip;
    interp->recent[interp->recent_next++ % INTERP_RECENT] = cpu->rip;
    cpu->leave = 0;
    return block;
}

/* Only jumps and what sets leave may write next_rip. */
static void run_block(struct cpu *cpu, const struct block *block)
{
    const struct interp_insn *in = block->insn;
    const struct interp_insn *end = in + block->count;
    const uint64_t mask = rip_mask(cpu);
    uint64_t rip = cpu->rip;
    cpu_save_fx(cpu);
    for (;;) {
        rip = (rip + in->insn.length) & mask;
        cpu->next_rip = rip;
        in->handler(cpu, in);
        in++;
        if (in == end || cpu->next_rip != rip || UNLIKELY(cpu->leave))
            break;
        cpu->rip = rip;
    }
    cpu->rip = cpu->next_rip;
    cpu->stats.instructions += (uint64_t)(in - block->insn);
}

static void trace_insn(struct cpu *cpu, const struct dec_insn *insn)
{
    char text[96];
    char bytes[2 * DEC_MAX_LENGTH + 1] = "";
    uint8_t code[DEC_MAX_LENGTH];
    enum mmu_status status;
    struct mmu_fault fault;
    unsigned size = mmu_fetch_bytes(cpu, linear_rip(cpu), code, insn->length, &status, &fault);
    for (unsigned i = 0; i < size; i++)
        snprintf(bytes + 2 * i, 3, "%02x", code[i]);
    if (insn->mode || insn->op || insn->operand_count)
        dec_format(insn, cpu->rip, text, sizeof(text));
    else
        snprintf(text, sizeof(text), "(undefined)");
    const uint64_t *r = cpu->gpr;
    trace_print(cpu->trace, TRACE_INSN,
                "%04x:%016lx %-22s %-40s rax=%lx rcx=%lx rdx=%lx rbx=%lx rsp=%lx rbp=%lx rsi=%lx "
                "rdi=%lx r8=%lx r9=%lx r10=%lx r11=%lx r12=%lx r13=%lx r14=%lx r15=%lx flags=%lx",
                cpu->seg[SEG_CS].selector, cpu->rip, bytes, text, r[0], r[1], r[2], r[3], r[4],
                r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15],
                cpu->rflags);
}

/* Instruction breakpoints (SDM vol. 3, 17.3.1.1): faults before the instruction. */
static void check_code_breakpoints(struct cpu *cpu)
{
    uint64_t hits = breakpoints_at(cpu, linear_rip(cpu));
    if (hits)
        cpu_raise_debug(cpu, hits, false);
}

/* Executes one instruction with all that hangs on single ones: the interrupt shadow ends after it,
 * RF covers it, TF traps after it, the trace shows it. */
static void step(struct cpu *cpu)
{
    bool shadow = cpu->interrupt_shadow == SHADOW_MOV_SS;
    bool trap = cpu->rflags & FLAG_TF;
    cpu->interp->running = NULL;
    cpu_save_fx(cpu);
    if (cpu->mode & MODE_STEP && !(cpu->rflags & FLAG_RF) && !shadow)
        check_code_breakpoints(cpu);
    if (cpu->rflags & FLAG_RF) {
        cpu->rflags &= ~(uint64_t)FLAG_RF;
        cpu_update_mode(cpu);
    }
    cpu->interrupt_shadow = SHADOW_NONE;
    const struct block *block = next_block(cpu);
    const struct interp_insn *in = &block->insn[0];
    if (!fits_code_segment(cpu, in->insn.length))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (cpu->interp->tracing)
        trace_insn(cpu, &in->insn);
    cpu->next_rip = (cpu->rip + in->insn.length) & rip_mask(cpu);
    in->handler(cpu, in);
    cpu->rip = cpu->next_rip;
    cpu->stats.instructions++;
    cpu->interp->running = NULL;
    /* SYSCALL masks TF before the trap would come. */
    bool masked = in->insn.op == DEC_OP_SYSCALL && !(cpu->rflags & FLAG_TF);
    if (trap && !masked && cpu->interrupt_shadow != SHADOW_MOV_SS) {
        cpu->halted = HALT_NONE;
        cpu_raise_debug(cpu, DR6_BS | breakpoints_take_hits(cpu), true);
    }
}

/* Takes the NMI or interrupt that is due. */
static void take_interrupt(struct cpu *cpu, uint32_t requests)
{
    if (cpu->interrupt_shadow)
        return;
    int vector = -1;
    if (requests & CPU_REQUEST_NMI && !cpu->nmi_blocked) {
        cpu_clear_request(cpu, CPU_REQUEST_NMI);
        cpu->nmi_blocked = true;
        vector = VECTOR_NMI;
    } else if (requests & CPU_REQUEST_INTR && cpu->rflags & FLAG_IF) {
        vector = cpu->intc.ops->acknowledge(cpu->intc.opaque);
    }
    if (vector < 0)
        return;
    cpu->halted = HALT_NONE;
    cpu_deliver_interrupt(cpu, (uint8_t)vector);
}

/* Breakpoints on data and ports (17.2.5): traps after the instruction, before interrupts. */
static void trap_at_breakpoints(struct cpu *cpu)
{
    if (cpu->interrupt_shadow == SHADOW_MOV_SS)
        return;
    cpu->halted = HALT_NONE;
    cpu->next_rip = cpu->rip;
    cpu_raise_debug(cpu, breakpoints_take_hits(cpu), true);
}

static bool is_stepping(const struct cpu *cpu)
{
    return cpu->debug && cpu->debug->stepping;
}

/* A watchpoint hit by the instruction of a step tells more than the step. */
static enum cpu_exit debug_exit(struct cpu *cpu, enum debug_stop stop)
{
    cpu->debug->stop = cpu->debug->watches.hit ? DEBUG_STOP_WATCH : stop;
    cpu_clear_request(cpu, CPU_REQUEST_DEBUG);
    return CPU_EXIT_DEBUG;
}

/* Else a debugger's step would end in whatever handler is due. */
static bool holds_interrupts(const struct cpu *cpu)
{
    return is_stepping(cpu) && !cpu->halted;
}

static bool smi_can_be_taken(const struct cpu *cpu)
{
    return !cpu->smm && !cpu->interrupt_shadow && !holds_interrupts(cpu);
}

/* Between blocks: what cannot wait. False: leave the run loop with *exit. */
static bool attend(struct cpu *cpu, enum cpu_exit *exit)
{
    uint32_t requests = atomic_load(&cpu->requests);
    cpu->interp->running = NULL;
    if (requests & CPU_REQUEST_CODE) {
        cpu_clear_request(cpu, CPU_REQUEST_CODE);
        blocks_drop_written(cpu, &cpu->interp->blocks);
    }
    if (requests & CPU_REQUEST_MAP) {
        cpu_clear_request(cpu, CPU_REQUEST_MAP);
        mmu_flush_all(cpu);
    }
    if (requests & CPU_REQUEST_REARM) {
        cpu_clear_request(cpu, CPU_REQUEST_REARM);
        mmu_rearm_direct(cpu);
    }
    if (requests & CPU_REQUEST_A20) {
        cpu_clear_request(cpu, CPU_REQUEST_A20);
        cpu->physical_mask = cpu->a20_masked ? ~BIT(20) : ~0ull;
        mmu_flush_all(cpu);
    }
    if (requests & CPU_REQUEST_DEBUG) {
        *exit = debug_exit(cpu, DEBUG_STOP_WATCH);
        return false;
    }
    if (requests & CPU_REQUEST_EXIT) {
        cpu_clear_request(cpu, CPU_REQUEST_EXIT);
        *exit = CPU_EXIT_REQUEST;
        return false;
    }
    if (requests & CPU_REQUEST_COUNT && !cpu->interp->turns_left--) {
        *exit = CPU_EXIT_BUDGET;
        return false;
    }
    /* Behind the exits: its own delivery may hit breakpoints, for ever. */
    if (requests & CPU_REQUEST_TRAP)
        trap_at_breakpoints(cpu);
    if (requests & CPU_REQUEST_SMI && smi_can_be_taken(cpu)) {
        cpu_clear_request(cpu, CPU_REQUEST_SMI);
        smm_enter(cpu);
    }
    if (requests & CPU_REQUEST_INIT && !cpu->smm) {
        cpu_clear_request(cpu, CPU_REQUEST_INIT);
        cpu_init_signal(cpu);
    }
    if (!holds_interrupts(cpu))
        take_interrupt(cpu, requests);
    if (monitor_ends(cpu, requests))
        cpu->halted = HALT_NONE;
    if (cpu->halted) {
        cpu->stats.halts++;
        *exit = CPU_EXIT_HALT;
        return false;
    }
    return true;
}

static bool needs_attention(struct cpu *cpu)
{
    return atomic_load_explicit(&cpu->requests, memory_order_relaxed) | cpu->halted;
}

static bool needs_step(const struct cpu *cpu)
{
    return cpu->mode & MODE_STEP || cpu->interrupt_shadow || cpu->interp->careful;
}

/* What needs_step() asks for. Blocks without a breakpoint run whole. False: leave the run loop for
 * the debugger. */
static bool run_carefully(struct cpu *cpu)
{
    const struct debug *debug = cpu->debug;
    if (debug && !debug->stepping && debug_breaks_in(debug, linear_rip(cpu), 1)) {
        debug_exit(cpu, DEBUG_STOP_BREAK);
        return false;
    }
    if (debug && !cpu->interp->tracing && !(cpu->mode & MODE_STEP) && !cpu->interrupt_shadow) {
        const struct block *block = next_block(cpu);
        if (fits_code_segment(cpu, block->length) &&
            !debug_breaks_in(debug, linear_rip(cpu), block->length)) {
            run_block(cpu, block);
            return true;
        }
    }
    step(cpu);
    if (!is_stepping(cpu))
        return true;
    debug_exit(cpu, DEBUG_STOP_STEP);
    return false;
}

static void run_by_engine(struct cpu *cpu, struct block *block)
{
    if (cpu->engine->can_run(cpu, block)) {
        cpu->interp->running = NULL;
        cpu->engine->run(cpu, block);
    } else {
        run_block(cpu, block);
    }
}

/* Attends to requests and runs a block. False: leave the run loop with *exit. */
static ALWAYS_INLINE bool run_turn(struct cpu *cpu, enum cpu_exit *exit)
{
    if (UNLIKELY(needs_attention(cpu)) && !attend(cpu, exit))
        return false;
    if (UNLIKELY(needs_step(cpu))) {
        *exit = CPU_EXIT_DEBUG;
        return run_carefully(cpu);
    }
    struct block *block = next_block(cpu);
    if (UNLIKELY(!fits_code_segment(cpu, block->length)))
        step(cpu);
    else if (cpu->engine)
        run_by_engine(cpu, block);
    else
        run_block(cpu, block);
    return true;
}

/* What cpu_run() runs. Not inlined there: setjmp() would keep every variable out of registers. */
typedef enum cpu_exit run_fn(struct cpu *cpu);

static __attribute__((noinline)) enum cpu_exit run_loop(struct cpu *cpu)
{
    enum cpu_exit exit;
    while (run_turn(cpu, &exit))
        ;
    return exit;
}

static __attribute__((noinline)) enum cpu_exit run_once(struct cpu *cpu)
{
    enum cpu_exit exit;
    return run_turn(cpu, &exit) ? CPU_EXIT_BUDGET : exit;
}

static __attribute__((noinline)) enum cpu_exit step_once(struct cpu *cpu)
{
    step(cpu);
    return CPU_EXIT_BUDGET;
}

static enum cpu_exit run(struct cpu *cpu, run_fn *fn)
{
    cpu->interp->tracing = cpu->trace->mask & TRACE_INSN;
    cpu->interp->careful = cpu->interp->tracing || (cpu->debug && cpu->debug->count);
    cpu->interp->running = NULL;
    cpu->is_delivering = false;
    cpu->stats.exits++; /* once, however often a fault comes back to setjmp() */
    if (cpu->engine)
        cpu->engine->start(cpu);
    switch (setjmp(cpu->fault)) {
    case FAULT_EXCEPTION:
        count_until_fault(cpu);
        breakpoints_take_hits(cpu); /* the instruction will be executed again */
        if (!cpu_deliver_exception(cpu))
            return CPU_EXIT_SHUTDOWN;
        if (is_stepping(cpu))
            return debug_exit(cpu, DEBUG_STOP_STEP);
        return fn == run_loop ? run_loop(cpu) : CPU_EXIT_FAULT;
    case FAULT_FREEZE:
        count_until_fault(cpu);
        cpu->halted = HALT_HLT;
        return fn == run_loop ? run_loop(cpu) : CPU_EXIT_BUDGET;
    case FAULT_SHUTDOWN:
        return CPU_EXIT_SHUTDOWN;
    default:
        return fn(cpu);
    }
}

static enum cpu_exit run_and_save(struct cpu *cpu, run_fn *fn)
{
    enum cpu_exit exit = run(cpu, fn);
    cpu_save_fx(cpu);
    return exit;
}

enum cpu_exit cpu_run(struct cpu *cpu)
{
    return run_and_save(cpu, run_loop);
}

enum cpu_exit cpu_run_turn(struct cpu *cpu)
{
    return run_and_save(cpu, run_once);
}

enum cpu_exit cpu_step(struct cpu *cpu)
{
    return run_and_save(cpu, step_once);
}

enum cpu_exit cpu_run_for(struct cpu *cpu, uint64_t turns)
{
    /* The standing request sends every turn through attend(), and ends string instructions early.
     */
    cpu->interp->turns_left = turns;
    cpu_request(cpu, CPU_REQUEST_COUNT);
    enum cpu_exit exit = cpu_run(cpu);
    cpu_clear_request(cpu, CPU_REQUEST_COUNT);
    return exit;
}
