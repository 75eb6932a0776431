#include "backends/net/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Values */

/* Decimal digits only, up to max. */
static bool parse_number(const char *text, unsigned long max, unsigned long *value)
{
    char *end;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return isdigit((unsigned char)*text) && !*end && !errno && *value <= max;
}

static bool parse_port(const char *text, uint16_t *port)
{
    unsigned long value;
    bool good = parse_number(text, UINT16_MAX, &value) && value;
    *port = (uint16_t)value;
    return good;
}

bool net_mac_parse(uint8_t mac[6], const char *text)
{
    for (unsigned i = 0; i < 6; i++, text += 3) {
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            text[2] != (i < 5 ? ':' : 0))
            return false;
        mac[i] = (uint8_t)strtoul((char[]){text[0], text[1], 0}, NULL, 16);
    }
    static const uint8_t none[6];
    return !(mac[0] & 1) && memcmp(mac, none, sizeof(none));
}

/* ADDRESS:PORT of one end, at the front of *text and with `end` behind it. */
static bool take_end(char **text, char end, struct in_addr *address, uint16_t *port)
{
    char *colon = strchr(*text, ':'), *stop = colon ? strchr(colon, end) : NULL;
    if (!stop)
        return false;
    char *host = *text;
    *colon = *stop = 0;
    *text = stop + 1;
    return (!*host || inet_pton(AF_INET, host, address) == 1) && parse_port(colon + 1, port);
}

static bool parse_forward(struct net_forward *forward, char *text)
{
    forward->udp = !strncmp(text, "udp:", 4);
    if (!forward->udp && strncmp(text, "tcp:", 4))
        return false;
    text += 4;
    return take_end(&text, '-', &forward->host, &forward->host_port) &&
           take_end(&text, 0, &forward->guest, &forward->guest_port);
}

bool net_forward_parse(struct net_forward *forward, in_addr_t default_host, const char *option,
                       const char *text, struct error *error)
{
    *forward = (struct net_forward){.host.s_addr = default_host};
    char *copy = strdup(text);
    if (!copy)
        return error_set(error, "%s: out of memory", option);
    bool good = parse_forward(forward, copy);
    free(copy);
    return good || error_set(error,
                             "%s: hostfwd=%s: must be tcp or udp, as tcp:127.0.0.1:2222-:22, with "
                             "numeric IPv4 addresses, which may be left out, and ports 1 to 65535",
                             option, text);
}

/* A label of a domain name. */
static bool parse_host_name(const char *text, char *name)
{
    size_t size = strlen(text);
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-')
            return false;
    if (!size || size > NET_HOST_NAME_MAX || *text == '-')
        return false;
    memcpy(name, text, size + 1);
    return true;
}

/* --- Settings */

static bool set_model(struct net_options *options, const char *option, const char *value,
                      struct error *error)
{
    options->model = !strcmp(value, "e1000") ? NET_E1000 : NET_VIRTIO;
    return options->model == NET_E1000 || !strcmp(value, "virtio") ||
           error_set(error, "%s: model=%s: is unknown; it is virtio or e1000", option, value);
}

static bool set_mac(struct net_options *options, const char *option, const char *value,
                    struct error *error)
{
    return net_mac_parse(options->mac, value) ||
           error_set(error, "%s: mac=%s: is no address of a station; write it as 52:54:00:12:34:56",
                     option, value);
}

static bool set_mtu(struct net_options *options, const char *option, const char *value,
                    struct error *error)
{
    unsigned long mtu;
    bool good = parse_number(value, NET_MTU_MAX, &mtu) && mtu >= NET_MTU_MIN;
    options->mtu = (uint16_t)mtu;
    return good || error_set(error, "%s: mtu=%s: must be a number from %d to %d", option, value,
                             NET_MTU_MIN, NET_MTU_MAX);
}

static bool set_restrict(struct net_options *options, const char *option, const char *value,
                         struct error *error)
{
    options->restricted = !strcmp(value, "on");
    return options->restricted || !strcmp(value, "off") ||
           error_set(error, "%s: restrict=%s: must be on or off", option, value);
}

static bool set_host_name(struct net_options *options, const char *option, const char *value,
                          struct error *error)
{
    return parse_host_name(value, options->host_name) ||
           error_set(error, "%s: hostname=%s: must be up to %d letters, digits and hyphens", option,
                     value, NET_HOST_NAME_MAX);
}

static bool add_forward(struct net_options *options, const char *option, const char *value,
                        struct error *error)
{
    if (options->forward_count == NET_FORWARDS_MAX)
        return error_set(error, "%s: hostfwd=%s: there can be %d of them", option, value,
                         NET_FORWARDS_MAX);
    struct net_forward *forward = &options->forward[options->forward_count++];
    return net_forward_parse(forward, htonl(INADDR_LOOPBACK), option, value, error);
}

static bool apply(struct net_options *options, const char *option, char *setting,
                  struct error *error)
{
    static const struct {
        const char *name;
        bool (*set)(struct net_options *, const char *, const char *, struct error *);
    } settings[] = {
        {"model", set_model},
        {"mac", set_mac},
        {"mtu", set_mtu},
        {"restrict", set_restrict},
        {"hostname", set_host_name},
        {"hostfwd", add_forward},
    };
    char *value = strchr(setting, '=');
    if (value)
        *value++ = 0;
    for (size_t i = 0; value && i < ARRAY_SIZE(settings); i++)
        if (!strcmp(setting, settings[i].name))
            return settings[i].set(options, option, value, error);
    return error_set(error,
                     "%s: \"%s\" is unknown; after user come model=, mac=, mtu=, restrict=, "
                     "hostname=, hostfwd=",
                     option, setting);
}

bool net_options_parse(struct net_options *options, const char *option, const char *text,
                       struct error *error)
{
    *options = (struct net_options){.kind = NET_NONE, .mtu = NET_MTU_DEFAULT};
    if (!strcmp(text, "none"))
        return true;
    char *copy = strdup(text), *rest = copy;
    if (!copy)
        return error_set(error, "%s: out of memory", option);
    options->kind = NET_USER;
    bool good = !strcmp(strsep(&rest, ","), "user") ||
                error_set(error, "%s %s: is not offered; networks are user and none", option, text);
    while (good && rest)
        good = apply(options, option, strsep(&rest, ","), error);
    free(copy);
    return good;
}
