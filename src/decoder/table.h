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

/* How large an operand is, in bytes, with operand sizes of 2, 4 and 8 bytes; VEX takes the second
 * or third column by W, and the fourth with VEX.L. */
#define SIZE_none 0, 0, 0, 0
#define SIZE_b 1, 1, 1, 1
#define SIZE_w 2, 2, 2, 2
#define SIZE_d 4, 4, 4, 4
#define SIZE_q 8, 8, 8, 8
#define SIZE_t 10, 10, 10, 10
#define SIZE_dq 16, 16, 16, 16
#define SIZE_qq 32, 32, 32, 32
#define SIZE_v 2, 4, 8, 4
#define SIZE_z 2, 4, 4, 4
#define SIZE_y 4, 4, 8, 4
#define SIZE_x 16, 16, 16, 32
#define SIZE_x_2 8, 8, 8, 16 /* half, a quarter and an eighth of x */
#define SIZE_x_4 4, 4, 4, 8
#define SIZE_x_8 2, 2, 2, 4
#define SIZE_dup 8, 8, 8, 32        /* MOVDDUP's source */
#define SIZE_p 4, 6, 10, 6          /* far pointer */
#define SIZE_s 6, 6, 10, 6          /* descriptor table register */
#define SIZE_a 4, 8, 16, 8          /* BOUND's pair */
#define SIZE_env 14, 28, 28, 28     /* x87 environment */
#define SIZE_save 94, 108, 108, 108 /* x87 state */
#define SIZE_fx 512, 512, 512, 512  /* FXSAVE's image */

/* Where an operand is in the encoding. */
enum dec_method {
    METHOD_RM, /* modrm.rm: register or memory */
    METHOD_REG,
    METHOD_VVVV,
    METHOD_OPCODE, /* the opcode's low bits */
    METHOD_FIXED,  /* implied by the opcode */
    /* After modrm and its displacement. */
    METHOD_OFFSET, /* memory at an absolute offset */
    METHOD_IS4,    /* the register in the high bits of an immediate byte */
    METHOD_IMM,    /* zero-extended */
    METHOD_SIMM,   /* sign-extended */
    METHOD_IMM2,   /* the second immediate */
    METHOD_ONE,    /* the constant 1 */
    METHOD_REL,
    METHOD_FAR,
};

/* Operands: RM(name, kind of register, size, kind of memory, size), where NONE is #UD, are those in
 * modrm.rm; SPEC(name, method, kind, size) the others. First come those that need modrm; of these
 * first the vectors, ending with those in VEX.vvvv. */
#define DEC_SPECS(RM, SPEC)                                                                        \
    SPEC(Vx, REG, VEC, x)                                                                          \
    SPEC(Vdq, REG, VEC, dq)                                                                        \
    RM(Wx, VEC, x, MEM, x)                                                                         \
    RM(Wdq, VEC, dq, MEM, dq)                                                                      \
    RM(Wq, VEC, dq, MEM, q)                                                                        \
    RM(Wd, VEC, dq, MEM, d)                                                                        \
    RM(Ww, VEC, dq, MEM, w)                                                                        \
    RM(Wb, VEC, dq, MEM, b)                                                                        \
    RM(Wx_2, VEC, dq, MEM, x_2)                                                                    \
    RM(Wx_4, VEC, dq, MEM, x_4)                                                                    \
    RM(Wx_8, VEC, dq, MEM, x_8)                                                                    \
    RM(Wdup, VEC, x, MEM, dup)                                                                     \
    RM(Ux, VEC, x, NONE, none)                                                                     \
    SPEC(Hx, VVVV, VEC, x)                                                                         \
    SPEC(Hdq, VVVV, VEC, dq)                                                                       \
    SPEC(By, VVVV, GPR, y)                                                                         \
    SPEC(Pq, REG, MM, q)                                                                           \
    RM(Qq, MM, q, MEM, q)                                                                          \
    RM(Qd, MM, q, MEM, d)                                                                          \
    RM(Nq, MM, q, NONE, none)                                                                      \
    RM(Eb, GPR, b, MEM, b)                                                                         \
    RM(Ew, GPR, w, MEM, w)                                                                         \
    RM(Ed, GPR, d, MEM, d)                                                                         \
    RM(Eq, GPR, q, MEM, q)                                                                         \
    RM(Ev, GPR, v, MEM, v)                                                                         \
    RM(Ez, GPR, z, MEM, z)                                                                         \
    RM(Ey, GPR, y, MEM, y)                                                                         \
    RM(RvMw, GPR, v, MEM, w)                                                                       \
    RM(RdMb, GPR, d, MEM, b)                                                                       \
    RM(RdMw, GPR, d, MEM, w)                                                                       \
    RM(Rv, GPR, v, NONE, none)                                                                     \
    RM(Ry, GPR, y, NONE, none)                                                                     \
    SPEC(Gb, REG, GPR, b)                                                                          \
    SPEC(Gw, REG, GPR, w)                                                                          \
    SPEC(Gd, REG, GPR, d)                                                                          \
    SPEC(Gv, REG, GPR, v)                                                                          \
    SPEC(Gy, REG, GPR, y)                                                                          \
    SPEC(Sw, REG, SEG, w)                                                                          \
    SPEC(Cy, REG, CR, y)                                                                           \
    SPEC(Dy, REG, DR, y)                                                                           \
    RM(M, NONE, none, MEM, none)                                                                   \
    RM(Mb, NONE, none, MEM, b)                                                                     \
    RM(Mw, NONE, none, MEM, w)                                                                     \
    RM(Md, NONE, none, MEM, d)                                                                     \
    RM(Mq, NONE, none, MEM, q)                                                                     \
    RM(Mt, NONE, none, MEM, t)                                                                     \
    RM(Mdq, NONE, none, MEM, dq)                                                                   \
    RM(Mv, NONE, none, MEM, v)                                                                     \
    RM(My, NONE, none, MEM, y)                                                                     \
    RM(Mx, NONE, none, MEM, x)                                                                     \
    RM(Mp, NONE, none, MEM, p)                                                                     \
    RM(Ms, NONE, none, MEM, s)                                                                     \
    RM(Ma, NONE, none, MEM, a)                                                                     \
    RM(Menv, NONE, none, MEM, env)                                                                 \
    RM(Msave, NONE, none, MEM, save)                                                               \
    RM(Mfx, NONE, none, MEM, fx)                                                                   \
    RM(STi, ST, t, NONE, none)                                                                     \
    SPEC(Zb, OPCODE, GPR, b)                                                                       \
    SPEC(Zv, OPCODE, GPR, v)                                                                       \
    SPEC(Lx, IS4, VEC, x)                                                                          \
    SPEC(Ib, IMM, IMM, b)                                                                          \
    SPEC(Iw, IMM, IMM, w)                                                                          \
    SPEC(Iv, IMM, IMM, v)                                                                          \
    SPEC(Iz, SIMM, IMM, z)                                                                         \
    SPEC(sIb, SIMM, IMM, b)                                                                        \
    SPEC(I2b, IMM2, IMM, b)                                                                        \
    SPEC(One, ONE, IMM, b)                                                                         \
    SPEC(Jb, REL, REL, b)                                                                          \
    SPEC(Jz, REL, REL, z)                                                                          \
    SPEC(Ap, FAR, FAR, p)                                                                          \
    SPEC(Ob, OFFSET, MEM, b)                                                                       \
    SPEC(Ov, OFFSET, MEM, v)

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
#define NAME(name, ...) name,
    DEC_SPECS(NAME, NAME) DEC_FIXED(NAME)
#undef NAME
        SPEC_COUNT
};

/* What else holds of an entry. */
enum dec_rule {
    /* The operand size in 64-bit mode; operand.c has a table by these three. */
    D64 = 1 << 0,   /* 64 bits, or 16 with prefix 66 */
    F64 = 1 << 1,   /* 64 bits */
    NO_64 = 1 << 2, /* never 64 bits: REX.W is 32, prefix 66 or not */
    /* What makes it undefined. */
    I64 = 1 << 3, /* 64-bit mode */
    O64 = 1 << 4, /* any other mode */
    NP = 1 << 5,  /* prefixes 66, F2, F3 */
    NFX = 1 << 6, /* prefixes F2, F3 */
    L0 = 1 << 7,  /* VEX.L other than 0, and so on */
    L1 = 1 << 8,
    W0 = 1 << 9,
    W1 = 1 << 10,
    NO_VVVV = 1 << 11, /* VEX.vvvv other than 1111: set by ENTRY() */
    /* How it is decoded. */
    LIG = 1 << 12,       /* VEX.L is ignored */
    BYTE = 1 << 13,      /* operates on bytes: operand_size is 1 */
    VECTOR = 1 << 14,    /* operates on vectors: operand_size is 16 or 32 */
    HAS_MODRM = 1 << 15, /* set by ENTRY() */
    MOD3 = 1 << 16,      /* modrm.mod is taken as 3 whatever it is */
    VSIB = 1 << 17,
    COND = 15 << 18, /* the opcode's low bits are a condition: the mask for them */
};

#define COND_SHIFT 18

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
