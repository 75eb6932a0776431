/* bench_bare: a guest without an operating system that tells what it costs to leave ordinary code:
 * TLB misses, system calls, faults, interrupts, control registers, devices. Prints to the debug
 * console, for each, the time beyond an empty loop:
 *
 *     bare NAME cycles=TSC_CYCLES ns=NANOSECONDS */
#include <cpuid.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_DEBUGCON 0xe9
#define PORT_DEBUG_EXIT 0xf4
#define SUCCESS 0x10

#define APIC 0xfee00000u /* SDM volume 3, 11.4 */
#define APIC_VERSION 0x30
#define APIC_SPURIOUS 0xf0
#define APIC_COMMAND 0x300
#define APIC_TIMER 0x320
#define APIC_TIMER_COUNT 0x380
#define APIC_TIMER_DIVIDE 0x3e0
#define HPET 0xfed00000u
#define HPET_PERIOD 0x4 /* in femtoseconds */
#define HPET_ENABLE 0x10
#define HPET_COUNTER 0xf0

#define VECTOR_PAGE_FAULT 14
#define VECTOR_INTERRUPT 0x40
#define VECTOR_NOTHING 0x80
#define VECTOR_LEAVE_USER 0x81

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define CR4_PCIDE (1u << 17)

#define PAGE 4096
#define WINDOW 0x8000000000u /* where 4 KiB pages are mapped: the second entry of the PML4 */
#define WINDOW_PAGES 8192

struct gate {
    uint16_t offset_low, selector, flags, offset_middle;
    uint32_t offset_high, reserved;
};

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint8_t rest[76];
} __attribute__((packed));

void bare_main(void);
void entry_interrupt(void), entry_page_fault(void), entry_nothing(void), entry_leave_user(void);
void entry_failure(void), entry_syscall(void), user_empty(void), user_syscall(void);
void user_int(void), user_fault(void);
void run_user(void (*code)(void), uint64_t count);
extern uint64_t pml4[512], gdt_tss[2];
extern char stack_end[];

uint64_t interrupt_count, interrupt_time; /* written by entry_interrupt */

static struct gate idt[256];
static struct tss tss;
static uint64_t window_pdpt[512] __attribute__((aligned(PAGE)));
static uint64_t window_directory[512] __attribute__((aligned(PAGE)));
static uint64_t window_tables[WINDOW_PAGES] __attribute__((aligned(PAGE)));
static uint8_t data[64 * PAGE] __attribute__((aligned(PAGE)));
static uint8_t interrupt_stack[16384] __attribute__((aligned(16)));
static uint64_t tsc_hz;

/* --- the machine --- */

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static volatile uint32_t *apic(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(APIC + offset);
}

static volatile uint32_t *hpet(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(HPET + offset);
}

static void write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static void invlpg(uint64_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static uint8_t touch(uint64_t address)
{
    return *(volatile uint8_t *)address;
}

static void set_gate(unsigned vector, void (*entry)(void), unsigned dpl)
{
    uint64_t offset = (uintptr_t)entry;
    idt[vector] = (struct gate){.offset_low = (uint16_t)offset,
                                .selector = 8,
                                .flags = (uint16_t)(0x8e00 | dpl << 13),
                                .offset_middle = (uint16_t)(offset >> 16),
                                .offset_high = (uint32_t)(offset >> 32)};
}

static void set_up(void)
{
    for (unsigned i = 0; i < 256; i++)
        set_gate(i, entry_failure, 0);
    set_gate(VECTOR_PAGE_FAULT, entry_page_fault, 0);
    set_gate(VECTOR_INTERRUPT, entry_interrupt, 0);
    set_gate(VECTOR_NOTHING, entry_nothing, 3);
    set_gate(VECTOR_LEAVE_USER, entry_leave_user, 3);
    struct pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));

    uint64_t base = (uintptr_t)&tss;
    tss.rsp[0] = (uintptr_t)interrupt_stack + sizeof(interrupt_stack);
    gdt_tss[0] =
        (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt_tss[1] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(0x30));
    wrmsr(MSR_STAR, 0x18ull << 48 | 8ull << 32);
    wrmsr(MSR_LSTAR, (uintptr_t)entry_syscall);
    wrmsr(MSR_FMASK, 0x200);

    /* the 8259s may hold requests: mask them; the local APIC on */
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
    *apic(APIC_SPURIOUS) = 0x1ff;

    /* 32 MiB of addresses, in 4 KiB pages, all over the same 256 KiB */
    pml4[1] = (uintptr_t)window_pdpt | 7;
    window_pdpt[0] = (uintptr_t)window_directory | 7;
    for (unsigned i = 0; i < WINDOW_PAGES / 512; i++)
        window_directory[i] = (uintptr_t)(window_tables + i * 512) | 7;
    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        window_tables[i] = ((uintptr_t)data + i % 64 * PAGE) | 7;
    write_cr3((uintptr_t)pml4);
}

/* The TSC's rate, by the HPET over 20 ms. */
static void find_tsc_hz(void)
{
    uint64_t period = *hpet(HPET_PERIOD);
    *hpet(HPET_ENABLE) = 1;
    uint32_t ticks = (uint32_t)(20000000000000ull / period), begin = *hpet(HPET_COUNTER), now;
    uint64_t cycles = rdtsc();
    do
        now = *hpet(HPET_COUNTER) - begin;
    while (now < ticks);
    cycles = rdtsc() - cycles;
    tsc_hz = cycles * 1000000000 / (now * period / 1000000);
}

/* --- text --- */

static void print(const char *text)
{
    for (; *text; text++)
        out8(PORT_DEBUGCON, (uint8_t)*text);
}

static void print_number(uint64_t number)
{
    char digits[24], *at = digits + sizeof(digits) - 1;
    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    print(at);
}

/* --- what is measured: each function does its work `count` times --- */

static void run_empty(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __asm__ volatile("" : : "r"(i));
}

static void run_call(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __asm__ volatile("call 1f\n\tjmp 2f\n1:\tret\n2:" : : : "memory");
}

/* A call to another page and back. */
__attribute__((noinline, section(".text.far"), aligned(PAGE))) static void far_function(void)
{
    __asm__ volatile("");
}

static void run_call_far(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        far_function();
}

/* 16 targets in turn, from one site. */
static void run_indirect(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %0, %%rcx\n\tand $15, %%ecx\n\t"
                         "lea (%%rax,%%rcx,4), %%rax\n\tjmp *%%rax\n"
                         "1:\t.rept 16\n\tjmp 2f\n\tnop\n\tnop\n\t.endr\n2:"
                         :
                         : "r"(i)
                         : "rax", "rcx");
}

static void run_load(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        touch(WINDOW + i % 8 * PAGE);
}

static void run_load_misses(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        touch(WINDOW + i * 4001 % WINDOW_PAGES * PAGE);
}

static void run_invlpg(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        invlpg(WINDOW + i % 8 * PAGE);
}

static void run_invlpg_load(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        invlpg(WINDOW);
        touch(WINDOW);
    }
}

static void run_cr3(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        write_cr3((uintptr_t)pml4);
}

/* A flush, and what ordinary code then needs again. */
static void run_cr3_loads(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        write_cr3((uintptr_t)pml4);
        for (unsigned j = 0; j < 16; j++)
            touch(WINDOW + j * PAGE);
    }
}

/* Between two PCIDs, keeping both (bit 63). */
static void run_cr3_pcid(uint64_t count)
{
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_PCIDE));
    for (uint64_t i = 0; i < count; i++)
        write_cr3(1ull << 63 | (uintptr_t)pml4 | (i % 2 + 1));
    write_cr3((uintptr_t)pml4);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
}

static void run_user_empty(uint64_t count)
{
    run_user(user_empty, count);
}
static void run_syscall(uint64_t count)
{
    run_user(user_syscall, count);
}
static void run_user_int(uint64_t count)
{
    run_user(user_int, count);
}
static void run_user_fault(uint64_t count)
{
    run_user(user_fault, count);
}

static void run_int(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __asm__ volatile("int $0x80" : : : "memory");
}

static void run_page_fault(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __asm__ volatile("lea 1f(%%rip), %%rbx\n\tmov (%0), %%al\n1:"
                         :
                         : "r"(0xfff0000000)
                         : "rax", "rbx", "memory");
}

static void run_rdtsc(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        rdtsc();
}

static void run_cpuid(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        unsigned a, b, c, d;
        __cpuid(0, a, b, c, d);
        __asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d));
    }
}

static void run_rdmsr(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        rdmsr(MSR_KERNEL_GS_BASE);
}

static void run_wrmsr(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        wrmsr(MSR_KERNEL_GS_BASE, i);
}

static void run_sti_cli(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __asm__ volatile("sti\n\tnop\n\tcli");
}

static void run_port_in(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        in8(0x21); /* the 8259's mask */
}

static void run_port_out(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        out8(0x21, 0xff);
}

static void run_apic_read(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        (void)*apic(APIC_VERSION);
}

static void run_hpet_read(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        (void)*hpet(HPET_COUNTER);
}

/* The local APIC interrupts itself: command, delivery, handler, end of interrupt. */
static void run_self_interrupt(uint64_t count)
{
    interrupt_count = 0;
    __asm__ volatile("sti");
    for (uint64_t i = 0; i < count; i++) {
        *apic(APIC_COMMAND) = 1 << 18 | VECTOR_INTERRUPT; /* to self */
        while (*(volatile uint64_t *)&interrupt_count <= i)
            __asm__ volatile("pause");
    }
    __asm__ volatile("cli");
}

static bool always(void)
{
    return true;
}

static bool has_pcid(void)
{
    unsigned a, b, c, d;
    __cpuid(1, a, b, c, d);
    return c & 1 << 17;
}

struct cost {
    const char *name;
    void (*run)(uint64_t count);
    void (*empty)(uint64_t count); /* its loop */
    bool (*available)(void);
};

static const struct cost costs[] = {
    {"call_return", run_call, run_empty, always},
    {"call_other_page", run_call_far, run_empty, always},
    {"jump_indirect", run_indirect, run_empty, always},
    {"tlb_hit", run_load, run_empty, always},
    {"tlb_miss", run_load_misses, run_empty, always},
    {"invlpg", run_invlpg, run_empty, always},
    {"invlpg_and_load", run_invlpg_load, run_empty, always},
    {"cr3_flush", run_cr3, run_empty, always},
    {"cr3_flush_16_loads", run_cr3_loads, run_empty, always},
    {"cr3_keep_pcid", run_cr3_pcid, run_empty, has_pcid},
    {"syscall_sysret", run_syscall, run_user_empty, always},
    {"int_iret_user", run_user_int, run_user_empty, always},
    {"int_iret", run_int, run_empty, always},
    {"page_fault", run_page_fault, run_empty, always},
    {"page_fault_user", run_user_fault, run_user_empty, always},
    {"rdtsc", run_rdtsc, run_empty, always},
    {"cpuid", run_cpuid, run_empty, always},
    {"rdmsr", run_rdmsr, run_empty, always},
    {"wrmsr", run_wrmsr, run_empty, always},
    {"sti_cli", run_sti_cli, run_empty, always},
    {"port_in", run_port_in, run_empty, always},
    {"port_out", run_port_out, run_empty, always},
    {"mmio_apic", run_apic_read, run_empty, always},
    {"mmio_hpet", run_hpet_read, run_empty, always},
    {"interrupt_self", run_self_interrupt, run_empty, always},
};

static void report(const char *name, uint64_t cycles, uint64_t count)
{
    uint64_t tenths_of_ns = cycles * 10000 / (tsc_hz / 1000000) / count;
    print("bare ");
    print(name);
    print(" cycles=");
    print_number(cycles / count);
    print(" ns=");
    print_number(tenths_of_ns / 10);
    print(".");
    print_number(tenths_of_ns % 10);
    print("\n");
}

static uint64_t measure(void (*run)(uint64_t), uint64_t count)
{
    uint64_t begin = rdtsc();
    run(count);
    return rdtsc() - begin;
}

/* The least of 15, of as many as take 2 ms. */
static void measure_cost(const struct cost *cost)
{
    uint64_t count = 16, best = UINT64_MAX, empty = UINT64_MAX;
    while (measure(cost->run, count) < tsc_hz / 500 && count < 1 << 20)
        count *= 2;
    for (unsigned i = 0; i < 15; i++) {
        uint64_t cycles = measure(cost->run, count), loop = measure(cost->empty, count);
        best = cycles < best ? cycles : best;
        empty = loop < empty ? loop : empty;
    }
    report(cost->name, best > empty ? best - empty : 0, count);
}

/* From the moment that the local APIC's timer fires to its handler, in HLT. A wait for `ticks`
 * takes their time and the latency, one for twice as many twice their time and the latency; the
 * shortest of 20 count. */
static void measure_timer(void)
{
    const uint32_t ticks = 1 << 18;
    uint64_t least[2] = {UINT64_MAX, UINT64_MAX};
    *apic(APIC_TIMER_DIVIDE) = 11; /* by 1 */
    *apic(APIC_TIMER) = VECTOR_INTERRUPT;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t begin = rdtsc();
        *apic(APIC_TIMER_COUNT) = ticks << i % 2;
        __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
        uint64_t time = *(volatile uint64_t *)&interrupt_time - begin;
        least[i % 2] = time < least[i % 2] ? time : least[i % 2];
    }
    report("timer_to_handler", 2 * least[0] > least[1] ? 2 * least[0] - least[1] : 0, 1);
}

void bare_main(void)
{
    set_up();
    find_tsc_hz();
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
        if (costs[i].available())
            measure_cost(&costs[i]);
    measure_timer();
    out8(PORT_DEBUG_EXIT, SUCCESS);
}
