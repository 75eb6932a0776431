#include "host/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Signals whose default ends the process. The FAULTS come from an instruction, which comes again
 * when the handler returns. CRASHES, the faults among them, are taken over from any earlier
 * handler, which runs next; the rest only where nobody else cares for them, because a handler there
 * need not mean the end. */
enum { FAULTS = 4, CRASHES = 7, FATAL = 19 };

static const int fatal_signals[FATAL] = {
    SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,    SIGTRAP, SIGABRT, SIGSYS,  SIGHUP,  SIGINT,    SIGQUIT,
    SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGSTKFLT,
};

/* The one mutable global of the process: a signal handler is passed nothing, and a process has one
 * terminal on its standard input, however many guests it runs. Handlers run only while raw is set;
 * then nothing else in here changes. */
static struct {
    volatile sig_atomic_t raw;
    bool has_exit_hook;
    int fd;
    struct termios found, guest;
    struct sigaction before[FATAL];
    bool taken[FATAL], taken_stop, taken_continue;
} terminal;

/* Whether another process group has the terminal: its shell has then set the terminal's mode, and
 * tcsetattr() would stop us. A terminal that does not control this process is always free. */
static bool in_background(void)
{
    pid_t owner = tcgetpgrp(terminal.fd);
    return owner >= 0 && owner != getpgrp();
}

static void set_mode(const struct termios *mode)
{
    int saved = errno;
    if (!in_background())
        tcsetattr(terminal.fd, TCSANOW, mode);
    errno = saved;
}

static void on_fatal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (terminal.raw)
        set_mode(&terminal.found);
    terminal.raw = 0;

    size_t i = 0;
    while (fatal_signals[i] != signal)
        i++;
    sigaction(signal, &terminal.before[i], NULL);
    if (i >= FAULTS || info->si_code <= 0) /* sent by kill(2) or raise(3) */
        raise(signal);
}

static void on_stop(int signal)
{
    (void)signal;
    if (terminal.raw)
        set_mode(&terminal.found);
    raise(SIGSTOP);
}

static void on_continue(int signal)
{
    (void)signal;
    if (terminal.raw)
        set_mode(&terminal.guest);
}

static bool take(int signal, const struct sigaction *action, struct sigaction *before,
                 bool even_if_handled)
{
    sigaction(signal, NULL, before);
    if (before->sa_handler != SIG_DFL && !even_if_handled)
        return false;
    return sigaction(signal, action, NULL) == 0;
}

static void take_signals(void)
{
    struct sigaction fatal = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&fatal.sa_mask);
    for (size_t i = 0; i < FATAL; i++)
        terminal.taken[i] = take(fatal_signals[i], &fatal, &terminal.before[i], i < CRASHES);

    struct sigaction unused, job = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigfillset(&job.sa_mask);
    terminal.taken_stop = take(SIGTSTP, &job, &unused, false);
    job.sa_handler = on_continue;
    terminal.taken_continue = take(SIGCONT, &job, &unused, false);
}

/* Gives a signal back unless somebody took it after us. */
static void give_back(int signal, const struct sigaction *before)
{
    struct sigaction now;
    sigaction(signal, NULL, &now);
    if (now.sa_sigaction == on_fatal || now.sa_handler == on_stop || now.sa_handler == on_continue)
        sigaction(signal, before, NULL);
}

bool terminal_enter_raw(int fd, struct error *error)
{
    if (terminal.raw)
        return error_set(error, "the terminal is in use already: only one option can say stdio");
    if (tcgetattr(fd, &terminal.found))
        return error_set(error, "cannot read the terminal's mode: %s", strerror(errno));
    terminal.fd = fd;
    terminal.guest = terminal.found;
    cfmakeraw(&terminal.guest);
    terminal.guest.c_cc[VMIN] = 0; /* a read never waits, whoever else reads this terminal */
    terminal.guest.c_cc[VTIME] = 0;

    if (!terminal.has_exit_hook && atexit(terminal_leave_raw))
        return error_set(error, "cannot have the terminal restored at exit: out of memory");
    terminal.has_exit_hook = true;
    take_signals();
    terminal.raw = 1;
    if (tcsetattr(fd, TCSADRAIN, &terminal.guest)) {
        error_set(error, "cannot put the terminal into raw mode: %s", strerror(errno));
        terminal_leave_raw();
        return false;
    }
    return true;
}

void terminal_leave_raw(void)
{
    if (!terminal.raw)
        return;
    set_mode(&terminal.found);
    terminal.raw = 0;

    static const struct sigaction standard = {.sa_handler = SIG_DFL};
    for (size_t i = 0; i < FATAL; i++)
        if (terminal.taken[i])
            give_back(fatal_signals[i], &terminal.before[i]);
    if (terminal.taken_stop)
        give_back(SIGTSTP, &standard);
    if (terminal.taken_continue)
        give_back(SIGCONT, &standard);
}
