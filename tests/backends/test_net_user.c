/* The network behind libslirp, with a card that the test works by hand. */
#include "backends/net/user.h"

#include "base/bits.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "host/loop.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 20 }; /* a bound for a hang */

static struct loop *loop;
static struct bus *bus;
static struct clock *guest_clock;

static struct card {
    struct net *net;
    uint8_t sent[64], got[2000];
    uint32_t sent_size, got_size;
    unsigned refused, settled;
    bool full;
} card;

static uint32_t take(void *opaque, uint8_t *frame)
{
    (void)opaque;
    uint32_t size = card.sent_size;
    memcpy(frame, card.sent, size);
    card.sent_size = 0;
    return size;
}

static bool give(void *opaque, const uint8_t *frame, uint32_t size)
{
    (void)opaque;
    cr_assert_leq(size, sizeof(card.got));
    if (card.full) {
        card.refused++;
        return false;
    }
    memcpy(card.got, frame, size);
    card.got_size = size;
    return true;
}

static void settle(void *opaque)
{
    (void)opaque;
    card.settled++;
}

static const struct net_card_ops card_ops = {take, give, settle};

static struct net *create(const char *text, struct error *error)
{
    struct net_options options;
    cr_assert(net_options_parse(&options, "--net", text, error), "%s", error->text);
    return net_user_create(&(struct net_user_config){.options = &options,
                                                     .option = "--net user",
                                                     .loop = loop,
                                                     .bus = bus,
                                                     .clock = guest_clock},
                           error);
}

static void plug(const char *text)
{
    struct error error;
    card = (struct card){.net = create(text, &error)};
    cr_assert(card.net, "%s", error.text);
    net_connect(card.net, &card_ops, &card);
}

static void kick(void)
{
    bus_lock(bus);
    net_kick(card.net);
    bus_unlock(bus);
}

/* Runs the loop until a frame of the type has come. */
static void await(uint16_t type)
{
    time_t end = time(NULL) + SECONDS;
    while (card.got_size < NET_HEADER || card.got[12] != type >> 8 ||
           card.got[13] != (type & 0xff)) {
        cr_assert(time(NULL) < end, "nothing comes");
        loop_run_once(loop, 10000000);
    }
}

enum { ARP = 0x0806, IPV4 = 0x0800 };

/* 10.0.2.15 asks for 10.0.2.2. */
static void send_arp(void)
{
    static const uint8_t frame[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 8, 6,
                                    0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 1,
                                    10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2};
    memcpy(card.sent, frame, sizeof(frame));
    card.sent_size = sizeof(frame);
    kick();
}

static void set_up(void)
{
    loop = loop_create();
    bus = bus_create();
    guest_clock = clock_create_manual();
}

static void tear_down(void)
{
    bus_destroy(bus);
    clock_destroy(guest_clock);
    loop_destroy(loop);
}

/* A TCP socket of 127.0.0.1 and its port. */
static int bind_socket(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(!bind(fd, (struct sockaddr *)&address, size));
    cr_assert(!getsockname(fd, (struct sockaddr *)&address, &size));
    *port = ntohs(address.sin_port);
    return fd;
}

TestSuite(net_user, .init = set_up, .fini = tear_down);

Test(net_user, answers_the_guest)
{
    plug("user");
    send_arp();
    await(ARP);
    cr_assert_eq(card.got[21], 2, "a reply");
    cr_assert_arr_eq(card.got + 28, "\x0a\0\x02\x02", 4);
    cr_assert_gt(card.settled, 0);
    net_destroy(card.net);
}

/* libslirp 4.7.0 would crash. */
Test(net_user, survives_a_last_fragment_alone)
{
    static const uint8_t frame[] = {0x52, 0x55, 10, 0,  2, 2, 2, 0,    0,  0,  0,    1,    8,  0,
                                    0x45, 0,    0,  28, 0, 1, 0, 0xc7, 64, 17, 0x61, 0xf9, 10, 0,
                                    2,    15,   10, 0,  2, 2, 4, 2,    0,  69, 0,    8,    0,  0};
    plug("user");
    memcpy(card.sent, frame, sizeof(frame));
    card.sent_size = sizeof(frame);
    kick();
    for (unsigned i = 0; i < 5; i++)
        loop_run_once(loop, 1000000);
    send_arp();
    await(ARP);
    net_destroy(card.net);
}

Test(net_user, waits_for_room)
{
    plug("user");
    card.full = true;
    send_arp();
    for (unsigned i = 0; i < 10; i++)
        loop_run_once(loop, 1000000);
    cr_assert_eq(card.refused, 1, "it asks again when it is kicked");
    card.full = false;
    kick();
    await(ARP);
    net_destroy(card.net);
}

Test(net_user, waits_while_the_guest_is_stopped)
{
    clock_destroy(guest_clock);
    guest_clock = clock_create_host();
    plug("user");
    send_arp();
    for (unsigned i = 0; i < 5; i++)
        loop_run_once(loop, 1000000);
    cr_assert_neq(card.sent_size, 0, "not taken");
    clock_start(guest_clock);
    await(ARP);
    net_destroy(card.net);
}

Test(net_user, outlives_its_card)
{
    plug("user");
    send_arp();
    net_connect(card.net, NULL, NULL);
    for (unsigned i = 0; i < 5; i++)
        loop_run_once(loop, 1000000);
    cr_assert_eq(card.settled, 0);
    net_destroy(card.net);
}

Test(net_user, forwards_connections)
{
    char text[64];
    uint16_t port;
    close(bind_socket(&port));
    snprintf(text, sizeof(text), "user,restrict=on,hostfwd=tcp::%u-:7", port);
    plug(text);
    send_arp();
    await(ARP);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    cr_assert(!connect(fd, (struct sockaddr *)&address, sizeof(address)));
    await(IPV4);
    cr_assert_eq(card.got[23], IPPROTO_TCP);
    cr_assert_arr_eq(card.got + 30, "\x0a\0\x02\x0f", 4, "the guest's first address");
    cr_assert_arr_eq(card.got + 36, "\0\x07", 2, "its port");
    close(fd);
    net_destroy(card.net);
}

Test(net_user, says_which_port_is_taken)
{
    char text[64];
    uint16_t port;
    struct error error;
    int fd = bind_socket(&port);
    cr_assert(!listen(fd, 1));
    snprintf(text, sizeof(text), "user,hostfwd=tcp::%u-:7", port);
    cr_assert_null(create(text, &error));
    cr_assert(strstr(error.text, "--net user: hostfwd=tcp:127.0.0.1:"), "%s", error.text);
    cr_assert(strstr(error.text, "Address already in use"), "%s", error.text);
    close(fd);
}
