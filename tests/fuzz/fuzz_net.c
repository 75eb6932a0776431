/* Network cards and libslirp behind them, worked by a guest without a CPU: random registers and
 * rings, and frames that mean something to libslirp, whole or damaged. What must hold: nothing
 * crashes or hangs. The networks are restricted, so that nothing leaves the process. */
#include "backends/net/checksum.h"
#include "backends/net/user.h"
#include "base/bits.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "devices/net/e1000.h"
#include "devices/net/e1000_regs.h"
#include "devices/net/virtio_net.h"
#include "fuzz.h"
#include "host/loop.h"
#include "input.h"

#include <stdlib.h>
#include <string.h>

enum { RAM = 0x40000, FRAME = 0x20000, RECEIVE_BUFFERS = 0x30000, QUEUE = 8, DESCRIPTOR = 16 };
enum { VIRTIO_SLOT = 3, VIRTIO_BASE = 0xd0000000, VIRTIO_SIZE = 0x4000, VIRTIO_BAR = 4 };
enum { E1000_SLOT = 4, E1000_BASE = 0xd8000000, E1000_SIZE = 0x6000, E1000_BAR = 0 };
enum { TX_RING = 0x1000, RX_RING = 0x2000, VIRTIO_RINGS = 0x4000, RINGS_APART = 0x3000 };
enum { RECEIVE, TRANSMIT };

struct guest {
    struct bus *bus;
    struct pci_bus *pci;
    struct clock *clock;
    struct loop *loop;
    struct net *net[2];
    struct virtio_net *virtio;
    struct e1000 *e1000;
    uint16_t available[2], tail;
    uint8_t ram[RAM];
};

/* --- Memory */

static bool inside(uint64_t address, uint64_t size)
{
    return address <= RAM && size <= RAM - address;
}

static bool memory_read(void *opaque, uint64_t address, void *data, uint64_t size)
{
    struct guest *guest = opaque;
    bool there = inside(address, size);
    if (there)
        memcpy(data, guest->ram + address, size);
    else
        memset(data, 0xff, size);
    return there;
}

static bool memory_write(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    struct guest *guest = opaque;
    if (inside(address, size))
        memcpy(guest->ram + address, data, size);
    return inside(address, size);
}

static void *memory_map(void *opaque, uint64_t address, uint64_t *size)
{
    struct guest *guest = opaque;
    if (address >= RAM)
        return NULL;
    *size = *size < RAM - address ? *size : RAM - address;
    return guest->ram + address;
}

static void memory_written(void *opaque, uint64_t address, uint64_t size)
{
    (void)opaque;
    if (!inside(address, size))
        fuzz_fail("written(%#llx, %#llx) lies outside memory", (unsigned long long)address,
                  (unsigned long long)size);
}

static const struct dma_ops memory_ops = {memory_read, memory_write, memory_map, memory_written};

/* --- Making and starting the cards */

static void put(struct guest *guest, uint64_t address, uint64_t value, unsigned size)
{
    bus_write(guest->bus, BUS_MMIO, address, value, size);
}

static void map_card(struct guest *guest, unsigned slot, unsigned bar, uint32_t base)
{
    const uint8_t devfn = pci_devfn(slot, 0);
    pci_bus_write(guest->pci, devfn, PCI_BASE_ADDRESS + 4 * bar, base, 4);
    pci_bus_write(guest->pci, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void create_networks(struct guest *guest)
{
    static const struct net_options options = {
        .kind = NET_USER, .mtu = NET_MTU_DEFAULT, .restricted = true};
    struct error error;
    for (unsigned i = 0; i < 2; i++) {
        guest->net[i] = net_user_create(&(struct net_user_config){.options = &options,
                                                                  .option = "--net",
                                                                  .loop = guest->loop,
                                                                  .bus = guest->bus,
                                                                  .clock = guest->clock},
                                        &error);
        if (!guest->net[i])
            abort();
    }
}

static struct guest *guest_create(void)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    guest->bus = bus_create();
    guest->clock = clock_create_manual();
    guest->loop = loop_create();
    guest->pci =
        pci_bus_create(&(struct pci_bus_config){.bus = guest->bus, .dma = {&memory_ops, guest}});
    create_networks(guest);
    guest->virtio = virtio_net_create(&(struct virtio_net_config){.bus = guest->pci,
                                                                  .slot = VIRTIO_SLOT,
                                                                  .net = guest->net[0],
                                                                  .mac = {2, 0, 0, 0, 0, 1},
                                                                  .mtu = NET_MTU_DEFAULT});
    guest->e1000 = e1000_create(&(struct e1000_config){.bus = guest->pci,
                                                       .slot = E1000_SLOT,
                                                       .clock = guest->clock,
                                                       .net = guest->net[1],
                                                       .mac = {2, 0, 0, 0, 0, 1}});
    pci_bus_reset(guest->pci);
    map_card(guest, VIRTIO_SLOT, VIRTIO_BAR, VIRTIO_BASE);
    map_card(guest, E1000_SLOT, E1000_BAR, E1000_BASE);
    return guest;
}

static void guest_destroy(struct guest *guest)
{
    virtio_net_destroy(guest->virtio);
    e1000_destroy(guest->e1000);
    net_destroy(guest->net[0]);
    net_destroy(guest->net[1]);
    pci_bus_destroy(guest->pci);
    loop_destroy(guest->loop);
    clock_destroy(guest->clock);
    bus_destroy(guest->bus);
    free(guest);
}

/* What drivers do before anything works, with features as given. */
static void start_virtio(struct guest *guest, uint32_t features)
{
    put(guest, VIRTIO_BASE + 0x14, 0, 1);
    put(guest, VIRTIO_BASE + 0x08, 0, 4);
    put(guest, VIRTIO_BASE + 0x0c, features, 4);
    put(guest, VIRTIO_BASE + 0x08, 1, 4);
    put(guest, VIRTIO_BASE + 0x0c, 1, 4);
    put(guest, VIRTIO_BASE + 0x14, 8, 1);
    for (unsigned queue = 0; queue < 2; queue++) {
        uint64_t rings = VIRTIO_RINGS + queue * RINGS_APART;
        memset(guest->ram + rings, 0, RINGS_APART);
        put(guest, VIRTIO_BASE + 0x16, queue, 2);
        put(guest, VIRTIO_BASE + 0x18, QUEUE, 2);
        put(guest, VIRTIO_BASE + 0x20, rings, 4);
        put(guest, VIRTIO_BASE + 0x28, rings + 0x1000, 4);
        put(guest, VIRTIO_BASE + 0x30, rings + 0x2000, 4);
        put(guest, VIRTIO_BASE + 0x1c, 1, 2);
        guest->available[queue] = 0;
    }
    put(guest, VIRTIO_BASE + 0x14, 15, 1);
}

static void start_e1000(struct guest *guest, uint32_t rctl)
{
    put(guest, E1000_BASE + REG_TDBAL, TX_RING, 4);
    put(guest, E1000_BASE + REG_TDLEN, QUEUE * DESCRIPTOR, 4);
    put(guest, E1000_BASE + REG_RDBAL, RX_RING, 4);
    put(guest, E1000_BASE + REG_RDLEN, QUEUE * DESCRIPTOR, 4);
    for (unsigned i = 0; i < QUEUE; i++)
        store_le(guest->ram + RX_RING + DESCRIPTOR * i, RECEIVE_BUFFERS + 0x1000 * i, 8);
    put(guest, E1000_BASE + REG_TCTL, TCTL_EN, 4);
    put(guest, E1000_BASE + REG_RCTL, rctl | RCTL_EN | RCTL_BAM, 4);
    put(guest, E1000_BASE + REG_RDT, QUEUE - 1, 4);
    put(guest, E1000_BASE + REG_TDH, 0, 4);
    put(guest, E1000_BASE + REG_TDT, 0, 4);
    guest->tail = 0;
}

static uint64_t take_value(struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    switch (kind & 3) {
    case 0:
        return kind >> 2;
    case 1:
        return 1ull << (kind >> 2);
    default:
        return take(input, 4);
    }
}

/* --- Frames */

enum { HEADER = 14 };
#define TO_HOST 0x52, 0x55, 0x0a, 0x00, 0x02, 0x02, 2, 0, 0, 0, 0, 1
#define TO_ALL 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1
#define IPV4(protocol, size, last)                                                                 \
    8, 0, 0x45, 0, (size) >> 8, (size)&0xff, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0,  \
        2, last
#define FEC0(last) 0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last
#define IPV6(protocol, size) 0x86, 0xdd, 0x60, 0, 0, 0, 0, size, protocol, 255, FEC0(15), FEC0(2)

static const uint8_t arp[] = {TO_ALL, 8,  6, 0, 1,  8, 0, 6, 4, 0, 1, 2,  0, 0, 0, 0,
                              1,      10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2};
static const uint8_t ping[] = {
    TO_HOST, IPV4(1, 36, 2), 8, 0, 0, 0, 0, 1, 0, 1, 'd', 'a', 't', 'a', 'd', 'a', 't', 'a'};
static const uint8_t dns[] = {TO_HOST, IPV4(17, 45, 3),
                              4,       0,
                              0,       53,
                              0,       25,
                              0,       0,
                              0,       1,
                              1,       0,
                              0,       1,
                              0,       0,
                              0,       0,
                              0,       0,
                              0,       0,
                              0,       1,
                              0,       1};
static const uint8_t dhcp[HEADER + 28 + 260] = {TO_ALL,
                                                IPV4(17, 288, 255),
                                                0,
                                                68,
                                                0,
                                                67,
                                                1,
                                                12,
                                                0,
                                                0,
                                                1,
                                                1,
                                                6,
                                                0,
                                                1,
                                                2,
                                                3,
                                                4,
                                                [HEADER + 28 + 28] = 2,
                                                [HEADER + 28 + 33] = 1,
                                                [HEADER + 28 + 236] = 0x63,
                                                0x82,
                                                0x53,
                                                0x63,
                                                53,
                                                1,
                                                1,
                                                50,
                                                4,
                                                10,
                                                0,
                                                2,
                                                20,
                                                12,
                                                3,
                                                'a',
                                                'b',
                                                'c',
                                                255};
static const uint8_t syn[] = {TO_HOST, IPV4(6, 44, 2), 4, 1,  0, 9, 0, 0, 0, 1, 0, 0, 0,
                              0,       0x60,           2, 32, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4};
static const uint8_t tftp[] = {TO_HOST, IPV4(17, 42, 2),
                               4,       2,
                               0,       69,
                               0,       22,
                               0,       0,
                               0,       1,
                               'f',     0,
                               'o',     'c',
                               't',     'e',
                               't',     0,
                               't',     's',
                               'i',     'z',
                               'e',     0,
                               '0',     0};
static const uint8_t ping6[] = {TO_HOST, IPV6(58, 12), 128, 0,   0,  0, 0, 1, 0,
                                1,       'd',          'a', 't', 'a'};
static const uint8_t solicit6[] = {
    TO_HOST, IPV6(58, 32), 135, 0, 0, 0, 0, 0, 0, 0, FEC0(2), 1, 1, 2, 0, 0, 0, 0, 1};
static const uint8_t dns6[] = {TO_HOST, IPV6(17, 12), 4, 0, 0, 53, 0, 12, 0, 0, 0, 1, 1, 0};

static const struct {
    const uint8_t *bytes;
    uint16_t size;
} templates[] = {
    {arp, sizeof(arp)},     {ping, sizeof(ping)},         {dns, sizeof(dns)},
    {dhcp, sizeof(dhcp)},   {syn, sizeof(syn)},           {tftp, sizeof(tftp)},
    {ping6, sizeof(ping6)}, {solicit6, sizeof(solicit6)}, {dns6, sizeof(dns6)},
};

/* Sums up a pseudo-header and what follows, and puts the checksum where the protocol has it. */
static void complete_payload(uint8_t *frame, uint32_t size, uint32_t addresses,
                             uint32_t address_size, uint32_t start, uint8_t protocol)
{
    uint32_t field = protocol == 1 || protocol == 58 ? 2 : protocol == 6 ? 16 : 6;
    if (start + field + 2 > size)
        return;
    memset(frame + start + field, 0, 2);
    uint8_t last[4] = {0, protocol, (uint8_t)((size - start) >> 8), (uint8_t)(size - start)};
    uint64_t sum = protocol == 1 ? 0 : checksum_add(0, last, sizeof(last));
    sum = protocol == 1 ? 0 : checksum_add(sum, frame + addresses, 2 * address_size);
    store_le(frame + start + field, checksum_of(checksum_add(sum, frame + start, size - start)), 2);
}

/* So that libslirp reads on. */
static void complete(uint8_t *frame, uint32_t size)
{
    if (size >= HEADER + 20 && frame[12] == 8 && !frame[13]) {
        uint32_t header = (frame[HEADER] & 15) * 4u;
        memset(frame + HEADER + 10, 0, 2);
        if (HEADER + header <= size) {
            complete_payload(frame, size, HEADER + 12, 4, HEADER + header, frame[HEADER + 9]);
            checksum_complete(frame, HEADER + header, HEADER, HEADER + 10);
        }
    } else if (size >= HEADER + 40 && frame[12] == 0x86) {
        complete_payload(frame, size, HEADER + 8, 16, HEADER + 40, frame[HEADER + 6]);
    }
}

/* Makes a frame at FRAME, and returns its size. */
static uint32_t make_frame(struct guest *guest, struct input *input)
{
    uint8_t *frame = guest->ram + FRAME;
    unsigned which = (unsigned)take(input, 1), damage = (unsigned)take(input, 1);
    uint32_t size = templates[which % ARRAY_SIZE(templates)].size;
    memcpy(frame, templates[which % ARRAY_SIZE(templates)].bytes, size);
    if (damage & 0x40)
        size = (uint32_t)take(input, 2) % 0x8000;
    for (unsigned i = damage & 7; i; i--) {
        uint32_t at = (uint32_t)take(input, 1);
        frame[at % (size ? size : 1)] = (uint8_t)take_value(input);
    }
    if (!(damage & 0x80))
        complete(frame, size);
    return size;
}

/* --- Operations */

static void send_by_virtio(struct guest *guest, struct input *input)
{
    uint32_t size = make_frame(guest, input);
    uint8_t *rings = guest->ram + VIRTIO_RINGS + TRANSMIT * RINGS_APART;
    uint8_t *header = guest->ram + FRAME - 12;
    memset(header, 0, 12);
    if (take(input, 1) & 1) {
        header[0] = 1;
        store_le(header + 6, take(input, 2), 2);
        store_le(header + 8, take(input, 1), 2);
    }
    store_le(rings, FRAME - 12, 8);
    store_le(rings + 8, 12 + size, 4);
    store_le(rings + 12, 0, 4);
    store_le(rings + 0x1004 + 2 * (guest->available[TRANSMIT] % QUEUE), 0, 2);
    store_le(rings + 0x1002, ++guest->available[TRANSMIT], 2);
    put(guest, VIRTIO_BASE + 0x3004, TRANSMIT, 2);
}

/* Buffers to receive into, of any size and form. */
static void offer_to_virtio(struct guest *guest, struct input *input)
{
    uint8_t *rings = guest->ram + VIRTIO_RINGS;
    unsigned count = (unsigned)take(input, 1) % QUEUE + 1;
    for (unsigned i = 0; i < count; i++) {
        uint8_t kind = (uint8_t)take(input, 1);
        uint8_t *descriptor = rings + DESCRIPTOR * i;
        store_le(descriptor, RECEIVE_BUFFERS + 0x1000 * i, 8);
        store_le(descriptor + 8, kind & 0x80 ? kind : 2048, 4);
        store_le(descriptor + 12, kind & 1 ? 3 : 2, 2); /* WRITE, and perhaps NEXT */
        store_le(descriptor + 14, (i + 1) % QUEUE, 2);
        store_le(rings + 0x1004 + 2 * (guest->available[RECEIVE]++ % QUEUE), i, 2);
    }
    store_le(rings + 0x1002, guest->available[RECEIVE], 2);
    put(guest, VIRTIO_BASE + 0x3000, RECEIVE, 2);
}

static void put_e1000_descriptor(struct guest *guest, uint64_t first, uint64_t second)
{
    uint8_t *descriptor = guest->ram + TX_RING + DESCRIPTOR * guest->tail;
    store_le(descriptor, first, 8);
    store_le(descriptor + 8, second, 8);
    guest->tail = (guest->tail + 1) % QUEUE;
}

static void send_by_e1000(struct guest *guest, struct input *input)
{
    uint32_t size = make_frame(guest, input);
    uint8_t kind = (uint8_t)take(input, 1);
    uint64_t commands = (uint64_t)(kind & 0x7f) << 24 | 1 << 24;
    if (kind & 0x80) /* a context, and data by it */
        put_e1000_descriptor(guest, take(input, 8), 0x20000000 | take(input, 8));
    put_e1000_descriptor(guest, FRAME,
                         size | commands | (kind & 0x20 ? 1 << 20 : 0) | take(input, 2) << 40);
    put(guest, E1000_BASE + REG_TDT, guest->tail, 4);
}

static void access_register(struct guest *guest, struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    uint64_t base = kind & 1 ? VIRTIO_BASE : E1000_BASE;
    uint64_t offset = take(input, 2) % (kind & 1 ? VIRTIO_SIZE : E1000_SIZE);
    unsigned size = 1u << (kind >> 1 & 3);
    if (kind & 0x10)
        bus_read(guest->bus, BUS_MMIO, base + offset, size);
    else
        put(guest, base + (offset & ~(uint64_t)(size - 1)), take_value(input), size);
}

static void write_memory(struct guest *guest, struct input *input)
{
    static const uint32_t areas[] = {TX_RING,
                                     RX_RING,
                                     VIRTIO_RINGS,
                                     VIRTIO_RINGS + RINGS_APART,
                                     VIRTIO_RINGS + 0x1000,
                                     VIRTIO_RINGS + RINGS_APART + 0x1000};
    uint32_t at = areas[take(input, 1) % ARRAY_SIZE(areas)] + (uint32_t)take(input, 1);
    store_le(guest->ram + at, take_value(input), 4);
}

static void run(struct guest *guest, struct input *input)
{
    uint8_t kind = (uint8_t)take(input, 1);
    if (kind & 1)
        clock_step(guest->clock, 1000ull << (kind >> 1) % 25);
    loop_run_once(guest->loop, 0);
}

static void operate(struct guest *guest, struct input *input)
{
    switch (take(input, 1) % 12) {
    case 0:
        start_virtio(guest, (uint32_t)take(input, 4));
        break;
    case 1:
        start_e1000(guest, (uint32_t)take_value(input));
        break;
    case 2 ... 3:
        send_by_virtio(guest, input);
        break;
    case 4 ... 5:
        send_by_e1000(guest, input);
        break;
    case 6:
        offer_to_virtio(guest, input);
        break;
    case 7:
        put(guest, E1000_BASE + REG_RDT, take(input, 1) % QUEUE, 4);
        break;
    case 8:
        access_register(guest, input);
        break;
    case 9:
        write_memory(guest, input);
        break;
    default:
        run(guest, input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct guest *guest = guest_create();
    start_virtio(guest, 0x18000);
    start_e1000(guest, 0);
    while (input.size)
        operate(guest, &input);
    for (unsigned i = 0; i < 4; i++)
        loop_run_once(guest->loop, 0);
    guest_destroy(guest);
    return 0;
}
