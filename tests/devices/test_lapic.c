#include "devices/irq/lapic.h"

#include "probe.h"

#define TPR 0x80
#define PPR 0xa0
#define EOI 0xb0
#define LDR 0xd0
#define DFR 0xe0
#define SVR 0xf0
#define ISR 0x100
#define TMR 0x180
#define IRR 0x200
#define ESR 0x280
#define ICR 0x300
#define ICR_HIGH 0x310
#define LVT_TIMER 0x320
#define LVT_LINT0 0x350
#define LVT_LINT1 0x360
#define LVT_ERROR 0x370
#define INITIAL 0x380
#define CURRENT 0x390
#define DIVIDE 0x3e0

#define MASKED 0x10000u

#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define X2APIC(offset) (0x800 + (offset) / 16)

#define CPUS 2

struct cpu {
    struct lapic *lapic;
    struct probe intr, nmi, smi, init;
    uint64_t tsc_adjust;
    int startup_vector;
    uint64_t base;
    bool visible;
};

static struct bus *bus;
static struct clock *clock;
static struct apic_bus *apic_bus;
static struct cpu cpus[CPUS];
static int extint_vector;
static int eoi_vector;
static unsigned eois;

static uint64_t read_tsc(void *opaque)
{
    return clock_now(clock) + ((struct cpu *)opaque)->tsc_adjust;
}

static void take_startup(void *opaque, uint8_t vector)
{
    ((struct cpu *)opaque)->startup_vector = vector;
}

static int take_extint(void *opaque)
{
    (void)opaque;
    return extint_vector;
}

static void take_move(void *opaque, uint64_t base, bool visible)
{
    ((struct cpu *)opaque)->base = base;
    ((struct cpu *)opaque)->visible = visible;
}

static void take_eoi(void *opaque, uint8_t vector)
{
    (void)opaque;
    eoi_vector = vector;
    eois++;
}

static void setup(void)
{
    bus = bus_create();
    clock = clock_create_manual();
    apic_bus = apic_bus_create();
    apic_bus_listen(apic_bus, take_eoi, NULL);
    extint_vector = 0x77;
    eois = 0;
    for (unsigned i = 0; i < CPUS; i++) {
        struct cpu *cpu = &cpus[i];
        *cpu = (struct cpu){.startup_vector = -1, .intr.clock = clock};
        cpu->lapic = lapic_create(&(struct lapic_config){
            .id = i,
            .bootstrap = i == 0,
            .physical_bits = 40,
            .bus = bus,
            .clock = clock,
            .apic_bus = apic_bus,
            .intr = probe_line(&cpu->intr),
            .nmi = probe_line(&cpu->nmi),
            .smi = probe_line(&cpu->smi),
            .init = probe_line(&cpu->init),
            .tsc = read_tsc,
            .startup = take_startup,
            .cpu = cpu,
            .extint = take_extint,
            .move = take_move,
            .board = cpu,
        });
        lapic_reset(cpu->lapic);
        map(bus, BUS_MMIO, LAPIC_BASE + i * LAPIC_SIZE, LAPIC_SIZE, &lapic_ops, cpu->lapic);
    }
}

static void teardown(void)
{
    for (unsigned i = 0; i < CPUS; i++)
        lapic_destroy(cpus[i].lapic);
    apic_bus_destroy(apic_bus);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(lapic, .init = setup, .fini = teardown);

static void set(uint32_t reg, uint32_t value)
{
    write32(bus, LAPIC_BASE + reg, value);
}

static uint32_t get(uint32_t reg)
{
    return read32(bus, LAPIC_BASE + reg);
}

static int acknowledge(void)
{
    return lapic_intc_ops.acknowledge(cpus[0].lapic);
}

static bool wrmsr(uint32_t index, uint64_t value)
{
    return lapic_intc_ops.write_msr(cpus[0].lapic, index, value);
}

static uint64_t rdmsr(uint32_t index)
{
    uint64_t value = 0;
    cr_expect(lapic_intc_ops.read_msr(cpus[0].lapic, index, &value), "MSR %#x", index);
    return value;
}

static bool has_msr(uint32_t index)
{
    uint64_t value;
    return lapic_intc_ops.read_msr(cpus[0].lapic, index, &value);
}

static void enable(void)
{
    set(SVR, 0x1ff);
}

static void send(uint8_t vector, bool level)
{
    struct apic_message message = {.vector = vector, .level = level};
    apic_bus_send(apic_bus, &message);
}

Test(lapic, after_reset)
{
    cr_expect_eq(get(0x20), 0);
    cr_expect_eq(read32(bus, LAPIC_BASE + LAPIC_SIZE + 0x20), 1u << 24);
    cr_expect_eq(get(0x30) & 0xff00ff, 0x50014);
    cr_expect_eq(get(SVR), 0xff);
    cr_expect_eq(get(DFR), UINT32_MAX);
    for (uint32_t reg = LVT_TIMER; reg <= LVT_ERROR; reg += 0x10)
        cr_expect_eq(get(reg), MASKED);
    cr_expect_eq(rdmsr(MSR_APIC_BASE), 0xfee00900);
    cr_expect_eq(cpus[0].base, LAPIC_BASE);
    cr_expect(cpus[0].visible);
    send(0x40, false);
    cr_expect(!cpus[0].intr.level, "disabled by software");
}

Test(lapic, priorities)
{
    enable();
    send(0x45, false);
    cr_expect(cpus[0].intr.level);
    cr_expect_eq(get(IRR + 0x20), 1u << 5);
    cr_expect_eq(acknowledge(), 0x45);
    cr_expect(!cpus[0].intr.level);
    cr_expect_eq(get(ISR + 0x20), 1u << 5);
    cr_expect_eq(get(PPR), 0x40);
    send(0x4f, false);
    cr_expect(!cpus[0].intr.level, "the same class waits");
    send(0x51, false);
    cr_expect_eq(acknowledge(), 0x51);
    set(EOI, 0);
    cr_expect(!cpus[0].intr.level);
    set(EOI, 0);
    cr_expect_eq(acknowledge(), 0x4f);
    set(EOI, 0);
    set(EOI, 0); /* one too many */
    cr_expect_eq(get(PPR), 0);
    cr_expect_eq(acknowledge(), -1);
    cr_expect_eq(eois, 0, "edges are not broadcast");
}

Test(lapic, task_priority)
{
    enable();
    lapic_intc_ops.write_cr8(cpus[0].lapic, 5);
    cr_expect_eq(get(TPR), 0x50);
    send(0x5f, false);
    cr_expect(!cpus[0].intr.level);
    set(TPR, 0x4f);
    cr_expect(cpus[0].intr.level);
    cr_expect_eq(lapic_intc_ops.read_cr8(cpus[0].lapic), 4);
    cr_expect_eq(get(PPR), 0x4f);
    set(TPR, 0x60);
    cr_expect(!cpus[0].intr.level);
    cr_expect_eq(acknowledge(), 0xff, "the spurious vector");
    cr_expect_eq(get(IRR + 0x20), 1u << 31, "is not dispensed at the request's cost");
}

Test(lapic, level_interrupts_are_broadcast)
{
    enable();
    send(0x60, true);
    cr_expect_eq(get(TMR + 0x30), 1);
    cr_expect_eq(acknowledge(), 0x60);
    set(EOI, 0);
    cr_expect_eq(eois, 1);
    cr_expect_eq(eoi_vector, 0x60);
    set(SVR, 0x11ff);
    send(0x60, true);
    acknowledge();
    set(EOI, 0);
    cr_expect_eq(eois, 1, "suppressed");
    send(0x60, false);
    cr_expect_eq(get(TMR + 0x30), 0);
}

Test(lapic, lint0_extint_is_the_virtual_wire)
{
    lapic_set_lint(cpus[0].lapic, 0, true);
    cr_expect(!cpus[0].intr.level, "masked after reset");
    lapic_enter_virtual_wire(cpus[0].lapic);
    cr_expect(cpus[0].intr.level);
    cr_expect_eq(acknowledge(), 0x77);
    lapic_set_lint(cpus[0].lapic, 0, false);
    cr_expect(!cpus[0].intr.level);
    lapic_set_lint(cpus[0].lapic, 1, true);
    cr_expect_eq(cpus[0].nmi.rises, 1);
    lapic_set_lint(cpus[0].lapic, 0, true);
    send(0x33, false);
    cr_expect_eq(acknowledge(), 0x33, "the APIC's own come first");
    cr_expect_eq(acknowledge(), 0x77, "whatever the priority");
    set(LVT_LINT0, MASKED | 0x700);
    cr_expect(!cpus[0].intr.level);
}

Test(lapic, lint_modes)
{
    enable();
    set(LVT_LINT1, 0x48);
    lapic_set_lint(cpus[0].lapic, 1, true);
    cr_expect_eq(acknowledge(), 0x48);
    set(EOI, 0);
    lapic_set_lint(cpus[0].lapic, 1, true);
    cr_expect(!cpus[0].intr.level, "an edge");
    set(LVT_LINT1, 0x200);
    lapic_set_lint(cpus[0].lapic, 1, false);
    lapic_set_lint(cpus[0].lapic, 1, true);
    cr_expect_eq(cpus[0].smi.rises, 1);

    set(LVT_LINT0, 0x8049); /* fixed, level */
    lapic_set_lint(cpus[0].lapic, 0, true);
    cr_expect_eq(get(LVT_LINT0), 0xc049, "remote IRR");
    cr_expect_eq(acknowledge(), 0x49);
    set(EOI, 0);
    cr_expect_eq(acknowledge(), 0x49, "still asserted");
    lapic_set_lint(cpus[0].lapic, 0, false);
    set(EOI, 0);
    cr_expect_eq(get(LVT_LINT0), 0x8049);
    cr_expect(!cpus[0].intr.level);
}

Test(lapic, disabled_apic_leaves_the_pins)
{
    cr_expect(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x100));
    cr_expect(!cpus[0].visible);
    lapic_set_lint(cpus[0].lapic, 0, true);
    cr_expect(cpus[0].intr.level);
    cr_expect_eq(acknowledge(), 0x77);
    lapic_set_lint(cpus[0].lapic, 1, true);
    cr_expect_eq(cpus[0].nmi.rises, 1);
    cr_expect(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x900));
    cr_expect(!cpus[0].intr.level);
    cr_expect(cpus[0].visible);
}

Test(lapic, timer_one_shot)
{
    enable();
    set(LVT_TIMER, 0xec);
    set(DIVIDE, 0xb); /* by 1 */
    set(INITIAL, 50000);
    clock_step(clock, 20000);
    cr_expect_eq(get(CURRENT), 30000);
    clock_step(clock, 29999);
    cr_expect(!cpus[0].intr.level);
    clock_step(clock, 1);
    cr_expect(cpus[0].intr.level);
    cr_expect_eq(get(CURRENT), 0);
    cr_expect_eq(acknowledge(), 0xec);
    set(EOI, 0);
    clock_step(clock, NS_PER_SECOND);
    cr_expect(!cpus[0].intr.level);
    set(INITIAL, 50000);
    set(INITIAL, 0);
    clock_step(clock, NS_PER_SECOND);
    cr_expect(!cpus[0].intr.level, "0 stops it");
}

Test(lapic, timer_divides)
{
    static const uint8_t codes[] = {0, 1, 2, 3, 8, 9, 10, 11};
    static const uint32_t divisors[] = {2, 4, 8, 16, 32, 64, 128, 1};
    enable();
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        set(DIVIDE, codes[i]);
        set(INITIAL, 1000000);
        clock_step(clock, 128 * 1000);
        cr_expect_eq(get(CURRENT), 1000000 - 128 * 1000 / divisors[i]);
    }
    set(DIVIDE, 0); /* the count goes on from where it is, at another rate */
    clock_step(clock, 2000);
    cr_expect_eq(get(CURRENT), 1000000 - 128 * 1000 - 1000);
}

Test(lapic, timer_periodic)
{
    enable();
    set(LVT_TIMER, 0x200ec);
    set(DIVIDE, 3); /* by 16 */
    set(INITIAL, 62500);
    uint64_t start = clock_now(clock);
    for (unsigned i = 1; i <= 10; i++) {
        clock_step(clock, 1000000);
        cr_expect_eq(cpus[0].intr.rises, i);
        cr_expect_eq(cpus[0].intr.rose_at, start + i * 1000000);
        cr_expect_eq(acknowledge(), 0xec);
        set(EOI, 0);
    }
    clock_step(clock, 16);
    cr_expect_eq(get(CURRENT), 62499);
    set(LVT_TIMER, 0x300ec);
    clock_step(clock, 5000000);
    cr_expect_eq(cpus[0].intr.rises, 10, "masked");
    set(LVT_TIMER, 0x200ec);
    clock_step(clock, 1000000);
    cr_expect_eq(cpus[0].intr.rises, 11);
    cr_expect_eq(cpus[0].intr.rose_at, start + 16 * 1000000);
}

Test(lapic, timer_of_absurd_rate_is_bounded)
{
    enable();
    set(LVT_TIMER, 0x200ec);
    set(DIVIDE, 0xb);
    set(INITIAL, 1);
    unsigned taken = 0;
    for (unsigned i = 0; i < 1000; i++) {
        clock_step(clock, 1000);
        if (acknowledge() == 0xec) {
            set(EOI, 0);
            taken++;
        }
    }
    cr_expect_geq(taken, 90);
    cr_expect_leq(taken, 101);
}

Test(lapic, timer_masked_one_shot_runs_out_silently)
{
    enable();
    set(LVT_TIMER, MASKED | 0xec);
    set(DIVIDE, 0xb);
    set(INITIAL, 1000);
    clock_step(clock, 500);
    cr_expect_eq(get(CURRENT), 500);
    clock_step(clock, 1000);
    cr_expect_eq(get(CURRENT), 0);
    set(LVT_TIMER, 0xec);
    clock_step(clock, 10000);
    cr_expect(!cpus[0].intr.level);
    set(LVT_TIMER, 0x200ec);
    clock_step(clock, 10000);
    cr_expect(!cpus[0].intr.level, "turning periodic does not start it");
}

Test(lapic, tsc_deadline)
{
    enable();
    cr_expect(wrmsr(MSR_TSC_DEADLINE, 5000));
    cr_expect_eq(rdmsr(MSR_TSC_DEADLINE), 0, "ignored in other modes");
    cpus[0].tsc_adjust = 1000000;
    set(LVT_TIMER, 0x400ed);
    cr_expect(wrmsr(MSR_TSC_DEADLINE, 1000000 + 12345));
    cr_expect_eq(get(CURRENT), 0);
    clock_step(clock, 12344);
    cr_expect(!cpus[0].intr.level);
    cr_expect_eq(rdmsr(MSR_TSC_DEADLINE), 1012345);
    clock_step(clock, 1);
    cr_expect_eq(acknowledge(), 0xed);
    cr_expect_eq(rdmsr(MSR_TSC_DEADLINE), 0);
    set(EOI, 0);

    cr_expect(wrmsr(MSR_TSC_DEADLINE, 1)); /* long past */
    clock_run(clock);
    cr_expect_eq(acknowledge(), 0xed);
    set(EOI, 0);

    cr_expect(wrmsr(MSR_TSC_DEADLINE, read_tsc(&cpus[0]) + 1000));
    cr_expect(wrmsr(MSR_TSC_DEADLINE, 0));
    clock_step(clock, 10000);
    cr_expect(!cpus[0].intr.level, "0 disarms");
    cr_expect(wrmsr(MSR_TSC_DEADLINE, UINT64_MAX));
    clock_step(clock, 10000);
    cr_expect(!cpus[0].intr.level);

    cr_expect(wrmsr(MSR_TSC_DEADLINE, read_tsc(&cpus[0]) + 1000));
    cpus[0].tsc_adjust -= 500;
    lapic_intc_ops.tsc_moved(cpus[0].lapic);
    clock_step(clock, 1499);
    cr_expect(!cpus[0].intr.level);
    clock_step(clock, 1);
    cr_expect(cpus[0].intr.level);
    acknowledge();
    set(EOI, 0);

    cr_expect(wrmsr(MSR_TSC_DEADLINE, read_tsc(&cpus[0]) + 1000));
    set(LVT_TIMER, 0xed);
    clock_step(clock, 10000);
    cr_expect(!cpus[0].intr.level, "another mode disarms");
}

Test(lapic, errors)
{
    enable();
    set(LVT_ERROR, 0xfe);
    send(3, false);
    cr_expect_eq(acknowledge(), 0xfe);
    set(EOI, 0);
    cr_expect_eq(get(ESR), 0, "a write comes first");
    set(ESR, 0);
    cr_expect_eq(get(ESR), 0x40);
    set(ICR, 0x40005); /* to itself, vector 5 */
    set(ESR, 0);
    cr_expect_eq(get(ESR), 0x20);
    get(0x40);
    set(ESR, 0);
    cr_expect_eq(get(ESR), 0x80);
    set(ESR, 0);
    cr_expect_eq(get(ESR), 0);
    set(LVT_ERROR, 3); /* illegal itself */
    set(ICR, 0x40005);
    set(ESR, 0);
    cr_expect_eq(get(ESR), 0x60);
}

Test(lapic, ipis)
{
    enable();
    write32(bus, LAPIC_BASE + LAPIC_SIZE + SVR, 0x1ff);
    set(ICR, 0x40041);
    cr_expect_eq(acknowledge(), 0x41);
    cr_expect_eq(get(ICR) & 0x1000, 0, "idle");
    set(ICR_HIGH, 1u << 24);
    set(ICR, 0x42);
    cr_expect(!cpus[0].intr.level);
    cr_expect(cpus[1].intr.level);
    cr_expect_eq(lapic_intc_ops.acknowledge(cpus[1].lapic), 0x42);
    set(ICR, 0xc0400); /* NMI to all others */
    cr_expect_eq(cpus[0].nmi.rises, 0);
    cr_expect_eq(cpus[1].nmi.rises, 1);
    set(ICR, 0x4500); /* INIT, then start-up, as the specification's MP protocol */
    set(ICR, 0x8500); /* de-assert: nothing */
    cr_expect_eq(cpus[1].init.rises, 1);
    set(ICR, 0x4699);
    cr_expect_eq(cpus[1].startup_vector, 0x99);
    set(EOI, 0);
    set(ICR, 0x80051); /* to all */
    cr_expect_eq(acknowledge(), 0x51);
    cr_expect_eq(lapic_intc_ops.acknowledge(cpus[1].lapic), 0x51);
    set(ICR_HIGH, 0xffu << 24);
    set(ICR, 0x61); /* broadcast by destination */
    cr_expect_eq(acknowledge(), 0x61);
    cr_expect_eq(lapic_intc_ops.acknowledge(cpus[1].lapic), 0x61);
}

Test(lapic, logical_destinations)
{
    enable();
    write32(bus, LAPIC_BASE + LAPIC_SIZE + SVR, 0x1ff);
    set(LDR, 1u << 24);
    write32(bus, LAPIC_BASE + LAPIC_SIZE + LDR, 2u << 24);
    set(ICR_HIGH, 2u << 24);
    set(ICR, 0x842);
    cr_expect(!cpus[0].intr.level);
    cr_expect(cpus[1].intr.level);
    set(ICR_HIGH, 3u << 24);
    set(TPR, 0x20);
    set(ICR, 0x94c); /* lowest priority: CPU 1 has TPR 0 */
    cr_expect(!cpus[0].intr.level);
    cr_expect_eq(lapic_intc_ops.acknowledge(cpus[1].lapic), 0x4c);
    set(DFR, 0); /* clusters */
    set(LDR, 0x12u << 24);
    set(ICR_HIGH, 0x12u << 24);
    set(ICR, 0x843);
    cr_expect_eq(acknowledge(), 0x43);
    set(EOI, 0);
    set(ICR_HIGH, 0x22u << 24);
    set(ICR, 0x844);
    cr_expect(!cpus[0].intr.level);
}

Test(lapic, base_msr_rules)
{
    cr_expect(!wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x900 | 1), "reserved bits");
    cr_expect(!wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x900 | 1ull << 40));
    cr_expect(!wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x500), "EXTD without EN");
    cr_expect(wrmsr(MSR_APIC_BASE, 0xfee40000 | 0x900));
    cr_expect_eq(cpus[0].base, 0xfee40000);
    cr_expect(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x900));
    cr_expect(!has_msr(X2APIC(TPR)), "not in xAPIC mode");
    cr_expect(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0xd00));
    cr_expect(!cpus[0].visible);
    cr_expect(!wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x900), "x2APIC to xAPIC");
    cr_expect(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x100));
    cr_expect(!wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0xd00), "disabled to x2APIC");
    cr_expect(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0x900));
}

Test(lapic, x2apic)
{
    cr_assert(wrmsr(MSR_APIC_BASE, LAPIC_BASE | 0xd00));
    cr_expect_eq(rdmsr(X2APIC(0x20)), 0);
    cr_expect_eq(rdmsr(X2APIC(LDR)), 1);
    cr_expect(!wrmsr(X2APIC(LDR), 1));
    cr_expect(!has_msr(X2APIC(DFR)));
    cr_expect(!has_msr(X2APIC(EOI)));
    cr_expect(!has_msr(X2APIC(ICR_HIGH)));
    cr_expect(!has_msr(0x8ff));
    cr_expect(!wrmsr(X2APIC(SVR), 0x100001ff));
    cr_expect(wrmsr(X2APIC(SVR), 0x1ff));
    cr_expect(!wrmsr(X2APIC(TPR), 0x100));
    cr_expect(!wrmsr(X2APIC(TPR), 1ull << 32));
    cr_expect(!wrmsr(X2APIC(ESR), 1));
    cr_expect(wrmsr(0x83f, 0x55)); /* self IPI */
    cr_expect_eq(acknowledge(), 0x55);
    cr_expect(!wrmsr(X2APIC(EOI), 1));
    cr_expect(wrmsr(X2APIC(EOI), 0));
    cr_expect(wrmsr(X2APIC(ICR), 0x56)); /* to APIC ID 0 */
    cr_expect_eq(rdmsr(X2APIC(ICR)), 0x56);
    cr_expect_eq(acknowledge(), 0x56);
    cr_expect(wrmsr(X2APIC(EOI), 0));
    cr_expect(wrmsr(X2APIC(ICR), 1ull << 32 | 0x400));
    cr_expect_eq(cpus[1].nmi.rises, 1);
    cr_expect(!wrmsr(X2APIC(ICR), 0x100000), "a reserved bit");
    cr_expect(wrmsr(X2APIC(ICR), 2ull << 32 | 0x857)); /* logical: cluster 0, the second CPU */
    cr_expect_eq(acknowledge(), -1);
    cr_expect(wrmsr(X2APIC(ICR), 3ull << 32 | 0x857));
    cr_expect_eq(acknowledge(), 0x57);
    cr_expect(wrmsr(X2APIC(LVT_TIMER), 0x400ee));
    cr_expect(wrmsr(MSR_TSC_DEADLINE, clock_now(clock) + 100));
    clock_step(clock, 100);
    cr_expect_eq(acknowledge(), 0xee);
}

Test(lapic, init_keeps_the_mode)
{
    enable();
    set(LVT_TIMER, 0x200ec);
    set(INITIAL, 100000);
    send(0x40, false);
    lapic_intc_ops.reset(cpus[0].lapic);
    cr_expect(!cpus[0].intr.level);
    cr_expect_eq(get(SVR), 0xff);
    cr_expect_eq(get(LVT_TIMER), MASKED);
    clock_step(clock, NS_PER_SECOND);
    cr_expect(!cpus[0].intr.level);
}

Test(lapic, software_disable_masks)
{
    enable();
    set(LVT_TIMER, 0x200ec);
    set(SVR, 0xff);
    cr_expect_eq(get(LVT_TIMER), 0x300ec);
    set(LVT_TIMER, 0x200ec);
    cr_expect_eq(get(LVT_TIMER), 0x300ec);
    apic_bus_send(apic_bus, &(struct apic_message){.delivery = APIC_NMI});
    cr_expect_eq(cpus[0].nmi.rises, 1, "NMIs are still taken");
}

static void rewrite_at_the_end(void *opaque)
{
    (void)opaque;
    cr_expect(!cpus[0].intr.level);
    set(INITIAL, 50000);
    cr_expect(cpus[0].intr.level, "the count ended before the write");
}

Test(lapic, due_interrupts_survive_writes)
{
    struct clock_timer timer;
    enable();
    call_at(clock, &timer, 1000, rewrite_at_the_end);
    set(LVT_TIMER, 0xec);
    set(DIVIDE, 0xb);
    set(INITIAL, 1000);
    clock_step(clock, 2000);
    cr_expect_eq(acknowledge(), 0xec);
    cr_expect_eq(get(CURRENT), 49000);
}

Test(lapic, counts_messages_of_devices)
{
    apic_bus_send_msi(apic_bus, 0xfee00000, 0x41);
    apic_bus_send_msi(apic_bus, 0xfee00000, 0x41);
    apic_bus_send_msi(apic_bus, 0x1000, 0x42);
    cr_expect_eq(apic_bus_msis(apic_bus, 0x41), 2);
    cr_expect_eq(apic_bus_msis(apic_bus, 0x42), 0, "it is no interrupt's address");
}
