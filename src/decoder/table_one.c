/* The one-byte opcode map (SDM volume 2, table A-2). Prefixes, VEX and 0F are decode.c's. */
#include "decoder/table.h"

/* The six forms of an arithmetic operation. */
#define ALU(base, op, FIRST)                                                                       \
    [base] = FIRST(op, Eb, Gb), [base + 1] = FIRST(op, Ev, Gv), [base + 2] = FIRST(op, Gb, Eb),    \
    [base + 3] = FIRST(op, Gv, Ev), [base + 4] = FIRST(op, AL, Ib),                                \
    [base + 5] = FIRST(op, rAX, Iz)

#define GROUP_1(e, i)                                                                              \
    MODIFY(ADD, e, i), MODIFY(OR, e, i), MODIFY(ADC, e, i), MODIFY(SBB, e, i), MODIFY(AND, e, i),  \
        MODIFY(SUB, e, i), MODIFY(XOR, e, i), READ(CMP, e, i)

#define GROUP_2(e, count)                                                                          \
    BY_REG(MODIFY(ROL, e, count), MODIFY(ROR, e, count), MODIFY(RCL, e, count),                    \
           MODIFY(RCR, e, count), MODIFY(SHL, e, count), MODIFY(SHR, e, count),                    \
           MODIFY(SHL, e, count), MODIFY(SAR, e, count))

#define GROUP_3(e, i)                                                                              \
    BY_REG(READ(TEST, e, i), READ(TEST, e, i), MODIFY(NOT, e), MODIFY(NEG, e), READ(MUL, e),       \
           READ(IMUL, e), READ(DIV, e), READ(IDIV, e))

const struct dec_entry dec_table_one[256] = {
    ALU(0x00, ADD, MODIFY),
    [0x06] = READ_R(I64, PUSH, ES),
    [0x07] = WRITE_R(I64, POP, ES),
    ALU(0x08, OR, MODIFY),
    [0x0e] = READ_R(I64, PUSH, CS),
    ALU(0x10, ADC, MODIFY),
    [0x16] = READ_R(I64, PUSH, SS),
    [0x17] = WRITE_R(I64, POP, SS),
    ALU(0x18, SBB, MODIFY),
    [0x1e] = READ_R(I64, PUSH, DS),
    [0x1f] = WRITE_R(I64, POP, DS),
    ALU(0x20, AND, MODIFY),
    [0x27] = READ_R(I64 | BYTE, DAA),
    ALU(0x28, SUB, MODIFY),
    [0x2f] = READ_R(I64 | BYTE, DAS),
    ALU(0x30, XOR, MODIFY),
    [0x37] = READ_R(I64 | BYTE, AAA),
    ALU(0x38, CMP, READ),
    [0x3f] = READ_R(I64 | BYTE, AAS),

    [0x40 ... 0x47] = MODIFY_R(I64, INC, Zv), /* REX in 64-bit mode, like the next */
    [0x48 ... 0x4f] = MODIFY_R(I64, DEC, Zv),
    [0x50 ... 0x57] = READ_R(D64, PUSH, Zv),
    [0x58 ... 0x5f] = WRITE_R(D64, POP, Zv),

    [0x60] = READ_R(I64, PUSHA),
    [0x61] = READ_R(I64, POPA),
    [0x62] = READ_R(I64, BOUND, Gv, Ma),
    [0x63] = BY_MODE64(MODIFY(ARPL, Ew, Gw), WRITE(MOVSXD, Gv, Ez)),
    [0x68] = READ_R(D64, PUSH, Iz),
    [0x69] = WRITE(IMUL, Gv, Ev, Iz),
    [0x6a] = READ_R(D64, PUSH, sIb),
    [0x6b] = WRITE(IMUL, Gv, Ev, sIb),
    [0x6c] = READ_R(BYTE, INS),
    [0x6d] = READ_R(NO_64, INS),
    [0x6e] = READ_R(BYTE, OUTS),
    [0x6f] = READ_R(NO_64, OUTS),
    [0x70 ... 0x7f] = READ_R(F64 | COND, JCC, Jb),

    [0x80] = BY_REG(GROUP_1(Eb, Ib)),
    [0x81] = BY_REG(GROUP_1(Ev, Iz)),
    [0x82] = BY_MODE64(BY_REG(GROUP_1(Eb, Ib)), UD),
    [0x83] = BY_REG(GROUP_1(Ev, sIb)),
    [0x84] = READ(TEST, Eb, Gb),
    [0x85] = READ(TEST, Ev, Gv),
    [0x86] = EXCHANGE(XCHG, Eb, Gb),
    [0x87] = EXCHANGE(XCHG, Ev, Gv),
    [0x88] = WRITE(MOV, Eb, Gb),
    [0x89] = WRITE(MOV, Ev, Gv),
    [0x8a] = WRITE(MOV, Gb, Eb),
    [0x8b] = WRITE(MOV, Gv, Ev),
    [0x8c] = WRITE(MOV_SEG, RvMw, Sw),
    [0x8d] = ENTRY_(ACCESS(DEC_WRITE, 0), 0, LEA, Gv, M),
    [0x8e] = WRITE(MOV_SEG, Sw, Ew),
    [0x8f] = BY_REG(WRITE_R(D64, POP, Ev), UD, UD, UD, UD, UD, UD, UD),

    [0x90] = BY_REP(BY_REX_B(READ(NOP), EXCHANGE(XCHG, Zv, rAX)), READ(PAUSE),
                    BY_REX_B(READ(NOP), EXCHANGE(XCHG, Zv, rAX))),
    [0x91 ... 0x97] = EXCHANGE(XCHG, Zv, rAX),
    [0x98] = READ(CBW),
    [0x99] = READ(CWD),
    [0x9a] = READ_R(I64, CALL_FAR, Ap),
    [0x9b] = READ(FWAIT),
    [0x9c] = READ_R(D64, PUSHF),
    [0x9d] = READ_R(D64, POPF),
    [0x9e] = READ_R(BYTE, SAHF),
    [0x9f] = READ_R(BYTE, LAHF),

    [0xa0] = WRITE(MOV, AL, Ob),
    [0xa1] = WRITE(MOV, rAX, Ov),
    [0xa2] = WRITE(MOV, Ob, AL),
    [0xa3] = WRITE(MOV, Ov, rAX),
    [0xa4] = READ_R(BYTE, MOVS),
    [0xa5] = READ(MOVS),
    [0xa6] = READ_R(BYTE, CMPS),
    [0xa7] = READ(CMPS),
    [0xa8] = READ(TEST, AL, Ib),
    [0xa9] = READ(TEST, rAX, Iz),
    [0xaa] = READ_R(BYTE, STOS),
    [0xab] = READ(STOS),
    [0xac] = READ_R(BYTE, LODS),
    [0xad] = READ(LODS),
    [0xae] = READ_R(BYTE, SCAS),
    [0xaf] = READ(SCAS),

    [0xb0 ... 0xb7] = WRITE(MOV, Zb, Ib),
    [0xb8 ... 0xbf] = WRITE(MOV, Zv, Iv),

    [0xc0] = GROUP_2(Eb, Ib),
    [0xc1] = GROUP_2(Ev, Ib),
    [0xc2] = READ_R(F64, RET, Iw),
    [0xc3] = READ_R(F64, RET),
    [0xc4] = WRITE_R(I64, LES, Gv, Mp),
    [0xc5] = WRITE_R(I64, LDS, Gv, Mp),
    [0xc6] = BY_REG(WRITE(MOV, Eb, Ib), UD, UD, UD, UD, UD, UD, UD),
    [0xc7] = BY_REG(WRITE(MOV, Ev, Iz), UD, UD, UD, UD, UD, UD, UD),
    [0xc8] = READ_R(D64, ENTER, Iw, I2b),
    [0xc9] = READ_R(D64, LEAVE),
    [0xca] = READ(RET_FAR, Iw),
    [0xcb] = READ(RET_FAR),
    [0xcc] = READ(INT3),
    [0xcd] = READ(INT, Ib),
    [0xce] = READ_R(I64, INTO),
    [0xcf] = READ(IRET),

    [0xd0] = GROUP_2(Eb, One),
    [0xd1] = GROUP_2(Ev, One),
    [0xd2] = GROUP_2(Eb, CL),
    [0xd3] = GROUP_2(Ev, CL),
    [0xd4] = READ_R(I64 | BYTE, AAM, Ib),
    [0xd5] = READ_R(I64 | BYTE, AAD, Ib),
    [0xd6] = READ_R(I64 | BYTE, SALC),
    [0xd7] = READ_R(BYTE, XLAT),
    [0xd8] = SPLIT(MOD, dec_table_x87[0]),
    [0xd9] = SPLIT(MOD, dec_table_x87[1]),
    [0xda] = SPLIT(MOD, dec_table_x87[2]),
    [0xdb] = SPLIT(MOD, dec_table_x87[3]),
    [0xdc] = SPLIT(MOD, dec_table_x87[4]),
    [0xdd] = SPLIT(MOD, dec_table_x87[5]),
    [0xde] = SPLIT(MOD, dec_table_x87[6]),
    [0xdf] = SPLIT(MOD, dec_table_x87[7]),

    [0xe0] = READ_R(F64, LOOPNE, Jb),
    [0xe1] = READ_R(F64, LOOPE, Jb),
    [0xe2] = READ_R(F64, LOOP, Jb),
    [0xe3] = READ_R(F64, JCXZ, Jb),
    [0xe4] = WRITE_R(NO_64, IN, AL, Ib),
    [0xe5] = WRITE_R(NO_64, IN, eAX, Ib),
    [0xe6] = READ_R(NO_64 | BYTE, OUT, Ib, AL),
    [0xe7] = READ_R(NO_64, OUT, Ib, eAX),
    [0xe8] = READ_R(F64, CALL, Jz),
    [0xe9] = READ_R(F64, JMP, Jz),
    [0xea] = READ_R(I64, JMP_FAR, Ap),
    [0xeb] = READ_R(F64, JMP, Jb),
    [0xec] = WRITE_R(NO_64, IN, AL, DX),
    [0xed] = WRITE_R(NO_64, IN, eAX, DX),
    [0xee] = READ_R(NO_64 | BYTE, OUT, DX, AL),
    [0xef] = READ_R(NO_64, OUT, DX, eAX),

    [0xf1] = READ(INT1),
    [0xf4] = READ(HLT),
    [0xf5] = READ(CMC),
    [0xf6] = GROUP_3(Eb, Ib),
    [0xf7] = GROUP_3(Ev, Iz),
    [0xf8] = READ(CLC),
    [0xf9] = READ(STC),
    [0xfa] = READ(CLI),
    [0xfb] = READ(STI),
    [0xfc] = READ(CLD),
    [0xfd] = READ(STD),
    [0xfe] = BY_REG(MODIFY(INC, Eb), MODIFY(DEC, Eb), UD, UD, UD, UD, UD, UD),
    [0xff] = BY_REG(MODIFY(INC, Ev), MODIFY(DEC, Ev), READ_R(F64, CALL, Ev), READ(CALL_FAR, Mp),
                    READ_R(F64, JMP, Ev), READ(JMP_FAR, Mp), READ_R(D64, PUSH, Ev), UD),
};
