/* QEMU's option syntax: "value,key=value,flag", where ",," is a comma. */
#ifndef DOPPEL_CLI_QEMU_PARAMS_H
#define DOPPEL_CLI_QEMU_PARAMS_H

#include "base/error.h"
#include "base/types.h"

#define QEMU_PARAMS_MAX 32u

struct qemu_params {
    const char *option; /* for messages */
    char *text;         /* what the others point into; owned */
    unsigned count;
    struct qemu_param {
        const char *key, *value;
        bool taken;
    } items[QEMU_PARAMS_MAX];
};

/* implied is the key of a first value without one; NULL: none. A flag "x" is x=on and "nox" x=off.
 * False with *error set, and nothing to free. */
bool qemu_params_parse(struct qemu_params *params, const char *option, const char *text,
                       const char *implied, struct error *error);
void qemu_params_free(struct qemu_params *params);

/* The last value of key, or NULL. Lives as long as params. */
const char *qemu_params_take(struct qemu_params *params, const char *key);
/* Whether key is there; it is not taken by this. */
bool qemu_params_has(const struct qemu_params *params, const char *key);
/* Whether the value of key, if it is there, is on. */
bool qemu_params_take_switch(struct qemu_params *params, const char *key, bool *on,
                             struct error *error);
/* Refuses the first that nobody has taken. */
bool qemu_params_end(const struct qemu_params *params, struct error *error);

#endif
