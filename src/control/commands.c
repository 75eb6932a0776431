#include "control/commands.h"

#include "bus/clock.h"
#include "control/keys.h"
#include "control/media.h"
#include "control/memory_file.h"
#include "control/monitor.h"
#include "machine/vm.h"

#include <string.h>

#define NS_PER_MS 1000000ull
#define HOLD_MS_MAX 60000

static struct vm *vm_of(void *opaque)
{
    struct commands_context *context = opaque;
    return context->vm;
}

/* --- The guest's running. */

const char *commands_status(const struct vm *vm)
{
    static const char *const names[] = {"running", "prelaunch", "paused", "debug", "io-error"};
    return names[vm_status(vm)];
}

static json_t *stop(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    vm_stop(vm_of(opaque));
    return json_object();
}

static json_t *cont(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    vm_continue(vm_of(opaque));
    return json_object();
}

static json_t *system_reset(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    vm_reset(vm_of(opaque), VM_CAUSE_CONTROL);
    return json_object();
}

static json_t *system_powerdown(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    vm_press_power_button(vm_of(opaque));
    return json_object();
}

static json_t *quit(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    vm_end(vm_of(opaque), VM_CAUSE_CONTROL);
    return json_object();
}

/* --- Queries. */

static json_t *query_commands(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)opaque, (void)arguments, (void)error;
    size_t count;
    const struct qmp_command *table = commands_table(&count);
    return qmp_list_commands(table, count);
}

static json_t *query_version(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)opaque, (void)arguments, (void)error;
    return qmp_version();
}

static json_t *query_status(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    struct vm *vm = vm_of(opaque);
    return json_pack("{s:s, s:b, s:b}", "status", commands_status(vm), "singlestep", 0, "running",
                     vm_status(vm) == VM_RUNNING);
}

static json_t *query_name(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    struct commands_context *context = opaque;
    return context->name ? json_pack("{s:s}", "name", context->name) : json_object();
}

static json_t *query_cpus_fast(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    return json_pack("[{s:i, s:{s:i, s:i, s:i}, s:s, s:i, s:s}]", "thread-id",
                     vm_vcpu_thread(vm_of(opaque)), "props", "core-id", 0, "thread-id", 0,
                     "socket-id", 0, "qom-path", "/machine/unattached/device[0]", "cpu-index", 0,
                     "target", "x86_64");
}

/* --- Drives. */

static json_t *query_block(void *opaque, json_t *arguments, struct qmp_error *error)
{
    (void)arguments, (void)error;
    return media_describe(vm_of(opaque));
}

/* The drive's name, which clients give as `device` or `id`. */
static const char *drive_name(json_t *arguments, struct qmp_error *error)
{
    const char *device = json_string_value(json_object_get(arguments, "device"));
    const char *id = json_string_value(json_object_get(arguments, "id"));
    if (!device == !id)
        error_format(&error->message, "Need exactly one of 'device' and 'id'");
    return !device == !id ? NULL : device ? device : id;
}

static json_t *eject(void *opaque, json_t *arguments, struct qmp_error *error)
{
    const char *name = drive_name(arguments, error);
    bool force = json_is_true(json_object_get(arguments, "force"));
    return name && media_eject(vm_of(opaque), name, force, error) ? json_object() : NULL;
}

static json_t *change_medium(void *opaque, json_t *arguments, struct qmp_error *error)
{
    const char *name = drive_name(arguments, error);
    const char *file = json_string_value(json_object_get(arguments, "filename"));
    const char *format = json_string_value(json_object_get(arguments, "format"));
    const char *mode = json_string_value(json_object_get(arguments, "read-only-mode"));
    bool force = json_is_true(json_object_get(arguments, "force"));
    if (name && mode && strcmp(mode, "retain") != 0 && strcmp(mode, "read-only") != 0) {
        error_format(&error->message, "Parameter 'read-only-mode' does not accept value '%.100s'",
                     mode);
        return NULL;
    }
    return name && media_change(vm_of(opaque), name, file, format, force, error) ? json_object()
                                                                                 : NULL;
}

/* --- Memory. */

static json_t *save_memory(struct vm *vm, bool linear, json_t *arguments, struct qmp_error *error)
{
    json_int_t address = json_integer_value(json_object_get(arguments, "val"));
    json_int_t size = json_integer_value(json_object_get(arguments, "size"));
    const char *path = json_string_value(json_object_get(arguments, "filename"));
    bool done = size >= 0 ? memory_file_save(vm, linear, (uint64_t)address, (uint64_t)size, path,
                                             &error->message)
                          : error_set(&error->message, "Parameter 'size' expects a size");
    return done ? json_object() : NULL;
}

static json_t *pmemsave(void *opaque, json_t *arguments, struct qmp_error *error)
{
    return save_memory(vm_of(opaque), false, arguments, error);
}

static json_t *memsave(void *opaque, json_t *arguments, struct qmp_error *error)
{
    if (json_integer_value(json_object_get(arguments, "cpu-index"))) {
        error_format(&error->message, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    return save_memory(vm_of(opaque), true, arguments, error);
}

/* --- The screen. */

static json_t *screendump(void *opaque, json_t *arguments, struct qmp_error *error)
{
    static const char *const formats[] = {[IMAGE_PPM] = "ppm", [IMAGE_PNG] = "png"};
    const char *path = json_string_value(json_object_get(arguments, "filename"));
    const char *format = json_string_value(json_object_get(arguments, "format"));
    unsigned i = IMAGE_PPM;
    while (format && i < ARRAY_SIZE(formats) && strcmp(format, formats[i]) != 0)
        i++;
    if (i == ARRAY_SIZE(formats)) {
        error_format(&error->message, "Parameter 'format' does not accept value '%.100s'", format);
        return NULL;
    }
    return vm_screendump(vm_of(opaque), path, (enum image_format)i, &error->message) ? json_object()
                                                                                     : NULL;
}

/* --- Keys. */

/* {"type": "qcode", "data": NAME} or {"type": "number", "data": CODE}. */
static bool parse_key(json_t *value, uint8_t *key, struct error *error)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    json_t *data = json_object_get(value, "data");
    if (!type || !data)
        return error_set(error, "Parameter '%s' is missing", type ? "data" : "type");
    if (!strcmp(type, "qcode") && json_is_string(data)) {
        *key = keys_find(json_string_value(data), json_string_length(data));
        return *key || error_set(error, "Parameter 'data' does not accept value '%.100s'",
                                 json_string_value(data));
    }
    if (!strcmp(type, "number") && json_is_integer(data)) {
        json_int_t number = json_integer_value(data);
        *key = (uint8_t)number;
        return (number > 0 && number <= UINT8_MAX) ||
               error_set(error, "Parameter 'data' expects a key code");
    }
    return error_set(error, "Parameter 'type' does not accept value '%.100s'", type);
}

static bool parse_keys(json_t *list, uint8_t *keys, struct error *error)
{
    size_t i;
    json_t *value;
    if (json_array_size(list) > KEYS_MAX)
        return error_set(error, "Parameter 'keys' takes at most %u keys", KEYS_MAX);
    json_array_foreach(list, i, value)
    {
        if (!parse_key(value, &keys[i], error))
            return false;
    }
    return true;
}

static json_t *send_key(void *opaque, json_t *arguments, struct qmp_error *error)
{
    uint8_t keys[KEYS_MAX];
    json_t *list = json_object_get(arguments, "keys"),
           *hold = json_object_get(arguments, "hold-time");
    json_int_t ms = hold ? json_integer_value(hold) : MONITOR_HOLD_MS;
    if (!parse_keys(list, keys, &error->message))
        return NULL;
    if (ms < 0 || ms > HOLD_MS_MAX) {
        error_format(&error->message, "Parameter 'hold-time' expects 0 to %u ms", HOLD_MS_MAX);
        return NULL;
    }
    if (vm_type_keys(vm_of(opaque), keys, (unsigned)json_array_size(list),
                     (uint64_t)ms * NS_PER_MS))
        return json_object();
    error_format(&error->message, "Too many keys wait to be typed");
    return NULL;
}

/* --- The monitor. */

static json_t *human_monitor_command(void *opaque, json_t *arguments, struct qmp_error *error)
{
    json_t *line = json_object_get(arguments, "command-line");
    if (json_integer_value(json_object_get(arguments, "cpu-index"))) {
        error_format(&error->message, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    char *text = monitor_execute(opaque, json_string_value(line));
    json_t *answer = text ? json_string(text) : NULL;
    free(text);
    if (!answer)
        error_format(&error->message, "There is no memory for the answer");
    return answer;
}

static const struct qmp_command commands[] = {
    {"query-commands", query_commands, {{0}}},
    {"query-version", query_version, {{0}}},
    {"query-status", query_status, {{0}}},
    {"query-name", query_name, {{0}}},
    {"query-cpus-fast", query_cpus_fast, {{0}}},
    {"query-block", query_block, {{0}}},
    {"eject",
     eject,
     {{"device", QMP_STRING, true}, {"id", QMP_STRING, true}, {"force", QMP_BOOLEAN, true}}},
    {"blockdev-change-medium",
     change_medium,
     {{"device", QMP_STRING, true},
      {"id", QMP_STRING, true},
      {"filename", QMP_STRING, false},
      {"format", QMP_STRING, true},
      {"force", QMP_BOOLEAN, true},
      {"read-only-mode", QMP_STRING, true}}},
    {"stop", stop, {{0}}},
    {"cont", cont, {{0}}},
    {"system_reset", system_reset, {{0}}},
    {"system_powerdown", system_powerdown, {{0}}},
    {"quit", quit, {{0}}},
    {"pmemsave",
     pmemsave,
     {{"val", QMP_INTEGER, false}, {"size", QMP_INTEGER, false}, {"filename", QMP_STRING, false}}},
    {"memsave",
     memsave,
     {{"val", QMP_INTEGER, false},
      {"size", QMP_INTEGER, false},
      {"filename", QMP_STRING, false},
      {"cpu-index", QMP_INTEGER, true}}},
    {"screendump", screendump, {{"filename", QMP_STRING, false}, {"format", QMP_STRING, true}}},
    {"send-key", send_key, {{"keys", QMP_LIST, false}, {"hold-time", QMP_INTEGER, true}}},
    {"human-monitor-command",
     human_monitor_command,
     {{"command-line", QMP_STRING, false}, {"cpu-index", QMP_INTEGER, true}}},
};

const struct qmp_command *commands_table(size_t *count)
{
    *count = ARRAY_SIZE(commands);
    return commands;
}
