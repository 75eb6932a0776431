#include "mmu/watch.h"

#include "base/bits.h"
#include "cpu/state.h"
#include "mmu/mmu.h"

static bool overlaps(const struct watch *watch, gva_t first, gva_t last)
{
    return watch->first <= last && first <= watch->last;
}

static struct watch *find(struct watch_set *set, gva_t va, uint64_t size, enum watch_kind kind)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct watch *watch = &set->watch[i];
        if (watch->first == va && watch->last == va + size - 1 && watch->kind == kind)
            return watch;
    }
    return NULL;
}

bool watch_add(struct watch_set *set, gva_t va, uint64_t size, enum watch_kind kind)
{
    if (!size || va + size - 1 < va)
        return false;
    if (find(set, va, size, kind))
        return true;
    if (set->count == WATCH_MAX)
        return false;
    set->watch[set->count++] = (struct watch){va, va + size - 1, kind};
    return true;
}

void watch_remove(struct watch_set *set, gva_t va, uint64_t size, enum watch_kind kind)
{
    struct watch *watch = find(set, va, size, kind);
    if (watch)
        *watch = set->watch[--set->count];
}

void watch_update(struct cpu *cpu)
{
    cpu->watching = cpu->watches;
    for (unsigned n = 0; n < ARRAY_SIZE(cpu->breakpoint); n++)
        cpu->watching |= cpu->breakpoint[n].kind != WATCH_NONE;
    mmu_flush_all(cpu);
}

void watch_install(struct cpu *cpu, struct watch_set *set)
{
    cpu->watches = set && set->count ? set : NULL;
    watch_update(cpu);
}

bool watch_in_page(const struct cpu *cpu, gva_t va)
{
    gva_t first = va & PAGE_MASK, last = first + PAGE_SIZE - 1;
    for (unsigned n = 0; n < ARRAY_SIZE(cpu->breakpoint); n++) {
        const struct watch *watch = &cpu->breakpoint[n];
        if (watch->kind & WATCH_ACCESS && overlaps(watch, first, last))
            return true;
    }
    for (unsigned i = 0; cpu->watches && i < cpu->watches->count; i++) {
        if (overlaps(&cpu->watches->watch[i], first, last))
            return true;
    }
    return false;
}

static void request(struct cpu *cpu, enum cpu_request request)
{
    cpu->leave = 1;
    atomic_fetch_or(&cpu->requests, request);
}

void watch_access(struct cpu *cpu, gva_t va, unsigned size, enum watch_kind kind)
{
    gva_t last = va + size - 1;
    for (unsigned n = 0; n < ARRAY_SIZE(cpu->breakpoint); n++) {
        const struct watch *watch = &cpu->breakpoint[n];
        if (watch->kind & kind && overlaps(watch, va, last)) {
            cpu->breakpoints_hit |= (uint8_t)BIT(n);
            request(cpu, CPU_REQUEST_TRAP);
        }
    }
    struct watch_set *set = cpu->watches;
    for (unsigned i = 0; set && i < set->count && !set->hit; i++) {
        const struct watch *watch = &set->watch[i];
        if (!(watch->kind & kind) || !overlaps(watch, va, last))
            continue;
        set->hit = true;
        set->which = *watch;
        set->address = va > watch->first ? va : watch->first;
        request(cpu, CPU_REQUEST_DEBUG);
    }
}
