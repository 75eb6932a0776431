/* virtio-net plugged into a network that the test works by hand. */
#include "devices/net/virtio_net.h"

#include "virtio_driver.h"

enum { RECEIVE, TRANSMIT };
enum { RINGS_BEHIND = 0x3000 }; /* the transmit queue's from the receive queue's */
enum { OUT = 0x10000, IN = 0x20000, HEADER = 12 };
enum { NEXT = 1, WRITE = 2 }; /* of descriptors */
enum { F_CSUM = 1, F_GUEST_CSUM = 2, F_MRG_RXBUF = 1 << 15 };

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static struct network {
    struct net net;
    unsigned kicks;
} network;
static struct virtio_net *nic;
static uint16_t available[2];
static uint8_t frame[NET_FRAME_MAX];

static void count_kick(struct net *net)
{
    ((struct network *)net)->kicks++;
}

static const struct net_ops network_ops = {.kick = count_kick};

static void create(void)
{
    driver_create_bus();
    network.net.ops = &network_ops;
    struct virtio_net_config config = {.bus = pci, .slot = SLOT, .net = &network.net, .mtu = 9000};
    memcpy(config.mac, mac, sizeof(mac));
    nic = virtio_net_create(&config);
    cr_assert(nic);
    driver_map_device();
}

static void destroy(void)
{
    virtio_net_destroy(nic);
    cr_assert_null(network.net.card);
    driver_destroy_bus();
}

static void start(uint32_t features)
{
    negotiate(features, VERSION_1);
    enable_queue_at(RECEIVE, 0);
    enable_queue_at(TRANSMIT, RINGS_BEHIND);
    put(0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1);
    network.kicks = 0;
}

static uint32_t take(void)
{
    return network.net.card_ops->take(network.net.card, frame);
}

static bool give(const void *data, uint32_t size)
{
    return network.net.card_ops->give(network.net.card, data, size);
}

static void settle(void)
{
    network.net.card_ops->settle(network.net.card);
}

static uint64_t rings(unsigned queue)
{
    return queue == TRANSMIT ? RINGS_BEHIND : 0;
}

static void describe(unsigned queue, unsigned index, uint64_t address, uint32_t size,
                     unsigned flags)
{
    uint8_t *descriptor = ram + DESCRIPTORS + rings(queue) + 16 * index;
    store_le(descriptor, address, 8);
    store_le(descriptor + 8, size, 4);
    store_le(descriptor + 12, flags, 2);
    store_le(descriptor + 14, index + 1, 2);
}

static void offer(unsigned queue, unsigned head)
{
    uint8_t *ring = ram + AVAILABLE + rings(queue);
    store_le(ring + 4 + 2 * (available[queue] % SIZE), head, 2);
    store_le(ring + 2, ++available[queue], 2);
    put(NOTIFY + 4 * queue, queue, 2);
}

static uint16_t used_of(unsigned queue)
{
    return (uint16_t)load_le(ram + USED + rings(queue) + 2, 2);
}

static uint32_t used_size(unsigned queue, unsigned index)
{
    return (uint32_t)load_le(ram + USED + rings(queue) + 8 + 8 * index, 4);
}

/* A frame to send of size bytes behind a header, in one buffer. */
static void send(const uint8_t *header, uint32_t size)
{
    memcpy(ram + OUT, header, HEADER);
    for (uint32_t i = 0; i < size; i++)
        ram[OUT + HEADER + i] = (uint8_t)i;
    describe(TRANSMIT, 0, OUT, HEADER + size, 0);
    offer(TRANSMIT, 0);
}

TestSuite(virtio_net, .init = create, .fini = destroy);

static const uint8_t plain[HEADER];

Test(virtio_net, tells_what_it_is)
{
    cr_assert_eq(config_read(PCI_VENDOR_ID, 4), 0x10001af4);
    cr_assert_eq(config_read(PCI_CLASS_CODE - 1, 4) >> 8, 0x020000);
    for (unsigned i = 0; i < sizeof(mac); i++)
        cr_assert_eq(get(DEVICE + i, 1), mac[i]);
    cr_assert_eq(get(DEVICE + 6, 2), 1, "the link is up");
    cr_assert_eq(get(DEVICE + 10, 2), 9000);
    put(DEVICE, 0, 1);
    cr_assert_eq(get(DEVICE, 1), mac[0]);
}

Test(virtio_net, sends)
{
    start(0);
    send(plain, 100);
    cr_assert_eq(network.kicks, 1);
    cr_assert_eq(used_of(TRANSMIT), 0, "the network takes it when it wants");
    cr_assert_eq(take(), 100);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(frame[i], i);
    cr_assert_eq(used_of(TRANSMIT), 1);
    cr_assert_eq(take(), 0);
    cr_assert_not(line.level);
    settle();
    cr_assert(line.level);
}

Test(virtio_net, sends_frames_in_pieces)
{
    start(0);
    memset(ram + OUT, 0, HEADER);
    memset(ram + OUT + 0x1000, 'a', 0x8000);
    describe(TRANSMIT, 0, OUT, 5, NEXT);
    describe(TRANSMIT, 1, OUT + 5, HEADER - 5, NEXT);
    describe(TRANSMIT, 2, OUT + 0x1000, 0x8000, NEXT);
    describe(TRANSMIT, 3, OUT + 0x1000, 0x7000, 0);
    offer(TRANSMIT, 0);
    cr_assert_eq(take(), 0xf000);
    cr_assert_eq(frame[0], 'a');
    cr_assert_eq(frame[0xefff], 'a');
}

Test(virtio_net, drops_what_is_no_frame)
{
    start(F_CSUM);
    send(plain, NET_HEADER - 1);
    cr_assert_eq(take(), 0, "too short");
    describe(TRANSMIT, 0, OUT, 3, 0);
    offer(TRANSMIT, 0);
    cr_assert_eq(take(), 0, "not even a header");
    describe(TRANSMIT, 0, OUT, HEADER + NET_FRAME_MAX + 1, 0);
    offer(TRANSMIT, 0);
    cr_assert_eq(take(), 0, "too long");
    static const uint8_t outside[HEADER] = {[0] = 1, [6] = 50, [8] = 49};
    send(outside, 100);
    cr_assert_eq(take(), 0, "a checksum behind its end");
    describe(TRANSMIT, 0, IN, 100, WRITE);
    offer(TRANSMIT, 0);
    cr_assert_eq(take(), 0, "a buffer to write");
    cr_assert_eq(used_of(TRANSMIT), 5, "all are given back");
    send(plain, NET_HEADER);
    cr_assert_eq(take(), NET_HEADER);
}

Test(virtio_net, completes_checksums)
{
    static const uint8_t partial[HEADER] = {[0] = 1, [6] = 20, [8] = 6};
    start(F_CSUM);
    send(partial, 101);
    cr_assert_eq(take(), 101);
    uint32_t sum = 26 << 8 | 27; /* what the field held when it was summed up */
    for (unsigned i = 20; i < 101; i++)
        sum += (uint32_t)frame[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    cr_assert_eq(sum, 0xffff);
    cr_assert_eq(frame[19], 19, "what lies before is left alone");
}

Test(virtio_net, leaves_checksums_alone_that_were_not_agreed_on)
{
    static const uint8_t partial[HEADER] = {[0] = 1, [6] = 20, [8] = 6};
    start(0);
    send(partial, 101);
    cr_assert_eq(take(), 101);
    cr_assert_eq(frame[26], 26);
}

Test(virtio_net, receives_into_one_buffer)
{
    start(F_GUEST_CSUM);
    cr_assert_not(give("a frame of some length", 22), "no buffer yet");
    memset(ram + IN, 0xff, 0x1000);
    describe(RECEIVE, 0, IN, 2000, WRITE);
    offer(RECEIVE, 0);
    cr_assert_eq(network.kicks, 1);
    cr_assert(give("a frame of some length", 22));
    static const uint8_t header[HEADER] = {[0] = 2, [10] = 1};
    cr_assert_arr_eq(ram + IN, header, HEADER);
    cr_assert_arr_eq(ram + IN + HEADER, "a frame of some length", 22);
    cr_assert_eq(used_size(RECEIVE, 0), HEADER + 22);
    settle();
    cr_assert(line.level);
}

Test(virtio_net, receives_into_several_buffers_at_once)
{
    start(F_MRG_RXBUF);
    for (unsigned i = 0; i < 3000; i++)
        frame[i] = (uint8_t)(i / 7);
    for (unsigned i = 0; i < 3; i++)
        describe(RECEIVE, i, IN + 0x1000 * i, 1012, WRITE);
    offer(RECEIVE, 0);
    offer(RECEIVE, 1);
    cr_assert_not(give(frame, 3000), "two are too few");
    cr_assert_eq(used_of(RECEIVE), 0);
    offer(RECEIVE, 2);
    cr_assert(give(frame, 3000));
    cr_assert_eq(used_of(RECEIVE), 3);
    cr_assert_eq(load_le(ram + IN + 10, 2), 3);
    cr_assert_arr_eq(ram + IN + HEADER, frame, 1000);
    cr_assert_arr_eq(ram + IN + 0x1000, frame + 1000, 1012);
    cr_assert_arr_eq(ram + IN + 0x2000, frame + 2012, 988);
    cr_assert_eq(used_size(RECEIVE, 0), 1012);
    cr_assert_eq(used_size(RECEIVE, 2), 988);
}

Test(virtio_net, drops_what_its_driver_has_no_room_for)
{
    start(0);
    describe(RECEIVE, 0, IN, 1000, WRITE);
    offer(RECEIVE, 0);
    cr_assert(give(frame, 1001 - HEADER));
    cr_assert_eq(used_of(RECEIVE), 0, "too long for the buffer, which stays");
    cr_assert(give(frame, 1000 - HEADER));
    cr_assert_eq(used_of(RECEIVE), 1);
}

Test(virtio_net, drops_frames_while_it_is_not_in_use)
{
    cr_assert(give(frame, 100));
    cr_assert_eq(take(), 0);
    settle();
    start(0);
    cr_assert_not(give(frame, 100));
    put(0x14, 0, 1);
    cr_assert(give(frame, 100));
}

Test(virtio_net, asks_for_a_reset_after_nonsense)
{
    start(F_MRG_RXBUF);
    describe(RECEIVE, 0, IN, HEADER, WRITE);
    offer(RECEIVE, 0);
    cr_assert(give(frame, 100), "no room for the header and a byte");
    cr_assert(get(0x14, 1) & NEEDS_RESET);
    memset(ram + USED, 0, 0x1000);
    memset(available, 0, sizeof(available));
    start(F_MRG_RXBUF);
    describe(RECEIVE, 0, IN, 20, WRITE);
    describe(RECEIVE, 1, OUT, 20, 0);
    offer(RECEIVE, 0);
    offer(RECEIVE, 1);
    cr_assert(give(frame, 100), "a buffer to read");
    cr_assert(get(0x14, 1) & NEEDS_RESET);
    cr_assert_eq(used_of(RECEIVE), 0);
}

Test(virtio_net, has_the_short_header_for_a_legacy_driver)
{
    out8(bus, BASE + 0x12, 0);
    out32(bus, BASE + 4, 0);
    bus_write(bus, BUS_PORT, BASE + 0x0e, TRANSMIT, 2);
    cr_assert_eq(bus_read(bus, BUS_PORT, BASE + 0x0c, 2), 256);
    out32(bus, BASE + 8, 0x40000 / PAGE_SIZE);
    out8(bus, BASE + 0x12, ACKNOWLEDGE | DRIVER | DRIVER_OK);
    uint8_t *descriptor = ram + 0x40000, *ring = descriptor + 16 * 256;
    store_le(descriptor, OUT, 8);
    store_le(descriptor + 8, 10 + 20, 4);
    store_le(ring + 2, 1, 2);
    memset(ram + OUT + 10, 'x', 20);
    bus_write(bus, BUS_PORT, BASE + 0x10, TRANSMIT, 2);
    cr_assert_eq(take(), 20);
    cr_assert_eq(frame[0], 'x');
}
