/* The processor on random code, on the real board without character devices: in all modes, with
 * tables and registers that make sense and some that do not. What must hold: nothing crashes or
 * hangs, nothing of the host is touched, and the state stays one that a processor can be in.
 *
 * The input is a seed for everything, the engine too, so that any is a good one. */
#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "deadline.h"
#include "fuzz.h"
#include "jit/jit.h"
#include "machine/board.h"
#include "machine/memory_map.h"
#include "machine/uefi_vars.h"
#include "mmu/phys.h"
#include "random_code.h"
#include "random_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVES 8   /* states that one guest is put into */
#define SLICES 20 /* of a life, with time in between */
#define TURNS 40
#define FREE_NS 200000 /* that translated code runs for at most */

struct machine {
    struct random random;
    struct bus *bus;
    struct clock *clock;
    struct phys_map *phys;
    struct memory_windows windows;
    struct uefi_vars no_variables;
    struct board *board;
    struct cpu *cpu;
    struct cpu_model model;
    struct trace trace;
    struct deadline *deadline; /* of free runs; NULL: by the interpreter */
    bool reset;
};

static void request_reset(void *opaque)
{
    struct machine *machine = opaque;
    machine->reset = true;
    cpu_request(machine->cpu, CPU_REQUEST_EXIT);
}

static void debug_exit(void *opaque, unsigned status)
{
    (void)status;
    request_reset(opaque);
}

static uint64_t tsc(void *opaque)
{
    return cpu_tsc(((struct machine *)opaque)->cpu);
}

/* The CPU's pins, as inputs of an irq_line: enum cpu_request. */
static void set_pin(void *opaque, unsigned input, bool level)
{
    struct machine *machine = opaque;
    if (!machine->cpu)
        return;
    if (level)
        cpu_request(machine->cpu, (enum cpu_request)input);
    else if (input == CPU_REQUEST_INTR)
        cpu_clear_request(machine->cpu, (enum cpu_request)input);
}

static void must(bool ok, const struct error *error)
{
    if (ok)
        return;
    fprintf(stderr, "the machine cannot be made: %s\n", error->text);
    exit(1);
}

static void reset_machine(struct machine *machine)
{
    bus_lock(machine->bus);
    board_reset(machine->board);
    board_enter_after_firmware(machine->board);
    bus_unlock(machine->bus);
    cpu_reset(machine->cpu);
    machine->reset = false;
}

/* --- Free runs: translated code does not leave while it finds its way, and only without a standing
 * request does it look for it; so a signal ends it. */

static void end_run(void *opaque)
{
    cpu_request(opaque, CPU_REQUEST_EXIT);
}

static enum cpu_exit run_freely(struct machine *machine)
{
    deadline_set(machine->deadline, 1 + random_below(&machine->random, FREE_NS));
    enum cpu_exit exit = cpu_run(machine->cpu);
    deadline_set(machine->deadline, 0);
    cpu_clear_request(machine->cpu, CPU_REQUEST_EXIT);
    return exit;
}

/* --- The machine */

static void attach_translator(struct machine *machine)
{
    struct error error;
    struct jit_config config = {
        .code_size = JIT_CODE_MIN << random_below(&machine->random, 5),
        .without = random_chance(&machine->random, 20) ? random_next(&machine->random) >> 32 : 0,
    };
    /* Most random code runs only once. */
    if (random_chance(&machine->random, 80))
        config.without |= JIT_PATIENCE;
    must(jit_attach(machine->cpu, &config, &error), &error);
    machine->deadline = deadline_create(end_run, machine->cpu);
}

static void create(struct machine *machine)
{
    static const char *const models[] = {"v1", "v2", NULL, NULL};
    struct error error = {"no memory"};
    const char *model = models[random_below(&machine->random, ARRAY_SIZE(models))];
    must(cpu_model_init(&machine->model, model, &error), &error);
    must((machine->bus = bus_create()) && (machine->clock = clock_create_manual()) &&
             (machine->phys = phys_create(machine->bus)) &&
             memory_map_add_ram(machine->phys, GUEST_RAM, &error) &&
             memory_map_add_windows(machine->phys, NULL, &machine->windows, &error),
         &error);
    machine->trace = (struct trace){.out = stderr};
    const struct board_config board = {
        .bus = machine->bus,
        .clock = machine->clock,
        .phys = machine->phys,
        .windows = &machine->windows,
        .uefi_vars = &machine->no_variables,
        .memory = GUEST_RAM,
        .physical_bits = machine->model.physical_bits,
        .intr = {set_pin, machine, CPU_REQUEST_INTR},
        .nmi = {set_pin, machine, CPU_REQUEST_NMI},
        .smi = {set_pin, machine, CPU_REQUEST_SMI},
        .init = {set_pin, machine, CPU_REQUEST_INIT},
        .events = {request_reset, request_reset, debug_exit, tsc, machine},
        .trace = &machine->trace,
    };
    must((machine->board = board_create(&board, &error)), &error);
    const struct cpu_config cpu = {
        .model = &machine->model,
        .phys = machine->phys,
        .bus = machine->bus,
        .clock = machine->clock,
        .intc = board_intc(machine->board),
        .trace = &machine->trace,
    };
    must((machine->cpu = cpu_create(&cpu, &error)), &error);
    if (random_chance(&machine->random, 75))
        attach_translator(machine);
    reset_machine(machine);
}

static void destroy(struct machine *machine)
{
    if (machine->deadline)
        deadline_destroy(machine->deadline);
    cpu_destroy(machine->cpu);
    board_destroy(machine->board);
    phys_destroy(machine->phys);
    clock_destroy(machine->clock);
    bus_destroy(machine->bus);
}

/* What no guest can bring about. */
static void check_state(struct cpu *cpu)
{
    uint32_t mode = cpu->mode;
    const struct tlb_entry *tlb = cpu->tlb;
    cpu_update_mode(cpu);
    if (mode != cpu->mode || tlb != cpu->tlb)
        fuzz_fail("the mode word is %#x, but the state says %#x", mode, cpu->mode);
    uint64_t never = ~(uint64_t)(FLAGS_STATUS | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                                 FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID);
    if ((cpu->rflags & never) != FLAGS_FIXED)
        fuzz_fail("RFLAGS is %#llx", (unsigned long long)cpu->rflags);
    if (mode_code(mode) != DEC_MODE_64 && cpu->rip > UINT32_MAX)
        fuzz_fail("EIP is %#llx", (unsigned long long)cpu->rip);
    if (cpu->cpl > 3 || (!(mode & MODE_PROTECTED) && cpu->cpl) ||
        ((mode & MODE_VM86) && cpu->cpl != 3))
        fuzz_fail("CPL is %u in mode %#x", cpu->cpl, mode);
    if ((cpu->cr0 & (CR0_PE | CR0_PG)) == CR0_PG)
        fuzz_fail("CR0 is %#llx", (unsigned long long)cpu->cr0);
    bool is_long = cpu->msr.efer & EFER_LME && cpu->cr0 & CR0_PG;
    if (is_long != !!(cpu->msr.efer & EFER_LMA) || (is_long && !(cpu->cr4 & CR4_PAE)))
        fuzz_fail("EFER is %#llx with CR0 %#llx and CR4 %#llx", (unsigned long long)cpu->msr.efer,
                  (unsigned long long)cpu->cr0, (unsigned long long)cpu->cr4);
}

/* Time passes, up to 16 ms; a halted CPU sleeps until a timer or an NMI. */
static void pass_time(struct machine *machine, bool halted)
{
    uint64_t ns = random_next(&machine->random) >> (40 + random_below(&machine->random, 20));
    bus_lock(machine->bus);
    uint64_t deadline = clock_next_deadline(machine->clock), now = clock_now(machine->clock);
    if (halted && deadline != CLOCK_NEVER && deadline > now && deadline - now < NS_PER_SECOND)
        ns = deadline - now;
    clock_step(machine->clock, ns);
    bus_unlock(machine->bus);
    if (halted && !cpu_has_work(machine->cpu))
        cpu_request(machine->cpu, CPU_REQUEST_NMI);
}

/* Interrupts come from the local APIC's timer, the HPET and the PIT through the 8259s. */
static void program_board(struct machine *machine)
{
    static const struct {
        enum bus_space space;
        uint32_t address, value;
        unsigned size;
    } writes[] = {
        {BUS_MMIO, 0xfee000f0, 0x1ff, 4},  {BUS_MMIO, 0xfee00320, 0x20040, 4},
        {BUS_MMIO, 0xfee00380, 20000, 4},  {BUS_MMIO, 0xfec00000, 0x10 + 2 * 20, 4},
        {BUS_MMIO, 0xfec00010, 0x0041, 4}, {BUS_MMIO, 0xfed00010, 1, 4},
        {BUS_MMIO, 0xfed00100, 0x280c, 4}, {BUS_MMIO, 0xfed00108, 1000, 4},
        {BUS_PORT, 0x20, 0x11, 1},         {BUS_PORT, 0x21, 0x30, 1},
        {BUS_PORT, 0x21, 0x04, 1},         {BUS_PORT, 0x21, 0x03, 1},
        {BUS_PORT, 0x21, 0x00, 1},         {BUS_PORT, 0x43, 0x34, 1},
        {BUS_PORT, 0x40, 0x40, 1},         {BUS_PORT, 0x40, 0x00, 1},
        {BUS_PORT, 0x3f9, 0x0f, 1},        {BUS_PORT, 0x64, 0x60, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
        bus_write(machine->bus, writes[i].space, writes[i].address, writes[i].value,
                  writes[i].size);
}

static enum cpu_exit run(struct machine *machine)
{
    if (machine->deadline && random_chance(&machine->random, 30))
        return run_freely(machine);
    return cpu_run_for(machine->cpu, 1 + random_below(&machine->random, TURNS));
}

static void live(struct machine *machine)
{
    random_guest_enter(&machine->random, machine->cpu);
    if (random_chance(&machine->random, 50))
        program_board(machine);
    for (unsigned i = 0; i < SLICES; i++) {
        enum cpu_exit exit = run(machine);
        check_state(machine->cpu);
        if (exit == CPU_EXIT_SHUTDOWN || machine->reset)
            return;
        pass_time(machine, exit == CPU_EXIT_HALT);
        if (random_chance(&machine->random, 60))
            random_guest_divert(&machine->random, machine->cpu);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine machine = {.random.state = 1};
    for (size_t i = 0; i < size; i++)
        machine.random.state = (machine.random.state ^ data[i]) * 0x9e3779b97f4a7c15ull | 1;
    create(&machine);
    random_guest_memory(&machine.random, machine.phys);
    for (unsigned i = 0; i < LIVES; i++) {
        live(&machine);
        reset_machine(&machine);
    }
    destroy(&machine);
    return 0;
}
