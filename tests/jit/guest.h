/* A bare 64-bit guest with a code area and a data area, on either engine. */
#ifndef DOPPEL_TESTS_JIT_GUEST_H
#define DOPPEL_TESTS_JIT_GUEST_H

#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "jit/jit.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

/* Linear addresses; all pages of 4 KiB. The code can be written. Of the data, the third page can
 * only be read; around them nothing is mapped. */
#define GUEST_CODE 0x400000ull
#define GUEST_CODE_SIZE (4 * PAGE_SIZE)
#define GUEST_CODE_GPA 0x10000ull
#define GUEST_DATA 0x7ff000ull
#define GUEST_DATA_SIZE (3 * PAGE_SIZE)
#define GUEST_READ_ONLY (GUEST_DATA + 2 * PAGE_SIZE)

struct guest {
    struct cpu_model model;
    struct bus *bus;
    struct clock *clock;
    struct phys_map *phys;
    struct cpu *cpu;
    struct trace trace;
};

/* config NULL: the interpreter. Fails the test where the host fails. */
void guest_create(struct guest *guest, const struct jit_config *config);
void guest_destroy(struct guest *guest);

/* The areas' memory. Code written here takes effect with guest_set_code(). */
uint8_t *guest_code(struct guest *guest);
uint8_t *guest_data(struct guest *guest);
void guest_set_code(struct guest *guest, unsigned offset, const void *code, size_t size);

/* Maps a page, of 4 KiB or 2 MiB, for all; nothing is flushed. */
enum { GUEST_WRITABLE = 2, GUEST_GLOBAL = 0x100 };
void guest_map(struct guest *guest, gva_t va, gpa_t gpa, uint64_t flags);
void guest_map_large(struct guest *guest, gva_t va, gpa_t gpa, uint64_t flags);

/* Maps the same memory by a table of 4 KiB pages, which others may then be put in. */
void guest_split_large(struct guest *guest, gva_t va, gpa_t gpa, uint64_t flags);

/* From CPL 0 with no way to take an exception, so that one shuts the guest down, as it stands. */
void guest_start(struct guest *guest, uint64_t rip);

/* Likewise in 64-bit or compatibility mode, with 32-bit segments that are flat but for FS and GS.
 */
void guest_start_in(struct guest *guest, enum dec_mode mode, uint64_t rip);

#endif
