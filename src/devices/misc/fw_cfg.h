/* QEMU's firmware configuration device (QEMU's specification fw_cfg): items by number, and files
 * among them, which firmware reads by ports or by DMA.
 *
 *   port 0x510, 2 ports  fw_cfg_ops      selector (a word), data (bytes)
 *   port 0x514, 8 ports  fw_cfg_dma_ops  the address of a DMA command, big-endian
 *
 * All calls with the bus lock held, or before the vCPU starts. */
#ifndef DOPPEL_DEVICES_MISC_FW_CFG_H
#define DOPPEL_DEVICES_MISC_FW_CFG_H

#include "bus/bus.h"
#include "bus/dma.h"

#define FW_CFG_PORT 0x510u
#define FW_CFG_PORTS 2u
#define FW_CFG_DMA_PORT 0x514u
#define FW_CFG_DMA_PORTS 8u

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NO_GRAPHIC = 0x04,
    FW_CFG_CPUS = 0x05,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIRECTORY = 0x19,
    FW_CFG_FIRST_FILE = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
};

#define FW_CFG_FILES 32
#define FW_CFG_NAME 56 /* with the terminator */

struct fw_cfg;

/* NULL where the host has no memory. dma is the guest's memory. */
struct fw_cfg *fw_cfg_create(const struct dma *dma);
void fw_cfg_destroy(struct fw_cfg *fw_cfg);
void fw_cfg_reset(struct fw_cfg *fw_cfg);

/* An item, or a file (whose name is not there yet), with a copy of the data. False: no memory, or
 * no room. */
bool fw_cfg_add(struct fw_cfg *fw_cfg, enum fw_cfg_key key, const void *data, size_t size);
bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size);

/* A file whose contents depend on what firmware has done before: fill writes all of its bytes anew
 * whenever it is selected. Bus lock held. */
typedef void fw_cfg_fill_fn(void *opaque, uint8_t *data, size_t size);
bool fw_cfg_add_live_file(struct fw_cfg *fw_cfg, const char *name, size_t size,
                          fw_cfg_fill_fn *fill, void *opaque);

/* An item that is a little-endian number. */
bool fw_cfg_add_number(struct fw_cfg *fw_cfg, enum fw_cfg_key key, uint64_t value, unsigned size);

extern const struct bus_ops fw_cfg_ops, fw_cfg_dma_ops;

#endif
