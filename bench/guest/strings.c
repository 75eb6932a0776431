/* libc's string functions, which use the widest vectors that the CPU offers. */
#include "bench.h"

#include <string.h>

#define ROOM 4200

/* From short to long; most strings are short. */
static const uint16_t sizes[] = {7, 12, 31, 20, 64, 5, 100, 33, 250, 16, 1000, 48, 4000};
#define STRINGS COUNT_OF(sizes)

/* a[i] and b[i] differ in their last byte, before the one that ends them. */
struct strings {
    char a[STRINGS][ROOM], b[STRINGS][ROOM], c[ROOM];
};

static size_t offset(size_t i)
{
    return i * 13 % 64;
}

static void *strings_prepare(const struct bench_env *env)
{
    struct strings *strings = bench_alloc(sizeof(*strings));
    (void)env;
    for (size_t i = 0; i < STRINGS; i++) {
        char *a = strings->a[i] + offset(i), *b = strings->b[i] + offset(i);
        for (size_t j = 0; j < sizes[i]; j++)
            a[j] = b[j] = (char)('a' + j % 23);
        a[sizes[i] - 1] = 'Z';
        b[sizes[i] - 1] = 'Y';
    }
    return strings;
}

static uint64_t memcmp_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 3000; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            const char *b = strings->b[i] + offset(i);
            OPAQUE(a);
            sum += memcmp(a, b, sizes[i]) > 0;
        }
    return sum;
}

static uint64_t strlen_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 4000; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            OPAQUE(a);
            sum += strlen(a);
        }
    return sum;
}

static uint64_t strchr_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 3000; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            OPAQUE(a);
            sum += (uint64_t)(strchr(a, 'Z') - a);
        }
    return sum;
}

static uint64_t memchr_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 3000; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            OPAQUE(a);
            sum += (uint64_t)((const char *)memchr(a, 'Z', ROOM - 64) - a);
        }
    return sum;
}

static uint64_t strcmp_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 3000; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            const char *b = strings->b[i] + offset(i);
            OPAQUE(a);
            sum += strcmp(a, b) > 0;
        }
    return sum;
}

static uint64_t memcpy_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 3000; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            OPAQUE(a);
            memcpy(strings->c + 64 - offset(i), a, sizes[i]);
            sum += (uint8_t)strings->c[64 - offset(i) + sizes[i] / 2];
        }
    return sum;
}

static uint64_t strstr_round(void *state)
{
    struct strings *strings = state;
    uint64_t sum = 0;
    for (unsigned pass = 0; pass < 600; pass++)
        for (size_t i = 0; i < STRINGS; i++) {
            const char *a = strings->a[i] + offset(i);
            OPAQUE(a);
            sum += strstr(a, "wab") != NULL;
            sum += strrchr(a, 'w') != NULL;
        }
    return sum;
}

static const struct bench benches[] = {
    {"memcmp", NULL, strings_prepare, memcmp_round},
    {"strlen", NULL, strings_prepare, strlen_round},
    {"strchr", NULL, strings_prepare, strchr_round},
    {"memchr", NULL, strings_prepare, memchr_round},
    {"strcmp", NULL, strings_prepare, strcmp_round},
    {"memcpy", NULL, strings_prepare, memcpy_round},
    {"strstr", NULL, strings_prepare, strstr_round},
};
const struct bench_group bench_strings = {"strings", benches, COUNT_OF(benches)};
