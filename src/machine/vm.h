/* A guest: memory, CPU, board and clock, from configuration to end. */
#ifndef DOPPEL_MACHINE_VM_H
#define DOPPEL_MACHINE_VM_H

#include "backends/display/screenshot.h"
#include "base/error.h"
#include "base/trace.h"
#include "base/types.h"
#include "jit/jit.h"
#include "machine/drives.h"
#include "machine/network.h"

#include <stdio.h>

/* What runs the guest's code: the interpreter, the translator, or both in lockstep. */
enum vm_engine { VM_INTERP, VM_JIT, VM_COSIM };

struct board;
struct bus;
struct chardev;
struct cpu;
struct loop;
struct phys_map;
struct vm;

/* Strings are the caller's and outlive the vm. */
struct vm_config {
    const char *firmware;  /* machine/firmware.h; or NULL: direct boot of the kernel */
    const char *uefi_vars; /* machine/uefi_vars.h, or NULL */
    const char *kernel, *initrd, *append;
    struct drive_options drives[DRIVES_MAX];
    unsigned drive_count;
    uint16_t boot_order;   /* struct board_config */
    uint64_t memory;       /* bytes, page-aligned */
    const char *cpu_model; /* NULL: the best the host can run */
    const char *serial;    /* chardev spec of COM1 */
    const char *debugcon;  /* chardev spec of the debug console, or NULL: no such port */
    uint16_t debugcon_port;
    bool vga;                                  /* a VGA, and a display that it draws on */
    struct net_options networks[NETWORKS_MAX]; /* of a kind other than NET_NONE */
    unsigned network_count;
    bool rng;        /* a virtio entropy device */
    bool debug_exit; /* port 0xf4 ends the guest with a status of its own; pc-testdev */
    bool pci_testdev;
    enum vm_engine engine;
    struct jit_config jit_config;
    bool no_reboot;     /* a reset ends the guest */
    const char *gdb;    /* where the gdb stub listens (machine/gdb.h), or NULL: no stub */
    bool start_stopped; /* until gdb or vm_continue() lets the guest go */
    struct trace trace;
};

enum vm_end {
    VM_POWERED_OFF,
    VM_RESET,      /* under no_reboot */
    VM_DIED,       /* triple fault */
    VM_DEBUG_EXIT, /* vm_result.status */
    VM_DIFFERED,   /* the engines, under VM_COSIM */
    VM_ENDED,      /* by vm_end() */
};

struct vm_result {
    enum vm_end end;
    unsigned status;
};

/* Who wants a reset or the end. */
enum vm_cause { VM_CAUSE_GUEST, VM_CAUSE_CONTROL, VM_CAUSE_SIGNAL, VM_CAUSE_TERMINAL };

enum vm_event {
    VM_EVENT_STOP, /* the guest stands still; its cause is not told */
    VM_EVENT_RESUME,
    VM_EVENT_POWER_BUTTON,
    VM_EVENT_RESET, /* has been done */
    VM_EVENT_END,   /* from vm_run(), for the last time */
};

/* Is told what becomes of the guest; on the loop's thread, without the bus lock. result is given
 * with VM_EVENT_END only. The owner fills in the first two. */
struct vm_observer {
    void (*event)(void *opaque, enum vm_event event, enum vm_cause cause,
                  const struct vm_result *result);
    void *opaque;
    struct vm_observer *next;
};

enum vm_status {
    VM_RUNNING,
    VM_NOT_STARTED, /* start_stopped, and not let go yet */
    VM_PAUSED,
    VM_AT_DEBUGGER, /* gdb has stopped it */
    VM_OUT_OF_ROOM, /* it waits for room on the host's disk */
};

/* Builds the guest and loads its kernel. loop is the caller's and is run by vm_run(). NULL with
 * *error set on failure. */
struct vm *vm_create(const struct vm_config *config, struct loop *loop, struct error *error);
void vm_destroy(struct vm *vm);

/* Runs the guest to its end; the calling thread becomes the loop's. */
bool vm_run(struct vm *vm, struct vm_result *result, struct error *error);

/* --- Control: the loop's thread, without the bus lock (machine/vm_control.c). */

/* Stops the guest with its time and its disks, until vm_continue(). gdb's stops are apart: the
 * guest runs while neither wants it stopped. Both do nothing where there is nothing to do. */
void vm_stop(struct vm *vm);
void vm_continue(struct vm *vm);
enum vm_status vm_status(const struct vm *vm);

/* Restarts the guest; at once where it is stopped, else soon. Ends it under no_reboot. */
void vm_reset(struct vm *vm, enum vm_cause cause);
void vm_press_power_button(struct vm *vm);
void vm_end(struct vm *vm, enum vm_cause cause);

/* Types on the guest's keyboard: typist_type(), without the bus lock. */
bool vm_type_keys(struct vm *vm, const uint8_t *keys, unsigned count, uint64_t ns);

/* There can be several; each is the caller's and outlives the vm's running. */
void vm_add_observer(struct vm *vm, struct vm_observer *observer);

/* Keeps the CPU from running until vm_release_cpu(), so that it and what is the vCPU thread's can
 * be looked at; guest time goes on. Calls do not nest. */
struct cpu *vm_hold_cpu(struct vm *vm);
void vm_release_cpu(struct vm *vm);

/* A drive, in the order of the options; its strings live until its medium changes. False: there are
 * not so many. */
struct vm_drive {
    const char *name;
    bool removable, tray_open, locked; /* of CD drives */
    const char *file, *format;         /* NULL: there is no medium */
    uint64_t size;                     /* bytes */
    bool readonly;
};
bool vm_drive_at(struct vm *vm, unsigned index, struct vm_drive *drive);

/* Puts another medium into a drive, read-only, or takes it out where medium->file is NULL; force:
 * even out of a tray that the guest has locked. False with *error set, and all is as before: the
 * drive takes no other medium, or the file cannot be opened. */
bool vm_change_medium(struct vm *vm, unsigned index, const struct disk_options *medium, bool force,
                      struct error *error);

/* The host's number of the vCPU's thread; 0 before it runs. */
int vm_vcpu_thread(const struct vm *vm);

/* The guest's parts, for who looks at them; they live as long as the vm. */
struct board *vm_board(struct vm *vm);
struct bus *vm_bus(struct vm *vm);
struct phys_map *vm_phys(struct vm *vm);
struct display *vm_display(struct vm *vm); /* NULL: it has no screen */
struct chardev *vm_serial(struct vm *vm);  /* what COM1 is connected to */

/* Writes what the guest's screen shows, to path. False with *error set where it has none, or as
 * screenshot_write(). Any thread, without the bus lock, while the vm lives. */
bool vm_screendump(struct vm *vm, const char *path, enum image_format format, struct error *error);

/* After vm_run(): where the guest died, for a person to read. */
void vm_report_death(struct vm *vm, FILE *out);

/* After vm_run(): in what the engines differ, likewise. */
void vm_report_difference(struct vm *vm, FILE *out);

/* What --stats shows, as a table or as JSON: after vm_run(), or while the CPU is held. */
void vm_print_stats(struct vm *vm, FILE *out, bool json);

#endif
