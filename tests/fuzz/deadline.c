#include "deadline.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STACK_SIZE ((size_t)64 << 10)

struct deadline {
    timer_t timer;
    void (*fn)(void *opaque);
    void *opaque;
};

static void on_signal(int signal, siginfo_t *info, void *context)
{
    const struct deadline *deadline = info->si_value.sival_ptr;
    (void)signal, (void)context;
    deadline->fn(deadline->opaque);
}

/* Translated code has no stack for signals. A sanitizer may have made one; else it stays for all.
 */
static int prepare_stack(void)
{
    stack_t stack;
    if (sigaltstack(NULL, &stack))
        return -1;
    if (!(stack.ss_flags & SS_DISABLE))
        return 0;
    stack = (stack_t){.ss_sp = malloc(STACK_SIZE), .ss_size = STACK_SIZE};
    return stack.ss_sp ? sigaltstack(&stack, NULL) : -1;
}

struct deadline *deadline_create(void (*fn)(void *opaque), void *opaque)
{
    const struct sigaction action = {.sa_sigaction = on_signal,
                                     .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct deadline *deadline = malloc(sizeof(*deadline));
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = deadline};
    if (!deadline || prepare_stack() || sigaction(SIGUSR1, &action, NULL) ||
        timer_create(CLOCK_MONOTONIC, &event, &deadline->timer)) {
        perror("no timer");
        exit(1);
    }
    deadline->fn = fn;
    deadline->opaque = opaque;
    return deadline;
}

void deadline_destroy(struct deadline *deadline)
{
    timer_delete(deadline->timer);
    free(deadline);
}

void deadline_set(struct deadline *deadline, uint32_t ns)
{
    const struct itimerspec time = {.it_value.tv_nsec = ns};
    timer_settime(deadline->timer, 0, &time, NULL);
}
