#include "cpu/access.h"

#include "cpu/segment.h"

/* SDM vol. 3, 5.3: an expand-down segment holds what is above its limit. */
static bool in_limit(const struct segment *seg, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;
    bool expand_down = (seg->attributes & (SEGATTR_S | SEGTYPE_CODE | SEGTYPE_EXPAND_DOWN)) ==
                       (SEGATTR_S | SEGTYPE_EXPAND_DOWN);
    if (!expand_down) /* a flat segment has no end: offsets wrap */
        return last <= seg->limit || (seg->limit == UINT32_MAX && !seg->base);
    return offset > seg->limit && last <= (seg->attributes & SEGATTR_DB ? 0xffffffff : 0xffff);
}

static bool segment_allows(const struct cpu *cpu, const struct segment *seg, uint64_t offset,
                           unsigned size, bool write)
{
    if ((cpu->mode & (MODE_PROTECTED | MODE_VM86)) == MODE_PROTECTED) {
        if (!seg_present(seg) || !(write ? seg_is_writable(seg) : seg_is_readable(seg)))
            return false;
    }
    return in_limit(seg, offset, size);
}

/* The alignment that #AC asks of a datum (SDM vol. 3, table 6-7). */
static unsigned required_alignment(unsigned size)
{
    switch (size) {
    case 2:
    case 4:
    case 8:
        return size;
    case 10:
        return 8;
    default:
        return 1;
    }
}

gva_t seg_linear_checked(struct cpu *cpu, enum dec_seg seg, uint64_t offset, unsigned size,
                         bool write)
{
    const struct segment *segment = &cpu->seg[seg];
    gva_t va = offset;
    if (mode_code(cpu->mode) == DEC_MODE_64) {
        if (seg >= SEG_FS)
            va += segment->base;
    } else {
        bool flat = cpu->mode & MODE_FLAT && (seg == SEG_DS || seg == SEG_SS || seg == SEG_ES);
        if (!flat && !segment_allows(cpu, segment, offset, size, write))
            cpu_raise_error(cpu, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
        va = (uint32_t)(va + segment->base);
    }
    if (UNLIKELY(cpu->mode & MODE_AC_CHECK) && va & (required_alignment(size) - 1)) {
        if (!is_canonical(va)) /* comes before #AC */
            cpu_raise_error(cpu, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
        cpu_raise_error(cpu, VECTOR_AC, 0);
    }
    return va;
}

void mem_read_slow(struct cpu *cpu, enum dec_seg seg, gva_t va, void *data, unsigned size)
{
    struct mmu_fault fault;
    enum mmu_status status = mmu_read(cpu, mode_view(cpu->mode), va, data, size, &fault);
    if (UNLIKELY(status != MMU_OK))
        cpu_raise_memory(cpu, seg, status, &fault);
}

uint8_t *mem_beside_code(struct cpu *cpu, gva_t va, unsigned size)
{
    return mmu_store_beside_code(cpu, mode_view(cpu->mode), va, size);
}

void mem_write_slow(struct cpu *cpu, enum dec_seg seg, gva_t va, const void *data, unsigned size)
{
    uint8_t *beside_code = mem_beside_code(cpu, va, size);
    if (beside_code) {
        memcpy(beside_code, data, size);
        return;
    }
    struct mmu_fault fault;
    enum mmu_status status = mmu_write(cpu, mode_view(cpu->mode), va, data, size, &fault);
    if (UNLIKELY(status != MMU_OK))
        cpu_raise_memory(cpu, seg, status, &fault);
}

void mem_probe_write_slow(struct cpu *cpu, enum dec_seg seg, gva_t va, unsigned size)
{
    struct mmu_fault fault;
    enum mmu_status status = mmu_probe_write(cpu, mode_view(cpu->mode), va, size, &fault);
    if (UNLIKELY(status != MMU_OK))
        cpu_raise_memory(cpu, seg, status, &fault);
}

void sys_read_slow(struct cpu *cpu, gva_t va, void *data, unsigned size)
{
    struct mmu_fault fault;
    enum mmu_status status = mmu_read(cpu, TLB_VIEW_SUPERVISOR, va, data, size, &fault);
    if (UNLIKELY(status != MMU_OK))
        cpu_raise_memory(cpu, SEG_DS, status, &fault);
}

void sys_write(struct cpu *cpu, gva_t va, const void *data, unsigned size)
{
    struct mmu_fault fault;
    enum mmu_status status = mmu_write(cpu, TLB_VIEW_SUPERVISOR, va, data, size, &fault);
    if (UNLIKELY(status != MMU_OK))
        cpu_raise_memory(cpu, SEG_DS, status, &fault);
}

void sys_probe_write(struct cpu *cpu, gva_t va, unsigned size)
{
    struct mmu_fault fault;
    enum mmu_status status = mmu_probe_write(cpu, TLB_VIEW_SUPERVISOR, va, size, &fault);
    if (UNLIKELY(status != MMU_OK))
        cpu_raise_memory(cpu, SEG_DS, status, &fault);
}
