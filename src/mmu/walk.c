/* Page walks of all four kinds: none, 32-bit, PAE and 4-level paging.
 *
 * Tables lie in guest memory, anywhere: what is absent or a device reads as all ones. Accessed and
 * dirty bits are set by compare-and-exchange; where an entry changed meanwhile, the walk starts
 * over. */
#include "mmu/walk.h"

#include "base/bits.h"
#include "cpu/model.h"
#include "cpu/state.h"
#include "mmu/phys.h"
#include "mmu/store_log.h"

/* Paging-structure entries (SDM vol. 3, tables 4-5 to 4-20). */
#define ENTRY_P BIT(0)
#define ENTRY_RW BIT(1)
#define ENTRY_US BIT(2)
#define ENTRY_A BIT(5)
#define ENTRY_D BIT(6)
#define ENTRY_PS BIT(7)
#define ENTRY_G BIT(8)
#define ENTRY_XD BIT(63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

enum { LEVEL_PT, LEVEL_PD, LEVEL_PDPT, LEVEL_PML4 };

/* One walk under way. */
struct request {
    struct cpu *cpu;
    enum tlb_view view;
    enum mmu_access access;
    gva_t va;
    bool peek, quick;
    uint64_t rights;                  /* ENTRY_RW and ENTRY_US: the AND over all levels */
    uint64_t execute_off;             /* ENTRY_XD: the OR over all levels */
    const struct phys_region *tables; /* where the last table was: likely the next one's too */
    struct walk *walk;
    struct mmu_fault *fault;
};

enum step { STEP_DONE, STEP_FAULT, STEP_AGAIN };

/* An entry, and where it may be updated (NULL outside RAM). */
struct slot {
    gpa_t gpa;
    void *host;
    unsigned size; /* 4 or 8 */
    uint64_t value;
};

static ALWAYS_INLINE struct slot slot_read(struct request *request, gpa_t gpa, unsigned size)
{
    gpa &= request->cpu->physical_mask;
    struct slot slot = {.gpa = gpa, .size = size};
    const struct phys_region *region = request->tables;
    if (!region || gpa - region->base >= region->size)
        region = phys_find(request->cpu->phys, gpa);
    if (!region) {
        slot.value = bytes_mask(size);
        return slot;
    }
    request->tables = region;
    void *host = region->host + (gpa - region->base);
    slot.value = size == 8 ? __atomic_load_n((uint64_t *)host, __ATOMIC_ACQUIRE)
                           : __atomic_load_n((uint32_t *)host, __ATOMIC_ACQUIRE);
    if (region->kind == PHYS_RAM)
        slot.host = host;
    return slot;
}

/* Whether setting bits in the entry goes beyond what a quick walk may do. */
static ALWAYS_INLINE bool is_slow_to_set(const struct request *request, const struct slot *slot,
                                         uint64_t bits)
{
    return request->quick && (slot->value & bits) != bits && slot->host &&
           phys_region_has_code(request->tables, slot->gpa);
}

/* What slot_set() is about where the bits are not set yet. */
static __attribute__((noinline)) bool slot_update(struct cpu *cpu, struct slot *slot, uint64_t bits)
{
    uint64_t old = slot->value;
    slot->value |= bits;
    bool set;
    if (slot->size == 8) {
        set = __atomic_compare_exchange_n((uint64_t *)slot->host, &old, slot->value, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint32_t old32 = (uint32_t)old;
        set = __atomic_compare_exchange_n((uint32_t *)slot->host, &old32, (uint32_t)slot->value,
                                          false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (set && UNLIKELY(cpu->stores != NULL))
        store_log_note(cpu->stores, slot->gpa);
    if (set && phys_code_written(cpu->phys, slot->gpa, slot->size))
        cpu->leave = 1;
    return set;
}

/* Sets bits in an entry. False: it is no longer what was read. */
static ALWAYS_INLINE bool slot_set(struct cpu *cpu, struct slot *slot, uint64_t bits)
{
    return LIKELY((slot->value & bits) == bits) || !slot->host || slot_update(cpu, slot, bits);
}

static bool execute_disable_on(const struct cpu *cpu)
{
    return cpu->cr4 & CR4_PAE && cpu->msr.efer & EFER_NXE;
}

static enum step raise(struct request *request, uint32_t reason)
{
    const struct cpu *cpu = request->cpu;
    uint32_t error = reason;
    if (request->access == MMU_WRITE)
        error |= PF_W;
    if (request->view == TLB_VIEW_USER)
        error |= PF_U;
    if (request->access == MMU_EXECUTE && (execute_disable_on(cpu) || cpu->cr4 & CR4_SMEP))
        error |= PF_I;
    request->fault->address = request->va;
    request->fault->error = error;
    return STEP_FAULT;
}

/* SDM vol. 3, 4.6: who may do what with a page of these rights. */
static bool may_write(const struct request *request)
{
    if (request->view == TLB_VIEW_USER || request->cpu->cr0 & CR0_WP)
        return request->rights & ENTRY_RW;
    return true;
}

static ALWAYS_INLINE bool may_access(const struct request *request)
{
    const struct cpu *cpu = request->cpu;
    bool user_page = request->rights & ENTRY_US;
    bool execute = request->access == MMU_EXECUTE;
    if (request->view == TLB_VIEW_USER) {
        if (!user_page)
            return false;
    } else if (user_page) {
        if (execute && cpu->cr4 & CR4_SMEP)
            return false;
        if (!execute && cpu->cr4 & CR4_SMAP && request->view == TLB_VIEW_SUPERVISOR)
            return false;
    }
    if (execute)
        return !request->execute_off;
    return request->access == MMU_READ || may_write(request);
}

/* The end of a walk: rights, A and D of the entry that maps the page of `size` bytes. */
static ALWAYS_INLINE enum step finish(struct request *request, struct slot *leaf, gpa_t frame,
                                      uint64_t size)
{
    struct cpu *cpu = request->cpu;
    struct walk *walk = request->walk;
    walk->gpa = (frame | (request->va & (size - 1))) & cpu->physical_mask;
    if (request->peek)
        return STEP_DONE;
    if (!may_access(request))
        return raise(request, PF_P);
    uint64_t bits = request->access == MMU_WRITE ? ENTRY_A | ENTRY_D : ENTRY_A;
    if (is_slow_to_set(request, leaf, bits))
        return raise(request, PF_P);
    if (!slot_set(cpu, leaf, bits))
        return STEP_AGAIN;
    walk->flags = leaf->value & ENTRY_G && cpu->cr4 & CR4_PGE ? TLB_GLOBAL : 0;
    if (size > PAGE_SIZE)
        walk->flags |= size > (4u << 20) ? TLB_HUGE : TLB_LARGE;
    walk->writable = leaf->value & ENTRY_D && may_write(request);
    return STEP_DONE;
}

/* An entry on the way down is in use: so it is accessed. */
static ALWAYS_INLINE bool pass_through(struct request *request, struct slot *slot)
{
    return request->peek || slot_set(request->cpu, slot, ENTRY_A);
}

/* 32-bit paging (4.3), with PSE-36. */
static enum step walk_32(struct request *request)
{
    struct cpu *cpu = request->cpu;
    uint32_t va = (uint32_t)request->va;
    struct slot pde = slot_read(request, (cpu->cr3 & 0xfffff000) | (va >> 22) << 2, 4);
    if (!(pde.value & ENTRY_P))
        return raise(request, 0);
    request->rights = pde.value;
    if (pde.value & ENTRY_PS && cpu->cr4 & CR4_PSE) {
        unsigned high_bits = cpu->model->physical_bits < 40 ? cpu->model->physical_bits - 32 : 8;
        uint64_t reserved = BIT(21) | (0x1fe000 & ~(((1ull << high_bits) - 1) << 13));
        if (pde.value & reserved)
            return raise(request, PF_P | PF_RSVD);
        gpa_t frame = (pde.value & 0xffc00000) | (pde.value & 0x1fe000) << (32 - 13);
        return finish(request, &pde, frame, 4u << 20);
    }
    if (is_slow_to_set(request, &pde, ENTRY_A))
        return raise(request, PF_P);
    if (!pass_through(request, &pde))
        return STEP_AGAIN;
    struct slot pte = slot_read(request, (pde.value & 0xfffff000) | (va >> 12 & 0x3ff) << 2, 4);
    if (!(pte.value & ENTRY_P))
        return raise(request, 0);
    request->rights &= pte.value;
    return finish(request, &pte, pte.value & 0xfffff000, PAGE_SIZE);
}

/* Reserved in entries of every level (4.4, 4.5). */
static uint64_t reserved_bits(const struct cpu *cpu)
{
    uint64_t reserved = bits_get(~0ull, 0, 52) & ~(BIT(cpu->model->physical_bits) - 1);
    if (!(cpu->msr.efer & EFER_LMA))
        reserved |= bits_get(~0ull, 0, 63) & ~(BIT(52) - 1);
    if (!(cpu->msr.efer & EFER_NXE))
        reserved |= ENTRY_XD;
    return reserved;
}

/* Further ones: the address bits below a large page's size, but for PAT; PS in a PML4E. */
static uint64_t reserved_by_level(unsigned level, bool large)
{
    if (level == LEVEL_PML4)
        return ENTRY_PS;
    return large ? (BIT(12 + 9 * level) - 1) & ~(BIT(13) - 1) : 0;
}

/* PAE (4.4) below the PDPTEs, and 4-level paging (4.5): the same entries from `level` down. */
static enum step walk_64(struct request *request, gpa_t table, unsigned level)
{
    struct cpu *cpu = request->cpu;
    const uint64_t reserved = reserved_bits(cpu);
    request->rights = ENTRY_RW | ENTRY_US;
    for (;; level--) {
        unsigned shift = 12 + 9 * level;
        struct slot slot = slot_read(request, table | (request->va >> shift & 0x1ff) << 3, 8);
        if (!(slot.value & ENTRY_P))
            return raise(request, 0);
        bool large = slot.value & ENTRY_PS && (level == LEVEL_PD || level == LEVEL_PDPT);
        if (slot.value & (reserved | reserved_by_level(level, large)))
            return raise(request, PF_P | PF_RSVD);
        request->rights &= slot.value;
        request->execute_off |= slot.value & ENTRY_XD;
        if (large || level == LEVEL_PT) {
            gpa_t frame = slot.value & ENTRY_ADDRESS & ~(BIT(shift) - 1);
            return finish(request, &slot, frame, BIT(shift));
        }
        if (is_slow_to_set(request, &slot, ENTRY_A))
            return raise(request, PF_P);
        if (!pass_through(request, &slot))
            return STEP_AGAIN;
        table = slot.value & ENTRY_ADDRESS;
    }
}

static enum step walk_once(struct request *request)
{
    struct cpu *cpu = request->cpu;
    request->execute_off = 0;
    if (cpu->msr.efer & EFER_LMA)
        return walk_64(request, cpu->cr3 & ENTRY_ADDRESS, LEVEL_PML4);
    if (!(cpu->cr4 & CR4_PAE))
        return walk_32(request);
    uint64_t pdpte = cpu->pdpte[request->va >> 30 & 3];
    if (!(pdpte & ENTRY_P))
        return raise(request, 0);
    return walk_64(request, pdpte & ENTRY_ADDRESS, LEVEL_PD);
}

static bool is_canonical(gva_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

static enum mmu_status walk_run(struct request *request)
{
    const struct cpu *cpu = request->cpu;
    if (!(cpu->cr0 & CR0_PG)) {
        *request->walk =
            (struct walk){.gpa = (uint32_t)request->va & cpu->physical_mask, .writable = true};
        return MMU_OK;
    }
    if (cpu->msr.efer & EFER_LMA && !is_canonical(request->va))
        return MMU_NON_CANONICAL;
    enum step step;
    do
        step = walk_once(request);
    while (step == STEP_AGAIN);
    return step == STEP_DONE ? MMU_OK : MMU_PAGE_FAULT;
}

enum mmu_status walk_translate(struct cpu *cpu, enum tlb_view view, enum mmu_access access,
                               gva_t va, bool quick, struct walk *walk, struct mmu_fault *fault)
{
    struct request request = {
        .cpu = cpu,
        .view = view,
        .access = access,
        .va = va,
        .quick = quick,
        .walk = walk,
        .fault = fault,
    };
    cpu->stats.page_walks++;
    return walk_run(&request);
}

bool walk_peek(struct cpu *cpu, gva_t va, gpa_t *gpa)
{
    struct walk walk;
    struct mmu_fault fault;
    struct request request = {
        .cpu = cpu,
        .view = TLB_VIEW_SUPERVISOR_AC,
        .access = MMU_READ,
        .va = va,
        .peek = true,
        .walk = &walk,
        .fault = &fault,
    };
    if (walk_run(&request) != MMU_OK)
        return false;
    *gpa = walk.gpa;
    return true;
}
