/* The guest-physical memory map: RAM, ROM and MMIO, and which pages hold decoded code.
 *
 * Built by the machine before the vCPU starts. RAM is anonymous memory with MADV_HUGEPAGE. Reads of
 * absent memory yield all ones, writes to it vanish. A map has two views, which differ in windows
 * only: what all see, and what a CPU in SMM sees. Lookup is for the vCPU's thread, which switches
 * windows, and for those that hold the bus lock or the vCPU. */
#ifndef DOPPEL_MMU_PHYS_H
#define DOPPEL_MMU_PHYS_H

#include "base/error.h"
#include "base/types.h"
#include "bus/direct_ram.h"
#include "bus/dma.h"

struct phys_map;
struct bus;

enum phys_kind { PHYS_ABSENT, PHYS_RAM, PHYS_ROM, PHYS_MMIO };

struct phys_region {
    enum phys_kind kind;
    gpa_t base;
    uint64_t size;
    uint8_t *host; /* RAM and ROM */
    /* RAM: per page a bitmap of 64-byte granules that may hold decoded code, for any thread; and
     * its bytes that do, exactly, for the vCPU's: see phys_set_code_bytes(). */
    uint64_t *code;
    const uint8_t **code_bytes;
    uint8_t *sink;                   /* ROM: the RAM that takes what is written, or NULL */
    const struct direct_ram *direct; /* RAM, or ROM whose writes go to the bus, that is a
                                        device's; or NULL */
};

/* Called when bytes of decoded code have been overwritten, on the thread that wrote: the vCPU's, or
 * that of a device. It notes them, so that the vCPU drops the blocks before it runs another. */
typedef void phys_code_written_fn(void *opaque, gpa_t gpa, unsigned size);

/* bus serves MMIO: every address that is neither RAM nor ROM is offered to it. */
struct phys_map *phys_create(struct bus *bus);
void phys_destroy(struct phys_map *map);

/* Adds size bytes (page-aligned, at a page-aligned base) of RAM, or of ROM with the given contents
 * (copied; the rest is zero). Returns NULL with *error set where ranges overlap or the
 * host has no memory. */
struct phys_region *phys_add_ram(struct phys_map *map, gpa_t base, uint64_t size,
                                 struct error *error);
struct phys_region *phys_add_rom(struct phys_map *map, gpa_t base, uint64_t size,
                                 const void *contents, size_t contents_size, struct error *error);

/* The view, of the memory that a view shows, of a CPU in SMM or not; lives as long as the memory.
 */
struct phys_map *phys_view(struct phys_map *map, bool smm);

/* A window: pages with RAM of their own that a chipset shows or hides while the guest runs. What is
 * there while the RAM cannot be read is `rom` (size bytes, copied), or the bus where rom is NULL.
 * RAM that takes writes but cannot be read leaves reads to the ROM; without one to all ones. At
 * first it is hidden. NULL with *error set as for phys_add_ram(). */
enum phys_shown { PHYS_HIDDEN, PHYS_READABLE = 1, PHYS_WRITABLE = 2 };
struct phys_window;
struct phys_window *phys_add_window(struct phys_map *map, gpa_t base, uint64_t size,
                                    const void *rom, struct error *error);
/* Shows as much of the RAM (bits of enum phys_shown) in both views, and tells the listeners.
 * vCPU's thread, at the end of an instruction; or before it starts. */
void phys_switch_window(struct phys_map *map, struct phys_window *window, unsigned shown,
                        unsigned shown_in_smm);

/* A map of the same regions and windows, but not of devices' memory, with memory of its own; NULL
 * with *error set where the host has none. phys_copy() makes its contents equal, and phys_follow()
 * what its windows show. */
struct phys_map *phys_clone(const struct phys_map *map, struct bus *bus, struct error *error);
void phys_copy(struct phys_map *to, const struct phys_map *from);
void phys_follow(struct phys_map *to, const struct phys_map *from);
/* Compares all RAM and ROM of a map and its clone: *gpa is the first byte that differs. */
bool phys_differ(const struct phys_map *a, const struct phys_map *b, gpa_t *gpa);

/* The RAM or ROM region number `index` that can be seen, also devices' memory, in no order; NULL:
 * there are not so many. Bus lock or vCPU held, as for lookup. */
const struct phys_region *phys_region_at(const struct phys_map *map, unsigned index);

/* The RAM or ROM region that holds gpa, or NULL. */
struct phys_region *phys_find(struct phys_map *map, gpa_t gpa);

/* Reads and writes of any size, for loaders, devices and debuggers. RAM, ROM (writes ignored), not
 * MMIO. Returns false where any byte is absent (which reads as 0xff). */
bool phys_read(struct phys_map *map, gpa_t gpa, void *data, uint64_t size);
bool phys_write(struct phys_map *map, gpa_t gpa, const void *data, uint64_t size);

/* size bytes at gpa as one host range inside RAM, or NULL: for loaders only, who come before code.
 */
void *phys_ram_pointer(struct phys_map *map, gpa_t gpa, uint64_t size);

/* The memory as devices reach it. */
struct dma phys_dma(struct phys_map *map);

/* How devices show memory of theirs. Code is tracked by guest-physical address: what is written
 * through one place and executed through another can be stale. */
struct direct_memory phys_direct(struct phys_map *map);

/* Notes that the guest or DMA has written to the page of gpa, in the region. Any thread. */
static inline void phys_note_written(const struct phys_region *region, gpa_t gpa)
{
    if (region->direct && region->kind == PHYS_RAM)
        direct_ram_note(region->direct, gpa - region->base);
}

/* A device access by the vCPU, size 1 to 8 (split as the device needs by the bus). */
uint64_t phys_mmio_read(struct phys_map *map, gpa_t gpa, unsigned size);
void phys_mmio_write(struct phys_map *map, gpa_t gpa, uint64_t value, unsigned size);

/* Code tracking by granules of 64 bytes, on any thread.
 *
 * phys_mark_code() notes that [gpa, gpa + size), within a page, holds decoded code and returns true
 * if the page held none before (then call mmu_protect_code_page()). Mark before reading the bytes:
 * a device that writes them later then finds the mark. phys_keep_code() takes away all marks of a
 * page but the granules given. phys_code_written() is called after a write within a page; it calls
 * the listener and returns true if the write touched a granule with code. */
#define PHYS_CODE_GRANULE 64
bool phys_mark_code(struct phys_map *map, gpa_t gpa, unsigned size);
void phys_keep_code(struct phys_map *map, gpa_t page, uint64_t granules);
bool phys_page_has_code(struct phys_map *map, gpa_t gpa);
bool phys_code_written(struct phys_map *map, gpa_t gpa, unsigned size);

/* A bitmap of PHYS_CODE_BYTES for the page: which bytes hold decoded code. Not owned; NULL: none,
 * then the marks say all there is. phys_is_beside_code(): the page has code, but not there.
 * phys_code_stored() is phys_code_written() for the vCPU's own stores: it asks the bitmap, too.
 * Sizes are at most 64. vCPU's thread. */
#define PHYS_CODE_BYTES (PAGE_SIZE / 8 + 8) /* whole words can be read at any of its bytes */
void phys_set_code_bytes(struct phys_map *map, gpa_t page, const uint8_t *bytes);
bool phys_is_beside_code(struct phys_map *map, gpa_t gpa, unsigned size);
bool phys_code_stored(struct phys_map *map, gpa_t gpa, unsigned size);
void phys_set_code_listener(struct phys_map *map, phys_code_written_fn *fn, void *opaque);

/* The line of 64 bytes that MONITOR watches: at most one. It is marked as code is, and whatever is
 * written to it, by anyone, ends that and calls the listener, on the thread that wrote.
 * phys_monitor() returns true if the page held no code before (then call mmu_protect_code_page());
 * it watches nothing where gpa is not RAM. phys_end_monitor() returns whether a line was watched.
 * phys_monitor() is for the vCPU's thread, the others for any. */
typedef void phys_monitor_fn(void *opaque);
bool phys_monitor(struct phys_map *map, gpa_t gpa);
bool phys_end_monitor(struct phys_map *map);
bool phys_is_monitoring(const struct phys_map *map);
bool phys_is_monitored(const struct phys_map *map, gpa_t gpa, unsigned size);
void phys_set_monitor_listener(struct phys_map *map, phys_monitor_fn *fn, void *opaque);

/* Called when a window has been switched: translations to host memory are stale. */
typedef void phys_switched_fn(void *opaque);
void phys_set_switch_listener(struct phys_map *map, phys_switched_fn *fn, void *opaque);

/* Called when a device has taken what was written to its memory, on any thread: the vCPU is to note
 * all stores to it anew (mmu_rearm_direct()). */
typedef void phys_rearm_fn(void *opaque);
void phys_set_rearm_listener(struct phys_map *map, phys_rearm_fn *fn, void *opaque);

/* As phys_page_has_code(), for who has the region of gpa already. */
static inline bool phys_region_has_code(const struct phys_region *region, gpa_t gpa)
{
    return region->code &&
           __atomic_load_n(&region->code[(gpa - region->base) >> PAGE_SHIFT], __ATOMIC_RELAXED);
}

/* The granules that [gpa, gpa + size), within a page, touches. */
static inline uint64_t phys_granules(gpa_t gpa, unsigned size)
{
    unsigned first = (unsigned)(gpa & ~PAGE_MASK) / PHYS_CODE_GRANULE;
    unsigned last = (unsigned)((gpa & ~PAGE_MASK) + size - 1) / PHYS_CODE_GRANULE;
    return (~0ull >> (63 - (last - first))) << first;
}

#endif
