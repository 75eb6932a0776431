/* Code that is written while it runs: what JIT compilers, loaders and packers do. */
#include "bench.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096
#define AREA (256 * PAGE)

typedef uint64_t (*function)(uint64_t);

static void *area_prepare(const struct bench_env *env)
{
    (void)env;
    void *area = bench_alloc(AREA);
    if (mprotect(area, AREA, PROT_READ | PROT_WRITE | PROT_EXEC))
        bench_fail("mprotect");
    return area;
}

static function as_function(void *code)
{
    function result;
    memcpy(&result, &code, sizeof(result));
    OPAQUE(result); /* the code behind it has changed */
    return result;
}

/* lea VALUE(%rdi), %rax; ret */
static size_t put_add(uint8_t *code, uint32_t value)
{
    static const uint8_t image[] = {0x48, 0x8d, 0x87, 0, 0, 0, 0, 0xc3};
    memcpy(code, image, sizeof(image));
    memcpy(code + 3, &value, sizeof(value));
    return sizeof(image);
}

/* A function of `steps` times {imul $17, %rdi, %rdi; xor $seed, %edi}; mov %rdi, %rax; ret */
static size_t put_chain(uint8_t *code, unsigned steps, uint32_t seed)
{
    static const uint8_t step[] = {0x48, 0x6b, 0xff, 0x11, 0x81, 0xf7},
                         end[] = {0x48, 0x89, 0xf8, 0xc3};
    uint8_t *at = code;
    for (unsigned i = 0; i < steps; i++) {
        memcpy(at, step, sizeof(step));
        memcpy(at + sizeof(step), &seed, sizeof(seed));
        at += sizeof(step) + sizeof(seed);
        seed += i;
    }
    memcpy(at, end, sizeof(end));
    return (size_t)(at - code) + sizeof(end);
}

/* --- an immediate changes before each call --- */

static uint64_t patch_immediate_round(void *state)
{
    uint8_t *code = state;
    uint64_t value = 1;
    put_add(code, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        memcpy(code + 3, &i, sizeof(i));
        value = bench_mix(as_function(code)(value), i);
    }
    return value;
}

/* --- a call's target changes, as a linker's stubs do --- */

static uint64_t patch_call_round(void *state)
{
    uint8_t *code = state;
    uint64_t value = 1;
    put_add(code + 64, 3);
    put_chain(code + 128, 2, 5);
    code[0] = 0xe9; /* jmp rel32 */
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t target = (i % 2 ? 64 : 128) - 5;
        memcpy(code + 1, &target, sizeof(target));
        value = bench_mix(as_function(code)(value), i);
    }
    return value;
}

/* --- new functions, each called ten times --- */

static uint64_t fresh_code_round(void *state)
{
    uint8_t *area = state;
    uint64_t value = 1;
    size_t at = 0;
    for (uint32_t i = 0; i < 200; i++) {
        function fresh = as_function(area + at);
        at += put_chain(area + at, 8 + i % 16, i);
        for (unsigned calls = 0; calls < 10; calls++)
            value = fresh(value);
    }
    return value;
}

/* --- data in the page of the code that writes it --- */

static uint64_t data_near_code_round(void *state)
{
    static const uint8_t image[] = {
        0x48, 0x8d, 0x35, 0xf9, 0x03, 0x00, 0x00, /*    lea 1024 bytes on, %rsi */
        0xb9, 0x50, 0xc3, 0x00, 0x00,             /*    mov $50000, %ecx */
        0x48, 0x01, 0x3e,                         /* 1: add %rdi, (%rsi) */
        0x48, 0x6b, 0xff, 0x11,                   /*    imul $17, %rdi, %rdi */
        0xff, 0xc9,                               /*    dec %ecx */
        0x75, 0xf5,                               /*    jnz 1b */
        0x48, 0x8b, 0x06,                         /*    mov (%rsi), %rax */
        0xc3,
    };
    uint8_t *code = state;
    memcpy(code, image, sizeof(image));
    memset(code + 1024, 0, 8);
    return as_function(code)(5);
}

/* --- a loop that writes into its own body --- */

static uint64_t patch_itself_round(void *state)
{
    static const uint8_t image[] = {
        0x31, 0xc0,                         /*    xor %eax, %eax */
        0xb9, 0xf4, 0x01, 0x00, 0x00,       /*    mov $500, %ecx */
        0x89, 0x0d, 0x02, 0x00, 0x00, 0x00, /* 1: mov %ecx, the next immediate */
        0x48, 0x05, 0x00, 0x00, 0x00, 0x00, /*    add $imm32, %rax */
        0x48, 0x6b, 0xc0, 0x03,             /*    imul $3, %rax, %rax */
        0xff, 0xc9,                         /*    dec %ecx */
        0x75, 0xec,                         /*    jnz 1b */
        0xc3,
    };
    uint8_t *code = state;
    memcpy(code, image, sizeof(image));
    return as_function(code)(0);
}

/* --- never writable and executable at once --- */

static uint64_t protect_flip_round(void *state)
{
    uint8_t *code = state;
    uint64_t value = 1;
    for (uint32_t i = 0; i < 50; i++) {
        if (mprotect(code, PAGE, PROT_READ | PROT_WRITE))
            bench_fail("mprotect");
        put_chain(code, 16, i);
        if (mprotect(code, PAGE, PROT_READ | PROT_EXEC))
            bench_fail("mprotect");
        for (unsigned calls = 0; calls < 10; calls++)
            value = as_function(code)(value);
    }
    if (mprotect(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
        bench_fail("mprotect");
    return value;
}

static const struct bench benches[] = {
    {"patch_immediate", NULL, area_prepare, patch_immediate_round},
    {"patch_call", NULL, area_prepare, patch_call_round},
    {"fresh_code", NULL, area_prepare, fresh_code_round},
    {"data_near_code", NULL, area_prepare, data_near_code_round},
    {"patch_itself", NULL, area_prepare, patch_itself_round},
    {"protect_flip", NULL, area_prepare, protect_flip_round},
};
const struct bench_group bench_selfmod = {"self-modifying", benches, COUNT_OF(benches)};
