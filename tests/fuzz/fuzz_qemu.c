/* QEMU's command line, of random bytes and drawn from what it knows: no crash or leak, and what is
 * refused has a message. Nothing is opened: that is the machine's. */
#include "base/types.h"
#include "cli/qemu_options.h"
#include "fuzz/fuzz.h"

#include <string.h>

enum { ARGUMENTS = 24, TEXT = 4096 };

struct command_line {
    int count;
    char *arguments[ARGUMENTS + 1]; /* NULL at the end, as main() has them */
    size_t length;
    char text[TEXT];
};

static void add_text(struct command_line *line, const char *text, size_t size)
{
    if (size >= TEXT - line->length)
        return;
    memcpy(line->text + line->length, text, size);
    line->length += size;
}

/* Begins the next argument. */
static bool add_argument(struct command_line *line)
{
    if (line->count == ARGUMENTS || line->length + 1 >= TEXT)
        return false;
    line->text[line->length++] = '\0';
    line->arguments[line->count++] = line->text + line->length;
    line->arguments[line->count] = NULL;
    return true;
}

static void parse(struct command_line *line)
{
    struct qemu_options options;
    struct error error = {.text = ""};
    line->text[line->length] = '\0';
    bool parsed = qemu_options_parse(line->count, line->arguments, &options, &error);
    if (!parsed && !*error.text)
        fuzz_fail("a command line is refused without a message");
    if (parsed && !options.help && !options.version && !options.run.vm.kernel &&
        !options.run.vm.firmware)
        fuzz_fail("a command line is taken that boots nothing");
    qemu_options_free(&options);
}

/* Arguments end at the byte 0. */
static void parse_bytes(const uint8_t *data, size_t size)
{
    struct command_line line = {.count = 0};
    add_argument(&line);
    add_argument(&line);
    for (size_t i = 0; i < size; i++) {
        if (data[i])
            add_text(&line, (const char *)&data[i], 1);
        else if (!add_argument(&line))
            break;
    }
    parse(&line);
}

/* A word that begins with a dash is an option; what follows up to the next one is its value. */
static void parse_words(const uint8_t *data, size_t size)
{
    static const char *const words[] = {
        "-machine",
        "-accel",
        "-m",
        "-smp",
        "-cpu",
        "-name",
        "-kernel",
        "-append",
        "-bios",
        "-drive",
        "-drive",
        "-drive",
        "-device",
        "-device",
        "-device",
        "-device",
        "-hda",
        "-hdd",
        "-cdrom",
        "-boot",
        "-nic",
        "-netdev",
        "-netdev",
        "-snapshot",
        "-global",
        "-serial",
        "-chardev",
        "-chardev",
        "-chardev",
        "-mon",
        "-monitor",
        "-qmp",
        "-gdb",
        "-debugcon",
        "-nographic",
        "-nodefaults",
        "-display",
        "-vga",
        "-rtc",
        "-S",
        ",",
        ",",
        ",",
        ",",
        "=",
        "=",
        ":",
        "file=",
        "if=",
        "ide",
        "virtio",
        "none",
        "pflash",
        "media=cdrom",
        "format=",
        "raw",
        "qcow2",
        "index=",
        "unit=",
        "bus=",
        "ide.0",
        "ide.1",
        "id=",
        "a",
        "b",
        "drive=",
        "netdev=",
        "chardev",
        "user",
        "hostfwd=",
        "tcp::2-:22",
        "model=",
        "e1000",
        "mac=",
        "ide-hd",
        "ide-cd",
        "e1000",
        "virtio-blk-pci",
        "isa-debugcon",
        "iobase=",
        "0x402",
        "0",
        "1",
        "3",
        "99999999999999999999",
        "64M",
        "pc",
        "qemu64",
        "+avx",
        "-avx",
        "on",
        "off",
        "order=",
        "dc",
        "stdio",
        "mon:",
        "mux=on",
        "unix:x",
        "tcp::1",
        "server=on",
        "wait=off",
        "socket",
        "path=",
        "mode=",
        "control",
        "snapshot=on",
        "readonly=on",
        "virtio-net-pci",
        "null",
        "port=",
        "%s",
    };
    struct command_line line = {.count = 0};
    bool in_value = false;
    add_argument(&line);
    for (size_t i = 0; i < size; i++) {
        const char *word = words[data[i] % ARRAY_SIZE(words)];
        bool option = *word == '-';
        if ((option || !in_value) && !add_argument(&line))
            break;
        in_value = !option;
        add_text(&line, word, strlen(word));
    }
    parse(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse_bytes(data, size);
    parse_words(data, size);
    return 0;
}
