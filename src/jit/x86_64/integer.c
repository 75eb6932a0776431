#include "jit/x86_64/emit.h"

void emit_save_status(struct assembler *a)
{
    asm_mov(a, HOST_T1, HOST_RAX);
    asm_8(a, 0x9f); /* LAHF; SETO AL */
    asm_insn(a, (struct asm_op){.opcode = 0x90, .map = DEC_MAP_0F}, 0, rm_reg(HOST_RAX));
    asm_insn(a, (struct asm_op){.opcode = ASM_STORE, .opsize = true}, HOST_RAX, RM_FIELD(status));
    asm_mov(a, HOST_RAX, HOST_T1);
}

/* 127 + 1 overflows a byte, 127 + 0 does not. */
void emit_load_status(struct assembler *a)
{
    asm_mov(a, HOST_T1, HOST_RAX);
    asm_insn(a, (struct asm_op){.opcode = 0xb7, .map = DEC_MAP_0F}, HOST_RAX, RM_FIELD(status));
    asm_8(a, 0x04); /* ADD AL, 127; SAHF */
    asm_8(a, 127);
    asm_8(a, 0x9e);
    asm_mov(a, HOST_RAX, HOST_T1);
}

bool emit_integer(struct emitter *e, const struct interp_insn *in)
{
    (void)e;
    (void)in;
    return false;
}
