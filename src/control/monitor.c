#include "control/monitor.h"

#include "bus/bus.h"
#include "control/commands.h"
#include "control/keys.h"
#include "control/media.h"
#include "control/memory_file.h"
#include "control/show.h"
#include "machine/board.h"
#include "machine/vm.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* arguments are what follows the command, without white space around them. */
typedef void monitor_fn(struct commands_context *context, const char *arguments, FILE *out);

struct monitor_command {
    const char *name; /* other names follow after '|' */
    const char *parameters, *help;
    monitor_fn *execute;
};

/* --- What there is to see. */

static void info_status(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    enum vm_status status = vm_status(context->vm);
    fprintf(out, "VM status: %s", status == VM_RUNNING ? "running" : "paused");
    if (status != VM_RUNNING && status != VM_PAUSED)
        fprintf(out, " (%s)", commands_status(context->vm));
    fputc('\n', out);
}

static void info_registers(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    show_registers(vm_hold_cpu(context->vm), out);
    vm_release_cpu(context->vm);
}

static void info_mem(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    show_ranges(vm_hold_cpu(context->vm), out);
    vm_release_cpu(context->vm);
}

static void info_tlb(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    show_pages(vm_hold_cpu(context->vm), out);
    vm_release_cpu(context->vm);
}

static void info_jit(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    vm_hold_cpu(context->vm);
    vm_print_stats(context->vm, out, false);
    vm_release_cpu(context->vm);
}

static void info_irq(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    bus_lock(vm_bus(context->vm));
    board_print_irq_counts(vm_board(context->vm), out);
    bus_unlock(vm_bus(context->vm));
}

static void info_pic(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    bus_lock(vm_bus(context->vm));
    board_print_interrupts(vm_board(context->vm), out);
    bus_unlock(vm_bus(context->vm));
}

static void info_pci(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    bus_lock(vm_bus(context->vm));
    show_pci(board_pci_bus(vm_board(context->vm)), out);
    bus_unlock(vm_bus(context->vm));
}

static void info_mtree(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments;
    bus_lock(vm_bus(context->vm));
    show_memory_map(vm_phys(context->vm), vm_bus(context->vm), out);
    bus_unlock(vm_bus(context->vm));
}

static const struct monitor_command infos[] = {
    {"irq", "", "how often interrupt lines have risen and messages come", info_irq},
    {"jit", "", "the counters of the engine", info_jit},
    {"mem", "", "the ranges that the page tables map", info_mem},
    {"mtree", "", "memory, and the devices' ranges", info_mtree},
    {"pci", "", "the PCI functions", info_pci},
    {"pic", "", "the interrupt controllers", info_pic},
    {"registers", "", "the CPU's registers", info_registers},
    {"status", "", "whether the guest runs", info_status},
    {"tlb", "", "the pages that the page tables map", info_tlb},
};

/* --- What can be done. */

static void do_info(struct commands_context *context, const char *arguments, FILE *out);
static void do_help(struct commands_context *context, const char *arguments, FILE *out);

static void do_quit(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments, (void)out;
    vm_end(context->vm, VM_CAUSE_CONTROL);
}

static void do_stop(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments, (void)out;
    vm_stop(context->vm);
}

static void do_cont(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments, (void)out;
    vm_continue(context->vm);
}

static void do_system_reset(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments, (void)out;
    vm_reset(context->vm, VM_CAUSE_CONTROL);
}

static void do_system_powerdown(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)arguments, (void)out;
    vm_press_power_button(context->vm);
}

static void do_sendkey(struct commands_context *context, const char *arguments, FILE *out)
{
    char names[256] = "";
    unsigned ms = MONITOR_HOLD_MS, count;
    uint8_t keys[KEYS_MAX];
    const char *bad;
    sscanf(arguments, "%255s %6u", names, &ms);
    if (!keys_parse(names, keys, &count, &bad))
        fprintf(out, bad ? "invalid parameter: %s\n" : "too many keys\n", bad);
    else if (!vm_type_keys(context->vm, keys, count, ms * 1000000ull))
        fprintf(out, "too many keys wait to be typed\n");
}

static void do_screendump(struct commands_context *context, const char *arguments, FILE *out)
{
    const char *dot = strrchr(arguments, '.');
    enum image_format format = dot && !strcmp(dot, ".png") ? IMAGE_PNG : IMAGE_PPM;
    struct error error;
    if (!*arguments)
        fprintf(out, "a file name is missing\n");
    else if (!vm_screendump(context->vm, arguments, format, &error))
        fprintf(out, "%s\n", error.text);
}

/* The next word, cut off *text; a word in quotes has its spaces. Empty: there is none. */
static const char *next_word(char **text)
{
    char *word = *text + strspn(*text, " \t");
    char *end = word + strcspn(word, " \t");
    if (*word == '"')
        end = strchrnul(++word, '"');
    *text = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* eject [-f] DRIVE, and change DRIVE [-f] FILE [FORMAT]. */
static void change_medium(struct commands_context *context, char *text, bool insert, FILE *out)
{
    const char *words[3] = {NULL, NULL, NULL}, *word;
    unsigned count = 0;
    bool force = false, done;
    struct qmp_error error;
    while (*(word = next_word(&text)) && count < ARRAY_SIZE(words)) {
        if (!strcmp(word, "-f"))
            force = true;
        else
            words[count++] = word;
    }
    if (*word || count < 1u + insert || (!insert && count > 1)) {
        fprintf(out, "%s\n", insert ? "the drive and a file are needed" : "a drive is needed");
        return;
    }
    if (insert)
        done = media_change(context->vm, words[0], words[1], words[2], force, &error);
    else
        done = media_eject(context->vm, words[0], force, &error);
    if (!done)
        fprintf(out, "Error: %s\n", error.message.text);
}

static void do_change(struct commands_context *context, const char *arguments, FILE *out)
{
    char *copy = strdup(arguments);
    if (copy)
        change_medium(context, copy, true, out);
    free(copy);
}

static void do_eject(struct commands_context *context, const char *arguments, FILE *out)
{
    char *copy = strdup(arguments);
    if (copy)
        change_medium(context, copy, false, out);
    free(copy);
}

static void do_x(struct commands_context *context, const char *arguments, FILE *out)
{
    show_memory(vm_hold_cpu(context->vm), true, arguments, out);
    vm_release_cpu(context->vm);
}

static void do_xp(struct commands_context *context, const char *arguments, FILE *out)
{
    show_memory(vm_hold_cpu(context->vm), false, arguments, out);
    vm_release_cpu(context->vm);
}

static const struct monitor_command commands[] = {
    {"change", "DRIVE [-f] FILE [FORMAT]", "puts a medium into a CD drive; -f: even if locked",
     do_change},
    {"cont|c", "", "lets the guest run", do_cont},
    {"eject", "[-f] DRIVE", "takes the medium out of a CD drive; -f: even if locked", do_eject},
    {"help|?", "[COMMAND]", "this list", do_help},
    {"info", "[WHAT]", "shows the guest's state; without WHAT, what there is", do_info},
    {"quit|q", "", "ends the guest", do_quit},
    {"screendump", "FILE", "writes the screen as a PPM file, or PNG as FILE.png", do_screendump},
    {"sendkey", "KEYS [MS]", "types keys, as ctrl-alt-delete, holding each so long", do_sendkey},
    {"stop|s", "", "stops the guest, and its time", do_stop},
    {"system_powerdown", "", "presses the power button", do_system_powerdown},
    {"system_reset", "", "restarts the guest", do_system_reset},
    {"x", "[/FORMAT] ADDRESS", "memory from a linear address on; FORMAT as 8xw", do_x},
    {"xp", "[/FORMAT] ADDRESS", "memory from a physical address on", do_xp},
};

static bool has_name(const struct monitor_command *command, const char *name, size_t length)
{
    const char *at = command->name;
    for (;;) {
        size_t size = strcspn(at, "|");
        if (size == length && !memcmp(at, name, length))
            return true;
        if (!at[size])
            return false;
        at += size + 1;
    }
}

static void list(const char *prefix, const struct monitor_command *table, size_t count,
                 const char *only, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct monitor_command *command = &table[i];
        if (!*only || has_name(command, only, strlen(only)))
            fprintf(out, "%s%s %s -- %s\n", prefix, command->name, command->parameters,
                    command->help);
    }
}

static void do_help(struct commands_context *context, const char *arguments, FILE *out)
{
    (void)context;
    if (!strncmp(arguments, "info", 4))
        list("info ", infos, ARRAY_SIZE(infos), "", out);
    else
        list("", commands, ARRAY_SIZE(commands), arguments, out);
}

/* Looks up the first word; false: it is not in the table. */
static bool run(const struct monitor_command *table, size_t count, struct commands_context *context,
                const char *line, FILE *out)
{
    size_t length = 0;
    while (line[length] && !isspace((unsigned char)line[length]) && line[length] != '/')
        length++;
    const char *arguments = line + length;
    while (isspace((unsigned char)*arguments))
        arguments++;
    for (size_t i = 0; i < count; i++) {
        if (has_name(&table[i], line, length)) {
            table[i].execute(context, arguments, out);
            return true;
        }
    }
    return false;
}

static void do_info(struct commands_context *context, const char *arguments, FILE *out)
{
    if (!*arguments)
        list("info ", infos, ARRAY_SIZE(infos), "", out);
    else if (!run(infos, ARRAY_SIZE(infos), context, arguments, out))
        fprintf(out, "unknown command: 'info %s'\n", arguments);
}

/* --- Lines. */

/* A copy whose lines end with CR LF; the text is freed. */
static char *with_returns(char *text)
{
    size_t lines = 0, length = 0;
    for (const char *at = text; at && *at; at++)
        lines += *at == '\n';
    char *copy = text ? malloc(strlen(text) + lines + 1) : NULL;
    for (const char *at = text; copy && *at; at++) {
        if (*at == '\n')
            copy[length++] = '\r';
        copy[length++] = *at;
    }
    if (copy)
        copy[length] = '\0';
    free(text);
    return copy;
}

char *monitor_execute(struct commands_context *context, const char *line)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    while (isspace((unsigned char)*line))
        line++;
    char *trimmed = strdup(line);
    size_t length = trimmed ? strlen(trimmed) : 0;
    while (length && isspace((unsigned char)trimmed[length - 1]))
        trimmed[--length] = '\0';
    if (length && !run(commands, ARRAY_SIZE(commands), context, trimmed, out))
        fprintf(out, "unknown command: '%s'\n", trimmed);
    free(trimmed);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return with_returns(text);
}

static void say(struct monitor *monitor, const char *text)
{
    monitor->write(monitor->out, text, strlen(text));
}

void monitor_open(struct monitor *monitor)
{
    monitor->skipping = false;
    monitor->length = 0;
    say(monitor,
        "Doppel " DOPPEL_VERSION " monitor - type 'help' for more information\r\n" MONITOR_PROMPT);
}

static void end_line(struct monitor *monitor)
{
    monitor->line[monitor->length] = '\0';
    char *text = monitor->skipping ? NULL : monitor_execute(monitor->context, monitor->line);
    say(monitor, monitor->skipping ? "the line is too long\r\n" : text ? text : "no memory\r\n");
    say(monitor, MONITOR_PROMPT);
    free(text);
    monitor->skipping = false;
    monitor->length = 0;
}

size_t monitor_receive(struct monitor *monitor, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            end_line(monitor);
            return i + 1;
        }
        if (monitor->length == sizeof(monitor->line) - 1)
            monitor->skipping = true;
        else if (bytes[i])
            monitor->line[monitor->length++] = bytes[i];
    }
    return count;
}
