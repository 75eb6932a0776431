/* The decoder against Capstone. The first byte chooses the mode, the second what goes in front of
 * the remaining bytes, so that the rarer opcode maps are met as often as the one-byte map. */
#include "capstone.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 24

struct lead {
    uint8_t length;
    uint8_t bytes[3];
};

static const struct lead maps[] = {
    {0, {0}},    {0, {0}},    {1, {0x0f}},       {1, {0x0f}},
    {1, {0xc5}}, {1, {0xc4}}, {2, {0x0f, 0x38}}, {2, {0x0f, 0x3a}},
};

static const struct lead prefixes[] = {
    {0, {0}},    {0, {0}},    {0, {0}},    {1, {0x66}}, {1, {0xf3}},       {1, {0xf2}},
    {1, {0xf0}}, {1, {0x67}}, {1, {0x48}}, {1, {0x45}}, {2, {0x66, 0x48}}, {2, {0xf3, 0x48}},
};

static size_t append(uint8_t *bytes, size_t length, const uint8_t *more, size_t more_length)
{
    size_t room = MAX_BYTES - length;

    if (more_length > room)
        more_length = room;
    memcpy(bytes + length, more, more_length);
    return length + more_length;
}

/* What every decoded instruction must be, whatever Capstone says. */
static void check_insn(const struct comparison *result)
{
    const struct dec_insn *insn = &result->insn;
    struct dec_insn again;

    if (insn->length == 0 || insn->length > DEC_MAX_LENGTH || insn->length > result->size)
        fuzz_fail("length %u", insn->length);
    if (insn->op >= DEC_OP_COUNT || insn->operand_count > DEC_MAX_OPERANDS)
        fuzz_fail("op %u with %u operands", insn->op, insn->operand_count);
    for (size_t size = 0; size < insn->length; size++) {
        uint8_t *exact = malloc(size + 1); /* the sanitizer watches its end */
        if (!exact)
            return;
        memcpy(exact + 1, result->bytes, size);
        if (dec_decode(exact + 1, size, result->mode, &again) != DEC_TRUNCATED)
            fuzz_fail("%s: the first %zu bytes are not DEC_TRUNCATED", result->ours, size);
        free(exact);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct oracle oracle;
    uint8_t bytes[MAX_BYTES];
    struct comparison result;
    size_t length = 0;

    if (!oracle.insn && !oracle_open(&oracle)) {
        fprintf(stderr, "Capstone does not start\n");
        exit(1);
    }
    if (size < 2)
        return 0;
    const struct lead *prefix = &prefixes[data[1] % ARRAY_SIZE(prefixes)];
    const struct lead *map = &maps[data[1] / ARRAY_SIZE(prefixes) % ARRAY_SIZE(maps)];
    length = append(bytes, length, prefix->bytes, prefix->length);
    length = append(bytes, length, map->bytes, map->length);
    length = append(bytes, length, data + 2, size - 2);

    oracle_compare(&oracle, bytes, length, data[0] % 3, &result);
    if (result.status == DEC_OK)
        check_insn(&result);
    if (!result.agree && !result.reason) {
        static const char *const statuses[] = {"", "truncated", "undefined", "too long"};
        char hex[3 * MAX_BYTES + 1] = "";
        unsigned shown = result.status == DEC_OK ? result.insn.length
                         : result.capstone       ? result.capstone->size
                                                 : (unsigned)length;
        for (unsigned i = 0; i < shown && i < length; i++)
            sprintf(hex + 2 * i, "%02x", bytes[i]);
        fuzz_fail("%u %s: ours %s, Capstone's %s", 16u << result.mode, hex,
                  result.status == DEC_OK ? result.ours : statuses[result.status],
                  result.capstone ? result.theirs : "illegal");
    }
    return 0;
}
