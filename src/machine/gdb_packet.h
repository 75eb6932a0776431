/* Packets of gdb's remote serial protocol (gdb manual, appendix E): bytes to packets, and what
 * packets are made of. Knows nothing of machines. */
#ifndef DOPPEL_MACHINE_GDB_PACKET_H
#define DOPPEL_MACHINE_GDB_PACKET_H

#include "base/types.h"

/* Between $ and #; what we announce as PacketSize. */
#define GDB_PACKET_MAX 16384

enum gdb_input {
    GDB_INPUT_NONE,    /* the byte completes nothing */
    GDB_INPUT_PACKET,  /* reader->body, reader->length, until the next byte */
    GDB_INPUT_DAMAGED, /* its checksum is wrong, or it is too long */
    GDB_INPUT_ACK,
    GDB_INPUT_NAK,
    GDB_INPUT_INTERRUPT, /* Ctrl-C */
};

/* Starts zeroed. */
struct gdb_reader {
    enum { GDB_READER_IDLE, GDB_READER_BODY, GDB_READER_SUM, GDB_READER_SUM_LOW } state;
    bool escaped, spoilt;
    uint8_t sum, given;
    size_t length;
    char body[GDB_PACKET_MAX + 1]; /* unescaped; a NUL follows, others may be within */
};

enum gdb_input gdb_reader_push(struct gdb_reader *reader, uint8_t byte);

/* A reply in the making. What does not fit is left out, and `full` set. */
struct gdb_reply {
    size_t length;
    bool full;
    char text[GDB_PACKET_MAX];
};

void gdb_reply_format(struct gdb_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t count);
/* Escaped where need be. Returns how many bytes found room. */
size_t gdb_reply_binary(struct gdb_reply *reply, const void *bytes, size_t count);

/* Frames the reply in out; returns the length. */
#define GDB_FRAME_MAX (GDB_PACKET_MAX + 4)
size_t gdb_frame(const struct gdb_reply *reply, char out[GDB_FRAME_MAX]);

/* What is left of a packet that is being taken apart. Each function takes what it names from the
 * front, or is false and takes nothing. */
struct gdb_cursor {
    const char *at, *end;
};

bool gdb_take(struct gdb_cursor *cursor, const char *text);
bool gdb_take_number(struct gdb_cursor *cursor, uint64_t *value); /* 1 to 16 hex digits */
bool gdb_take_hex(struct gdb_cursor *cursor, void *bytes, size_t count);

static inline size_t gdb_left(const struct gdb_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

#endif
