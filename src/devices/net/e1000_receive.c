/* Reception (manual, 3.2). */
#include "backends/net/checksum.h"
#include "devices/net/e1000_internal.h"

#include <string.h>

/* The second half of a descriptor: length, checksum, status, errors, tag. */
enum {
    STATUS_DD = 1 << 0,
    STATUS_EOP = 1 << 1,
    STATUS_IXSM = 1 << 2,
    STATUS_VP = 1 << 3,
    STATUS_TCPCS = 1 << 5,
    STATUS_IPCS = 1 << 6,
    STATUS_PIF = 1 << 7,
};
enum { MAC_ADDRESSES = 12, MIN_FRAME = 60, MAX_FRAME = 1522, MAX_LONG_FRAME = 16384 };

static uint16_t load_be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* --- Filters */

static bool is_broadcast(const uint8_t *frame)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return !memcmp(frame, all, sizeof(all));
}

static bool is_own_address(struct e1000 *nic, const uint8_t *frame)
{
    for (unsigned i = 0; i < 16; i++) {
        uint64_t entry = e1000_reg64(nic, REG_RAL + 8 * i);
        if (entry >> 32 & RAH_AV && !memcmp(frame, &entry, 6))
            return true;
    }
    return false;
}

static bool passes_multicast(struct e1000 *nic, const uint8_t *frame)
{
    static const uint8_t shifts[] = {4, 3, 2, 0};
    uint32_t rctl = *e1000_reg(nic, REG_RCTL);
    uint32_t hash = (uint32_t)(frame[5] << 8 | frame[4]) >> shifts[rctl >> 12 & 3] & 0xfff;
    return rctl & RCTL_MPE || *e1000_reg(nic, REG_MTA + 4 * (hash >> 5)) >> (hash & 31) & 1;
}

static bool passes_address(struct e1000 *nic, const uint8_t *frame)
{
    uint32_t rctl = *e1000_reg(nic, REG_RCTL);
    if (is_broadcast(frame))
        return rctl & (RCTL_BAM | RCTL_MPE);
    if (frame[0] & 1)
        return passes_multicast(nic, frame) || is_own_address(nic, frame);
    return rctl & RCTL_UPE || is_own_address(nic, frame);
}

static bool has_tag(struct e1000 *nic, const uint8_t *frame, uint32_t size)
{
    return size >= NET_HEADER + NET_VLAN_TAG &&
           load_be16(frame + MAC_ADDRESSES) == (uint16_t)*e1000_reg(nic, REG_VET);
}

static bool passes_vlan(struct e1000 *nic, const uint8_t *frame, uint32_t size)
{
    if (!(*e1000_reg(nic, REG_RCTL) & RCTL_VFE) || !has_tag(nic, frame, size))
        return true;
    uint32_t id = load_be16(frame + NET_HEADER) & 0xfff;
    return *e1000_reg(nic, REG_VFTA + 4 * (id >> 5)) >> (id & 31) & 1;
}

static bool passes_size(struct e1000 *nic, uint32_t size)
{
    uint32_t max = *e1000_reg(nic, REG_RCTL) & RCTL_LPE ? MAX_LONG_FRAME : MAX_FRAME;
    if (size + E1000_CRC <= max)
        return true;
    ++*e1000_reg(nic, STAT_ROC);
    return false;
}

/* --- Descriptors */

static uint32_t buffer_size(uint32_t rctl)
{
    uint32_t size = 2048u >> (rctl >> 16 & 3);
    return rctl & RCTL_BSEX && size < 2048 ? size * 16 : size;
}

/* What the chip found out about checksums. The backend's are right. */
static uint8_t checksum_status(struct e1000 *nic, const uint8_t *frame, uint32_t size)
{
    enum { IPV4 = 0x0800, FRAGMENT = 0x3fff, TCP = 6, UDP = 17 };
    uint32_t rxcsum = *e1000_reg(nic, REG_RXCSUM);
    uint32_t at = has_tag(nic, frame, size) ? NET_HEADER + NET_VLAN_TAG : NET_HEADER;
    const uint8_t *ip = frame + at;
    if (size < at + 20 || load_be16(ip - 2) != IPV4 || !(rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL)))
        return STATUS_IXSM;
    bool whole = (ip[9] == TCP || ip[9] == UDP) && !(load_be16(ip + 6) & FRAGMENT);
    return (rxcsum & RXCSUM_IPOFL ? STATUS_IPCS : 0) |
           (rxcsum & RXCSUM_TUOFL && whole ? STATUS_TCPCS : 0);
}

/* The frame as it lies in memory: padded, without the tag where that is taken off, with room for
 * the CRC where that is kept. It is 0: nobody looks at it behind the chip. */
struct stored {
    uint8_t bytes[MAX_LONG_FRAME];
    uint32_t size;
    uint16_t tag;
    uint8_t status;
};

static void store(struct e1000 *nic, struct stored *stored, const uint8_t *frame, uint32_t size)
{
    uint32_t head = 0;
    stored->tag = 0;
    stored->status = checksum_status(nic, frame, size) | (frame[0] & 1 ? STATUS_PIF : 0);
    if (has_tag(nic, frame, size)) {
        stored->status |= STATUS_VP;
        if (*e1000_reg(nic, REG_CTRL) & CTRL_VME) {
            stored->tag = load_be16(frame + NET_HEADER);
            memcpy(stored->bytes, frame, MAC_ADDRESSES);
            head = MAC_ADDRESSES;
            frame += MAC_ADDRESSES + NET_VLAN_TAG;
            size -= MAC_ADDRESSES + NET_VLAN_TAG;
        }
    }
    memcpy(stored->bytes + head, frame, size);
    stored->size = head + size;
    uint32_t padded = stored->size < MIN_FRAME ? MIN_FRAME : stored->size;
    padded += *e1000_reg(nic, REG_RCTL) & RCTL_SECRC ? 0 : E1000_CRC;
    memset(stored->bytes + stored->size, 0, padded - stored->size);
    stored->size = padded;
}

/* One descriptor's part of the frame, from `done` on. */
static void fill(struct e1000 *nic, uint32_t index, const struct stored *stored, uint32_t done,
                 uint32_t room)
{
    uint64_t descriptor = e1000_reg64(nic, REG_RDBAL) + (uint64_t)index * E1000_DESCRIPTOR;
    uint64_t buffer = 0;
    uint32_t here = stored->size - done < room ? stored->size - done : room;
    uint32_t skip = *e1000_reg(nic, REG_RXCSUM) & 0xff;
    uint8_t status = STATUS_DD;
    uint16_t sum = 0;
    if (pci_dma_read(&nic->pci, descriptor, &buffer, sizeof(buffer)) && buffer)
        pci_dma_write(&nic->pci, buffer, stored->bytes + done, here);
    if (done + here == stored->size) {
        status |= STATUS_EOP | stored->status;
        if (skip < stored->size)
            sum =
                (uint16_t)~checksum_of(checksum_add(0, stored->bytes + skip, stored->size - skip));
    }
    e1000_write_back(nic, descriptor,
                     here | (uint64_t)sum << 16 | (uint64_t)status << 32 |
                         (uint64_t)stored->tag << 48);
}

/* The first descriptors that are the chip's, and how many it has. */
static uint32_t free_descriptors(struct e1000 *nic, uint32_t count)
{
    uint32_t head = *e1000_reg(nic, REG_RDH), tail = *e1000_reg(nic, REG_RDT);
    if (head >= count || tail >= count)
        return 0;
    return tail >= head ? tail - head : tail + count - head;
}

bool e1000_give(void *card, const uint8_t *frame, uint32_t size)
{
    struct e1000 *nic = card;
    uint32_t rctl = *e1000_reg(nic, REG_RCTL), room = buffer_size(rctl);
    uint32_t count = *e1000_reg(nic, REG_RDLEN) / E1000_DESCRIPTOR;
    uint32_t *head = e1000_reg(nic, REG_RDH);
    struct stored stored;
    if (!(rctl & RCTL_EN) || !pci_is_master(&nic->pci) || size < NET_HEADER ||
        !passes_size(nic, size) || !passes_address(nic, frame) || !passes_vlan(nic, frame, size))
        return true;
    store(nic, &stored, frame, size);
    uint32_t left = free_descriptors(nic, count), need = (stored.size + room - 1) / room;
    nic->starved = left < need;
    if (nic->starved)
        return false;
    for (uint32_t done = 0; done < stored.size; done += room) {
        fill(nic, *head, &stored, done, room);
        *head = *head + 1 < count ? *head + 1 : 0;
    }
    e1000_count(nic, false, frame, size);
    nic->causes |= ICR_RXT0;
    if (left - need <= count >> ((rctl >> 8 & 3) + 1))
        nic->causes |= ICR_RXDMT0;
    return true;
}
