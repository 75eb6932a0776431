#include "images.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void images_enter(void)
{
    char directory[] = "/tmp/doppel-images-XXXXXX";
    cr_assert(mkdtemp(directory) && chdir(directory) == 0);
}

void images_leave(void)
{
    char *directory = getcwd(NULL, 0);
    if (directory && strstr(directory, "/doppel-images-") && chdir("/") == 0)
        shell("exec rm -rf '%s'", directory);
    free(directory);
}

static int run(const char *format, va_list args)
{
    char command[2048], whole[2200];
    vsnprintf(command, sizeof(command), format, args);
    snprintf(whole, sizeof(whole), "{ %s ; } >output 2>&1", command);
    int status = system(whole);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int shell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int status = run(format, args);
    va_end(args);
    return status;
}

void must(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int status = run(format, args);
    va_end(args);
    if (status && system("cat output >&2") == 0)
        cr_assert(false, "%s: exit status %d", format, status);
}

struct image *open_image(const char *text, struct error *error)
{
    struct disk_options options;
    if (!disk_options_parse(&options, "--disk", text, error))
        return NULL;
    struct image *image = image_open(&options, error);
    disk_options_free(&options);
    return image;
}

struct image *must_open(const char *text)
{
    struct error error = {""};
    struct image *image = open_image(text, &error);
    cr_assert(image, "%s", error.text);
    return image;
}

void fails_with(const char *text, const char *part)
{
    struct error error = {""};
    struct image *image = open_image(text, &error);
    cr_expect_null(image, "%s is opened", text);
    cr_expect(strstr(error.text, part), "%s: \"%s\" does not say \"%s\"", text, error.text, part);
    image_close(image);
}

int read_at(struct image *image, void *bytes, size_t size, uint64_t offset)
{
    struct iovec iov = {bytes, size};
    return image->ops->read(image, &iov, 1, offset, size);
}

int write_at(struct image *image, const void *bytes, size_t size, uint64_t offset)
{
    struct iovec iov = {(void *)bytes, size};
    return image->ops->write(image, &iov, 1, offset, size);
}

uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void fill_random(uint64_t *state, void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t value = next_random(state);
        memcpy((char *)bytes + at, &value, size - at < 8 ? size - at : 8);
    }
}

/* Exit status 0: sound; 3: clusters are leaked. */
void check_image(const char *file, bool may_leak)
{
    int status = shell("qemu-img check -f qcow2 %s", file);
    if (status && !(status == 3 && may_leak) && system("cat output >&2") == 0)
        cr_assert(false, "qemu-img check %s: exit status %d", file, status);
}
