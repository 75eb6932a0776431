/* The CPU on random code, in every mode, with tables that the code can overwrite. Whatever a guest
 * does, the emulator lives, comes back when asked, and its state stays consistent. */
#include "fuzz.h"

#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "cpu/segment.h"
#include "mmu/phys.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>

enum layout {
    GDT = 0x1000,
    IDT = 0x2000,
    TSS = 0x3000,
    PAGES = 0x4000,
    CODE = 0x8000,
    DATA = 0xc000,
    STACK = 0xf000,
    RAM = 0x400000,
    GDT_ENTRIES = 32,
};

enum start {
    START_REAL,
    START_VM86,
    START_16,
    START_32,
    START_USER32,
    START_64,
    START_USER64,
    STARTS
};

#define SLICE_NS 1000000 /* how long code that never halts may run */

/* Ends the run after a slice, unless it has ended by itself. */
struct watch {
    struct cpu *cpu;
    sem_t done;
};

static void *watch_run(void *opaque)
{
    struct watch *watch = opaque;
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_nsec += SLICE_NS;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_nsec -= 1000000000;
        deadline.tv_sec++;
    }
    if (sem_timedwait(&watch->done, &deadline))
        cpu_request(watch->cpu, CPU_REQUEST_EXIT);
    return NULL;
}

static uint64_t mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void put(struct phys_map *phys, gpa_t address, uint64_t value)
{
    phys_write(phys, address, &value, 8);
}

/* Flat segments first, so that the selectors below fit; then whatever the seed makes. */
static void write_tables(struct phys_map *phys, uint64_t seed, bool is_long)
{
    static const uint64_t fixed[] = {
        0,
        0x00af9b000000ffff, /* 08: 64-bit code */
        0x00cf93000000ffff, /* 10: data */
        0x00cffb000000ffff, /* 18: 32-bit user code */
        0x00cff3000000ffff, /* 20: user data */
        0x00affb000000ffff, /* 28: 64-bit user code */
        0x00cf9b000000ffff, /* 30: 32-bit code */
        0x00008b0030000067, /* 38: TSS */
        0,
        0x00009b000000ffff, /* 48: 16-bit code */
        0x000093000000ffff, /* 50: 16-bit data */
        0x0000890038000067, /* 58: TSS */
        0x0000ec0000308000, /* 60: call gate */
        0,
        0x0000850000580000, /* 70: task gate */
    };
    for (unsigned i = 0; i < GDT_ENTRIES; i++)
        put(phys, GDT + 8 * i, i < ARRAY_SIZE(fixed) ? fixed[i] : mix(&seed));
    for (unsigned i = 0; i < 64; i++) {
        uint64_t handler = CODE + (mix(&seed) & 0x3f);
        uint64_t type = mix(&seed) % 8 == 0 ? 0x85 : 0x8e | (mix(&seed) & 0x61);
        uint64_t selector = is_long ? 0x08 : type == 0x85 ? 0x58 : 0x30;
        uint64_t low = handler | selector << 16 | type << 40;
        put(phys, IDT + i * (is_long ? 16 : 8), low);
        if (is_long)
            put(phys, IDT + i * 16 + 8, 0);
        put(phys, 8ull * i, handler | (uint64_t)handler << 32); /* the IVT */
    }
    for (unsigned i = 0; i < 26; i++) {
        put(phys, TSS + 4 * i, is_long ? STACK : 0x10);
        put(phys, 0x3800 + 4 * i, i == 19 ? 0x30 : 0x10);
    }
    put(phys, TSS + 4, is_long ? STACK : 0x1000000000ull | STACK);
    put(phys, PAGES, (PAGES + 0x1000) | 7);
    put(phys, PAGES + 0x1000, (PAGES + 0x2000) | 7);
    put(phys, PAGES + 0x2000, 0x87);
    put(phys, PAGES + 0x2008, mix(&seed) & 1 ? 0x200087 : 0);
}

static struct segment flat(uint16_t selector, uint16_t attributes)
{
    return (struct segment){.selector = selector, .attributes = attributes, .limit = 0xffffffff};
}

static void enter(struct cpu *cpu, enum start start)
{
    bool user = start == START_USER32 || start == START_USER64 || start == START_VM86;
    uint16_t dpl = user ? 0x60 : 0;
    cpu->gdtr = (struct table_register){.base = GDT, .limit = 8 * GDT_ENTRIES - 1};
    cpu->seg[SEG_CS].base = 0;
    cpu->seg[SEG_CS].selector = 0;
    if (start == START_REAL) {
        cpu->idtr = (struct table_register){.base = 0, .limit = 0x1ff};
        return;
    }
    cpu->idtr = (struct table_register){.base = IDT, .limit = 0x3ff};
    cpu->tr = (struct segment){.selector = 0x38, .attributes = 0x8b, .limit = 0x67, .base = TSS};
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu->cpl = user ? 3 : 0;
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = flat(user ? 0x23 : 0x10, 0xc093 | dpl);
    switch (start) {
    case START_VM86:
        for (unsigned i = 0; i < 6; i++)
            cpu->seg[i] = (struct segment){.attributes = 0xf3, .limit = 0xffff};
        cpu->rflags |= FLAG_VM;
        break;
    case START_16:
        cpu->seg[SEG_CS] = (struct segment){.selector = 0x48, .attributes = 0x9b, .limit = 0xffff};
        break;
    case START_32:
    case START_USER32:
        cpu->seg[SEG_CS] = flat(user ? 0x1b : 0x30, 0xc09b | dpl);
        break;
    default:
        cpu->seg[SEG_CS] = flat(user ? 0x2b : 0x08, 0xa09b | dpl);
        cpu->cr3 = PAGES;
        cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE | CR4_FSGSBASE;
        cpu->cr0 |= CR0_PG | CR0_WP;
        cpu->msr.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
        cpu->msr.star = 0x0018000800000000;
        cpu->msr.lstar = CODE;
        break;
    }
}

static void set_registers(struct cpu *cpu, uint64_t seed)
{
    static const uint64_t interesting[] = {0,       1,    GDT,   IDT,  TSS,        PAGES,
                                           CODE,    DATA, STACK, 0x10, 0x23,       0xffff,
                                           RAM - 3, 0x30, 0x58,  0x60, 0x7fffffff, ~0ull};
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] =
            mix(&seed) % 4 ? interesting[mix(&seed) % ARRAY_SIZE(interesting)] : mix(&seed);
    cpu->gpr[REG_RSP] = STACK - 64;
    cpu->rflags |= mix(&seed) & (FLAG_IOPL | FLAGS_STATUS | FLAG_DF | FLAG_NT | FLAG_ID);
    if (mix(&seed) % 8 == 0)
        cpu->rflags |= FLAG_TF | FLAG_AC;
    cpu->rip = CODE;
}

static void check_state(struct cpu *cpu)
{
    uint32_t mode = cpu->mode;
    bool lma = cpu->msr.efer & EFER_LMA;
    cpu_update_mode(cpu);
    if (mode != cpu->mode)
        fuzz_fail("the mode word was %#x and should be %#x", mode, cpu->mode);
    if (!(cpu->rflags & FLAGS_FIXED) || cpu->cpl > 3)
        fuzz_fail("rflags %#lx, CPL %u", cpu->rflags, cpu->cpl);
    if (lma != ((cpu->msr.efer & EFER_LME) && (cpu->cr0 & CR0_PG)))
        fuzz_fail("EFER %#lx with CR0 %#lx", cpu->msr.efer, cpu->cr0);
    if (!(cpu->cr0 & CR0_PE) && cpu->cpl)
        fuzz_fail("CPL %u in real mode", cpu->cpl);
    if ((cpu->rflags & FLAG_VM) && cpu->cpl != 3)
        fuzz_fail("CPL %u in virtual-8086 mode", cpu->cpl);
}

static void run_slice(struct cpu *cpu)
{
    struct watch watch = {.cpu = cpu};
    pthread_t thread;
    sem_init(&watch.done, 0, 0);
    if (pthread_create(&thread, NULL, watch_run, &watch)) {
        fuzz_fail("no thread");
        return;
    }
    cpu_run(cpu);
    sem_post(&watch.done);
    pthread_join(thread, NULL);
    sem_destroy(&watch.done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {""};
    struct cpu_model model;
    struct trace trace = {.out = stderr};
    if (size < 3)
        return 0;
    uint64_t seed = data[1] | (uint64_t)data[size - 1] << 8;
    enum start start = data[0] % STARTS;

    struct bus *bus = bus_create();
    struct clock *clock = clock_create_manual();
    struct phys_map *phys = phys_create(bus);
    bool made = phys_add_ram(phys, 0, RAM, &error) && cpu_model_init(&model, "host", &error);
    struct cpu_config config = {
        .model = &model, .phys = phys, .bus = bus, .clock = clock, .trace = &trace};
    struct cpu *cpu = made ? cpu_create(&config, &error) : NULL;
    if (cpu) {
        write_tables(phys, seed, start >= START_64);
        phys_write(phys, CODE, data + 1, size - 1 < 0x1000 ? size - 1 : 0x1000);
        set_registers(cpu, seed);
        enter(cpu, start);
        cpu_update_mode(cpu);
        run_slice(cpu);
        check_state(cpu);
    } else {
        fuzz_fail("%s", error.text);
    }
    cpu_destroy(cpu);
    phys_destroy(phys);
    clock_destroy(clock);
    bus_destroy(bus);
    return 0;
}
