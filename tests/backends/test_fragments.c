#include "backends/net/fragments.h"

#include "base/bits.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { IP = NET_HEADER, MORE = 0x2000 };

static struct fragments *fragments;
static uint8_t whole[65536], frame[NET_FRAME_MAX];

static void set_up(void)
{
    fragments = calloc(1, sizeof(*fragments));
    for (unsigned i = 0; i < sizeof(whole); i++)
        whole[i] = (uint8_t)(i / 3);
}

static void tear_down(void)
{
    free(fragments);
}

/* A fragment of a packet, with `options` bytes of options. */
static const uint8_t *take_from(unsigned id, uint32_t offset, uint32_t size, unsigned flags,
                                unsigned options, uint32_t *got)
{
    uint32_t header = 20 + options, at = IP + header;
    memset(frame, 0, at);
    frame[12] = 8;
    frame[IP] = (uint8_t)(0x40 | header / 4);
    frame[IP + 2] = (uint8_t)((header + size) >> 8);
    frame[IP + 3] = (uint8_t)(header + size);
    frame[IP + 5] = (uint8_t)id;
    frame[IP + 6] = (uint8_t)((flags | offset / 8) >> 8);
    frame[IP + 7] = (uint8_t)(offset / 8);
    frame[IP + 9] = 17;
    memcpy(frame + at, whole + offset, size);
    *got = at + size;
    return fragments_take(fragments, frame, got);
}

static const uint8_t *take(unsigned id, uint32_t offset, uint32_t size, unsigned flags)
{
    uint32_t got;
    return take_from(id, offset, size, flags, 0, &got);
}

static uint32_t load_be16(const uint8_t *at)
{
    return (uint32_t)(at[0] << 8 | at[1]);
}

static void expect_whole(const uint8_t *packet, uint32_t size)
{
    cr_assert(packet);
    uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += load_be16(packet + IP + i);
    cr_assert_eq((sum & 0xffff) + (sum >> 16), 0xffff, "the header's checksum");
    cr_assert_eq(packet[IP], 0x45);
    cr_assert_eq(load_be16(packet + IP + 2), size + 20);
    cr_assert_eq(packet[IP + 6] | packet[IP + 7], 0);
    cr_assert_arr_eq(packet + IP + 20, whole, size);
}

TestSuite(fragments, .init = set_up, .fini = tear_down);

Test(fragments, lets_whole_frames_through)
{
    cr_assert_eq(take(1, 0, 100, 0), frame);
    cr_assert_eq(take(1, 0, 100, 0x4000), frame, "not to be fragmented");
    uint32_t size = 14;
    cr_assert_eq(fragments_take(fragments, frame, &size), frame);
    cr_assert_eq(size, 14);
}

Test(fragments, puts_packets_together_in_any_order)
{
    uint32_t size;
    cr_assert_null(take(1, 0, 1480, MORE));
    cr_assert_null(take(1, 1480, 1480, MORE));
    expect_whole(take(1, 2960, 5, 0), 2965);
    cr_assert_null(take(1, 2960, 5, 0));
    cr_assert_null(take(1, 0, 1480, MORE));
    const uint8_t *packet = take_from(1, 1480, 1480, MORE, 8, &size);
    cr_assert_eq(size, IP + 20 + 2965);
    expect_whole(packet, 2965);
}

Test(fragments, keeps_packets_apart)
{
    cr_assert_null(take(1, 0, 800, MORE));
    cr_assert_null(take(2, 0, 800, MORE));
    cr_assert_null(take(3, 800, 8, 0));
    expect_whole(take(1, 800, 8, 0), 808);
    expect_whole(take(2, 800, 9, 0), 809);
    expect_whole(take(3, 0, 800, MORE), 808);
    for (unsigned id = 10; id < 15; id++)
        cr_assert_null(take(id, 0, 800, MORE));
    cr_assert_null(take(10, 800, 8, 0), "it was the oldest of too many");
    expect_whole(take(14, 800, 8, 0), 808);
}

Test(fragments, takes_overlapping_ones)
{
    cr_assert_null(take(1, 0, 800, MORE));
    cr_assert_null(take(1, 0, 800, MORE));
    cr_assert_null(take(1, 1600, 8, 0));
    cr_assert_null(take(1, 400, 800, MORE));
    expect_whole(take(1, 800, 800, MORE), 1608);
}

Test(fragments, takes_the_largest_packet)
{
    cr_assert_null(take(1, 65512, 3, 0));
    cr_assert_null(take(2, 65512, 4, 0), "one byte too many");
    cr_assert_null(take(2, 65528, 8, MORE));
    cr_assert_null(take(1, 0, 32760, MORE));
    expect_whole(take(1, 32760, 32752, MORE), 65515);
}

Test(fragments, drops_nonsense)
{
    uint32_t size;
    cr_assert_null(take(1, 0, 801, MORE), "no multiple of 8");
    cr_assert_null(take(1, 0, 0, MORE));
    take(1, 0, 100, 0);
    frame[IP + 6] = 0x20;
    size = IP + 20 + 99;
    cr_assert_null(fragments_take(fragments, frame, &size), "longer than its frame");
    frame[IP] = 0x44;
    size = IP + 20 + 100;
    cr_assert_null(fragments_take(fragments, frame, &size), "a short header");
    cr_assert_null(take(1, 800, 8, MORE));
    cr_assert_null(take(1, 160, 8, 0), "it ends before what has come");
    cr_assert_null(take(1, 0, 160, MORE));
}
