/* The PC's real-time clock and CMOS memory: an MC146818A with 128 bytes, and a century.
 *
 * Time and flags are brought up to date when they are looked at; a timer runs only for interrupts
 * that are enabled. All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_TIMER_MC146818_H
#define DOPPEL_DEVICES_TIMER_MC146818_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"

#define MC146818_PORT 0x70u   /* 2 ports: index and NMI mask, data */
#define MC146818_CENTURY 0x32 /* the CMOS byte: for the ACPI FADT */

struct mc146818;

/* Nothing is owned. */
struct mc146818_config {
    struct clock *clock;
    struct irq_line irq; /* IRQ 8 */
    int64_t epoch; /* ns since 1970 UTC when the guest's clock is at 0, the time it begins with */
};

/* The host's time, in ns since 1970 UTC. */
int64_t mc146818_host_time(void);

/* Sets the time from config.epoch and the guest's clock, all other bytes to 0. NULL where the host
 * has no memory. */
struct mc146818 *mc146818_create(const struct mc146818_config *config);
void mc146818_destroy(struct mc146818 *rtc);
/* The RESET pin: interrupts off. Time and memory live on, by the battery. */
void mc146818_reset(struct mc146818 *rtc);

extern const struct bus_ops mc146818_ops;

/* CMOS bytes 0x0e to 0x7f, for the board: memory size, boot order. */
void mc146818_set_byte(struct mc146818 *rtc, unsigned index, uint8_t value);
uint8_t mc146818_get_byte(const struct mc146818 *rtc, unsigned index);

/* Bit 7 of port 0x70: NMIs are not to reach the CPU. */
bool mc146818_nmi_masked(const struct mc146818 *rtc);

/* An irq_set_fn: while asserted the clock does not reach IRQ 8 (the HPET's legacy replacement). */
void mc146818_set_replaced(void *rtc, unsigned input, bool replaced);

#endif
