#include "control/stream.h"

#include "base/log.h"
#include "host/listener.h"
#include "host/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT = 4096, DRAIN_MS = 1000 };

struct stream {
    const char *target;
    struct stream_user user;
    struct loop *loop;
    struct listener listener; /* closed for stdio */
    int in_fd, out_fd;        /* -1: nobody is there, or sends no more; the same for a socket */
    char input[INPUT];
    size_t input_at, input_end;
    char *output;
    size_t output_at, output_end, output_size;
};

static void on_client(void *opaque, int fd, short events);

static bool has_output(const struct stream *stream)
{
    return stream->output_at < stream->output_end;
}

static bool is_socket(const struct stream *stream)
{
    return stream->listener.fd >= 0;
}

static void disconnect(struct stream *stream)
{
    if (stream->in_fd >= 0)
        loop_unwatch(stream->loop, stream->in_fd);
    if (stream->out_fd >= 0 && stream->out_fd != stream->in_fd)
        loop_unwatch(stream->loop, stream->out_fd);
    if (is_socket(stream) && stream->out_fd >= 0)
        close(stream->out_fd);
    stream->in_fd = stream->out_fd = -1;
    stream->input_at = stream->input_end = stream->output_at = stream->output_end = 0;
    if (is_socket(stream))
        loop_watch(stream->loop, stream->listener.fd, POLLIN, on_client, stream);
}

/* poll(2) promises room for PIPE_BUF bytes on a pipe, for just one on a terminal. */
static ssize_t write_file(int fd, const char *bytes, size_t count)
{
    struct pollfd out = {.fd = fd, .events = POLLOUT};
    size_t step = isatty(fd) ? 1 : PIPE_BUF;
    if (poll(&out, 1, 0) == 1)
        return write(fd, bytes, count < step ? count : step);
    errno = EAGAIN;
    return -1;
}

/* Writes what is taken without waiting. False: the connection is over. */
static bool flush(struct stream *stream)
{
    while (has_output(stream)) {
        const char *bytes = stream->output + stream->output_at;
        size_t count = stream->output_end - stream->output_at;
        ssize_t sent = is_socket(stream)
                           ? send(stream->out_fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT)
                           : write_file(stream->out_fd, bytes, count);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        stream->output_at += (size_t)sent;
    }
    return true;
}

/* Hands over what was read, piece by piece, as long as output leaves. */
static bool pump(struct stream *stream)
{
    while (flush(stream)) {
        if (has_output(stream) || stream->input_at == stream->input_end)
            return true;
        stream->input_at +=
            stream->user.receive(stream->user.opaque, stream->input + stream->input_at,
                                 stream->input_end - stream->input_at);
        if (stream->out_fd < 0) /* it was dropped meanwhile */
            return false;
    }
    return false;
}

/* False: the other side has gone. Standard input may end and output go on. */
static bool read_input(struct stream *stream)
{
    if (has_output(stream) || stream->input_at < stream->input_end)
        return true;
    ssize_t got = read(stream->in_fd, stream->input, sizeof(stream->input));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0 && is_socket(stream))
        return false;
    if (got <= 0) {
        loop_unwatch(stream->loop, stream->in_fd);
        stream->in_fd = -1;
        return true;
    }
    stream->input_at = 0;
    stream->input_end = (size_t)got;
    return true;
}

static void serve(struct stream *stream, bool alive);

static void on_traffic(void *opaque, int fd, short events)
{
    struct stream *stream = opaque;
    bool alive = !(events & (POLLERR | POLLNVAL));
    if (alive && fd == stream->in_fd && events & (POLLIN | POLLHUP))
        alive = read_input(stream);
    serve(stream, alive);
}

static void watch(struct stream *stream)
{
    bool writes = has_output(stream);
    if (is_socket(stream)) {
        loop_watch(stream->loop, stream->in_fd, writes ? POLLOUT : POLLIN, on_traffic, stream);
        return;
    }
    if (stream->in_fd >= 0 && !writes)
        loop_watch(stream->loop, stream->in_fd, POLLIN, on_traffic, stream);
    else if (stream->in_fd >= 0)
        loop_unwatch(stream->loop, stream->in_fd);
    if (writes)
        loop_watch(stream->loop, stream->out_fd, POLLOUT, on_traffic, stream);
    else
        loop_unwatch(stream->loop, stream->out_fd);
}

static void serve(struct stream *stream, bool alive)
{
    if (alive && pump(stream))
        watch(stream);
    else if (stream->out_fd >= 0)
        disconnect(stream);
}

static void connect_to(struct stream *stream, int in_fd, int out_fd)
{
    stream->in_fd = in_fd;
    stream->out_fd = out_fd;
    stream->user.opened(stream->user.opaque);
    serve(stream, true);
}

static void on_client(void *opaque, int fd, short events)
{
    (void)events;
    struct stream *stream = opaque;
    int client = listener_accept(&stream->listener);
    if (client < 0)
        return;
    loop_unwatch(stream->loop, fd);
    connect_to(stream, client, client);
}

static bool make_room(struct stream *stream, size_t count)
{
    if (stream->output_at)
        memmove(stream->output, stream->output + stream->output_at,
                stream->output_end - stream->output_at);
    stream->output_end -= stream->output_at;
    stream->output_at = 0;
    size_t needed = stream->output_end + count;
    if (needed <= stream->output_size)
        return true;
    if (needed > STREAM_QUEUE)
        return false;
    size_t size = 2 * needed;
    char *output = realloc(stream->output, size);
    if (!output)
        return false;
    stream->output = output;
    stream->output_size = size;
    return true;
}

void stream_write(struct stream *stream, const char *bytes, size_t count)
{
    if (stream->out_fd < 0 || !count)
        return;
    if (stream->output_size - stream->output_end < count && !make_room(stream, count)) {
        log_warn("%s: the client does not read, and is disconnected", stream->target);
        disconnect(stream);
        return;
    }
    memcpy(stream->output + stream->output_end, bytes, count);
    stream->output_end += count;
    watch(stream);
}

/* --- Life. */

static bool parse_port(const char *text, uint16_t *port)
{
    static const char *const loopback[] = {"127.0.0.1:", "localhost:", ":"};
    for (unsigned i = 0; i < ARRAY_SIZE(loopback); i++) {
        size_t length = strlen(loopback[i]);
        if (!strncmp(text, loopback[i], length)) {
            text += length;
            break;
        }
    }
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *port = (uint16_t)value;
    return *text >= '0' && *text <= '9' && !*end && value >= 1 && value <= 65535;
}

static bool open_listener(struct stream *stream, const char *option, struct error *error)
{
    const char *target = stream->target;
    uint16_t port;
    char what[256];
    snprintf(what, sizeof(what), "%s %s", option, target);
    if (!strncmp(target, "unix:", 5))
        return listener_open_unix(&stream->listener, what, target + 5, error);
    if (!strncmp(target, "tcp:", 4) && parse_port(target + 4, &port))
        return listener_open_tcp(&stream->listener, what, port, error);
    return error_set(error,
                     "%s: is not offered; give unix:PATH, stdio or tcp:PORT, which is of this host "
                     "only",
                     what);
}

static void on_stdio(void *opaque, int fd, short events)
{
    (void)events;
    connect_to(opaque, STDIN_FILENO, fd);
}

static bool start(struct stream *stream, const char *option, bool wait, struct error *error)
{
    if (!strcmp(stream->target, "stdio"))
        return loop_watch(stream->loop, STDOUT_FILENO, POLLOUT, on_stdio, stream) ||
               error_set(error, "%s stdio: no memory", option);
    if (!open_listener(stream, option, error))
        return false;
    struct pollfd client = {.fd = stream->listener.fd, .events = POLLIN};
    while (wait && poll(&client, 1, -1) != 1)
        ;
    return loop_watch(stream->loop, stream->listener.fd, POLLIN, on_client, stream) ||
           error_set(error, "%s %s: no memory", option, stream->target);
}

struct stream *stream_create(const char *option, const char *target, bool wait,
                             const struct stream_user *user, struct loop *loop, struct error *error)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream) {
        error_format(error, "%s %s: no memory", option, target);
        return NULL;
    }
    stream->target = target;
    stream->user = *user;
    stream->loop = loop;
    stream->in_fd = stream->out_fd = stream->listener.fd = -1;
    if (start(stream, option, wait, error))
        return stream;
    stream_destroy(stream);
    return NULL;
}

static void drain(struct stream *stream)
{
    struct pollfd out = {.fd = stream->out_fd, .events = POLLOUT};
    while (stream->out_fd >= 0 && flush(stream) && has_output(stream)) {
        int ready = poll(&out, 1, DRAIN_MS);
        if (ready != 1 && !(ready < 0 && errno == EINTR))
            break;
    }
}

void stream_destroy(struct stream *stream)
{
    if (!stream)
        return;
    drain(stream);
    disconnect(stream);
    if (is_socket(stream))
        loop_unwatch(stream->loop, stream->listener.fd);
    listener_close(&stream->listener);
    free(stream->output);
    free(stream);
}
