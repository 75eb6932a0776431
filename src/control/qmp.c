#include "control/qmp.h"

#include <string.h>
#include <time.h>

/* The version of QEMU whose protocol and machine these are: clients look at it. */
#define QEMU_MAJOR 7
#define QEMU_MINOR 2

/* --- Answers. Without memory there is none. */

static void send_message(struct qmp *qmp, json_t *message)
{
    char *text = json_dumps(message, JSON_ENSURE_ASCII);
    if (text) {
        qmp->config.write(qmp->config.out, text, strlen(text));
        qmp->config.write(qmp->config.out, "\r\n", 2);
    }
    free(text);
    json_decref(message);
}

/* Either value or, where it is NULL, error. Both id and value may be somebody's. */
static void answer(struct qmp *qmp, json_t *id, json_t *value, const struct qmp_error *error)
{
    json_t *message = value ? json_pack("{s:o}", "return", value)
                            : json_pack("{s:{s:s, s:s}}", "error", "class",
                                        error->class ? error->class : "GenericError", "desc",
                                        error->message.text);
    if (message && id)
        json_object_set(message, "id", id);
    if (message)
        send_message(qmp, message);
}

static void refuse(struct qmp *qmp, const char *why)
{
    struct qmp_error error = {.class = NULL};
    error_format(&error.message, "%s", why);
    answer(qmp, NULL, NULL, &error);
}

json_t *qmp_version(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "micro", 0, "minor", QEMU_MINOR, "major",
                     QEMU_MAJOR, "package", "Doppel " DOPPEL_VERSION);
}

json_t *qmp_list_commands(const struct qmp_command *commands, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s}", "name", commands[i].name));
    return list;
}

void qmp_open(struct qmp *qmp, const struct qmp_config *config)
{
    memset(qmp, 0, offsetof(struct qmp, text));
    qmp->config = *config;
    json_t *greeting =
        json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_version(), "capabilities");
    if (greeting)
        send_message(qmp, greeting);
}

void qmp_send_event(struct qmp *qmp, const char *name, json_t *data)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_t *event = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
                              "microseconds", (json_int_t)(now.tv_nsec / 1000), "event", name);
    if (data)
        json_object_set_new(event, "data", data);
    if (qmp->negotiated && event)
        send_message(qmp, event);
    else
        json_decref(event);
}

/* --- Execution. */

static bool is_of_kind(const json_t *value, enum qmp_kind kind)
{
    switch (kind) {
    case QMP_STRING:
        return json_is_string(value);
    case QMP_INTEGER:
        return json_is_integer(value);
    case QMP_BOOLEAN:
        return json_is_boolean(value);
    default:
        return json_is_array(value);
    }
}

static bool has_argument(const struct qmp_command *command, const char *name)
{
    for (unsigned i = 0; i < QMP_ARGUMENTS_MAX && command->arguments[i].name; i++) {
        if (!strcmp(command->arguments[i].name, name))
            return true;
    }
    return false;
}

static bool check_arguments(const struct qmp_command *command, json_t *arguments,
                            struct qmp_error *error)
{
    static const char *const kinds[] = {"string", "integer", "boolean", "array"};
    for (unsigned i = 0; i < QMP_ARGUMENTS_MAX && command->arguments[i].name; i++) {
        const struct qmp_argument *argument = &command->arguments[i];
        json_t *value = json_object_get(arguments, argument->name);
        if (!value && !argument->optional)
            return error_set(&error->message, "Parameter '%s' is missing", argument->name);
        if (value && !is_of_kind(value, argument->kind))
            return error_set(&error->message, "Invalid parameter type for '%s', expected: %s",
                             argument->name, kinds[argument->kind]);
    }
    const char *name;
    json_t *value;
    json_object_foreach(arguments, name, value)
    {
        if (!has_argument(command, name))
            return error_set(&error->message, "Parameter '%.100s' is unexpected", name);
    }
    return true;
}

static json_t *negotiate(struct qmp *qmp, json_t *arguments, struct qmp_error *error)
{
    static const struct qmp_command command = {
        .name = "qmp_capabilities",
        .arguments = {{"enable", QMP_LIST, true}},
    };
    if (qmp->negotiated) {
        error->class = "CommandNotFound";
        error_format(&error->message,
                     "Capabilities negotiation is already complete, command ignored");
        return NULL;
    }
    if (!check_arguments(&command, arguments, error))
        return NULL;
    if (json_array_size(json_object_get(arguments, "enable"))) {
        error_format(&error->message, "None of the capabilities that 'enable' names is available");
        return NULL;
    }
    qmp->negotiated = true;
    return json_object();
}

static json_t *execute(struct qmp *qmp, const char *name, json_t *arguments,
                       struct qmp_error *error)
{
    const struct qmp_config *config = &qmp->config;
    if (!strcmp(name, "qmp_capabilities"))
        return negotiate(qmp, arguments, error);
    error->class = "CommandNotFound";
    if (!qmp->negotiated) {
        error_format(&error->message, "Expecting capabilities negotiation with 'qmp_capabilities'");
        return NULL;
    }
    for (size_t i = 0; i < config->count; i++) {
        const struct qmp_command *command = &config->commands[i];
        if (strcmp(command->name, name) != 0)
            continue;
        error->class = NULL;
        return check_arguments(command, arguments, error)
                   ? command->execute(config->opaque, arguments, error)
                   : NULL;
    }
    error_format(&error->message, "The command %.100s has not been found", name);
    return NULL;
}

static bool check_message(json_t *message, struct error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(message, name, value)
    {
        if (!strcmp(name, "execute")) {
            if (!json_is_string(value))
                return error_set(error, "QMP input member 'execute' must be a string");
        } else if (!strcmp(name, "arguments")) {
            if (!json_is_object(value))
                return error_set(error, "QMP input member 'arguments' must be an object");
        } else if (strcmp(name, "id") != 0) {
            return error_set(error, "QMP input member '%.100s' is unexpected", name);
        }
    }
    return json_object_get(message, "execute") ||
           error_set(error, "QMP input lacks member 'execute'");
}

static void execute_message(struct qmp *qmp, json_t *message)
{
    struct qmp_error error = {.class = NULL};
    if (!json_is_object(message)) {
        refuse(qmp, "QMP input must be a JSON object");
        return;
    }
    json_t *id = json_object_get(message, "id"), *value = NULL;
    if (check_message(message, &error.message)) {
        json_t *given = json_object_get(message, "arguments");
        json_t *arguments = given ? json_incref(given) : json_object();
        value =
            execute(qmp, json_string_value(json_object_get(message, "execute")), arguments, &error);
        json_decref(arguments);
    }
    answer(qmp, id, value, &error);
}

static void parse_message(struct qmp *qmp)
{
    json_error_t reason;
    json_t *message =
        json_loadb(qmp->text, qmp->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &reason);
    if (message) {
        execute_message(qmp, message);
        json_decref(message);
        return;
    }
    struct qmp_error error = {.class = NULL};
    error_format(&error.message, "JSON parse error, %s", reason.text);
    answer(qmp, NULL, NULL, &error);
}

/* --- Reading. A message is an object or a list with all that is in it, or what else there is up to
 * white space. */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether the message ends with c, which has been added to it. */
static bool ends_message(struct qmp *qmp, char c)
{
    if (qmp->in_string) {
        if (!qmp->escaped && c == '"')
            qmp->in_string = false;
        qmp->escaped = !qmp->escaped && c == '\\';
        return c == '\n'; /* no string has one: something is wrong */
    }
    if (c == '"')
        qmp->in_string = true;
    else if (c == '{' || c == '[')
        qmp->depth++;
    else if (c == '}' || c == ']')
        return qmp->depth <= 1 || !--qmp->depth;
    return !qmp->depth && is_space(c);
}

static void begin_message(struct qmp *qmp)
{
    qmp->in_string = qmp->escaped = false;
    qmp->depth = 0;
    qmp->length = 0;
}

/* Returns whether something has been answered. */
static bool take(struct qmp *qmp, char c)
{
    if (qmp->skipping) {
        qmp->skipping = c != '\n';
        return false;
    }
    if (!qmp->length && is_space(c))
        return false;
    qmp->text[qmp->length++] = c;
    bool ended = ends_message(qmp, c);
    if (ended) {
        parse_message(qmp);
    } else if (qmp->depth > QMP_DEPTH_MAX || qmp->length == sizeof(qmp->text)) {
        refuse(qmp, qmp->depth > QMP_DEPTH_MAX ? "JSON nesting depth limit exceeded"
                                               : "JSON message size limit exceeded");
        qmp->skipping = ended = true;
    }
    if (ended)
        begin_message(qmp);
    return ended;
}

size_t qmp_receive(struct qmp *qmp, const char *bytes, size_t count)
{
    size_t taken = 0;
    while (taken < count && !take(qmp, bytes[taken++]))
        ;
    return taken;
}
