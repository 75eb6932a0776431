/* Decodes the committed vectors: "modes bytes text" a line, or "undefined" for the text. */
#include "decoder/decoder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS 0x1000

struct vector {
    unsigned line;
    enum dec_mode mode;
    uint8_t bytes[32];
    size_t size;
    const char *text;
    bool undefined;
};

static size_t parse_hex(const char *hex, uint8_t *bytes, size_t max)
{
    size_t size = 0;
    unsigned byte;

    while (size < max && sscanf(hex + 2 * size, "%2x", &byte) == 1)
        bytes[size++] = (uint8_t)byte;
    return size;
}

/* Calls check for every vector in every one of its modes. */
static void for_each_vector(void (*check)(const struct vector *, void *), void *context)
{
    FILE *file = fopen(DECODER_VECTORS, "r");
    char line[256];
    unsigned number = 0;

    cr_assert_not_null(file, "%s: cannot be read", DECODER_VECTORS);
    while (fgets(line, sizeof(line), file)) {
        struct vector vector = {.line = ++number};
        char modes[16], hex[64];
        int at = 0;

        if (*line == '#')
            continue;
        line[strcspn(line, "\n")] = '\0';
        cr_assert_eq(sscanf(line, "%15s %63s %n", modes, hex, &at), 2, "line %u", number);
        vector.size = parse_hex(hex, vector.bytes, sizeof(vector.bytes));
        vector.text = line + at;
        vector.undefined = strcmp(vector.text, "undefined") == 0;
        for (char *mode = strtok(modes, "/"); mode; mode = strtok(NULL, "/")) {
            vector.mode = *mode == '1' ? DEC_MODE_16 : *mode == '3' ? DEC_MODE_32 : DEC_MODE_64;
            check(&vector, context);
        }
    }
    fclose(file);
    cr_assert_gt(number, 1000);
}

static void check_text(const struct vector *vector, void *context)
{
    struct dec_insn insn;
    char text[128];
    enum dec_status status = dec_decode(vector->bytes, vector->size, vector->mode, &insn);

    (void)context;
    if (vector->undefined) {
        cr_expect_eq(status, DEC_UNDEFINED, "line %u: status %d", vector->line, status);
        return;
    }
    cr_expect_eq(status, DEC_OK, "line %u: status %d", vector->line, status);
    if (status != DEC_OK)
        return;
    cr_expect_eq(insn.length, vector->size, "line %u: length %u", vector->line, insn.length);
    size_t length = dec_format(&insn, ADDRESS, text, sizeof(text));
    cr_expect_eq(length, strlen(text), "line %u: %zu", vector->line, length);
    cr_expect_str_eq(text, vector->text, "line %u: %s", vector->line, text);
}

Test(vectors, decode_and_format_as_written)
{
    for_each_vector(check_text, NULL);
}

static void check_prefixes(const struct vector *vector, void *context)
{
    struct dec_insn insn;

    (void)context;
    for (size_t size = 0; size < vector->size && !vector->undefined; size++) {
        /* at the end of an allocation, where the sanitizer sees a byte too many read */
        uint8_t *bytes = malloc(size + 1);
        cr_assert_not_null(bytes);
        memcpy(bytes + 1, vector->bytes, size);
        enum dec_status status = dec_decode(bytes + 1, size, vector->mode, &insn);
        cr_expect_eq(status, DEC_TRUNCATED, "line %u: the first %zu bytes: status %d", vector->line,
                     size, status);
        free(bytes);
    }
}

Test(vectors, ask_for_more_at_every_byte)
{
    for_each_vector(check_prefixes, NULL);
}

static void check_followed(const struct vector *vector, void *context)
{
    uint8_t bytes[sizeof(vector->bytes) + 1];
    struct dec_insn insn, followed;

    (void)context;
    if (vector->undefined)
        return;
    memset(&insn, 0, sizeof(insn));
    memset(&followed, 0, sizeof(followed));
    for (unsigned next = 0; next < 256; next += 0x33) {
        memcpy(bytes, vector->bytes, vector->size);
        bytes[vector->size] = (uint8_t)next;
        enum dec_status one = dec_decode(vector->bytes, vector->size, vector->mode, &insn);
        enum dec_status two = dec_decode(bytes, vector->size + 1, vector->mode, &followed);
        cr_expect(one == DEC_OK && two == DEC_OK && insn.op == followed.op &&
                      insn.length == followed.length && insn.imm == followed.imm,
                  "line %u", vector->line);
    }
}

Test(vectors, do_not_depend_on_what_follows)
{
    for_each_vector(check_followed, NULL);
}

static void check_short_buffers(const struct vector *vector, void *context)
{
    struct dec_insn insn;
    char whole[128], part[128];

    (void)context;
    if (dec_decode(vector->bytes, vector->size, vector->mode, &insn) != DEC_OK)
        return;
    size_t length = dec_format(&insn, ADDRESS, whole, sizeof(whole));
    for (size_t size = 1; size <= length; size += 5) {
        memset(part, '#', sizeof(part));
        cr_expect_eq(dec_format(&insn, ADDRESS, part, size), length, "line %u", vector->line);
        cr_expect_eq(strlen(part), size - 1, "line %u", vector->line);
        cr_expect_eq(strncmp(part, whole, size - 1), 0, "line %u", vector->line);
        cr_expect_eq(part[size], '#', "line %u", vector->line);
    }
    cr_expect_eq(dec_format(&insn, ADDRESS, NULL, 0), length, "line %u", vector->line);
}

Test(vectors, format_into_short_buffers)
{
    for_each_vector(check_short_buffers, NULL);
}

static void mark_op(const struct vector *vector, void *context)
{
    bool *met = context;
    struct dec_insn insn;

    if (dec_decode(vector->bytes, vector->size, vector->mode, &insn) == DEC_OK)
        met[insn.op] = true;
}

Test(vectors, meet_every_operation)
{
    bool met[DEC_OP_COUNT] = {false};

    for_each_vector(mark_op, met);
    for (unsigned op = 0; op < DEC_OP_COUNT; op++)
        cr_expect(met[op], "%s (number %u) has no vector", dec_info(op)->name, op);
}
