/* RDMSR and WRMSR by table (SDM vol. 4). */
#include "cpu/msr.h"

#include "base/trace.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "cpu/pvclock.h"
#include "cpu/segment.h"
#include "mmu/mmu.h"

#define MICROCODE_REVISION 0x100ull
#define MTRR_CAP (8 | BIT(8) | BIT(10)) /* 8 variable ranges, fixed ranges, write-combining */
#define MAX_RATIO (10ull << 8)          /* PLATFORM_INFO: 10 times 100 MHz */
#define SPEC_CTRL_BITS (BIT(0) | BIT(1) | BIT(2) | BIT(10)) /* IBRS, STIBP, SSBD, BHI_DIS_S */

/* None of the known speculation flaws: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO,
 * PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO,
 * ITS_NO. */
#define ARCH_CAPABILITIES                                                                          \
    (BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) |  \
     BIT(20) | BIT(24) | BIT(26) | BIT(27) | BIT(62))

/* A range of registers that act alike. Those without write are #GP(0) to write. */
struct msr {
    uint32_t first, count;
    bool (*read)(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t *value);
    bool (*write)(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value);
    uint64_t value;  /* of constants; the writable bits of others */
    uint16_t offset; /* of plain storage in struct cpu */
    uint16_t stride; /* from one register of the range to the next */
};

static uint64_t *storage(struct cpu *cpu, const struct msr *msr, uint32_t index)
{
    return (uint64_t *)((char *)cpu + msr->offset + (index - msr->first) * msr->stride);
}

static bool read_plain(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t *value)
{
    *value = *storage(cpu, msr, index);
    return true;
}

static bool write_plain(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    if (value & ~msr->value)
        return false;
    *storage(cpu, msr, index) = value;
    return true;
}

static bool write_canonical(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    if (!is_canonical(value))
        return false;
    *storage(cpu, msr, index) = value;
    return true;
}

static bool read_constant(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t *value)
{
    (void)cpu, (void)index;
    *value = msr->value;
    return true;
}

/* Registers that read as a constant and may be written with anything, or nothing but zero. */
static bool write_ignored(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)cpu, (void)msr, (void)index, (void)value;
    return true;
}

static bool write_zero(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)cpu, (void)msr, (void)index;
    return value == 0;
}

/* Commands: write-only, and nothing to do, for there are no predictors and no caches. */
static bool write_command(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)cpu, (void)index;
    return !(value & ~msr->value);
}

static bool read_tsc(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t *value)
{
    (void)msr, (void)index;
    *value = cpu_tsc(cpu);
    return true;
}

/* The local APIC's deadline is in TSC units: it has to know. */
static bool write_tsc_adjust(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)msr, (void)index;
    cpu->msr.tsc_adjust = value;
    pvclock_update(cpu);
    if (cpu->intc.ops && cpu->intc.ops->tsc_moved)
        cpu->intc.ops->tsc_moved(cpu->intc.opaque);
    return true;
}

static bool write_tsc(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    return write_tsc_adjust(cpu, msr, index, cpu->msr.tsc_adjust + value - cpu_tsc(cpu));
}

static bool write_pvclock(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)msr;
    return index == MSR_PVCLOCK_WALL_CLOCK ? pvclock_write_wall_clock(cpu, value)
                                           : pvclock_write_system_time(cpu, value);
}

static bool read_misc_enable(struct cpu *cpu, const struct msr *msr, uint32_t index,
                             uint64_t *value)
{
    (void)msr, (void)index;
    *value = cpu->msr.misc_enable | MISC_ENABLE_NO_BTS | MISC_ENABLE_NO_PEBS;
    return true;
}

static bool write_misc_enable(struct cpu *cpu, const struct msr *msr, uint32_t index,
                              uint64_t value)
{
    (void)msr, (void)index;
    uint64_t writable = MISC_ENABLE_FAST_STRINGS;
    if (cpu->model->features[DEC_FEATURE_MONITOR])
        writable |= MISC_ENABLE_MONITOR;
    if (value & ~(writable | MISC_ENABLE_NO_BTS | MISC_ENABLE_NO_PEBS))
        return false;
    cpu->msr.misc_enable = value & writable;
    return true;
}

static bool write_efer(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)index;
    uint64_t changed = value ^ cpu->msr.efer;
    if ((value & ~(msr->value | EFER_LMA)) || ((changed & EFER_LME) && (cpu->cr0 & CR0_PG)))
        return false;
    cpu->msr.efer = (value & msr->value) | (cpu->msr.efer & EFER_LMA);
    if (changed & EFER_NXE)
        mmu_flush_all(cpu);
    cpu_mode_changed(cpu);
    return true;
}

/* PAT and the fixed-range MTRRs have a memory type in each byte (SDM vol. 3, 11.11.2.2, 11.12.2):
 * the bits of msr->value are the types that are known. */
static bool write_types(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    for (unsigned i = 0; i < 64; i += 8) {
        unsigned type = (unsigned)bits_get(value, i, 8);
        if (type > 7 || !(msr->value & BIT(type)))
            return false;
    }
    *storage(cpu, msr, index) = value;
    return true;
}

/* MTRR_PHYSBASEn and MTRR_PHYSMASKn alternate. */
static uint64_t *variable_mtrr(struct cpu *cpu, const struct msr *msr, uint32_t index)
{
    unsigned n = (index - msr->first) / 2;
    return (index - msr->first) % 2 ? &cpu->msr.mtrr_phys_mask[n] : &cpu->msr.mtrr_phys_base[n];
}

static bool read_variable_mtrr(struct cpu *cpu, const struct msr *msr, uint32_t index,
                               uint64_t *value)
{
    *value = *variable_mtrr(cpu, msr, index);
    return true;
}

static bool write_variable_mtrr(struct cpu *cpu, const struct msr *msr, uint32_t index,
                                uint64_t value)
{
    uint64_t page = (BIT(cpu->model->physical_bits) - 1) & PAGE_MASK;
    bool is_mask = (index - msr->first) % 2;
    if (value & ~(page | (is_mask ? BIT(11) : 0x7ull)))
        return false;
    *variable_mtrr(cpu, msr, index) = value;
    return true;
}

static bool read_apic(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t *value)
{
    (void)msr;
    return cpu->intc.ops && cpu->intc.ops->read_msr(cpu->intc.opaque, index, value);
}

static bool write_apic(struct cpu *cpu, const struct msr *msr, uint32_t index, uint64_t value)
{
    (void)msr;
    return cpu->intc.ops && cpu->intc.ops->write_msr(cpu->intc.opaque, index, value);
}

#define PLAIN(index_, field_, mask_)                                                               \
    {                                                                                              \
        .first = index_, .count = 1, .read = read_plain, .write = write_plain, .value = mask_,     \
        .offset = offsetof(struct cpu, field_)                                                     \
    }
#define CANONICAL(index_, field_)                                                                  \
    {                                                                                              \
        .first = index_, .count = 1, .read = read_plain, .write = write_canonical,                 \
        .offset = offsetof(struct cpu, field_)                                                     \
    }
#define CONSTANT(index_, value_, write_)                                                           \
    {                                                                                              \
        .first = index_, .count = 1, .read = read_constant, .write = write_, .value = value_       \
    }
#define COMMAND(index_, mask_)                                                                     \
    {                                                                                              \
        .first = index_, .count = 1, .write = write_command, .value = mask_                        \
    }
#define TYPES(index_, count_, field_, known_)                                                      \
    {                                                                                              \
        .first = index_, .count = count_, .read = read_plain, .write = write_types,                \
        .value = known_, .offset = offsetof(struct cpu, field_), .stride = sizeof(uint64_t)        \
    }
#define SPECIAL(index_, count_, read_, write_, mask_)                                              \
    {                                                                                              \
        .first = index_, .count = count_, .read = read_, .write = write_, .value = mask_           \
    }

/* Memory types: UC 0, WC 1, WT 4, WP 5, WB 6, UC- 7. */
#define MTRR_TYPES (BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6))
#define PAT_TYPES (MTRR_TYPES | BIT(7))

/* In the order of their numbers. */
static const struct msr msrs[] = {
    CONSTANT(0x00, 0, write_zero), /* P5_MC_ADDR */
    CONSTANT(0x01, 0, write_zero), /* P5_MC_TYPE */
    SPECIAL(0x10, 1, read_tsc, write_tsc, 0),
    CONSTANT(0x17, 0, NULL), /* PLATFORM_ID */
    SPECIAL(MSR_APIC_BASE, 1, read_apic, write_apic, 0),
    {.first = 0x3b,
     .count = 1,
     .read = read_plain,
     .write = write_tsc_adjust,
     .offset = offsetof(struct cpu, msr.tsc_adjust)},
    PLAIN(0x48, msr.spec_ctrl, SPEC_CTRL_BITS),
    COMMAND(0x49, BIT(0)), /* PRED_CMD: IBPB */
    CONSTANT(0x8b, MICROCODE_REVISION << 32, write_ignored),
    CONSTANT(0xce, MAX_RATIO, NULL), /* PLATFORM_INFO */
    CONSTANT(0xfe, MTRR_CAP, NULL),
    CONSTANT(MSR_ARCH_CAPABILITIES, ARCH_CAPABILITIES, NULL),
    COMMAND(0x10b, BIT(0)), /* FLUSH_CMD: L1D_FLUSH */
    PLAIN(MSR_SYSENTER_CS, msr.sysenter_cs, 0xffffffff),
    CANONICAL(0x175, msr.sysenter_esp),
    CANONICAL(0x176, msr.sysenter_eip),
    CONSTANT(0x179, 0, NULL),       /* MCG_CAP: no banks */
    CONSTANT(0x17a, 0, write_zero), /* MCG_STATUS */
    SPECIAL(0x1a0, 1, read_misc_enable, write_misc_enable, 0),
    CONSTANT(0x1d9, 0, write_zero),      /* DEBUGCTL: nothing to enable */
    PLAIN(0x1fc, msr.power_ctl, BIT(1)), /* C1E, which is no other than C1 */
    SPECIAL(0x200, 16, read_variable_mtrr, write_variable_mtrr, 0),
    TYPES(0x250, 1, msr.mtrr_fixed[0], MTRR_TYPES),
    TYPES(0x258, 2, msr.mtrr_fixed[1], MTRR_TYPES),
    TYPES(0x268, 8, msr.mtrr_fixed[3], MTRR_TYPES),
    TYPES(0x277, 1, msr.pat, PAT_TYPES),
    PLAIN(0x2ff, msr.mtrr_def_type, 0xc07),
    SPECIAL(MSR_TSC_DEADLINE, 1, read_apic, write_apic, 0),
    SPECIAL(MSR_X2APIC, 0x100, read_apic, write_apic, 0),
    PLAIN(0xda0, msr.xss, 0), /* no supervisor state components */
    {.first = MSR_PVCLOCK_WALL_CLOCK,
     .count = 2,
     .read = read_plain,
     .write = write_pvclock,
     .offset = offsetof(struct cpu, msr.pvclock_wall_clock),
     .stride = sizeof(uint64_t)},
    {.first = MSR_EFER,
     .count = 1,
     .read = read_plain,
     .write = write_efer,
     .value = EFER_SCE | EFER_LME | EFER_NXE,
     .offset = offsetof(struct cpu, msr.efer)},
    PLAIN(0xc0000081, msr.star, ~0ull),
    CANONICAL(0xc0000082, msr.lstar),
    CANONICAL(0xc0000083, msr.cstar),
    PLAIN(0xc0000084, msr.sfmask, 0xffffffff),
    CANONICAL(MSR_FS_BASE, seg[SEG_FS].base),
    CANONICAL(MSR_GS_BASE, seg[SEG_GS].base),
    CANONICAL(MSR_KERNEL_GS_BASE, msr.kernel_gs_base),
    PLAIN(0xc0000103, msr.tsc_aux, 0xffffffff),
};

static const struct msr *find(uint32_t index)
{
    size_t low = 0, high = ARRAY_SIZE(msrs);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (index < msrs[middle].first)
            high = middle;
        else if (index - msrs[middle].first >= msrs[middle].count)
            low = middle + 1;
        else
            return &msrs[middle];
    }
    return NULL;
}

bool cpu_read_msr(struct cpu *cpu, uint32_t index, uint64_t *value)
{
    const struct msr *msr = find(index);
    bool known = msr && msr->read && msr->read(cpu, msr, index, value);
    TRACE(cpu->trace, TRACE_MSR, "read %08x %016lx%s at %016lx", index, known ? *value : 0,
          known ? "" : " #GP", cpu->rip);
    return known;
}

bool cpu_write_msr(struct cpu *cpu, uint32_t index, uint64_t value)
{
    const struct msr *msr = find(index);
    bool valid = msr && msr->write && msr->write(cpu, msr, index, value);
    TRACE(cpu->trace, TRACE_MSR, "write %08x %016lx%s at %016lx", index, value, valid ? "" : " #GP",
          cpu->rip);
    return valid;
}

uint64_t cpu_tsc(const struct cpu *cpu)
{
    return clock_now(cpu->clock) + cpu->msr.tsc_adjust;
}
