/* The Internet checksum (RFC 1071): the complement of a ones' complement sum of 16-bit words, in
 * network order as they are. */
#ifndef DOPPEL_BACKENDS_NET_CHECKSUM_H
#define DOPPEL_BACKENDS_NET_CHECKSUM_H

#include "base/types.h"

/* The sum of size bytes, an odd one at the end with a zero behind it, on top of another sum of an
 * even number of bytes. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t size);

/* The checksum of a sum: as load_le() and store_le() have 16-bit words. */
uint16_t checksum_of(uint64_t sum);

/* Puts the checksum of [start, end) of a frame, where the field holds what else is to be summed,
 * into the two bytes at `field`: 0xffff for 0, which UDP takes for none. False, and nothing is
 * done, where field does not lie in the frame before end. */
bool checksum_complete(uint8_t *frame, uint32_t end, uint32_t start, uint32_t field);

#endif
