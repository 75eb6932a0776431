/* Packets executed on a CPU: registers, memory, breakpoints, watchpoints, steps. */
#include "system_guest.h"

#include "machine/gdb_session.h"
#include "machine/gdb_target.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Numbers that the target description gives. */
enum {
    RAX,
    RBX,
    RCX,
    RDX,
    RSI,
    RDI,
    RBP,
    RSP,
    RIP = 16,
    EFLAGS,
    CS,
    FCTRL = 32,
    FSTAT,
    MXCSR = 56,
    FS_BASE,
    CR0 = 76
};

static struct guest guest;
static struct gdb_session session;
static char *description;

static void set_up(void)
{
    guest_create(&guest);
    guest_enter_long(&guest, 0);
    description = gdb_target_describe();
    gdb_session_begin(&session, guest.cpu, description);
}

static void tear_down(void)
{
    gdb_session_end(&session);
    free(description);
    guest_destroy(&guest);
}

TestSuite(gdb_session, .init = set_up, .fini = tear_down);

static enum gdb_action execute(const char *packet)
{
    enum gdb_action action = gdb_session_execute(&session, packet, strlen(packet));
    if (session.reply.length < GDB_PACKET_MAX)
        session.reply.text[session.reply.length] = '\0';
    return action;
}

__attribute__((format(printf, 2, 3))) static void expect(const char *answer, const char *format,
                                                         ...)
{
    char packet[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(packet, sizeof(packet), format, arguments);
    va_end(arguments);
    cr_assert_eq(execute(packet), GDB_ANSWER);
    cr_assert_str_eq(session.reply.text, answer, "%s: %s", packet, session.reply.text);
}

/* Runs until something stops the CPU, and checks what gdb is told. */
static void expect_stop(const char *packet, const char *answer)
{
    enum gdb_action action = execute(packet);
    cr_assert(action == GDB_CONTINUE || action == GDB_STEP, "%s: %s", packet, session.reply.text);
    debug_go(guest.cpu, action == GDB_STEP);
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_DEBUG);
    gdb_session_describe_stop(&session);
    session.reply.text[session.reply.length] = '\0';
    cr_assert_str_eq(session.reply.text, answer);
}

#define PUT_CODE(...)                                                                              \
    do {                                                                                           \
        static const uint8_t code[] = {__VA_ARGS__};                                               \
        cr_assert(phys_write(guest.phys, GUEST_CODE, code, sizeof(code)));                         \
        guest.cpu->rip = GUEST_CODE;                                                               \
    } while (0)

Test(gdb_session, general_registers_are_read_and_written)
{
    guest.cpu->gpr[REG_RBX] = 0x1122334455667788;
    expect("8877665544332211", "p%x", RBX);
    expect("OK", "P%x=0102030405060708", RSP);
    cr_assert_eq(guest.cpu->gpr[REG_RSP], 0x0807060504030201);
    expect("OK", "P%x=d50c0000", EFLAGS);
    cr_assert_eq(guest.cpu->rflags, 0xcd7, "the fixed bit stays");
}

Test(gdb_session, all_registers_can_be_written_back)
{
    static char packet[GDB_PACKET_MAX];
    uint32_t mode = guest.cpu->mode;
    cr_assert_eq(execute("g"), GDB_ANSWER);
    snprintf(packet, sizeof(packet), "G7f%.8000s", session.reply.text + 2); /* low byte of RAX */
    cr_assert_eq(execute(packet), GDB_ANSWER);
    cr_assert_str_eq(session.reply.text, "OK");
    cr_assert_eq(guest.cpu->gpr[REG_RAX] & 0xff, 0x7f);
    cr_assert_eq(guest.cpu->mode, mode);
    packet[strlen(packet) - 2] = '\0';
    cr_assert_eq(execute(packet), GDB_ANSWER);
    cr_assert_str_eq(session.reply.text, "E01");
}

Test(gdb_session, what_a_processor_cannot_have_is_refused)
{
    uint64_t rflags = guest.cpu->rflags, cr0 = guest.cpu->cr0;
    expect("E16", "P%x=02000200", EFLAGS); /* VM */
    expect("E16", "P%x=20000000", CS);
    expect("E16", "P%x=ffff0100", MXCSR);
    expect("E16", "P%x=0000000000000100", FS_BASE); /* not canonical */
    expect("E16", "P%x=0000000000000000", CR0);     /* paging off in 64-bit mode */
    expect("E01", "p%x", gdb_register_count());
    expect("E01", "P%x=00", RAX);
    expect("E01", "P%x", RAX);
    cr_assert_eq(guest.cpu->rflags, rflags);
    cr_assert_eq(guest.cpu->cr0, cr0);
}

/* The host must not meet an unmasked exception when it runs the guest's next x87 instruction. */
Test(gdb_session, x87_exceptions_that_are_planted_are_the_guests)
{
    expect("OK", "P%x=00000000", FCTRL);
    expect("OK", "P%x=3f380000", FSTAT);
    expect("bfb80000", "p%x", FSTAT); /* ES and B follow */
    guest.cpu->cr0 |= CR0_NE;
    PUT_CODE(0xd9, 0xe8); /* FLD1 */
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_MF);
}

Test(gdb_session, memory_is_linear_and_never_a_devices)
{
    expect("OK", "M%x,4:01020304", GUEST_DATA);
    expect("01020304", "m%x,4", GUEST_DATA);
    expect("E14", "m%x,4", GUEST_UNMAPPED);
    expect("E14", "M%x,1:00", GUEST_UNMAPPED);
    expect("E14", "m8000000000000000,8");
    expect("E14", "mffffffffffffffff,ffffffffffffffff");
    expect("E01", "M%x,4:0102", GUEST_DATA);
    expect("E01", "m%x", GUEST_DATA);
    cr_assert_eq(execute("m1ffffe,10"), GDB_ANSWER);
    cr_assert_eq(session.reply.length, 4, "up to the page that is absent");
    cr_assert_eq(execute("m10000,ffffffff"), GDB_ANSWER);
    cr_assert_eq(session.reply.length, GDB_PACKET_MAX);
}

Test(gdb_session, code_that_is_written_runs_anew)
{
    PUT_CODE(0xb0, 0x01, 0xf4); /* MOV AL, 1; HLT */
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    expect("OK", "M%x,1:02", GUEST_CODE + 1);
    guest.cpu->rip = GUEST_CODE;
    guest.cpu->halted = false;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->gpr[REG_RAX] & 0xff, 2);
}

Test(gdb_session, breakpoints_stop_before_their_instruction)
{
    PUT_CODE(0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xf4); /* INC EAX, three times; HLT */
    guest.cpu->gpr[REG_RAX] = 0;
    execute("qSupported:swbreak+;hwbreak+");
    expect("OK", "Z0,%x,1", GUEST_CODE + 2);
    expect("OK", "Z1,%x,1", GUEST_CODE + 4);
    expect("OK", "Z1,%x,1", GUEST_CODE + 5); /* not an instruction's first byte */
    expect_stop("c", "T05thread:1;swbreak:;");
    cr_assert_eq(guest.cpu->gpr[REG_RAX], 1);
    expect_stop("vCont;c", "T05thread:1;swbreak:;");
    cr_assert_eq(guest.cpu->gpr[REG_RAX], 1);
    expect("OK", "z0,%x,1", GUEST_CODE + 2);
    expect_stop("vCont;c:1", "T05thread:1;hwbreak:;");
    cr_assert_eq(guest.cpu->gpr[REG_RAX], 2);
    expect("OK", "z1,%x,1", GUEST_CODE + 4);
    cr_assert_eq(execute("c"), GDB_CONTINUE);
    debug_go(guest.cpu, false);
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->gpr[REG_RAX], 3);
}

Test(gdb_session, steps_end_after_one_instruction_or_at_a_handler)
{
    PUT_CODE(0xff, 0xc0, 0x0f, 0x0b); /* INC EAX; UD2 */
    guest.cpu->gpr[REG_RAX] = 0;
    expect("OK", "Z0,%x,1", GUEST_CODE);
    expect_stop("s", "T05thread:1;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 2);
    cr_assert_eq(guest.cpu->gpr[REG_RAX], 1);
    expect_stop("vCont;s:1;c", "T05thread:1;");
    cr_assert_eq(guest.cpu->rip, GUEST_HANDLERS + 16 * VECTOR_UD);
    cr_assert_not(guest.cpu->halted);
    expect_stop("s8000", "T05thread:1;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 2);
}

Test(gdb_session, steps_take_no_interrupts)
{
    PUT_CODE(0x90, 0x90); /* NOP */
    guest.cpu->rflags |= FLAG_IF;
    cpu_request(guest.cpu, CPU_REQUEST_NMI);
    expect_stop("s", "T05thread:1;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 1);
    cr_assert_eq(execute("c"), GDB_CONTINUE);
    debug_go(guest.cpu, false);
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_NMI);
}

/* Code that touches EBX's target, and what a watchpoint on its 4 bytes tells. */
Test(gdb_session, watchpoints_stop_after_the_instruction)
{
    PUT_CODE(0x8b, 0x03,       /* MOV EAX, [RBX] */
             0x89, 0x43, 0x04, /* MOV [RBX + 4], EAX: beside it */
             0xff, 0x03,       /* INC DWORD [RBX] */
             0x88, 0x43, 0x03, /* MOV [RBX + 3], AL */
             0xf4);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    expect("OK", "Z3,%x,4", GUEST_DATA);
    expect_stop("c", "T05thread:1;rwatch:c000;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 2);
    expect("OK", "z3,%x,4", GUEST_DATA);
    expect("OK", "Z2,%x,4", GUEST_DATA);
    expect_stop("c", "T05thread:1;watch:c000;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 7);
    expect("OK", "z2,%x,4", GUEST_DATA);
    expect("OK", "Z4,%x,4", GUEST_DATA);
    expect_stop("s", "T05thread:1;awatch:c003;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 10);
}

Test(gdb_session, watchpoints_see_strings_and_pages_that_are_crossed)
{
    PUT_CODE(0xf3, 0xaa,       /* REP STOSB */
             0x48, 0x89, 0x03, /* MOV [RBX], RAX */
             0xf4);
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    guest.cpu->gpr[REG_RCX] = 100;
    guest.cpu->gpr[REG_RBX] = GUEST_DATA + 0xffc;
    expect("OK", "Z2,%x,1", GUEST_DATA + 10);
    expect_stop("c", "T05thread:1;watch:c00a;");
    cr_assert_eq(guest.cpu->gpr[REG_RCX], 89);
    expect("OK", "z2,%x,1", GUEST_DATA + 10);
    expect("OK", "Z2,%x,2", GUEST_DATA + 0x1002);
    expect_stop("c", "T05thread:1;watch:d002;");
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 5);
}

Test(gdb_session, sets_are_bounded)
{
    for (unsigned i = 0; i < DEBUG_BREAKPOINTS_MAX; i++)
        expect("OK", "Z0,%x,1", i);
    expect("E1c", "Z0,%x,1", DEBUG_BREAKPOINTS_MAX);
    expect("OK", "Z1,%x,1", 7); /* is there already */
    expect("OK", "z0,%x,1", 7);
    expect("E1c", "Z0,%x,1", DEBUG_BREAKPOINTS_MAX);
    expect("OK", "z1,%x,1", 7);
    expect("OK", "Z0,%x,1", DEBUG_BREAKPOINTS_MAX);
    for (unsigned i = 0; i < WATCH_MAX; i++)
        expect("OK", "Z4,%x,8", 8 * i);
    expect("E1c", "Z4,%x,8", 8 * WATCH_MAX);
    expect("E1c", "Z2,1000,0");
    expect("E1c", "Z2,ffffffffffffffff,2");
    expect("", "Z5,0,1");
}

Test(gdb_session, the_description_comes_in_parts)
{
    char packet[64];
    size_t offset = 0;
    bool last = false;
    while (!last) {
        snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,100", offset);
        cr_assert_eq(execute(packet), GDB_ANSWER);
        size_t length = session.reply.length - 1;
        cr_assert_arr_eq(session.reply.text + 1, description + offset, length);
        last = session.reply.text[0] == 'l';
        cr_assert_eq(session.reply.text[0], last ? 'l' : 'm');
        offset += length;
    }
    cr_assert_eq(offset, strlen(description));
    expect("l", "qXfer:features:read:target.xml:%zx,1", offset);
    expect("E01", "qXfer:features:read:target.xml:0");
}

Test(gdb_session, machine_wide_packets_are_the_callers)
{
    cr_assert_eq(execute("k"), GDB_KILL);
    cr_assert_eq(execute("D"), GDB_DETACH);
    cr_assert_eq(execute("qRcmd,71756974"), GDB_KILL); /* quit */
    cr_assert_eq(execute("qRcmd,73797374656d5f7265736574"), GDB_RESET);
    cr_assert_eq(execute("vCont;c:2;s:1"), GDB_STEP);
    expect("E01", "vCont;x");
    expect("E01", "vCont");
    expect("", "vMustReplyEmpty");
}
