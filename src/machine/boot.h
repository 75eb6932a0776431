/* Direct boot: a kernel file is put into guest memory and the CPU at its entry, without firmware.
 *
 * Known are bzImage (Linux boot protocol 2.06 and later) and ELF files: with a PVH note, a
 * Multiboot 1 header, or neither (then entered as the Linux boot protocol has it). Everything
 * happens before the vCPU starts. */
#ifndef DOPPEL_MACHINE_BOOT_H
#define DOPPEL_MACHINE_BOOT_H

#include "base/error.h"
#include "base/types.h"
#include "host/file.h"

struct cpu;
struct phys_map;

struct boot_config {
    const char *kernel; /* path */
    const char *initrd; /* path or NULL */
    const char *append; /* command line, "" for none */
    uint64_t memory;    /* bytes of RAM */
    gpa_t rsdp;         /* where the ACPI root pointer is */
};

/* How the CPU enters the kernel. */
struct boot_entry {
    bool long_mode; /* 64-bit with an identity map of 4 GiB; otherwise flat 32-bit, no paging */
    uint64_t rip;
    uint64_t rax, rbx, rsi;
};

/* Loads the kernel and what goes with it. */
bool boot_load(struct phys_map *phys, const struct boot_config *config, struct boot_entry *entry,
               struct error *error);

/* Sets the CPU, fresh from reset, to the entry: GDT and page tables included. */
void boot_enter(struct cpu *cpu, struct phys_map *phys, const struct boot_entry *entry);

/* The parts, for boot_load(). Each is given the kernel's bytes. */
struct boot_files {
    const struct boot_config *config;
    struct file_data kernel, initrd;
};

/* boot_load() with the files read already. */
bool boot_load_files(struct phys_map *phys, const struct boot_files *files,
                     struct boot_entry *entry, struct error *error);

bool boot_is_linux(const struct boot_files *files);
bool boot_load_linux(struct phys_map *phys, const struct boot_files *files,
                     struct boot_entry *entry, struct error *error);
bool boot_is_multiboot(const struct boot_files *files);
bool boot_load_multiboot(struct phys_map *phys, const struct boot_files *files,
                         struct boot_entry *entry, struct error *error);
bool boot_is_elf(const struct boot_files *files);
bool boot_load_elf(struct phys_map *phys, const struct boot_files *files, struct boot_entry *entry,
                   struct error *error);

/* Loads the segments of an ELF file; *end is the first byte behind them. */
bool boot_elf_segments(struct phys_map *phys, const struct boot_files *files, uint64_t *entry,
                       gpa_t *end, struct error *error);

/* Fills BOOT_INFO_BASE with boot_params: header (a setup_header at offset 0x1f1, or NULL), e820
 * map, RSDP, command line, and the initrd at the top of low memory, not past initrd_max and not
 * below kernel_end. */
struct boot_params_config {
    const uint8_t *header;
    size_t header_size;
    uint64_t initrd_max;
    gpa_t kernel_end;
};
bool boot_params_write(struct phys_map *phys, const struct boot_files *files,
                       const struct boot_params_config *params, struct error *error);

/* Places the initrd and tells where; size 0 where there is none. */
bool boot_place_initrd(struct phys_map *phys, const struct boot_files *files, gpa_t kernel_end,
                       uint64_t limit, gpa_t *base, struct error *error);
/* Writes the command line to BOOT_CMDLINE_BASE; max bytes without the terminator. */
bool boot_place_cmdline(struct phys_map *phys, const char *text, size_t max, struct error *error);

#endif
