#include "backends/chardev.h"
#include "bus/clock.h"
#include "devices/char/uart16550.h"
#include "pipes.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RBR, THR = 0, DLL = 0, IER, DLM = 1, IIR, FCR = 2, LCR, MCR, LSR, MSR, SCR };

struct board {
    struct loop *loop;
    struct bus *bus;
    struct clock *clock;
    struct chardev *chardev;
    struct uart16550 *uart;
    struct pipes pipes;
    bool irq;
    unsigned edges;
};

static void set_irq(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    cr_assert_eq(input, 4);
    board->edges += level && !board->irq;
    board->irq = level;
}

static struct board *setup(void)
{
    struct board *board = calloc(1, sizeof(*board));
    struct error error;
    const char *other;
    board->pipes = pipes_open();
    board->loop = loop_create();
    board->bus = bus_create();
    board->clock = clock_create_manual();
    board->chardev = chardev_create("stdio", board->loop, board->bus, NULL, NULL, &error);
    cr_assert(board->chardev, "%s", error.text);
    board->uart = uart16550_create(&(struct uart16550_config){
        .clock = board->clock,
        .chardev = board->chardev,
        .irq = {.set = set_irq, .opaque = board, .input = 4},
    });
    cr_assert(bus_map(board->bus, BUS_PORT, 0x3f8, 8, &uart16550_ops, board->uart, &other));
    return board;
}

static void teardown(struct board *board)
{
    chardev_destroy(board->chardev);
    uart16550_destroy(board->uart);
    clock_destroy(board->clock);
    bus_destroy(board->bus);
    loop_destroy(board->loop);
    free(board);
}

static uint8_t in(struct board *board, unsigned offset)
{
    return (uint8_t)bus_read(board->bus, BUS_PORT, 0x3f8 + offset, 1);
}

static void out(struct board *board, unsigned offset, uint8_t value)
{
    bus_write(board->bus, BUS_PORT, 0x3f8 + offset, value, 1);
}

static void type(struct board *board, const char *text)
{
    size_t length = strlen(text);
    cr_assert_eq(write(board->pipes.to_input, text, length), (ssize_t)length);
    settle(board->loop);
}

static void step(struct board *board, uint64_t ns)
{
    bus_lock(board->bus);
    clock_step(board->clock, ns);
    bus_unlock(board->bus);
}

Test(uart, registers_after_reset)
{
    struct board *board = setup();
    cr_assert_eq(in(board, IER), 0);
    cr_assert_eq(in(board, IIR), 1);
    cr_assert_eq(in(board, LCR), 0);
    cr_assert_eq(in(board, MCR), 0);
    cr_assert_eq(in(board, LSR), 0x60);
    cr_assert_eq(in(board, MSR), 0xb0);
    out(board, SCR, 0xa5);
    out(board, IER, 0xff);
    out(board, MCR, 0xff);
    cr_assert_eq(in(board, SCR), 0xa5);
    cr_assert_eq(in(board, IER), 0x0f);
    cr_assert_eq(in(board, MCR), 0x1f);
    teardown(board);
}

Test(uart, the_divisor_latch_hides_data_and_ier)
{
    struct board *board = setup();
    out(board, IER, 5);
    out(board, LCR, 0x83);
    out(board, DLL, 0x34);
    out(board, DLM, 0x12);
    cr_assert_eq(in(board, DLL), 0x34);
    cr_assert_eq(in(board, DLM), 0x12);
    out(board, LCR, 3);
    cr_assert_eq(in(board, IER), 5);
    char text[8];
    settle(board->loop);
    cr_assert_eq(pipes_read(&board->pipes, text, sizeof(text)), 0);
    teardown(board);
}

Test(uart, transmits)
{
    struct board *board = setup();
    char text[16];
    for (const char *p = "hello\r\n"; *p; p++) {
        cr_assert(in(board, LSR) & 0x20);
        out(board, THR, (uint8_t)*p);
    }
    settle(board->loop);
    pipes_read(&board->pipes, text, sizeof(text));
    cr_assert_str_eq(text, "hello\r\n");
    teardown(board);
}

Test(uart, thre_interrupts_when_enabled_and_after_each_character)
{
    struct board *board = setup();
    out(board, MCR, 8);
    cr_assert(!board->irq);
    out(board, IER, 2);
    cr_assert(board->irq);
    cr_assert_eq(in(board, IIR), 2);
    cr_assert(!board->irq, "reading IIR takes the interrupt back");
    cr_assert_eq(in(board, IIR), 1);
    out(board, IER, 2);
    cr_assert(!board->irq, "enabled already");
    unsigned edges = board->edges;
    out(board, THR, 'a');
    out(board, THR, 'b');
    cr_assert(board->irq);
    cr_assert_eq(board->edges, edges + 2, "an edge for each");
    out(board, IER, 0);
    cr_assert(!board->irq);
    out(board, IER, 2);
    cr_assert_eq(in(board, IIR), 2);
    teardown(board);
}

Test(uart, out2_gates_the_line)
{
    struct board *board = setup();
    out(board, IER, 2);
    cr_assert(!board->irq);
    out(board, MCR, 8);
    cr_assert(board->irq);
    out(board, MCR, 0x18);
    cr_assert(!board->irq, "loopback holds OUT2 inactive");
    teardown(board);
}

Test(uart, receives_one_by_one_without_fifos)
{
    struct board *board = setup();
    out(board, IER, 1);
    out(board, MCR, 8);
    type(board, "abc");
    for (const char *p = "abc"; *p; p++) {
        cr_assert(board->irq);
        cr_assert_eq(in(board, IIR), 4);
        cr_assert_eq(in(board, LSR), 0x61);
        cr_assert_eq(in(board, RBR), *p);
        cr_assert(!board->irq);
        cr_assert_eq(in(board, LSR), 0x60);
        settle(board->loop);
    }
    cr_assert(!board->irq);
    cr_assert_eq(in(board, RBR), 'c', "an empty receiver repeats itself");
    teardown(board);
}

Test(uart, the_fifo_interrupts_at_its_trigger_level_or_after_four_characters_time)
{
    struct board *board = setup();
    out(board, LCR, 0x83);
    out(board, DLL, 1);
    out(board, LCR, 0x03);
    out(board, FCR, 0x81); /* trigger level 8 */
    out(board, IER, 1);
    out(board, MCR, 8);
    type(board, "1234567");
    cr_assert(!board->irq);
    cr_assert_eq(in(board, IIR), 0xc1);
    step(board, 340000); /* 40 bits at 115200 are 347 us */
    cr_assert(!board->irq);
    step(board, 10000);
    cr_assert(board->irq);
    cr_assert_eq(in(board, IIR), 0xcc);
    type(board, "8");
    cr_assert_eq(in(board, IIR), 0xc4);
    cr_assert_eq(in(board, RBR), '1');
    cr_assert(!board->irq, "below the level, and the timeout starts anew");
    step(board, 400000);
    cr_assert_eq(in(board, IIR), 0xcc);
    for (char c = '2'; c <= '8'; c++)
        cr_assert_eq(in(board, RBR), c);
    step(board, NS_PER_SECOND);
    cr_assert(!board->irq);
    teardown(board);
}

Test(uart, the_fifo_takes_sixteen_and_the_rest_waits)
{
    struct board *board = setup();
    char text[2] = {0};
    out(board, FCR, 0x01);
    type(board, "0123456789abcdefghijklmnopqrstuv");
    for (const char *p = "0123456789abcdefghijklmnopqrstuv"; *p; p++) {
        if (*p == 'g') /* sixteen are read without the loop running in between */
            settle(board->loop);
        cr_assert_eq(in(board, LSR) & 0x03, 1);
        text[0] = (char)in(board, RBR);
        cr_assert_eq(text[0], *p);
    }
    cr_assert_eq(in(board, LSR), 0x60);
    out(board, FCR, 0x01);
    type(board, "xyz");
    out(board, FCR, 0x03);
    cr_assert_eq(in(board, LSR), 0x60, "cleared");
    teardown(board);
}

Test(uart, loopback_overruns_at_sixteen)
{
    struct board *board = setup();
    out(board, FCR, 0x01);
    out(board, IER, 4);
    out(board, MCR, 0x10);
    for (unsigned i = 0; i < 20; i++)
        out(board, THR, (uint8_t)i);
    cr_assert_eq(in(board, IIR), 0xc6);
    cr_assert_eq(in(board, LSR), 0x63);
    cr_assert_eq(in(board, LSR), 0x61, "reading LSR clears the overrun");
    cr_assert_eq(in(board, IIR), 0xc1);
    for (unsigned i = 0; i < 16; i++)
        cr_assert_eq(in(board, RBR), i);
    cr_assert_eq(in(board, LSR), 0x60);
    type(board, "z");
    cr_assert_eq(in(board, LSR), 0x60, "the line is cut off");
    out(board, MCR, 0);
    settle(board->loop);
    cr_assert_eq(in(board, RBR), 'z');
    char text[8];
    cr_assert_eq(pipes_read(&board->pipes, text, sizeof(text)), 0);
    teardown(board);
}

Test(uart, a_break_is_an_error_of_its_own_character)
{
    struct board *board = setup();
    out(board, FCR, 0x01);
    out(board, MCR, 0x10);
    out(board, THR, 'a');
    out(board, LCR, 0x43);
    out(board, LCR, 0x03);
    out(board, THR, 'b');
    cr_assert_eq(in(board, LSR), 0xe1, "in the FIFO, but not at its top");
    cr_assert_eq(in(board, RBR), 'a');
    cr_assert_eq(in(board, LSR), 0xf1);
    cr_assert_eq(in(board, LSR), 0x61);
    cr_assert_eq(in(board, RBR), 0);
    cr_assert_eq(in(board, RBR), 'b');
    teardown(board);
}

Test(uart, loopback_shows_the_modem_outputs)
{
    struct board *board = setup();
    in(board, MSR);
    out(board, MCR, 0x10);
    cr_assert_eq(in(board, MSR), 0x0b, "three inputs have fallen");
    cr_assert_eq(in(board, MSR), 0x00);
    out(board, IER, 8);
    out(board, MCR, 0x14);
    cr_assert_eq(in(board, MSR), 0x40, "RI's rise does not count");
    cr_assert_eq(in(board, IIR), 1);
    out(board, MCR, 0x10);
    cr_assert_eq(in(board, IIR), 0);
    cr_assert_eq(in(board, MSR), 0x04);
    out(board, MCR, 0x13);
    cr_assert_eq(in(board, MSR), 0x33);
    teardown(board);
}

Test(uart, a_reader_that_stalls_holds_thre_back_but_not_for_ever)
{
    struct board *board = setup();
    unsigned written = 0;
    out(board, FCR, 0x01);
    for (; (in(board, LSR) & 0x20) && written < 1 << 20; written++) {
        out(board, THR, (uint8_t)('a' + written % 26));
        if (written % 1024 == 0)
            settle(board->loop);
    }
    cr_assert(written >= CHARDEV_QUEUE && written < 1 << 20);
    out(board, IER, 2);
    out(board, MCR, 8);
    cr_assert(!board->irq);
    step(board, 3 * NS_PER_SECOND);
    cr_assert(board->irq, "characters are lost rather than the guest");
    cr_assert_eq(in(board, IIR), 0xc2);
    out(board, THR, '!');
    cr_assert_eq(in(board, LSR), 0x60);

    static char text[1 << 20];
    size_t got = 0;
    for (int i = 0; i < 64; i++) {
        got += pipes_read(&board->pipes, text + got, sizeof(text) - got);
        settle(board->loop);
    }
    cr_assert_eq(got, written - 1, "the one in the transmitter was lost, and nothing before it");
    for (size_t i = 0; i < got; i++)
        cr_assert_eq(text[i], (char)('a' + i % 26));
    out(board, THR, '?');
    settle(board->loop);
    pipes_read(&board->pipes, text, sizeof(text));
    cr_assert_str_eq(text, "?");
    teardown(board);
}

Test(uart, room_brings_thre_back)
{
    struct board *board = setup();
    static char text[1 << 20];
    while (in(board, LSR) & 0x20) {
        out(board, THR, 'x');
        settle(board->loop);
    }
    out(board, IER, 2);
    out(board, MCR, 8);
    cr_assert(!board->irq);
    pipes_read(&board->pipes, text, sizeof(text));
    settle(board->loop);
    cr_assert(board->irq);
    teardown(board);
}

Test(uart, takes_whatever_a_guest_writes)
{
    struct board *board = setup();
    unsigned seed = (unsigned)time(NULL);
    cr_log_info("seed %u", seed);
    static char text[1 << 20];
    for (unsigned i = 0; i < 100000; i++) {
        unsigned what = (unsigned)rand_r(&seed), offset = what >> 8 & 7;
        switch (what & 7) {
        case 0:
            step(board, what % 5000000);
            break;
        case 1:
            if (write(board->pipes.to_input, &what, 1 + (what >> 12) % 4) < 0)
                abort();
            loop_run_once(board->loop, 0);
            break;
        case 2:
        case 3:
            in(board, offset);
            break;
        default:
            out(board, offset, (uint8_t)(what >> 16));
            break;
        }
        bool due = !(in(board, IIR) & 1);
        if (in(board, IIR) & 1) /* the first read may have taken THRE back */
            due = false;
        bool gate = (in(board, MCR) & 0x18) == 8;
        cr_assert_eq(board->irq, due && gate, "step %u", i);
        if (i % 1024 == 0) {
            pipes_read(&board->pipes, text, sizeof(text));
            settle(board->loop);
            struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
            while (poll(&fd, 1, 0) == 1 && (in(board, MCR) & 0x10 || !(in(board, LSR) & 1))) {
                out(board, MCR, 0);
                settle(board->loop);
            }
        }
    }
    uart16550_reset(board->uart);
    cr_assert(!board->irq);
    teardown(board);
}
