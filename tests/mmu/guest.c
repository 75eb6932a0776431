#include "guest.h"

#include "bus/bus.h"

#include <criterion/criterion.h>
#include <stdlib.h>

void guest_create(struct guest *guest)
{
    struct error error;
    *guest = (struct guest){.bus = bus_create(), .model.physical_bits = 36};
    guest->cpu = aligned_alloc(_Alignof(struct cpu), sizeof(struct cpu));
    memset(guest->cpu, 0, sizeof(struct cpu));
    guest->cpu->model = &guest->model;
    guest->cpu->phys = phys_create(guest->bus);
    cr_assert(phys_add_ram(guest->cpu->phys, 0, RAM_SIZE, &error), "%s", error.text);
    cr_assert(phys_add_rom(guest->cpu->phys, ROM_BASE, 0x10000, "ROM", 3, &error), "%s",
              error.text);
    cr_assert(mmu_init(guest->cpu));
}

void guest_destroy(struct guest *guest)
{
    mmu_free(guest->cpu);
    phys_destroy(guest->cpu->phys);
    bus_destroy(guest->bus);
    free(guest->cpu);
}

void put32(struct guest *guest, gpa_t gpa, uint32_t value)
{
    cr_assert(phys_write(guest->cpu->phys, gpa, &value, sizeof(value)));
}

void put64(struct guest *guest, gpa_t gpa, uint64_t value)
{
    cr_assert(phys_write(guest->cpu->phys, gpa, &value, sizeof(value)));
}

uint32_t get32(struct guest *guest, gpa_t gpa)
{
    uint32_t value;
    cr_assert(phys_read(guest->cpu->phys, gpa, &value, sizeof(value)));
    return value;
}

uint64_t get64(struct guest *guest, gpa_t gpa)
{
    uint64_t value;
    cr_assert(phys_read(guest->cpu->phys, gpa, &value, sizeof(value)));
    return value;
}

void guest_set_view(struct guest *guest, enum tlb_view view)
{
    struct cpu *cpu = guest->cpu;
    cpu->cpl = view == TLB_VIEW_USER ? 3 : 0;
    cpu->mode &= ~(3u << MODE_CPL_SHIFT | 3u << MODE_VIEW_SHIFT);
    cpu->mode |= (uint32_t)cpu->cpl << MODE_CPL_SHIFT | (uint32_t)view << MODE_VIEW_SHIFT;
    mmu_select_view(cpu);
}

void guest_long_mode(struct guest *guest)
{
    struct cpu *cpu = guest->cpu;
    put64(guest, PML4, PDPT | P | RW | US);
    put64(guest, PDPT, PD | P | RW | US);
    put64(guest, PD, PT | P | RW | US);
    cpu->cr0 = CR0_PE | CR0_PG | CR0_WP;
    cpu->cr3 = PML4;
    cpu->cr4 = CR4_PAE | CR4_PGE;
    cpu->msr.efer = EFER_LME | EFER_LMA | EFER_NXE;
    cpu->mode = DEC_MODE_64 | MODE_LONG | MODE_PROTECTED | MODE_PAGING;
    guest_set_view(guest, TLB_VIEW_SUPERVISOR);
    mmu_flush_all(cpu);
}

void guest_map(struct guest *guest, unsigned page, uint64_t entry)
{
    put64(guest, PT + 8 * page, entry);
}

enum mmu_status guest_read(struct guest *guest, gva_t va, struct mmu_fault *fault)
{
    uint8_t byte;
    return mmu_read(guest->cpu, mode_view(guest->cpu->mode), va, &byte, 1, fault);
}

enum mmu_status guest_write(struct guest *guest, gva_t va, struct mmu_fault *fault)
{
    uint8_t byte = 0x5a;
    return mmu_write(guest->cpu, mode_view(guest->cpu->mode), va, &byte, 1, fault);
}

enum mmu_status guest_fetch(struct guest *guest, gva_t va, struct mmu_fault *fault)
{
    gpa_t gpa;
    unsigned flags;
    return mmu_fetch(guest->cpu, va, &gpa, &flags, fault);
}
