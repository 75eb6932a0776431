/* What the files of the physical memory map share. */
#ifndef DOPPEL_MMU_PHYS_INTERNAL_H
#define DOPPEL_MMU_PHYS_INTERNAL_H

#include "mmu/phys.h"

#define REGIONS_MAX 16
#define WINDOWS_MAX 16
#define PLACES_MAX 4
#define PHYS_NO_GRANULE (~0ull)

enum { VIEW_NORMAL, VIEW_SMM, VIEWS };

/* The handle of one view. */
struct phys_map {
    struct phys_memory *memory;
    unsigned view;
};

struct phys_window {
    struct phys_region ram;           /* shown or not, it is where code is tracked */
    struct phys_region region[VIEWS]; /* what is seen now */
    uint8_t *rom;                     /* all ones where there is none */
    bool on_bus;                      /* while the RAM is hidden */
    unsigned shown[VIEWS];            /* enum phys_shown */
};

/* Where a device's memory is shown. */
struct phys_place {
    struct phys_region region; /* its size is 0 while nothing is */
    uint64_t *marks;           /* where no window tracks code; NULL: not yet needed */
    const uint8_t **bytes;     /* likewise */
    size_t pages;              /* that they have room for */
};

/* A handful of regions, searched in the order they were added: the board adds RAM first. */
struct phys_memory {
    struct phys_map map[VIEWS];
    struct bus *bus;
    phys_code_written_fn *code_written;
    void *opaque;
    _Atomic gpa_t monitored; /* a granule; PHYS_NO_GRANULE: none */
    phys_monitor_fn *monitor_hit;
    void *monitor_opaque;
    phys_switched_fn *switched;
    void *switched_opaque;
    phys_rearm_fn *rearm;
    void *rearm_opaque;
    unsigned count, windows;
    gpa_t windows_limit; /* all windows lie below */
    unsigned switches;   /* of windows, so far */
    struct phys_region region[REGIONS_MAX];
    struct phys_window window[WINDOWS_MAX];
    struct phys_place place[PLACES_MAX];
};

/* phys.c: adds a region, of zeroes. */
struct phys_region *phys_add_region(struct phys_map *map, enum phys_kind kind, gpa_t base,
                                    uint64_t size, struct error *error);

/* phys_monitor.c: after a write to what is marked as code. */
void phys_hit_monitor(struct phys_map *map, gpa_t gpa, unsigned size);

/* phys_direct.c: the device's memory that is shown at gpa, or NULL. */
struct phys_region *phys_find_place(struct phys_memory *memory, gpa_t gpa);
void phys_free_places(struct phys_memory *memory);

#endif
