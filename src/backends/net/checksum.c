#include "backends/net/checksum.h"

#include "base/bits.h"

/* 32-bit words at a time: ones' complement sums fold. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (; size >= 4; at += 4, size -= 4)
        sum += load_le(at, 4);
    return size ? sum + load_le(at, (unsigned)size) : sum;
}

uint16_t checksum_of(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

bool checksum_complete(uint8_t *frame, uint32_t end, uint32_t start, uint32_t field)
{
    if (start > end || field > end || end - field < 2)
        return false;
    uint16_t sum = checksum_of(checksum_add(0, frame + start, end - start));
    store_le(frame + field, sum ? sum : 0xffff, 2);
    return true;
}
