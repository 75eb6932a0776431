#include "host/thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void *enter(void *opaque)
{
    struct thread *thread = opaque;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->opaque);
    return NULL;
}

static void sent_signals(sigset_t *set)
{
    static const int raised[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < ARRAY_SIZE(raised); i++)
        sigdelset(set, raised[i]);
}

bool thread_start(struct thread *thread, const char *name, void (*run)(void *opaque), void *opaque,
                  struct error *error)
{
    thread->run = run;
    thread->opaque = opaque;
    snprintf(thread->name, sizeof(thread->name), "%s", name);

    /* A thread inherits its creator's mask: nothing is caught between its start and its first
     * instruction. */
    sigset_t blocked, before;
    sent_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int status = pthread_create(&thread->id, NULL, enter, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status)
        return error_set(error, "cannot start the thread %s: %s; see ulimit -u", name,
                         strerror(status));
    return true;
}

void thread_join(struct thread *thread)
{
    pthread_join(thread->id, NULL);
}

uint64_t host_thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
