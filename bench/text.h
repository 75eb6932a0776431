/* The code of an ELF file, for benches that only read it. */
#ifndef DOPPEL_BENCH_TEXT_H
#define DOPPEL_BENCH_TEXT_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    const uint8_t *code;
    size_t size;
    Elf *elf;
    int fd;
};

/* The .text section of the file at `path`. False: it cannot be had, and a message has been printed.
 */
bool text_open(struct text *text, const char *path);
void text_close(struct text *text);

#endif
