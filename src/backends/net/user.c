#include "backends/net/user.h"

#include "backends/net/fragments.h"
#include "base/bits.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "host/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <libslirp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000ull

/* Frames in a row, each behind its size in 4 bytes. */
struct frames {
    size_t begin, end;
    uint8_t bytes[1 << 20];
};

/* How much is taken off the card while it holds the bus lock, and how often in a row until the
 * loop's others have their turn. */
enum { TAKEN_MAX = 256 << 10, ROUNDS_MAX = 32 };

struct user_timer {
    SlirpTimerCb fn;
    void *opaque;
    uint64_t deadline; /* ms of the guest's clock; UINT64_MAX: not armed */
    struct user_timer *next;
};

/* The loop's thread has all of it but `kicked`. libslirp runs without the bus lock. */
struct net_user {
    struct net net;
    struct loop *loop;
    struct bus *bus;
    const struct clock *clock;
    struct loop_source source;
    Slirp *slirp;
    struct user_timer *timers;
    _Atomic bool kicked;
    bool card_is_full; /* and will kick */
    struct frames to_guest, from_guest;
    struct fragments fragments; /* of the guest */
};

/* --- Frames */

/* Room for a frame of up to size bytes, or NULL. */
static uint8_t *frames_reserve(struct frames *frames, size_t size)
{
    size_t need = sizeof(uint32_t) + size;
    if (sizeof(frames->bytes) - frames->end < need && frames->begin) {
        memmove(frames->bytes, frames->bytes + frames->begin, frames->end - frames->begin);
        frames->end -= frames->begin;
        frames->begin = 0;
    }
    return sizeof(frames->bytes) - frames->end < need
               ? NULL
               : frames->bytes + frames->end + sizeof(uint32_t);
}

/* Adds the frame that is where frames_reserve() said. */
static void frames_add(struct frames *frames, uint32_t size)
{
    store_le(frames->bytes + frames->end, size, sizeof(size));
    frames->end += sizeof(size) + size;
}

/* The first frame, which stays; NULL: there is none. */
static const uint8_t *frames_first(const struct frames *frames, uint32_t *size)
{
    if (frames->begin == frames->end)
        return NULL;
    *size = (uint32_t)load_le(frames->bytes + frames->begin, sizeof(*size));
    return frames->bytes + frames->begin + sizeof(*size);
}

static void frames_drop_first(struct frames *frames)
{
    frames->begin += sizeof(uint32_t) + load_le(frames->bytes + frames->begin, sizeof(uint32_t));
    if (frames->begin == frames->end)
        frames->begin = frames->end = 0;
}

/* --- What libslirp asks for */

/* What has no room is lost, as on a wire. */
static ssize_t send_packet(const void *packet, size_t size, void *opaque)
{
    struct net_user *user = opaque;
    uint8_t *room = size <= NET_FRAME_MAX ? frames_reserve(&user->to_guest, size) : NULL;
    if (room) {
        memcpy(room, packet, size);
        frames_add(&user->to_guest, (uint32_t)size);
    }
    return (ssize_t)size;
}

static int64_t clock_get_ns(void *opaque)
{
    struct net_user *user = opaque;
    return (int64_t)clock_now(user->clock);
}

static void *timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    struct net_user *user = opaque;
    struct user_timer *timer = malloc(sizeof(*timer));
    if (!timer)
        abort(); /* libslirp aborts too where it has no memory */
    *timer = (struct user_timer){fn, fn_opaque, UINT64_MAX, user->timers};
    return user->timers = timer;
}

static void timer_free(void *which, void *opaque)
{
    struct net_user *user = opaque;
    struct user_timer **at = &user->timers;
    while (*at != which)
        at = &(*at)->next;
    *at = (*at)->next;
    free(which);
}

static void timer_mod(void *which, int64_t deadline, void *opaque)
{
    struct user_timer *timer = which;
    (void)opaque;
    timer->deadline = deadline < 0 ? 0 : (uint64_t)deadline;
}

static void ignore_error(const char *message, void *opaque)
{
    (void)message;
    (void)opaque;
}

static void ignore_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void ignore(void *opaque)
{
    (void)opaque;
}

/* What libslirp has to say of guests that do as they like. */
static void ignore_log(const char *domain, GLogLevelFlags level, const char *message, void *opaque)
{
    (void)domain;
    (void)level;
    (void)message;
    (void)opaque;
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = ignore_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = ignore_fd, /* they are named before each wait */
    .unregister_poll_fd = ignore_fd,
    .notify = ignore, /* it is called on the loop's thread alone */
};

/* --- Between the card and libslirp */

static void give_frames(struct net_user *user)
{
    const struct net_card_ops *card = user->net.card_ops;
    const uint8_t *frame;
    uint32_t size;
    user->card_is_full = false;
    while ((frame = frames_first(&user->to_guest, &size))) {
        if (!card->give(user->net.card, frame, size)) {
            user->card_is_full = true;
            return;
        }
        frames_drop_first(&user->to_guest);
    }
}

static void take_frames(struct net_user *user)
{
    const struct net_card_ops *card = user->net.card_ops;
    while (user->from_guest.end < TAKEN_MAX) {
        uint8_t *room = frames_reserve(&user->from_guest, NET_FRAME_MAX);
        uint32_t size = card->take(user->net.card, room);
        if (!size)
            return;
        frames_add(&user->from_guest, size);
    }
}

static void feed_frames(struct net_user *user)
{
    const uint8_t *frame;
    uint32_t size;
    while ((frame = frames_first(&user->from_guest, &size))) {
        const uint8_t *whole = fragments_take(&user->fragments, frame, &size);
        if (whole)
            slirp_input(user->slirp, whole, (int)size);
        frames_drop_first(&user->from_guest);
    }
}

/* Carries frames both ways until the guest has no more. */
static void carry(struct net_user *user)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        user->kicked = false;
        bus_lock(user->bus);
        give_frames(user);
        take_frames(user);
        user->net.card_ops->settle(user->net.card);
        bus_unlock(user->bus);
        if (user->from_guest.begin == user->from_guest.end)
            return;
        feed_frames(user);
    }
    net_kick(&user->net);
}

/* Called in the vCPU's thread: one wake-up for all that comes before the loop has looked. */
static void kick(struct net *net)
{
    struct net_user *user = (struct net_user *)net;
    if (!atomic_exchange(&user->kicked, true))
        loop_wake(user->loop);
}

/* --- The loop */

static int add_poll(int fd, int events, void *opaque)
{
    struct net_user *user = opaque;
    short wanted =
        (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    return loop_poll(user->loop, fd, wanted);
}

static int get_events(int number, void *opaque)
{
    struct net_user *user = opaque;
    short came = loop_polled(user->loop, number);
    return (came & POLLIN ? SLIRP_POLL_IN : 0) | (came & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (came & POLLPRI ? SLIRP_POLL_PRI : 0) | (came & POLLERR ? SLIRP_POLL_ERR : 0) |
           (came & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* Not while the guest is stopped: what looks at it then would see it change. */
static bool has_to_carry(const struct net_user *user)
{
    bool gives = user->to_guest.begin != user->to_guest.end && !user->card_is_full;
    return user->net.card && (user->kicked || gives) && !clock_is_stopped(user->clock);
}

static uint64_t prepare(void *opaque)
{
    struct net_user *user = opaque;
    uint32_t timeout = UINT32_MAX;
    slirp_pollfds_fill(user->slirp, &timeout, add_poll, user);
    if (has_to_carry(user))
        return 0;
    uint64_t now = clock_now(user->clock) / NS_PER_MS, wait = timeout;
    for (const struct user_timer *timer = user->timers; timer; timer = timer->next) {
        uint64_t left = timer->deadline > now ? timer->deadline - now : 0;
        wait = left < wait ? left : wait;
    }
    return wait == UINT32_MAX ? UINT64_MAX : wait * NS_PER_MS;
}

static void fire_timers(struct net_user *user)
{
    uint64_t now = clock_now(user->clock) / NS_PER_MS;
    for (struct user_timer *timer = user->timers; timer; timer = timer->next) {
        if (timer->deadline > now)
            continue;
        timer->deadline = UINT64_MAX;
        timer->fn(timer->opaque);
    }
}

static void dispatch(void *opaque)
{
    struct net_user *user = opaque;
    slirp_pollfds_poll(user->slirp, 0, get_events, user);
    fire_timers(user);
    if (has_to_carry(user))
        carry(user);
}

/* --- Life */

static void destroy(struct net *net)
{
    struct net_user *user = (struct net_user *)net;
    loop_remove_source(user->loop, &user->source);
    if (user->slirp)
        slirp_cleanup(user->slirp);
    free(user);
}

static const struct net_ops ops = {kick, destroy};

static Slirp *create_slirp(const struct net_options *options, struct net_user *user)
{
    SlirpConfig config = {
        .version = 1,
        .restricted = options->restricted,
        .in_enabled = true,
        .in6_enabled = true,
        .vprefix_len = 64,
        .vhostname = *options->host_name ? options->host_name : NULL,
        .if_mtu = options->mtu,
        .if_mru = options->mtu,
    };
    inet_pton(AF_INET, "10.0.2.0", &config.vnetwork);
    inet_pton(AF_INET, "255.255.255.0", &config.vnetmask);
    inet_pton(AF_INET, "10.0.2.2", &config.vhost);
    inet_pton(AF_INET, "10.0.2.3", &config.vnameserver);
    inet_pton(AF_INET, "10.0.2.15", &config.vdhcp_start);
    inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config.vhost6);
    inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
    return slirp_new(&config, &callbacks, user);
}

static bool add_forward(struct net_user *user, const struct net_forward *forward,
                        const char *option, struct error *error)
{
    errno = 0;
    if (!slirp_add_hostfwd(user->slirp, forward->udp, forward->host, forward->host_port,
                           forward->guest, forward->guest_port))
        return true;
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &forward->host, host, sizeof(host));
    return error_set(error, "%s: hostfwd=%s:%s:%u: the host cannot listen there: %s", option,
                     forward->udp ? "udp" : "tcp", host, forward->host_port, strerror(errno));
}

static bool start(struct net_user *user, const struct net_options *options, const char *option,
                  struct error *error)
{
    signal(SIGPIPE, SIG_IGN);
    g_log_set_handler("Slirp", G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE,
                      ignore_log, NULL);
    user->slirp = create_slirp(options, user);
    if (!user->slirp)
        return error_set(error, "%s: libslirp %s does not start", option, slirp_version_string());
    for (unsigned i = 0; i < options->forward_count; i++)
        if (!add_forward(user, &options->forward[i], option, error))
            return false;
    return true;
}

struct net *net_user_create(const struct net_user_config *config, struct error *error)
{
    struct net_user *user = calloc(1, sizeof(*user));
    if (!user) {
        error_format(error, "%s: no memory for the guest's network", config->option);
        return NULL;
    }
    user->net.ops = &ops;
    user->loop = config->loop;
    user->bus = config->bus;
    user->clock = config->clock;
    user->source = (struct loop_source){prepare, dispatch, user, NULL};
    loop_add_source(user->loop, &user->source);
    if (start(user, config->options, config->option, error))
        return &user->net;
    destroy(&user->net);
    return NULL;
}
