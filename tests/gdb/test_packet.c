/* The packet reader and the parts of replies. */
#include "machine/gdb_packet.h"

#include <criterion/criterion.h>
#include <string.h>

/* What the last byte of text completes. */
static enum gdb_input push(struct gdb_reader *reader, const char *text, size_t length)
{
    enum gdb_input input = GDB_INPUT_NONE;
    for (size_t i = 0; i < length; i++)
        input = gdb_reader_push(reader, (uint8_t)text[i]);
    return input;
}

#define PUSH(reader, text) push(reader, text, sizeof(text) - 1)

static void expect_packet(struct gdb_reader *reader, const char *body, size_t length)
{
    cr_assert_eq(reader->length, length);
    cr_assert_arr_eq(reader->body, body, length);
    cr_assert_eq(reader->body[length], '\0');
}

Test(gdb_packet, packets_have_a_checksum)
{
    static struct gdb_reader reader;
    cr_assert_eq(PUSH(&reader, "$g#67"), GDB_INPUT_PACKET);
    expect_packet(&reader, "g", 1);
    cr_assert_eq(PUSH(&reader, "$g#68"), GDB_INPUT_DAMAGED);
    cr_assert_eq(PUSH(&reader, "$g#6x"), GDB_INPUT_DAMAGED);
    cr_assert_eq(PUSH(&reader, "noise$#00"), GDB_INPUT_PACKET);
    expect_packet(&reader, "", 0);
}

Test(gdb_packet, single_characters_count_outside_packets_only)
{
    static struct gdb_reader reader;
    cr_assert_eq(PUSH(&reader, "+"), GDB_INPUT_ACK);
    cr_assert_eq(PUSH(&reader, "-"), GDB_INPUT_NAK);
    cr_assert_eq(PUSH(&reader, "\x03"), GDB_INPUT_INTERRUPT);
    cr_assert_eq(PUSH(&reader, "x"), GDB_INPUT_NONE);
    cr_assert_eq(PUSH(&reader, "$\x03"), GDB_INPUT_NONE);
    cr_assert_eq(PUSH(&reader, "-+#59"), GDB_INPUT_DAMAGED);
}

Test(gdb_packet, escapes_and_zeros_are_data)
{
    static struct gdb_reader reader;
    /* 7dh 03h is '#', 7dh 5dh is '}'. */
    cr_assert_eq(PUSH(&reader, "$a}\x03\0}]#bb"), GDB_INPUT_PACKET);
    expect_packet(&reader, "a#\0}", 4);
}

Test(gdb_packet, a_new_packet_ends_a_broken_one)
{
    static struct gdb_reader reader;
    cr_assert_eq(PUSH(&reader, "$m1000,"), GDB_INPUT_NONE);
    cr_assert_eq(PUSH(&reader, "$?#3f"), GDB_INPUT_PACKET);
    expect_packet(&reader, "?", 1);
}

Test(gdb_packet, the_longest_packet_fits_and_no_more)
{
    static struct gdb_reader reader;
    static char body[GDB_PACKET_MAX + 1];
    memset(body, '@', sizeof(body)); /* 64: sums to 0 */
    PUSH(&reader, "$");
    push(&reader, body, GDB_PACKET_MAX);
    cr_assert_eq(PUSH(&reader, "#00"), GDB_INPUT_PACKET);
    expect_packet(&reader, body, GDB_PACKET_MAX);
    PUSH(&reader, "$");
    push(&reader, body, GDB_PACKET_MAX + 1);
    cr_assert_eq(PUSH(&reader, "#40"), GDB_INPUT_DAMAGED);
    cr_assert_eq(PUSH(&reader, "$?#3f"), GDB_INPUT_PACKET);
}

Test(gdb_packet, frames_are_read_back)
{
    static struct gdb_reader reader;
    static struct gdb_reply reply;
    static char frame[GDB_FRAME_MAX];
    gdb_reply_format(&reply, "m%x;", 0xabc);
    gdb_reply_hex(&reply, "\x01\xfe", 2);
    cr_assert_eq(gdb_reply_binary(&reply, "#$}*\0x", 6), 6);
    cr_assert_eq(push(&reader, frame, gdb_frame(&reply, frame)), GDB_INPUT_PACKET);
    expect_packet(&reader, "mabc;01fe#$}*\0x", 15);
}

Test(gdb_packet, replies_that_are_full_say_so)
{
    static struct gdb_reply reply;
    static char bytes[GDB_PACKET_MAX];
    cr_assert_eq(gdb_reply_binary(&reply, bytes, sizeof(bytes)), GDB_PACKET_MAX - 1);
    cr_assert_not(reply.full);
    gdb_reply_hex(&reply, bytes, 1);
    cr_assert(reply.full);
    cr_assert_eq(reply.length, GDB_PACKET_MAX);
}

Test(gdb_packet, cursors_take_what_is_there)
{
    const char *text = "10,ffffffffffffffff1:0aZ";
    struct gdb_cursor cursor = {text, text + strlen(text)};
    uint64_t value;
    uint8_t bytes[2];
    cr_assert(gdb_take_number(&cursor, &value) && value == 16);
    cr_assert_not(gdb_take_number(&cursor, &value));
    cr_assert(gdb_take(&cursor, ","));
    cr_assert_not(gdb_take_number(&cursor, &value), "17 digits");
    cr_assert(gdb_take(&cursor, "ffffffffffffffff1:"));
    cr_assert_not(gdb_take_hex(&cursor, bytes, 2));
    cr_assert(gdb_take_hex(&cursor, bytes, 1) && bytes[0] == 10);
    cr_assert_eq(gdb_left(&cursor), 1);
    cr_assert_not(gdb_take(&cursor, "Zz"));
}
