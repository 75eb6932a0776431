/* Instructions that are no instructions: prefixes where they may not stand, and too many of them.
 */
#include "decoder/decoder.h"

#include <criterion/criterion.h>
#include <string.h>

struct illegal {
    const char *why;
    unsigned modes; /* bits by enum dec_mode */
    uint8_t size;
    uint8_t bytes[16];
};

enum { IN_16 = 1 << DEC_MODE_16, IN_32 = 1 << DEC_MODE_32, IN_64 = 1 << DEC_MODE_64 };
enum { LEGACY = IN_16 | IN_32, ALL = LEGACY | IN_64 };

static void expect_status(const struct illegal *table, size_t count, enum dec_status expected)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned mode = DEC_MODE_16; mode <= DEC_MODE_64; mode++) {
            struct dec_insn insn;
            if (!(table[i].modes & 1 << mode))
                continue;
            enum dec_status status = dec_decode(table[i].bytes, table[i].size, mode, &insn);
            cr_expect_eq(status, expected, "%s: status %d in mode %u", table[i].why, status, mode);
        }
    }
}

/* SDM volume 2, LOCK. */
Test(illegal, lock_on_what_does_not_lock)
{
    static const struct illegal table[] = {
        {"add to a register", ALL, 3, {0xf0, 0x01, 0xc0}},
        {"add from memory", ALL, 3, {0xf0, 0x03, 0x07}},
        {"mov to memory", ALL, 3, {0xf0, 0x89, 0x07}},
        {"cmp with memory", ALL, 3, {0xf0, 0x39, 0x07}},
        {"cmp with an immediate", ALL, 4, {0xf0, 0x83, 0x3f, 0x01}},
        {"test", ALL, 3, {0xf0, 0x85, 0x07}},
        {"bt", ALL, 4, {0xf0, 0x0f, 0xa3, 0x07}},
        {"bt with an immediate", ALL, 5, {0xf0, 0x0f, 0xba, 0x27, 0x01}},
        {"bts on a register", ALL, 4, {0xf0, 0x0f, 0xab, 0xc0}},
        {"inc of a register", ALL, 3, {0xf0, 0xff, 0xc0}},
        {"inc in one byte", LEGACY, 2, {0xf0, 0x40}},
        {"xchg of registers", ALL, 3, {0xf0, 0x87, 0xc8}},
        {"cmpxchg of registers", ALL, 4, {0xf0, 0x0f, 0xb1, 0xc8}},
        {"xadd of registers", ALL, 4, {0xf0, 0x0f, 0xc1, 0xc8}},
        {"push of memory", ALL, 3, {0xf0, 0xff, 0x37}},
        {"nop", ALL, 2, {0xf0, 0x90}},
        {"movs", ALL, 2, {0xf0, 0xa4}},
        {"jmp", ALL, 3, {0xf0, 0xeb, 0x00}},
        {"shl of memory", ALL, 3, {0xf0, 0xd1, 0x27}},
        {"mul by memory", ALL, 3, {0xf0, 0xf7, 0x27}},
        {"movups", ALL, 4, {0xf0, 0x0f, 0x10, 0x07}},
        {"fadd", ALL, 3, {0xf0, 0xd8, 0x07}},
        {"mov from CR0", ALL, 4, {0xf0, 0x0f, 0x20, 0xd8}},
        {"movbe", ALL, 5, {0xf0, 0x0f, 0x38, 0xf1, 0x07}},
    };

    expect_status(table, ARRAY_SIZE(table), DEC_UNDEFINED);
}

/* SDM volume 2, 2.3.2 to 2.3.5 and the exception classes of 2.4. */
Test(illegal, vex_with_what_it_does_not_allow)
{
    static const struct illegal table[] = {
        {"66 before VEX", ALL, 5, {0x66, 0xc5, 0xf8, 0x58, 0xc0}},
        {"F3 before VEX", ALL, 5, {0xf3, 0xc5, 0xf8, 0x58, 0xc0}},
        {"F2 before VEX", ALL, 5, {0xf2, 0xc5, 0xf8, 0x58, 0xc0}},
        {"LOCK before VEX", ALL, 5, {0xf0, 0xc5, 0xf8, 0x58, 0xc0}},
        {"REX before VEX", IN_64, 5, {0x40, 0xc5, 0xf8, 0x58, 0xc0}},
        {"REX.W before VEX", IN_64, 6, {0x48, 0xc4, 0xe1, 0x78, 0x58, 0xc0}},
        {"map 0", ALL, 5, {0xc4, 0xe0, 0x78, 0x58, 0xc0}},
        {"map 4", ALL, 5, {0xc4, 0xe4, 0x78, 0x58, 0xc0}},
        {"map 31", ALL, 5, {0xc4, 0xff, 0x78, 0x58, 0xc0}},
        {"vvvv where there is no second source", ALL, 4, {0xc5, 0xf0, 0x28, 0xc0}},
        {"vzeroupper with vvvv", ALL, 3, {0xc5, 0xf0, 0x77}},
        {"256 bits of vmovd", ALL, 4, {0xc5, 0xfd, 0x6e, 0xc0}},
        {"256 bits of vaeskeygenassist", ALL, 6, {0xc4, 0xe3, 0x7d, 0xdf, 0xc0, 0x01}},
        {"256 bits of andn", ALL, 5, {0xc4, 0xe2, 0x7c, 0xf2, 0xc0}},
        {"128 bits of vbroadcastsd", ALL, 5, {0xc4, 0xe2, 0x79, 0x19, 0x07}},
        {"128 bits of vpermq", ALL, 6, {0xc4, 0xe3, 0xf9, 0x00, 0xc0, 0x01}},
        {"vpermq without W", ALL, 6, {0xc4, 0xe3, 0x7d, 0x00, 0xc0, 0x01}},
        {"vbroadcastf128 from a register", ALL, 5, {0xc4, 0xe2, 0x7d, 0x1a, 0xc0}},
        {"a gather from a register", ALL, 5, {0xc4, 0xe2, 0x69, 0x90, 0xc0}},
        {"a gather without SIB", ALL, 5, {0xc4, 0xe2, 0x69, 0x90, 0x07}},
        {"a gather into its index", IN_32 | IN_64, 6, {0xc4, 0xe2, 0x69, 0x90, 0x04, 0x07}},
        {"a gather into its mask", IN_32 | IN_64, 6, {0xc4, 0xe2, 0x79, 0x90, 0x04, 0x0f}},
        {"a gather masked by its index", IN_32 | IN_64, 6, {0xc4, 0xe2, 0x71, 0x90, 0x04, 0x0f}},
        {"EVEX", IN_64, 6, {0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0}},
        {"EVEX", LEGACY, 6, {0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0}},
        {"XOP", IN_64, 6, {0x8f, 0xe8, 0x78, 0xc0, 0xc0, 0x01}},
    };

    expect_status(table, ARRAY_SIZE(table), DEC_UNDEFINED);
}

Test(illegal, operands_that_cannot_be)
{
    static const struct illegal table[] = {
        {"mov to cs", ALL, 2, {0x8e, 0xc8}},
        {"mov to segment register 6", ALL, 2, {0x8e, 0xf0}},
        {"mov from segment register 7", ALL, 2, {0x8c, 0xf8}},
        {"mov to cr1", ALL, 3, {0x0f, 0x22, 0xc8}},
        {"mov from cr5", ALL, 3, {0x0f, 0x20, 0xe8}},
        {"mov from cr12", IN_64, 4, {0x44, 0x0f, 0x20, 0xe0}},
        {"mov to dr8", IN_64, 4, {0x44, 0x0f, 0x23, 0xc0}},
        {"lea of a register", ALL, 2, {0x8d, 0xc0}},
        {"lss from a register", ALL, 3, {0x0f, 0xb2, 0xc0}},
        {"cmpxchg8b of a register", ALL, 3, {0x0f, 0xc7, 0xc8}},
        {"jmp far to a register", ALL, 2, {0xff, 0xe8}},
        {"call far to a register", ALL, 2, {0xff, 0xd8}},
        {"the seventh of group 5", ALL, 2, {0xff, 0xf8}},
        {"the second of group 4", ALL, 2, {0xfe, 0xd0}},
        {"bound of a register", LEGACY, 2, {0x62, 0xc0}},
        {"invlpg of a register", ALL, 3, {0x0f, 0x01, 0xff}},
        {"ldmxcsr from a register", IN_16, 3, {0x0f, 0xae, 0xd0}},
        {"movnti to a register", ALL, 3, {0x0f, 0xc3, 0xc0}},
        {"push cs in 64-bit mode", IN_64, 1, {0x0e}},
        {"daa in 64-bit mode", IN_64, 1, {0x27}},
        {"call far pointer in 64-bit mode", IN_64, 7, {0x9a, 1, 2, 3, 4, 5, 6}},
    };

    expect_status(table, ARRAY_SIZE(table), DEC_UNDEFINED);
}

/* SDM volume 2, 2.3.11: the limit counts redundant prefixes too. */
Test(illegal, longer_than_fifteen_bytes)
{
    struct dec_insn insn;
    uint8_t bytes[32];

    for (unsigned mode = DEC_MODE_16; mode <= DEC_MODE_64; mode++) {
        memset(bytes, 0x3e, sizeof(bytes));
        bytes[14] = 0x90;
        cr_expect_eq(dec_decode(bytes, 15, mode, &insn), DEC_OK);
        cr_expect_eq(insn.length, 15);
        cr_expect_eq(dec_decode(bytes, 14, mode, &insn), DEC_TRUNCATED);

        memset(bytes, 0x3e, sizeof(bytes));
        bytes[15] = 0x90;
        cr_expect_eq(dec_decode(bytes, 16, mode, &insn), DEC_TOO_LONG);
        cr_expect_eq(dec_decode(bytes, 15, mode, &insn), DEC_TOO_LONG);

        memset(bytes, 0x3e, sizeof(bytes));
        bytes[13] = 0x04; /* add al, imm8: fits */
        cr_expect_eq(dec_decode(bytes, 32, mode, &insn), DEC_OK);
        bytes[13] = 0x81; /* an immediate that does not */
        bytes[14] = 0xc0;
        cr_expect_eq(dec_decode(bytes, 32, mode, &insn), DEC_TOO_LONG);
    }
}

Test(illegal, nothing_at_all_wants_more)
{
    struct dec_insn insn;

    for (unsigned mode = DEC_MODE_16; mode <= DEC_MODE_64; mode++)
        cr_expect_eq(dec_decode((const uint8_t *)"", 0, mode, &insn), DEC_TRUNCATED);
}
