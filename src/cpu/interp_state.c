/* FXSAVE, FXRSTOR, the XSAVE family, MXCSR and EMMS (SDM vol. 1, chapters 10.5 and 13). */
#include "cpu/access.h"
#include "cpu/fpu.h"
#include "cpu/interp.h"
#include "cpu/segment.h"
#include "cpu/xstate.h"

/* The legacy region by its fields, and the header after it. */
enum {
    X87_SIZE = 24, /* FCW to FDP */
    MXCSR_OFFSET = 24,
    MXCSR_SIZE = 8, /* with MXCSR_MASK */
    ST_OFFSET = 32,
    ST_SIZE = 128,
    XMM_OFFSET = 160,
    XSTATE_BV_OFFSET = XSTATE_HEADER_OFFSET,
    XCOMP_BV_OFFSET = XSTATE_HEADER_OFFSET + 8,
};

/* An instruction's area: where it is, and a copy of (some of) it. */
struct area {
    struct cpu *cpu;
    enum dec_seg seg;
    uint64_t offset, mask; /* mask: of the address size */
    bool wide;             /* with REX.W: FIP and FDP are 64-bit offsets */
    unsigned registers;    /* XMM or YMM registers that the mode has */
    uint8_t bytes[XSTATE_MAX_SIZE] __attribute__((aligned(64)));
};

/* XMM or YMM registers that the mode has. */
static unsigned vector_registers(const struct cpu *cpu)
{
    return mode_code(cpu->mode) == DEC_MODE_64 ? 16 : 8;
}

static void area_init(struct area *area, struct cpu *cpu, const struct dec_insn *insn,
                      unsigned alignment)
{
    area->cpu = cpu;
    area->seg = (enum dec_seg)insn->mem.segment;
    area->offset = cpu_effective_address(cpu, insn);
    area->mask = bytes_mask(insn->address_size);
    area->wide = insn->operand_size == 8;
    area->registers = vector_registers(cpu);
    seg_linear(cpu, area->seg, area->offset, 4, false); /* #AC comes first */
    gva_t va = seg_linear(cpu, area->seg, area->offset, 1, false);
    if (alignment == 16 && !is_canonical(va)) /* FXSAVE and FXRSTOR look at this first */
        cpu_raise_error(cpu, area->seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
    if (va & (alignment - 1))
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* Calls for the parts of [from, from + size), none larger than access.h takes. */
enum { CHUNK = 64 };

static unsigned chunk_size(unsigned at, unsigned end)
{
    return end - at < CHUNK ? end - at : CHUNK;
}

/* Likewise. */
static void area_read(struct area *area, unsigned from, unsigned size)
{
    mem_load(area->cpu, area->seg, (area->offset + from + size - 1) & area->mask, 1);
    for (unsigned at = from; at < from + size; at += CHUNK)
        mem_read(area->cpu, area->seg, (area->offset + at) & area->mask, area->bytes + at,
                 chunk_size(at, from + size));
}

/* [from, to), the last byte first, as the hardware does: it decides what CR2 holds. */
static void area_probe(struct area *area, unsigned from, unsigned to)
{
    mem_probe_write(area->cpu, area->seg, (area->offset + to - 1) & area->mask, 1);
    for (unsigned at = from; at < to; at += CHUNK)
        mem_probe_write(area->cpu, area->seg, (area->offset + at) & area->mask, chunk_size(at, to));
}

static void area_write(struct area *area, unsigned from, unsigned size)
{
    for (unsigned at = from; at < from + size; at += CHUNK)
        mem_write(area->cpu, area->seg, (area->offset + at) & area->mask, area->bytes + at,
                  chunk_size(at, from + size));
}

/* --- Between the copy and the CPU, component by component. */

static void put_x87(struct area *area)
{
    const struct fx_image *fx = &area->cpu->fx;
    uint8_t *p = area->bytes;
    memset(p, 0, X87_SIZE);
    store_le(p, fx->fcw, 2);
    store_le(p + 2, fx->fsw, 2);
    store_le(p + 4, fx->ftw, 1);
    store_le(p + 6, fx->fop, 2);
    store_le(p + 8, fx->fip, area->wide ? 8 : 4); /* otherwise 16 bits of selector, zero, follow */
    store_le(p + 16, fx->fdp, area->wide ? 8 : 4);
    for (unsigned i = 0; i < 8; i++) {
        memset(p + ST_OFFSET + 16 * i, 0, 16);
        memcpy(p + ST_OFFSET + 16 * i, fx->st[i], 10);
    }
}

static void get_x87(const struct area *area)
{
    struct fx_image *fx = &area->cpu->fx;
    const uint8_t *p = area->bytes;
    fpu_set_fcw(fx, (uint16_t)load_le(p, 2));
    fx->fsw = (uint16_t)load_le(p + 2, 2);
    fpu_summarise(fx);
    fx->ftw = p[4];
    fx->fop = load_le(p + 6, 2) & FOP_MASK;
    fx->fip = (uint64_t)sign_extend(load_le(p + 8, area->wide ? 6 : 4), area->wide ? 6 : 8);
    fx->fdp = load_le(p + 16, area->wide ? 8 : 4);
    for (unsigned i = 0; i < 8; i++) {
        memset(fx->st[i], 0, 16);
        memcpy(fx->st[i], p + ST_OFFSET + 16 * i, 10);
    }
}

static void init_x87(struct cpu *cpu)
{
    fpu_init(&cpu->fx);
    memset(cpu->fx.st, 0, sizeof(cpu->fx.st));
}

static void put_mxcsr(struct area *area)
{
    store_le(area->bytes + MXCSR_OFFSET, area->cpu->mxcsr, 4);
    store_le(area->bytes + MXCSR_OFFSET + 4, MXCSR_VALID, 4);
}

static uint32_t area_mxcsr(const struct area *area)
{
    return (uint32_t)load_le(area->bytes + MXCSR_OFFSET, 4);
}

static void check_mxcsr(struct cpu *cpu, uint32_t value)
{
    if (value & ~MXCSR_VALID)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

static void put_sse(struct area *area)
{
    for (unsigned i = 0; i < area->registers; i++)
        memcpy(area->bytes + XMM_OFFSET + 16 * i, area->cpu->vec[i].u8, 16);
}

static void put_avx(struct area *area)
{
    for (unsigned i = 0; i < area->registers; i++)
        memcpy(area->bytes + XSTATE_AVX_OFFSET + 16 * i, area->cpu->vec[i].u8 + 16, 16);
}

/* Halves of the vector registers (0 the XMM part, 1 the rest) from the copy, or zero. */
static void get_halves(const struct area *area, unsigned half, bool init)
{
    const uint8_t *from = area->bytes + (half ? XSTATE_AVX_OFFSET : XMM_OFFSET);
    for (unsigned i = 0; i < area->registers; i++) {
        uint8_t *to = area->cpu->vec[i].u8 + 16 * half;
        if (init)
            memset(to, 0, 16);
        else
            memcpy(to, from + 16 * i, 16);
    }
}

/* --- FXSAVE and FXRSTOR. */

static void do_fxsave(struct cpu *cpu, const struct interp_insn *in)
{
    struct area area;
    area_init(&area, cpu, &in->insn, 16);
    area_probe(&area, 0, XSTATE_LEGACY_SIZE);
    put_x87(&area);
    put_mxcsr(&area);
    put_sse(&area);
    area_write(&area, 0, XMM_OFFSET + 16 * area.registers);
}

static void do_fxrstor(struct cpu *cpu, const struct interp_insn *in)
{
    struct area area;
    area_init(&area, cpu, &in->insn, 16);
    area_read(&area, 0, XSTATE_LEGACY_SIZE);
    check_mxcsr(cpu, area_mxcsr(&area));
    get_x87(&area);
    cpu->mxcsr = area_mxcsr(&area);
    get_halves(&area, 0, false);
    fpu_update_mode(cpu);
}

/* --- XSAVE and its kin. */

/* What gates them is not in the mode word. */
static void check_xsave_enabled(struct cpu *cpu)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->cr0 & CR0_TS)
        cpu_raise(cpu, VECTOR_NM);
}

static uint64_t requested_features(const struct cpu *cpu, uint64_t enabled)
{
    return ((cpu->gpr[REG_RDX] << 32) | (uint32_t)cpu->gpr[REG_RAX]) & enabled & XSTATE_ALL;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

static bool x87_in_use(const struct fx_image *fx)
{
    return fx->fcw != FCW_DEFAULT || fx->fsw || fx->ftw || fx->fop || fx->fip || fx->fdp ||
           !all_zero(fx->st[0], sizeof(fx->st));
}

uint64_t cpu_xstate_in_use(const struct cpu *cpu)
{
    uint64_t in_use = x87_in_use(&cpu->fx) ? XSTATE_X87 : 0;
    for (unsigned i = 0; i < vector_registers(cpu); i++) {
        if (cpu->vec[i].u64[0] | cpu->vec[i].u64[1])
            in_use |= XSTATE_SSE;
        if (cpu->vec[i].u64[2] | cpu->vec[i].u64[3])
            in_use |= XSTATE_AVX;
    }
    return in_use;
}

/* The area from the first byte that may be written; nothing but the header always is. */
static void probe_components(struct area *area, uint64_t mask, bool mxcsr)
{
    unsigned from = mask & XSTATE_X87 ? 0 : mxcsr ? MXCSR_OFFSET : XSTATE_HEADER_OFFSET;
    area_probe(area, from, mask ? xstate_size(mask) : XSTATE_HEADER_OFFSET + 16);
}

/* Writes the components in mask; MXCSR is on its own. */
static void write_components(struct area *area, uint64_t mask, bool mxcsr)
{
    if (mask & XSTATE_X87) {
        put_x87(area);
        area_write(area, 0, X87_SIZE);
        area_write(area, ST_OFFSET, ST_SIZE);
    }
    if (mxcsr) {
        put_mxcsr(area);
        area_write(area, MXCSR_OFFSET, MXCSR_SIZE);
    }
    if (mask & XSTATE_SSE) {
        put_sse(area);
        area_write(area, XMM_OFFSET, 16 * area->registers);
    }
    if (mask & XSTATE_AVX) {
        put_avx(area);
        area_write(area, XSTATE_AVX_OFFSET, 16 * area->registers);
    }
}

/* SDM vol. 1, 13.7 and 13.9. XSAVEOPT leaves out what is in its initial configuration. */
static void save_standard(struct cpu *cpu, const struct dec_insn *insn, bool optimise)
{
    struct area area;
    check_xsave_enabled(cpu);
    area_init(&area, cpu, insn, 64);
    uint64_t requested = requested_features(cpu, cpu->xcr0);
    uint64_t in_use = cpu_xstate_in_use(cpu);
    probe_components(&area, requested, requested & (XSTATE_SSE | XSTATE_AVX));
    area_read(&area, XSTATE_BV_OFFSET, 8);

    uint64_t bv = load_le(area.bytes + XSTATE_BV_OFFSET, 8);
    store_le(area.bytes + XSTATE_BV_OFFSET, (bv & ~requested) | (requested & in_use), 8);
    write_components(&area, optimise ? requested & in_use : requested,
                     requested & (XSTATE_SSE | XSTATE_AVX));
    area_write(&area, XSTATE_BV_OFFSET, 8);
}

/* SDM vol. 1, 13.10 and 13.11. MXCSR belongs to the SSE component, which it makes in use. */
static void save_compacted(struct cpu *cpu, const struct dec_insn *insn, uint64_t enabled)
{
    struct area area;
    check_xsave_enabled(cpu);
    area_init(&area, cpu, insn, 64);
    uint64_t requested = requested_features(cpu, enabled);
    uint64_t in_use = cpu_xstate_in_use(cpu);
    if (cpu->mxcsr != MXCSR_DEFAULT)
        in_use |= XSTATE_SSE;
    uint64_t saved = requested & in_use;
    probe_components(&area, requested, requested & XSTATE_SSE);

    store_le(area.bytes + XSTATE_BV_OFFSET, saved, 8);
    store_le(area.bytes + XCOMP_BV_OFFSET, requested | XCOMP_COMPACTED, 8);
    write_components(&area, saved, saved & XSTATE_SSE);
    area_write(&area, XSTATE_BV_OFFSET, 16);
}

static void do_xsave(struct cpu *cpu, const struct interp_insn *in)
{
    save_standard(cpu, &in->insn, false);
}

static void do_xsaveopt(struct cpu *cpu, const struct interp_insn *in)
{
    save_standard(cpu, &in->insn, true);
}

static void do_xsavec(struct cpu *cpu, const struct interp_insn *in)
{
    save_compacted(cpu, &in->insn, cpu->xcr0);
}

static void check_privileged(struct cpu *cpu)
{
    if (cpu->cpl)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

static void do_xsaves(struct cpu *cpu, const struct interp_insn *in)
{
    check_xsave_enabled(cpu);
    check_privileged(cpu);
    save_compacted(cpu, &in->insn, cpu->xcr0 | cpu->msr.xss);
}

/* The header's rules (SDM vol. 1, 13.8.1, 13.8.2 and 13.12). */
static bool header_valid(const struct area *area, uint64_t enabled, bool compacted)
{
    const uint8_t *header = area->bytes + XSTATE_HEADER_OFFSET;
    uint64_t bv = load_le(header, 8);
    uint64_t comp = load_le(header + 8, 8) & ~XCOMP_COMPACTED;
    if (!compacted)
        return !(bv & ~enabled) && all_zero(header + 8, 16);
    return !(comp & ~enabled) && !(bv & ~comp) && all_zero(header + 16, XSTATE_HEADER_SIZE - 16);
}

static void restore(struct cpu *cpu, struct area *area, uint64_t enabled, bool must_be_compacted)
{
    uint64_t requested = requested_features(cpu, enabled);
    area_read(area, XSTATE_HEADER_OFFSET, XSTATE_HEADER_SIZE);
    uint64_t bv = load_le(area->bytes + XSTATE_BV_OFFSET, 8);
    bool compacted = load_le(area->bytes + XCOMP_BV_OFFSET, 8) & XCOMP_COMPACTED;
    if ((must_be_compacted && !compacted) || !header_valid(area, enabled, compacted))
        cpu_raise_error(cpu, VECTOR_GP, 0);

    /* Standard: MXCSR comes from memory whenever SSE or AVX is asked for. Compacted: with SSE. */
    uint64_t load = requested & bv;
    bool mxcsr = compacted ? load & XSTATE_SSE : requested & (XSTATE_SSE | XSTATE_AVX);
    area_read(area, 0, XSTATE_LEGACY_SIZE);
    if (load & XSTATE_AVX)
        area_read(area, XSTATE_AVX_OFFSET, XSTATE_AVX_SIZE);
    if (mxcsr)
        check_mxcsr(cpu, area_mxcsr(area));

    if (load & XSTATE_X87)
        get_x87(area);
    else if (requested & XSTATE_X87)
        init_x87(cpu);
    if (mxcsr)
        cpu->mxcsr = area_mxcsr(area);
    else if (requested & XSTATE_SSE)
        cpu->mxcsr = MXCSR_DEFAULT;
    if (requested & XSTATE_SSE)
        get_halves(area, 0, !(load & XSTATE_SSE));
    if (requested & XSTATE_AVX)
        get_halves(area, 1, !(load & XSTATE_AVX));
    fpu_update_mode(cpu);
}

static void do_xrstor(struct cpu *cpu, const struct interp_insn *in)
{
    struct area area;
    check_xsave_enabled(cpu);
    area_init(&area, cpu, &in->insn, 64);
    restore(cpu, &area, cpu->xcr0, false);
}

static void do_xrstors(struct cpu *cpu, const struct interp_insn *in)
{
    struct area area;
    check_xsave_enabled(cpu);
    check_privileged(cpu);
    area_init(&area, cpu, &in->insn, 64);
    restore(cpu, &area, cpu->xcr0 | cpu->msr.xss, true);
}

/* --- MXCSR and EMMS. */

static void do_ldmxcsr(struct cpu *cpu, const struct interp_insn *in)
{
    uint32_t value = (uint32_t)mem_load(cpu, (enum dec_seg)in->insn.mem.segment,
                                        cpu_effective_address(cpu, &in->insn), 4);
    check_mxcsr(cpu, value);
    cpu->mxcsr = value;
    fpu_update_mode(cpu);
}

static void do_stmxcsr(struct cpu *cpu, const struct interp_insn *in)
{
    mem_store(cpu, (enum dec_seg)in->insn.mem.segment, cpu_effective_address(cpu, &in->insn),
              cpu->mxcsr, 4);
}

static void do_emms(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    fpu_wait(cpu);
    fpu_set_top(&cpu->fx, 0);
    cpu->fx.ftw = 0;
}

interp_handler *interp_select_state(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    switch (insn->op) {
    case DEC_OP_FXSAVE:
        return do_fxsave;
    case DEC_OP_FXRSTOR:
        return do_fxrstor;
    case DEC_OP_XSAVE:
        return do_xsave;
    case DEC_OP_XSAVEOPT:
        return do_xsaveopt;
    case DEC_OP_XSAVEC:
        return do_xsavec;
    case DEC_OP_XSAVES:
        return do_xsaves;
    case DEC_OP_XRSTOR:
        return do_xrstor;
    case DEC_OP_XRSTORS:
        return do_xrstors;
    case DEC_OP_LDMXCSR:
    case DEC_OP_VLDMXCSR:
        return do_ldmxcsr;
    case DEC_OP_STMXCSR:
    case DEC_OP_VSTMXCSR:
        return do_stmxcsr;
    case DEC_OP_EMMS:
        return do_emms;
    default:
        return NULL;
    }
}
