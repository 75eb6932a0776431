/* Numbers of model-specific registers (SDM vol. 4) that more than one file knows. */
#ifndef DOPPEL_CPU_MSR_H
#define DOPPEL_CPU_MSR_H

#include "base/bits.h"

#define MSR_APIC_BASE 0x1bu
#define MSR_SYSENTER_CS 0x174u
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u
#define MSR_EFER 0xc0000080u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define APIC_BASE_ENABLE BIT(11)

/* IA32_MISC_ENABLE. */
#define MISC_ENABLE_FAST_STRINGS BIT(0)
#define MISC_ENABLE_NO_BTS BIT(11)
#define MISC_ENABLE_NO_PEBS BIT(12)
#define MISC_ENABLE_MONITOR BIT(18)

/* IA32_MTRR_DEF_TYPE and the valid bit of MTRR_PHYSMASKn. */
#define MTRR_WRITE_BACK 6u
#define MTRR_ENABLE BIT(11)
#define MTRR_VALID BIT(11)

#endif
