#include "jit/groups.h"

/* What a register holds: a value that has a number, plus a constant. */
struct value {
    uint16_t number;
    int32_t offset;
};

enum { VALUE_NONE, VALUE_CODE_PAGE, VALUE_FIRST };

struct finder {
    struct groups *groups;
    struct value value[16];
    uint16_t last_number;
    unsigned insn;  /* the index of the one being looked at */
    unsigned taken; /* its accesses so far */
    unsigned exits;
    uint16_t era;
    uint16_t stores;
    unsigned width; /* of a whole register in this mode, in bytes */
};

static void forget(struct finder *f, unsigned reg)
{
    f->value[reg] = (struct value){++f->last_number, 0};
}

static void forget_all(struct finder *f)
{
    for (unsigned i = 0; i < ARRAY_SIZE(f->value); i++)
        forget(f, i);
}

static void set(struct finder *f, unsigned reg, struct value value, int64_t offset)
{
    offset += value.offset;
    if (offset == (int32_t)offset)
        f->value[reg] = (struct value){value.number, (int32_t)offset};
    else
        forget(f, reg);
}

static bool is_same_address(const struct group *a, const struct group *b)
{
    return a->era == b->era && a->base == b->base && a->index == b->index && a->scale == b->scale &&
           a->segment == b->segment && a->address_size == b->address_size;
}

/* The group that an access joins, if there is one: the last with that address, if the span stays
 * small and a store is sure to follow the first access. */
static struct group *find_group(struct finder *f, const struct group *key)
{
    for (unsigned i = f->groups->count; i-- > 0;) {
        struct group *group = &f->groups->group[i];
        if (!is_same_address(group, key))
            continue;
        int64_t start = group->start < key->start ? group->start : key->start;
        int64_t end = group->end > key->end ? group->end : key->end;
        if (end - start > GROUP_SPAN_MAX ||
            (key->write && !group->write && group->exits < f->exits))
            return NULL;
        group->start = start;
        group->end = end;
        group->write |= key->write;
        group->may_bounce &= !key->write && group->stores == f->stores;
        return group;
    }
    return NULL;
}

/* key->start is the access's offset. */
static void add(struct finder *f, struct group key, unsigned size, bool write)
{
    uint16_t number = (uint16_t)(ACCESSES_PER_INSN * f->insn + f->taken++);
    struct access *access = &f->groups->access[number];
    *access = (struct access){
        .next = GROUP_NONE, .offset = key.start, .size = (uint16_t)size, .write = write};
    key.end = key.start + size;
    key.write = write;
    key.exits = (uint8_t)f->exits;
    key.era = f->era;
    key.may_bounce = !write;
    f->stores += write;
    key.stores = f->stores;
    struct group *group = find_group(f, &key);
    if (group) {
        f->groups->access[group->last].next = number;
    } else {
        group = &f->groups->group[f->groups->count++];
        *group = key;
    }
    group->last = number;
    access->group = (uint16_t)(group - f->groups->group);
}

static void add_operand(struct finder *f, const struct interp_insn *in, unsigned size, bool write)
{
    const struct dec_mem *mem = &in->insn.mem;
    struct value base = {VALUE_NONE, 0}, index = base;
    if (mem->base == DEC_BASE_RIP)
        base = (struct value){VALUE_CODE_PAGE, in->offset + in->insn.length};
    else if (mem->base != DEC_NO_REG)
        base = f->value[mem->base];
    if (mem->index != DEC_NO_REG)
        index = f->value[mem->index];
    int64_t offset = mem->disp + base.offset + (int64_t)index.offset * mem->scale;
    struct group key = {
        .base = base.number,
        .index = index.number,
        .scale = index.number ? mem->scale : 0,
        .segment = mem->segment >= SEG_FS ? mem->segment : SEG_DS,
        .address_size = in->insn.address_size,
        .start = (int32_t)offset,
    };
    if (offset != (int32_t)offset) /* of its own */
        key.base = ++f->last_number;
    add(f, key, size, write);
}

static void add_stack(struct finder *f, unsigned reg, int32_t disp, unsigned size, bool write)
{
    struct group key = {
        .base = f->value[reg].number,
        .segment = SEG_DS,
        .address_size = (uint8_t)f->width,
        .start = (int64_t)f->value[reg].offset + disp,
    };
    add(f, key, size, write);
}

static void move_stack(struct finder *f, int64_t bytes)
{
    set(f, REG_RSP, f->value[REG_RSP], bytes);
}

static void look_at_operands(struct finder *f, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const struct dec_operand *operand = &insn->operand[i];
        if (operand->kind == DEC_OPERAND_MEM && operand->size)
            add_operand(f, in, operand->size, operand->access & DEC_WRITE);
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const struct dec_operand *operand = &insn->operand[i];
        if (!(operand->access & DEC_WRITE))
            continue;
        if (operand->kind == DEC_OPERAND_GPR)
            forget(f, operand->reg);
        else if (operand->kind == DEC_OPERAND_GPR_HIGH)
            forget(f, operand->reg & 3);
    }
}

static bool is_whole(const struct finder *f, const struct dec_operand *operand)
{
    return operand->kind == DEC_OPERAND_GPR && operand->size == f->width;
}

static void look_at_move(struct finder *f, const struct interp_insn *in)
{
    const struct dec_operand *operand = in->insn.operand;
    bool copies = is_whole(f, &operand[0]) && is_whole(f, &operand[1]);
    struct value value = copies ? f->value[operand[1].reg] : (struct value){0};
    look_at_operands(f, in);
    if (copies)
        f->value[operand[0].reg] = value;
}

/* ADD and SUB of a constant, INC and DEC. */
static void look_at_sum(struct finder *f, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool one = insn->op == DEC_OP_INC || insn->op == DEC_OP_DEC;
    bool down = insn->op == DEC_OP_SUB || insn->op == DEC_OP_DEC;
    bool known =
        is_whole(f, &insn->operand[0]) && (one || insn->operand[1].kind == DEC_OPERAND_IMM);
    int64_t addend = one ? 1 : (int32_t)insn->imm;
    unsigned reg = insn->operand[0].reg;
    struct value value = known ? f->value[reg] : (struct value){0};
    look_at_operands(f, in);
    if (known)
        set(f, reg, value, down ? -addend : addend);
}

static void look_at_lea(struct finder *f, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    const struct dec_mem *mem = &insn->mem;
    unsigned reg = insn->operand[0].reg;
    if (is_whole(f, &insn->operand[0]) && insn->address_size == f->width &&
        mem->base < DEC_BASE_RIP && mem->index == DEC_NO_REG)
        set(f, reg, f->value[mem->base], mem->disp);
    else
        forget(f, reg);
}

static void look_at_stack_insn(struct finder *f, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool memory = insn->operand_count && insn->operand[0].kind == DEC_OPERAND_MEM;
    int size = (int)f->width;
    if (insn->op == DEC_OP_POP || insn->op == DEC_OP_RET) {
        add_stack(f, REG_RSP, 0, f->width, false);
        move_stack(f, size);
        if (memory || insn->operand_size != f->width)
            forget_all(f);
        else if (insn->op == DEC_OP_POP && insn->operand[0].kind == DEC_OPERAND_GPR)
            forget(f, insn->operand[0].reg);
        return;
    }
    if (memory)
        add_operand(f, in, f->width, false);
    add_stack(f, REG_RSP, -size, f->width, true);
    move_stack(f, -size);
    if (insn->op != DEC_OP_CALL && insn->operand_size != f->width)
        forget_all(f);
}

static void look_at_leave(struct finder *f)
{
    add_stack(f, REG_RBP, 0, f->width, false);
    set(f, REG_RSP, f->value[REG_RBP], (int)f->width);
    forget(f, REG_RBP);
}

/* Whether an instruction changes no general register but its operands. */
static bool changes_operands_only(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_MOVSX:
    case DEC_OP_MOVZX:
    case DEC_OP_MOVSXD:
    case DEC_OP_XCHG:
    case DEC_OP_BSWAP:
    case DEC_OP_MOVBE:
    case DEC_OP_MOVNTI:
    case DEC_OP_CMOVCC:
    case DEC_OP_ADC:
    case DEC_OP_SBB:
    case DEC_OP_CMP:
    case DEC_OP_NEG:
    case DEC_OP_AND:
    case DEC_OP_OR:
    case DEC_OP_XOR:
    case DEC_OP_NOT:
    case DEC_OP_TEST:
    case DEC_OP_SETCC:
    case DEC_OP_SHL:
    case DEC_OP_SHR:
    case DEC_OP_SAR:
    case DEC_OP_ROL:
    case DEC_OP_ROR:
    case DEC_OP_RCL:
    case DEC_OP_RCR:
    case DEC_OP_SHLD:
    case DEC_OP_SHRD:
    case DEC_OP_BT:
    case DEC_OP_BTS:
    case DEC_OP_BTR:
    case DEC_OP_BTC:
    case DEC_OP_BSF:
    case DEC_OP_BSR:
    case DEC_OP_TZCNT:
    case DEC_OP_LZCNT:
    case DEC_OP_POPCNT:
    case DEC_OP_XADD:
    case DEC_OP_JCC:
    case DEC_OP_NOP:
    case DEC_OP_PAUSE:
    case DEC_OP_ENDBR64:
    case DEC_OP_PREFETCHT0:
    case DEC_OP_CLI:
    case DEC_OP_STI:
        return true;
    case DEC_OP_IMUL: /* with one operand also RDX */
        return insn->operand_count > 1;
    case DEC_OP_PCMPESTRI:
    case DEC_OP_PCMPISTRI:
    case DEC_OP_VPCMPESTRI:
    case DEC_OP_VPCMPISTRI:
        return false;
    default:
        switch (dec_info(insn->op)->op_class) {
        case DEC_CLASS_X87:
        case DEC_CLASS_MMX:
        case DEC_CLASS_SSE:
        case DEC_CLASS_AVX:
            return true;
        default:
            return false;
        }
    }
}

static void look_at(struct finder *f, const struct interp_insn *in)
{
    switch (in->insn.op) {
    case DEC_OP_MOV:
        look_at_move(f, in);
        break;
    case DEC_OP_ADD:
    case DEC_OP_SUB:
    case DEC_OP_INC:
    case DEC_OP_DEC:
        look_at_sum(f, in);
        break;
    case DEC_OP_LEA:
        look_at_lea(f, in);
        break;
    case DEC_OP_PUSH:
    case DEC_OP_PUSHF:
    case DEC_OP_POP:
    case DEC_OP_CALL:
    case DEC_OP_RET:
        look_at_stack_insn(f, in);
        break;
    case DEC_OP_LEAVE:
        look_at_leave(f);
        break;
    default:
        look_at_operands(f, in);
        if (!changes_operands_only(&in->insn)) {
            forget_all(f);
            f->era++;
            f->stores++;
        }
        break;
    }
}

void groups_find(struct groups *groups, const struct block *block)
{
    struct finder f = {
        .groups = groups,
        .last_number = VALUE_FIRST,
        .width = mode_code(block->mode) == DEC_MODE_64 ? 8 : 4,
    };
    groups->count = 0;
    forget_all(&f);
    for (; f.insn < block->count; f.insn++) {
        struct access *access = &groups->access[ACCESSES_PER_INSN * f.insn];
        access[0].group = access[1].group = GROUP_NONE;
        f.taken = 0;
        if (block->insn[f.insn].insn.operand_size)
            look_at(&f, &block->insn[f.insn]);
        f.exits += block->insn[f.insn].insn.op == DEC_OP_JCC;
    }
}
