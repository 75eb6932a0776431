/* Random programs on the host's processor, on the interpreter and on the translator: what they
 * leave must be equal. See doc/differential.md.
 *
 * differential_blocks [--count N] [--seed S]: N programs from the S-th on. */
#include "base/bits.h"
#include "compare.h"
#include "guest.h"
#include "native.h"
#include "program.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNS 3          /* of a program: the later ones run links and jump entries */
#define TURNS_MAX 20000 /* of the interpreter's run loop: what takes more is given up */
#define REPORTED_MAX 3

/* As in differential.c: with AddressSanitizer the engines run alone. */
#ifdef __SANITIZE_ADDRESS__
#define HOST_RUNS false
#define DEFAULT_COUNT 500
#else
#define HOST_RUNS true
#define DEFAULT_COUNT 20000
#endif

enum engine { INTERP, JIT, ENGINES };

static const char *const engine_name[] = {"interpreter", "translator"};

struct test {
    struct native *native;
    struct guest *guest[ENGINES];
    struct pool pool;
    struct program program;
    struct diff_run run;
    uint8_t data[AREA_SIZE];
    struct diff_outcome outcome[ENGINES];
    uint64_t runs, ended, differences; /* ended: at the program's end */
};

static void print_program(const struct program *program)
{
    for (unsigned at = program->start; at < program->end;) {
        struct dec_insn insn;
        char text[96];
        if (dec_decode(program->code + at, program->end - at, program->mode, &insn) != DEC_OK)
            break;
        dec_format(&insn, program->code_base + at, text, sizeof(text));
        printf("  %" PRIx64 " %s\n", program->code_base + at, text);
        at += insn.length;
    }
}

/* The instruction at which the outcome's fault was, as memory has it now. */
static bool find_end(const struct test *test, const uint8_t *code, const struct diff_outcome *out,
                     struct dec_insn *insn)
{
    uint64_t at = out->state.rip - AREA_CODE;
    if (at >= AREA_CODE_SIZE)
        return false;
    return dec_decode(code + at, AREA_CODE_SIZE - at, test->program.mode, insn) == DEC_OK;
}

static void report(struct test *test, uint64_t seed, const char *names, unsigned parts,
                   const struct dec_insn *insn, const struct diff_outcome *a, const uint8_t *a_data,
                   enum engine engine)
{
    if (test->differences++ >= REPORTED_MAX)
        return;
    printf("program %" PRIu64 ", %s\n", seed, names);
    print_program(&test->program);
    compare_report(parts, insn, &test->run, native_state(test->native), a, &test->outcome[engine],
                   a_data, guest_data(test->guest[engine]));
}

/* The engine's outcome with the host's, or the interpreter's where the host does not run. Of an
 * exception inside, the translator need not have the flags that nobody would have looked at. */
static bool compare(struct test *test, uint64_t seed, const struct diff_outcome *expected,
                    const uint8_t *code, const uint8_t *data, enum engine engine)
{
    struct dec_insn end;
    const struct diff_outcome *out = &test->outcome[engine];
    if (!find_end(test, code, expected, &end))
        end = (struct dec_insn){.mode = (uint8_t)test->program.mode};
    unsigned parts = compare_outcomes(&end, expected, out, data, guest_data(test->guest[engine]));
    if (engine == JIT && end.op != DEC_OP_HLT)
        parts &= ~(unsigned)PART_FLAGS;
    const struct program *program = &test->program;
    if (memcmp(code + program->start, guest_code(test->guest[engine]) + program->start,
               program->end - program->start) != 0)
        parts |= PART_MEMORY;
    if (parts)
        report(test, seed, engine_name[engine], parts, &end, expected, data, engine);
    return !parts;
}

/* False where it differs or does not end: then the program is done with. */
static bool run_once(struct test *test, uint64_t seed)
{
    struct diff_state *in = native_state(test->native);
    for (unsigned i = 0; i < ENGINES; i++)
        memcpy(guest_data(test->guest[i]), test->data, AREA_SIZE);
    memcpy(native_data(test->native), test->data, AREA_SIZE);
    if (!guest_run_program(test->guest[INTERP], in, TURNS_MAX, &test->outcome[INTERP]))
        return false;
    guest_run_program(test->guest[JIT], in, 0, &test->outcome[JIT]);
    test->runs++;
    test->ended += test->outcome[INTERP].vector == VECTOR_GP;
    if (!HOST_RUNS)
        return compare(test, seed, &test->outcome[INTERP], guest_code(test->guest[INTERP]),
                       guest_data(test->guest[INTERP]), JIT);
    const struct diff_outcome *host = native_run(test->native);
    const uint8_t *code = native_code(test->native), *data = native_data(test->native);
    return compare(test, seed, host, code, data, INTERP) &&
           compare(test, seed, host, code, data, JIT);
}

static void run_program(struct test *test, uint64_t seed, bool first)
{
    struct program *program = &test->program;
    struct random random = {seed * 0x9e3779b97f4a7c15ull | 1};
    program_generate(&random, program);
    program_renew_pool(&test->pool, seed, first);
    if (!native_has_mode(test->native, program->mode))
        return;
    const uint8_t *code = program->code + program->start;
    unsigned size = program->end - program->start;
    test->run = (struct diff_run){.mode = program->mode};
    memcpy(native_code(test->native) + program->start, code, size);
    native_prepare_program(test->native, &test->run);
    for (unsigned i = 0; i < ENGINES; i++)
        guest_set_program(test->guest[i], &test->run, program->start, code, size);
    for (unsigned i = 0; i < RUNS; i++) {
        struct diff_state *in = native_state(test->native);
        program_generate_state(&random, program, &test->pool, in, test->data);
        in->rip = AREA_CODE + program->start;
        in->fs_base = program->fs_base;
        in->gs_base = program->gs_base;
        in->has_vectors = true;
        in->rflags |= FLAG_IF;
        if (!run_once(test, seed))
            break;
    }
}

static bool create(struct test *test)
{
    static const struct jit_config at_once = {.without = JIT_PATIENCE};
    test->native = native_create(DIFF_PROGRAMS);
    for (unsigned i = 0; test->native && i < ENGINES; i++)
        test->guest[i] = guest_create(DIFF_PROGRAMS);
    if (!test->guest[INTERP] || !test->guest[JIT] || !guest_translate(test->guest[JIT], &at_once))
        return false;
    memset(native_code(test->native), 0, AREA_CODE_SIZE);
    test->program.code_base = AREA_CODE;
    test->program.data_base = AREA_DATA;
    test->program.fs_base = 0x12345;
    test->program.gs_base = 0x45;
    test->program.stores_pointers = compare_knows_pointers();
    test->program.model = guest_model(test->guest[INTERP]);
    return true;
}

static void destroy(struct test *test)
{
    for (unsigned i = 0; i < ENGINES; i++) {
        if (test->guest[i])
            guest_destroy(test->guest[i]);
    }
    native_destroy(test->native);
}

static bool parse_options(int argc, char **argv, uint64_t *count, uint64_t *seed)
{
    static const struct option known[] = {
        {"count", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    *count = DEFAULT_COUNT;
    *seed = (uint64_t)time(NULL) << 20;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option != 'c' && option != 's')
            return false;
        *(option == 'c' ? count : seed) = strtoull(optarg, NULL, 0);
    }
    return optind == argc && *count;
}

int main(int argc, char **argv)
{
    static struct test test;
    uint64_t count, seed;
    if (!parse_options(argc, argv, &count, &seed)) {
        fprintf(stderr, "usage: differential_blocks [--count N] [--seed S]\n");
        return EXIT_FAILURE;
    }
    printf("seed %" PRIu64 ", %" PRIu64 " programs\n", seed, count);
    bool created = create(&test);
    for (uint64_t i = 0; created && i < count; i++)
        run_program(&test, seed + i, i == 0);
    destroy(&test);
    printf("%" PRIu64 " runs%s, %" PRIu64 " of them to the end, %" PRIu64 " differences\n",
           test.runs, HOST_RUNS ? "" : " without the host", test.ended, test.differences);
    return created && test.ended > test.runs / 4 && !test.differences ? EXIT_SUCCESS : EXIT_FAILURE;
}
