/* The gdb stub: a debugger outside the guest, over a socket (doc/gdb.md).
 *
 * Everything is for the loop's thread, without the bus lock. */
#ifndef DOPPEL_MACHINE_GDB_H
#define DOPPEL_MACHINE_GDB_H

#include "base/error.h"
#include "base/types.h"

struct cpu;
struct gdb;
struct loop;

/* What the stub does to the machine around the CPU. */
struct gdb_machine {
    /* The debugger stops the guest: afterwards the vCPU is held and guest time stands still. */
    void (*pause)(void *opaque);
    void (*resume)(void *opaque); /* it lets the guest go, one that has not started too */
    void (*leave)(void *opaque);  /* it goes without a word: its own stop is over */
    void (*end)(void *opaque);
    void (*reset)(void *opaque);
    void *opaque;
};

struct gdb_config {
    const char *target; /* "tcp:PORT" (127.0.0.1 only) or "unix:PATH" */
    bool start_stopped; /* the machine is paused and stays so until the debugger says otherwise */
    struct loop *loop;  /* not owned, nor is the CPU */
    struct cpu *cpu;
    struct gdb_machine machine;
};

/* Listens. NULL with *error set on failure. */
struct gdb *gdb_create(const struct gdb_config *config, struct error *error);
void gdb_destroy(struct gdb *gdb);

/* The CPU has stopped by itself (CPU_EXIT_DEBUG), and the machine is paused. */
void gdb_guest_stopped(struct gdb *gdb);

/* The guest has ended: of a triple fault, or with a status. */
void gdb_guest_ended(struct gdb *gdb, bool died, unsigned status);

#endif
