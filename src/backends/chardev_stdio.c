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
    static const char first[] = "\r\n"
                                "Ctrl-A x       end Doppel\r\n"
                                "Ctrl-A b       send a break to the guest\r\n";
    static const char share[] = "Ctrl-A c       switch between the guest and the monitor\r\n";
    static const char last[] = "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n"
                               "Ctrl-A h       show these keys\r\n";
    bus_lock(chardev->bus);
    chardev_write(chardev, (const uint8_t *)first, sizeof(first) - 1);
    if (chardev->sharer.typed)
        chardev_write(chardev, (const uint8_t *)share, sizeof(share) - 1);
    chardev_write(chardev, (const uint8_t *)last, sizeof(last) - 1);
    bus_unlock(chardev->bus);
}

static void send_break(struct chardev *chardev)
{
    bus_lock(chardev->bus);
    if (chardev->receiver.receive_break)
        chardev->receiver.receive_break(chardev->receiver.opaque);
    bus_unlock(chardev->bus);
}

static void switch_keys(struct chardev *chardev)
{
    chardev->switched = !chardev->switched;
    chardev->sharer.switched(chardev->sharer.opaque, chardev->switched);
}

/* What follows Ctrl-A, Ctrl-A itself aside. */
static void execute(struct chardev *chardev, uint8_t key)
{
    if (key == 'x' && chardev->quit)
        chardev->quit(chardev->opaque);
    else if (key == 'b')
        send_break(chardev);
    else if (key == 'c' && chardev->sharer.switched)
        switch_keys(chardev);
    else if (key == 'h')
        print_help(chardev);
}

static size_t stdio_filter(struct chardev *chardev, uint8_t *bytes, size_t count)
{
    if (!chardev->in_is_terminal)
        return count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t key = bytes[i];
        bool escaped = chardev->escaped;
        chardev->escaped = !escaped && key == CTRL_A;
        if (chardev->escaped)
            continue;
        if (escaped && key != CTRL_A)
            execute(chardev, key);
        else if (chardev->switched)
            chardev->sharer.typed(chardev->sharer.opaque, &key, 1);
        else
            bytes[kept++] = key;
    }
    return kept;
}

const struct chardev_kind chardev_stdio = {
    .name = "stdio",
    .open = stdio_open,
    .close = stdio_close,
    .filter = stdio_filter,
};
