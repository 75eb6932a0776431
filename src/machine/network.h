/* The guest's networks: the host's ends, and the cards on the board that are plugged into them. */
#ifndef DOPPEL_MACHINE_NETWORK_H
#define DOPPEL_MACHINE_NETWORK_H

#include "backends/net/options.h"

#define NETWORKS_MAX 8

struct bus;
struct clock;
struct loop;
struct net;
struct network_cards;
struct pci_bus;

/* Ordered as the options are. */
struct networks {
    struct network {
        struct net *net;
        enum net_model model;
        uint8_t mac[6];
        uint16_t mtu;
    } network[NETWORKS_MAX];
    unsigned count;
};

/* None of the options is of the kind NET_NONE. A card without an address gets QEMU's
 * 52:54:00:12:34:56, the next one 57, and so on. False: *error says why; networks_close() all the
 * same. Loop's thread. */
bool networks_open(struct networks *networks, const struct net_options *options, unsigned count,
                   struct loop *loop, struct bus *bus, const struct clock *clock,
                   struct error *error);
/* After the cards are destroyed. */
void networks_close(struct networks *networks);

/* A card for each network, in the bus's first slots that are free. networks, not owned, outlives
 * the cards. NULL: *error says why. Before the vCPU starts. */
struct network_cards *network_cards_create(const struct networks *networks, struct pci_bus *bus,
                                           struct clock *clock, struct error *error);
void network_cards_destroy(struct network_cards *cards); /* NULL: nothing */

#endif
