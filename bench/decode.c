/* bench_decode FILE: decodes the code of a 64-bit ELF file, again and again for a second, and
 * prints the time that an instruction takes. */
#include "decoder/decoder.h"
#include "text.h"

#include <stdio.h>
#include <time.h>

struct tally {
    uint64_t instructions, bytes, undefined;
};

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
    struct text text;
    if (!text_open(&text, argv[1]))
        return 1;

    struct tally tally = decode_all(text.code, text.size); /* and bring it into memory */
    unsigned passes = 0;
    double start = seconds(), elapsed;
    do {
        decode_all(text.code, text.size);
        passes++;
        elapsed = seconds() - start;
    } while (elapsed < 1);

    printf(
        "%.1f ns an instruction: %u passes over %llu instructions in %llu bytes, %llu undefined\n",
        elapsed * 1e9 / passes / (double)(tally.instructions + tally.undefined), passes,
        (unsigned long long)tally.instructions, (unsigned long long)tally.bytes,
        (unsigned long long)tally.undefined);
    text_close(&text);
    return 0;
}
