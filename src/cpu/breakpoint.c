#include "cpu/breakpoint.h"

#include "cpu/cpu.h"
#include "mmu/watch.h"

/* The R/W field of DR7. */
enum condition { ON_EXECUTE, ON_WRITE, ON_PORT, ON_ACCESS };

/* By its L or G bit. */
static bool is_armed(const struct cpu *cpu, unsigned n)
{
    return cpu->dr[7] >> (2 * n) & 3;
}

static enum condition condition_of(const struct cpu *cpu, unsigned n)
{
    return (enum condition)bits_get(cpu->dr[7], 16 + 4 * n, 2);
}

bool breakpoints_on_code(const struct cpu *cpu)
{
    if (!(cpu->dr[7] & DR7_ENABLES))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        if (is_armed(cpu, n) && condition_of(cpu, n) == ON_EXECUTE)
            return true;
    }
    return false;
}

uint64_t breakpoints_at(const struct cpu *cpu, gva_t va)
{
    uint64_t hits = 0;
    for (unsigned n = 0; n < 4; n++) {
        if (is_armed(cpu, n) && condition_of(cpu, n) == ON_EXECUTE && cpu->dr[n] == va)
            hits |= BIT(n);
    }
    return hits;
}

static struct watch watch_of(const struct cpu *cpu, unsigned n)
{
    static const unsigned sizes[] = {1, 2, 8, 4}; /* the LEN field */
    static const enum watch_kind kinds[] = {
        [ON_EXECUTE] = WATCH_NONE,
        [ON_WRITE] = WATCH_WRITE,
        [ON_PORT] = WATCH_PORT,
        [ON_ACCESS] = WATCH_ACCESS,
    };
    enum condition condition = condition_of(cpu, n);
    unsigned size = sizes[bits_get(cpu->dr[7], 18 + 4 * n, 2)];
    gva_t first = cpu->dr[n] & ~(uint64_t)(size - 1);
    if (!is_armed(cpu, n) || (condition == ON_PORT && !(cpu->cr4 & CR4_DE)))
        return (struct watch){0};
    return (struct watch){first, first + size - 1, kinds[condition]};
}

void breakpoints_update(struct cpu *cpu)
{
    struct watch old[ARRAY_SIZE(cpu->breakpoint)];
    memcpy(old, cpu->breakpoint, sizeof(old));
    memset(cpu->breakpoint, 0, sizeof(cpu->breakpoint));
    for (unsigned n = 0; n < ARRAY_SIZE(cpu->breakpoint); n++)
        cpu->breakpoint[n] = watch_of(cpu, n);
    if (memcmp(old, cpu->breakpoint, sizeof(old)))
        watch_update(cpu);
}

uint64_t breakpoints_take_hits(struct cpu *cpu)
{
    uint64_t hits = cpu->breakpoints_hit;
    if (hits) {
        cpu->breakpoints_hit = 0;
        cpu_clear_request(cpu, CPU_REQUEST_TRAP);
    }
    return hits;
}
