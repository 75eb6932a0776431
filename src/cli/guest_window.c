#include "cli/guest_window.h"

#include "bus/bus.h"
#include "machine/board.h"
#include "ui/window.h"

static void press_key(void *opaque, uint8_t key, bool pressed)
{
    const struct guest_window *guest = opaque;
    bus_lock(vm_bus(guest->vm));
    board_press_key(vm_board(guest->vm), key, pressed);
    bus_unlock(vm_bus(guest->vm));
}

static void move_mouse(void *opaque, int right, int down, int wheel, uint8_t buttons)
{
    const struct guest_window *guest = opaque;
    bus_lock(vm_bus(guest->vm));
    board_move_mouse(vm_board(guest->vm), right, down, wheel, buttons);
    bus_unlock(vm_bus(guest->vm));
}

static void press_power_button(void *opaque)
{
    const struct guest_window *guest = opaque;
    vm_press_power_button(guest->vm);
}

static void end(void *opaque)
{
    const struct guest_window *guest = opaque;
    vm_end(guest->vm, VM_CAUSE_CONTROL);
}

static void reset(void *opaque)
{
    const struct guest_window *guest = opaque;
    vm_reset(guest->vm, VM_CAUSE_CONTROL);
}

static void pause_or_go_on(void *opaque)
{
    const struct guest_window *guest = opaque;
    if (vm_status(guest->vm) == VM_RUNNING)
        vm_stop(guest->vm);
    else
        vm_continue(guest->vm);
}

/* Whoever has stopped it. */
static void on_event(void *opaque, enum vm_event event, enum vm_cause cause,
                     const struct vm_result *result)
{
    const struct guest_window *guest = opaque;
    (void)cause, (void)result;
    if (event == VM_EVENT_STOP || event == VM_EVENT_RESUME)
        window_set_paused(guest->window, event == VM_EVENT_STOP);
}

bool guest_window_open(struct guest_window *guest, struct vm *vm, struct loop *loop,
                       const char *name, struct error *error)
{
    guest->vm = vm;
    guest->window = window_create(
        &(struct window_config){
            .name = name,
            .display = vm_display(vm),
            .loop = loop,
            .guest = {press_key, move_mouse, press_power_button, end, reset, pause_or_go_on, guest},
        },
        error);
    if (!guest->window)
        return false;
    window_set_paused(guest->window, vm_status(vm) != VM_RUNNING);
    guest->observer = (struct vm_observer){.event = on_event, .opaque = guest};
    vm_add_observer(vm, &guest->observer);
    return true;
}

void guest_window_close(struct guest_window *guest)
{
    if (guest->window)
        window_destroy(guest->window);
    guest->window = NULL;
}
