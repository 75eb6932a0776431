/* bench_decode FILE: decodes the code of a 64-bit ELF file, again and again for a second, and
 * prints the time that an instruction takes. */
#include "decoder/decoder.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct tally {
    uint64_t instructions, bytes, undefined;
};

static Elf_Data *find_text(Elf *elf)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names))
        return NULL;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header))
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && !strcmp(name, ".text"))
            return elf_rawdata(section, NULL);
    }
    return NULL;
}

/* One pass over the code; steps over a byte that starts no instruction. */
static struct tally decode_all(const uint8_t *code, size_t size)
{
    struct tally tally = {.bytes = size};
    for (size_t at = 0; at < size;) {
        struct dec_insn insn;
        if (dec_decode(code + at, size - at, DEC_MODE_64, &insn) == DEC_OK) {
            at += insn.length;
            tally.instructions++;
        } else {
            at++;
            tally.undefined++;
        }
    }
    return tally;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: bench_decode FILE\n");
        return 2;
    }
    elf_version(EV_CURRENT);
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ_MMAP, NULL);
    Elf_Data *text = elf ? find_text(elf) : NULL;
    if (!text || !text->d_buf) {
        fprintf(stderr, "bench_decode: %s: cannot read its .text section: name a 64-bit ELF file\n",
                argv[1]);
        return 1;
    }

    struct tally tally = decode_all(text->d_buf, text->d_size); /* and bring it into memory */
    unsigned passes = 0;
    double start = seconds(), elapsed;
    do {
        decode_all(text->d_buf, text->d_size);
        passes++;
        elapsed = seconds() - start;
    } while (elapsed < 1);

    printf(
        "%.1f ns an instruction: %u passes over %llu instructions in %llu bytes, %llu undefined\n",
        elapsed * 1e9 / passes / (double)(tally.instructions + tally.undefined), passes,
        (unsigned long long)tally.instructions, (unsigned long long)tally.bytes,
        (unsigned long long)tally.undefined);
    elf_end(elf);
    close(fd);
    return 0;
}
