#include "forms.h"

#include "base/bits.h"
#include "generate.h"

#include <stdlib.h>

/* --- Which forms there are. */

/* Left out are system calls, and what the kernel stands in for: SGDT and its kin under UMIP. */
static bool is_comparable(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    switch (insn->op) {
    case DEC_OP_CPUID:
    case DEC_OP_RDTSC:
    case DEC_OP_RDTSCP:
    case DEC_OP_RDPID:
    case DEC_OP_RDPMC:
    case DEC_OP_XGETBV:
    case DEC_OP_LAR:
    case DEC_OP_LSL:
    case DEC_OP_VERR:
    case DEC_OP_VERW:
    case DEC_OP_LDS:
    case DEC_OP_LES:
    case DEC_OP_LFS:
    case DEC_OP_LGS:
    case DEC_OP_LSS:
    case DEC_OP_MOV_SEG:
    case DEC_OP_JMP_FAR:
    case DEC_OP_CALL_FAR:
    case DEC_OP_RET_FAR:
    case DEC_OP_IRET:
    case DEC_OP_INT:
    case DEC_OP_INT1:
    case DEC_OP_INT3:
    case DEC_OP_INTO:
    case DEC_OP_PUSHF:
    case DEC_OP_POPF:
    case DEC_OP_CLI:
    case DEC_OP_STI:
    case DEC_OP_ARPL:
    case DEC_OP_RDFSBASE:
    case DEC_OP_RDGSBASE:
    case DEC_OP_WRFSBASE:
    case DEC_OP_WRGSBASE:
    case DEC_OP_UD0:
    case DEC_OP_UD1:
    case DEC_OP_UD2:
        return true;
    default:
        break;
    }
    if (info->op_class == DEC_CLASS_SYSTEM)
        return info->attributes & (DEC_ATTR_PRIVILEGED | DEC_ATTR_IO);
    return true;
}

static bool accesses_memory(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return true;
    }
    return false;
}

static bool address_size_counts(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_XLAT:
    case DEC_OP_JCXZ:
    case DEC_OP_LOOP:
    case DEC_OP_LOOPE:
    case DEC_OP_LOOPNE:
    case DEC_OP_MASKMOVQ:
    case DEC_OP_MASKMOVDQU:
    case DEC_OP_VMASKMOVDQU:
        return true;
    default:
        return accesses_memory(insn) || dec_info(insn->op)->attributes & DEC_ATTR_STRING;
    }
}

static void make_key(struct form_key *key, const struct dec_insn *insn)
{
    uint8_t prefixes = DEC_PREFIX_LOCK | DEC_PREFIX_VEX;
    if (dec_info(insn->op)->attributes & DEC_ATTR_STRING)
        prefixes |= DEC_PREFIX_REP | DEC_PREFIX_REPNE;
    memset(key, 0, sizeof(*key));
    key->op = insn->op;
    key->mode = insn->mode;
    key->map = insn->map;
    key->opcode = insn->opcode;
    key->pp = insn->pp;
    key->operand_size = insn->operand_size;
    key->address_size = address_size_counts(insn) ? insn->address_size : 0;
    key->vex_l = insn->vex_l;
    key->prefixes = insn->prefixes & prefixes;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        key->kind[i] = insn->operand[i].kind;
        key->size[i] = insn->operand[i].size;
    }
}

/* An open hash table of the keys that have been met. */
struct finder {
    struct forms *forms;
    const struct cpu_model *model;
    enum dec_mode mode;
    bool full; /* no memory */
    size_t room;
    uint32_t slots[1 << 16]; /* index + 1 into forms */
};

static uint32_t *find_slot(struct finder *finder, const struct form_key *key)
{
    const uint8_t *bytes = (const uint8_t *)key;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < sizeof(*key); i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    for (;; hash++) {
        uint32_t *slot = &finder->slots[hash % ARRAY_SIZE(finder->slots)];
        if (!*slot || !memcmp(&finder->forms->form[*slot - 1].key, key, sizeof(*key)))
            return slot;
    }
}

static bool add_form(struct finder *finder, const struct form *form)
{
    struct forms *forms = finder->forms;
    if (forms->count == finder->room) {
        finder->room = finder->room ? 2 * finder->room : 1024;
        struct form *grown = realloc(forms->form, finder->room * sizeof(*grown));
        if (!grown)
            return false;
        forms->form = grown;
    }
    forms->form[forms->count++] = *form;
    return true;
}

/* The bytes of an encoding with a ModRM that is decoded whether or not the opcode has one; what
 * follows are displacement and immediate. */
static unsigned put_encoding(const struct encoding *e, uint8_t *code)
{
    uint8_t *p = code;
    if (e->lock)
        *p++ = 0xf0;
    if (e->opsize)
        *p++ = 0x66;
    if (e->addrsize)
        *p++ = 0x67;
    if (e->rep)
        *p++ = e->rep;
    if (e->vex) {
        *p++ = 0xc4;
        *p++ = 0xe0 | e->map;
        *p++ = (uint8_t)(e->rex_w << 7 | (~e->vvvv & 15) << 3 | e->vex_l << 2 | e->pp);
    } else {
        if (e->rex_w)
            *p++ = 0x48;
        if (e->map != DEC_MAP_ONE)
            *p++ = 0x0f;
        if (e->map == DEC_MAP_0F38)
            *p++ = 0x38;
        if (e->map == DEC_MAP_0F3A)
            *p++ = 0x3a;
    }
    *p++ = e->opcode;
    *p++ = e->modrm;
    return (unsigned)(p - code);
}

static void try_encoding(struct finder *finder, const struct encoding *encoding)
{
    uint8_t code[DEC_MAX_LENGTH] = {0};
    struct dec_insn insn;
    put_encoding(encoding, code);
    if (dec_decode(code, sizeof(code), finder->mode, &insn) != DEC_OK)
        return;
    struct form form = {.encoding = *encoding};
    if (insn.map != encoding->map || insn.opcode != encoding->opcode ||
        !finder->model->features[dec_insn_feature(&insn)] || !is_comparable(&insn))
        return;
    form.encoding.has_modrm = insn.has_modrm;
    form.op_class = (uint8_t)dec_insn_class(&insn);
    make_key(&form.key, &insn);
    uint32_t *slot = find_slot(finder, &form.key);
    if (*slot)
        return;
    if (add_form(finder, &form))
        *slot = (uint32_t)finder->forms->count;
    else
        finder->full = true;
}

/* Registers and memory for each ModRM.reg; all of ModRM where it is a part of the opcode. */
static void try_modrm(struct finder *finder, struct encoding *encoding)
{
    bool whole = encoding->map == DEC_MAP_ONE && (encoding->opcode & 0xf8) == 0xd8;
    if (encoding->map == DEC_MAP_0F)
        whole = encoding->opcode == 0x01 || encoding->opcode == 0xae || encoding->opcode == 0x1e;
    for (unsigned reg = 0; reg < 8; reg++) {
        encoding->modrm = (uint8_t)(reg << 3 | 4); /* with a SIB byte, perhaps VSIB */
        try_encoding(finder, encoding);
        for (unsigned rm = 0; rm < (whole ? 8 : 1); rm++) {
            encoding->modrm = (uint8_t)(0xc0 | reg << 3 | rm);
            try_encoding(finder, encoding);
        }
    }
}

static void find_legacy(struct finder *finder)
{
    static const uint8_t reps[] = {0, 0xf2, 0xf3};
    bool mode64 = finder->mode == DEC_MODE_64;
    for (unsigned bits = 0; bits < (mode64 ? 16 : 8); bits++) {
        struct encoding encoding = {.mode = (uint8_t)finder->mode,
                                    .opsize = bits & 1,
                                    .addrsize = bits & 2,
                                    .lock = bits & 4,
                                    .rex_w = bits & 8};
        for (unsigned choice = 0; choice < 4 * 3 * 256; choice++) {
            encoding.map = choice / 256 % 4;
            encoding.rep = reps[choice / 1024];
            encoding.opcode = (uint8_t)choice;
            try_modrm(finder, &encoding);
        }
    }
}

static void find_vex(struct finder *finder)
{
    for (unsigned choice = 0; choice < 3 * 4 * 16 * 256; choice++) {
        unsigned bits = choice >> 8 & 15;
        struct encoding encoding = {
            .mode = (uint8_t)finder->mode,
            .vex = true,
            .opcode = (uint8_t)choice,
            .vex_l = bits & 1,
            .rex_w = bits & 2,
            .addrsize = bits & 4,
            .vvvv = bits & 8 ? 7 : 0, /* has one, or must not have one */
            .pp = choice >> 12 & 3,
            .map = (uint8_t)(1 + (choice >> 14)),
        };
        try_modrm(finder, &encoding);
    }
}

bool forms_find(struct forms *forms, enum dec_mode mode, const struct cpu_model *model)
{
    struct finder *finder = calloc(1, sizeof(*finder));
    *forms = (struct forms){0};
    if (!finder)
        return false;
    finder->forms = forms;
    finder->model = model;
    finder->mode = mode;
    find_legacy(finder);
    find_vex(finder);
    bool found = !finder->full;
    free(finder);
    return found;
}

void forms_free(struct forms *forms)
{
    free(forms->form);
}

/* --- Random instructions. */

static uint8_t random_byte(struct random *random)
{
    return (uint8_t)(random_next(random) >> 56);
}

/* In any order; at times with some that mean nothing. */
static unsigned put_prefixes(const struct encoding *e, struct random *random, uint8_t *code)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65};
    static const uint8_t others[] = {0x66, 0xf2, 0xf3, 0x67};
    unsigned length = 0;
    if (random_chance(random, 20))
        code[length++] = segments[random_below(random, ARRAY_SIZE(segments))];
    if (!e->vex && random_chance(random, 5))
        code[length++] = others[random_below(random, ARRAY_SIZE(others))];
    if (e->lock)
        code[length++] = 0xf0;
    if (e->opsize)
        code[length++] = 0x66;
    if (e->addrsize)
        code[length++] = 0x67;
    if (e->rep)
        code[length++] = e->rep;
    for (unsigned i = 1; i < length; i++) {
        unsigned j = random_below(random, i + 1);
        uint8_t prefix = code[i];
        code[i] = code[j];
        code[j] = prefix;
    }
    return length;
}

static uint8_t *put_random_vex(const struct encoding *e, struct random *random, uint8_t *p)
{
    bool mode64 = e->mode == DEC_MODE_64;
    uint8_t extension = mode64 ? random_byte(random) & 0xe0 : 0xe0;
    uint8_t vvvv = e->vvvv ? random_byte(random) & 15 : 0;
    if (!mode64)
        vvvv &= 7;
    uint8_t last = (uint8_t)((~vvvv & 15) << 3 | e->vex_l << 2 | e->pp);
    if (e->map == DEC_MAP_0F && !e->rex_w && random_chance(random, 30)) {
        *p++ = 0xc5;
        *p++ = (extension & 0x80) | last;
        return p;
    }
    *p++ = 0xc4;
    *p++ = extension | e->map;
    *p++ = (uint8_t)(e->rex_w << 7) | last;
    return p;
}

static uint8_t *put_random_legacy(const struct encoding *e, struct random *random, uint8_t *p)
{
    if (e->rex_w || (e->mode == DEC_MODE_64 && random_chance(random, 50)))
        *p++ = (uint8_t)(0x40 | e->rex_w << 3 | (random_byte(random) & 7));
    if (e->map != DEC_MAP_ONE)
        *p++ = 0x0f;
    if (e->map == DEC_MAP_0F38)
        *p++ = 0x38;
    if (e->map == DEC_MAP_0F3A)
        *p++ = 0x3a;
    return p;
}

static uint8_t random_modrm(uint8_t modrm, struct random *random)
{
    uint8_t bits = random_byte(random);
    if (modrm >= 0xc0)
        modrm = (modrm & ~7) | (bits & 7);
    else if (bits & 0xc0)
        modrm = (modrm & 0x38) | (uint8_t)(random_below(random, 3) << 6) | (bits & 7);
    if (bits & 0x20)
        modrm = (modrm & 0xc7) | (random_byte(random) & 0x38);
    return modrm;
}

/* It would be a system call. */
static bool calls_system(const struct dec_insn *insn)
{
    return insn->op == DEC_OP_INT && insn->imm == 0x80;
}

/* RAX and RDX say which components XSAVE and its kin are to handle: the host has more of them. */
static bool mask_is_address(const struct dec_insn *insn)
{
    const struct dec_mem *mem = &insn->mem;
    bool xsave = insn->op >= DEC_OP_XSAVE && insn->op <= DEC_OP_XRSTORS;
    return xsave && (mem->base == REG_RAX || mem->base == REG_RDX || mem->index == REG_RAX ||
                     mem->index == REG_RDX);
}

bool form_generate(const struct form *form, struct random *random, uint8_t *code,
                   struct dec_insn *insn)
{
    const struct encoding *e = &form->encoding;
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        uint8_t bytes[40];
        for (unsigned i = 0; i < sizeof(bytes); i += 8)
            store_le(bytes + i, generate_value(random), 8);
        uint8_t *p = bytes + put_prefixes(e, random, bytes);
        p = e->vex ? put_random_vex(e, random, p) : put_random_legacy(e, random, p);
        *p++ = e->opcode;
        if (e->has_modrm)
            *p = random_modrm(e->modrm, random);
        memcpy(code, bytes, DEC_MAX_LENGTH);
        struct form_key key;
        if (dec_decode(code, DEC_MAX_LENGTH, (enum dec_mode)e->mode, insn) != DEC_OK)
            continue;
        make_key(&key, insn);
        if (!memcmp(&key, &form->key, sizeof(key)) && !mask_is_address(insn) && !calls_system(insn))
            return true;
    }
    return false;
}
