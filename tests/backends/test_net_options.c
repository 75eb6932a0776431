#include "backends/net/options.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct net_options parse(const char *text)
{
    struct net_options options;
    struct error error;
    cr_assert(net_options_parse(&options, "--net", text, &error), "%s", error.text);
    return options;
}

static void refuses(const char *text, const char *message)
{
    struct net_options options;
    struct error error = {""};
    cr_expect_not(net_options_parse(&options, "--net", text, &error), "%s is taken", text);
    cr_expect(strstr(error.text, message), "\"%s\" does not say \"%s\"", error.text, message);
    cr_expect(strstr(error.text, "--net") == error.text);
}

Test(net_options, settings)
{
    cr_assert_eq(parse("none").kind, NET_NONE);
    struct net_options plain = parse("user");
    cr_assert_eq(plain.kind, NET_USER);
    cr_assert_eq(plain.model, NET_VIRTIO);
    cr_assert_eq(plain.mtu, NET_MTU_DEFAULT);
    cr_assert_not(plain.restricted);
    struct net_options all = parse("user,model=e1000,mac=02:a0:0B:cC:0d:0e,mtu=9000,restrict=on,"
                                   "hostname=guest-1");
    cr_assert_eq(all.model, NET_E1000);
    cr_assert_arr_eq(all.mac, "\x02\xa0\x0b\xcc\x0d\x0e", 6);
    cr_assert_eq(all.mtu, 9000);
    cr_assert(all.restricted);
    cr_assert_str_eq(all.host_name, "guest-1");
    cr_assert_not(parse("user,restrict=on,restrict=off").restricted);
}

Test(net_options, forwards)
{
    struct net_options options =
        parse("user,hostfwd=tcp::2222-:22,hostfwd=udp:10.1.2.3:53-10.0.2.20:65535");
    cr_assert_eq(options.forward_count, 2);
    cr_assert_not(options.forward[0].udp);
    cr_assert_eq(options.forward[0].host.s_addr, htonl(INADDR_LOOPBACK));
    cr_assert_eq(options.forward[0].host_port, 2222);
    cr_assert_eq(options.forward[0].guest.s_addr, 0);
    cr_assert_eq(options.forward[0].guest_port, 22);
    cr_assert(options.forward[1].udp);
    cr_assert_eq(options.forward[1].host.s_addr, inet_addr("10.1.2.3"));
    cr_assert_eq(options.forward[1].host_port, 53);
    cr_assert_eq(options.forward[1].guest.s_addr, inet_addr("10.0.2.20"));
    cr_assert_eq(options.forward[1].guest_port, 65535);
}

Test(net_options, refuses_bad_forwards)
{
    static const char *const bad[] = {
        "",
        "tcp",
        "tcp:",
        "sctp::1-:2",
        ":1-:2",
        "tcp::1",
        "tcp::1-2",
        "tcp:1-:2",
        "tcp::0-:2",
        "tcp::1-:0",
        "tcp::65536-:2",
        "tcp::1-:65536",
        "tcp::-1-:2",
        "tcp:: 1-:2",
        "tcp::1-:2x",
        "tcp::1-:2-:3",
        "tcp:localhost:1-:2",
        "tcp:1.2.3:1-:2",
        "tcp::1-1.2.3.4.5:2",
        "tcp:::1:1-:2",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[64];
        snprintf(text, sizeof(text), "user,hostfwd=%s", bad[i]);
        refuses(text, "hostfwd=");
    }
    char many[1024] = "user";
    for (unsigned i = 0; i <= NET_FORWARDS_MAX; i++)
        strcat(many, ",hostfwd=tcp::1-:2");
    refuses(many, "there can be");
}

Test(net_options, refuses_what_it_does_not_know)
{
    refuses("", "is not offered");
    refuses("tap", "tap");
    refuses("none,mtu=1500", "is not offered");
    refuses("user,", "\"\" is unknown");
    refuses("user,model", "\"model\" is unknown");
    refuses("user,model=ne2000", "model=ne2000");
    refuses("user,restrict=maybe", "restrict=maybe");
    refuses("user,speed=1", "\"speed\" is unknown");
    for (const char *const *mac =
             (const char *const[]){"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:56:78",
                                   "52-54-00-12-34-56", "53:54:00:12:34:56", "00:00:00:00:00:00",
                                   "5g:54:00:12:34:56", NULL};
         *mac; mac++) {
        char text[64];
        snprintf(text, sizeof(text), "user,mac=%s", *mac);
        refuses(text, "mac=");
    }
    for (const char *const *mtu = (const char *const[]){"", "0", "1279", "65522", "x", "1500x",
                                                        "99999999999999999999", NULL};
         *mtu; mtu++) {
        char text[64];
        snprintf(text, sizeof(text), "user,mtu=%s", *mtu);
        refuses(text, "mtu=");
    }
    refuses("user,hostname=", "hostname=");
    refuses("user,hostname=-a", "hostname=");
    refuses("user,hostname=a.b", "hostname=");
    refuses("user,hostname=a23456789012345678901234567890123", "hostname=");
}
