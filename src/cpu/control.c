/* CR0, CR3 and CR4 (SDM vol. 3, 2.5 and 4.1), with what their changes do to translations. */
#include "base/bits.h"
#include "cpu/breakpoint.h"
#include "cpu/cpu.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#define CR3_NO_FLUSH BIT(63)
#define CR3_PCID 0xfffu

/* What a PDPTE under PAE paging must not have set (table 4-8), below the address limit. */
#define PDPTE_P BIT(0)
#define PDPTE_RESERVED (BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7) | BIT(8))

static uint64_t above_physical(const struct cpu *cpu)
{
    return ~(BIT(cpu->model->physical_bits) - 1);
}

/* Reads and checks the four PDPTEs as a load of CR3 does (4.4.1); false: #GP(0). */
static bool load_pdptes(struct cpu *cpu, uint64_t cr3)
{
    uint64_t entries[4];
    phys_read(cpu->phys, cr3 & 0xffffffe0 & cpu->physical_mask, entries, sizeof(entries));
    for (unsigned i = 0; i < 4; i++) {
        if (entries[i] & PDPTE_P && entries[i] & (PDPTE_RESERVED | above_physical(cpu)))
            return false;
    }
    memcpy(cpu->pdpte, entries, sizeof(entries));
    return true;
}

static bool uses_pdptes(const struct cpu *cpu, uint64_t cr0, uint64_t cr4)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(cpu->msr.efer & EFER_LME);
}

/* Whether paging may be switched on or off now (4.1.1, 9.8.5). */
static bool may_switch_paging(const struct cpu *cpu, bool on)
{
    bool code_64 = cpu->seg[SEG_CS].attributes & SEGATTR_L;
    if (on)
        return !(cpu->msr.efer & EFER_LME) || (cpu->cr4 & CR4_PAE && !code_64);
    return !(cpu->cr4 & CR4_PCIDE) && mode_code(cpu->mode) != DEC_MODE_64;
}

bool cpu_load_pdptes(struct cpu *cpu)
{
    return !uses_pdptes(cpu, cpu->cr0, cpu->cr4) || load_pdptes(cpu, cpu->cr3);
}

bool cpu_valid_cr0(uint64_t value)
{
    return !(value >> 32) && (!(value & CR0_PG) || value & CR0_PE) &&
           (!(value & CR0_NW) || value & CR0_CD);
}

bool cpu_write_cr0(struct cpu *cpu, uint64_t value)
{
    if (!cpu_valid_cr0(value))
        return false;
    value = (value & CR0_WRITABLE) | CR0_ET;
    uint64_t changed = cpu->cr0 ^ value;
    if (changed & CR0_PG && !may_switch_paging(cpu, value & CR0_PG))
        return false;
    if (changed & (CR0_PG | CR0_CD | CR0_NW) && uses_pdptes(cpu, value, cpu->cr4) &&
        !load_pdptes(cpu, cpu->cr3))
        return false;

    cpu->cr0 = value;
    if (value & CR0_PG && cpu->msr.efer & EFER_LME)
        cpu->msr.efer |= EFER_LMA;
    else
        cpu->msr.efer &= ~EFER_LMA;
    if (changed & (CR0_PG | CR0_WP))
        mmu_flush_all(cpu);
    cpu_update_mode(cpu);
    return true;
}

bool cpu_valid_cr3(const struct cpu *cpu, uint64_t value)
{
    return !(value & above_physical(cpu));
}

bool cpu_write_cr3(struct cpu *cpu, uint64_t value)
{
    bool keep = false;
    if (cpu->cr4 & CR4_PCIDE) {
        keep = value & CR3_NO_FLUSH;
        value &= ~CR3_NO_FLUSH;
    }
    if (!cpu_valid_cr3(cpu, value))
        return false;
    if (uses_pdptes(cpu, cpu->cr0, cpu->cr4) && !load_pdptes(cpu, value))
        return false;
    cpu->cr3 = value;
    mmu_switch_space(cpu, keep);
    return true;
}

/* Which bits of CR4 there are follows from CPUID. */
static uint64_t cr4_supported(const struct cpu *cpu)
{
    struct cpuid_leaf leaf1 = cpu_cpuid(cpu, 1, 0);
    struct cpuid_leaf leaf7 = cpu_cpuid(cpu, 7, 0);
    const struct {
        uint32_t reg;
        unsigned bit;
        uint64_t cr4;
    } table[] = {
        {leaf1.edx, 1, CR4_VME | CR4_PVI}, {leaf1.edx, 2, CR4_DE},
        {leaf1.edx, 3, CR4_PSE},           {leaf1.edx, 4, CR4_TSD},
        {leaf1.edx, 6, CR4_PAE},           {leaf1.edx, 7, CR4_MCE},
        {leaf1.edx, 13, CR4_PGE},          {leaf1.edx, 24, CR4_OSFXSR},
        {leaf1.edx, 25, CR4_OSXMMEXCPT},   {leaf1.ecx, 17, CR4_PCIDE},
        {leaf1.ecx, 26, CR4_OSXSAVE},      {leaf7.ebx, 0, CR4_FSGSBASE},
        {leaf7.ebx, 7, CR4_SMEP},          {leaf7.ebx, 20, CR4_SMAP},
        {leaf7.ecx, 2, CR4_UMIP},
    };
    uint64_t supported = CR4_PCE;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].reg & BIT(table[i].bit))
            supported |= table[i].cr4;
    }
    return supported;
}

bool cpu_valid_cr4(const struct cpu *cpu, uint64_t value)
{
    return !(value & ~cr4_supported(cpu));
}

bool cpu_write_cr4(struct cpu *cpu, uint64_t value)
{
    uint64_t changed = cpu->cr4 ^ value;
    bool long_mode = cpu->msr.efer & EFER_LMA;
    if (!cpu_valid_cr4(cpu, value))
        return false;
    if (changed & CR4_PAE && long_mode)
        return false;
    if (changed & value & CR4_PCIDE && (!long_mode || cpu->cr3 & CR3_PCID))
        return false;
    if (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) && uses_pdptes(cpu, cpu->cr0, value) &&
        !load_pdptes(cpu, cpu->cr3))
        return false;

    cpu->cr4 = value;
    breakpoints_update(cpu);
    if (changed & (CR4_PGE | CR4_PSE | CR4_PAE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        mmu_flush_all(cpu);
    cpu_update_mode(cpu);
    return true;
}
