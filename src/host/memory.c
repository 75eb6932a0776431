#include "host/memory.h"

#include "base/bits.h"

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *host_memory_map(size_t size)
{
    size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    if (size == 0 || size > SIZE_MAX - slack - PAGE_SIZE)
        return NULL;
    size = align_up(size, PAGE_SIZE);
    char *raw =
        mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    if (!slack)
        return raw;
    char *aligned = (char *)align_up((uintptr_t)raw, HUGE_PAGE);
    size_t before = (size_t)(aligned - raw);
    if (before)
        munmap(raw, before);
    if (before < slack)
        munmap(aligned + size, slack - before);
    madvise(aligned, size, MADV_HUGEPAGE); /* advice only: refusal costs speed */
    return aligned;
}

void *host_memory_map_sparse(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void host_memory_unmap(void *p, size_t size)
{
    if (p)
        munmap(p, align_up(size, PAGE_SIZE));
}
