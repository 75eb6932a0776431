/* What the host's CPU has and its operating system enables. */
#ifndef DOPPEL_HOST_FEATURES_H
#define DOPPEL_HOST_FEATURES_H

#include "base/types.h"

/* CPUID's feature words (SDM vol. 2, CPUID), zero where a leaf is absent, and XCR0, zero where the
 * operating system has not set CR4.OSXSAVE. */
struct host_features {
    uint32_t leaf1_ecx, leaf1_edx;
    uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx;
    uint32_t leafd1_eax; /* XSAVEOPT, XSAVEC, XGETBV with ECX=1, XSAVES */
    uint32_t ext1_ecx, ext1_edx;
    uint64_t xcr0;
};

void host_features_read(struct host_features *features);

/* Whether XMM and the upper halves of YMM registers may be used: XCR0 enables both. AVX, AVX2, FMA
 * and all else in VEX encoding on vector registers need it besides their CPUID bit. */
static inline bool host_enables_avx(const struct host_features *features)
{
    return (features->xcr0 & 6) == 6;
}

#endif
