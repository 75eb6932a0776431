/* The real board without a CPU: random accesses to all ports, registers and BARs that the bus
 * lists, PCI configuration, memory that devices master, interrupt acknowledgements and time, in any
 * order. What must hold: nothing crashes or hangs, INTR leads to a vector, and no timer stays due.
 */
#include "backends/display/display.h"
#include "device_board.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/lapic.h"
#include "devices/timer/hpet.h"
#include "fuzz.h"

#include <string.h>

/* Where the memory lies that devices are pointed to. */
enum { RINGS = 0x10000, RINGS_APART = 0x1000, DESCRIPTOR = 16 };
enum { VENDOR_VIRTIO = 0x1af4, CLASS_IDE = 0x0101, CLASS_NIC = 0x0200 };

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

static uint64_t take_address(struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    if (kind < 0x80)
        return RINGS + (uint64_t)(kind & 15) * RINGS_APART;
    if (kind < 0xf0)
        return RINGS + take(input, 2);
    return kind < 0xf8 ? DEVICE_RAM - (uint64_t)(kind & 7) : take(input, 8);
}

/* Values that mean something are more often small, single bits, or point to memory. */
static uint64_t take_value(struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    switch (kind & 7) {
    case 0 ... 1:
        return kind >> 3;
    case 2:
        return 1ull << (kind >> 3);
    case 3:
        return 1ull << (kind >> 3) << 32;
    case 4 ... 5:
        return take_address(input);
    case 6:
        return take(input, 4);
    default:
        return take(input, 8);
    }
}

/* A range that the bus has now. */
static bool choose_range(struct device_board *board, struct input *input, enum bus_space space,
                         struct bus_range *range)
{
    unsigned count = 0, chosen = (unsigned)take(input, 1);
    bus_lock(board->bus);
    while (bus_range_at(board->bus, space, count, range))
        count++;
    bool there = count && bus_range_at(board->bus, space, chosen % count, range);
    bus_unlock(board->bus);
    return there;
}

static void access_register(struct device_board *board, struct input *input, bool write)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 3};
    uint8_t kind = (uint8_t)take(input, 1);
    enum bus_space space = kind & 0x80 ? BUS_MMIO : BUS_PORT;
    unsigned size = sizes[kind & 7];
    struct bus_range range;
    if (!choose_range(board, input, space, &range))
        return;
    uint64_t offset = take(input, kind & 0x40 ? 1 : 3) % range.size;
    if (kind & 0x20)
        offset &= ~15ull;
    else if (kind & 0x10)
        offset &= ~(uint64_t)(size - 1);
    if (write)
        bus_write(board->bus, space, range.base + offset, take_value(input), size);
    else
        bus_read(board->bus, space, range.base + offset, size);
}

static void access_configuration(struct device_board *board, struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1), offset = (uint8_t)take(input, 1);
    const struct device_function *function = &board->functions[kind % board->function_count];
    if (kind < 0xc0)
        device_board_config_write(board, function->devfn, offset, (uint32_t)take_value(input),
                                  kind & 0x40 ? 1 : 4);
    else
        device_board_config_read(board, function->devfn, offset);
}

/* A table of what most devices have: address, size, flags and a successor; or headers of requests.
 */
static void fill_memory(struct device_board *board, struct input *input)
{
    uint64_t at = take_address(input);
    unsigned kind = (unsigned)take(input, 1), count = kind % 16;
    for (unsigned i = 0; i < count; i++, at += DESCRIPTOR) {
        uint64_t entry[2] = {kind & 0x80 ? take_address(input) : take(input, 1) & 15,
                             take(input, 2)};
        entry[1] |= take(input, 1) << 32 | take(input, 1) << 48;
        phys_write(board->phys, at, entry, sizeof(entry));
    }
}

static void acknowledge(struct device_board *board)
{
    bool intr = board->intr;
    int vector = board->intc.ops->acknowledge(board->intc.opaque);
    if (vector > 255 || vector < -1 || (intr && vector < 0))
        fuzz_fail("INTR was %d, the vector is %d", intr, vector);
}

static void write_msr(struct device_board *board, uint32_t msr, uint64_t value)
{
    board->intc.ops->write_msr(board->intc.opaque, msr, value);
}

static void access_msr(struct device_board *board, struct input *input)
{
    static const uint32_t others[] = {0x1b, 0x6e0};
    uint8_t index = (uint8_t)take(input, 1);
    uint32_t msr = index < 128 ? 0x800u + index % 0x40 : others[index % ARRAY_SIZE(others)];
    uint64_t value = take_value(input);
    write_msr(board, msr, value);
    board->intc.ops->read_msr(board->intc.opaque, msr, &value);
}

static void step(struct device_board *board, struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    /* Up to 33 ms, as every interrupt counts; now and then a day where the clock is idle. */
    uint64_t ns = (1ull << kind % 25) + kind;
    bus_lock(board->bus);
    if (kind == 255 && clock_next_deadline(board->clock) == CLOCK_NEVER)
        ns = 86400 * NS_PER_SECOND;
    bus_unlock(board->bus);
    device_board_step(board, ns);
    bus_lock(board->bus);
    if (clock_next_deadline(board->clock) <= clock_now(board->clock))
        fuzz_fail("a timer stays due");
    bus_unlock(board->bus);
}

/* --- What systems do in several steps, which random accesses rarely get right */

static void port(struct device_board *board, uint64_t at, uint64_t value)
{
    bus_write(board->bus, BUS_PORT, at, value, 1);
}

static void lapic_write(struct device_board *board, uint32_t reg, uint32_t value)
{
    bus_write(board->bus, BUS_MMIO, LAPIC_BASE + reg, value, 4);
    write_msr(board, 0x800 + reg / 16, value);
}

static void program_interrupts(struct device_board *board, struct input *input)
{
    static const uint32_t bases[] = {0x900, 0xd00, 0x100, 0x900};
    uint8_t kind = (uint8_t)take(input, 1);
    switch (kind & 7) {
    case 0 ... 1: /* an I/O APIC entry, any vector and mode, unmasked */
        bus_write(board->bus, BUS_MMIO, IOAPIC_BASE, 0x10 + 2 * (kind >> 3) % 48, 4);
        bus_write(board->bus, BUS_MMIO, IOAPIC_BASE + 0x10, take(input, 2), 4);
        break;
    case 2: /* the local APIC's timer, any mode */
        lapic_write(board, 0x320, (uint32_t)(kind >> 3 & 3) << 17 | (uint8_t)take(input, 1));
        lapic_write(board, 0x380, (uint32_t)take(input, 3));
        write_msr(board, 0x6e0, clock_now(board->clock) + take(input, 3));
        break;
    case 3:
        write_msr(board, 0x1b, LAPIC_BASE | bases[kind >> 3 & 3]);
        break;
    case 4:
        board->intc.ops->tsc_moved(board->intc.opaque);
        break;
    case 5: /* an HPET timer, periodic or not, and its comparator soon */
        bus_write(board->bus, BUS_MMIO, HPET_BASE + 0x10, 1 | (kind >> 6 & 2), 4);
        bus_write(board->bus, BUS_MMIO, HPET_BASE + 0x100 + (kind >> 3 & 3) * 0x20,
                  take(input, 2) | 4, 4);
        bus_write(board->bus, BUS_MMIO, HPET_BASE + 0x108 + (kind >> 3 & 3) * 0x20,
                  bus_read(board->bus, BUS_MMIO, HPET_BASE + 0xf0, 8) + take(input, 2), 8);
        break;
    default: /* enabled, without which few inputs get far */
        write_msr(board, 0x1b, LAPIC_BASE | 0x900);
        lapic_write(board, 0xf0, 0x1ff);
        board->intc.ops->write_cr8(board->intc.opaque, 0);
        break;
    }
}

/* Negotiates and gives a virtio device a queue of up to 256 entries. */
static void start_virtio(struct device_board *board, uint64_t base, unsigned queue, uint64_t rings,
                         struct input *input)
{
    enum { STATUS = 0x14, SELECT = 0x16, SIZE = 0x18, ENABLE = 0x1c, RING = 0x20 };
    const uint8_t kind = (uint8_t)take(input, 1);
    const uint64_t refused = take(input, 4) & (kind & 0x80 ? 0 : UINT32_MAX);
    bus_write(board->bus, BUS_MMIO, base + STATUS, kind & 0x40 ? 0 : 3, 1);
    bus_write(board->bus, BUS_MMIO, base + STATUS, 3, 1);
    for (unsigned i = 0; i < 2; i++) {
        bus_write(board->bus, BUS_MMIO, base, i, 4);
        uint64_t offered = bus_read(board->bus, BUS_MMIO, base + 4, 4);
        bus_write(board->bus, BUS_MMIO, base + 8, i, 4);
        bus_write(board->bus, BUS_MMIO, base + 12, i ? offered : offered & ~refused, 4);
    }
    bus_write(board->bus, BUS_MMIO, base + STATUS, 0xb, 1);
    bus_write(board->bus, BUS_MMIO, base + SELECT, queue, 2);
    bus_write(board->bus, BUS_MMIO, base + SIZE, 1u << kind % 9, 2);
    for (unsigned i = 0; i < 3; i++)
        bus_write(board->bus, BUS_MMIO, base + RING + 8 * i, rings + i * RINGS_APART, 8);
    bus_write(board->bus, BUS_MMIO, base + ENABLE, 1, 2);
    bus_write(board->bus, BUS_MMIO, base + STATUS, 0xf, 1);
}

/* Descriptors in a queue's table, and what makes a chain of them available. */
static void offer_chain(struct device_board *board, uint64_t rings, struct input *input)
{
    enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
    const uint8_t kind = (uint8_t)take(input, 1);
    const unsigned first = kind & 3, count = 1u + (kind >> 2 & 3);
    uint8_t index[2];
    for (unsigned i = 0; i < count; i++) {
        uint8_t entry[DESCRIPTOR], flags = (uint8_t)take(input, 1);
        store_le(entry, take_address(input), 8);
        store_le(entry + 8, flags & 0x80 ? DESCRIPTOR * (flags & 15u) : take(input, 2), 4);
        store_le(entry + 12,
                 (i + 1 < count ? NEXT : 0) | (i >= (kind >> 4 & 3) ? WRITE : 0) |
                     (flags > 0xe0 ? INDIRECT : 0),
                 2);
        store_le(entry + 14, flags > 0x10 ? first + i + 1 : flags, 2);
        phys_write(board->phys, rings + DESCRIPTOR * (first + i), entry, sizeof(entry));
    }
    rings += RINGS_APART;
    phys_read(board->phys, rings + 2, index, 2);
    uint16_t at = (uint16_t)load_le(index, 2);
    for (unsigned size = 1; size <= 256; size *= 2) /* whatever the queue's size is */
        phys_write(board->phys, rings + 4 + 2 * (at & (size - 1)), &(uint8_t[2]){first}, 2);
    store_le(index, at + 1u + (kind > 0xf0 ? kind & 15u : 0), 2);
    phys_write(board->phys, rings + 2, index, 2);
}

static void program_virtio(struct device_board *board, const struct device_function *function,
                           struct input *input)
{
    enum { NOTIFY = 0x3000 };
    const uint64_t base = function->bar[4];
    const uint8_t kind = (uint8_t)take(input, 1);
    const unsigned queue = kind & 1;
    const uint64_t rings = RINGS + 4ull * queue * RINGS_APART;
    if (kind < 0x60)
        start_virtio(board, base, queue, rings, input);
    for (unsigned i = 0; i < (kind >> 1 & 3); i++)
        offer_chain(board, rings, input);
    bus_write(board->bus, BUS_MMIO, base + NOTIFY + 4ull * queue, queue, 2);
}

/* A command of a disk or CD drive, by DMA or not. */
static void program_ide(struct device_board *board, const struct device_function *function,
                        struct input *input)
{
    static const uint8_t commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x90, 0xa0,
                                       0xa0, 0xa0, 0xa1, 0xc4, 0xc5, 0xc8, 0xca, 0xe7, 0xec, 0xef};
    uint8_t kind = (uint8_t)take(input, 1);
    const uint64_t channel = kind & 1, base = channel ? 0x170 : 0x1f0;
    const uint64_t master = function->bar[4] + 8 * channel;
    const uint8_t command = commands[take(input, 1) % ARRAY_SIZE(commands)];
    port(board, base + 6, kind & 0xf0);
    for (unsigned i = 1; i < 6; i++)
        port(board, base + i, take(input, 1) & (i < 4 ? 0xff : kind & 2 ? 0 : 0x0f));
    port(board, base + 7, command);
    if (command == 0xa0) {
        uint8_t first = (uint8_t)take(input, 1);
        bus_write(board->bus, BUS_PORT, base, kind & 4 ? 0x28 : first, 2);
        for (unsigned i = 0; i < 5; i++)
            bus_write(board->bus, BUS_PORT, base, kind & 8 ? i == 3 : take(input, 2), 2);
    }
    bus_write(board->bus, BUS_PORT, master + 4, take_address(input), 4);
    port(board, master, kind & 8 ? 9 : 1);
}

/* Both rings of the e1000, and the registers that set it going. */
static void program_nic(struct device_board *board, const struct device_function *function,
                        struct input *input)
{
    enum { RCTL = 0x100, TCTL = 0x400, RX = 0x2800, TX = 0x3800, LENGTH = 8, HEAD = 16, TAIL = 24 };
    const uint8_t kind = (uint8_t)take(input, 1);
    const uint64_t base = function->bar[0], ring = base + (kind & 1 ? TX : RX);
    if (kind & 0x80) {
        bus_write(board->bus, BUS_MMIO, ring, take_address(input), 4);
        bus_write(board->bus, BUS_MMIO, ring + LENGTH, 128u << (kind >> 1 & 3), 4);
        bus_write(board->bus, BUS_MMIO, ring + HEAD, 0, 4);
    }
    bus_write(board->bus, BUS_MMIO, base + (kind & 1 ? TCTL : RCTL), take(input, 4) | 2, 4);
    bus_write(board->bus, BUS_MMIO, ring + TAIL, take(input, 1) & (kind & 8 ? 7 : 63), 4);
}

static void program_fw_cfg(struct device_board *board, struct input *input)
{
    const uint64_t at = RINGS + (take(input, 2) & 0xfff0);
    uint32_t command[4] = {(uint32_t)take(input, 1) << 24 | (uint32_t)take(input, 1) << 8,
                           __builtin_bswap32((uint32_t)take_value(input)), 0,
                           __builtin_bswap32((uint32_t)take_address(input))};
    phys_write(board->phys, at, command, sizeof(command));
    bus_write(board->bus, BUS_PORT, 0x518, __builtin_bswap32((uint32_t)at), 4);
}

static void program_function(struct device_board *board, struct input *input)
{
    const struct device_function *function =
        &board->functions[take(input, 1) % board->function_count];
    device_board_config_write(board, function->devfn, 4, 7, 2);
    if (function->vendor == VENDOR_VIRTIO)
        program_virtio(board, function, input);
    else if (function->class == CLASS_IDE)
        program_ide(board, function, input);
    else if (function->class == CLASS_NIC)
        program_nic(board, function, input);
    else
        program_fw_cfg(board, input);
}

static void signal_machine(struct device_board *board, uint8_t kind)
{
    bus_lock(board->bus);
    if (kind < 128)
        board_press_key(board->board, kind >> 1, kind & 1);
    else if (kind < 200)
        board_move_mouse(board->board, kind - 160, 160 - kind, kind & 1, kind & 7);
    bus_unlock(board->bus);
    if (kind > 250)
        device_board_reset(board);
    else if (kind > 240)
        board->intc.ops->reset(board->intc.opaque);
    else if (kind > 230)
        board_press_power_button(board->board);
    else if (kind >= 200) {
        display_look(board->display, NULL);
        display_unlock(board->display);
    }
}

static void operate(struct device_board *board, struct input *input)
{
    uint8_t operation = (uint8_t)take(input, 1);
    switch (operation % 24) {
    case 0 ... 4:
        access_register(board, input, true);
        break;
    case 5 ... 6:
        access_register(board, input, false);
        break;
    case 7:
        access_configuration(board, input);
        break;
    case 8 ... 9:
        fill_memory(board, input);
        break;
    case 10 ... 11:
        step(board, input);
        break;
    case 12:
        access_msr(board, input);
        break;
    case 13:
        acknowledge(board);
        if (operation & 0x80)
            lapic_write(board, 0xb0, 0);
        break;
    case 14 ... 15:
        program_interrupts(board, input);
        break;
    case 16 ... 22:
        program_function(board, input);
        break;
    case 23:
        signal_machine(board, (uint8_t)take(input, 1));
        break;
    }
    if (board->reset)
        device_board_reset(board);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct device_board *board = device_board_create();
    while (input.size)
        operate(board, &input);
    device_board_destroy(board);
    return 0;
}
