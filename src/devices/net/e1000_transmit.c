/* Transmission (manual, 3.3 to 3.5). */
#include "backends/net/checksum.h"
#include "devices/net/e1000_internal.h"

#include <string.h>

/* The second half of a descriptor of 16 bytes. */
enum {
    LENGTH_LEGACY = 0xffff,
    LENGTH = 0xfffff,
    TYPE_SHIFT = 20,
    TYPE_CONTEXT = 0,
    TYPE_DATA = 1,
    COMMAND_EOP = 1 << 24,
    COMMAND_IC = 1 << 26, /* legacy: insert a checksum */
    COMMAND_TSE = 1 << 26,
    COMMAND_RS = 1 << 27,
    COMMAND_DEXT = 1 << 29,
    COMMAND_VLE = 1 << 30,
    CONTEXT_TCP = 1 << 24,
    CONTEXT_IPV4 = 1 << 25,
};
#define STATUS_DD (1ull << 32)
enum { POPTS_IXSM = 1, POPTS_TXSM = 2 };
enum { MAC_ADDRESSES = 12 };

struct descriptor {
    uint64_t address;
    uint32_t command, status;
};

static bool is_extended(const struct descriptor *descriptor, unsigned type)
{
    return descriptor->command & COMMAND_DEXT && (descriptor->command >> TYPE_SHIFT & 15) == type;
}

static void set_context(struct e1000 *nic, const struct descriptor *descriptor)
{
    const uint64_t offsets = descriptor->address;
    bool segments = descriptor->command & COMMAND_TSE;
    *(segments ? &nic->segmentation : &nic->context) = (struct e1000_context){
        .ip_start = (uint8_t)offsets,
        .ip_field = (uint8_t)(offsets >> 8),
        .ip_end = (uint16_t)(offsets >> 16),
        .tcp_start = (uint8_t)(offsets >> 32),
        .tcp_field = (uint8_t)(offsets >> 40),
        .tcp_end = (uint16_t)(offsets >> 48),
        .is_ipv4 = descriptor->command & CONTEXT_IPV4,
        .is_tcp = descriptor->command & CONTEXT_TCP,
    };
}

/* Adds the descriptor's bytes to the frame. What is too long is not read. */
static void gather(struct e1000 *nic, const struct descriptor *descriptor)
{
    bool extended = descriptor->command & COMMAND_DEXT;
    uint32_t length = descriptor->command & (extended ? LENGTH : LENGTH_LEGACY);
    if (extended && !nic->sending.size) {
        nic->sending.checks_ip = descriptor->status >> 8 & POPTS_IXSM;
        nic->sending.checks_tcp = descriptor->status >> 8 & POPTS_TXSM;
    }
    if (length > NET_FRAME_MAX - NET_VLAN_TAG ||
        nic->sending.size > NET_FRAME_MAX - NET_VLAN_TAG - length) {
        nic->sending.size = NET_FRAME_MAX;
        return;
    }
    pci_dma_read(&nic->pci, descriptor->address, nic->sending.bytes + nic->sending.size, length);
    nic->sending.size += length;
}

/* --- Offloads */

static void store_be16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Writes a field of 16 bits where the frame reaches so far. */
static void set_length(struct e1000 *nic, uint32_t field, uint32_t value)
{
    if (field + 2 <= nic->sending.size)
        store_be16(nic->sending.bytes + field, value);
}

/* The lengths that the chip would put into each segment: of the only one, as the network takes it
 * whole (net.h). What is summed up in the checksum's field lacks the length. */
static void complete_segment(struct e1000 *nic, const struct e1000_context *context)
{
    enum { IPV4_LENGTH = 2, IPV6_LENGTH = 4, IPV6_HEADER = 40, UDP_LENGTH = 4 };
    uint32_t size = nic->sending.size, payload = size - context->tcp_start;
    uint8_t *field = nic->sending.bytes + context->tcp_field;
    if (context->tcp_start > size || context->ip_start + (uint32_t)IPV6_HEADER > size ||
        context->tcp_field + 2u > size)
        return;
    if (context->is_ipv4)
        set_length(nic, context->ip_start + IPV4_LENGTH, size - context->ip_start);
    else
        set_length(nic, context->ip_start + IPV6_LENGTH, size - context->ip_start - IPV6_HEADER);
    if (!context->is_tcp)
        set_length(nic, context->tcp_start + UDP_LENGTH, payload);
    uint32_t sum = ((uint32_t)field[0] << 8 | field[1]) + payload;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    store_be16(field, sum);
    ++*e1000_reg(nic, STAT_TSCTC);
}

/* last is the last byte, 0 the frame's. */
static void complete_checksum(struct e1000 *nic, uint32_t start, uint32_t field, uint32_t last)
{
    uint32_t size = nic->sending.size;
    uint32_t end = last && last < size ? last + 1 : size;
    checksum_complete(nic->sending.bytes, end, start, field);
}

static void apply_offloads(struct e1000 *nic, const struct descriptor *last)
{
    bool segments = last->command & COMMAND_TSE;
    const struct e1000_context *context = segments ? &nic->segmentation : &nic->context;
    if (!(last->command & COMMAND_DEXT)) {
        if (last->command & COMMAND_IC)
            complete_checksum(nic, last->status >> 8 & 0xff, last->command >> 16 & 0xff, 0);
        return;
    }
    if (segments)
        complete_segment(nic, context);
    if (nic->sending.checks_tcp)
        complete_checksum(nic, context->tcp_start, context->tcp_field, context->tcp_end);
    if (nic->sending.checks_ip)
        complete_checksum(nic, context->ip_start, context->ip_field, context->ip_end);
}

static void insert_tag(struct e1000 *nic, uint16_t tag)
{
    uint8_t *at = nic->sending.bytes + MAC_ADDRESSES;
    memmove(at + NET_VLAN_TAG, at, nic->sending.size - MAC_ADDRESSES);
    store_be16(at, *e1000_reg(nic, REG_VET));
    store_be16(at + 2, tag);
    nic->sending.size += NET_VLAN_TAG;
}

/* Completes the frame. Returns its size, 0 where it cannot be sent. */
static uint32_t finish(struct e1000 *nic, const struct descriptor *last, uint8_t *frame)
{
    uint32_t size = nic->sending.size;
    if (size >= NET_HEADER && size < NET_FRAME_MAX) {
        apply_offloads(nic, last);
        if (last->command & COMMAND_VLE && *e1000_reg(nic, REG_CTRL) & CTRL_VME)
            insert_tag(nic, (uint16_t)(last->status >> 16));
        size = nic->sending.size;
        memcpy(frame, nic->sending.bytes, size);
        e1000_count(nic, true, frame, size);
    } else {
        size = 0;
    }
    nic->sending.size = 0;
    nic->sending.checks_ip = nic->sending.checks_tcp = false;
    return size;
}

/* --- The ring */

/* Takes a descriptor. Returns the size of the frame that it completes. */
static uint32_t process(struct e1000 *nic, uint64_t address, uint8_t *frame)
{
    struct descriptor descriptor;
    uint32_t size = 0;
    if (!pci_dma_read(&nic->pci, address, &descriptor, sizeof(descriptor)))
        return 0;
    if (is_extended(&descriptor, TYPE_CONTEXT)) {
        set_context(nic, &descriptor);
    } else if (!(descriptor.command & COMMAND_DEXT) || is_extended(&descriptor, TYPE_DATA)) {
        gather(nic, &descriptor);
        if (descriptor.command & COMMAND_EOP)
            size = finish(nic, &descriptor, frame);
    }
    if (descriptor.command & COMMAND_RS) {
        uint64_t half = descriptor.command | (uint64_t)descriptor.status << 32;
        e1000_write_back(nic, address, half | STATUS_DD);
        nic->causes |= ICR_TXDW;
    }
    return size;
}

uint32_t e1000_take(void *card, uint8_t *frame)
{
    struct e1000 *nic = card;
    uint32_t count = *e1000_reg(nic, REG_TDLEN) / E1000_DESCRIPTOR, size = 0;
    uint32_t *head = e1000_reg(nic, REG_TDH), tail = *e1000_reg(nic, REG_TDT);
    if (!(*e1000_reg(nic, REG_TCTL) & TCTL_EN) || !pci_is_master(&nic->pci))
        return 0;
    /* A tail outside the ring is never reached. */
    for (uint32_t left = count; left && *head != tail && !size; left--) {
        if (*head >= count)
            *head = 0;
        size =
            process(nic, e1000_reg64(nic, REG_TDBAL) + (uint64_t)*head * E1000_DESCRIPTOR, frame);
        *head = *head + 1 < count ? *head + 1 : 0;
        if (*head == tail)
            nic->causes |= ICR_TXQE;
    }
    return size;
}
