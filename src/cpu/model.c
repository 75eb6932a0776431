/* CPU models by name: psABI levels, and what the host can compute. */
#include "cpu/model.h"

#include "cpu/feature.h"
#include "cpu/xstate.h"
#include "host/features.h"

#include <string.h>

#define PHYSICAL_BITS 40

#define FEATURE(name_, feature_, word_, bit_, level_, need_)                                       \
    {                                                                                              \
        .name = name_, .feature = DEC_FEATURE_##feature_, .word = CPUID_##word_, .bit = bit_,      \
        .level = LEVEL_##level_, .need = NEED_##need_                                              \
    }

const struct cpu_feature cpu_feature_table[CPU_FEATURE_COUNT] = {
    FEATURE("fpu", FPU, 1_EDX, 0, V1, NOTHING),
    FEATURE("cx8", CX8, 1_EDX, 8, V1, NOTHING),
    FEATURE("sep", SEP, 1_EDX, 11, V1, NOTHING),
    FEATURE("cmov", CMOV, 1_EDX, 15, V1, NOTHING),
    FEATURE("clflush", CLFLUSH, 1_EDX, 19, V1, NOTHING),
    FEATURE("mmx", MMX, 1_EDX, 23, V1, NOTHING),
    FEATURE("fxsr", FXSR, 1_EDX, 24, V1, NOTHING),
    FEATURE("sse", SSE, 1_EDX, 25, V1, NOTHING),
    FEATURE("sse2", SSE2, 1_EDX, 26, V1, NOTHING),
    FEATURE("syscall", SYSCALL, EXT1_EDX, 11, V1, NOTHING),
    FEATURE("rdtscp", RDTSCP, EXT1_EDX, 27, V1, NOTHING),
    FEATURE("fsgsbase", FSGSBASE, 7_EBX, 0, V1, NOTHING),
    FEATURE("invpcid", INVPCID, 7_EBX, 10, V1, NOTHING),
    FEATURE("smap", SMAP, 7_EBX, 20, V1, NOTHING),
    FEATURE("pni", SSE3, 1_ECX, 0, V2, HOST),
    FEATURE("ssse3", SSSE3, 1_ECX, 9, V2, HOST),
    FEATURE("cx16", CX16, 1_ECX, 13, V2, HOST),
    FEATURE("sse4_1", SSE4_1, 1_ECX, 19, V2, HOST),
    FEATURE("sse4_2", SSE4_2, 1_ECX, 20, V2, HOST),
    FEATURE("popcnt", POPCNT, 1_ECX, 23, V2, HOST),
    FEATURE("lahf_lm", LAHF64, EXT1_ECX, 0, V2, NOTHING),
    FEATURE("fma", FMA, 1_ECX, 12, V3, HOST_AVX),
    FEATURE("movbe", MOVBE, 1_ECX, 22, V3, NOTHING),
    FEATURE("xsave", XSAVE, 1_ECX, 26, V3, NOTHING),
    FEATURE("avx", AVX, 1_ECX, 28, V3, HOST_AVX),
    FEATURE("f16c", F16C, 1_ECX, 29, V3, HOST_AVX),
    FEATURE("bmi1", BMI1, 7_EBX, 3, V3, HOST),
    FEATURE("avx2", AVX2, 7_EBX, 5, V3, HOST_AVX),
    FEATURE("bmi2", BMI2, 7_EBX, 8, V3, HOST),
    FEATURE("abm", LZCNT, EXT1_ECX, 5, V3, HOST),
    FEATURE("xsaveopt", XSAVEOPT, D1_EAX, 0, V3, NOTHING),
    FEATURE("xsavec", XSAVEC, D1_EAX, 1, V3, NOTHING),
    FEATURE("xsaves", XSAVES, D1_EAX, 3, V3, NOTHING),
    FEATURE("pclmulqdq", PCLMULQDQ, 1_ECX, 1, HOST, HOST),
    FEATURE("aes", AES, 1_ECX, 25, HOST, HOST),
    FEATURE("rdrand", RDRAND, 1_ECX, 30, HOST, HOST),
    FEATURE("rdseed", RDSEED, 7_EBX, 18, HOST, HOST),
    FEATURE("adx", ADX, 7_EBX, 19, HOST, HOST),
    FEATURE("clflushopt", CLFLUSHOPT, 7_EBX, 23, HOST, NOTHING),
    FEATURE("clwb", CLWB, 7_EBX, 24, HOST, NOTHING),
    FEATURE("sha_ni", SHA, 7_EBX, 29, HOST, HOST),
    FEATURE("gfni", GFNI, 7_ECX, 8, HOST, HOST_AVX), /* the VEX form comes with the same bit */
    FEATURE("vaes", VAES, 7_ECX, 9, HOST, HOST_AVX),
    FEATURE("vpclmulqdq", VPCLMULQDQ, 7_ECX, 10, HOST, HOST_AVX),
    FEATURE("monitor", MONITOR, 1_ECX, 3, HOST, NOTHING),
    FEATURE("rdpid", RDPID, 7_ECX, 22, HOST, NOTHING),
    FEATURE("3dnowprefetch", PREFETCHW, EXT1_ECX, 8, HOST, NOTHING),
};

static bool host_has(const struct host_features *host, const struct cpu_feature *feature)
{
    const uint32_t words[CPUID_WORDS] = {
        [CPUID_1_ECX] = host->leaf1_ecx,   [CPUID_1_EDX] = host->leaf1_edx,
        [CPUID_7_EBX] = host->leaf7_ebx,   [CPUID_7_ECX] = host->leaf7_ecx,
        [CPUID_7_EDX] = host->leaf7_edx,   [CPUID_D1_EAX] = host->leafd1_eax,
        [CPUID_EXT1_ECX] = host->ext1_ecx, [CPUID_EXT1_EDX] = host->ext1_edx,
    };
    if (feature->need == NEED_NOTHING)
        return true;
    if (feature->need == NEED_HOST_AVX && !host_enables_avx(host))
        return false;
    return words[feature->word] >> feature->bit & 1;
}

struct level_name {
    const char *name;
    enum feature_level level;
};

static const struct level_name *level_by_name(const char *name)
{
    static const struct level_name names[] = {
        {"v1", LEVEL_V1}, {"v2", LEVEL_V2}, {"v3", LEVEL_V3}, {"host", LEVEL_HOST}};
    size_t length = strcspn(name, ",");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strncmp(name, names[i].name, length) && !names[i].name[length])
            return &names[i];
    }
    return NULL;
}

static const struct cpu_feature *feature_by_name(const char *name, size_t length)
{
    static const char *const others[][2] = {
        {"sse3", "pni"},      {"sse4.1", "sse4_1"}, {"sse4.2", "sse4_2"}, {"sse4-1", "sse4_1"},
        {"sse4-2", "sse4_2"}, {"lzcnt", "abm"},     {"sha-ni", "sha_ni"}, {"lahf-lm", "lahf_lm"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (strlen(others[i][0]) == length && !memcmp(name, others[i][0], length)) {
            name = others[i][1];
            length = strlen(name);
        }
    }
    for (size_t i = 0; i < CPU_FEATURE_COUNT; i++) {
        const struct cpu_feature *feature = &cpu_feature_table[i];
        if (strlen(feature->name) == length && !memcmp(name, feature->name, length))
            return feature;
    }
    return NULL;
}

/* What others need goes with them. */
static void remove_dependent(struct cpu_model *model)
{
    if (!model->features[DEC_FEATURE_XSAVE])
        model->features[DEC_FEATURE_AVX] = model->features[DEC_FEATURE_XSAVEOPT] =
            model->features[DEC_FEATURE_XSAVEC] = model->features[DEC_FEATURE_XSAVES] = false;
    for (size_t i = 0; i < CPU_FEATURE_COUNT && !model->features[DEC_FEATURE_AVX]; i++) {
        if (cpu_feature_table[i].need == NEED_HOST_AVX)
            model->features[cpu_feature_table[i].feature] = false;
    }
}

/* ",+FEATURE,-FEATURE...": changes of the model. */
static bool change_features(struct cpu_model *model, const char *changes,
                            const struct host_features *host, struct error *error)
{
    while (*changes) {
        const char *name = changes + 2;
        bool add = changes[1] == '+';
        size_t length = changes[1] ? strcspn(name, ",") : 0;
        const struct cpu_feature *feature = feature_by_name(name, length);
        if (!feature || (!add && changes[1] != '-') || (!add && feature->level == LEVEL_V1))
            return error_set(error, "--cpu: %.100s: is no feature that can be changed",
                             changes + 1);
        if (add && !host_has(host, feature))
            return error_set(error, "--cpu: +%s: this host's CPU lacks it", feature->name);
        model->features[feature->feature] = add;
        changes = name + length;
    }
    remove_dependent(model);
    return true;
}

/* The model for a host with these features; a fixed level must be had whole. */
static bool model_for_host(struct cpu_model *model, const char *name,
                           const struct host_features *host, struct error *error)
{
    const struct level_name *found = level_by_name(name);
    if (!found)
        return error_set(error, "--cpu %s: unknown model; there are v1, v2, v3 and host", name);
    const char *changes = name + strlen(found->name);
    name = found->name;

    enum feature_level level = found->level;
    *model = (struct cpu_model){.name = found->name, .physical_bits = PHYSICAL_BITS};
    model->features[DEC_FEATURE_BASE] = true;
    for (size_t i = 0; i < CPU_FEATURE_COUNT; i++) {
        const struct cpu_feature *feature = &cpu_feature_table[i];
        if (feature->level > level)
            continue;
        model->features[feature->feature] = host_has(host, feature);
        if (level != LEVEL_HOST && !model->features[feature->feature])
            return error_set(error, "--cpu %s: this host's CPU lacks %s; use a lower level or host",
                             name, feature->name);
    }
    if (!change_features(model, changes, host, error))
        return false;
    model->xcr0_supported = XSTATE_X87 | XSTATE_SSE;
    if (model->features[DEC_FEATURE_AVX])
        model->xcr0_supported |= XSTATE_AVX;
    return true;
}

bool cpu_model_init(struct cpu_model *model, const char *name, struct error *error)
{
    struct host_features host;
    host_features_read(&host);
    return model_for_host(model, name ? name : "host", &host, error);
}
