/* Direct boot: what is loaded where, and what bad files are answered with. */
#include "base/bits.h"
#include "bus/bus.h"
#include "machine/acpi.h"
#include "machine/boot.h"
#include "machine/memory_map.h"
#include "machine/smbios.h"
#include "mmu/phys.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MEMORY (64 * MIB)

struct fixture {
    struct bus *bus;
    struct phys_map *phys;
    struct boot_config config;
    struct boot_entry entry;
    struct error error;
    char kernel[32], initrd[32];
};

static void write_file(char path[32], const void *bytes, size_t size)
{
    strcpy(path, "/tmp/doppel-boot-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert(write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static void setup(struct fixture *f, const void *kernel, size_t size)
{
    *f = (struct fixture){.bus = bus_create()};
    f->phys = phys_create(f->bus);
    cr_assert(memory_map_add_ram(f->phys, MEMORY, &f->error));
    cr_assert(phys_add_ram(f->phys, ACPI_BASE, ACPI_LIMIT - ACPI_BASE, &f->error));
    write_file(f->kernel, kernel, size);
    f->config = (struct boot_config){.kernel = f->kernel, .append = "", .memory = MEMORY};
}

static void teardown(struct fixture *f)
{
    unlink(f->kernel);
    if (f->initrd[0])
        unlink(f->initrd);
    phys_destroy(f->phys);
    bus_destroy(f->bus);
}

static bool load(struct fixture *f)
{
    return boot_load(f->phys, &f->config, &f->entry, &f->error);
}

static void expect_error(struct fixture *f, const char *part)
{
    cr_assert(!load(f));
    cr_assert(strstr(f->error.text, part), "\"%s\" is not in \"%s\"", part, f->error.text);
    teardown(f);
}

static uint64_t guest_word(struct fixture *f, gpa_t gpa, unsigned size)
{
    uint64_t value = 0;
    cr_assert(phys_read(f->phys, gpa, &value, size));
    return value;
}

/* --- Linux */

#define SETUP_SIZE (2 * 512)
#define PAYLOAD_SIZE 4096

/* A bzImage with one setup sector besides the first, protocol 2.15. */
static void make_bzimage(uint8_t image[SETUP_SIZE + PAYLOAD_SIZE])
{
    memset(image, 0, SETUP_SIZE);
    memset(image + SETUP_SIZE, 0x90, PAYLOAD_SIZE);
    image[0x1f1] = 1;
    store_le(image + 0x1fe, 0xaa55, 2);
    image[0x201] = 0x6a;
    memcpy(image + 0x202, "HdrS", 4);
    store_le(image + 0x206, 0x20f, 2);
    image[0x211] = 1;                       /* LOADED_HIGH */
    store_le(image + 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    image[0x236] = 1;                       /* XLF_KERNEL_64 */
    store_le(image + 0x238, 2047, 4);       /* cmdline_size */
    store_le(image + 0x258, 16 * MIB, 8);   /* pref_address */
    store_le(image + 0x260, 8 * MIB, 4);    /* init_size */
}

Test(boot_linux, loads_kernel_initrd_and_command_line)
{
    struct fixture f;
    uint8_t image[SETUP_SIZE + PAYLOAD_SIZE];
    make_bzimage(image);
    setup(&f, image, sizeof(image));
    write_file(f.initrd, "ramdisk", 7);
    f.config.initrd = f.initrd;
    f.config.append = "console=ttyS0";
    f.config.rsdp = 0xe1234;
    cr_assert(load(&f), "%s", f.error.text);
    cr_assert(f.entry.long_mode);
    cr_assert_eq(f.entry.rip, 16 * MIB + 0x200);
    cr_assert_eq(f.entry.rsi, BOOT_INFO_BASE);
    cr_assert_eq(guest_word(&f, 16 * MIB, 1), 0x90);

    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE + 0x202, 4), 0x53726448);
    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE + 0x210, 1), 0xff);
    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE + 0x070, 8), 0xe1234);
    char text[14];
    phys_read(f.phys, guest_word(&f, BOOT_INFO_BASE + 0x228, 4), text, sizeof(text));
    cr_assert_str_eq(text, "console=ttyS0");
    gpa_t initrd = guest_word(&f, BOOT_INFO_BASE + 0x218, 4);
    cr_assert_eq(initrd, MEMORY - PAGE_SIZE);
    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE + 0x21c, 4), 7);
    cr_assert_eq(guest_word(&f, initrd, 4), 0x646d6172);
    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE + 0x1e8, 1), 4);
    teardown(&f);
}

Test(boot_linux, enters_a_32_bit_kernel_at_its_start)
{
    struct fixture f;
    uint8_t image[SETUP_SIZE + PAYLOAD_SIZE];
    make_bzimage(image);
    image[0x236] = 0;
    setup(&f, image, sizeof(image));
    cr_assert(load(&f), "%s", f.error.text);
    cr_assert(!f.entry.long_mode);
    cr_assert_eq(f.entry.rip, 16 * MIB);
    teardown(&f);
}

Test(boot_linux, refuses_what_does_not_fit)
{
    struct fixture f;
    uint8_t image[SETUP_SIZE + PAYLOAD_SIZE];

    make_bzimage(image);
    store_le(image + 0x260, 64 * MIB, 4);
    setup(&f, image, sizeof(image));
    expect_error(&f, "larger --memory");

    make_bzimage(image);
    store_le(image + 0x258, UINT64_MAX - 4095, 8);
    setup(&f, image, sizeof(image));
    expect_error(&f, "larger --memory");

    make_bzimage(image);
    setup(&f, image, sizeof(image));
    f.config.append = "0123456789";
    store_le(image + 0x238, 4, 4);
    unlink(f.kernel);
    write_file(f.kernel, image, sizeof(image));
    expect_error(&f, "--append");

    make_bzimage(image);
    setup(&f, image, sizeof(image));
    size_t size = 48 * MIB;
    uint8_t *big = calloc(1, size);
    write_file(f.initrd, big, size);
    free(big);
    f.config.initrd = f.initrd;
    expect_error(&f, "--initrd");
}

Test(boot_linux, refuses_old_and_cut_off_images)
{
    struct fixture f;
    uint8_t image[SETUP_SIZE + PAYLOAD_SIZE];

    make_bzimage(image);
    store_le(image + 0x206, 0x200, 2);
    setup(&f, image, sizeof(image));
    expect_error(&f, "too old");

    make_bzimage(image);
    image[0x211] = 0;
    setup(&f, image, sizeof(image));
    expect_error(&f, "zImage");

    make_bzimage(image);
    setup(&f, image, SETUP_SIZE);
    expect_error(&f, "cut off");

    make_bzimage(image);
    store_le(image + 0x1f4, PAYLOAD_SIZE / 16, 4);
    setup(&f, image, sizeof(image) - 1);
    expect_error(&f, "cut off");
    setup(&f, image, sizeof(image));
    cr_assert(load(&f), "%s", f.error.text);
    teardown(&f);
}

/* --- Files that are no kernels */

Test(boot, names_missing_and_foreign_files)
{
    struct fixture f;
    setup(&f, "plain text", 10);
    expect_error(&f, "neither");

    setup(&f, "", 0);
    expect_error(&f, "neither");

    setup(&f, "x", 1);
    f.config.kernel = "/nonexistent/kernel";
    expect_error(&f, "--kernel /nonexistent/kernel: cannot be opened");

    setup(&f, "x", 1);
    f.config.kernel = "/tmp";
    expect_error(&f, "not a regular file");

    uint8_t image[SETUP_SIZE + PAYLOAD_SIZE];
    make_bzimage(image);
    setup(&f, image, sizeof(image));
    f.config.initrd = "/nonexistent/initrd";
    expect_error(&f, "--initrd /nonexistent/initrd");
}

/* --- ELF */

struct elf_image {
    Elf64_Ehdr header;
    Elf64_Phdr segment[2];
    struct {
        Elf64_Nhdr header;
        char name[4];
        uint64_t entry;
    } __attribute__((packed)) note;
    uint8_t code[16];
};

static struct elf_image make_elf(void)
{
    struct elf_image image = {
        .header =
            {
                .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_entry = 2 * MIB + 4,
                .e_phoff = offsetof(struct elf_image, segment),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 1,
            },
        .segment = {{
                        .p_type = PT_LOAD,
                        .p_offset = offsetof(struct elf_image, code),
                        .p_paddr = 2 * MIB,
                        .p_filesz = 16,
                        .p_memsz = 64,
                    },
                    {
                        .p_type = PT_NOTE,
                        .p_offset = offsetof(struct elf_image, note),
                        .p_filesz = 24,
                        .p_align = 4,
                    }},
        .note = {{.n_namesz = 4, .n_descsz = 8, .n_type = 18}, "Xen", 0x200010},
    };
    memset(image.code, 0xcc, sizeof(image.code));
    return image;
}

Test(boot_elf, enters_a_plain_file_in_long_mode)
{
    struct fixture f;
    struct elf_image image = make_elf();
    setup(&f, &image, sizeof(image));
    uint64_t dirt = UINT64_MAX;
    phys_write(f.phys, 2 * MIB + 16, &dirt, 8);
    cr_assert(load(&f), "%s", f.error.text);
    cr_assert(f.entry.long_mode);
    cr_assert_eq(f.entry.rip, 2 * MIB + 4);
    cr_assert_eq(guest_word(&f, 2 * MIB, 8), 0xcccccccccccccccc);
    cr_assert_eq(guest_word(&f, 2 * MIB + 16, 8), 0, "the rest of the segment is zero");
    teardown(&f);
}

Test(boot_elf, enters_a_pvh_kernel_with_start_info)
{
    struct fixture f;
    struct elf_image image = make_elf();
    image.header.e_phnum = 2;
    setup(&f, &image, sizeof(image));
    write_file(f.initrd, "ramdisk", 7);
    f.config.initrd = f.initrd;
    cr_assert(load(&f), "%s", f.error.text);
    cr_assert(!f.entry.long_mode);
    cr_assert_eq(f.entry.rip, 0x200010);
    cr_assert_eq(f.entry.rbx, BOOT_INFO_BASE);
    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE, 4), 0x336ec578);
    cr_assert_eq(guest_word(&f, BOOT_INFO_BASE + 12, 4), 1, "one module");
    gpa_t module = guest_word(&f, BOOT_INFO_BASE + 16, 8);
    cr_assert_eq(guest_word(&f, module + 8, 8), 7);
    teardown(&f);
}

Test(boot_elf, refuses_unsound_files)
{
    struct fixture f;
    struct elf_image image = make_elf();
    image.header.e_machine = EM_AARCH64;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "another machine");

    image = make_elf();
    image.header.e_type = ET_REL;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "cannot run");

    image = make_elf();
    image.segment[0].p_filesz = image.segment[0].p_memsz = UINT64_MAX - 8;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "outside the file");

    image = make_elf();
    image.segment[0].p_paddr = MEMORY;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "larger --memory");

    image = make_elf();
    image.segment[0].p_paddr = 0x1000;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "direct boot keeps its tables");

    image = make_elf();
    image.segment[0].p_type = PT_NULL;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "no segment to load");
}

Test(boot_elf, survives_truncation_at_every_byte)
{
    struct elf_image image = make_elf();
    image.header.e_phnum = 2;
    for (size_t size = 0; size < sizeof(image); size++) {
        struct fixture f;
        setup(&f, &image, size);
        cr_expect(!load(&f), "loaded with %zu bytes", size);
        teardown(&f);
    }
}

/* --- Multiboot */

struct multiboot_image {
    uint32_t header[8];
    uint8_t code[32];
};

static struct multiboot_image make_multiboot(void)
{
    struct multiboot_image image = {
        .header = {0x1badb002, 1 << 16, -(0x1badb002u + (1u << 16)), 2 * MIB, 2 * MIB, 0,
                   2 * MIB + 256, 2 * MIB + 32},
    };
    memset(image.code, 0xf4, sizeof(image.code));
    return image;
}

Test(boot_multiboot, loads_by_the_header_and_passes_information)
{
    struct fixture f;
    struct multiboot_image image = make_multiboot();
    setup(&f, &image, sizeof(image));
    write_file(f.initrd, "module!", 7);
    f.config.initrd = f.initrd;
    f.config.append = "test args";
    cr_assert(load(&f), "%s", f.error.text);
    cr_assert(!f.entry.long_mode);
    cr_assert_eq(f.entry.rip, 2 * MIB + 32);
    cr_assert_eq(f.entry.rax, 0x2badb002);
    cr_assert_eq(guest_word(&f, 2 * MIB + 32, 4), 0xf4f4f4f4);
    uint32_t flags = (uint32_t)guest_word(&f, f.entry.rbx, 4);
    cr_assert_eq(flags & 0x4d, 0x4d, "memory, command line, modules, map");
    cr_assert_eq(guest_word(&f, f.entry.rbx + 8, 4), MEMORY / KIB - 1024);
    cr_assert_eq(guest_word(&f, f.entry.rbx + 20, 4), 1);
    gpa_t cmdline = guest_word(&f, f.entry.rbx + 16, 4) + strlen(f.config.kernel);
    cr_assert_eq(guest_word(&f, cmdline, 8), 0x7261207473657420, "\" test ar\" after the name");
    gpa_t module = guest_word(&f, f.entry.rbx + 24, 4);
    cr_assert_eq(guest_word(&f, module + 4, 4) - guest_word(&f, module, 4), 7);
    teardown(&f);
}

Test(boot_multiboot, refuses_impossible_headers)
{
    struct fixture f;
    struct multiboot_image image = make_multiboot();
    image.header[3] = 1 * MIB; /* header_addr below load_addr */
    setup(&f, &image, sizeof(image));
    expect_error(&f, "do not fit");

    image = make_multiboot();
    image.header[5] = 3 * MIB;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "cut off");

    image = make_multiboot();
    image.header[6] = UINT32_MAX;
    setup(&f, &image, sizeof(image));
    expect_error(&f, "larger --memory");

    image = make_multiboot();
    image.header[1] |= 1 << 15;
    image.header[2] = -(image.header[0] + image.header[1]);
    setup(&f, &image, sizeof(image));
    expect_error(&f, "not known");
}

/* --- ACPI */

static uint8_t sum_of(struct fixture *f, gpa_t table, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + guest_word(f, table + i, 1));
    return sum;
}

Test(smbios, tables_are_where_systems_look)
{
    struct fixture f;
    setup(&f, "", 0);
    cr_assert(smbios_write_tables(f.phys, 64 * MIB, 1, &f.error), "%s", f.error.text);
    cr_expect_eq(guest_word(&f, SMBIOS_BASE, 4), 0x5f4d535f, "_SM_");
    cr_expect_eq(sum_of(&f, SMBIOS_BASE, 31), 0);
    cr_expect_eq(sum_of(&f, SMBIOS_BASE + 16, 15), 0);
    cr_expect_eq(guest_word(&f, guest_word(&f, SMBIOS_BASE + 24, 4), 1), 1,
                 "the system comes first");
    teardown(&f);
}

Test(acpi, tables_are_sound_and_linked)
{
    struct fixture f;
    setup(&f, "", 0);
    gpa_t rsdp;
    cr_assert(acpi_write_tables(f.phys, &(struct acpi_config){.cpus = 1, .memory = 64 * MIB}, &rsdp,
                                &f.error));
    cr_assert_eq(guest_word(&f, rsdp, 8), 0x2052545020445352, "RSD PTR");
    cr_assert_eq(sum_of(&f, rsdp, 20), 0);
    cr_assert_eq(sum_of(&f, rsdp, 36), 0);
    gpa_t xsdt = guest_word(&f, rsdp + 24, 8);
    unsigned count = (unsigned)(guest_word(&f, xsdt + 4, 4) - 36) / 8;
    cr_assert_eq(count, 3);
    for (unsigned i = 0; i < count; i++) {
        gpa_t table = guest_word(&f, xsdt + 36 + 8 * i, 8);
        cr_expect_eq(sum_of(&f, table, guest_word(&f, table + 4, 4)), 0);
    }
    gpa_t fadt = guest_word(&f, xsdt + 36, 8);
    cr_assert_eq(guest_word(&f, fadt, 4), 0x50434146, "FACP comes first");
    gpa_t dsdt = guest_word(&f, fadt + 40, 4);
    cr_assert_eq(guest_word(&f, dsdt, 4), 0x54445344, "DSDT");
    cr_assert_eq(sum_of(&f, dsdt, guest_word(&f, dsdt + 4, 4)), 0);
    teardown(&f);
}
