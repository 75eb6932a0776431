/* A character stream on a pseudo-terminal: a child process has the terminal, the test types. */
#include "backends/chardev.h"
#include "bus/bus.h"
#include "host/loop.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h> /* login_tty() */

enum { PATIENCE_MS = 20000 };

struct child {
    struct loop *loop;
    struct bus *bus;
    struct chardev *chardev;
    bool done;
};

struct session {
    int master, slave;
    struct termios before;
    pid_t pid;
    char seen[4096];
    size_t count;
};

static size_t can_receive(void *opaque)
{
    (void)opaque;
    return 16;
}

static void print(struct child *child, const char *text)
{
    chardev_write(child->chardev, (const uint8_t *)text, strlen(text));
}

/* Says what it gets, in a form that no echo could have. */
static void receive(void *opaque, const uint8_t *bytes, size_t count)
{
    char text[16];
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "<%02x>", bytes[i]);
        print(opaque, text);
    }
}

static void receive_break(void *opaque)
{
    print(opaque, "<break>");
}

static void quit(void *opaque)
{
    struct child *child = opaque;
    child->done = true;
}

static void run_child(void)
{
    struct child child = {.loop = loop_create(), .bus = bus_create()};
    struct error error;
    child.chardev = chardev_create("stdio", child.loop, child.bus, quit, &child, &error);
    if (!child.chardev)
        _exit(99);
    bus_lock(child.bus);
    chardev_set_receiver(child.chardev, &(struct chardev_receiver){
                                            .can_receive = can_receive,
                                            .receive = receive,
                                            .receive_break = receive_break,
                                            .opaque = &child,
                                        });
    print(&child, "ready\n");
    bus_unlock(child.bus);
    while (!child.done)
        loop_run_once(child.loop, UINT64_MAX);
    bus_lock(child.bus);
    print(&child, "bye");
    bus_unlock(child.bus);
    chardev_destroy(child.chardev);
    _exit(7);
}

/* Waits until the child has written the text. */
static void await(struct session *session, const char *text)
{
    while (!strstr(session->seen, text)) {
        struct pollfd fd = {.fd = session->master, .events = POLLIN};
        cr_assert_eq(poll(&fd, 1, PATIENCE_MS), 1, "no '%s' in '%s'", text, session->seen);
        ssize_t got = read(session->master, session->seen + session->count,
                           sizeof(session->seen) - 1 - session->count);
        cr_assert_gt(got, 0);
        session->count += (size_t)got;
        session->seen[session->count] = 0;
    }
}

static bool is_raw(const struct session *session)
{
    struct termios now;
    cr_assert(!tcgetattr(session->slave, &now));
    return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_oflag & OPOST);
}

static void expect_restored(const struct session *session)
{
    struct termios now;
    cr_assert(!tcgetattr(session->slave, &now));
    cr_assert_eq(now.c_lflag, session->before.c_lflag);
    cr_assert_eq(now.c_iflag, session->before.c_iflag);
    cr_assert_eq(now.c_oflag, session->before.c_oflag);
    cr_assert_eq(now.c_cc[VMIN], session->before.c_cc[VMIN]);
}

static struct session *start(void)
{
    struct session *session = calloc(1, sizeof(*session));
    cr_assert(!openpty(&session->master, &session->slave, NULL, NULL, NULL));
    cr_assert(!tcgetattr(session->slave, &session->before));
    cr_assert(session->before.c_lflag & ICANON);
    session->pid = fork();
    cr_assert_geq(session->pid, 0);
    if (session->pid == 0) {
        dup2(session->slave, STDIN_FILENO);
        dup2(session->slave, STDOUT_FILENO);
        run_child();
    }
    await(session, "ready\n");
    cr_assert(is_raw(session));
    return session;
}

static void type(struct session *session, const char *keys)
{
    cr_assert_eq(write(session->master, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static int end(struct session *session)
{
    int status;
    cr_assert_eq(waitpid(session->pid, &status, 0), session->pid);
    return status;
}

static void finish(struct session *session)
{
    close(session->master);
    close(session->slave);
    free(session);
}

Test(terminal, every_key_is_the_guests_but_ctrl_a)
{
    struct session *session = start();
    type(session, "q\003\032\r\001\001\001b\001h");
    await(session, "<71><03><1a><0d>");
    await(session, "<01>");
    await(session, "<break>");
    await(session, "Ctrl-A x");
    cr_assert_not(strstr(session->seen, "<62>"));
    type(session, "\001x");
    await(session, "bye");
    int status = end(session);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    expect_restored(session);
    finish(session);
}

Test(terminal, is_restored_when_a_signal_ends_the_process)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGABRT,
                                  SIGSEGV, SIGBUS, SIGFPE, SIGILL,  SIGUSR1};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        struct session *session = start();
        kill(session->pid, signals[i]);
        int status = end(session);
        /* A sanitizer's own handler exits with a report. */
        cr_assert(WIFSIGNALED(status) ? WTERMSIG(status) == signals[i] : WEXITSTATUS(status) != 7,
                  "signal %d, status %#x", signals[i], (unsigned)status);
        expect_restored(session);
        finish(session);
    }
}

Test(terminal, is_restored_while_stopped)
{
    struct session *session = start();
    int status;
    kill(session->pid, SIGTSTP);
    cr_assert_eq(waitpid(session->pid, &status, WUNTRACED), session->pid);
    cr_assert(WIFSTOPPED(status));
    expect_restored(session);
    kill(session->pid, SIGCONT);
    type(session, "c");
    await(session, "<63>");
    cr_assert(is_raw(session));
    kill(session->pid, SIGKILL);
    end(session);
    finish(session);
}

/* The child's terminal is the controlling one of this session, where tcsetattr() from the
 * background stops the caller. */
Test(terminal, a_background_process_ends_without_touching_it)
{
    int ready[2], go[2];
    cr_assert(!pipe(ready) && !pipe(go));
    struct session session = {0};
    cr_assert(!openpty(&session.master, &session.slave, NULL, NULL, NULL));
    pid_t shell = fork();
    if (shell == 0) {
        setsid();
        login_tty(session.slave);
        signal(SIGTTOU, SIG_IGN);
        pid_t job = fork();
        if (job == 0) {
            setpgid(0, 0);
            tcsetpgrp(STDIN_FILENO, getpgrp());
            signal(SIGTTOU, SIG_DFL);
            run_child();
        }
        char byte;
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        /* As shells do: take the terminal back and set it to one's own liking. */
        tcsetpgrp(STDIN_FILENO, getpgrp());
        struct termios mine;
        tcgetattr(STDIN_FILENO, &mine);
        mine.c_lflag |= ECHO;
        tcsetattr(STDIN_FILENO, TCSANOW, &mine);
        kill(job, SIGTERM);
        int status;
        waitpid(job, &status, WUNTRACED);
        tcgetattr(STDIN_FILENO, &mine);
        bool untouched = (mine.c_lflag & ECHO) && !(mine.c_lflag & ICANON);
        _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && untouched ? 5 : 6);
    }
    await(&session, "ready\n");
    cr_assert_eq(write(go[1], "g", 1), 1);
    int status;
    cr_assert_eq(waitpid(shell, &status, 0), shell);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 5);
}
