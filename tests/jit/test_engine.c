/* The translator where random code does not reach: code that changes, loops that are interrupted,
 * a full cache, options. */
#include "guest.h"

#include "cpu/blocks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

static const struct jit_config defaults = {.without = JIT_PATIENCE};

static enum cpu_exit run_at(struct guest *guest, unsigned offset)
{
    guest_start(guest, GUEST_CODE + offset);
    return cpu_run(guest->cpu);
}

Test(jit_engine, code_written_by_others_runs)
{
    struct guest guest;
    guest_create(&guest, &defaults);
    for (uint32_t value = 1; value < 50; value++) {
        uint8_t code[] = {0xb8, (uint8_t)value, 0, 0, 0, 0xeb, 0x00, 0x01, 0xc0, 0xf4};
        guest_set_code(&guest, 0x100, code, sizeof(code));
        cr_assert_eq(run_at(&guest, 0x100), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RAX], 2 * value);
    }
    guest_destroy(&guest);
}

/* mov byte [rip + 1], 7 over the next instruction's immediate. */
Test(jit_engine, block_that_patches_itself)
{
    static const uint8_t code[] = {0xc6, 0x05, 0x01, 0, 0, 0, 7, 0xb8, 1, 0, 0, 0, 0xf4};
    struct guest guest;
    guest_create(&guest, &defaults);
    for (unsigned i = 0; i < 3; i++) {
        guest_set_code(&guest, 0, code, sizeof(code));
        cr_assert_eq(run_at(&guest, 0), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RAX], 7);
    }
    guest_destroy(&guest);
}

/* A loop that counts in its own immediate: inc dword [rip + 1]; mov eax, 0; cmp eax, 100; jb. */
Test(jit_engine, loop_that_patches_itself)
{
    static const uint8_t code[] = {0xff, 0x05, 0x01, 0,    0,   0,    0xb8, 0,   0,
                                   0,    0,    0x83, 0xf8, 100, 0x72, 0xf0, 0xf4};
    struct guest guest;
    guest_create(&guest, &defaults);
    guest_set_code(&guest, 0x80, code, sizeof(code));
    cr_assert_eq(run_at(&guest, 0x80), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->gpr[REG_RAX], 100);
    guest_destroy(&guest);
}

/* Code that changes before every call is interpreted; once it stays the same it is translated.
 * mov eax, VALUE; lea ecx, [rax + rax]; hlt */
Test(jit_engine, code_rewritten_time_and_again)
{
    struct guest guest;
    guest_create(&guest, &defaults);
    for (uint32_t value = 1; value < 1000; value++) {
        uint8_t code[] = {0xb8, (uint8_t)value, (uint8_t)(value >> 8), 0, 0, 0x8d, 0x0c, 0x00,
                          0xf4};
        guest_set_code(&guest, 0x30, code, sizeof(code));
        cr_assert_eq(run_at(&guest, 0x30), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RCX], 2 * value);
    }
    uint64_t blocks = jit_stats(guest.cpu)->blocks;
    cr_expect_leq(blocks, 5);
    for (unsigned i = 0; i < 50; i++)
        cr_assert_eq(run_at(&guest, 0x30), CPU_EXIT_HALT);
    cr_expect_eq(jit_stats(guest.cpu)->blocks, blocks + 1);
    guest_destroy(&guest);
}

/* mov ecx, 200; 1: lock inc dword [rip + 4]; dec ecx; jnz 1b; hlt; jmp $: the datum is behind that.
 */
Test(jit_engine, data_right_behind_code)
{
    static const uint8_t code[] = {0xb9, 200,  0,    0,    0,    0xf0, 0xff, 0x05, 0x07, 0, 0, 0,
                                   0xff, 0xc9, 0x75, 0xf5, 0xf4, 0xeb, 0xfe, 0,    0,    0, 0};
    struct guest guest;
    guest_create(&guest, &defaults);
    guest_set_code(&guest, 0x40, code, sizeof(code));
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(run_at(&guest, 0x40), CPU_EXIT_HALT);
        uint32_t datum;
        memcpy(&datum, guest_code(&guest) + 0x40 + sizeof(code) - 4, 4);
        cr_assert_eq(datum, 200 * i);
    }
    cr_expect_eq(guest.cpu->stats.code_writes, 0);
    guest_destroy(&guest);
}

/* That flags are dead at a jump's target is known from the target's bytes: when they change, the
 * jump must save them. mov eax, 0; cmp eax, ecx; jmp +0; cmp eax, eax or nop; setb dl; hlt */
Test(jit_engine, flags_come_alive)
{
    static const uint8_t code[] = {0xb8, 0,    0,    0,    0,    0x39, 0xc8, 0xeb,
                                   0x00, 0x39, 0xc0, 0x0f, 0x92, 0xc2, 0xf4};
    struct guest guest;
    guest_create(&guest, &defaults);
    guest_set_code(&guest, 0x20, code, sizeof(code));
    guest.cpu->gpr[REG_RCX] = 1;
    cr_assert_eq(run_at(&guest, 0x20), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->gpr[REG_RDX] & 0xff, 0);
    guest_set_code(&guest, 0x29, "\x90\x90", 2);
    cr_assert_eq(run_at(&guest, 0x20), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->gpr[REG_RDX] & 0xff, 1);
    guest_destroy(&guest);
}

static void *ask_to_leave(void *opaque)
{
    struct cpu *cpu = opaque;
    usleep(10000);
    cpu_request(cpu, CPU_REQUEST_EXIT);
    return NULL;
}

static void expect_interruptible(const uint8_t *code, size_t size, unsigned offset)
{
    struct guest guest;
    pthread_t thread;
    guest_create(&guest, &defaults);
    guest_set_code(&guest, offset, code, size);
    guest.cpu->gpr[REG_RAX] = GUEST_CODE + offset;
    cr_assert_eq(pthread_create(&thread, NULL, ask_to_leave, guest.cpu), 0);
    cr_assert_eq(run_at(&guest, offset), CPU_EXIT_REQUEST);
    pthread_join(thread, NULL);
    guest_destroy(&guest);
}

Test(jit_engine, loops_are_interrupted)
{
    expect_interruptible((const uint8_t[]){0xeb, 0xfe}, 2, 0);                   /* jmp $ */
    expect_interruptible((const uint8_t[]){0xff, 0xe0}, 2, 0);                   /* jmp rax */
    expect_interruptible((const uint8_t[]){0x90, 0xeb, 0x00, 0xeb, 0xfb}, 5, 9); /* two blocks */
    expect_interruptible((const uint8_t[]){0x90, 0xeb, 0xfd}, 3, PAGE_SIZE - 2); /* two pages */
    expect_interruptible((const uint8_t[]){0xf9, 0x72, 0xfd}, 3, 7);             /* stc; jc */
}

/* More code than the smallest cache holds: an INC at each seventh byte, from each of which a block
 * begins, all of them run twice. What is old goes, and comes back. */
Test(jit_engine, full_cache)
{
    static const uint8_t insn[] = {0xff, 0x04, 0x25, 0x00, 0xf0, 0x7f, 0x00}; /* inc [GUEST_DATA] */
    const struct jit_config config = {.code_size = JIT_CODE_MIN,
                                      .without = JIT_GROUPS | JIT_PATIENCE};
    struct guest guest;
    guest_create(&guest, &config);
    uint8_t code[GUEST_CODE_SIZE];
    memset(code, 0xf4, sizeof(code));
    const unsigned count = (sizeof(code) - 1) / sizeof(insn);
    for (unsigned i = 0; i < count; i++)
        memcpy(code + i * sizeof(insn), insn, sizeof(insn));
    guest_set_code(&guest, 0, code, sizeof(code));
    uint32_t expected = 0, counted;
    for (unsigned i = 0; i < 2 * BLOCK_MAX_INSNS; i++) {
        unsigned first = i % BLOCK_MAX_INSNS;
        cr_assert_eq(run_at(&guest, first * sizeof(insn)), CPU_EXIT_HALT);
        expected += count - first;
        memcpy(&counted, guest_data(&guest), 4);
        cr_assert_eq(counted, expected);
    }
    cr_expect_gt(guest.cpu->stats.generations, 2 * BLOCK_GENERATIONS);
    cr_expect_leq(jit_stats(guest.cpu)->flushes, 1, "the one at the start");
    guest_destroy(&guest);
}

/* A caller that goes on calling while the code that it calls goes through the whole cache: links
 * and jump entries into what went must not be followed. */
Test(jit_engine, old_code_calls_new_code)
{
    /* 1: call rdx; add rdx, 8; dec ecx; jnz 1b; hlt. Callees: 63 ADDs and a RET, from each ADD. */
    static const uint8_t caller[] = {0xff, 0xd2, 0x48, 0x83, 0xc2, 8, 0xff, 0xc9, 0x75, 0xf6, 0xf4};
    static const uint8_t insn[] = {0x48, 0x81, 0x04, 0x24, 0, 0, 0, 0}; /* add qword [rsp], 0 */
    const struct jit_config config = {.code_size = JIT_CODE_MIN, .without = JIT_PATIENCE};
    struct guest guest;
    guest_create(&guest, &config);
    uint8_t code[GUEST_CODE_SIZE - PAGE_SIZE];
    const unsigned count = sizeof(code) / sizeof(insn) - 1;
    for (unsigned i = 0; i < count; i++)
        memcpy(code + i * sizeof(insn), insn, sizeof(insn));
    for (unsigned i = 63; i < count; i += 64)
        code[i * sizeof(insn)] = 0xc3;
    guest_set_code(&guest, 0, caller, sizeof(caller));
    guest_set_code(&guest, PAGE_SIZE, code, sizeof(code));
    for (unsigned round = 0; round < 20; round++) {
        guest.cpu->gpr[REG_RDX] = GUEST_CODE + PAGE_SIZE;
        guest.cpu->gpr[REG_RCX] = count - 64;
        guest.cpu->gpr[REG_RSP] = GUEST_DATA + 1024;
        cr_assert_eq(run_at(&guest, 0), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RCX], 0);
        cr_assert_eq(guest.cpu->gpr[REG_RSP], GUEST_DATA + 1024);
    }
    cr_expect_gt(guest.cpu->stats.generations, BLOCK_GENERATIONS);
    guest_destroy(&guest);
}

/* RET to an address that is not canonical faults at the RET, with RSP as it was. */
Test(jit_engine, non_canonical_return)
{
    struct guest guest;
    guest_create(&guest, &defaults);
    guest_set_code(&guest, 0, "\xc3", 1);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(guest_data(&guest), "\0\0\0\0\0\0\x12\x34", 8);
        guest.cpu->gpr[REG_RSP] = GUEST_DATA;
        cr_assert_eq(run_at(&guest, 0), CPU_EXIT_SHUTDOWN);
        cr_expect_eq(guest.cpu->rip, GUEST_CODE);
        cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_DATA);
    }
    guest_destroy(&guest);
}

/* What runs once is not worth a translation. */
Test(jit_engine, first_run_is_interpreted)
{
    static const uint8_t code[] = {0xff, 0xc0, 0xf4}; /* inc eax; hlt */
    static const struct jit_config patient = {0};
    struct guest guest;
    guest_create(&guest, &patient);
    guest_set_code(&guest, 0, code, sizeof(code));
    for (unsigned runs = 1; runs <= 3; runs++) {
        cr_assert_eq(run_at(&guest, 0), CPU_EXIT_HALT);
        cr_expect_eq(guest.cpu->gpr[REG_RAX], runs);
        cr_expect_eq(jit_stats(guest.cpu)->blocks, runs > 1);
    }
    guest_destroy(&guest);
}

Test(jit_engine, feature_names)
{
    uint32_t features;
    const char *bad;
    cr_assert(jit_parse_features("links,lookup", &features, &bad));
    cr_expect_eq(features, JIT_LINKS | JIT_LOOKUP);
    cr_assert_not(jit_parse_features("native,nothing", &features, &bad));
    cr_expect_str_eq(bad, "nothing");
}
