/* The virtio transport, with a device that copies what it reads to where it may write: features,
 * status, queues, interrupts and configuration by both interfaces, as a driver sees them. */
#include "devices/virtio/virtio_pci.h"

#include "virtio_driver.h"

enum { OUT = 0x8000, IN = 0x9000, FEATURE = 1 << 5 };
enum { NEXT = 1, WRITE = 2 }; /* of descriptors */

static struct echo {
    struct virtio_pci virtio;
    struct virtqueue_chain chain;
    unsigned resets, config_writes;
} echo;

static void copy(struct virtio_pci *device, unsigned queue)
{
    while (virtio_pci_pop(device, queue, &echo.chain)) {
        uint8_t bytes[64];
        uint64_t size = virtqueue_read(&echo.chain, 0, bytes, sizeof(bytes));
        size = virtqueue_write(&echo.chain, 0, bytes, size);
        virtio_pci_push(device, queue, &echo.chain, (uint32_t)size);
    }
    virtio_pci_interrupt(device, queue);
}

static void note_reset(struct virtio_pci *device)
{
    (void)device;
    echo.resets++;
}

static void note_config(struct virtio_pci *device, unsigned offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    echo.config_writes++;
}

static const struct virtio_pci_ops echo_ops = {
    .name = "echo", .notify = copy, .reset = note_reset, .config_written = note_config};

static void set_up(void)
{
    driver_create_bus();
    cr_assert(virtio_pci_init(&echo.virtio, &echo_ops,
                              &(struct virtio_pci_identity){
                                  .type = VIRTIO_TYPE_ENTROPY,
                                  .transitional_id = 0x1005,
                                  .class_code = 0x00ff00,
                                  .features = FEATURE,
                                  .queues = 2,
                                  .queue_size = SIZE,
                                  .config_size = 8,
                              }));
    memcpy(echo.virtio.config, "capacity", 8);
    cr_assert(virtio_pci_attach(&echo.virtio, pci, SLOT));
    driver_map_device();
}

static void tear_down(void)
{
    virtio_pci_free(&echo.virtio);
    driver_destroy_bus();
}

/* A chain of a buffer to read and one to write, in the rings that follow each other as a legacy
 * driver has them; the used ring is in the next page. */
static void offer(uint16_t count)
{
    uint8_t *descriptors = ram + DESCRIPTORS, *available = ram + AVAILABLE;
    store_le(descriptors, OUT, 8);
    store_le(descriptors + 8, 8, 4);
    store_le(descriptors + 12, NEXT, 2);
    store_le(descriptors + 14, 1, 2);
    store_le(descriptors + 16, IN, 8);
    store_le(descriptors + 24, 32, 4);
    store_le(descriptors + 28, WRITE, 2);
    store_le(available + 2, count, 2);
    memcpy(ram + OUT, "question", 8);
    memset(ram + IN, 0, 32);
}

static void start_modern(void)
{
    negotiate(FEATURE, VERSION_1);
    enable_queue(0);
    put(0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1);
}

TestSuite(virtio_pci, .init = set_up, .fini = tear_down);

Test(virtio_pci, tells_what_it_is)
{
    cr_assert_eq(config_read(PCI_VENDOR_ID, 4), 0x10051af4);
    cr_assert_eq(config_read(PCI_SUBSYSTEM_VENDOR_ID, 4), 0x00041af4);
    unsigned types = 0;
    for (unsigned at = config_read(PCI_CAPABILITIES, 1); at; at = config_read(at + 1, 1))
        if (config_read(at, 1) == PCI_CAP_VENDOR) {
            unsigned type = config_read(at + 3, 1);
            types |= 1u << type;
            cr_assert_eq(config_read(at + 4, 1), type == 5 ? 0 : 4, "type %u", type);
        }
    cr_assert_eq(types, 0x3e);
    put(0x00, 0, 4);
    cr_assert_eq(get(0x04, 4), FEATURE | 1u << 27 | 3u << 28);
    put(0x00, 1, 4);
    cr_assert_eq(get(0x04, 4), VERSION_1);
    put(0x00, 2, 4);
    cr_assert_eq(get(0x04, 4), 0);
    cr_assert_eq(get(0x12, 2), 2);
    cr_assert_eq(get(0x18, 2), SIZE);
    put(0x16, 7, 2);
    cr_assert_eq(get(0x18, 2), 0, "there is no such queue");
}

Test(virtio_pci, refuses_features_that_it_has_not)
{
    negotiate(FEATURE | 1, VERSION_1);
    cr_assert_not(get(0x14, 1) & FEATURES_OK);
    negotiate(FEATURE, 0);
    cr_assert_not(get(0x14, 1) & FEATURES_OK, "a modern driver without VERSION_1");
    negotiate(FEATURE, VERSION_1);
    cr_assert(get(0x14, 1) & FEATURES_OK);
    put(0x0c, 0, 4);
    cr_assert(virtio_pci_has(&echo.virtio, FEATURE), "they are final");
}

Test(virtio_pci, carries_chains_for_a_modern_driver)
{
    start_modern();
    offer(1);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), 1);
    cr_assert_arr_eq(ram + IN, "question", 8);
    cr_assert_eq(load_le(ram + USED + 8, 4), 8, "bytes written");
    cr_assert(line.level);
    cr_assert_eq(get(ISR, 1), 1);
    cr_assert_not(line.level);
    cr_assert_eq(get(ISR, 1), 0);
}

Test(virtio_pci, waits_for_the_driver)
{
    negotiate(FEATURE, VERSION_1);
    enable_queue(0);
    offer(1);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), 0);
    put(0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1);
    cr_assert_eq(used(), 1, "what was there before");
    config_write(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    offer(2);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), 1, "it is no bus master");
}

Test(virtio_pci, carries_chains_for_a_legacy_driver)
{
    cr_assert_eq(in32(bus, BASE), FEATURE | 1u << 27 | 3u << 28);
    out8(bus, BASE + 0x12, 0);
    out8(bus, BASE + 0x12, ACKNOWLEDGE | DRIVER);
    out32(bus, BASE + 4, FEATURE);
    bus_write(bus, BUS_PORT, BASE + 0x0e, 0, 2);
    cr_assert_eq(bus_read(bus, BUS_PORT, BASE + 0x0c, 2), SIZE);
    out32(bus, BASE + 8, DESCRIPTORS / PAGE_SIZE);
    out8(bus, BASE + 0x12, ACKNOWLEDGE | DRIVER | DRIVER_OK);
    offer(1);
    bus_write(bus, BUS_PORT, BASE + 0x10, 0, 2);
    cr_assert_eq(used(), 1);
    cr_assert_arr_eq(ram + IN, "question", 8);
    cr_assert(line.level);
    cr_assert_eq(in8(bus, BASE + 0x13), 1);
    cr_assert_not(line.level);
    out32(bus, BASE + 8, 0);
    cr_assert_eq(in8(bus, BASE + 0x12), 0, "an address of 0 resets");
    cr_assert_eq(echo.resets, 3);
}

Test(virtio_pci, shows_its_configuration)
{
    cr_assert_eq(get(DEVICE, 4), load_le("capa", 4));
    cr_assert_eq(in32(bus, BASE + 0x14), load_le("capa", 4));
    cr_assert_eq(in8(bus, BASE + 0x14 + 8), 0);
    put(DEVICE + 4, 'C', 1);
    cr_assert_eq(echo.config_writes, 1);
    cr_assert_eq(get(DEVICE + 4, 1), 'C');
    put(DEVICE + 8, 1, 1);
    cr_assert_eq(echo.config_writes, 1, "behind its end");
    start_modern();
    virtio_pci_config_changed(&echo.virtio);
    cr_assert_eq(get(0x15, 1), 1);
    cr_assert_eq(get(ISR, 1), 2);
}

Test(virtio_pci, has_vectors)
{
    put(0x10, 2, 2);
    cr_assert_eq(get(0x10, 2), 2);
    put(0x10, 3, 2);
    cr_assert_eq(get(0x10, 2), 0xffff, "there are two queues");
    unsigned msix = config_read(PCI_CAPABILITIES, 1);
    cr_assert_eq(config_read(msix, 1), PCI_CAP_MSIX);
    config_write(msix + PCI_MSIX_CONTROL, PCI_MSIX_ENABLE, 2);
    bus_write(bus, BUS_PORT, BASE + 0x14, 1, 2);
    cr_assert_eq(bus_read(bus, BUS_PORT, BASE + 0x14, 2), 1, "a legacy driver's register");
    cr_assert_eq(in32(bus, BASE + 0x18), load_le("capa", 4), "and its configuration behind");
    put(0x1a, 1, 2);
    start_modern();
    put(0x1a, 1, 2);
    offer(1);
    put(NOTIFY, 0, 2);
    cr_assert_not(line.level, "no pin with messages");
    cr_assert_eq(echo.virtio.pci.msix_pending[0], 2, "the vector is masked after a reset");
}

Test(virtio_pci, asks_for_a_reset_after_nonsense)
{
    start_modern();
    offer(1);
    store_le(ram + DESCRIPTORS, RAM, 8);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), 0);
    cr_assert(get(0x14, 1) & NEEDS_RESET);
    cr_assert_eq(get(ISR, 1), 2, "a change of configuration");
    offer(1);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), 0);
    memset(ram + DESCRIPTORS, 0, 0x2000);
    start_modern();
    offer(1);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), 1, "after which it works again");
}

Test(virtio_pci, can_be_reached_through_configuration_space)
{
    unsigned window = 0;
    for (unsigned at = config_read(PCI_CAPABILITIES, 1); at; at = config_read(at + 1, 1))
        if (config_read(at, 1) == PCI_CAP_VENDOR && config_read(at + 3, 1) == 5)
            window = at;
    config_write(window + 4, 4, 1);
    config_write(window + 8, DEVICE + 2, 4);
    config_write(window + 12, 2, 4);
    cr_assert_eq(config_read(window + 16, 2), load_le("pa", 2));
    config_write(window + 16, load_le("PA", 2), 2);
    cr_assert_arr_eq(echo.virtio.config, "caPAcity", 8);
    config_write(window + 8, 0x4000, 4);
    config_write(window + 16, 1, 2);
    config_write(window + 12, 3, 4);
    config_write(window + 16, 1, 2);
    config_read(window + 16, 4);
}
