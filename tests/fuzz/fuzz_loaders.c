/* Kernel files with some bytes changed, cut off or made longer: a bzImage, ELF files with and
 * without a PVH note, Multiboot kernels. What must hold: the loader reads nothing outside the file,
 * writes nothing outside guest memory, and either loads or says why not. */
#include "base/bits.h"
#include "bus/bus.h"
#include "fuzz.h"
#include "input.h"
#include "machine/boot.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY (16 * MIB)
#define SEED_MAX 4096
#define LOAD_ADDRESS 0x200000

/* --- Sound files; each writes its bytes and returns their count. */

static size_t make_bzimage(uint8_t *file)
{
    file[0x1f1] = 2; /* setup sectors */
    store_le(file + 0x1fe, 0xaa55, 2);
    file[0x201] = 0x6a;
    memcpy(file + 0x202, "HdrS", 4);
    store_le(file + 0x206, 0x20f, 2);
    file[0x211] = 1;                       /* LOADED_HIGH */
    store_le(file + 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    file[0x236] = 1;                       /* XLF_KERNEL_64 */
    store_le(file + 0x238, 2047, 4);       /* cmdline_size */
    store_le(file + 0x258, LOAD_ADDRESS, 8);
    store_le(file + 0x260, 4 * MIB, 4); /* init_size */
    return SEED_MAX;
}

static size_t make_elf64(uint8_t *file)
{
    const Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = LOAD_ADDRESS,
        .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
        .e_shentsize = sizeof(Elf64_Shdr),
    };
    const Elf64_Phdr segments[] = {
        {PT_LOAD, PF_R | PF_X, 512, LOAD_ADDRESS, LOAD_ADDRESS, 1024, 8192, PAGE_SIZE},
        {PT_NOTE, PF_R, 192, 0, 0, 20, 20, 4},
    };
    memcpy(file, &header, sizeof(header));
    memcpy(file + sizeof(header), segments, sizeof(segments));
    return 2048;
}

static size_t make_pvh(uint8_t *file)
{
    static const uint32_t note[] = {4, 4, 18, 0x006e6558 /* "Xen" */, LOAD_ADDRESS};
    size_t size = make_elf64(file);
    memcpy(file + 192, note, sizeof(note));
    return size;
}

static size_t make_elf32(uint8_t *file)
{
    const Elf32_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_entry = LOAD_ADDRESS,
        .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 1,
        .e_shentsize = sizeof(Elf32_Shdr),
    };
    const Elf32_Phdr segment = {PT_LOAD, 512,  LOAD_ADDRESS, LOAD_ADDRESS,
                                1024,    8192, PF_R | PF_X,  PAGE_SIZE};
    memcpy(file, &header, sizeof(header));
    memcpy(file + sizeof(header), &segment, sizeof(segment));
    return 2048;
}

static void put_multiboot(uint8_t *at, uint32_t flags)
{
    store_le(at, 0x1badb002, 4);
    store_le(at + 4, flags, 4);
    store_le(at + 8, 0u - 0x1badb002u - flags, 4);
}

static size_t make_multiboot_elf(uint8_t *file)
{
    size_t size = make_elf32(file);
    put_multiboot(file + 96, 3);
    return size;
}

static size_t make_multiboot(uint8_t *file)
{
    static const uint32_t addresses[] = {LOAD_ADDRESS + 64, LOAD_ADDRESS, LOAD_ADDRESS + 1024,
                                         LOAD_ADDRESS + 8192, LOAD_ADDRESS + 128};
    put_multiboot(file + 64, 1 << 16 | 3);
    memcpy(file + 64 + 12, addresses, sizeof(addresses));
    return 1024;
}

static const struct maker {
    size_t (*make)(uint8_t *file);
    size_t headers; /* what the loaders read is in the 256 bytes from here */
} makers[] = {
    {make_bzimage, 0x1f0}, {make_elf64, 0},         {make_pvh, 0},
    {make_elf32, 0},       {make_multiboot_elf, 0}, {make_multiboot, 0},
};

/* Where sums overflow and ranges end, or anything. */
static uint64_t take_value(struct input *input)
{
    static const uint64_t borders[] = {
        0,        1,          0x7f,           0xff,           0xffff,          SEED_MAX,
        MEMORY,   MEMORY - 1, LOAD_ADDRESS,   0x9fc00,        0x30000,         INT32_MAX,
        1u << 31, UINT32_MAX, UINT32_MAX - 3, 1ull << 32,     INT64_MAX,       1ull << 63,
        ~0ull,    ~0ull - 7,  ~0ull - 0xfff,  ~0ull - MEMORY, 0 - 0x200000ull, 0xfee00000,
    };
    unsigned kind = (unsigned)take(input, 1);
    if (kind < 160)
        return borders[kind % ARRAY_SIZE(borders)] + (kind >= 120 ? take(input, 1) - 128 : 0);
    return take(input, kind < 200 ? 2 : 8);
}

/* Changes some fields; often none, so that what follows the checks is reached. */
static void mutate(struct input *input, uint8_t *headers)
{
    for (unsigned i = (unsigned)take(input, 1) % 6; i > 0; i--) {
        static const uint8_t widths[] = {1, 2, 4, 8};
        unsigned width = widths[take(input, 1) % ARRAY_SIZE(widths)];
        size_t offset = take(input, 1);
        uint64_t value = take_value(input);
        if (offset % 2)
            offset &= ~(size_t)(width - 1);
        store_le(headers + offset, value, width);
    }
}

/* Exactly as large as the file is, so that a read behind it is seen. */
static struct file_data make_file(struct input *input)
{
    uint8_t seed[SEED_MAX] = {0};
    const struct maker *maker = &makers[take(input, 1) % ARRAY_SIZE(makers)];
    size_t size = maker->make(seed);
    mutate(input, seed + maker->headers);
    if (take(input, 1) % 4 == 0)
        size = take(input, 2) % (size + 1);
    struct file_data file = {.bytes = size ? malloc(size) : NULL, .size = size};
    if (size && !file.bytes)
        abort();
    if (size)
        memcpy(file.bytes, seed, size);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct error error = {""};
    struct bus *bus = bus_create();
    struct phys_map *phys = phys_create(bus);
    if (!bus || !phys || !memory_map_add_ram(phys, MEMORY, &error))
        abort();

    const struct boot_config config = {
        .kernel = "KERNEL", .initrd = "INITRD", .append = "console=ttyS0", .memory = MEMORY};
    struct boot_files files = {.config = &config, .kernel = make_file(&input)};
    files.initrd.size = take(&input, 2);
    files.initrd.bytes = files.initrd.size ? calloc(1, files.initrd.size) : NULL;
    struct boot_entry entry = {0};
    bool loaded = boot_load_files(phys, &files, &entry, &error);
    if (!loaded && !strstr(error.text, "--"))
        fuzz_fail("the message names no option: \"%s\"", error.text);
    if (loaded && error.text[0])
        fuzz_fail("it was loaded, but: \"%s\"", error.text);

    file_free(&files.kernel);
    file_free(&files.initrd);
    phys_destroy(phys);
    bus_destroy(bus);
    return 0;
}
