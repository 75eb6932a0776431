#include "devices/timer/acpi_pm.h"

#include "probe.h"

#define STATUS 0x600
#define ENABLE 0x602
#define CONTROL 0x604
#define TIMER 0x608

#define TIMER_EVENT 1
#define POWER_BUTTON 0x100

static struct bus *bus;
static struct clock *clock;
static struct acpi_pm *pm;
static struct probe sci, smi;
static unsigned power_offs;

static void take_power_off(void *opaque)
{
    (void)opaque;
    power_offs++;
}

static void create(bool timer_32bit)
{
    bus = bus_create();
    clock = clock_create_manual();
    sci = smi = (struct probe){.clock = clock};
    power_offs = 0;
    pm = acpi_pm_create(&(struct acpi_pm_config){
        .bus = bus,
        .clock = clock,
        .sci = probe_line(&sci),
        .smi = probe_line(&smi),
        .timer_32bit = timer_32bit,
        .power_off = take_power_off,
    });
    map(bus, BUS_PORT, ACPI_PM_PORT, ACPI_PM_PORTS, &acpi_pm_ops, pm);
    map(bus, BUS_PORT, ACPI_GPE0_PORT, ACPI_GPE0_PORTS, &acpi_gpe_ops, pm);
    map(bus, BUS_PORT, ACPI_SMI_PORT, 2, &acpi_smi_ops, pm);
}

static void setup(void)
{
    create(false);
}

static void teardown(void)
{
    acpi_pm_destroy(pm);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(pm, .init = setup, .fini = teardown);

static uint16_t in16(uint16_t port)
{
    return (uint16_t)bus_read(bus, BUS_PORT, port, 2);
}

static void out16(uint16_t port, uint16_t value)
{
    bus_write(bus, BUS_PORT, port, value, 2);
}

static uint32_t timer(void)
{
    return (uint32_t)bus_read(bus, BUS_PORT, TIMER, 4);
}

Test(pm, timer_counts_and_wraps)
{
    cr_expect_eq(timer(), 0);
    clock_step(clock, NS_PER_SECOND);
    cr_expect_eq(timer(), 3579545);
    clock_step(clock, 9 * NS_PER_SECOND);
    cr_expect_eq(timer(), 35795450 % (1 << 24));
    bus_write(bus, BUS_PORT, TIMER, 0, 4);
    cr_expect_eq(timer(), 35795450 % (1 << 24), "read-only");
    cr_expect_eq(bus_read(bus, BUS_PORT, TIMER + 1, 1), 35795450 >> 8 & 0xff);
}

Test(pm, timer_of_32_bits)
{
    teardown();
    create(true);
    clock_step(clock, 1000 * NS_PER_SECOND);
    cr_expect_eq(timer(), 3579545000u);
    clock_step(clock, 1000 * NS_PER_SECOND);
    cr_expect_eq(timer(), (uint32_t)(2 * 3579545000ull));
}

Test(pm, timer_status_follows_the_high_bit)
{
    /* Bit 23 toggles every 2^23 ticks: 2.343 s. */
    clock_step(clock, 2343000000);
    cr_expect_eq(in16(STATUS), 0);
    clock_step(clock, 1000000);
    cr_expect_eq(in16(STATUS), TIMER_EVENT);
    out16(STATUS, TIMER_EVENT);
    cr_expect_eq(in16(STATUS), 0);
    cr_expect_eq(clock_next_deadline(clock), CLOCK_NEVER, "no timer runs for it");
    out8(bus, 0xb2, ACPI_ENABLE_COMMAND);
    out16(ENABLE, TIMER_EVENT);
    uint64_t toggle = (2ull << 23) * NS_PER_SECOND / 3579545;
    run_until(clock, toggle);
    cr_expect(!sci.level);
    run_until(clock, toggle + 1);
    cr_expect(sci.level);
    out16(STATUS, TIMER_EVENT);
    cr_expect(!sci.level);
    clock_step(clock, 3 * NS_PER_SECOND);
    cr_expect(sci.level);
}

Test(pm, acpi_mode)
{
    cr_expect_eq(in16(CONTROL), 0);
    acpi_pm_press_power_button(pm);
    out16(ENABLE, POWER_BUTTON);
    cr_expect(!sci.level, "no SCI outside ACPI mode");
    out8(bus, 0xb2, ACPI_ENABLE_COMMAND);
    cr_expect_eq(in16(CONTROL), 1);
    cr_expect(sci.level);
    cr_expect_eq(in8(bus, 0xb2), ACPI_ENABLE_COMMAND);
    out8(bus, 0xb2, ACPI_DISABLE_COMMAND);
    cr_expect_eq(in16(CONTROL), 0);
    cr_expect(!sci.level);
    out8(bus, 0xb3, 0x55);
    cr_expect_eq(in8(bus, 0xb3), 0x55);
    out16(CONTROL, 1);
    cr_expect_eq(in16(CONTROL), 0, "SCI_EN is the firmware's");
}

Test(pm, power_button)
{
    out8(bus, 0xb2, ACPI_ENABLE_COMMAND);
    out16(ENABLE, POWER_BUTTON);
    acpi_pm_press_power_button(pm);
    cr_expect(sci.level);
    cr_expect_eq(in16(STATUS), POWER_BUTTON);
    out8(bus, STATUS, 0xff);
    cr_expect(sci.level, "the other byte");
    out8(bus, STATUS + 1, 1);
    cr_expect(!sci.level);
    cr_expect_eq(in16(ENABLE), POWER_BUTTON);
    out16(ENABLE, 0xffff);
    cr_expect_eq(in16(ENABLE), 0x521);
}

Test(pm, soft_off)
{
    out16(CONTROL, 5 << 10 | 1 << 13);
    cr_expect_eq(power_offs, 0, "another sleep type");
    cr_expect_eq(in16(CONTROL), 5 << 10, "SLP_EN is write-only");
    out16(CONTROL, ACPI_S5_TYPE << 10);
    cr_expect_eq(power_offs, 0);
    out16(CONTROL, ACPI_S5_TYPE << 10 | 1 << 13);
    cr_expect_eq(power_offs, 1);
    out8(bus, CONTROL + 1, 0x20);
    cr_expect_eq(power_offs, 2);
}

Test(pm, general_purpose_events)
{
    out8(bus, 0xb2, ACPI_ENABLE_COMMAND);
    acpi_pm_set_gpe(pm, 3, true);
    cr_expect_eq(in16(ACPI_GPE0_PORT), 8);
    cr_expect(!sci.level);
    out16(ACPI_GPE0_PORT + 2, 8);
    cr_expect(sci.level);
    out16(ACPI_GPE0_PORT, 8);
    cr_expect(!sci.level);
    acpi_pm_set_gpe(pm, 3, true);
    cr_expect_eq(in16(ACPI_GPE0_PORT), 0, "only its rise counts");
    acpi_pm_set_gpe(pm, 99, true);
}

Test(pm, reset)
{
    out8(bus, 0xb2, ACPI_ENABLE_COMMAND);
    out16(ENABLE, POWER_BUTTON);
    acpi_pm_press_power_button(pm);
    acpi_pm_reset(pm);
    cr_expect(!sci.level);
    cr_expect_eq(in16(CONTROL), 0);
    cr_expect_eq(in16(ENABLE), 0);
}

Test(pm, commands_raise_smis_where_both_enables_are_set)
{
    const uint16_t global_control = ACPI_GLOBAL_CONTROL_PORT;
    out8(bus, 0xb2, 0);
    out32(bus, global_control, 1);
    out8(bus, 0xb2, 0);
    cr_expect_eq(smi.rises, 0);
    acpi_pm_enable_smi(pm, true);
    out8(bus, 0xb2, 0x55);
    cr_expect_eq(smi.rises, 1);
    out8(bus, 0xb3, 0x55);
    cr_expect_eq(smi.rises, 1, "not the status port");
    out32(bus, global_control, 0xfffffffe);
    cr_expect_eq(in32(bus, global_control) & 1, 0);
    out8(bus, 0xb2, 0);
    cr_expect_eq(smi.rises, 1);
    acpi_pm_reset(pm);
    cr_expect_eq(in32(bus, global_control), 0);
}
