/* Inside machine: a guest's parts. vm.c makes and runs them, vm_control.c holds, resets and ends,
 * vm_drives.c changes media. */
#ifndef DOPPEL_MACHINE_VM_INTERNAL_H
#define DOPPEL_MACHINE_VM_INTERNAL_H

#include "backends/block/block.h"
#include "cpu/cpu.h"
#include "machine/acpi.h"
#include "machine/gdb.h"
#include "machine/memory_map.h"
#include "machine/typist.h"
#include "machine/uefi_vars.h"
#include "machine/vcpu.h"
#include "machine/vm.h"

#include <stdatomic.h>

/* What the vCPU's thread does when it next leaves the guest. The first end that is asked for wins.
 */
enum vm_action { ACTION_NONE, ACTION_RESET, ACTION_END };

/* Who keeps the guest from running. */
enum vm_hold {
    HOLD_START = 1, /* the guest has not been let go yet */
    HOLD_USER = 2,
    HOLD_DEBUGGER = 4,
    HOLD_DISK = 8, /* the host has no room for a write */
};

struct vm {
    struct vm_config config;
    struct cpu_model model;
    struct bus *bus;
    struct clock *clock;
    struct phys_map *phys;
    struct memory_windows windows;
    struct loop *loop; /* not owned */
    struct chardev *serial, *debugcon;
    struct display *display; /* or NULL: no screen */
    struct drives drives;
    _Atomic unsigned stalled; /* how many of them wait for room */
    struct uefi_vars uefi_vars;
    struct networks networks;
    struct cosim *cosim; /* VM_COSIM; it owns the CPU then */
    struct cpu *cpu;
    struct board *board;
    struct acpi_config acpi;
    struct typist typist;
    struct vcpu vcpu;
    uint64_t vcpu_wakes_at; /* the deadline that the halted vCPU waits for, or CLOCK_NEVER; guarded
                               by the bus lock */
    struct gdb *gdb;        /* or NULL */
    unsigned holds;         /* enum vm_hold; loop's thread */
    bool disks_paused;      /* likewise */
    struct vm_observer *observers; /* not owned */
    _Atomic bool at_debugger;      /* CPU_EXIT_DEBUG has come, and the vCPU holds itself */

    _Atomic int action;        /* enum vm_action; written with the bus lock held */
    enum vm_cause reset_cause; /* of ACTION_RESET, and of the end where it is VM_RESET */
    enum vm_cause end_cause;   /* of VM_ENDED */
    _Atomic unsigned resets;   /* that the observer has not been told: a bit for each cause */
    struct vm_result result;   /* valid once action is ACTION_END */
    _Atomic bool stopped;      /* the vCPU's thread has ended */
    bool failed;               /* it could not restart the guest: failure */
    struct error failure;
    uint64_t host_start, host_end; /* CLOCK_MONOTONIC ns around vm_run() */
};

/* With the bus lock held. */
void vm_end_with(struct vm *vm, enum vm_end end, unsigned status);
void vm_ask_reset(struct vm *vm, enum vm_cause cause);

/* Resets all parts and loads the guest again; false: failure says why. On the vCPU's thread, or
 * while it is held. */
bool vm_restart(struct vm *vm);

/* For the drives' images. */
struct block_config vm_block_config(struct vm *vm);

/* The loop's thread: what other threads have left to do, and to tell. */
void vm_attend(struct vm *vm);
void vm_tell_end(struct vm *vm);

struct gdb_machine vm_gdb_machine(struct vm *vm);

#endif
