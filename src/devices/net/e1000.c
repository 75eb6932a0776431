#include "devices/net/e1000_internal.h"

#include <stdlib.h>
#include <string.h>

enum { VENDOR_INTEL = 0x8086, DEVICE_82540EM = 0x100e, CLASS_ETHERNET = 0x020000, REVISION = 3 };
enum { BAR_MEMORY = 0, MEMORY_SIZE = 0x20000, BAR_IO = 1, IO_SIZE = 64 };
enum { IOADDR = 0, IODATA = 4 };
enum { ITR_UNIT_NS = 256, PBA_DEFAULT = 0x00100030, VET_DEFAULT = 0x8100 };

/* --- Interrupts */

/* The pin follows the causes that are not masked, but does not rise again before the interval. */
static void update_pin(struct e1000 *nic)
{
    bool wanted = *e1000_reg(nic, REG_ICR) & *e1000_reg(nic, REG_IMS);
    uint64_t now = clock_now(nic->clock);
    if (wanted && !nic->pin && now < nic->quiet_until) {
        clock_arm(nic->clock, &nic->throttle, nic->quiet_until);
        return;
    }
    if (wanted && !nic->pin)
        nic->quiet_until = now + (*e1000_reg(nic, REG_ITR) & 0xffff) * (uint64_t)ITR_UNIT_NS;
    nic->pin = wanted;
    pci_set_intx(&nic->pci, wanted);
}

static void on_throttle(void *opaque)
{
    update_pin(opaque);
}

void e1000_interrupt(struct e1000 *nic, uint32_t causes)
{
    *e1000_reg(nic, REG_ICR) |= causes;
    update_pin(nic);
}

/* --- Frames */

void e1000_write_back(struct e1000 *nic, uint64_t descriptor, uint64_t value)
{
    uint64_t size = sizeof(value), at = descriptor + 8;
    uint64_t *half = pci_dma_map(&nic->pci, at, &size);
    if (!half || size != sizeof(value) || at % sizeof(value))
        return;
    __atomic_store_n(half, value, __ATOMIC_RELEASE);
    pci_dma_written(&nic->pci, at, sizeof(value));
}

static void add64(struct e1000 *nic, unsigned statistic, uint32_t value)
{
    uint64_t sum = e1000_reg64(nic, statistic) + value;
    *e1000_reg(nic, statistic) = (uint32_t)sum;
    *e1000_reg(nic, statistic + 4) = (uint32_t)(sum >> 32);
}

void e1000_count(struct e1000 *nic, bool sent, const uint8_t *frame, uint32_t size)
{
    static const uint16_t limits[] = {64, 127, 255, 511, 1023};
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t whole = size + E1000_CRC;
    unsigned range = 0;
    while (range < ARRAY_SIZE(limits) && whole > limits[range])
        range++;
    ++*e1000_reg(nic, (sent ? STAT_PTC64 : STAT_PRC64) + 4 * range);
    ++*e1000_reg(nic, sent ? STAT_TPT : STAT_TPR);
    ++*e1000_reg(nic, sent ? STAT_GPTC : STAT_GPRC);
    add64(nic, sent ? STAT_TOT : STAT_TOR, whole);
    add64(nic, sent ? STAT_GOTC : STAT_GORC, whole);
    if (!memcmp(frame, all, sizeof(all)))
        ++*e1000_reg(nic, sent ? STAT_BPTC : STAT_BPRC);
    else if (frame[0] & 1)
        ++*e1000_reg(nic, sent ? STAT_MPTC : STAT_MPRC);
}

static void settle(void *card)
{
    struct e1000 *nic = card;
    uint32_t causes = nic->causes;
    nic->causes = 0;
    if (causes)
        e1000_interrupt(nic, causes);
}

static const struct net_card_ops card_ops = {e1000_take, e1000_give, settle};

/* --- Reset */

/* CTRL.RST, or the pin: all but the PHY. */
static void reset_chip(struct e1000 *nic)
{
    memset(nic->reg, 0, sizeof(nic->reg));
    *e1000_reg(nic, REG_STATUS) = STATUS_FD | STATUS_LU | STATUS_SPEED_1000;
    *e1000_reg(nic, REG_PBA) = PBA_DEFAULT;
    *e1000_reg(nic, REG_VET) = VET_DEFAULT;
    memcpy(e1000_reg(nic, REG_RAL), nic->mac, sizeof(nic->mac));
    *e1000_reg(nic, REG_RAH) |= RAH_AV;
    nic->eeprom.clock = nic->eeprom.select = nic->eeprom.reading = false;
    nic->sending.size = 0;
    nic->sending.checks_ip = nic->sending.checks_tcp = false;
    nic->context = nic->segmentation = (struct e1000_context){0};
    nic->causes = 0;
    nic->starved = false;
    nic->quiet_until = 0;
    clock_cancel(nic->clock, &nic->throttle);
    update_pin(nic);
}

static void reset_function(struct pci_function *function)
{
    struct e1000 *nic = (struct e1000 *)function;
    nic->io_address = 0;
    e1000_phy_reset(nic);
    reset_chip(nic);
}

/* --- Registers */

/* Those that are plain memory for the driver, by their first and last. */
static bool is_plain(unsigned offset, uint32_t *writable)
{
    static const struct {
        uint16_t first, last;
        uint32_t writable;
    } plain[] = {
        {REG_CTRL, REG_CTRL, ~0u},       {REG_CTRL_EXT, REG_CTRL_EXT, ~0u},
        {REG_FCAL, REG_FCT, ~0u},        {REG_VET, REG_VET, 0xffff},
        {REG_ITR, REG_ITR, 0xffff},      {REG_RCTL, REG_RCTL, 0x07ffffff},
        {REG_FCTTV, REG_FCTTV, 0xffff},  {REG_TXCW, REG_TXCW, ~0u},
        {REG_TCTL, REG_TCTL, ~0u},       {REG_TIPG, REG_TIPG, ~0u},
        {REG_AIT, REG_AIT, 0xffff},      {REG_LEDCTL, REG_LEDCTL, ~0u},
        {REG_PBA, REG_PBA, ~0u},         {REG_FCRTL, REG_FCRTL, ~0u},
        {REG_FCRTH, REG_FCRTH, ~0u},     {REG_RDBAL, REG_RDBAL, ~15u},
        {REG_RDBAH, REG_RDBAH, ~0u},     {REG_RDLEN, REG_RDLEN, 0xfff80},
        {REG_RDH, REG_RDH, 0xffff},      {REG_RDT, REG_RDT, 0xffff},
        {REG_RDTR, REG_RDTR, 0xffff},    {REG_RXDCTL, REG_RADV, ~0u},
        {REG_TDBAL, REG_TDBAL, ~15u},    {REG_TDBAH, REG_TDBAH, ~0u},
        {REG_TDLEN, REG_TDLEN, 0xfff80}, {REG_TDH, REG_TDH, 0xffff},
        {REG_TDT, REG_TDT, 0xffff},      {REG_TIDV, REG_TIDV, 0xffff},
        {REG_TXDCTL, REG_TSPMT, ~0u},    {REG_RXCSUM, REG_RXCSUM, 0x7ff},
        {REG_MTA, REG_RAL + 0x7c, ~0u},  {REG_VFTA, REG_VFTA_END - 4, ~0u},
    };
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        if (offset >= plain[i].first && offset <= plain[i].last) {
            *writable = plain[i].writable;
            return true;
        }
    return false;
}

/* Those of 64 bits go when their upper half is read. */
static void clear_statistic(struct e1000 *nic, unsigned offset)
{
    static const uint16_t wide[] = {STAT_GORC, STAT_GOTC, STAT_TOR, STAT_TOT};
    for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
        if (offset == wide[i])
            return;
        if (offset == wide[i] + 4u)
            *e1000_reg(nic, wide[i]) = 0;
    }
    *e1000_reg(nic, offset) = 0;
}

static uint32_t read_register(struct e1000 *nic, uint64_t offset)
{
    if (offset >= REGS_END)
        return 0;
    uint32_t value = *e1000_reg(nic, (unsigned)offset);
    if (offset == REG_EECD)
        return e1000_eeprom_pins(nic);
    if (offset == REG_ICR) {
        *e1000_reg(nic, REG_ICR) = 0;
        update_pin(nic);
    }
    if (offset >= REG_STATISTICS && offset < REG_STATISTICS_END)
        clear_statistic(nic, (unsigned)offset);
    return value;
}

/* What follows from the new value of a plain register. */
static void plain_written(struct e1000 *nic, unsigned offset)
{
    switch (offset) {
    case REG_CTRL:
        if (*e1000_reg(nic, REG_CTRL) & CTRL_RST)
            reset_chip(nic);
        break;
    case REG_RDT:
        if (nic->starved)
            net_kick(nic->net);
        break;
    case REG_TDT:
    case REG_TCTL:
    case REG_RCTL:
        net_kick(nic->net);
        break;
    }
}

static void write_register(struct e1000 *nic, uint64_t offset, uint32_t value)
{
    uint32_t writable;
    switch (offset) {
    case REG_EECD:
        e1000_eeprom_drive(nic, value);
        return;
    case REG_EERD:
        e1000_eeprom_read(nic, value);
        return;
    case REG_MDIC:
        e1000_phy_access(nic, value);
        return;
    case REG_ICR: /* ones clear */
        *e1000_reg(nic, REG_ICR) &= ~value;
        update_pin(nic);
        return;
    case REG_ICS:
        e1000_interrupt(nic, value);
        return;
    case REG_IMS:
        *e1000_reg(nic, REG_IMS) |= value;
        update_pin(nic);
        return;
    case REG_IMC:
        *e1000_reg(nic, REG_IMS) &= ~value;
        update_pin(nic);
        return;
    }
    if (offset < REGS_END && is_plain((unsigned)offset, &writable)) {
        *e1000_reg(nic, (unsigned)offset) = value & writable;
        plain_written(nic, (unsigned)offset);
    }
}

static uint64_t memory_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return read_register(device, offset);
}

static void memory_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    write_register(device, offset, (uint32_t)value);
}

static const struct bus_ops memory_ops = {"e1000", memory_read, memory_write, 4, 4};

static uint64_t io_read(void *device, uint64_t offset, unsigned size)
{
    struct e1000 *nic = device;
    (void)size;
    if (offset == IOADDR)
        return nic->io_address;
    return offset == IODATA ? read_register(nic, nic->io_address & ~3u) : 0;
}

static void io_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct e1000 *nic = device;
    (void)size;
    if (offset == IOADDR)
        nic->io_address = (uint32_t)value;
    if (offset == IODATA)
        write_register(nic, nic->io_address & ~3u, (uint32_t)value);
}

static const struct bus_ops io_ops = {"e1000-io", io_read, io_write, 4, 4};

/* --- Life */

static const struct pci_ops pci_ops = {.name = "e1000", .reset = reset_function};

struct e1000 *e1000_create(const struct e1000_config *config)
{
    struct e1000 *nic = calloc(1, sizeof(*nic));
    if (!nic)
        return NULL;
    nic->net = config->net;
    nic->clock = config->clock;
    memcpy(nic->mac, config->mac, sizeof(nic->mac));
    clock_timer_init(&nic->throttle, on_throttle, nic);
    pci_init(&nic->pci, &pci_ops,
             &(struct pci_identity){.vendor = VENDOR_INTEL,
                                    .device = DEVICE_82540EM,
                                    .class_code = CLASS_ETHERNET,
                                    .revision = REVISION,
                                    .interrupt_pin = 1});
    pci_add_bar(&nic->pci, BAR_MEMORY, PCI_BAR_MEMORY, MEMORY_SIZE, &memory_ops, nic);
    pci_add_bar(&nic->pci, BAR_IO, PCI_BAR_IO, IO_SIZE, &io_ops, nic);
    e1000_eeprom_fill(nic);
    e1000_phy_reset(nic);
    if (!pci_bus_attach(config->bus, &nic->pci, config->slot, 0)) {
        e1000_destroy(nic);
        return NULL;
    }
    net_connect(nic->net, &card_ops, nic);
    return nic;
}

void e1000_destroy(struct e1000 *nic)
{
    if (!nic)
        return;
    net_connect(nic->net, NULL, NULL);
    clock_cancel(nic->clock, &nic->throttle);
    pci_free(&nic->pci);
    free(nic);
}
