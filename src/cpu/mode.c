/* The mode word, from the state it sums up. */
#include "base/bits.h"
#include "cpu/breakpoint.h"
#include "cpu/cpu.h"
#include "cpu/debug.h"
#include "cpu/fpu.h"
#include "cpu/segment.h"
#include "mmu/mmu.h"

#define XCR0_SSE_AVX 6u

static enum dec_mode code_size(const struct cpu *cpu)
{
    uint16_t attributes = cpu->seg[SEG_CS].attributes;
    if (cpu->msr.efer & EFER_LMA && attributes & SEGATTR_L)
        return DEC_MODE_64;
    return attributes & SEGATTR_DB ? DEC_MODE_32 : DEC_MODE_16;
}

static enum dec_mode stack_size(const struct cpu *cpu, enum dec_mode code)
{
    if (code == DEC_MODE_64)
        return DEC_MODE_64;
    return cpu->seg[SEG_SS].attributes & SEGATTR_DB ? DEC_MODE_32 : DEC_MODE_16;
}

static enum tlb_view data_view(const struct cpu *cpu)
{
    if (cpu->cpl == 3)
        return TLB_VIEW_USER;
    bool smap_off = cpu->cr4 & CR4_SMAP && cpu->rflags & FLAG_AC;
    return smap_off ? TLB_VIEW_SUPERVISOR_AC : TLB_VIEW_SUPERVISOR;
}

/* No access through it needs a check of type or limit. */
static bool is_flat_data(const struct segment *seg)
{
    return !seg->base && seg->limit == UINT32_MAX && seg_present(seg) && seg_is_writable(seg) &&
           !(seg_type(seg) & SEGTYPE_EXPAND_DOWN);
}

/* In 64-bit code segments do not count. */
static uint32_t segment_bits(const struct cpu *cpu, enum dec_mode code)
{
    if (code == DEC_MODE_64)
        return MODE_FLAT | MODE_FLAT_CS;
    uint32_t bits = 0;
    if (is_flat_data(&cpu->seg[SEG_DS]) && is_flat_data(&cpu->seg[SEG_ES]) &&
        is_flat_data(&cpu->seg[SEG_SS]))
        bits |= MODE_FLAT;
    const struct segment *cs = &cpu->seg[SEG_CS];
    if (!cs->base && cs->limit == UINT32_MAX)
        bits |= MODE_FLAT_CS;
    return bits;
}

/* What hangs on control registers and SMM alone. */
#define CONTROL_BITS                                                                               \
    (uint32_t)(MODE_LONG | MODE_PROTECTED | MODE_PAGING | MODE_X87_TRAP | MODE_MMX_TRAP |          \
               MODE_MMX_UD | MODE_WAIT_TRAP | MODE_SSE_OFF | MODE_AVX_OFF | MODE_FSGSBASE |        \
               MODE_SMM)

static uint32_t control_bits(const struct cpu *cpu)
{
    uint32_t bits = 0;
    if (cpu->msr.efer & EFER_LMA)
        bits |= MODE_LONG;
    if (cpu->cr0 & CR0_PE)
        bits |= MODE_PROTECTED;
    if (cpu->cr0 & CR0_PG)
        bits |= MODE_PAGING;
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        bits |= MODE_X87_TRAP;
    if (cpu->cr0 & CR0_TS)
        bits |= MODE_MMX_TRAP;
    if (cpu->cr0 & CR0_EM)
        bits |= MODE_MMX_UD;
    if (cpu->cr0 & CR0_TS && cpu->cr0 & CR0_MP)
        bits |= MODE_WAIT_TRAP;
    if (!(cpu->cr4 & CR4_OSFXSR))
        bits |= MODE_SSE_OFF;
    if (!(cpu->cr4 & CR4_OSXSAVE) || (cpu->xcr0 & XCR0_SSE_AVX) != XCR0_SSE_AVX)
        bits |= MODE_AVX_OFF;
    if (cpu->cr4 & CR4_FSGSBASE)
        bits |= MODE_FSGSBASE;
    if (cpu->smm)
        bits |= MODE_SMM;
    return bits;
}

static uint32_t level_bits(const struct cpu *cpu)
{
    enum dec_mode code = code_size(cpu);
    uint32_t bits = code | (uint32_t)cpu->cpl << MODE_CPL_SHIFT |
                    (uint32_t)data_view(cpu) << MODE_VIEW_SHIFT |
                    (uint32_t)stack_size(cpu, code) << MODE_STACK_SHIFT | segment_bits(cpu, code);
    if (cpu->rflags & FLAG_VM)
        bits |= MODE_VM86;
    if (cpu->rflags & (FLAG_TF | FLAG_RF) || breakpoints_on_code(cpu) ||
        (cpu->debug && cpu->debug->stepping))
        bits |= MODE_STEP;
    if (cpu->cr4 & CR4_UMIP && cpu->cpl > 0)
        bits |= MODE_UMIP;
    if (cpu->cr0 & CR0_AM && cpu->rflags & FLAG_AC && cpu->cpl == 3)
        bits |= MODE_AC_CHECK;
    return bits | fpu_mode_bits(cpu);
}

static void set_mode(struct cpu *cpu, uint32_t mode)
{
    if (mode != cpu->mode)
        cpu->leave = 1;
    cpu->mode = mode;
    mmu_select_view(cpu);
}

void cpu_update_mode(struct cpu *cpu)
{
    set_mode(cpu, control_bits(cpu) | level_bits(cpu));
}

/* Much of what SYSCALL, IRET and the delivery of events cost would be the rest. */
void cpu_update_level(struct cpu *cpu)
{
    set_mode(cpu, (cpu->mode & CONTROL_BITS) | level_bits(cpu));
}
