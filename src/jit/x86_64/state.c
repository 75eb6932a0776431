/* Shared code that moves vector and x87 registers between struct cpu and the host. */
#include "cpu/model.h"
#include "cpu/xstate.h"
#include "jit/x86_64/emit.h"

#define MXCSR_FLAGS 0x3fu

enum { ALU_OR = 1, ALU_AND = 4, ALU_CMP = 7 };

static struct asm_rm rm_vec(unsigned reg, unsigned half)
{
    return rm_cpu(offsetof(struct cpu, vec) + sizeof(union vec) * reg + 16 * half);
}

static bool has_avx(const struct cpu *cpu)
{
    return cpu->model->features[DEC_FEATURE_AVX];
}

/* (V)MOVUPS, of all registers. */
static void move_all(struct assembler *a, bool wide, bool store)
{
    struct asm_op op = {.opcode = store ? 0x11 : 0x10, .map = DEC_MAP_0F};
    for (unsigned i = 0; i < 16; i++) {
        if (wide)
            asm_vex(a, op, 1, i, 0, rm_vec(i, 0));
        else
            asm_insn(a, op, i, rm_vec(i, 0));
    }
}

static void asm_vzeroupper(struct assembler *a)
{
    asm_8(a, 0xc5);
    asm_8(a, 0xf8);
    asm_8(a, 0x77);
}

/* STMXCSR is 3, LDMXCSR is 2. */
static void move_mxcsr(struct assembler *a, unsigned extension, struct asm_rm rm)
{
    asm_insn(a, (struct asm_op){.opcode = 0xae, .map = DEC_MAP_0F}, extension, rm);
}

static void alu_imm32(struct assembler *a, unsigned extension, struct asm_rm rm, uint32_t imm)
{
    asm_l(a, 0x81, extension, rm);
    asm_32(a, imm);
}

/* A short forward jump, and its target. */
static uint8_t *jump_if(struct assembler *a, unsigned cond)
{
    asm_8(a, 0x70 | cond);
    asm_8(a, 0);
    return a->p;
}

static void to_here(struct assembler *a, uint8_t *from)
{
    from[-1] = (uint8_t)(a->p - from);
}

static void set_live(struct assembler *a, struct asm_rm rm, bool live)
{
    asm_insn(a, (struct asm_op){.opcode = 0xc6}, 0, rm);
    asm_8(a, live);
}

/* Upper halves that are in use slow down SSE code: they are loaded only where one of them is not
 * zero. */
static void load_wide(struct assembler *a)
{
    struct asm_op movups = {.opcode = 0x10, .map = DEC_MAP_0F};
    struct asm_op orps = {.opcode = 0x56, .map = DEC_MAP_0F};
    struct asm_op vptest = {.opcode = 0x17, .map = DEC_MAP_0F38, .pp = DEC_PP_66};
    asm_vzeroupper(a);
    asm_vex(a, movups, 0, 0, 0, rm_vec(0, 1));
    asm_vex(a, movups, 0, 1, 0, rm_vec(1, 1));
    for (unsigned i = 2; i < 16; i++)
        asm_vex(a, orps, 0, i & 1, i & 1, rm_vec(i, 1));
    asm_vex(a, orps, 0, 0, 0, rm_reg(1));
    asm_vex(a, vptest, 0, 0, 0, rm_reg(0));
    uint8_t *zero = asm_jcc(a, 4); /* JE */
    move_all(a, true, false);
    uint8_t *done = asm_jmp(a);
    asm_patch(zero, a->p);
    move_all(a, false, false);
    asm_patch(done, a->p);
}

/* The host's MXCSR has exceptions masked even where the guest's has not: then only instructions
 * run that do not look at it. Setting or clearing its flags costs some 100 ns, so it is loaded only
 * where it differs. */
static void load_mxcsr(struct assembler *a)
{
    move_mxcsr(a, 3, RM_FIELD(host_mxcsr));
    asm_l(a, ASM_LOAD, HOST_T0, RM_FIELD(mxcsr));
    alu_imm32(a, ALU_OR, rm_reg(HOST_T0), MXCSR_MASKS);
    asm_l(a, 0x3b, HOST_T0, RM_FIELD(host_mxcsr));
    uint8_t *equal = jump_if(a, 4);
    asm_l(a, ASM_STORE, HOST_T0, RM_FIELD(host_mxcsr));
    move_mxcsr(a, 2, RM_FIELD(host_mxcsr));
    to_here(a, equal);
}

/* C code gets the default control bits, and the flags as they are. */
static void save_mxcsr(struct assembler *a)
{
    move_mxcsr(a, 3, RM_FIELD(host_mxcsr));
    asm_l(a, ASM_LOAD, HOST_RAX, RM_FIELD(host_mxcsr));
    alu_imm32(a, ALU_AND, rm_reg(HOST_RAX), MXCSR_FLAGS);
    asm_l(a, 0x09, HOST_RAX, RM_FIELD(mxcsr));
    alu_imm32(a, ALU_OR, rm_reg(HOST_RAX), MXCSR_DEFAULT);
    asm_l(a, 0x3b, HOST_RAX, RM_FIELD(host_mxcsr));
    uint8_t *equal = jump_if(a, 4);
    asm_l(a, ASM_STORE, HOST_RAX, RM_FIELD(host_mxcsr));
    move_mxcsr(a, 2, RM_FIELD(host_mxcsr));
    to_here(a, equal);
}

static void emit_save_vec(struct cpu *cpu, struct assembler *a)
{
    move_all(a, has_avx(cpu), true);
    if (has_avx(cpu))
        asm_vzeroupper(a);
    save_mxcsr(a);
    set_live(a, RM_FIELD(vec_live), false);
    asm_8(a, 0xc3);
}

static void emit_load_vec(struct cpu *cpu, struct assembler *a)
{
    load_mxcsr(a);
    if (has_avx(cpu))
        load_wide(a);
    else
        move_all(a, false, false);
    set_live(a, RM_FIELD(vec_live), true);
    asm_8(a, 0xc3);
}

/* XSAVE64 is 4, XRSTOR64 is 5; of the x87 component alone. */
static void move_fx(struct assembler *a, unsigned extension)
{
    asm_l(a, 0x31, HOST_RDX, rm_reg(HOST_RDX));
    asm_mov_imm32(a, HOST_RAX, XSTATE_X87);
    asm_insn(a, (struct asm_op){.opcode = 0xae, .map = DEC_MAP_0F, .w = true}, extension,
             RM_FIELD(fx));
}

static void emit_load_fx(struct assembler *a)
{
    asm_mov(a, HOST_T0, HOST_RAX);
    asm_mov(a, HOST_T1, HOST_RDX);
    asm_q(a, 0xc7, 0, RM_FIELD(fx_header.xstate_bv));
    asm_32(a, XSTATE_X87);
    move_fx(a, 5);
    set_live(a, RM_FIELD(fx_live), true);
    asm_mov(a, HOST_RAX, HOST_T0);
    asm_mov(a, HOST_RDX, HOST_T1);
    asm_8(a, 0xc3);
}

/* The pointers in cpu->fx are the guest's and stay. */
static void emit_save_fx(struct assembler *a)
{
    static const uint8_t used[] = {HOST_RAX, HOST_RCX, HOST_RDX};
    for (unsigned i = 0; i < ARRAY_SIZE(used); i++)
        asm_store(a, rm_gpr(used[i]), used[i]);
    asm_load(a, HOST_T0, RM_FIELD(fx.fip));
    asm_load(a, HOST_T1, RM_FIELD(fx.fdp));
    asm_l(a, ASM_LOAD, HOST_RCX, RM_FIELD(fx.fop));
    move_fx(a, 4);
    asm_insn(a, (struct asm_op){.opcode = ASM_STORE, .opsize = true}, HOST_RCX, RM_FIELD(fx.fop));
    asm_store(a, RM_FIELD(fx.fip), HOST_T0);
    asm_store(a, RM_FIELD(fx.fdp), HOST_T1);
    set_live(a, RM_FIELD(fx_live), false);
    for (unsigned i = 0; i < ARRAY_SIZE(used); i++)
        asm_load(a, used[i], rm_gpr(used[i]));
    asm_8(a, 0xc3);
}

void jit_emit_state_thunks(struct cpu *cpu, struct assembler *a)
{
    struct jit *jit = cpu->jit;
    jit->thunks.load_vec = a->p + jit->to_exec;
    emit_load_vec(cpu, a);
    jit->thunks.save_vec = a->p + jit->to_exec;
    emit_save_vec(cpu, a);
    jit->thunks.load_fx = a->p + jit->to_exec;
    emit_load_fx(a);
    jit->thunks.save_fx = a->p + jit->to_exec;
    emit_save_fx(a);
}

void jit_save_fx(struct cpu *cpu)
{
    const struct fx_image before = cpu->fx;
    __asm__ volatile("xsave64 %0" : "+m"(cpu->fx), "+m"(cpu->fx_header) : "a"(XSTATE_X87), "d"(0));
    cpu->fx.fop = before.fop;
    cpu->fx.fip = before.fip;
    cpu->fx.fdp = before.fdp;
    cpu->fx_live = false;
}
