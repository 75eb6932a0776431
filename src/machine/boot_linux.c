/* The Linux boot protocol (Documentation/arch/x86/boot.rst and zero-page.rst of the kernel). */
#include "base/bits.h"
#include "machine/boot.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <string.h>

/* Offsets in the file's first sectors and in boot_params alike. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP_LENGTH = 0x201, /* the header ends at 0x202 + this */
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_END = 0x290,

    PARAMS_RSDP = 0x070,
    PARAMS_E820_COUNT = 0x1e8,
    PARAMS_E820 = 0x2d0,
    PARAMS_SIZE = 0x1000,
};

#define HDR_MAGIC_VALUE 0x53726448u /* "HdrS" */
#define LOADED_HIGH 0x01
#define XLF_KERNEL_64 0x01
#define LOADER_UNDEFINED 0xff
#define CMDLINE_MAX_OLD 255
#define INITRD_MAX_OLD 0x37ffffffull
#define ENTRY_64_OFFSET 0x200

bool boot_is_linux(const struct boot_files *files)
{
    const struct file_data *kernel = &files->kernel;
    return kernel->size >= HDR_END && load_le(kernel->bytes + HDR_BOOT_FLAG, 2) == 0xaa55 &&
           load_le(kernel->bytes + HDR_MAGIC, 4) == HDR_MAGIC_VALUE;
}

bool boot_place_cmdline(struct phys_map *phys, const char *text, size_t max, struct error *error)
{
    size_t length = strlen(text);
    if (max > BOOT_CMDLINE_LIMIT - BOOT_CMDLINE_BASE - 1)
        max = BOOT_CMDLINE_LIMIT - BOOT_CMDLINE_BASE - 1;
    if (length > max)
        return error_set(error, "--append: the text has %zu characters; this kernel takes %zu",
                         length, max);
    return phys_write(phys, BOOT_CMDLINE_BASE, text, length + 1);
}

bool boot_place_initrd(struct phys_map *phys, const struct boot_files *files, gpa_t kernel_end,
                       uint64_t limit, gpa_t *base, struct error *error)
{
    *base = 0;
    uint64_t size = files->initrd.size;
    if (size == 0)
        return true;
    uint64_t top = memory_map_low(files->config->memory);
    if (top > limit)
        top = limit;
    if (size > top || align_down(top - size, PAGE_SIZE) < kernel_end)
        return error_set(error,
                         "--initrd %s: its %llu KiB do not fit into memory beside the kernel; give "
                         "a larger --memory",
                         files->config->initrd, (unsigned long long)(size / KIB));
    *base = align_down(top - size, PAGE_SIZE);
    return phys_write(phys, *base, files->initrd.bytes, size);
}

bool boot_params_write(struct phys_map *phys, const struct boot_files *files,
                       const struct boot_params_config *params, struct error *error)
{
    uint8_t zero_page[PARAMS_SIZE] = {0};
    if (params->header)
        memcpy(zero_page + HDR_SETUP_SECTS, params->header, params->header_size);

    gpa_t initrd;
    if (!boot_place_initrd(phys, files, params->kernel_end, params->initrd_max + 1, &initrd, error))
        return false;

    struct e820_entry map[E820_MAX];
    unsigned count = memory_map_e820(files->config->memory, map);
    memcpy(zero_page + PARAMS_E820, map, count * sizeof(map[0]));
    zero_page[PARAMS_E820_COUNT] = (uint8_t)count;
    store_le(zero_page + PARAMS_RSDP, files->config->rsdp, 8);
    zero_page[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    store_le(zero_page + HDR_RAMDISK_IMAGE, initrd, 4);
    store_le(zero_page + HDR_RAMDISK_SIZE, files->initrd.size, 4);
    store_le(zero_page + HDR_CMD_LINE_PTR, BOOT_CMDLINE_BASE, 4);
    return phys_write(phys, BOOT_INFO_BASE, zero_page, sizeof(zero_page));
}

/* Where the kernel's protected-mode part goes, and how much memory it needs there. */
struct placement {
    const uint8_t *payload;
    uint64_t payload_size;
    gpa_t base;
    uint64_t size;
};

static bool place_kernel(const struct boot_files *files, struct placement *place,
                         struct error *error)
{
    const char *path = files->config->kernel;
    const uint8_t *bytes = files->kernel.bytes;
    unsigned version = (unsigned)load_le(bytes + HDR_VERSION, 2);
    if (version < 0x206)
        return error_set(error,
                         "--kernel %s: Linux boot protocol %u.%02u is too old; 2.06 or later is "
                         "needed",
                         path, version >> 8, version & 0xff);
    if (!(bytes[HDR_LOADFLAGS] & LOADED_HIGH))
        return error_set(error, "--kernel %s: is a zImage; only a bzImage can be loaded", path);

    unsigned sectors = bytes[HDR_SETUP_SECTS] ? bytes[HDR_SETUP_SECTS] : 4;
    uint64_t setup_size = (sectors + 1) * 512ull;
    if (setup_size >= files->kernel.size)
        return error_set(error, "--kernel %s: ends inside its setup sectors; the file is cut off",
                         path);
    place->payload = bytes + setup_size;
    place->payload_size = files->kernel.size - setup_size;
    if (place->payload_size / 16 < load_le(bytes + HDR_SYSSIZE, 4)) /* it counts 16 bytes */
        return error_set(error, "--kernel %s: is shorter than its header says; it is cut off",
                         path);
    place->base = HIGH_BASE;
    place->size = place->payload_size;
    if (version >= 0x20a) {
        uint64_t init_size = load_le(bytes + HDR_INIT_SIZE, 4);
        place->base = load_le(bytes + HDR_PREF_ADDRESS, 8);
        if (init_size > place->size)
            place->size = init_size;
    }
    uint64_t low = memory_map_low(files->config->memory);
    if (place->base < HIGH_BASE || place->base > low || place->size > low - place->base)
        return error_set(error,
                         "--kernel %s: needs %llu MiB of memory from %#llx on; give a larger "
                         "--memory",
                         path, (unsigned long long)((place->size + MIB - 1) / MIB),
                         (unsigned long long)place->base);
    return true;
}

bool boot_load_linux(struct phys_map *phys, const struct boot_files *files,
                     struct boot_entry *entry, struct error *error)
{
    const uint8_t *bytes = files->kernel.bytes;
    struct placement place;
    if (!place_kernel(files, &place, error))
        return false;
    unsigned version = (unsigned)load_le(bytes + HDR_VERSION, 2);
    size_t cmdline_max = load_le(bytes + HDR_CMDLINE_SIZE, 4);
    if (!boot_place_cmdline(phys, files->config->append,
                            cmdline_max ? cmdline_max : CMDLINE_MAX_OLD, error))
        return false;

    size_t header_end = HDR_MAGIC + bytes[HDR_JUMP_LENGTH];
    if (header_end > HDR_END)
        header_end = HDR_END;
    uint64_t initrd_max = load_le(bytes + HDR_INITRD_ADDR_MAX, 4);
    struct boot_params_config params = {
        .header = bytes + HDR_SETUP_SECTS,
        .header_size = header_end - HDR_SETUP_SECTS,
        .initrd_max = initrd_max ? initrd_max : INITRD_MAX_OLD,
        .kernel_end = place.base + place.size,
    };
    if (!boot_params_write(phys, files, &params, error) ||
        !phys_write(phys, place.base, place.payload, place.payload_size))
        return false;

    bool entry_64 = version >= 0x20c && (load_le(bytes + HDR_XLOADFLAGS, 2) & XLF_KERNEL_64);
    *entry = (struct boot_entry){
        .long_mode = entry_64,
        .rip = place.base + (entry_64 ? ENTRY_64_OFFSET : 0),
        .rsi = BOOT_INFO_BASE,
    };
    return true;
}
