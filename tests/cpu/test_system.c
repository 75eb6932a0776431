#include "system_guest.h"

#include <criterion/criterion.h>

static struct guest guest;

static void setup(void)
{
    guest_create(&guest);
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(system, .init = setup, .fini = teardown);

static void set_star(void)
{
    guest.cpu->msr.star = (uint64_t)(SEL_USER_CODE32 | 3) << 48 | (uint64_t)SEL_CODE64 << 32;
    guest.cpu->msr.lstar = GUEST_HANDLERS;
    guest.cpu->msr.sfmask = FLAG_IF | FLAG_TF;
}

Test(system, syscall)
{
    guest_enter_long(&guest, 3);
    set_star();
    guest.cpu->rflags |= FLAG_IF | FLAG_CF;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x05), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_HANDLERS + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], GUEST_CODE + 2);
    cr_expect_eq(guest.cpu->gpr[11], FLAGS_FIXED | FLAG_IF | FLAG_CF);
    cr_expect_eq(guest.cpu->rflags, FLAGS_FIXED | FLAG_CF);
    cr_expect_eq(guest.cpu->cpl, 0);
    cr_expect_eq(guest.cpu->seg[SEG_CS].selector, SEL_CODE64);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, SEL_CODE64 + 8);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK, "RSP is the handler's to switch");
}

Test(system, syscall_disabled)
{
    guest_enter_long(&guest, 3);
    guest.cpu->msr.efer &= ~EFER_SCE;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x05), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
}

Test(system, sysret_to_64_bit_code)
{
    guest_enter_long(&guest, 0);
    set_star();
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest.cpu->gpr[REG_RCX] = GUEST_DATA;
    guest.cpu->gpr[11] = FLAG_CF | FLAG_RF | FLAG_VM;
    uint64_t rsp = guest.cpu->gpr[REG_RSP];
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0x0f, 0x07), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 8, SEL_USER_CODE64 | 3, rsp, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 3, 8), FLAGS_FIXED | FLAG_CF | FLAG_RF);
}

Test(system, sysret_to_compatibility_mode)
{
    guest_enter_long(&guest, 0);
    set_star();
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest.cpu->gpr[REG_RCX] = 0xffffffff00000000 | GUEST_DATA;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x07), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 8, SEL_USER_CODE32 | 3, GUEST_STACK, SEL_USER_DATA | 3);
}

Test(system, sysret_to_a_non_canonical_address)
{
    guest_enter_long(&guest, 0);
    set_star();
    guest.cpu->gpr[REG_RCX] = 0x800000000000;
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0x0f, 0x07), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 2, 8), SEL_CODE64, "raised at level 0");
}

Test(system, sysenter_and_sysexit)
{
    guest_enter_protected(&guest, 3);
    guest_set_descriptor(&guest, SEL_CODE32 + 8, guest_raw(0, 0xfffff, 0xc093));
    guest.cpu->msr.sysenter_cs = SEL_CODE32;
    guest.cpu->msr.sysenter_eip = GUEST_HANDLERS;
    guest.cpu->msr.sysenter_esp = GUEST_STACK0;
    guest.cpu->rflags |= FLAG_IF;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x34), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_HANDLERS + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, SEL_CODE32 + 8);
    cr_expect_not(guest.cpu->rflags & FLAG_IF);

    guest.cpu->gpr[REG_RCX] = GUEST_STACK;
    guest.cpu->gpr[REG_RDX] = GUEST_DATA;
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x35), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 4, (SEL_CODE32 + 16) | 3, GUEST_STACK, (SEL_CODE32 + 24) | 3);
}

/* A call gate for level 3 with two parameters. */
Test(system, privileged_instructions)
{
    static const uint8_t code[][4] = {
        {0xf4},             /* hlt */
        {0x0f, 0x20, 0xc0}, /* mov rax, cr0 */
        {0x0f, 0x22, 0xd8}, /* mov cr3, rax */
        {0x0f, 0x06},       /* clts */
        {0x0f, 0x30},       /* wrmsr */
        {0x0f, 0x09},       /* wbinvd */
        {0x0f, 0x01, 0xf8}, /* swapgs */
        {0x0f, 0x01, 0x3b}, /* invlpg [rbx] */
        {0x48, 0x0f, 0x07}, /* sysret */
        {0xfa},             /* cli */
        {0xfb},             /* sti */
        {0xec},             /* in al, dx */
        {0x0f, 0x33},       /* rdpmc */
    };
    for (size_t i = 0; i < ARRAY_SIZE(code); i++) {
        guest_enter_long(&guest, 3);
        cr_assert_eq(guest_run(&guest, code[i], sizeof(code[i])), CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), VECTOR_GP, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 0, 8), 0, "%zu", i);
    }
}

Test(system, interrupt_flag_and_shadow)
{
    guest_enter_long(&guest, 0);
    /* sti; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0xfb, 0xf4), CPU_EXIT_HALT);
    cr_expect(guest.cpu->rflags & FLAG_IF);
    cr_expect_not(guest.cpu->interrupt_shadow, "it ends with the next instruction");
    /* cli; pushf; popf; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0xfa, 0x9c, 0x9d, 0xf4), CPU_EXIT_HALT);
    cr_expect_not(guest.cpu->rflags & FLAG_IF);
}

Test(system, virtual_interrupt_flag)
{
    guest_enter_protected(&guest, 3);
    cr_assert(cpu_write_cr4(guest.cpu, CR4_PVI));
    /* sti; ud2 */
    cr_assert_eq(GUEST_RUN(&guest, 0xfb, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_UD);
    cr_expect(guest_stack(&guest, 2, 4) & FLAG_VIF);
    cr_expect_not(guest_stack(&guest, 2, 4) & FLAG_IF);
}

Test(system, swapgs_and_bases)
{
    guest_enter_long(&guest, 0);
    guest.cpu->msr.kernel_gs_base = 0xffff888000000000;
    guest.cpu->seg[SEG_GS].base = 0x7000;
    guest.cpu->gpr[REG_RCX] = 0x7f0000001000;
    /* swapgs; rdgsbase rax; wrfsbase rcx; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xf8, 0xf3, 0x48, 0x0f, 0xae, 0xc8, 0xf3, 0x48, 0x0f,
                           0xae, 0xd1, 0xf4),
                 CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), -1);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0xffff888000000000);
    cr_expect_eq(guest.cpu->msr.kernel_gs_base, 0x7000);
    cr_expect_eq(guest.cpu->seg[SEG_FS].base, 0x7f0000001000);

    cr_assert(cpu_write_cr4(guest.cpu, CR4_PAE));
    cr_assert_eq(GUEST_RUN(&guest, 0xf3, 0x48, 0x0f, 0xae, 0xc8), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
}

Test(system, xcr0)
{
    static const struct {
        uint32_t value;
        bool valid;
    } cases[] = {{1, true}, {3, true}, {0, false}, {5, false}, {0x10001, false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_long(&guest, 0);
        guest.cpu->gpr[REG_RCX] = guest.cpu->gpr[REG_RDX] = 0;
        guest.cpu->gpr[REG_RAX] = cases[i].value;
        cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xd1, 0xf4), CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].valid ? -1 : VECTOR_GP, "%zu", i);
        if (cases[i].valid)
            cr_expect_eq(guest.cpu->xcr0, cases[i].value);
    }
}

Test(system, time_stamp)
{
    guest_enter_long(&guest, 3);
    clock_start(guest.clock);
    clock_step(guest.clock, 0x500000001);
    guest.cpu->msr.tsc_aux = 7;
    /* rdtscp; ud2 */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xf9, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 1);
    cr_expect_eq(guest.cpu->gpr[REG_RDX], 5);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 7);
    guest_enter_long(&guest, 3);
    guest.cpu->cr4 |= CR4_TSD;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x31), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}

struct port {
    uint8_t bytes[16];
    unsigned count;
};

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    struct port *port = opaque;
    (void)offset, (void)size;
    return 'a' + port->count++;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct port *port = opaque;
    (void)offset, (void)size;
    if (port->count < sizeof(port->bytes))
        port->bytes[port->count++] = (uint8_t)value;
}

static void map_port(struct port *port)
{
    static const struct bus_ops ops = {"test", port_read, port_write, 1, 1};
    const char *other;
    cr_assert(bus_map(guest.bus, BUS_PORT, 0x80, 1, &ops, port, &other));
}

Test(system, string_ports)
{
    struct port port = {{0}, 0};
    map_port(&port);
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RDX] = 0x80;
    guest.cpu->gpr[REG_RCX] = 4;
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    /* rep insb; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0xf3, 0x6c, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0);
    cr_expect_eq(guest.cpu->gpr[REG_RDI], GUEST_DATA + 4);
    cr_expect_eq(guest_read(&guest, GUEST_DATA, 4), 0x64636261);

    port.count = 0;
    guest.cpu->gpr[REG_RCX] = 4;
    guest.cpu->gpr[REG_RSI] = GUEST_DATA;
    cr_assert_eq(GUEST_RUN(&guest, 0xf3, 0x6e, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(memcmp(port.bytes, "abcd", 4), 0);
}

Test(system, string_port_fault_is_restartable)
{
    struct port port = {{0}, 0};
    map_port(&port);
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RDX] = 0x80;
    guest.cpu->gpr[REG_RCX] = 8;
    guest.cpu->gpr[REG_RDI] = GUEST_UNMAPPED - 3;
    cr_assert_eq(GUEST_RUN(&guest, 0xf3, 0x6c, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_PF);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 5);
    cr_expect_eq(guest.cpu->gpr[REG_RDI], GUEST_UNMAPPED);
    cr_expect_eq(guest_stack(&guest, 1, 8), GUEST_CODE);
    cr_expect_eq(port.count, 3, "the device is not read for a byte that has no place");
}

Test(system, io_bitmap)
{
    guest_enter_long(&guest, 3);
    guest.cpu->tr.limit = 0xff;
    guest_write(&guest, GUEST_TSS + 102, 0x68, 2);
    guest_write(&guest, GUEST_TSS + 0x68 + 0x80 / 8, 0xfffd, 2); /* only port 0x81 */
    guest.cpu->gpr[REG_RDX] = 0x81;
    cr_assert_eq(GUEST_RUN(&guest, 0xec, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
    guest_enter_long(&guest, 3);
    guest.cpu->tr.limit = 0xff;
    /* in ax, dx: port 0x82, too */
    cr_assert_eq(GUEST_RUN(&guest, 0x66, 0xed), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
    guest_enter_long(&guest, 3);
    guest.cpu->rflags |= FLAG_IOPL;
    guest.cpu->gpr[REG_RDX] = 0x90;
    cr_assert_eq(GUEST_RUN(&guest, 0xec, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD, "IOPL 3 needs no bitmap");
}

Test(system, enters_long_mode_by_itself)
{
    guest.cpu->rflags = FLAGS_FIXED;
    guest_enter_protected(&guest, 0);
    guest.cpu->gpr[REG_RBX] = EFER_LME;
    static const uint8_t code[] = {
        0xb8, 0x20, 0,    0, 0,                                     /* mov eax, CR4.PAE */
        0x0f, 0x22, 0xe0,                                           /* mov cr4, eax */
        0xb8, 0,    0x40, 0, 0,                                     /* mov eax, GUEST_PML4 */
        0x0f, 0x22, 0xd8,                                           /* mov cr3, eax */
        0xb9, 0x80, 0,    0, 0xc0, 0x0f,       0x32,                /* mov ecx, EFER; rdmsr */
        0x0d, 0,    1,    0, 0,    0x0f,       0x30,                /* or eax, LME; wrmsr */
        0x0f, 0x20, 0xc0,                                           /* mov eax, cr0 */
        0x0d, 0,    0,    0, 0x80, 0x0f,       0x22, 0xc0,          /* or eax, PG; mov cr0, eax */
        0xea, 0x31, 0x80, 0, 0,    SEL_CODE64, 0,                   /* jmp 08:GUEST_CODE + 0x31 */
        0x90, 0x48, 0xb8, 1, 2,    3,          4,    5,    6, 7, 8, /* mov rax, imm64 */
        0xf4,
    };
    cr_assert_eq(guest_run(&guest, code, sizeof(code)), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0x0807060504030201);
    cr_expect_eq(guest.cpu->msr.efer, EFER_LME | EFER_LMA);
    cr_expect_eq(mode_code(guest.cpu->mode), DEC_MODE_64);
}

/* The new task is there already when its bad segments fault. */
Test(system, redirected_int_in_virtual_8086_mode)
{
    guest_enter_vm86(&guest);
    cr_assert(cpu_write_cr4(guest.cpu, CR4_VME));
    guest.cpu->tr.limit = 0xff;
    guest_write(&guest, GUEST_TSS + 102, 0x88, 2);
    for (unsigned i = 0; i < 4; i++)
        guest_write(&guest, GUEST_TSS + 0x68 + 8 * i, 0, 8);
    guest.cpu->rflags |= FLAG_VIF;
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x21), CPU_EXIT_HALT);
    /* The IVT's handler is HLT, which virtual-8086 code may not execute. */
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_HANDLERS + 0x210);
    cr_expect_not(guest_stack(&guest, 3, 4) & FLAG_VIF);
    cr_expect_eq(guest_stack(&guest, 4, 4), 0xffea);
    cr_expect_eq(guest_read(&guest, 0xffea, 2), GUEST_CODE + 2);
    cr_expect_eq(guest_read(&guest, 0xffee, 2), FLAGS_FIXED | FLAG_IF | FLAG_IOPL);
}

Test(system, int_in_virtual_8086_mode_with_iopl_3)
{
    guest_enter_vm86(&guest);
    guest.cpu->rflags |= FLAG_IOPL;
    guest_set_gate(&guest, 0x21, SEL_CODE32, GUEST_HANDLERS + 0x210, SYSTEM_INTERRUPT_GATE32, 3, 0);
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x21), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), 0x21);
    cr_expect_eq(guest_stack(&guest, 0, 4), GUEST_CODE + 2);
}

Test(system, machine_status_word)
{
    guest.cpu->gpr[REG_RAX] = 0xfff1;
    /* lmsw ax; smsw cx; hlt, still as 16-bit code */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xf0, 0x0f, 0x01, 0xe1, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RCX] & 0xf, CR0_PE);
    guest.cpu->gpr[REG_RAX] = 0;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xf0, 0xf4), CPU_EXIT_HALT);
    cr_expect(guest.cpu->cr0 & CR0_PE, "LMSW does not leave protected mode");
}

Test(system, debug_registers)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RAX] = 0xffffffff;
    /* mov dr6, rax; mov dr7, rax; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x23, 0xf0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->dr[6], 0xffffefff);
    guest.cpu->gpr[REG_RAX] = BIT(32);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x23, 0xf8, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
    cr_assert(cpu_write_cr4(guest.cpu, CR4_PAE | CR4_DE));
    /* mov rax, dr4 */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x21, 0xe0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
}

Test(system, invpcid_checks_its_descriptor)
{
    static const struct {
        uint64_t type, pcid, address;
        bool valid;
    } cases[] = {{0, 0, 0x1000, true},  {3, 0, 0, true}, {4, 0, 0, false},
                 {0, 1, 0x1000, false}, {2, 1, 0, true}, {0, 0, BIT(47), false},
                 {1, BIT(12), 0, false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_long(&guest, 0);
        guest.cpu->gpr[REG_RAX] = cases[i].type;
        guest.cpu->gpr[REG_RBX] = GUEST_DATA;
        guest_write(&guest, GUEST_DATA, cases[i].pcid, 8);
        guest_write(&guest, GUEST_DATA + 8, cases[i].address, 8);
        /* invpcid rax, [rbx]; hlt */
        cr_assert_eq(GUEST_RUN(&guest, 0x66, 0x0f, 0x38, 0x82, 0x03, 0xf4), CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].valid ? -1 : VECTOR_GP, "%zu", i);
    }
}

static int one_interrupt(void *opaque)
{
    struct cpu *cpu = opaque;
    cpu_clear_request(cpu, CPU_REQUEST_INTR);
    return 0x40;
}

Test(system, interrupts_wait_for_the_shadow)
{
    static const struct intc_ops ops = {.acknowledge = one_interrupt};
    guest_enter_long(&guest, 0);
    guest.cpu->intc = (struct intc){&ops, guest.cpu};
    cpu_request(guest.cpu, CPU_REQUEST_INTR);
    /* sti; inc rax; inc rax; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0xfb, 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x40);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 1);
    cr_expect_eq(guest_stack(&guest, 0, 8), GUEST_CODE + 4);

    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_IF;
    guest.cpu->gpr[REG_RAX] = SEL_DATA;
    guest.cpu->gpr[REG_RDX] = 0x80;
    guest.cpu->gpr[REG_RCX] = 1;
    cpu_request(guest.cpu, CPU_REQUEST_INTR);
    guest.cpu->interrupt_shadow = true;
    /* mov ss, eax renews the shadow; inc rcx; then the interrupt */
    cr_assert_eq(GUEST_RUN(&guest, 0x8e, 0xd0, 0x48, 0xff, 0xc1, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x40);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 2);
}

Test(system, string_ports_let_interrupts_in)
{
    static const struct intc_ops ops = {.acknowledge = one_interrupt};
    struct port port = {{0}, 0};
    map_port(&port);
    guest_enter_long(&guest, 0);
    guest.cpu->intc = (struct intc){&ops, guest.cpu};
    guest.cpu->gpr[REG_RDX] = 0x80;
    guest.cpu->gpr[REG_RCX] = 4;
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    cpu_request(guest.cpu, CPU_REQUEST_INTR);
    /* sti; rep insb */
    cr_assert_eq(GUEST_RUN(&guest, 0xfb, 0xf3, 0x6c), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x40);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 3, "after one iteration");
    cr_expect_eq(guest_stack(&guest, 0, 8), GUEST_CODE + 1);
}

Test(system, xgetbv_of_what_is_in_use)
{
    if (!guest.model.features[DEC_FEATURE_XSAVE])
        return;
    guest_enter_long(&guest, 0);
    struct cpu *cpu = guest.cpu;
    cpu->xcr0 = guest.model.xcr0_supported;
    memset(&cpu->fx, 0, sizeof(cpu->fx));
    cpu->fx.fcw = 0x37f;
    memset(cpu->vec, 0, sizeof(cpu->vec));
    cpu->gpr[REG_RCX] = 1;
    cpu_update_mode(cpu);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xd0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(cpu->gpr[REG_RAX], 0);
    cpu->vec[15].u8[3] = 1;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xd0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(cpu->gpr[REG_RAX], 2);
    cpu->fx.ftw = 1;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xd0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(cpu->gpr[REG_RAX], 3);
    cr_expect_eq(cpu->gpr[REG_RDX], 0);
    cpu->gpr[REG_RCX] = 2;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0xd0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect(cpu_cpuid(cpu, 0xd, 1).eax & BIT(2));
}

/* What #AC asks of areas and of wide data, as CPUs do. */
Test(system, alignment_of_areas_and_vectors)
{
    static const struct {
        uint8_t code[6];
        unsigned offset;
        bool faults;
    } cases[] = {
        {{0xd9, 0x33}, 4, false}, /* fnstenv [rbx] */
        {{0xd9, 0x33}, 2, true},
        {{0x66, 0xd9, 0x33}, 2, false}, /* its 16-bit form */
        {{0x66, 0xd9, 0x33}, 1, true},
        {{0xdd, 0x33}, 4, false}, /* fnsave [rbx] */
        {{0xdd, 0x33}, 2, true},
        {{0xdb, 0x2b}, 8, false}, /* fld tbyte [rbx] */
        {{0xdb, 0x2b}, 4, true},
        {{0x0f, 0x10, 0x03}, 1, false},      /* movups xmm0, [rbx] */
        {{0xf3, 0x0f, 0x7e, 0x03}, 4, true}, /* movq xmm0, [rbx] */
        {{0x0f, 0xc7, 0x0b}, 4, true},       /* cmpxchg8b [rbx] */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_long(&guest, 3);
        struct cpu *cpu = guest.cpu;
        cpu->cr0 |= CR0_AM;
        cpu->rflags |= FLAG_AC;
        cpu->gpr[REG_RBX] = GUEST_DATA + cases[i].offset;
        cpu->fx.fcw = 0x37f;
        cpu->fx.ftw = 0;
        cpu_update_mode(cpu);
        uint8_t code[7];
        memcpy(code, cases[i].code, 6);
        for (unsigned end = 6; end > 0 && (end == 6 || !code[end]); end--)
            code[end] = 0xf4; /* HLT after it: #GP */
        cr_assert_eq(guest_run(&guest, code, sizeof(code)), CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].faults ? VECTOR_AC : VECTOR_GP, "%zu: %d", i,
                     guest_vector(&guest));
        cpu->rflags &= ~(uint64_t)FLAG_AC;
    }
}
