/* Writes vectors.txt: walks every opcode map in every mode and under every prefix that matters, and
 * prints one encoding of every form on which the decoder and Capstone agree, or differ for a reason
 * listed in capstone.c. Other differences go to stderr and fail the run.
 *
 *   make_vectors > tests/decoder/vectors.txt */
#include "../fuzz/capstone.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    uint8_t bytes[32];
    size_t length;
    unsigned map;
    uint8_t opcode;
    bool every_register; /* walk all of ModRM.rm too */
};

struct maker {
    struct oracle oracle;
    void *seen; /* a tsearch() tree of the forms printed */
    uint64_t differences;
    uint32_t variation;
    bool every_text;     /* every text is a form of its own */
    bool every_encoding; /* with its first two bytes */
};

static int compare_forms(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_new(struct maker *maker, const char *form)
{
    char *copy = strdup(form);
    char **found = copy ? tsearch(copy, &maker->seen, compare_forms) : NULL;

    if (!found) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    if (*found == copy)
        return true;
    free(copy);
    return false;
}

/* What makes an encoding another form: everything but which registers, addresses and numbers. */
static void name_form(const struct comparison *result, char *form, size_t size)
{
    const struct dec_insn *insn = &result->insn;
    bool string = dec_info(insn->op)->attributes & DEC_ATTR_STRING;
    unsigned repeats = string ? insn->prefixes & (DEC_PREFIX_REP | DEC_PREFIX_REPNE) : 0;
    unsigned lock = insn->prefixes & DEC_PREFIX_LOCK;
    unsigned vex = insn->prefixes & DEC_PREFIX_VEX;
    int at = snprintf(form, size, "%u %u %u %u %u %u %u %u %u %.*s", result->mode, insn->op, vex,
                      insn->map, insn->pp, insn->opcode, insn->imm_size, repeats, lock,
                      (int)strcspn(result->ours, " "), result->ours);

    for (unsigned i = 0; i < insn->operand_count; i++) {
        const struct dec_operand *operand = &insn->operand[i];
        at += snprintf(form + at, size - (size_t)at, " %u.%u", operand->kind, operand->size);
    }
}

static void name_hole(const struct candidate *candidate, enum dec_mode mode, char *form,
                      size_t size)
{
    snprintf(form, size, "%u undefined %u %u", mode, candidate->map, candidate->opcode);
}

static bool is_vector_class(const struct dec_insn *insn)
{
    unsigned op_class = dec_insn_class(insn);

    return op_class == DEC_CLASS_MMX || op_class == DEC_CLASS_SSE || op_class == DEC_CLASS_AVX;
}

struct line {
    char text[256];
    char modes[16];
    size_t length;
    bool spare; /* a vector form that 64-bit mode shows already, in other clothes */
};

static bool try_mode(struct maker *maker, const struct candidate *candidate, enum dec_mode mode,
                     struct line *line)
{
    struct comparison result;
    char form[128];

    oracle_compare(&maker->oracle, candidate->bytes, candidate->length, mode, &result);
    if (!result.agree && !result.reason) {
        fprintf(stderr, "%u ", 16u << mode);
        for (size_t i = 0; i < candidate->length; i++)
            fprintf(stderr, "%02x", candidate->bytes[i]);
        fprintf(stderr, ": ours %s, Capstone's %s\n",
                result.status == DEC_OK ? result.ours : "undefined",
                result.capstone ? result.theirs : "illegal");
        maker->differences++;
        return false;
    }
    const uint8_t *bytes = candidate->bytes;
    if (maker->every_encoding)
        snprintf(form, sizeof(form), "%u %.90s %02x%02x", mode, result.ours, bytes[0], bytes[1]);
    else if (result.status == DEC_OK && maker->every_text)
        snprintf(form, sizeof(form), "%u %.100s", mode, result.ours);
    else if (result.status == DEC_OK)
        name_form(&result, form, sizeof(form));
    else if (result.status == DEC_UNDEFINED)
        name_hole(candidate, mode, form, sizeof(form));
    if (result.status != DEC_OK && result.status != DEC_UNDEFINED)
        return false;
    if (!is_new(maker, form))
        return false;
    line->spare = mode != DEC_MODE_64 && result.status == DEC_OK && !maker->every_encoding &&
                  is_vector_class(&result.insn);
    line->length = result.status == DEC_OK ? result.insn.length : 0;
    while (result.status != DEC_OK &&
           dec_decode(candidate->bytes, line->length, mode, &result.insn) == DEC_TRUNCATED)
        line->length++;
    strcpy(line->text, result.status == DEC_OK ? result.ours : "undefined");
    return true;
}

static void print_line(const struct candidate *candidate, const struct line *line)
{
    printf("%s ", line->modes);
    for (size_t i = 0; i < line->length; i++)
        printf("%02x", candidate->bytes[i]);
    printf(" %s\n", line->text);
}

/* Prints a line for the modes in which the candidate is a new form, one where they say the same. */
static void try(struct maker *maker, const struct candidate *candidate)
{
    static const char *const names[] = {"16", "32", "64"};
    struct line lines[3];
    unsigned count = 0;

    for (unsigned mode = DEC_MODE_16; mode <= DEC_MODE_64; mode++) {
        struct line line;
        if (!try_mode(maker, candidate, mode, &line))
            continue;
        struct line *before = count ? &lines[count - 1] : NULL;
        if (before && before->length == line.length && strcmp(before->text, line.text) == 0) {
            strcat(strcat(before->modes, "/"), names[mode]);
            before->spare = before->spare && line.spare;
        } else {
            strcpy(line.modes, names[mode]);
            lines[count++] = line;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (!lines[i].spare || strchr(lines[i].modes, '/'))
            print_line(candidate, &lines[i]);
    }
}

static void add(struct candidate *candidate, const void *bytes, size_t length)
{
    memcpy(candidate->bytes + candidate->length, bytes, length);
    candidate->length += length;
}

static void try_with_tail(struct maker *maker, struct candidate candidate)
{
    static const uint8_t tails[4][10] = {
        {0x12, 0x34, 0x56, 0x78, 0x1a, 0x3c, 0x5e, 0x70, 0x2b, 0x4d},
        {0xf0, 0xff, 0xff, 0xff, 0x85, 0xff, 0xff, 0xff, 0x80, 0x01},
        {0x05, 0x00, 0x00, 0x00, 0x81, 0x90, 0xa0, 0xb0, 0xc0, 0xd0},
        {0x87, 0x65, 0x43, 0xa1, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02},
    };

    add(&candidate, tails[maker->variation++ % 4], sizeof(tails[0]));
    try(maker, &candidate);
}

/* An opcode with every ModRM.reg, on memory and on a register. */
static void try_opcode(struct maker *maker, const struct candidate *start, uint8_t opcode)
{
    static const uint8_t memory[7] = {0x03, 0x41, 0x82, 0x06, 0x47, 0x87, 0x04};
    struct candidate candidate = *start;

    candidate.opcode = opcode;
    add(&candidate, &opcode, 1);
    for (unsigned i = 0; i < 8; i++) {
        unsigned reg = (opcode + i) % 8;
        uint8_t modrm = (uint8_t)(memory[maker->variation % 7] | reg << 3);
        struct candidate with = candidate;
        add(&with, &modrm, 1);
        try_with_tail(maker, with);
    }
    for (unsigned i = 0; i < 64; i += candidate.every_register ? 1 : 7) {
        struct candidate with = candidate;
        uint8_t byte = (uint8_t)(0xc0 | ((opcode * 11u + i) % 64));
        add(&with, &byte, 1);
        try_with_tail(maker, with);
    }
}

static void walk_legacy(struct maker *maker)
{
    static const uint8_t no_opcodes[] = {0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64,
                                         0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    static const char *const escapes[] = {"", "\x0f", "\x0f\x38", "\x0f\x3a"};
    static const char *const prefixes[] = {
        "", "\x66", "\xf3", "\xf2", "\x48", "\x66\x48", "\xf3\x48", "\xf2\x48", "\x66\xf2", "\xf0",
    };

    for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            if (i == 0 && memchr(no_opcodes, (int)opcode, sizeof(no_opcodes)))
                continue;
            for (size_t j = 0; j < ARRAY_SIZE(prefixes); j++) {
                struct candidate start = {.map = (unsigned)i, .every_register = true};
                add(&start, prefixes[j], strlen(prefixes[j]));
                add(&start, escapes[i], strlen(escapes[i]));
                try_opcode(maker, &start, (uint8_t)opcode);
            }
        }
    }
}

/* Every VEX.pp, L and W, with a second source and without one (vvvv 1111). */
static void walk_vex(struct maker *maker)
{
    for (uint8_t map = 1; map <= 3; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            for (unsigned bits = 0; bits < 32; bits++) {
                uint8_t w = bits & 8 ? 0x80 : 0;
                uint8_t vvvv = bits & 16 ? 0x78 : 0x68;
                uint8_t three[3] = {0xc4, (uint8_t)(0xe0 | map), (uint8_t)(w | vvvv | (bits & 7))};
                uint8_t two[2] = {0xc5, (uint8_t)(0x80 | vvvv | (bits & 7))};
                struct candidate start = {.map = 4u + map};
                if (map == 1 && !w)
                    add(&start, two, sizeof(two));
                else
                    add(&start, three, sizeof(three));
                try_opcode(maker, &start, (uint8_t)opcode);
            }
        }
    }
}

/* Every addressing form, with the segment and address-size overrides, printed regardless of form.
 */
static void walk_addresses(struct maker *maker)
{
    static const char *const prefixes[] = {"", "\x67", "\x64", "\x2e", "\x36", "\x43", "\x67\x4e"};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        for (unsigned modrm = 0; modrm < 0xc0; modrm += (modrm & 7) == 7 ? 0x39 : 1) {
            for (unsigned sib = 0; sib < 256; sib += (modrm & 7) == 4 ? 0x25 : 256) {
                uint8_t bytes[3] = {0x8a, (uint8_t)modrm, (uint8_t)sib};
                struct candidate candidate = {.length = 0};
                add(&candidate, prefixes[i], strlen(prefixes[i]));
                add(&candidate, bytes, sizeof(bytes));
                try_with_tail(maker, candidate);
            }
        }
    }
}

/* Prefixes in every order, redundant and contradicting, before opcodes to which they matter. */
static void walk_prefixes(struct maker *maker)
{
    static const char *const prefixes[] = {
        "\x66\x48", "\x48\x66", "\x66\xf3", "\xf3\x66", "\x66\xf2", "\xf2\xf3", "\xf3\xf2",
        "\x65\x64", "\x64\x3e", "\x67\x66", "\x67\x48", "\x66\x66", "\xf3\x41", "\x41\xf3",
    };
    static const char *const opcodes[] = {
        "\x90",     "\x98",     "\xab",         "\xe5",     "\x6d",     "\xcf",     "\x9c",
        "\x8b\x07", "\xe3",     "\xff\x37",     "\x0f\x10", "\x0f\x6f", "\x0f\x7e", "\x0f\xbd",
        "\x0f\xb8", "\x0f\x84", "\x0f\x38\xf1", "\x0f\xc7", "\x0f\xae", "\xc5\xf8",
    };

    for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(prefixes); j++) {
            struct candidate candidate = {.length = 0};
            add(&candidate, prefixes[j], strlen(prefixes[j]));
            add(&candidate, opcodes[i], strlen(opcodes[i]));
            try_with_tail(maker, candidate);
        }
    }
}

int main(void)
{
    struct maker maker = {.seen = NULL};

    if (!oracle_open(&maker.oracle)) {
        fprintf(stderr, "Capstone does not start\n");
        return 1;
    }
    puts("# Written by make_vectors: the modes, the bytes, and the text or \"undefined\".");
    walk_legacy(&maker);
    walk_vex(&maker);
    maker.every_text = true;
    walk_addresses(&maker);
    maker.every_encoding = true;
    walk_prefixes(&maker);
    oracle_close(&maker.oracle);
    tdestroy(maker.seen, free);
    if (maker.differences)
        fprintf(stderr, "%llu candidates differ for no listed reason\n",
                (unsigned long long)maker.differences);
    return maker.differences != 0;
}
