#include "mmu/watch.h"

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

void watch_install(struct cpu *cpu, struct watch_set *set)
{
    cpu->watches = set && set->count ? set : NULL;
    mmu_flush_all(cpu);
}

bool watch_in_page(const struct watch_set *set, gva_t va)
{
    gva_t page = va & PAGE_MASK;
    for (unsigned i = 0; i < set->count; i++) {
        if (overlaps(&set->watch[i], page, page + PAGE_SIZE - 1))
            return true;
    }
    return false;
}

void watch_access(struct cpu *cpu, gva_t va, unsigned size, enum watch_kind kind)
{
    struct watch_set *set = cpu->watches;
    for (unsigned i = 0; i < set->count && !set->hit; i++) {
        const struct watch *watch = &set->watch[i];
        if (!(watch->kind & kind) || !overlaps(watch, va, va + size - 1))
            continue;
        set->hit = true;
        set->which = *watch;
        set->address = va > watch->first ? va : watch->first;
        cpu->leave = 1;
        atomic_fetch_or(&cpu->requests, CPU_REQUEST_DEBUG);
    }
}
