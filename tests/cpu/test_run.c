/* The run loop: blocks, their invalidation, exceptions, interrupts and single steps, on small
 * guests in machine code. */
#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "cpu/interp.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#include <criterion/criterion.h>

#define RAM_SIZE (16u << 20)
#define PML4 0x1000
#define PDPT 0x2000
#define PD 0x3000 /* linear is physical in the first 16 MiB, by 2 MiB pages... */
#define PT 0x4000 /* ...but for 10 MiB to 12 MiB: 4 KiB pages that tests choose */
#define GDT 0x5000
#define IDT 0x6000
#define HANDLERS 0x7000 /* of vector n: HLT at HANDLERS + 16 n */
#define STACK 0x20000
#define CODE 0x100000
#define WINDOW 0xa00000

static struct {
    struct bus *bus;
    struct clock *clock;
    struct cpu_model model;
    struct trace trace;
    struct cpu *cpu;
    int vector; /* what the interrupt controller has to give */
    unsigned acknowledged;
} vm;

static int acknowledge(void *opaque)
{
    (void)opaque;
    vm.acknowledged++;
    cpu_clear_request(vm.cpu, CPU_REQUEST_INTR);
    return vm.vector;
}

static bool read_msr(void *opaque, uint32_t index, uint64_t *value)
{
    (void)opaque;
    (void)index;
    (void)value;
    return false;
}

static const struct intc_ops intc_ops = {.acknowledge = acknowledge, .read_msr = read_msr};

static void put(gpa_t gpa, const void *data, size_t size)
{
    cr_assert(phys_write(vm.cpu->phys, gpa, data, size));
}

static void put64(gpa_t gpa, uint64_t value)
{
    put(gpa, &value, sizeof(value));
}

static uint64_t get64(gpa_t gpa)
{
    uint64_t value;
    cr_assert(phys_read(vm.cpu->phys, gpa, &value, sizeof(value)));
    return value;
}

#define PUT_CODE(gpa, ...)                                                                         \
    put(gpa, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#define HLT 0xf4
#define NOP 0x90

static void map_window(unsigned page, gpa_t gpa)
{
    put64(PT + 8 * page, gpa ? gpa | 7 : 0);
}

static void write_tables(void)
{
    put64(PML4, PDPT | 7);
    put64(PDPT, PD | 7);
    for (unsigned i = 0; i < RAM_SIZE >> 21; i++)
        put64(PD + 8 * i, (uint64_t)i << 21 | 0x87);
    put64(PD + 8 * (WINDOW >> 21), PT | 7);
    put64(GDT + 8, 0x00af9b000000ffff);
    put64(GDT + 16, 0x00cf93000000ffff);
    for (unsigned n = 0; n < 64; n++) {
        uint64_t handler = HANDLERS + 16 * n;
        put64(IDT + 16 * n, (handler & 0xffff) | 8 << 16 | 0x8eull << 40 | (handler >> 16) << 48);
        PUT_CODE(handler, HLT);
    }
}

static struct segment flat_segment(uint16_t selector, uint16_t attributes)
{
    return (struct segment){
        .selector = selector, .attributes = attributes, .limit = UINT32_MAX, .base = 0};
}

/* 64-bit mode at CPL 0, at CODE. */
static void enter_long_mode(void)
{
    struct cpu *cpu = vm.cpu;
    write_tables();
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = flat_segment(0x10, 0xc093);
    cpu->seg[SEG_CS] = flat_segment(8, 0xc09b);
    cpu->gdtr = (struct table_register){GDT, 0xfff};
    cpu->idtr = (struct table_register){IDT, 0xfff};
    cr_assert(cpu_write_cr4(cpu, CR4_PAE | CR4_PGE | CR4_OSFXSR));
    cr_assert(cpu_write_cr3(cpu, PML4));
    cpu->msr.efer = EFER_LME | EFER_NXE;
    cr_assert(cpu_write_cr0(cpu, CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET));
    cpu->seg[SEG_CS].attributes = 0xa09b;
    cpu->gpr[REG_RSP] = STACK;
    cpu->rip = CODE;
    cpu_update_mode(cpu);
}

static void setup(void)
{
    struct error error;
    vm.bus = bus_create();
    vm.clock = clock_create_manual();
    vm.trace = (struct trace){0, stderr};
    vm.acknowledged = 0;
    cr_assert(cpu_model_init(&vm.model, "v1", &error), "%s", error.text);
    struct phys_map *phys = phys_create(vm.bus);
    cr_assert(phys_add_ram(phys, 0, RAM_SIZE, &error), "%s", error.text);
    vm.cpu = cpu_create(
        &(struct cpu_config){
            .model = &vm.model,
            .phys = phys,
            .bus = vm.bus,
            .clock = vm.clock,
            .intc = {&intc_ops, NULL},
            .trace = &vm.trace,
        },
        &error);
    cr_assert(vm.cpu, "%s", error.text);
}

static void setup_long(void)
{
    setup();
    enter_long_mode();
}

static void teardown(void)
{
    struct phys_map *phys = vm.cpu->phys;
    cpu_destroy(vm.cpu);
    phys_destroy(phys);
    clock_destroy(vm.clock);
    bus_destroy(vm.bus);
}

TestSuite(run, .init = setup_long, .fini = teardown);
TestSuite(real, .init = setup, .fini = teardown);

static void run_to_halt(void)
{
    cr_assert_eq(cpu_run(vm.cpu), CPU_EXIT_HALT);
    vm.cpu->halted = false;
}

/* Where a handler's HLT has left RIP tells its vector. */
static int vector_taken(void)
{
    uint64_t offset = vm.cpu->rip - 1 - HANDLERS;
    return offset % 16 == 0 && offset < 64 * 16 ? (int)(offset / 16) : -1;
}

static void expect_exception(int vector, uint64_t rip)
{
    static const bool has_error[32] = {
        [VECTOR_DF] = 1, [VECTOR_TS] = 1, [VECTOR_NP] = 1, [VECTOR_SS] = 1,
        [VECTOR_GP] = 1, [VECTOR_PF] = 1, [VECTOR_AC] = 1};
    cr_assert_eq(vector_taken(), vector, "vector %d at %lx", vector_taken(), vm.cpu->rip);
    uint64_t frame = vm.cpu->gpr[REG_RSP] + (has_error[vector] ? 8 : 0);
    cr_expect_eq(get64(frame), rip, "saved RIP %lx", get64(frame));
}

Test(run, a_loop_counts)
{
    /* mov ecx, 1000; 1: inc rax; dec ecx; jnz 1b; hlt */
    PUT_CODE(CODE, 0xb9, 0xe8, 0x03, 0, 0, 0x48, 0xff, 0xc0, 0xff, 0xc9, 0x75, 0xf9, HLT);
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1000);
    cr_expect_eq(vm.cpu->rip, CODE + 13);
    cr_expect_eq(vm.cpu->stats.instructions, 1 + 3 * 1000 + 1);
    cr_expect_leq(vm.cpu->stats.blocks_decoded, 4);
    uint64_t recent[INTERP_RECENT];
    cr_expect_eq(interp_recent(vm.cpu, recent), INTERP_RECENT);
    cr_expect_eq(recent[0], CODE + 5, "HLT belongs to the last round's block");
    cr_expect_eq(recent[1], CODE + 5);
}

Test(run, undefined_and_too_long)
{
    PUT_CODE(CODE, NOP, 0x0f, 0x0b);
    run_to_halt();
    expect_exception(VECTOR_UD, CODE + 1);
    cr_expect_eq(vm.cpu->stats.instructions, 2, "NOP and the handler's HLT");

    PUT_CODE(CODE + 16, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
             0x66, 0x66, 0x66, NOP);
    vm.cpu->rip = CODE + 16;
    run_to_halt();
    expect_exception(VECTOR_GP, CODE + 16);
}

Test(run, a_fetch_faults_only_when_reached)
{
    /* The last bytes of a page whose successor is absent: nop; jmp back to hlt. */
    map_window(0, 0x200000);
    PUT_CODE(0x200ffc, HLT, NOP, 0xeb, 0xfc);
    vm.cpu->rip = WINDOW + 0xffd;
    run_to_halt();
    cr_expect_eq(vm.cpu->rip, WINDOW + 0xffd);

    PUT_CODE(0x200ffc, NOP, NOP, NOP, NOP);
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    expect_exception(VECTOR_PF, WINDOW + 0x1000);
    cr_expect_eq(vm.cpu->cr2, WINDOW + 0x1000);
}

Test(run, an_instruction_across_pages)
{
    /* mov eax, 12345678h with its last two bytes in the next page. */
    map_window(0, 0x200000);
    map_window(1, 0x300000);
    PUT_CODE(0x200ffc, NOP, 0xb8, 0x78, 0x56);
    PUT_CODE(0x300000, 0x34, 0x12, HLT);
    PUT_CODE(0x301000, 0xcd, 0xab, HLT);
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0x12345678);

    uint64_t decoded = vm.cpu->stats.blocks_decoded;
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    cr_expect_eq(vm.cpu->stats.blocks_decoded, decoded, "kept");

    /* The second page is another one: INVLPG it, as a guest would. */
    map_window(1, 0x301000);
    mmu_invlpg(vm.cpu, WINDOW + 0x1000);
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0xabcd5678);

    /* Either page can be written. */
    PUT_CODE(0x301000, 0xee, 0xff);
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0xffee5678);
    PUT_CODE(0x200ffe, 0x11);
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0xffee5611);

    /* Or be absent: the fault is the second page's. */
    map_window(1, 0);
    mmu_invlpg(vm.cpu, WINDOW + 0x1000);
    vm.cpu->rip = WINDOW + 0xffc;
    run_to_halt();
    expect_exception(VECTOR_PF, WINDOW + 0xffd);
    cr_expect_eq(vm.cpu->cr2, WINDOW + 0x1000);
}

Test(run, code_that_modifies_the_next_instruction)
{
    /* mov byte [rip+2], 0c1h turns the following inc eax (ff c0) into inc ecx. Its displacement
     * counts from the instruction's end: the byte after ff. */
    PUT_CODE(CODE, 0xc6, 0x05, 0x01, 0, 0, 0, 0xc1, 0xff, 0xc0, HLT);
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RCX], 1);
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0);
    cr_expect_eq(vm.cpu->stats.code_writes, 1);
}

Test(run, code_written_through_another_mapping)
{
    map_window(0, CODE);
    PUT_CODE(CODE, 0xff, 0xc0, HLT);
    run_to_halt();
    /* mov byte [WINDOW + 1], 0c1h; hlt */
    PUT_CODE(0x110000, 0xc6, 0x04, 0x25, 0x01, 0x00, 0xa0, 0x00, 0xc1, HLT);
    vm.cpu->rip = 0x110000;
    run_to_halt();
    vm.cpu->rip = CODE;
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1);
    cr_expect_eq(vm.cpu->gpr[REG_RCX], 1);
}

Test(run, data_beside_code_drops_nothing)
{
    /* inc dword [rip+0fah]: data in the code's page, another granule, 1000 times. */
    PUT_CODE(CODE, 0xb9, 0xe8, 0x03, 0, 0, 0xff, 0x05, 0xfa, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf6, HLT);
    run_to_halt();
    cr_expect_eq(get64(CODE + 11 + 0xfa), 1000);
    cr_expect_eq(vm.cpu->stats.code_writes, 0);
    cr_expect_leq(vm.cpu->stats.blocks_decoded, 4);
}

Test(run, writes_beside_code_bytes_drop_nothing)
{
    /* mov ecx, 1000; 1: inc dword [rip + 5]; mov byte [rip - 17], 0b9h; dec ecx; jnz 1b; hlt; data.
     * The byte written is the one that is there. */
    PUT_CODE(CODE, 0xb9, 0xe8, 0x03, 0, 0, 0xff, 0x05, 0x0c, 0, 0, 0, 0xc6, 0x05, 0xee, 0xff, 0xff,
             0xff, 0xb9, 0xff, 0xc9, 0x75, 0xef, HLT, 0, 0, 0, 0);
    run_to_halt();
    cr_expect_eq(get64(CODE + 23) & UINT32_MAX, 1000);
    cr_expect_eq(vm.cpu->stats.code_writes, 0);
    cr_expect_leq(vm.cpu->stats.blocks_decoded, 4);
}

Test(run, a_page_stops_being_code)
{
    PUT_CODE(CODE + 0x4000, 0xff, 0xc0, HLT);
    vm.cpu->rip = CODE + 0x4000;
    run_to_halt();
    cr_expect(phys_page_has_code(vm.cpu->phys, CODE + 0x4000));
    /* rep stosb, 16 bytes a turn. */
    PUT_CODE(CODE, 0xf3, 0xaa, HLT);
    for (unsigned turn = 0; turn < 32; turn++) {
        vm.cpu->gpr[REG_RDI] = CODE + 0x4000;
        vm.cpu->gpr[REG_RCX] = 16;
        vm.cpu->gpr[REG_RAX] = turn;
        vm.cpu->rip = CODE;
        run_to_halt();
    }
    cr_expect_not(phys_page_has_code(vm.cpu->phys, CODE + 0x4000));
    cr_expect_leq(vm.cpu->stats.code_writes, 16 * 16);
}

Test(run, many_writes_to_code)
{
    /* 256 blocks "inc eax; ret", each called, then all of them overwritten by REP STOSB: the queue
     * of written ranges takes it. */
    struct cpu *cpu = vm.cpu;
    for (unsigned i = 0; i < 256; i++)
        PUT_CODE(0x200000 + 64 * i, 0xff, 0xc0, HLT);
    for (unsigned i = 0; i < 256; i++) {
        cpu->rip = 0x200000 + 64 * i;
        run_to_halt();
    }
    cr_assert_eq(cpu->gpr[REG_RAX], 256);
    PUT_CODE(CODE, 0xf3, 0xaa, HLT);
    cpu->gpr[REG_RDI] = 0x200000;
    cpu->gpr[REG_RCX] = 64 * 256;
    cpu->gpr[REG_RAX] = HLT;
    cpu->rip = CODE;
    run_to_halt();
    cpu->gpr[REG_RAX] = 0;
    for (unsigned i = 0; i < 256; i++) {
        cpu->rip = 0x200000 + 64 * i;
        run_to_halt();
    }
    cr_expect_eq(cpu->gpr[REG_RAX], 0);
}

Test(run, a_device_writes_code)
{
    PUT_CODE(CODE, 0xff, 0xc0, HLT);
    run_to_halt();
    PUT_CODE(CODE + 1, 0xc1);
    vm.cpu->rip = CODE;
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RCX], 1);
}

Test(run, blocks_can_be_flushed)
{
    PUT_CODE(CODE, 0xff, 0xc0, HLT);
    run_to_halt();
    cr_expect(phys_page_has_code(vm.cpu->phys, CODE));
    uint64_t decoded = vm.cpu->stats.blocks_decoded;
    interp_flush(vm.cpu);
    vm.cpu->rip = CODE;
    run_to_halt();
    cr_expect_eq(vm.cpu->stats.blocks_decoded, decoded + 1);
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 2);
}

Test(run, the_arena_fills_and_empties)
{
    /* More blocks of straight code than fit: 12 MiB of one-byte instructions are a GiB decoded. */
    struct cpu *cpu = vm.cpu;
    static uint8_t nops[1 << 20];
    memset(nops, NOP, sizeof(nops));
    for (unsigned i = 2; i < 5; i++)
        put((gpa_t)i << 20, nops, sizeof(nops));
    PUT_CODE(0x4fffff, HLT);
    cpu->rip = 0x200000;
    run_to_halt();
    cr_expect_eq(cpu->rip, 0x500000);
    cr_expect_eq(cpu->stats.instructions, 3u << 20);
}

Test(run, code_in_absent_memory)
{
    /* All ones: FF /7 is undefined. */
    put64(PDPT + 8, 0x40000000 | 0x87);
    vm.cpu->rip = 0x50000000;
    run_to_halt();
    expect_exception(VECTOR_UD, 0x50000000);
}

Test(run, rip_that_is_not_canonical)
{
    vm.cpu->rip = 0x0000800000000000;
    run_to_halt();
    expect_exception(VECTOR_GP, 0x0000800000000000);
}

Test(run, triple_fault_shuts_down)
{
    vm.cpu->idtr.limit = 0;
    PUT_CODE(CODE, 0x0f, 0x0b);
    cr_expect_eq(cpu_run(vm.cpu), CPU_EXIT_SHUTDOWN);
    cr_expect_eq(vm.cpu->rip, CODE);
}

Test(run, interrupts_wait_for_if_and_the_shadow)
{
    vm.vector = 40;
    cpu_request(vm.cpu, CPU_REQUEST_INTR);
    cr_expect_not(cpu_has_work(vm.cpu));
    /* nop; sti; inc eax; inc eax; hlt */
    PUT_CODE(CODE, NOP, 0xfb, 0xff, 0xc0, 0xff, 0xc0, HLT);
    run_to_halt();
    cr_expect_eq(vm.acknowledged, 1);
    cr_expect_eq(vector_taken(), 40);
    cr_expect_eq(get64(vm.cpu->gpr[REG_RSP]), CODE + 4, "one instruction in the shadow");
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1);
}

Test(run, halt_wakes_for_an_interrupt)
{
    PUT_CODE(CODE, 0xfb, HLT, NOP);
    cr_assert_eq(cpu_run(vm.cpu), CPU_EXIT_HALT);
    cr_expect_eq(vm.cpu->rip, CODE + 2);
    cr_expect_not(cpu_has_work(vm.cpu));
    cr_expect_eq(cpu_run(vm.cpu), CPU_EXIT_HALT, "still");
    vm.vector = 33;
    cpu_request(vm.cpu, CPU_REQUEST_INTR);
    cr_expect(cpu_has_work(vm.cpu));
    run_to_halt();
    cr_expect_eq(vector_taken(), 33);
    cr_expect_eq(get64(vm.cpu->gpr[REG_RSP]), CODE + 2);
}

Test(run, nmi_is_taken_once)
{
    PUT_CODE(CODE, NOP, HLT);
    cpu_request(vm.cpu, CPU_REQUEST_NMI);
    run_to_halt();
    cr_expect_eq(vector_taken(), VECTOR_NMI);
    cr_expect(vm.cpu->nmi_blocked);
    cpu_request(vm.cpu, CPU_REQUEST_NMI);
    cr_expect_not(cpu_has_work(vm.cpu), "until IRET");
}

Test(run, an_exit_request_returns)
{
    PUT_CODE(CODE, 0xeb, 0xfe);
    cpu_request(vm.cpu, CPU_REQUEST_EXIT);
    cr_expect_eq(cpu_run(vm.cpu), CPU_EXIT_REQUEST);
    cr_expect_eq(atomic_load(&vm.cpu->requests), 0);
}

Test(run, tf_traps_after_each_instruction)
{
    PUT_CODE(CODE, 0xff, 0xc0, 0xff, 0xc0, HLT);
    vm.cpu->rflags |= FLAG_TF;
    cpu_update_mode(vm.cpu);
    run_to_halt();
    expect_exception(VECTOR_DB, CODE + 2);
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1);
    cr_expect(vm.cpu->dr[6] & BIT(14));
    cr_expect(get64(vm.cpu->gpr[REG_RSP] + 16) & FLAG_TF, "saved flags have TF");
}

Test(run, code_breakpoints_and_rf)
{
    PUT_CODE(CODE, 0xff, 0xc0, 0xff, 0xc0, HLT);
    vm.cpu->dr[1] = CODE + 2;
    vm.cpu->dr[7] = BIT(2);
    cpu_update_mode(vm.cpu);
    run_to_halt();
    expect_exception(VECTOR_DB, CODE + 2);
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1, "before the instruction");
    cr_expect_eq(vm.cpu->dr[6] & 15, BIT(1));
    uint64_t flags = get64(vm.cpu->gpr[REG_RSP] + 16);
    cr_expect_not(flags & FLAG_RF, "for the handler to set");
    /* As IRET would: RF lets it pass once. */
    vm.cpu->rip = CODE + 2;
    vm.cpu->rflags = flags | FLAG_RF;
    cpu_update_mode(vm.cpu);
    run_to_halt();
    cr_expect_eq(vm.cpu->rip, CODE + 5);
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 2);
    cr_expect_not(vm.cpu->rflags & FLAG_RF);
}

Test(run, the_trace_shows_instructions)
{
    char *text = NULL;
    size_t size = 0;
    vm.trace.out = open_memstream(&text, &size);
    vm.trace.mask = TRACE_INSN;
    PUT_CODE(CODE, 0x48, 0xff, 0xc0, HLT);
    run_to_halt();
    fclose(vm.trace.out);
    cr_expect(strstr(text, "0008:0000000000100000 48ffc0"), "%s", text);
    cr_expect(strstr(text, "inc"), "%s", text);
    cr_expect(strstr(text, "hlt"), "%s", text);
    free(text);
}

Test(run, a_mode_change_ends_the_block)
{
    /* The same bytes, 48 ff c0, are inc rax here and dec eax; inc eax in 32-bit mode. */
    PUT_CODE(CODE, 0x48, 0xff, 0xc0, HLT);
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1);
    vm.cpu->seg[SEG_CS].attributes = 0xc09b;
    vm.cpu->rip = CODE;
    cpu_update_mode(vm.cpu);
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 1);
}

Test(run, control_register_checks)
{
    struct cpu *cpu = vm.cpu;
    uint64_t cr0 = cpu->cr0, cr4 = cpu->cr4;
    cr_expect_not(cpu_write_cr0(cpu, cr0 & ~CR0_PE), "PG without PE");
    cr_expect_not(cpu_write_cr0(cpu, cr0 | CR0_NW), "NW without CD");
    cr_expect_not(cpu_write_cr0(cpu, cr0 | BIT(32)));
    cr_expect_not(cpu_write_cr0(cpu, cr0 & ~CR0_PG), "in 64-bit mode");
    cr_expect_not(cpu_write_cr4(cpu, cr4 & ~CR4_PAE), "in long mode");
    cr_expect_not(cpu_write_cr4(cpu, cr4 | BIT(31)));
    cr_expect_not(cpu_write_cr3(cpu, BIT(63) | PML4), "bit 63 without PCIDE");
    cr_expect_not(cpu_write_cr3(cpu, BIT(vm.model.physical_bits)));
    cr_expect_eq(cpu->cr0, cr0);
    cr_expect_eq(cpu->cr4, cr4);
    cr_expect_eq(cpu->cr3, PML4);
    cr_expect(cpu_write_cr0(cpu, cr0 | BIT(6)), "reserved bits below 32 are ignored");
    cr_expect_eq(cpu->cr0, cr0);

    if (cpu_cpuid(cpu, 1, 0).ecx & BIT(17)) {
        cr_expect(cpu_write_cr3(cpu, PML4 | 5));
        cr_expect_not(cpu_write_cr4(cpu, cr4 | CR4_PCIDE), "the PCID is not 0");
        cr_expect(cpu_write_cr3(cpu, PML4));
        cr_expect(cpu_write_cr4(cpu, cr4 | CR4_PCIDE));
        cr_expect(cpu_write_cr3(cpu, BIT(63) | PML4 | 5));
        cr_expect_eq(cpu->cr3, PML4 | 5, "bit 63 is not stored");
    }
}

Test(real, paging_in_long_mode_needs_pae_and_no_long_code)
{
    struct cpu *cpu = vm.cpu;
    cpu->msr.efer = EFER_LME;
    cr_expect_not(cpu_write_cr0(cpu, CR0_PE | CR0_PG), "without PAE");
    cr_assert(cpu_write_cr4(cpu, CR4_PAE));
    cpu->seg[SEG_CS].attributes |= SEGATTR_L;
    cr_expect_not(cpu_write_cr0(cpu, CR0_PE | CR0_PG), "CS.L");
    cpu->seg[SEG_CS].attributes &= ~SEGATTR_L;
    cr_expect(cpu_write_cr0(cpu, CR0_PE | CR0_PG));
    cr_expect(cpu->msr.efer & EFER_LMA);
    cr_expect(cpu_write_cr0(cpu, CR0_PE));
    cr_expect_not(cpu->msr.efer & EFER_LMA);
}

Test(real, pdptes_are_checked)
{
    struct cpu *cpu = vm.cpu;
    cr_assert(cpu_write_cr4(cpu, CR4_PAE));
    cr_assert(cpu_write_cr3(cpu, 0x1000), "no paging: not read");
    put64(0x1000, 0x2000 | 1 | BIT(1));
    cr_expect_not(cpu_write_cr0(cpu, CR0_PE | CR0_PG));
    put64(0x1000, 0x2000 | 1);
    cr_expect(cpu_write_cr0(cpu, CR0_PE | CR0_PG));
    cr_expect_eq(cpu->pdpte[0], 0x2001);
    put64(0x3008, 1 | BIT(vm.model.physical_bits));
    cr_expect_not(cpu_write_cr3(cpu, 0x3000));
    put64(0x3008, BIT(vm.model.physical_bits));
    cr_expect(cpu_write_cr3(cpu, 0x3000), "not present: anything goes");
    put64(0x3008, 1 | BIT(8));
    cr_expect_not(cpu_write_cr4(cpu, CR4_PAE | CR4_PGE));
}

Test(real, reset_state)
{
    struct cpu *cpu = vm.cpu;
    cr_expect_eq(cpu->seg[SEG_CS].base + cpu->rip, 0xfffffff0);
    cr_expect_eq(cpu->cr0, 0x60000010);
    cr_expect_eq(cpu->rflags, 2);
    cr_expect_eq(mode_code(cpu->mode), DEC_MODE_16);
    cr_expect_eq(cpu->gpr[REG_RDX], cpu_cpuid(cpu, 1, 0).eax);
}

/* Real mode with segments at 0; IVT vector n at HANDLERS + 16 n. */
static void enter_real_mode(uint16_t cs, uint16_t ip)
{
    for (unsigned n = 0; n < 64; n++) {
        uint32_t handler = HANDLERS + 16 * n;
        put(4 * n, &handler, 4);
        PUT_CODE(handler, HLT);
    }
    vm.cpu->seg[SEG_CS].selector = cs;
    vm.cpu->seg[SEG_CS].base = (uint32_t)cs << 4;
    vm.cpu->gpr[REG_RSP] = 0xfff0;
    vm.cpu->rip = ip;
    cpu_update_mode(vm.cpu);
}

Test(real, code_ends_at_the_segment_limit)
{
    enter_real_mode(0x2000, 0xfffc);
    PUT_CODE(0x2fffc, 0x40, 0x40, 0x40, 0x40, 0x40);
    run_to_halt();
    cr_expect_eq(vector_taken(), VECTOR_GP);
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 4, "up to the limit");
}

Test(real, the_same_code_in_another_segment)
{
    enter_real_mode(0x2000, 0x100);
    /* push cs; pop ax; hlt: the block is the same, RIP is not. */
    PUT_CODE(0x20100, 0x0e, 0x58, HLT);
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0x2000);
    cr_expect_eq(vm.cpu->rip, 0x103);
    enter_real_mode(0x2010, 0);
    run_to_halt();
    cr_expect_eq(vm.cpu->gpr[REG_RAX], 0x2010);
    cr_expect_eq(vm.cpu->rip, 3);
}

Test(real, data_limits)
{
    enter_real_mode(0x2000, 0);
    /* mov ax, [0ffffh] */
    PUT_CODE(0x20000, 0xa1, 0xff, 0xff, HLT);
    run_to_halt();
    cr_expect_eq(vector_taken(), VECTOR_GP);
}
