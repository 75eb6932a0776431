#include "machine/smbios.h"

#include "base/bits.h"
#include "devices/misc/fw_cfg.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <stdio.h>

/* Structure types. */
enum {
    SYSTEM = 1,
    CHASSIS = 3,
    PROCESSOR = 4,
    MEMORY_ARRAY = 16,
    MEMORY_DEVICE = 17,
    MEMORY_ARRAY_ADDRESS = 19,
    BOOT_INFORMATION = 32,
    END_OF_TABLE = 127,
};

#define UNKNOWN 0x02
#define OTHER 0x01

struct builder {
    uint8_t data[4096];
    size_t size;
    unsigned count, largest;
    bool full;
};

#define STRINGS_MAX 128 /* bytes that a structure's strings take at most */

/* A structure: its formatted area after the header, then its strings, the first being number 1. */
static void put(struct builder *builder, uint8_t type, uint16_t handle, const void *area,
                size_t area_size, const char *const *strings)
{
    uint8_t *start = builder->data + builder->size, *at = start;
    if (sizeof(builder->data) - builder->size < 4 + area_size + STRINGS_MAX) {
        builder->full = true;
        return;
    }
    *at++ = type;
    *at++ = (uint8_t)(4 + area_size);
    store_le(at, handle, 2);
    memcpy(at + 2, area, area_size);
    at += 2 + area_size;
    for (; strings && *strings; strings++)
        at += sprintf((char *)at, "%s", *strings) + 1;
    *at++ = 0;
    if (!strings)
        *at++ = 0;
    builder->size += (size_t)(at - start);
    builder->count++;
    if ((unsigned)(at - start) > builder->largest)
        builder->largest = (unsigned)(at - start);
}

static void put_system(struct builder *builder)
{
    static const char *const strings[] = {"Doppel", "Doppel PC (i440FX + PIIX3)", DOPPEL_VERSION,
                                          NULL};
    static const struct {
        uint8_t manufacturer, product, version, serial, uuid[16], wake_up, sku, family;
    } __attribute__((packed)) system = {1, 2, 3, 0, {0}, 6 /* power switch */, 0, 0};
    static const struct {
        uint8_t manufacturer, type, version, serial, asset, boot, power, thermal, security;
        uint32_t oem;
        uint8_t height, cords, elements, element_size, sku;
    } __attribute__((packed))
    chassis = {1, OTHER, 3, 0, 0, 3 /* safe */, 3, 3, UNKNOWN, 0, 0, 0, 0, 0, 0};
    put(builder, SYSTEM, 0x100, &system, sizeof(system), strings);
    put(builder, CHASSIS, 0x300, &chassis, sizeof(chassis), strings);
}

static void put_processor(struct builder *builder, unsigned number)
{
    static const char *const strings[] = {"CPU", "Doppel", DOPPEL_VERSION, NULL};
    static const struct {
        uint8_t socket, type, family, manufacturer;
        uint64_t id;
        uint8_t version, voltage;
        uint16_t clock, max_speed, speed;
        uint8_t status, upgrade;
        uint16_t l1, l2, l3;
        uint8_t serial, asset, part, cores, enabled, threads;
        uint16_t characteristics, family2;
    } __attribute__((packed)) processor = {
        .socket = 1,
        .type = 3, /* central */
        .family = OTHER,
        .manufacturer = 2,
        .version = 3,
        .status = 0x41, /* populated, enabled */
        .upgrade = OTHER,
        .l1 = 0xffff, /* no structure tells of caches */
        .l2 = 0xffff,
        .l3 = 0xffff,
        .cores = 1,
        .enabled = 1,
        .threads = 1,
        .characteristics = UNKNOWN,
        .family2 = OTHER,
    };
    put(builder, PROCESSOR, (uint16_t)(0x400 + number), &processor, sizeof(processor), strings);
}

static void put_memory(struct builder *builder, uint64_t memory)
{
    static const char *const strings[] = {"DIMM 0", NULL};
    uint64_t low = memory_map_low(memory), mebibytes = memory / MIB;
    bool extended = mebibytes >= 0x7fff;
    const struct {
        uint8_t location, use, correction;
        uint32_t capacity;
        uint16_t error_handle, devices;
        uint64_t extended_capacity;
    } __attribute__((packed)) array = {OTHER, 3, 3 /* no ECC */, 0x80000000, 0xfffe, 1, memory};
    const struct {
        uint16_t array, error_handle, total_width, data_width, size;
        uint8_t form, set, locator, bank, type;
        uint16_t detail, speed;
        uint8_t manufacturer, serial, asset, part, attributes;
        uint32_t extended_size;
        uint16_t configured_speed, minimum, maximum, configured_voltage;
    } __attribute__((packed)) device = {
        .array = 0x1000,
        .error_handle = 0xfffe,
        .total_width = 0xffff,
        .data_width = 0xffff,
        .size = extended ? 0x7fff : (uint16_t)mebibytes,
        .form = 9, /* DIMM */
        .locator = 1,
        .type = 7, /* RAM */
        .detail = UNKNOWN,
        .extended_size = extended ? (uint32_t)mebibytes : 0,
    };
    const struct {
        uint32_t start, end; /* both all ones: the 64-bit ones hold */
        uint16_t array;
        uint8_t width;
        uint64_t extended_start, extended_end;
    } __attribute__((packed)) addresses[] = {
        {UINT32_MAX, UINT32_MAX, 0x1000, 1, 0, low - 1},
        {UINT32_MAX, UINT32_MAX, 0x1000, 1, HIGH_RAM_BASE, HIGH_RAM_BASE + memory - low - 1},
    };
    put(builder, MEMORY_ARRAY, 0x1000, &array, sizeof(array), NULL);
    put(builder, MEMORY_DEVICE, 0x1100, &device, sizeof(device), strings);
    for (unsigned i = 0; i < (memory > low ? 2 : 1); i++)
        put(builder, MEMORY_ARRAY_ADDRESS, (uint16_t)(0x1300 + i), &addresses[i],
            sizeof(addresses[i]), NULL);
}

static uint8_t checksum(const void *data, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
    return (uint8_t)-sum;
}

/* 5.2.1. Firmware fills in the address, and both checksums anew. */
struct entry_point {
    char anchor[4];
    uint8_t checksum, length, major, minor;
    uint16_t largest;
    uint8_t revision, formatted[5];
    char dmi[5];
    uint8_t dmi_checksum;
    uint16_t size;
    uint32_t address;
    uint16_t count;
    uint8_t bcd;
} __attribute__((packed));

static struct entry_point make_entry_point(const struct builder *builder, gpa_t address)
{
    struct entry_point entry = {
        .anchor = {'_', 'S', 'M', '_'},
        .length = sizeof(entry),
        .major = 2,
        .minor = 8,
        .largest = (uint16_t)builder->largest,
        .dmi = {'_', 'D', 'M', 'I', '_'},
        .size = (uint16_t)builder->size,
        .address = (uint32_t)address,
        .count = (uint16_t)builder->count,
        .bcd = 0x28,
    };
    entry.dmi_checksum = checksum(entry.dmi, sizeof(entry) - 16);
    entry.checksum = checksum(&entry, sizeof(entry));
    return entry;
}

static bool make_tables(struct builder *builder, uint64_t memory, unsigned cpus,
                        struct error *error)
{
    static const uint8_t no_error[7];
    put_system(builder);
    for (unsigned i = 0; i < cpus; i++)
        put_processor(builder, i);
    put_memory(builder, memory);
    put(builder, BOOT_INFORMATION, 0x2000, no_error, sizeof(no_error), NULL);
    put(builder, END_OF_TABLE, 0x7f00, "", 0, NULL);
    return !builder->full ||
           error_set(error, "the SMBIOS tables have no room in %zu bytes", sizeof(builder->data));
}

bool smbios_add_files(struct fw_cfg *fw_cfg, uint64_t memory, unsigned cpus, struct error *error)
{
    struct builder builder = {.size = 0};
    if (!make_tables(&builder, memory, cpus, error))
        return false;
    struct entry_point entry = make_entry_point(&builder, 0);
    return (fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-tables", builder.data, builder.size) &&
            fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-anchor", &entry, sizeof(entry))) ||
           error_set(error, "no memory for the guest's SMBIOS tables");
}

bool smbios_write_tables(struct phys_map *phys, uint64_t memory, unsigned cpus, struct error *error)
{
    struct builder builder = {.size = 0};
    if (!make_tables(&builder, memory, cpus, error))
        return false;
    const gpa_t tables = align_up(SMBIOS_BASE + sizeof(struct entry_point), 16);
    struct entry_point entry = make_entry_point(&builder, tables);
    return (phys_write(phys, SMBIOS_BASE, &entry, sizeof(entry)) &&
            phys_write(phys, tables, builder.data, builder.size)) ||
           error_set(error, "the guest has no memory at %#llx for its SMBIOS tables", SMBIOS_BASE);
}
