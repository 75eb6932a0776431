#include "devices/timer/acpi_pm.h"

#include "base/bits.h"

#include <stdlib.h>

/* PM1 events: the bits of status and enable. */
#define EVENT_TIMER 0x0001
#define EVENT_GLOBAL 0x0020
#define EVENT_POWER_BUTTON 0x0100
#define EVENT_RTC 0x0400
#define EVENTS (EVENT_TIMER | EVENT_GLOBAL | EVENT_POWER_BUTTON | EVENT_RTC)

#define CONTROL_SCI_ENABLE 0x0001
#define CONTROL_SLEEP_TYPE 0x1c00
#define CONTROL_SLEEP_ENABLE 0x2000
#define CONTROL_WRITABLE (CONTROL_SLEEP_TYPE | 0x0002) /* 2: bus master reload */

#define GLOBAL_SMI_ENABLE 0x00000001
#define GLOBAL_CONTROL_WRITABLE 0x0701ff07 /* the rest is reserved, or starts what is not there */

struct acpi_pm {
    struct acpi_pm_config config;
    struct clock_timer timer;
    uint16_t status, enable, control;
    uint64_t toggles; /* of the PM timer's highest bit, up to when its status is true */
    uint16_t gpe_status, gpe_enable;
    uint16_t gpe_pins;
    uint8_t smi[2]; /* the last command, and a byte of its own */
    bool smi_enabled;
    uint32_t global_control;
};

static unsigned timer_bits(const struct acpi_pm *pm)
{
    return pm->config.timer_32bit ? 32 : 24;
}

static uint64_t timer_at(uint64_t now)
{
    return clock_scale(now, ACPI_PM_TIMER_HZ, NS_PER_SECOND);
}

/* Brings the timer's status up to `now`, sets the SCI, and waits for the next toggle if that is to
 * interrupt. */
static void pm_update(struct acpi_pm *pm, uint64_t now)
{
    uint64_t toggles = timer_at(now) >> (timer_bits(pm) - 1);
    uint64_t deadline = CLOCK_NEVER;

    if (toggles != pm->toggles)
        pm->status |= EVENT_TIMER;
    pm->toggles = toggles;
    irq_set(&pm->config.sci, pm->control & CONTROL_SCI_ENABLE &&
                                 (pm->status & pm->enable || pm->gpe_status & pm->gpe_enable));

    if (pm->enable & EVENT_TIMER && !(pm->status & EVENT_TIMER))
        deadline =
            clock_scale((toggles + 1) << (timer_bits(pm) - 1), NS_PER_SECOND, ACPI_PM_TIMER_HZ) + 1;
    clock_arm(pm->config.clock, &pm->timer, deadline);
}

static void pm_fire(void *opaque)
{
    struct acpi_pm *pm = opaque;
    pm_update(pm, clock_now(pm->config.clock));
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    uint64_t now = clock_now(pm->config.clock);
    uint32_t value = 0;

    (void)size;
    pm_update(pm, now);
    switch (offset & ~3ull) {
    case ACPI_PM1_EVENT_PORT - ACPI_PM_PORT:
        value = pm->status | (uint32_t)pm->enable << 16;
        break;
    case ACPI_PM1_CONTROL_PORT - ACPI_PM_PORT:
        value = pm->control;
        break;
    case ACPI_PM_TIMER_PORT - ACPI_PM_PORT:
        value = (uint32_t)(timer_at(now) & bytes_mask(timer_bits(pm) / 8));
        break;
    case ACPI_GLOBAL_CONTROL_PORT - ACPI_PM_PORT:
        value = pm->global_control;
        break;
    }
    return value >> (8 * (offset & 3));
}

static void write_control(struct acpi_pm *pm, uint16_t value, uint16_t mask)
{
    uint16_t writable = mask & CONTROL_WRITABLE;
    pm->control = (uint16_t)((pm->control & ~writable) | (value & writable));
    if (value & mask & CONTROL_SLEEP_ENABLE &&
        (pm->control & CONTROL_SLEEP_TYPE) >> 10 == ACPI_S5_TYPE && pm->config.power_off)
        pm->config.power_off(pm->config.opaque);
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct acpi_pm *pm = opaque;
    unsigned shift = 8 * (offset & 3);
    uint32_t mask = (uint32_t)bytes_mask(size) << shift;
    uint32_t bits = (uint32_t)value << shift & mask;

    pm_update(pm, clock_now(pm->config.clock));
    switch (offset & ~3ull) {
    case ACPI_PM1_EVENT_PORT - ACPI_PM_PORT:
        pm->status &= (uint16_t)~bits; /* ones clear */
        pm->enable = (uint16_t)(((pm->enable & ~(mask >> 16)) | bits >> 16) & EVENTS);
        break;
    case ACPI_PM1_CONTROL_PORT - ACPI_PM_PORT:
        write_control(pm, (uint16_t)bits, (uint16_t)mask);
        break;
    case ACPI_GLOBAL_CONTROL_PORT - ACPI_PM_PORT:
        mask &= GLOBAL_CONTROL_WRITABLE;
        pm->global_control = (pm->global_control & ~mask) | (bits & mask);
        break;
    }
    pm_update(pm, clock_now(pm->config.clock));
}

const struct bus_ops acpi_pm_ops = {"ACPI PM", pm_read, pm_write, 1, 4};

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    (void)size;
    return (pm->gpe_status | (uint32_t)pm->gpe_enable << 16) >> (8 * (offset & 3));
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct acpi_pm *pm = opaque;
    unsigned shift = 8 * (offset & 3);
    uint32_t mask = (uint32_t)bytes_mask(size) << shift;
    uint32_t bits = (uint32_t)value << shift & mask;

    pm->gpe_status &= (uint16_t)~bits;
    pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~(mask >> 16)) | bits >> 16);
    pm_update(pm, clock_now(pm->config.clock));
}

const struct bus_ops acpi_gpe_ops = {"ACPI GPE0", gpe_read, gpe_write, 1, 4};

static uint64_t smi_read(void *opaque, uint64_t offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    (void)size;
    return pm->smi[offset & 1];
}

/* On a real machine the firmware's SMI handler would turn the mode. */
static void smi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct acpi_pm *pm = opaque;
    (void)size;
    pm->smi[offset & 1] = (uint8_t)value;
    if (offset & 1)
        return;
    if (value == ACPI_ENABLE_COMMAND)
        pm->control |= CONTROL_SCI_ENABLE;
    else if (value == ACPI_DISABLE_COMMAND)
        pm->control &= ~CONTROL_SCI_ENABLE;
    pm_update(pm, clock_now(pm->config.clock));
    if (pm->smi_enabled && pm->global_control & GLOBAL_SMI_ENABLE)
        irq_pulse(&pm->config.smi);
}

const struct bus_ops acpi_smi_ops = {"SMI command", smi_read, smi_write, 1, 1};

void acpi_pm_press_power_button(struct acpi_pm *pm)
{
    bus_lock(pm->config.bus);
    pm->status |= EVENT_POWER_BUTTON;
    pm_update(pm, clock_now(pm->config.clock));
    bus_unlock(pm->config.bus);
}

void acpi_pm_enable_smi(struct acpi_pm *pm, bool enabled)
{
    pm->smi_enabled = enabled;
}

void acpi_pm_set_gpe(void *opaque, unsigned event, bool level)
{
    struct acpi_pm *pm = opaque;
    if (event > 15)
        return;
    uint16_t bit = (uint16_t)(1u << event);
    if (level && !(pm->gpe_pins & bit))
        pm->gpe_status |= bit;
    pm->gpe_pins = level ? pm->gpe_pins | bit : pm->gpe_pins & ~bit;
    pm_update(pm, clock_now(pm->config.clock));
}

void acpi_pm_reset(struct acpi_pm *pm)
{
    uint64_t now = clock_now(pm->config.clock);
    pm->status = pm->enable = pm->control = 0;
    pm->gpe_status = pm->gpe_enable = 0;
    pm->smi[0] = pm->smi[1] = 0;
    pm->smi_enabled = false;
    pm->global_control = 0;
    pm->toggles = timer_at(now) >> (timer_bits(pm) - 1);
    pm_update(pm, now);
}

struct acpi_pm *acpi_pm_create(const struct acpi_pm_config *config)
{
    struct acpi_pm *pm = calloc(1, sizeof(*pm));
    if (!pm)
        return NULL;
    pm->config = *config;
    clock_timer_init(&pm->timer, pm_fire, pm);
    acpi_pm_reset(pm);
    return pm;
}

void acpi_pm_destroy(struct acpi_pm *pm)
{
    if (!pm)
        return;
    clock_cancel(pm->config.clock, &pm->timer);
    free(pm);
}
