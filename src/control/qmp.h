/* A QMP session without its connection: bytes in, bytes out (QEMU's qmp-spec.txt). */
#ifndef DOPPEL_CONTROL_QMP_H
#define DOPPEL_CONTROL_QMP_H

#include "base/error.h"
#include "base/types.h"

#include <jansson.h>

/* Bounds of a message: bytes, and objects and lists inside each other. */
#define QMP_MESSAGE_MAX 65536u
#define QMP_DEPTH_MAX 128u

struct qmp_error {
    const char *class; /* GenericError unless it is set */
    struct error message;
};

enum qmp_kind { QMP_STRING, QMP_INTEGER, QMP_BOOLEAN, QMP_LIST };

struct qmp_argument {
    const char *name; /* NULL: the list is over */
    enum qmp_kind kind;
    bool optional;
};

#define QMP_ARGUMENTS_MAX 6

/* A command. Its arguments are there and of their kinds when it is executed. Returns the value of
 * "return", owned by the caller; NULL with *error set where it has failed. */
struct qmp_command {
    const char *name;
    json_t *(*execute)(void *opaque, json_t *arguments, struct qmp_error *error);
    struct qmp_argument arguments[QMP_ARGUMENTS_MAX];
};

struct qmp_config {
    const struct qmp_command *commands;
    size_t count;
    void *opaque; /* the commands' */
    void (*write)(void *out, const char *bytes, size_t count);
    void *out;
};

struct qmp {
    struct qmp_config config;
    bool negotiated; /* qmp_capabilities has come */
    /* The message that is being read. */
    bool in_string, escaped;
    bool skipping; /* to the line's end: it is not to be had any more */
    unsigned depth;
    size_t length;
    char text[QMP_MESSAGE_MAX];
};

/* Greets a new client. */
void qmp_open(struct qmp *qmp, const struct qmp_config *config);
/* Takes bytes up to the end of a message, which it answers. Returns how many. */
size_t qmp_receive(struct qmp *qmp, const char *bytes, size_t count);
/* data, which is taken over, may be NULL. Clients that have not negotiated are told nothing. */
void qmp_send_event(struct qmp *qmp, const char *name, json_t *data);

/* Of the version that clients are told. Owned by the caller. */
json_t *qmp_version(void);
/* The names of the commands, as query-commands has them. Likewise. */
json_t *qmp_list_commands(const struct qmp_command *commands, size_t count);

#endif
