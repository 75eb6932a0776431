#include "system_guest.h"

#include <criterion/criterion.h>

#define PAGE_USER_WRITABLE 7u
#define PAGE_LARGE 0x80u

#define ATTR_CODE64 0xa09b
#define ATTR_CODE32 0xc09b
#define ATTR_CODE16 0x009b
#define ATTR_DATA 0xc093
#define ATTR_USER 0x0060

uint64_t guest_raw(uint32_t base, uint32_t limit20, uint16_t attributes)
{
    return (limit20 & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
           (uint64_t)(attributes & 0xf0ff) << 40 | (uint64_t)(limit20 >> 16 & 15) << 48 |
           (uint64_t)(base >> 24) << 56;
}

void guest_write(struct guest *guest, uint64_t address, uint64_t value, unsigned size)
{
    cr_assert(phys_write(guest->phys, address, &value, size));
}

uint64_t guest_read(struct guest *guest, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    cr_assert(phys_read(guest->phys, address, &value, size));
    return value;
}

void guest_set_descriptor(struct guest *guest, uint16_t selector, uint64_t raw)
{
    guest_write(guest, GUEST_GDT + (selector & SELECTOR_INDEX), raw, 8);
}

void guest_set_gate(struct guest *guest, unsigned vector, uint16_t selector, uint64_t offset,
                    unsigned type, unsigned dpl, unsigned ist)
{
    uint64_t low = (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
                   (uint64_t)(0x80 | dpl << 5 | type) << 40 | (offset >> 16 & 0xffff) << 48;
    bool is_long = guest->cpu->mode & MODE_LONG;
    guest_write(guest, GUEST_IDT + vector * (is_long ? 16 : 8), low, 8);
    if (is_long)
        guest_write(guest, GUEST_IDT + vector * 16 + 8, offset >> 32, 8);
}

static void set_tables(struct guest *guest)
{
    guest_set_descriptor(guest, SEL_CODE64, guest_raw(0, 0xfffff, ATTR_CODE64));
    guest_set_descriptor(guest, SEL_DATA, guest_raw(0, 0xfffff, ATTR_DATA));
    guest_set_descriptor(guest, SEL_USER_CODE32, guest_raw(0, 0xfffff, ATTR_CODE32 | ATTR_USER));
    guest_set_descriptor(guest, SEL_USER_DATA, guest_raw(0, 0xfffff, ATTR_DATA | ATTR_USER));
    guest_set_descriptor(guest, SEL_USER_CODE64, guest_raw(0, 0xfffff, ATTR_CODE64 | ATTR_USER));
    guest_set_descriptor(guest, SEL_CODE32, guest_raw(0, 0xfffff, ATTR_CODE32));
    guest_set_descriptor(guest, SEL_TSS, guest_raw(GUEST_TSS, 0x67, 0x89));
    guest_set_descriptor(guest, SEL_LDT, guest_raw(GUEST_LDT, 0xff, 0x82));
    guest_set_descriptor(guest, SEL_CODE16, guest_raw(0, 0xffff, ATTR_CODE16));
    guest_set_descriptor(guest, SEL_DATA16, guest_raw(0, 0xffff, 0x92));
    guest_set_descriptor(guest, SEL_READ_ONLY, guest_raw(0, 0xffff, 0x90));
    guest_set_descriptor(guest, SEL_ABSENT, guest_raw(0, 0xffff, 0x13));
    guest_set_descriptor(guest, SEL_CONFORMING, guest_raw(0, 0xfffff, ATTR_CODE32 | 4));
    guest_set_descriptor(guest, SEL_TSS2, guest_raw(GUEST_TSS2, 0x67, 0x89));
    guest_set_descriptor(guest, SEL_TASK_GATE, (uint64_t)SEL_TSS2 << 16 | 0x8500ull << 32);
    guest_set_descriptor(guest, SEL_EXECUTE_ONLY, guest_raw(0, 0xfffff, 0xc099));

    guest_write(guest, GUEST_PML4, GUEST_PDPT | PAGE_USER_WRITABLE, 8);
    guest_write(guest, GUEST_PDPT, GUEST_PD | PAGE_USER_WRITABLE, 8);
    guest_write(guest, GUEST_PD, PAGE_LARGE | PAGE_USER_WRITABLE, 8);
    for (unsigned vector = 0; vector < 256; vector++) {
        guest_write(guest, vector * 4, GUEST_HANDLERS + vector * 16, 4);
        guest_write(guest, GUEST_HANDLERS + vector * 16, 0xf4, 1);
    }
}

void guest_create(struct guest *guest)
{
    struct error error = {""};
    memset(guest, 0, sizeof(*guest));
    guest->bus = bus_create();
    guest->clock = clock_create_manual();
    guest->phys = phys_create(guest->bus);
    cr_assert(phys_add_ram(guest->phys, 0, GUEST_RAM, &error), "%s", error.text);
    cr_assert(cpu_model_init(&guest->model, "host", &error), "%s", error.text);
    guest->trace.out = stderr;
    struct cpu_config config = {
        .model = &guest->model,
        .phys = guest->phys,
        .bus = guest->bus,
        .clock = guest->clock,
        .trace = &guest->trace,
    };
    guest->cpu = cpu_create(&config, &error);
    cr_assert(guest->cpu, "%s", error.text);
    set_tables(guest);

    struct cpu *cpu = guest->cpu;
    for (unsigned i = 0; i < 6; i++) {
        cpu->seg[i].selector = 0;
        cpu->seg[i].base = 0;
    }
    cpu->idtr = (struct table_register){.base = 0, .limit = 0x3ff};
    cpu->gdtr = (struct table_register){.base = GUEST_GDT, .limit = SEL_BEYOND - 1};
    cpu->gpr[REG_RSP] = 0xfff0;
    cpu->rip = GUEST_CODE;
    cpu_update_mode(cpu);
}

void guest_destroy(struct guest *guest)
{
    cpu_destroy(guest->cpu);
    phys_destroy(guest->phys);
    clock_destroy(guest->clock);
    bus_destroy(guest->bus);
}

static struct segment flat(uint16_t selector, unsigned cpl, uint16_t attributes)
{
    return (struct segment){
        .selector = (uint16_t)(selector | cpl),
        .attributes = (uint16_t)(attributes | cpl << SEGATTR_DPL_SHIFT),
        .limit = 0xffffffff,
    };
}

static void set_gates(struct guest *guest, uint16_t code)
{
    for (unsigned vector = 0; vector < 256; vector++)
        guest_set_gate(guest, vector, code, GUEST_HANDLERS + vector * 16, SYSTEM_INTERRUPT_GATE32,
                       0, 0);
}

static void set_common(struct guest *guest, unsigned cpl)
{
    struct cpu *cpu = guest->cpu;
    uint16_t data = cpl ? SEL_USER_DATA : SEL_DATA;
    cpu->cpl = (uint8_t)cpl;
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = flat(data, cpl, ATTR_DATA);
    cpu->idtr = (struct table_register){.base = GUEST_IDT, .limit = 0xfff};
    cpu->tr =
        (struct segment){.selector = SEL_TSS, .attributes = 0x8b, .limit = 0x67, .base = GUEST_TSS};
    cpu->ldtr = (struct segment){0};
    cpu->gpr[REG_RSP] = GUEST_STACK;
    cpu->rip = GUEST_CODE;
    cpu->halted = false;
}

void guest_enter_long(struct guest *guest, unsigned cpl)
{
    struct cpu *cpu = guest->cpu;
    set_common(guest, cpl);
    cpu->seg[SEG_CS] = flat(cpl ? SEL_USER_CODE64 : SEL_CODE64, cpl, ATTR_CODE64);
    cpu->cr3 = GUEST_PML4;
    cpu->cr4 = CR4_PAE | CR4_OSXSAVE | CR4_OSFXSR | CR4_FSGSBASE;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_NE;
    cpu->msr.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    cpu_update_mode(cpu);
    set_gates(guest, SEL_CODE64);
    guest_write(guest, GUEST_TSS + 4, GUEST_STACK0, 8);
    guest_write(guest, GUEST_TSS + 36, GUEST_STACK_IST, 8);
}

void guest_enter_protected(struct guest *guest, unsigned cpl)
{
    struct cpu *cpu = guest->cpu;
    set_common(guest, cpl);
    cpu->seg[SEG_CS] = flat(cpl ? SEL_USER_CODE32 : SEL_CODE32, cpl, ATTR_CODE32);
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu_update_mode(cpu);
    set_gates(guest, SEL_CODE32);
    guest_write(guest, GUEST_TSS + 4, GUEST_STACK0, 4);
    guest_write(guest, GUEST_TSS + 8, SEL_DATA, 2);
}

void guest_enter_vm86(struct guest *guest)
{
    struct cpu *cpu = guest->cpu;
    guest_enter_protected(guest, 3);
    cpu->rflags |= FLAG_VM;
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = (struct segment){.attributes = 0xf3, .limit = 0xffff};
    cpu->gpr[REG_RSP] = 0xfff0;
    cpu_update_mode(cpu);
}

enum cpu_exit guest_run(struct guest *guest, const uint8_t *code, size_t size)
{
    cr_assert(phys_write(guest->phys, GUEST_CODE, code, size));
    guest->cpu->rip = GUEST_CODE;
    guest->cpu->halted = false;
    return cpu_run(guest->cpu);
}

int guest_vector(const struct guest *guest)
{
    uint64_t offset = guest->cpu->rip - 1 - GUEST_HANDLERS;
    return offset % 16 == 0 && offset < 4096 ? (int)(offset / 16) : -1;
}

uint64_t guest_stack(struct guest *guest, unsigned i, unsigned size)
{
    return guest_read(guest, guest->cpu->gpr[REG_RSP] + i * size, size);
}

void guest_expect_level_3(struct guest *guest, unsigned size, uint16_t cs, uint64_t rsp,
                          uint16_t ss)
{
    cr_assert_eq(guest_vector(guest), VECTOR_GP);
    cr_expect_eq(guest_stack(guest, 0, size), 0, "error %#lx", guest_stack(guest, 0, size));
    cr_expect_eq(guest_stack(guest, 1, size), GUEST_DATA);
    cr_expect_eq(guest_stack(guest, 2, size), cs);
    cr_expect_eq(guest_stack(guest, 4, size), rsp);
    cr_expect_eq(guest_stack(guest, 5, size), ss);
}
