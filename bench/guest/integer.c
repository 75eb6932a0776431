/* Integer work: what compilers make of ordinary programs. */
#include "bench.h"

#include <string.h>

/* --- an interpreter's loop --- */

enum { OP_PUSH, OP_ADD, OP_MUL, OP_XOR, OP_OVER, OP_SWAP, OP_JUMP_UNLESS_ZERO, OP_DEC, OP_END };

static uint64_t interpret(const int8_t *code, uint64_t count)
{
    static const void *const labels[] = {&&push, &&add,  &&multiply,  &&exclusive_or, &&over,
                                         &&swap, &&jump, &&decrement, &&end};
    uint64_t stack[16] = {1, count}, *top = &stack[1], value;
    const int8_t *at = code;
#define NEXT goto *labels[(uint8_t)*at++]
    NEXT;
push:
    *++top = (uint64_t)*at++;
    NEXT;
add:
    value = *top--;
    *top += value;
    NEXT;
multiply:
    value = *top--;
    *top *= value;
    NEXT;
exclusive_or:
    value = *top--;
    *top ^= value;
    NEXT;
over:
    top[1] = top[-1];
    top++;
    NEXT;
swap:
    value = top[0];
    top[0] = top[-1];
    top[-1] = value;
    NEXT;
jump:
    at += *top ? *at : 1;
    NEXT;
decrement:
    --*top;
    NEXT;
end:
    return top[-1];
#undef NEXT
}

static uint64_t interpreter_round(void *state)
{
    /* accumulator, counter: accumulator = (accumulator * 31 + 7) ^ counter, until counter is 0 */
    static const int8_t code[] = {OP_SWAP, OP_PUSH, 31,     OP_MUL,  OP_PUSH, 7,
                                  OP_ADD,  OP_OVER, OP_XOR, OP_SWAP, OP_DEC,  OP_JUMP_UNLESS_ZERO,
                                  -12,     OP_END};
    (void)state;
    return interpret(code, 20000);
}

/* --- recursion --- */

__attribute__((noinline)) static int tak(int x, int y, int z)
{
    if (y >= x)
        return z;
    return tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}

static uint64_t recursion_round(void *state)
{
    (void)state;
    return (uint64_t)(tak(14, 7, 0) * 100 + tak(15, 10, 5));
}

/* --- a hash table --- */

#define SLOTS 16384

struct slot {
    uint64_t key, value;
};

static void *hash_table_prepare(const struct bench_env *env)
{
    (void)env;
    return bench_alloc(SLOTS * sizeof(struct slot));
}

static struct slot *find(struct slot *table, uint64_t key)
{
    size_t at = (key * 0x9e3779b97f4a7c15) >> 50;
    while (table[at].key && table[at].key != key)
        at = (at + 1) % SLOTS;
    return &table[at];
}

static uint64_t hash_table_round(void *state)
{
    struct slot *table = state;
    uint64_t seed = 42, sum = 0;
    memset(table, 0, SLOTS * sizeof(*table));
    for (unsigned i = 0; i < 40000; i++) {
        uint64_t key = bench_random(&seed) % 12000 + 1;
        struct slot *slot = find(table, key);
        slot->key = key;
        slot->value += i;
    }
    for (uint64_t key = 1; key < 12000; key++)
        sum = bench_mix(sum, find(table, key)->value);
    return sum;
}

/* --- quicksort --- */

#define ITEMS 12000

static void *sort_prepare(const struct bench_env *env)
{
    (void)env;
    return bench_alloc(ITEMS * sizeof(uint32_t));
}

static void quicksort(uint32_t *items, long low, long high)
{
    while (low < high) {
        uint32_t pivot = items[(low + high) / 2];
        long left = low, right = high;
        while (left <= right) {
            while (items[left] < pivot)
                left++;
            while (items[right] > pivot)
                right--;
            if (left <= right) {
                uint32_t item = items[left];
                items[left++] = items[right];
                items[right--] = item;
            }
        }
        quicksort(items, low, right);
        low = left;
    }
}

static uint64_t sort_round(void *state)
{
    uint32_t *items = state;
    uint64_t seed = 7, sum = 0;
    for (unsigned i = 0; i < ITEMS; i++)
        items[i] = (uint32_t)bench_random(&seed);
    quicksort(items, 0, ITEMS - 1);
    for (unsigned i = 0; i < ITEMS; i += 97)
        sum = bench_mix(sum, items[i]);
    return sum;
}

/* --- SHA-256 (FIPS 180-4), in plain C; the constants are computed, as they only have to be hard
 * --- */

static uint32_t rotate(uint32_t value, unsigned by)
{
    return value >> by | value << (32 - by);
}

static void sha_block(uint32_t hash[8], const uint32_t block[16], const uint32_t constants[64])
{
    uint32_t w[64], v[8];
    memcpy(w, block, 64);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, hash, sizeof(v));
    for (unsigned i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t1 = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                      ((e & v[5]) ^ (~e & v[6])) + constants[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                      ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        for (unsigned j = 7; j > 0; j--)
            v[j] = v[j - 1];
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        hash[i] += v[i];
}

static uint64_t sha_round(void *state)
{
    uint32_t constants[64], block[16], hash[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t seed = 3;
    (void)state;
    for (unsigned i = 0; i < 64; i++)
        constants[i] = (uint32_t)bench_random(&seed);
    for (uint32_t i = 0; i < 2500; i++) {
        for (uint32_t j = 0; j < 16; j++)
            block[j] = i * j + hash[j % 8];
        sha_block(hash, block, constants);
    }
    return (uint64_t)hash[0] << 32 | hash[7];
}

/* --- CRC-32, a table's entry a byte --- */

#define CRC_BYTES (256 << 10)

struct crc {
    uint32_t table[256];
    uint8_t data[CRC_BYTES];
};

static void *crc_prepare(const struct bench_env *env)
{
    struct crc *crc = bench_alloc(sizeof(*crc));
    uint64_t seed = 5;
    (void)env;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (unsigned bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
        crc->table[i] = value;
    }
    for (size_t i = 0; i < CRC_BYTES; i++)
        crc->data[i] = (uint8_t)bench_random(&seed);
    return crc;
}

static uint64_t crc_round(void *state)
{
    const struct crc *crc = state;
    uint32_t value = ~0u;
    for (size_t i = 0; i < CRC_BYTES; i++)
        value = value >> 8 ^ crc->table[(uint8_t)value ^ crc->data[i]];
    return ~value;
}

/* --- a state machine over text --- */

#define TEXT_BYTES (64 << 10)

static void *state_machine_prepare(const struct bench_env *env)
{
    static const char alphabet[] = "abc xyz 0123456789 \"+-/*= \n .e";
    char *text = bench_alloc(TEXT_BYTES);
    uint64_t seed = 11;
    (void)env;
    for (size_t i = 0; i + 1 < TEXT_BYTES; i++)
        text[i] = alphabet[(bench_random(&seed) >> 32) % (sizeof(alphabet) - 1)];
    return text;
}

static uint64_t state_machine_round(void *state)
{
    enum { BLANK, WORD, NUMBER, FRACTION, STRING, COMMENT } at = BLANK;
    uint64_t counts[6] = {0};
    for (const char *text = state; *text; text++) {
        char c = *text;
        switch (at) {
        case STRING:
            if (c == '"')
                at = BLANK;
            break;
        case COMMENT:
            if (c == '\n')
                at = BLANK;
            break;
        case NUMBER:
            if (c == '.' || c == 'e') {
                at = FRACTION;
                break;
            }
            /* fall through */
        default:
            if (c >= '0' && c <= '9')
                at = at == WORD || at == FRACTION ? at : NUMBER;
            else if (c >= 'a' && c <= 'z')
                at = WORD;
            else if (c == '"')
                at = STRING;
            else if (c == '/' && text[1] == '*')
                at = COMMENT;
            else
                at = BLANK;
        }
        counts[at]++;
    }
    return bench_hash(0, counts, sizeof(counts));
}

/* --- calls through pointers --- */

static uint64_t call_add(uint64_t value)
{
    return value + 0x1234567;
}
static uint64_t call_multiply(uint64_t value)
{
    return value * 0x9e3779b97f4a7c15;
}
static uint64_t call_rotate(uint64_t value)
{
    return value << 7 | value >> 57;
}
static uint64_t call_shift(uint64_t value)
{
    return value ^ value >> 29;
}

typedef uint64_t (*call)(uint64_t);

static void *indirect_prepare(const struct bench_env *env)
{
    static const call calls[] = {call_add, call_multiply, call_rotate, call_shift};
    call *order = bench_alloc(256 * sizeof(call));
    uint64_t seed = 13;
    (void)env;
    for (unsigned i = 0; i < 256; i++)
        order[i] = calls[(bench_random(&seed) >> 40) % COUNT_OF(calls)];
    return order;
}

static uint64_t indirect_round(void *state)
{
    const call *order = state;
    uint64_t value = 1;
    for (unsigned i = 0; i < 1000; i++)
        for (unsigned j = 0; j < 256; j++)
            value = order[j](value);
    return value;
}

/* --- division --- */

static uint64_t division_round(void *state)
{
    uint64_t sum = 0, seed = 17;
    (void)state;
    for (unsigned i = 0; i < 40000; i++) {
        uint64_t number = bench_random(&seed), divisor = (number >> 50) + 3;
        sum += number / divisor + number % (divisor + 2);
        sum += (uint32_t)number / (uint32_t)divisor;
        sum += (uint64_t)((int64_t)number / -(int64_t)divisor);
    }
    return sum;
}

/* --- queens by backtracking over bit masks --- */

static unsigned queens(unsigned all, unsigned columns, unsigned left, unsigned right)
{
    unsigned solutions = 0;
    if (columns == all)
        return 1;
    for (unsigned open = all & ~(columns | left | right); open; open &= open - 1) {
        unsigned place = open & -open;
        solutions += queens(all, columns | place, (left | place) << 1, (right | place) >> 1);
    }
    return solutions;
}

static uint64_t queens_round(void *state)
{
    (void)state;
    return queens((1 << 11) - 1, 0, 0, 0);
}

static const struct bench benches[] = {
    {"interpreter", NULL, NULL, interpreter_round},
    {"recursion", NULL, NULL, recursion_round},
    {"hash_table", NULL, hash_table_prepare, hash_table_round},
    {"sort", NULL, sort_prepare, sort_round},
    {"sha256", NULL, NULL, sha_round},
    {"crc32", NULL, crc_prepare, crc_round},
    {"state_machine", NULL, state_machine_prepare, state_machine_round},
    {"indirect_calls", NULL, indirect_prepare, indirect_round},
    {"division", NULL, NULL, division_round},
    {"queens", NULL, NULL, queens_round},
};
const struct bench_group bench_integer = {"integer", benches, COUNT_OF(benches)};
