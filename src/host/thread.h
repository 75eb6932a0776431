/* Threads with a name, that leave the process's signals to the main thread. */
#ifndef DOPPEL_HOST_THREAD_H
#define DOPPEL_HOST_THREAD_H

#include "base/error.h"
#include "base/types.h"

#include <pthread.h>

struct thread {
    pthread_t id;
    void (*run)(void *opaque);
    void *opaque;
    char name[16]; /* as debuggers and top show it; Linux keeps 15 characters */
};

/* Starts run(opaque). *thread belongs to the caller and outlives the thread. The new thread blocks
 * the signals that are sent to the process (SIGTERM and the like), so that the main thread gets
 * them; those that an instruction of its own raises (SIGSEGV, SIGFPE, ...) reach it. */
bool thread_start(struct thread *thread, const char *name, void (*run)(void *opaque), void *opaque,
                  struct error *error);
/* Waits for the end of run(). */
void thread_join(struct thread *thread);

/* The processor time that the calling thread has had, in nanoseconds. */
uint64_t host_thread_ns(void);

#endif
