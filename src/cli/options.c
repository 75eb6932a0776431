#include "cli/options.h"

#include "cli/drive_options.h"
#include "machine/memory_map.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option_id {
    OPT_KERNEL = 256,
    OPT_FIRMWARE,
    OPT_UEFI_VARS,
    OPT_INITRD,
    OPT_APPEND,
    OPT_DISK,
    OPT_CDROM,
    OPT_BOOT,
    OPT_MEMORY,
    OPT_CPUS,
    OPT_CPU,
    OPT_ENGINE,
    OPT_WITHOUT,
    OPT_CODE_CACHE,
    OPT_PERF_MAP,
    OPT_SERIAL,
    OPT_DEBUGCON,
    OPT_DEBUGCON_PORT,
    OPT_VGA,
    OPT_DISPLAY,
    OPT_NET,
    OPT_RNG,
    OPT_NO_REBOOT,
    OPT_DEBUG_EXIT,
    OPT_NAME,
    OPT_QMP,
    OPT_MONITOR,
    OPT_GDB,
    OPT_STATS,
    OPT_TRACE,
    OPT_TRACE_FILE,
    OPT_HELP,
};

static const struct option run_options[] = {
    {"firmware", required_argument, NULL, OPT_FIRMWARE},
    {"uefi-vars", required_argument, NULL, OPT_UEFI_VARS},
    {"kernel", required_argument, NULL, OPT_KERNEL},
    {"initrd", required_argument, NULL, OPT_INITRD},
    {"append", required_argument, NULL, OPT_APPEND},
    {"disk", required_argument, NULL, OPT_DISK},
    {"cdrom", required_argument, NULL, OPT_CDROM},
    {"boot", required_argument, NULL, OPT_BOOT},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"without", required_argument, NULL, OPT_WITHOUT},
    {"code-cache", required_argument, NULL, OPT_CODE_CACHE},
    {"perf-map", no_argument, NULL, OPT_PERF_MAP},
    {"serial", required_argument, NULL, OPT_SERIAL},
    {"debugcon", required_argument, NULL, OPT_DEBUGCON},
    {"debugcon-port", required_argument, NULL, OPT_DEBUGCON_PORT},
    {"vga", required_argument, NULL, OPT_VGA},
    {"display", required_argument, NULL, OPT_DISPLAY},
    {"net", required_argument, NULL, OPT_NET},
    {"rng", required_argument, NULL, OPT_RNG},
    {"no-reboot", no_argument, NULL, OPT_NO_REBOOT},
    {"debug-exit", no_argument, NULL, OPT_DEBUG_EXIT},
    {"name", required_argument, NULL, OPT_NAME},
    {"qmp", required_argument, NULL, OPT_QMP},
    {"monitor", required_argument, NULL, OPT_MONITOR},
    {"start-stopped", no_argument, NULL, 'S'},
    {"gdb", required_argument, NULL, OPT_GDB},
    {"stats", optional_argument, NULL, OPT_STATS},
    {"trace", required_argument, NULL, OPT_TRACE},
    {"trace-file", required_argument, NULL, OPT_TRACE_FILE},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

const char *options_run_help(void)
{
    return "Usage: doppel run --kernel FILE [OPTION]...\n"
           "       doppel run --firmware bios|uefi|FILE [OPTION]...\n"
           "\n"
           "Runs a guest: a Linux bzImage, or an ELF kernel (PVH, Multiboot, or plain), or what\n"
           "firmware boots from a disk.\n"
           "\n"
           "  --firmware IMAGE    the guest's firmware: bios, which is SeaBIOS (default with a "
           "disk\n"
           "                      or CD and no kernel); uefi, which is OVMF; or a file\n"
           "  --uefi-vars FILE    the guest's UEFI variables, made if it does not exist (default:\n"
           "                      they are lost when the guest ends)\n"
           "  --kernel FILE       the guest's kernel\n"
           "  --initrd FILE       its initial RAM disk, or Multiboot module\n"
           "  --append TEXT       its command line\n"
           "  --disk IMAGE        a disk, as FILE[,SETTING...], raw or qcow2; may be given again.\n"
           "                      Settings: if=virtio|ide (default: virtio), format=raw|qcow2\n"
           "                      (default: what the file is), readonly, snapshot (changes are\n"
           "                      lost), size=SIZE (makes the image, or makes it larger)\n"
           "  --cdrom FILE        a CD or DVD drive with an ISO image in it, or none: an\n"
           "                      empty one; QMP and the monitor change what is in it\n"
           "  --boot LIST         what firmware tries to boot: disk, cdrom (default: in this "
           "order)\n"
           "  --memory SIZE       RAM, as 512M or 2G (default 512M)\n"
           "  --cpus 1            number of CPUs; there can be one\n"
           "  --cpu MODEL         v1, v2, v3 (x86-64 levels) or host (default: the best that\n"
           "                      this host can run)\n"
           "  --engine ENGINE     how guest code runs: jit, the translator (default);\n"
           "                      interp, the interpreter; or cosim, both in lockstep until they\n"
           "                      differ (a test of the translator)\n"
           "  --without LIST      optimisations of the translator to leave out: any of native,\n"
           "                      links, liveness, lookup, global, groups, large, patience,\n"
           "                      strings, separated by commas\n"
           "  --code-cache SIZE   memory for translated code, 1M to 1G (default 64M); when it is\n"
           "                      full, the oldest code goes\n"
           "  --perf-map          write /tmp/perf-PID.map, so that perf(1) names translated code\n"
           "  --serial TARGET     COM1: stdio (default), none, file:PATH, unix:PATH\n"
           "  --debugcon TARGET   the debug console, to the same kinds of target\n"
           "  --debugcon-port N   its port (default 0xe9; SeaBIOS and OVMF write to 0x402)\n"
           "  --vga ADAPTER       std, a VGA as QEMU's (default), or none\n"
           "  --display WHERE     sdl shows the guest's screen in a window; Ctrl-Alt-H there\n"
           "                      lists its keys; none (default) does not show it\n"
           "  --net NETWORK       none (default), or user[,SETTING...]: a network card, behind "
           "which\n"
           "                      the guest reaches what the host does; may be given again.\n"
           "                      Settings: model=virtio|e1000, mac=52:54:00:12:34:56, mtu=1500,\n"
           "                      hostname=NAME, restrict=on|off (on: it reaches nothing), and\n"
           "                      hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT (a port of the host\n"
           "                      that leads to one of the guest)\n"
           "  --rng STATE         on (default) or off: a virtio-rng, which gives the guest the\n"
           "                      host's random numbers\n"
           "  --no-reboot         a reset ends the guest instead of restarting it\n"
           "  --debug-exit        port 0xf4 ends the guest with exit status (value << 1) | 1,\n"
           "                      and the pc-testdev device is there\n"
           "  --qmp TARGET        control by QMP, at unix:PATH, tcp:PORT (of 127.0.0.1) or stdio\n"
           "  --monitor TARGET    control by a person, at the same kinds of target, or serial:\n"
           "                      Ctrl-A c at --serial stdio switches there and back\n"
           "  --name TEXT         the guest's name, for QMP\n"
           "  --gdb TARGET        waits for gdb at tcp:PORT (of 127.0.0.1) or unix:PATH\n"
           "  --start-stopped     stops before the first instruction (-S is the same) until gdb,\n"
           "                      QMP or the monitor continues\n"
           "  --stats[=FILE]      at the end, counters on standard error, or as JSON in FILE\n"
           "  --trace=LIST        what the guest does, as lines on standard error: any of\n"
           "                      insn, exception, interrupt, port, mmio, pagefault, msr,\n"
           "                      device, all, separated by commas\n"
           "  --trace-file FILE   write the trace to FILE\n"
           "  --help              this text\n"
           "\n"
           "With --serial stdio on a terminal, Ctrl-A x ends the guest and Ctrl-A h lists more\n"
           "keys. SIGTERM and SIGINT press the power button; a second one ends the guest.\n"
           "\n"
           "Exit status: 0 when the guest powers off (or resets, under --no-reboot), 1 on a usage\n"
           "or host error, 2 when the guest dies (triple fault), 4 when engines differ, or what\n"
           "--debug-exit gives.\n"
           "\n"
           "Example:\n"
           "  doppel run --kernel vmlinuz --initrd initrd.gz --append console=ttyS0\n";
}

/* "512M", "2G", "65536K", plain bytes. */
static bool parse_size(const char *option, const char *text, uint64_t *bytes, struct error *error)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end == 'K' || *end == 'k')
        shift = 10;
    else if (*end == 'M' || *end == 'm')
        shift = 20;
    else if (*end == 'G' || *end == 'g')
        shift = 30;
    if (shift)
        end++;
    if (errno || end == text || *end || *text == '-' || value > UINT64_MAX >> shift)
        return error_set(error, "--%s %s: is not a size; write it as 512M or 2G", option, text);
    *bytes = (uint64_t)value << shift;
    return true;
}

bool options_check_memory(const char *option, const char *text, uint64_t bytes, struct error *error)
{
    if (bytes < MEMORY_MIN || bytes % (1 * MIB))
        return error_set(error, "%s %s: must be whole MiB and at least %llu MiB", option, text,
                         MEMORY_MIN / MIB);
    uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (bytes > host)
        return error_set(error, "%s %s: this host has %llu MiB in all; give less", option, text,
                         (unsigned long long)(host / MIB));
    return true;
}

static bool parse_code_cache(const char *text, struct vm_config *vm, struct error *error)
{
    uint64_t bytes;
    if (!parse_size("code-cache", text, &bytes, error))
        return false;
    if (bytes < JIT_CODE_MIN || bytes > JIT_CODE_MAX || bytes % MIB)
        return error_set(error, "--code-cache %s: must be whole MiB, at least 1M and at most 1G",
                         text);
    vm->jit_config.code_size = bytes;
    return true;
}

static bool parse_port(const char *text, uint16_t *port, struct error *error)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 0);
    if (errno || end == text || *end || *text == '-' || !value || value > UINT16_MAX)
        return error_set(error, "--debugcon-port %s: is not a port; write it as 0x402", text);
    *port = (uint16_t)value;
    return true;
}

static bool parse_trace(const char *list, struct run_options *options, struct error *error)
{
    const char *bad;
    if (trace_parse(list, &options->vm.trace.mask, &bad))
        return true;
    return error_set(error, "--trace: \"%.*s\" is unknown; known are %s", (int)strcspn(bad, ","),
                     bad, trace_names());
}

/* For options that have one value so far. */
static bool parse_only(const char *option, const char *value, const char *only, struct error *error)
{
    return !strcmp(value, only) ||
           error_set(error, "--%s %s: is not offered; the only value is %s", option, value, only);
}

static bool parse_engine(const char *value, struct vm_config *vm, struct error *error)
{
    static const char *const names[] = {"interp", "jit", "cosim"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        vm->engine = (enum vm_engine)i;
        if (!strcmp(value, names[i]))
            return true;
    }
    return error_set(error, "--engine %s: is not offered; engines are interp, jit and cosim",
                     value);
}

static bool parse_vga(const char *value, struct vm_config *vm, struct error *error)
{
    vm->vga = !strcmp(value, "std");
    return vm->vga || !strcmp(value, "none") ||
           error_set(error, "--vga %s: is not offered; there are std and none", value);
}

static bool parse_display(const char *value, struct run_options *options, struct error *error)
{
    options->window = !strcmp(value, "sdl");
    return options->window || !strcmp(value, "none") ||
           error_set(error, "--display %s: is not offered; there are sdl and none", value);
}

/* none takes away the cards that were asked for before. */
static bool parse_net(const char *value, struct vm_config *vm, struct error *error)
{
    struct net_options options;
    if (!net_options_parse(&options, "--net", value, error))
        return false;
    if (options.kind == NET_NONE) {
        vm->network_count = 0;
        return true;
    }
    if (vm->network_count == NETWORKS_MAX)
        return error_set(error, "--net %s: there can be %d", value, NETWORKS_MAX);
    vm->networks[vm->network_count++] = options;
    return true;
}

static bool parse_rng(const char *value, struct vm_config *vm, struct error *error)
{
    vm->rng = !strcmp(value, "on");
    return vm->rng || !strcmp(value, "off") ||
           error_set(error, "--rng %s: must be on or off", value);
}

static bool parse_without(const char *list, struct vm_config *vm, struct error *error)
{
    const char *bad;
    if (jit_parse_features(list, &vm->jit_config.without, &bad))
        return true;
    return error_set(error, "--without: \"%.*s\" is unknown; known are %s", (int)strcspn(bad, ","),
                     bad, jit_feature_names());
}

static bool apply(int id, const char *value, struct run_options *options, struct error *error)
{
    struct vm_config *vm = &options->vm;
    switch (id) {
    case OPT_KERNEL:
        vm->kernel = value;
        return true;
    case OPT_FIRMWARE:
        vm->firmware = value;
        return true;
    case OPT_UEFI_VARS:
        vm->uefi_vars = value;
        return true;
    case OPT_INITRD:
        vm->initrd = value;
        return true;
    case OPT_APPEND:
        vm->append = value;
        return true;
    case OPT_DISK:
        return drive_options_add_disk(vm, value, error);
    case OPT_CDROM:
        return drive_options_add_cdrom(vm, value, error);
    case OPT_BOOT:
        return drive_options_set_boot(vm, value, error);
    case OPT_MEMORY:
        return parse_size("memory", value, &vm->memory, error) &&
               options_check_memory("--memory", value, vm->memory, error);
    case OPT_CPUS:
        return parse_only("cpus", value, "1", error);
    case OPT_CPU:
        vm->cpu_model = value;
        return true;
    case OPT_ENGINE:
        return parse_engine(value, vm, error);
    case OPT_WITHOUT:
        return parse_without(value, vm, error);
    case OPT_CODE_CACHE:
        return parse_code_cache(value, vm, error);
    case OPT_PERF_MAP:
        vm->jit_config.perf_map = true;
        return true;
    case OPT_SERIAL:
        vm->serial = value;
        return true;
    case OPT_DEBUGCON:
        vm->debugcon = value;
        return true;
    case OPT_DEBUGCON_PORT:
        return parse_port(value, &vm->debugcon_port, error);
    case OPT_VGA:
        return parse_vga(value, vm, error);
    case OPT_DISPLAY:
        return parse_display(value, options, error);
    case OPT_NET:
        return parse_net(value, vm, error);
    case OPT_RNG:
        return parse_rng(value, vm, error);
    case OPT_NO_REBOOT:
        vm->no_reboot = true;
        return true;
    case OPT_DEBUG_EXIT:
        vm->debug_exit = true;
        return true;
    case OPT_NAME:
        options->control.name = value;
        return true;
    case OPT_QMP:
        options->control.qmp = value;
        return true;
    case OPT_MONITOR:
        options->control.monitor = value;
        return true;
    case OPT_GDB:
        vm->gdb = value;
        return true;
    case 'S':
        vm->start_stopped = true;
        return true;
    case OPT_STATS:
        options->stats = vm->jit_config.count_called = true;
        options->stats_file = value;
        return true;
    case OPT_TRACE:
        return parse_trace(value, options, error);
    case OPT_TRACE_FILE:
        options->trace_file = value;
        return true;
    default:
        options->help = true;
        return true;
    }
}

static bool check_boot(const struct vm_config *vm, struct error *error)
{
    if (!vm->kernel && !vm->firmware)
        return error_set(error, "--kernel, --firmware or --disk is missing; see doppel run --help");
    if (vm->kernel && vm->firmware)
        return error_set(error, "--firmware %s: --kernel boots without firmware; give only one",
                         vm->firmware);
    if (vm->uefi_vars && (!vm->firmware || !strcmp(vm->firmware, "bios")))
        return error_set(error, "--uefi-vars %s: is for --firmware uefi", vm->uefi_vars);
    if (vm->firmware && vm->initrd)
        return error_set(error, "--initrd %s: is for --kernel", vm->initrd);
    if (vm->firmware && *vm->append)
        return error_set(error, "--append %s: is for --kernel", vm->append);
    return true;
}

bool options_parse_run(int argc, char **argv, struct run_options *options, struct error *error)
{
    *options = (struct run_options){
        .vm = {.append = "",
               .memory = 512 * MIB,
               .engine = VM_JIT,
               .serial = "stdio",
               .debugcon_port = 0xe9,
               .vga = true,
               .rng = true},
    };
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    int id;
    while ((id = getopt_long(argc, argv, "+:S", run_options, NULL)) != -1) {
        if (id == '?')
            return error_set(error,
                             "%s: unknown option, or one that takes no value; see doppel "
                             "run --help",
                             argv[optind - 1]);
        if (id == ':')
            return error_set(error, "%s: needs a value; see doppel run --help", argv[optind - 1]);
        if (!apply(id, optarg, options, error))
            return false;
    }
    if (options->help)
        return true;
    if (optind < argc)
        return error_set(error, "%s: is not an option; see doppel run --help", argv[optind]);
    if (!options->vm.kernel && !options->vm.firmware && options->vm.drive_count)
        options->vm.firmware = "bios";
    return options_check(options, error);
}

#define STREAM_USERS 4

/* What may have standard input and output, from number `first` on; STREAM_USERS: nothing has. */
static unsigned find_stdio(const struct run_options *options, unsigned first)
{
    const char *const targets[STREAM_USERS] = {options->vm.serial, options->vm.debugcon,
                                               options->control.qmp, options->control.monitor};
    while (first < STREAM_USERS && (!targets[first] || strcmp(targets[first], "stdio") != 0))
        first++;
    return first;
}

/* They are for one of all. */
static bool check_stdio(const struct run_options *options, struct error *error)
{
    static const char *const names[STREAM_USERS] = {"--serial", "--debugcon", "--qmp", "--monitor"};
    unsigned first = find_stdio(options, 0), second = find_stdio(options, first + 1);
    if (second < STREAM_USERS)
        return error_set(error,
                         "%s stdio: %s has stdio already; give one of them another target, "
                         "or none",
                         names[second], names[first]);
    if (first < STREAM_USERS && options->daemonize)
        return error_set(error,
                         "%s stdio: -daemonize leaves no standard input and output; give "
                         "another target",
                         names[first]);
    return true;
}

bool options_check(const struct run_options *options, struct error *error)
{
    if (!check_boot(&options->vm, error) || !check_stdio(options, error))
        return false;
    if (options->control.monitor && !strcmp(options->control.monitor, "serial") &&
        strcmp(options->vm.serial, "stdio") != 0)
        return error_set(error, "--monitor serial: needs --serial stdio");
    if (options->window && !options->vm.vga)
        return error_set(error, "--display sdl: there is nothing to show with --vga none");
    if (options->vm.start_stopped && !options->vm.gdb && !options->control.qmp &&
        !options->control.monitor)
        return error_set(error, "--start-stopped needs --gdb, --qmp or --monitor: nobody else can "
                                "start the guest");
    if (options->vm.engine == VM_COSIM && options->vm.gdb)
        return error_set(error, "--engine cosim: gdb would change one CPU of the two; leave out "
                                "--gdb");
    if (options->vm.engine == VM_COSIM && options->vm.drive_count)
        return error_set(error, "--engine cosim: a disk writes to one memory of the two; leave "
                                "out --disk");
    if (options->vm.engine == VM_COSIM && options->vm.network_count)
        return error_set(error, "--engine cosim: a network writes to the guest's memory between "
                                "the turns of the two CPUs; leave out --net");
    if (options->trace_file && !options->vm.trace.mask)
        return error_set(error, "--trace-file needs --trace=LIST");
    return true;
}

void options_free(struct run_options *options)
{
    drive_options_free(&options->vm);
}
