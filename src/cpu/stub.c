#include "cpu/stub.h"

#include "cpu/encode.h"
#include "cpu/gates.h"
#include "cpu/xstate.h"
#include "host/codemem.h"

#include <stdlib.h>
#include <string.h>

enum {
    CODE_SIZE = 16 << 20,
    STUB_MAX = 256, /* bytes; the longest, VPCMPESTRM, needs under 150 */
    SLOTS = 1 << 17,
    STUBS_LIMIT = SLOTS / 2,
};

/* What makes a stub: the host's instruction, and the guest's registers for its operands. */
struct stub_key {
    uint8_t bytes[DEC_MAX_LENGTH];
    uint8_t length;
    uint8_t reg[DEC_MAX_OPERANDS];
};

struct slot {
    struct stub_key key; /* length 0: the slot is free */
    uint32_t offset;
};

/* A hash table with linear probing over code memory that only grows. */
struct stubs {
    struct codemem mem;
    size_t used;
    unsigned count;
    struct slot slot[SLOTS];
};

struct stubs *stubs_create(struct error *error)
{
    struct stubs *stubs = calloc(1, sizeof(*stubs));
    if (!stubs) {
        error_set(error, "out of memory for the table of generated code");
        return NULL;
    }
    if (!codemem_create(&stubs->mem, CODE_SIZE, error)) {
        free(stubs);
        return NULL;
    }
    return stubs;
}

void stubs_destroy(struct stubs *stubs)
{
    if (!stubs)
        return;
    codemem_destroy(&stubs->mem);
    free(stubs);
}

void stub_flush(struct stubs *stubs)
{
    memset(stubs->slot, 0, sizeof(stubs->slot));
    stubs->count = 0;
    stubs->used = 0;
}

/* --- Emission. RDI is the cpu, RSI the buffer; RAX returns RFLAGS. */

struct emitter {
    uint8_t *p;
    bool vex; /* AVX moves, which clear or carry the upper half, instead of SSE ones */
};

#define CPU_VEC(n) ((uint32_t)(offsetof(struct cpu, vec) + (n) * sizeof(union vec)))
#define CPU_GPR(n) ((uint32_t)(offsetof(struct cpu, gpr) + (n) * sizeof(uint64_t)))
#define CPU_MM(n) ((uint32_t)(offsetof(struct cpu, fx.st) + ((n)&7) * 16u))
#define CPU_FX ((uint32_t)offsetof(struct cpu, fx))
#define CPU_HOST_MXCSR ((uint32_t)offsetof(struct cpu, fx.mxcsr))
#define CPU_MXCSR ((uint32_t)offsetof(struct cpu, mxcsr))
#define CPU_RFLAGS ((uint32_t)offsetof(struct cpu, rflags))

#define EMIT(e, ...) emit((e), (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void emit(struct emitter *e, const uint8_t *bytes, size_t size)
{
    memcpy(e->p, bytes, size);
    e->p += size;
}

/* ModRM and displacement of [RDI + disp32]. */
static void emit_cpu_field(struct emitter *e, unsigned reg, uint32_t offset)
{
    EMIT(e, (uint8_t)(0x87 | (reg & 7) << 3));
    emit(e, (const uint8_t *)&offset, sizeof(offset));
}

static void emit_move_vec(struct emitter *e, bool store, unsigned reg, uint32_t offset)
{
    uint8_t opcode = store ? 0x11 : 0x10; /* (V)MOVUPS */
    if (e->vex)
        EMIT(e, 0xc4, reg < 8 ? 0xe1 : 0x61, 0x7c, opcode);
    else if (reg < 8)
        EMIT(e, 0x0f, opcode);
    else
        EMIT(e, 0x44, 0x0f, opcode);
    emit_cpu_field(e, reg, offset);
}

static void emit_move_gpr(struct emitter *e, bool store, unsigned reg, uint32_t offset)
{
    EMIT(e, reg < 8 ? 0x48 : 0x4c, store ? 0x89 : 0x8b);
    emit_cpu_field(e, reg, offset);
}

static void emit_move_mm(struct emitter *e, bool store, unsigned reg, uint32_t offset)
{
    EMIT(e, 0x0f, store ? 0x7f : 0x6f); /* MOVQ */
    emit_cpu_field(e, reg, offset);
    if (store) { /* MOV word: a write to MMX sets the exponent to ones (SDM vol. 1, 9.6.2) */
        EMIT(e, 0x66, 0xc7);
        emit_cpu_field(e, 0, offset + 8);
        EMIT(e, 0xff, 0xff);
    }
}

/* Moves an operand between host register and cpu. Registers that the opcode implies are not
 * numbered by encode_for_host() and are left to emit_implicit(). */
static void emit_move_operand(struct emitter *e, bool store, const struct dec_operand *host,
                              unsigned guest)
{
    switch (host->kind) {
    case DEC_OPERAND_VEC:
        if (host->reg >= ENCODE_REG)
            emit_move_vec(e, store, host->reg, CPU_VEC(guest));
        break;
    case DEC_OPERAND_GPR:
        if (host->reg >= ENCODE_REG)
            emit_move_gpr(e, store, host->reg, CPU_GPR(guest));
        break;
    case DEC_OPERAND_MM:
        emit_move_mm(e, store, host->reg, CPU_MM(guest));
        break;
    default:
        break;
    }
}

static void emit_implicit_loads(struct emitter *e, enum dec_op op)
{
    switch (op) {
    case DEC_OP_BLENDVPS:
    case DEC_OP_BLENDVPD:
    case DEC_OP_PBLENDVB:
    case DEC_OP_SHA256RNDS2:
        emit_move_vec(e, false, 0, CPU_VEC(0));
        break;
    case DEC_OP_PCMPESTRI:
    case DEC_OP_PCMPESTRM:
    case DEC_OP_VPCMPESTRI:
    case DEC_OP_VPCMPESTRM:
        emit_move_gpr(e, false, REG_RAX, CPU_GPR(REG_RAX));
        emit_move_gpr(e, false, REG_RDX, CPU_GPR(REG_RDX));
        break;
    default:
        break;
    }
}

static void emit_implicit_stores(struct emitter *e, enum dec_op op)
{
    switch (op) {
    case DEC_OP_PCMPESTRI:
    case DEC_OP_PCMPISTRI:
    case DEC_OP_VPCMPESTRI:
    case DEC_OP_VPCMPISTRI:
        emit_move_gpr(e, true, REG_RCX, CPU_GPR(REG_RCX));
        break;
    case DEC_OP_PCMPESTRM:
    case DEC_OP_PCMPISTRM:
    case DEC_OP_VPCMPESTRM:
    case DEC_OP_VPCMPISTRM:
        emit_move_vec(e, true, 0, CPU_VEC(0));
        break;
    default:
        break;
    }
}

/* MXCSR: between stubs the host's has its default control bits, but the flags stay as the guest's
 * last instruction left them, because a flag that comes up or goes away costs the host some 70 ns.
 * So the guest's is loaded only where it is not there already.
 *
 *     stmxcsr [rsp - 8]; mov ecx, [rsp - 8]; cmp ecx, mxcsr; je 1f; ldmxcsr mxcsr; 1: */
static void emit_enter_mxcsr(struct emitter *e)
{
    EMIT(e, 0x0f, 0xae, 0x5c, 0x24, 0xf8, 0x8b, 0x4c, 0x24, 0xf8, 0x3b);
    emit_cpu_field(e, REG_RCX, CPU_MXCSR);
    EMIT(e, 0x74, 7, 0x0f, 0xae);
    emit_cpu_field(e, 2, CPU_MXCSR);
}

/* stmxcsr mxcsr; mov ecx, mxcsr; and ecx, ~flags; cmp ecx, default; je 1f; ldmxcsr default; 1: */
static void emit_leave_mxcsr(struct emitter *e)
{
    EMIT(e, 0x0f, 0xae);
    emit_cpu_field(e, 3, CPU_MXCSR);
    EMIT(e, 0x8b);
    emit_cpu_field(e, REG_RCX, CPU_MXCSR);
    EMIT(e, 0x83, 0xe1, 0xc0, 0x81, 0xf9, MXCSR_DEFAULT & 0xff, MXCSR_DEFAULT >> 8, 0, 0);
    EMIT(e, 0x74, 7, 0x0f, 0xae);
    emit_cpu_field(e, 2, CPU_HOST_MXCSR);
}

/* MOV EAX, rflags; AND EAX, status flags; PUSH RAX; POPFQ */
static void emit_load_flags(struct emitter *e)
{
    EMIT(e, 0x8b);
    emit_cpu_field(e, 0, CPU_RFLAGS);
    EMIT(e, 0x25, FLAGS_STATUS & 0xff, FLAGS_STATUS >> 8, 0, 0, 0x50, 0x9d);
}

/* PUSHFQ; POP RAX */
static void emit_store_flags(struct emitter *e)
{
    EMIT(e, 0x9c, 0x58);
}

/* FXRSTOR64, FXSAVE64 (which does not wait); then FNINIT, so that nothing stays pending. */
static void emit_x87(struct emitter *e, const struct encoded *host, const struct dec_info *info)
{
    EMIT(e, 0x48, 0x0f, 0xae);
    emit_cpu_field(e, 1, CPU_FX);
    if (info->flags_read)
        emit_load_flags(e);
    emit(e, host->bytes, host->length);
    if (info->flags_written)
        emit_store_flags(e);
    EMIT(e, 0x48, 0x0f, 0xae);
    emit_cpu_field(e, 0, CPU_FX);
    EMIT(e, 0xdb, 0xe3);
}

/* Legacy SSE leaves the upper halves of registers alone: it never sees them, for only the lower 16
 * bytes are loaded and stored. VEX encodings clear what is beyond their destination. */
static void emit_vector(struct emitter *e, const struct dec_insn *insn, const struct encoded *host,
                        const struct dec_info *info)
{
    bool mxcsr = info->attributes & DEC_ATTR_MXCSR;
    bool mm = false;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        emit_move_operand(e, false, &host->insn.operand[i], insn->operand[i].reg);
        mm |= insn->operand[i].kind == DEC_OPERAND_MM;
    }
    emit_implicit_loads(e, insn->op);
    if (mxcsr)
        emit_enter_mxcsr(e);
    emit(e, host->bytes, host->length);
    if (info->flags_written)
        emit_store_flags(e);
    if (mxcsr)
        emit_leave_mxcsr(e);
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].access & DEC_WRITE)
            emit_move_operand(e, true, &host->insn.operand[i], insn->operand[i].reg);
    }
    emit_implicit_stores(e, insn->op);
    if (e->vex)
        EMIT(e, 0xc5, 0xf8, 0x77); /* VZEROUPPER */
    if (mm)
        EMIT(e, 0x0f, 0x77); /* EMMS */
}

static size_t emit_stub(uint8_t *at, const struct dec_insn *insn, const struct encoded *host)
{
    const struct dec_info *info = dec_info(insn->op);
    struct emitter e = {.p = at, .vex = insn->prefixes & DEC_PREFIX_VEX};
    if (info->op_class == DEC_CLASS_X87)
        emit_x87(&e, host, info);
    else
        emit_vector(&e, insn, host, info);
    EMIT(&e, 0xc3);
    return (size_t)(e.p - at);
}

/* --- Lookup. */

static void make_key(struct stub_key *key, const struct dec_insn *insn, const struct encoded *host)
{
    memset(key, 0, sizeof(*key));
    memcpy(key->bytes, host->bytes, host->length);
    key->length = host->length;
    for (unsigned i = 0; i < insn->operand_count; i++)
        key->reg[i] = insn->operand[i].reg;
}

/* FNV-1a. */
static uint32_t hash_key(const struct stub_key *key)
{
    const uint8_t *bytes = (const uint8_t *)key;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof(*key); i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

enum stub_status stub_get(struct stubs *stubs, const struct dec_insn *insn, stub_fn **fn)
{
    struct encoded host;
    struct stub_key key;
    if (!encode_for_host(insn, &host))
        return STUB_UNENCODABLE;
    make_key(&key, insn, &host);

    uint32_t i = hash_key(&key) % SLOTS;
    while (stubs->slot[i].key.length && memcmp(&stubs->slot[i].key, &key, sizeof(key)))
        i = (i + 1) % SLOTS;
    struct slot *slot = &stubs->slot[i];
    if (!slot->key.length) {
        if (stubs->count == STUBS_LIMIT || stubs->used + STUB_MAX > stubs->mem.size)
            return STUB_FULL;
        slot->key = key;
        slot->offset = (uint32_t)stubs->used;
        stubs->used += align_up(emit_stub(stubs->mem.write + stubs->used, insn, &host), 16);
        stubs->count++;
    }
    *fn = (stub_fn *)(uintptr_t)(stubs->mem.exec + slot->offset);
    return STUB_OK;
}

bool interp_attach_code(struct cpu *cpu, struct interp_insn *in)
{
    stub_fn *fn = NULL;
    bool needed = in->handler != interp_raise_ud && in->handler != interp_raise_nm &&
                  (vector_needs_code(&in->insn) || x87_needs_code(&in->insn));
    enum stub_status status = needed ? stub_get(cpu->stubs, &in->insn, &fn) : STUB_OK;
    if (status == STUB_FULL)
        return false;
    if (status == STUB_UNENCODABLE)
        in->handler = interp_raise_ud;
    in->code = (const void *)(uintptr_t)fn;
    return true;
}
