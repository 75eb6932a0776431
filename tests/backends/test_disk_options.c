#include "backends/block/options.h"

#include <criterion/criterion.h>
#include <string.h>

static void parses(const char *text, const char *file, const struct disk_options *expected)
{
    struct disk_options options;
    struct error error;
    cr_assert(disk_options_parse(&options, "--disk", text, &error), "%s", error.text);
    cr_expect_str_eq(options.file, file);
    cr_expect_eq(options.interface, expected->interface);
    cr_expect_eq(options.format, expected->format);
    cr_expect_eq(options.readonly, expected->readonly);
    cr_expect_eq(options.snapshot, expected->snapshot);
    cr_expect_eq(options.size, expected->size);
    disk_options_free(&options);
}

static void refuses(const char *text, const char *message)
{
    struct disk_options options;
    struct error error = {""};
    cr_expect_not(disk_options_parse(&options, "--disk", text, &error), "%s is taken", text);
    cr_expect(strstr(error.text, message), "\"%s\" does not say \"%s\"", error.text, message);
    cr_expect(strstr(error.text, "--disk") == error.text);
    cr_expect_null(options.file);
}

Test(disk_options, settings)
{
    parses("a.img", "a.img", &(struct disk_options){0});
    parses("/a b/c,if=ide", "/a b/c", &(struct disk_options){.interface = DISK_IDE});
    parses("a,if=virtio,format=qcow2,snapshot", "a",
           &(struct disk_options){.format = DISK_QCOW2, .snapshot = true});
    parses("a,readonly,format=raw", "a",
           &(struct disk_options){.format = DISK_RAW, .readonly = true});
    parses("a,,b,,,size=10G", "a,b,", &(struct disk_options){.size = 10ull << 30});
}

Test(disk_options, sizes)
{
    parses("a,size=512", "a", &(struct disk_options){.size = 512});
    parses("a,size=3k", "a", &(struct disk_options){.size = 3072});
    parses("a,size=7M", "a", &(struct disk_options){.size = 7ull << 20});
    parses("a,size=2T", "a", &(struct disk_options){.size = 2ull << 40});
    static const char *const bad[] = {
        "a,size=",    "a,size=0",         "a,size=-1",
        "a,size=100", "a,size=1Q",        "a,size=1GB",
        "a,size= 1G", "a,size=99999999T", "a,size=99999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        refuses(bad[i], "is not a size");
}

Test(disk_options, nonsense)
{
    refuses("", "needs the name");
    refuses(",if=ide", "needs the name");
    refuses("a,", "\"\" is unknown");
    refuses("a,if=scsi", "if=scsi: is unknown; it is virtio or ide");
    refuses("a,format=vmdk", "format=vmdk: is unknown; it is raw or qcow2");
    refuses("a,format", "\"format\" is unknown");
    refuses("a,readonly=on", "\"readonly\" is unknown");
    refuses("a,colour=red", "\"colour\" is unknown");
    refuses("a,readonly,size=1G", "readonly forbids it");
}
