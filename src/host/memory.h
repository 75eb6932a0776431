/* Anonymous host memory in whole pages: guest RAM and large tables. */
#ifndef DOPPEL_HOST_MEMORY_H
#define DOPPEL_HOST_MEMORY_H

#include "base/types.h"

/* size bytes of zeroed memory that the host backs as it is touched. Ranges of 2 MiB and more start
 * on a 2 MiB boundary and ask for huge pages. NULL where the host refuses. */
void *host_memory_map(size_t size);
/* The same in small pages, for tables that are filled in places. */
void *host_memory_map_sparse(size_t size);
/* p may be NULL. */
void host_memory_unmap(void *p, size_t size);

#endif
