#include "cli/qemu_params.h"

#include <stdlib.h>
#include <string.h>

/* Cuts the next item off *text, with its commas made single; NULL: there is none. */
static char *next_item(char **text)
{
    char *item = *text, *to = item, *at = item;
    if (!item)
        return NULL;
    for (; *at && (*at != ',' || at[1] == ','); at++) {
        at += *at == ',';
        *to++ = *at;
    }
    *text = *at ? at + 1 : NULL;
    *to = '\0';
    return item;
}

/* A first value may have an equals sign of its own, after what no key has. */
static struct qemu_param make_param(char *item, const char *implied)
{
    char *equals = strchr(item, '=');
    if (implied && (!equals || strcspn(item, "/:.") < (size_t)(equals - item)))
        return (struct qemu_param){.key = implied, .value = item};
    if (!equals && !strncmp(item, "no", 2))
        return (struct qemu_param){.key = item + 2, .value = "off"};
    if (!equals)
        return (struct qemu_param){.key = item, .value = "on"};
    *equals = '\0';
    return (struct qemu_param){.key = item, .value = equals + 1};
}

bool qemu_params_parse(struct qemu_params *params, const char *option, const char *text,
                       const char *implied, struct error *error)
{
    *params = (struct qemu_params){.option = option, .text = strdup(text)};
    if (!params->text)
        return error_set(error, "%s: no memory", option);
    char *rest = params->text, *item;
    while ((item = next_item(&rest))) {
        if (params->count == QEMU_PARAMS_MAX) {
            qemu_params_free(params);
            return error_set(error, "%s %.200s: has too many parts", option, text);
        }
        params->items[params->count++] = make_param(item, implied);
        implied = NULL;
    }
    return true;
}

void qemu_params_free(struct qemu_params *params)
{
    free(params->text);
}

const char *qemu_params_take(struct qemu_params *params, const char *key)
{
    const char *value = NULL;
    for (unsigned i = 0; i < params->count; i++) {
        if (strcmp(params->items[i].key, key) != 0)
            continue;
        params->items[i].taken = true;
        value = params->items[i].value;
    }
    return value;
}

bool qemu_params_has(const struct qemu_params *params, const char *key)
{
    for (unsigned i = 0; i < params->count; i++) {
        if (!strcmp(params->items[i].key, key))
            return true;
    }
    return false;
}

bool qemu_params_take_switch(struct qemu_params *params, const char *key, bool *on,
                             struct error *error)
{
    const char *value = qemu_params_take(params, key);
    if (!value)
        return true;
    *on = !strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true");
    return *on || !strcmp(value, "off") || !strcmp(value, "no") || !strcmp(value, "false") ||
           error_set(error, "%s: %s=%s is neither on nor off", params->option, key, value);
}

bool qemu_params_end(const struct qemu_params *params, struct error *error)
{
    for (unsigned i = 0; i < params->count; i++) {
        const struct qemu_param *param = &params->items[i];
        if (!param->taken)
            return error_set(error, "%s: %s=%s is not offered", params->option, param->key,
                             param->value);
    }
    return true;
}
