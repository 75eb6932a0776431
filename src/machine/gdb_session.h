/* A gdb session without its connection: executes packets on a CPU that does not run. Private to the
 * gdb stub. */
#ifndef DOPPEL_MACHINE_GDB_SESSION_H
#define DOPPEL_MACHINE_GDB_SESSION_H

#include "cpu/debug.h"
#include "cpu/state.h"
#include "machine/gdb_packet.h"

/* What is to be done after a packet. */
enum gdb_action {
    GDB_ANSWER,   /* send session->reply */
    GDB_CONTINUE, /* run; the answer comes when the guest stops */
    GDB_STEP,
    GDB_DETACH, /* send the reply, let go of the guest */
    GDB_KILL,   /* end the guest; no answer */
    GDB_RESET,  /* restart the guest; send the reply */
};

enum gdb_signal { GDB_SIGNAL_INT = 2, GDB_SIGNAL_TRAP = 5, GDB_SIGNAL_SEGV = 11 };

struct gdb_session {
    struct cpu *cpu;
    const char *description; /* gdb_target_describe(); not owned */
    struct debug debug;
    bool no_ack;
    bool tells_breaks;      /* gdb knows the stop reasons swbreak and hwbreak */
    enum gdb_signal signal; /* of the last stop that was not debug.stop's */
    struct gdb_reply reply;
};

/* A fresh session with the CPU, which gets breakpoints and the like from it until the end. */
void gdb_session_begin(struct gdb_session *session, struct cpu *cpu, const char *description);
void gdb_session_end(struct gdb_session *session);

/* Executes a packet, which is length characters and a NUL. */
enum gdb_action gdb_session_execute(struct gdb_session *session, const char *packet, size_t length);

/* Puts the stop reply into session->reply. */
void gdb_session_describe_stop(struct gdb_session *session);

#endif
