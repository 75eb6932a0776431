#include "devices/irq/lapic.h"

#include "devices/irq/lapic_internal.h"

#include <stdlib.h>
#include <string.h>

static void vector_set(uint32_t set[8], uint8_t vector, bool value)
{
    if (value)
        set[vector / 32] |= 1u << vector % 32;
    else
        set[vector / 32] &= ~(1u << vector % 32);
}

static bool vector_get(const uint32_t set[8], uint8_t vector)
{
    return set[vector / 32] >> vector % 32 & 1;
}

/* The highest vector of the set, or -1. */
static int vector_highest(const uint32_t set[8])
{
    for (int word = 7; word >= 0; word--) {
        if (set[word])
            return word * 32 + 31 - __builtin_clz(set[word]);
    }
    return -1;
}

bool lapic_is_enabled(const struct lapic *lapic)
{
    return lapic->state.base & APIC_BASE_EN && lapic->state.svr & SVR_ENABLE;
}

/* SDM vol. 3, 10.8.3.1. */
uint8_t lapic_priority(const struct lapic *lapic)
{
    int in_service = vector_highest(lapic->state.isr);
    uint8_t tpr = lapic->state.tpr;
    if (in_service < 0 || tpr >> 4 >= in_service >> 4)
        return tpr;
    return in_service & 0xf0;
}

/* The vector to deliver now, or -1. */
static int pending_vector(const struct lapic *lapic)
{
    int vector = vector_highest(lapic->state.irr);
    if (vector < 0 || !lapic_is_enabled(lapic) || vector >> 4 <= lapic_priority(lapic) >> 4)
        return -1;
    return vector;
}

static enum apic_delivery lvt_delivery(uint32_t lvt)
{
    return (enum apic_delivery)bits_get(lvt, 8, 3);
}

/* Whether the 8259 (or what else is at a pin in ExtINT mode) asks for attention. With the APIC
 * disabled LINT0 is the processor's INTR pin. */
static bool extint_pending(const struct lapic *lapic)
{
    const struct lapic_state *state = &lapic->state;
    if (!(state->base & APIC_BASE_EN))
        return state->lint[0];
    for (unsigned i = 0; i < 2; i++) {
        uint32_t lvt = state->lvt[LVT_LINT0 + i];
        if (state->lint[i] && !(lvt & LVT_MASKED) && lvt_delivery(lvt) == APIC_EXTINT)
            return true;
    }
    return state->extint;
}

void lapic_update(struct lapic *lapic)
{
    bool intr = pending_vector(lapic) >= 0 || extint_pending(lapic);
    if (intr == lapic->state.intr)
        return;
    lapic->state.intr = intr;
    irq_set(&lapic->config.intr, intr);
}

static bool accept_fixed(struct lapic *lapic, uint8_t vector, bool level)
{
    if (!lapic_is_enabled(lapic))
        return false;
    if (vector < 16) {
        lapic_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
        return false;
    }
    vector_set(lapic->state.irr, vector, true);
    vector_set(lapic->state.tmr, vector, level);
    lapic_update(lapic);
    return true;
}

void lapic_error(struct lapic *lapic, uint32_t esr_bit)
{
    /* Found already: also what ends the error of an error vector that is illegal itself. */
    if (lapic->state.esr_found & esr_bit)
        return;
    lapic->state.esr_found |= esr_bit;
    lapic_deliver_local(lapic, LVT_ERROR);
}

void lapic_deliver_local(struct lapic *lapic, enum lvt entry)
{
    uint32_t lvt = lapic->state.lvt[entry];
    if (!(lvt & LVT_MASKED))
        accept_fixed(lapic, lvt & 0xff, false);
}

bool lapic_is_destination(const struct lapic *lapic, const struct apic_message *message)
{
    const struct lapic_state *state = &lapic->state;
    uint32_t destination = message->destination;

    if (!(state->base & APIC_BASE_EN))
        return false;
    if (destination == APIC_BROADCAST)
        return true;
    if (!message->logical)
        return destination == lapic->config.id;
    if (lapic_in_x2apic(lapic)) {
        uint32_t ldr = lapic_x2apic_ldr(lapic);
        return destination >> 16 == ldr >> 16 && destination & ldr & 0xffff;
    }
    uint32_t ldr = state->ldr >> 24;
    if (state->dfr >> 28 == 0xf) /* the flat model; else the cluster model */
        return destination & ldr & 0xff;
    return (bits_get(destination, 4, 4) == 0xf || bits_get(destination, 4, 4) == ldr >> 4) &&
           destination & ldr & 0xf;
}

bool lapic_accept(struct lapic *lapic, const struct apic_message *message)
{
    switch (message->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST_PRIORITY:
        return accept_fixed(lapic, message->vector, message->level);
    case APIC_SMI:
        irq_pulse(&lapic->config.smi);
        return true;
    case APIC_NMI:
        irq_pulse(&lapic->config.nmi);
        return true;
    case APIC_INIT:
        irq_pulse(&lapic->config.init);
        return true;
    case APIC_STARTUP:
        if (lapic->config.startup)
            lapic->config.startup(lapic->config.cpu, message->vector);
        return true;
    case APIC_EXTINT:
        lapic->state.extint = true;
        lapic_update(lapic);
        return true;
    }
    return false; /* a reserved delivery mode */
}

/* SDM vol. 3, 10.6.1. */
void lapic_send_ipi(struct lapic *lapic)
{
    enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };
    uint64_t icr = lapic->state.icr;
    struct apic_message message = {
        .destination = (uint32_t)(icr >> 32),
        .logical = bits_get(icr, 11, 1),
        .vector = icr & 0xff,
        .delivery = (enum apic_delivery)bits_get(icr, 8, 3),
    };
    bool fixed = message.delivery == APIC_FIXED || message.delivery == APIC_LOWEST_PRIORITY;

    if (!lapic_in_x2apic(lapic)) {
        message.destination >>= 24;
        if (message.destination == 0xff && !message.logical)
            message.destination = APIC_BROADCAST;
    }
    if (message.delivery == APIC_INIT && bits_get(icr, 14, 2) == 2)
        return; /* INIT level de-assert: nothing on current processors */
    if (fixed && message.vector < 16) {
        lapic_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
        return;
    }
    switch (bits_get(icr, 18, 2)) {
    case SHORTHAND_NONE:
        apic_bus_send(lapic->config.apic_bus, &message);
        break;
    case SHORTHAND_SELF:
        if (fixed)
            lapic_accept(lapic, &message);
        break;
    case SHORTHAND_ALL:
        if (fixed)
            apic_bus_send_all(lapic->config.apic_bus, &message, NULL);
        break;
    case SHORTHAND_OTHERS:
        apic_bus_send_all(lapic->config.apic_bus, &message, lapic);
        break;
    }
}

void lapic_eoi(struct lapic *lapic)
{
    struct lapic_state *state = &lapic->state;
    int vector = vector_highest(state->isr);
    if (vector < 0)
        return;
    vector_set(state->isr, (uint8_t)vector, false);
    if (vector_get(state->tmr, (uint8_t)vector)) {
        if (!(state->svr & SVR_NO_EOI_BROADCAST))
            apic_bus_eoi(lapic->config.apic_bus, (uint8_t)vector);
        uint32_t *lint0 = &state->lvt[LVT_LINT0];
        if (*lint0 & LVT_REMOTE_IRR && (*lint0 & 0xff) == (uint32_t)vector) {
            *lint0 &= ~LVT_REMOTE_IRR;
            lapic_sample_lint(lapic, 0);
        }
    }
    lapic_update(lapic);
}

/* A level-triggered interrupt at LINT0; LINT1 has only edges (SDM vol. 3, 10.5.1). */
void lapic_sample_lint(struct lapic *lapic, unsigned input)
{
    uint32_t *lvt = &lapic->state.lvt[LVT_LINT0 + input];
    if (input == 0 && lapic->state.lint[0] && lvt_delivery(*lvt) == APIC_FIXED &&
        (*lvt & (LVT_MASKED | LVT_LEVEL | LVT_REMOTE_IRR)) == LVT_LEVEL &&
        accept_fixed(lapic, *lvt & 0xff, true))
        *lvt |= LVT_REMOTE_IRR;
    lapic_update(lapic);
}

void lapic_set_lint(void *opaque, unsigned input, bool level)
{
    struct lapic *lapic = opaque;
    uint32_t lvt = lapic->state.lvt[LVT_LINT0 + input];
    bool rises = level && !lapic->state.lint[input];

    lapic->state.lint[input] = level;
    if (rises && !(lapic->state.base & APIC_BASE_EN)) {
        if (input == 1) /* the processor's NMI pin */
            irq_pulse(&lapic->config.nmi);
    } else if (rises && !(lvt & LVT_MASKED) && lvt_delivery(lvt) != APIC_EXTINT) {
        struct apic_message message = {.vector = lvt & 0xff, .delivery = lvt_delivery(lvt)};
        if (message.delivery != APIC_FIXED || input == 1 || !(lvt & LVT_LEVEL))
            lapic_accept(lapic, &message);
    }
    lapic_sample_lint(lapic, input);
}

static int intc_acknowledge(void *opaque)
{
    struct lapic *lapic = opaque;
    struct lapic_state *state = &lapic->state;

    bus_lock(lapic->config.bus);
    int vector = pending_vector(lapic);
    if (vector >= 0) {
        vector_set(state->irr, (uint8_t)vector, false);
        vector_set(state->isr, (uint8_t)vector, true);
    } else if (extint_pending(lapic)) {
        state->extint = false;
        if (lapic->config.extint)
            vector = lapic->config.extint(lapic->config.pic);
    } else if (lapic_is_enabled(lapic) && vector_highest(state->irr) >= 0) {
        vector = state->svr & 0xff; /* the priority rose meanwhile: SDM vol. 3, 10.9 */
    }
    lapic_update(lapic);
    bus_unlock(lapic->config.bus);
    return vector;
}

static uint8_t intc_read_cr8(void *opaque)
{
    struct lapic *lapic = opaque;
    bus_lock(lapic->config.bus);
    uint8_t class = lapic->state.tpr >> 4;
    bus_unlock(lapic->config.bus);
    return class;
}

static void intc_write_cr8(void *opaque, uint8_t value)
{
    struct lapic *lapic = opaque;
    bus_lock(lapic->config.bus);
    lapic->state.tpr = (uint8_t)(value << 4);
    lapic_update(lapic);
    bus_unlock(lapic->config.bus);
}

static void intc_tsc_moved(void *opaque)
{
    struct lapic *lapic = opaque;
    bus_lock(lapic->config.bus);
    lapic_timer_rearm_deadline(lapic);
    bus_unlock(lapic->config.bus);
}

static void intc_reset(void *opaque)
{
    struct lapic *lapic = opaque;
    bus_lock(lapic->config.bus);
    lapic_init_state(lapic);
    bus_unlock(lapic->config.bus);
}

static bool intc_read_msr(void *opaque, uint32_t index, uint64_t *value)
{
    struct lapic *lapic = opaque;
    bus_lock(lapic->config.bus);
    bool known = lapic_read_msr(lapic, index, value);
    bus_unlock(lapic->config.bus);
    return known;
}

static bool intc_write_msr(void *opaque, uint32_t index, uint64_t value)
{
    struct lapic *lapic = opaque;
    bus_lock(lapic->config.bus);
    bool valid = lapic_write_msr(lapic, index, value);
    bus_unlock(lapic->config.bus);
    return valid;
}

const struct intc_ops lapic_intc_ops = {
    .acknowledge = intc_acknowledge,
    .read_cr8 = intc_read_cr8,
    .write_cr8 = intc_write_cr8,
    .read_msr = intc_read_msr,
    .write_msr = intc_write_msr,
    .tsc_moved = intc_tsc_moved,
    .reset = intc_reset,
};

/* SDM vol. 3, 10.4.7. The pins keep their levels. */
void lapic_init_state(struct lapic *lapic)
{
    struct lapic_state old = lapic->state;

    clock_cancel(lapic->config.clock, &lapic->timer);
    lapic->state = (struct lapic_state){
        .base = old.base,
        .dfr = UINT32_MAX,
        .svr = 0xff,
        .lint = {old.lint[0], old.lint[1]},
        .intr = old.intr,
    };
    for (unsigned i = 0; i < LVT_COUNT; i++)
        lapic->state.lvt[i] = LVT_MASKED;
    lapic_update(lapic);
}

static void power_up(struct lapic *lapic)
{
    lapic->state.base = LAPIC_BASE | APIC_BASE_EN | (lapic->config.bootstrap ? APIC_BASE_BSP : 0);
    lapic_init_state(lapic);
}

void lapic_reset(struct lapic *lapic)
{
    power_up(lapic);
    irq_set(&lapic->config.intr, lapic->state.intr);
    if (lapic->config.move)
        lapic->config.move(lapic->config.board, LAPIC_BASE, true);
}

void lapic_enter_virtual_wire(struct lapic *lapic)
{
    lapic->state.svr |= SVR_ENABLE;
    lapic->state.lvt[LVT_LINT0] = APIC_EXTINT << 8;
    lapic->state.lvt[LVT_LINT1] = APIC_NMI << 8;
    lapic_update(lapic);
}

struct lapic *lapic_create(const struct lapic_config *config)
{
    struct lapic *lapic = calloc(1, sizeof(*lapic));
    if (!lapic)
        return NULL;
    lapic->config = *config;
    clock_timer_init(&lapic->timer, lapic_timer_fire, lapic);
    if (!apic_bus_attach(config->apic_bus, lapic)) {
        free(lapic);
        return NULL;
    }
    power_up(lapic);
    return lapic;
}

void lapic_destroy(struct lapic *lapic)
{
    if (!lapic)
        return;
    clock_cancel(lapic->config.clock, &lapic->timer);
    free(lapic);
}
