/* A directory for a test's images, and commands of the host in it. */
#ifndef DOPPEL_TESTS_BACKENDS_IMAGES_H
#define DOPPEL_TESTS_BACKENDS_IMAGES_H

#include "backends/block/image.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

/* Makes a directory and changes into it. Aborts the test on failure. */
void images_enter(void);
/* Removes it with all that is in it. */
void images_leave(void);

/* Runs a shell command; its exit status. Output goes to the file "output". */
int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Runs a shell command that must succeed, or prints its output and fails the test. */
void must(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the options (struct disk_options) open; *error tells why it is NULL. */
struct image *open_image(const char *options, struct error *error);
/* Fails the test where there is an error. */
struct image *must_open(const char *options);
void fails_with(const char *options, const char *part);

/* Transfers with one buffer; 0 or a negative errno value. */
int read_at(struct image *image, void *bytes, size_t size, uint64_t offset);
int write_at(struct image *image, const void *bytes, size_t size, uint64_t offset);

/* splitmix64 */
uint64_t next_random(uint64_t *state);
void fill_random(uint64_t *state, void *bytes, size_t size);

/* qemu-img finds no corruption in the file, and no leaks unless they are allowed. */
void check_image(const char *file, bool may_leak);

#endif
