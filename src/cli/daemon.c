#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The parent's end: the byte, or the status of the child that has ended without it. */
static _Noreturn void wait_for(int ready, pid_t child)
{
    char byte;
    int status;
    if (read(ready, &byte, 1) == 1)
        _exit(0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

bool daemon_begin(struct daemon *daemon, struct error *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return error_set(error, "-daemonize: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0)
        return error_set(error, "-daemonize: no process can be made: %s", strerror(errno));
    if (child > 0) {
        close(ends[1]);
        wait_for(ends[0], child);
    }
    close(ends[0]);
    setsid();
    daemon->ready = ends[1];
    return true;
}

void daemon_ready(struct daemon *daemon)
{
    if (daemon->ready < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    ssize_t ignored = write(daemon->ready, "", 1);
    (void)ignored;
    close(daemon->ready);
    daemon->ready = -1;
}

bool daemon_write_pid(const char *path, struct error *error)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set(error, "-pidfile %s: cannot be written: %s", path, strerror(errno));
    bool written = fprintf(file, "%d\n", (int)getpid()) > 0;
    return (!fclose(file) && written) ||
           error_set(error, "-pidfile %s: cannot be written; is the disk full?", path);
}
