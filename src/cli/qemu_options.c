#include "cli/qemu_options.h"

#include "cli/qemu_internal.h"
#include "machine/memory_map.h"

#include <stdlib.h>
#include <string.h>

struct qemu_text {
    struct qemu_text *next;
    char text[];
};

const char *qemu_keep(const struct qemu_parser *parser, const char *text, struct error *error)
{
    size_t size = strlen(text) + 1;
    struct qemu_text *kept = malloc(sizeof(*kept) + size);
    if (!kept) {
        error_format(error, "no memory for the command line");
        return NULL;
    }
    memcpy(kept->text, text, size);
    kept->next = parser->options->texts;
    parser->options->texts = kept;
    return kept->text;
}

void qemu_options_free(struct qemu_options *options)
{
    options_free(&options->run);
    while (options->texts) {
        struct qemu_text *next = options->texts->next;
        free(options->texts);
        options->texts = next;
    }
}

/* --- Options that say one thing. */

static bool set_help(struct qemu_parser *parser, const char *option, const char *value,
                     struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->options->help = true;
    return true;
}

static bool set_version(struct qemu_parser *parser, const char *option, const char *value,
                        struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->options->version = true;
    return true;
}

static bool set_kernel(struct qemu_parser *parser, const char *option, const char *value,
                       struct error *error)
{
    (void)option, (void)error;
    parser->options->run.vm.kernel = value;
    return true;
}

static bool set_initrd(struct qemu_parser *parser, const char *option, const char *value,
                       struct error *error)
{
    (void)option, (void)error;
    parser->options->run.vm.initrd = value;
    return true;
}

static bool set_append(struct qemu_parser *parser, const char *option, const char *value,
                       struct error *error)
{
    (void)option, (void)error;
    parser->options->run.vm.append = value;
    return true;
}

/* QEMU's own names of SeaBIOS mean the package's. */
static bool set_bios(struct qemu_parser *parser, const char *option, const char *value,
                     struct error *error)
{
    (void)option, (void)error;
    bool is_seabios = !strcmp(value, "bios.bin") || !strcmp(value, "bios-256k.bin");
    parser->options->run.vm.firmware = is_seabios ? "bios" : value;
    return true;
}

static bool set_name(struct qemu_parser *parser, const char *option, const char *value,
                     struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "guest", error))
        return false;
    const char *name = qemu_params_take(&params, "guest");
    qemu_params_take(&params, "process");
    qemu_params_take(&params, "debug-threads");
    bool ok = qemu_params_end(&params, error);
    const char *kept = ok && name ? qemu_keep(parser, name, error) : NULL;
    parser->options->run.control.name = kept;
    qemu_params_free(&params);
    return ok && (kept || !name);
}

static bool set_no_reboot(struct qemu_parser *parser, const char *option, const char *value,
                          struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->options->run.vm.no_reboot = true;
    return true;
}

static bool set_stopped(struct qemu_parser *parser, const char *option, const char *value,
                        struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->options->run.vm.start_stopped = true;
    return true;
}

static bool set_default_gdb(struct qemu_parser *parser, const char *option, const char *value,
                            struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->options->run.vm.gdb = "tcp:1234";
    return true;
}

static bool set_nographic(struct qemu_parser *parser, const char *option, const char *value,
                          struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->nographic = true;
    return true;
}

static bool set_nodefaults(struct qemu_parser *parser, const char *option, const char *value,
                           struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->nodefaults = true;
    return true;
}

static bool set_pidfile(struct qemu_parser *parser, const char *option, const char *value,
                        struct error *error)
{
    (void)option, (void)error;
    parser->options->run.pidfile = value;
    return true;
}

static bool set_daemonize(struct qemu_parser *parser, const char *option, const char *value,
                          struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->options->run.daemonize = true;
    return true;
}

static bool ignore(struct qemu_parser *parser, const char *option, const char *value,
                   struct error *error)
{
    (void)parser, (void)option, (void)value, (void)error;
    return true;
}

static bool refuse_kvm(struct qemu_parser *parser, const char *option, const char *value,
                       struct error *error)
{
    (void)parser, (void)value;
    return error_set(error, "%s: is not offered; Doppel needs no KVM: -accel tcg", option);
}

/* --- All options. */

static const struct option_entry {
    const char *name;
    bool has_value;
    qemu_option_fn *take;
    const char *only; /* the one value that is offered; NULL: take decides */
} entries[] = {
    {"M", true, qemu_machine, NULL},
    {"machine", true, qemu_machine, NULL},
    {"accel", true, qemu_accel, NULL},
    {"enable-kvm", false, refuse_kvm, NULL},
    {"m", true, qemu_memory, NULL},
    {"smp", true, qemu_smp, NULL},
    {"cpu", true, qemu_cpu, NULL},
    {"name", true, set_name, NULL},
    {"kernel", true, set_kernel, NULL},
    {"initrd", true, set_initrd, NULL},
    {"append", true, set_append, NULL},
    {"bios", true, set_bios, NULL},
    {"drive", true, qemu_drive, NULL},
    {"hda", true, qemu_hard_disk, NULL},
    {"hdb", true, qemu_hard_disk, NULL},
    {"hdc", true, qemu_hard_disk, NULL},
    {"hdd", true, qemu_hard_disk, NULL},
    {"cdrom", true, qemu_cdrom, NULL},
    {"boot", true, qemu_boot, NULL},
    {"snapshot", false, qemu_snapshot, NULL},
    {"net", true, ignore, "none"},
    {"nic", true, qemu_nic, NULL},
    {"netdev", true, qemu_netdev, NULL},
    {"device", true, qemu_device, NULL},
    {"global", true, qemu_global, NULL},
    {"chardev", true, qemu_chardev, NULL},
    {"serial", true, qemu_serial, NULL},
    {"parallel", true, ignore, "none"},
    {"debugcon", true, qemu_debugcon, NULL},
    {"monitor", true, qemu_monitor, NULL},
    {"qmp", true, qemu_qmp, NULL},
    {"mon", true, qemu_mon, NULL},
    {"display", true, qemu_display, NULL},
    {"vnc", true, ignore, "none"},
    {"nographic", false, set_nographic, NULL},
    {"vga", true, qemu_vga, NULL},
    {"nodefaults", false, set_nodefaults, NULL},
    {"no-user-config", false, ignore, NULL},
    {"no-reboot", false, set_no_reboot, NULL},
    {"S", false, set_stopped, NULL},
    {"s", false, set_default_gdb, NULL},
    {"gdb", true, qemu_gdb, NULL},
    {"rtc", true, qemu_rtc, NULL},
    {"pidfile", true, set_pidfile, NULL},
    {"daemonize", false, set_daemonize, NULL},
    {"msg", true, ignore, NULL},
    {"version", false, set_version, NULL},
    {"help", false, set_help, NULL},
    {"h", false, set_help, NULL},
};

const char *qemu_options_help(void)
{
    return "Usage: doppel qemu OPTION...\n"
           "\n"
           "Runs a guest as QEMU's command line describes it; called as qemu-system-x86_64, "
           "doppel\n"
           "does the same. Options begin with one or two dashes.\n"
           "\n"
           "  -M, -machine pc[,accel=tcg]   the machine; versions of pc are all the same one\n"
           "  -accel tcg                    how guest code runs: Doppel's translator\n"
           "  -m SIZE                       RAM, in MiB or with a suffix (default 128)\n"
           "  -smp 1                        number of CPUs; there can be one\n"
           "  -cpu NAME[,+FLAG][,-FLAG]     qemu64, Nehalem, Haswell, max, ...: x86-64 levels 1 "
           "to\n"
           "                                3, or what the host has\n"
           "  -name NAME                    the guest's name, for QMP\n"
           "  -kernel FILE                  a kernel, booted without firmware\n"
           "  -initrd FILE, -append TEXT    its initial RAM disk and command line\n"
           "  -bios FILE                    the firmware (default SeaBIOS)\n"
           "  -drive file=FILE[,if=ide|virtio]  a disk, or with media=cdrom a CD drive; also\n"
           "         [,media=disk|cdrom]    if=none,id=ID with -device virtio-blk-pci, ide-hd or\n"
           "         [,format=raw|qcow2]    ide-cd,drive=ID\n"
           "         [,index=N][,readonly=on][,snapshot=on]\n"
           "  -drive if=pflash,file=FILE    UEFI firmware, and given again its variables\n"
           "  -hda FILE ... -hdd FILE       IDE disks\n"
           "  -cdrom FILE                   a CD drive at the second IDE channel\n"
           "  -boot [order=]LETTERS         what firmware tries to boot: c is the disk, d the CD\n"
           "  -snapshot                     no drive's file is changed\n"
           "  -net none                     no network (as without it)\n"
           "  -nic none|user[,hostfwd=...]  no network, or one behind libslirp, as --net has it;\n"
           "                                also -netdev user,id=ID with -device\n"
           "                                e1000 or virtio-net-pci,netdev=ID; the card of -nic\n"
           "                                is model=e1000 (default) or virtio-net-pci\n"
           "  -device DEVICE                isa-debug-exit,iobase=0xf4, isa-debugcon, pc-testdev,\n"
           "                                pci-testdev, virtio-blk-pci, ide-hd, ide-cd,\n"
           "                                virtio-net-pci, e1000, virtio-rng-pci, VGA\n"
           "  -global isa-debugcon.iobase=N the debug console's port\n"
           "  -chardev KIND,id=ID,...       stdio, file, socket or null\n"
           "  -serial TARGET                COM1: stdio, file:PATH, null, none, "
           "unix:PATH,server=on,\n"
           "                                wait=off or chardev:ID\n"
           "  -parallel none                there is no parallel port\n"
           "  -debugcon TARGET              the debug console, likewise\n"
           "  -monitor TARGET, -qmp TARGET  control: stdio, unix:PATH,server=on, "
           "tcp::PORT,server=on\n"
           "  -mon chardev=ID,mode=MODE     control: readline (the monitor) or control (QMP)\n"
           "  -display sdl|none             a window (default: none); -vnc none\n"
           "  -nographic                    the serial port at the terminal, as -serial "
           "mon:stdio;\n"
           "                                Ctrl-A c switches to the monitor and back\n"
           "  -vga std|none                 the VGA\n"
           "  -nodefaults, -no-user-config  no devices by default but the board's\n"
           "  -no-reboot                    a reset ends the guest\n"
           "  -S                            stops before the first instruction\n"
           "  -s, -gdb TARGET               waits for gdb at tcp::1234, or TARGET\n"
           "  -rtc base=utc                 the guest's clock\n"
           "  -pidfile FILE                 where the process's number is written\n"
           "  -daemonize                    runs in the background\n"
           "  -msg OPTIONS                  taken and left\n"
           "  -version, -help               these\n"
           "\n"
           "What else QEMU knows is refused, with exit status 1.\n";
}

static const struct option_entry *find_entry(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        if (!strcmp(entries[i].name, name))
            return &entries[i];
    }
    return NULL;
}

/* Takes argv[*i], and its value with it. */
static bool take_option(struct qemu_parser *parser, char **argv, int *i, struct error *error)
{
    const char *option = argv[*i], *value = NULL;
    if (*option != '-')
        return error_set(error, "%s: is no option; disks come with -drive", option);
    const struct option_entry *entry = find_entry(option + 1 + (option[1] == '-'));
    if (!entry)
        return error_set(error, "%s: is not offered; see doppel qemu -help", option);
    if (entry->has_value && !(value = argv[++*i]))
        return error_set(error, "%s: needs a value; see doppel qemu -help", option);
    if (entry->only && strcmp(value, entry->only) != 0)
        return error_set(error, "%s %s: is not offered; the only value is %s", option, value,
                         entry->only);
    return entry->take(parser, option, value, error);
}

/* All options, and what they come to together. */
static bool parse(struct qemu_parser *parser, int argc, char **argv, struct error *error)
{
    struct run_options *run = &parser->options->run;
    for (int i = 1; i < argc; i++) {
        if (!take_option(parser, argv, &i, error))
            return false;
        if (parser->options->help || parser->options->version)
            return true;
    }
    run->vm.vga = parser->vga_device || parser->vga == QEMU_VGA_STD ||
                  (parser->vga == QEMU_VGA_DEFAULT && !parser->nodefaults);
    if (parser->accelerated && !parser->tcg)
        return error_set(error, "-accel: of accelerators there is tcg only; Doppel needs no KVM");
    if (!qemu_connect_drives(parser, error))
        return false;
    if (!run->vm.kernel && !run->vm.firmware)
        run->vm.firmware = "bios";
    qemu_connect_networks(parser);
    return qemu_connect_streams(parser, error) && options_check(run, error);
}

bool qemu_options_parse(int argc, char **argv, struct qemu_options *options, struct error *error)
{
    struct qemu_parser parser = {.options = options};
    *options = (struct qemu_options){.run = {.vm = {.append = "",
                                                    .memory = 128 * MIB,
                                                    .serial = "none",
                                                    .debugcon_port = 0xe9,
                                                    .engine = VM_JIT}}};
    bool parsed = parse(&parser, argc, argv, error);
    qemu_free_drives(&parser);
    return parsed;
}
