/* A fuzz target's input, taken byte by byte; zeros after its end. */
#ifndef DOPPEL_TESTS_FUZZ_INPUT_H
#define DOPPEL_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *data;
    size_t size;
};

/* A number of up to 8 bytes. */
static inline uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    if (bytes > input->size)
        bytes = (unsigned)input->size;
    memcpy(&value, input->data, bytes);
    input->data += bytes;
    input->size -= bytes;
    return value;
}

#endif
