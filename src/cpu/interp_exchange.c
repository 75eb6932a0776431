/* XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B. */
#include "cpu/interp_integer.h"

/* XCHG with memory is locked, prefix or not. */
#define XCHG_CASE(flags_in, insn, width)                                                           \
    asm volatile(insn " %" width "[b], (%[p])" : [b] "+r"(b) : [p] "r"(p) : "memory")

static ALWAYS_INLINE uint64_t host_xchg(void *p, uint64_t b, unsigned size)
{
    ALU_ALL_SIZES(XCHG_CASE, ALU_NO_FLAGS_IN, "xchg");
    return b;
}

#define XADD_CASE(flags_in, insn, width)                                                           \
    asm volatile("lock " insn " %" width "[b], (%[p])" ALU_FLAGS_OUT                               \
                 : [b] "+&r"(b), "=&a"(ax)                                                         \
                 : [p] "r"(p)                                                                      \
                 : "cc", "memory")

static ALWAYS_INLINE uint64_t host_xadd(void *p, uint64_t b, unsigned size, uint64_t *rflags)
{
    uint32_t ax;
    ALU_ALL_SIZES(XADD_CASE, ALU_NO_FLAGS_IN, "xadd");
    alu_flags_from_ax(rflags, ax);
    return b;
}

/* Whole registers: which of them has its upper half cleared depends on the outcome. */
#define CMPXCHG_CASE(flags_in, insn, width)                                                        \
    asm("mov %[rax], %%rax\n\t" insn " %" width "[b], %" width                                     \
        "[a]\n\tmov %%rax, %[rax]" ALU_FLAGS_OUT                                                   \
        : [a] "+&r"(*a), [rax] "+&r"(*rax), "=&a"(ax)                                              \
        : [b] "r"(b)                                                                               \
        : "cc")

static ALWAYS_INLINE void host_cmpxchg(uint64_t *a, uint64_t b, uint64_t *rax, unsigned size,
                                       uint64_t *rflags)
{
    uint32_t ax;
    ALU_ALL_SIZES(CMPXCHG_CASE, ALU_NO_FLAGS_IN, "cmpxchg");
    alu_flags_from_ax(rflags, ax);
}

#define CMPXCHG_LOCKED_CASE(flags_in, insn, width)                                                 \
    asm volatile("mov %[rax], %%rax\n\tlock " insn " %" width                                      \
                 "[b], (%[p])\n\tmov %%rax, %[rax]" ALU_FLAGS_OUT                                  \
                 : [rax] "+&r"(*rax), "=&a"(ax)                                                    \
                 : [b] "r"(b), [p] "r"(p)                                                          \
                 : "cc", "memory")

static ALWAYS_INLINE void host_cmpxchg_locked(void *p, uint64_t b, uint64_t *rax, unsigned size,
                                              uint64_t *rflags)
{
    uint32_t ax;
    ALU_ALL_SIZES(CMPXCHG_LOCKED_CASE, ALU_NO_FLAGS_IN, "cmpxchg");
    alu_flags_from_ax(rflags, ax);
}

static ALWAYS_INLINE void xchg(struct cpu *cpu, const struct dec_insn *insn, enum operand_form form,
                               unsigned size)
{
    const struct dec_operand *a = &insn->operand[0], *b = &insn->operand[1];
    if (form == FORM_RR) {
        uint64_t first = gpr_read(cpu, a, size), second = gpr_read(cpu, b, size);
        gpr_write(cpu, a, second, size);
        gpr_write(cpu, b, first, size);
    } else {
        const struct dec_operand *reg = form == FORM_MR ? b : a;
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        gpr_write_whole(cpu, reg, host_xchg(p, gpr_whole(cpu, reg, size), size), size);
        mem_rmw_end(cpu, &rmw);
    }
}

HANDLERS(xchg_rr, xchg, FORM_RR)
HANDLERS(xchg_mr, xchg, FORM_MR)
HANDLERS(xchg_rm, xchg, FORM_RM)
static const handler_row xchg_handlers[FORM_COUNT] = {
    [FORM_RR] = ROW(xchg_rr), [FORM_MR] = ROW(xchg_mr), [FORM_RM] = ROW(xchg_rm)};

static ALWAYS_INLINE void xadd(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                               unsigned size)
{
    const struct dec_operand *dst = &insn->operand[0], *src = &insn->operand[1];
    uint64_t b = gpr_whole(cpu, src, size);
    if (memory) {
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        gpr_write_whole(cpu, src, host_xadd(p, b, size, &cpu->rflags), size);
        mem_rmw_end(cpu, &rmw);
    } else {
        uint64_t a = gpr_read(cpu, dst, size);
        gpr_write(cpu, src, a, size);
        gpr_write(cpu, dst, alu_add(a, b, size, &cpu->rflags), size);
    }
}

HANDLERS(xadd_r, xadd, false)
HANDLERS(xadd_m, xadd, true)
static const handler_row xadd_handlers[2] = {ROW(xadd_r), ROW(xadd_m)};

static ALWAYS_INLINE void cmpxchg(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                                  unsigned size)
{
    const struct dec_operand *dst = &insn->operand[0];
    uint64_t b = gpr_whole(cpu, &insn->operand[1], size), rax = cpu->gpr[REG_RAX];
    if (memory) {
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        host_cmpxchg_locked(p, b, &rax, size, &cpu->rflags);
        mem_rmw_end(cpu, &rmw);
        cpu->gpr[REG_RAX] = rax;
    } else {
        uint64_t a = gpr_whole(cpu, dst, size);
        host_cmpxchg(&a, b, &rax, size, &cpu->rflags);
        cpu->gpr[REG_RAX] = rax;
        gpr_write_whole(cpu, dst, a, size);
    }
}

HANDLERS(cmpxchg_r, cmpxchg, false)
HANDLERS(cmpxchg_m, cmpxchg, true)
static const handler_row cmpxchg_handlers[2] = {ROW(cmpxchg_r), ROW(cmpxchg_m)};

#define CMPXCHG_PAIR(insn)                                                                         \
    asm volatile("lock " insn " (%[p])\n\tsete %[equal]"                                           \
                 : "+a"(cpu->gpr[REG_RAX]), "+d"(cpu->gpr[REG_RDX]), [equal] "=q"(equal)           \
                 : "b"(cpu->gpr[REG_RBX]), "c"(cpu->gpr[REG_RCX]), [p] "r"(p)                      \
                 : "cc", "memory")

static void set_zf(struct cpu *cpu, bool set)
{
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAG_ZF) | (set ? FLAG_ZF : 0);
}

static void cmpxchg8b(struct cpu *cpu, const struct interp_insn *in)
{
    struct mem_rmw rmw;
    void *p = operand_rmw_begin(cpu, &in->insn, &rmw, 8);
    bool equal;
    CMPXCHG_PAIR("cmpxchg8b");
    mem_rmw_end(cpu, &rmw);
    set_zf(cpu, equal);
}

static void cmpxchg16b(struct cpu *cpu, const struct interp_insn *in)
{
    enum dec_seg seg = in->insn.mem.segment;
    uint64_t ea = cpu_effective_address(cpu, &in->insn);
    if (seg_linear(cpu, seg, ea, 16, true) & 15)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    struct mem_rmw rmw;
    void *p = mem_rmw_begin(cpu, &rmw, seg, ea, 16);
    bool equal;
    CMPXCHG_PAIR("cmpxchg16b");
    mem_rmw_end(cpu, &rmw);
    set_zf(cpu, equal);
}

interp_handler *interp_select_exchange(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    bool memory = insn->operand[0].kind == DEC_OPERAND_MEM;
    unsigned size = size_index(insn->operand[0].size);
    switch (insn->op) {
    case DEC_OP_XCHG:
        return xchg_handlers[operand_form(insn)][size];
    case DEC_OP_XADD:
        return xadd_handlers[memory][size];
    case DEC_OP_CMPXCHG:
        return cmpxchg_handlers[memory][size];
    case DEC_OP_CMPXCHG8B:
        return cmpxchg8b;
    case DEC_OP_CMPXCHG16B:
        return cmpxchg16b;
    default:
        return NULL;
    }
}
