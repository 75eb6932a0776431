/* ELF kernels: a PVH note (Xen's x86/HVM direct boot ABI) decides how they are entered; without one
 * they are entered as Linux is, with boot_params in RSI. */
#include "base/bits.h"
#include "machine/boot.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <gelf.h>
#include <string.h>

/* xen/include/public/elfnote.h */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

bool boot_is_elf(const struct boot_files *files)
{
    return files->kernel.size >= EI_NIDENT && !memcmp(files->kernel.bytes, ELFMAG, SELFMAG);
}

/* Opens the file in memory. libelf wants a writable pointer, but does not write in ELF_C_READ. */
static Elf *open_elf(const struct boot_files *files, GElf_Ehdr *header, struct error *error)
{
    const char *path = files->config->kernel;
    elf_version(EV_CURRENT);
    Elf *elf = elf_memory((char *)files->kernel.bytes, files->kernel.size);
    if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, header)) {
        error_set(error, "--kernel %s: is not a sound ELF file: %s", path, elf_errmsg(-1));
    } else if (header->e_machine != EM_X86_64 && header->e_machine != EM_386) {
        error_set(error, "--kernel %s: is an ELF file for another machine than x86 (e_machine %u)",
                  path, header->e_machine);
    } else if (header->e_type != ET_EXEC && header->e_type != ET_DYN) {
        error_set(error, "--kernel %s: is an ELF file that cannot run (e_type %u); link it first",
                  path, header->e_type);
    } else {
        return elf;
    }
    elf_end(elf);
    return NULL;
}

static bool load_segment(struct phys_map *phys, const struct boot_files *files,
                         const GElf_Phdr *segment, gpa_t *end, struct error *error)
{
    const char *path = files->config->kernel;
    if (segment->p_filesz > files->kernel.size ||
        segment->p_offset > files->kernel.size - segment->p_filesz ||
        segment->p_filesz > segment->p_memsz)
        return error_set(error, "--kernel %s: a segment lies outside the file; it is cut off",
                         path);
    if (segment->p_paddr < BOOT_CMDLINE_LIMIT)
        return error_set(error,
                         "--kernel %s: a segment at %#llx lies where direct boot keeps its tables, "
                         "below %#llx",
                         path, (unsigned long long)segment->p_paddr, BOOT_CMDLINE_LIMIT);
    uint8_t *host = phys_ram_pointer(phys, segment->p_paddr, segment->p_memsz);
    if (!host)
        return error_set(error,
                         "--kernel %s: a segment of %llu KiB at %#llx lies outside memory; give a "
                         "larger --memory",
                         path, (unsigned long long)(segment->p_memsz / KIB),
                         (unsigned long long)segment->p_paddr);
    if (segment->p_filesz)
        memcpy(host, files->kernel.bytes + segment->p_offset, segment->p_filesz);
    memset(host + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
    if (segment->p_paddr + segment->p_memsz > *end)
        *end = segment->p_paddr + segment->p_memsz;
    return true;
}

static bool load_segments(struct phys_map *phys, const struct boot_files *files, Elf *elf,
                          gpa_t *end, struct error *error)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) < 0)
        return error_set(error, "--kernel %s: its program headers cannot be read: %s",
                         files->config->kernel, elf_errmsg(-1));
    bool any = false;
    *end = 0;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment))
            return error_set(error, "--kernel %s: its program headers are cut off",
                             files->config->kernel);
        if (segment.p_type != PT_LOAD || segment.p_memsz == 0)
            continue;
        if (!load_segment(phys, files, &segment, end, error))
            return false;
        any = true;
    }
    return any || error_set(error, "--kernel %s: has no segment to load", files->config->kernel);
}

bool boot_elf_segments(struct phys_map *phys, const struct boot_files *files, uint64_t *entry,
                       gpa_t *end, struct error *error)
{
    GElf_Ehdr header;
    Elf *elf = open_elf(files, &header, error);
    if (!elf)
        return false;
    *entry = header.e_entry;
    bool ok = load_segments(phys, files, elf, end, error);
    elf_end(elf);
    return ok;
}

/* The entry that a note in [offset, offset + size) of the file gives, or 0. */
static uint64_t find_pvh_note(Elf *elf, uint64_t offset, uint64_t size)
{
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)offset, size, ELF_T_NHDR);
    if (!data)
        return 0;
    GElf_Nhdr note;
    size_t name, desc;
    for (size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &desc)) > 0;) {
        const uint8_t *bytes = data->d_buf;
        if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
            !memcmp(bytes + name, "Xen", 4) && (note.n_descsz == 4 || note.n_descsz == 8))
            return load_le(bytes + desc, note.n_descsz);
    }
    return 0;
}

static uint64_t pvh_entry(Elf *elf)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) < 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_NOTE)
            continue;
        uint64_t entry = find_pvh_note(elf, segment.p_offset, segment.p_filesz);
        if (entry)
            return entry;
    }
    return 0;
}

/* xen/include/public/arch-x86/hvm/start_info.h, version 1 */
struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
};

struct pvh_module {
    uint64_t base, size, cmdline, reserved;
};

struct pvh_memmap_entry {
    uint64_t base, size;
    uint32_t type, reserved;
};

#define PVH_MAGIC 0x336ec578u

/* Start info, module and memory map one behind the other at BOOT_INFO_BASE. */
static bool write_pvh_info(struct phys_map *phys, const struct boot_files *files, gpa_t kernel_end,
                           struct error *error)
{
    struct {
        struct pvh_start_info info;
        struct pvh_module module;
        struct pvh_memmap_entry map[E820_MAX];
    } block = {0};
    gpa_t initrd;
    if (!boot_place_initrd(phys, files, kernel_end, LOW_RAM_LIMIT, &initrd, error))
        return false;
    struct e820_entry map[E820_MAX];
    unsigned count = memory_map_e820(files->config->memory, map);
    for (unsigned i = 0; i < count; i++)
        block.map[i] = (struct pvh_memmap_entry){map[i].base, map[i].size, map[i].type, 0};
    block.module = (struct pvh_module){.base = initrd, .size = files->initrd.size};
    block.info = (struct pvh_start_info){
        .magic = PVH_MAGIC,
        .version = 1,
        .module_count = files->initrd.size ? 1 : 0,
        .modules = BOOT_INFO_BASE + sizeof(block.info),
        .cmdline = BOOT_CMDLINE_BASE,
        .rsdp = files->config->rsdp,
        .memmap = BOOT_INFO_BASE + sizeof(block.info) + sizeof(block.module),
        .memmap_entries = count,
    };
    return phys_write(phys, BOOT_INFO_BASE, &block, sizeof(block));
}

static bool prepare_entry(struct phys_map *phys, const struct boot_files *files, Elf *elf,
                          const GElf_Ehdr *header, struct boot_entry *entry, struct error *error)
{
    gpa_t end;
    if (!load_segments(phys, files, elf, &end, error) ||
        !boot_place_cmdline(phys, files->config->append, SIZE_MAX, error))
        return false;
    uint64_t pvh = pvh_entry(elf);
    if (pvh) {
        *entry = (struct boot_entry){.rip = pvh, .rbx = BOOT_INFO_BASE};
        return write_pvh_info(phys, files, end, error);
    }
    struct boot_params_config params = {.initrd_max = LOW_RAM_LIMIT - 1, .kernel_end = end};
    *entry = (struct boot_entry){
        .long_mode = header->e_machine == EM_X86_64,
        .rip = header->e_entry,
        .rsi = BOOT_INFO_BASE,
    };
    return boot_params_write(phys, files, &params, error);
}

bool boot_load_elf(struct phys_map *phys, const struct boot_files *files, struct boot_entry *entry,
                   struct error *error)
{
    GElf_Ehdr header;
    Elf *elf = open_elf(files, &header, error);
    if (!elf)
        return false;
    bool ok = prepare_entry(phys, files, elf, &header, entry, error);
    elf_end(elf);
    return ok;
}
