/* What firmware is told: the table loader's script leads to the tables of direct boot; SMBIOS is
 * well-formed; images are checked. */
#include "base/bits.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "devices/misc/fw_cfg.h"
#include "devices/pci/piix3.h"
#include "devices/pci/piix4_pm.h"
#include "devices/timer/acpi_pm.h"
#include "machine/acpi.h"
#include "machine/firmware.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#define TABLES_AT 0x00100000u
#define RSDP_AT 0x000f5000u

struct blob {
    uint8_t bytes[0x5000];
    size_t size;
};

static struct bus *bus;
static struct fw_cfg *fw_cfg;

static const struct acpi_config machine = {.cpus = 1, .memory = 5 * GIB};

static void setup(void)
{
    struct error error;
    const struct dma none = {NULL, NULL};
    bus = bus_create();
    fw_cfg = fw_cfg_create(&none);
    cr_assert(fw_cfg && firmware_describe(fw_cfg, &machine, true, &error), "%s", error.text);
    cr_assert(bus_map(bus, BUS_PORT, FW_CFG_PORT, FW_CFG_PORTS, &fw_cfg_ops, fw_cfg, NULL));
}

static void teardown(void)
{
    fw_cfg_destroy(fw_cfg);
    bus_destroy(bus);
}

TestSuite(firmware, .init = setup, .fini = teardown);

static void read_bytes(void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)bus_read(bus, BUS_PORT, FW_CFG_PORT + 1, 1);
}

/* Finds a file as firmware does. */
static struct blob file(const char *name)
{
    struct blob blob = {.size = 0};
    uint8_t entry[64], count[4];
    unsigned key = 0;
    bus_write(bus, BUS_PORT, FW_CFG_PORT, FW_CFG_FILE_DIRECTORY, 2);
    read_bytes(count, 4);
    for (unsigned i = 0; i < count[3]; i++) {
        read_bytes(entry, sizeof(entry));
        if (strcmp((char *)entry + 8, name) != 0)
            continue;
        blob.size = __builtin_bswap32((uint32_t)load_le(entry, 4));
        key = __builtin_bswap16((uint16_t)load_le(entry + 4, 2));
    }
    cr_assert(key, "there is no file %s", name);
    bus_write(bus, BUS_PORT, FW_CFG_PORT, key, 2);
    read_bytes(blob.bytes, blob.size);
    return blob;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    while (size--)
        sum = (uint8_t)(sum + *bytes++);
    return sum;
}

Test(firmware, table_loader_leads_to_the_tables_of_direct_boot)
{
    struct blob tables = file("etc/acpi/tables"), rsdp = file("etc/acpi/rsdp");
    struct blob script = file("etc/table-loader");
    cr_assert_eq(script.size % 128, 0);
    for (size_t at = 0; at < script.size; at += 128) {
        const uint8_t *command = script.bytes + at;
        struct blob *blob = strcmp((const char *)command + 4, "etc/acpi/rsdp") ? &tables : &rsdp;
        uint8_t *to;
        switch (load_le(command, 4)) {
        case 1:
            cr_expect_eq(command[64], blob == &rsdp ? 2 : 1, "zone");
            break;
        case 2:
            cr_assert_str_eq((const char *)command + 60, "etc/acpi/tables");
            to = blob->bytes + load_le(command + 116, 4);
            store_le(to, load_le(to, command[120]) + TABLES_AT, command[120]);
            break;
        case 3:
            to = blob->bytes + load_le(command + 60, 4);
            *to = (uint8_t)(*to -
                            sum(blob->bytes + load_le(command + 64, 4), load_le(command + 68, 4)));
            break;
        default:
            cr_assert_fail("unknown command");
        }
    }
    cr_expect_eq(sum(rsdp.bytes, 20), 0);
    cr_expect_eq(sum(rsdp.bytes, 36), 0);

    struct error error;
    gpa_t direct;
    struct phys_map *phys = phys_create(bus);
    cr_assert(phys_add_ram(phys, ACPI_BASE, ACPI_LIMIT - ACPI_BASE, &error));
    cr_assert(acpi_write_tables(phys, &machine, &direct, &error));
    uint8_t theirs[36], header[36], ours[36];
    phys_read(phys, direct, theirs, sizeof(theirs));
    uint64_t xsdt = load_le(rsdp.bytes + 24, 8) - TABLES_AT;
    cr_assert_eq(load_le(theirs + 24, 8) - ACPI_BASE, xsdt);
    cr_assert_eq(memcmp(tables.bytes + xsdt, "XSDT", 4), 0);
    for (unsigned at = 36; at < load_le(tables.bytes + xsdt + 4, 4); at += 8) {
        uint64_t table = load_le(tables.bytes + xsdt + at, 8) - TABLES_AT;
        cr_expect_eq(sum(tables.bytes + table, load_le(tables.bytes + table + 4, 4)), 0);
        phys_read(phys, ACPI_BASE + table, header, sizeof(header));
        memcpy(ours, tables.bytes + table, sizeof(ours));
        ours[9] = header[9] = 0; /* the checksums differ with the addresses */
        cr_expect_eq(memcmp(ours, header, sizeof(ours)), 0);
    }
    phys_destroy(phys);
}

/* OVMF puts power management elsewhere than SeaBIOS: the FADT is of the time it is read. */
Test(firmware, tables_say_where_ports_are)
{
    struct error error;
    struct clock *clock = clock_create_manual();
    struct acpi_pm *pm = acpi_pm_create(&(struct acpi_pm_config){.bus = bus, .clock = clock});
    struct pci_bus *pci = pci_bus_create(&(struct pci_bus_config){.bus = bus});
    struct piix4_pm *function =
        piix4_pm_create(&(struct piix4_pm_config){.bus = pci, .ports = bus, .pm = pm});
    struct acpi_config config = {.cpus = 1, .memory = 1 * GIB, .pci = pci};
    struct acpi_tables *tables = malloc(sizeof(*tables));
    cr_assert(pm && pci && function && tables);
    for (unsigned base = 0x600; base <= 0xb000; base += 0xaa00) {
        pci_bus_write(pci, pci_devfn(PIIX3_SLOT, 3), PIIX4_PMBASE, base, 4);
        cr_assert(acpi_make_tables(tables, &config, &error), "%s", error.text);
        const uint8_t *fadt = memmem(tables->data, tables->size, "FACP", 4);
        cr_assert(fadt);
        cr_expect_eq(load_le(fadt + 56, 4), base);
        cr_expect_eq(load_le(fadt + 64, 4), base + 4);
        cr_expect_eq(load_le(fadt + 76, 4), base + 8);
    }
    free(tables);
    piix4_pm_destroy(function);
    pci_bus_destroy(pci);
    acpi_pm_destroy(pm);
    clock_destroy(clock);
}

Test(firmware, pci_has_what_ram_leaves)
{
    cr_expect_eq(memory_map_pci_hole(512 * MIB), 2 * GIB);
    cr_expect_eq(memory_map_pci_hole(2560 * MIB), 2560 * MIB);
    cr_expect_eq(memory_map_pci_hole(5 * GIB), 3 * GIB);
    cr_expect_eq(memory_map_pci_high(512 * MIB), 32 * GIB);
    cr_expect_eq(memory_map_pci_high(32 * GIB), 64 * GIB);
}

Test(firmware, memory_map)
{
    struct blob map = file("etc/e820");
    struct e820_entry entries[2];
    cr_assert_eq(map.size, sizeof(entries));
    memcpy(entries, map.bytes, sizeof(entries));
    cr_expect_eq(entries[0].size, LOW_RAM_LIMIT);
    cr_expect_eq(entries[1].base, HIGH_RAM_BASE);
    cr_expect_eq(entries[1].size, 2 * GIB);
    cr_expect_eq(entries[1].type, E820_RAM);
}

Test(firmware, smbios)
{
    struct blob anchor = file("etc/smbios/smbios-anchor"),
                tables = file("etc/smbios/smbios-tables");
    cr_assert_eq(anchor.size, 31);
    cr_expect_eq(sum(anchor.bytes, 31), 0);
    cr_expect_eq(sum(anchor.bytes + 16, 15), 0);
    cr_expect_eq(load_le(anchor.bytes + 22, 2), tables.size);
    unsigned count = 0, largest = 0;
    uint8_t type = 0;
    for (size_t at = 0; at < tables.size; count++) {
        const uint8_t *start = tables.bytes + at, *end = start + start[1];
        type = start[0];
        while (end[0] || end[1])
            end++;
        end += 2;
        if ((unsigned)(end - start) > largest)
            largest = (unsigned)(end - start);
        at += (size_t)(end - start);
        cr_assert(at <= tables.size);
    }
    cr_expect_eq(type, 127);
    cr_expect_eq(count, load_le(anchor.bytes + 28, 2));
    cr_expect_eq(largest, load_le(anchor.bytes + 8, 2));
}

static void expect_refused(size_t size, const char *part)
{
    char path[] = "/tmp/doppel-firmware-XXXXXX";
    struct file_data image;
    struct error error = {""};
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    close(fd);
    cr_expect_not(firmware_read(path, &image, &error));
    cr_expect(strstr(error.text, "--firmware /tmp/doppel-firmware-"), "%s", error.text);
    cr_expect(strstr(error.text, part), "%s", error.text);
    unlink(path);
}

Test(firmware, images_are_checked)
{
    struct file_data image;
    struct error error = {""};
    expect_refused(0, "has 0 bytes");
    expect_refused(65535, "an image has 64 KiB");
    expect_refused(65537, "an image has 64 KiB");
    expect_refused(2 * FIRMWARE_UNIT + PAGE_SIZE / 2, "units of 4 KiB");
    expect_refused(FIRMWARE_MAX + FIRMWARE_UNIT, "there is room for 8192 KiB");
    cr_expect_not(firmware_read("/nowhere", &image, &error));
    cr_expect(strstr(error.text, "--firmware /nowhere"), "%s", error.text);
}
