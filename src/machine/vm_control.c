/* What is done to a guest from outside while it runs: stops, resets, its end. */
#include "bus/bus.h"
#include "bus/clock.h"
#include "machine/board.h"
#include "machine/vm_internal.h"

static void tell(struct vm *vm, enum vm_event event, enum vm_cause cause)
{
    const struct vm_result *result = event == VM_EVENT_END ? &vm->result : NULL;
    for (const struct vm_observer *observer = vm->observers; observer; observer = observer->next)
        observer->event(observer->opaque, event, cause, result);
}

/* --- Holds. The vCPU may need the bus lock to leave the guest. */

/* Disks stand still with the guest, unless it waits for them. */
static void pause_disks(struct vm *vm)
{
    bool paused = vm->holds & ~(unsigned)HOLD_DISK;
    if (paused == vm->disks_paused)
        return;
    bus_lock(vm->bus);
    drives_pause(&vm->drives, paused);
    bus_unlock(vm->bus);
    vm->disks_paused = paused;
}

static void stop_guest(struct vm *vm)
{
    vcpu_hold(&vm->vcpu);
    vcpu_wait_held(&vm->vcpu);
    if (vm->at_debugger)
        vm->holds |= HOLD_DEBUGGER;
    bus_lock(vm->bus);
    clock_stop(vm->clock);
    bus_unlock(vm->bus);
    if (!vm->cosim) /* whose second CPU is not told */
        cpu_note_stop(vm->cpu);
}

static void hold(struct vm *vm, enum vm_hold who)
{
    bool ran = !vm->holds;
    vm->holds |= who;
    if (ran)
        stop_guest(vm);
    pause_disks(vm);
    if (ran)
        tell(vm, VM_EVENT_STOP, VM_CAUSE_CONTROL);
}

/* Whether the guest runs again for it. */
static bool release_quietly(struct vm *vm, unsigned who)
{
    bool runs = vm->holds && !(vm->holds & ~who);
    vm->holds &= ~who;
    pause_disks(vm);
    if (!runs)
        return false;
    bus_lock(vm->bus);
    clock_start(vm->clock);
    bus_unlock(vm->bus);
    vcpu_release(&vm->vcpu);
    return true;
}

static void release(struct vm *vm, unsigned who)
{
    if (release_quietly(vm, who))
        tell(vm, VM_EVENT_RESUME, VM_CAUSE_CONTROL);
}

void vm_stop(struct vm *vm)
{
    if (!(vm->holds & HOLD_START))
        hold(vm, HOLD_USER);
}

void vm_continue(struct vm *vm)
{
    release(vm, HOLD_START | HOLD_USER);
}

enum vm_status vm_status(const struct vm *vm)
{
    if (vm->holds & HOLD_START)
        return VM_NOT_STARTED;
    if (vm->holds & HOLD_DEBUGGER)
        return VM_AT_DEBUGGER;
    if (vm->holds & HOLD_USER)
        return VM_PAUSED;
    return vm->holds ? VM_OUT_OF_ROOM : VM_RUNNING;
}

struct cpu *vm_hold_cpu(struct vm *vm)
{
    if (!vm->holds) {
        vcpu_hold(&vm->vcpu);
        vcpu_wait_held(&vm->vcpu);
    }
    return vm->cpu;
}

/* A vCPU that waits for the debugger meanwhile stays. */
void vm_release_cpu(struct vm *vm)
{
    if (!vm->holds && !vm->at_debugger)
        vcpu_release(&vm->vcpu);
}

/* --- Resets and ends. */

/* With the bus lock held. */
static void ask(struct vm *vm, enum vm_action action)
{
    vm->action = (int)action;
    vcpu_request(&vm->vcpu, CPU_REQUEST_EXIT, true);
}

void vm_end_with(struct vm *vm, enum vm_end end, unsigned status)
{
    if (vm->action == ACTION_END)
        return;
    vm->result = (struct vm_result){end, status};
    ask(vm, ACTION_END);
}

void vm_ask_reset(struct vm *vm, enum vm_cause cause)
{
    if (vm->action != ACTION_NONE)
        return;
    vm->reset_cause = cause;
    if (vm->config.no_reboot)
        vm_end_with(vm, VM_RESET, 0);
    else
        ask(vm, ACTION_RESET);
}

/* A vCPU that is stopped has to leave first. */
static void let_end(struct vm *vm)
{
    if (vm->action == ACTION_END)
        release_quietly(vm, vm->holds);
}

void vm_reset(struct vm *vm, enum vm_cause cause)
{
    bus_lock(vm->bus);
    vm_ask_reset(vm, cause);
    bus_unlock(vm->bus);
    if (vm->holds && vm->action == ACTION_RESET && !vm_restart(vm))
        vm_end(vm, cause);
    let_end(vm);
}

void vm_end(struct vm *vm, enum vm_cause cause)
{
    bus_lock(vm->bus);
    if (vm->action != ACTION_END)
        vm->end_cause = cause;
    vm_end_with(vm, VM_ENDED, 0);
    bus_unlock(vm->bus);
    let_end(vm);
}

void vm_press_power_button(struct vm *vm)
{
    board_press_power_button(vm->board);
    tell(vm, VM_EVENT_POWER_BUTTON, VM_CAUSE_CONTROL);
}

bool vm_type_keys(struct vm *vm, const uint8_t *keys, unsigned count, uint64_t ns)
{
    bus_lock(vm->bus);
    bool done = typist_type(&vm->typist, keys, count, ns);
    bus_unlock(vm->bus);
    return done;
}

/* --- For the loop. */

void vm_add_observer(struct vm *vm, struct vm_observer *observer)
{
    observer->next = vm->observers;
    vm->observers = observer;
}

void vm_attend(struct vm *vm)
{
    unsigned resets = atomic_exchange(&vm->resets, 0);
    for (unsigned cause = 0; resets >> cause; cause++) {
        if (resets >> cause & 1)
            tell(vm, VM_EVENT_RESET, (enum vm_cause)cause);
    }
    if (vm->stalled)
        hold(vm, HOLD_DISK);
    else if (vm->holds & HOLD_DISK)
        release(vm, HOLD_DISK);
    if (!vm->at_debugger)
        return;
    hold(vm, HOLD_DEBUGGER);
    vm->at_debugger = false;
    gdb_guest_stopped(vm->gdb);
}

static enum vm_cause cause_of_end(const struct vm *vm)
{
    switch (vm->result.end) {
    case VM_ENDED:
        return vm->end_cause;
    case VM_RESET:
        return vm->reset_cause;
    default:
        return VM_CAUSE_GUEST;
    }
}

void vm_tell_end(struct vm *vm)
{
    if (vm->gdb)
        gdb_guest_ended(vm->gdb, vm->result.end == VM_DIED, vm->result.status);
    tell(vm, VM_EVENT_END, cause_of_end(vm));
}

/* --- gdb's side. */

static void debugger_pause(void *opaque)
{
    struct vm *vm = opaque;
    hold(vm, HOLD_DEBUGGER);
    vm->at_debugger = false;
}

static void debugger_leave(void *opaque)
{
    release(opaque, HOLD_DEBUGGER);
}

static void debugger_go(void *opaque)
{
    release(opaque, HOLD_DEBUGGER | HOLD_START);
}

static void debugger_end(void *opaque)
{
    vm_end(opaque, VM_CAUSE_CONTROL);
}

static void debugger_reset(void *opaque)
{
    vm_reset(opaque, VM_CAUSE_CONTROL);
}

struct gdb_machine vm_gdb_machine(struct vm *vm)
{
    return (struct gdb_machine){debugger_pause, debugger_go,    debugger_leave,
                                debugger_end,   debugger_reset, vm};
}

/* --- Parts. */

int vm_vcpu_thread(const struct vm *vm)
{
    return vm->vcpu.tid;
}

struct board *vm_board(struct vm *vm)
{
    return vm->board;
}

struct bus *vm_bus(struct vm *vm)
{
    return vm->bus;
}

struct phys_map *vm_phys(struct vm *vm)
{
    return vm->phys;
}

struct display *vm_display(struct vm *vm)
{
    return vm->display;
}

struct chardev *vm_serial(struct vm *vm)
{
    return vm->serial;
}
