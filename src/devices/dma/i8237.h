/* The PC's two 8237A DMA controllers with their page registers: channels 0 to 3 move bytes, 5 to 7
 * words; 4 is the cascade's (Intel's data sheet 231466; the PIIX3's, 290550, 4.3).
 *
 *   port 0x00, 16 ports  i8237_first_ops
 *   port 0xc0, 32 ports  i8237_second_ops
 *   port 0x80, 16 ports  i8237_page_ops
 *
 * Devices ask for cycles by i8237_read() and i8237_write(); there are no memory-to-memory transfers
 * and no requests by software. All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_DMA_I8237_H
#define DOPPEL_DEVICES_DMA_I8237_H

#include "bus/bus.h"
#include "bus/dma.h"

#define I8237_FIRST_PORT 0x00u
#define I8237_FIRST_PORTS 16u
#define I8237_SECOND_PORT 0xc0u
#define I8237_SECOND_PORTS 32u
#define I8237_PAGE_PORT 0x80u
#define I8237_PAGE_PORTS 16u

struct i8237;

/* NULL where the host has no memory. dma is the guest's memory. */
struct i8237 *i8237_create(const struct dma *dma);
void i8237_destroy(struct i8237 *dma);
void i8237_reset(struct i8237 *dma);

extern const struct bus_ops i8237_first_ops, i8237_second_ops, i8237_page_ops;

/* A device's request for up to size bytes from or to guest memory on a channel; whole words on
 * channels 5 to 7. Returns how many were moved: none where the channel is masked or programmed for
 * the other direction, fewer than size where the count has ended, which *ended (TC) says. */
size_t i8237_read(struct i8237 *dma, unsigned channel, void *data, size_t size, bool *ended);
size_t i8237_write(struct i8237 *dma, unsigned channel, const void *data, size_t size, bool *ended);

#endif
