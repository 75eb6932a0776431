/* The 82540EM plugged into a network that the test works by hand, as a driver sees it. */
#include "devices/net/e1000.h"
#include "devices/net/e1000_regs.h"

#include "virtio_driver.h"

enum { MEMORY = 0xd0000000, PORTS = 0xd000, COUNT = 8, DESC = 16 };
enum { TX_RING = 0x1000, RX_RING = 0x2000, OUT = 0x10000, IN = 0x20000 };
enum { EOP = 1 << 24, RS = 1 << 27, DEXT = 1 << 29, VLE = 1 << 30, TSE = 1 << 26, DATA = 1 << 20 };
enum { DD = 1, RX_EOP = 2, IXSM = 4, VP = 8, TCPCS = 0x20, IPCS = 0x40, PIF = 0x80 };

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct network {
    struct net net;
    unsigned kicks;
} network;
static struct e1000 *nic;
static struct clock *guest_clock;
static uint8_t frame[NET_FRAME_MAX];
static uint32_t tx_tail, rx_tail;

static void count_kick(struct net *net)
{
    ((struct network *)net)->kicks++;
}

static const struct net_ops network_ops = {.kick = count_kick};

static uint32_t read_reg(uint32_t offset)
{
    return read32(bus, MEMORY + offset);
}

static void write_reg(uint32_t offset, uint32_t value)
{
    write32(bus, MEMORY + offset, value);
}

static void create(void)
{
    driver_create_bus();
    guest_clock = clock_create_manual();
    network.net.ops = &network_ops;
    struct e1000_config config = {
        .bus = pci, .slot = SLOT, .clock = guest_clock, .net = &network.net};
    memcpy(config.mac, mac, sizeof(mac));
    nic = e1000_create(&config);
    cr_assert(nic);
    pci_bus_reset(pci);
    config_write(PCI_BASE_ADDRESS, MEMORY, 4);
    config_write(PCI_BASE_ADDRESS + 4, PORTS, 4);
    config_write(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void destroy(void)
{
    e1000_destroy(nic);
    cr_assert_null(network.net.card);
    clock_destroy(guest_clock);
    driver_destroy_bus();
}

static void start(uint32_t rctl)
{
    write_reg(REG_TDBAL, TX_RING);
    write_reg(REG_TDLEN, COUNT * DESC);
    write_reg(REG_RDBAL, RX_RING);
    write_reg(REG_RDLEN, COUNT * DESC);
    for (unsigned i = 0; i < COUNT; i++)
        store_le(ram + RX_RING + DESC * i, IN + 0x1000 * i, 8);
    write_reg(REG_TCTL, TCTL_EN);
    write_reg(REG_RCTL, RCTL_EN | RCTL_BAM | rctl);
    write_reg(REG_RDT, rx_tail = COUNT - 1);
    network.kicks = 0;
}

static uint32_t take(void)
{
    return network.net.card_ops->take(network.net.card, frame);
}

static bool give(const uint8_t *to, uint32_t size)
{
    memcpy(frame, to, 6);
    return network.net.card_ops->give(network.net.card, frame, size);
}

static void settle(void)
{
    network.net.card_ops->settle(network.net.card);
}

static uint8_t *put_descriptor(uint64_t first, uint64_t second)
{
    uint8_t *descriptor = ram + TX_RING + DESC * tx_tail;
    store_le(descriptor, first, 8);
    store_le(descriptor + 8, second, 8);
    tx_tail = (tx_tail + 1) % COUNT;
    return descriptor;
}

static uint64_t rx_status(unsigned index)
{
    return load_le(ram + RX_RING + DESC * index + 8, 8);
}

static uint8_t status_byte(unsigned index)
{
    return (uint8_t)(rx_status(index) >> 32);
}

static uint32_t sum_of(const uint8_t *data, uint32_t size, uint32_t sum)
{
    for (uint32_t i = 0; i < size; i++)
        sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

TestSuite(e1000, .init = create, .fini = destroy);

/* --- What it is */

static uint16_t eeprom_word(unsigned index)
{
    write_reg(REG_EERD, index << 8 | EERD_START);
    uint32_t value = read_reg(REG_EERD);
    cr_assert(value & EERD_DONE);
    return (uint16_t)(value >> 16);
}

Test(e1000, has_an_eeprom)
{
    uint16_t sum = 0;
    cr_assert_eq(config_read(PCI_VENDOR_ID, 4), 0x100e8086);
    for (unsigned i = 0; i < 64; i++)
        sum += eeprom_word(i);
    cr_assert_eq(sum, 0xbaba);
    cr_assert_eq(eeprom_word(0), 0x5452);
    cr_assert_eq(eeprom_word(2), 0x0302);
    cr_assert_eq(read_reg(REG_RAL), 0x01005452);
    cr_assert_eq(read_reg(REG_RAH), RAH_AV | 0x0302);
}

/* Returns what comes out while the clock is high. */
static bool clock_bit(bool bit)
{
    uint32_t pins = EECD_CS | (bit ? EECD_DI : 0);
    write_reg(REG_EECD, pins);
    write_reg(REG_EECD, pins | EECD_SK);
    bool out = read_reg(REG_EECD) & EECD_DO;
    write_reg(REG_EECD, pins);
    return out;
}

Test(e1000, has_the_eeprom_on_wires_too)
{
    cr_assert(read_reg(REG_EECD) & EECD_PRES);
    write_reg(REG_EECD, EECD_REQ);
    cr_assert(read_reg(REG_EECD) & EECD_GNT);
    for (unsigned round = 0; round < 2; round++) {
        write_reg(REG_EECD, EECD_CS);
        for (unsigned i = 0; i < 9; i++)
            clock_bit((6u << 6 | 1) >> (8 - i) & 1); /* start, READ, address 1 */
        uint32_t words = 0;
        for (unsigned i = 0; i < 32; i++)
            words = words << 1 | clock_bit(false);
        cr_assert_eq(words, 0x01000302, "%#x", words);
        write_reg(REG_EECD, 0);
    }
}

Test(e1000, has_a_phy)
{
    write_reg(REG_MDIC, MDIC_READ | 1 << 21 | 2 << 16);
    cr_assert_eq(read_reg(REG_MDIC), MDIC_READY | MDIC_READ | 1u << 21 | 2 << 16 | 0x0141);
    write_reg(REG_MDIC, MDIC_READ | 2 << 21 | 2 << 16);
    cr_assert(read_reg(REG_MDIC) & MDIC_ERROR);
    write_reg(REG_MDIC, MDIC_WRITE | 1 << 21 | 1 << 9 | 0x1000); /* negotiate again */
    cr_assert(read_reg(REG_ICR) & ICR_LSC);
    write_reg(REG_MDIC, MDIC_READ | 1 << 21 | 1 << 16);
    cr_assert(read_reg(REG_MDIC) & 4, "the link");
    cr_assert_eq(read_reg(REG_STATUS), STATUS_FD | STATUS_LU | STATUS_SPEED_1000);
}

Test(e1000, can_be_reached_through_ports)
{
    out32(bus, PORTS, REG_STATUS);
    cr_assert_eq(in32(bus, PORTS), REG_STATUS);
    cr_assert_eq(in32(bus, PORTS + 4), STATUS_FD | STATUS_LU | STATUS_SPEED_1000);
    out32(bus, PORTS, REG_VFTA);
    out32(bus, PORTS + 4, 0x1234);
    cr_assert_eq(read_reg(REG_VFTA), 0x1234);
    out32(bus, PORTS, 0xfffffffc);
    out32(bus, PORTS + 4, 1);
    cr_assert_eq(in32(bus, PORTS + 4), 0);
}

/* --- Interrupts */

Test(e1000, interrupts)
{
    write_reg(REG_ICS, ICR_LSC);
    cr_assert_not(line.level, "masked");
    write_reg(REG_IMS, ICR_LSC);
    cr_assert(line.level);
    cr_assert_eq(read_reg(REG_ICR), ICR_LSC);
    cr_assert_not(line.level);
    cr_assert_eq(read_reg(REG_ICR), 0);
    write_reg(REG_ICS, ICR_LSC | ICR_RXT0);
    write_reg(REG_IMC, ICR_LSC);
    cr_assert_not(line.level);
    write_reg(REG_ICR, ICR_RXT0);
    cr_assert_eq(read_reg(REG_ICR), ICR_LSC, "ones clear");
}

Test(e1000, interrupts_no_more_often_than_it_may)
{
    write_reg(REG_ITR, 1000); /* 256 us */
    write_reg(REG_IMS, ICR_RXT0);
    write_reg(REG_ICS, ICR_RXT0);
    cr_assert(line.level);
    read_reg(REG_ICR);
    write_reg(REG_ICS, ICR_RXT0);
    cr_assert_not(line.level);
    clock_step(guest_clock, 255999);
    cr_assert_not(line.level);
    clock_step(guest_clock, 1);
    cr_assert(line.level);
}

/* --- Transmission */

Test(e1000, sends)
{
    start(0);
    write_reg(REG_IMS, ICR_TXDW);
    memset(ram + OUT, 'a', 0x2000);
    uint8_t *first = put_descriptor(OUT, 60);
    uint8_t *last = put_descriptor(OUT + 0x1000, 40 | EOP | RS);
    write_reg(REG_TDT, tx_tail);
    cr_assert_eq(network.kicks, 1);
    cr_assert_eq(take(), 100);
    cr_assert_eq(frame[99], 'a');
    cr_assert_eq(read_reg(REG_TDH), 2);
    cr_assert_eq(first[12], 0);
    cr_assert_eq(last[12], DD);
    cr_assert_not(line.level);
    settle();
    cr_assert(line.level);
    cr_assert_eq(read_reg(REG_ICR), ICR_TXDW | ICR_TXQE);
    cr_assert_eq(take(), 0);
    cr_assert_eq(read_reg(STAT_GPTC), 1);
    cr_assert_eq(read_reg(STAT_GPTC), 0, "cleared by reading");
    cr_assert_eq(read_reg(STAT_GOTC), 104);
    cr_assert_eq(read_reg(STAT_GOTC), 104, "only with its upper half");
    cr_assert_eq(read_reg(STAT_GOTC + 4), 0);
    cr_assert_eq(read_reg(STAT_GOTC), 0);
    cr_assert_eq(read_reg(STAT_PTC64 + 4), 1, "up to 127 bytes");
}

Test(e1000, inserts_checksums)
{
    start(0);
    for (unsigned i = 0; i < 101; i++)
        ram[OUT + i] = (uint8_t)i;
    /* IP from 14 to 33 with its field at 24, TCP from 34 with its field at 50. */
    put_descriptor(14 | 24 << 8 | 33 << 16 | 34ull << 32 | 50ull << 40, DEXT);
    put_descriptor(OUT, 101 | DATA | DEXT | EOP | 3ull << 40);
    write_reg(REG_TDT, tx_tail);
    cr_assert_eq(take(), 101);
    cr_assert_eq(sum_of(frame + 14, 20, 24 << 8 | 25), 0xffff);
    cr_assert_eq(sum_of(frame + 34, 67, 50 << 8 | 51), 0xffff);

    put_descriptor(OUT, 101 | 50 << 16 | EOP | 1 << 26 | 34ull << 40); /* the old way */
    write_reg(REG_TDT, tx_tail);
    cr_assert_eq(take(), 101);
    cr_assert_eq(frame[24], 24);
    cr_assert_eq(sum_of(frame + 34, 67, 50 << 8 | 51), 0xffff);
}

Test(e1000, leaves_segments_whole)
{
    enum { SIZE_OF_ALL = 54 + 5000 };
    start(0);
    memset(ram + OUT, 0, SIZE_OF_ALL);
    ram[OUT + 50] = 0x12; /* the sum of the pseudo-header, without the length */
    put_descriptor(14 | 24 << 8 | 33 << 16 | 34ull << 32 | 50ull << 40,
                   5000 | DEXT | TSE | 3 << 24 | 54ull << 40 | 1460ull << 48);
    put_descriptor(OUT, 54 | DATA | DEXT | TSE | 3ull << 40);
    put_descriptor(OUT + 54, 5000 | DATA | DEXT | TSE | EOP);
    write_reg(REG_TDT, tx_tail);
    cr_assert_eq(take(), SIZE_OF_ALL);
    cr_assert_eq(frame[16] << 8 | frame[17], SIZE_OF_ALL - 14, "IP's length");
    cr_assert_eq(sum_of(frame + 14, 20, 0), 0xffff);
    cr_assert_eq(sum_of(frame + 34, SIZE_OF_ALL - 34, 0x1200 + SIZE_OF_ALL - 34), 0xffff);
    cr_assert_eq(read_reg(STAT_TSCTC), 1);
}

Test(e1000, inserts_tags)
{
    start(0);
    write_reg(REG_CTRL, CTRL_VME);
    for (unsigned i = 0; i < 60; i++)
        ram[OUT + i] = (uint8_t)i;
    put_descriptor(OUT, 60 | EOP | VLE | 0xabcull << 48);
    write_reg(REG_TDT, tx_tail);
    cr_assert_eq(take(), 64);
    static const uint8_t around[] = {11, 0x81, 0x00, 0x0a, 0xbc, 12};
    cr_assert_arr_eq(frame + 11, around, sizeof(around));
}

Test(e1000, survives_nonsense)
{
    start(0);
    write_reg(REG_TDT, 0xffff);
    cr_assert_eq(take(), 0, "a tail outside the ring");
    write_reg(REG_TDT, 0);
    write_reg(REG_TDH, 0xfff0);
    cr_assert_eq(take(), 0);
    write_reg(REG_TDH, 0);
    put_descriptor(RAM, 60 | EOP);
    put_descriptor(OUT, 5 | EOP);
    put_descriptor(OUT, 0xfffff | DATA | DEXT | EOP);
    put_descriptor(OUT, 0xfffff | DATA | DEXT);
    put_descriptor(OUT, 60 | DATA | DEXT | EOP);
    put_descriptor(OUT, 60 | 14u << 20 | DEXT | EOP);
    write_reg(REG_TDT, tx_tail);
    cr_assert_eq(take(), 60, "absent memory");
    cr_assert_eq(take(), 0, "all others are no frames");
    cr_assert_eq(read_reg(REG_TDH), tx_tail);
    write_reg(REG_TDLEN, 0);
    write_reg(REG_RDLEN, 0);
    cr_assert_eq(take(), 0);
    cr_assert_not(give(broadcast, 60));
    write_reg(REG_RDBAL, RAM);
    write_reg(REG_RDLEN, COUNT * DESC);
    cr_assert(give(broadcast, 60));
    write_reg(REG_CTRL, CTRL_RST);
    cr_assert(give(broadcast, 60), "it does not receive");
}

/* --- Reception */

Test(e1000, receives)
{
    start(0);
    write_reg(REG_IMS, ICR_RXT0);
    memset(frame, 'b', 70);
    memset(ram + IN, 0xff, 0x1000);
    cr_assert(give(mac, 70));
    cr_assert_eq(rx_status(0) & 0xffff, 70 + 4, "with a CRC");
    cr_assert_eq(status_byte(0), DD | RX_EOP | IXSM);
    cr_assert_arr_eq(ram + IN, frame, 70);
    cr_assert_eq(ram[IN + 74], 0xff);
    settle();
    cr_assert(line.level);
    cr_assert(give(mac, 20));
    cr_assert_eq(rx_status(1) & 0xffff, 64, "padded");
    write_reg(REG_RCTL, RCTL_EN | RCTL_SECRC);
    cr_assert(give(mac, 70));
    cr_assert_eq(rx_status(2) & 0xffff, 70);
    cr_assert_eq(read_reg(STAT_GPRC), 3);
    cr_assert_eq(read_reg(STAT_TOR), 74 + 24 + 74);
    cr_assert_eq(read_reg(REG_RDH), 3);
}

Test(e1000, tells_of_checksums)
{
    start(0);
    write_reg(REG_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL | 14);
    memset(frame, 0, 100);
    frame[12] = 8;
    frame[14] = 0x45;
    frame[23] = 17;
    cr_assert(give(mac, 100));
    cr_assert_eq(status_byte(0), DD | RX_EOP | IPCS | TCPCS);
    cr_assert_eq(rx_status(0) >> 16 & 0xffff, 0x0045 + 0x1100, "the sum from 14 on");
    frame[20] = 0x20;
    cr_assert(give(mac, 100));
    cr_assert_eq(status_byte(1), DD | RX_EOP | IPCS, "a fragment");
}

Test(e1000, filters_addresses)
{
    static const uint8_t other[6] = {2, 0, 0, 0, 0, 1}, group[6] = {1, 0, 0x5e, 0, 0, 1};
    start(0);
    cr_assert(give(other, 60));
    cr_assert(give(group, 60));
    cr_assert_eq(status_byte(0), 0, "dropped");
    cr_assert(give(broadcast, 60));
    cr_assert_eq(status_byte(0), DD | RX_EOP | IXSM | PIF);
    uint32_t hash = (group[5] << 8 | group[4]) >> 4;
    write_reg(REG_MTA + 4 * (hash >> 5), 1u << (hash & 31));
    cr_assert(give(group, 60));
    cr_assert_eq(status_byte(1), DD | RX_EOP | IXSM | PIF);
    write_reg(REG_RAL + 8, (uint32_t)load_le(other, 4));
    write_reg(REG_RAH + 8, RAH_AV | (uint32_t)load_le(other + 4, 2));
    cr_assert(give(other, 60));
    cr_assert_eq(status_byte(2), DD | RX_EOP | IXSM);
    write_reg(REG_RAH + 8, 0);
    write_reg(REG_RCTL, RCTL_EN | RCTL_UPE);
    cr_assert(give(other, 60));
    cr_assert_eq(status_byte(3), DD | RX_EOP | IXSM);
    cr_assert(give(broadcast, 60));
    cr_assert_eq(status_byte(4), 0);
    cr_assert_eq(read_reg(STAT_BPRC), 1);
    cr_assert_eq(read_reg(STAT_MPRC), 1);
}

Test(e1000, spreads_frames_over_descriptors)
{
    start(RCTL_LPE);
    for (unsigned i = 0; i < 5000; i++)
        frame[i] = (uint8_t)(i / 7);
    cr_assert(give(mac, 5000));
    cr_assert_eq(rx_status(0) & 0xffff, 2048);
    cr_assert_eq(status_byte(0), DD);
    cr_assert_eq(rx_status(2) & 0xffff, 5004 - 4096);
    cr_assert_eq(status_byte(2), DD | RX_EOP | IXSM);
    cr_assert_arr_eq(ram + IN + 0x2000, frame + 4096, 5000 - 4096);
    cr_assert(give(mac, 5000));
    cr_assert_not(give(mac, 5000), "one descriptor is left");
    settle();
    cr_assert(read_reg(REG_ICR) & ICR_RXDMT0);
    network.kicks = 0;
    write_reg(REG_RDT, 5);
    cr_assert_eq(network.kicks, 1);
    cr_assert(give(mac, 5000));
    write_reg(REG_RDT, 4);
    cr_assert_eq(network.kicks, 1, "the network did not wait");
}

Test(e1000, drops_long_frames)
{
    start(0);
    cr_assert(give(mac, 1519));
    cr_assert_eq(status_byte(0), 0);
    cr_assert_eq(read_reg(STAT_ROC), 1);
    cr_assert(give(mac, 1518));
    cr_assert_eq(status_byte(0), DD | RX_EOP | IXSM);
}

Test(e1000, takes_tags_off)
{
    static const uint8_t tag[] = {0x81, 0x00, 0x20, 0x05, 0x08, 0x00};
    start(RCTL_VFE);
    write_reg(REG_CTRL, CTRL_VME);
    memset(frame, 'c', 100);
    memcpy(frame + 12, tag, sizeof(tag));
    cr_assert(give(mac, 100));
    cr_assert_eq(status_byte(0), 0, "not of its networks");
    write_reg(REG_VFTA, 1 << 5);
    cr_assert(give(mac, 100));
    cr_assert_eq(status_byte(0), DD | RX_EOP | IXSM | VP);
    cr_assert_eq(rx_status(0) >> 48, 0x2005);
    cr_assert_eq(rx_status(0) & 0xffff, 100);
    cr_assert_arr_eq(ram + IN, mac, 6);
    cr_assert_arr_eq(ram + IN + 12, "\x08\0ccc", 5);
}
