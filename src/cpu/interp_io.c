/* IN, OUT, INS, OUTS (SDM vol. 1, chapter 19). */
#include "bus/bus.h"
#include "cpu/interp_system.h"
#include "cpu/segment.h"

#define REPEAT_MAX 4096 /* iterations before the run loop has its turn */

/* The I/O permission bitmap of a 32- or 64-bit TSS; #GP(0) where it forbids the port. */
static void check_bitmap(struct cpu *cpu, uint16_t port, unsigned size)
{
    uint16_t map, bits;
    if (!seg_present(&cpu->tr) || !(seg_type(&cpu->tr) & 8) || cpu->tr.limit < 103)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base + 102), &map, 2);
    uint32_t offset = map + port / 8u;
    if (offset + 1 > cpu->tr.limit) /* two bytes are read always */
        cpu_raise_error(cpu, VECTOR_GP, 0);
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base + offset), &bits, 2);
    if ((bits >> (port % 8)) & ((1u << size) - 1))
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

static inline void check_permission(struct cpu *cpu, uint16_t port, unsigned size)
{
    bool protected = cpu->mode & MODE_PROTECTED;
    if (protected && ((cpu->mode & MODE_VM86) || cpu->cpl > (cpu->rflags & FLAG_IOPL) >> 12))
        check_bitmap(cpu, port, size);
}

static uint16_t port_operand(const struct cpu *cpu, const struct dec_insn *insn, unsigned i)
{
    if (insn->operand[i].kind == DEC_OPERAND_IMM)
        return (uint8_t)insn->imm;
    return (uint16_t)cpu->gpr[REG_RDX];
}

static uint64_t port_read(struct cpu *cpu, uint16_t port, unsigned size)
{
    cpu->stats.port_accesses++;
    if (UNLIKELY(cpu->watching))
        watch_access(cpu, port, size, WATCH_PORT);
    return bus_read(cpu->bus, BUS_PORT, port, size);
}

static void port_write(struct cpu *cpu, uint16_t port, uint64_t value, unsigned size)
{
    cpu->stats.port_accesses++;
    if (UNLIKELY(cpu->watching))
        watch_access(cpu, port, size, WATCH_PORT);
    bus_write(cpu->bus, BUS_PORT, port, value, size);
    cpu->leave = 1; /* the device may have raised an interrupt, or stopped the machine */
}

void system_in(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand[0].size;
    uint16_t port = port_operand(cpu, &in->insn, 1);
    check_permission(cpu, port, size);
    system_write_gpr(cpu, REG_RAX, port_read(cpu, port, size), size);
}

void system_out(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand[1].size;
    uint16_t port = port_operand(cpu, &in->insn, 0);
    check_permission(cpu, port, size);
    port_write(cpu, port, cpu->gpr[REG_RAX] & bytes_mask(size), size);
}

static void advance(struct cpu *cpu, unsigned reg, const struct dec_insn *insn)
{
    uint64_t step = insn->operand_size;
    if (cpu->rflags & FLAG_DF)
        step = -step;
    system_write_gpr(cpu, reg, cpu->gpr[reg] + step, insn->address_size);
}

static void in_once(struct cpu *cpu, const struct dec_insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t offset = cpu->gpr[REG_RDI] & bytes_mask(insn->address_size);
    mem_probe_write(cpu, SEG_ES, offset, size);
    mem_store(cpu, SEG_ES, offset, port_read(cpu, (uint16_t)cpu->gpr[REG_RDX], size), size);
    advance(cpu, REG_RDI, insn);
}

static void out_once(struct cpu *cpu, const struct dec_insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t offset = cpu->gpr[REG_RSI] & bytes_mask(insn->address_size);
    uint64_t value = mem_load(cpu, insn->mem.segment, offset, size);
    port_write(cpu, (uint16_t)cpu->gpr[REG_RDX], value, size);
    advance(cpu, REG_RSI, insn);
}

/* Runs the iterations until a request or a single step interrupts them, or many are done: the
 * instruction then starts again with what is left. A fault finds RCX and the pointers of its own
 * iteration. */
static void repeat(struct cpu *cpu, const struct dec_insn *insn,
                   void (*once)(struct cpu *cpu, const struct dec_insn *insn))
{
    check_permission(cpu, (uint16_t)cpu->gpr[REG_RDX], insn->operand_size);
    if (!(insn->prefixes & (DEC_PREFIX_REP | DEC_PREFIX_REPNE))) {
        once(cpu, insn);
        return;
    }
    uint64_t mask = bytes_mask(insn->address_size);
    for (unsigned done = 1; cpu->gpr[REG_RCX] & mask; done++) {
        once(cpu, insn);
        system_write_gpr(cpu, REG_RCX, cpu->gpr[REG_RCX] - 1, insn->address_size);
        bool interrupted = atomic_load_explicit(&cpu->requests, memory_order_relaxed) ||
                           (cpu->rflags & FLAG_TF) || done == REPEAT_MAX;
        if (interrupted && (cpu->gpr[REG_RCX] & mask)) {
            interp_suspend(cpu);
            break;
        }
    }
    cpu->leave = 1;
}

void system_ins(struct cpu *cpu, const struct interp_insn *in)
{
    repeat(cpu, &in->insn, in_once);
}

void system_outs(struct cpu *cpu, const struct interp_insn *in)
{
    repeat(cpu, &in->insn, out_once);
}
