#include "devices/irq/ioapic.h"

#include "base/bits.h"

#include <inttypes.h>
#include <stdlib.h>

/* Memory-mapped registers, and what IOREGSEL selects for IOWIN. */
enum { IOREGSEL = 0x00, IOWIN = 0x10, EOI = 0x40 };
enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_REDIRECTION = 0x10 };

#define VERSION (0x20 | (IOAPIC_INPUTS - 1) << 16)

/* Redirection entries: vector 0-7, delivery mode 8-10, logical 11, polarity 13, destination 56-63.
 */
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_WRITABLE 0xff0000000001afffull

struct ioapic {
    struct ioapic_config config;
    uint8_t id, select;
    uint32_t pins;
    uint64_t entries[IOAPIC_INPUTS];
};

static enum apic_delivery entry_delivery(uint64_t entry)
{
    return (enum apic_delivery)bits_get(entry, 8, 3);
}

/* Only these are ever level-triggered. */
static bool entry_is_level(uint64_t entry)
{
    return entry & ENTRY_LEVEL && entry_delivery(entry) <= APIC_LOWEST_PRIORITY;
}

static bool deliver(struct ioapic *ioapic, uint64_t entry)
{
    struct apic_message message = {
        .destination = (uint32_t)(entry >> 56),
        .logical = entry & ENTRY_LOGICAL,
        .level = entry_is_level(entry),
        .vector = entry & 0xff,
        .delivery = entry_delivery(entry),
    };
    if (message.destination == 0xff && !message.logical)
        message.destination = APIC_BROADCAST;
    return apic_bus_send(ioapic->config.apic_bus, &message);
}

/* Sends a level that waits, unless it was sent already and its EOI is outstanding. */
static void sample_level(struct ioapic *ioapic, unsigned input)
{
    uint64_t *entry = &ioapic->entries[input];
    if (ioapic->pins >> input & 1 && entry_is_level(*entry) &&
        !(*entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) && deliver(ioapic, *entry))
        *entry |= ENTRY_REMOTE_IRR;
}

void ioapic_set_irq(void *opaque, unsigned input, bool level)
{
    struct ioapic *ioapic = opaque;
    if (input >= IOAPIC_INPUTS)
        return;
    uint64_t entry = ioapic->entries[input];
    uint32_t bit = 1u << input;
    bool rises = level && !(ioapic->pins & bit);

    ioapic->pins = level ? ioapic->pins | bit : ioapic->pins & ~bit;
    if (entry_is_level(entry))
        sample_level(ioapic, input);
    else if (rises && !(entry & ENTRY_MASKED)) /* masked edges are not kept */
        deliver(ioapic, entry);
}

static void ioapic_eoi(void *opaque, uint8_t vector)
{
    struct ioapic *ioapic = opaque;
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
        if (!(ioapic->entries[i] & ENTRY_REMOTE_IRR) || (ioapic->entries[i] & 0xff) != vector)
            continue;
        ioapic->entries[i] &= ~ENTRY_REMOTE_IRR;
        sample_level(ioapic, i);
    }
}

static uint32_t register_read(const struct ioapic *ioapic)
{
    unsigned half = ioapic->select - REG_REDIRECTION;

    switch (ioapic->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)ioapic->id << 24;
    case REG_VERSION:
        return VERSION;
    }
    if (half >= 2 * IOAPIC_INPUTS)
        return 0;
    return (uint32_t)(ioapic->entries[half / 2] >> (half & 1 ? 32 : 0));
}

static void register_write(struct ioapic *ioapic, uint32_t value)
{
    unsigned half = ioapic->select - REG_REDIRECTION;

    if (ioapic->select == REG_ID)
        ioapic->id = value >> 24 & 0xf;
    if (half >= 2 * IOAPIC_INPUTS)
        return;
    uint64_t *entry = &ioapic->entries[half / 2];
    unsigned shift = half & 1 ? 32 : 0;
    uint64_t writable = ENTRY_WRITABLE & (uint64_t)UINT32_MAX << shift;
    *entry = (*entry & ~writable) | ((uint64_t)value << shift & writable);
    /* Systems clear a stuck remote IRR by a turn to edge-triggered and back. */
    if (!entry_is_level(*entry))
        *entry &= ~ENTRY_REMOTE_IRR;
    sample_level(ioapic, half / 2);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ioapic *ioapic = opaque;
    (void)size;
    switch (offset) {
    case IOREGSEL:
        return ioapic->select;
    case IOWIN:
        return register_read(ioapic);
    }
    return 0;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioapic *ioapic = opaque;
    (void)size;
    switch (offset) {
    case IOREGSEL:
        ioapic->select = (uint8_t)value;
        break;
    case IOWIN:
        register_write(ioapic, (uint32_t)value);
        break;
    case EOI:
        ioapic_eoi(ioapic, (uint8_t)value);
        break;
    }
}

const struct bus_ops ioapic_ops = {"I/O APIC", ioapic_read, ioapic_write, 4, 4};

void ioapic_reset(struct ioapic *ioapic)
{
    ioapic->id = ioapic->config.id & 0xf;
    ioapic->select = 0;
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        ioapic->entries[i] = ENTRY_MASKED;
}

struct ioapic *ioapic_create(const struct ioapic_config *config)
{
    struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
    if (!ioapic)
        return NULL;
    ioapic->config = *config;
    if (!apic_bus_listen(config->apic_bus, ioapic_eoi, ioapic)) {
        free(ioapic);
        return NULL;
    }
    ioapic_reset(ioapic);
    return ioapic;
}

void ioapic_destroy(struct ioapic *ioapic)
{
    free(ioapic);
}

static void print_input(const struct ioapic *ioapic, unsigned input, FILE *out)
{
    static const char *const deliveries[] = {"fixed", "lowpri", "SMI", "...",
                                             "NMI",   "INIT",   "...", "extINT"};
    uint64_t entry = ioapic->entries[input];
    fprintf(out, "  pin %-2u 0x%016" PRIx64 " dest=%x vec=%-3u %s %s %s %s\n", input, entry,
            (unsigned)(entry >> 56), (unsigned)(entry & 0xff),
            entry & ENTRY_LEVEL ? "level" : "edge ", entry & ENTRY_MASKED ? "masked" : "      ",
            deliveries[entry_delivery(entry)], entry & ENTRY_LOGICAL ? "logical" : "physical");
}

void ioapic_print(const struct ioapic *ioapic, FILE *out)
{
    fprintf(out, "ioapic0: ver=0x%x id=0x%02x sel=0x%02x pins=0x%06" PRIx32 "\n", VERSION & 0xff,
            ioapic->id, ioapic->select, ioapic->pins);
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        print_input(ioapic, i, out);
}
