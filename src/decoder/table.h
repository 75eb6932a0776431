/* The opcode tables and the notation they are written in: that of the opcode maps in appendix A of
 * the Intel SDM, volume 2. Private to the decoder.
 *
 * An entry is an instruction (READ, WRITE, MODIFY: what it does to its first operand; the others
 * are read), a split into more entries by something else in the encoding (BY_...), or undefined
 * (UD, and whatever a table leaves out). */
#ifndef DOPPEL_DECODER_TABLE_H
#define DOPPEL_DECODER_TABLE_H

#include "decoder/catalogue.h"
#include "decoder/insn.h"

/* How large an operand is. The columns are operand sizes of 2, 4 and 8 bytes; VEX takes the second
 * or third by W, and the fourth with VEX.L. */
#define DEC_SIZES(SIZE)                                                                            \
    SIZE(none, 0, 0, 0, 0)                                                                         \
    SIZE(b, 1, 1, 1, 1)                                                                            \
    SIZE(w, 2, 2, 2, 2)                                                                            \
    SIZE(d, 4, 4, 4, 4)                                                                            \
    SIZE(q, 8, 8, 8, 8)                                                                            \
    SIZE(t, 10, 10, 10, 10)                                                                        \
    SIZE(dq, 16, 16, 16, 16)                                                                       \
    SIZE(qq, 32, 32, 32, 32)                                                                       \
    SIZE(v, 2, 4, 8, 4)                                                                            \
    SIZE(z, 2, 4, 4, 4)                                                                            \
    SIZE(y, 4, 4, 8, 4)                                                                            \
    SIZE(x, 16, 16, 16, 32)                                                                        \
    SIZE(x_2, 8, 8, 8, 16) /* half, a quarter and an eighth of x */                                \
    SIZE(x_4, 4, 4, 4, 8)                                                                          \
    SIZE(x_8, 2, 2, 2, 4)                                                                          \
    SIZE(dup, 8, 8, 8, 32)        /* MOVDDUP's source */                                           \
    SIZE(p, 4, 6, 10, 6)          /* far pointer */                                                \
    SIZE(s, 6, 6, 10, 6)          /* descriptor table register */                                  \
    SIZE(a, 4, 8, 16, 8)          /* BOUND's pair */                                               \
    SIZE(env, 14, 28, 28, 28)     /* x87 environment */                                            \
    SIZE(save, 94, 108, 108, 108) /* x87 state */                                                  \
    SIZE(fx, 512, 512, 512, 512)

enum dec_size {
#define SIZE(name, ...) SIZE_##name,
    DEC_SIZES(SIZE)
#undef SIZE
};

/* Where an operand is in the encoding. */
enum dec_method {
    METHOD_RM,     /* modrm.rm: register or memory */
    METHOD_RM_REG, /* modrm.rm: #UD if memory */
    METHOD_RM_MEM, /* modrm.rm: #UD if a register */
    METHOD_REG,    /* modrm.reg */
    METHOD_VVVV,
    METHOD_OPCODE, /* the opcode's low bits */
    METHOD_FIXED,  /* implied by the opcode */
    /* Those above are registers, or the memory that modrm names. */
    METHOD_OFFSET, /* memory at an absolute offset */
    METHOD_IS4,    /* the register in the high bits of an immediate byte */
    METHOD_IMM,    /* zero-extended */
    METHOD_SIMM,   /* sign-extended */
    METHOD_IMM2,   /* the second immediate */
    METHOD_ONE,    /* the constant 1 */
    METHOD_REL,
    METHOD_FAR,
};

/* Operands: SPEC(name, method, kind of register, size in a register, size in memory). First those
 * that need modrm; of these first the vectors, ending with those in VEX.vvvv. */
#define DEC_SPECS(SPEC)                                                                            \
    SPEC(Vx, REG, VEC, x, none)                                                                    \
    SPEC(Vdq, REG, VEC, dq, none)                                                                  \
    SPEC(Wx, RM, VEC, x, x)                                                                        \
    SPEC(Wdq, RM, VEC, dq, dq)                                                                     \
    SPEC(Wq, RM, VEC, dq, q)                                                                       \
    SPEC(Wd, RM, VEC, dq, d)                                                                       \
    SPEC(Ww, RM, VEC, dq, w)                                                                       \
    SPEC(Wb, RM, VEC, dq, b)                                                                       \
    SPEC(Wx_2, RM, VEC, dq, x_2)                                                                   \
    SPEC(Wx_4, RM, VEC, dq, x_4)                                                                   \
    SPEC(Wx_8, RM, VEC, dq, x_8)                                                                   \
    SPEC(Wdup, RM, VEC, x, dup)                                                                    \
    SPEC(Ux, RM_REG, VEC, x, none)                                                                 \
    SPEC(Hx, VVVV, VEC, x, none)                                                                   \
    SPEC(Hdq, VVVV, VEC, dq, none)                                                                 \
    SPEC(By, VVVV, GPR, y, none)                                                                   \
    SPEC(Pq, REG, MM, q, none)                                                                     \
    SPEC(Qq, RM, MM, q, q)                                                                         \
    SPEC(Qd, RM, MM, q, d)                                                                         \
    SPEC(Nq, RM_REG, MM, q, none)                                                                  \
    SPEC(Eb, RM, GPR, b, b)                                                                        \
    SPEC(Ew, RM, GPR, w, w)                                                                        \
    SPEC(Ed, RM, GPR, d, d)                                                                        \
    SPEC(Eq, RM, GPR, q, q)                                                                        \
    SPEC(Ev, RM, GPR, v, v)                                                                        \
    SPEC(Ez, RM, GPR, z, z)                                                                        \
    SPEC(Ey, RM, GPR, y, y)                                                                        \
    SPEC(RvMw, RM, GPR, v, w)                                                                      \
    SPEC(RdMb, RM, GPR, d, b)                                                                      \
    SPEC(RdMw, RM, GPR, d, w)                                                                      \
    SPEC(Rv, RM_REG, GPR, v, none)                                                                 \
    SPEC(Ry, RM_REG, GPR, y, none)                                                                 \
    SPEC(Gb, REG, GPR, b, none)                                                                    \
    SPEC(Gw, REG, GPR, w, none)                                                                    \
    SPEC(Gd, REG, GPR, d, none)                                                                    \
    SPEC(Gv, REG, GPR, v, none)                                                                    \
    SPEC(Gy, REG, GPR, y, none)                                                                    \
    SPEC(Sw, REG, SEG, w, none)                                                                    \
    SPEC(Cy, REG, CR, y, none)                                                                     \
    SPEC(Dy, REG, DR, y, none)                                                                     \
    SPEC(M, RM_MEM, NONE, none, none)                                                              \
    SPEC(Mb, RM_MEM, NONE, none, b)                                                                \
    SPEC(Mw, RM_MEM, NONE, none, w)                                                                \
    SPEC(Md, RM_MEM, NONE, none, d)                                                                \
    SPEC(Mq, RM_MEM, NONE, none, q)                                                                \
    SPEC(Mt, RM_MEM, NONE, none, t)                                                                \
    SPEC(Mdq, RM_MEM, NONE, none, dq)                                                              \
    SPEC(Mv, RM_MEM, NONE, none, v)                                                                \
    SPEC(My, RM_MEM, NONE, none, y)                                                                \
    SPEC(Mx, RM_MEM, NONE, none, x)                                                                \
    SPEC(Mp, RM_MEM, NONE, none, p)                                                                \
    SPEC(Ms, RM_MEM, NONE, none, s)                                                                \
    SPEC(Ma, RM_MEM, NONE, none, a)                                                                \
    SPEC(Menv, RM_MEM, NONE, none, env)                                                            \
    SPEC(Msave, RM_MEM, NONE, none, save)                                                          \
    SPEC(Mfx, RM_MEM, NONE, none, fx)                                                              \
    SPEC(STi, RM_REG, ST, t, none)                                                                 \
    SPEC(Zb, OPCODE, GPR, b, none)                                                                 \
    SPEC(Zv, OPCODE, GPR, v, none)                                                                 \
    SPEC(Lx, IS4, VEC, x, none)                                                                    \
    SPEC(Ib, IMM, NONE, b, none)                                                                   \
    SPEC(Iw, IMM, NONE, w, none)                                                                   \
    SPEC(Iv, IMM, NONE, v, none)                                                                   \
    SPEC(Iz, SIMM, NONE, z, none)                                                                  \
    SPEC(sIb, SIMM, NONE, b, none)                                                                 \
    SPEC(I2b, IMM2, NONE, b, none)                                                                 \
    SPEC(One, ONE, NONE, b, none)                                                                  \
    SPEC(Jb, REL, NONE, b, none)                                                                   \
    SPEC(Jz, REL, NONE, z, none)                                                                   \
    SPEC(Ap, FAR, NONE, p, none)                                                                   \
    SPEC(Ob, OFFSET, NONE, none, b)                                                                \
    SPEC(Ov, OFFSET, NONE, none, v)

/* Operands implied by the opcode: FIXED(name, kind, size, register). */
#define DEC_FIXED(FIXED)                                                                           \
    FIXED(AL, GPR, b, REG_RAX)                                                                     \
    FIXED(CL, GPR, b, REG_RCX)                                                                     \
    FIXED(AX, GPR, w, REG_RAX)                                                                     \
    FIXED(DX, GPR, w, REG_RDX)                                                                     \
    FIXED(eAX, GPR, z, REG_RAX)                                                                    \
    FIXED(rAX, GPR, v, REG_RAX)                                                                    \
    FIXED(ES, SEG, w, SEG_ES)                                                                      \
    FIXED(CS, SEG, w, SEG_CS)                                                                      \
    FIXED(SS, SEG, w, SEG_SS)                                                                      \
    FIXED(DS, SEG, w, SEG_DS)                                                                      \
    FIXED(FS, SEG, w, SEG_FS)                                                                      \
    FIXED(GS, SEG, w, SEG_GS)                                                                      \
    FIXED(ST0, ST, t, 0)                                                                           \
    FIXED(XMM0, VEC, dq, 0)

enum dec_spec {
    SPEC_NONE,
#define SPEC(name, ...) name,
    DEC_SPECS(SPEC) DEC_FIXED(SPEC)
#undef SPEC
        SPEC_COUNT
};

/* What else holds of an entry. */
enum dec_rule {
    /* The superscripts of the opcode maps. */
    I64 = 1 << 0, /* undefined in 64-bit mode */
    O64 = 1 << 1, /* undefined outside it */
    D64 = 1 << 2, /* operand size is 64 bits in 64-bit mode, or 16 with prefix 66 */
    F64 = 1 << 3, /* operand size is 64 bits in 64-bit mode */
    /* Prefixes that make it undefined. */
    NP = 1 << 4,  /* 66, F2, F3 */
    NFX = 1 << 5, /* F2, F3 */
    L0 = 1 << 6,  /* VEX.L must be 0, and so on */
    L1 = 1 << 7,
    W0 = 1 << 8,
    W1 = 1 << 9,
    NO_VVVV = 1 << 10, /* VEX.vvvv must be 1111: set by ENTRY() */
    /* How it is decoded. */
    LIG = 1 << 11,       /* VEX.L is ignored */
    NO_64 = 1 << 12,     /* no operand size of 64 bits: REX.W is 32, prefix 66 or not */
    BYTE = 1 << 13,      /* operates on bytes: operand_size is 1 */
    VECTOR = 1 << 14,    /* operates on vectors: operand_size is 16 or 32 */
    HAS_MODRM = 1 << 15, /* set by ENTRY() */
    MOD3 = 1 << 16,      /* modrm.mod is taken as 3 whatever it is */
    VSIB = 1 << 17,
    COND = 1 << 18, /* the opcode's low bits are a condition */
};

enum dec_entry_kind {
    ENTRY_UNDEFINED,
    ENTRY_INSN,
    /* Splits: by what the table is indexed. */
    SPLIT_PREFIX, /* enum dec_pp */
    SPLIT_REP,    /* none, F3, F2 */
    SPLIT_MODE64,
    SPLIT_REX_B,
    SPLIT_W,     /* REX.W or VEX.W, which is 0 outside 64-bit mode */
    SPLIT_RAW_W, /* VEX.W in any mode */
    SPLIT_L,
    SPLIT_MOD, /* memory, register */
    SPLIT_REG, /* modrm.reg */
    SPLIT_RM,  /* modrm.rm */
};

struct dec_entry {
    uint16_t op;                       /* enum dec_op */
    uint8_t kind;                      /* enum dec_entry_kind */
    uint8_t access;                    /* 2 bits for each operand, the first lowest */
    uint8_t operand[DEC_MAX_OPERANDS]; /* enum dec_spec */
    union {
        uint32_t rules;                /* enum dec_rule */
        const struct dec_entry *table; /* of a split */
    };
};

#define IS_VECTOR(spec) ((spec) >= Vx && (spec) <= Hdq)
#define NEEDS_VVVV(spec) ((spec) >= Hx && (spec) <= By)
#define NEEDS_MODRM(spec) ((spec) >= Vx && (spec) <= STi)
#define IS_BYTE(spec) ((spec) == Eb || (spec) == Gb || (spec) == Zb || (spec) == AL || (spec) == Ob)

#define ENTRY(access_, rules_, op_, a, b, c, d, ...)                                               \
    {                                                                                              \
        .op = DEC_OP_##op_, .kind = ENTRY_INSN, .access = access_, .operand = {a, b, c, d},        \
        .rules = (rules_) | (NEEDS_MODRM(a) || NEEDS_MODRM(b) ? HAS_MODRM : 0) |                   \
                 (IS_VECTOR(a) || IS_VECTOR(b) ? VECTOR : 0) | (IS_BYTE(a) ? BYTE : 0) |           \
                 (NEEDS_VVVV(a) || NEEDS_VVVV(b) || NEEDS_VVVV(c) ? 0 : NO_VVVV)                   \
    }
#define ENTRY_(access, rules, ...) ENTRY(access, rules, __VA_ARGS__, 0, 0, 0, 0, 0)

/* Instructions, by their access to the first operand; those with _R have rules. TOUCH accesses
 * none of its operands. */
#define ACCESS(first, second) ((first) | (second) << 2 | DEC_READ << 4 | DEC_READ << 6)
#define READ_R(rules, ...) ENTRY_(ACCESS(DEC_READ, DEC_READ), rules, __VA_ARGS__)
#define WRITE_R(rules, ...) ENTRY_(ACCESS(DEC_WRITE, DEC_READ), rules, __VA_ARGS__)
#define MODIFY_R(rules, ...) ENTRY_(ACCESS(DEC_READ | DEC_WRITE, DEC_READ), rules, __VA_ARGS__)
#define READ(...) READ_R(0, __VA_ARGS__)
#define WRITE(...) WRITE_R(0, __VA_ARGS__)
#define MODIFY(...) MODIFY_R(0, __VA_ARGS__)
#define TOUCH(...) ENTRY_(0, 0, __VA_ARGS__)
#define EXCHANGE(...) ENTRY_(ACCESS(DEC_READ | DEC_WRITE, DEC_READ | DEC_WRITE), 0, __VA_ARGS__)

#define UD                                                                                         \
    {                                                                                              \
        .kind = ENTRY_UNDEFINED                                                                    \
    }
#define SPLIT(kind_, table_)                                                                       \
    {                                                                                              \
        .kind = SPLIT_##kind_, .table = table_                                                     \
    }
#define ENTRIES(count, ...) ((const struct dec_entry[count]){__VA_ARGS__})
#define BY_PREFIX(...) SPLIT(PREFIX, ENTRIES(4, __VA_ARGS__)) /* none, 66, F3, F2 */
#define BY_REP(...) SPLIT(REP, ENTRIES(3, __VA_ARGS__))       /* none, F3, F2 */
#define BY_MODE64(...) SPLIT(MODE64, ENTRIES(2, __VA_ARGS__))
#define BY_REX_B(...) SPLIT(REX_B, ENTRIES(2, __VA_ARGS__))
#define BY_W(...) SPLIT(W, ENTRIES(2, __VA_ARGS__))
#define BY_RAW_W(...) SPLIT(RAW_W, ENTRIES(2, __VA_ARGS__))
#define BY_L(...) SPLIT(L, ENTRIES(2, __VA_ARGS__))
#define BY_MOD(...) SPLIT(MOD, ENTRIES(2, __VA_ARGS__)) /* memory, register */
#define BY_REG(...) SPLIT(REG, ENTRIES(8, __VA_ARGS__))
#define BY_RM(...) SPLIT(RM, ENTRIES(8, __VA_ARGS__))

/* Indexed by opcode; by enum dec_map, where NULL is no map. */
extern const struct dec_entry dec_table_one[256], dec_table_0f[256];
extern const struct dec_entry dec_table_0f38[256], dec_table_0f3a[256];
extern const struct dec_entry dec_table_vex_0f[256];
extern const struct dec_entry dec_table_vex_0f38[256], dec_table_vex_0f3a[256];

/* D8 to DF, each by modrm.mod: memory, register. */
extern const struct dec_entry dec_table_x87[8][2];

#endif
