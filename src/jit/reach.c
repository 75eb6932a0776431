/* What translated code calls when a check has failed. Uses general registers only: vector registers
 * are the guest's meanwhile (doc/translator.md). */
#include "jit/cache.h"
#include "mmu/mmu.h"

/* The plain translation that was found here before, or the thunk that looks for it. */
static const uint8_t *find_plain(struct cpu *cpu, unsigned offset)
{
    struct jit *jit = cpu->jit;
    uint64_t rip = cpu->code_page + offset;
    const struct jit_plain_entry *entry = jit_plain_entry(jit, rip);
    jit->stats.plain++;
    if (entry->rip == rip && entry->context == cpu->context && entry->age == jit->plain_age)
        return entry->code;
    cpu->kept[JIT_KEPT_T0] = offset;
    return jit->thunks.plain;
}

const uint8_t *jit_reach(struct cpu *cpu, gva_t va, enum refill_kind kind, const uint8_t *retry)
{
    static const uint8_t wanted[] = {
        [REFILL_READ] = MMU_REFILL_READ,
        [REFILL_WRITE] = MMU_REFILL_WRITE,
        [REFILL_READ_TO_WRITE] = MMU_REFILL_READ_TO_WRITE,
    };
    struct jit_site site;
    int32_t distance;
    __builtin_memcpy(&distance, retry + 1, sizeof(distance)); /* of the JMP */
    __builtin_memcpy(&site, retry + JIT_RETRY_SIZE, sizeof(site));
    if (mmu_refill(cpu, va, (enum mmu_refill)wanted[kind]))
        return NULL;
    /* Misaligned operands are to be noticed here, too. */
    uint8_t *bounce = cpu->bounce[site.second] + BOUNCE_ALIGN + va % BOUNCE_ALIGN;
    if (!site.may_bounce || !mmu_read_across(cpu, va, bounce, site.last + 1u))
        return find_plain(cpu, site.offset);
    cpu->kept[site.second ? JIT_KEPT_T2 : JIT_KEPT_T0] = (uintptr_t)bounce;
    return retry + JIT_RETRY_SIZE + distance + site.check_size;
}
