#include "backends/chardev.h"
#include "bus/bus.h"
#include "pipes.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct guest {
    struct loop *loop;
    struct bus *bus;
    struct chardev *chardev;
    size_t room; /* what can_receive says; receiving uses it up */
    char received[16384];
    size_t count;
    unsigned writable, quits;
    char folder[32];
};

static size_t can_receive(void *opaque)
{
    struct guest *guest = opaque;
    return guest->room;
}

static void receive(void *opaque, const uint8_t *bytes, size_t count)
{
    struct guest *guest = opaque;
    cr_assert_leq(count, guest->room);
    guest->room -= count;
    memcpy(guest->received + guest->count, bytes, count);
    guest->count += count;
    guest->received[guest->count] = 0;
}

static void on_writable(void *opaque)
{
    struct guest *guest = opaque;
    guest->writable++;
}

static void on_quit(void *opaque)
{
    struct guest *guest = opaque;
    guest->quits++;
}

static struct guest *setup(void)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    guest->loop = loop_create();
    guest->bus = bus_create();
    guest->room = 4096;
    strcpy(guest->folder, "/tmp/doppel-test-XXXXXX");
    cr_assert(mkdtemp(guest->folder));
    return guest;
}

static void teardown(struct guest *guest)
{
    chardev_destroy(guest->chardev);
    bus_destroy(guest->bus);
    loop_destroy(guest->loop);
    rmdir(guest->folder);
    free(guest);
}

static bool open_chardev(struct guest *guest, const char *spec, struct error *error)
{
    guest->chardev = chardev_create(spec, guest->loop, guest->bus, on_quit, guest, error);
    if (!guest->chardev)
        return false;
    bus_lock(guest->bus);
    chardev_set_receiver(guest->chardev, &(struct chardev_receiver){
                                             .can_receive = can_receive,
                                             .receive = receive,
                                             .writable = on_writable,
                                             .opaque = guest,
                                         });
    bus_unlock(guest->bus);
    return true;
}

static void must_open(struct guest *guest, const char *spec)
{
    struct error error;
    cr_assert(open_chardev(guest, spec, &error), "%s", error.text);
}

static size_t room(struct guest *guest)
{
    bus_lock(guest->bus);
    size_t count = chardev_write_room(guest->chardev);
    bus_unlock(guest->bus);
    return count;
}

static void say(struct guest *guest, const char *text)
{
    bus_lock(guest->bus);
    chardev_write(guest->chardev, (const uint8_t *)text, strlen(text));
    bus_unlock(guest->bus);
    settle(guest->loop);
}

static void make_room(struct guest *guest, size_t count)
{
    bus_lock(guest->bus);
    guest->room = count;
    chardev_accept_input(guest->chardev);
    bus_unlock(guest->bus);
    settle(guest->loop);
}

static void expect_error(const char *spec, const char *part)
{
    struct guest *guest = setup();
    struct error error;
    cr_assert_not(open_chardev(guest, spec, &error), "%s", spec);
    cr_assert(strstr(error.text, spec), "'%s' does not name %s", error.text, spec);
    cr_assert(strstr(error.text, part), "'%s' does not say '%s'", error.text, part);
    teardown(guest);
}

Test(chardev, errors_say_what_and_where)
{
    expect_error("stdioo", "use stdio");
    expect_error("", "use stdio");
    expect_error("none:", "use stdio");
    expect_error("file:", "file:PATH");
    expect_error("file", "file:PATH");
    expect_error("file:/nonexistent/log", "No such file");
    expect_error("file:/tmp", "directory");
    expect_error("unix:/nonexistent/socket", "No such file");
    char spec[300] = "unix:/";
    memset(spec + 6, 'x', 200);
    expect_error(spec, "at most 107");
}

Test(chardev, none_swallows)
{
    struct guest *guest = setup();
    must_open(guest, "none");
    say(guest, "into the void");
    cr_assert_eq(room(guest), CHARDEV_QUEUE);
    teardown(guest);
}

Test(chardev, stdio_passes_every_byte_of_a_pipe)
{
    struct guest *guest = setup();
    struct pipes pipes = pipes_open();
    char text[64];
    must_open(guest, "stdio");
    cr_assert_eq(write(pipes.to_input, "a\001x\003b", 5), 5);
    settle(guest->loop);
    cr_assert_str_eq(guest->received, "a\001x\003b");
    cr_assert_eq(guest->quits, 0);
    say(guest, "out\n");
    pipes_read(&pipes, text, sizeof(text));
    cr_assert_str_eq(text, "out\n");
    cr_assert_not(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, "the shell's, too");
    cr_assert_not(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);

    close(pipes.to_input);
    settle(guest->loop);
    say(guest, "still here");
    pipes_read(&pipes, text, sizeof(text));
    cr_assert_str_eq(text, "still here", "the end of input ends input only");
    teardown(guest);
}

Test(chardev, input_waits_for_room)
{
    struct guest *guest = setup();
    struct pipes pipes = pipes_open();
    guest->room = 3;
    must_open(guest, "stdio");
    cr_assert_eq(write(pipes.to_input, "abcdefgh", 8), 8);
    settle(guest->loop);
    cr_assert_str_eq(guest->received, "abc");
    close(pipes.to_input);
    make_room(guest, 2);
    cr_assert_str_eq(guest->received, "abcde");
    make_room(guest, 100);
    cr_assert_str_eq(guest->received, "abcdefgh");
    teardown(guest);
}

Test(chardev, input_comes_from_a_file)
{
    struct guest *guest = setup();
    FILE *file = tmpfile();
    for (int i = 0; i < 1000; i++)
        fprintf(file, "line %d\n", i);
    long size = ftell(file);
    rewind(file);
    dup2(fileno(file), STDIN_FILENO);
    guest->room = 0;
    must_open(guest, "stdio");
    for (int i = 0; i < 100; i++)
        make_room(guest, 100);
    cr_assert_eq(guest->count, (size_t)size);
    cr_assert(strstr(guest->received, "line 0\n") && strstr(guest->received, "line 999\n"));
    teardown(guest);
}

Test(chardev, closed_standard_streams_are_like_none)
{
    struct guest *guest = setup();
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    must_open(guest, "stdio");
    say(guest, "x");
    cr_assert_eq(room(guest), CHARDEV_QUEUE);
    teardown(guest);
}

Test(chardev, a_reader_that_stalls_never_blocks_the_guest)
{
    struct guest *guest = setup();
    struct pipes pipes = pipes_open();
    static char text[1 << 20], line[32];
    must_open(guest, "stdio");
    unsigned lines = 0;
    for (; room(guest) >= sizeof(line); lines++) {
        snprintf(line, sizeof(line), "line %u\n", lines);
        say(guest, line);
    }
    for (int i = 0; i < 100; i++)
        say(guest, "dropped, and the oldest bytes stay\n");
    cr_assert_eq(room(guest), 0);
    cr_assert_eq(guest->writable, 0);

    size_t got = 0;
    for (int i = 0; i < 64; i++) {
        got += pipes_read(&pipes, text + got, sizeof(text) - got);
        settle(guest->loop);
    }
    cr_assert_eq(guest->writable, 1);
    snprintf(line, sizeof(line), "line %u\n", lines - 1);
    cr_assert(strstr(text, "line 0\n") == text && strstr(text, line));
    teardown(guest);
}

Test(chardev, output_to_nobody_is_dropped)
{
    struct guest *guest = setup();
    struct pipes pipes = pipes_open();
    must_open(guest, "stdio");
    close(pipes.from_output);
    say(guest, "no reader, and no SIGPIPE");
    cr_assert_eq(room(guest), CHARDEV_QUEUE);
    teardown(guest);
}

Test(chardev, destroy_writes_what_is_queued)
{
    struct guest *guest = setup();
    char path[64], spec[80], text[16] = "";
    snprintf(path, sizeof(path), "%s/log", guest->folder);
    snprintf(spec, sizeof(spec), "file:%s", path);
    FILE *before = fopen(path, "w");
    fputs("what was there before", before);
    fclose(before);

    must_open(guest, spec);
    bus_lock(guest->bus);
    chardev_write(guest->chardev, (const uint8_t *)"the end", 7);
    bus_unlock(guest->bus);
    chardev_destroy(guest->chardev);
    guest->chardev = NULL;
    FILE *after = fopen(path, "r");
    cr_assert_eq(fread(text, 1, sizeof(text), after), 7);
    cr_assert_str_eq(text, "the end");
    fclose(after);
    unlink(path);
    teardown(guest);
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(!connect(fd, (struct sockaddr *)&address, sizeof(address)), "%s", path);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void hear(int fd, const char *expected)
{
    char text[64] = "";
    ssize_t got = read(fd, text, sizeof(text) - 1);
    cr_assert_eq(got, (ssize_t)strlen(expected));
    cr_assert_str_eq(text, expected);
}

Test(chardev, unix_serves_one_client_after_the_other)
{
    struct guest *guest = setup();
    char path[64], spec[80];
    snprintf(path, sizeof(path), "%s/serial", guest->folder);
    snprintf(spec, sizeof(spec), "unix:%s", path);
    must_open(guest, spec);
    say(guest, "nobody is there");
    cr_assert_eq(room(guest), CHARDEV_QUEUE);

    int first = dial(path), second = dial(path);
    cr_assert_eq(write(second, "second ", 7), 7);
    settle(guest->loop);
    cr_assert_eq(write(first, "first ", 6), 6);
    say(guest, "to the first");
    hear(first, "to the first");
    cr_assert_str_eq(guest->received, "first ");

    close(first);
    settle(guest->loop);
    say(guest, "to the second");
    cr_assert_str_eq(guest->received, "first second ");
    hear(second, "to the second");

    shutdown(second, SHUT_WR); /* it has said everything, but listens on */
    settle(guest->loop);
    say(guest, "still listening?");
    hear(second, "still listening?");
    close(second);
    settle(guest->loop);
    say(guest, "dropped");

    int third = dial(path);
    settle(guest->loop);
    say(guest, "to the third");
    hear(third, "to the third");

    teardown(guest);
    cr_assert_neq(access(path, F_OK), 0, "the socket file is removed");
}

Test(chardev, unix_replaces_only_a_socket_that_nobody_listens_on)
{
    struct guest *guest = setup(), *other = setup();
    char path[64], spec[80];
    snprintf(path, sizeof(path), "%s/serial", guest->folder);
    snprintf(spec, sizeof(spec), "unix:%s", path);
    must_open(guest, spec);
    struct error error;
    cr_assert_not(open_chardev(other, spec, &error));
    cr_assert(strstr(error.text, path) && strstr(error.text, "another path"), "%s", error.text);
    close(dial(path)); /* the first is not disturbed */
    teardown(guest);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof(path), "%s/serial", other->folder);
    snprintf(spec, sizeof(spec), "unix:%s", path);
    strcpy(address.sun_path, path);
    int left_over = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(!bind(left_over, (struct sockaddr *)&address, sizeof(address)));
    close(left_over);
    must_open(other, spec);
    chardev_destroy(other->chardev);

    close(open(path, O_CREAT | O_WRONLY, 0600));
    cr_assert_not(open_chardev(other, spec, &error), "a file that is no socket stays");
    cr_assert_eq(access(path, F_OK), 0);
    unlink(path);
    teardown(other);
}
