/* Gate descriptors; calls and jumps through call gates (SDM vol. 3, 5.8.3 to 5.8.6). */
#include "cpu/access.h"
#include "cpu/far.h"

struct gate gate_decode(const struct cpu *cpu, uint64_t low, uint64_t high)
{
    struct gate gate = {
        .selector = (uint16_t)bits_get(low, 16, 16),
        .type = (uint8_t)bits_get(low, 40, 4),
        .dpl = (uint8_t)bits_get(low, 45, 2),
        .present = low & BIT(47),
        .offset = bits_get(low, 0, 16) | bits_get(low, 48, 16) << 16 | high,
    };
    if (cpu->mode & MODE_LONG) {
        gate.size = 8;
        gate.ist = (uint8_t)bits_get(low, 32, 3);
    } else {
        gate.size = gate.type & 8 ? 4 : 2;
        gate.parameters = (uint8_t)bits_get(low, 32, 5);
        if (gate.size == 2)
            gate.offset &= 0xffff;
    }
    return gate;
}

/* The gate's code segment, checked for a jump or a call, and the CPL it runs at. */
static struct segment target_code(struct cpu *cpu, const struct gate *gate, bool call,
                                  unsigned *cpl)
{
    struct descriptor code;
    cpu_get_descriptor(cpu, gate->selector, VECTOR_GP, &code);
    const struct segment *seg = &code.segment;
    bool conforming = seg_is_conforming(seg);
    if (!seg_is_code(seg) || seg_dpl(seg) > cpu->cpl ||
        (!call && !conforming && seg_dpl(seg) != cpu->cpl))
        cpu_raise_selector(cpu, VECTOR_GP, gate->selector);
    if ((cpu->mode & MODE_LONG) && (seg->attributes & (SEGATTR_L | SEGATTR_DB)) != SEGATTR_L)
        cpu_raise_selector(cpu, VECTOR_GP, gate->selector);
    if (!seg_present(seg))
        cpu_raise_selector(cpu, VECTOR_NP, gate->selector);
    *cpl = conforming ? cpu->cpl : seg_dpl(seg);
    cpu_mark_accessed(cpu, &code);
    return code.segment;
}

static void push_parameters(struct cpu *cpu, struct far_stack *stack, const struct gate *gate)
{
    for (unsigned i = gate->parameters; i-- > 0;)
        far_stack_push(cpu, stack, cpu_peek(cpu, i * gate->size, gate->size), gate->size);
}

void far_call_gate(struct cpu *cpu, uint16_t selector, const struct descriptor *desc, bool call)
{
    uint64_t high = 0;
    if (cpu->mode & MODE_LONG)
        high = cpu_read_descriptor_high(cpu, selector, desc);
    struct gate gate = gate_decode(cpu, desc->raw, high);
    unsigned cpl;
    struct segment cs = target_code(cpu, &gate, call, &cpl);
    cpu_check_rip(cpu, &cs, gate.offset);

    if (call) {
        struct far_stack stack;
        if (cpl < cpu->cpl) {
            stack = far_stack_inner(cpu, cpl);
            far_stack_push(cpu, &stack, cpu->seg[SEG_SS].selector, gate.size);
            far_stack_push(cpu, &stack, cpu->gpr[REG_RSP], gate.size);
            push_parameters(cpu, &stack, &gate);
        } else {
            stack = far_stack_current(cpu, &cs);
        }
        far_stack_push(cpu, &stack, cpu->seg[SEG_CS].selector, gate.size);
        far_stack_push(cpu, &stack, cpu->next_rip, gate.size);
        far_stack_commit(cpu, &stack);
    }
    far_set_code(cpu, &cs, cpl, gate.offset);
    cpu_mode_changed(cpu);
}
