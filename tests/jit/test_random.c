/* Random code on the translator and on the interpreter, from equal states. JIT_RANDOM_COUNT and
 * JIT_RANDOM_SEED change how many programs there are and which is the first. */
#include "../differential/generate.h"
#include "guest.h"
#include "random_code.h"

#include "base/bits.h"
#include "cpu/fpu.h"
#include "cpu/model.h"
#include "cpu/segment.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define PROGRAMS 3000
#define INSNS_MAX 40
#define TURNS_MAX 20000 /* of the interpreter's run loop */
#define RUNS 3          /* of a program: the later ones run links and jump entries */

struct program {
    uint8_t code[GUEST_CODE_SIZE];
    unsigned start, end;          /* offsets */
    unsigned insn[2 * INSNS_MAX]; /* where a jump may lead */
    unsigned insn_count;
    bool has_vectors;
    enum dec_mode mode; /* of 64 or 32 bits */
    const struct cpu_model *model;
};

static void append(struct program *program, const void *code, unsigned size)
{
    memcpy(program->code + program->end, code, size);
    program->end += size;
}

static void append_mov(struct program *program, unsigned reg, uint64_t value)
{
    const uint8_t opcode[] = {0x48 | reg >> 3, 0xb8 | (reg & 7)};
    bool wide = program->mode == DEC_MODE_64;
    append(program, opcode + !wide, wide ? 2 : 1);
    append(program, &value, wide ? 8 : 4);
}

/* What would end most programs: areas and control words with reserved bits, exceptions unmasked. */
static bool loads_state(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_LDMXCSR:
    case DEC_OP_VLDMXCSR:
    case DEC_OP_FXRSTOR:
    case DEC_OP_XRSTOR:
    case DEC_OP_XRSTORS:
    case DEC_OP_FLDCW:
    case DEC_OP_FLDENV:
    case DEC_OP_FRSTOR:
        return true;
    default:
        return false;
    }
}

static bool is_wanted(const struct dec_insn *insn, const struct cpu_model *model)
{
    const struct dec_info *info = dec_info(insn->op);
    if (info->op_class != DEC_CLASS_INTEGER && info->op_class != DEC_CLASS_SYSTEM)
        return model->features[dec_insn_feature(insn)] && !loads_state(insn);
    if (info->op_class != DEC_CLASS_INTEGER || info->attributes & (DEC_ATTR_END | DEC_ATTR_STRING))
        return false;
    return insn->op != DEC_OP_RDRAND && insn->op != DEC_OP_RDSEED && insn->op != DEC_OP_ENTER &&
           insn->op != DEC_OP_XLAT;
}

/* What leaves flags undefined that processors may leave alone: then nobody may look at them. */
static bool leaves_flags_undefined(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_BT:
    case DEC_OP_BTS:
    case DEC_OP_BTR:
    case DEC_OP_BTC:
    case DEC_OP_BSF:
    case DEC_OP_BSR:
    case DEC_OP_TZCNT:
    case DEC_OP_LZCNT:
    case DEC_OP_SHL:
    case DEC_OP_SHR:
    case DEC_OP_SAR:
    case DEC_OP_SHLD:
    case DEC_OP_SHRD:
    case DEC_OP_ROL:
    case DEC_OP_ROR:
    case DEC_OP_RCL:
    case DEC_OP_RCR:
    case DEC_OP_MUL:
    case DEC_OP_IMUL:
    case DEC_OP_DIV:
    case DEC_OP_IDIV:
    case DEC_OP_BLSI:
    case DEC_OP_BLSR:
    case DEC_OP_BLSMSK:
    case DEC_OP_BEXTR:
    case DEC_OP_BZHI:
    case DEC_OP_ANDN:
        return true;
    default:
        return false;
    }
}

static uint64_t random_address(struct random *random)
{
    if (random_chance(random, 2))
        return GUEST_READ_ONLY + random_below(random, 2 * PAGE_SIZE);
    if (random_chance(random, 20)) /* across the border */
        return GUEST_DATA + PAGE_SIZE - random_below(random, 16);
    return GUEST_DATA + random_below(random, 2 * PAGE_SIZE - 64);
}

static bool needs_alignment(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    return info->attributes & DEC_ATTR_ALIGNED || info->op_class == DEC_CLASS_STATE;
}

static bool uses(const struct dec_insn *insn, unsigned reg)
{
    return insn->mem.base == reg || insn->mem.index == reg;
}

/* Loads registers, or changes the displacement, so that the operand lies in the data area. */
static bool place_operand(struct random *random, struct program *program, struct dec_insn *insn,
                          uint8_t *code)
{
    static const uint64_t bases[] = {[SEG_FS] = 0x123, [SEG_GS] = 0xffffffff00000045};
    struct dec_mem *mem = &insn->mem;
    uint64_t address = random_address(random);
    if (needs_alignment(insn) && !random_chance(random, 3))
        address &= ~63ull;
    if (mem->segment >= SEG_FS)
        address -= bases[mem->segment];
    if (mem->base == mem->index || mem->vsib ||
        insn->address_size != (program->mode == DEC_MODE_64 ? 8 : 4))
        return false;
    if (mem->index != DEC_NO_REG) {
        unsigned index = random_below(random, 64);
        append_mov(program, mem->index, index);
        address -= index * mem->scale;
    }
    if (mem->base < DEC_BASE_RIP) {
        append_mov(program, mem->base, address - (uint64_t)mem->disp);
        return true;
    }
    unsigned at = insn->length - insn->imm_size - 4;
    if (insn->op == DEC_OP_MOV && !insn->has_modrm) {
        store_le(code + insn->length - insn->address_size, address, insn->address_size);
        return true;
    }
    if (mem->base == DEC_BASE_RIP)
        address -= GUEST_CODE + program->end + insn->length;
    if (mem->segment >= SEG_FS && mem->base != DEC_BASE_RIP)
        return false;
    store_le(code + at, address, 4);
    if (program->mode == DEC_MODE_32)
        return true;
    return (uint64_t)(int64_t)(int32_t)address == address;
}

static bool has_memory(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return true;
    }
    return false;
}

/* mov dword [GUEST_DATA + 8], value; ldmxcsr or fldcw [GUEST_DATA + 8] */
static void append_control_word(struct random *random, struct program *program)
{
    bool x87 = random_chance(random, 50);
    uint32_t value = (uint32_t)random_next(random) & (x87 ? 0x0f00 : 0xe07f);
    value |= x87 ? 0x3f : 0x1f80;
    if (random_chance(random, 5))
        value ^= 1u << random_below(random, 17);
    append(program, "\xc7\x04\x25", 3);
    append(program, &(uint32_t){GUEST_DATA + 8}, 4);
    append(program, &value, 4);
    append(program, x87 ? "\xd9\x2c\x25" : "\x0f\xae\x14\x25", x87 ? 3 : 4);
    append(program, &(uint32_t){GUEST_DATA + 8}, 4);
}

static void append_random_insn(struct random *random, struct program *program)
{
    bool vector = program->has_vectors && random_chance(random, 70);
    if (vector && random_chance(random, 3)) {
        append_control_word(random, program);
        return;
    }
    for (;;) {
        uint8_t code[DEC_MAX_LENGTH];
        struct dec_insn insn;
        unsigned end = program->end;
        if (vector)
            generate_vector_code(random, program->mode, code);
        else
            generate_code(random, program->mode, code);
        if (dec_decode(code, sizeof(code), program->mode, &insn) != DEC_OK ||
            !is_wanted(&insn, program->model))
            continue;
        if (has_memory(&insn) && insn.op != DEC_OP_LEA && insn.op != DEC_OP_NOP &&
            !place_operand(random, program, &insn, code)) {
            program->end = end;
            continue;
        }
        bool stack = insn.op == DEC_OP_PUSH || insn.op == DEC_OP_POP || insn.op == DEC_OP_LEAVE;
        if (stack && !uses(&insn, REG_RSP))
            append_mov(program, insn.op == DEC_OP_LEAVE ? REG_RBP : REG_RSP,
                       random_address(random));
        if (insn.mem.base == DEC_BASE_RIP && stack) {
            program->end = end;
            continue;
        }
        append(program, code, insn.length);
        if (leaves_flags_undefined(&insn))
            append(program, "\x48\x39\xc1", 3); /* cmp rcx, rax */
        return;
    }
}

static unsigned mov_size(const struct program *program)
{
    return program->mode == DEC_MODE_64 ? 10 : 5;
}

static void append_branch(struct random *random, struct program *program)
{
    static const uint8_t jcc = 0x0f, jmp = 0xe9;
    uint8_t cond = 0x80 | random_below(random, 16);
    switch (random_below(random, 5)) {
    case 0: /* call, and drop the return address */
        append_mov(program, REG_RSP, random_address(random) | 8);
        append(program, "\xe8\0\0\0\0\x58", 6);
        break;
    case 1: /* jmp rax */
        append_mov(program, REG_RAX, GUEST_CODE + program->end + mov_size(program) + 2);
        append(program, "\xff\xe0", 2);
        break;
    case 2: /* push rax; ret */
        append_mov(program, REG_RSP, random_address(random) | 8);
        append_mov(program, REG_RAX, GUEST_CODE + program->end + mov_size(program) + 2);
        append(program, "\x50\xc3", 2);
        break;
    default: /* to an instruction before (until a counter in memory is 0) or to the next one */
        if (program->insn_count && random_chance(random, 30)) {
            append(program, "\xff\x0c\x25", 3); /* dec dword [GUEST_DATA] */
            append(program, &(uint32_t){GUEST_DATA}, 4);
            append(program, "\x0f\x8f", 2); /* jg */
            uint32_t to = program->insn[random_below(random, program->insn_count)];
            append(program, &(uint32_t){to - (program->end + 4)}, 4);
            break;
        }
        if (random_chance(random, 70)) {
            append(program, &jcc, 1);
            append(program, &cond, 1);
        } else {
            append(program, &jmp, 1);
        }
        append(program, &(uint32_t){3}, 4);
        append(program, "\x48\x01\xd8", 3); /* add rax, rbx */
        break;
    }
}

static void make_program(struct random *random, struct program *program)
{
    program->insn_count = 0;
    program->has_vectors = random_chance(random, 60);
    program->mode = random_chance(random, 70) ? DEC_MODE_64 : DEC_MODE_32;
    program->start = random_below(random, 3) ? PAGE_SIZE - random_below(random, 200)
                                             : random_below(random, PAGE_SIZE);
    program->end = program->start;
    unsigned count = 1 + random_below(random, INSNS_MAX);
    for (unsigned i = 0; i < count; i++) {
        program->insn[program->insn_count++] = program->end;
        if (random_chance(random, 15))
            append_branch(random, program);
        else
            append_random_insn(random, program);
    }
    append(program, "\xf4\x9c", 2); /* hlt; pushf: the flags are live */
}

struct start {
    struct pool pool;
    struct diff_state state;
    uint64_t gpr[16], rflags;
    uint8_t data[GUEST_DATA_SIZE];
};

static void make_start(struct random *random, const struct program *program, struct start *start)
{
    uint64_t mask = program->mode == DEC_MODE_64 ? UINT64_MAX : UINT32_MAX;
    for (unsigned i = 0; i < 16; i++)
        start->gpr[i] = generate_value(random) & mask;
    if (random_chance(random, 5))
        pool_fill(&start->pool, random);
    generate_vectors(random, &start->pool, random_chance(random, 30), &start->state);
    if (random_chance(random, 30)) { /* upper halves that are not in use */
        for (unsigned i = 0; i < 16; i++)
            memset(start->state.vec[i].u8 + 16, 0, 16);
    }
    if (random_chance(random, 85)) {
        start->state.mxcsr |= MXCSR_MASKS;
        start->state.fx.fcw |= FSW_EXCEPTIONS;
        fpu_summarise(&start->state.fx);
    }
    start->gpr[REG_RSP] = random_address(random) & ~7ull;
    start->rflags = FLAGS_FIXED | (random_next(random) & FLAGS_STATUS);
    for (unsigned i = 0; i < GUEST_DATA_SIZE; i += 8)
        store_le(start->data + i, generate_value(random), 8);
    store_le(start->data, random_below(random, 50), 4);
}

static enum cpu_exit run(struct guest *guest, const struct program *program,
                         const struct start *start)
{
    struct cpu *cpu = guest->cpu;
    memcpy(cpu->gpr, start->gpr, sizeof(cpu->gpr));
    memcpy(guest_data(guest), start->data, sizeof(start->data));
    cpu->rflags = start->rflags;
    memcpy(cpu->vec, start->state.vec, sizeof(cpu->vec));
    cpu->mxcsr = start->state.mxcsr;
    cpu->fx = start->state.fx;
    memset(&cpu->pending, 0, sizeof(cpu->pending));
    guest_start_in(guest, program->mode, GUEST_CODE + program->start);
    return cpu->engine ? cpu_run(cpu) : cpu_run_for(cpu, TURNS_MAX);
}

static void complain(const struct program *program, uint64_t seed, const char *what,
                     const struct cpu *a, const struct cpu *b)
{
    uint64_t rip = GUEST_CODE + program->start;
    for (unsigned at = program->start; at < program->end;) {
        struct dec_insn insn;
        char text[96];
        if (dec_decode(program->code + at, program->end - at, program->mode, &insn) != DEC_OK)
            break;
        dec_format(&insn, rip, text, sizeof(text));
        fprintf(stderr, "  %lx %s\n", rip, text);
        at += insn.length;
        rip += insn.length;
    }
    for (unsigned i = 0; i < 16; i++)
        fprintf(stderr, "  r%-2u interp %016lx jit %016lx%s\n", i, a->gpr[i], b->gpr[i],
                a->gpr[i] == b->gpr[i] ? "" : " differs");
    for (unsigned i = 0; i < 16; i++) {
        if (memcmp(&a->vec[i], &b->vec[i], sizeof(a->vec[i])) != 0)
            fprintf(stderr, "  ymm%u %016lx %016lx %016lx %016lx, %016lx %016lx %016lx %016lx\n", i,
                    a->vec[i].u64[0], a->vec[i].u64[1], a->vec[i].u64[2], a->vec[i].u64[3],
                    b->vec[i].u64[0], b->vec[i].u64[1], b->vec[i].u64[2], b->vec[i].u64[3]);
    }
    fprintf(stderr,
            "  mxcsr %x %x fcw %x %x fsw %x %x ftw %x %x fop %x %x fip %lx %lx fdp %lx %lx\n",
            a->mxcsr, b->mxcsr, a->fx.fcw, b->fx.fcw, a->fx.fsw, b->fx.fsw, a->fx.ftw, b->fx.ftw,
            a->fx.fop, b->fx.fop, a->fx.fip, b->fx.fip, a->fx.fdp, b->fx.fdp);
    fprintf(stderr, "  rip %lx %lx rflags %lx %lx pending %u %u\n", a->rip, b->rip, a->rflags,
            b->rflags, a->pending.vector, b->pending.vector);
    cr_assert_fail("seed %lu: %s", seed, what);
}

static bool same_x87(const struct fx_image *a, const struct fx_image *b)
{
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(a->st[i], b->st[i], 10) != 0)
            return false;
    }
    return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->fop == b->fop &&
           a->fip == b->fip && a->fdp == b->fdp;
}

/* After a fault dead flags may be anything. */
static void compare(struct guest guests[2], const struct program *program, uint64_t seed,
                    const enum cpu_exit exits[2])
{
    const struct cpu *a = guests[0].cpu, *b = guests[1].cpu;
    if (exits[0] != exits[1])
        complain(program, seed, "different ends", a, b);
    if (a->rip != b->rip || memcmp(a->gpr, b->gpr, sizeof(a->gpr)) != 0)
        complain(program, seed, "different registers", a, b);
    if (exits[0] == CPU_EXIT_HALT && a->rflags != b->rflags)
        complain(program, seed, "different flags", a, b);
    if (memcmp(a->vec, b->vec, sizeof(a->vec)) != 0 || a->mxcsr != b->mxcsr)
        complain(program, seed, "different vector registers", a, b);
    if (!same_x87(&a->fx, &b->fx))
        complain(program, seed, "different x87 state", a, b);
    if (a->pending.vector != b->pending.vector || a->pending.error != b->pending.error ||
        a->pending.cr2 != b->pending.cr2)
        complain(program, seed, "different exceptions", a, b);
    if (memcmp(guest_data(&guests[0]), guest_data(&guests[1]), GUEST_DATA_SIZE) != 0)
        complain(program, seed, "different memory", a, b);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void compare_engines(uint32_t without)
{
    static struct program program;
    static struct start start;
    const struct jit_config config = {.without = without};
    struct guest guests[2];
    guest_create(&guests[0], NULL);
    guest_create(&guests[1], &config);
    program.model = &guests[0].model;
    pool_fill(&start.pool, &(struct random){1});
    uint64_t first = from_environment("JIT_RANDOM_SEED", 1);
    uint64_t count = from_environment("JIT_RANDOM_COUNT", PROGRAMS);
    unsigned halts = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct random random = {seed * 0x9e3779b97f4a7c15ull | 1};
        make_program(&random, &program);
        for (unsigned i = 0; i < 2; i++)
            guest_set_code(&guests[i], program.start, program.code + program.start,
                           program.end - program.start);
        for (unsigned j = 0; j < RUNS; j++) {
            make_start(&random, &program, &start);
            enum cpu_exit exits[2];
            exits[0] = run(&guests[0], &program, &start);
            if (exits[0] == CPU_EXIT_BUDGET)
                break; /* it overwrites its loop's counter and never ends */
            exits[1] = run(&guests[1], &program, &start);
            compare(guests, &program, seed, exits);
            halts += exits[0] == CPU_EXIT_HALT;
        }
    }
    cr_log_info("seeds %lu to %lu, %u of %lu runs to the end", first, first + count - 1, halts,
                RUNS * count);
    cr_expect_gt(halts, RUNS * count / 4);
    guest_destroy(&guests[0]);
    guest_destroy(&guests[1]);
}

Test(jit_random, as_interpreted)
{
    compare_engines(0);
}

Test(jit_random, without_links_and_lookup)
{
    compare_engines(JIT_LINKS | JIT_LOOKUP);
}

Test(jit_random, without_liveness)
{
    compare_engines(JIT_LIVENESS);
}

Test(jit_random, handlers_only)
{
    compare_engines(JIT_NATIVE);
}
