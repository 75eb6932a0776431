#include "jit/operands.h"

#include "host/memory.h"
#include "jit/groups.h"
#include "mmu/tlb.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdlib.h>

/* How far the memory primitive's code has come with a register: what it does then is the next. */
enum stage { STAGE_NONE, STAGE_TAGGED, STAGE_COMPARED, STAGE_GUARDED, STAGE_CHECKED };

struct checked {
    uint8_t stage;
    bool writable; /* by the write tag */
    unsigned span; /* bytes that may be accessed there */
};

enum { WATCHED_T0, WATCHED_T2, WATCHED_T1, WATCHED };

#define CONTEXT 12 /* instructions shown before the one that is wrong */
#define CHECKED 2  /* the first two of them become pointers */

struct sweep {
    const struct jit *jit;
    csh handle;
    cs_insn *insn;
    unsigned size;          /* of its memory operand, as our own decoder has it, */
    unsigned access;        /* and DEC_READ and DEC_WRITE: Capstone 4 is wrong on some */
    size_t offset;          /* of the instruction in the cache */
    size_t before[CONTEXT]; /* those of the ones before it, the oldest at `next_before` */
    unsigned next_before;
    struct checked checked[CHECKED];
    bool masked;      /* T1 is a TLB entry's offset */
    uint64_t counter; /* T1 is this constant; 0: none */
    uint64_t count;
};

static unsigned watched(unsigned reg)
{
    switch (reg) {
    case X86_REG_R9:
    case X86_REG_R9D:
    case X86_REG_R9W:
    case X86_REG_R9B:
        return WATCHED_T0;
    case X86_REG_R11:
    case X86_REG_R11D:
    case X86_REG_R11W:
    case X86_REG_R11B:
        return WATCHED_T2;
    case X86_REG_R10:
    case X86_REG_R10D:
    case X86_REG_R10W:
    case X86_REG_R10B:
        return WATCHED_T1;
    default:
        return WATCHED;
    }
}

static const cs_x86_op *memory_of(const cs_insn *insn)
{
    const cs_x86 *x86 = &insn->detail->x86;
    for (unsigned i = 0; i < x86->op_count; i++) {
        if (x86->operands[i].type == X86_OP_MEM)
            return &x86->operands[i];
    }
    return NULL;
}

static bool in_thunks(const struct sweep *sweep)
{
    return sweep->offset < sweep->jit->thunks_end;
}

/* Whether the operand's bytes at its displacement lie in an object. */
static bool lies_in(const struct sweep *sweep, const cs_x86_op *op, size_t object)
{
    return op->mem.disp >= 0 && (uint64_t)op->mem.disp + sweep->size <= object;
}

static bool is_counter(const struct sweep *sweep, const cs_x86_op *op)
{
    return !op->mem.disp && sweep->counter - (uintptr_t)sweep->jit < sizeof(struct jit);
}

/* The return address that a CALL of a thunk has pushed may lie below the TLB. */
static bool is_on_stack(const struct sweep *sweep, const cs_x86_op *op)
{
    if (op->mem.base != X86_REG_RSP)
        return false;
    if (op->mem.index == X86_REG_INVALID)
        return in_thunks(sweep) && !op->mem.disp;
    size_t reach = sizeof(struct tlb_entry) + (in_thunks(sweep) ? 8 : 0);
    return op->mem.index == X86_REG_R10 && op->mem.scale == 1 && lies_in(sweep, op, reach) &&
           (sweep->masked || in_thunks(sweep));
}

static bool is_own(const struct sweep *sweep, const cs_x86_op *op)
{
    switch (op->mem.base) {
    case X86_REG_R11:
        return lies_in(sweep, op, sizeof(struct jit_jump));
    case X86_REG_RSI:
        return in_thunks(sweep) && lies_in(sweep, op, sizeof(struct interp_insn));
    case X86_REG_R10:
        return is_counter(sweep, op);
    default:
        return false;
    }
}

static bool is_guest(const struct sweep *sweep, const cs_x86_op *op)
{
    unsigned i = watched(op->mem.base);
    if (i >= CHECKED)
        return false;
    const struct checked *checked = &sweep->checked[i];
    return checked->stage == STAGE_CHECKED && lies_in(sweep, op, checked->span) &&
           (checked->writable || !(sweep->access & DEC_WRITE));
}

/* Whether an operand is of the form that its kind has. */
static bool fits(const struct sweep *sweep, const cs_x86_op *op, unsigned kind)
{
    bool bare = op->mem.segment == X86_REG_INVALID && op->mem.index == X86_REG_INVALID;
    switch (kind) {
    case RM_CPU:
        return op->mem.segment == X86_REG_GS && op->mem.base == X86_REG_INVALID &&
               op->mem.index == X86_REG_INVALID && lies_in(sweep, op, sizeof(struct cpu));
    case RM_GUEST:
        return bare && is_guest(sweep, op);
    case RM_STRING:
        return in_thunks(sweep) && (sweep->insn->detail->x86.prefix[0] == X86_PREFIX_REP);
    case RM_STACK:
        return op->mem.segment == X86_REG_INVALID && is_on_stack(sweep, op);
    case RM_OWN:
        return bare && is_own(sweep, op);
    default:
        return kind == RM_ADDRESS && sweep->insn->id == X86_INS_LEA;
    }
}

/* What Capstone 4 does not know works on vector registers, and maybe memory: our own decoder's
 * word is taken for it. */
static bool take_over(struct sweep *sweep, const struct dec_insn *insn)
{
    static const uint8_t bases[16] = {[HOST_T0] = X86_REG_R9, [HOST_T2] = X86_REG_R11};
    const struct dec_info *info = dec_info(insn->op);
    if ((info->op_class != DEC_CLASS_SSE && info->op_class != DEC_CLASS_AVX) ||
        insn->mem.segment >= SEG_FS || insn->operand[0].kind != DEC_OPERAND_VEC)
        return false;
    cs_x86 *x86 = &sweep->insn->detail->x86;
    sweep->insn->id = X86_INS_INVALID;
    sweep->insn->size = insn->length;
    *x86 = (cs_x86){.op_count = insn->modrm < 0xc0};
    x86->operands[0] = (cs_x86_op){.type = X86_OP_MEM, .mem = {.disp = insn->mem.disp}};
    if (insn->mem.base < 16 && insn->mem.index == DEC_NO_REG)
        x86->operands[0].mem.base = bases[insn->mem.base];
    return true;
}

/* Both decoders must agree. */
static bool decode(struct sweep *sweep)
{
    const uint8_t *start = sweep->jit->mem.exec + sweep->offset, *code = start;
    size_t left = sweep->jit->mem.size - sweep->offset;
    uint64_t address = (uintptr_t)code;
    struct dec_insn insn;
    bool known = cs_disasm_iter(sweep->handle, &code, &left, &address, sweep->insn);
    if (dec_decode(start, left + (size_t)(code - start), DEC_MODE_64, &insn) != DEC_OK ||
        (known ? insn.length != sweep->insn->size : !take_over(sweep, &insn)))
        return false;
    sweep->size = sweep->access = 0;
    for (unsigned i = 0; i < insn.operand_count; i++) {
        if (insn.operand[i].kind == DEC_OPERAND_MEM) {
            sweep->size = insn.operand[i].size;
            sweep->access |= insn.operand[i].access;
        }
    }
    return true;
}

/* Memory that no operand names, or more than one. */
static bool is_implicit(const struct sweep *sweep)
{
    switch (sweep->insn->id) {
    case X86_INS_PUSH:
    case X86_INS_POP:
    case X86_INS_RET:
        return !in_thunks(sweep);
    case X86_INS_PUSHF:
    case X86_INS_PUSHFD:
    case X86_INS_PUSHFQ:
    case X86_INS_POPF:
    case X86_INS_POPFD:
    case X86_INS_POPFQ:
    case X86_INS_ENTER:
    case X86_INS_LEAVE:
    case X86_INS_XLATB:
    case X86_INS_MASKMOVQ:
    case X86_INS_MASKMOVDQU:
    case X86_INS_VMASKMOVDQU:
        return true;
    default:
        return false;
    }
}

/* NULL, or what is wrong with the instruction. */
static const char *complaint(struct sweep *sweep)
{
    if (!decode(sweep))
        return "it cannot be decoded, or by one decoder alone";
    const uint8_t *record = sweep->jit->operands + sweep->offset;
    unsigned kind = RM_REG;
    for (unsigned i = 0; i < sweep->insn->size; i++) {
        if (record[i] != ASM_CODE && record[i] < ASM_OPERAND)
            return "it reaches beyond the code";
        if (record[i] >= ASM_OPERAND && kind != RM_REG)
            return "it has two records";
        if (record[i] >= ASM_OPERAND)
            kind = record[i] - ASM_OPERAND;
    }
    const cs_x86_op *op = memory_of(sweep->insn);
    if (op && kind == RM_REG)
        return "its memory operand has no record";
    if (!op && kind != RM_REG)
        return "it has a record, but no memory operand";
    if (op && !fits(sweep, op, kind))
        return "its memory operand is not what the record says";
    return is_implicit(sweep) ? "it accesses memory that is no operand" : NULL;
}

static void print_insn(const struct sweep *sweep, size_t offset)
{
    const uint8_t *code = sweep->jit->mem.exec + offset;
    size_t left = sweep->jit->mem.size - offset, size = DEC_MAX_LENGTH;
    uint64_t address = (uintptr_t)code;
    fprintf(stderr, "  %" PRIx64, address);
    if (cs_disasm_iter(sweep->handle, &code, &left, &address, sweep->insn)) {
        size = sweep->insn->size;
        fprintf(stderr, " %s %s", sweep->insn->mnemonic, sweep->insn->op_str);
    }
    fprintf(stderr, "\n   ");
    for (size_t i = offset; i < offset + size; i++)
        fprintf(stderr, " %02x:%u", sweep->jit->mem.exec[i], sweep->jit->operands[i]);
    fputc('\n', stderr);
}

/* Shows the instruction, with the record of each byte, behind the ones before it. */
static void fail(const struct sweep *sweep, const char *why)
{
    fprintf(stderr, "doppel: emitted code, %zx bytes into the cache: %s\n", sweep->offset, why);
    for (unsigned i = 0; i < CONTEXT; i++)
        print_insn(sweep, sweep->before[(sweep->next_before + i) % CONTEXT]);
    print_insn(sweep, sweep->offset);
    abort();
}

/* The next stage of a register that the instruction names first, if it is the primitive's. */
static struct checked next_stage(const struct checked *checked, const cs_insn *insn)
{
    const cs_x86_op *op = &insn->detail->x86.operands[1];
    bool tlb = op->type == X86_OP_MEM && op->mem.base == X86_REG_RSP;
    if (insn->id == X86_INS_XOR && tlb)
        return (struct checked){STAGE_TAGGED, op->mem.disp == offsetof(struct tlb_entry, write_tag),
                                0};
    if (insn->id == X86_INS_CMP && op->type == X86_OP_IMM && checked->stage == STAGE_TAGGED &&
        op->imm < PAGE_SIZE && op->imm >= PAGE_SIZE - GROUP_SPAN_MAX)
        return (struct checked){STAGE_COMPARED, checked->writable, (unsigned)(PAGE_SIZE - op->imm)};
    if (insn->id == X86_INS_ADD && tlb && op->mem.disp == offsetof(struct tlb_entry, host) &&
        checked->stage == STAGE_GUARDED)
        return (struct checked){STAGE_CHECKED, checked->writable, checked->span};
    return (struct checked){0};
}

static bool is_mask(const cs_insn *insn)
{
    const cs_x86_op *op = &insn->detail->x86.operands[1];
    return insn->id == X86_INS_AND && op->type == X86_OP_IMM && op->imm == TLB_INDEX_MASK << 5;
}

static void forget(struct sweep *sweep, unsigned i)
{
    if (i < CHECKED) {
        sweep->checked[i].stage = STAGE_NONE;
    } else if (i == WATCHED_T1) {
        sweep->masked = false;
        sweep->counter = 0;
    }
}

static void follow_call(struct sweep *sweep)
{
    const struct jit_thunks *thunks = &sweep->jit->thunks;
    const uint8_t *target = (const uint8_t *)(uintptr_t)sweep->insn->detail->x86.operands[0].imm;
    bool state = target == thunks->load_vec || target == thunks->save_vec ||
                 target == thunks->load_fx || target == thunks->save_fx;
    forget(sweep, WATCHED_T0);
    forget(sweep, WATCHED_T1);
    if (!state)
        forget(sweep, WATCHED_T2);
}

/* What the instruction does to the registers that matter. */
static void follow(struct sweep *sweep)
{
    const cs_insn *insn = sweep->insn;
    const cs_x86_op *first = &insn->detail->x86.operands[0];
    unsigned named = first->type == X86_OP_REG ? watched(first->reg) : WATCHED;
    struct checked next = {0};
    bool masked = named == WATCHED_T1 && is_mask(insn);
    if (named < CHECKED)
        next = next_stage(&sweep->checked[named], insn);
    for (unsigned i = 0; i < CHECKED; i++) {
        struct checked *checked = &sweep->checked[i];
        if (checked->stage == STAGE_COMPARED || checked->stage == STAGE_GUARDED)
            checked->stage = checked->stage == STAGE_COMPARED && insn->id == X86_INS_JA
                                 ? STAGE_GUARDED
                                 : STAGE_NONE;
    }
    cs_regs read, written;
    uint8_t read_count, written_count;
    bool known = insn->id != X86_INS_INVALID &&
                 !cs_regs_access(sweep->handle, insn, read, &read_count, written, &written_count);
    for (unsigned i = 0; known && i < written_count; i++)
        forget(sweep, watched(written[i]));
    if (insn->id == X86_INS_CALL)
        follow_call(sweep);
    if (next.stage)
        sweep->checked[named] = next;
    sweep->masked |= masked;
    if (named == WATCHED_T1 && insn->id == X86_INS_MOVABS)
        sweep->counter = (uint64_t)insn->detail->x86.operands[1].imm;
}

/* Checks what was emitted from `at` on without a gap, up to `limit`; returns its end. */
static size_t check_run(struct sweep *sweep, size_t at, size_t limit)
{
    const struct jit *jit = sweep->jit;
    while (at < limit && jit->operands[at] != ASM_NOTHING) {
        if (jit->operands[at] == ASM_DATA) {
            at++;
            continue;
        }
        sweep->offset = at;
        const char *wrong = complaint(sweep);
        if (wrong)
            fail(sweep, wrong);
        sweep->count += memory_of(sweep->insn) && sweep->insn->id != X86_INS_LEA;
        follow(sweep);
        sweep->before[sweep->next_before++ % CONTEXT] = at;
        at += sweep->insn->size;
    }
    return at;
}

static void begin(struct sweep *sweep, const struct jit *jit)
{
    *sweep = (struct sweep){.jit = jit};
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &sweep->handle) != CS_ERR_OK ||
        cs_option(sweep->handle, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK ||
        !(sweep->insn = cs_malloc(sweep->handle)))
        abort();
}

static void end(struct sweep *sweep)
{
    cs_free(sweep->insn, 1);
    cs_close(&sweep->handle);
}

static uint64_t check_all(const struct jit *jit)
{
    struct sweep sweep;
    begin(&sweep, jit);
    check_run(&sweep, 0, jit->thunks_end);
    for (unsigned i = 0; i < BLOCK_GENERATIONS; i++) {
        size_t part = jit->thunks_end + i * jit->part_size;
        check_run(&sweep, part, part + jit->part_size);
    }
    end(&sweep);
    return sweep.count;
}

uint64_t jit_check_operands(const struct cpu *cpu)
{
    return cpu->jit->operands_checked + check_all(cpu->jit);
}

bool operands_create(struct jit *jit, struct error *error)
{
    jit->operands = host_memory_map_sparse(jit->mem.size);
    return jit->operands || error_set(error, "the host has no memory for records of operands");
}

void operands_drop(struct jit *jit, size_t start)
{
    if (!jit->operands[start])
        return;
    struct sweep sweep;
    begin(&sweep, jit);
    size_t last = check_run(&sweep, start, start + jit->part_size);
    end(&sweep);
    jit->operands_checked += sweep.count;
    memset(jit->operands + start, ASM_NOTHING, last - start);
}

void operands_destroy(struct jit *jit)
{
    if (jit->operands && jit->stats.blocks)
        check_all(jit);
    host_memory_unmap(jit->operands, jit->mem.size);
}
