/* Standard input and output, and on a terminal the keys that are not the guest's. */
#include "backends/chardev_kind.h"
#include "bus/bus.h"
#include "host/terminal.h"

#include <fcntl.h>
#include <unistd.h>

enum { CTRL_A = 1 };

static bool stdio_open(struct chardev *chardev, const char *path, struct error *error)
{
    (void)path;
    bool has_input = fcntl(STDIN_FILENO, F_GETFD) >= 0,
         has_output = fcntl(STDOUT_FILENO, F_GETFD) >= 0;
    if (isatty(STDIN_FILENO)) {
        if (!terminal_enter_raw(STDIN_FILENO, error))
            return false;
        chardev->in_is_terminal = true;
    }
    chardev_connect(chardev, has_input ? STDIN_FILENO : -1, has_output ? STDOUT_FILENO : -1);
    return true;
}

static void stdio_close(struct chardev *chardev)
{
    if (chardev->in_is_terminal)
        terminal_leave_raw();
}

static void print_help(struct chardev *chardev)
{
    static const char help[] = "\r\n"
                               "Ctrl-A x       end Doppel\r\n"
                               "Ctrl-A b       send a break to the guest\r\n"
                               "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n"
                               "Ctrl-A h       show these keys\r\n";
    bus_lock(chardev->bus);
    chardev_write(chardev, (const uint8_t *)help, sizeof(help) - 1);
    bus_unlock(chardev->bus);
}

static void send_break(struct chardev *chardev)
{
    bus_lock(chardev->bus);
    if (chardev->receiver.receive_break)
        chardev->receiver.receive_break(chardev->receiver.opaque);
    bus_unlock(chardev->bus);
}

static size_t stdio_filter(struct chardev *chardev, uint8_t *bytes, size_t count)
{
    if (!chardev->in_is_terminal)
        return count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t key = bytes[i];
        if (!chardev->escaped) {
            chardev->escaped = key == CTRL_A;
            if (!chardev->escaped)
                bytes[kept++] = key;
            continue;
        }
        chardev->escaped = false;
        if (key == CTRL_A)
            bytes[kept++] = key;
        else if (key == 'x' && chardev->quit)
            chardev->quit(chardev->opaque);
        else if (key == 'b')
            send_break(chardev);
        else if (key == 'h')
            print_help(chardev);
    }
    return kept;
}

const struct chardev_kind chardev_stdio = {
    .name = "stdio",
    .open = stdio_open,
    .close = stdio_close,
    .filter = stdio_filter,
};
