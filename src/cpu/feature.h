/* The instruction groups as CPUID offers them: one table for models, CPUID and the host's check. */
#ifndef DOPPEL_CPU_FEATURE_H
#define DOPPEL_CPU_FEATURE_H

#include "base/types.h"
#include "decoder/catalogue.h"

/* CPUID's feature words. */
enum cpuid_word {
    CPUID_1_ECX,
    CPUID_1_EDX,
    CPUID_7_EBX,
    CPUID_7_ECX,
    CPUID_7_EDX,
    CPUID_D1_EAX,
    CPUID_EXT1_ECX,
    CPUID_EXT1_EDX,
    CPUID_WORDS
};

/* The x86-64 psABI level from which a model has the group. */
enum feature_level { LEVEL_V1 = 1, LEVEL_V2, LEVEL_V3, LEVEL_HOST };

/* What the host must have, because its own instructions compute the results. */
enum feature_need { NEED_NOTHING, NEED_HOST, NEED_HOST_AVX };

struct cpu_feature {
    const char *name; /* as /proc/cpuinfo has it */
    uint8_t feature;  /* enum dec_feature */
    uint8_t word, bit;
    uint8_t level;
    uint8_t need;
};

#define CPU_FEATURE_COUNT 47
extern const struct cpu_feature cpu_feature_table[CPU_FEATURE_COUNT];

#endif
