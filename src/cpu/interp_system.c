/* The system family's handlers by operation, and those of control, debug and model-specific
 * registers. */
#include "cpu/interp_system.h"

#include "cpu/breakpoint.h"
#include "cpu/cpu.h"
#include "cpu/gates.h"
#include "cpu/segment.h"
#include "cpu/xstate.h"

static void raise_gp(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* A write to a control register: #GP(0) where it is not allowed. */
static void commit(struct cpu *cpu, bool allowed)
{
    if (!allowed)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->leave = 1;
}

static void read_cr(struct cpu *cpu, const struct dec_insn *insn)
{
    uint64_t value = 0;
    switch (insn->operand[1].reg) {
    case 0:
        value = cpu->cr0;
        break;
    case 2:
        value = cpu->cr2;
        break;
    case 3:
        value = cpu->cr3;
        break;
    case 4:
        value = cpu->cr4;
        break;
    case 8:
        value = cpu->intc.ops ? cpu->intc.ops->read_cr8(cpu->intc.opaque) : 0;
        break;
    default:
        cpu_raise(cpu, VECTOR_UD);
    }
    system_write(cpu, insn, 0, value);
}

static bool write_cr8(struct cpu *cpu, uint64_t value)
{
    if (value > 15)
        return false;
    if (cpu->intc.ops)
        cpu->intc.ops->write_cr8(cpu->intc.opaque, (uint8_t)value);
    return true;
}

static void write_cr(struct cpu *cpu, unsigned reg, uint64_t value)
{
    switch (reg) {
    case 0:
        commit(cpu, cpu_write_cr0(cpu, value));
        break;
    case 2:
        cpu->cr2 = value;
        break;
    case 3:
        commit(cpu, cpu_write_cr3(cpu, value));
        break;
    case 4:
        commit(cpu, cpu_write_cr4(cpu, value));
        break;
    case 8:
        commit(cpu, write_cr8(cpu, value));
        break;
    default:
        cpu_raise(cpu, VECTOR_UD);
    }
}

static void mov_cr(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    if (insn->operand[0].kind == DEC_OPERAND_CR)
        write_cr(cpu, insn->operand[0].reg, system_read(cpu, insn, 1));
    else
        read_cr(cpu, insn);
}

static void clts(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->cr0 &= ~CR0_TS;
    cpu_mode_changed(cpu);
}

static void lmsw(struct cpu *cpu, const struct interp_insn *in)
{
    /* PE can be set but not cleared. */
    uint64_t value = system_read(cpu, &in->insn, 0) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS);
    commit(cpu, cpu_write_cr0(cpu, (cpu->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | value));
}

static void smsw(struct cpu *cpu, const struct interp_insn *in)
{
    system_write(cpu, &in->insn, 0, cpu->cr0);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. */
static unsigned debug_register(struct cpu *cpu, unsigned reg)
{
    if (reg > 7 || ((reg == 4 || reg == 5) && (cpu->cr4 & CR4_DE)))
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->dr[7] & DR7_GD)
        cpu_raise_debug(cpu, DR6_BD, false);
    return reg == 4 || reg == 5 ? reg + 2 : reg;
}

static void write_dr(struct cpu *cpu, unsigned reg, uint64_t value)
{
    if (reg >= 6 && value >> 32)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (reg == 6)
        value = (value & DR6_WRITABLE) | DR6_FIXED;
    else if (reg == 7)
        value = (value & DR7_WRITABLE) | DR7_FIXED;
    cpu->dr[reg] = value;
    breakpoints_update(cpu);
    cpu_mode_changed(cpu);
}

static void mov_dr(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool write = insn->operand[0].kind == DEC_OPERAND_DR;
    unsigned reg = debug_register(cpu, insn->operand[write ? 0 : 1].reg);
    if (write)
        write_dr(cpu, reg, system_read(cpu, insn, 1));
    else
        system_write(cpu, insn, 0, cpu->dr[reg]);
}

/* The linear address of a memory operand that is not accessed. */
static gva_t operand_linear(const struct cpu *cpu, const struct dec_insn *insn)
{
    uint64_t ea = cpu_effective_address(cpu, insn);
    bool flat = insn->mode == DEC_MODE_64 && insn->mem.segment < SEG_FS;
    return flat ? ea : cpu_linear(cpu, ea + cpu->seg[insn->mem.segment].base);
}

static void invlpg(struct cpu *cpu, const struct interp_insn *in)
{
    gva_t va = operand_linear(cpu, &in->insn);
    if (is_canonical(va))
        mmu_invlpg(cpu, va);
    cpu->leave = 1;
}

static void invpcid(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    uint64_t type = system_read(cpu, insn, 0);
    uint64_t descriptor[2]; /* PCID; linear address */
    mem_read(cpu, insn->mem.segment, cpu_effective_address(cpu, insn), descriptor, 16);
    bool one_pcid = type < 2;
    if (type > 3 || descriptor[0] >> 12 || (type == 0 && !is_canonical(descriptor[1])) ||
        (one_pcid && descriptor[0] && !(cpu->cr4 & CR4_PCIDE)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    mmu_invpcid(cpu, (unsigned)type, (uint16_t)descriptor[0], descriptor[1]);
    cpu->leave = 1;
}

static void hlt(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->halted = HALT_HLT;
    cpu->leave = 1;
}

static void write_edx_eax(struct cpu *cpu, uint64_t value)
{
    cpu->gpr[REG_RAX] = (uint32_t)value;
    cpu->gpr[REG_RDX] = value >> 32;
}

static uint64_t read_edx_eax(const struct cpu *cpu)
{
    return (uint32_t)cpu->gpr[REG_RAX] | cpu->gpr[REG_RDX] << 32;
}

static void rdmsr(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    uint64_t value;
    if (!cpu_read_msr(cpu, (uint32_t)cpu->gpr[REG_RCX], &value))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    write_edx_eax(cpu, value);
}

static void wrmsr(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    commit(cpu, cpu_write_msr(cpu, (uint32_t)cpu->gpr[REG_RCX], read_edx_eax(cpu)));
}

static void check_tsd(struct cpu *cpu)
{
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl != 0)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

static void rdtsc(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    check_tsd(cpu);
    write_edx_eax(cpu, cpu_tsc(cpu));
}

static void rdtscp(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    check_tsd(cpu);
    write_edx_eax(cpu, cpu_tsc(cpu));
    cpu->gpr[REG_RCX] = cpu->msr.tsc_aux;
}

static void rdpid(struct cpu *cpu, const struct interp_insn *in)
{
    cpu->gpr[in->insn.operand[0].reg] = cpu->msr.tsc_aux;
}

static void cpuid(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    struct cpuid_leaf leaf =
        cpu_cpuid(cpu, (uint32_t)cpu->gpr[REG_RAX], (uint32_t)cpu->gpr[REG_RCX]);
    cpu->gpr[REG_RAX] = leaf.eax;
    cpu->gpr[REG_RBX] = leaf.ebx;
    cpu->gpr[REG_RCX] = leaf.ecx;
    cpu->gpr[REG_RDX] = leaf.edx;
}

static void xgetbv(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise(cpu, VECTOR_UD);
    uint32_t index = (uint32_t)cpu->gpr[REG_RCX];
    if (index > 1)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    uint64_t in_use = index == 1 ? cpu_xstate_in_use(cpu) : ~0ull;
    write_edx_eax(cpu, cpu->xcr0 & in_use);
}

static void xsetbv(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    const uint64_t x87 = BIT(0), sse = BIT(1), avx = BIT(2);
    uint64_t value = read_edx_eax(cpu);
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->cpl != 0 || (uint32_t)cpu->gpr[REG_RCX] != 0 || !(value & x87) ||
        (value & ~cpu->model->xcr0_supported) || ((value & avx) && !(value & sse)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->xcr0 = value;
    cpu_mode_changed(cpu);
}

static void swapgs(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    uint64_t base = cpu->seg[SEG_GS].base;
    cpu->seg[SEG_GS].base = cpu->msr.kernel_gs_base;
    cpu->msr.kernel_gs_base = base;
}

static void check_fsgsbase(struct cpu *cpu)
{
    if (!(cpu->mode & MODE_FSGSBASE))
        cpu_raise(cpu, VECTOR_UD);
}

static void rdfsbase(struct cpu *cpu, const struct interp_insn *in)
{
    check_fsgsbase(cpu);
    system_write(cpu, &in->insn, 0, cpu->seg[SEG_FS].base);
}

static void rdgsbase(struct cpu *cpu, const struct interp_insn *in)
{
    check_fsgsbase(cpu);
    system_write(cpu, &in->insn, 0, cpu->seg[SEG_GS].base);
}

static void write_base(struct cpu *cpu, const struct dec_insn *insn, enum dec_seg seg)
{
    check_fsgsbase(cpu);
    uint64_t base = system_read(cpu, insn, 0);
    if (!is_canonical(base))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->seg[seg].base = base;
}

static void wrfsbase(struct cpu *cpu, const struct interp_insn *in)
{
    write_base(cpu, &in->insn, SEG_FS);
}

static void wrgsbase(struct cpu *cpu, const struct interp_insn *in)
{
    write_base(cpu, &in->insn, SEG_GS);
}

/* Caches are not modelled: memory is always coherent. */
static void flush_caches(struct cpu *cpu, const struct interp_insn *in)
{
    (void)cpu;
    (void)in;
}

static interp_handler *const handlers[DEC_OP_COUNT] = {
    [DEC_OP_JMP_FAR] = system_jmp_far,
    [DEC_OP_CALL_FAR] = system_call_far,
    [DEC_OP_RET_FAR] = system_ret_far,
    [DEC_OP_IRET] = system_iret,
    [DEC_OP_SYSCALL] = system_syscall,
    [DEC_OP_SYSRET] = system_sysret,
    [DEC_OP_SYSENTER] = system_sysenter,
    [DEC_OP_SYSEXIT] = system_sysexit,
    [DEC_OP_RSM] = system_rsm,
    [DEC_OP_UD0] = interp_raise_ud,
    [DEC_OP_UD1] = interp_raise_ud,
    [DEC_OP_UD2] = interp_raise_ud,
    [DEC_OP_INT] = system_int,
    [DEC_OP_INT1] = system_int1,
    [DEC_OP_INT3] = system_int3,
    [DEC_OP_INTO] = system_into,
    [DEC_OP_PUSHF] = system_pushf,
    [DEC_OP_POPF] = system_popf,
    [DEC_OP_CLI] = system_cli,
    [DEC_OP_STI] = system_sti,
    [DEC_OP_CLAC] = system_clac,
    [DEC_OP_STAC] = system_stac,
    [DEC_OP_HLT] = hlt,
    [DEC_OP_MONITOR] = system_monitor,
    [DEC_OP_MWAIT] = system_mwait,
    [DEC_OP_MOV_SEG] = system_mov_seg,
    [DEC_OP_LDS] = system_load_far_pointer,
    [DEC_OP_LES] = system_load_far_pointer,
    [DEC_OP_LSS] = system_load_far_pointer,
    [DEC_OP_LFS] = system_load_far_pointer,
    [DEC_OP_LGS] = system_load_far_pointer,
    [DEC_OP_LGDT] = system_lgdt,
    [DEC_OP_LIDT] = system_lidt,
    [DEC_OP_SGDT] = system_sgdt,
    [DEC_OP_SIDT] = system_sidt,
    [DEC_OP_LLDT] = system_lldt,
    [DEC_OP_LTR] = system_ltr,
    [DEC_OP_SLDT] = system_sldt,
    [DEC_OP_STR] = system_str,
    [DEC_OP_LAR] = system_lar,
    [DEC_OP_LSL] = system_lsl,
    [DEC_OP_VERR] = system_verr,
    [DEC_OP_VERW] = system_verw,
    [DEC_OP_ARPL] = system_arpl,
    [DEC_OP_MOV_CR] = mov_cr,
    [DEC_OP_MOV_DR] = mov_dr,
    [DEC_OP_CLTS] = clts,
    [DEC_OP_LMSW] = lmsw,
    [DEC_OP_SMSW] = smsw,
    [DEC_OP_INVLPG] = invlpg,
    [DEC_OP_INVPCID] = invpcid,
    [DEC_OP_INVD] = flush_caches,
    [DEC_OP_WBINVD] = flush_caches,
    [DEC_OP_RDMSR] = rdmsr,
    [DEC_OP_WRMSR] = wrmsr,
    [DEC_OP_RDTSC] = rdtsc,
    [DEC_OP_RDTSCP] = rdtscp,
    [DEC_OP_RDPID] = rdpid,
    [DEC_OP_RDPMC] = raise_gp, /* there are no performance counters */
    [DEC_OP_CPUID] = cpuid,
    [DEC_OP_XGETBV] = xgetbv,
    [DEC_OP_XSETBV] = xsetbv,
    [DEC_OP_SWAPGS] = swapgs,
    [DEC_OP_RDFSBASE] = rdfsbase,
    [DEC_OP_RDGSBASE] = rdgsbase,
    [DEC_OP_WRFSBASE] = wrfsbase,
    [DEC_OP_WRGSBASE] = wrgsbase,
    [DEC_OP_IN] = system_in,
    [DEC_OP_OUT] = system_out,
    [DEC_OP_INS] = system_ins,
    [DEC_OP_OUTS] = system_outs,
};

/* Operations whose #UD for another reason comes before #GP for the CPL. */
static bool checks_cpl_itself(const struct dec_insn *insn)
{
    return insn->op == DEC_OP_SYSRET || insn->op == DEC_OP_XSETBV;
}

interp_handler *interp_select_system(const struct dec_insn *insn, uint32_t mode)
{
    bool user = (mode >> MODE_CPL_SHIFT) & 3;
    bool privileged = dec_info(insn->op)->attributes & DEC_ATTR_PRIVILEGED;
    if (user && privileged && !checks_cpl_itself(insn))
        return raise_gp;
    if (mode & MODE_UMIP) {
        switch (insn->op) {
        case DEC_OP_SGDT:
        case DEC_OP_SIDT:
        case DEC_OP_SLDT:
        case DEC_OP_STR:
        case DEC_OP_SMSW:
            return raise_gp;
        default:
            break;
        }
    }
    return handlers[insn->op];
}
