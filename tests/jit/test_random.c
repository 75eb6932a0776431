/* Random programs on the translator and on the interpreter, from equal states. JIT_RANDOM_COUNT and
 * JIT_RANDOM_SEED change how many there are and which is the first. */
#include "../differential/program.h"
#include "guest.h"

#include "base/bits.h"
#include "cpu/model.h"
#include "cpu/segment.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define PROGRAMS 3000
#define TURNS_MAX 20000 /* of the interpreter's run loop */
#define RUNS 3          /* of a program: the later ones run links and jump entries */

struct start {
    struct pool pool;
    struct diff_state state;
    uint8_t data[AREA_SIZE];
};

static enum cpu_exit run(struct guest *guest, const struct program *program,
                         const struct start *start)
{
    struct cpu *cpu = guest->cpu;
    memcpy(cpu->gpr, start->state.gpr, sizeof(cpu->gpr));
    memcpy(guest_data(guest), start->data, sizeof(start->data));
    cpu->rflags = start->state.rflags;
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
    const struct jit_config config = {.without = without | JIT_PATIENCE};
    struct guest guests[2];
    guest_create(&guests[0], NULL);
    guest_create(&guests[1], &config);
    program.stores_pointers = program.stores_components = true;
    program.model = &guests[0].model;
    program.code_base = GUEST_CODE;
    program.data_base = GUEST_DATA;
    program.fs_base = guests[0].cpu->seg[SEG_FS].base;
    program.gs_base = guests[0].cpu->seg[SEG_GS].base;
    uint64_t first = from_environment("JIT_RANDOM_SEED", 1);
    uint64_t count = from_environment("JIT_RANDOM_COUNT", PROGRAMS);
    unsigned halts = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct random random = {seed * 0x9e3779b97f4a7c15ull | 1};
        program_generate(&random, &program);
        program_renew_pool(&start.pool, seed, seed == first);
        for (unsigned i = 0; i < 2; i++)
            guest_set_code(&guests[i], program.start, program.code + program.start,
                           program.end - program.start);
        for (unsigned j = 0; j < RUNS; j++) {
            program_generate_state(&random, &program, &start.pool, &start.state, start.data);
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
