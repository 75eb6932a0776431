/* Memory for generated code: one memfd mapped twice, written through one view and run through the
 * other, so that no page is ever writable and executable at once. */
#ifndef DOPPEL_HOST_CODEMEM_H
#define DOPPEL_HOST_CODEMEM_H

#include "base/error.h"
#include "base/types.h"

struct codemem {
    uint8_t *write; /* the writable view */
    uint8_t *exec;  /* the executable view of the same bytes */
    size_t size;
};

bool codemem_create(struct codemem *mem, size_t size, struct error *error);
void codemem_destroy(struct codemem *mem);

#endif
