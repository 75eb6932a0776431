/* How handlers reach guest memory: segment, soft TLB, slow path, faults raised.
 *
 * Sizes are compile-time constants at the calls that matter, so that everything folds. Offsets are
 * already truncated to the address size (cpu_effective_address() does). */
#ifndef DOPPEL_CPU_ACCESS_H
#define DOPPEL_CPU_ACCESS_H

#include "base/bits.h"
#include "cpu/exception.h"
#include "cpu/state.h"
#include "mmu/mmu.h"

/* The parts that are rare; see access.c. The _slow functions take linear addresses. */
gva_t seg_linear_checked(struct cpu *cpu, enum dec_seg seg, uint64_t offset, unsigned size,
                         bool write);
void mem_read_slow(struct cpu *cpu, enum dec_seg seg, gva_t va, void *data, unsigned size);
void mem_write_slow(struct cpu *cpu, enum dec_seg seg, gva_t va, const void *data, unsigned size);
uint8_t *mem_beside_code(struct cpu *cpu, gva_t va, unsigned size); /* or NULL */
void mem_probe_write_slow(struct cpu *cpu, enum dec_seg seg, gva_t va, unsigned size);
void sys_read_slow(struct cpu *cpu, gva_t va, void *data, unsigned size);

/* The linear address of seg:offset after limit, type and alignment checks (raises #GP, #SS, #AC).
 */
static ALWAYS_INLINE gva_t seg_linear(struct cpu *cpu, enum dec_seg seg, uint64_t offset,
                                      unsigned size, bool write)
{
    if (LIKELY((cpu->mode & (MODE_CODE | MODE_AC_CHECK)) == DEC_MODE_64)) {
        if (UNLIKELY(seg >= SEG_FS))
            offset += cpu->seg[seg].base;
        return offset; /* canonical or not: the slow path tells */
    }
    return seg_linear_checked(cpu, seg, offset, size, write);
}

/* size is at most 64. */
static ALWAYS_INLINE void mem_read(struct cpu *cpu, enum dec_seg seg, uint64_t offset, void *data,
                                   unsigned size)
{
    gva_t va = seg_linear(cpu, seg, offset, size, false);
    const struct tlb_entry *entry = &cpu->tlb[tlb_index(va)];
    uint64_t in_page = va ^ entry->read_tag;
    if (UNLIKELY(in_page > PAGE_SIZE - size)) {
        mem_read_slow(cpu, seg, va, data, size);
        return;
    }
    cpu->stats.tlb_hits++;
    memcpy(data, entry->host + in_page, size);
}

static ALWAYS_INLINE void mem_write(struct cpu *cpu, enum dec_seg seg, uint64_t offset,
                                    const void *data, unsigned size)
{
    gva_t va = seg_linear(cpu, seg, offset, size, true);
    const struct tlb_entry *entry = &cpu->tlb[tlb_index(va)];
    uint64_t in_page = va ^ entry->write_tag;
    if (UNLIKELY(in_page > PAGE_SIZE - size)) {
        mem_write_slow(cpu, seg, va, data, size);
        return;
    }
    cpu->stats.tlb_hits++;
    memcpy(entry->host + in_page, data, size);
}

static ALWAYS_INLINE uint64_t mem_load(struct cpu *cpu, enum dec_seg seg, uint64_t offset,
                                       unsigned size)
{
    uint64_t value = 0;
    mem_read(cpu, seg, offset, &value, size);
    return value;
}

static ALWAYS_INLINE void mem_store(struct cpu *cpu, enum dec_seg seg, uint64_t offset,
                                    uint64_t value, unsigned size)
{
    mem_write(cpu, seg, offset, &value, size);
}

/* Raises what a write of size bytes would raise; afterwards it cannot fault. */
static ALWAYS_INLINE void mem_probe_write(struct cpu *cpu, enum dec_seg seg, uint64_t offset,
                                          unsigned size)
{
    gva_t va = seg_linear(cpu, seg, offset, size, true);
    if (UNLIKELY((va ^ cpu->tlb[tlb_index(va)].write_tag) > PAGE_SIZE - size))
        mem_probe_write_slow(cpu, seg, va, size);
}

/* A read-modify-write: mem_rmw_begin() raises any fault and returns where the datum is, in guest
 * RAM itself where possible (so that LOCK can be the host's LOCK); mem_rmw_end() stores what is
 * not. */
struct mem_rmw {
    gva_t va;
    enum dec_seg seg;
    unsigned size;
    bool bounced;
    uint64_t bounce[2] __attribute__((aligned(16)));
};

static ALWAYS_INLINE void *mem_rmw_begin(struct cpu *cpu, struct mem_rmw *rmw, enum dec_seg seg,
                                         uint64_t offset, unsigned size)
{
    gva_t va = seg_linear(cpu, seg, offset, size, true);
    const struct tlb_entry *entry = &cpu->tlb[tlb_index(va)];
    uint64_t in_page = va ^ entry->write_tag;
    rmw->bounced = false;
    if (LIKELY(in_page <= PAGE_SIZE - size)) {
        cpu->stats.tlb_hits++;
        return entry->host + in_page;
    }
    uint8_t *beside_code = mem_beside_code(cpu, va, size);
    if (beside_code)
        return beside_code;
    mem_probe_write_slow(cpu, seg, va, size);
    mem_read_slow(cpu, seg, va, rmw->bounce, size);
    rmw->bounced = true;
    rmw->va = va;
    rmw->seg = seg;
    rmw->size = size;
    return rmw->bounce;
}

static ALWAYS_INLINE void mem_rmw_end(struct cpu *cpu, const struct mem_rmw *rmw)
{
    if (UNLIKELY(rmw->bounced))
        mem_write_slow(cpu, rmw->seg, rmw->va, rmw->bounce, rmw->size);
}

/* Implicit supervisor accesses (descriptor tables, TSS, interrupt frames on inner stacks): linear
 * address, supervisor's rights whatever the CPL; raise #PF. */
static ALWAYS_INLINE void sys_read(struct cpu *cpu, gva_t va, void *data, unsigned size)
{
    const struct tlb_entry *entry = &cpu->tlb_view[TLB_VIEW_SUPERVISOR][tlb_index(va)];
    uint64_t in_page = va ^ entry->read_tag;
    if (LIKELY(in_page <= PAGE_SIZE - size))
        memcpy(data, entry->host + in_page, size);
    else
        sys_read_slow(cpu, va, data, size);
}

void sys_write(struct cpu *cpu, gva_t va, const void *data, unsigned size);
void sys_probe_write(struct cpu *cpu, gva_t va, unsigned size);

/* The offset that the memory operand of insn denotes, truncated to the address size. */
static ALWAYS_INLINE uint64_t cpu_effective_address(const struct cpu *cpu,
                                                    const struct dec_insn *insn)
{
    const struct dec_mem *mem = &insn->mem;
    uint64_t ea = (uint64_t)mem->disp;
    if (mem->base < DEC_BASE_RIP)
        ea += cpu->gpr[mem->base];
    else if (mem->base == DEC_BASE_RIP)
        ea += cpu->next_rip;
    if (mem->index != DEC_NO_REG)
        ea += cpu->gpr[mem->index] * mem->scale;
    if (LIKELY(insn->address_size == 8))
        return ea;
    return ea & bytes_mask(insn->address_size);
}

/* The width of the stack pointer as a mask: SS.B, or 64 bits. */
static inline uint64_t cpu_stack_mask(const struct cpu *cpu)
{
    static const uint64_t mask[] = {0xffff, 0xffffffff, ~0ull};
    return mask[mode_stack(cpu->mode)];
}

/* RSP with its low part, as wide as mask, replaced. A 32-bit stack leaves the upper half as is:
 * code that is not 64-bit cannot see it. */
static inline void cpu_set_rsp(struct cpu *cpu, uint64_t value, uint64_t mask)
{
    cpu->gpr[REG_RSP] = (cpu->gpr[REG_RSP] & ~mask) | (value & mask);
}

static inline void cpu_push(struct cpu *cpu, uint64_t value, unsigned size)
{
    uint64_t mask = cpu_stack_mask(cpu);
    uint64_t rsp = (cpu->gpr[REG_RSP] - size) & mask;
    mem_store(cpu, SEG_SS, rsp, value, size);
    cpu_set_rsp(cpu, rsp, mask);
}

/* The datum `skip` bytes above the stack's top, RSP unchanged: pop is a peek, then cpu_drop(). */
static inline uint64_t cpu_peek(struct cpu *cpu, unsigned skip, unsigned size)
{
    uint64_t offset = (cpu->gpr[REG_RSP] + skip) & cpu_stack_mask(cpu);
    if (LIKELY(size == 8))
        return mem_load(cpu, SEG_SS, offset, 8);
    return mem_load(cpu, SEG_SS, offset, size);
}

static inline void cpu_drop(struct cpu *cpu, uint64_t bytes)
{
    cpu_set_rsp(cpu, cpu->gpr[REG_RSP] + bytes, cpu_stack_mask(cpu));
}

#endif
