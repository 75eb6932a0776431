#include "machine/network.h"

#include "backends/net/user.h"
#include "devices/net/e1000.h"
#include "devices/net/virtio_net.h"

#include <stdlib.h>
#include <string.h>

/* --- The host's ends */

static void set_mac(struct network *network, const struct net_options *options, unsigned index)
{
    static const uint8_t none[6], first[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    bool chosen = memcmp(options->mac, none, sizeof(none));
    memcpy(network->mac, chosen ? options->mac : first, sizeof(network->mac));
    if (!chosen)
        network->mac[5] = (uint8_t)(first[5] + index);
}

bool networks_open(struct networks *networks, const struct net_options *options, unsigned count,
                   struct loop *loop, struct bus *bus, const struct clock *clock,
                   struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        struct network *network = &networks->network[networks->count];
        *network = (struct network){.model = options[i].model, .mtu = options[i].mtu};
        set_mac(network, &options[i], i);
        network->net = net_user_create(
            &(struct net_user_config){
                .options = &options[i],
                .option = "--net user",
                .loop = loop,
                .bus = bus,
                .clock = clock,
            },
            error);
        if (!network->net)
            return false;
        networks->count++;
    }
    return true;
}

void networks_close(struct networks *networks)
{
    while (networks->count)
        net_destroy(networks->network[--networks->count].net);
}

/* --- The cards */

struct network_cards {
    struct virtio_net *virtio[NETWORKS_MAX];
    struct e1000 *e1000[NETWORKS_MAX];
};

static struct virtio_net *create_virtio(const struct network *network, struct pci_bus *bus)
{
    struct virtio_net_config config = {
        .bus = bus, .slot = PCI_ANY_SLOT, .net = network->net, .mtu = network->mtu};
    memcpy(config.mac, network->mac, sizeof(config.mac));
    return virtio_net_create(&config);
}

static struct e1000 *create_e1000(const struct network *network, struct pci_bus *bus,
                                  struct clock *clock)
{
    struct e1000_config config = {
        .bus = bus, .slot = PCI_ANY_SLOT, .clock = clock, .net = network->net};
    memcpy(config.mac, network->mac, sizeof(config.mac));
    return e1000_create(&config);
}

static bool create_card(struct network_cards *cards, unsigned index, const struct network *network,
                        struct pci_bus *bus, struct clock *clock)
{
    if (network->model == NET_E1000)
        return (cards->e1000[index] = create_e1000(network, bus, clock));
    return (cards->virtio[index] = create_virtio(network, bus));
}

struct network_cards *network_cards_create(const struct networks *networks, struct pci_bus *bus,
                                           struct clock *clock, struct error *error)
{
    struct network_cards *cards = calloc(1, sizeof(*cards));
    bool made = cards;
    for (unsigned i = 0; made && i < networks->count; i++)
        made = create_card(cards, i, &networks->network[i], bus, clock);
    if (made)
        return cards;
    error_format(error, "--net: no memory for the guest's network cards, or no slot is free");
    network_cards_destroy(cards);
    return NULL;
}

void network_cards_destroy(struct network_cards *cards)
{
    if (!cards)
        return;
    for (unsigned i = 0; i < NETWORKS_MAX; i++)
        virtio_net_destroy(cards->virtio[i]);
    for (unsigned i = 0; i < NETWORKS_MAX; i++)
        e1000_destroy(cards->e1000[i]);
    free(cards);
}
