#include "ui/window.h"

#include "backends/display/screenshot.h"
#include "base/log.h"
#include "host/loop.h"
#include "ui/keys.h"
#include "ui/view.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define FRAME_NS 16666667ull

/* What the loop's thread is asked to do. */
enum request {
    REQUEST_POWER_BUTTON = 1 << 0,
    REQUEST_END = 1 << 1,
    REQUEST_RESET = 1 << 2,
    REQUEST_PAUSE = 1 << 3,
};

struct window {
    struct window_config config;
    pthread_t thread;
    sem_t opened; /* or not: error */
    bool failed;
    struct error error;
    int requested; /* an eventfd, for the loop */
    _Atomic uint32_t requests;

    uint32_t wake;         /* the type of the event that ends a wait */
    _Atomic bool stale;    /* the display has changed */
    _Atomic bool paused;   /* as the title is to say */
    _Atomic bool retitled; /* and does not yet */
    _Atomic bool closing;

    /* The window's thread alone. */
    struct view view;
    bool exposed;          /* all is to be shown anew */
    bool asked;            /* the power button has been pressed by closing the window */
    bool grabbed;          /* the mouse is the guest's */
    bool held[256];        /* the guest's keys that are down */
    uint8_t buttons;       /* of the mouse */
    uint64_t again, drawn; /* host ns: when to look though nothing has changed; the last look */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- From and to other threads */

static void wake(struct window *window)
{
    SDL_PushEvent(&(SDL_Event){.type = window->wake});
}

static void on_changed(void *opaque)
{
    struct window *window = opaque;
    window->stale = true;
    wake(window);
}

static void ask(struct window *window, enum request request)
{
    uint64_t one = 1;
    window->requests |= request;
    if (write(window->requested, &one, sizeof(one)) < 0)
        log_error("the window cannot reach its guest");
}

static void on_requested(void *opaque, int fd, short events)
{
    struct window *window = opaque;
    const struct window_guest *guest = &window->config.guest;
    uint64_t count;
    (void)events;
    if (read(fd, &count, sizeof(count)) < 0)
        return;
    uint32_t requests = atomic_exchange(&window->requests, 0);
    if (requests & REQUEST_PAUSE)
        guest->pause(guest->opaque);
    if (requests & REQUEST_RESET)
        guest->reset(guest->opaque);
    if (requests & REQUEST_POWER_BUTTON)
        guest->power_button(guest->opaque);
    if (requests & REQUEST_END)
        guest->end(guest->opaque);
}

void window_set_paused(struct window *window, bool paused)
{
    window->paused = paused;
    window->retitled = true;
    wake(window);
}

/* --- The title and the grab */

static void set_title(struct window *window)
{
    char title[256];
    snprintf(title, sizeof(title), "%s%s - Doppel%s", window->config.name,
             window->paused ? " (paused)" : "",
             window->grabbed ? " - Ctrl-Alt-G releases the mouse" : "");
    SDL_SetWindowTitle(window->view.window, title);
}

static void set_grab(struct window *window, bool on)
{
    window->grabbed = on;
    SDL_SetRelativeMouseMode(on);
    SDL_SetWindowKeyboardGrab(window->view.window, on);
    set_title(window);
}

/* --- Keys */

static void press(struct window *window, uint8_t key, bool pressed)
{
    if (!key || (!pressed && !window->held[key]))
        return;
    window->held[key] = pressed;
    window->config.guest.key(window->config.guest.opaque, key, pressed);
}

static void release_all(struct window *window)
{
    for (unsigned key = 0; key < ARRAY_SIZE(window->held); key++)
        press(window, (uint8_t)key, false);
}

static void press_ctrl_alt_del(struct window *window)
{
    static const SDL_Scancode keys[] = {SDL_SCANCODE_LCTRL, SDL_SCANCODE_LALT, SDL_SCANCODE_DELETE};
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        press(window, key_of_scancode(keys[i]), true);
    for (unsigned i = ARRAY_SIZE(keys); i-- > 0;)
        press(window, key_of_scancode(keys[i]), false);
}

static void take_screenshot(struct window *window)
{
    char path[64];
    struct tm tm;
    time_t now = time(NULL);
    strftime(path, sizeof(path), "doppel-%Y%m%d-%H%M%S.png", localtime_r(&now, &tm));
    struct error error;
    const struct surface *surface = display_look(window->config.display, NULL);
    if (!screenshot_write(surface, path, IMAGE_PNG, &error))
        log_error("%s", error.text);
    display_unlock(window->config.display);
    window->exposed = true;
}

static void show_help(struct window *window)
{
    release_all(window);
    set_grab(window, false);
    SDL_ShowSimpleMessageBox(SDL_MESSAGEBOX_INFORMATION, "Doppel",
                             "With Ctrl and Alt:\n"
                             "D  Ctrl-Alt-Del for the guest\n"
                             "F  full screen, or not\n"
                             "G  grabs the mouse, or releases it\n"
                             "H  this list\n"
                             "I  scales by whole numbers, or as large as fits\n"
                             "O  presses the power button\n"
                             "P  pauses the guest, or lets it go on\n"
                             "R  resets the guest\n"
                             "S  writes a screenshot, doppel-DATE-TIME.png\n"
                             "\n"
                             "A click grabs the mouse. Closing the window presses the power\n"
                             "button; closing it again ends the guest.",
                             window->view.window);
}

/* A key with Ctrl and Alt. False: it is the guest's. */
static bool run_hotkey(struct window *window, SDL_Scancode scancode)
{
    switch (scancode) {
    case SDL_SCANCODE_D:
        press_ctrl_alt_del(window);
        return true;
    case SDL_SCANCODE_F:
        view_set_full_screen(&window->view, !view_is_full_screen(&window->view));
        return true;
    case SDL_SCANCODE_G:
        set_grab(window, !window->grabbed);
        return true;
    case SDL_SCANCODE_H:
        show_help(window);
        return true;
    case SDL_SCANCODE_I:
        window->view.whole = !window->view.whole;
        window->exposed = true;
        return true;
    case SDL_SCANCODE_O:
        ask(window, REQUEST_POWER_BUTTON);
        return true;
    case SDL_SCANCODE_P:
        ask(window, REQUEST_PAUSE);
        return true;
    case SDL_SCANCODE_R:
        ask(window, REQUEST_RESET);
        return true;
    case SDL_SCANCODE_S:
        take_screenshot(window);
        return true;
    default:
        return false;
    }
}

static void on_key(struct window *window, const SDL_KeyboardEvent *event)
{
    bool pressed = event->state == SDL_PRESSED;
    SDL_Scancode scancode = event->keysym.scancode;
    bool chord = event->keysym.mod & KMOD_CTRL && event->keysym.mod & KMOD_ALT;
    if (pressed && chord && !event->repeat && run_hotkey(window, scancode))
        return;
    press(window, key_of_scancode(scancode), pressed);
}

/* --- The mouse */

static void move_mouse(struct window *window, int right, int down, int wheel)
{
    const struct window_guest *guest = &window->config.guest;
    if (window->grabbed)
        guest->mouse(guest->opaque, right, down, wheel, window->buttons);
}

static void on_button(struct window *window, const SDL_MouseButtonEvent *event)
{
    static const uint8_t bits[] = {
        [SDL_BUTTON_LEFT] = 1, [SDL_BUTTON_RIGHT] = 2, [SDL_BUTTON_MIDDLE] = 4};
    uint8_t bit = event->button < ARRAY_SIZE(bits) ? bits[event->button] : 0;
    if (!window->grabbed) { /* the click that grabs is not the guest's */
        if (event->state == SDL_PRESSED && bit == 1)
            set_grab(window, true);
        return;
    }
    window->buttons = event->state == SDL_PRESSED ? window->buttons | bit : window->buttons & ~bit;
    move_mouse(window, 0, 0, 0);
}

/* --- The thread */

static void on_close(struct window *window)
{
    ask(window, window->asked ? REQUEST_END : REQUEST_POWER_BUTTON);
    window->asked = true;
}

static void on_window_event(struct window *window, const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_CLOSE:
        on_close(window);
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        release_all(window);
        set_grab(window, false);
        break;
    case SDL_WINDOWEVENT_EXPOSED:
    case SDL_WINDOWEVENT_SIZE_CHANGED:
        window->exposed = true;
        break;
    }
}

static void on_event(struct window *window, const SDL_Event *event)
{
    switch (event->type) {
    case SDL_WINDOWEVENT:
        on_window_event(window, &event->window);
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        on_key(window, &event->key);
        break;
    case SDL_MOUSEMOTION:
        move_mouse(window, event->motion.xrel, event->motion.yrel, 0);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        on_button(window, &event->button);
        break;
    case SDL_MOUSEWHEEL:
        move_mouse(window, 0, 0, -event->wheel.y);
        break;
    case SDL_RENDER_TARGETS_RESET:
    case SDL_RENDER_DEVICE_RESET:
        window->exposed = true;
        break;
    }
}

/* Shows what there is to show, and returns in how many ns there will be more, or DISPLAY_NEVER. */
static uint64_t refresh(struct window *window)
{
    uint64_t now = now_ns();
    if (atomic_exchange(&window->retitled, false))
        set_title(window);
    bool due = window->stale || window->exposed || now >= window->again;
    if (due && now - window->drawn >= FRAME_NS) {
        bool all = window->exposed;
        window->stale = window->exposed = false;
        window->drawn = now;
        uint64_t again = view_refresh(&window->view, all);
        window->again = again == DISPLAY_NEVER ? again : now + again;
        due = window->stale;
    }
    if (due)
        return window->drawn + FRAME_NS > now ? window->drawn + FRAME_NS - now : 0;
    return window->again == DISPLAY_NEVER ? DISPLAY_NEVER : window->again - now;
}

static void wait_for_event(struct window *window, uint64_t ns)
{
    SDL_Event event;
    bool came = ns == DISPLAY_NEVER ? SDL_WaitEvent(&event)
                                    : SDL_WaitEventTimeout(&event, (int)(ns / 1000000) + 1);
    while (came && !window->closing) {
        on_event(window, &event);
        came = SDL_PollEvent(&event);
    }
}

static bool open_window(struct window *window)
{
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    if (SDL_Init(SDL_INIT_VIDEO) < 0)
        return error_set(&window->error,
                         "--display sdl: there is no display to open a window on (%s); set DISPLAY "
                         "or WAYLAND_DISPLAY, or give --display none",
                         SDL_GetError());
    SDL_EnableScreenSaver();
    window->wake = SDL_RegisterEvents(1);
    if (!view_open(&window->view, window->config.display, "Doppel", &window->error))
        return false;
    window->exposed = true;
    window->retitled = true;
    return true;
}

static void *window_main(void *opaque)
{
    struct window *window = opaque;
    window->failed = !open_window(window);
    bool open = !window->failed;
    sem_post(&window->opened);
    while (open && !window->closing)
        wait_for_event(window, refresh(window));
    view_close(&window->view);
    SDL_Quit();
    return NULL;
}

static bool start(struct window *window, struct error *error)
{
    window->requested = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (window->requested < 0 ||
        !loop_watch(window->config.loop, window->requested, POLLIN, on_requested, window))
        return error_set(error, "--display sdl: the host refuses a descriptor or memory");
    if (pthread_create(&window->thread, NULL, window_main, window) != 0)
        return error_set(error, "--display sdl: the window's thread cannot be started");
    pthread_setname_np(window->thread, "window");
    while (sem_wait(&window->opened) != 0)
        continue;
    if (!window->failed)
        return true;
    pthread_join(window->thread, NULL);
    *error = window->error;
    return false;
}

static void free_window(struct window *window)
{
    if (window->requested >= 0) {
        loop_unwatch(window->config.loop, window->requested);
        close(window->requested);
    }
    sem_destroy(&window->opened);
    free(window);
}

struct window *window_create(const struct window_config *config, struct error *error)
{
    struct window *window = calloc(1, sizeof(*window));
    if (!window) {
        error_format(error, "--display sdl: no memory for the window");
        return NULL;
    }
    window->config = *config;
    window->requested = -1;
    sem_init(&window->opened, 0, 0);
    if (!start(window, error)) {
        free_window(window);
        return NULL;
    }
    display_set_viewer(config->display, on_changed, window);
    return window;
}

void window_destroy(struct window *window)
{
    display_set_viewer(window->config.display, NULL, NULL);
    window->closing = true;
    wake(window);
    pthread_join(window->thread, NULL);
    free_window(window);
}
