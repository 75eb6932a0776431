/* The window of `doppel run --display sdl`, and the guest behind it. */
#ifndef DOPPEL_CLI_GUEST_WINDOW_H
#define DOPPEL_CLI_GUEST_WINDOW_H

#include "base/error.h"
#include "machine/vm.h"

struct loop;
struct window;

/* Its members do not move while the window is open. */
struct guest_window {
    struct vm *vm;
    struct vm_observer observer;
    struct window *window; /* NULL: not open */
};

/* Opens it, before vm_run(); name is the guest's, for the title, and outlives it. */
bool guest_window_open(struct guest_window *guest, struct vm *vm, struct loop *loop,
                       const char *name, struct error *error);
/* Does nothing where it is not open. Before vm_destroy(). */
void guest_window_close(struct guest_window *guest);

#endif
