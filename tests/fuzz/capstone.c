#include "capstone.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS 0x1000

bool oracle_open(struct oracle *oracle)
{
    static const cs_mode modes[3] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};

    for (unsigned i = 0; i < 3; i++) {
        if (cs_open(CS_ARCH_X86, modes[i], &oracle->handle[i]) != CS_ERR_OK ||
            cs_option(oracle->handle[i], CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK)
            return false;
    }
    oracle->insn = cs_malloc(oracle->handle[0]);
    return oracle->insn != NULL;
}

void oracle_close(struct oracle *oracle)
{
    cs_free(oracle->insn, 1);
    for (unsigned i = 0; i < 3; i++)
        cs_close(&oracle->handle[i]);
}

/* ---- Capstone's text in our words ---- */

/* Other names for what we name as the Intel manual does. */
static const char *const renamed[][2] = {
    {"pushal", "pushad"},
    {"pushaw", "pusha"},
    {"popal", "popad"},
    {"popaw", "popa"},
    {"ljmp", "jmp far"},
    {"lcall", "call far"},
    {"sal", "shl"},
    {"wait", "fwait"},
    {"ud2b", "ud1"},
    {"xlatb", "xlat"},
    {"vcvttpd2dqx", "vcvttpd2dq"},
    {"vcvtpd2dqx", "vcvtpd2dq"},
    {"vcvtpd2psx", "vcvtpd2ps"},
};

/* Capstone says the predicate of a compare in the mnemonic; we show the immediate. */
static const char *const predicates[32] = {
    "eq",    "lt",     "le",     "unord",    "neq",    "nlt",    "nle",    "ord",
    "eq_uq", "nge",    "ngt",    "false",    "neq_oq", "ge",     "gt",     "true",
    "eq_os", "lt_oq",  "le_oq",  "unord_s",  "neq_us", "nlt_uq", "nle_uq", "ord_s",
    "eq_us", "nge_uq", "ngt_uq", "false_os", "neq_os", "ge_oq",  "gt_oq",  "true_us",
};

/* Splits vcmpnltps into vcmpps and the predicate's number, -1 where there is none. */
static int split_predicate(char *mnemonic)
{
    char *stem = mnemonic + (*mnemonic == 'v');
    size_t length = strlen(stem);

    if (strncmp(stem, "cmp", 3) != 0 || length < 7 || !strchr("ps", stem[length - 2]) ||
        !strchr("sd", stem[length - 1]))
        return -1;
    for (int i = 0; i < 32; i++) {
        if (strlen(predicates[i]) == length - 5 &&
            strncmp(predicates[i], stem + 3, length - 5) == 0) {
            memmove(stem + 3, stem + length - 2, 3);
            return i;
        }
    }
    return -1;
}

static bool skip(const char **text, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Capstone's text with our mnemonics, and without hints and prefixes that mean nothing. */
static void rewrite(const cs_insn *insn, char *text, size_t size)
{
    static const char *const hints[] = {"bnd ", "notrack ", "xacquire ", "xrelease "};
    static const char *const repeats[] = {"rep ", "repe ", "repne "};
    static const char strings[] =
        "movsb movsw movsd movsq cmpsb cmpsw cmpsd cmpsq scasb scasw scasd "
        "scasq lodsb lodsw lodsd lodsq stosb stosw stosd stosq insb insw "
        "insd outsb outsw outsd";
    char stem[sizeof(insn->mnemonic)];
    const char *name = insn->mnemonic, *prefix = "", *repeat = "";

    for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
        skip(&name, hints[i]);
    if (skip(&name, "lock "))
        prefix = "lock ";
    for (size_t i = 0; i < ARRAY_SIZE(repeats); i++) {
        if (skip(&name, repeats[i]) && oracle_lists(strings, name))
            repeat = repeats[i];
    }
    strcpy(stem, name);
    int predicate = split_predicate(stem);
    name = stem;
    for (size_t i = 0; i < ARRAY_SIZE(renamed); i++) {
        if (strcmp(name, renamed[i][0]) == 0)
            name = renamed[i][1];
    }
    int length = snprintf(text, size, "%s%s%s%s%s", prefix, repeat, name, *insn->op_str ? " " : "",
                          insn->op_str);
    if (predicate >= 0)
        snprintf(text + length, size - (size_t)length, ", %d", predicate);
}

/* ---- Whether two texts say the same ---- */

/* The size that stands before a memory operand, 0 for none. */
static unsigned skip_size(const char **text)
{
    static const struct {
        const char *name;
        unsigned size;
    } sizes[] = {
        {"byte ptr ", 1},  {"word ptr ", 2},     {"dword ptr ", 4},  {"fword ptr ", 6},
        {"qword ptr ", 8}, {"tbyte ptr ", 10},   {"xword ptr ", 10}, {"xmmword ptr ", 16},
        {"ptr ", 0},       {"ymmword ptr ", 32},
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        if (skip(text, sizes[i].name))
            return sizes[i].size;
    }
    return 0;
}

static void skip_segment(const char **text)
{
    if ((*text)[0] && (*text)[1] == 's' && (*text)[2] == ':' && (*text)[3] == '[')
        *text += 3;
}

/* A number at the start of a word, with its sign, which may stand apart. */
static bool skip_number(const char **text, uint64_t *number)
{
    const char *at = *text;
    bool negative = *at == '-';
    char *end;

    if (*at == '-' || *at == '+')
        at++;
    if (at > *text && *at == ' ')
        at++;
    if (!isdigit((unsigned char)*at))
        return false;
    *number = strtoull(at, &end, 0);
    if (negative)
        *number = -*number;
    *text = end;
    return true;
}

static uint64_t size_mask(unsigned bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << bytes * 8) - 1;
}

/* Displacements have 32 bits at most, and Capstone cuts an absolute one off at the operand size. */
static unsigned number_size(const struct dec_insn *insn, bool in_memory, uint64_t ours)
{
    bool absolute = insn->mem.base == DEC_NO_REG && insn->mem.index == DEC_NO_REG;
    bool offset = insn->map == DEC_MAP_ONE && (insn->opcode & 0xfc) == 0xa0;

    if (in_memory && offset)
        return insn->address_size;
    if (in_memory && absolute && insn->mode == DEC_MODE_16)
        return insn->operand_size == 1 ? 1 : 2;
    if (in_memory && absolute && insn->operand_size < 4)
        return insn->operand_size;
    if (in_memory)
        return insn->address_size == 2 ? 2 : 4;
    if (insn->op == DEC_OP_ENTER || insn->op == DEC_OP_RET || insn->op == DEC_OP_RET_FAR)
        return ours > UINT8_MAX ? 2 : 1;
    if (insn->imm_size == 1 && insn->imm <= UINT8_MAX)
        return 1;
    return insn->operand_size;
}

static bool same_number(const struct dec_insn *insn, bool in_memory, uint64_t ours, uint64_t theirs)
{
    return ((ours ^ theirs) & size_mask(number_size(insn, in_memory, ours))) == 0;
}

/* Numbers are equal modulo their size in the instruction, a memory operand's size is compared where
 * both give one if sizes is set, and segments are not compared: Capstone shows redundant overrides
 * too. */
static bool same_text(const struct dec_insn *insn, const char *ours, const char *theirs, bool sizes)
{
    bool in_memory = false, at_word = true;

    while (*ours) {
        uint64_t our_number, their_number;

        if (at_word) {
            unsigned our_size = skip_size(&ours), their_size = skip_size(&theirs);
            if (sizes && our_size && their_size && our_size != their_size)
                return false;
            skip_segment(&ours);
            skip_segment(&theirs);
            if (skip_number(&ours, &our_number)) {
                if (!skip_number(&theirs, &their_number) ||
                    !same_number(insn, in_memory, our_number, their_number))
                    return false;
                at_word = false;
                continue;
            }
        }
        if (*ours != *theirs)
            return false;
        in_memory = *ours == '[' || (in_memory && *ours != ']');
        at_word = strchr(" [:", *ours) != NULL;
        ours++;
        theirs++;
    }
    return *theirs == '\0';
}

/* x87 instructions name ST(0) or imply it: without it they say the same. */
static void drop_st0(char *text)
{
    static const char *const forms[] = {" st(0),", ", st(0)", " st(0)"};

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        char *at;
        while ((at = strstr(text, forms[i])) != NULL)
            memmove(at, at + strlen(forms[i]), strlen(at + strlen(forms[i])) + 1);
    }
}

/* XCHG's operands in the other order, which is the same instruction. */
static void swap_operands(const char *text, char *swapped, size_t size)
{
    const char *operands = strstr(text, "xchg ");
    const char *comma = operands ? strstr(text, ", ") : NULL;

    swapped[0] = '\0';
    if (comma) {
        operands += strlen("xchg ");
        snprintf(swapped, size, "%.*s%s, %.*s", (int)(operands - text), text, comma + 2,
                 (int)(comma - operands), operands);
    }
}

/* The implied last operand that Capstone leaves out. */
static void drop_xmm0(char *text)
{
    size_t length = strlen(text);

    if (length > 6 && strcmp(text + length - 6, ", xmm0") == 0)
        text[length - 6] = '\0';
}

/* Mnemonics of operations whose memory operand has another size in Capstone than in the manual. */
static const char unsized[] = "punpcklbw punpcklwd punpckldq fnstsw lsl lar comiss comisd ucomiss "
                              "ucomisd vcomiss vcomisd vucomiss vucomisd";
static const char with_xmm0[] = "blendvps blendvpd pblendvb sha256rnds2";

static bool agree(const struct comparison *result, const char *text)
{
    char ours[sizeof(result->ours)], theirs[sizeof(result->theirs)], swapped[sizeof(theirs)];
    const struct dec_info *info = dec_info(result->insn.op);
    bool sizes = !oracle_lists(unsized, info->name);

    snprintf(ours, sizeof(ours), "%.*s", (int)strcspn(result->ours, "#"), result->ours);
    if (strchr(result->ours, '#'))
        ours[strlen(ours) - 1] = '\0';
    strcpy(theirs, text);
    if (info->op_class == DEC_CLASS_X87) {
        drop_st0(ours);
        drop_st0(theirs);
    }
    if (oracle_lists(with_xmm0, info->name))
        drop_xmm0(ours);
    if (same_text(&result->insn, ours, theirs, sizes))
        return true;
    swap_operands(theirs, swapped, sizeof(swapped));
    return swapped[0] && same_text(&result->insn, ours, swapped, sizes);
}

/* ---- The same instruction encoded so that Capstone reads it rightly ---- */

struct encoding {
    uint8_t bytes[32];
    size_t size;
    enum dec_mode mode;
};

static void put_byte(struct encoding *encoding, bool condition, uint8_t byte)
{
    if (condition)
        encoding->bytes[encoding->size++] = byte;
}

static bool is_near_branch(const struct dec_insn *insn)
{
    return dec_info(insn->op)->attributes & DEC_ATTR_BRANCH && insn->operand_count &&
           insn->operand[0].kind == DEC_OPERAND_REL;
}

static bool has_address(const struct dec_insn *insn)
{
    bool counts = insn->op == DEC_OP_JCXZ || insn->op == DEC_OP_LOOP || insn->op == DEC_OP_LOOPE ||
                  insn->op == DEC_OP_LOOPNE;

    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return true;
    }
    return counts || dec_info(insn->op)->attributes & DEC_ATTR_STRING;
}

/* Every prefix that means something, once and in the usual order. In 16-bit mode Capstone knows no
 * mandatory prefixes and cuts off addresses; there it is the same instruction in 32-bit mode. */
static void encode_again(const struct comparison *result, struct encoding *encoding)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    const struct dec_insn *insn = &result->insn;
    const struct dec_info *info = dec_info(insn->op);
    bool vex = insn->prefixes & DEC_PREFIX_VEX, mode64 = insn->mode == DEC_MODE_64;
    bool from_16 = insn->mode == DEC_MODE_16;
    bool integer = info->op_class == DEC_CLASS_INTEGER || info->op_class == DEC_CLASS_SYSTEM;
    bool opsize = insn->prefixes & DEC_PREFIX_OPSIZE,
         addrsize = insn->prefixes & DEC_PREFIX_ADDRSIZE;
    size_t start = oracle_prefixes(result);

    if (vex)
        opsize = false;
    else if (insn->pp == DEC_PP_66)
        opsize = true;
    else if (!integer && info->op_class != DEC_CLASS_X87 && info->op_class != DEC_CLASS_STATE)
        opsize = false;
    else if (mode64 && (insn->rex & DEC_REX_W || is_near_branch(insn)))
        opsize = false;
    else if (from_16)
        opsize = !opsize;
    addrsize = has_address(insn) && addrsize != from_16;
    bool segment = has_address(insn) && insn->prefixes & DEC_PREFIX_SEG &&
                   (!mode64 || insn->mem.segment >= SEG_FS);

    *encoding = (struct encoding){.mode = from_16 ? DEC_MODE_32 : insn->mode};
    if (info->attributes & DEC_ATTR_STRING) {
        put_byte(encoding, insn->prefixes & DEC_PREFIX_REP, 0xf3);
        put_byte(encoding, insn->prefixes & DEC_PREFIX_REPNE, 0xf2);
    }
    put_byte(encoding, segment, segments[insn->mem.segment]);
    put_byte(encoding, addrsize, 0x67);
    put_byte(encoding, opsize, 0x66);
    put_byte(encoding, insn->prefixes & DEC_PREFIX_LOCK, 0xf0);
    put_byte(encoding, !vex && insn->pp == DEC_PP_F3, 0xf3);
    put_byte(encoding, !vex && insn->pp == DEC_PP_F2, 0xf2);
    put_byte(encoding, insn->prefixes & DEC_PREFIX_REX, 0x40 | insn->rex);
    memcpy(encoding->bytes + encoding->size, result->bytes + start, insn->length - start);
    encoding->size += insn->length - start;
}

static bool agree_again(struct oracle *oracle, const struct comparison *result)
{
    struct encoding encoding;
    char theirs[sizeof(result->theirs)];

    encode_again(result, &encoding);
    const uint8_t *code = encoding.bytes;
    size_t left = encoding.size;
    uint64_t address = ADDRESS + result->insn.length - encoding.size; /* keeps branch targets */
    if (!cs_disasm_iter(oracle->handle[encoding.mode], &code, &left, &address, oracle->insn))
        return false;
    rewrite(oracle->insn, theirs, sizeof(theirs));
    return left == 0 && agree(result, theirs);
}

void oracle_compare(struct oracle *oracle, const uint8_t *bytes, size_t size, enum dec_mode mode,
                    struct comparison *result)
{
    const uint8_t *code = bytes;
    uint64_t address = ADDRESS;
    size_t left = size;

    *result = (struct comparison){.mode = mode, .bytes = bytes, .size = size};
    result->status = dec_decode(bytes, size, mode, &result->insn);
    if (result->status == DEC_OK)
        dec_format(&result->insn, ADDRESS, result->ours, sizeof(result->ours));
    if (cs_disasm_iter(oracle->handle[mode], &code, &left, &address, oracle->insn)) {
        result->capstone = oracle->insn;
        rewrite(oracle->insn, result->theirs, sizeof(result->theirs));
    }
    if (result->status != DEC_OK || !result->capstone)
        result->agree = result->status != DEC_OK && !result->capstone;
    else
        result->agree =
            result->capstone->size == result->insn.length && agree(result, result->theirs);
    if (result->agree)
        return;
    result->reason = oracle_explain(result);
    if (!result->reason && result->status == DEC_OK && agree_again(oracle, result))
        result->reason = "Capstone does not cope with this order or choice of prefixes";
}
