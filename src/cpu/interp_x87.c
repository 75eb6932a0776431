/* x87: arithmetic by host code on the guest's FXSAVE image (cpu/stub.h); control instructions and
 * the environment in C. */
#include "cpu/access.h"
#include "cpu/fpu.h"
#include "cpu/interp.h"
#include "cpu/stub.h"
#include "cpu/x87_env.h"

/* --- Instructions that the host runs. */

/* Runs the stub and makes the pointers the guest's own: what the host left there is its own code.
 * FOP, and FDP by the caller, change with unmasked exceptions alone (SDM vol. 1, 8.1.9, and
 * CPUID.7.EBX bit 6). Where CR0.NE is clear and an exception is pending, it stays so, out of the
 * host's sight. */
static void execute(struct cpu *cpu, const struct interp_insn *in, void *buffer)
{
    struct fx_image *fx = &cpu->fx;
    const struct dec_info *info = dec_info(in->insn.op);
    stub_fn *fn = (stub_fn *)(uintptr_t)in->code;
    uint64_t fdp = fx->fdp;
    uint16_t fop = fx->fop, pending = 0;
    if (UNLIKELY(fpu_pending(fx))) {
        pending = fx->fsw & FSW_EXCEPTIONS;
        fx->fsw &= (uint16_t) ~(FSW_EXCEPTIONS | FSW_ES | FSW_B);
    }

    uint64_t flags = fn(cpu, buffer);

    fx->fsw |= pending;
    fpu_summarise(fx);
    fx->fop = fpu_pending(fx) ? (uint16_t)((in->insn.opcode & 7) << 8 | in->insn.modrm) : fop;
    fx->fip = cpu->rip;
    fx->fdp = fdp;
    if (info->flags_written)
        cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_STATUS) | (flags & FLAGS_STATUS);
}

static void set_fdp(struct cpu *cpu, uint64_t offset)
{
    if (UNLIKELY(fpu_pending(&cpu->fx)))
        cpu->fx.fdp = offset;
}

static void do_registers(struct cpu *cpu, const struct interp_insn *in)
{
    fpu_wait(cpu);
    execute(cpu, in, NULL);
}

static inline void run_load(struct cpu *cpu, const struct interp_insn *in, unsigned size)
{
    uint8_t buffer[16];
    uint64_t offset = cpu_effective_address(cpu, &in->insn);
    fpu_wait(cpu);
    mem_read(cpu, (enum dec_seg)in->insn.mem.segment, offset, buffer, size);
    execute(cpu, in, buffer);
    set_fdp(cpu, offset);
}

/* Whether an exception kept the result from being stored (SDM vol. 1, 8.5): an unmasked one, other
 * than precision, which is found before the store. */
static bool store_suppressed(const struct fx_image *fx, uint16_t fsw_before)
{
    uint16_t raised = fx->fsw & ~fsw_before & ~fx->fcw;
    return raised & (FSW_IE | FSW_OE | FSW_UE);
}

static inline void run_store(struct cpu *cpu, const struct interp_insn *in, unsigned size)
{
    uint8_t buffer[16];
    enum dec_seg seg = (enum dec_seg)in->insn.mem.segment;
    uint64_t offset = cpu_effective_address(cpu, &in->insn);
    fpu_wait(cpu);
    if (size != 10 && LIKELY((cpu->fx.fcw & FSW_EXCEPTIONS) == FSW_EXCEPTIONS)) {
        mem_probe_write(cpu, seg, offset, size);
        execute(cpu, in, buffer);
        mem_write(cpu, seg, offset, buffer, size);
    } else { /* what is not stored does not fault */
        struct fx_image before = cpu->fx;
        execute(cpu, in, buffer);
        if (!store_suppressed(&cpu->fx, before.fsw)) {
            struct fx_image after = cpu->fx;
            cpu->fx = before;
            mem_write(cpu, seg, offset, buffer, size == 10 ? 8 : size);
            if (size == 10) /* two accesses: the second may fault with the first done */
                mem_write(cpu, seg, (offset + 8) & bytes_mask(in->insn.address_size), buffer + 8,
                          2);
            cpu->fx = after;
        }
    }
    set_fdp(cpu, offset);
}

#define MEMORY_HANDLERS(size)                                                                      \
    static void do_load_##size(struct cpu *cpu, const struct interp_insn *in)                      \
    {                                                                                              \
        run_load(cpu, in, size);                                                                   \
    }                                                                                              \
    static void do_store_##size(struct cpu *cpu, const struct interp_insn *in)                     \
    {                                                                                              \
        run_store(cpu, in, size);                                                                  \
    }

MEMORY_HANDLERS(2)
MEMORY_HANDLERS(4)
MEMORY_HANDLERS(8)
MEMORY_HANDLERS(10)

/* --- Control instructions: those with FN do not wait. */

static void do_fwait(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    fpu_wait(cpu);
}

/* FENI, FDISI and FSETPM of older coprocessors: nothing, without waiting. */
static void do_nothing(struct cpu *cpu, const struct interp_insn *in)
{
    (void)cpu;
    (void)in;
}

static void do_fninit(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    fpu_init(&cpu->fx);
    fpu_update_mode(cpu);
}

static void do_fnclex(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->fx.fsw &= (uint16_t) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
}

static uint64_t load_operand(struct cpu *cpu, const struct dec_insn *insn, unsigned size)
{
    return mem_load(cpu, (enum dec_seg)insn->mem.segment, cpu_effective_address(cpu, insn), size);
}

static void store_operand(struct cpu *cpu, const struct dec_insn *insn, uint64_t value,
                          unsigned size)
{
    mem_store(cpu, (enum dec_seg)insn->mem.segment, cpu_effective_address(cpu, insn), value, size);
}

static void do_fldcw(struct cpu *cpu, const struct interp_insn *in)
{
    fpu_wait(cpu);
    fpu_set_fcw(&cpu->fx, (uint16_t)load_operand(cpu, &in->insn, 2));
    fpu_summarise(&cpu->fx);
    fpu_update_mode(cpu);
}

static void do_fnstcw(struct cpu *cpu, const struct interp_insn *in)
{
    store_operand(cpu, &in->insn, cpu->fx.fcw, 2);
}

static void do_fnstsw(struct cpu *cpu, const struct interp_insn *in)
{
    if (in->insn.operand[0].kind == DEC_OPERAND_MEM)
        store_operand(cpu, &in->insn, cpu->fx.fsw, 2);
    else
        store_le(&cpu->gpr[REG_RAX], cpu->fx.fsw, 2);
}

/* Moves a whole environment or state, of up to 108 bytes, by chunks that access.h takes. */
enum { CHUNK = 64 };

/* The fields of the environment are to be aligned; the first field and then the last byte are
 * looked at first, as the hardware does: that decides what CR2 holds. */
static uint64_t area_offset(struct cpu *cpu, const struct dec_insn *insn, unsigned size, bool write)
{
    uint64_t offset = cpu_effective_address(cpu, insn);
    uint64_t last = (offset + size - 1) & bytes_mask(insn->address_size);
    enum dec_seg seg = (enum dec_seg)insn->mem.segment;
    unsigned field = insn->operand_size == 2 ? 2 : 4;
    if (write) {
        mem_probe_write(cpu, seg, offset, field);
        mem_probe_write(cpu, seg, last, 1);
    } else {
        mem_load(cpu, seg, offset, field);
        mem_load(cpu, seg, last, 1);
    }
    return offset;
}

static void read_area(struct cpu *cpu, const struct dec_insn *insn, uint8_t *data, unsigned size)
{
    uint64_t offset = area_offset(cpu, insn, size, false);
    for (unsigned at = 0; at < size; at += CHUNK) {
        unsigned part = size - at < CHUNK ? size - at : CHUNK;
        mem_read(cpu, (enum dec_seg)insn->mem.segment,
                 (offset + at) & bytes_mask(insn->address_size), data + at, part);
    }
}

static void write_area(struct cpu *cpu, const struct dec_insn *insn, const uint8_t *data,
                       unsigned size)
{
    uint64_t offset = area_offset(cpu, insn, size, true);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned at = 0; at < size; at += CHUNK) {
            unsigned part = size - at < CHUNK ? size - at : CHUNK;
            uint64_t where = (offset + at) & bytes_mask(insn->address_size);
            if (pass == 0)
                mem_probe_write(cpu, (enum dec_seg)insn->mem.segment, where, part);
            else
                mem_write(cpu, (enum dec_seg)insn->mem.segment, where, data + at, part);
        }
    }
}

/* Real and virtual-8086 mode have formats of their own. */
static bool is_real(const struct cpu *cpu)
{
    return !(cpu->mode & MODE_PROTECTED) || (cpu->mode & MODE_VM86);
}

static enum x87_env_format format_of(const struct cpu *cpu, const struct dec_insn *insn)
{
    if (insn->operand_size == 2)
        return is_real(cpu) ? X87_ENV_REAL_16 : X87_ENV_PROTECTED_16;
    return is_real(cpu) ? X87_ENV_REAL_32 : X87_ENV_PROTECTED_32;
}

static void do_fnstenv(struct cpu *cpu, const struct interp_insn *in)
{
    uint8_t env[X87_ENV_MAX];
    unsigned size = x87_env_store(&cpu->fx, format_of(cpu, &in->insn), env);
    write_area(cpu, &in->insn, env, size);
    cpu->fx.fcw |= FSW_EXCEPTIONS;
    fpu_summarise(&cpu->fx);
    fpu_update_mode(cpu);
}

static void do_fldenv(struct cpu *cpu, const struct interp_insn *in)
{
    uint8_t env[X87_ENV_MAX];
    enum x87_env_format format = format_of(cpu, &in->insn);
    fpu_wait(cpu);
    read_area(cpu, &in->insn, env, x87_env_size(format));
    x87_env_load(&cpu->fx, format, env);
    fpu_update_mode(cpu);
}

/* ST(0) to ST(7) follow the environment, 10 bytes each. */
enum { REGISTER_SIZE = 10, STATE_MAX = X87_ENV_MAX + 8 * REGISTER_SIZE };

static void do_fnsave(struct cpu *cpu, const struct interp_insn *in)
{
    uint8_t state[STATE_MAX];
    unsigned size = x87_env_store(&cpu->fx, format_of(cpu, &in->insn), state);
    for (unsigned i = 0; i < 8; i++, size += REGISTER_SIZE)
        memcpy(state + size, cpu->fx.st[i], REGISTER_SIZE);
    write_area(cpu, &in->insn, state, size);
    fpu_init(&cpu->fx);
    fpu_update_mode(cpu);
}

static void do_frstor(struct cpu *cpu, const struct interp_insn *in)
{
    uint8_t state[STATE_MAX];
    enum x87_env_format format = format_of(cpu, &in->insn);
    unsigned at = x87_env_size(format);
    fpu_wait(cpu);
    read_area(cpu, &in->insn, state, at + 8 * REGISTER_SIZE);
    x87_env_load(&cpu->fx, format, state);
    for (unsigned i = 0; i < 8; i++, at += REGISTER_SIZE)
        memcpy(cpu->fx.st[i], state + at, REGISTER_SIZE);
    fpu_update_mode(cpu);
}

/* --- Selection. */

static interp_handler *select_control(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_FNOP:
        return insn->opcode == 0xdb ? do_nothing : NULL;
    case DEC_OP_FWAIT:
        return do_fwait;
    case DEC_OP_FNINIT:
        return do_fninit;
    case DEC_OP_FNCLEX:
        return do_fnclex;
    case DEC_OP_FLDCW:
        return do_fldcw;
    case DEC_OP_FNSTCW:
        return do_fnstcw;
    case DEC_OP_FNSTSW:
        return do_fnstsw;
    case DEC_OP_FLDENV:
        return do_fldenv;
    case DEC_OP_FNSTENV:
        return do_fnstenv;
    case DEC_OP_FRSTOR:
        return do_frstor;
    case DEC_OP_FNSAVE:
        return do_fnsave;
    default:
        return NULL;
    }
}

static interp_handler *select_memory(const struct dec_operand *operand)
{
    bool store = operand->access & DEC_WRITE;
    switch (operand->size) {
    case 2:
        return store ? do_store_2 : do_load_2;
    case 4:
        return store ? do_store_4 : do_load_4;
    case 8:
        return store ? do_store_8 : do_load_8;
    case 10:
        return store ? do_store_10 : do_load_10;
    default:
        return NULL;
    }
}

bool x87_needs_code(const struct dec_insn *insn)
{
    return dec_info(insn->op)->op_class == DEC_CLASS_X87 && !select_control(insn);
}

interp_handler *interp_select_x87(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    if (dec_info(insn->op)->op_class != DEC_CLASS_X87)
        return NULL;
    interp_handler *control = select_control(insn);
    if (control)
        return control;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return select_memory(&insn->operand[i]);
    }
    return do_registers;
}
