/* The x87 opcodes D8 to DF (SDM volume 2, tables ), with the aliases that all processors
 * execute: FCOM2, FCOMP3, FXCH4, FCOMP5, FXCH7, FSTP1, FSTP8, FSTP9, FFREEP, and the 8087's and
 * 287's FENI, FDISI and FSETPM, which do nothing. */
#include "decoder/table.h"

#define ARITHMETIC(m, op)                                                                          \
    BY_REG(READ(op##ADD, m), READ(op##MUL, m), READ(op##COM, m), READ(op##COMP, m),                \
           READ(op##SUB, m), READ(op##SUBR, m), READ(op##DIV, m), READ(op##DIVR, m))
#define NOP_X87 READ(FNOP)

const struct dec_entry dec_table_x87[8][2] = {
    /* D8 */
    {ARITHMETIC(Md, F), BY_REG(MODIFY(FADD, ST0, STi), MODIFY(FMUL, ST0, STi), READ(FCOM, STi),
                               READ(FCOMP, STi), MODIFY(FSUB, ST0, STi), MODIFY(FSUBR, ST0, STi),
                               MODIFY(FDIV, ST0, STi), MODIFY(FDIVR, ST0, STi))},
    /* D9 */
    {BY_REG(READ(FLD, Md), UD, WRITE(FST, Md), WRITE(FSTP, Md), READ(FLDENV, Menv), READ(FLDCW, Mw),
            WRITE(FNSTENV, Menv), WRITE(FNSTCW, Mw)),
     BY_REG(READ(FLD, STi), MODIFY(FXCH, STi), BY_RM(READ(FNOP), UD, UD, UD, UD, UD, UD, UD),
            WRITE(FSTP, STi), BY_RM(READ(FCHS), READ(FABS), UD, UD, READ(FTST), READ(FXAM), UD, UD),
            BY_RM(READ(FLD1), READ(FLDL2T), READ(FLDL2E), READ(FLDPI), READ(FLDLG2), READ(FLDLN2),
                  READ(FLDZ), UD),
            BY_RM(READ(F2XM1), READ(FYL2X), READ(FPTAN), READ(FPATAN), READ(FXTRACT), READ(FPREM1),
                  READ(FDECSTP), READ(FINCSTP)),
            BY_RM(READ(FPREM), READ(FYL2XP1), READ(FSQRT), READ(FSINCOS), READ(FRNDINT),
                  READ(FSCALE), READ(FSIN), READ(FCOS)))},
    /* DA */
    {ARITHMETIC(Md, FI), BY_REG(MODIFY(FCMOVB, ST0, STi), MODIFY(FCMOVE, ST0, STi),
                                MODIFY(FCMOVBE, ST0, STi), MODIFY(FCMOVU, ST0, STi), UD,
                                BY_RM(UD, READ(FUCOMPP), UD, UD, UD, UD, UD, UD), UD, UD)},
    /* DB */
    {BY_REG(READ(FILD, Md), WRITE(FISTTP, Md), WRITE(FIST, Md), WRITE(FISTP, Md), UD, READ(FLD, Mt),
            UD, WRITE(FSTP, Mt)),
     BY_REG(MODIFY(FCMOVNB, ST0, STi), MODIFY(FCMOVNE, ST0, STi), MODIFY(FCMOVNBE, ST0, STi),
            MODIFY(FCMOVNU, ST0, STi),
            BY_RM(NOP_X87, NOP_X87, READ(FNCLEX), READ(FNINIT), NOP_X87, UD, UD, UD),
            READ(FUCOMI, ST0, STi), READ(FCOMI, ST0, STi), UD)},
    /* DC */
    {ARITHMETIC(Mq, F), BY_REG(MODIFY(FADD, STi, ST0), MODIFY(FMUL, STi, ST0), READ(FCOM, STi),
                               READ(FCOMP, STi), MODIFY(FSUBR, STi, ST0), MODIFY(FSUB, STi, ST0),
                               MODIFY(FDIVR, STi, ST0), MODIFY(FDIV, STi, ST0))},
    /* DD */
    {BY_REG(READ(FLD, Mq), WRITE(FISTTP, Mq), WRITE(FST, Mq), WRITE(FSTP, Mq), READ(FRSTOR, Msave),
            UD, WRITE(FNSAVE, Msave), WRITE(FNSTSW, Mw)),
     BY_REG(TOUCH(FFREE, STi), MODIFY(FXCH, STi), WRITE(FST, STi), WRITE(FSTP, STi),
            READ(FUCOM, STi), READ(FUCOMP, STi), UD, UD)},
    /* DE */
    {ARITHMETIC(Mw, FI),
     BY_REG(MODIFY(FADDP, STi, ST0), MODIFY(FMULP, STi, ST0), READ(FCOMP, STi),
            BY_RM(UD, READ(FCOMPP), UD, UD, UD, UD, UD, UD), MODIFY(FSUBRP, STi, ST0),
            MODIFY(FSUBP, STi, ST0), MODIFY(FDIVRP, STi, ST0), MODIFY(FDIVP, STi, ST0))},
    /* DF */
    {BY_REG(READ(FILD, Mw), WRITE(FISTTP, Mw), WRITE(FIST, Mw), WRITE(FISTP, Mw), READ(FBLD, Mt),
            READ(FILD, Mq), WRITE(FBSTP, Mt), WRITE(FISTP, Mq)),
     BY_REG(TOUCH(FFREEP, STi), MODIFY(FXCH, STi), WRITE(FSTP, STi), WRITE(FSTP, STi),
            BY_RM(WRITE(FNSTSW, AX), UD, UD, UD, UD, UD, UD, UD), READ(FUCOMIP, ST0, STi),
            READ(FCOMIP, ST0, STi), UD)},
};
