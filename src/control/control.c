#include "control/control.h"

#include "control/commands.h"
#include "control/console.h"
#include "control/monitor.h"
#include "control/stream.h"

#include <stdlib.h>
#include <string.h>

struct control {
    struct vm_observer observer;
    struct commands_context context;
    struct stream *qmp_stream, *monitor_stream; /* or NULL */
    struct console *console;                    /* likewise */
    struct qmp qmp;
    struct monitor monitor;
};

/* --- Events. */

static json_t *describe_cause(enum vm_event event, enum vm_cause cause, enum vm_end end)
{
    static const char *const ends[] = {"guest-shutdown", "host-qmp-quit", "host-signal", "host-ui"};
    bool reset = event == VM_EVENT_RESET || end == VM_RESET;
    const char *reason = ends[cause];
    if (reset)
        reason = cause == VM_CAUSE_GUEST ? "guest-reset" : "host-qmp-system-reset";
    else if (end == VM_DIED)
        reason = "guest-panic";
    return json_pack("{s:b, s:s}", "guest", cause == VM_CAUSE_GUEST, "reason", reason);
}

static void on_event(void *opaque, enum vm_event event, enum vm_cause cause,
                     const struct vm_result *result)
{
    static const char *const names[] = {"STOP", "RESUME", "POWERDOWN", "RESET", "SHUTDOWN"};
    struct control *control = opaque;
    json_t *data = NULL;
    if (!control->qmp_stream)
        return;
    if (event == VM_EVENT_RESET || event == VM_EVENT_END)
        data = describe_cause(event, cause, result ? result->end : VM_ENDED);
    qmp_send_event(&control->qmp, names[event], data);
}

/* --- Connections. */

static void write_qmp(void *opaque, const char *bytes, size_t count)
{
    struct control *control = opaque;
    stream_write(control->qmp_stream, bytes, count);
}

static void open_qmp(void *opaque)
{
    struct control *control = opaque;
    struct qmp_config config = {.opaque = &control->context, .write = write_qmp, .out = control};
    config.commands = commands_table(&config.count);
    qmp_open(&control->qmp, &config);
}

static size_t receive_qmp(void *opaque, const char *bytes, size_t count)
{
    struct control *control = opaque;
    return qmp_receive(&control->qmp, bytes, count);
}

static void write_monitor(void *opaque, const char *bytes, size_t count)
{
    struct control *control = opaque;
    stream_write(control->monitor_stream, bytes, count);
}

static void open_monitor(void *opaque)
{
    struct control *control = opaque;
    monitor_open(&control->monitor);
}

static size_t receive_monitor(void *opaque, const char *bytes, size_t count)
{
    struct control *control = opaque;
    return monitor_receive(&control->monitor, bytes, count);
}

/* --- Life. */

/* Of a person: at a stream of its own, or with the serial port. */
static bool open_person(struct control *control, const struct control_config *config,
                        struct loop *loop, struct error *error)
{
    const struct stream_user user = {open_monitor, receive_monitor, control};
    struct vm *vm = control->context.vm;
    if (!config->monitor)
        return true;
    if (!strcmp(config->monitor, "serial")) {
        control->console = console_create(vm_serial(vm), vm_bus(vm), &control->context);
        return control->console || error_set(error, "--monitor serial: no memory");
    }
    control->monitor_stream =
        stream_create("--monitor", config->monitor, config->monitor_waits, &user, loop, error);
    return control->monitor_stream;
}

static bool open_streams(struct control *control, const struct control_config *config,
                         struct loop *loop, struct error *error)
{
    const struct stream_user qmp = {open_qmp, receive_qmp, control};
    if (config->qmp && !(control->qmp_stream = stream_create("--qmp", config->qmp,
                                                             config->qmp_waits, &qmp, loop, error)))
        return false;
    return open_person(control, config, loop, error);
}

struct control *control_create(const struct control_config *config, struct vm *vm,
                               struct loop *loop, struct error *error)
{
    struct control *control = calloc(1, sizeof(*control));
    if (!control) {
        error_format(error, "no memory for --qmp and --monitor");
        return NULL;
    }
    control->context = (struct commands_context){vm, config->name};
    control->monitor.context = &control->context;
    control->monitor.write = write_monitor;
    control->monitor.out = control;
    if (!open_streams(control, config, loop, error)) {
        control_destroy(control);
        return NULL;
    }
    control->observer = (struct vm_observer){.event = on_event, .opaque = control};
    vm_add_observer(vm, &control->observer);
    return control;
}

void control_destroy(struct control *control)
{
    if (!control)
        return;
    console_destroy(control->console);
    stream_destroy(control->monitor_stream);
    stream_destroy(control->qmp_stream);
    free(control);
}
