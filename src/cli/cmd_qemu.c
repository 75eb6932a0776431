#include "base/log.h"
#include "cli/commands.h"
#include "cli/qemu_options.h"

#include <stdio.h>

int cmd_qemu(int argc, char **argv)
{
    struct qemu_options options;
    struct error error;
    int status = 0;
    if (!qemu_options_parse(argc, argv, &options, &error)) {
        log_error("%s", error.text);
        status = EXIT_HOST_ERROR;
    } else if (options.help) {
        fputs(qemu_options_help(), stdout);
    } else if (options.version) {
        puts("QEMU emulator version 7.2.0 (Doppel " DOPPEL_VERSION ")");
    } else {
        status = run_to_end(&options.run);
    }
    qemu_options_free(&options);
    return status;
}
