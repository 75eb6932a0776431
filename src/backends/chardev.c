#include "backends/chardev.h"

#include "backends/chardev_kind.h"
#include "base/log.h"
#include "bus/bus.h"
#include "host/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IN_QUEUE = 4096, CHUNK = 4096, TERMINAL_CHUNK = 256, DRAIN_MS = 1000 };

static void pump(struct chardev *chardev);

static void kick(struct chardev *chardev)
{
    if (chardev->kicked)
        return;
    chardev->kicked = true;
    eventfd_write(chardev->kick_fd, 1);
}

/* ---- For devices: bus lock held ---- */

void chardev_share(struct chardev *chardev, const struct chardev_sharer *sharer)
{
    chardev->sharer = sharer ? *sharer : (struct chardev_sharer){.opaque = NULL};
    chardev->switched = chardev->switched && sharer;
}

void chardev_set_receiver(struct chardev *chardev, const struct chardev_receiver *receiver)
{
    chardev->receiver = *receiver;
    kick(chardev);
}

void chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
    if (chardev->out_fd < 0)
        return;
    byte_queue_push(&chardev->out, bytes, count);
    kick(chardev);
}

size_t chardev_write_room(const struct chardev *chardev)
{
    return chardev->out_fd < 0 ? CHARDEV_QUEUE : byte_queue_room(&chardev->out);
}

void chardev_accept_input(struct chardev *chardev)
{
    if (chardev->in.count)
        kick(chardev);
}

/* ---- The loop's thread ---- */

static void tell_writable(struct chardev *chardev)
{
    if (chardev->receiver.writable)
        chardev->receiver.writable(chardev->receiver.opaque);
    if (chardev->sharer.writable)
        chardev->sharer.writable(chardev->sharer.opaque);
}

static void set_fds(struct chardev *chardev, int in_fd, int out_fd)
{
    bus_lock(chardev->bus);
    chardev->in_fd = in_fd;
    chardev->out_fd = out_fd;
    bool was_full = !byte_queue_room(&chardev->out);
    if (out_fd < 0)
        byte_queue_drop(&chardev->out, chardev->out.count);
    if (out_fd < 0 && was_full)
        tell_writable(chardev);
    bus_unlock(chardev->bus);
}

static void end_input(struct chardev *chardev)
{
    int fd = chardev->in_fd;
    set_fds(chardev, -1, chardev->out_fd);
    if (fd != chardev->out_fd)
        loop_unwatch(chardev->loop, fd);
    if (chardev->out_fd < 0 && chardev->kind->ended)
        chardev->kind->ended(chardev);
}

static void end_output(struct chardev *chardev)
{
    int fd = chardev->out_fd;
    set_fds(chardev, chardev->in_fd, -1);
    if (fd != chardev->in_fd)
        loop_unwatch(chardev->loop, fd);
    if (chardev->in_fd < 0 && chardev->kind->ended)
        chardev->kind->ended(chardev);
}

/* Writes what the reader takes without waiting; -1 if it never takes anything again. O_NONBLOCK
 * would do this too, but it belongs to the open file, which on standard output is also the shell's.
 * poll(2) promises room for PIPE_BUF bytes on a pipe, but for just one on a terminal. */
static ssize_t write_some(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
    if (chardev->out_is_socket) {
        ssize_t sent = send(chardev->out_fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
    }
    size_t step = chardev->out_is_terminal ? 1 : PIPE_BUF, done = 0;
    while (done < count) {
        struct pollfd out = {.fd = chardev->out_fd, .events = POLLOUT};
        if (poll(&out, 1, 0) != 1)
            break;
        size_t want = count - done < step ? count - done : step;
        ssize_t written = write(chardev->out_fd, bytes + done, want);
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    return (ssize_t)done;
}

/* Writes up to a chunk; the loop comes back for the rest. The write itself runs without the lock:
 * only this thread takes bytes out of the queue. */
static void flush(struct chardev *chardev)
{
    uint8_t bytes[CHUNK];
    bus_lock(chardev->bus);
    size_t max = chardev->out_is_terminal ? TERMINAL_CHUNK : CHUNK; /* both within a millisecond */
    size_t count = chardev->out_fd < 0 ? 0 : byte_queue_peek(&chardev->out, bytes, max);
    bus_unlock(chardev->bus);
    if (!count)
        return;

    ssize_t written = write_some(chardev, bytes, count);
    if (written < 0) {
        if (errno != EPIPE && errno != ECONNRESET)
            log_warn("%s: %s: output is dropped from here on", chardev->spec, strerror(errno));
        end_output(chardev);
        return;
    }
    bus_lock(chardev->bus);
    bool was_full = !byte_queue_room(&chardev->out);
    byte_queue_drop(&chardev->out, (size_t)written);
    if (was_full && written)
        tell_writable(chardev);
    bus_unlock(chardev->bus);
}

static void deliver(struct chardev *chardev)
{
    const struct chardev_receiver *receiver = &chardev->receiver;
    bus_lock(chardev->bus);
    while (chardev->in.count && receiver->receive) {
        uint8_t bytes[64];
        size_t room = receiver->can_receive(receiver->opaque);
        if (!room)
            break;
        size_t count =
            byte_queue_peek(&chardev->in, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
        byte_queue_drop(&chardev->in, count);
        receiver->receive(receiver->opaque, bytes, count);
    }
    bus_unlock(chardev->bus);
}

/* A terminal is read even when the guest takes nothing, for the sake of Ctrl-A x. */
static bool wants_input(const struct chardev *chardev)
{
    return chardev->in_fd >= 0 && (chardev->in_is_terminal || byte_queue_room(&chardev->in));
}

static void read_input(struct chardev *chardev, short events)
{
    uint8_t bytes[256];
    size_t max = byte_queue_room(&chardev->in);
    if (chardev->in_is_terminal || max > sizeof(bytes))
        max = sizeof(bytes);
    ssize_t got = read(chardev->in_fd, bytes, max);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        /* A raw terminal has no end of file: 0 means that somebody else read what was typed. */
        if (got < 0 || !chardev->in_is_terminal || (events & (POLLHUP | POLLERR)))
            end_input(chardev);
        return;
    }
    size_t count = (size_t)got;
    if (chardev->kind->filter)
        count = chardev->kind->filter(chardev, bytes, count);
    bus_lock(chardev->bus);
    byte_queue_push(&chardev->in, bytes, count);
    bus_unlock(chardev->bus);
}

static void on_fd(void *opaque, int fd, short events)
{
    struct chardev *chardev = opaque;
    if (fd == chardev->in_fd && wants_input(chardev) && (events & ~POLLOUT))
        read_input(chardev, events);
    else if (fd == chardev->out_fd && chardev->in_fd < 0 && (events & (POLLHUP | POLLERR)))
        end_output(chardev);
    pump(chardev);
}

static void on_kick(void *opaque, int fd, short events)
{
    (void)events;
    struct chardev *chardev = opaque;
    eventfd_t ignored;
    eventfd_read(fd, &ignored);
    bus_lock(chardev->bus);
    chardev->kicked = false;
    bus_unlock(chardev->bus);
    pump(chardev);
}

static void watch(struct chardev *chardev, int fd, short events)
{
    if (!loop_watch(chardev->loop, fd, events, on_fd, chardev))
        log_warn("%s: out of memory: this stream stands still", chardev->spec);
}

void chardev_update_watches(struct chardev *chardev)
{
    bus_lock(chardev->bus);
    short in = wants_input(chardev) ? POLLIN : 0, out = chardev->out.count ? POLLOUT : 0;
    bus_unlock(chardev->bus);
    int in_fd = chardev->in_fd, out_fd = chardev->out_fd;

    /* A descriptor that nothing is wanted from is not watched: a hang-up would be told again and
     * again. A socket whose client has sent everything waits for just that. */
    if (out_fd >= 0 && chardev->out_is_socket && in_fd < 0)
        watch(chardev, out_fd, out);
    else if (out_fd >= 0 && out_fd == in_fd && (in || out))
        watch(chardev, out_fd, in | out);
    else {
        if (out_fd >= 0 && out && out_fd != in_fd)
            watch(chardev, out_fd, out);
        else if (out_fd >= 0)
            loop_unwatch(chardev->loop, out_fd);
        if (in_fd >= 0 && in)
            watch(chardev, in_fd, in);
        else if (in_fd >= 0 && in_fd != out_fd)
            loop_unwatch(chardev->loop, in_fd);
    }
}

static void pump(struct chardev *chardev)
{
    flush(chardev);
    deliver(chardev);
    chardev_update_watches(chardev);
}

void chardev_connect(struct chardev *chardev, int in_fd, int out_fd)
{
    struct stat status;
    chardev->out_is_terminal = out_fd >= 0 && isatty(out_fd);
    chardev->out_is_socket = out_fd >= 0 && !fstat(out_fd, &status) && S_ISSOCK(status.st_mode);
    set_fds(chardev, in_fd, out_fd);
}

/* ---- Life and death ---- */

static bool none_open(struct chardev *chardev, const char *path, struct error *error)
{
    (void)chardev;
    (void)path;
    (void)error;
    return true;
}

static void none_close(struct chardev *chardev)
{
    (void)chardev;
}

const struct chardev_kind chardev_none = {
    .name = "none",
    .open = none_open,
    .close = none_close,
};

static const struct chardev_kind *find_kind(const char *spec, const char **path)
{
    static const struct chardev_kind *const kinds[] = {&chardev_stdio, &chardev_none, &chardev_file,
                                                       &chardev_unix};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t length = strlen(kinds[i]->name);
        if (strncmp(spec, kinds[i]->name, length))
            continue;
        *path = kinds[i]->takes_path ? spec + length + 1 : NULL;
        if (kinds[i]->takes_path ? spec[length] == ':' && **path : !spec[length])
            return kinds[i];
    }
    return NULL;
}

struct chardev *chardev_create(const char *spec, struct loop *loop, struct bus *bus,
                               chardev_quit_fn *quit, void *opaque, struct error *error)
{
    const char *path;
    const struct chardev_kind *kind = find_kind(spec, &path);
    if (!kind) {
        error_set(error, "%s: is not a character stream: use stdio, none, file:PATH or unix:PATH",
                  spec);
        return NULL;
    }
    struct chardev *chardev = malloc(sizeof(*chardev));
    if (!chardev)
        goto no_memory;
    *chardev = (struct chardev){
        .kind = kind,
        .spec = strdup(spec),
        .loop = loop,
        .bus = bus,
        .quit = quit,
        .opaque = opaque,
        .in_fd = -1,
        .out_fd = -1,
        .kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .in = {.bytes = malloc(IN_QUEUE), .size = IN_QUEUE},
        .out = {.bytes = malloc(CHARDEV_QUEUE), .size = CHARDEV_QUEUE},
        .listener.fd = -1,
        .client_fd = -1,
    };
    if (!chardev->spec || !chardev->in.bytes || !chardev->out.bytes || chardev->kick_fd < 0 ||
        !loop_watch(loop, chardev->kick_fd, POLLIN, on_kick, chardev))
        goto no_memory;
    signal(SIGPIPE, SIG_IGN);
    if (!kind->open(chardev, path, error)) {
        chardev_destroy(chardev);
        return NULL;
    }
    chardev_update_watches(chardev);
    return chardev;

no_memory:
    error_set(error, "%s: out of memory or file descriptors", spec);
    chardev_destroy(chardev);
    return NULL;
}

/* Writes what is queued while the reader goes on taking it. */
static void drain(struct chardev *chardev)
{
    while (chardev->out.count && chardev->out_fd >= 0) {
        struct pollfd out = {.fd = chardev->out_fd, .events = POLLOUT};
        int ready = poll(&out, 1, DRAIN_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready != 1)
            break;
        flush(chardev);
    }
}

void chardev_destroy(struct chardev *chardev)
{
    if (!chardev)
        return;
    drain(chardev);
    if (chardev->in_fd >= 0)
        loop_unwatch(chardev->loop, chardev->in_fd);
    if (chardev->out_fd >= 0)
        loop_unwatch(chardev->loop, chardev->out_fd);
    chardev->kind->close(chardev);
    if (chardev->kick_fd >= 0) {
        loop_unwatch(chardev->loop, chardev->kick_fd);
        close(chardev->kick_fd);
    }
    free(chardev->in.bytes);
    free(chardev->out.bytes);
    free(chardev->spec);
    free(chardev);
}
