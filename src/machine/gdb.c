#include "machine/gdb.h"

#include "host/listener.h"
#include "host/loop.h"
#include "machine/gdb_session.h"
#include "machine/gdb_target.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE 4096

struct gdb {
    struct gdb_config config;
    struct listener listener;
    char *description;
    int client; /* -1: nobody is connected */
    bool running;
    bool stop_due; /* a stop reply is to be sent */
    bool waiting;  /* start_stopped, and no debugger has let the guest go yet */
    struct gdb_session session;

    struct gdb_reader reader;
    uint8_t input[INPUT_SIZE];
    size_t input_at, input_end;

    /* The last packet sent, for a second time if it arrives damaged, after what acknowledges the
     * peer's. Nothing is read while output waits: a peer that does not read has no say. */
    char output[1 + GDB_FRAME_MAX];
    size_t output_at, output_end;
};

static void on_client(void *opaque, int fd, short events);
static void on_traffic(void *opaque, int fd, short events);

static void pause_machine(struct gdb *gdb)
{
    gdb->config.machine.pause(gdb->config.machine.opaque);
    gdb->running = false;
}

static void resume_machine(struct gdb *gdb)
{
    gdb->waiting = false;
    gdb->running = true;
    gdb->config.machine.resume(gdb->config.machine.opaque);
}

/* A guest whose debugger goes is let go, but for one that never was. */
static void disconnect(struct gdb *gdb)
{
    loop_unwatch(gdb->config.loop, gdb->client);
    close(gdb->client);
    gdb->client = -1;
    pause_machine(gdb);
    gdb_session_end(&gdb->session);
    if (gdb->waiting)
        gdb->config.machine.leave(gdb->config.machine.opaque);
    else
        resume_machine(gdb);
    loop_watch(gdb->config.loop, gdb->listener.fd, POLLIN, on_client, gdb);
}

/* --- Output. */

static bool has_output(const struct gdb *gdb)
{
    return gdb->output_at < gdb->output_end;
}

static bool flush_output(struct gdb *gdb)
{
    while (has_output(gdb)) {
        ssize_t sent = send(gdb->client, gdb->output + gdb->output_at,
                            gdb->output_end - gdb->output_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        gdb->output_at += (size_t)sent;
    }
    return true;
}

/* The functions that send are called only while there is no output. */
static void send_acknowledgement(struct gdb *gdb, char c)
{
    gdb->output[0] = c;
    gdb->output_at = 0;
    gdb->output_end = 1;
}

static void send_reply(struct gdb *gdb, bool acknowledge)
{
    gdb->output[0] = '+';
    gdb->output_at = acknowledge ? 0 : 1;
    gdb->output_end = 1 + gdb_frame(&gdb->session.reply, gdb->output + 1);
}

static void send_stop(struct gdb *gdb)
{
    gdb->stop_due = false;
    gdb_session_describe_stop(&gdb->session);
    send_reply(gdb, false);
}

/* --- Input. */

static void go(struct gdb *gdb, bool step)
{
    debug_go(gdb->config.cpu, step);
    resume_machine(gdb);
}

/* False: the connection is over. */
static bool act(struct gdb *gdb, enum gdb_action action, bool acknowledge)
{
    const struct gdb_machine *machine = &gdb->config.machine;
    switch (action) {
    case GDB_RESET:
        machine->reset(machine->opaque);
        send_reply(gdb, acknowledge);
        return true;
    case GDB_CONTINUE:
    case GDB_STEP:
        if (acknowledge)
            send_acknowledgement(gdb, '+');
        go(gdb, action == GDB_STEP);
        return true;
    case GDB_DETACH:
        send_reply(gdb, acknowledge);
        flush_output(gdb);
        gdb->waiting = false;
        return false;
    case GDB_KILL:
        machine->end(machine->opaque);
        gdb->waiting = false;
        return false;
    default:
        send_reply(gdb, acknowledge);
        return true;
    }
}

static void interrupt(struct gdb *gdb)
{
    if (!gdb->running)
        return;
    pause_machine(gdb);
    gdb->session.signal = GDB_SIGNAL_INT;
    gdb->stop_due = true;
}

/* Takes one byte. False: the connection is over. */
static bool take_byte(struct gdb *gdb, uint8_t byte)
{
    bool acknowledge = !gdb->session.no_ack;
    switch (gdb_reader_push(&gdb->reader, byte)) {
    case GDB_INPUT_PACKET:
        if (gdb->running) /* nothing but Ctrl-C is to come now */
            return true;
        return act(gdb, gdb_session_execute(&gdb->session, gdb->reader.body, gdb->reader.length),
                   acknowledge);
    case GDB_INPUT_DAMAGED:
        if (acknowledge)
            send_acknowledgement(gdb, '-');
        return true;
    case GDB_INPUT_NAK:
        if (acknowledge && gdb->output_end > 1)
            gdb->output_at = 1;
        return true;
    case GDB_INPUT_INTERRUPT:
        interrupt(gdb);
        return true;
    default:
        return true;
    }
}

/* Sends what is due and works on what has been read, until that has to wait for output. */
static bool pump(struct gdb *gdb)
{
    for (;;) {
        if (!flush_output(gdb))
            return false;
        if (has_output(gdb))
            return true;
        if (gdb->stop_due)
            send_stop(gdb);
        else if (gdb->input_at == gdb->input_end)
            return true;
        else if (!take_byte(gdb, gdb->input[gdb->input_at++]))
            return false;
    }
}

/* Reads on when all that was read has been worked on. */
static bool read_input(struct gdb *gdb)
{
    if (has_output(gdb) || gdb->input_at < gdb->input_end)
        return true;
    ssize_t got = recv(gdb->client, gdb->input, sizeof(gdb->input), 0);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    gdb->input_at = 0;
    gdb->input_end = (size_t)got;
    return true;
}

static void watch_client(struct gdb *gdb)
{
    loop_watch(gdb->config.loop, gdb->client, has_output(gdb) ? POLLOUT : POLLIN, on_traffic, gdb);
}

/* Goes on with the connection, or ends it. */
static void serve(struct gdb *gdb, bool alive)
{
    if (alive && pump(gdb))
        watch_client(gdb);
    else
        disconnect(gdb);
}

static void on_traffic(void *opaque, int fd, short events)
{
    (void)fd;
    struct gdb *gdb = opaque;
    serve(gdb, !(events & (POLLERR | POLLNVAL)) && read_input(gdb));
}

static void on_client(void *opaque, int fd, short events)
{
    (void)events;
    struct gdb *gdb = opaque;
    int client = listener_accept(&gdb->listener);
    if (client < 0)
        return;
    loop_unwatch(gdb->config.loop, fd);
    gdb->client = client;
    gdb->reader = (struct gdb_reader){0};
    gdb->input_at = gdb->input_end = gdb->output_at = gdb->output_end = 0;
    gdb->stop_due = false;
    pause_machine(gdb);
    gdb_session_begin(&gdb->session, gdb->config.cpu, gdb->description);
    watch_client(gdb);
}

/* --- Life. */

static bool open_listener(struct gdb *gdb, struct error *error)
{
    const char *target = gdb->config.target;
    char what[256];
    snprintf(what, sizeof(what), "--gdb %s", target);
    if (!strncmp(target, "unix:", 5))
        return listener_open_unix(&gdb->listener, what, target + 5, error);
    char *end;
    unsigned long port = !strncmp(target, "tcp:", 4) ? strtoul(target + 4, &end, 10) : 0;
    if (port < 1 || port > 65535 || *end)
        return error_set(error, "%s: is neither tcp:PORT, with a port of 1 to 65535, nor unix:PATH",
                         what);
    return listener_open_tcp(&gdb->listener, what, (uint16_t)port, error);
}

struct gdb *gdb_create(const struct gdb_config *config, struct error *error)
{
    struct gdb *gdb = calloc(1, sizeof(*gdb));
    if (!gdb) {
        error_format(error, "no memory for the gdb stub");
        return NULL;
    }
    gdb->config = *config;
    gdb->client = gdb->listener.fd = -1;
    gdb->waiting = config->start_stopped;
    gdb->running = !config->start_stopped;
    gdb->description = gdb_target_describe();
    if (!gdb->description)
        error_format(error, "no memory for the gdb stub");
    else if (open_listener(gdb, error)) {
        if (loop_watch(config->loop, gdb->listener.fd, POLLIN, on_client, gdb))
            return gdb;
        error_format(error, "no memory for the gdb stub");
    }
    gdb_destroy(gdb);
    return NULL;
}

void gdb_destroy(struct gdb *gdb)
{
    if (gdb->client >= 0) {
        gdb_session_end(&gdb->session);
        loop_unwatch(gdb->config.loop, gdb->client);
        close(gdb->client);
    }
    if (gdb->listener.fd >= 0)
        loop_unwatch(gdb->config.loop, gdb->listener.fd);
    listener_close(&gdb->listener);
    free(gdb->description);
    free(gdb);
}

void gdb_guest_stopped(struct gdb *gdb)
{
    if (gdb->client < 0 || !gdb->running)
        return;
    gdb->running = false;
    gdb->stop_due = true;
    serve(gdb, true);
}

void gdb_guest_ended(struct gdb *gdb, bool died, unsigned status)
{
    if (gdb->client < 0 || has_output(gdb))
        return;
    gdb->session.reply.length = 0;
    if (died)
        gdb_reply_format(&gdb->session.reply, "X%02x", GDB_SIGNAL_SEGV);
    else
        gdb_reply_format(&gdb->session.reply, "W%02x", status & 0xff);
    send_reply(gdb, false);
    flush_output(gdb);
}
