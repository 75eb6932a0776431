#include "cli/qemu_internal.h"

#include <stdio.h>
#include <string.h>

/* Appends ",key=value" where it fits. */
static bool append(char *text, size_t size, const char *key, const char *value)
{
    size_t length = strlen(text);
    return (size_t)snprintf(text + length, size - length, ",%s=%s", key, value) < size - length;
}

/* QEMU's settings of a user network are Doppel's; models have other names. */
static bool parse_user(struct qemu_params *params, const char *model, struct net_options *options,
                       struct error *error)
{
    char text[1024] = "user";
    bool fits = append(text, sizeof(text), "model", model);
    for (unsigned i = 0; i < params->count; i++) {
        struct qemu_param *param = &params->items[i];
        if (param->taken)
            continue;
        fits = fits && append(text, sizeof(text), param->key, param->value);
    }
    return fits ? net_options_parse(options, params->option, text, error)
                : error_set(error, "%s: is too long", params->option);
}

/* id is that of a -netdev, which leaves the model to its -device; NULL: it is a -nic. */
static bool add_network(struct qemu_parser *parser, struct qemu_params *params, const char *id,
                        struct error *error)
{
    const char *model = id ? NULL : qemu_params_take(params, "model");
    bool virtio = model && !strncmp(model, "virtio", 6);
    if (parser->network_count == NETWORKS_MAX)
        return error_set(error, "%s: there can be %d networks", params->option, NETWORKS_MAX);
    struct qemu_network *network = &parser->networks[parser->network_count];
    if (id && qemu_params_has(params, "model"))
        return error_set(error, "%s: model= is not offered; -device has it", params->option);
    if (model && !virtio && strcmp(model, "e1000") != 0)
        return error_set(error, "%s: model=%s is not offered; there are e1000 and virtio-net-pci",
                         params->option, model);
    if (!parse_user(params, virtio ? "virtio" : "e1000", &network->options, error))
        return false;
    network->id = id ? qemu_keep(parser, id, error) : "";
    network->waits = id;
    parser->network_count++;
    return network->id;
}

/* -netdev waits for its -device, -nic has its own. */
static bool add_by_type(struct qemu_parser *parser, struct qemu_params *params, bool waits,
                        struct error *error)
{
    const char *type = qemu_params_take(params, "type"), *id = qemu_params_take(params, "id");
    if (type && !strcmp(type, "none") && !waits)
        return qemu_params_end(params, error);
    if (!type || strcmp(type, "user") != 0)
        return error_set(error, "%s %s: is not offered; there are user and none", params->option,
                         type ? type : "");
    if (waits && !id)
        return error_set(error, "%s user: needs id=", params->option);
    return add_network(parser, params, waits ? id : NULL, error);
}

bool qemu_nic(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "type", error))
        return false;
    bool ok = add_by_type(parser, &params, false, error);
    qemu_params_free(&params);
    return ok;
}

bool qemu_netdev(struct qemu_parser *parser, const char *option, const char *value,
                 struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "type", error))
        return false;
    bool ok = add_by_type(parser, &params, true, error);
    qemu_params_free(&params);
    return ok;
}

static bool add_card(struct qemu_parser *parser, struct qemu_params *params, enum net_model model,
                     const char *device, struct error *error)
{
    const char *id = qemu_params_take(params, "netdev"), *mac = qemu_params_take(params, "mac");
    for (unsigned i = 0; id && i < parser->network_count; i++) {
        struct qemu_network *network = &parser->networks[i];
        if (strcmp(network->id, id) != 0 || !network->waits)
            continue;
        network->waits = false;
        network->options.model = model;
        return !mac || net_mac_parse(network->options.mac, mac) ||
               error_set(error, "-device %s: mac=%s is no station's address", device, mac);
    }
    return error_set(error, "-device %s: needs netdev=ID of a -netdev before it", device);
}

bool qemu_add_virtio_net(struct qemu_parser *parser, struct qemu_params *params,
                         struct error *error)
{
    return add_card(parser, params, NET_VIRTIO, "virtio-net-pci", error);
}

bool qemu_add_e1000(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    return add_card(parser, params, NET_E1000, "e1000", error);
}

void qemu_connect_networks(struct qemu_parser *parser)
{
    struct vm_config *vm = &parser->options->run.vm;
    for (unsigned i = 0; i < parser->network_count; i++) {
        if (!parser->networks[i].waits)
            vm->networks[vm->network_count++] = parser->networks[i].options;
    }
}
