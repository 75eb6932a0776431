#include "host/features.h"

#include <cpuid.h>

#define LEAF1_ECX_OSXSAVE (1u << 27)

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

void host_features_read(struct host_features *f)
{
    uint32_t eax, ebx, ecx, edx;
    *f = (struct host_features){0};
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        f->leaf1_ecx = ecx;
        f->leaf1_edx = edx;
        if (ecx & LEAF1_ECX_OSXSAVE)
            f->xcr0 = read_xcr0();
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        f->leaf7_ebx = ebx;
        f->leaf7_ecx = ecx;
        f->leaf7_edx = edx;
    }
    if (__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx))
        f->leafd1_eax = eax;
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx)) {
        f->ext1_ecx = ecx;
        f->ext1_edx = edx;
    }
}
