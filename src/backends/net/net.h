/* Networks: what a network card is plugged into.
 *
 * Both ends pull and push Ethernet frames without their checksum. The backend does all of it, at
 * times of its own: it takes frames off the card and gives the card those that it has, until the
 * card has no more, or no room. Then it waits to be kicked.
 *
 *     guest --> card: net_kick() --> backend wakes: take(), take(), ..., give(), ..., settle()
 *     guest <-- interrupt <-- card <----------------------------------------------'
 *
 * Frames may be longer than the MTU: a card that can segment what the guest sends need not, as its
 * backend takes IP packets up to the largest size there is. The other way they keep to the MTU. */
#ifndef DOPPEL_BACKENDS_NET_NET_H
#define DOPPEL_BACKENDS_NET_NET_H

#include "base/types.h"

/* Ethernet header, VLAN tag and the largest IP packet. */
enum { NET_HEADER = 14, NET_VLAN_TAG = 4, NET_FRAME_MAX = NET_HEADER + NET_VLAN_TAG + 65535 };

/* The card's side: bus lock held. */
struct net_card_ops {
    /* Copies the guest's next frame to where NET_FRAME_MAX bytes have room. Returns its size, 0
     * where there is none. */
    uint32_t (*take)(void *card, uint8_t *frame);
    /* A frame for the guest. False: the card has no room, and kicks when it has. A card that is
     * not in use drops frames. */
    bool (*give)(void *card, const uint8_t *frame, uint32_t size);
    /* After any number of these: tells the guest. */
    void (*settle)(void *card);
};

struct net;

struct net_ops {
    void (*kick)(struct net *net);
    void (*destroy)(struct net *net);
};

struct net {
    const struct net_ops *ops;
    const struct net_card_ops *card_ops;
    void *card; /* NULL: nothing is plugged in */
};

/* Plugs a card in, or with NULL the one that is there out. Bus lock held, or before the vCPU
 * starts.
 */
static inline void net_connect(struct net *net, const struct net_card_ops *ops, void *card)
{
    net->card_ops = ops;
    net->card = card;
}

/* The card has frames, or room where it had none. Cheap; any thread, bus lock held. */
static inline void net_kick(struct net *net)
{
    net->ops->kick(net);
}

/* After the card. NULL: nothing. Loop's thread, without the bus lock. */
static inline void net_destroy(struct net *net)
{
    if (net)
        net->ops->destroy(net);
}

#endif
