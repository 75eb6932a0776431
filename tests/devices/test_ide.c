/* The IDE controller: a disk as the first device, a CD drive on the second channel. */
#include "devices/storage/ide.h"

#include "backends/block/block.h"

#include "probe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RAM = 0x40000, SECTOR = 512, SECTORS = 4096, BASE = 0xc000, SLOT = 1, PRD = 0x1000 };
enum { FIRST = 0x1f0, SECOND = 0x170, CONTROL = 0x206 };
enum { ERR = 1, DRQ = 8, DRDY = 0x40, BSY = 0x80, ABRT = 4, IDNF = 16 };

static struct bus *bus;
static struct pci_bus *pci;
static struct ide *ide;
static struct probe irq[2];
static uint8_t ram[RAM];
static struct file {
    char path[40];
    struct block_image *image;
} disk, cd, other;

static bool memory_read(void *opaque, uint64_t address, void *data, uint64_t size)
{
    (void)opaque;
    if (address > RAM || size > RAM - address)
        return false;
    memcpy(data, ram + address, size);
    return true;
}

static bool memory_write(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    (void)opaque;
    if (address > RAM || size > RAM - address)
        return false;
    memcpy(ram + address, data, size);
    return true;
}

static const struct dma_ops memory_ops = {.read = memory_read, .write = memory_write};

/* Each sector begins with its number. */
static void make(struct file *file, bool readonly, uint32_t first)
{
    struct error error;
    strcpy(file->path, "/tmp/doppel-ide-XXXXXX");
    int fd = mkstemp(file->path);
    for (uint32_t i = 0; i < SECTORS; i++) {
        uint32_t sector[SECTOR / 4] = {first + i, ~i};
        cr_assert_eq(write(fd, sector, SECTOR), SECTOR);
    }
    close(fd);
    file->image = block_open(
        &(struct disk_options){.file = file->path, .format = DISK_RAW, .readonly = readonly},
        &(struct block_config){.bus = bus}, &error);
    cr_assert(file->image, "%s", error.text);
}

static void drop(struct file *file)
{
    block_close(file->image);
    unlink(file->path);
}

static void config_write(unsigned offset, uint32_t value, unsigned size)
{
    pci_bus_write(pci, pci_devfn(SLOT, IDE_FUNCTION), offset, value, size);
}

static void set_up(void)
{
    static const uint16_t ports[] = {FIRST, SECOND};
    bus = bus_create();
    pci = pci_bus_create(&(struct pci_bus_config){.bus = bus, .dma = {&memory_ops, NULL}});
    make(&disk, false, 0);
    make(&cd, true, 0x10000);
    make(&other, true, 0x20000);
    struct ide_config config = {.bus = pci, .slot = SLOT};
    config.irq[0] = probe_line(&irq[0]);
    config.irq[1] = probe_line(&irq[1]);
    config.device[0][0] = (struct ide_device_config){IDE_DISK, disk.image, "disk"};
    config.device[1][0] = (struct ide_device_config){IDE_CD, cd.image, "cd"};
    ide = ide_create(&config);
    for (unsigned i = 0; i < 2; i++) {
        map(bus, BUS_PORT, ports[i], 8, &ide_command_ops, ide_channel(ide, i));
        map(bus, BUS_PORT, ports[i] + CONTROL, 1, &ide_control_ops, ide_channel(ide, i));
    }
    pci_bus_reset(pci);
    config_write(PCI_BASE_ADDRESS + 16, BASE, 4);
    config_write(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
}

static void tear_down(void)
{
    drop(&disk);
    drop(&cd);
    drop(&other);
    ide_destroy(ide);
    pci_bus_destroy(pci);
    bus_destroy(bus);
}

TestSuite(ide, .init = set_up, .fini = tear_down);

/* Waits for the device without taking its interrupt. */
static uint8_t wait_ready(uint16_t base)
{
    while (in8(bus, base + CONTROL) & BSY)
        usleep(100);
    return in8(bus, base + CONTROL);
}

static void command(uint16_t base, uint32_t lba, unsigned count, uint8_t code)
{
    out8(bus, base + 2, (uint8_t)count);
    out8(bus, base + 3, (uint8_t)lba);
    out8(bus, base + 4, (uint8_t)(lba >> 8));
    out8(bus, base + 5, (uint8_t)(lba >> 16));
    out8(bus, base + 6, 0xe0 | (lba >> 24 & 15));
    out8(bus, base + 7, code);
}

static void read_words(uint16_t base, void *data, unsigned size)
{
    for (unsigned i = 0; i < size; i += 2)
        store_le((uint8_t *)data + i, bus_read(bus, BUS_PORT, base, 2), 2);
}

static void write_words(uint16_t base, const void *data, unsigned size)
{
    for (unsigned i = 0; i < size; i += 2)
        bus_write(bus, BUS_PORT, base, load_le((const uint8_t *)data + i, 2), 2);
}

/* The disk's sectors as the file has them. */
static uint32_t stored(unsigned sector)
{
    uint32_t value;
    int fd = open(disk.path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(fd, &value, 4, sector * SECTOR), 4);
    close(fd);
    return value;
}

Test(ide, has_signatures_after_reset)
{
    out8(bus, FIRST + CONTROL, 4);
    out8(bus, FIRST + CONTROL, 0);
    cr_assert_eq(in8(bus, FIRST + 4) | in8(bus, FIRST + 5), 0);
    cr_assert(in8(bus, FIRST + 7) & DRDY);
    cr_assert_eq(in8(bus, SECOND + 4), 0x14);
    cr_assert_eq(in8(bus, SECOND + 5), 0xeb);
    out8(bus, FIRST + 6, 0xb0);
    cr_assert_eq(in8(bus, FIRST + 7), 0, "there is no second device");
    out8(bus, FIRST + 2, 0x55);
    cr_assert_eq(in8(bus, FIRST + 2), 0);
}

Test(ide, identifies_the_disk)
{
    uint8_t data[SECTOR];
    command(FIRST, 0, 0, 0xec);
    cr_assert(in8(bus, FIRST + 7) & DRQ);
    cr_assert_eq(irq[0].rises, 1);
    read_words(FIRST, data, SECTOR);
    cr_assert_not(in8(bus, FIRST + 7) & (DRQ | BSY | ERR));
    cr_assert_eq(irq[0].rises, 1);
    cr_assert_eq(load_le(data + 2 * 60, 4), SECTORS);
    cr_assert_eq(load_le(data + 2 * 100, 8), SECTORS);
    cr_assert_arr_eq(data + 2 * 10, "idks", 4);
}

Test(ide, reads_by_pio)
{
    uint32_t data[2 * SECTOR / 4];
    command(FIRST, 7, 2, 0x20);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(wait_ready(FIRST) & DRQ);
        cr_assert(irq[0].level);
        in8(bus, FIRST + 7);
        cr_assert_not(irq[0].level);
        read_words(FIRST, data + i * SECTOR / 4, SECTOR);
    }
    cr_assert_eq(data[0], 7);
    cr_assert_eq(data[SECTOR / 4], 8);
    cr_assert_not(in8(bus, FIRST + 7) & (DRQ | ERR));
    cr_assert_eq(irq[0].rises, 2);
}

Test(ide, writes_by_pio_in_blocks)
{
    uint32_t data[4 * SECTOR / 4] = {
        [0] = 100, [SECTOR / 4] = 101, [2 * SECTOR / 4] = 102, [3 * SECTOR / 4] = 103};
    command(FIRST, 0, 2, 0xc6); /* blocks of two */
    command(FIRST, 10, 4, 0xc5);
    in8(bus, FIRST + 7);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(wait_ready(FIRST) & DRQ);
        cr_assert_eq(irq[0].level, i, "the first block needs no interrupt");
        in8(bus, FIRST + 7);
        write_words(FIRST, data + 2 * i * SECTOR / 4, 2 * SECTOR);
    }
    cr_assert_not(wait_ready(FIRST) & (DRQ | ERR));
    cr_assert(irq[0].level);
    command(FIRST, 0, 0, 0xe7);
    cr_assert_not(wait_ready(FIRST) & ERR);
    cr_assert(stored(9) == 9 && stored(10) == 100 && stored(13) == 103 && stored(14) == 14);
}

static void start_dma(uint16_t at, unsigned first, unsigned second, bool to_memory)
{
    store_le(ram + PRD, 0x10000, 4);
    store_le(ram + PRD + 4, first, 4);
    store_le(ram + PRD + 8, 0x30000, 4);
    store_le(ram + PRD + 12, second | 1u << 31, 4);
    out32(bus, at + 4, PRD);
    out8(bus, at + 2, 6);
    out8(bus, at, to_memory ? 9 : 1);
}

Test(ide, reads_by_dma)
{
    command(FIRST, 20, 3, 0xc8);
    start_dma(BASE, SECTOR, 2 * SECTOR, true);
    cr_assert_not(wait_ready(FIRST) & ERR);
    cr_assert_eq(load_le(ram + 0x10000, 4), 20);
    cr_assert_eq(load_le(ram + 0x30000, 4), 21);
    cr_assert_eq(load_le(ram + 0x30200, 4), 22);
    cr_assert_eq(in8(bus, BASE + 2) & 7, 4, "an interrupt, and no longer active");
    cr_assert(irq[0].level);
    out8(bus, BASE + 2, 4);
    out8(bus, BASE, 0);
    cr_assert_eq(in8(bus, BASE + 2) & 7, 0);
}

Test(ide, writes_by_dma)
{
    start_dma(BASE, 0x8000, 0x8000, false);
    for (unsigned i = 0; i < 128; i++)
        store_le(ram + (i < 64 ? 0x10000 : 0x30000 - 0x8000) + i * SECTOR, 1000 + i, 4);
    command(FIRST, 30, 128, 0xca);
    cr_assert_not(wait_ready(FIRST) & ERR);
    command(FIRST, 0, 0, 0xe7);
    wait_ready(FIRST);
    cr_assert(stored(29) == 29 && stored(30) == 1000 && stored(157) == 1127 && stored(158) == 158);
}

Test(ide, ends_where_the_table_is_too_short)
{
    command(FIRST, 20, 8, 0xc8);
    start_dma(BASE, SECTOR, SECTOR, true);
    cr_assert(wait_ready(FIRST) & ERR);
    out8(bus, BASE, 0);
    command(FIRST, 20, 1, 0xc8);
    out32(bus, BASE + 4, RAM);
    out8(bus, BASE, 9);
    cr_assert(wait_ready(FIRST) & ERR, "the table is not in memory");
}

Test(ide, refuses)
{
    command(FIRST, SECTORS - 1, 2, 0x20);
    cr_assert(in8(bus, FIRST + 7) & ERR);
    cr_assert_eq(in8(bus, FIRST + 1), IDNF);
    command(FIRST, 0, 1, 0xff);
    cr_assert(in8(bus, FIRST + 7) & ERR);
    cr_assert_eq(in8(bus, FIRST + 1), ABRT);
    out8(bus, FIRST + 3, 0);
    out8(bus, FIRST + 6, 0xa0);
    out8(bus, FIRST + 7, 0x20);
    cr_assert_eq(in8(bus, FIRST + 1), IDNF, "sectors of a track begin with 1");
}

Test(ide, holds_its_interrupt_back)
{
    out8(bus, FIRST + CONTROL, 2);
    command(FIRST, 0, 0, 0xe7);
    wait_ready(FIRST);
    cr_assert_not(irq[0].level);
    out8(bus, FIRST + CONTROL, 0);
    cr_assert(irq[0].level);
}

Test(ide, drops_its_interrupt_for_the_absent_device_too)
{
    command(FIRST, 0, 1, 0x20);
    cr_assert(wait_ready(FIRST) & DRQ);
    cr_assert(irq[0].level);
    out8(bus, FIRST + 6, 0xf0);
    cr_assert_eq(in8(bus, FIRST + CONTROL), 0);
    cr_assert(irq[0].level);
    cr_assert_eq(in8(bus, FIRST + 7), 0);
    cr_assert_not(irq[0].level);
}

/* --- The CD drive */

/* Sends a packet; the status afterwards. */
static uint8_t packet(const uint8_t *bytes, unsigned limit)
{
    out8(bus, SECOND + 1, 0);
    out8(bus, SECOND + 4, (uint8_t)limit);
    out8(bus, SECOND + 5, (uint8_t)(limit >> 8));
    out8(bus, SECOND + 7, 0xa0);
    cr_assert(in8(bus, SECOND + 7) & DRQ);
    cr_assert_eq(in8(bus, SECOND + 2) & 3, 1);
    write_words(SECOND, bytes, 12);
    return wait_ready(SECOND);
}

static unsigned receive(uint8_t *data)
{
    unsigned total = 0;
    while (wait_ready(SECOND) & DRQ) {
        cr_assert_eq(in8(bus, SECOND + 2) & 3, 2);
        unsigned size = in8(bus, SECOND + 4) | in8(bus, SECOND + 5) << 8;
        read_words(SECOND, data + total, size);
        total += size;
    }
    cr_assert_eq(in8(bus, SECOND + 2) & 3, 3);
    return total;
}

static unsigned sense(void)
{
    uint8_t data[18];
    packet((uint8_t[12]){3, 0, 0, 0, 18}, 0xfffe);
    cr_assert_eq(receive(data), 18);
    return data[2] << 8 | data[12];
}

/* Linux takes a drive without DRDY at the end for a broken one. */
Test(ide, identifies_the_cd_after_reset)
{
    uint8_t data[SECTOR];
    cr_assert_not(in8(bus, SECOND + 7) & DRDY);
    command(SECOND, 0, 0, 0xa1);
    cr_assert(in8(bus, SECOND + CONTROL) & DRDY);
    read_words(SECOND, data, SECTOR);
    cr_assert_eq(in8(bus, SECOND + 7) & (BSY | DRDY | DRQ | ERR), DRDY);
}

Test(ide, identifies_the_cd)
{
    uint8_t data[SECTOR];
    command(SECOND, 0, 0, 0xec);
    cr_assert(in8(bus, SECOND + 7) & ERR);
    cr_assert_eq(in8(bus, SECOND + 5), 0xeb);
    command(SECOND, 0, 0, 0xa1);
    read_words(SECOND, data, SECTOR);
    cr_assert_eq(load_le(data, 2), 0x85c0);
    cr_assert_not(in8(bus, SECOND + 7) & (DRQ | ERR));
    packet((uint8_t[12]){0x12, 0, 0, 0, 36}, 0xfffe);
    cr_assert_eq(receive(data), 36);
    cr_assert_eq(data[0], 5);
}

Test(ide, reads_cds)
{
    uint8_t *data = ram;
    packet((uint8_t[12]){0x25}, 0xfffe);
    cr_assert_eq(receive(data), 8);
    cr_assert_eq(data[2] << 8 | data[3], SECTORS / 4 - 1);
    packet((uint8_t[12]){0x28, 0, 0, 0, 0, 5, 0, 0, 70}, 0x1001);
    cr_assert_eq(receive(data), 70 * 2048);
    for (unsigned i = 0; i < 280; i++)
        cr_assert_eq(load_le(data + i * SECTOR, 4), 0x10000 + 20 + i);
    cr_assert(packet((uint8_t[12]){0x28, 0, 0, 0, 4, 0, 0, 0, 1}, 0xfffe) & ERR);
    cr_assert_eq(sense(), 0x521);
    packet((uint8_t[12]){0x43, 0, 0, 0, 0, 0, 0, 0, 20}, 0xfffe);
    cr_assert_eq(receive(data), 20);
    cr_assert(data[2] == 1 && data[14] == 0xaa);
}

Test(ide, reads_cds_by_dma)
{
    out8(bus, SECOND + 1, 1);
    out8(bus, SECOND + 7, 0xa0);
    write_words(SECOND, (uint8_t[12]){0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 2}, 12);
    start_dma(BASE + 8, 2048, 2048, true);
    cr_assert_not(wait_ready(SECOND) & ERR);
    cr_assert_eq(load_le(ram + 0x10000, 4), 0x10000 + 12);
    cr_assert_eq(load_le(ram + 0x30000, 4), 0x10000 + 16);
}

Test(ide, changes_media)
{
    cr_assert_not(packet((uint8_t[12]){0}, 0) & ERR);
    packet((uint8_t[12]){0x1e, 0, 0, 0, 1}, 0);
    cr_assert(ide_is_locked(ide, 1, 0));
    cr_assert(packet((uint8_t[12]){0x1b, 0, 0, 0, 2}, 0) & ERR, "it is locked");
    cr_assert_eq(ide_change_medium(ide, 1, 0, NULL), cd.image);
    cr_assert(packet((uint8_t[12]){0}, 0) & ERR);
    cr_assert_eq(sense(), 0x23a);
    cr_assert_null(ide_change_medium(ide, 1, 0, other.image));
    cr_assert(packet((uint8_t[12]){0}, 0) & ERR);
    cr_assert_eq(sense(), 0x628);
    cr_assert_not(packet((uint8_t[12]){0}, 0) & ERR);
    packet((uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, 0xfffe);
    cr_assert_eq(receive(ram), 8);
    cr_assert(ram[2] == 4 && ram[4] == 2 && ram[5] == 2);
    packet((uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 0xfffe);
    cr_assert_eq(receive(ram), 2048);
    cr_assert_eq(load_le(ram, 4), 0x20000);
    packet((uint8_t[12]){0x1b, 0, 0, 0, 2}, 0);
    cr_assert(packet((uint8_t[12]){0}, 0) & ERR, "the tray is open");
}

/* In the midst of a transfer. */
Test(ide, loses_its_medium)
{
    packet((uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 200}, 2048);
    cr_assert(wait_ready(SECOND) & DRQ);
    cr_assert_eq(ide_change_medium(ide, 1, 0, NULL), cd.image);
    cr_assert(wait_ready(SECOND) & ERR);
    cr_assert_not(wait_ready(SECOND) & DRQ);
    command(FIRST, 0, 200, 0x20);
    out8(bus, FIRST + CONTROL, 4);
    cr_assert_not(wait_ready(FIRST) & DRQ);
}
