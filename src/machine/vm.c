#include "machine/vm_internal.h"

#include "backends/block/block.h"
#include "backends/chardev.h"
#include "backends/display/display.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "host/loop.h"
#include "machine/acpi.h"
#include "machine/board.h"
#include "machine/boot.h"
#include "machine/firmware.h"
#include "machine/gdb.h"
#include "machine/memory_map.h"
#include "machine/report.h"
#include "machine/smbios.h"
#include "machine/vcpu.h"
#include "mmu/phys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static uint64_t host_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void on_power_off(void *opaque)
{
    vm_end_with(opaque, VM_POWERED_OFF, 0);
}

static void on_reset(void *opaque)
{
    vm_ask_reset(opaque, VM_CAUSE_GUEST);
}

static void on_debug_exit(void *opaque, unsigned status)
{
    vm_end_with(opaque, VM_DEBUG_EXIT, status);
}

static uint64_t on_tsc(void *opaque)
{
    struct vm *vm = opaque;
    return cpu_tsc(vm->cpu);
}

/* The CPU's pins, as inputs of an irq_line: enum cpu_request. */
static void on_cpu_line(void *opaque, unsigned input, bool level)
{
    struct vm *vm = opaque;
    if (input == CPU_REQUEST_INTR || level)
        vcpu_request(&vm->vcpu, (enum cpu_request)input, level);
}

static void on_wake(void *opaque)
{
    struct vm *vm = opaque;
    vcpu_wake(&vm->vcpu);
}

static void on_a20(void *opaque, unsigned input, bool open)
{
    struct vm *vm = opaque;
    (void)input;
    vcpu_mask_a20(&vm->vcpu, !open);
}

static void on_ignne(void *opaque, unsigned input, bool asserted)
{
    struct vm *vm = opaque;
    (void)input;
    vcpu_set_ignne(&vm->vcpu, asserted);
}

static void on_quit(void *opaque)
{
    vm_end(opaque, VM_CAUSE_TERMINAL);
}

static void on_earlier_deadline(void *opaque)
{
    struct vm *vm = opaque;
    loop_wake(vm->loop);
}

static void on_bus_access(void *opaque, enum bus_space space, const char *name, uint64_t address,
                          uint64_t value, unsigned size, bool write)
{
    struct vm *vm = opaque;
    if (vm->cosim)
        cosim_note_access(vm->cosim, space, address, value, size, write);
    TRACE(&vm->config.trace, space == BUS_PORT ? TRACE_PORT : TRACE_MMIO,
          "%s %#llx size %u %s %#llx (%s)", write ? "write" : "read", (unsigned long long)address,
          size, write ? "=" : "->", (unsigned long long)value, name ? name : "nothing there");
}

/* Loads the kernel and sets the CPU to its entry; for the start and after each reset. Firmware is
 * where the CPU starts by itself. */
static bool load_guest(struct vm *vm, struct error *error)
{
    if (vm->config.firmware)
        return true;
    struct boot_config boot = {
        .kernel = vm->config.kernel,
        .initrd = vm->config.initrd,
        .append = vm->config.append,
        .memory = vm->config.memory,
    };
    struct boot_entry entry;
    bus_lock(vm->bus);
    board_enter_after_firmware(vm->board);
    bus_unlock(vm->bus);
    if (!acpi_write_tables(vm->phys, &vm->acpi, &boot.rsdp, error) ||
        !smbios_write_tables(vm->phys, vm->config.memory, vm->acpi.cpus, error) ||
        !boot_load(vm->phys, &boot, &entry, error))
        return false;
    boot_enter(vm->cpu, vm->phys, &entry);
    if (vm->cosim)
        cosim_copy(vm->cosim);
    return true;
}

bool vm_restart(struct vm *vm)
{
    bus_lock(vm->bus);
    vm->action = ACTION_NONE;
    board_reset(vm->board);
    bus_unlock(vm->bus);
    cpu_reset(vm->cpu);
    vm->failed = !load_guest(vm, &vm->failure);
    vm->resets |= 1u << vm->reset_cause;
    loop_wake(vm->loop);
    return !vm->failed;
}

/* On the vCPU's thread. The loop's pauses the machine. */
static void call_debugger(struct vm *vm)
{
    vcpu_hold(&vm->vcpu);
    vm->at_debugger = true;
    loop_wake(vm->loop);
}

/* On the vCPU's thread. */
static bool on_vcpu_stopped(void *opaque, enum cpu_exit exit)
{
    struct vm *vm = opaque;
    if (exit == CPU_EXIT_SHUTDOWN || exit == CPU_EXIT_DIFFERENCE) {
        bus_lock(vm->bus);
        vm_end_with(vm, exit == CPU_EXIT_SHUTDOWN ? VM_DIED : VM_DIFFERED, 0);
        bus_unlock(vm->bus);
    }
    bool goes_on = vm->action == ACTION_NONE || (vm->action == ACTION_RESET && vm_restart(vm));
    if (goes_on && exit == CPU_EXIT_DEBUG)
        call_debugger(vm);
    if (!goes_on) {
        vm->stopped = true;
        loop_wake(vm->loop);
    }
    return goes_on;
}

static struct chardev *open_stream(struct vm *vm, const char *option, const char *spec,
                                   struct error *error)
{
    struct error reason;
    struct chardev *chardev = chardev_create(spec, vm->loop, vm->bus, on_quit, vm, &reason);
    if (!chardev)
        error_format(error, "%s %s", option, reason.text);
    return chardev;
}

static bool create_host_side(struct vm *vm, struct error *error)
{
    if (!cpu_model_init(&vm->model, vm->config.cpu_model, error))
        return false;
    if (!(vm->bus = bus_create()) || !(vm->clock = clock_create_host()) ||
        !(vm->phys = phys_create(vm->bus)))
        return error_set(error, "no memory for the guest's devices");
    clock_on_earlier(vm->clock, on_earlier_deadline, vm);
    if (vm->config.engine == VM_COSIM) /* a log of the numbers would be needed otherwise */
        vm->model.features[DEC_FEATURE_RDRAND] = vm->model.features[DEC_FEATURE_RDSEED] = false;
    if (vm->config.engine == VM_COSIM || vm->config.trace.mask & (TRACE_PORT | TRACE_MMIO))
        bus_set_watch(vm->bus, on_bus_access, vm);
    if (vm->config.vga && !(vm->display = display_create(vm->bus)))
        return error_set(error, "no memory for the guest's screen");
    vm->serial = open_stream(vm, "--serial", vm->config.serial, error);
    if (!vm->serial)
        return false;
    if (vm->config.debugcon &&
        !(vm->debugcon = open_stream(vm, "--debugcon", vm->config.debugcon, error)))
        return false;
    return networks_open(&vm->networks, vm->config.networks, vm->config.network_count, vm->loop,
                         vm->bus, vm->clock, error);
}

/* On a disk's thread. */
static void on_stall(void *opaque, bool stalled, const char *message)
{
    struct vm *vm = opaque;
    log_warn("%s", message);
    vm->stalled += stalled ? 1u : -1u;
    loop_wake(vm->loop);
}

struct block_config vm_block_config(struct vm *vm)
{
    return (struct block_config){.bus = vm->bus, .stall = on_stall, .opaque = vm};
}

static bool open_drives(struct vm *vm, struct error *error)
{
    struct block_config config = vm_block_config(vm);
    return drives_open(&vm->drives, vm->config.drives, vm->config.drive_count, &config, error);
}

static bool create_memory(struct vm *vm, struct error *error)
{
    struct file_data image = {0};
    const bool has_firmware = vm->config.firmware;
    if (!memory_map_add_ram(vm->phys, vm->config.memory, error))
        return false;
    if (has_firmware &&
        (!uefi_vars_open(&vm->uefi_vars, vm->config.firmware, vm->config.uefi_vars, error) ||
         !firmware_read(vm->config.firmware, &image, error)))
        return false;
    vm->uefi_vars.base = HIGH_RAM_BASE - image.size - vm->uefi_vars.contents.size;
    bool ok = memory_map_add_windows(vm->phys, has_firmware ? &image : NULL, &vm->windows, error) &&
              (!has_firmware || memory_map_add_firmware(vm->phys, &image, error));
    file_free(&image);
    return ok;
}

static bool create_cpu(struct vm *vm, struct error *error)
{
    struct cpu_config config = {
        .model = &vm->model,
        .phys = vm->phys,
        .bus = vm->bus,
        .clock = vm->clock,
        .intc = board_intc(vm->board),
        .ferr = board_ferr(vm->board),
        .wake = {on_wake, vm},
        .trace = &vm->config.trace,
    };
    if (vm->config.engine == VM_COSIM) {
        vm->cosim = cosim_create(&config, &vm->config.jit_config, error);
        vm->cpu = vm->cosim ? cosim_cpu(vm->cosim) : NULL;
        return vm->cosim;
    }
    vm->cpu = cpu_create(&config, error);
    return vm->cpu &&
           (vm->config.engine != VM_JIT || jit_attach(vm->cpu, &vm->config.jit_config, error));
}

static bool create_board(struct vm *vm, struct error *error)
{
    struct board_config config = {
        .bus = vm->bus,
        .clock = vm->clock,
        .phys = vm->phys,
        .windows = &vm->windows,
        .memory = vm->config.memory,
        .physical_bits = vm->model.physical_bits,
        .serial = vm->serial,
        .pci_testdev = vm->config.pci_testdev,
        .debugcon = vm->debugcon,
        .debugcon_port = vm->config.debugcon_port,
        .display = vm->display,
        .boot_order = vm->config.boot_order,
        .drives = &vm->drives,
        .uefi_vars = &vm->uefi_vars,
        .networks = &vm->networks,
        .rng = vm->config.rng,
        .intr = {on_cpu_line, vm, CPU_REQUEST_INTR},
        .nmi = {on_cpu_line, vm, CPU_REQUEST_NMI},
        .smi = {on_cpu_line, vm, CPU_REQUEST_SMI},
        .init = {on_cpu_line, vm, CPU_REQUEST_INIT},
        .ignne = {on_ignne, vm, 0},
        .a20 = {on_a20, vm, 0},
        .events = {on_power_off, on_reset, vm->config.debug_exit ? on_debug_exit : NULL, on_tsc,
                   vm},
        .trace = &vm->config.trace,
    };
    if (vm->config.engine != VM_COSIM) /* its second CPU has no devices to share memory with */
        config.direct = phys_direct(vm->phys);
    if (vm->config.vga && vm->config.firmware && !firmware_read_vga_rom(&config.vga_rom, error))
        return false;
    vm->board = board_create(&config, error);
    file_free(&config.vga_rom);
    if (vm->board)
        vm->acpi.pci = board_pci_bus(vm->board);
    if (vm->board)
        typist_init(&vm->typist, vm->clock, vm->board);
    return vm->board &&
           firmware_describe(board_fw_cfg(vm->board), &vm->acpi, vm->config.vga, error);
}

static bool create_gdb(struct vm *vm, struct error *error)
{
    struct gdb_config config = {
        .target = vm->config.gdb,
        .start_stopped = vm->config.start_stopped,
        .loop = vm->loop,
        .cpu = vm->cpu,
        .machine = vm_gdb_machine(vm),
    };
    if (!config.target)
        return true;
    vm->gdb = gdb_create(&config, error);
    return vm->gdb;
}

struct vm *vm_create(const struct vm_config *config, struct loop *loop, struct error *error)
{
    struct vm *vm = calloc(1, sizeof(*vm));
    if (!vm) {
        error_format(error, "no memory for the guest");
        return NULL;
    }
    vm->config = *config;
    vm->loop = loop;
    vm->acpi = (struct acpi_config){.cpus = 1, .memory = config->memory};
    vm->vcpu_wakes_at = CLOCK_NEVER;
    vm->holds = config->start_stopped ? HOLD_START : 0;
    vcpu_init(&vm->vcpu);
    if (create_host_side(vm, error) && open_drives(vm, error) && create_memory(vm, error) &&
        create_board(vm, error) && create_cpu(vm, error)) {
        vcpu_attach(&vm->vcpu, vm->cpu, vm->cosim);
        bus_lock(vm->bus);
        board_reset(vm->board);
        bus_unlock(vm->bus);
        if (load_guest(vm, error) && create_gdb(vm, error))
            return vm;
    }
    vm_destroy(vm);
    return NULL;
}

void vm_destroy(struct vm *vm)
{
    drives_close(&vm->drives);
    if (vm->gdb)
        gdb_destroy(vm->gdb);
    if (vm->cosim)
        cosim_destroy(vm->cosim);
    else if (vm->cpu)
        cpu_destroy(vm->cpu);
    if (vm->board)
        board_destroy(vm->board);
    uefi_vars_close(&vm->uefi_vars);
    networks_close(&vm->networks);
    if (vm->debugcon)
        chardev_destroy(vm->debugcon);
    if (vm->serial)
        chardev_destroy(vm->serial);
    display_destroy(vm->display);
    if (vm->phys)
        phys_destroy(vm->phys);
    if (vm->clock)
        clock_destroy(vm->clock);
    if (vm->bus)
        bus_destroy(vm->bus);
    vcpu_free(&vm->vcpu);
    free(vm);
}

/* Fires due timers. With the bus lock held. */
static uint64_t fire_timers(struct vm *vm)
{
    clock_run(vm->clock);
    uint64_t deadline = clock_next_deadline(vm->clock);
    uint64_t now = clock_now(vm->clock);
    if (deadline == CLOCK_NEVER)
        return UINT64_MAX;
    return deadline > now ? deadline - now : 0;
}

/* How long the loop may sleep: for ever, too, where the halted vCPU waits for the next timer. */
static uint64_t run_timers(struct vm *vm)
{
    if (vm->holds)
        return UINT64_MAX;
    bus_lock(vm->bus);
    uint64_t ns = fire_timers(vm);
    if (clock_next_deadline(vm->clock) >= vm->vcpu_wakes_at)
        ns = UINT64_MAX;
    bus_unlock(vm->bus);
    return ns;
}

/* On the vCPU's thread. */
static uint64_t on_vcpu_timers(void *opaque, bool waiting)
{
    struct vm *vm = opaque;
    uint64_t ns = 0;
    bus_lock(vm->bus);
    if (waiting) {
        ns = fire_timers(vm);
        vm->vcpu_wakes_at = clock_next_deadline(vm->clock);
    } else {
        vm->vcpu_wakes_at = CLOCK_NEVER;
        if (clock_next_deadline(vm->clock) != CLOCK_NEVER)
            loop_wake(vm->loop);
    }
    bus_unlock(vm->bus);
    return ns;
}

bool vm_run(struct vm *vm, struct vm_result *result, struct error *error)
{
    /* Guest timers want better than the default slack of 50 us. */
    prctl(PR_SET_TIMERSLACK, 1ul);
    vm->host_start = host_now();
    if (vm->holds)
        vcpu_hold(&vm->vcpu);
    else
        clock_start(vm->clock);
    if (!vcpu_start(&vm->vcpu, on_vcpu_stopped, on_vcpu_timers, vm, error))
        return false;
    while (!vm->stopped) {
        loop_run_once(vm->loop, run_timers(vm));
        vm_attend(vm);
    }
    vcpu_join(&vm->vcpu);
    vm->host_end = host_now();
    *result = vm->result;
    vm_tell_end(vm);
    if (vm->failed)
        *error = vm->failure;
    return !vm->failed;
}

bool vm_screendump(struct vm *vm, const char *path, enum image_format format, struct error *error)
{
    if (!vm->display)
        return error_set(error, "%s: the guest has no screen", path);
    const struct surface *surface = display_look(vm->display, NULL);
    bool written = screenshot_write(surface, path, format, error);
    display_unlock(vm->display);
    return written;
}

void vm_report_death(struct vm *vm, FILE *out)
{
    report_death(vm->cpu, vm->config.kernel, out);
}

void vm_report_difference(struct vm *vm, FILE *out)
{
    cosim_report(vm->cosim, out);
}

void vm_print_stats(struct vm *vm, FILE *out, bool json)
{
    uint64_t end = vm->host_end ? vm->host_end : host_now();
    report_stats(vm->cpu, end - vm->host_start, out, json);
}
