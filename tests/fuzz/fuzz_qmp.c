/* QMP and the monitor on random bytes, and on messages and lines drawn from what they know: no
 * crash or hang, and every answer is a JSON object. The guest is SeaBIOS, which never runs. */
#include "control/commands.h"
#include "control/control.h"
#include "control/monitor.h"
#include "control/qmp.h"
#include "fuzz/fuzz.h"
#include "host/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    struct commands_context context;
    struct qmp qmp;
    struct monitor monitor;
    char output[1 << 20];
    size_t length;
};

static void write_qmp(void *opaque, const char *bytes, size_t count)
{
    struct session *session = opaque;
    if (count > sizeof(session->output) - session->length)
        count = sizeof(session->output) - session->length;
    memcpy(session->output + session->length, bytes, count);
    session->length += count;
    if (count < 2 || memcmp(bytes, "\r\n", 2) != 0)
        return;
    json_error_t error;
    json_t *message = json_loadb(session->output, session->length, 0, &error);
    if (!json_is_object(message))
        fuzz_fail("an answer is no object: %s", error.text);
    json_decref(message);
    session->length = 0;
}

static void write_monitor(void *opaque, const char *bytes, size_t count)
{
    (void)opaque, (void)bytes, (void)count;
}

static struct session *the_session(void)
{
    static struct session *session;
    if (session)
        return session;
    struct vm_config config = {
        .firmware = "bios",
        .append = "",
        .memory = 16 << 20,
        .serial = "none",
        .start_stopped = true,
        .vga = true,
    };
    struct error error;
    session = calloc(1, sizeof(*session));
    session->context = (struct commands_context){vm_create(&config, loop_create(), &error), NULL};
    if (!session->context.vm) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    session->monitor.context = &session->context;
    session->monitor.write = write_monitor;
    return session;
}

static void send_qmp(struct session *session, const char *bytes, size_t count)
{
    for (size_t taken = 0; taken < count;)
        taken += qmp_receive(&session->qmp, bytes + taken, count - taken);
}

static void send_monitor(struct session *session, const char *bytes, size_t count)
{
    for (size_t taken = 0; taken < count;)
        taken += monitor_receive(&session->monitor, bytes + taken, count - taken);
}

/* Words by the input's bytes. */
static size_t draw(const char *const *words, size_t count, const uint8_t *data, size_t size,
                   char *text, size_t room)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        const char *word = words[data[i] % count];
        if (strlen(word) > room - length)
            break;
        memcpy(text + length, word, strlen(word));
        length += strlen(word);
    }
    return length;
}

static void draw_messages(struct session *session, const uint8_t *data, size_t size)
{
    static const char *const words[] = {
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        " ",
        "-",
        "1",
        "0",
        "99999999999",
        "1.5e3",
        "true",
        "null",
        "\"id\":",
        "\"execute\":",
        "\"arguments\":{",
        "\"stop\"",
        "\"cont\"",
        "{\"execute\":\"system_reset\"}",
        "{\"execute\":\"stop\"}",
        "{\"execute\":\"cont\"}",
        "{\"execute\":\"query-commands\"}",
        "{\"execute\":\"system_powerdown\"}",
        "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"",
        "info ",
        "registers",
        "mtree",
        "pci",
        "pic",
        "tlb",
        "x/",
        "xp ",
        "sendkey ",
        "ctrl-a",
        "\"}}",
        "{\"execute\":\"send-key\",\"arguments\":{\"keys\":[",
        "{\"type\":\"qcode\",\"data\":\"a\"}",
        "{\"type\":\"number\",\"data\":",
        "],\"hold-time\":",
        "]}}",
        "}]}}",
        "{\"execute\":\"memsave\",\"arguments\":{\"filename\":\"/dev/null\",\"val\":",
        "{\"execute\":\"pmemsave\",\"arguments\":{\"filename\":\"/dev/null\",\"val\":",
        ",\"size\":",
        "}}",
        "\xc3\xa9",
        "\\u0000",
        "\\ud800",
    };
    char text[16384];
    send_qmp(session, text, draw(words, ARRAY_SIZE(words), data, size, text, sizeof(text)));
}

static void draw_lines(struct session *session, const uint8_t *data, size_t size)
{
    static const char *const words[] = {
        "\n",    "\n",       "\n",         " ",
        "x ",    "xp ",      "x /",        "xp/",
        "x",     "d",        "u",          "o",
        "c",     "i",        "b",          "h",
        "w",     "g",        "1",          "9",
        "0x",    "ffffffff", "+",          "-",
        "$",     "rip",      "pc",         "esp",
        "r15",   "$pc",      "0xfffffff0", "info ",
        "mem",   "tlb",      "registers",  "irq",
        "jit",   "help ",    "sendkey ",   "ret",
        "shift", "stop\n",   "cont\n",     "system_reset\n",
        "info",  "\r",       "\t",         "?",
        "s",     "%s",       "|",
    };
    char text[8192];
    send_monitor(session, text, draw(words, ARRAY_SIZE(words), data, size, text, sizeof(text)));
    send_monitor(session, "\n", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session *session = the_session();
    struct qmp_config config = {.opaque = &session->context, .write = write_qmp, .out = session};
    config.commands = commands_table(&config.count);
    static const char negotiate[] = "{\"execute\":\"qmp_capabilities\"}";
    vm_stop(session->context.vm);
    session->length = 0;
    qmp_open(&session->qmp, &config);
    if (size % 8)
        send_qmp(session, negotiate, sizeof(negotiate) - 1);
    send_qmp(session, (const char *)data, size);
    qmp_open(&session->qmp, &config);
    send_qmp(session, negotiate, sizeof(negotiate) - 1);
    draw_messages(session, data, size);
    monitor_open(&session->monitor);
    send_monitor(session, (const char *)data, size);
    monitor_open(&session->monitor);
    draw_lines(session, data, size);
    return 0;
}
