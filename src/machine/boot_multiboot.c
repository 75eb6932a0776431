/* Multiboot 0.6.96 (version 1): ELF kernels, and those with load addresses in their header.
 * Modules: the initrd is the only one. */
#include "machine/boot.h"
#include "base/bits.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SEARCH 8192
#define HEADER_MAGIC 0x1badb002u
#define BOOTLOADER_MAGIC 0x2badb002u

enum {
    FLAG_PAGE_ALIGN = 1 << 0,
    FLAG_MEMORY = 1 << 1,
    FLAG_VIDEO = 1 << 2,
    FLAG_ADDRESSES = 1 << 16
};
#define FLAGS_REQUIRED_KNOWN (FLAG_PAGE_ALIGN | FLAG_MEMORY | FLAG_VIDEO)

struct multiboot_header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

enum {
    INFO_MEMORY = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MAP = 1 << 6,
    INFO_LOADER_NAME = 1 << 9
};

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, boot_loader_name, apm_table;
    uint32_t vbe[4];
};

struct multiboot_module {
    uint32_t start, end, string, reserved;
};

struct multiboot_mmap {
    uint32_t size; /* of the rest */
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

/* Finds the header; *offset is where in the file. */
static bool find_header(const struct boot_files *files, struct multiboot_header *header,
                        size_t *offset)
{
    size_t size = files->kernel.size < HEADER_SEARCH ? files->kernel.size : HEADER_SEARCH;
    for (size_t at = 0; at + 12 <= size; at += 4) {
        const uint8_t *bytes = files->kernel.bytes + at;
        if (load_le(bytes, 4) != HEADER_MAGIC)
            continue;
        *header = (struct multiboot_header){0};
        memcpy(header, bytes, size - at < sizeof(*header) ? size - at : sizeof(*header));
        if (header->magic + header->flags + header->checksum == 0) {
            *offset = at;
            return true;
        }
    }
    return false;
}

bool boot_is_multiboot(const struct boot_files *files)
{
    struct multiboot_header header;
    size_t offset;
    return find_header(files, &header, &offset);
}

/* A kernel that says itself where it goes (bit 16 of its flags). */
static bool load_by_header(struct phys_map *phys, const struct boot_files *files,
                           const struct multiboot_header *header, size_t offset, gpa_t *end,
                           struct error *error)
{
    const char *path = files->config->kernel;
    uint64_t before = header->header_addr - (uint64_t)header->load_addr;
    if (header->header_addr < header->load_addr || before > offset)
        return error_set(error, "--kernel %s: the addresses of its Multiboot header do not fit it",
                         path);
    uint64_t start = offset - before;
    uint64_t size = files->kernel.size - start;
    if (header->load_end_addr) {
        uint64_t wanted = (uint64_t)header->load_end_addr - header->load_addr;
        if (header->load_end_addr < header->load_addr || wanted > size)
            return error_set(error,
                             "--kernel %s: ends before its Multiboot load_end_addr; it is "
                             "cut off",
                             path);
        size = wanted;
    }
    *end = header->load_addr + size;
    if (header->bss_end_addr > *end)
        *end = header->bss_end_addr;
    if (header->load_addr < BOOT_CMDLINE_LIMIT)
        return error_set(
            error, "--kernel %s: wants to be loaded at %#x, where direct boot keeps its tables",
            path, header->load_addr);
    uint8_t *host = phys_ram_pointer(phys, header->load_addr, *end - header->load_addr);
    if (!host)
        return error_set(error,
                         "--kernel %s: wants memory from %#x to %#llx; give a larger --memory",
                         path, header->load_addr, (unsigned long long)*end);
    memcpy(host, files->kernel.bytes + start, size);
    memset(host + size, 0, *end - header->load_addr - size);
    return true;
}

/* The information structure and all it points to, one behind the other. */
static bool write_info(struct phys_map *phys, const struct boot_files *files, gpa_t initrd,
                       struct error *error)
{
    struct {
        struct multiboot_info info;
        struct multiboot_module module;
        struct multiboot_mmap map[E820_MAX];
        char loader_name[8];
    } block = {.loader_name = "Doppel"};
    uint32_t base = BOOT_INFO_BASE;
    struct e820_entry map[E820_MAX];
    unsigned count = memory_map_e820(files->config->memory, map);
    for (unsigned i = 0; i < count; i++)
        block.map[i] = (struct multiboot_mmap){sizeof(block.map[0]) - 4, map[i].base, map[i].size,
                                               map[i].type};
    uint32_t name = base + (uint32_t)((uint8_t *)block.loader_name - (uint8_t *)&block);
    block.info = (struct multiboot_info){
        .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MAP | INFO_LOADER_NAME |
                 (files->initrd.size ? INFO_MODULES : 0),
        .mem_lower = EBDA_BASE / KIB,
        .mem_upper = (uint32_t)((memory_map_low(files->config->memory) - HIGH_BASE) / KIB),
        .cmdline = BOOT_CMDLINE_BASE,
        .mods_count = files->initrd.size ? 1 : 0,
        .mods_addr = base + (uint32_t)((uint8_t *)&block.module - (uint8_t *)&block),
        .mmap_length = (uint32_t)(count * sizeof(block.map[0])),
        .mmap_addr = base + (uint32_t)((uint8_t *)block.map - (uint8_t *)&block),
        .boot_loader_name = name,
    };
    block.module = (struct multiboot_module){
        .start = (uint32_t)initrd,
        .end = (uint32_t)(initrd + files->initrd.size),
        .string = name,
    };
    return phys_write(phys, base, &block, sizeof(block)) ||
           error_set(error, "--memory: too small for the boot information");
}

/* The kernel's name comes first, as other loaders have it: programs skip the first word. */
static bool place_arguments(struct phys_map *phys, const struct boot_files *files,
                            struct error *error)
{
    char *text;
    if (asprintf(&text, "%s %s", files->config->kernel, files->config->append) < 0)
        return error_set(error, "no memory for the kernel's command line");
    bool placed = boot_place_cmdline(phys, text, SIZE_MAX, error);
    free(text);
    return placed;
}

bool boot_load_multiboot(struct phys_map *phys, const struct boot_files *files,
                         struct boot_entry *entry, struct error *error)
{
    const char *path = files->config->kernel;
    struct multiboot_header header;
    size_t offset;
    if (!find_header(files, &header, &offset))
        return error_set(error, "--kernel %s: has no Multiboot header", path);
    if (header.flags & 0xffff & ~FLAGS_REQUIRED_KNOWN)
        return error_set(error,
                         "--kernel %s: requires Multiboot features that are not known "
                         "(flags %#x)",
                         path, header.flags);
    gpa_t end, initrd;
    *entry = (struct boot_entry){.rax = BOOTLOADER_MAGIC, .rbx = BOOT_INFO_BASE};
    if (header.flags & FLAG_ADDRESSES) {
        entry->rip = header.entry_addr;
        if (!load_by_header(phys, files, &header, offset, &end, error))
            return false;
    } else {
        if (!boot_is_elf(files))
            return error_set(error,
                             "--kernel %s: its Multiboot header has no load addresses, and "
                             "it is not an ELF file",
                             path);
        if (!boot_elf_segments(phys, files, &entry->rip, &end, error))
            return false;
    }
    return place_arguments(phys, files, error) &&
           boot_place_initrd(phys, files, end, LOW_RAM_LIMIT, &initrd, error) &&
           write_info(phys, files, initrd, error);
}
