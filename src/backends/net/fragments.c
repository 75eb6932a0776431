#include "backends/net/fragments.h"

#include "backends/net/checksum.h"

#include <string.h>

enum { TYPE = 12, IP = NET_HEADER, PAYLOAD = NET_HEADER + FRAGMENTS_HEADER };
enum { LENGTH = 2, IDENTIFICATION = 4, FRAGMENT = 6, PROTOCOL = 9, CHECKSUM = 10, ADDRESSES = 12 };
enum { MORE_FRAGMENTS = 0x2000, OFFSET = 0x1fff };

static uint32_t load_be16(const uint8_t *at)
{
    return (uint32_t)(at[0] << 8 | at[1]);
}

static void store_be16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static bool is_fragment(const uint8_t *frame, uint32_t size)
{
    return size >= PAYLOAD && frame[TYPE] == 0x08 && frame[TYPE + 1] == 0x00 &&
           load_be16(frame + IP + FRAGMENT) & (MORE_FRAGMENTS | OFFSET);
}

static void make_key(uint8_t key[11], const uint8_t *ip)
{
    memcpy(key, ip + IDENTIFICATION, 2);
    key[2] = ip[PROTOCOL];
    memcpy(key + 3, ip + ADDRESSES, 8);
}

static struct fragmented_packet *find(struct fragments *fragments, const uint8_t *ip)
{
    struct fragmented_packet *oldest = &fragments->packet[0];
    uint8_t key[sizeof(oldest->key)];
    make_key(key, ip);
    for (unsigned i = 0; i < FRAGMENTS_PACKETS; i++) {
        struct fragmented_packet *packet = &fragments->packet[i];
        if (packet->used && !memcmp(packet->key, key, sizeof(key)))
            return packet;
        if (!packet->used || (oldest->used && packet->age < oldest->age))
            oldest = packet;
    }
    oldest->used = true;
    oldest->age = ++fragments->age;
    oldest->end = oldest->highest = oldest->count = 0;
    memcpy(oldest->key, key, sizeof(key));
    memset(oldest->have, 0, sizeof(oldest->have));
    return oldest;
}

static void add_blocks(struct fragmented_packet *packet, uint32_t offset, uint32_t size)
{
    uint32_t end = (offset + size + FRAGMENTS_BLOCK - 1) / FRAGMENTS_BLOCK;
    for (uint32_t block = offset / FRAGMENTS_BLOCK; block < end; block++) {
        uint8_t bit = (uint8_t)(1u << block % 8);
        packet->count += !(packet->have[block / 8] & bit);
        packet->have[block / 8] |= bit;
    }
    if (offset + size > packet->highest)
        packet->highest = offset + size;
}

static bool is_whole(const struct fragmented_packet *packet)
{
    return packet->end && packet->highest == packet->end &&
           packet->count == (packet->end + FRAGMENTS_BLOCK - 1) / FRAGMENTS_BLOCK;
}

/* The first fragment's headers were copied; options are left out. */
static void complete_header(struct fragmented_packet *packet)
{
    uint8_t *ip = packet->frame + IP;
    ip[0] = 0x45;
    store_be16(ip + LENGTH, FRAGMENTS_HEADER + packet->end);
    store_be16(ip + FRAGMENT, 0);
    store_be16(ip + CHECKSUM, 0);
    checksum_complete(packet->frame, PAYLOAD, IP, IP + CHECKSUM);
}

const uint8_t *fragments_take(struct fragments *fragments, const uint8_t *frame, uint32_t *size)
{
    if (!is_fragment(frame, *size))
        return frame;
    const uint8_t *ip = frame + IP;
    uint32_t header = (ip[0] & 15u) * 4, length = load_be16(ip + LENGTH);
    uint32_t flags = load_be16(ip + FRAGMENT), offset = (flags & OFFSET) * FRAGMENTS_BLOCK;
    bool more = flags & MORE_FRAGMENTS;
    if (ip[0] >> 4 != 4 || header < FRAGMENTS_HEADER || length <= header || length > *size - IP)
        return NULL;
    uint32_t payload = length - header;
    if (offset + payload > FRAGMENTS_PAYLOAD_MAX || (more && payload % FRAGMENTS_BLOCK))
        return NULL;

    struct fragmented_packet *packet = find(fragments, ip);
    memcpy(packet->frame + PAYLOAD + offset, ip + header, payload);
    add_blocks(packet, offset, payload);
    if (!offset)
        memcpy(packet->frame, frame, PAYLOAD);
    if (!more)
        packet->end = offset + payload;
    if (!is_whole(packet))
        return NULL;
    complete_header(packet);
    packet->used = false;
    *size = PAYLOAD + packet->end;
    return packet->frame;
}
