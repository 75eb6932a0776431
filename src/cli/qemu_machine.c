#include "cli/qemu_internal.h"

#include "base/bits.h"
#include "machine/memory_map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The machine. */

static bool is_switched_off(const char *value)
{
    return !strcmp(value, "off") || !strcmp(value, "no");
}

/* Names with ':' between them, of which one must be ours. */
static bool name_accelerators(struct qemu_parser *parser, const char *names)
{
    parser->accelerated = true;
    while (*names) {
        size_t length = strcspn(names, ":");
        parser->tcg |= length == 3 && !memcmp(names, "tcg", 3);
        names += length + (names[length] == ':');
    }
    return true;
}

/* What the machine has not, and what changes nothing in it. */
static bool take_machine_switches(struct qemu_params *params, struct error *error)
{
    static const char *const absent[] = {"usb", "vmport", "nvdimm", "hmat", "graphics"};
    static const char *const harmless[] = {"dump-guest-core", "mem-merge", "kernel_irqchip",
                                           "suppress-vmdesc"};
    for (unsigned i = 0; i < ARRAY_SIZE(harmless); i++)
        qemu_params_take(params, harmless[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++) {
        const char *value = qemu_params_take(params, absent[i]);
        if (value && !is_switched_off(value))
            return error_set(error, "%s: %s=%s is not offered", params->option, absent[i], value);
    }
    return true;
}

bool qemu_machine(struct qemu_parser *parser, const char *option, const char *value,
                  struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "type", error))
        return false;
    const char *type = qemu_params_take(&params, "type");
    const char *accelerators = qemu_params_take(&params, "accel");
    bool ok = !type || !strcmp(type, "pc") || !strncmp(type, "pc-i440fx-", 10) ||
              error_set(error, "%s %s: is not offered; the machine is pc", option, type);
    if (accelerators)
        name_accelerators(parser, accelerators);
    ok = ok && take_machine_switches(&params, error) && qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}

bool qemu_accel(struct qemu_parser *parser, const char *option, const char *value,
                struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "accel", error))
        return false;
    const char *name = qemu_params_take(&params, "accel");
    qemu_params_take(&params, "thread");
    name_accelerators(parser, name ? name : "");
    /* What another accelerator is told does not matter. */
    bool ok = (name && strcmp(name, "tcg") != 0) || qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}

/* A number of MiB, or with a suffix. */
static bool parse_size(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "BKMGT";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 20;
    if (errno || end == text || *text == '-')
        return false;
    if (*end) {
        const char *suffix = strchr(suffixes, *end & ~0x20);
        if (!suffix || end[1])
            return false;
        shift = 10 * (unsigned)(suffix - suffixes);
    }
    *bytes = (uint64_t)value << shift;
    return value <= UINT64_MAX >> shift;
}

bool qemu_memory(struct qemu_parser *parser, const char *option, const char *value,
                 struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, "size", error))
        return false;
    const char *text = qemu_params_take(&params, "size");
    uint64_t bytes = 0;
    bool ok = (text && parse_size(text, &bytes)) ||
              error_set(error, "%s %s: is not a size; write it as 512M or 2G", option, value);
    ok = ok && qemu_params_end(&params, error) && options_check_memory(option, value, bytes, error);
    parser->options->run.vm.memory = bytes;
    qemu_params_free(&params);
    return ok;
}

bool qemu_smp(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    static const char *const keys[] = {"cpus",  "maxcpus", "sockets", "dies",
                                       "cores", "threads", "clusters"};
    struct qemu_params params;
    bool ok = true;
    (void)parser;
    if (!qemu_params_parse(&params, option, value, "cpus", error))
        return false;
    for (unsigned i = 0; ok && i < ARRAY_SIZE(keys); i++) {
        const char *count = qemu_params_take(&params, keys[i]);
        ok = !count || !strcmp(count, "1") ||
             error_set(error, "%s %s: is not offered; there can be one CPU", option, value);
    }
    ok = ok && qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}

/* --- The CPU. */

/* By the beginning of the name: its versions differ in what Doppel does not offer. */
static const char *level_of(const char *name)
{
    static const struct {
        char name[20];
        char level[8];
    } models[] = {
        {"qemu64", "v1"},         {"qemu32", "v1"},      {"kvm64", "v1"},     {"kvm32", "v1"},
        {"base", "v1"},           {"486", "v1"},         {"pentium", "v1"},   {"athlon", "v1"},
        {"phenom", "v1"},         {"core2duo", "v1"},    {"coreduo", "v1"},   {"n270", "v1"},
        {"Conroe", "v1"},         {"Penryn", "v1"},      {"Opteron_G", "v1"}, {"Nehalem", "v2"},
        {"Westmere", "v2"},       {"SandyBridge", "v2"}, {"IvyBridge", "v2"}, {"Denverton", "v2"},
        {"Snowridge", "v2"},      {"Haswell", "v3"},     {"Broadwell", "v3"}, {"Skylake-", "v3"},
        {"Cascadelake-", "v3"},   {"Cooperlake", "v3"},  {"Icelake-", "v3"},  {"EPYC", "v3"},
        {"SapphireRapids", "v3"}, {"Dhyana", "v3"},      {"max", "host"},     {"host", "host"}};
    for (unsigned i = 0; i < ARRAY_SIZE(models); i++) {
        if (!strncmp(name, models[i].name, strlen(models[i].name)))
            return models[i].level;
    }
    return NULL;
}

/* NAME[,+feature][,-feature][,feature=on|off]: as cpu_model_init() has it. */
bool qemu_cpu(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    struct qemu_params params;
    char model[512];
    if (!qemu_params_parse(&params, option, value, "model", error))
        return false;
    const char *name = qemu_params_take(&params, "model"), *level = level_of(name ? name : "");
    bool ok = level || error_set(error,
                                 "%s %s: unknown model; qemu64, Nehalem, Haswell, max and "
                                 "others are known",
                                 option, value);
    size_t length = ok ? (size_t)snprintf(model, sizeof(model), "%s", level) : 0;
    for (unsigned i = 1; ok && i < params.count; i++) {
        const struct qemu_param *param = &params.items[i];
        bool named = *param->key == '+' || *param->key == '-';
        bool on = *param->key != '-' && !is_switched_off(param->value);
        if (!strcmp(param->key, "check") || !strcmp(param->key, "enforce") ||
            !strcmp(param->key, "migratable"))
            continue;
        length += (size_t)snprintf(model + length, sizeof(model) - length, ",%c%s", on ? '+' : '-',
                                   param->key + named);
        ok = length < sizeof(model) || error_set(error, "%s %.100s: is too long", option, value);
    }
    parser->options->run.vm.cpu_model = ok ? qemu_keep(parser, model, error) : NULL;
    qemu_params_free(&params);
    return ok && parser->options->run.vm.cpu_model;
}

/* --- What is seen of it. */

bool qemu_vga(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    parser->vga = !strcmp(value, "std") ? QEMU_VGA_STD : QEMU_VGA_NONE;
    return parser->vga == QEMU_VGA_STD || !strcmp(value, "none") ||
           error_set(error, "%s %s: is not offered; there are std and none", option, value);
}

bool qemu_display(struct qemu_parser *parser, const char *option, const char *value,
                  struct error *error)
{
    parser->options->run.window = !strcmp(value, "sdl");
    return parser->options->run.window || !strcmp(value, "none") ||
           error_set(error, "%s %s: is not offered; there are sdl and none", option, value);
}

bool qemu_rtc(struct qemu_parser *parser, const char *option, const char *value,
              struct error *error)
{
    struct qemu_params params;
    (void)parser;
    if (!qemu_params_parse(&params, option, value, NULL, error))
        return false;
    const char *base = qemu_params_take(&params, "base");
    const char *clock = qemu_params_take(&params, "clock");
    qemu_params_take(&params, "driftfix");
    bool ok = (!base || !strcmp(base, "utc")) && (!clock || !strcmp(clock, "host"));
    if (!ok)
        error_format(error, "%s %s: is not offered; the clock is base=utc,clock=host", option,
                     value);
    ok = ok && qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}
