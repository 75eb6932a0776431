#include "host/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int make_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Whether a socket file is left over from somebody who has gone. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) || !S_ISSOCK(status.st_mode))
        return false;
    int fd = make_socket(AF_UNIX);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool bind_to(int fd, const struct sockaddr_un *address)
{
    const struct sockaddr *generic = (const struct sockaddr *)address;
    if (!bind(fd, generic, sizeof(*address)))
        return true;
    if (errno != EADDRINUSE)
        return false;
    if (!is_stale(address) || unlink(address->sun_path)) {
        errno = EADDRINUSE;
        return false;
    }
    return !bind(fd, generic, sizeof(*address));
}

static bool listen_unix(struct listener *listener, const char *what,
                        const struct sockaddr_un *address, struct error *error)
{
    struct stat status;
    listener->fd = make_socket(AF_UNIX);
    if (listener->fd < 0)
        return error_set(error, "%s: cannot make a socket: %s", what, strerror(errno));
    if (!bind_to(listener->fd, address)) {
        if (errno == EADDRINUSE)
            return error_set(error,
                             "%s: the file exists, and is no socket or somebody listens on it: "
                             "choose another path",
                             what);
        return error_set(error, "%s: cannot make the socket: %s", what, strerror(errno));
    }
    listener->path = strdup(address->sun_path);
    if (!listener->path || stat(address->sun_path, &status) || listen(listener->fd, 1)) {
        unlink(address->sun_path);
        return error_set(error, "%s: cannot listen: %s", what, strerror(errno));
    }
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    return true;
}

bool listener_open_unix(struct listener *listener, const char *what, const char *path,
                        struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *listener = (struct listener){.fd = -1};
    if (!*path || strlen(path) >= sizeof(address.sun_path))
        return error_set(error, "%s: a socket's path is at most %zu characters long, and not empty",
                         what, sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, path);
    if (listen_unix(listener, what, &address, error))
        return true;
    listener_close(listener);
    return false;
}

bool listener_open_tcp(struct listener *listener, const char *what, uint16_t port,
                       struct error *error)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    *listener = (struct listener){.fd = make_socket(AF_INET)};
    /* A port whose last connection lingers can be had again. */
    if (listener->fd >= 0 && !setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
        !bind(listener->fd, (const struct sockaddr *)&address, sizeof(address)) &&
        !listen(listener->fd, 1))
        return true;
    error_format(error, "%s: cannot listen on 127.0.0.1 port %u: %s%s", what, port, strerror(errno),
                 errno == EADDRINUSE ? "; choose another port" : "");
    listener_close(listener);
    return false;
}

void listener_close(struct listener *listener)
{
    /* The path may name somebody else's socket by now. */
    struct stat status;
    if (listener->path && !stat(listener->path, &status) && status.st_dev == listener->device &&
        status.st_ino == listener->inode)
        unlink(listener->path);
    free(listener->path);
    if (listener->fd >= 0)
        close(listener->fd);
    *listener = (struct listener){.fd = -1};
}

int listener_accept(const struct listener *listener)
{
    int on = 1;
    int client = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) /* answers are small and waited for; other families refuse */
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return client;
}
