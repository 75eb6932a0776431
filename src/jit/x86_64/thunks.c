/* Code that all translations share: the ways in and out, calls of interpreter handlers, lookup. */
#include "jit/operands.h"
#include "jit/x86_64/emit.h"

#define CLEARED_STATUS (~(uint32_t)FLAGS_STATUS)

/* Guest registers that have a host register. */
static const uint8_t pinned[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14};

static void spill(const struct cpu *cpu, struct assembler *a)
{
    const struct jit *jit = cpu->jit;
    for (unsigned i = 0; i < ARRAY_SIZE(pinned); i++)
        asm_store(a, rm_gpr(pinned[i]), host_of(pinned[i]));
    asm_insn(a, (struct asm_op){.opcode = 0x80}, 7, RM_FIELD(vec_live)); /* CMP */
    asm_8(a, 0);
    asm_8(a, 0x74); /* JE over */
    asm_8(a, 5);
    asm_patch(asm_call(a), jit->thunks.save_vec - jit->to_exec);
}

static void reload(struct assembler *a)
{
    for (unsigned i = 0; i < ARRAY_SIZE(pinned); i++)
        asm_load(a, host_of(pinned[i]), rm_gpr(pinned[i]));
}

/* From the TLB to C code's stack, and back. */
static void to_stack(struct assembler *a)
{
    asm_load(a, HOST_RSP, RM_FIELD(host_stack));
}

static void to_tlb(struct assembler *a)
{
    asm_load(a, HOST_RSP, RM_FIELD(tlb));
}

static void asm_alu_imm32(struct assembler *a, bool wide, unsigned extension, unsigned reg,
                          uint32_t imm)
{
    asm_insn(a, (struct asm_op){.opcode = 0x81, .w = wide}, extension, rm_reg(reg));
    asm_32(a, imm);
}

static void asm_shift(struct assembler *a, bool left, unsigned reg, unsigned count)
{
    asm_l(a, 0xc1, left ? 4 : 5, rm_reg(reg));
    asm_8(a, count);
}

enum { ALU_OR = 1, ALU_AND = 4, ALU_CMP = 7 };

/* MOVZX r32, r/m8 or r/m16 */
static void asm_movzx(struct assembler *a, bool word, unsigned dst, struct asm_rm rm)
{
    asm_insn(a, (struct asm_op){.opcode = word ? 0xb7 : 0xb6, .map = DEC_MAP_0F}, dst, rm);
}

/* RFLAGS' status flags = status, through RAX and RCX. */
static void status_to_rflags(struct assembler *a)
{
    asm_movzx(a, true, HOST_RAX, RM_FIELD(status));
    asm_load(a, HOST_RCX, RM_FIELD(rflags));
    asm_alu_imm32(a, true, ALU_AND, HOST_RCX, CLEARED_STATUS);
    asm_movzx(a, false, HOST_RDX, rm_reg(4)); /* AH */
    asm_q(a, 0x09, HOST_RDX, rm_reg(HOST_RCX));
    asm_alu_imm32(a, false, ALU_AND, HOST_RAX, 1);
    asm_shift(a, true, HOST_RAX, 11);
    asm_q(a, 0x09, HOST_RAX, rm_reg(HOST_RCX));
    asm_store(a, RM_FIELD(rflags), HOST_RCX);
}

/* The reverse. */
static void status_from_rflags(struct assembler *a)
{
    asm_l(a, ASM_LOAD, HOST_RAX, RM_FIELD(rflags));
    asm_l(a, ASM_LOAD, HOST_RCX, rm_reg(HOST_RAX));
    asm_shift(a, true, HOST_RAX, 8);
    asm_shift(a, false, HOST_RCX, 11);
    asm_alu_imm32(a, false, ALU_AND, HOST_RCX, 1);
    asm_insn(a, (struct asm_op){.opcode = 0x88}, HOST_RCX, rm_reg(HOST_RAX)); /* MOV AL, CL */
    asm_insn(a, (struct asm_op){.opcode = 0x89, .opsize = true}, HOST_RAX, RM_FIELD(status));
}

static const uint8_t saved[] = {HOST_RBX, HOST_RBP, 12, 13, 14, 15};

static void push_pop(struct assembler *a, unsigned opcode, unsigned reg)
{
    if (reg >= 8)
        asm_8(a, 0x41);
    asm_8(a, opcode | (reg & 7));
}

static void adjust_rsp(struct assembler *a, int bytes)
{
    asm_q(a, 0x83, 0, rm_reg(HOST_RSP));
    asm_8(a, (uint8_t)bytes);
}

static void emit_enter(struct assembler *a)
{
    for (unsigned i = 0; i < ARRAY_SIZE(saved); i++)
        push_pop(a, 0x50, saved[i]);
    adjust_rsp(a, -8);
    asm_store(a, RM_FIELD(host_stack), HOST_RSP);
    asm_mov(a, HOST_T0, HOST_RSI);
    status_from_rflags(a);
    reload(a);
    to_tlb(a);
    emit_load_status(a);
    asm_l(a, 0xff, 4, rm_reg(HOST_T0)); /* JMP */
}

/* RAX is the link. */
static void leave(struct assembler *a, enum jit_exit exit)
{
    asm_mov_imm32(a, HOST_RDX, exit);
    to_stack(a);
    adjust_rsp(a, 8);
    for (unsigned i = ARRAY_SIZE(saved); i-- > 0;)
        push_pop(a, 0x58, saved[i]);
    asm_8(a, 0xc3);
}

/* After a handler, with everything in struct cpu: on at next_rip, in C. */
static void leave_at_next(struct assembler *a)
{
    asm_load(a, HOST_RAX, RM_FIELD(next_rip));
    asm_store(a, RM_FIELD(rip), HOST_RAX);
    leave(a, JIT_EXIT_HANDLER);
}

/* After a handler that wants to leave: C decides whether translated code can go on at next_rip
 * nevertheless, by lookup. */
static void emit_leave_or_resume(struct cpu *cpu, struct assembler *a, const uint8_t *lookup)
{
    asm_mov_imm64(a, HOST_RDI, (uintptr_t)cpu);
    asm_mov_imm64(a, HOST_RAX, (uintptr_t)jit_resume);
    asm_l(a, 0xff, 2, rm_reg(HOST_RAX)); /* CALL */
    asm_insn(a, (struct asm_op){.opcode = 0x84}, HOST_RAX, rm_reg(HOST_RAX));
    uint8_t *resumes = asm_jcc(a, 5);
    leave_at_next(a);
    asm_patch(resumes, a->p);
    status_from_rflags(a);
    reload(a);
    to_tlb(a);
    asm_load(a, HOST_T0, RM_FIELD(next_rip));
    asm_l(a, 0x31, HOST_T1, rm_reg(HOST_T1));
    asm_patch(asm_jmp(a), lookup);
}

/* Spills, and calls the handler of the instruction at T0 in the arena. */
static void call_handler(struct cpu *cpu, struct assembler *a, bool status_in)
{
    const uint8_t *arena = interp_blocks(cpu)->arena;
    spill(cpu, a);
    if (status_in)
        status_to_rflags(a);
    asm_mov_imm64(a, HOST_RSI, (uintptr_t)arena);
    asm_q(a, 0x01, HOST_T0, rm_reg(HOST_RSI));
    asm_movzx(a, true, HOST_RCX, rm_own(HOST_RSI, offsetof(struct interp_insn, offset)));
    asm_q(a, 0x03, HOST_RCX, RM_FIELD(code_page));
    asm_store(a, RM_FIELD(rip), HOST_RCX);
    asm_movzx(a, false, HOST_RDX, rm_own(HOST_RSI, offsetof(struct interp_insn, insn.length)));
    asm_q(a, 0x01, HOST_RDX, rm_reg(HOST_RCX));
    /* Outside 64-bit mode RIP wraps at 4 GiB. */
    asm_insn(a, (struct asm_op){.opcode = 0x80}, ALU_CMP,
             rm_own(HOST_RSI, offsetof(struct interp_insn, insn.mode)));
    asm_8(a, DEC_MODE_64);
    asm_8(a, 0x74); /* JE over */
    asm_8(a, 2);
    asm_l(a, ASM_LOAD, HOST_RCX, rm_reg(HOST_RCX));
    asm_store(a, RM_FIELD(next_rip), HOST_RCX);
    asm_mov_imm64(a, HOST_RDI, (uintptr_t)cpu);
    to_stack(a);
    asm_l(a, 0xff, 2, rm_own(HOST_RSI, offsetof(struct interp_insn, handler)));
}

static uint8_t *cmp_leave(struct assembler *a)
{
    asm_l(a, 0x83, ALU_CMP, RM_FIELD(leave));
    asm_8(a, 0);
    return asm_jcc(a, 5);
}

static void emit_handler(struct cpu *cpu, struct assembler *a, bool status_in, bool status_out,
                         const uint8_t *leave_or_resume)
{
    call_handler(cpu, a, status_in);
    uint8_t *leaves = cmp_leave(a);
    if (status_out)
        status_from_rflags(a);
    reload(a);
    to_tlb(a); /* and to the return address below it */
    asm_q(a, 0x83, 5, rm_reg(HOST_RSP));
    asm_8(a, 8);
    asm_8(a, 0xc3);
    asm_patch(leaves, a->p);
    asm_patch(asm_jmp(a), leave_or_resume);
}

static void emit_handler_leave(struct cpu *cpu, struct assembler *a, bool status_in,
                               const uint8_t *leave_or_resume)
{
    call_handler(cpu, a, status_in);
    asm_patch(asm_jmp(a), leave_or_resume);
}

static void emit_handler_jump(struct cpu *cpu, struct assembler *a, bool status_in,
                              const uint8_t *lookup, const uint8_t *leave_or_resume)
{
    call_handler(cpu, a, status_in);
    asm_patch(cmp_leave(a), leave_or_resume);
    status_from_rflags(a);
    reload(a);
    to_tlb(a);
    asm_load(a, HOST_T0, RM_FIELD(next_rip));
    asm_l(a, 0x31, HOST_T1, rm_reg(HOST_T1));
    asm_patch(asm_jmp(a), lookup);
}

/* Index as jit_enter_jump() has it. */
static void emit_lookup(struct assembler *a)
{
    asm_mov(a, HOST_T2, HOST_T0);
    asm_shift(a, false, HOST_T2, PAGE_SHIFT);
    asm_l(a, 0x31, HOST_T0, rm_reg(HOST_T2));
    asm_alu_imm32(a, false, ALU_AND, HOST_T2, JIT_JUMP_ENTRIES - 1);
    asm_shift(a, true, HOST_T2, 5);
    asm_q(a, 0x03, HOST_T2, RM_FIELD(jump_table));
    asm_l(a, 0xff, 4, rm_own(HOST_T2, offsetof(struct jit_jump, code)));
}

static void emit_second(struct cpu *cpu, struct assembler *a)
{
    asm_q(a, 0x83, 6, rm_reg(HOST_T2)); /* XOR */
    asm_8(a, sizeof(struct jit_jump));
    asm_q(a, 0x3b, HOST_T0, rm_own(HOST_T2, offsetof(struct jit_jump, va))); /* CMP */
    asm_patch(asm_jcc(a, 5), cpu->jit->thunks.miss - cpu->jit->to_exec);
    asm_l(a, 0xff, 4, rm_own(HOST_T2, offsetof(struct jit_jump, code)));
}

static void emit_miss(struct cpu *cpu, struct assembler *a)
{
    asm_store(a, RM_FIELD(rip), HOST_T0);
    asm_l(a, ASM_STORE, HOST_T1, RM_FIELD(branch));
    spill(cpu, a);
    status_to_rflags(a);
    leave(a, JIT_EXIT_MISS);
}

static void emit_leave_at(struct cpu *cpu, struct assembler *a)
{
    spill(cpu, a);
    asm_q(a, 0x03, HOST_T0, RM_FIELD(code_page));
    asm_store(a, RM_FIELD(rip), HOST_T0);
    status_to_rflags(a);
    leave(a, JIT_EXIT_REQUEST);
}

/* T0 is the link's offset in the records. */
static void emit_leave_link(struct cpu *cpu, struct assembler *a)
{
    spill(cpu, a);
    status_to_rflags(a);
    asm_mov_imm64(a, HOST_RAX, (uintptr_t)cpu->jit->records);
    asm_q(a, 0x01, HOST_T0, rm_reg(HOST_RAX));
    leave(a, JIT_EXIT_LINK);
}

/* On in the plain translation of the instruction at T0 in the page. */
static void emit_plain(struct cpu *cpu, struct assembler *a)
{
    spill(cpu, a);
    asm_q(a, 0x03, HOST_T0, RM_FIELD(code_page));
    asm_store(a, RM_FIELD(rip), HOST_T0);
    status_to_rflags(a);
    to_stack(a);
    asm_mov_imm64(a, HOST_RDI, (uintptr_t)cpu);
    asm_mov_imm64(a, HOST_RAX, (uintptr_t)jit_plain);
    asm_l(a, 0xff, 2, rm_reg(HOST_RAX)); /* CALL */
    asm_mov(a, HOST_T0, HOST_RAX);
    asm_q(a, 0x85, HOST_T0, rm_reg(HOST_T0)); /* TEST */
    uint8_t *none = asm_jcc(a, 4);
    status_from_rflags(a);
    reload(a);
    emit_load_status(a);
    to_tlb(a);
    asm_l(a, 0xff, 4, rm_reg(HOST_T0)); /* JMP */
    asm_patch(none, a->p);
    leave(a, JIT_EXIT_HANDLER);
}

void jit_emit_thunks(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    struct jit_thunks *thunks = &jit->thunks;
    struct assembler assembler = jit_assembler(jit, jit->mem.write), *a = &assembler;
#define HERE ((const uint8_t *)(a->p + jit->to_exec))
    thunks->enter = (struct jit_left(*)(struct cpu *, const uint8_t *))(uintptr_t)HERE;
    emit_enter(a);
    jit_emit_state_thunks(cpu, a);
    thunks->lookup = HERE;
    const uint8_t *lookup = a->p;
    emit_lookup(a);
    const uint8_t *leave_or_resume = a->p;
    emit_leave_or_resume(cpu, a, lookup);
    for (unsigned in = 0; in < 2; in++) {
        for (unsigned out = 0; out < 2; out++) {
            thunks->handler[in][out] = HERE;
            emit_handler(cpu, a, in, out, leave_or_resume);
        }
        thunks->handler_leave[in] = HERE;
        emit_handler_leave(cpu, a, in, leave_or_resume);
        thunks->handler_jump[in] = HERE;
        emit_handler_jump(cpu, a, in, lookup, leave_or_resume);
    }
    thunks->miss = HERE;
    emit_miss(cpu, a);
    thunks->second = HERE;
    emit_second(cpu, a);
    thunks->leave_at = HERE;
    emit_leave_at(cpu, a);
    thunks->leave_link = HERE;
    emit_leave_link(cpu, a);
    thunks->plain = HERE;
    emit_plain(cpu, a);
    jit_emit_refills(cpu, a);
    jit_emit_repeats(jit, a);
#undef HERE
    jit->used = jit->thunks_end = align_up((size_t)(a->p - jit->mem.write), 64);
}

/* Checks the jump entry, which T2 points to, and whether requests are pending. Where another
 * context has its address, the entry beside it is not for this one either, or has gone stale. */
void jit_emit_indirect_entry(struct jit *jit, struct translation *target, bool global)
{
    struct assembler assembler = jit_assembler(jit, jit->mem.write + jit->used), *a = &assembler;
    const uint8_t *miss = jit->thunks.miss - jit->to_exec;
    target->indirect[global] = a->p;
    asm_q(a, 0x3b, HOST_T0, rm_own(HOST_T2, offsetof(struct jit_jump, va)));
    asm_patch(asm_jcc(a, 5), jit->thunks.second - jit->to_exec);
    asm_load(a, HOST_T2, rm_own(HOST_T2, offsetof(struct jit_jump, context)));
    asm_q(a, 0x3b, HOST_T2, global ? RM_FIELD(requests) : RM_FIELD(context));
    asm_patch(asm_jcc(a, 5), miss);
    asm_lea(a, true, HOST_T0, HOST_T0, DEC_NO_REG, 1, -(int32_t)target->offset);
    asm_store(a, RM_FIELD(code_page), HOST_T0);
    if (target->flags_alive)
        emit_load_status(a);
    asm_patch(asm_jmp(a), target->entry);
    jit->used = (size_t)(a->p - jit->mem.write);
}
