#include "control/memory_file.h"

#include "control/show.h"
#include "machine/vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool copy(struct cpu *cpu, bool linear, uint64_t address, uint64_t size, FILE *file,
                 struct error *error)
{
    uint8_t bytes[65536];
    while (size) {
        size_t part = size < sizeof(bytes) ? size : sizeof(bytes);
        if (show_read(cpu, linear, address, bytes, part) < part)
            return error_set(error, "Invalid addr 0x%016llx/size %llu specified",
                             (unsigned long long)address, (unsigned long long)size);
        if (fwrite(bytes, 1, part, file) < part)
            return error_set(error, "An IO error has occurred: %s", strerror(errno));
        address += part;
        size -= part;
    }
    return true;
}

bool memory_file_save(struct vm *vm, bool linear, uint64_t address, uint64_t size, const char *path,
                      struct error *error)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set(error, "Could not open '%s': %s", path, strerror(errno));
    bool done = copy(vm_hold_cpu(vm), linear, address, size, file, error);
    vm_release_cpu(vm);
    if (fclose(file) && done)
        return error_set(error, "Could not write '%s': %s", path, strerror(errno));
    return done;
}
