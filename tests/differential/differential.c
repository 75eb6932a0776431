/* Every unprivileged instruction form with random operands and states, on the host's processor and
 * on Doppel's: registers, all flags, memory and faults must be equal. See doc/differential.md.
 *
 * differential [--count N] [--seed S] [--jobs N] [--mode 16|32|64|all] [--form NAME]
 *              [--family integer|x87|mmx|sse|avx|state|all]: a seed repeats its run. */
/* With it <sys/wait.h> takes the names REG_RAX and so on. */
#undef _GNU_SOURCE
#define _DEFAULT_SOURCE

#include "base/bits.h"
#include "compare.h"
#include "forms.h"
#include "generate.h"
#include "guest.h"
#include "native.h"
#include "selectors.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_JOBS 64
#define MAX_REPORTED 2 /* of each form */

/* AddressSanitizer (gcc's) maps terabytes, which stray addresses hit on the host: there the guest
 * runs alone, under its watch. */
#ifdef __SANITIZE_ADDRESS__
#define HOST_RUNS false
#define DEFAULT_COUNT 16
#else
#define HOST_RUNS true
#define DEFAULT_COUNT 100
#endif

struct options {
    unsigned count, jobs;
    uint64_t seed;
    int mode, family; /* or -1: all */
    const char *form;
};

/* What a job has done; shared with the first process. */
struct totals {
    uint64_t states, faults, differences;
    unsigned forms, different_forms, skipped, failed;
};

struct test {
    struct random random;
    struct native *native;
    struct guest *guest;
    struct pool pool;
    struct totals *totals;
    unsigned reported; /* of this form */
};

static const char *const mode_names[] = {"16", "32", "64"};
static const char *const family_names[] = {"integer", "x87", "mmx", "sse", "avx", "state"};

static unsigned family_of(const struct form *form)
{
    switch (form->op_class) {
    case DEC_CLASS_INTEGER:
    case DEC_CLASS_SYSTEM:
        return 0;
    default:
        return form->op_class - DEC_CLASS_X87 + 1u;
    }
}

static uint64_t mix(uint64_t seed, uint64_t n)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + n + 1; /* SplitMix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) | 1;
}

static void compare(struct test *test, const struct sample *sample, const struct diff_run *run)
{
    static struct diff_outcome guest;
    struct diff_state *in = native_state(test->native);
    guest_run(test->guest, in, &guest);
    test->totals->states++;
    test->totals->faults += guest.vector != OUTCOME_COMPLETED;
    if (!HOST_RUNS)
        return;
    uint8_t *host_data = native_data(test->native), *guest_memory = guest_data(test->guest);
    const struct diff_outcome *host = native_run(test->native);
    unsigned parts = compare_outcomes(&sample->insn, host, &guest, host_data, guest_memory);
    if (LIKELY(!parts))
        return;
    test->totals->differences++;
    if (test->reported++ < MAX_REPORTED)
        compare_report(parts, &sample->insn, run, in, host, &guest, host_data, guest_memory);
}

/* One encoding, on count states. */
static void run_sample(struct test *test, struct sample *sample, unsigned count)
{
    uint16_t attributes = dec_info(sample->insn.op)->attributes;
    struct diff_run run = {.mode = (enum dec_mode)sample->insn.mode,
                           .layout = sample->layout,
                           .code = sample->code,
                           .length = sample->insn.length};
    run.step = attributes & DEC_ATTR_BRANCH ||
               (attributes & DEC_ATTR_STRING && random_chance(&test->random, 20));
    run.loads_segments = loads_segment(&sample->insn);
    uint8_t *host_data = native_data(test->native), *data = guest_data(test->guest);
    pool_fill_memory(&test->pool, &test->random, data);
    native_prepare(test->native, &run);
    guest_prepare(test->guest, &run, native_code(test->native));
    for (unsigned i = 0; i < count; i++) {
        generate_state(&test->random, &test->pool, sample, native_state(test->native), data);
        memcpy(host_data, data, AREA_SIZE);
        compare(test, sample, &run);
    }
}

static void run_form(struct test *test, const struct form *form, unsigned count)
{
    struct sample sample;
    unsigned batch = count < 512 ? 8 : 32;
    uint64_t before = test->totals->differences;
    test->reported = 0;
    test->totals->forms++;
    for (unsigned done = 0; done < count; done += batch) {
        if (!form_generate(form, &test->random, sample.code, &sample.insn)) {
            printf("no instruction of the form %s could be made\n", dec_info(form->key.op)->name);
            test->totals->failed++;
            return;
        }
        /* RSP on a 16-bit stack cannot be aimed. What XRSTOR does near a limit depends on the
         * processor. */
        bool window = form->key.mode != DEC_MODE_64 && native_has_segments(test->native) &&
                      sample.insn.mem.base != REG_RSP && form->key.op != DEC_OP_XRSTOR;
        sample.layout = window && random_chance(&test->random, 50) ? LAYOUT_WINDOW : LAYOUT_FLAT;
        sample.has_vectors = family_of(form) != 0;
        generate_displacement(&test->random, &sample);
        generate_pointer(&test->random, &sample);
        run_sample(test, &sample, batch);
    }
    test->totals->different_forms += test->totals->differences != before;
}

static bool is_wanted(const struct options *options, const struct form *form)
{
    if (options->family >= 0 && family_of(form) != (unsigned)options->family)
        return false;
    return !options->form || !strcmp(dec_info(form->key.op)->name, options->form);
}

/* Every jobs-th form of a mode, from the job-th on. */
static bool run_mode(struct test *test, const struct options *options, enum dec_mode mode,
                     unsigned job)
{
    struct forms forms;
    if (!forms_find(&forms, mode, guest_model(test->guest)))
        return false;
    bool runs = native_has_mode(test->native, mode);
    for (size_t i = job; i < forms.count; i += options->jobs) {
        const struct form *form = &forms.form[i];
        if (!is_wanted(options, form))
            continue;
        if (!runs) {
            test->totals->skipped++;
            continue;
        }
        /* What a form meets depends on the seed and itself alone. */
        test->random.state = mix(options->seed, i * 4 + mode);
        pool_fill(&test->pool, &test->random);
        run_form(test, form, options->count);
    }
    forms_free(&forms);
    return true;
}

static bool run_job(const struct options *options, unsigned job, struct totals *totals)
{
    static struct test test;
    test.totals = totals;
    test.native = native_create(DIFF_INSNS);
    test.guest = test.native ? guest_create(DIFF_INSNS) : NULL;
    if (!test.guest)
        return false;
    bool complete = true;
    for (int mode = DEC_MODE_64; mode >= DEC_MODE_16; mode--) {
        if (options->mode >= 0 && options->mode != mode)
            continue;
        if (!native_has_mode(test.native, (enum dec_mode)mode) && job == 0)
            printf("%s-bit code does not run on this host's kernel: skipped\n", mode_names[mode]);
        complete &= run_mode(&test, options, (enum dec_mode)mode, job);
    }
    guest_destroy(test.guest);
    native_destroy(test.native);
    return complete;
}

static bool run_jobs(const struct options *options, struct totals *totals)
{
    if (options->jobs == 1)
        return run_job(options, 0, totals);
    bool complete = true;
    fflush(stdout);
    for (unsigned job = 0; job < options->jobs; job++) {
        pid_t pid = fork();
        if (pid == 0)
            exit(run_job(options, job, &totals[job]) ? EXIT_SUCCESS : EXIT_FAILURE);
        complete &= pid > 0;
    }
    for (int status; wait(&status) > 0;)
        complete &= WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    return complete;
}

static bool report_totals(const struct options *options, const struct totals *totals)
{
    struct totals sum = {0};
    for (unsigned job = 0; job < options->jobs; job++) {
        sum.states += totals[job].states;
        sum.faults += totals[job].faults;
        sum.differences += totals[job].differences;
        sum.forms += totals[job].forms;
        sum.different_forms += totals[job].different_forms;
        sum.skipped += totals[job].skipped;
        sum.failed += totals[job].failed;
    }
    printf("%u forms, %" PRIu64 " states (%" PRIu64 " of them fault)%s, %u forms skipped\n",
           sum.forms, sum.states, sum.faults, HOST_RUNS ? "" : " in the guest alone", sum.skipped);
    printf("%" PRIu64 " differences in %u forms, %u forms failed\n", sum.differences,
           sum.different_forms, sum.failed);
    return sum.states && !sum.differences && !sum.failed;
}

static int find_name(const char *name, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!strcmp(name, names[i]))
            return (int)i;
    }
    return -1;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"count", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},
        {"mode", required_argument, NULL, 'm'},
        {"form", required_argument, NULL, 'f'},
        {"family", required_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    *options = (struct options){
        .count = DEFAULT_COUNT, .jobs = 1, .seed = (uint64_t)time(NULL), .mode = -1, .family = -1};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        bool all = optarg && !strcmp(optarg, "all");
        switch (option) {
        case 'c':
            options->count = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 's':
            options->seed = strtoull(optarg, NULL, 0);
            break;
        case 'j':
            options->jobs = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'm':
            options->mode = find_name(optarg, mode_names, ARRAY_SIZE(mode_names));
            if (options->mode < 0 && !all)
                return false;
            break;
        case 'f':
            options->form = optarg;
            break;
        case 'a':
            options->family = find_name(optarg, family_names, ARRAY_SIZE(family_names));
            if (options->family < 0 && !all)
                return false;
            break;
        default:
            return false;
        }
    }
    return optind == argc && options->count && options->jobs && options->jobs <= MAX_JOBS;
}

int main(int argc, char **argv)
{
    struct options options;
    if (!parse_options(argc, argv, &options)) {
        fprintf(stderr,
                "usage: differential [--count N] [--seed S] [--jobs 1-%u] [--form NAME]\n"
                "  [--mode 16|32|64|all] [--family integer|x87|mmx|sse|avx|state|all]\n",
                MAX_JOBS);
        return EXIT_FAILURE;
    }
    struct totals *totals = mmap(NULL, MAX_JOBS * sizeof(*totals), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (totals == MAP_FAILED) {
        perror("differential");
        return EXIT_FAILURE;
    }
    printf("seed %" PRIu64 ", %u states a form\n", options.seed, options.count);
    bool complete = run_jobs(&options, totals);
    bool equal = report_totals(&options, totals);
    if (!complete)
        printf("the run is not complete\n");
    return equal && complete ? EXIT_SUCCESS : EXIT_FAILURE;
}
