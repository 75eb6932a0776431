#include "devices/timer/mc146818.h"
#include "machine/board_internal.h"
#include "machine/memory_map.h"

static void set_cmos(struct board *board, unsigned index, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        mc146818_set_byte(board->rtc, index + i, (uint8_t)(value >> (8 * i)));
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

/* What a BIOS leaves or QEMU tells one: memory in KiB from 1 MiB, in 64 KiB from 16 MiB and from
 * 4 GiB. */
void board_set_cmos(struct board *board)
{
    uint64_t low = memory_map_low(board->config.memory);
    uint64_t extended = at_most((low - HIGH_BASE) / KIB, 0xffff);
    set_cmos(board, 0x14, 0x06, 1); /* equipment: an FPU, a PS/2 mouse, no floppy drive */
    set_cmos(board, 0x15, 640, 2);
    set_cmos(board, 0x17, extended, 2);
    set_cmos(board, 0x30, extended, 2);
    set_cmos(board, 0x34, low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0, 2);
    unsigned order = board_boot_order(board);
    set_cmos(board, 0x38, order >> 4 & 0xf0, 1); /* the third try, and the first two */
    set_cmos(board, 0x3d, order & 0xff, 1);
    set_cmos(board, 0x5b, (board->config.memory - low) / (64 * KIB), 3);
    set_cmos(board, 0x5f, 0, 1); /* CPUs beyond the first */
}
