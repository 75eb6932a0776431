#include "guest.h"

#include <criterion/criterion.h>

#define TABLES 0x1000ull
#define DATA 0x20000ull
#define RAM 0x40000ull

enum { P = 1, W = GUEST_WRITABLE, U = 4, PS = 0x80 };

/* The entry of va in the table where pages of BIT(end) bytes are mapped. */
static uint64_t *find_entry(struct guest *guest, gva_t va, unsigned end)
{
    uint64_t *table = phys_ram_pointer(guest->phys, TABLES, PAGE_SIZE);
    for (unsigned shift = 39, level = 1; shift > end; shift -= 9, level++) {
        gpa_t next = TABLES + (level + (level == 3 ? va >> 21 : 0)) * PAGE_SIZE;
        table[va >> shift & 511] = next | P | W | U;
        table = phys_ram_pointer(guest->phys, next, PAGE_SIZE);
    }
    return &table[va >> end & 511];
}

void guest_map(struct guest *guest, gva_t va, gpa_t gpa, uint64_t flags)
{
    *find_entry(guest, va, PAGE_SHIFT) = gpa | P | U | flags;
}

void guest_map_large(struct guest *guest, gva_t va, gpa_t gpa, uint64_t flags)
{
    *find_entry(guest, va, 21) = gpa | P | U | PS | flags;
}

void guest_split_large(struct guest *guest, gva_t va, gpa_t gpa, uint64_t flags)
{
    guest_map(guest, va, gpa, flags); /* puts the table in */
    for (unsigned i = 1; i < 512; i++)
        guest_map(guest, va + i * PAGE_SIZE, gpa + i * PAGE_SIZE, flags);
}

void guest_create(struct guest *guest, const struct jit_config *config)
{
    struct error error = {""};
    *guest = (struct guest){.trace = {.out = stderr}};
    guest->bus = bus_create();
    guest->clock = clock_create_manual();
    guest->phys = phys_create(guest->bus);
    struct cpu_config cpu = {.model = &guest->model,
                             .phys = guest->phys,
                             .bus = guest->bus,
                             .clock = guest->clock,
                             .trace = &guest->trace};
    cr_assert(cpu_model_init(&guest->model, "host", &error), "%s", error.text);
    cr_assert(phys_add_ram(guest->phys, 0, RAM, &error), "%s", error.text);
    guest->cpu = cpu_create(&cpu, &error);
    cr_assert(guest->cpu, "%s", error.text);
    cr_assert(!config || jit_attach(guest->cpu, config, &error), "%s", error.text);
    for (unsigned i = 0; i < GUEST_CODE_SIZE; i += PAGE_SIZE)
        guest_map(guest, GUEST_CODE + i, GUEST_CODE_GPA + i, W);
    for (unsigned i = 0; i < GUEST_DATA_SIZE; i += PAGE_SIZE)
        guest_map(guest, GUEST_DATA + i, DATA + i, GUEST_DATA + i == GUEST_READ_ONLY ? 0 : W);
}

void guest_destroy(struct guest *guest)
{
    cpu_destroy(guest->cpu);
    phys_destroy(guest->phys);
    clock_destroy(guest->clock);
    bus_destroy(guest->bus);
}

uint8_t *guest_code(struct guest *guest)
{
    return phys_ram_pointer(guest->phys, GUEST_CODE_GPA, GUEST_CODE_SIZE);
}

uint8_t *guest_data(struct guest *guest)
{
    return phys_ram_pointer(guest->phys, DATA, GUEST_DATA_SIZE);
}

void guest_set_code(struct guest *guest, unsigned offset, const void *code, size_t size)
{
    phys_write(guest->phys, GUEST_CODE_GPA + offset, code, size);
}

void guest_start(struct guest *guest, uint64_t rip)
{
    guest_start_in(guest, DEC_MODE_64, rip);
}

void guest_start_in(struct guest *guest, enum dec_mode mode, uint64_t rip)
{
    struct cpu *cpu = guest->cpu;
    const struct segment data = {.selector = 0x10, .attributes = 0xc093, .limit = UINT32_MAX};
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = data;
    cpu->seg[SEG_CS] = (struct segment){
        .selector = 8, .attributes = mode == DEC_MODE_64 ? 0xa09b : 0xc09b, .limit = UINT32_MAX};
    cpu->seg[SEG_FS].base = 0x123;
    cpu->seg[SEG_GS].base = 0xffffffff00000045;
    cpu->idtr.limit = 0;
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    cpu->cr3 = TABLES;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->xcr0 = cpu->model->xcr0_supported;
    cpu->msr.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->cpl = 0;
    cpu->halted = false;
    cpu->rip = rip;
    cpu_update_mode(cpu);
    mmu_flush_all(cpu);
}
