/* virtio-blk on an image in a file, as a modern driver sees it. */
#include "devices/storage/virtio_blk.h"

#include "backends/block/block.h"

#include "virtio_driver.h"

#include <fcntl.h>
#include <unistd.h>

enum { SECTOR = 512, SECTORS = 64, HEADER = 0x8000, DATA = 0x9000, STATUS = 0x1f000 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2 };
enum { F_RO = 1 << 5, F_FLUSH = 1 << 9, F_DISCARD = 1 << 13, F_WRITE_ZEROES = 1 << 14 };

static char path[] = "/tmp/doppel-virtio-XXXXXX";
static struct block_image *image;
static struct virtio_blk *disk;
static uint16_t available;

static void create(bool readonly)
{
    struct error error;
    int fd = mkstemp(path);
    for (unsigned i = 0; i < SECTORS; i++) {
        uint8_t sector[SECTOR];
        memset(sector, 'a' + (int)i % 26, sizeof(sector));
        cr_assert_eq(write(fd, sector, sizeof(sector)), SECTOR);
    }
    close(fd);
    driver_create_bus();
    image =
        block_open(&(struct disk_options){.file = path, .format = DISK_RAW, .readonly = readonly},
                   &(struct block_config){.bus = bus}, &error);
    cr_assert(image, "%s", error.text);
    disk = virtio_blk_create(&(struct virtio_blk_config){
        .bus = pci, .slot = SLOT, .image = image, .serial = "serial number"});
    cr_assert(disk);
    driver_map_device();
}

static void create_writable(void)
{
    create(false);
}

static void destroy(void)
{
    block_close(image);
    virtio_blk_destroy(disk);
    driver_destroy_bus();
    unlink(path);
}

static void start(uint32_t features)
{
    negotiate(features, VERSION_1);
    enable_queue(0);
    put(0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1);
}

static void describe(unsigned index, uint64_t address, uint32_t size, unsigned flags)
{
    uint8_t *descriptor = ram + DESCRIPTORS + 16 * index;
    store_le(descriptor, address, 8);
    store_le(descriptor + 8, size, 4);
    store_le(descriptor + 12, flags, 2);
    store_le(descriptor + 14, index + 1, 2);
}

static void submit(void)
{
    store_le(ram + AVAILABLE + 4 + 2 * (available % SIZE), 0, 2);
    store_le(ram + AVAILABLE + 2, ++available, 2);
    put(NOTIFY, 0, 2);
}

/* Header, data of size bytes in two pieces, status; and waits. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t size)
{
    enum { NEXT = 1, WRITE = 2, HALF = 256 };
    unsigned direction = type == IN || type == GET_ID ? WRITE : 0, last = 1;
    store_le(ram + HEADER, type, 4);
    store_le(ram + HEADER + 8, sector, 8);
    ram[STATUS] = 0xff;
    describe(0, HEADER, 16, NEXT);
    if (size > HALF) {
        describe(last++, DATA, HALF, NEXT | direction);
        describe(last++, DATA + HALF, size - HALF, NEXT | direction);
    } else if (size) {
        describe(last++, DATA, size, NEXT | direction);
    }
    describe(last, STATUS, 1, WRITE);
    submit();
    while (used() != available)
        usleep(100);
    bus_lock(bus); /* the worker is done with it */
    bus_unlock(bus);
    return ram[STATUS];
}

static uint8_t clear(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    store_le(ram + DATA, sector, 8);
    store_le(ram + DATA + 8, sectors, 4);
    store_le(ram + DATA + 12, flags, 4);
    return request(type, 0, 16);
}

static void expect(unsigned sector, uint8_t value)
{
    uint8_t found[SECTOR];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(fd, found, SECTOR, sector * SECTOR), SECTOR);
    close(fd);
    cr_assert(found[0] == value && !memcmp(found, found + 1, SECTOR - 1), "sector %u is %u", sector,
              found[0]);
}

TestSuite(virtio_blk, .init = create_writable, .fini = destroy);

Test(virtio_blk, describes_itself)
{
    cr_assert_eq(config_read(PCI_VENDOR_ID, 4), 0x10011af4);
    cr_assert_eq(config_read(PCI_CLASS_CODE, 2), 0);
    put(0x00, 0, 4);
    cr_assert_eq(get(0x04, 4) & (F_RO | F_FLUSH | F_DISCARD | F_WRITE_ZEROES),
                 F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
    cr_assert_eq(get(DEVICE, 8), SECTORS);
    cr_assert_eq(get(DEVICE + 20, 4), SECTOR);
}

Test(virtio_blk, reads_and_writes)
{
    start(F_FLUSH);
    cr_assert_eq(request(IN, 1, 2 * SECTOR), OK);
    cr_assert(ram[DATA] == 'b' && ram[DATA + 511] == 'b' && ram[DATA + 512] == 'c');
    cr_assert_eq(load_le(ram + USED + 8, 4), 2 * SECTOR + 1, "bytes written");
    memset(ram + DATA, 'X', SECTOR);
    cr_assert_eq(request(OUT, 5, SECTOR), OK);
    expect(4, 'e');
    expect(5, 'X');
    expect(6, 'g');
    cr_assert_eq(request(FLUSH, 0, 0), OK);
    cr_assert(line.level);
}

Test(virtio_blk, answers_errors)
{
    start(F_FLUSH);
    cr_assert_eq(request(IN, SECTORS, SECTOR), IOERR);
    cr_assert_eq(request(IN, SECTORS - 1, 2 * SECTOR), IOERR);
    cr_assert_eq(request(IN, UINT64_MAX, SECTOR), IOERR);
    cr_assert_eq(request(IN, UINT64_MAX / SECTOR, 2 * SECTOR), IOERR);
    cr_assert_eq(request(OUT, 0, SECTOR - 1), IOERR);
    cr_assert_eq(request(99, 0, SECTOR), UNSUPP);
    expect(0, 'a');
}

Test(virtio_blk, gives_its_serial_number)
{
    start(F_FLUSH);
    cr_assert_eq(request(GET_ID, 0, 20), OK);
    cr_assert_str_eq((char *)ram + DATA, "serial number");
}

Test(virtio_blk, clears_ranges)
{
    start(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
    cr_assert_eq(clear(WRITE_ZEROES, 8, 8, 0), OK);
    cr_assert_eq(clear(WRITE_ZEROES, 24, 1, 1), OK);
    cr_assert_eq(clear(DISCARD, 32, 8, 0), OK);
    expect(7, 'h');
    expect(8, 0);
    expect(15, 0);
    expect(16, 'q');
    expect(24, 0);
    cr_assert_eq(clear(DISCARD, 0, 8, 1), UNSUPP);
    cr_assert_eq(clear(WRITE_ZEROES, 0, 8, 2), UNSUPP);
    cr_assert_eq(clear(WRITE_ZEROES, SECTORS, 1, 0), IOERR);
    cr_assert_eq(clear(WRITE_ZEROES, 0, UINT32_MAX, 0), IOERR);
    cr_assert_eq(request(DISCARD, 0, 15), IOERR);
    expect(0, 'a');
}

Test(virtio_blk, writes_without_a_flush)
{
    struct block_statistics statistics;
    start(0);
    cr_assert_eq(request(OUT, 5, SECTOR), OK);
    block_get_statistics(image, &statistics);
    cr_assert_eq(statistics.operations[BLOCK_FLUSH].requests, 1,
                 "the driver takes it to be on the disk");
}

Test(virtio_blk, breaks_on_short_chains)
{
    start(F_FLUSH);
    describe(0, HEADER, 15, 1);
    describe(1, STATUS, 1, 2);
    submit();
    cr_assert(get(0x14, 1) & NEEDS_RESET);
}

Test(virtio_blk, forgets_at_a_reset)
{
    start(F_FLUSH);
    for (unsigned i = 0; i < 100; i++) {
        store_le(ram + HEADER, IN, 4);
        store_le(ram + HEADER + 8, 0, 8);
        describe(0, HEADER, 16, 1);
        describe(1, DATA, 8 * SECTOR, 3);
        describe(2, STATUS, 1, 2);
        submit();
        submit();
        put(0x14, 0, 1);
        memset(ram + DESCRIPTORS, 0, USED + 0x1000 - DESCRIPTORS);
        available = 0;
        start(F_FLUSH);
        cr_assert_eq(used(), 0);
    }
    cr_assert_eq(request(IN, 1, SECTOR), OK);
}

/* The same head may be offered again and again before it has come back. */
Test(virtio_blk, bounds_what_is_in_flight)
{
    start(F_FLUSH);
    store_le(ram + HEADER, IN, 4);
    describe(0, HEADER, 16, 1);
    describe(1, DATA, SECTOR, 3);
    describe(2, STATUS, 1, 2);
    bus_lock(bus);
    block_pause(image);
    bus_unlock(bus);
    for (unsigned i = 0; i < 256 + SIZE; i++)
        submit();
    struct block_statistics statistics;
    block_get_statistics(image, &statistics);
    cr_assert_eq(statistics.in_flight, 256);
    bus_lock(bus);
    block_resume(image);
    bus_unlock(bus);
    while (used() < 256 + SIZE)
        usleep(100);
}

Test(virtio_blk_readonly, refuses_writes, .init = NULL)
{
    create(true);
    put(0x00, 0, 4);
    cr_assert_eq(get(0x04, 4) & (F_RO | F_DISCARD | F_WRITE_ZEROES), F_RO);
    start(F_RO | F_FLUSH);
    cr_assert_eq(request(OUT, 0, SECTOR), IOERR);
    cr_assert_eq(request(FLUSH, 0, 0), OK);
    expect(0, 'a');
    destroy();
}
