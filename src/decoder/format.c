/* Decoded instructions as text, in Intel syntax. */
#include "decoder/decoder.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text {
    char *buffer;
    size_t size;
    size_t length; /* what the whole text needs; what does not fit is dropped */
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    bool room = text->length < text->size;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(room ? text->buffer + text->length : NULL,
                           room ? text->size - text->length : 0, format, arguments);
    va_end(arguments);
    if (length > 0)
        text->length += (size_t)length;
}

/* Digits are the same in both bases: 0x only where it matters. */
static void put_number(struct text *text, uint64_t number)
{
    put(text, number > 9 ? "0x%" PRIx64 : "%" PRIx64, number);
}

static const char *const condition_names[16] = {
    "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g",
};

static const char *const segment_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

/* 0 for 1 byte to 3 for 8 bytes. */
static unsigned size_index(unsigned size)
{
    return size >= 8 ? 3 : size >= 4 ? 2 : size >= 2 ? 1 : 0;
}

static void put_gpr(struct text *text, unsigned reg, unsigned size)
{
    static const char *const names[4][8] = {
        {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"},
        {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"},
        {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"},
        {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"},
    };
    static const char *const suffixes[4] = {"b", "w", "d", ""};

    if (reg < 8)
        put(text, "%s", names[size_index(size)][reg]);
    else
        put(text, "r%u%s", reg, suffixes[size_index(size)]);
}

static void put_vector(struct text *text, unsigned reg, unsigned size)
{
    put(text, "%cmm%u", size == 32 ? 'y' : 'x', reg);
}

static void put_size(struct text *text, unsigned size)
{
    static const struct {
        uint8_t size;
        const char *name;
    } names[] = {
        {1, "byte"},  {2, "word"},   {4, "dword"},    {6, "fword"},
        {8, "qword"}, {10, "tbyte"}, {16, "xmmword"}, {32, "ymmword"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].size == size)
            put(text, "%s ptr ", names[i].name);
    }
}

/* The width of a gather's vector of indexes: dwords are half as many bytes as the qwords they
 * select (SDM volume 2, VGATHERDPD), and qwords are always a full vector. */
static unsigned vsib_size(const struct dec_insn *insn)
{
    bool dword_indexes_of_qwords = insn->op == DEC_OP_VGATHERDPD || insn->op == DEC_OP_VPGATHERDQ;

    return insn->vex_l && !dword_indexes_of_qwords ? 32 : 16;
}

/* A segment that the base register does not imply. */
static void put_segment(struct text *text, const struct dec_insn *insn)
{
    const struct dec_mem *mem = &insn->mem;
    bool stack = mem->base == REG_RSP || mem->base == REG_RBP;

    if (insn->mode == DEC_MODE_64 ? mem->segment >= SEG_FS
                                  : mem->segment != (stack ? SEG_SS : SEG_DS))
        put(text, "%s:", segment_names[mem->segment]);
}

static uint64_t address_mask(const struct dec_insn *insn)
{
    return insn->address_size == 8 ? UINT64_MAX : (UINT64_C(1) << insn->address_size * 8) - 1;
}

static void put_displacement(struct text *text, const struct dec_insn *insn, bool alone)
{
    int64_t disp = insn->mem.disp;

    if (alone) {
        put_number(text, (uint64_t)disp & address_mask(insn));
    } else if (disp != 0) {
        put(text, disp < 0 ? " - " : " + ");
        put_number(text, disp < 0 ? -(uint64_t)disp : (uint64_t)disp);
    }
}

static void put_memory(struct text *text, const struct dec_insn *insn, unsigned size)
{
    const struct dec_mem *mem = &insn->mem;
    bool based = mem->base != DEC_NO_REG, indexed = mem->index != DEC_NO_REG;

    put_size(text, size);
    put_segment(text, insn);
    put(text, "[");
    if (mem->base == DEC_BASE_RIP)
        put(text, insn->address_size == 8 ? "rip" : "eip");
    else if (based)
        put_gpr(text, mem->base, insn->address_size);
    if (indexed) {
        put(text, based ? " + " : "");
        if (mem->vsib)
            put_vector(text, mem->index, vsib_size(insn));
        else
            put_gpr(text, mem->index, insn->address_size);
        if (mem->scale > 1)
            put(text, "*%u", mem->scale);
    }
    put_displacement(text, insn, !based && !indexed);
    put(text, "]");
}

/* Only a sign-extended immediate is negative as 64 bits, or a whole 64-bit one. */
static void put_immediate(struct text *text, const struct dec_insn *insn)
{
    bool negative = (int64_t)insn->imm < 0 && insn->imm_size < 8;

    put(text, negative ? "-" : "");
    put_number(text, negative ? -insn->imm : insn->imm);
}

/* Outside 64-bit mode IP and EIP wrap around at the operand size. */
static void put_target(struct text *text, const struct dec_insn *insn, uint64_t address)
{
    uint64_t target = address + insn->length + insn->imm;

    if (insn->mode != DEC_MODE_64)
        target &= insn->operand_size == 2 ? UINT16_MAX : UINT32_MAX;
    put_number(text, target);
}

static void put_operand(struct text *text, const struct dec_insn *insn, unsigned number,
                        uint64_t address)
{
    static const char *const high_names[4] = {"ah", "ch", "dh", "bh"};
    const struct dec_operand *operand = &insn->operand[number];
    bool second_immediate = number > 0 && operand[-1].kind == DEC_OPERAND_IMM;

    switch ((enum dec_operand_kind)operand->kind) {
    case DEC_OPERAND_NONE:
        break;
    case DEC_OPERAND_GPR:
        put_gpr(text, operand->reg, operand->size);
        break;
    case DEC_OPERAND_GPR_HIGH:
        put(text, "%s", high_names[operand->reg]);
        break;
    case DEC_OPERAND_SEG:
        put(text, "%s", segment_names[operand->reg]);
        break;
    case DEC_OPERAND_CR:
        put(text, "cr%u", operand->reg);
        break;
    case DEC_OPERAND_DR:
        put(text, "dr%u", operand->reg);
        break;
    case DEC_OPERAND_ST:
        put(text, "st(%u)", operand->reg);
        break;
    case DEC_OPERAND_MM:
        put(text, "mm%u", operand->reg);
        break;
    case DEC_OPERAND_VEC:
        put_vector(text, operand->reg, operand->size);
        break;
    case DEC_OPERAND_MEM:
        put_memory(text, insn, operand->size);
        break;
    case DEC_OPERAND_IMM:
        if (second_immediate)
            put_number(text, insn->imm2);
        else
            put_immediate(text, insn);
        break;
    case DEC_OPERAND_REL:
        put_target(text, insn, address);
        break;
    case DEC_OPERAND_FAR:
        put_number(text, insn->imm2);
        put(text, ":");
        put_number(text, insn->imm);
        break;
    }
}

/* The operations whose mnemonic tells a size, by the size's index. */
static const char *sized_name(const struct dec_insn *insn)
{
    static const struct {
        uint16_t op;
        bool by_address_size;
        const char *name[4];
    } names[] = {
        {DEC_OP_MOVS, false, {"movsb", "movsw", "movsd", "movsq"}},
        {DEC_OP_CMPS, false, {"cmpsb", "cmpsw", "cmpsd", "cmpsq"}},
        {DEC_OP_SCAS, false, {"scasb", "scasw", "scasd", "scasq"}},
        {DEC_OP_LODS, false, {"lodsb", "lodsw", "lodsd", "lodsq"}},
        {DEC_OP_STOS, false, {"stosb", "stosw", "stosd", "stosq"}},
        {DEC_OP_INS, false, {"insb", "insw", "insd", "insd"}},
        {DEC_OP_OUTS, false, {"outsb", "outsw", "outsd", "outsd"}},
        {DEC_OP_CBW, false, {"cbw", "cbw", "cwde", "cdqe"}},
        {DEC_OP_CWD, false, {"cwd", "cwd", "cdq", "cqo"}},
        {DEC_OP_PUSHF, false, {"pushf", "pushf", "pushfd", "pushfq"}},
        {DEC_OP_POPF, false, {"popf", "popf", "popfd", "popfq"}},
        {DEC_OP_PUSHA, false, {"pusha", "pusha", "pushad", "pushad"}},
        {DEC_OP_POPA, false, {"popa", "popa", "popad", "popad"}},
        {DEC_OP_IRET, false, {"iret", "iret", "iretd", "iretq"}},
        {DEC_OP_RET_FAR, false, {"retf", "retf", "retf", "retfq"}},
        {DEC_OP_SYSRET, false, {"sysret", "sysret", "sysret", "sysretq"}},
        {DEC_OP_SYSEXIT, false, {"sysexit", "sysexit", "sysexit", "sysexitq"}},
        {DEC_OP_FXSAVE, false, {"fxsave", "fxsave", "fxsave", "fxsave64"}},
        {DEC_OP_FXRSTOR, false, {"fxrstor", "fxrstor", "fxrstor", "fxrstor64"}},
        {DEC_OP_XSAVE, false, {"xsave", "xsave", "xsave", "xsave64"}},
        {DEC_OP_XSAVEC, false, {"xsavec", "xsavec", "xsavec", "xsavec64"}},
        {DEC_OP_XSAVEOPT, false, {"xsaveopt", "xsaveopt", "xsaveopt", "xsaveopt64"}},
        {DEC_OP_XSAVES, false, {"xsaves", "xsaves", "xsaves", "xsaves64"}},
        {DEC_OP_XRSTOR, false, {"xrstor", "xrstor", "xrstor", "xrstor64"}},
        {DEC_OP_XRSTORS, false, {"xrstors", "xrstors", "xrstors", "xrstors64"}},
        {DEC_OP_JCXZ, true, {"jcxz", "jcxz", "jecxz", "jrcxz"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        unsigned size = names[i].by_address_size ? insn->address_size : insn->operand_size;
        if (names[i].op == insn->op)
            return names[i].name[size_index(size)];
    }
    return NULL;
}

static bool compares_strings(const struct dec_insn *insn)
{
    return insn->op == DEC_OP_CMPS || insn->op == DEC_OP_SCAS;
}

static void put_mnemonic(struct text *text, const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    const char *name = sized_name(insn);
    bool string = info->attributes & DEC_ATTR_STRING;
    bool conditional =
        insn->op == DEC_OP_JCC || insn->op == DEC_OP_SETCC || insn->op == DEC_OP_CMOVCC;
    bool far = insn->op == DEC_OP_JMP_FAR || insn->op == DEC_OP_CALL_FAR;
    bool whole_offset = insn->map == DEC_MAP_ONE && (insn->opcode & 0xfc) == 0xa0;

    if (insn->prefixes & DEC_PREFIX_LOCK)
        put(text, "lock ");
    if (string && insn->prefixes & DEC_PREFIX_REP)
        put(text, compares_strings(insn) ? "repe " : "rep ");
    else if (string && insn->prefixes & DEC_PREFIX_REPNE)
        put(text, "repne ");
    if (insn->op == DEC_OP_MOV && insn->mode == DEC_MODE_64 &&
        (insn->imm_size == 8 || whole_offset))
        name = "movabs";
    put(text, "%s%s%s", name ? name : info->name, conditional ? condition_names[insn->cond] : "",
        far ? " far" : "");
}

static void put_string_pointer(struct text *text, const struct dec_insn *insn, unsigned reg)
{
    struct dec_insn pointer = *insn;

    pointer.mem = (struct dec_mem){
        .base = (uint8_t)reg, .index = DEC_NO_REG, .scale = 1, .segment = insn->mem.segment};
    if (reg == REG_RDI) /* through ES always: no override reaches it */
        pointer.mem.segment = SEG_ES;
    put_memory(text, &pointer, insn->operand_size);
}

/* What a string instruction works on is implied by its opcode and spelt out here: d and s are the
 * destination and source pointers, a the accumulator, p the port. */
static void put_string_operands(struct text *text, const struct dec_insn *insn)
{
    static const struct {
        uint16_t op;
        char operands[3];
    } forms[] = {
        {DEC_OP_MOVS, "ds"}, {DEC_OP_CMPS, "sd"}, {DEC_OP_SCAS, "ad"}, {DEC_OP_LODS, "as"},
        {DEC_OP_STOS, "da"}, {DEC_OP_INS, "dp"},  {DEC_OP_OUTS, "ps"},
    };
    const char *operands = "";

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (forms[i].op == insn->op)
            operands = forms[i].operands;
    }
    for (const char *operand = operands; *operand; operand++) {
        put(text, operand == operands ? " " : ", ");
        if (*operand == 'a')
            put_gpr(text, REG_RAX, insn->operand_size);
        else if (*operand == 'p')
            put(text, "dx");
        else
            put_string_pointer(text, insn, *operand == 'd' ? REG_RDI : REG_RSI);
    }
}

size_t dec_format(const struct dec_insn *insn, uint64_t address, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};

    put_mnemonic(&text, insn);
    if (dec_info(insn->op)->attributes & DEC_ATTR_STRING) {
        put_string_operands(&text, insn);
        return text.length;
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        put(&text, i == 0 ? " " : ", ");
        put_operand(&text, insn, i, address);
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM && insn->mem.base == DEC_BASE_RIP)
            put(&text, " # 0x%" PRIx64,
                (address + insn->length + (uint64_t)insn->mem.disp) & address_mask(insn));
    }
    return text.length;
}
