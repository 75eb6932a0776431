#include "machine/boot.h"

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/msr.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

/* The selectors that the Linux boot protocol demands. */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TSS 0x20

#define ATTR_CODE 0x009b /* present, code, readable, accessed */
#define ATTR_DATA 0x0093 /* present, data, writable, accessed */
#define ATTR_TSS 0x008b  /* present, busy 32-bit or 64-bit TSS */

#define PTE_PRESENT_WRITABLE 0x3
#define PDE_LARGE_PAGE 0x80

static bool load_files(struct boot_files *files, struct error *error)
{
    const struct boot_config *config = files->config;
    if (!file_read(&files->kernel, "--kernel", config->kernel, error))
        return false;
    if (config->initrd && !file_read(&files->initrd, "--initrd", config->initrd, error))
        return false;
    if (config->initrd && files->initrd.size == 0)
        return error_set(error, "--initrd %s: is empty", config->initrd);
    return true;
}

bool boot_load_files(struct phys_map *phys, const struct boot_files *files,
                     struct boot_entry *entry, struct error *error)
{
    if (boot_is_linux(files))
        return boot_load_linux(phys, files, entry, error);
    if (boot_is_multiboot(files))
        return boot_load_multiboot(phys, files, entry, error);
    if (boot_is_elf(files))
        return boot_load_elf(phys, files, entry, error);
    return error_set(error,
                     "--kernel %s: is neither a Linux bzImage nor an ELF file nor a Multiboot "
                     "kernel",
                     files->config->kernel);
}

bool boot_load(struct phys_map *phys, const struct boot_config *config, struct boot_entry *entry,
               struct error *error)
{
    struct boot_files files = {.config = config};
    bool ok = load_files(&files, error) && boot_load_files(phys, &files, entry, error);
    file_free(&files.kernel);
    file_free(&files.initrd);
    return ok;
}

/* A descriptor with 4 GiB of limit. */
static uint64_t flat_descriptor(uint16_t attributes)
{
    return 0x000f00000000ffffull | (uint64_t)attributes << 40;
}

static void write_gdt(struct phys_map *phys, uint16_t code_attributes)
{
    uint64_t gdt[6] = {
        [BOOT_CS / 8] = flat_descriptor(code_attributes),
        [BOOT_DS / 8] = flat_descriptor(ATTR_DATA | SEGATTR_G | SEGATTR_DB),
        [BOOT_TSS / 8] = (uint64_t)ATTR_TSS << 40 | 0x67,
    };
    phys_write(phys, BOOT_GDT_BASE, gdt, sizeof(gdt));
}

/* Maps the first 4 GiB one to one by 2 MiB pages. */
static void write_page_tables(struct phys_map *phys)
{
    gpa_t pdpt = BOOT_PAGE_TABLES_BASE + PAGE_SIZE;
    gpa_t directories = pdpt + PAGE_SIZE;
    uint64_t entry = pdpt | PTE_PRESENT_WRITABLE;
    phys_write(phys, BOOT_PAGE_TABLES_BASE, &entry, sizeof(entry));
    for (unsigned i = 0; i < 4; i++) {
        entry = (directories + i * PAGE_SIZE) | PTE_PRESENT_WRITABLE;
        phys_write(phys, pdpt + 8 * i, &entry, sizeof(entry));
    }
    for (unsigned i = 0; i < 4 * 512; i++) {
        entry = i * 2 * MIB | PDE_LARGE_PAGE | PTE_PRESENT_WRITABLE;
        phys_write(phys, directories + 8 * i, &entry, sizeof(entry));
    }
}

/* As firmware leaves them: write-back, but for the devices' range below 4 GiB. */
static void set_mtrrs(struct cpu *cpu)
{
    uint64_t range = HIGH_RAM_BASE - LOW_RAM_LIMIT;
    cpu->msr.mtrr_def_type = MTRR_ENABLE | MTRR_WRITE_BACK;
    cpu->msr.mtrr_phys_base[0] = LOW_RAM_LIMIT; /* uncacheable */
    cpu->msr.mtrr_phys_mask[0] = (BIT(cpu->model->physical_bits) - range) | MTRR_VALID;
}

void boot_enter(struct cpu *cpu, struct phys_map *phys, const struct boot_entry *entry)
{
    uint16_t code = ATTR_CODE | SEGATTR_G | (entry->long_mode ? SEGATTR_L : SEGATTR_DB);
    write_gdt(phys, code);
    cpu->gdtr = (struct table_register){.base = BOOT_GDT_BASE, .limit = 6 * 8 - 1};
    cpu->idtr = (struct table_register){0};
    cpu->seg[SEG_CS] = (struct segment){BOOT_CS, code, UINT32_MAX, 0};
    static const enum dec_seg data[] = {SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS};
    for (size_t i = 0; i < ARRAY_SIZE(data); i++)
        cpu->seg[data[i]] =
            (struct segment){BOOT_DS, ATTR_DATA | SEGATTR_G | SEGATTR_DB, UINT32_MAX, 0};
    cpu->tr = (struct segment){BOOT_TSS, ATTR_TSS, 0x67, 0};

    cpu->cr0 = CR0_PE | CR0_ET;
    if (entry->long_mode) {
        write_page_tables(phys);
        cpu->cr3 = BOOT_PAGE_TABLES_BASE;
        cpu->cr4 = CR4_PAE;
        cpu->msr.efer = EFER_LME | EFER_LMA;
        cpu->cr0 |= CR0_PG;
    }
    set_mtrrs(cpu);
    cpu->rflags = FLAGS_FIXED;
    cpu->rip = entry->rip;
    cpu->gpr[REG_RAX] = entry->rax;
    cpu->gpr[REG_RBX] = entry->rbx;
    cpu->gpr[REG_RSI] = entry->rsi;
    cpu_update_mode(cpu);
}
