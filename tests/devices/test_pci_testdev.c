/* pci-testdev, as the guest's driver uses it. */
#include "devices/misc/pci_testdev.h"
#include "devices/pci/pci.h"

#include <criterion/criterion.h>
#include <string.h>

enum { TEST = 0, WIDTH = 1, OFFSET = 4, DATA = 8, COUNT = 12, NAME = 16 };

static uint64_t get(const struct pci_bar *bar, uint64_t offset, unsigned size)
{
    return bar->ops->read(bar->device, offset, size);
}

static void put(const struct pci_bar *bar, uint64_t offset, uint64_t value, unsigned size)
{
    bar->ops->write(bar->device, offset, value, size);
}

static void check_name(const struct pci_bar *bar, const char *name)
{
    for (unsigned i = 0; i <= strlen(name); i++)
        cr_expect_eq(get(bar, NAME + i, 1), (uint8_t)name[i]);
}

/* Starts a test and makes its write so many times, and others that do not count. */
static void run_test(const struct pci_bar *bar, unsigned test, const char *name)
{
    put(bar, TEST, test, 1);
    cr_assert_eq(get(bar, WIDTH, 1), 1);
    check_name(bar, name);
    uint64_t offset = get(bar, OFFSET, 4), data = get(bar, DATA, 4);
    cr_assert_lt(offset, bar->size);
    cr_expect_eq(get(bar, COUNT, 4), 0);
    for (unsigned i = 0; i < 5; i++)
        put(bar, offset, data, 1);
    put(bar, offset + 1, data, 1);
    put(bar, offset, data, 4);
    cr_expect_eq(get(bar, COUNT, 4), 5);
    put(bar, offset, data ^ 1, 1);
    cr_expect_eq(get(bar, COUNT, 4), test == 2 ? 5 : 6);
}

Test(pci_testdev, counts_writes)
{
    struct pci_testdev *testdev = pci_testdev_create();
    struct pci_function *function = pci_testdev_function(testdev);
    cr_expect_eq(function->bar[0].kind, PCI_BAR_MEMORY);
    cr_expect_eq(function->bar[1].kind, PCI_BAR_IO);
    for (unsigned i = 0; i < 2; i++) {
        const struct pci_bar *bar = &function->bar[i];
        cr_expect_eq(get(bar, WIDTH, 1), 0, "nothing has been started");
        run_test(bar, 0, i ? "portio-no-eventfd" : "mmio-no-eventfd");
        run_test(bar, 1, i ? "portio-wildcard-eventfd" : "mmio-wildcard-eventfd");
        run_test(bar, 2, i ? "portio-datamatch-eventfd" : "mmio-datamatch-eventfd");
        put(bar, TEST, 3, 1);
        cr_expect_eq(get(bar, WIDTH, 1), 0, "there is no fourth one");
        for (uint64_t offset = 0; offset < bar->size; offset += 4) {
            put(bar, offset, 2, 4);
            get(bar, offset, 4);
        }
        put(bar, TEST, 1, 1);
    }
    function->ops->reset(function);
    cr_expect_eq(get(&function->bar[0], WIDTH, 1), 0);
    pci_testdev_destroy(testdev);
}
