#include "base/log.h"
#include "base/types.h"
#include "cli/commands.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "run a guest", cmd_run},
    {"qemu", "run a guest by QEMU's command line", cmd_qemu},
};

static void print_help(void)
{
    puts("Usage: doppel COMMAND [OPTION]...\n"
         "\n"
         "Runs whole x86 operating systems without hardware virtualisation or privileges.\n"
         "\n"
         "Commands (doppel COMMAND --help tells more):");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    puts("\n"
         "  --help     this text\n"
         "  --version  the version");
}

/* The file that the command names. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
    if (argc > 0 && !strcmp(base_name(argv[0]), "qemu-system-x86_64"))
        return cmd_qemu(argc, argv);
    if (argc < 2) {
        log_error("a command is missing; see doppel --help");
        return EXIT_HOST_ERROR;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help();
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("doppel " DOPPEL_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    }
    log_error("%s: is not a command; see doppel --help", argv[1]);
    return EXIT_HOST_ERROR;
}
