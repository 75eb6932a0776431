/* The way of a failed check: fills the TLB without leaving translated code for long. */
#include "jit/x86_64/emit.h"

#define RETURN_SIZE 8 /* the return address, which lies below the TLB's table */

/* What the C code may change, of what translated code has in registers. */
static const uint8_t kept[] = {HOST_RAX, HOST_RCX, HOST_RDX, HOST_RSI,
                               HOST_RDI, 8,        HOST_T0,  HOST_T2};

_Static_assert(ARRAY_SIZE(kept) == JIT_KEPT_T2 + 1, "T0 and T2 are the last");

static struct asm_rm place(unsigned i)
{
    return rm_cpu(offsetof(struct cpu, kept) + 8 * i);
}

/* reg holds the address XOR the tag of the entry at T1. */
static void restore_address(struct assembler *a, enum refill_kind kind, unsigned reg)
{
    size_t tag = kind == REFILL_READ ? offsetof(struct tlb_entry, read_tag)
                                     : offsetof(struct tlb_entry, write_tag);
    asm_tlb_q(a, 0x33, reg, (unsigned)tag + RETURN_SIZE);
}

static void emit_refill(struct cpu *cpu, struct assembler *a, enum refill_kind kind, unsigned reg)
{
    restore_address(a, kind, reg);
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        asm_store(a, place(i), kept[i]);
    asm_load(a, HOST_RCX, (struct asm_rm){RM_STACK, HOST_RSP, 0});
    asm_mov_imm64(a, HOST_RDI, (uintptr_t)cpu);
    asm_mov(a, HOST_RSI, reg);
    asm_mov_imm32(a, HOST_RDX, kind);
    asm_load(a, HOST_RSP, RM_FIELD(host_stack));
    asm_mov_imm64(a, HOST_RAX, (uintptr_t)jit_reach);
    asm_l(a, 0xff, 2, rm_reg(HOST_RAX)); /* CALL */
    asm_mov(a, HOST_T1, HOST_RAX);
    asm_load(a, HOST_RSP, RM_FIELD(tlb));
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        asm_load(a, kept[i], place(i));
    asm_q(a, 0x85, HOST_T1, rm_reg(HOST_T1)); /* TEST */
    uint8_t *elsewhere = asm_jcc(a, 5);
    asm_q(a, 0x83, 5, rm_reg(HOST_RSP)); /* SUB */
    asm_8(a, RETURN_SIZE);
    asm_8(a, 0xc3); /* RET */
    asm_patch(elsewhere, a->p);
    asm_l(a, 0xff, 4, rm_reg(HOST_T1)); /* JMP */
}

void jit_emit_refills(struct cpu *cpu, struct assembler *a)
{
    struct jit *jit = cpu->jit;
    for (unsigned kind = 0; kind < REFILL_KINDS; kind++) {
        for (unsigned second = 0; second < 2; second++) {
            jit->thunks.refill[kind][second] = a->p + jit->to_exec;
            emit_refill(cpu, a, (enum refill_kind)kind, second ? HOST_T2 : HOST_T0);
        }
    }
}
