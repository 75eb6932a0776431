/* ACPI's fixed hardware (ACPI 6, 4.8): PM1a events and control, the PM timer, one block of general
 * purpose events, and the SMI command port; registers as on the PIIX4 (Intel's data sheet 290562,
 * 7.2 and 7.3). Writes to the command port turn ACPI mode on and off by themselves, as in QEMU.
 *
 * All calls with the bus lock held, but for acpi_pm_press_power_button(). */
#ifndef DOPPEL_DEVICES_TIMER_ACPI_PM_H
#define DOPPEL_DEVICES_TIMER_ACPI_PM_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"

/* Where firmware puts it, as the FADT and the DSDT say. */
#define ACPI_PM_PORT 0x600u
#define ACPI_PM_PORTS 0x40u
#define ACPI_PM1_EVENT_PORT (ACPI_PM_PORT + 0)   /* 4 bytes */
#define ACPI_PM1_CONTROL_PORT (ACPI_PM_PORT + 4) /* 2 bytes */
#define ACPI_PM_TIMER_PORT (ACPI_PM_PORT + 8)    /* 4 bytes */
#define ACPI_GLOBAL_CONTROL_PORT (ACPI_PM_PORT + 0x28)
#define ACPI_GPE0_PORT 0xafe0u
#define ACPI_GLOBAL_CONTROL_PORT (ACPI_PM_PORT + 0x28)
#define ACPI_GPE0_PORTS 4u
#define ACPI_SMI_PORT 0xb2u /* 2 ports: command and status */
#define ACPI_ENABLE_COMMAND 0xf1
#define ACPI_DISABLE_COMMAND 0xf0
#define ACPI_S5_TYPE 0 /* SLP_TYP of the soft-off state */
#define ACPI_PM_TIMER_HZ 3579545u

struct acpi_pm;

/* The guest has switched itself off. On the vCPU's thread. */
typedef void acpi_power_off_fn(void *opaque);

/* Nothing is owned. */
struct acpi_pm_config {
    struct bus *bus; /* for its lock */
    struct clock *clock;
    struct irq_line sci; /* level-triggered; usually IRQ 9 */
    struct irq_line smi; /* to the CPU, pulses */
    bool timer_32bit;    /* else the PM timer has 24 bits (FADT's TMR_VAL_EXT) */
    acpi_power_off_fn *power_off;
    void *opaque;
};

/* NULL where the host has no memory. */
struct acpi_pm *acpi_pm_create(const struct acpi_pm_config *config);
void acpi_pm_destroy(struct acpi_pm *pm);
void acpi_pm_reset(struct acpi_pm *pm);

/* The device of all three is the struct acpi_pm. */
extern const struct bus_ops acpi_pm_ops, acpi_gpe_ops, acpi_smi_ops;

/* A short press. Takes the bus lock; any thread but not in a signal handler. */
void acpi_pm_press_power_button(struct acpi_pm *pm);

/* Whether writes to the command port raise SMIs, if the global control register lets them:
 * APMC_EN. */
void acpi_pm_enable_smi(struct acpi_pm *pm, bool enabled);

/* An irq_set_fn: general purpose event 0 to 15 happens when its input rises. */
void acpi_pm_set_gpe(void *pm, unsigned event, bool level);

#endif
