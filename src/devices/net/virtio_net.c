#include "devices/net/virtio_net.h"

#include "backends/net/checksum.h"
#include "devices/virtio/virtio_pci.h"

#include <stdlib.h>
#include <string.h>

enum { PCI_ID = 0x1000, CLASS_ETHERNET = 0x020000, QUEUE_SIZE = 256 };
enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUES };

enum {
    FEATURE_CSUM = 1 << 0,       /* the device completes checksums of what is sent */
    FEATURE_GUEST_CSUM = 1 << 1, /* the driver takes frames whose checksum is known to be right */
    FEATURE_MTU = 1 << 3,
    FEATURE_MAC = 1 << 5,
    FEATURE_HOST_TSO4 = 1 << 11, /* the device takes TCP segments of any size */
    FEATURE_HOST_TSO6 = 1 << 12,
    FEATURE_MRG_RXBUF = 1 << 15,
    FEATURE_STATUS = 1 << 16,
};
#define FEATURE_VERSION_1 (1ull << 32)

/* Configuration (5.1.4). */
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MTU = 10, CONFIG_SIZE = 12 };
enum { STATUS_LINK_UP = 1 };

/* The header before each frame (5.1.6); legacy drivers have it without HEADER_BUFFERS unless they
 * merge buffers. */
enum {
    HEADER_FLAGS = 0,
    HEADER_GSO_TYPE = 1,
    HEADER_CSUM_START = 6,
    HEADER_CSUM_OFFSET = 8,
    HEADER_BUFFERS = 10,
    HEADER_SIZE = 12,
    HEADER_SIZE_LEGACY = 10,
};
enum { FLAG_NEEDS_CSUM = 1, FLAG_DATA_VALID = 2 };

struct virtio_net {
    struct virtio_pci virtio;
    struct net *net;
    struct virtqueue_chain chain;
};

static uint32_t header_size(const struct virtio_net *nic)
{
    bool whole = virtio_pci_has(&nic->virtio, FEATURE_MRG_RXBUF | FEATURE_VERSION_1);
    return whole ? HEADER_SIZE : HEADER_SIZE_LEGACY;
}

/* --- Transmission */

/* Copies the frame of the chain, with its checksum. 0: it is none. Segments of TCP that are larger
 * than the MTU go out as they are: net.h. */
static uint32_t read_frame(struct virtio_net *nic, uint8_t *frame)
{
    const struct virtqueue_chain *chain = &nic->chain;
    uint8_t header[HEADER_SIZE] = {0};
    uint32_t before = header_size(nic);
    if (chain->out_size < before + NET_HEADER || chain->out_size > before + NET_FRAME_MAX)
        return 0;
    uint32_t size = (uint32_t)chain->out_size - before;
    virtqueue_read(chain, 0, header, before);
    virtqueue_read(chain, before, frame, size);
    if (!(header[HEADER_FLAGS] & FLAG_NEEDS_CSUM) || !virtio_pci_has(&nic->virtio, FEATURE_CSUM))
        return size;
    uint32_t start = (uint32_t)load_le(header + HEADER_CSUM_START, 2);
    uint32_t field = start + (uint32_t)load_le(header + HEADER_CSUM_OFFSET, 2);
    return checksum_complete(frame, size, start, field) ? size : 0;
}

/* A guest may make chains that are no frames as fast as they are dropped: others that wait for the
 * bus lock have their turn in between. */
static uint32_t take(void *card, uint8_t *frame)
{
    struct virtio_net *nic = card;
    for (unsigned i = 0; i < QUEUE_SIZE; i++) {
        if (!virtio_pci_pop(&nic->virtio, QUEUE_TRANSMIT, &nic->chain))
            return 0;
        uint32_t size = read_frame(nic, frame);
        virtio_pci_push(&nic->virtio, QUEUE_TRANSMIT, &nic->chain, 0);
        if (size)
            return size;
    }
    net_kick(nic->net);
    return 0;
}

/* --- Reception */

/* Where the header's count of buffers is: in one piece of memory, or two. */
struct count_place {
    uint8_t *byte[2];
};

/* Writes the header at the front of the first chain. False: it has no room for that and a byte. */
static bool write_header(struct virtio_net *nic, struct count_place *place)
{
    struct virtqueue_chain *chain = &nic->chain;
    uint8_t header[HEADER_SIZE] = {0};
    uint32_t size = header_size(nic);
    struct iovec part[2];
    if (chain->in_size <= size)
        return false;
    /* Its sender is the backend: nothing can have damaged it. */
    if (virtio_pci_has(&nic->virtio, FEATURE_GUEST_CSUM))
        header[HEADER_FLAGS] = FLAG_DATA_VALID;
    virtqueue_write(chain, 0, header, size);
    for (unsigned i = 0; i < 2 && size == HEADER_SIZE; i++) {
        virtqueue_part(chain, true, HEADER_BUFFERS + i, 1, part);
        place->byte[i] = part[0].iov_base;
    }
    return true;
}

/* A frame in as many chains as it takes, of which the guest sees none unless it sees all. False:
 * there are not so many yet. */
static bool write_frame(struct virtio_net *nic, const uint8_t *frame, uint32_t size)
{
    struct virtqueue *ring = &nic->virtio.queue[QUEUE_RECEIVE].ring;
    bool merges = virtio_pci_has(&nic->virtio, FEATURE_MRG_RXBUF);
    struct count_place place = {{NULL, NULL}};
    uint16_t buffers = 0;
    uint32_t done = 0;
    do {
        if (!virtio_pci_pop(&nic->virtio, QUEUE_RECEIVE, &nic->chain)) {
            virtqueue_take_back(ring);
            return false;
        }
        if (!buffers++ ? !write_header(nic, &place) : !nic->chain.in_size) {
            virtio_pci_fail(&nic->virtio);
            return false;
        }
        uint32_t before = buffers == 1 ? header_size(nic) : 0;
        uint32_t here = (uint32_t)virtqueue_write(&nic->chain, before, frame + done, size - done);
        virtqueue_stage(ring, &nic->chain, before + here);
        done += here;
    } while (done < size && merges);
    if (done < size) { /* its driver does not expect such frames */
        virtqueue_take_back(ring);
        return true;
    }
    if (place.byte[0]) {
        *place.byte[0] = (uint8_t)buffers;
        *place.byte[1] = (uint8_t)(buffers >> 8);
    }
    virtqueue_publish(ring);
    return true;
}

static bool receives(const struct virtio_net *nic)
{
    return virtio_pci_runs(&nic->virtio) && nic->virtio.queue[QUEUE_RECEIVE].enabled;
}

/* Nonsense in the queue ends its use. */
static bool give(void *card, const uint8_t *frame, uint32_t size)
{
    struct virtio_net *nic = card;
    return !receives(nic) || write_frame(nic, frame, size) || !receives(nic);
}

/* --- The card */

static void settle(void *card)
{
    struct virtio_net *nic = card;
    virtio_pci_interrupt(&nic->virtio, QUEUE_RECEIVE);
    virtio_pci_interrupt(&nic->virtio, QUEUE_TRANSMIT);
}

static const struct net_card_ops card_ops = {take, give, settle};

/* Frames to send, or room for some. */
static void notify(struct virtio_pci *device, unsigned queue)
{
    (void)queue;
    net_kick(((struct virtio_net *)device)->net);
}

static const struct virtio_pci_ops ops = {.name = "virtio-net", .notify = notify};

static const struct virtio_pci_identity identity = {
    .type = VIRTIO_TYPE_NETWORK,
    .transitional_id = PCI_ID,
    .class_code = CLASS_ETHERNET,
    .features = FEATURE_CSUM | FEATURE_GUEST_CSUM | FEATURE_MTU | FEATURE_MAC | FEATURE_HOST_TSO4 |
                FEATURE_HOST_TSO6 | FEATURE_MRG_RXBUF | FEATURE_STATUS,
    .queues = QUEUES,
    .queue_size = QUEUE_SIZE,
    .config_size = CONFIG_SIZE,
};

struct virtio_net *virtio_net_create(const struct virtio_net_config *config)
{
    struct virtio_net *nic = calloc(1, sizeof(*nic));
    if (!nic)
        return NULL;
    nic->net = config->net;
    bool made = virtio_pci_init(&nic->virtio, &ops, &identity);
    memcpy(nic->virtio.config + CONFIG_MAC, config->mac, sizeof(config->mac));
    store_le(nic->virtio.config + CONFIG_STATUS, STATUS_LINK_UP, 2);
    store_le(nic->virtio.config + CONFIG_MTU, config->mtu, 2);
    if (!made || !virtio_pci_attach(&nic->virtio, config->bus, config->slot)) {
        virtio_net_destroy(nic);
        return NULL;
    }
    net_connect(nic->net, &card_ops, nic);
    return nic;
}

void virtio_net_destroy(struct virtio_net *nic)
{
    if (!nic)
        return;
    net_connect(nic->net, NULL, NULL);
    virtio_pci_free(&nic->virtio);
    free(nic);
}
