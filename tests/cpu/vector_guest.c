#include "vector_guest.h"

#include "bus/bus.h"
#include "cpu/exception.h"
#include "cpu/gates.h"
#include "cpu/xstate.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint64_t random_64(struct vector_guest *guest)
{
    uint64_t z = guest->seed += 0x9e3779b97f4a7c15u; /* SplitMix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void enable_everything(struct cpu *cpu)
{
    cpu->mode = DEC_MODE_64 | DEC_MODE_64 << MODE_STACK_SHIFT | MODE_LONG | MODE_PROTECTED |
                TLB_VIEW_SUPERVISOR << MODE_VIEW_SHIFT;
    cpu->cr0 = CR0_PE | CR0_NE;
    cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->xcr0 = XSTATE_ALL;
    cpu->rflags = FLAGS_FIXED;
    cpu->mxcsr = cpu->fx.mxcsr = MXCSR_DEFAULT;
    cpu->fx.fcw = FCW_DEFAULT;
}

struct vector_guest *vector_guest_create(uint64_t seed)
{
    struct vector_guest *guest = calloc(1, sizeof(*guest));
    struct error error;
    const char *text = getenv("DOPPEL_TEST_SEED");
    guest->seed = seed ^= text ? strtoull(text, NULL, 0) : 0;
    fprintf(stderr, "seed %#lx\n", (unsigned long)seed);
    guest->host = host_runner_create();
    cr_assert_not_null(guest->host);
    guest->host_data = mmap((void *)(uintptr_t)DATA_ADDRESS, DATA_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert_neq(guest->host_data, MAP_FAILED);

    guest->bus = bus_create();
    guest->phys = phys_create(guest->bus);
    cr_assert(phys_add_ram(guest->phys, DATA_ADDRESS, DATA_SIZE, &error), "%s", error.text);
    guest->guest_data = phys_ram_pointer(guest->phys, DATA_ADDRESS, DATA_SIZE);

    struct cpu *cpu = aligned_alloc(_Alignof(struct cpu), sizeof(*cpu));
    memset(cpu, 0, sizeof(*cpu));
    guest->cpu = cpu;
    cpu->phys = guest->phys;
    cpu->bus = guest->bus;
    cr_assert(mmu_init(cpu));
    cpu->stubs = stubs_create(&error);
    cr_assert(cpu->stubs, "%s", error.text);
    cr_assert(cpu_model_init(&guest->model, "host", &error), "%s", error.text);
    cpu->model = &guest->model;
    enable_everything(cpu);
    mmu_select_view(cpu);
    return guest;
}

void enter_32_bit_mode(struct vector_guest *guest, uint32_t limit)
{
    struct cpu *cpu = guest->cpu;
    cpu->mode = DEC_MODE_32 | DEC_MODE_32 << MODE_STACK_SHIFT | MODE_PROTECTED |
                TLB_VIEW_SUPERVISOR << MODE_VIEW_SHIFT;
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = (struct segment){.attributes = SEGATTR_P | SEGATTR_S | SEGATTR_DB | 3,
                                       .limit = limit,
                                       .base = DATA_ADDRESS};
    mmu_select_view(cpu);
}

void vector_guest_destroy(struct vector_guest *guest)
{
    stubs_destroy(guest->cpu->stubs);
    mmu_free(guest->cpu);
    free(guest->cpu);
    phys_destroy(guest->phys);
    bus_destroy(guest->bus);
    munmap(guest->host_data, DATA_SIZE);
    host_runner_destroy(guest->host);
    free(guest);
}

/* Values near all the edges of single and double precision, besides plain bits. */
static uint64_t random_value(struct vector_guest *guest)
{
    static const uint64_t special[] = {
        0,
        0x8000000000000000, /* -0 */
        0x3ff0000000000000, /* 1 */
        0x3f8000003f800000, /* 1, 1 */
        0x0000000000000001, /* denormals */
        0x000fffffffffffff,
        0x0000000100400000,
        0x7ff0000000000000, /* infinity */
        0x7f800000ff800000,
        0x7ff8000000000001, /* QNaN, SNaN */
        0x7ff0000000000001,
        0x7fc000017f800001,
        0x7fefffffffffffff, /* largest */
        0x7f7fffff00800000, /* largest, smallest normal */
        0x0010000000000000,
        0x41dfffffffc00000, /* 2^31 - 1 */
        0x43e0000000000000, /* 2^63 */
        0x4f0000004effffff, /* 2^31 */
        0xffffffffffffffff,
    };
    uint64_t random = random_64(guest);
    switch (random % 4) {
    case 0:
        return special[(random >> 8) % ARRAY_SIZE(special)];
    case 1: /* moderate numbers */
        return (random_64(guest) & 0x801fffff801fffff) | 0x3fe000003f800000;
    case 2:
        return special[(random >> 8) % ARRAY_SIZE(special)] ^ (random_64(guest) & 0xff000000ff);
    default:
        return random_64(guest);
    }
}

static void random_x87(struct vector_guest *guest, struct fx_image *fx)
{
    static const uint16_t exponents[] = {0,      1,      0x3ffe, 0x3fff, 0x4000,
                                         0x403d, 0x403e, 0x7ffe, 0x7fff};
    for (unsigned i = 0; i < 8; i++) {
        uint64_t random = random_64(guest), significand = random_64(guest);
        uint16_t exponent = exponents[random % ARRAY_SIZE(exponents)];
        if (random & 0x100)
            exponent = (uint16_t)(0x3fe0 + (random >> 16) % 64);
        if (random & 0x600)
            significand |= BIT(63);
        if ((random & 0x3000) == 0x3000)
            significand &= BIT(63) | BIT(62);
        memset(fx->st[i], 0, 16);
        store_le(fx->st[i], significand, 8);
        store_le(fx->st[i] + 8, exponent | (random & 0x8000), 2);
    }
    uint64_t random = random_64(guest);
    fx->fcw = (uint16_t)(0x7f | (random & 0x0f00));
    fx->fsw = (uint16_t)(random >> 16 & 0x7f7f);
    fx->ftw = random & BIT(40) ? 0xff : (uint8_t)(random >> 48);
}

void randomise(struct vector_guest *guest, uint64_t pointer, bool x87)
{
    struct host_state *host = host_runner_state(guest->host);
    struct cpu *cpu = guest->cpu;
    memset(host, 0, sizeof(*host));
    host->fx.fcw = FCW_DEFAULT;
    host->fx.mxcsr = MXCSR_DEFAULT;
    if (x87)
        random_x87(guest, &host->fx);
    for (unsigned i = 0; i < 16; i++) {
        host->gpr[i] = random_value(guest);
        for (unsigned j = 0; j < 4; j++)
            host->vec[i].u64[j] = random_value(guest);
    }
    host->gpr[REG_RBX] = host->gpr[REG_RDI] = pointer;
    host->rflags = FLAGS_FIXED | (random_64(guest) & FLAGS_STATUS);
    host->mxcsr = (uint32_t)(MXCSR_DEFAULT | (random_64(guest) & 0xe07f)); /* rounding, FTZ, DAZ */

    memcpy(cpu->vec, host->vec, sizeof(cpu->vec));
    memcpy(cpu->gpr, host->gpr, sizeof(cpu->gpr));
    cpu->fx = host->fx;
    cpu->rflags = host->rflags;
    cpu->mxcsr = host->mxcsr;
}

void randomise_data(struct vector_guest *guest)
{
    for (unsigned i = 0; i < 1024; i += 8)
        store_le(guest->host_data + i, random_value(guest), 8);
    memcpy(guest->guest_data, guest->host_data, DATA_SIZE);
}

int guest_run(struct vector_guest *guest, const uint8_t *bytes, unsigned length,
              struct dec_insn *insn)
{
    struct cpu *cpu = guest->cpu;
    struct interp_insn in = {0};
    if (dec_decode(bytes, length, mode_code(cpu->mode), &in.insn) != DEC_OK)
        return VECTOR_UD;
    *insn = in.insn;
    in.handler = interp_gate(&in.insn, cpu->mode, cpu->model);
    if (!in.handler)
        in.handler = interp_select_vector(&in.insn, cpu->mode);
    if (!in.handler)
        in.handler = interp_select_x87(&in.insn, cpu->mode);
    if (!in.handler)
        in.handler = interp_select_state(&in.insn, cpu->mode);
    cr_assert(in.handler, "no handler for %s", dec_info(insn->op)->name);
    interp_handler *selected = in.handler;
    while (!interp_attach_code(cpu, &in))
        stub_flush(cpu->stubs);
    cr_assert_eq(in.handler, selected, "%s cannot be encoded", dec_info(insn->op)->name);

    cpu->rip = 0x1000;
    cpu->next_rip = cpu->rip + in.insn.length;
    if (setjmp(cpu->fault))
        return cpu->pending.vector;
    in.handler(cpu, &in);
    return -1;
}

static void describe(const uint8_t *bytes, unsigned length)
{
    struct dec_insn insn;
    char text[128] = "(undefined)";
    if (dec_decode(bytes, length, DEC_MODE_64, &insn) == DEC_OK)
        dec_format(&insn, 0x1000, text, sizeof(text));
    fprintf(stderr, "%s [", text);
    for (unsigned i = 0; i < length; i++)
        fprintf(stderr, " %02x", bytes[i]);
    fprintf(stderr, " ]: ");
}

static bool bytes_equal(const void *guest, const void *host, size_t size, const char *what,
                        unsigned index, const uint8_t *bytes, unsigned length)
{
    const uint8_t *g = guest, *h = host;
    size_t i = 0;
    if (!memcmp(g, h, size))
        return true;
    while (g[i] == h[i])
        i++;
    describe(bytes, length);
    fprintf(stderr, "%s %u differs from byte %zu on:\n  guest", what, index, i);
    for (size_t j = i; j < size && j < i + 16; j++)
        fprintf(stderr, " %02x", g[j]);
    fprintf(stderr, "\n  host ");
    for (size_t j = i; j < size && j < i + 16; j++)
        fprintf(stderr, " %02x", h[j]);
    fputc('\n', stderr);
    return false;
}

bool states_equal(struct vector_guest *guest, const uint8_t *bytes, unsigned length, uint64_t flags)
{
    struct host_state *h = host_runner_state(guest->host);
    struct cpu *g = guest->cpu;
    bool equal = true;
#define COMPARE(a, b, what, index)                                                                 \
    equal &= bytes_equal(&(a), &(b), sizeof(a), what, index, bytes, length)
    for (unsigned i = 0; i < 16; i++) {
        COMPARE(g->vec[i], h->vec[i], "vec", i);
        COMPARE(g->gpr[i], h->gpr[i], "gpr", i);
    }
    for (unsigned i = 0; i < 8; i++)
        equal &= bytes_equal(g->fx.st[i], h->fx.st[i], 10, "st", i, bytes, length);
    COMPARE(g->fx.fcw, h->fx.fcw, "fcw", 0);
    COMPARE(g->fx.fsw, h->fx.fsw, "fsw", 0);
    COMPARE(g->fx.ftw, h->fx.ftw, "ftw", 0);
    COMPARE(g->mxcsr, h->mxcsr, "mxcsr", 0);
    uint64_t guest_flags = g->rflags & flags, host_flags = h->rflags & flags;
    COMPARE(guest_flags, host_flags, "rflags", 0);
    equal &= bytes_equal(guest->guest_data, guest->host_data, DATA_SIZE, "data", 0, bytes, length);
    return equal;
}
