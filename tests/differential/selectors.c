#include "selectors.h"

#include "base/bits.h"

/* One of a descriptor that both sides know, mostly with RPL 3. Not entry 15 of the GDT, whose limit
 * tells the processor that Linux runs this on; nor one beyond the tables: under a hypervisor the
 * host's may reach further than Linux has made them. */
static uint16_t generate_selector(struct random *random)
{
    unsigned selector = random_below(random, GDT_ENTRIES - 1) << 3;
    if (random_chance(random, 60))
        selector = SELECTOR_LDT(random_below(random, LDT_ENTRIES));
    unsigned rpl = random_chance(random, 85) ? 3 : random_below(random, 4);
    return (uint16_t)((selector & ~3u) | rpl);
}

static uint64_t generate_offset(struct random *random, unsigned size)
{
    if (random_chance(random, 10))
        return random_next(random) & bytes_mask(size);
    return random_below(random, 2 * PAGE_SIZE) + (random_chance(random, 50) ? AREA_CODE : 0);
}

static void put_bytes(uint8_t *data, gva_t va, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        if (va + i - AREA_DATA < AREA_SIZE)
            data[va + i - AREA_DATA] = (uint8_t)(value >> 8 * i);
    }
}

bool loads_segment(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_MOV_SEG:
    case DEC_OP_POP:
        return insn->operand[0].kind == DEC_OPERAND_SEG;
    case DEC_OP_LDS:
    case DEC_OP_LES:
    case DEC_OP_LFS:
    case DEC_OP_LGS:
    case DEC_OP_LSS:
    case DEC_OP_JMP_FAR:
    case DEC_OP_CALL_FAR:
    case DEC_OP_RET_FAR:
    case DEC_OP_IRET:
        return true;
    default:
        return false;
    }
}

bool reads_selector(const struct dec_insn *insn)
{
    return loads_segment(insn) || insn->op == DEC_OP_LAR || insn->op == DEC_OP_LSL ||
           insn->op == DEC_OP_VERR || insn->op == DEC_OP_VERW;
}

void generate_pointer(struct random *random, struct sample *sample)
{
    const struct dec_insn *insn = &sample->insn;
    if (insn->operand[0].kind != DEC_OPERAND_FAR)
        return;
    unsigned size = insn->operand_size;
    uint8_t *pointer = sample->code + insn->length - size - 2;
    store_le(pointer, generate_offset(random, size), size);
    store_le(pointer + size, generate_selector(random), 2);
    dec_decode(sample->code, insn->length, (enum dec_mode)insn->mode, &sample->insn);
}

/* The frame of a far return. IRET's is without flags that would stay and reach our own code, and
 * without AC: processors check the rest of the frame by it, which Linux takes for a split lock. */
static void put_far_frame(struct random *random, const struct dec_insn *insn, gva_t va,
                          uint8_t *data)
{
    const uint64_t flags = FLAGS_STATUS | FLAG_DF | FLAG_IF | FLAG_IOPL | FLAG_NT | FLAG_RF |
                           FLAG_VM | FLAG_VIF | FLAG_VIP | FLAG_ID;
    unsigned size = insn->operand_size;
    put_bytes(data, va, generate_offset(random, size), size);
    put_bytes(data, va + size, generate_selector(random), 2);
    if (insn->op != DEC_OP_IRET)
        return;
    put_bytes(data, va + 2 * size, random_next(random) & flags, size);
    if (insn->mode != DEC_MODE_64)
        return;
    put_bytes(data, va + 3 * size, generate_target(random, 8, 8), size);
    put_bytes(data, va + 4 * size, generate_selector(random), 2);
}

static gva_t operand_address(const struct sample *sample, const struct diff_state *in)
{
    const struct dec_insn *insn = &sample->insn;
    const struct dec_mem *mem = &insn->mem;
    uint64_t offset = (uint64_t)mem->disp;
    if (mem->base == DEC_BASE_RIP)
        offset += in->rip + insn->length;
    else if (mem->base != DEC_NO_REG)
        offset += in->gpr[mem->base];
    if (mem->index != DEC_NO_REG)
        offset += in->gpr[mem->index] * mem->scale;
    gva_t va =
        (offset & bytes_mask(insn->address_size)) + generate_segment_base(sample, in, mem->segment);
    return insn->mode == DEC_MODE_64 ? va : (uint32_t)va;
}

void generate_selectors(struct random *random, const struct sample *sample, struct diff_state *in,
                        uint8_t *data)
{
    const struct dec_insn *insn = &sample->insn;
    const struct dec_operand *source = &insn->operand[insn->operand_count > 1 ? 1 : 0];
    gva_t operand = operand_address(sample, in), stack = generate_stack_address(sample, in);
    switch (insn->op) {
    case DEC_OP_POP:
        put_bytes(data, stack, generate_selector(random), 2);
        break;
    case DEC_OP_RET_FAR:
    case DEC_OP_IRET:
        put_far_frame(random, insn, stack, data);
        break;
    case DEC_OP_MOV_SEG:
    case DEC_OP_LAR:
    case DEC_OP_LSL:
    case DEC_OP_VERR:
    case DEC_OP_VERW:
        if (source->kind == DEC_OPERAND_GPR)
            store_le(&in->gpr[source->reg], generate_selector(random), 2);
        else
            put_bytes(data, operand, generate_selector(random), 2);
        break;
    default:
        put_bytes(data, operand, generate_offset(random, insn->operand_size), insn->operand_size);
        put_bytes(data, operand + insn->operand_size, generate_selector(random), 2);
        break;
    }
}
