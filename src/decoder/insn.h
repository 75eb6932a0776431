/* What the decoder yields: one instruction as plain data, without pointers and CPU state.
 *
 * Names follow the Intel SDM volume 2. `op` names the operation and not its encoding: operand forms
 * are told apart by the operands. These families share one op each and differ by a field:
 *
 *   DEC_OP_JCC, DEC_OP_SETCC, DEC_OP_CMOVCC   `cond` holds the condition, 0 (O) to 15 (G)
 *   DEC_OP_MOV                                general registers, memory, immediates, moffs
 *   DEC_OP_MOV_SEG, DEC_OP_MOV_CR, DEC_OP_MOV_DR   to or from such a register
 *   DEC_OP_PUSH, DEC_OP_POP                   general and segment registers, memory, immediates
 *   DEC_OP_CBW (CBW, CWDE, CDQE), DEC_OP_CWD (CWD, CDQ, CQO)      by operand_size
 *   DEC_OP_MOVS, CMPS, SCAS, LODS, STOS, INS, OUTS    by operand_size (1, 2, 4, 8); REP in prefixes
 *   DEC_OP_PUSHF, POPF, PUSHA, POPA, IRET, RET (near, with or without an immediate)    likewise
 *   DEC_OP_JMP, DEC_OP_CALL                   near, relative or indirect
 *   DEC_OP_JMP_FAR, DEC_OP_CALL_FAR, DEC_OP_RET_FAR   far pointer or memory
 *   DEC_OP_JCXZ (JCXZ, JECXZ, JRCXZ), LOOP, LOOPE, LOOPNE   count register by address_size
 *   DEC_OP_SYSRET, SYSEXIT, FXSAVE, FXRSTOR, XSAVE.. (with REX.W the ..64 forms)   by operand_size
 *   DEC_OP_PADDB and the rest of MMX          both on MMX and on XMM registers
 *   DEC_OP_SHL covers SAL (/6 too); DEC_OP_NOP covers 90, 0F 1F and the reserved NOPs
 *   DEC_OP_MOVSD_X is the SSE2 scalar move, DEC_OP_CMPSD_X the SSE2 compare
 *   VEX forms have ops of their own: DEC_OP_VADDPS beside DEC_OP_ADDPS
 *
 * The whole list is insn.def. */
#ifndef DOPPEL_DECODER_INSN_H
#define DOPPEL_DECODER_INSN_H

#include "base/types.h"

#define DEC_MAX_LENGTH 15
#define DEC_MAX_OPERANDS 4

/* The code size: CS.D and EFER.LMA/CS.L. */
enum dec_mode { DEC_MODE_16, DEC_MODE_32, DEC_MODE_64 };

enum dec_status {
    DEC_OK,
    DEC_TRUNCATED, /* the instruction goes on past the bytes given */
    DEC_UNDEFINED, /* #UD */
    DEC_TOO_LONG,  /* longer than 15 bytes: #GP(0) */
};

/* General registers and segment registers by their numbers in encodings. */
enum { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI };
enum dec_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

#define DEC_NO_REG 0xff /* dec_mem.base or .index is absent */
#define DEC_BASE_RIP 16 /* dec_mem.base: relative to the next instruction's address */

enum dec_operand_kind {
    DEC_OPERAND_NONE,
    DEC_OPERAND_GPR,      /* reg 0-15, size 1, 2, 4, 8 */
    DEC_OPERAND_GPR_HIGH, /* AH CH DH BH as reg 0-3, size 1 */
    DEC_OPERAND_SEG,      /* enum dec_seg */
    DEC_OPERAND_CR,
    DEC_OPERAND_DR,
    DEC_OPERAND_ST,
    DEC_OPERAND_MM,
    DEC_OPERAND_VEC, /* reg 0-15, size 16 (XMM) or 32 (YMM) */
    DEC_OPERAND_MEM, /* dec_insn.mem, size in bytes; 0 where no datum of fixed size is meant */
    DEC_OPERAND_IMM, /* dec_insn.imm, or .imm2 for the second immediate (ENTER) */
    DEC_OPERAND_REL, /* branch displacement in dec_insn.imm, sign-extended */
    DEC_OPERAND_FAR, /* dec_insn.imm2:dec_insn.imm */
};

enum { DEC_READ = 1, DEC_WRITE = 2 };

struct dec_operand {
    uint8_t kind; /* enum dec_operand_kind */
    uint8_t reg;
    uint16_t size : 14;  /* of the datum in bytes; scalar SSE operands in registers have size 16 */
    uint16_t access : 2; /* DEC_READ | DEC_WRITE */
};

/* The one memory operand that an instruction can have. Memory that is implied (by strings, XLAT,
 * MASKMOVQ, MONITOR) is no operand, but `segment` is that of its DS:rSI, DS:rBX, DS:rDI, DS:rAX. */
struct dec_mem {
    int64_t disp;    /* sign-extended; moffs whole. RIP-relative: from the next instruction */
    uint8_t base;    /* 0-15, DEC_BASE_RIP or DEC_NO_REG */
    uint8_t index;   /* 0-15 or DEC_NO_REG; with vsib a vector register */
    uint8_t scale;   /* 1, 2, 4, 8 */
    uint8_t segment; /* enum dec_seg: the one in effect. In 64-bit mode ES, CS, SS, DS overrides
                        are ignored, and SS is given for bases RSP and RBP (it selects #SS) */
    bool vsib;
};

enum dec_prefix {
    DEC_PREFIX_LOCK = 1 << 0,
    DEC_PREFIX_REP = 1 << 1,    /* F3, where not part of the opcode */
    DEC_PREFIX_REPNE = 1 << 2,  /* F2, where not part of the opcode */
    DEC_PREFIX_OPSIZE = 1 << 3, /* 66 present */
    DEC_PREFIX_ADDRSIZE = 1 << 4,
    DEC_PREFIX_SEG = 1 << 5,
    DEC_PREFIX_REX = 1 << 6,
    DEC_PREFIX_VEX = 1 << 7,
};

enum dec_rex { DEC_REX_B = 1, DEC_REX_X = 2, DEC_REX_R = 4, DEC_REX_W = 8 };

/* Opcode maps and mandatory prefixes, numbered as VEX.mmmmm and VEX.pp. */
enum dec_map { DEC_MAP_ONE, DEC_MAP_0F, DEC_MAP_0F38, DEC_MAP_0F3A };
enum dec_pp { DEC_PP_NONE, DEC_PP_66, DEC_PP_F3, DEC_PP_F2 };

struct dec_insn {
    uint16_t op;          /* enum dec_op */
    uint8_t length;       /* 1-15 */
    uint8_t mode;         /* enum dec_mode */
    uint8_t operand_size; /* effective, in bytes: 1, 2, 4, 8; for vector instructions 16 or 32 */
    uint8_t address_size; /* effective, in bytes: 2, 4, 8 */
    uint8_t cond;
    uint8_t operand_count;

    /* The encoding, for those that emit the instruction again with other operands. */
    uint8_t prefixes; /* enum dec_prefix */
    uint8_t map;      /* enum dec_map */
    uint8_t pp;       /* enum dec_pp: the mandatory prefix that chose the opcode */
    uint8_t opcode;
    uint8_t modrm; /* where has_modrm */
    uint8_t rex;   /* enum dec_rex; from VEX with the inversion undone */
    uint8_t vex_l; /* VEX.L */
    uint8_t vvvv;  /* VEX.vvvv with the inversion undone */
    bool has_modrm;
    uint8_t imm_size; /* bytes of the first immediate in the encoding, 0 where absent */
    uint16_t imm2;    /* ENTER's level (size 1), a far pointer's selector */

    struct dec_operand operand[DEC_MAX_OPERANDS]; /* Intel order: destination first */
    struct dec_mem mem;
    uint64_t imm; /* sign-extended to 64 bits where the manual sign-extends or for REL;
                     zero-extended otherwise. The byte that holds an IS4 register, which is an
                     operand and no immediate, is here too */
};

#endif
