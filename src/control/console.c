#include "control/console.h"

#include "backends/chardev.h"
#include "bus/bus.h"
#include "control/monitor.h"

#include <stdlib.h>
#include <string.h>

enum { CTRL_U = 0x15, BACKSPACE = 0x08, DELETE = 0x7f };

struct console {
    struct chardev *chardev;
    struct bus *bus;
    struct monitor monitor;
    bool greeted;
    char line[MONITOR_LINE_MAX]; /* as it has been typed so far */
    size_t length;
    /* What has not gone to the terminal yet; bus lock. */
    char *output;
    size_t output_at, output_end;
};

/* --- Output: as much as the terminal's queue takes, the rest when it has room. */

static void flush(void *opaque)
{
    struct console *console = opaque;
    size_t count = console->output_end - console->output_at;
    size_t room = chardev_write_room(console->chardev);
    if (count > room)
        count = room;
    if (!count)
        return;
    chardev_write(console->chardev, (const uint8_t *)console->output + console->output_at, count);
    console->output_at += count;
}

/* What there is no memory for is lost. */
static void say(void *opaque, const char *bytes, size_t count)
{
    struct console *console = opaque;
    bus_lock(console->bus);
    size_t kept = console->output_end - console->output_at;
    char *output = malloc(kept + count);
    if (output) {
        if (kept)
            memcpy(output, console->output + console->output_at, kept);
        memcpy(output + kept, bytes, count);
        free(console->output);
        console->output = output;
        console->output_at = 0;
        console->output_end = kept + count;
        flush(console);
    }
    bus_unlock(console->bus);
}

static void say_text(struct console *console, const char *text)
{
    say(console, text, strlen(text));
}

/* --- Keys. */

static void erase(struct console *console)
{
    if (!console->length)
        return;
    console->length--;
    say_text(console, "\b \b");
}

static void enter(struct console *console)
{
    size_t count = console->length;
    console->line[count++] = '\n';
    console->length = 0;
    say_text(console, "\r\n");
    monitor_receive(&console->monitor, console->line, count);
}

static void type(struct console *console, char key)
{
    if (key == '\r' || key == '\n')
        enter(console);
    else if (key == BACKSPACE || key == DELETE)
        erase(console);
    else if (key == CTRL_U)
        while (console->length)
            erase(console);
    else if ((unsigned char)key >= ' ' && console->length < sizeof(console->line) - 2) {
        console->line[console->length++] = key;
        say(console, &key, 1);
    }
}

static void on_typed(void *opaque, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        type(opaque, (char)bytes[i]);
}

static void on_switched(void *opaque, bool on)
{
    struct console *console = opaque;
    say_text(console, "\r\n");
    if (on && !console->greeted) {
        console->greeted = true;
        monitor_open(&console->monitor);
    } else if (on) {
        say_text(console, MONITOR_PROMPT);
        say(console, console->line, console->length);
    }
}

struct console *console_create(struct chardev *chardev, struct bus *bus,
                               struct commands_context *context)
{
    struct console *console = calloc(1, sizeof(*console));
    if (!console)
        return NULL;
    console->chardev = chardev;
    console->bus = bus;
    console->monitor.context = context;
    console->monitor.write = say;
    console->monitor.out = console;
    bus_lock(bus);
    chardev_share(chardev, &(struct chardev_sharer){on_switched, on_typed, flush, console});
    bus_unlock(bus);
    return console;
}

void console_destroy(struct console *console)
{
    if (!console)
        return;
    bus_lock(console->bus);
    chardev_share(console->chardev, NULL);
    bus_unlock(console->bus);
    free(console->output);
    free(console);
}
