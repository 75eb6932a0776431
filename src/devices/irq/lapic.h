/* The local APIC (SDM vol. 3, chapter 10): xAPIC page, x2APIC MSRs, timer, IPIs, LINT0 and LINT1.
 *
 * One per CPU, all on one apic_bus. Lines carry "asserted", so polarity bits are stored and change
 * nothing. All calls with the bus lock held, except those through lapic_intc(), which take it. */
#ifndef DOPPEL_DEVICES_IRQ_LAPIC_H
#define DOPPEL_DEVICES_IRQ_LAPIC_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/intc.h"
#include "bus/irq.h"
#include "devices/irq/apic_bus.h"

#define LAPIC_BASE 0xfee00000u /* after reset */
#define LAPIC_SIZE 0x1000u
#define LAPIC_TIMER_HZ NS_PER_SECOND /* before the divider */

struct lapic;

/* The TSC as the guest sees it. Called on the vCPU's thread only, so that the CPU needs no lock. */
typedef uint64_t lapic_tsc_fn(void *cpu);
/* A start-up IPI: the CPU, if it waits for one, starts at vector * 4096. */
typedef void lapic_startup_fn(void *cpu, uint8_t vector);
/* The interrupt-acknowledge cycle of an external interrupt: the 8259's vector. */
typedef int lapic_extint_fn(void *pic);
/* The page moves to `base`, or is not to be seen (APIC disabled or in x2APIC mode). */
typedef void lapic_move_fn(void *board, uint64_t base, bool visible);

/* Nothing is owned. Functions and lines may be NULL, but for tsc. */
struct lapic_config {
    unsigned id;
    bool bootstrap; /* this CPU starts at reset */
    unsigned physical_bits;
    struct bus *bus; /* for its lock */
    struct clock *clock;
    struct apic_bus *apic_bus;
    struct irq_line intr;           /* to the CPU, a level */
    struct irq_line nmi, smi, init; /* to the CPU, pulses */
    lapic_tsc_fn *tsc;
    lapic_startup_fn *startup;
    void *cpu; /* of tsc and startup */
    lapic_extint_fn *extint;
    void *pic;
    lapic_move_fn *move; /* told by lapic_reset(), too, but not at creation */
    void *board;
};

/* Attaches itself to the apic_bus. NULL where the host has no memory or the bus no room. */
struct lapic *lapic_create(const struct lapic_config *config);
void lapic_destroy(struct lapic *lapic);

/* As after power-up. */
void lapic_reset(struct lapic *lapic);
/* What firmware leaves behind for systems that begin with the 8259: enabled, LINT0 takes external
 * interrupts, LINT1 NMIs (MultiProcessor Specification 1.4, 3.6.2.2). */
void lapic_enter_virtual_wire(struct lapic *lapic);

/* The xAPIC page. */
extern const struct bus_ops lapic_ops;
/* What the CPU asks: the opaque is the struct lapic. */
extern const struct intc_ops lapic_intc_ops;

/* An irq_set_fn: input 0 is LINT0, input 1 LINT1. */
void lapic_set_lint(void *lapic, unsigned input, bool level);

/* For the apic_bus. */
bool lapic_is_enabled(const struct lapic *lapic); /* by software, too: takes fixed interrupts */
bool lapic_is_destination(const struct lapic *lapic, const struct apic_message *message);
uint8_t lapic_priority(const struct lapic *lapic); /* PPR */
bool lapic_accept(struct lapic *lapic, const struct apic_message *message);

#endif
