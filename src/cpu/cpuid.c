/* CPUID (SDM vol. 2, CPUID): the leaves of a GenuineIntel CPU that has what the model offers. */
#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/feature.h"
#include "cpu/monitor.h"
#include "cpu/msr.h"
#include "cpu/xstate.h"

#define BASIC_MAX 0x16
#define EXTENDED_MAX 0x80000008
#define HYPERVISOR_LEAF 0x40000000
#define HYPERVISOR_LEAVES 0x100
#define KVM_LEAF (HYPERVISOR_LEAF + HYPERVISOR_LEAVES) /* where guests look for it next */
#define KVM_LEAVES 0x100

#define SIGNATURE 0x000a06f3 /* family 6, model 0xaf: one without AVX-512 */
#define LINE_SIZE 64
#define LINEAR_BITS 48
#define TSC_MHZ 1000

/* What belongs to the system and not to an instruction group: always there. */
static const uint32_t system_features[CPUID_WORDS] = {
    /* PCID, x2APIC, TSC deadline, hypervisor */
    [CPUID_1_ECX] = BIT(17) | BIT(21) | BIT(24) | BIT(31),
    /* VME DE PSE TSC MSR PAE MCE, MTRR PGE MCA, PAT PSE36, self-snoop */
    [CPUID_1_EDX] = 0x7e | BIT(7) | BIT(12) | BIT(13) | BIT(14) | BIT(16) | BIT(17) | BIT(27),
    /* TSC_ADJUST, FDP on exceptions only, SMEP, fast REP MOVSB and STOSB, no FCS and FDS */
    [CPUID_7_EBX] = BIT(1) | BIT(6) | BIT(7) | BIT(9) | BIT(13),
    [CPUID_7_ECX] = BIT(2),  /* UMIP */
    [CPUID_D1_EAX] = BIT(2), /* XGETBV of what is in use */
    /* fast short REP MOVSB; SPEC_CTRL, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD */
    [CPUID_7_EDX] = BIT(4) | BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(31),
    /* NX, 1 GiB pages, long mode */
    [CPUID_EXT1_EDX] = BIT(20) | BIT(26) | BIT(29),
};

static uint32_t feature_word(const struct cpu *cpu, enum cpuid_word word)
{
    uint32_t value = system_features[word];
    for (size_t i = 0; i < CPU_FEATURE_COUNT; i++) {
        const struct cpu_feature *feature = &cpu_feature_table[i];
        if (feature->word == word && cpu->model->features[feature->feature])
            value |= 1u << feature->bit;
    }
    return value;
}

static bool apic_enabled(const struct cpu *cpu)
{
    uint64_t base;
    return cpu->intc.ops && cpu->intc.ops->read_msr(cpu->intc.opaque, MSR_APIC_BASE, &base) &&
           (base & APIC_BASE_ENABLE);
}

static struct cpuid_leaf leaf_1(const struct cpu *cpu)
{
    struct cpuid_leaf leaf = {
        .eax = SIGNATURE,
        .ebx = LINE_SIZE / 8 << 8 | 1 << 16 | cpu->apic_id << 24,
        .ecx = feature_word(cpu, CPUID_1_ECX),
        .edx = feature_word(cpu, CPUID_1_EDX),
    };
    if (cpu->cr4 & CR4_OSXSAVE)
        leaf.ecx |= BIT(27);
    if (!monitor_is_enabled(cpu))
        leaf.ecx &= ~(uint32_t)BIT(3);
    if (apic_enabled(cpu))
        leaf.edx |= BIT(9);
    return leaf;
}

/* Deterministic cache parameters. */
static struct cpuid_leaf leaf_4(uint32_t subleaf)
{
    enum { DATA = 1, INSTRUCTION, UNIFIED };
    static const struct {
        uint8_t type, level, ways;
        uint16_t sets;
    } caches[] = {
        {DATA, 1, 8, 64},        /* 32 KiB */
        {INSTRUCTION, 1, 8, 64}, /* 32 KiB */
        {UNIFIED, 2, 16, 1024},  /* 1 MiB */
        {UNIFIED, 3, 16, 16384}, /* 16 MiB */
    };
    if (subleaf >= ARRAY_SIZE(caches))
        return (struct cpuid_leaf){0};
    return (struct cpuid_leaf){
        .eax = caches[subleaf].type | caches[subleaf].level << 5 | BIT(8),
        .ebx = (LINE_SIZE - 1) | (caches[subleaf].ways - 1u) << 22,
        .ecx = caches[subleaf].sets - 1u,
    };
}

/* Topology of one logical processor in one core. */
static struct cpuid_leaf leaf_b(const struct cpu *cpu, uint32_t subleaf)
{
    struct cpuid_leaf leaf = {.ecx = subleaf & 0xff, .edx = cpu->apic_id};
    if (subleaf < 2) { /* 0: threads of a core, 1: cores of a package */
        leaf.ebx = 1;
        leaf.ecx |= (subleaf + 1) << 8;
    }
    return leaf;
}

static struct cpuid_leaf leaf_d(const struct cpu *cpu, uint32_t subleaf)
{
    uint64_t supported = cpu->model->xcr0_supported;
    if (!cpu->model->features[DEC_FEATURE_XSAVE])
        return (struct cpuid_leaf){0};
    switch (subleaf) {
    case 0:
        return (struct cpuid_leaf){
            .eax = (uint32_t)supported,
            .ebx = xstate_size(cpu->xcr0),
            .ecx = xstate_size(supported),
        };
    case 1:
        return (struct cpuid_leaf){
            .eax = feature_word(cpu, CPUID_D1_EAX),
            .ebx = xstate_size(cpu->xcr0 | cpu->msr.xss),
        };
    case 2:
        if (supported & XSTATE_AVX)
            return (struct cpuid_leaf){.eax = XSTATE_AVX_SIZE, .ebx = XSTATE_AVX_OFFSET};
        break;
    default:
        break;
    }
    return (struct cpuid_leaf){0};
}

static struct cpuid_leaf basic_leaf(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
    switch (leaf) {
    case 0: /* GenuineIntel */
        return (struct cpuid_leaf){BASIC_MAX, 0x756e6547, 0x6c65746e, 0x49656e69};
    case 1:
        return leaf_1(cpu);
    case 2: /* leaf 4 tells the caches */
        return (struct cpuid_leaf){.eax = 0x00ff01};
    case 4:
        return leaf_4(subleaf);
    case 5: /* MONITOR and MWAIT: the line; interrupts may end a wait; one kind of C1 */
        if (!monitor_is_enabled(cpu))
            break;
        return (struct cpuid_leaf){LINE_SIZE, LINE_SIZE, BIT(0) | BIT(1), 1 << 4};
    case 6: /* the APIC timer always runs */
        return (struct cpuid_leaf){.eax = BIT(2)};
    case 7:
        if (subleaf == 2) /* BHI_CTRL, MCDT_NO */
            return (struct cpuid_leaf){.edx = BIT(4) | BIT(5)};
        if (subleaf)
            break;
        return (struct cpuid_leaf){
            .eax = 2, /* the last subleaf */
            .ebx = feature_word(cpu, CPUID_7_EBX),
            .ecx = feature_word(cpu, CPUID_7_ECX),
            .edx = feature_word(cpu, CPUID_7_EDX),
        };
    case 0xb:
        return leaf_b(cpu, subleaf);
    case 0xd:
        return leaf_d(cpu, subleaf);
    case 0x15:
        /* The crystal clocks the local APIC's timer too (SDM vol. 3, 10.5.4): 1 GHz, as the TSC. */
        return (struct cpuid_leaf){.eax = 1, .ebx = 1, .ecx = TSC_MHZ * 1000000};
    case 0x16:
        return (struct cpuid_leaf){.eax = TSC_MHZ, .ebx = TSC_MHZ, .ecx = 100};
    default:
        break;
    }
    return (struct cpuid_leaf){0};
}

/* Four registers of a text. */
static struct cpuid_leaf text_leaf(const char *text)
{
    return (struct cpuid_leaf){
        .eax = (uint32_t)load_le(text, 4),
        .ebx = (uint32_t)load_le(text + 4, 4),
        .ecx = (uint32_t)load_le(text + 8, 4),
        .edx = (uint32_t)load_le(text + 12, 4),
    };
}

static struct cpuid_leaf extended_leaf(const struct cpu *cpu, uint32_t leaf)
{
    static const char brand[48] = "Doppel virtual CPU";
    switch (leaf) {
    case 0x80000000:
        return (struct cpuid_leaf){.eax = EXTENDED_MAX};
    case 0x80000001:
        return (struct cpuid_leaf){
            .ecx = feature_word(cpu, CPUID_EXT1_ECX),
            .edx = feature_word(cpu, CPUID_EXT1_EDX),
        };
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        return text_leaf(brand + 16 * (leaf - 0x80000002));
    case 0x80000006: /* L2: 1 MiB, 16 ways */
        return (struct cpuid_leaf){.ecx = 1024 << 16 | 8 << 12 | LINE_SIZE};
    case 0x80000007: /* invariant TSC */
        return (struct cpuid_leaf){.edx = BIT(8)};
    case 0x80000008:
        return (struct cpuid_leaf){.eax = cpu->model->physical_bits | LINEAR_BITS << 8};
    default:
        return (struct cpuid_leaf){0};
    }
}

struct cpuid_leaf cpu_cpuid(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
    if (leaf == KVM_LEAF) {
        struct cpuid_leaf text = text_leaf("KVMKVMKVM\0\0\0\0\0\0");
        return (struct cpuid_leaf){KVM_LEAF + 1, text.eax, text.ebx, text.ecx};
    }
    if (leaf == KVM_LEAF + 1) /* CLOCKSOURCE2, CLOCKSOURCE_STABLE_BIT */
        return (struct cpuid_leaf){.eax = BIT(3) | BIT(24)};
    if (leaf == HYPERVISOR_LEAF) { /* a signature, no features of its own */
        struct cpuid_leaf text = text_leaf("DoppelDoppel\0\0\0");
        return (struct cpuid_leaf){HYPERVISOR_LEAF, text.eax, text.ebx, text.ecx};
    }
    if (leaf - HYPERVISOR_LEAF < HYPERVISOR_LEAVES + KVM_LEAVES)
        return (struct cpuid_leaf){0};
    if (leaf >= 0x80000000 && leaf <= EXTENDED_MAX)
        return extended_leaf(cpu, leaf);
    /* Leaves beyond the last read as the last basic one does. */
    return basic_leaf(cpu, leaf <= BASIC_MAX ? leaf : BASIC_MAX, subleaf);
}
