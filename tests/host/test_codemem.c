#include "host/codemem.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The protection of the mapping that holds address, as /proc/self/maps tells it. */
static void protection(const void *address, char text[5])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    cr_assert_not_null(maps);
    text[0] = '\0';
    while (fgets(line, sizeof(line), maps)) {
        uintptr_t low, high;
        char found[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &low, &high, found) == 3 &&
            (uintptr_t)address >= low && (uintptr_t)address < high)
            memcpy(text, found, sizeof(found));
    }
    fclose(maps);
}

Test(codemem, what_is_written_runs)
{
    static const uint8_t code[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3}; /* mov eax, 42; ret */
    struct codemem mem;
    struct error error;
    cr_assert(codemem_create(&mem, 1 << 16, &error), "%s", error.text);
    memcpy(mem.write + 4096, code, sizeof(code));
    int (*fn)(void) = (int (*)(void))(uintptr_t)(mem.exec + 4096);
    cr_expect_eq(fn(), 42);

    mem.write[4097] = 7;
    cr_expect_eq(fn(), 7);
    codemem_destroy(&mem);
}

Test(codemem, no_view_is_both_writable_and_executable)
{
    struct codemem mem;
    struct error error;
    char text[5];
    cr_assert(codemem_create(&mem, 1 << 16, &error), "%s", error.text);
    protection(mem.write, text);
    cr_expect_str_eq(text, "rw-s");
    protection(mem.exec, text);
    cr_expect_str_eq(text, "r-xs");
    codemem_destroy(&mem);
    cr_expect_null(mem.write);
    cr_expect_null(mem.exec);
}

Test(codemem, absurd_sizes_are_an_error)
{
    struct codemem mem;
    struct error error = {""};
    cr_expect_not(codemem_create(&mem, SIZE_MAX & ~4095ull, &error));
    cr_expect(strstr(error.text, "generated code"));
}
