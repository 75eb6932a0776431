/* Instruction forms, as the decoder knows them, and random instructions of a form. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_FORMS_H
#define DOPPEL_TESTS_DIFFERENTIAL_FORMS_H

#include "cpu/model.h"
#include "decoder/decoder.h"
#include "random.h"

/* What makes a form: the operation and its opcode, the kinds and sizes of its operands, the mode,
 * the address size where memory is accessed, LOCK, and REP where it repeats. */
struct form_key {
    uint16_t op;
    uint8_t mode, map, opcode, pp;
    uint8_t operand_size, address_size, vex_l;
    uint8_t prefixes; /* enum dec_prefix: LOCK, REP, REPNE, VEX */
    uint8_t kind[DEC_MAX_OPERANDS];
    uint16_t size[DEC_MAX_OPERANDS];
};

/* An encoding of it. */
struct encoding {
    uint8_t mode;
    bool vex, rex_w; /* rex_w: VEX.W, too */
    bool opsize, addrsize, lock, has_modrm;
    uint8_t rep; /* 0xf2, 0xf3 or 0 */
    uint8_t map, pp, vex_l, vvvv, opcode, modrm;
};

struct form {
    struct form_key key;
    struct encoding encoding;
    uint8_t op_class; /* enum dec_class, of this form */
};

struct forms {
    struct form *form;
    size_t count;
};

/* Every form in this mode that the model offers and that can be compared: see is_comparable().
 * False where memory is short. */
bool forms_find(struct forms *forms, enum dec_mode mode, const struct cpu_model *model);
void forms_free(struct forms *forms);

/* A random instruction of the form; code is DEC_MAX_LENGTH bytes and goes on after it at random.
 * False where many attempts have not led to one. */
bool form_generate(const struct form *form, struct random *random, uint8_t *code,
                   struct dec_insn *insn);

#endif
