/* Puts the guest's fragmented IPv4 packets (RFC 791) together before libslirp sees them:
 * version 4.7.0 reads through a wild pointer where a fragment comes before the first one. */
#ifndef DOPPEL_BACKENDS_NET_FRAGMENTS_H
#define DOPPEL_BACKENDS_NET_FRAGMENTS_H

#include "backends/net/net.h"

enum {
    FRAGMENTS_PACKETS = 4, /* in the making; a new one takes the place of the oldest */
    FRAGMENTS_HEADER = 20, /* of IP: without options */
    FRAGMENTS_PAYLOAD_MAX = 65535 - FRAGMENTS_HEADER,
    FRAGMENTS_BLOCK = 8,
    FRAGMENTS_BLOCKS = FRAGMENTS_PAYLOAD_MAX / FRAGMENTS_BLOCK + 1,
};

struct fragments {
    struct fragmented_packet {
        bool used;
        uint8_t key[11]; /* identification, protocol, addresses */
        uint64_t age;
        uint32_t end;     /* of the payload, which the last fragment tells; 0: not known */
        uint32_t highest; /* what has come ends here */
        uint32_t count;   /* of blocks that have come */
        uint8_t have[FRAGMENTS_BLOCKS / 8 + 1];
        uint8_t frame[NET_HEADER + FRAGMENTS_HEADER + FRAGMENTS_PAYLOAD_MAX];
    } packet[FRAGMENTS_PACKETS];
    uint64_t age;
};

/* Takes a frame off the guest. Returns what libslirp may see: the frame as it is where it is no
 * fragment; the whole packet, good until the next call, where it is the last fragment to come; else
 * NULL. *size is changed accordingly. */
const uint8_t *fragments_take(struct fragments *fragments, const uint8_t *frame, uint32_t *size);

#endif
