/* A network of the guest's own behind libslirp, which carries its connections as an ordinary
 * process's: no privileges are needed. 10.0.2.0/24 and fec0::/64; the host is 10.0.2.2, name
 * service 10.0.2.3, and DHCP hands out addresses from 10.0.2.15. */
#ifndef DOPPEL_BACKENDS_NET_USER_H
#define DOPPEL_BACKENDS_NET_USER_H

#include "backends/net/net.h"
#include "backends/net/options.h"

struct bus;
struct clock;
struct loop;

/* Nothing is owned. */
struct net_user_config {
    const struct net_options *options; /* read while it is created */
    const char *option;                /* its name, for messages */
    struct loop *loop;
    struct bus *bus;
    const struct clock *clock; /* the guest's: connections do not time out while it is stopped */
};

/* NULL with *error set. SIGPIPE is ignored from then on. Loop's thread. */
struct net *net_user_create(const struct net_user_config *config, struct error *error);

#endif
