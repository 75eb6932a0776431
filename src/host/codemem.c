#include "host/codemem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Older headers and kernels lack it; newer kernels may be told to refuse executable memfds without
 * it (sysctl vm.memfd_noexec). */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

static int create_memfd(void)
{
    int fd = memfd_create("doppel-code", MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("doppel-code", MFD_CLOEXEC);
    return fd;
}

bool codemem_create(struct codemem *mem, size_t size, struct error *error)
{
    *mem = (struct codemem){.size = size};
    int fd = create_memfd();
    if (fd < 0)
        return error_set(error, "memory for generated code: memfd_create: %s", strerror(errno));
    if (ftruncate(fd, (off_t)size) < 0) {
        error_set(error, "memory for generated code: %zu bytes: %s", size, strerror(errno));
        close(fd);
        return false;
    }

    void *write_view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void *exec_view = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    int cause = errno;
    close(fd);
    if (write_view != MAP_FAILED)
        mem->write = write_view;
    if (exec_view != MAP_FAILED)
        mem->exec = exec_view;
    if (mem->write && mem->exec)
        return true;
    codemem_destroy(mem);
    return error_set(error,
                     "memory for generated code: mmap: %s (does the host forbid executable "
                     "shared memory, as sysctl vm.memfd_noexec=2 or SELinux do?)",
                     strerror(cause));
}

void codemem_destroy(struct codemem *mem)
{
    if (mem->write)
        munmap(mem->write, mem->size);
    if (mem->exec)
        munmap(mem->exec, mem->size);
    *mem = (struct codemem){0};
}
