/* MMX, SSE and AVX: memory operands pass through a buffer, the work is done by host code
 * (cpu/stub.h). What has no memory access of fixed shape is in interp_masked.c. */
#include "cpu/access.h"
#include "cpu/fpu.h"
#include "cpu/gates.h"
#include "cpu/interp_masked.h"
#include "cpu/stub.h"

#define MXCSR_FLAGS 0x003fu
#define MXCSR_IE 0x0001u
#define MXCSR_DE 0x0002u
#define MXCSR_ZE 0x0004u
#define MXCSR_UE 0x0010u
#define MXCSR_MASK_SHIFT 7
#define MXCSR_UM 0x0800u
#define MXCSR_FTZ 0x8000u
#define MXCSR_PRE_COMPUTATION (MXCSR_IE | MXCSR_DE | MXCSR_ZE)

static uint64_t call_stub(struct cpu *cpu, const struct interp_insn *in, void *buffer)
{
    stub_fn *fn = (stub_fn *)(uintptr_t)in->code;
    return fn(cpu, buffer);
}

static bool uses_mmx(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MM)
            return true;
    }
    return false;
}

/* What an instruction of these classes can change, but for memory and MXCSR, when it has MXCSR. */
struct snapshot {
    union vec vec;
    uint64_t gpr;
    struct fx_image fx;
};

static void take_snapshot(struct snapshot *snapshot, const struct cpu *cpu, unsigned reg)
{
    snapshot->vec = cpu->vec[reg];
    snapshot->gpr = cpu->gpr[reg];
    snapshot->fx = cpu->fx;
}

static void restore_snapshot(struct cpu *cpu, const struct snapshot *snapshot, unsigned reg)
{
    cpu->vec[reg] = snapshot->vec;
    cpu->gpr[reg] = snapshot->gpr;
    cpu->fx = snapshot->fx;
}

_Noreturn static void raise_simd(struct cpu *cpu)
{
    cpu_raise(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD);
}

/* VCVTPS2PH ignores FTZ; but its tiny results, if exact, are the denormal ones. */
static bool stores_denormal_half(const struct cpu *cpu, const struct dec_insn *insn,
                                 const void *buffer)
{
    const struct dec_operand *operand = &insn->operand[0];
    const void *result = operand->kind == DEC_OPERAND_MEM ? buffer : &cpu->vec[operand->reg];
    if (insn->op != DEC_OP_VCVTPS2PH)
        return false;
    for (unsigned i = 0; i < (insn->vex_l ? 8u : 4u); i++) {
        uint64_t half = load_le((const uint8_t *)result + 2 * i, 2);
        if ((half & 0x03ff) && !(half & 0x7c00))
            return true;
    }
    return false;
}

/* Runs with the guest's MXCSR where some exceptions are unmasked (SDM vol. 1, 11.5.3). The host
 * runs it masked; if a flag comes up that the guest has unmasked, the result is taken back.
 *
 * Unmasked underflow is for every tiny result, masked underflow only for inexact ones: flushing to
 * zero tells them, for it reports each. It acts only while underflow is masked, so that the guest's
 * own FTZ has no effect here. Whether PE comes with an unmasked OE or UE depends on the result for
 * an unbounded exponent, which nobody computes: PE is the masked response's. */
static uint64_t execute_unmasked(struct cpu *cpu, const struct interp_insn *in, void *buffer)
{
    uint32_t guest = cpu->mxcsr;
    uint32_t masked = (guest | MXCSR_MASKS) & ~MXCSR_FLAGS;
    uint32_t raised = 0;
    unsigned reg = in->insn.operand[0].reg & 15;
    struct snapshot before;
    take_snapshot(&before, cpu, reg);
    bool mmx = uses_mmx(&in->insn);

    if (mmx)
        fpu_enter_mmx(&cpu->fx);
    if (!(guest & MXCSR_UM)) {
        cpu->mxcsr = masked | MXCSR_FTZ;
        call_stub(cpu, in, buffer);
        raised = cpu->mxcsr & MXCSR_UE;
        masked &= ~MXCSR_FTZ;
        restore_snapshot(cpu, &before, reg);
        if (mmx)
            fpu_enter_mmx(&cpu->fx);
    }
    cpu->mxcsr = masked;
    uint64_t flags = call_stub(cpu, in, buffer);
    raised |= cpu->mxcsr & MXCSR_FLAGS;
    if (!(guest & MXCSR_UM) && stores_denormal_half(cpu, &in->insn, buffer))
        raised |= MXCSR_UE;

    uint32_t unmasked = raised & ~(guest >> MXCSR_MASK_SHIFT);
    if (unmasked) {
        if (unmasked & MXCSR_PRE_COMPUTATION)
            raised &= MXCSR_PRE_COMPUTATION;
        restore_snapshot(cpu, &before, reg);
        cpu->mxcsr = guest | raised;
        raise_simd(cpu);
    }
    cpu->mxcsr = guest | raised;
    return flags;
}

/* For those that have to do with MXCSR, RFLAGS or MMX. */
static void execute_full(struct cpu *cpu, const struct interp_insn *in, void *buffer)
{
    const struct dec_info *info = dec_info(in->insn.op);
    uint64_t flags;
    if ((info->attributes & DEC_ATTR_MXCSR) && (~cpu->mxcsr & MXCSR_MASKS)) {
        flags = execute_unmasked(cpu, in, buffer);
    } else {
        if (uses_mmx(&in->insn))
            fpu_enter_mmx(&cpu->fx);
        flags = call_stub(cpu, in, buffer);
    }
    if (info->flags_written)
        cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_STATUS) | (flags & FLAGS_STATUS);
}

static bool needs_full(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    return (info->attributes & DEC_ATTR_MXCSR) || info->flags_written || uses_mmx(insn);
}

/* --- The handlers, one for each shape, so that sizes are constants. */

enum shape { LOAD, LOAD_ALIGNED, STORE, STORE_ALIGNED, SHAPES };

static inline void execute(struct cpu *cpu, const struct interp_insn *in, void *buffer, bool full)
{
    if (full)
        execute_full(cpu, in, buffer);
    else
        call_stub(cpu, in, buffer);
}

/* Comes before the segment's limit. */
static inline bool is_misaligned(const struct cpu *cpu, enum dec_seg seg, uint64_t offset,
                                 unsigned size)
{
    if (mode_code(cpu->mode) != DEC_MODE_64 || seg >= SEG_FS)
        offset += cpu->seg[seg].base;
    return offset & (size - 1);
}

static inline __attribute__((always_inline)) void run_memory(struct cpu *cpu,
                                                             const struct interp_insn *in,
                                                             unsigned size, enum shape shape,
                                                             bool full)
{
    uint8_t buffer[32] __attribute__((aligned(32)));
    bool store = shape == STORE || shape == STORE_ALIGNED;
    bool aligned = shape == LOAD_ALIGNED || shape == STORE_ALIGNED;
    enum dec_seg seg = (enum dec_seg)in->insn.mem.segment;
    uint64_t offset = cpu_effective_address(cpu, &in->insn);

    if (full && uses_mmx(&in->insn))
        fpu_wait(cpu);
    if (aligned && UNLIKELY(is_misaligned(cpu, seg, offset, size)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (store) {
        if (full)
            mem_probe_write(cpu, seg, offset, size);
        execute(cpu, in, buffer, full);
        mem_write(cpu, seg, offset, buffer, size);
    } else {
        mem_read(cpu, seg, offset, buffer, size);
        execute(cpu, in, buffer, full);
    }
}

static void run_registers(struct cpu *cpu, const struct interp_insn *in)
{
    call_stub(cpu, in, NULL);
}

static void run_registers_full(struct cpu *cpu, const struct interp_insn *in)
{
    if (uses_mmx(&in->insn))
        fpu_wait(cpu);
    execute_full(cpu, in, NULL);
}

#define MEMORY_HANDLER(name, size, shape, full)                                                    \
    static void name(struct cpu *cpu, const struct interp_insn *in)                                \
    {                                                                                              \
        run_memory(cpu, in, size, shape, full);                                                    \
    }
#define MEMORY_HANDLERS(size)                                                                      \
    MEMORY_HANDLER(load_##size, size, LOAD, false)                                                 \
    MEMORY_HANDLER(store_##size, size, STORE, false)                                               \
    MEMORY_HANDLER(load_full_##size, size, LOAD, true)                                             \
    MEMORY_HANDLER(store_full_##size, size, STORE, true)
#define ALIGNED_HANDLERS(size)                                                                     \
    MEMORY_HANDLER(load_aligned_##size, size, LOAD_ALIGNED, false)                                 \
    MEMORY_HANDLER(store_aligned_##size, size, STORE_ALIGNED, false)                               \
    MEMORY_HANDLER(load_aligned_full_##size, size, LOAD_ALIGNED, true)                             \
    MEMORY_HANDLER(store_aligned_full_##size, size, STORE_ALIGNED, true)

MEMORY_HANDLERS(1)
MEMORY_HANDLERS(2)
MEMORY_HANDLERS(4)
MEMORY_HANDLERS(8)
MEMORY_HANDLERS(16)
MEMORY_HANDLERS(32)
ALIGNED_HANDLERS(16)
ALIGNED_HANDLERS(32)

#define ANY_ALIGNMENT(size)                                                                        \
    [LOAD] = {load_##size, load_full_##size}, [STORE] = {store_##size, store_full_##size}
#define BOTH_ALIGNMENTS(size)                                                                      \
    ANY_ALIGNMENT(size), [LOAD_ALIGNED] = {load_aligned_##size, load_aligned_full_##size},         \
                         [STORE_ALIGNED] = {store_aligned_##size, store_aligned_full_##size}

/* By the logarithm of the operand's size, shape, and whether it needs execute_full(). */
static interp_handler *const memory_handlers[6][SHAPES][2] = {
    {ANY_ALIGNMENT(1)}, {ANY_ALIGNMENT(2)},    {ANY_ALIGNMENT(4)},
    {ANY_ALIGNMENT(8)}, {BOTH_ALIGNMENTS(16)}, {BOTH_ALIGNMENTS(32)},
};

/* VCVTPH2PS and VCVTPS2PH with 8 bytes of memory: these may be misaligned even where #AC is enabled
 * (SDM vol. 2, 2.4, exception type 11), and a numeric exception comes before those of the store. */
static void convert_from_half(struct cpu *cpu, const struct interp_insn *in)
{
    uint8_t buffer[8];
    enum dec_seg seg = (enum dec_seg)in->insn.mem.segment;
    uint64_t offset = cpu_effective_address(cpu, &in->insn);
    unsigned step = cpu->mode & MODE_AC_CHECK ? 1 : 8;
    for (unsigned i = 0; i < 8; i += step) /* the segment's limit comes before pages */
        seg_linear(cpu, seg, offset + i, step, false);
    for (unsigned i = 0; i < 8; i += step)
        mem_read(cpu, seg, offset + i, buffer + i, step);
    execute_full(cpu, in, buffer);
}

static inline void convert_to_half(struct cpu *cpu, const struct interp_insn *in, unsigned size)
{
    uint8_t buffer[16];
    enum dec_seg seg = (enum dec_seg)in->insn.mem.segment;
    uint64_t offset = cpu_effective_address(cpu, &in->insn);
    unsigned step = cpu->mode & MODE_AC_CHECK ? 1 : size;
    uint32_t mxcsr = cpu->mxcsr;
    execute_full(cpu, in, buffer);
    uint32_t mxcsr_after = cpu->mxcsr;
    cpu->mxcsr = mxcsr;
    for (unsigned i = 0; i < size; i += step)
        seg_linear(cpu, seg, offset + i, step, true);
    for (unsigned i = 0; i < size; i += step)
        mem_probe_write(cpu, seg, offset + i, step);
    for (unsigned i = 0; i < size; i += step)
        mem_write(cpu, seg, offset + i, buffer + i, step);
    cpu->mxcsr = mxcsr_after;
}

static void convert_to_half_8(struct cpu *cpu, const struct interp_insn *in)
{
    convert_to_half(cpu, in, 8);
}

static void convert_to_half_16(struct cpu *cpu, const struct interp_insn *in)
{
    convert_to_half(cpu, in, 16);
}

static interp_handler *select_memory(const struct dec_insn *insn, const struct dec_operand *operand)
{
    bool aligned = (dec_info(insn->op)->attributes & DEC_ATTR_ALIGNED) && operand->size >= 16;
    enum shape shape = operand->access & DEC_WRITE ? (aligned ? STORE_ALIGNED : STORE)
                                                   : (aligned ? LOAD_ALIGNED : LOAD);
    if (!is_power_of_two(operand->size) || operand->size > 32)
        return interp_raise_ud;
    if (insn->op == DEC_OP_VCVTPH2PS && operand->size == 8)
        return convert_from_half;
    if (insn->op == DEC_OP_VCVTPS2PH)
        return operand->size == 8 ? convert_to_half_8 : convert_to_half_16;
    return memory_handlers[__builtin_ctz(operand->size)][shape][needs_full(insn)];
}

static bool is_vector(const struct dec_insn *insn)
{
    enum dec_class op_class = dec_info(insn->op)->op_class;
    return op_class == DEC_CLASS_MMX || op_class == DEC_CLASS_SSE || op_class == DEC_CLASS_AVX;
}

interp_handler *interp_select_vector(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    if (!is_vector(insn))
        return NULL;
    interp_handler *masked = interp_select_masked(insn);
    if (masked)
        return masked;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return select_memory(insn, &insn->operand[i]);
    }
    return needs_full(insn) ? run_registers_full : run_registers;
}

bool vector_needs_code(const struct dec_insn *insn)
{
    return is_vector(insn) && !interp_select_masked(insn);
}
