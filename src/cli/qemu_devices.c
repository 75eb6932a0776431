#include "cli/qemu_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_number(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return !errno && end != text && !*end && *text != '-';
}

static bool parse_port(const char *what, const char *text, uint16_t *port, struct error *error)
{
    uint64_t value;
    bool ok = parse_number(text, &value) && value && value <= UINT16_MAX;
    *port = ok ? (uint16_t)value : 0;
    return ok || error_set(error, "%s=%s: is not a port", what, text);
}

/* It sits where pc-testdev's programs expect it. */
static bool add_debug_exit(struct qemu_parser *parser, struct qemu_params *params,
                           struct error *error)
{
    const char *base = qemu_params_take(params, "iobase");
    uint64_t port = 0;
    qemu_params_take(params, "iosize");
    parser->options->run.vm.debug_exit = true;
    return (base && parse_number(base, &port) && port == 0xf4) ||
           error_set(error, "-device isa-debug-exit: is offered at iobase=0xf4 only");
}

static bool add_debugcon(struct qemu_parser *parser, struct qemu_params *params,
                         struct error *error)
{
    const char *base = qemu_params_take(params, "iobase");
    const char *chardev = qemu_params_take(params, "chardev");
    char text[256];
    if (base && !parse_port("-device isa-debugcon: iobase", base,
                            &parser->options->run.vm.debugcon_port, error))
        return false;
    if (!chardev)
        return error_set(error, "-device isa-debugcon: needs chardev=ID");
    snprintf(text, sizeof(text), "chardev:%s", chardev);
    return qemu_add_stream(parser, QEMU_DEBUGCON, "-device isa-debugcon", text, error);
}

static bool add_testdev(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    (void)params, (void)error;
    parser->options->run.vm.debug_exit = true;
    return true;
}

static bool add_pci_testdev(struct qemu_parser *parser, struct qemu_params *params,
                            struct error *error)
{
    (void)params, (void)error;
    parser->options->run.vm.pci_testdev = true;
    return true;
}

static bool add_rng(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    qemu_params_take(params, "rng");
    parser->options->run.vm.rng = true;
    (void)error;
    return true;
}

static bool add_vga(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    (void)params, (void)error;
    parser->vga_device = true;
    return true;
}

bool qemu_device(struct qemu_parser *parser, const char *option, const char *value,
                 struct error *error)
{
    static const struct {
        char name[20];
        qemu_device_fn *add;
    } devices[] = {{"isa-debug-exit", add_debug_exit},
                   {"isa-debugcon", add_debugcon},
                   {"pc-testdev", add_testdev},
                   {"pci-testdev", add_pci_testdev},
                   {"ide-hd", qemu_add_ide_disk},
                   {"ide-cd", qemu_add_ide_cd},
                   {"virtio-blk-pci", qemu_add_virtio_blk},
                   {"virtio-net-pci", qemu_add_virtio_net},
                   {"e1000", qemu_add_e1000},
                   {"virtio-rng-pci", add_rng},
                   {"VGA", add_vga}};
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "driver", error))
        return false;
    const char *driver = qemu_params_take(&params, "driver");
    bool ok = false, found = false;
    qemu_params_take(&params, "id");
    for (unsigned i = 0; driver && i < ARRAY_SIZE(devices) && !found; i++) {
        found = !strcmp(driver, devices[i].name);
        ok = found && devices[i].add(parser, &params, error) && qemu_params_end(&params, error);
    }
    if (!found)
        error_format(error, "%s %s: is not offered", option, value);
    qemu_params_free(&params);
    return ok;
}

bool qemu_global(struct qemu_parser *parser, const char *option, const char *value,
                 struct error *error)
{
    static const char debugcon[] = "isa-debugcon.iobase=", kvm[] = "kvm-";
    if (!strncmp(value, debugcon, sizeof(debugcon) - 1))
        return parse_port("-global isa-debugcon.iobase", value + sizeof(debugcon) - 1,
                          &parser->options->run.vm.debugcon_port, error);
    /* KVM's own devices are not there. */
    return !strncmp(value, kvm, sizeof(kvm) - 1) ||
           error_set(error, "%s %s: is not offered", option, value);
}
