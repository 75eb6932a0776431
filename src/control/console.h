/* A monitor that shares the serial port's terminal with the guest: Ctrl-A c switches the keys
 * between them. What is typed is edited here, as the terminal is raw.
 *
 * The loop's thread, without the bus lock. */
#ifndef DOPPEL_CONTROL_CONSOLE_H
#define DOPPEL_CONTROL_CONSOLE_H

struct bus;
struct chardev;
struct commands_context;
struct console;

/* chardev is the serial port's; it and the context outlive the console. NULL: no memory. */
struct console *console_create(struct chardev *chardev, struct bus *bus,
                               struct commands_context *context);
void console_destroy(struct console *console);

#endif
