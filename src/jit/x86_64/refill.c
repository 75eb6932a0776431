/* The way of a failed check: fills the TLB without leaving translated code for long. */
#include "jit/x86_64/emit.h"
#include "mmu/mmu.h"

#define RETURN_SIZE 8 /* the return address, which lies below the TLB's table */

/* What the C code may change, of what translated code has in registers. */
static const uint8_t kept[] = {HOST_RAX, HOST_RCX, HOST_RDX, HOST_RSI,
                               HOST_RDI, 8,        HOST_T0,  HOST_T2};

static const uint8_t kind_of[] = {
    [REFILL_READ] = MMU_REFILL_READ,
    [REFILL_WRITE] = MMU_REFILL_WRITE,
    [REFILL_READ_TO_WRITE] = MMU_REFILL_READ_TO_WRITE,
};

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
    asm_mov_imm64(a, HOST_RDI, (uintptr_t)cpu);
    asm_mov(a, HOST_RSI, reg);
    asm_mov_imm32(a, HOST_RDX, kind_of[kind]);
    asm_load(a, HOST_RSP, RM_FIELD(host_stack));
    asm_mov_imm64(a, HOST_RAX, (uintptr_t)mmu_refill);
    asm_l(a, 0xff, 2, rm_reg(HOST_RAX)); /* CALL */
    asm_load(a, HOST_RSP, RM_FIELD(tlb));
    asm_q(a, 0x83, 5, rm_reg(HOST_RSP)); /* SUB */
    asm_8(a, RETURN_SIZE);
    asm_insn(a, (struct asm_op){.opcode = 0x84}, HOST_RAX, rm_reg(HOST_RAX)); /* TEST AL, AL */
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        asm_load(a, kept[i], place(i));
    uint8_t *failed = asm_jcc(a, 4);
    asm_8(a, 0xc3); /* RET */
    asm_patch(failed, a->p);
    asm_load(a, HOST_T1, rm_base(HOST_RSP, 0));
    asm_l(a, ASM_LOAD, HOST_T0, rm_base(HOST_T1, 5));
    asm_patch(asm_jmp(a), cpu->jit->thunks.plain - cpu->jit->to_exec);
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
