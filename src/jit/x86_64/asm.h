/* An assembler for what the translator emits: instructions by opcode with a register and a register
 * or memory operand. The caller sees to it that there is room. */
#ifndef DOPPEL_JIT_X86_64_ASM_H
#define DOPPEL_JIT_X86_64_ASM_H

#include "base/bits.h"
#include "cpu/state.h"

/* Host registers by number. The guest's RAX-RDI (but RSP), R8 and R12-R14 live in the registers of
 * their names, its RSP in R15; its R9-R11 and R15 stay in struct cpu, which GS points to. The
 * host's RSP is cpu->tlb: calls of thunks push into the room below the table. */
enum host_reg {
    HOST_RAX,
    HOST_RCX,
    HOST_RDX,
    HOST_RBX,
    HOST_RSP,
    HOST_RBP,
    HOST_RSI,
    HOST_RDI,
    HOST_T0 = 9,
    HOST_T1 = 10,
    HOST_T2 = 11,
    HOST_GUEST_RSP = 15,
};

struct assembler {
    uint8_t *p;
#ifdef DOPPEL_RECORD_OPERANDS
    ptrdiff_t to_record; /* from a byte of code to its record (jit/operands.h) */
#endif
};

/* What a register or memory operand is. The memory primitive alone makes RM_GUEST. */
enum asm_rm_kind {
    RM_REG,
    RM_CPU,     /* a field of struct cpu */
    RM_GUEST,   /* the guest's memory */
    RM_STRING,  /* the guest's memory, of REP MOVS and REP STOS */
    RM_STACK,   /* the TLB, or the room below it */
    RM_OWN,     /* the translator's tables: jumps, decoded instructions, counters */
    RM_ADDRESS, /* LEA's: nothing is accessed */
};

/* What ModRM.rm names. This and struct asm_op fit in a register each. */
struct asm_rm {
    uint8_t kind; /* enum asm_rm_kind */
    uint8_t reg;  /* RM_REG: it; RM_CPU: 0; others: the base */
    int32_t disp; /* RM_CPU: offset in struct cpu */
};

static inline struct asm_rm rm_reg(unsigned reg)
{
    return (struct asm_rm){RM_REG, (uint8_t)reg, 0};
}

/* A field of an entry of the jump table or a decoded instruction, or a counter. */
static inline struct asm_rm rm_own(unsigned base, int32_t disp)
{
    return (struct asm_rm){RM_OWN, (uint8_t)base, disp};
}

static inline struct asm_rm rm_cpu(size_t offset)
{
    return (struct asm_rm){RM_CPU, 0, (int32_t)offset};
}

#define RM_FIELD(member) rm_cpu(offsetof(struct cpu, member))

static inline struct asm_rm rm_gpr(unsigned reg)
{
    return rm_cpu(offsetof(struct cpu, gpr) + 8 * reg);
}

/* An instruction without its operands. */
struct asm_op {
    uint8_t opcode;
    uint8_t map : 2; /* enum dec_map */
    uint8_t pp : 2;  /* enum dec_pp */
    bool w : 1;      /* 64 bits */
    bool opsize : 1; /* 16 bits */
    bool lock : 1;
    bool byte : 1; /* registers are bytes: SPL to DIL, never AH to BH */
};

/* What each byte of the code cache is, for a build that records it; ASM_OPERAND and a kind of
 * memory operand at its ModRM byte, or the opcode of a string instruction. */
enum asm_record { ASM_NOTHING, ASM_CODE, ASM_DATA, ASM_OPERAND };

static inline void asm_record(struct assembler *a, uint8_t *at, size_t size, unsigned record)
{
#ifdef DOPPEL_RECORD_OPERANDS
    memset(at + a->to_record, (int)record, size);
#else
    (void)a, (void)at, (void)size, (void)record;
#endif
}

static inline void asm_8(struct assembler *a, unsigned byte)
{
    asm_record(a, a->p, 1, ASM_CODE);
    *a->p++ = (uint8_t)byte;
}

static inline void asm_32(struct assembler *a, uint32_t value)
{
    asm_record(a, a->p, 4, ASM_CODE);
    memcpy(a->p, &value, 4);
    a->p += 4;
}

static inline void asm_64(struct assembler *a, uint64_t value)
{
    asm_record(a, a->p, 8, ASM_CODE);
    memcpy(a->p, &value, 8);
    a->p += 8;
}

static inline void asm_imm(struct assembler *a, uint64_t value, unsigned size)
{
    asm_record(a, a->p, size, ASM_CODE);
    memcpy(a->p, &value, 8);
    a->p += size;
}

/* An instruction without a memory operand. */
static inline void asm_bytes(struct assembler *a, const void *bytes, size_t size)
{
    asm_record(a, a->p, size, ASM_CODE);
    memcpy(a->p, bytes, size);
    a->p += size;
}

/* What is never executed. */
static inline void asm_data(struct assembler *a, const void *bytes, size_t size)
{
    asm_record(a, a->p, size, ASM_DATA);
    memcpy(a->p, bytes, size);
    a->p += size;
}

static inline void asm_modrm(struct assembler *a, unsigned reg, struct asm_rm rm)
{
    uint8_t *modrm = a->p;
    reg = (reg & 7) << 3;
    if (rm.kind == RM_REG) {
        asm_8(a, 0xc0 | reg | (rm.reg & 7));
    } else if (rm.kind == RM_CPU) { /* disp32 without base and index */
        asm_8(a, reg | 4);
        asm_8(a, 0x25);
        asm_32(a, (uint32_t)rm.disp);
    } else {
        unsigned mod = rm.disp == (int8_t)rm.disp ? 0x40 : 0x80;
        if (!rm.disp && (rm.reg & 7) != 5)
            mod = 0;
        asm_8(a, mod | reg | (rm.reg & 7));
        if ((rm.reg & 7) == 4)
            asm_8(a, 0x24);
        if (mod == 0x40)
            asm_8(a, (uint8_t)rm.disp);
        else if (mod)
            asm_32(a, (uint32_t)rm.disp);
    }
    if (rm.kind != RM_REG)
        asm_record(a, modrm, 1, ASM_OPERAND + rm.kind);
}

static inline void asm_rex(struct assembler *a, struct asm_op op, unsigned reg, unsigned index,
                           struct asm_rm rm)
{
    unsigned rex = op.w << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | rm.reg >> 3;
    bool low_byte = op.byte && (reg >= 4 || (rm.kind == RM_REG && rm.reg >= 4));
    if (rex || low_byte)
        asm_8(a, 0x40 | rex);
}

static inline void asm_prefixes(struct assembler *a, struct asm_op op, struct asm_rm rm)
{
    static const uint8_t mandatory[] = {0, 0x66, 0xf3, 0xf2};
    if (rm.kind == RM_CPU)
        asm_8(a, 0x65);
    if (op.lock)
        asm_8(a, 0xf0);
    if (op.opsize)
        asm_8(a, 0x66);
    if (op.pp)
        asm_8(a, mandatory[op.pp]);
}

static inline void asm_opcode(struct assembler *a, struct asm_op op)
{
    if (op.map != DEC_MAP_ONE)
        asm_8(a, 0x0f);
    if (op.map == DEC_MAP_0F38)
        asm_8(a, 0x38);
    if (op.map == DEC_MAP_0F3A)
        asm_8(a, 0x3a);
    asm_8(a, op.opcode);
}

/* `reg` is a register's number or an opcode extension. An immediate is the caller's to append. */
static inline void asm_insn(struct assembler *a, struct asm_op op, unsigned reg, struct asm_rm rm)
{
    asm_prefixes(a, op, rm);
    asm_rex(a, op, reg, 0, rm);
    asm_opcode(a, op);
    asm_modrm(a, reg, rm);
}

/* The same with a VEX prefix. */
static inline void asm_vex(struct assembler *a, struct asm_op op, unsigned l, unsigned reg,
                           unsigned vvvv, struct asm_rm rm)
{
    unsigned last = (~vvvv & 15) << 3 | l << 2 | op.pp;
    if (rm.kind == RM_CPU)
        asm_8(a, 0x65);
    if (op.map == DEC_MAP_0F && !op.w && rm.reg < 8) {
        asm_8(a, 0xc5);
        asm_8(a, (reg < 8) << 7 | last);
    } else {
        asm_8(a, 0xc4);
        asm_8(a, (reg < 8) << 7 | 1 << 6 | (rm.reg < 8) << 5 | op.map);
        asm_8(a, op.w << 7 | last);
    }
    asm_8(a, op.opcode);
    asm_modrm(a, reg, rm);
}

/* 64-bit and 32-bit one-byte opcodes. */
static inline void asm_q(struct assembler *a, unsigned opcode, unsigned reg, struct asm_rm rm)
{
    asm_insn(a, (struct asm_op){.opcode = (uint8_t)opcode, .w = true}, reg, rm);
}

static inline void asm_l(struct assembler *a, unsigned opcode, unsigned reg, struct asm_rm rm)
{
    asm_insn(a, (struct asm_op){.opcode = (uint8_t)opcode}, reg, rm);
}

#define ASM_STORE 0x89 /* MOV r/m, r */
#define ASM_LOAD 0x8b  /* MOV r, r/m */

static inline void asm_mov(struct assembler *a, unsigned dst, unsigned src)
{
    asm_q(a, ASM_LOAD, dst, rm_reg(src));
}

static inline void asm_load(struct assembler *a, unsigned dst, struct asm_rm rm)
{
    asm_q(a, ASM_LOAD, dst, rm);
}

static inline void asm_store(struct assembler *a, struct asm_rm rm, unsigned src)
{
    asm_q(a, ASM_STORE, src, rm);
}

/* MOV r32, imm32 */
static inline void asm_mov_imm32(struct assembler *a, unsigned dst, uint32_t value)
{
    if (dst >= 8)
        asm_8(a, 0x41);
    asm_8(a, 0xb8 | (dst & 7));
    asm_32(a, value);
}

static inline void asm_mov_imm64(struct assembler *a, unsigned dst, uint64_t value)
{
    asm_8(a, 0x48 | dst >> 3);
    asm_8(a, 0xb8 | (dst & 7));
    asm_64(a, value);
}

/* LEA dst, [base + index * scale + disp]; DEC_NO_REG for absent ones; wide: 64 bits. */
static inline void asm_lea(struct assembler *a, bool wide, unsigned dst, unsigned base,
                           unsigned index, unsigned scale, int32_t disp)
{
    bool has_base = base != DEC_NO_REG, has_index = index != DEC_NO_REG;
    unsigned rex = wide << 3 | (dst >> 3) << 2 | (has_index ? index >> 3 : 0) << 1 |
                   (has_base ? base >> 3 : 0);
    if (rex)
        asm_8(a, 0x40 | rex);
    asm_8(a, 0x8d);
    unsigned reg = (dst & 7) << 3;
    if (has_base && !has_index) {
        asm_modrm(a, dst, (struct asm_rm){RM_ADDRESS, (uint8_t)base, disp});
        return;
    }
    unsigned mod = 0x80;
    if (!has_base || (!disp && (base & 7) != 5))
        mod = 0;
    else if (disp == (int8_t)disp)
        mod = 0x40;
    asm_8(a, mod | reg | 4);
    asm_record(a, a->p - 1, 1, ASM_OPERAND + RM_ADDRESS);
    asm_8(a, (unsigned)__builtin_ctz(has_index ? scale : 1) << 6 |
                 (has_index ? index & 7 : 4) << 3 | (has_base ? base & 7 : 5));
    if (mod == 0x40)
        asm_8(a, (uint8_t)disp);
    else if (mod || !has_base)
        asm_32(a, (uint32_t)disp);
}

/* An opcode with r64 and [RSP + T1 + disp8]: a field of the TLB's entry at T1. */
static inline void asm_tlb_q(struct assembler *a, unsigned opcode, unsigned reg, unsigned disp)
{
    asm_8(a, 0x4a | (reg >> 3) << 2);
    asm_8(a, opcode);
    asm_8(a, (disp ? 0x44 : 0x04) | (reg & 7) << 3);
    asm_record(a, a->p - 1, 1, ASM_OPERAND + RM_STACK);
    asm_8(a, (HOST_T1 & 7) << 3 | HOST_RSP);
    if (disp)
        asm_8(a, disp);
}

/* Relative branches return where their rel32 is. exec - write is `delta`. */
static inline uint8_t *asm_jmp(struct assembler *a)
{
    asm_8(a, 0xe9);
    asm_32(a, 0);
    return a->p - 4;
}

static inline uint8_t *asm_jcc(struct assembler *a, unsigned cond)
{
    asm_8(a, 0x0f);
    asm_8(a, 0x80 | cond);
    asm_32(a, 0);
    return a->p - 4;
}

static inline uint8_t *asm_call(struct assembler *a)
{
    asm_8(a, 0xe8);
    asm_32(a, 0);
    return a->p - 4;
}

/* Sets the rel32 at `site` to `target`, an address in the same view. */
static inline void asm_patch(uint8_t *site, const uint8_t *target)
{
    int32_t rel = (int32_t)(target - (site + 4));
    memcpy(site, &rel, 4);
}

#endif
