/* Interrupt flag, PUSHF and POPF, software interrupts (SDM vol. 2; vol. 3, 20.3 and 20.4 for VME
 * and PVI). */
#include "cpu/cpu.h"
#include "cpu/far.h"
#include "cpu/interp_system.h"

static unsigned iopl(const struct cpu *cpu)
{
    return (cpu->rflags & FLAG_IOPL) >> 12;
}

/* Virtual-8086 code with IOPL below 3: only virtual interrupt flags, if anything. */
static bool is_limited_vm86(const struct cpu *cpu)
{
    return (cpu->mode & MODE_VM86) && iopl(cpu) < 3;
}

/* Which flag CLI and STI act on: IF, VIF, or 0 for #GP. */
static uint64_t interrupt_flag(const struct cpu *cpu)
{
    if (cpu->cpl <= iopl(cpu))
        return FLAG_IF;
    uint64_t extension = cpu->mode & MODE_VM86 ? CR4_VME : CR4_PVI;
    return cpu->cpl == 3 && (cpu->cr4 & extension) ? FLAG_VIF : 0;
}

void system_cli(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    uint64_t flag = interrupt_flag(cpu);
    if (!flag)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->rflags &= ~flag;
}

void system_sti(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    uint64_t flag = interrupt_flag(cpu);
    if (!flag || (flag == FLAG_VIF && (cpu->rflags & FLAG_VIP)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (flag == FLAG_IF && !(cpu->rflags & FLAG_IF))
        cpu->interrupt_shadow = SHADOW_STI;
    cpu->rflags |= flag;
    cpu->leave = 1;
}

static void set_ac(struct cpu *cpu, uint64_t value)
{
    if (cpu->cpl != 0)
        cpu_raise(cpu, VECTOR_UD);
    cpu_write_flags(cpu, value, FLAG_AC);
}

void system_clac(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    set_ac(cpu, 0);
}

void system_stac(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    set_ac(cpu, FLAG_AC);
}

void system_pushf(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t flags = cpu->rflags & ~(uint64_t)(FLAG_VM | FLAG_RF);
    if (is_limited_vm86(cpu)) {
        if (size != 2 || !(cpu->cr4 & CR4_VME))
            cpu_raise_error(cpu, VECTOR_GP, 0);
        flags = (flags & ~(uint64_t)FLAG_IF) | FLAG_IOPL;
        if (flags & FLAG_VIF)
            flags |= FLAG_IF;
    }
    cpu_push(cpu, flags, size);
}

void system_popf(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t flags = cpu_peek(cpu, 0, size);
    uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;
    if (is_limited_vm86(cpu)) {
        bool enable = flags & FLAG_IF;
        if (size != 2 || !(cpu->cr4 & CR4_VME) || (flags & FLAG_TF) ||
            (enable && (cpu->rflags & FLAG_VIP)))
            cpu_raise_error(cpu, VECTOR_GP, 0);
        mask |= FLAG_VIF;
        flags |= enable ? FLAG_VIF : 0;
    } else {
        if (size > 2)
            mask |= FLAG_AC | FLAG_ID | FLAG_RF;
        if (size > 2 && cpu->cpl == 0)
            mask |= FLAG_VIF | FLAG_VIP;
        if (cpu->cpl <= iopl(cpu))
            mask |= FLAG_IF;
        if (cpu->cpl == 0)
            mask |= FLAG_IOPL;
        flags &= ~(uint64_t)(FLAG_RF | FLAG_VIF | FLAG_VIP);
    }
    cpu_drop(cpu, size);
    uint64_t changed = (cpu->rflags ^ flags) & mask;
    if (changed & (FLAG_TF | FLAG_IF | FLAG_AC | FLAG_RF | FLAG_VIF))
        cpu_write_flags(cpu, flags, mask);
    else /* nothing that the mode or interrupts depend on */
        cpu->rflags ^= changed;
}

/* Whether the TSS sends INT vector of virtual-8086 code to that code's own IVT (SDM vol. 3,
 * 20.3.3, methods 5 and 6). */
static bool is_redirected(struct cpu *cpu, uint8_t vector)
{
    uint16_t io_map;
    uint8_t bits;
    if (!(cpu->cr4 & CR4_VME) || !(seg_type(&cpu->tr) & 8) || cpu->tr.limit < 103)
        return false;
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base + 102), &io_map, 2);
    int32_t offset = (int32_t)io_map - 32 + vector / 8;
    if (offset < 0 || (uint32_t)offset > cpu->tr.limit)
        return false;
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base + (uint32_t)offset), &bits, 1);
    return !(bits & BIT(vector % 8));
}

static void interrupt_vm86(struct cpu *cpu, uint8_t vector)
{
    uint32_t target = 0;
    struct mmu_fault fault;
    enum mmu_status status = mmu_read(cpu, TLB_VIEW_USER, vector * 4u, &target, 4, &fault);
    if (status != MMU_OK)
        cpu_raise_memory(cpu, SEG_DS, status, &fault);

    bool limited = iopl(cpu) < 3;
    uint64_t flags = cpu->rflags;
    if (limited) {
        flags = (flags & ~(uint64_t)FLAG_IF) | FLAG_IOPL;
        flags |= flags & FLAG_VIF ? FLAG_IF : 0;
    }
    struct far_stack stack = far_stack_current(cpu, &cpu->seg[SEG_CS]);
    far_stack_push(cpu, &stack, flags, 2);
    far_stack_push(cpu, &stack, cpu->seg[SEG_CS].selector, 2);
    far_stack_push(cpu, &stack, cpu->next_rip, 2);
    far_stack_commit(cpu, &stack);
    cpu_load_real_segment(cpu, SEG_CS, (uint16_t)(target >> 16));
    cpu->next_rip = (uint16_t)target;
    cpu_write_flags(cpu, 0, FLAG_TF | FLAG_RF | FLAG_NT | (limited ? FLAG_VIF : FLAG_IF));
}

void system_int(struct cpu *cpu, const struct interp_insn *in)
{
    uint8_t vector = (uint8_t)in->insn.imm;
    if (cpu->mode & MODE_VM86) {
        if (is_redirected(cpu, vector)) {
            interrupt_vm86(cpu, vector);
            return;
        }
        if (iopl(cpu) < 3)
            cpu_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu_raise_software(cpu, vector);
}

void system_int1(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu_raise_debug(cpu, 0, true);
}

void system_int3(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu_raise_software(cpu, VECTOR_BP);
}

void system_into(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    if (cpu->rflags & FLAG_OF)
        cpu_raise_software(cpu, VECTOR_OF);
}
