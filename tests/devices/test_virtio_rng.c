/* virtio-rng with a source of known bytes. */
#include "devices/misc/virtio_rng.h"

#include "virtio_driver.h"

enum { BUFFER = 0x8000, WRITE = 2 };

static struct virtio_rng *rng;
static unsigned asked;

static void count_up(void *opaque, void *data, size_t size)
{
    (void)opaque;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = (uint8_t)++asked;
}

static void create(void)
{
    driver_create_bus();
    rng = virtio_rng_create(
        &(struct virtio_rng_config){.bus = pci, .slot = SLOT, .entropy = count_up});
    cr_assert(rng);
    driver_map_device();
    negotiate(0, VERSION_1);
    enable_queue(0);
    put(0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1);
}

static void destroy(void)
{
    virtio_rng_destroy(rng);
    driver_destroy_bus();
}

/* Offers one buffer and returns how much of it was filled. */
static uint32_t ask(uint16_t index, uint32_t size, unsigned flags)
{
    uint8_t *descriptor = ram + DESCRIPTORS;
    store_le(descriptor, BUFFER, 8);
    store_le(descriptor + 8, size, 4);
    store_le(descriptor + 12, flags, 2);
    store_le(ram + AVAILABLE + 4 + 2 * (index % SIZE), 0, 2);
    store_le(ram + AVAILABLE + 2, index + 1u, 2);
    put(NOTIFY, 0, 2);
    cr_assert_eq(used(), index + 1);
    return (uint32_t)load_le(ram + USED + 8 + 8 * (index % SIZE), 4);
}

TestSuite(virtio_rng, .init = create, .fini = destroy);

Test(virtio_rng, fills_buffers)
{
    cr_assert_eq(config_read(PCI_VENDOR_ID, 4), 0x10051af4);
    cr_assert_eq(ask(0, 64, WRITE), 64);
    cr_assert(line.level);
    cr_assert_eq(ram[BUFFER], 1);
    cr_assert_eq(ram[BUFFER + 63], 64);
    cr_assert_eq(ram[BUFFER + 64], 0);
}

Test(virtio_rng, bounds_its_work)
{
    cr_assert_eq(ask(0, 0x10000, WRITE), VIRTIO_RNG_BYTES_MAX);
    cr_assert_eq(asked, VIRTIO_RNG_BYTES_MAX);
    cr_assert_eq(ask(1, 64, 0), 0, "a buffer that cannot be written");
    cr_assert_eq(ask(2, 1, WRITE), 1);
}

Test(virtio_rng, has_the_host_s_numbers)
{
    uint8_t first[64] = {0}, second[64] = {0};
    entropy_from_host(NULL, first, sizeof(first));
    entropy_from_host(NULL, second, sizeof(second));
    cr_assert(memcmp(first, second, sizeof(first)));
}
