/* From code bytes to blocks. */
#include "cpu/blocks.h"
#include "cpu/exception.h"
#include "cpu/gates.h"
#include "mmu/phys.h"

/* An instruction longer than 15 bytes. */
static void raise_too_long(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* Every integer instruction has a handler. It is looked for when it first runs: with a translator
 * that is seldom. */
static void select_and_run(struct cpu *cpu, const struct interp_insn *in)
{
    struct interp_insn *decoded = (struct interp_insn *)in;
    decoded->handler = interp_select_integer(&in->insn, cpu->mode);
    decoded->handler(cpu, in);
}

static interp_handler *select_handler(const struct cpu *cpu, struct dec_insn *insn, uint32_t mode)
{
    if (interp_is_free(insn))
        return select_and_run;
    interp_degrade(insn, cpu->model);
    interp_handler *handler = interp_gate(insn, mode, cpu->model);
    if (!handler && dec_info(insn->op)->op_class == DEC_CLASS_INTEGER)
        return select_and_run;
    if (!handler)
        handler = interp_select_system(insn, mode);
    if (!handler)
        handler = interp_select_x87(insn, mode);
    if (!handler)
        handler = interp_select_vector(insn, mode);
    if (!handler)
        handler = interp_select_state(insn, mode);
    return handler ? handler : interp_raise_ud;
}

enum added { ADDED, ADDED_LAST, ADDED_NOT };

/* Adds what decoding yielded; ADDED_NOT where its host code finds no room. */
static enum added add_insn(struct cpu *cpu, struct block *block, enum dec_status status,
                           unsigned looked)
{
    struct interp_insn *in = &block->insn[block->count];
    in->code = NULL;
    in->offset = (uint16_t)((block->gpa + block->length) & ~PAGE_MASK);
    if (status != DEC_OK) {
        in->handler = status == DEC_TOO_LONG ? raise_too_long : interp_raise_ud;
        memset(&in->insn, 0, sizeof(in->insn));
        in->insn.length = (uint8_t)looked;
        block->count++;
        block->length += looked;
        return ADDED_LAST;
    }
    in->handler = select_handler(cpu, &in->insn, block->mode);
    if (in->handler != select_and_run && !interp_attach_code(cpu, in))
        return ADDED_NOT;
    block->count++;
    block->length += in->insn.length;
    cpu->stats.instructions_decoded++;
    bool last = dec_info(in->insn.op)->attributes & (DEC_ATTR_END | DEC_ATTR_BRANCH);
    return last && in->insn.op != DEC_OP_JCC ? ADDED_LAST : ADDED;
}

static struct block *start_block(struct cpu *cpu, struct blocks *blocks, struct block *block,
                                 gpa_t gpa, uint32_t mode)
{
    bool rewritten = *blocks_rewrites(blocks, gpa) == REWRITES_MAX;
    block->gpa = gpa;
    block->second = BLOCK_ONE_PAGE;
    block->mode = mode;
    block->count = 0;
    block->length = 0;
    block->patience = rewritten ? REWRITTEN_PATIENCE : blocks->first_patience;
    block->translation = block->plain_translation = NULL;
    cpu->stats.blocks_decoded++;
    return block;
}

static unsigned min_unsigned(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* One instruction that is not whole in va's page, or whose bytes are not in memory. */
static struct block *build_single(struct cpu *cpu, struct blocks *blocks, gva_t va, gpa_t gpa,
                                  uint32_t mode)
{
    uint8_t bytes[DEC_MAX_LENGTH];
    enum mmu_status status;
    struct mmu_fault fault;
    unsigned flags;
    unsigned room = min_unsigned(PAGE_SIZE - (unsigned)(gpa & ~PAGE_MASK), DEC_MAX_LENGTH);
    gpa_t second = BLOCK_ONE_PAGE;
    bool kept = phys_find(cpu->phys, gpa);
    if (room < DEC_MAX_LENGTH && kept) {
        gva_t next = va + room;
        if (mode_code(cpu->mode) != DEC_MODE_64)
            next = (uint32_t)next;
        status = mmu_fetch(cpu, next, &second, &flags, &fault);
        if (status == MMU_OK) {
            kept = phys_find(cpu->phys, second);
            blocks_mark(cpu, gpa, room);
            blocks_mark(cpu, second, DEC_MAX_LENGTH - room);
        }
    }
    unsigned size = mmu_fetch_bytes(cpu, va, bytes, DEC_MAX_LENGTH, &status, &fault);
    struct block *block =
        start_block(cpu, blocks, kept ? blocks_top(blocks) : blocks->loose, gpa, mode);
    enum dec_status decoded = dec_decode(bytes, size, mode_code(cpu->mode), &block->insn[0].insn);
    if (decoded == DEC_TRUNCATED && status != MMU_OK)
        cpu_raise_memory(cpu, SEG_CS, status, &fault);
    if (add_insn(cpu, block, decoded, size) == ADDED_NOT)
        return NULL;
    if (kept) {
        if (block->length > room)
            block->second = second;
        blocks_keep(cpu, blocks, block);
    }
    return block;
}

struct block *block_build(struct cpu *cpu, struct blocks *blocks, gva_t va, gpa_t gpa,
                          uint32_t mode)
{
    const struct phys_region *region = phys_find(cpu->phys, gpa);
    if (!region)
        return build_single(cpu, blocks, va, gpa, mode);
    const uint8_t *code = region->host + (gpa - region->base);
    unsigned room = PAGE_SIZE - (unsigned)(gpa & ~PAGE_MASK);
    struct block *block = start_block(cpu, blocks, blocks_top(blocks), gpa, mode);
    enum added added = ADDED;
    unsigned exits = 0, marked = 0;
    while (added == ADDED && block->count < BLOCK_MAX_INSNS && block->length < room) {
        unsigned offset = block->length;
        bool after_exit = block->count && block->insn[block->count - 1].insn.op == DEC_OP_JCC;
        if (after_exit &&
            (exits++ == BLOCK_MAX_EXITS || blocks_begin_at(blocks, gpa + offset, block->mode)))
            break;
        unsigned size = min_unsigned(room - offset, DEC_MAX_LENGTH);
        if (offset + size > marked) {
            blocks_mark(cpu, gpa + offset, size);
            marked = (unsigned)(align_up(gpa + offset + size, PHYS_CODE_GRANULE) - gpa);
        }
        enum dec_status status = dec_decode(code + offset, size, mode_code(block->mode),
                                            &block->insn[block->count].insn);
        if (status == DEC_TRUNCATED)
            break;
        added = add_insn(cpu, block, status, size);
    }
    if (!block->count && added == ADDED_NOT)
        return NULL;
    if (!block->count)
        return build_single(cpu, blocks, va, gpa, mode);
    blocks_keep(cpu, blocks, block);
    return block;
}
