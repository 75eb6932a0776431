#include "cli/qemu_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool keep_target(const struct qemu_parser *parser, struct qemu_target *target,
                        const char *kind, const char *rest, bool waits, struct error *error)
{
    char spec[512];
    if ((size_t)snprintf(spec, sizeof(spec), "%s%s", kind, rest) >= sizeof(spec))
        return error_set(error, "%.100s...: is too long", rest);
    *target = (struct qemu_target){qemu_keep(parser, spec, error), waits};
    return target->spec;
}

/* A socket that listens; waits unless told not to. */
static bool take_server(struct qemu_params *params, bool *waits, struct error *error)
{
    bool server = false;
    *waits = true;
    if (!qemu_params_take_switch(params, "server", &server, error) ||
        !qemu_params_take_switch(params, "wait", waits, error))
        return false;
    return server ||
           error_set(error, "%s: only a socket that listens is offered: server=on", params->option);
}

/* "unix:PATH,server=on,wait=off" and "tcp:HOST:PORT,...". */
static bool parse_socket(const struct qemu_parser *parser, const char *option, const char *text,
                         struct qemu_target *target, struct error *error)
{
    struct qemu_params params;
    bool waits;
    if (!qemu_params_parse(&params, option, text, "target", error))
        return false;
    const char *address = qemu_params_take(&params, "target");
    bool ok = address && take_server(&params, &waits, error) && qemu_params_end(&params, error) &&
              keep_target(parser, target, "", address, waits, error);
    qemu_params_free(&params);
    return ok;
}

static bool find_chardev(const struct qemu_parser *parser, const char *option, const char *id,
                         struct qemu_target *target, struct error *error)
{
    for (unsigned i = 0; i < parser->chardev_count; i++) {
        if (!strcmp(parser->chardevs[i].id, id)) {
            *target = parser->chardevs[i].target;
            return true;
        }
    }
    return error_set(error, "%s chardev:%s: there is no such -chardev", option, id);
}

static bool parse_target(struct qemu_parser *parser, const char *option, const char *text,
                         struct qemu_target *target, struct error *error)
{
    *target = (struct qemu_target){text, false};
    if (!strncmp(text, "mon:", 4)) {
        target->spec = text = text + 4;
        parser->with_monitor = true;
    }
    if (!strncmp(text, "chardev:", 8))
        return find_chardev(parser, option, text + 8, target, error);
    if (!strncmp(text, "unix:", 5) || !strncmp(text, "tcp:", 4))
        return parse_socket(parser, option, text, target, error);
    if (!strcmp(text, "null"))
        target->spec = "none";
    return !strcmp(target->spec, "none") || !strcmp(text, "stdio") || !strncmp(text, "file:", 5) ||
           error_set(error,
                     "%s %s: is not offered; there are stdio, file:PATH, null, none, "
                     "unix:PATH,server=on,wait=off and chardev:ID",
                     option, text);
}

/* --- Options. */

static bool take_socket(const struct qemu_parser *parser, struct qemu_params *params,
                        struct qemu_target *target, struct error *error)
{
    const char *path = qemu_params_take(params, "path");
    const char *host = qemu_params_take(params, "host");
    const char *port = qemu_params_take(params, "port");
    char address[256];
    bool waits;
    if (!take_server(params, &waits, error))
        return false;
    if (path)
        return keep_target(parser, target, "unix:", path, waits, error);
    if (!port)
        return error_set(error, "%s socket: needs path= or port=", params->option);
    snprintf(address, sizeof(address), "%s:%s", host ? host : "", port);
    return keep_target(parser, target, "tcp:", address, waits, error);
}

static bool take_backend(struct qemu_parser *parser, struct qemu_params *params,
                         struct qemu_target *target, struct error *error)
{
    const char *backend = qemu_params_take(params, "backend");
    bool mux = false;
    *target = (struct qemu_target){.waits = false};
    if (!qemu_params_take_switch(params, "mux", &mux, error))
        return false;
    qemu_params_take(params, "signal");
    if (backend && !strcmp(backend, "socket"))
        return take_socket(parser, params, target, error);
    if (backend && !strcmp(backend, "file")) {
        const char *path = qemu_params_take(params, "path");
        return path ? keep_target(parser, target, "file:", path, false, error)
                    : error_set(error, "%s file: needs path=", params->option);
    }
    parser->shared |= mux;
    if (backend && !strcmp(backend, "stdio"))
        target->spec = "stdio";
    else if (backend && !strcmp(backend, "null"))
        target->spec = "none";
    return target->spec ||
           error_set(error, "%s %s: is not offered; there are stdio, file, socket and null",
                     params->option, backend ? backend : "");
}

bool qemu_chardev(struct qemu_parser *parser, const char *option, const char *value,
                  struct error *error)
{
    struct qemu_params params;
    if (parser->chardev_count == QEMU_CHARDEVS_MAX)
        return error_set(error, "%s %s: there are too many", option, value);
    if (!qemu_params_parse(&params, option, value, "backend", error))
        return false;
    const char *id = qemu_params_take(&params, "id");
    struct qemu_target target;
    bool ok = id ? take_backend(parser, &params, &target, error) && qemu_params_end(&params, error)
                 : error_set(error, "%s %s: needs id=", option, value);
    if (ok && (id = qemu_keep(parser, id, error))) {
        parser->chardevs[parser->chardev_count].id = id;
        parser->chardevs[parser->chardev_count++].target = target;
    }
    qemu_params_free(&params);
    return ok && id;
}

bool qemu_add_stream(struct qemu_parser *parser, enum qemu_user user, const char *option,
                     const char *text, struct error *error)
{
    if (parser->stream_count == QEMU_STREAMS_MAX)
        return error_set(error, "%s %s: there are too many", option, text);
    const char *copy = qemu_keep(parser, text, error);
    unsigned i = parser->stream_count++;
    parser->streams[i].user = user;
    parser->streams[i].option = option;
    parser->streams[i].text = copy;
    return copy;
}

bool qemu_serial(struct qemu_parser *parser, const char *option, const char *value,
                 struct error *error)
{
    return qemu_add_stream(parser, QEMU_SERIAL, option, value, error);
}

bool qemu_debugcon(struct qemu_parser *parser, const char *option, const char *value,
                   struct error *error)
{
    return qemu_add_stream(parser, QEMU_DEBUGCON, option, value, error);
}

bool qemu_monitor(struct qemu_parser *parser, const char *option, const char *value,
                  struct error *error)
{
    return qemu_add_stream(parser, QEMU_MONITOR, option, value, error);
}

bool qemu_qmp(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    return qemu_add_stream(parser, QEMU_QMP, option, value, error);
}

bool qemu_mon(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    struct qemu_params params;
    char text[256];
    if (!qemu_params_parse(&params, option, value, "chardev", error))
        return false;
    const char *chardev = qemu_params_take(&params, "chardev");
    const char *mode = qemu_params_take(&params, "mode");
    bool control = mode && !strcmp(mode, "control"),
         ok = control || !mode || !strcmp(mode, "readline") ||
              error_set(error, "%s: mode=%s is not offered", option, mode);
    ok = ok && qemu_params_end(&params, error) &&
         (chardev || error_set(error, "%s %s: needs chardev=", option, value));
    snprintf(text, sizeof(text), "chardev:%s", chardev ? chardev : "");
    qemu_params_free(&params);
    return ok && qemu_add_stream(parser, control ? QEMU_QMP : QEMU_MONITOR, option, text, error);
}

/* "tcp:HOST:PORT", "tcp::PORT", "unix:PATH": gdb's socket always listens, and waits for nobody. */
bool qemu_gdb(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    struct qemu_params params;
    struct qemu_target target;
    bool on;
    if (!qemu_params_parse(&params, option, value, "target", error))
        return false;
    const char *address = qemu_params_take(&params, "target");
    bool ok = qemu_params_take_switch(&params, "server", &on, error) &&
              qemu_params_take_switch(&params, "wait", &on, error) &&
              qemu_params_end(&params, error);
    if (ok && address && !strncmp(address, "tcp:", 4)) {
        const char *port = strrchr(address, ':') + 1;
        size_t host = (size_t)(port - address) - 4;
        ok = (host <= 1 || !strncmp(address + 4, "localhost:", host) ||
              !strncmp(address + 4, "127.0.0.1:", host) ||
              error_set(error, "%s %s: is not offered; gdb is waited for at 127.0.0.1", option,
                        value)) &&
             keep_target(parser, &target, "tcp:", port, false, error);
    } else {
        ok = ok && keep_target(parser, &target, "", address ? address : "", false, error);
    }
    qemu_params_free(&params);
    if (ok)
        parser->options->run.vm.gdb = target.spec;
    return ok;
}

/* --- Putting together. */

static bool set_device(const char **place, const char *option, const struct qemu_target *target,
                       struct error *error)
{
    if (target->waits)
        return error_set(error, "%s: does not wait for a client; give wait=off", option);
    if (!strncmp(target->spec, "tcp:", 4))
        return error_set(error, "%s %s: is not offered; use a Unix socket", option, target->spec);
    *place = target->spec;
    return true;
}

static bool set_control(const char **place, bool *waits, const char *option,
                        const struct qemu_target *target, struct error *error)
{
    if (!strncmp(target->spec, "file:", 5))
        return error_set(error, "%s %s: is not offered", option, target->spec);
    bool none = !strcmp(target->spec, "none");
    if (!none && *place)
        return error_set(error, "%s %s: there can be one", option, target->spec);
    if (!none)
        *place = target->spec;
    *waits = target->waits;
    return true;
}

/* The first serial port is the only one. */
static bool set_serial(struct run_options *run, unsigned number, const char *option,
                       const struct qemu_target *target, struct error *error)
{
    if (number == 0)
        return set_device(&run->vm.serial, option, target, error);
    return !strcmp(target->spec, "none") ||
           error_set(error, "%s %s: there is one serial port", option, target->spec);
}

/* The monitor that the serial port has with it, or that uses the same chardev. */
static void share_terminal(const struct qemu_parser *parser)
{
    struct run_options *run = &parser->options->run;
    const char **monitor = &run->control.monitor;
    bool same = parser->shared && *monitor && !strcmp(*monitor, "stdio");
    if (!strcmp(run->vm.serial, "stdio") && (same || (parser->with_monitor && !*monitor)))
        *monitor = "serial";
}

bool qemu_connect_streams(struct qemu_parser *parser, struct error *error)
{
    struct run_options *run = &parser->options->run;
    unsigned serials = 0;
    for (unsigned i = 0; i < parser->stream_count; i++) {
        const char *option = parser->streams[i].option;
        struct qemu_target target;
        bool ok = parse_target(parser, option, parser->streams[i].text, &target, error);
        switch (parser->streams[i].user) {
        case QEMU_SERIAL:
            ok = ok && set_serial(run, serials++, option, &target, error);
            break;
        case QEMU_DEBUGCON:
            ok = ok && set_device(&run->vm.debugcon, option, &target, error);
            break;
        case QEMU_MONITOR:
            parser->monitored = true;
            ok = ok && set_control(&run->control.monitor, &run->control.monitor_waits, option,
                                   &target, error);
            break;
        case QEMU_QMP:
            ok = ok &&
                 set_control(&run->control.qmp, &run->control.qmp_waits, option, &target, error);
            break;
        }
        if (!ok)
            return false;
    }
    if (!serials) {
        run->vm.serial = parser->nographic ? "stdio" : "none";
        parser->with_monitor |= parser->nographic && !parser->monitored;
    }
    share_terminal(parser);
    return true;
}
