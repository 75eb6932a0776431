#include "machine/gdb_packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define INTERRUPT 0x03
#define ESCAPE '}'
#define ESCAPE_FLIP 0x20

static const char digits[] = "0123456789abcdef";

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static void start_body(struct gdb_reader *reader)
{
    reader->state = GDB_READER_BODY;
    reader->escaped = reader->spoilt = false;
    reader->sum = 0;
    reader->length = 0;
}

static enum gdb_input push_idle(struct gdb_reader *reader, uint8_t byte)
{
    switch (byte) {
    case '$':
        start_body(reader);
        return GDB_INPUT_NONE;
    case '+':
        return GDB_INPUT_ACK;
    case '-':
        return GDB_INPUT_NAK;
    case INTERRUPT:
        return GDB_INPUT_INTERRUPT;
    default:
        return GDB_INPUT_NONE;
    }
}

static void push_body(struct gdb_reader *reader, uint8_t byte)
{
    if (byte == '$') { /* never inside a packet: the end of the last one was lost */
        start_body(reader);
        return;
    }
    if (byte == '#') {
        reader->state = GDB_READER_SUM;
        return;
    }
    reader->sum = (uint8_t)(reader->sum + byte);
    if (byte == ESCAPE && !reader->escaped) {
        reader->escaped = true;
        return;
    }
    if (reader->length == GDB_PACKET_MAX)
        reader->spoilt = true;
    else
        reader->body[reader->length++] = (char)(reader->escaped ? byte ^ ESCAPE_FLIP : byte);
    reader->escaped = false;
}

static void push_sum(struct gdb_reader *reader, uint8_t byte)
{
    int value = digit_value((char)byte);
    if (value < 0)
        reader->spoilt = true;
    reader->given = (uint8_t)(reader->given << 4 | (value & 15));
}

enum gdb_input gdb_reader_push(struct gdb_reader *reader, uint8_t byte)
{
    switch (reader->state) {
    case GDB_READER_IDLE:
        return push_idle(reader, byte);
    case GDB_READER_BODY:
        push_body(reader, byte);
        return GDB_INPUT_NONE;
    case GDB_READER_SUM:
        push_sum(reader, byte);
        reader->state = GDB_READER_SUM_LOW;
        return GDB_INPUT_NONE;
    default:
        push_sum(reader, byte);
        reader->state = GDB_READER_IDLE;
        reader->body[reader->length] = '\0';
        bool good = !reader->spoilt && reader->given == reader->sum;
        return good ? GDB_INPUT_PACKET : GDB_INPUT_DAMAGED;
    }
}

static void reply_char(struct gdb_reply *reply, char c)
{
    if (reply->length < GDB_PACKET_MAX)
        reply->text[reply->length++] = c;
    else
        reply->full = true;
}

void gdb_reply_format(struct gdb_reply *reply, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (const char *p = text; *p; p++)
        reply_char(reply, *p);
}

void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) {
        reply_char(reply, digits[p[i] >> 4]);
        reply_char(reply, digits[p[i] & 15]);
    }
}

size_t gdb_reply_binary(struct gdb_reply *reply, const void *bytes, size_t count)
{
    const char *p = bytes;
    size_t done = 0;
    for (; done < count && reply->length + 2 <= GDB_PACKET_MAX; done++) {
        if (memchr("#$}*", p[done], 4)) {
            reply_char(reply, ESCAPE);
            reply_char(reply, (char)(p[done] ^ ESCAPE_FLIP));
        } else {
            reply_char(reply, p[done]);
        }
    }
    return done;
}

size_t gdb_frame(const struct gdb_reply *reply, char out[GDB_FRAME_MAX])
{
    uint8_t sum = 0;
    for (size_t i = 0; i < reply->length; i++)
        sum = (uint8_t)(sum + (uint8_t)reply->text[i]);
    out[0] = '$';
    memcpy(out + 1, reply->text, reply->length);
    char *tail = out + 1 + reply->length;
    tail[0] = '#';
    tail[1] = digits[sum >> 4];
    tail[2] = digits[sum & 15];
    return reply->length + 4;
}

bool gdb_take(struct gdb_cursor *cursor, const char *text)
{
    size_t length = strlen(text);
    if (gdb_left(cursor) < length || memcmp(cursor->at, text, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

bool gdb_take_number(struct gdb_cursor *cursor, uint64_t *value)
{
    const char *p = cursor->at;
    *value = 0;
    for (; p < cursor->end && digit_value(*p) >= 0; p++) {
        if (p - cursor->at == 16)
            return false;
        *value = *value << 4 | (uint64_t)digit_value(*p);
    }
    if (p == cursor->at)
        return false;
    cursor->at = p;
    return true;
}

bool gdb_take_hex(struct gdb_cursor *cursor, void *bytes, size_t count)
{
    uint8_t *out = bytes;
    if (gdb_left(cursor) / 2 < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        int high = digit_value(cursor->at[2 * i]), low = digit_value(cursor->at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    cursor->at += 2 * count;
    return true;
}
