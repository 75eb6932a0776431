/* Delivery of exceptions and interrupts (SDM vol. 3, chapter 6; 20.1 real mode, 20.3 virtual-8086).
 *
 * Faults on the way go to the run loop as all others do, which calls cpu_deliver_exception() again:
 * that turns the event into another one: the new fault, #DF, or shutdown. No event can go round:
 * each round ends or is a graver event. */
#include "base/bits.h"
#include "base/trace.h"
#include "cpu/access.h"
#include "cpu/cpu.h"
#include "cpu/exception.h"
#include "cpu/far.h"
#include "mmu/phys.h"

#define ERROR_EXT 1u
#define ERROR_IDT 2u

static const char *const vector_name[] = {
    [VECTOR_DE] = "#DE", [VECTOR_DB] = "#DB", [VECTOR_NMI] = "NMI", [VECTOR_BP] = "#BP",
    [VECTOR_OF] = "#OF", [VECTOR_BR] = "#BR", [VECTOR_UD] = "#UD",  [VECTOR_NM] = "#NM",
    [VECTOR_DF] = "#DF", [VECTOR_TS] = "#TS", [VECTOR_NP] = "#NP",  [VECTOR_SS] = "#SS",
    [VECTOR_GP] = "#GP", [VECTOR_PF] = "#PF", [VECTOR_MF] = "#MF",  [VECTOR_AC] = "#AC",
    [VECTOR_MC] = "#MC", [VECTOR_XM] = "#XM",
};

/* Neither INT n nor an interrupt: those are benign whatever their vector. */
static bool is_exception(const struct exception *event)
{
    return !event->software && !event->trap;
}

/* The classes of table 6-4. */
static bool is_contributory(const struct exception *event)
{
    return is_exception(event) &&
           (BIT(event->vector & 63) &
            (BIT(VECTOR_DE) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP)));
}

static bool is_page_fault(const struct exception *event)
{
    return is_exception(event) && event->vector == VECTOR_PF;
}

static bool is_double_fault(const struct exception *event)
{
    return is_exception(event) && event->vector == VECTOR_DF;
}

/* Table 6-5: what a second fault makes of the event. False: shutdown. */
static bool combine(struct exception *first, struct exception second)
{
    bool grave = is_contributory(&second) || is_page_fault(&second);
    if (is_double_fault(first) && grave)
        return false;
    if ((is_contributory(first) && is_contributory(&second)) || (is_page_fault(first) && grave)) {
        *first = (struct exception){.vector = VECTOR_DF, .has_error = true};
        return true;
    }
    /* EXT: the fault is due to an event that the program did not ask for. */
    if (second.has_error && !is_page_fault(&second) && !first->software)
        second.error |= ERROR_EXT;
    *first = second;
    return true;
}

static uint64_t return_rip(const struct cpu *cpu, const struct exception *event)
{
    return is_exception(event) ? cpu->rip : cpu->next_rip;
}

/* Faults are restarted with RF set, so that an instruction breakpoint does not hit again; after the
 * breakpoint itself that is the handler's business (SDM vol. 3, 17.3.1.1). */
static uint64_t pushed_flags(const struct cpu *cpu, const struct exception *event)
{
    return is_exception(event) && !event->keeps_rf ? cpu->rflags | FLAG_RF : cpu->rflags;
}

static _Noreturn void raise_idt(struct cpu *cpu, enum vector vector, const struct exception *event)
{
    cpu_raise_error(cpu, vector, event->vector * 8u | ERROR_IDT);
}

static void deliver_real(struct cpu *cpu, const struct exception *event)
{
    if (event->vector * 4u + 3 > cpu->idtr.limit)
        raise_idt(cpu, VECTOR_GP, event);
    uint32_t target;
    sys_read(cpu, cpu_linear(cpu, cpu->idtr.base + event->vector * 4u), &target, 4);

    struct far_stack stack = far_stack_current(cpu, &cpu->seg[SEG_CS]);
    far_stack_push(cpu, &stack, cpu->rflags, 2);
    far_stack_push(cpu, &stack, cpu->seg[SEG_CS].selector, 2);
    far_stack_push(cpu, &stack, return_rip(cpu, event), 2);

    far_stack_commit(cpu, &stack);
    cpu_load_real_segment(cpu, SEG_CS, (uint16_t)(target >> 16));
    cpu->next_rip = (uint16_t)target;
    cpu_write_flags(cpu, 0, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
}

static struct gate read_idt(struct cpu *cpu, const struct exception *event)
{
    bool is_long = cpu->mode & MODE_LONG;
    unsigned size = is_long ? 16 : 8;
    uint64_t entry[2] = {0, 0};
    if (event->vector * size + size - 1 > cpu->idtr.limit)
        raise_idt(cpu, VECTOR_GP, event);
    sys_read(cpu, cpu_linear(cpu, cpu->idtr.base + event->vector * size), entry, size);

    struct gate gate = gate_decode(cpu, entry[0], entry[1] << 32);
    bool known = gate.type == SYSTEM_INTERRUPT_GATE32 || gate.type == SYSTEM_TRAP_GATE32 ||
                 (!is_long && (gate.type == SYSTEM_INTERRUPT_GATE16 ||
                               gate.type == SYSTEM_TRAP_GATE16 || gate.type == SYSTEM_TASK_GATE));
    bool is_system = !(entry[0] & BIT(44));
    if (!known || !is_system || (event->software && gate.dpl < cpu->cpl))
        raise_idt(cpu, VECTOR_GP, event);
    if (!gate.present)
        raise_idt(cpu, VECTOR_NP, event);
    return gate;
}

/* The handler's code segment, checked, and the CPL it will run at. */
static struct segment handler_code(struct cpu *cpu, const struct gate *gate, unsigned *cpl)
{
    struct descriptor code;
    cpu_get_descriptor(cpu, gate->selector, VECTOR_GP, &code);
    const struct segment *seg = &code.segment;
    if (!seg_is_code(seg) || seg_dpl(seg) > cpu->cpl)
        cpu_raise_selector(cpu, VECTOR_GP, gate->selector);
    if ((cpu->mode & MODE_LONG) && (seg->attributes & (SEGATTR_L | SEGATTR_DB)) != SEGATTR_L)
        cpu_raise_selector(cpu, VECTOR_GP, gate->selector);
    if (!seg_present(seg))
        cpu_raise_selector(cpu, VECTOR_NP, gate->selector);
    *cpl = seg_is_conforming(seg) ? cpu->cpl : seg_dpl(seg);
    if ((cpu->mode & MODE_VM86) && *cpl != 0)
        cpu_raise_selector(cpu, VECTOR_GP, gate->selector);
    cpu_mark_accessed(cpu, &code);
    return code.segment;
}

static struct far_stack handler_stack(struct cpu *cpu, const struct gate *gate, unsigned cpl)
{
    struct far_stack stack;
    if (gate->ist)
        stack = far_stack_ist(cpu, gate->ist, cpl);
    else if (cpl < cpu->cpl)
        stack = far_stack_inner(cpu, cpl);
    else
        stack = far_stack_current(cpu, &cpu->seg[SEG_CS]);
    if (cpu->mode & MODE_LONG) {
        stack.rsp &= ~15ull;
        stack.mask = ~0ull;
        stack.flat = true;
    }
    return stack;
}

static void deliver_gate(struct cpu *cpu, const struct exception *event, const struct gate *gate)
{
    unsigned cpl;
    struct segment cs = handler_code(cpu, gate, &cpl);
    struct far_stack stack = handler_stack(cpu, gate, cpl);
    bool from_vm86 = cpu->mode & MODE_VM86;
    cpu_check_rip(cpu, &cs, gate->offset);

    static const enum dec_seg data[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    if (from_vm86) {
        for (size_t i = 0; i < ARRAY_SIZE(data); i++)
            far_stack_push(cpu, &stack, cpu->seg[data[i]].selector, gate->size);
    }
    if (cpl != cpu->cpl || (cpu->mode & MODE_LONG)) {
        far_stack_push(cpu, &stack, cpu->seg[SEG_SS].selector, gate->size);
        far_stack_push(cpu, &stack, cpu->gpr[REG_RSP], gate->size);
    }
    far_stack_push(cpu, &stack, pushed_flags(cpu, event), gate->size);
    far_stack_push(cpu, &stack, cpu->seg[SEG_CS].selector, gate->size);
    far_stack_push(cpu, &stack, return_rip(cpu, event), gate->size);
    if (event->has_error)
        far_stack_push(cpu, &stack, event->error, gate->size);

    far_stack_commit(cpu, &stack);
    far_set_code(cpu, &cs, cpl, gate->offset);
    if (from_vm86) {
        for (size_t i = 0; i < ARRAY_SIZE(data); i++)
            cpu_null_segment(cpu, data[i], 0);
    }
    bool interrupt_gate = !(gate->type & 1);
    cpu_write_flags(cpu, 0, FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (interrupt_gate ? FLAG_IF : 0));
}

static void deliver_once(struct cpu *cpu, const struct exception *event)
{
    if (!(cpu->mode & MODE_PROTECTED)) {
        deliver_real(cpu, event);
        return;
    }
    struct gate gate = read_idt(cpu, event);
    if (gate.type == SYSTEM_TASK_GATE)
        cpu_task_switch(cpu, gate.selector, TASK_INTERRUPT, return_rip(cpu, event), event);
    else
        deliver_gate(cpu, event, &gate);
}

static void note(struct cpu *cpu, const struct exception *event)
{
    if (is_exception(event) && event->vector < ARRAY_SIZE(cpu->stats.exceptions))
        cpu->stats.exceptions[event->vector]++;
    if (is_page_fault(event)) {
        TRACE(cpu->trace, TRACE_PAGE_FAULT, "address %016lx error %02x rip %016lx", event->cr2,
              event->error, cpu->rip);
    }
    if (!event->trap || event->vector == VECTOR_DB) {
        const char *name =
            event->vector < ARRAY_SIZE(vector_name) ? vector_name[event->vector] : NULL;
        TRACE(cpu->trace, TRACE_EXCEPTION, "%s %02x %s error %04x at %04x:%016lx",
              event->software ? "INT" : "vector", event->vector, name ? name : "", event->error,
              cpu->seg[SEG_CS].selector, cpu->rip);
    }
}

/* cpu->delivering to its handler; a fault on the way comes back by cpu_deliver_exception(). */
static void deliver(struct cpu *cpu)
{
    cpu->is_delivering = true;
    phys_end_monitor(cpu->phys);
    note(cpu, &cpu->delivering);
    deliver_once(cpu, &cpu->delivering);
    cpu->is_delivering = false;
    cpu->rip = cpu->next_rip;
    cpu->interrupt_shadow = SHADOW_NONE;
    cpu->halted = HALT_NONE;
}

bool cpu_deliver_exception(struct cpu *cpu)
{
    if (is_page_fault(&cpu->pending))
        cpu->cr2 = cpu->pending.cr2; /* also where #DF comes of it */
    if (!cpu->is_delivering)
        cpu->delivering = cpu->pending;
    else if (!combine(&cpu->delivering, cpu->pending))
        return false;
    deliver(cpu);
    return true;
}

void cpu_deliver_interrupt(struct cpu *cpu, uint8_t vector)
{
    cpu->stats.interrupts++;
    TRACE(cpu->trace, TRACE_INTERRUPT, "vector %02x at %04x:%016lx", vector,
          cpu->seg[SEG_CS].selector, cpu->rip);
    cpu->next_rip = cpu->rip;
    cpu->delivering = (struct exception){.vector = vector, .trap = true};
    deliver(cpu);
}
