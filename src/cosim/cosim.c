#include "cosim/cosim.h"

#include "base/bits.h"
#include "cosim/compare.h"
#include "cosim/state.h"
#include "cpu/interp.h"
#include "decoder/decoder.h"
#include "mmu/mmu.h"

#include <stdlib.h>

/* Turns between two comparisons of all memory, for stores where there should be none. */
#define SWEEP_TURNS BIT(25)

/* Instructions that one CPU may be behind the other after a turn: two blocks. */
#define BEHIND_MAX 128

void cosim_destroy(struct cosim *cosim)
{
    if (!cosim)
        return;
    if (cosim->b)
        cpu_destroy(cosim->b);
    if (cosim->a)
        cpu_destroy(cosim->a);
    if (cosim->phys)
        phys_destroy(cosim->phys);
    if (cosim->bus)
        bus_destroy(cosim->bus);
    if (cosim->clock)
        clock_destroy(cosim->clock);
    free(cosim);
}

struct cpu *cosim_cpu(struct cosim *cosim)
{
    return cosim->a;
}

uint64_t cosim_turns(const struct cosim *cosim)
{
    return cosim->turns;
}

void cosim_copy(struct cosim *cosim)
{
    replay_start(&cosim->replay);
    cpu_reset(cosim->b);
    state_copy(cosim->b, cosim->a);
    phys_copy(cosim->phys, cosim->a->phys);
    cpu_update_mode(cosim->b);
    mmu_flush_all(cosim->b);
    memset(cosim->stale, 0, sizeof(cosim->stale));
    cosim->next_sweep = cosim->turns + SWEEP_TURNS;
}

/* ---- Pins ---- */

void cosim_request(struct cosim *cosim, enum cpu_request request, bool on)
{
    if (on)
        atomic_fetch_or(&cosim->requests, request);
    else
        atomic_fetch_and(&cosim->requests, ~(uint32_t)request);
}

void cosim_mask_a20(struct cosim *cosim, bool masked)
{
    cosim->a20_masked = masked;
}

void cosim_set_ignne(struct cosim *cosim, bool asserted)
{
    cosim->ignne = asserted;
}

bool cosim_has_work(const struct cosim *cosim)
{
    return cpu_wakes_by(cosim->a, atomic_load(&cosim->requests));
}

void cosim_note_access(struct cosim *cosim, enum bus_space space, uint64_t address, uint64_t value,
                       unsigned size, bool write)
{
    cosim->a->leave = 1;
    replay_note(&cosim->replay,
                (struct event){write ? EVENT_WRITE : EVENT_READ, space, size, address, value});
}

/* The requests that will be taken now. */
static uint32_t requests_due(const struct cosim *cosim, uint32_t requests)
{
    const struct cpu *cpu = cosim->a;
    uint32_t due = 0;
    if (cpu->interrupt_shadow)
        return 0;
    if (cpu->rflags & FLAG_IF || cpu->halted == HALT_MWAIT_MASKED)
        due |= CPU_REQUEST_INTR;
    if (!cpu->nmi_blocked)
        due |= CPU_REQUEST_NMI;
    if (!cpu->smm)
        due |= CPU_REQUEST_SMI | CPU_REQUEST_INIT;
    return due & requests;
}

static void set_pins(struct cosim *cosim, struct cpu *cpu, uint32_t requests)
{
    if (requests)
        atomic_fetch_or(&cpu->requests, requests);
    if (UNLIKELY(cpu->a20_masked != cosim->a20_masked))
        cpu_mask_a20(cpu, cosim->a20_masked);
    cpu_set_ignne(cpu, cosim->ignne);
}

/* Dead flags are in the frame that an exception or interrupt pushes. */
static void take_over_flags(struct cosim *cosim)
{
    struct cpu *b = cosim->b;
    b->rflags = (b->rflags & ~(uint64_t)FLAGS_STATUS) | (cosim->a->rflags & FLAGS_STATUS);
    memset(cosim->stale, 0, sizeof(cosim->stale));
}

static void start_turn(struct cosim *cosim)
{
    struct cpu *a = cosim->a;
    uint32_t requests = atomic_load(&cosim->requests);
    uint32_t due = requests_due(cosim, requests);
    uint64_t now = clock_now(cosim->machine_clock), then = clock_now(cosim->clock);
    if (now > then)
        clock_step(cosim->clock, now - then);
    cosim->event = due != 0;
    if (due) {
        take_over_flags(cosim);
        cosim_request(cosim, due & ~(uint32_t)CPU_REQUEST_INTR, false);
    }
    due |= requests & CPU_REQUEST_INTR; /* STI looks at it */
    set_pins(cosim, a, due);
    set_pins(cosim, cosim->b, due);
    replay_start(&cosim->replay);
    cosim->stores.count = 0;
    cosim->stores.overflown = false;
    cosim->turns++;
    memcpy(cosim->start.gpr, a->gpr, sizeof(a->gpr));
    cosim->start.rip = cosim->line = a->rip;
    cosim->counted = a->stats.instructions;
    cosim->start.rflags = a->rflags;
}

/* ---- Running ---- */

static bool goes_on(enum cpu_exit exit)
{
    return exit == CPU_EXIT_BUDGET || exit == CPU_EXIT_FAULT;
}

/* Runs one of the CPUs by `fn`, perhaps while the other one waits for it. */
static enum cpu_exit run_by(struct cosim *cosim, struct cpu *cpu, enum cpu_exit (*fn)(struct cpu *))
{
    struct replay *replay = &cosim->replay;
    int mode = (int)replay->mode;
    replay->mode = cpu == cosim->a ? REPLAY_RECORD : REPLAY_PLAY;
    enum cpu_exit exit = fn(cpu);
    replay->mode = (unsigned)mode;
    return exit;
}

static void step(struct cosim *cosim, struct cpu *cpu)
{
    enum cpu_exit exit = run_by(cosim, cpu, cpu_step);
    if (exit != CPU_EXIT_BUDGET)
        cosim->exit[cpu == cosim->b] = exit;
}

/* A turn, and the rest of a string instruction that it suspended. */
static void run(struct cosim *cosim, struct cpu *cpu)
{
    enum cpu_exit *exit = &cosim->exit[cpu == cosim->b];
    *exit = run_by(cosim, cpu, cpu_run_turn);
    if (UNLIKELY(cosim->event) && cpu == cosim->a) { /* the handler's first block */
        uint64_t recent[INTERP_RECENT];
        if (interp_recent(cpu, recent))
            cosim->line = recent[0];
    }
    while (*exit == CPU_EXIT_BUDGET && cpu->rflags & FLAG_RF)
        step(cosim, cpu);
    cpu_clear_request(cpu, CPU_REQUEST_INTR);
}

/* The second CPU asks for more than the first one has: it went on where the first one left its
 * block.
 */
static bool catch_up(void *opaque)
{
    struct cosim *cosim = opaque;
    if (!goes_on(cosim->exit[0]) || cosim->a->halted)
        return false;
    cpu_save_fx(cosim->b);
    step(cosim, cosim->a);
    return true;
}

/* How many instructions straight on from the turn's start rip is; 0: it is not there, or the start.
 */
static uint64_t instructions_to(struct cosim *cosim, uint64_t rip)
{
    struct cpu *a = cosim->a;
    uint64_t at = cosim->line;
    for (unsigned i = 0; i < BEHIND_MAX; i++) {
        uint8_t code[DEC_MAX_LENGTH];
        gpa_t gpa;
        struct dec_insn insn;
        gva_t va = at + (a->mode & MODE_FLAT_CS ? 0 : a->seg[SEG_CS].base);
        if (!mmu_debug_translate(a, va, &gpa) || !phys_read(a->phys, gpa, code, sizeof(code)) ||
            dec_decode(code, sizeof(code), mode_code(a->mode), &insn) != DEC_OK)
            return 0;
        if (insn.op != DEC_OP_JCC && dec_info(insn.op)->attributes & DEC_ATTR_BRANCH)
            return 0;
        at += insn.length;
        if (at == rip)
            return i + 1;
    }
    return 0;
}

static bool has_changed(const struct cosim *cosim, const struct cpu *cpu)
{
    return memcmp(cpu->gpr, cosim->start.gpr, sizeof(cpu->gpr)) != 0;
}

/* The translator goes back to the start where a group of accesses is not to be checked at once. A
 * loop's end leads there as well, but has changed registers. */
static bool has_not_begun(struct cosim *cosim)
{
    const struct cpu *a = cosim->a, *b = cosim->b;
    bool untouched = cosim->event || !has_changed(cosim, b);
    bool moved = a->rip != cosim->line || (!cosim->event && has_changed(cosim, a));
    return untouched && b->rip == cosim->line && moved && goes_on(cosim->exit[1]);
}

/* One engine may have left the block before the other: for code that was written, a device, or the
 * end of its own block, even at the start of a loop that the other one has gone through. Lets the
 * one behind catch up. The first CPU's instructions are counted; the second one is where RIP is on
 * the first pass. */
static void align(struct cosim *cosim)
{
    struct cpu *a = cosim->a, *b = cosim->b;
    for (unsigned i = 0; i < BEHIND_MAX && !state_equal(a, b); i++) {
        uint64_t done = a->stats.instructions - cosim->counted;
        uint64_t done_b = instructions_to(cosim, b->rip);
        bool b_behind = done_b && done_b <= done;
        /* The second one, which was ahead; or it is where the first one has met a fault. */
        bool at_fault = cosim->exit[0] == CPU_EXIT_FAULT && cosim->exit[1] != CPU_EXIT_FAULT;
        bool looped = i && done_b == done && !at_fault;
        if (a->rip == b->rip && !looped && (!done_b || done_b == done))
            return;
        b_behind &= !looped;
        struct cpu *behind = b_behind ? b : a;
        if (!goes_on(cosim->exit[b_behind]))
            return;
        step(cosim, behind);
        while (behind->rflags & FLAG_RF && cosim->exit[b_behind] == CPU_EXIT_BUDGET)
            step(cosim, behind);
    }
}

/* ---- Comparing ---- */

static bool differ(struct cosim *cosim, const char *what)
{
    cosim->difference = what;
    return false;
}

/* Whether a page differs in nothing but the image of dead flags in a frame, which is taken over. */
static bool settle_frame(struct cosim *cosim, uint8_t *a, uint8_t *b)
{
    unsigned at = 0, differing = 0;
    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        if (a[i] != b[i] && !differing++)
            at = i;
    }
    at = align_down(at, 2);
    uint16_t difference = (uint16_t)(load_le(a + at, 2) ^ load_le(b + at, 2));
    unsigned explained = ((difference & 0xff) != 0) + (difference >> 8 != 0);
    if (!cosim->event || differing != explained || difference & ~FLAGS_STATUS)
        return false;
    store_le(b + at, load_le(a + at, 2), 2);
    return true;
}

static bool compare_page(struct cosim *cosim, gpa_t page)
{
    const struct phys_region *region = phys_find(cosim->a->phys, page);
    const struct phys_region *other = phys_find(cosim->b->phys, page);
    if (!region || !other)
        return true; /* hidden meanwhile */
    uint8_t *a = region->host + (page - region->base), *b = other->host + (page - other->base);
    if (LIKELY(memcmp(a, b, PAGE_SIZE) == 0) || settle_frame(cosim, a, b))
        return true;
    cosim->differs_at = page;
    while (*a++ == *b++)
        cosim->differs_at++;
    return differ(cosim, "memory");
}

static bool compare_memory(struct cosim *cosim)
{
    const struct store_log *stores = &cosim->stores;
    for (unsigned i = 0; i < stores->count; i++) {
        if (!compare_page(cosim, stores->page[i]))
            return false;
    }
    if (LIKELY(cosim->turns < cosim->next_sweep && !stores->overflown))
        return true;
    cosim->next_sweep = cosim->turns + SWEEP_TURNS;
    if (!phys_differ(cosim->a->phys, cosim->phys, &cosim->differs_at))
        return true;
    return differ(cosim, "memory that the interpreter has not stored to, since the last look at "
                         "all of it");
}

static void note_stale_flags(struct cosim *cosim)
{
    uint64_t differing = cosim->a->rflags ^ cosim->b->rflags;
    for (unsigned i = 0; i < STATUS_FLAGS; i++) {
        struct stale_flag *stale = &cosim->stale[i];
        if (!(differing & status_flags[i]))
            stale->since = 0;
        else if (!stale->since)
            *stale = (struct stale_flag){cosim->turns, cosim->start.rip};
    }
}

static bool compare(struct cosim *cosim)
{
    const struct cpu *a = cosim->a, *b = cosim->b;
    cosim->differs_at = NOWHERE;
    bool equal = state_equal(a, b);
    if (UNLIKELY(!equal)) {
        align(cosim);
        equal = state_equal(a, b);
    }
    if (!replay_agrees(&cosim->replay))
        return differ(cosim, "accesses to devices");
    if (cosim->exit[0] != cosim->exit[1])
        return differ(cosim, "how the block ended");
    if (!equal)
        return differ(cosim, "the CPU's state");
    cosim->event |= cosim->exit[0] == CPU_EXIT_FAULT;
    if (!compare_memory(cosim))
        return false;
    if (cosim->event)
        take_over_flags(cosim);
    else
        note_stale_flags(cosim);
    phys_follow(cosim->phys, a->phys);
    return true;
}

enum cpu_exit cosim_run(struct cosim *cosim)
{
    for (;;) {
        if (atomic_load(&cosim->requests) & CPU_REQUEST_EXIT) {
            cosim_request(cosim, CPU_REQUEST_EXIT, false);
            return CPU_EXIT_REQUEST;
        }
        start_turn(cosim);
        run(cosim, cosim->a);
        run(cosim, cosim->b);
        if (UNLIKELY(has_not_begun(cosim)))
            run(cosim, cosim->b);
        if (UNLIKELY(!compare(cosim)))
            return CPU_EXIT_DIFFERENCE;
        if (!goes_on(cosim->exit[0]))
            return cosim->exit[0];
    }
}

/* ---- Creation ---- */

/* The machine hears of the first CPU's. */
static void ignore_ferr(void *opaque, unsigned input, bool level)
{
    (void)opaque, (void)input, (void)level;
}

static struct cpu *create_cpu(struct cosim *cosim, const struct cpu_config *like, bool second,
                              struct error *error)
{
    struct cpu_config config = *like;
    config.clock = cosim->clock;
    config.intc = (struct intc){second ? &replay_player : &replay_recorder, &cosim->replay};
    if (second) {
        config.phys = cosim->phys;
        config.bus = cosim->bus;
        config.ferr = (struct irq_line){ignore_ferr, NULL, 0};
        config.wake = (struct cpu_wake){0};
    }
    return cpu_create(&config, error);
}

struct cosim *cosim_create(const struct cpu_config *config, const struct jit_config *jit,
                           struct error *error)
{
    struct cosim *cosim = calloc(1, sizeof(*cosim));
    if (!cosim || !(cosim->clock = clock_create_manual()) || !(cosim->bus = bus_create()) ||
        !replay_map(&cosim->replay, cosim->bus)) {
        cosim_destroy(cosim);
        error_set(error, "the host has no memory for a lockstep run");
        return NULL;
    }
    struct jit_config alone = *jit;
    alone.without |= JIT_CHAINING | JIT_PATIENCE;
    cosim->machine_clock = config->clock;
    clock_set_epoch(cosim->clock, clock_epoch(config->clock));
    cosim->replay.intc = config->intc;
    if (!(cosim->phys = phys_clone(config->phys, cosim->bus, error)) ||
        !(cosim->a = create_cpu(cosim, config, false, error)) ||
        !(cosim->b = create_cpu(cosim, config, true, error)) ||
        !jit_attach(cosim->b, &alone, error)) {
        cosim_destroy(cosim);
        return NULL;
    }
    cosim->a->stores = &cosim->stores;
    cosim->replay.cpu = cosim->b;
    cosim->replay.catch_up = catch_up;
    cosim->replay.opaque = cosim;
    return cosim;
}
