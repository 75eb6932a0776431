/* Masked moves and gathers touch only the elements that their masks select, and fault only for
 * those; so each element is an access of its own. */
#include "cpu/interp_masked.h"

#include "cpu/access.h"
#include "cpu/fpu.h"

/* An offset within the address size. */
static uint64_t truncate(const struct dec_insn *insn, uint64_t offset)
{
    return offset & bytes_mask(insn->address_size);
}

/* Whether the sign bit of element i is set. */
static bool selects(const uint8_t *mask, unsigned i, unsigned size)
{
    return mask[(i + 1) * size - 1] & 0x80;
}

/* Elements may be misaligned even where #AC is enabled: bytes always are aligned. */
static unsigned access_size(const struct cpu *cpu, unsigned size)
{
    return cpu->mode & MODE_AC_CHECK ? 1 : size;
}

static void read_element(struct cpu *cpu, enum dec_seg seg, uint64_t offset, uint8_t *data,
                         unsigned size)
{
    unsigned step = access_size(cpu, size);
    for (unsigned i = 0; i < size; i += step)
        mem_read(cpu, seg, offset + i, data + i, step);
}

static void write_element(struct cpu *cpu, enum dec_seg seg, uint64_t offset, const uint8_t *data,
                          unsigned size)
{
    unsigned step = access_size(cpu, size);
    for (unsigned i = 0; i < size; i += step)
        mem_write(cpu, seg, offset + i, data + i, step);
}

static void probe_element(struct cpu *cpu, enum dec_seg seg, uint64_t offset, unsigned size)
{
    unsigned step = access_size(cpu, size);
    for (unsigned i = 0; i < size; i += step)
        mem_probe_write(cpu, seg, offset + i, step);
}

/* The vector goes on past 64 KiB even where addresses have 16 bits. */
static uint64_t element_offset(const struct dec_insn *insn, uint64_t offset, unsigned distance)
{
    offset += distance;
    return insn->mode == DEC_MODE_64 ? offset : (uint32_t)offset;
}

/* The segment checks of all selected elements, which come before the first page fault. */
static void check_selected(struct cpu *cpu, const struct dec_insn *insn, uint64_t offset,
                           const uint8_t *mask, unsigned count, unsigned size, bool write)
{
    unsigned step = access_size(cpu, size);
    for (unsigned i = 0; i < count * size && insn->mode != DEC_MODE_64; i += step) {
        if (selects(mask, i / size, size))
            seg_linear(cpu, (enum dec_seg)insn->mem.segment, element_offset(insn, offset, i), step,
                       write);
    }
}

/* Stores the selected elements of data, all or, on a fault, none. */
static void store_selected(struct cpu *cpu, const struct dec_insn *insn, uint64_t offset,
                           const uint8_t *data, const uint8_t *mask, unsigned count, unsigned size)
{
    enum dec_seg seg = (enum dec_seg)insn->mem.segment;
    check_selected(cpu, insn, offset, mask, count, size, true);
    for (unsigned i = 0; i < count; i++) {
        if (selects(mask, i, size))
            probe_element(cpu, seg, element_offset(insn, offset, i * size), size);
    }
    for (unsigned i = 0; i < count; i++) {
        if (selects(mask, i, size))
            write_element(cpu, seg, element_offset(insn, offset, i * size), data + i * size, size);
    }
}

/* MASKMOVQ, (V)MASKMOVDQU: bytes of the first operand to DS:rDI, selected by the second. As on
 * Intel's processors their quadwords fault whether or not a byte of them is selected. */
static uint64_t implied_offset(const struct cpu *cpu, const struct dec_insn *insn)
{
    return truncate(insn, cpu->gpr[REG_RDI]);
}

static void do_maskmovq(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    fpu_wait(cpu);
    struct fx_image fx = cpu->fx;
    fpu_enter_mmx(&fx);
    mem_probe_write(cpu, (enum dec_seg)insn->mem.segment, implied_offset(cpu, insn), 8);
    store_selected(cpu, insn, implied_offset(cpu, insn), fx.st[insn->operand[0].reg],
                   fx.st[insn->operand[1].reg], 8, 1);
    cpu->fx = fx;
}

static void do_maskmovdqu(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    uint64_t offset = implied_offset(cpu, insn);
    uint64_t upper = truncate(insn, offset + 8);
    const uint8_t *data = cpu->vec[insn->operand[0].reg].u8;
    const uint8_t *mask = cpu->vec[insn->operand[1].reg].u8;
    mem_probe_write(cpu, (enum dec_seg)insn->mem.segment, upper, 8);
    mem_probe_write(cpu, (enum dec_seg)insn->mem.segment, offset, 8);
    store_selected(cpu, insn, offset, data, mask, 8, 1);
    store_selected(cpu, insn, upper, data + 8, mask + 8, 8, 1);
}

/* VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ: destination, mask, source. */
static void masked_move(struct cpu *cpu, const struct dec_insn *insn, unsigned size)
{
    uint64_t offset = cpu_effective_address(cpu, insn);
    const uint8_t *mask = cpu->vec[insn->operand[1].reg].u8;
    if (insn->operand[0].kind == DEC_OPERAND_MEM) {
        const struct dec_operand *source = &insn->operand[2];
        store_selected(cpu, insn, offset, cpu->vec[source->reg].u8, mask, source->size / size,
                       size);
        return;
    }

    union vec result = {0};
    unsigned count = insn->operand[0].size / size;
    check_selected(cpu, insn, offset, mask, count, size, false);
    for (unsigned i = 0; i < count; i++) {
        if (selects(mask, i, size))
            read_element(cpu, (enum dec_seg)insn->mem.segment,
                         element_offset(insn, offset, i * size), result.u8 + i * size, size);
    }
    cpu->vec[insn->operand[0].reg] = result;
}

static void do_masked_move_4(struct cpu *cpu, const struct interp_insn *in)
{
    masked_move(cpu, &in->insn, 4);
}

static void do_masked_move_8(struct cpu *cpu, const struct interp_insn *in)
{
    masked_move(cpu, &in->insn, 8);
}

/* Destination, VSIB, mask (SDM vol. 2, VGATHERDPS). An element that is there is taken out of the
 * mask, so that the instruction can be started again after a fault at a later one: the one case in
 * which a faulting instruction has changed state. */
static void gather(struct cpu *cpu, const struct dec_insn *insn, unsigned index_size, unsigned size)
{
    union vec *dst = &cpu->vec[insn->operand[0].reg];
    union vec *mask = &cpu->vec[insn->operand[2].reg];
    const union vec *index = &cpu->vec[insn->mem.index];
    unsigned wider = index_size > size ? index_size : size;
    unsigned count = (insn->vex_l ? 32 : 16) / wider;
    uint64_t base = (uint64_t)insn->mem.disp;
    if (insn->mem.base != DEC_NO_REG)
        base += cpu->gpr[insn->mem.base];

    for (unsigned i = 0; i < count; i++) {
        uint8_t *mask_element = mask->u8 + i * size;
        if (!selects(mask->u8, i, size)) {
            memset(mask_element, 0, size);
            continue;
        }
        int64_t n = sign_extend(load_le(index->u8 + i * index_size, index_size), index_size);
        uint64_t offset = truncate(insn, base + (uint64_t)n * insn->mem.scale);
        read_element(cpu, (enum dec_seg)insn->mem.segment, offset, dst->u8 + i * size, size);
        memset(mask_element, 0, size);
    }
    memset(dst->u8 + count * size, 0, sizeof(*dst) - count * size);
    memset(mask, 0, sizeof(*mask));
}

static void do_gather_4_4(struct cpu *cpu, const struct interp_insn *in)
{
    gather(cpu, &in->insn, 4, 4);
}

static void do_gather_4_8(struct cpu *cpu, const struct interp_insn *in)
{
    gather(cpu, &in->insn, 4, 8);
}

static void do_gather_8_4(struct cpu *cpu, const struct interp_insn *in)
{
    gather(cpu, &in->insn, 8, 4);
}

static void do_gather_8_8(struct cpu *cpu, const struct interp_insn *in)
{
    gather(cpu, &in->insn, 8, 8);
}

/* Code that is not 64-bit sees, and changes, only the first eight registers. */
static unsigned register_count(const struct dec_insn *insn)
{
    return insn->mode == DEC_MODE_64 ? 16 : 8;
}

static void do_vzeroall(struct cpu *cpu, const struct interp_insn *in)
{
    for (unsigned i = 0; i < register_count(&in->insn); i++)
        memset(&cpu->vec[i], 0, sizeof(cpu->vec[i]));
}

static void do_vzeroupper(struct cpu *cpu, const struct interp_insn *in)
{
    for (unsigned i = 0; i < register_count(&in->insn); i++)
        memset(cpu->vec[i].u8 + 16, 0, 16);
}

static interp_handler *select_gather(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_VPGATHERDD:
    case DEC_OP_VGATHERDPS:
        return do_gather_4_4;
    case DEC_OP_VPGATHERDQ:
    case DEC_OP_VGATHERDPD:
        return do_gather_4_8;
    case DEC_OP_VPGATHERQD:
    case DEC_OP_VGATHERQPS:
        return do_gather_8_4;
    case DEC_OP_VPGATHERQQ:
    case DEC_OP_VGATHERQPD:
        return do_gather_8_8;
    default:
        return NULL;
    }
}

interp_handler *interp_select_masked(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_MASKMOVQ:
        return do_maskmovq;
    case DEC_OP_MASKMOVDQU:
    case DEC_OP_VMASKMOVDQU:
        return do_maskmovdqu;
    case DEC_OP_VMASKMOVPS:
    case DEC_OP_VPMASKMOVD:
        return do_masked_move_4;
    case DEC_OP_VMASKMOVPD:
    case DEC_OP_VPMASKMOVQ:
        return do_masked_move_8;
    case DEC_OP_VZEROALL:
        return do_vzeroall;
    case DEC_OP_VZEROUPPER:
        return do_vzeroupper;
    default:
        break;
    }
    return select_gather(insn);
}
