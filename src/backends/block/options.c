#include "backends/block/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool disk_format_parse(const char *text, enum disk_format *format)
{
    *format = !strcmp(text, "raw") ? DISK_RAW : !strcmp(text, "qcow2") ? DISK_QCOW2 : DISK_PROBE;
    return *format != DISK_PROBE;
}

static bool parse_interface(const char *text, enum disk_interface *interface)
{
    *interface = !strcmp(text, "ide") ? DISK_IDE : DISK_VIRTIO;
    return *interface == DISK_IDE || !strcmp(text, "virtio");
}

/* "10G", "512M", plain bytes. */
static bool parse_size(const char *text, uint64_t *size)
{
    static const char units[] = "kKmMgGtT";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10 * ((unsigned)(unit - units) / 2 + 1) : 0;
    if (errno || *text < '0' || *text > '9' || end[unit != NULL] ||
        value > (uint64_t)INT64_MAX >> shift)
        return false;
    *size = (uint64_t)value << shift;
    return *size && *size % 512 == 0;
}

/* One setting after the file's name. */
static bool apply(struct disk_options *options, const char *option, char *setting,
                  struct error *error)
{
    char *value = strchr(setting, '=');
    if (value)
        *value++ = 0;
    if (!value && !strcmp(setting, "readonly"))
        return options->readonly = true;
    if (!value && !strcmp(setting, "snapshot"))
        return options->snapshot = true;
    if (value && !strcmp(setting, "if"))
        return parse_interface(value, &options->interface) ||
               error_set(error, "%s: if=%s: is unknown; it is virtio or ide", option, value);
    if (value && !strcmp(setting, "format"))
        return disk_format_parse(value, &options->format) ||
               error_set(error, "%s: format=%s: is unknown; it is raw or qcow2", option, value);
    if (value && !strcmp(setting, "size"))
        return parse_size(value, &options->size) ||
               error_set(error,
                         "%s: size=%s: is not a size; write it as 10G or 512M, in whole sectors of "
                         "512 bytes",
                         option, value);
    return error_set(error,
                     "%s: \"%s\" is unknown; after the file come if=, format=, size=, readonly, "
                     "snapshot; a comma in a file's name is written twice",
                     option, setting);
}

/* Takes the file's name, with its doubled commas made single, off the front of text. */
static char *take_name(const char **text)
{
    char *name = malloc(strlen(*text) + 1), *end = name;
    if (!name)
        return NULL;
    while (**text && !(**text == ',' && (*text)[1] != ',')) {
        *text += **text == ',';
        *end++ = *(*text)++;
    }
    *end = 0;
    return name;
}

bool disk_options_parse(struct disk_options *options, const char *option, const char *text,
                        struct error *error)
{
    *options = (struct disk_options){.file = take_name(&text)};
    char *settings = strdup(text);
    bool good = options->file && settings;
    if (!good)
        error_set(error, "%s: out of memory", option);
    else if (!*options->file)
        good = error_set(error, "%s: needs the name of an image file", option);
    char *rest = good && *settings ? settings + 1 : NULL; /* past the comma */
    while (good && rest)
        good = apply(options, option, strsep(&rest, ","), error);
    if (good && options->size && options->readonly)
        good = error_set(error, "%s: size= makes or enlarges an image, and readonly forbids it",
                         option);
    free(settings);
    if (!good)
        disk_options_free(options);
    return good;
}

void disk_options_free(struct disk_options *options)
{
    free(options->file);
    *options = (struct disk_options){0};
}
