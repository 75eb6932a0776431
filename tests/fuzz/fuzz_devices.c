/* A board without a CPU: random accesses to all registers, interrupt lines, acknowledgements and
 * time, in any order. What must hold: nothing crashes or hangs, INTR leads to a vector, and no
 * timer stays due. */
#include "bus/bus.h"
#include "bus/clock.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/lapic.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/mc146818.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

struct board {
    struct bus *bus;
    struct clock *clock;
    struct apic_bus *apic_bus;
    struct lapic *lapic;
    struct ioapic *ioapic;
    struct i8259 *pics;
    struct i8254 *pit;
    struct hpet *hpet;
    struct mc146818 *rtc;
    struct acpi_pm *pm;
    bool intr;
};

static const struct {
    enum bus_space space;
    uint64_t base;
    unsigned size;
} ranges[] = {
    {BUS_MMIO, LAPIC_BASE, 0x400},
    {BUS_MMIO, IOAPIC_BASE, 0x50},
    {BUS_MMIO, HPET_BASE, 0x180},
    {BUS_PORT, I8259_FIRST_PORT, 2},
    {BUS_PORT, I8259_SECOND_PORT, 2},
    {BUS_PORT, I8259_ELCR_PORT, 2},
    {BUS_PORT, I8254_PORT, 4},
    {BUS_PORT, I8254_SPEAKER_PORT, 1},
    {BUS_PORT, MC146818_PORT, 2},
    {BUS_PORT, ACPI_PM_PORT, ACPI_PM_PORTS},
    {BUS_PORT, ACPI_GPE0_PORT, ACPI_GPE0_PORTS},
    {BUS_PORT, ACPI_SMI_PORT, 2},
};

static void set_intr(void *opaque, unsigned input, bool level)
{
    (void)input;
    ((struct board *)opaque)->intr = level;
}

/* An ISA interrupt reaches both kinds of controller. */
static void set_irq(void *opaque, unsigned irq, bool level)
{
    struct board *board = opaque;
    i8259_set_irq(board->pics, irq, level);
    ioapic_set_irq(board->ioapic, irq ? irq : 2, level);
}

static void set_ioapic(void *opaque, unsigned input, bool level)
{
    ioapic_set_irq(((struct board *)opaque)->ioapic, input, level);
}

static void set_replaced(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    if (input)
        mc146818_set_replaced(board->rtc, 0, level);
    else
        i8254_set_replaced(board->pit, 0, level);
}

static void set_lint0(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    lapic_set_lint(board->lapic, input, level);
    ioapic_set_irq(board->ioapic, 0, level);
}

static uint64_t read_tsc(void *opaque)
{
    return clock_now(((struct board *)opaque)->clock);
}

static int extint(void *opaque)
{
    return i8259_acknowledge(((struct board *)opaque)->pics);
}

static void move_lapic(void *opaque, uint64_t base, bool visible)
{
    (void)base;
    (void)visible;
    (void)opaque;
}

static struct irq_line line(struct board *board, irq_set_fn *set, unsigned input)
{
    return (struct irq_line){set, board, input};
}

static void map(struct board *board, unsigned range, const struct bus_ops *ops, void *device)
{
    unsigned size = ranges[range].space == BUS_MMIO ? PAGE_SIZE : ranges[range].size;
    if (!bus_map(board->bus, ranges[range].space, ranges[range].base, size, ops, device, NULL))
        abort();
}

static void board_create(struct board *board)
{
    *board = (struct board){.bus = bus_create(), .clock = clock_create_manual()};
    board->apic_bus = apic_bus_create();
    board->lapic = lapic_create(&(struct lapic_config){
        .bootstrap = true,
        .physical_bits = 40,
        .bus = board->bus,
        .clock = board->clock,
        .apic_bus = board->apic_bus,
        .intr = line(board, set_intr, 0),
        .tsc = read_tsc,
        .cpu = board,
        .extint = extint,
        .pic = board,
        .move = move_lapic,
        .board = board,
    });
    board->ioapic = ioapic_create(&(struct ioapic_config){.apic_bus = board->apic_bus});
    board->pics = i8259_create(&(struct i8259_config){.intr = line(board, set_lint0, 0)});
    board->pit =
        i8254_create(&(struct i8254_config){.clock = board->clock, .irq = line(board, set_irq, 0)});
    board->rtc = mc146818_create(&(struct mc146818_config){
        .clock = board->clock,
        .irq = line(board, set_irq, 8),
        .epoch = 1772323190 * (int64_t)NS_PER_SECOND,
    });
    board->hpet = hpet_create(&(struct hpet_config){
        .clock = board->clock,
        .ioapic = line(board, set_ioapic, 0),
        .routes = 0xf00000,
        .irq0 = line(board, set_irq, 0),
        .irq8 = line(board, set_irq, 8),
        .replaces = {line(board, set_replaced, 0), line(board, set_replaced, 1)},
    });
    board->pm = acpi_pm_create(&(struct acpi_pm_config){
        .bus = board->bus,
        .clock = board->clock,
        .sci = line(board, set_irq, 9),
    });
    map(board, 0, &lapic_ops, board->lapic);
    map(board, 1, &ioapic_ops, board->ioapic);
    map(board, 2, &hpet_ops, board->hpet);
    map(board, 3, &i8259_first_ops, board->pics);
    map(board, 4, &i8259_second_ops, board->pics);
    map(board, 5, &i8259_elcr_ops, board->pics);
    map(board, 6, &i8254_ops, board->pit);
    map(board, 7, &i8254_speaker_ops, board->pit);
    map(board, 8, &mc146818_ops, board->rtc);
    map(board, 9, &acpi_pm_ops, board->pm);
    map(board, 10, &acpi_gpe_ops, board->pm);
    map(board, 11, &acpi_smi_ops, board->pm);
}

static void board_destroy(struct board *board)
{
    acpi_pm_destroy(board->pm);
    hpet_destroy(board->hpet);
    mc146818_destroy(board->rtc);
    i8254_destroy(board->pit);
    i8259_destroy(board->pics);
    ioapic_destroy(board->ioapic);
    lapic_destroy(board->lapic);
    apic_bus_destroy(board->apic_bus);
    clock_destroy(board->clock);
    bus_destroy(board->bus);
}

static void board_reset(struct board *board)
{
    acpi_pm_reset(board->pm);
    hpet_reset(board->hpet);
    mc146818_reset(board->rtc);
    i8254_reset(board->pit);
    i8259_reset(board->pics);
    ioapic_reset(board->ioapic);
    lapic_reset(board->lapic);
}

/* The input, byte by byte; zeros after its end. */
struct input {
    const uint8_t *data;
    size_t size;
};

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    if (bytes > input->size)
        bytes = (unsigned)input->size;
    memcpy(&value, input->data, bytes);
    input->data += bytes;
    input->size -= bytes;
    return value;
}

/* Values that mean something are more often small, or single bits. */
static uint64_t take_value(struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    switch (kind & 3) {
    case 0:
        return kind >> 2;
    case 1:
        return 1ull << (kind >> 2);
    case 2:
        return take(input, 4);
    default:
        return take(input, 8);
    }
}

static void access_register(struct board *board, struct input *input, bool write)
{
    static const uint8_t sizes[] = {1, 2, 4, 4, 4, 8, 3, 4};
    unsigned range = (unsigned)take(input, 1) % ARRAY_SIZE(ranges);
    uint64_t offset = take(input, 2) % ranges[range].size;
    unsigned size = sizes[take(input, 1) % ARRAY_SIZE(sizes)];

    if (ranges[range].space == BUS_MMIO && size >= 4)
        offset &= range == 0 ? ~15ull : ~7ull;
    if (write)
        bus_write(board->bus, ranges[range].space, ranges[range].base + offset, take_value(input),
                  size);
    else
        bus_read(board->bus, ranges[range].space, ranges[range].base + offset, size);
}

static void acknowledge(struct board *board)
{
    bool intr = board->intr;
    int vector = lapic_intc_ops.acknowledge(board->lapic);
    if (vector > 255 || vector < -1 || (intr && vector < 0))
        fuzz_fail("INTR was %d, the vector is %d", intr, vector);
}

static void access_msr(struct board *board, struct input *input)
{
    static const uint32_t others[] = {0x1b, 0x6e0};
    uint8_t index = (uint8_t)take(input, 1);
    uint32_t msr = index < 128 ? 0x800u + index % 0x40 : others[index % ARRAY_SIZE(others)];
    uint64_t value = take_value(input);

    lapic_intc_ops.write_msr(board->lapic, msr, value);
    lapic_intc_ops.read_msr(board->lapic, msr, &value);
}

static void step(struct board *board, struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    /* Up to 33 ms, as every interrupt counts; now and then a day where the clock is idle. */
    uint64_t ns = (1ull << kind % 25) + kind;
    if (kind == 255 && clock_next_deadline(board->clock) == CLOCK_NEVER)
        ns = 86400 * NS_PER_SECOND;
    clock_step(board->clock, ns);
    if (clock_next_deadline(board->clock) <= clock_now(board->clock))
        fuzz_fail("a timer stays due");
}

static void signal_line(struct board *board, struct input *input)
{
    uint8_t which = (uint8_t)take(input, 1);
    bool level = which >> 7;
    switch (which >> 5 & 3) {
    case 0:
        set_irq(board, which & 15, level);
        break;
    case 1:
        set_ioapic(board, which & 31, level);
        break;
    case 2:
        lapic_set_lint(board->lapic, 1, level);
        break;
    case 3:
        acpi_pm_set_gpe(board->pm, which & 15, level);
        break;
    }
}

static void lapic_write(struct board *board, uint32_t reg, uint32_t value)
{
    bus_write(board->bus, BUS_MMIO, LAPIC_BASE + reg, value, 4);
    lapic_intc_ops.write_msr(board->lapic, 0x800 + reg / 16, value);
}

/* What systems do in several steps, which random accesses rarely get right. */
static void program(struct board *board, struct input *input)
{
    static const uint32_t bases[] = {0x900, 0xd00, 0x100, 0x900};
    uint8_t kind = (uint8_t)take(input, 1);

    switch (kind & 7) {
    case 0:
    case 1: /* an I/O APIC entry, any vector and mode, unmasked */
        bus_write(board->bus, BUS_MMIO, IOAPIC_BASE, 0x10 + 2 * (kind >> 3) % 48, 4);
        bus_write(board->bus, BUS_MMIO, IOAPIC_BASE + 0x10, take(input, 2), 4);
        break;
    case 2: /* the local APIC's timer, any mode */
        lapic_write(board, 0x320, (uint32_t)(kind >> 3 & 3) << 17 | (uint8_t)take(input, 1));
        lapic_write(board, 0x380, (uint32_t)take(input, 3));
        lapic_intc_ops.write_msr(board->lapic, 0x6e0, clock_now(board->clock) + take(input, 3));
        break;
    case 3:
        if (!lapic_intc_ops.write_msr(board->lapic, 0x1b, LAPIC_BASE | bases[kind >> 3 & 3]))
            lapic_intc_ops.write_msr(board->lapic, 0x1b, LAPIC_BASE | 0x100);
        break;
    case 4:
        lapic_intc_ops.tsc_moved(board->lapic);
        break;
    case 5: /* an HPET timer, periodic or not, and its comparator soon */
        bus_write(board->bus, BUS_MMIO, HPET_BASE + 0x10, 1 | (kind >> 6 & 2), 4);
        bus_write(board->bus, BUS_MMIO, HPET_BASE + 0x100 + (kind >> 3 & 3) * 0x20,
                  take(input, 2) | 4, 4);
        bus_write(board->bus, BUS_MMIO, HPET_BASE + 0x108 + (kind >> 3 & 3) * 0x20,
                  bus_read(board->bus, BUS_MMIO, HPET_BASE + 0xf0, 8) + take(input, 2), 8);
        break;
    default: /* enabled, without which few inputs get far */
        lapic_intc_ops.write_msr(board->lapic, 0x1b, LAPIC_BASE | 0x900);
        lapic_write(board, 0xf0, 0x1ff);
        lapic_intc_ops.write_cr8(board->lapic, 0);
        break;
    }
}

static void signal_machine(struct board *board, uint8_t kind)
{
    if (kind > 250)
        board_reset(board);
    else if (kind > 240)
        lapic_intc_ops.reset(board->lapic);
    else if (kind > 200)
        acpi_pm_press_power_button(board->pm);
    else
        lapic_enter_virtual_wire(board->lapic);
}

static void operate(struct board *board, struct input *input)
{
    uint8_t operation = (uint8_t)take(input, 1);
    switch (operation % 13) {
    case 0 ... 2:
        access_register(board, input, true);
        break;
    case 3:
        access_register(board, input, false);
        break;
    case 4 ... 5:
        step(board, input);
        break;
    case 6:
        access_msr(board, input);
        break;
    case 7:
        signal_line(board, input);
        break;
    case 8 ... 9:
        acknowledge(board);
        if (operation & 0x80)
            lapic_write(board, 0xb0, 0);
        break;
    case 10 ... 11:
        program(board, input);
        break;
    case 12:
        signal_machine(board, (uint8_t)take(input, 1));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct board board;

    board_create(&board);
    while (input.size)
        operate(&board, &input);
    board_destroy(&board);
    return 0;
}
