/* CPU models: what CPUID says, from which everything else follows. */
#ifndef DOPPEL_CPU_MODEL_H
#define DOPPEL_CPU_MODEL_H

#include "base/error.h"
#include "base/types.h"
#include "decoder/catalogue.h"

struct cpuid_leaf {
    uint32_t eax, ebx, ecx, edx;
};

struct cpu_model {
    const char *name;
    bool features[DEC_FEATURE_COUNT]; /* which instruction groups are offered */
    unsigned physical_bits;           /* MAXPHYADDR */
    uint64_t xcr0_supported;
};

/* Fills *model by name: "v1", "v2", "v3" (x86-64 psABI levels) or "host" (all that Doppel offers
 * and the host has), after which ",+FEATURE" and ",-FEATURE", by Linux's or QEMU's names, add and
 * remove what every x86-64 CPU can be without. NULL name: the best that the host can run. False
 * where the name is unknown, or the host lacks what the model needs: *error says which. */
bool cpu_model_init(struct cpu_model *model, const char *name, struct error *error);

struct cpu;
/* CPUID for the leaf in EAX and subleaf in ECX, with the dynamic bits (OSXSAVE, APIC) in place. */
struct cpuid_leaf cpu_cpuid(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf);

#endif
