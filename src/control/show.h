/* What a person is shown of a guest, in the form of QEMU's monitor. The CPU is held. */
#ifndef DOPPEL_CONTROL_SHOW_H
#define DOPPEL_CONTROL_SHOW_H

#include "base/types.h"

#include <stdio.h>

struct bus;
struct cpu;
struct pci_bus;
struct phys_map;

void show_registers(const struct cpu *cpu, FILE *out);

/* The translations that the page tables give, by pages and by ranges of the same rights; the
 * first so many. */
void show_pages(const struct cpu *cpu, FILE *out);
void show_ranges(const struct cpu *cpu, FILE *out);

/* With the bus lock held. */
void show_pci(struct pci_bus *pci, FILE *out);
void show_memory_map(struct phys_map *phys, struct bus *bus, FILE *out);

/* Dumps memory: arguments are those of the commands x (linear addresses) and xp (physical ones):
 * "[/FORMAT] ADDRESS". Devices are not touched. */
void show_memory(struct cpu *cpu, bool linear, const char *arguments, FILE *out);

/* Reads memory up to where it cannot be read. Returns how many bytes. */
size_t show_read(struct cpu *cpu, bool linear, uint64_t address, uint8_t *bytes, size_t size);

#endif
