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

/* Far returns: builds the frame and expects to arrive at GUEST_DATA, where HLT is (#GP at level 3).
 */
static void push_frame(unsigned size, const uint64_t *items, unsigned count)
{
    for (unsigned i = count; i-- > 0;) {
        guest.cpu->gpr[REG_RSP] -= size;
        guest_write(&guest, guest.cpu->gpr[REG_RSP], items[i], size);
    }
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
}
#define PUSH_FRAME(size, ...)                                                                      \
    push_frame(size, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

/* At level 3 the HLT at GUEST_DATA faults; the frame of that tells where it was. */
static void expect_arrival_at_level_3(unsigned size, uint16_t cs, uint64_t rsp, uint16_t ss)
{
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 0, size), 0, "error %#lx", guest_stack(&guest, 0, size));
    cr_expect_eq(guest_stack(&guest, 1, size), GUEST_DATA);
    cr_expect_eq(guest_stack(&guest, 2, size), cs);
    cr_expect_eq(guest_stack(&guest, 4, size), rsp);
    cr_expect_eq(guest_stack(&guest, 5, size), ss);
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
    PUSH_FRAME(8, 0);
    guest.cpu->gpr[REG_RCX] = GUEST_DATA;
    guest.cpu->gpr[11] = FLAG_CF | FLAG_RF | FLAG_VM;
    uint64_t rsp = guest.cpu->gpr[REG_RSP];
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0x0f, 0x07), CPU_EXIT_HALT);
    expect_arrival_at_level_3(8, SEL_USER_CODE64 | 3, rsp, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 3, 8), FLAGS_FIXED | FLAG_CF | FLAG_RF);
}

Test(system, sysret_to_compatibility_mode)
{
    guest_enter_long(&guest, 0);
    set_star();
    PUSH_FRAME(8, 0);
    guest.cpu->gpr[REG_RCX] = 0xffffffff00000000 | GUEST_DATA;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x07), CPU_EXIT_HALT);
    expect_arrival_at_level_3(8, SEL_USER_CODE32 | 3, GUEST_STACK - 8, SEL_USER_DATA | 3);
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
    expect_arrival_at_level_3(4, (SEL_CODE32 + 16) | 3, GUEST_STACK, (SEL_CODE32 + 24) | 3);
}

Test(system, iret_to_level_3)
{
    guest_enter_long(&guest, 0);
    PUSH_FRAME(8, GUEST_DATA, SEL_USER_CODE64 | 3, FLAG_IF | FLAG_CF, GUEST_STACK - 0x100,
               SEL_USER_DATA | 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    expect_arrival_at_level_3(8, SEL_USER_CODE64 | 3, GUEST_STACK - 0x100, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 3, 8), FLAGS_FIXED | FLAG_IF | FLAG_CF | FLAG_RF);
    cr_expect_eq(guest.cpu->seg[SEG_DS].selector, 0, "level 0's data segments are dropped");
}

Test(system, iret_to_compatibility_mode)
{
    guest_enter_long(&guest, 0);
    PUSH_FRAME(8, GUEST_DATA, SEL_USER_CODE32 | 3, 0, GUEST_STACK - 0x100, SEL_USER_DATA | 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    expect_arrival_at_level_3(8, SEL_USER_CODE32 | 3, GUEST_STACK - 0x100, SEL_USER_DATA | 3);
}

Test(system, iret_at_the_same_level_pops_the_stack)
{
    guest_enter_long(&guest, 0);
    PUSH_FRAME(8, GUEST_DATA, SEL_CODE64, FLAG_DF, GUEST_STACK - 0x200, 0);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK - 0x200);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, 0);
    cr_expect_eq(guest.cpu->rflags, FLAGS_FIXED | FLAG_DF);
}

Test(system, iret_faults_leave_the_stack)
{
    static const struct {
        uint64_t rip, cs, ss;
        int vector;
        uint64_t error;
    } cases[] = {
        {GUEST_DATA, 0, SEL_DATA, VECTOR_GP, 0},
        {GUEST_DATA, SEL_DATA, SEL_DATA, VECTOR_GP, SEL_DATA},
        {GUEST_DATA, SEL_BEYOND, SEL_DATA, VECTOR_GP, SEL_BEYOND},
        {GUEST_DATA, SEL_USER_CODE64, SEL_DATA, VECTOR_GP, SEL_USER_CODE64},
        {GUEST_DATA, SEL_USER_CODE64 | 3, SEL_DATA, VECTOR_GP, SEL_DATA},
        {GUEST_DATA, SEL_USER_CODE64 | 3, 0, VECTOR_GP, 0},
        {GUEST_DATA, SEL_CODE64, SEL_ABSENT, VECTOR_SS, SEL_ABSENT},
        {0x800000000000, SEL_CODE64, SEL_DATA, VECTOR_GP, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_long(&guest, 0);
        PUSH_FRAME(8, cases[i].rip, cases[i].cs, 0, GUEST_STACK, cases[i].ss);
        uint64_t rsp = guest.cpu->gpr[REG_RSP];
        cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].vector, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 0, 8), cases[i].error, "%zu: %#lx", i,
                     guest_stack(&guest, 0, 8));
        cr_expect_eq(guest_stack(&guest, 1, 8), GUEST_CODE, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 4, 8), rsp, "%zu", i);
    }
}

Test(system, iret_with_nt_in_long_mode)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_NT;
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}

Test(system, iret_to_virtual_8086_mode)
{
    guest_enter_protected(&guest, 0);
    PUSH_FRAME(4, GUEST_DATA, 0, FLAG_VM, 0xfff0, 0x100, 0x200, 0x300, 0x400, 0x500);
    cr_assert_eq(GUEST_RUN(&guest, 0xcf), CPU_EXIT_HALT);
    expect_arrival_at_level_3(4, 0, 0xfff0, 0x100);
    cr_expect_eq(guest_stack(&guest, 6, 4), 0x200);
    cr_expect_eq(guest_stack(&guest, 7, 4), 0x300);
    cr_expect_eq(guest_stack(&guest, 8, 4), 0x400);
    cr_expect_eq(guest_stack(&guest, 9, 4), 0x500);
}

Test(system, user_code_cannot_change_if_and_iopl)
{
    guest_enter_long(&guest, 3);
    PUSH_FRAME(8, GUEST_DATA, SEL_USER_CODE64 | 3, FLAG_IF | FLAG_IOPL | FLAG_ID, GUEST_STACK,
               SEL_USER_DATA | 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    expect_arrival_at_level_3(8, SEL_USER_CODE64 | 3, GUEST_STACK, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 3, 8), FLAGS_FIXED | FLAG_ID | FLAG_RF);
}

Test(system, far_jump_out_of_64_bit_mode_and_back)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    guest_write(&guest, GUEST_DATA, GUEST_CODE + 2, 4);
    guest_write(&guest, GUEST_DATA + 4, SEL_CODE32, 2);
    /* jmp far [rbx]; in 32-bit code: inc eax, not REX; jmp far 08:+8; in 64-bit code: hlt */
    guest.cpu->gpr[REG_RAX] = 1;
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0x2b, 0x40, 0xea, 0x0a, 0x80, 0, 0, SEL_CODE64, 0, 0x48,
                           0xff, 0xc0, 0xf4),
                 CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 14);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 3);
    cr_expect_eq(guest.cpu->seg[SEG_CS].selector, SEL_CODE64);
}

Test(system, far_call_and_return)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_DATA, 0xcb, 1); /* retf */
    /* call far 30:GUEST_DATA; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x9a, 0, 0xc0, 0, 0, SEL_CODE32, 0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 8);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK);
    cr_expect_eq(guest_read(&guest, GUEST_STACK - 8, 4), GUEST_CODE + 7);
    cr_expect_eq(guest_read(&guest, GUEST_STACK - 4, 4), SEL_CODE32);
}

Test(system, far_jump_faults)
{
    static const struct {
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {0, VECTOR_GP, 0},
        {SEL_DATA, VECTOR_GP, SEL_DATA},
        {SEL_BEYOND, VECTOR_GP, SEL_BEYOND},
        {SEL_USER_CODE32, VECTOR_GP, SEL_USER_CODE32},
        {SEL_CODE32 | 3, VECTOR_GP, SEL_CODE32},
        {SEL_CODE16, VECTOR_GP, 0}, /* beyond its limit */
        {SEL_LDT, VECTOR_GP, SEL_LDT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_protected(&guest, 0);
        cr_assert_eq(GUEST_RUN(&guest, 0xea, 0, 0xc0, 1, 0, (uint8_t)cases[i].selector, 0),
                     CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].vector, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 0, 4), cases[i].error, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_CODE, "%zu", i);
    }
}

/* A call gate for level 3 with two parameters. */
Test(system, call_gate_to_inner_level_and_back)
{
    guest_enter_protected(&guest, 3);
    guest_set_descriptor(&guest, SEL_GATE,
                         (uint64_t)SEL_CODE32 << 16 | (GUEST_DATA & 0xffff) | 0xec02ull << 32);
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest_write(&guest, GUEST_DATA + 1, 0x0008ca, 3); /* retf 8 */
    guest.cpu->gpr[REG_RSP] = GUEST_STACK - 8;
    guest_write(&guest, GUEST_STACK - 8, 0x1111, 4);
    guest_write(&guest, GUEST_STACK - 4, 0x2222, 4);
    cr_assert_eq(GUEST_RUN(&guest, 0x9a, 0, 0, 0, 0, SEL_GATE | 3, 0, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->cpl, 0);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 24);
    cr_expect_eq(guest_stack(&guest, 0, 4), GUEST_CODE + 7);
    cr_expect_eq(guest_stack(&guest, 1, 4), SEL_USER_CODE32 | 3);
    cr_expect_eq(guest_stack(&guest, 2, 4), 0x1111);
    cr_expect_eq(guest_stack(&guest, 3, 4), 0x2222);
    cr_expect_eq(guest_stack(&guest, 4, 4), GUEST_STACK - 8);
    cr_expect_eq(guest_stack(&guest, 5, 4), SEL_USER_DATA | 3);

    guest.cpu->halted = false;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP, "the HLT after the call");
    cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_CODE + 7);
    cr_expect_eq(guest_stack(&guest, 4, 4), GUEST_STACK, "both stacks release the parameters");
}

Test(system, call_gate_in_long_mode)
{
    guest_enter_long(&guest, 3);
    guest_set_descriptor(&guest, SEL_GATE,
                         (uint64_t)SEL_CODE64 << 16 | (GUEST_DATA & 0xffff) | 0xec00ull << 32);
    guest_write(&guest, GUEST_GDT + SEL_GATE + 8, 0, 8);
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest_write(&guest, GUEST_DATA + 0x100, 0, 4);
    guest_write(&guest, GUEST_DATA + 0x104, SEL_GATE | 3, 2);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA + 0x100;
    /* call far [rbx] */
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0x1b), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 32);
    cr_expect_eq(guest_stack(&guest, 0, 8), GUEST_CODE + 2);
    cr_expect_eq(guest_stack(&guest, 1, 8), SEL_USER_CODE64 | 3);
    cr_expect_eq(guest_stack(&guest, 2, 8), GUEST_STACK);
    cr_expect_eq(guest_stack(&guest, 3, 8), SEL_USER_DATA | 3);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, 0);
}

Test(system, real_mode_far_call)
{
    guest_write(&guest, GUEST_DATA + 0x10, 0xcb, 1);
    /* call 0c00:0010; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x9a, 0x10, 0, 0, 0x0c, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 6);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], 0xfff0);
    cr_expect_eq(guest_read(&guest, 0xffee, 2), 0);
    cr_expect_eq(guest_read(&guest, 0xffec, 2), GUEST_CODE + 5);
}

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
