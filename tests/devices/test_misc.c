#include "backends/chardev.h"
#include "devices/char/debugcon.h"
#include "devices/misc/debug_exit.h"
#include "devices/misc/fpu_error.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/port92.h"
#include "devices/misc/reset_control.h"
#include "pipes.h"

#include <string.h>

struct lines {
    bool level[32];
    unsigned rises[32];
};

static void set_line(void *opaque, unsigned input, bool level)
{
    struct lines *lines = opaque;
    lines->rises[input] += level && !lines->level[input];
    lines->level[input] = level;
}

static struct bus *bus_with(enum bus_space space, uint64_t base, uint64_t size,
                            const struct bus_ops *ops, void *device)
{
    struct bus *bus = bus_create();
    const char *other;
    cr_assert(bus_map(bus, space, base, size, ops, device, &other));
    return bus;
}

Test(misc, debugcon_shows_text_and_that_it_is_there)
{
    struct pipes pipes = pipes_open();
    struct loop *loop = loop_create();
    struct bus *bus = bus_create();
    struct error error;
    struct chardev *chardev = chardev_create("stdio", loop, bus, NULL, NULL, &error);
    const char *other;
    char text[16];
    cr_assert(bus_map(bus, BUS_PORT, 0xe9, 1, &debugcon_ops, chardev, &other));
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe9, 1), 0xe9);
    for (const char *p = "debug"; *p; p++)
        bus_write(bus, BUS_PORT, 0xe9, (uint8_t)*p, 1);
    settle(loop);
    pipes_read(&pipes, text, sizeof(text));
    cr_assert_str_eq(text, "debug");
    chardev_destroy(chardev);
    bus_destroy(bus);
    loop_destroy(loop);
}

static void note_exit(void *opaque, int status)
{
    *(int *)opaque = status;
}

Test(misc, debug_exit_status)
{
    int status = -1;
    struct debug_exit debug_exit = {note_exit, &status};
    struct bus *bus = bus_with(BUS_PORT, 0xf4, 4, &debug_exit_ops, &debug_exit);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xf4, 1), 0);
    cr_assert_eq(status, -1);
    bus_write(bus, BUS_PORT, 0xf4, 0x10, 4);
    cr_assert_eq(status, 0x21);
    bus_write(bus, BUS_PORT, 0xf4, 0, 1);
    cr_assert_eq(status, 1);
    bus_write(bus, BUS_PORT, 0xf4, 0xffffffff, 4);
    cr_assert_eq(status, 0xff);
    bus_destroy(bus);
}

Test(misc, port92_drives_a20_and_reset)
{
    struct lines lines = {0};
    struct port92 port92 = {.a20 = {set_line, &lines, 0}, .reset = {set_line, &lines, 1}};
    struct bus *bus = bus_with(BUS_PORT, 0x92, 1, &port92_ops, &port92);
    bus_write(bus, BUS_PORT, 0x92, 2, 1);
    cr_assert(lines.level[0]);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0x92, 1), 2);
    bus_write(bus, BUS_PORT, 0x92, 3, 1);
    bus_write(bus, BUS_PORT, 0x92, 3, 1);
    cr_assert_eq(lines.rises[1], 1, "only its change resets");
    port92_reset(&port92);
    cr_assert(!lines.level[0]);
    bus_write(bus, BUS_PORT, 0x92, 1, 1);
    cr_assert_eq(lines.rises[1], 2);
    bus_destroy(bus);
}

Test(misc, reset_control_resets_on_bit_2s_change)
{
    struct lines lines = {0};
    struct reset_control control = {.reset = {set_line, &lines, 0}};
    struct bus *bus = bus_with(BUS_PORT, 0xcf9, 1, &reset_control_ops, &control);
    bus_write(bus, BUS_PORT, 0xcf9, 2, 1);
    cr_assert_eq(lines.rises[0], 0);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xcf9, 1), 2);
    bus_write(bus, BUS_PORT, 0xcf9, 6, 1);
    bus_write(bus, BUS_PORT, 0xcf9, 6, 1);
    cr_assert_eq(lines.rises[0], 1);
    reset_control_reset(&control);
    bus_write(bus, BUS_PORT, 0xcf9, 0xff, 1);
    cr_assert_eq(lines.rises[0], 2);
    bus_destroy(bus);
}

Test(misc, fpu_error)
{
    enum { IRQ, IGNNE };
    struct lines lines = {0};
    struct fpu_error error = {{set_line, &lines, IRQ}, {set_line, &lines, IGNNE}, false};
    struct bus *bus = bus_with(BUS_PORT, FPU_ERROR_PORT, 1, &fpu_error_ops, &error);
    bus_write(bus, BUS_PORT, FPU_ERROR_PORT, 0, 1);
    cr_assert(!lines.level[IRQ] && !lines.level[IGNNE], "not without FERR#");
    fpu_error_set_ferr(&error, 0, true);
    cr_assert(lines.level[IRQ] && !lines.level[IGNNE]);
    bus_write(bus, BUS_PORT, FPU_ERROR_PORT, 0, 1);
    cr_assert(!lines.level[IRQ] && lines.level[IGNNE]);
    fpu_error_set_ferr(&error, 0, true);
    cr_assert(!lines.level[IRQ], "only the edge counts");
    fpu_error_set_ferr(&error, 0, false);
    cr_assert(!lines.level[IGNNE]);
    fpu_error_set_ferr(&error, 0, true);
    cr_assert(lines.level[IRQ]);
    fpu_error_reset(&error);
    cr_assert(!lines.level[IRQ] && !lines.level[IGNNE]);
    bus_destroy(bus);
}

Test(misc, pc_testdev)
{
    struct lines lines = {0};
    struct irq_line wires[PC_TESTDEV_LINES];
    const char *other;
    for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
        wires[i] = (struct irq_line){set_line, &lines, i};
    struct pc_testdev *testdev = pc_testdev_create(wires);
    struct bus *bus = bus_with(BUS_PORT, 0xe0, 4, &pc_testdev_port_ops, testdev);
    cr_assert(bus_map(bus, BUS_PORT, 0xe4, 4, &pc_testdev_flush_ops, testdev, &other));
    cr_assert(bus_map(bus, BUS_PORT, 0xe8, 4, &pc_testdev_byte_ops, testdev, &other));
    cr_assert(bus_map(bus, BUS_PORT, 0x2000, 24, &pc_testdev_irq_ops, testdev, &other));
    cr_assert(bus_map(bus, BUS_MMIO, 0xff000000, PC_TESTDEV_MEMORY, &pc_testdev_memory_ops, testdev,
                      &other));

    bus_write(bus, BUS_PORT, 0xe0, 0x44332211, 4);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe2, 2), 0x4433);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe1, 1), 0x22);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe8, 4), 0x44332211);
    bus_write(bus, BUS_PORT, 0xea, 0x99, 1);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe0, 4), 0x44992211);
    bus_write(bus, BUS_PORT, 0xe4, 0xfffff000, 4);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe0, 4), 0x44992211);

    bus_write(bus, BUS_PORT, 0x2017, 1, 1);
    bus_write(bus, BUS_PORT, 0x2005, 0x80, 1);
    cr_assert(lines.level[23] && lines.level[5]);
    bus_write(bus, BUS_PORT, 0x2005, 0, 1);
    cr_assert(!lines.level[5]);

    bus_write(bus, BUS_MMIO, 0xff000ff8, 0x1122334455667788, 8);
    cr_assert_eq(bus_read(bus, BUS_MMIO, 0xff000ffc, 4), 0x11223344);
    bus_write(bus, BUS_MMIO, 0xff00ffff, 0x5a, 1);
    cr_assert_eq(bus_read(bus, BUS_MMIO, 0xff00ffff, 1), 0x5a);

    pc_testdev_reset(testdev);
    cr_assert(!lines.level[23]);
    cr_assert_eq(bus_read(bus, BUS_PORT, 0xe0, 4), 0);
    cr_assert_eq(bus_read(bus, BUS_MMIO, 0xff00ffff, 1), 0);
    pc_testdev_destroy(testdev);
    bus_destroy(bus);
}
