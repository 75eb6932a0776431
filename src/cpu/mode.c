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

static uint32_t segment_bits(const struct cpu *cpu, enum dec_mode code)
{
    uint32_t bits = 0;
    if (is_flat_data(&cpu->seg[SEG_DS]) && is_flat_data(&cpu->seg[SEG_ES]) &&
        is_flat_data(&cpu->seg[SEG_SS]))
        bits |= MODE_FLAT;
    const struct segment *cs = &cpu->seg[SEG_CS];
    if (code == DEC_MODE_64 || (!cs->base && cs->limit == UINT32_MAX))
        bits |= MODE_FLAT_CS;
    return bits;
}

static uint32_t vector_bits(const struct cpu *cpu)
{
    uint32_t bits = 0;
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
    return bits | fpu_mode_bits(cpu);
}

void cpu_update_mode(struct cpu *cpu)
{
    enum dec_mode code = code_size(cpu);
    uint32_t mode = code | (uint32_t)cpu->cpl << MODE_CPL_SHIFT |
                    (uint32_t)data_view(cpu) << MODE_VIEW_SHIFT |
                    (uint32_t)stack_size(cpu, code) << MODE_STACK_SHIFT | segment_bits(cpu, code) |
                    vector_bits(cpu);
    if (cpu->msr.efer & EFER_LMA)
        mode |= MODE_LONG;
    if (cpu->cr0 & CR0_PE)
        mode |= MODE_PROTECTED;
    if (cpu->rflags & FLAG_VM)
        mode |= MODE_VM86;
    if (cpu->cr0 & CR0_PG)
        mode |= MODE_PAGING;
    if (cpu->rflags & (FLAG_TF | FLAG_RF) || breakpoints_on_code(cpu) ||
        (cpu->debug && cpu->debug->stepping))
        mode |= MODE_STEP;
    if (cpu->cr4 & CR4_UMIP && cpu->cpl > 0)
        mode |= MODE_UMIP;
    if (cpu->cr0 & CR0_AM && cpu->rflags & FLAG_AC && cpu->cpl == 3)
        mode |= MODE_AC_CHECK;
    if (cpu->cr4 & CR4_FSGSBASE)
        mode |= MODE_FSGSBASE;
    if (cpu->smm)
        mode |= MODE_SMM;
    if (mode != cpu->mode)
        cpu->leave = 1;
    cpu->mode = mode;
    mmu_select_view(cpu);
}
