/* The gdb stub without its socket: the input goes through the packet reader as it is, and then as
 * packets whose characters are drawn from those that packets are made of. Whatever comes, the CPU
 * must be able to run on. */
#include "fuzz.h"

#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "machine/gdb_session.h"
#include "machine/gdb_target.h"
#include "mmu/phys.h"

#include <stdlib.h>
#include <string.h>

#define RAM_SIZE (1u << 20)
#define STEPS 4

struct machine {
    struct bus *bus;
    struct clock *clock;
    struct phys_map *phys;
    struct cpu_model model;
    struct trace trace;
    struct cpu *cpu;
    char *description;
    struct gdb_session session;
    struct gdb_reader reader;
};

static struct machine *create_machine(void)
{
    struct error error;
    struct machine *machine = calloc(1, sizeof(*machine));
    machine->bus = bus_create();
    machine->clock = clock_create_manual();
    machine->phys = phys_create(machine->bus);
    machine->description = gdb_target_describe();
    struct cpu_config config = {
        .model = &machine->model,
        .phys = machine->phys,
        .bus = machine->bus,
        .clock = machine->clock,
        .trace = &machine->trace,
    };
    if (!phys_add_ram(machine->phys, 0, RAM_SIZE, &error) ||
        !cpu_model_init(&machine->model, NULL, &error) ||
        !(machine->cpu = cpu_create(&config, &error))) {
        fuzz_fail("%s", error.text);
        abort();
    }
    return machine;
}

/* One machine serves all inputs: a CPU is expensive to make. */
static struct machine *the_machine(void)
{
    static struct machine *machine;
    if (!machine)
        machine = create_machine();
    return machine;
}

static void run_steps(struct machine *machine)
{
    for (unsigned i = 0; i < STEPS; i++) {
        debug_go(machine->cpu, true);
        if (cpu_run(machine->cpu) != CPU_EXIT_DEBUG)
            return;
    }
}

static void execute(struct machine *machine, const char *packet, size_t length)
{
    enum gdb_action action = gdb_session_execute(&machine->session, packet, length);
    if (action == GDB_CONTINUE || action == GDB_STEP) {
        run_steps(machine);
        gdb_session_describe_stop(&machine->session);
    }
    if (machine->session.reply.full)
        fuzz_fail("a reply is too long");
    if (machine->session.debug.count > DEBUG_BREAKPOINTS_MAX ||
        machine->session.debug.watches.count > WATCH_MAX)
        fuzz_fail("too many breakpoints");
}

static void read_raw(struct machine *machine, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (gdb_reader_push(&machine->reader, data[i]) == GDB_INPUT_PACKET)
            execute(machine, machine->reader.body, machine->reader.length);
    }
}

/* A packet for each run of bytes up to one below 16: its command, its number, and what follows. */
static void read_drawn(struct machine *machine, const uint8_t *data, size_t size)
{
    static const char commands[] = "ggGpPPPPPPmMXZZZzcsCSD?HTqv";
    static const char rest[] = "0123456789abcdef0123456789abcdef,,;:=";
    char packet[256];
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        if (length == 0)
            packet[length++] = commands[data[i] % (sizeof(commands) - 1)];
        else
            packet[length++] = rest[data[i] % (sizeof(rest) - 1)];
        if (packet[0] == 'P' && length == 3)
            packet[length++] = '=';
        if (data[i] < 8 || length >= sizeof(packet) - 2) {
            packet[length] = '\0';
            execute(machine, packet, length);
            length = 0;
        }
    }
}

/* Registers wholly of random values, one by one. */
static void write_registers(struct machine *machine, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 1 + GDB_REGISTER_BYTES <= size; i += 1 + GDB_REGISTER_BYTES)
        gdb_register_write(machine->cpu, data[i] % gdb_register_count(), data + i + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine *machine = the_machine();
    cpu_reset(machine->cpu);
    machine->cpu->rip = 0x1000;
    machine->cpu->seg[SEG_CS].base = 0;
    cpu_update_mode(machine->cpu);
    phys_write(machine->phys, 0x1000, data, size < RAM_SIZE / 2 ? size : RAM_SIZE / 2);
    memset(&machine->reader, 0, sizeof(machine->reader));
    gdb_session_begin(&machine->session, machine->cpu, machine->description);
    read_raw(machine, data, size);
    read_drawn(machine, data, size);
    write_registers(machine, data, size);
    run_steps(machine);
    gdb_session_end(&machine->session);
    return 0;
}
