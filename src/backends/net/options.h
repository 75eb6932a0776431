/* A network card and what it is plugged into, as the command line describes them. */
#ifndef DOPPEL_BACKENDS_NET_OPTIONS_H
#define DOPPEL_BACKENDS_NET_OPTIONS_H

#include "base/error.h"
#include "base/types.h"

#include <netinet/in.h>

enum { NET_FORWARDS_MAX = 32, NET_HOST_NAME_MAX = 32 };
/* IPv6 does not work with less; libslirp not with more. */
enum { NET_MTU_MIN = 1280, NET_MTU_DEFAULT = 1500, NET_MTU_MAX = 65521 };

enum net_kind { NET_NONE, NET_USER };
enum net_model { NET_VIRTIO, NET_E1000 };

/* A port of the host that leads to one of the guest. */
struct net_forward {
    bool udp;
    struct in_addr host;  /* where the host listens */
    struct in_addr guest; /* 0: the guest's first address */
    uint16_t host_port, guest_port;
};

struct net_options {
    enum net_kind kind;
    enum net_model model;
    uint8_t mac[6]; /* all 0: one is made up */
    uint16_t mtu;
    bool restricted;                       /* the guest reaches forwarded ports only */
    char host_name[NET_HOST_NAME_MAX + 1]; /* that DHCP gives the guest; or empty */
    struct net_forward forward[NET_FORWARDS_MAX];
    unsigned forward_count;
};

/* Parses none, or user[,model=virtio|e1000][,mac=MAC][,mtu=N][,restrict=on|off][,hostname=NAME]
 * [,hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT]... option names the option in messages ("--net"). */
bool net_options_parse(struct net_options *options, const char *option, const char *text,
                       struct error *error);
/* Parses tcp|udp:[HOST]:PORT-[GUEST]:PORT; without HOST it is default_host (network byte order). */
bool net_forward_parse(struct net_forward *forward, in_addr_t default_host, const char *option,
                       const char *text, struct error *error);
/* Parses six pairs of hexadecimal digits with colons between, of a single station. */
bool net_mac_parse(uint8_t mac[6], const char *text);

#endif
