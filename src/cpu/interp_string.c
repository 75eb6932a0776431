/* MOVS, CMPS, SCAS, LODS, STOS, with REP and without.
 *
 * The registers are right after every element, so that faults and interrupts between elements need
 * nothing more; only the flags of a repeated CMPS or SCAS wait for its end, as the manual has it
 * (SDM vol. 2, REP). Upwards they go a page at a time where the pages are plain RAM. */
#include "cpu/interp_integer.h"

/* How many single elements pass between two looks at the requests. */
#define ELEMENTS_PER_TURN 64

struct string {
    uint64_t mask;    /* of the address size: what RSI, RDI and RCX wrap at */
    uint64_t keep;    /* their bits that a write keeps: 32 bits clear the upper half */
    uint64_t step;    /* plus or minus the element's size */
    enum dec_seg seg; /* of the source; the destination is in ES */
    bool zero;        /* CMPS and SCAS: the repetition goes on while ZF is this */
};

/* An element or a run of them. Elements fault before changing a register; runs return the count
 * done, 0 where only elements will do. */
typedef void element_fn(struct cpu *cpu, const struct string *string, uint64_t *rflags,
                        unsigned size);
typedef uint64_t run_fn(struct cpu *cpu, const struct string *string, unsigned size);

static ALWAYS_INLINE uint64_t index_read(const struct cpu *cpu, const struct string *string,
                                         unsigned reg)
{
    return cpu->gpr[reg] & string->mask;
}

static ALWAYS_INLINE void index_add(struct cpu *cpu, const struct string *string, unsigned reg,
                                    uint64_t addend)
{
    uint64_t old = cpu->gpr[reg];
    cpu->gpr[reg] = (old & string->keep) | ((old + addend) & string->mask);
}

static ALWAYS_INLINE uint64_t load_source(struct cpu *cpu, const struct string *string,
                                          unsigned size)
{
    return mem_load(cpu, string->seg, index_read(cpu, string, REG_RSI), size);
}

static ALWAYS_INLINE uint64_t load_destination(struct cpu *cpu, const struct string *string,
                                               unsigned size)
{
    return mem_load(cpu, SEG_ES, index_read(cpu, string, REG_RDI), size);
}

static ALWAYS_INLINE void store_destination(struct cpu *cpu, const struct string *string,
                                            uint64_t value, unsigned size)
{
    mem_store(cpu, SEG_ES, index_read(cpu, string, REG_RDI), value, size);
}

static ALWAYS_INLINE void movs(struct cpu *cpu, const struct string *string, uint64_t *rflags,
                               unsigned size)
{
    (void)rflags;
    store_destination(cpu, string, load_source(cpu, string, size), size);
    index_add(cpu, string, REG_RSI, string->step);
    index_add(cpu, string, REG_RDI, string->step);
}

static ALWAYS_INLINE void stos(struct cpu *cpu, const struct string *string, uint64_t *rflags,
                               unsigned size)
{
    (void)rflags;
    store_destination(cpu, string, cpu->gpr[REG_RAX], size);
    index_add(cpu, string, REG_RDI, string->step);
}

static ALWAYS_INLINE void lods(struct cpu *cpu, const struct string *string, uint64_t *rflags,
                               unsigned size)
{
    (void)rflags;
    gpr_write_fixed(cpu, REG_RAX, load_source(cpu, string, size), size);
    index_add(cpu, string, REG_RSI, string->step);
}

static ALWAYS_INLINE void scas(struct cpu *cpu, const struct string *string, uint64_t *rflags,
                               unsigned size)
{
    alu_cmp(cpu->gpr[REG_RAX], load_destination(cpu, string, size), size, rflags);
    index_add(cpu, string, REG_RDI, string->step);
}

static ALWAYS_INLINE void cmps(struct cpu *cpu, const struct string *string, uint64_t *rflags,
                               unsigned size)
{
    uint64_t destination = load_destination(cpu, string, size); /* faults first */
    alu_cmp(load_source(cpu, string, size), destination, size, rflags);
    index_add(cpu, string, REG_RSI, string->step);
    index_add(cpu, string, REG_RDI, string->step);
}

/* Fills bytes with elements. The host's own instruction fills long runs fastest; it takes a while
 * to start. */
static ALWAYS_INLINE void fill(uint8_t *dst, uint64_t value, uint64_t bytes, unsigned size)
{
    enum { LONG_RUN = 512 };
    if (size == 1 || !(value & bytes_mask(size))) {
        memset(dst, (uint8_t)value, bytes);
    } else if (size == 8 && bytes >= LONG_RUN) {
        uint64_t count = bytes / 8;
        __asm__ volatile("rep stosq" : "+D"(dst), "+c"(count) : "a"(value) : "memory");
    } else {
        for (uint64_t i = 0; i < bytes; i += size)
            store_le(dst + i, value, size);
    }
}

/* The datum at seg:offset in host memory with *bytes cut to how far it can be used, or NULL where
 * segment checks, MMIO, decoded code or a missing translation ask for single elements. */
static uint8_t *host_run(struct cpu *cpu, const struct string *string, enum dec_seg seg,
                         uint64_t offset, bool write, uint64_t *bytes)
{
    bool unchecked = mode_code(cpu->mode) == DEC_MODE_64 ||
                     ((cpu->mode & MODE_FLAT) && (seg == SEG_DS || seg == SEG_ES || seg == SEG_SS));
    if (!unchecked || (cpu->mode & MODE_AC_CHECK))
        return NULL;
    gva_t va = seg_linear(cpu, seg, offset, 1, write);
    const struct tlb_entry *entry = &cpu->tlb[tlb_index(va)];
    uint64_t in_page = va ^ (write ? entry->write_tag : entry->read_tag);
    if (in_page >= PAGE_SIZE)
        return NULL;
    if (*bytes > PAGE_SIZE - in_page)
        *bytes = PAGE_SIZE - in_page;
    if (*bytes - 1 > string->mask - offset)
        *bytes = string->mask - offset + 1;
    return entry->host + in_page;
}

/* What is left to do in bytes, as far as it may matter for one page. */
static ALWAYS_INLINE uint64_t bytes_left(const struct cpu *cpu, const struct string *string,
                                         unsigned size)
{
    uint64_t count = index_read(cpu, string, REG_RCX);
    return (count < PAGE_SIZE ? count : PAGE_SIZE) * size;
}

static ALWAYS_INLINE uint64_t movs_run(struct cpu *cpu, const struct string *string, unsigned size)
{
    if ((int64_t)string->step < 0)
        return 0;
    uint64_t bytes = bytes_left(cpu, string, size);
    const uint8_t *src =
        host_run(cpu, string, string->seg, index_read(cpu, string, REG_RSI), false, &bytes);
    if (!src)
        return 0;
    uint8_t *dst = host_run(cpu, string, SEG_ES, index_read(cpu, string, REG_RDI), true, &bytes);
    if (!dst)
        return 0;
    uint64_t count = bytes / size;
    bytes = count * size;
    if ((uintptr_t)dst - (uintptr_t)src >= bytes) {
        memmove(dst, src, bytes);
    } else {
        /* The destination begins inside the source: elements already copied are copied again. */
        for (uint64_t i = 0; i < bytes; i += size)
            store_le(dst + i, load_le(src + i, size), size);
    }
    index_add(cpu, string, REG_RSI, bytes);
    index_add(cpu, string, REG_RDI, bytes);
    return count;
}

static ALWAYS_INLINE uint64_t stos_run(struct cpu *cpu, const struct string *string, unsigned size)
{
    if ((int64_t)string->step < 0)
        return 0;
    uint64_t bytes = bytes_left(cpu, string, size);
    uint8_t *dst = host_run(cpu, string, SEG_ES, index_read(cpu, string, REG_RDI), true, &bytes);
    if (!dst)
        return 0;
    uint64_t count = bytes / size, value = cpu->gpr[REG_RAX];
    bytes = count * size;
    fill(dst, value, bytes, size);
    index_add(cpu, string, REG_RDI, bytes);
    return count;
}

static ALWAYS_INLINE uint64_t lods_run(struct cpu *cpu, const struct string *string, unsigned size)
{
    if ((int64_t)string->step < 0)
        return 0;
    uint64_t bytes = bytes_left(cpu, string, size);
    const uint8_t *src =
        host_run(cpu, string, string->seg, index_read(cpu, string, REG_RSI), false, &bytes);
    uint64_t count = bytes / size;
    if (!src || !count)
        return 0;
    gpr_write_fixed(cpu, REG_RAX, load_le(src + (count - 1) * size, size), size);
    index_add(cpu, string, REG_RSI, count * size);
    return count;
}

/* SCAS and CMPS: only what surely does not end the repetition. The last element makes the flags. */
static ALWAYS_INLINE uint64_t scas_run(struct cpu *cpu, const struct string *string, unsigned size)
{
    uint64_t bytes = bytes_left(cpu, string, size) - size;
    if ((int64_t)string->step < 0 || !bytes)
        return 0;
    const uint8_t *data =
        host_run(cpu, string, SEG_ES, index_read(cpu, string, REG_RDI), false, &bytes);
    if (!data)
        return 0;
    uint64_t count = 0, value = cpu->gpr[REG_RAX] & bytes_mask(size);
    if (size == 1 && !string->zero) {
        const uint8_t *found = memchr(data, (int)value, bytes);
        count = found ? (uint64_t)(found - data) : bytes;
    } else {
        while (count < bytes / size &&
               (load_le(data + count * size, size) == value) == string->zero)
            count++;
    }
    index_add(cpu, string, REG_RDI, count * size);
    return count;
}

static ALWAYS_INLINE uint64_t cmps_run(struct cpu *cpu, const struct string *string, unsigned size)
{
    uint64_t bytes = bytes_left(cpu, string, size) - size;
    if ((int64_t)string->step < 0 || !bytes)
        return 0;
    const uint8_t *a =
        host_run(cpu, string, string->seg, index_read(cpu, string, REG_RSI), false, &bytes);
    if (!a)
        return 0;
    const uint8_t *b =
        host_run(cpu, string, SEG_ES, index_read(cpu, string, REG_RDI), false, &bytes);
    if (!b)
        return 0;
    uint64_t count = 0;
    while (count < bytes / size &&
           (load_le(a + count * size, size) == load_le(b + count * size, size)) == string->zero)
        count++;
    index_add(cpu, string, REG_RSI, count * size);
    index_add(cpu, string, REG_RDI, count * size);
    return count;
}

/* Up to a page, or up to ELEMENTS_PER_TURN elements, or one where it may stop the CPU; false when
 * the repetition is over. */
static ALWAYS_INLINE bool repeat_turn(struct cpu *cpu, const struct string *string,
                                      element_fn *element, run_fn *run, bool compares,
                                      uint64_t *rflags, unsigned size)
{
    bool step = cpu->rflags & FLAG_TF;
    uint64_t done = step ? 0 : run(cpu, string, size);
    if (done) {
        index_add(cpu, string, REG_RCX, -done);
        return index_read(cpu, string, REG_RCX) != 0;
    }
    for (unsigned i = step || cpu->watching ? 1 : ELEMENTS_PER_TURN; i > 0; i--) {
        element(cpu, string, rflags, size);
        index_add(cpu, string, REG_RCX, -1ull);
        if (!index_read(cpu, string, REG_RCX))
            return false;
        if (compares && !!(*rflags & FLAG_ZF) != string->zero)
            return false;
    }
    return true;
}

static ALWAYS_INLINE void string_op(struct cpu *cpu, const struct dec_insn *insn,
                                    element_fn *element, run_fn *run, bool compares, unsigned size)
{
    const struct string string = {
        .mask = bytes_mask(insn->address_size),
        .keep = insn->address_size == 2 ? ~0xffffull : 0,
        .step = cpu->rflags & FLAG_DF ? -(uint64_t)size : size,
        .seg = insn->mem.segment,
        .zero = !(insn->prefixes & DEC_PREFIX_REPNE),
    };
    if (!(insn->prefixes & (DEC_PREFIX_REP | DEC_PREFIX_REPNE))) {
        element(cpu, &string, &cpu->rflags, size);
        return;
    }
    /* Clears the upper halves where 32 bits count, as Intel's processors do: of the indices for
     * MOVS and STOS alone, before the first element. */
    index_add(cpu, &string, REG_RCX, 0);
    if (insn->op == DEC_OP_MOVS)
        index_add(cpu, &string, REG_RSI, 0);
    if (insn->op == DEC_OP_MOVS || insn->op == DEC_OP_STOS)
        index_add(cpu, &string, REG_RDI, 0);
    if (!index_read(cpu, &string, REG_RCX))
        return;
    uint64_t rflags = cpu->rflags;
    while (repeat_turn(cpu, &string, element, run, compares, &rflags, size)) {
        /* Let interrupts and single-step traps in; the instruction goes on where it left off. */
        if ((cpu->rflags & FLAG_TF) || atomic_load_explicit(&cpu->requests, memory_order_relaxed)) {
            interp_suspend(cpu);
            return;
        }
    }
    cpu->rflags = rflags;
}

HANDLERS(movs, string_op, movs, movs_run, false)
HANDLERS(stos, string_op, stos, stos_run, false)
HANDLERS(lods, string_op, lods, lods_run, false)
HANDLERS(scas, string_op, scas, scas_run, true)
HANDLERS(cmps, string_op, cmps, cmps_run, true)
static const handler_row movs_handlers = ROW(movs), stos_handlers = ROW(stos),
                         lods_handlers = ROW(lods), scas_handlers = ROW(scas),
                         cmps_handlers = ROW(cmps);

interp_handler *interp_select_string(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    unsigned size = size_index(insn->operand_size);
    switch (insn->op) {
    case DEC_OP_MOVS:
        return movs_handlers[size];
    case DEC_OP_STOS:
        return stos_handlers[size];
    case DEC_OP_LODS:
        return lods_handlers[size];
    case DEC_OP_SCAS:
        return scas_handlers[size];
    case DEC_OP_CMPS:
        return cmps_handlers[size];
    default:
        return NULL;
    }
}
