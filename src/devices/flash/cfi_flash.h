/* Parallel NOR flash with the Common Flash Interface and Intel's command set (JESD68.01, primary
 * command set 0001; Intel 28F640J3 data sheet), as the pflash_cfi01 of QEMU, for which OVMF has a
 * driver: an 8-bit device of uniform blocks.
 *
 * While it reads as an array the guest reads and executes it as memory; a write is a command. In
 * one thing it is QEMU's and not a chip: Clear Status Register clears SR.7 (ready) too, by which
 * OVMF knows it. */
#ifndef DOPPEL_DEVICES_FLASH_CFI_FLASH_H
#define DOPPEL_DEVICES_FLASH_CFI_FLASH_H

#include "bus/bus.h"
#include "bus/direct_ram.h"

struct cfi_flash;

/* Nothing is owned, contents are copied. */
struct cfi_flash_config {
    const void *contents;
    uint32_t size;       /* whole blocks */
    uint32_t block_size; /* a power of two from PAGE_SIZE on, at most 64 KiB */
    struct direct_memory direct;
    uint64_t base; /* where the machine maps it */
    /* The bytes at offset have changed; false: they could not be stored, and the guest is told.
     * The bus lock is held. NULL: they live as long as the device. */
    bool (*changed)(void *opaque, uint32_t offset, const uint8_t *bytes, uint32_t size);
    void *opaque;
};

/* NULL: no memory. */
struct cfi_flash *cfi_flash_create(const struct cfi_flash_config *config);
void cfi_flash_destroy(struct cfi_flash *flash); /* or NULL */
void cfi_flash_reset(struct cfi_flash *flash);

extern const struct bus_ops cfi_flash_ops;

#endif
