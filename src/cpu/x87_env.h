/* The x87 environment in memory, as FNSTENV and FLDENV have it (SDM vol. 1, 8.1.10). */
#ifndef DOPPEL_CPU_X87_ENV_H
#define DOPPEL_CPU_X87_ENV_H

#include "cpu/state.h"

enum x87_env_format {
    X87_ENV_PROTECTED_32,
    X87_ENV_REAL_32,
    X87_ENV_PROTECTED_16,
    X87_ENV_REAL_16,
};

enum { X87_ENV_MAX = 28 };

static inline unsigned x87_env_size(enum x87_env_format format)
{
    return format <= X87_ENV_REAL_32 ? 28 : 14;
}

/* Writes the environment to env and returns its size. The selectors of FIP and FDP are zero, as on
 * CPUs that deprecate them (CPUID.7.0:EBX[13]). */
unsigned x87_env_store(const struct fx_image *fx, enum x87_env_format format, uint8_t *env);

/* Loads the environment; the physical registers stay, ST(i) moves with the top of stack. */
void x87_env_load(struct fx_image *fx, enum x87_env_format format, const uint8_t *env);

#endif
