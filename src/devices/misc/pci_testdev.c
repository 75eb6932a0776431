#include "devices/misc/pci_testdev.h"

#include "devices/pci/pci.h"

#include <stdlib.h>
#include <string.h>

enum { TESTS = 3, NO_TEST = TESTS, DATA_MATCH = 2, DATA = 0xfa };
enum { MEMORY_SIZE = 4096, IO_SIZE = 256 };

/* What a BAR begins with; the test's own byte, to write to, is in the BAR's upper half. */
struct header {
    uint8_t test, width, unused[2];
    uint32_t offset, data, count;
    char name[28];
};

struct region {
    uint32_t data_offset; /* of test 0 */
    unsigned test;        /* the one that was started, or NO_TEST */
    uint32_t count;       /* of its writes */
    const char *name;
};

struct pci_testdev {
    struct pci_function pci;
    struct region regions[2];
};

static struct header header_of(const struct region *region)
{
    static const char *const tests[TESTS] = {"no-eventfd", "wildcard-eventfd", "datamatch-eventfd"};
    struct header header = {.test = (uint8_t)region->test};
    if (region->test == NO_TEST)
        return header;
    header.width = 1;
    header.offset = region->data_offset + region->test;
    header.data = DATA;
    header.count = region->count;
    strcpy(header.name, region->name);
    strcat(header.name, tests[region->test]);
    return header;
}

static uint64_t testdev_read(void *device, uint64_t offset, unsigned size)
{
    const struct header header = header_of(device);
    uint64_t value = 0;
    if (offset + size <= sizeof(header))
        memcpy(&value, (const uint8_t *)&header + offset, size);
    return value;
}

static void testdev_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct region *region = device;
    if (offset == 0) {
        region->test = (uint8_t)value < TESTS ? (uint8_t)value : NO_TEST;
        region->count = 0;
    } else if (region->test != NO_TEST && offset == region->data_offset + region->test &&
               size == 1 && (region->test != DATA_MATCH || value == DATA)) {
        region->count++;
    }
}

static const struct bus_ops region_ops = {
    .name = "pci-testdev",
    .read = testdev_read,
    .write = testdev_write,
};

static void testdev_reset(struct pci_function *function)
{
    struct pci_testdev *testdev = container_of(function, struct pci_testdev, pci);
    testdev->regions[0] = (struct region){MEMORY_SIZE / 2, NO_TEST, 0, "mmio-"};
    testdev->regions[1] = (struct region){IO_SIZE / 2, NO_TEST, 0, "portio-"};
}

struct pci_testdev *pci_testdev_create(void)
{
    static const struct pci_ops ops = {.name = "pci-testdev", .reset = testdev_reset};
    struct pci_testdev *testdev = calloc(1, sizeof(*testdev));
    if (!testdev)
        return NULL;
    pci_init(&testdev->pci, &ops,
             &(struct pci_identity){.vendor = 0x1b36, .device = 0x0005, .class_code = 0x00ff00});
    pci_add_bar(&testdev->pci, 0, PCI_BAR_MEMORY, MEMORY_SIZE, &region_ops, &testdev->regions[0]);
    pci_add_bar(&testdev->pci, 1, PCI_BAR_IO, IO_SIZE, &region_ops, &testdev->regions[1]);
    testdev_reset(&testdev->pci);
    return testdev;
}

void pci_testdev_destroy(struct pci_testdev *testdev)
{
    pci_free(&testdev->pci);
    free(testdev);
}

struct pci_function *pci_testdev_function(struct pci_testdev *testdev)
{
    return &testdev->pci;
}
