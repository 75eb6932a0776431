#include "cli/commands.h"

#include "base/log.h"
#include "cli/daemon.h"
#include "cli/guest_window.h"
#include "cli/options.h"
#include "host/loop.h"
#include "host/terminal.h"
#include "machine/vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct run {
    struct run_options options;
    struct loop *loop;
    struct vm *vm;
    struct control *control;
    struct daemon daemon;
    struct guest_window window;
    int signals; /* a signalfd of SIGINT and SIGTERM */
    bool asked;  /* the power button has been pressed by a signal */
};

static void on_signal(void *opaque, int fd, short events)
{
    (void)events;
    struct run *run = opaque;
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (run->asked) {
        vm_end(run->vm, VM_CAUSE_SIGNAL);
        return;
    }
    run->asked = true;
    vm_press_power_button(run->vm);
}

/* Before any thread starts, so that all inherit the mask. */
static bool watch_signals(struct run *run, struct error *error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run->signals < 0 || !loop_watch(run->loop, run->signals, POLLIN, on_signal, run))
        return error_set(error, "signals cannot be watched: %s", strerror(errno));
    return true;
}

static bool open_trace(struct run_options *options, struct error *error)
{
    options->vm.trace.out = stderr;
    if (!options->trace_file)
        return true;
    options->vm.trace.out = fopen(options->trace_file, "we");
    return options->vm.trace.out || error_set(error, "--trace-file %s: cannot be written: %s",
                                              options->trace_file, strerror(errno));
}

/* Closes a file that was written; false where it does not have all of it. */
static bool close_written(FILE *file)
{
    bool written = !ferror(file);
    return fclose(file) == 0 && written;
}

static bool write_stats(const struct run *run, struct error *error)
{
    if (!run->options.stats)
        return true;
    const char *path = run->options.stats_file;
    if (!path) {
        vm_print_stats(run->vm, stderr, false);
        return true;
    }
    FILE *out = fopen(path, "we");
    if (!out)
        return error_set(error, "--stats=%s: cannot be written: %s", path, strerror(errno));
    vm_print_stats(run->vm, out, true);
    return close_written(out) ||
           error_set(error, "--stats=%s: not all of it could be written; is the disk full?", path);
}

static int exit_status(const struct vm_result *result)
{
    switch (result->end) {
    case VM_DIED:
        return EXIT_GUEST_DIED;
    case VM_DIFFERED:
        return EXIT_ENGINES_DIFFER;
    case VM_DEBUG_EXIT:
        return (int)result->status;
    default:
        return EXIT_GUEST_DONE;
    }
}

static bool open_window(struct run *run, struct error *error)
{
    const struct vm_config *config = &run->options.vm;
    const char *path = config->kernel ? config->kernel : config->firmware;
    const char *slash = strrchr(path, '/'), *name = run->options.control.name;
    if (!name)
        name = slash ? slash + 1 : path;
    return !run->options.window || guest_window_open(&run->window, run->vm, run->loop, name, error);
}

/* Runs the guest; the caller frees what run holds. */
static bool run_guest(struct run *run, int *status, struct error *error)
{
    if (run->options.daemonize && !daemon_begin(&run->daemon, error))
        return false;
    if (!open_trace(&run->options, error))
        return false;
    run->loop = loop_create();
    if (!run->loop)
        return error_set(error, "the event loop cannot be made: %s", strerror(errno));
    if (!watch_signals(run, error))
        return false;
    run->vm = vm_create(&run->options.vm, run->loop, error);
    if (!run->vm)
        return false;
    run->control = control_create(&run->options.control, run->vm, run->loop, error);
    if (!run->control || !open_window(run, error) ||
        (run->options.pidfile && !daemon_write_pid(run->options.pidfile, error)))
        return false;
    daemon_ready(&run->daemon);
    struct vm_result result;
    if (!vm_run(run->vm, &result, error))
        return false;
    terminal_leave_raw(); /* what is printed now is for people */
    if (result.end == VM_DIED)
        vm_report_death(run->vm, stderr);
    if (result.end == VM_DIFFERED)
        vm_report_difference(run->vm, stderr);
    *status = exit_status(&result);
    return write_stats(run, error);
}

int run_to_end(const struct run_options *options)
{
    struct run run = {.options = *options, .daemon.ready = -1, .signals = -1};
    struct error error;
    int status = EXIT_HOST_ERROR;
    if (!run_guest(&run, &status, &error)) {
        status = EXIT_HOST_ERROR;
        terminal_leave_raw();
        log_error("%s", error.text);
    }
    guest_window_close(&run.window);
    control_destroy(run.control);
    if (run.vm)
        vm_destroy(run.vm);
    if (run.options.pidfile && run.control)
        unlink(run.options.pidfile);
    if (run.signals >= 0)
        close(run.signals);
    if (run.loop)
        loop_destroy(run.loop);
    if (run.options.trace_file && run.options.vm.trace.out &&
        !close_written(run.options.vm.trace.out)) {
        status = EXIT_HOST_ERROR;
        log_error("--trace-file %s: not all of it could be written; is the disk full?",
                  run.options.trace_file);
    }
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct run_options options;
    struct error error;
    int status = 0;
    if (!options_parse_run(argc, argv, &options, &error)) {
        log_error("%s", error.text);
        status = EXIT_HOST_ERROR;
    } else if (options.help) {
        fputs(options_run_help(), stdout);
    } else {
        status = run_to_end(&options);
    }
    options_free(&options);
    return status;
}
