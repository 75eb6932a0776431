/* Every unprivileged integer instruction with random operands, on the host's processor and on
 * Doppel's: registers, all flags, memory and faults must be equal.
 *
 * differential_integer [COUNT [SEED]]: the seed of a run that failed repeats it. */
#include "base/bits.h"
#include "generate.h"
#include "guest.h"
#include "native.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEFAULT_COUNT 100000
#define MAX_REPORTED 2       /* of each operation in each mode */
#define REFRESH_INTERVAL 512 /* runs on the same memory contents */

/* AddressSanitizer (gcc's) maps terabytes, which stray addresses hit on the host: there the guest
 * runs alone, under its watch. */
#ifdef __SANITIZE_ADDRESS__
#define HOST_RUNS false
#else
#define HOST_RUNS true
#endif

struct test {
    struct random random;
    struct native *native;
    struct guest *guest;
    uint8_t image[AREA_SIZE];
    unsigned per_op[DEC_OP_COUNT], reported[DEC_OP_COUNT];
    unsigned differences;
};

/* Which of the decoded instructions can be compared. */
static bool is_wanted(const struct test *test, const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    if (!guest_model(test->guest)->features[info->feature])
        return false;
    switch (insn->op) {
    case DEC_OP_PUSHF:
    case DEC_OP_POPF:
        return true;
    case DEC_OP_RDRAND:
    case DEC_OP_RDSEED:
        return false;
    case DEC_OP_POP: /* segment registers: the test's own would be gone */
        return insn->operand[0].kind != DEC_OPERAND_SEG;
    default:
        return info->op_class == DEC_CLASS_INTEGER;
    }
}

/* Ops with many encodings must not crowd out the others. */
static bool generate_sample(struct test *test, enum dec_mode mode, unsigned quota,
                            struct sample *sample)
{
    struct dec_insn *insn = &sample->insn;
    generate_code(&test->random, mode, sample->code);
    if (dec_decode(sample->code, DEC_MAX_LENGTH, mode, insn) != DEC_OK || !is_wanted(test, insn) ||
        test->per_op[insn->op] >= quota)
        return false;
    if (!generate_state(&test->random, sample, guest_data(test->guest),
                        native_fs_base(test->native)))
        return false;
    memcpy(native_data(test->native), guest_data(test->guest), AREA_SIZE);
    test->per_op[insn->op]++;
    return true;
}

static void print_state(const char *title, const struct diff_outcome *outcome)
{
    static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    printf("  %s: ", title);
    if (outcome->vector != OUTCOME_COMPLETED)
        printf("exception %d error %x address %" PRIx64 " ", outcome->vector, outcome->error,
               outcome->address);
    printf("rip %" PRIx64 " flags %" PRIx64 "\n   ", outcome->state.rip, outcome->state.rflags);
    for (unsigned i = 0; i < 16; i++)
        printf(" %s %" PRIx64, names[i], outcome->state.gpr[i]);
    printf("\n");
}

static void report(struct test *test, const struct sample *sample, const struct diff_run *run,
                   const struct diff_outcome *host, const struct diff_outcome *guest)
{
    static const unsigned bits[] = {16, 32, 64};
    char text[96];
    dec_format(&sample->insn, AREA_CODE, text, sizeof(text));
    printf("%u-bit%s:", bits[run->mode], run->step ? ", step" : "");
    for (unsigned i = 0; i < run->length; i++)
        printf(" %02x", run->code[i]);
    printf("  %s\n", text);
    const struct diff_outcome before = {.vector = OUTCOME_COMPLETED, .state = sample->in};
    print_state("before", &before);
    print_state("host  ", host);
    print_state("guest ", guest);
    const uint8_t *host_data = native_data(test->native), *data = guest_data(test->guest);
    for (unsigned i = 0, shown = 0; i < AREA_SIZE && shown < 16; i++) {
        if (host_data[i] != data[i] && ++shown)
            printf("  memory %" PRIx64 ": was %02x host %02x guest %02x\n", (uint64_t)AREA_DATA + i,
                   test->image[i], host_data[i], data[i]);
    }
}

/* A POPA that faults has loaded some registers on the host, and none in the guest: it starts anew
 * either way. */
static bool same_registers(const struct sample *sample, const struct diff_outcome *host,
                           const struct diff_outcome *guest, enum dec_mode mode)
{
    if (sample->insn.op == DEC_OP_POPA && host->vector != OUTCOME_COMPLETED)
        return true;
    uint64_t mask = mode == DEC_MODE_64 ? ~0ull : UINT32_MAX;
    for (unsigned i = 0; i < (mode == DEC_MODE_64 ? 16 : 8); i++) {
        if ((host->state.gpr[i] ^ guest->state.gpr[i]) & mask)
            return false;
    }
    return true;
}

static bool same_outcome(const struct diff_outcome *host, const struct diff_outcome *guest)
{
    if (host->vector != guest->vector || host->state.rip != guest->state.rip ||
        host->state.rflags != guest->state.rflags)
        return false;
    if (host->vector == VECTOR_PF) {
        /* Of kernel addresses Linux does not tell whether they are mapped. */
        bool kernel = host->address >> 63;
        return host->address == guest->address && (kernel || host->error == guest->error);
    }
    return host->vector == OUTCOME_COMPLETED || host->error == guest->error;
}

static void compare(struct test *test, const struct sample *sample, enum dec_mode mode)
{
    uint16_t attributes = dec_info(sample->insn.op)->attributes;
    struct diff_run run = {.mode = mode, .code = sample->code, .length = sample->insn.length};
    run.step = attributes & DEC_ATTR_BRANCH ||
               (attributes & DEC_ATTR_STRING && random_chance(&test->random, 20));
    struct diff_outcome host, guest;
    memcpy(test->image, guest_data(test->guest), AREA_SIZE);
    guest_run(test->guest, &run, &sample->in, &guest);
    if (!HOST_RUNS)
        return;
    native_run(test->native, &run, &sample->in, &host);
    bool same_memory = !memcmp(native_data(test->native), guest_data(test->guest), AREA_SIZE);
    if (same_registers(sample, &host, &guest, mode) && same_outcome(&host, &guest) && same_memory)
        return;
    test->differences++;
    if (test->reported[sample->insn.op]++ < MAX_REPORTED)
        report(test, sample, &run, &host, &guest);
}

static void refresh_memory(struct test *test)
{
    uint8_t *data = guest_data(test->guest);
    for (unsigned i = 0; i < AREA_SIZE; i += 8)
        store_le(data + i, generate_value(&test->random), 8);
}

static void run_mode(struct test *test, enum dec_mode mode, unsigned count)
{
    memset(test->per_op, 0, sizeof(test->per_op));
    memset(test->reported, 0, sizeof(test->reported));
    struct sample sample;
    for (unsigned done = 0; done < count;) {
        if (done % REFRESH_INTERVAL == 0)
            refresh_memory(test);
        if (!generate_sample(test, mode, count / 60 + 1, &sample))
            continue;
        compare(test, &sample, mode);
        done++;
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"16-bit", "32-bit", "64-bit"};
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : DEFAULT_COUNT;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    static struct test test;
    test.native = native_create();
    test.guest = test.native ? guest_create(native_fs_base(test.native)) : NULL;
    if (!test.guest)
        return EXIT_FAILURE;
    for (int mode = DEC_MODE_64; mode >= DEC_MODE_16; mode--) {
        if (!native_has_mode(test.native, (enum dec_mode)mode)) {
            printf("%s code does not run on this host's kernel: not compared\n", names[mode]);
            continue;
        }
        unsigned runs = mode == DEC_MODE_64 ? count / 2 : count / 4;
        printf("%s: %u runs, seed %" PRIu64 "\n", names[mode], runs, seed);
        fflush(stdout);
        test.random.state = seed * 4 + (unsigned)mode + 1;
        run_mode(&test, (enum dec_mode)mode, runs);
    }
    guest_destroy(test.guest);
    native_destroy(test.native);
    printf("%u differences\n", test.differences);
    return test.differences ? EXIT_FAILURE : EXIT_SUCCESS;
}
