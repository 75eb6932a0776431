/* The file of UEFI variables: how it is made, kept, and refused. */
#include "base/bits.h"
#include "machine/uefi_vars.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_SIZE 540672u /* of Debian's OVMF_VARS_4M.fd */

static char directory[] = "/tmp/doppel-vars-XXXXXX";
static char path[64];

static void setup(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/vars", directory);
}

static void teardown(void)
{
    unlink(path);
    rmdir(directory);
}

TestSuite(uefi_vars, .init = setup, .fini = teardown);

static void make_file(off_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, size) == 0);
    close(fd);
}

static void expect_refused(const char *firmware, const char *part)
{
    struct uefi_vars vars = {0};
    struct error error = {""};
    cr_expect_not(uefi_vars_open(&vars, firmware, path, &error));
    cr_expect(strstr(error.text, path) && strstr(error.text, part), "%s", error.text);
    uefi_vars_close(&vars);
}

Test(uefi_vars, a_missing_file_is_made_and_keeps_what_is_written)
{
    struct uefi_vars vars = {0};
    struct error error = {""};
    cr_assert(uefi_vars_open(&vars, FIRMWARE_UEFI, path, &error), "%s", error.text);
    cr_expect_eq(vars.contents.size, STORE_SIZE);
    cr_expect_eq(load_le(vars.contents.bytes + 40, 4), 0x4856465f, "_FVH");
    cr_expect(uefi_vars_changed(&vars, STORE_SIZE - 3, (const uint8_t *)"abc", 3));
    expect_refused(FIRMWARE_UEFI, "another guest uses it");
    uefi_vars_close(&vars);
    cr_assert(uefi_vars_open(&vars, FIRMWARE_UEFI, path, &error), "%s", error.text);
    cr_expect_eq(memcmp(vars.contents.bytes + STORE_SIZE - 3, "abc", 3), 0);
    uefi_vars_close(&vars);
}

Test(uefi_vars, without_a_file)
{
    struct uefi_vars vars = {0};
    struct error error = {""};
    cr_assert(uefi_vars_open(&vars, FIRMWARE_UEFI, NULL, &error), "%s", error.text);
    cr_expect_eq(vars.contents.size, STORE_SIZE);
    cr_expect(uefi_vars_changed(&vars, 0, (const uint8_t *)"abc", 3));
    uefi_vars_close(&vars);
    cr_assert(uefi_vars_open(&vars, "bios", NULL, &error), "%s", error.text);
    cr_expect_eq(vars.contents.size, 0);
    uefi_vars_close(&vars);
}

Test(uefi_vars, wrong_files_are_refused)
{
    make_file(4096);
    expect_refused(FIRMWARE_UEFI, "has 4096 bytes");
    cr_assert_eq(truncate(path, 4097), 0);
    expect_refused("other.fd", "multiple of 4 KiB");
    cr_assert_eq(truncate(path, 2 << 20), 0);
    expect_refused("other.fd", "at most 1 MiB");
    unlink(path);
    expect_refused("other.fd", "cannot be opened");
    snprintf(path, sizeof(path), "%s", directory);
    expect_refused(FIRMWARE_UEFI, "cannot be opened for writing");
}

Test(uefi_vars, other_firmware_has_stores_of_its_own_size)
{
    struct uefi_vars vars = {0};
    struct error error = {""};
    make_file(128 << 10);
    cr_assert(uefi_vars_open(&vars, "other.fd", path, &error), "%s", error.text);
    cr_expect_eq(vars.contents.size, 128 << 10);
    uefi_vars_close(&vars);
}
