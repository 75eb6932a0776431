/* Arithmetic by the host's own instructions, so that every flag, also those that the manuals leave
 * undefined, is what real hardware gives.
 *
 * Operands and results are whole 64-bit registers: bits above the operand size are the register's
 * own and come back as the instruction leaves them (kept by 8 and 16 bits, cleared by 32). `size`
 * is in bytes and a constant where it matters, so that each use becomes one instruction.
 *
 * Flags pass through AX: AH as LAHF and SAHF have them, and the overflow flag in AL. That is
 * several times faster than PUSHF and POPF. Instructions that leave flags undefined or may not
 * write them get the guest's flags first. */
#ifndef DOPPEL_CPU_ALU_H
#define DOPPEL_CPU_ALU_H

#include "base/bits.h"
#include "cpu/state.h"

/* Loads the host's flags from AX: 127 + 1 overflows a byte, 127 + 0 does not. */
#define ALU_FLAGS_IN "addb $127, %%al\n\tsahf\n\t"
#define ALU_NO_FLAGS_IN ""
#define ALU_FLAGS_OUT "\n\tlahf\n\tseto %%al"

static ALWAYS_INLINE uint32_t alu_flags_to_ax(uint64_t rflags)
{
    return ((uint32_t)rflags & 0xff) << 8 | ((uint32_t)rflags >> 11 & 1);
}

static ALWAYS_INLINE void alu_flags_from_ax(uint64_t *rflags, uint32_t ax)
{
    *rflags = (*rflags & ~(uint64_t)FLAGS_STATUS) | (uint8_t)(ax >> 8) | (ax & 1) << 11;
}

#define ALU_AX_FOR(flags_in, rflags) (sizeof(flags_in) > 1 ? alu_flags_to_ax(*(rflags)) : 0)

/* One asm statement per operand size; which sizes an instruction has differs. */
#define ALU_LONG_SIZES(CASE, flags_in, mnemonic)                                                   \
    if (size == 4)                                                                                 \
        CASE(flags_in, mnemonic "l", "k");                                                         \
    else                                                                                           \
        CASE(flags_in, mnemonic "q", "q")
#define ALU_WIDE_SIZES(CASE, flags_in, mnemonic)                                                   \
    if (size == 2)                                                                                 \
        CASE(flags_in, mnemonic "w", "w");                                                         \
    else                                                                                           \
        ALU_LONG_SIZES(CASE, flags_in, mnemonic)
#define ALU_ALL_SIZES(CASE, flags_in, mnemonic)                                                    \
    if (size == 1)                                                                                 \
        CASE(flags_in, mnemonic "b", "b");                                                         \
    else                                                                                           \
        ALU_WIDE_SIZES(CASE, flags_in, mnemonic)

/* Destination a, source b. VEX instructions take their operands 2 and 3 and make operand 1. */
typedef uint64_t alu_binary_fn(uint64_t a, uint64_t b, unsigned size, uint64_t *rflags);
typedef uint64_t alu_unary_fn(uint64_t a, unsigned size, uint64_t *rflags);
typedef uint64_t alu_double_shift_fn(uint64_t a, uint64_t b, uint64_t count, unsigned size,
                                     uint64_t *rflags);
/* With LOCK on the datum at p. */
typedef void alu_locked_fn(void *p, uint64_t b, unsigned size, uint64_t *rflags);
typedef void alu_locked_unary_fn(void *p, unsigned size, uint64_t *rflags);

#define ALU_BINARY_CASE(flags_in, insn, width)                                                     \
    asm(flags_in insn " %" width "[b], %" width "[a]" ALU_FLAGS_OUT                                \
        : [a] "+&r"(a), "+&a"(ax)                                                                  \
        : [b] "r"(b)                                                                               \
        : "cc")
#define ALU_SHIFT_CASE(flags_in, insn, width)                                                      \
    asm(flags_in insn " %%cl, %" width "[a]" ALU_FLAGS_OUT                                         \
        : [a] "+&r"(a), "+&a"(ax)                                                                  \
        : "c"(b)                                                                                   \
        : "cc")
#define ALU_ROTATE_IMM_CASE(flags_in, insn, width)                                                 \
    asm(insn " %%cl, %" width "[a]\n\t" flags_in insn " $2, %" width "[a]" ALU_FLAGS_OUT           \
        : [a] "+&r"(a), "+&a"(ax)                                                                  \
        : "c"(b - 2)                                                                               \
        : "cc")
#define ALU_VEX_CASE(flags_in, insn, width)                                                        \
    asm(flags_in insn " %" width "[b], %" width "[a], %" width "[a]" ALU_FLAGS_OUT                 \
        : [a] "+&r"(a), "+&a"(ax)                                                                  \
        : [b] "r"(b)                                                                               \
        : "cc")
#define ALU_DOUBLE_SHIFT_CASE(flags_in, insn, width)                                               \
    asm(flags_in insn " %%cl, %" width "[b], %" width "[a]" ALU_FLAGS_OUT                          \
        : [a] "+&r"(a), "+&a"(ax)                                                                  \
        : [b] "r"(b), "c"(count)                                                                   \
        : "cc")
#define ALU_UNARY_CASE(flags_in, insn, width)                                                      \
    asm(flags_in insn " %" width "[a]" ALU_FLAGS_OUT : [a] "+&r"(a), "+&a"(ax) : : "cc")
/* The memory clobber keeps these in order with the compiler's other accesses to guest memory. */
#define ALU_LOCKED_CASE(flags_in, insn, width)                                                     \
    asm volatile(flags_in "lock " insn " %" width "[b], (%[p])" ALU_FLAGS_OUT                      \
                 : "+&a"(ax)                                                                       \
                 : [b] "r"(b), [p] "r"(p)                                                          \
                 : "cc", "memory")
#define ALU_LOCKED_UNARY_CASE(flags_in, insn, width)                                               \
    asm volatile(flags_in "lock " insn " (%[p])" ALU_FLAGS_OUT                                     \
                 : "+&a"(ax)                                                                       \
                 : [p] "r"(p)                                                                      \
                 : "cc", "memory")

#define ALU_BINARY(name, sizes, CASE, flags_in)                                                    \
    static ALWAYS_INLINE uint64_t alu_##name(uint64_t a, uint64_t b, unsigned size,                \
                                             uint64_t *rflags)                                     \
    {                                                                                              \
        uint32_t ax = ALU_AX_FOR(flags_in, rflags);                                                \
        sizes(CASE, flags_in, #name);                                                              \
        alu_flags_from_ax(rflags, ax);                                                             \
        return a;                                                                                  \
    }

ALU_BINARY(add, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(or, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(adc, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(sbb, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(and, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(sub, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(xor, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(cmp, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(test, ALU_ALL_SIZES, ALU_BINARY_CASE, ALU_NO_FLAGS_IN)
ALU_BINARY(imul, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(adcx, ALU_LONG_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(adox, ALU_LONG_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)

/* Bit scans, counts, and bit tests. A bit number in a register is taken modulo the operand's width.
 */
ALU_BINARY(bsf, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(bsr, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(tzcnt, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(lzcnt, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(popcnt, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(bt, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(bts, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(btr, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(btc, ALU_WIDE_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)

/* Shifts and rotates by b, which the processor masks. A count of zero keeps the flags. */
ALU_BINARY(rol, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)
ALU_BINARY(ror, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)
ALU_BINARY(rcl, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)
ALU_BINARY(rcr, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)
ALU_BINARY(shl, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)
ALU_BINARY(shr, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)
ALU_BINARY(sar, ALU_ALL_SIZES, ALU_SHIFT_CASE, ALU_FLAGS_IN)

/* ROL and ROR of a register by an immediate other than one leave OF undefined in another way than
 * by CL or in memory, so the last two places are rotated by an immediate. */
#define ALU_ROTATE_IMM(name, mnemonic)                                                             \
    static ALWAYS_INLINE uint64_t alu_##name##_imm(uint64_t a, uint64_t b, unsigned size,          \
                                                   uint64_t *rflags)                               \
    {                                                                                              \
        b &= size == 8 ? 63 : 31;                                                                  \
        if (b < 2)                                                                                 \
            return alu_##name(a, b, size, rflags);                                                 \
        uint32_t ax = alu_flags_to_ax(*rflags);                                                    \
        ALU_ALL_SIZES(ALU_ROTATE_IMM_CASE, ALU_FLAGS_IN, mnemonic);                                \
        alu_flags_from_ax(rflags, ax);                                                             \
        return a;                                                                                  \
    }

ALU_ROTATE_IMM(rol, "rol")
ALU_ROTATE_IMM(ror, "ror")

/* BMI1 and BMI2. */
ALU_BINARY(blsr, ALU_LONG_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(blsmsk, ALU_LONG_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(blsi, ALU_LONG_SIZES, ALU_BINARY_CASE, ALU_FLAGS_IN)
ALU_BINARY(andn, ALU_LONG_SIZES, ALU_VEX_CASE, ALU_FLAGS_IN)
ALU_BINARY(bextr, ALU_LONG_SIZES, ALU_VEX_CASE, ALU_FLAGS_IN)
ALU_BINARY(bzhi, ALU_LONG_SIZES, ALU_VEX_CASE, ALU_FLAGS_IN)
ALU_BINARY(pdep, ALU_LONG_SIZES, ALU_VEX_CASE, ALU_FLAGS_IN)
ALU_BINARY(pext, ALU_LONG_SIZES, ALU_VEX_CASE, ALU_FLAGS_IN)

#define ALU_DOUBLE_SHIFT(name)                                                                     \
    static ALWAYS_INLINE uint64_t alu_##name(uint64_t a, uint64_t b, uint64_t count,               \
                                             unsigned size, uint64_t *rflags)                      \
    {                                                                                              \
        uint32_t ax = alu_flags_to_ax(*rflags);                                                    \
        ALU_WIDE_SIZES(ALU_DOUBLE_SHIFT_CASE, ALU_FLAGS_IN, #name);                                \
        alu_flags_from_ax(rflags, ax);                                                             \
        return a;                                                                                  \
    }

ALU_DOUBLE_SHIFT(shld)
ALU_DOUBLE_SHIFT(shrd)

#define ALU_UNARY(name, flags_in)                                                                  \
    static ALWAYS_INLINE uint64_t alu_##name(uint64_t a, unsigned size, uint64_t *rflags)          \
    {                                                                                              \
        uint32_t ax = ALU_AX_FOR(flags_in, rflags);                                                \
        ALU_ALL_SIZES(ALU_UNARY_CASE, flags_in, #name);                                            \
        alu_flags_from_ax(rflags, ax);                                                             \
        return a;                                                                                  \
    }

ALU_UNARY(inc, ALU_FLAGS_IN)
ALU_UNARY(dec, ALU_FLAGS_IN)
ALU_UNARY(neg, ALU_NO_FLAGS_IN)
ALU_UNARY(not, ALU_FLAGS_IN)

#define ALU_LOCKED(name, sizes)                                                                    \
    static ALWAYS_INLINE void alu_locked_##name(void *p, uint64_t b, unsigned size,                \
                                                uint64_t *rflags)                                  \
    {                                                                                              \
        uint32_t ax = alu_flags_to_ax(*rflags);                                                    \
        sizes(ALU_LOCKED_CASE, ALU_FLAGS_IN, #name);                                               \
        alu_flags_from_ax(rflags, ax);                                                             \
    }

ALU_LOCKED(add, ALU_ALL_SIZES)
ALU_LOCKED(or, ALU_ALL_SIZES)
ALU_LOCKED(adc, ALU_ALL_SIZES)
ALU_LOCKED(sbb, ALU_ALL_SIZES)
ALU_LOCKED(and, ALU_ALL_SIZES)
ALU_LOCKED(sub, ALU_ALL_SIZES)
ALU_LOCKED(xor, ALU_ALL_SIZES)
ALU_LOCKED(bts, ALU_WIDE_SIZES)
ALU_LOCKED(btr, ALU_WIDE_SIZES)
ALU_LOCKED(btc, ALU_WIDE_SIZES)

#define ALU_LOCKED_UNARY(name, sizes)                                                              \
    static ALWAYS_INLINE void alu_locked_##name(void *p, unsigned size, uint64_t *rflags)          \
    {                                                                                              \
        uint32_t ax = alu_flags_to_ax(*rflags);                                                    \
        sizes(ALU_LOCKED_UNARY_CASE, ALU_FLAGS_IN, #name);                                         \
        alu_flags_from_ax(rflags, ax);                                                             \
    }

ALU_LOCKED_UNARY(inc, ALU_ALL_SIZES)
ALU_LOCKED_UNARY(dec, ALU_ALL_SIZES)
ALU_LOCKED_UNARY(neg, ALU_ALL_SIZES)
ALU_LOCKED_UNARY(not, ALU_ALL_SIZES)

/* Condition `cond` (its number in encodings) of the flags. */
static ALWAYS_INLINE bool alu_condition(uint64_t rflags, unsigned cond)
{
    bool sign = rflags & FLAG_SF, overflow = rflags & FLAG_OF, holds = false;
    switch (cond >> 1) {
    case 0:
        holds = overflow;
        break;
    case 1:
        holds = rflags & FLAG_CF;
        break;
    case 2:
        holds = rflags & FLAG_ZF;
        break;
    case 3:
        holds = rflags & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        holds = sign;
        break;
    case 5:
        holds = rflags & FLAG_PF;
        break;
    case 6:
        holds = sign != overflow;
        break;
    case 7:
        holds = (rflags & FLAG_ZF) || sign != overflow;
        break;
    }
    return holds != (cond & 1);
}

#endif
