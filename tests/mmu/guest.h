/* A CPU with memory and page tables, as far as the MMU looks at it. */
#ifndef TESTS_MMU_GUEST_H
#define TESTS_MMU_GUEST_H

#include "base/bits.h"
#include "cpu/model.h"
#include "cpu/state.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#define RAM_SIZE (16u << 20)
#define ROM_BASE 0xfff00000u

/* Paging-structure entry bits. */
#define P 1ull
#define RW 2ull
#define US 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define G 0x100ull
#define XD BIT(63)

struct guest {
    struct bus *bus;
    struct cpu_model model;
    struct cpu *cpu;
};

void guest_create(struct guest *guest);
void guest_destroy(struct guest *guest);

void put32(struct guest *guest, gpa_t gpa, uint32_t value);
void put64(struct guest *guest, gpa_t gpa, uint64_t value);
uint32_t get32(struct guest *guest, gpa_t gpa);
uint64_t get64(struct guest *guest, gpa_t gpa);

/* Sets CPL and the view that goes with it. */
void guest_set_view(struct guest *guest, enum tlb_view view);

/* 4-level tables at 1000h (PML4), 2000h (PDPT), 3000h (PD), 4000h (PT): linear page n < 512 of the
 * first 2 MiB through PT entry n, all upper entries P, RW, US. NX, PGE and WP are on. */
#define PML4 0x1000
#define PDPT 0x2000
#define PD 0x3000
#define PT 0x4000
void guest_long_mode(struct guest *guest);
/* PT entry for linear page `page` of the first 2 MiB. */
void guest_map(struct guest *guest, unsigned page, uint64_t entry);

enum mmu_status guest_read(struct guest *guest, gva_t va, struct mmu_fault *fault);
enum mmu_status guest_write(struct guest *guest, gva_t va, struct mmu_fault *fault);
enum mmu_status guest_fetch(struct guest *guest, gva_t va, struct mmu_fault *fault);

#endif
