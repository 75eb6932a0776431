/* Inside the parser of QEMU's command line: what options have said, before it is put together. */
#ifndef DOPPEL_CLI_QEMU_INTERNAL_H
#define DOPPEL_CLI_QEMU_INTERNAL_H

#include "cli/qemu_options.h"
#include "cli/qemu_params.h"

#define QEMU_CHARDEVS_MAX 16u
#define QEMU_STREAMS_MAX 16u

/* Where characters go, as vm_config and control_config have it: the string is the options'. */
struct qemu_target {
    const char *spec;
    bool waits; /* for a client */
};

struct qemu_drive {
    bool waits; /* for a -device that has it: if=none */
    struct drive_options options;
};

struct qemu_network {
    const char *id; /* or "" */
    bool waits;     /* for a -device that has it */
    struct net_options options;
};

enum qemu_vga { QEMU_VGA_DEFAULT, QEMU_VGA_STD, QEMU_VGA_NONE };
enum qemu_user { QEMU_SERIAL, QEMU_DEBUGCON, QEMU_MONITOR, QEMU_QMP };

struct qemu_parser {
    struct qemu_options *options;
    bool accelerated, tcg; /* an accelerator was named; this one was */
    bool nographic, nodefaults, snapshot;
    enum qemu_vga vga;
    bool vga_device;   /* -device VGA */
    bool shared;       /* a chardev has mux=on */
    bool with_monitor; /* the serial port is mon:stdio */
    bool monitored;    /* there is a -monitor */
    struct qemu_drive drives[DRIVES_MAX];
    unsigned drive_count;
    const char *flash[2]; /* if=pflash: the firmware, and its UEFI variables */
    struct qemu_network networks[NETWORKS_MAX];
    unsigned network_count;
    struct {
        const char *id;
        struct qemu_target target;
    } chardevs[QEMU_CHARDEVS_MAX];
    unsigned chardev_count;
    /* What uses a stream, in the order of the options: chardevs may come later. */
    struct {
        enum qemu_user user;
        const char *option, *text;
    } streams[QEMU_STREAMS_MAX];
    unsigned stream_count;
};

typedef bool qemu_option_fn(struct qemu_parser *parser, const char *option, const char *value,
                            struct error *error);

/* --- qemu_machine.c: the machine itself. */

qemu_option_fn qemu_machine, qemu_accel, qemu_memory, qemu_smp, qemu_cpu, qemu_vga, qemu_display,
    qemu_rtc;

typedef bool qemu_device_fn(struct qemu_parser *parser, struct qemu_params *params,
                            struct error *error);

/* --- qemu_devices.c. */

qemu_option_fn qemu_device, qemu_global;

/* --- qemu_drives.c. */

qemu_option_fn qemu_drive, qemu_hard_disk, qemu_cdrom, qemu_snapshot, qemu_boot;

qemu_device_fn qemu_add_virtio_blk, qemu_add_ide_disk, qemu_add_ide_cd;
/* After the last option: what has a device, and what is in flash, goes to the vm's options. */
bool qemu_connect_drives(struct qemu_parser *parser, struct error *error);
/* The rest. */
void qemu_free_drives(struct qemu_parser *parser);

/* --- qemu_net.c. */

qemu_option_fn qemu_nic, qemu_netdev;

qemu_device_fn qemu_add_virtio_net, qemu_add_e1000;
/* After the last option: what has a card goes to the vm's options. */
void qemu_connect_networks(struct qemu_parser *parser);

/* --- qemu_streams.c: character devices and who uses them. */

qemu_option_fn qemu_chardev, qemu_serial, qemu_debugcon, qemu_monitor, qemu_qmp, qemu_mon, qemu_gdb;

bool qemu_add_stream(struct qemu_parser *parser, enum qemu_user user, const char *option,
                     const char *text, struct error *error);
/* After the last option. */
bool qemu_connect_streams(struct qemu_parser *parser, struct error *error);

/* A copy that lives as long as the options; NULL with *error set: no memory. */
const char *qemu_keep(const struct qemu_parser *parser, const char *text, struct error *error);

#endif
