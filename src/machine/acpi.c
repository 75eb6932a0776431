/* Table layouts: ACPI specification 6.4, chapter 5; HPET table: IA-PC HPET
 * specification 1.0a, 3.2.4. */
#include "machine/acpi.h"

#include "base/bits.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/lapic.h"
#include "devices/misc/reset_control.h"
#include "devices/pci/pci_bus.h"
#include "devices/pci/piix3.h"
#include "devices/pci/piix4_pm.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/mc146818.h"
#include "machine/board.h"
#include "machine/memory_map.h"

#include <string.h>

/* dsdt.S */
extern const uint8_t dsdt_aml[], dsdt_aml_end[];

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

/* Generic address structure: 5.2.3.2. */
struct acpi_address {
    uint8_t space, bit_width, bit_offset, access_size;
    uint64_t address;
} __attribute__((packed));

enum { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1 };

struct acpi_fadt {
    struct acpi_header header;
    uint32_t facs, dsdt;
    uint8_t reserved0, preferred_pm_profile;
    uint16_t sci_interrupt;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
    uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
    uint8_t gpe0_length, gpe1_length, gpe1_base, cst_control;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_architecture;
    uint8_t reserved1;
    uint32_t flags;
    struct acpi_address reset_register;
    uint8_t reset_value;
    uint16_t arm_boot_architecture;
    uint8_t minor_revision;
    uint64_t x_facs, x_dsdt;
    struct acpi_address x_blocks[8]; /* all zero: the 32-bit fields above hold */
} __attribute__((packed));

_Static_assert(sizeof(struct acpi_fadt) == 244, "FADT revision 3 to 4");
_Static_assert(sizeof(struct acpi_rsdp) == ACPI_RSDP_SIZE, "RSDP of ACPI 2.0 and later");

enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_SLEEP_BUTTON_IS_DEVICE = 1 << 5, /* there is none */
    FADT_RESET_REGISTER = 1 << 10,

    FADT_ARCH_LEGACY_DEVICES = 1 << 0,
    FADT_ARCH_8042 = 1 << 1,
    FADT_ARCH_NO_VGA = 1 << 2,
};

struct acpi_facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, global_lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} __attribute__((packed));

struct acpi_madt_local_apic {
    uint8_t type, length, processor_id, apic_id;
    uint32_t flags;
} __attribute__((packed));

struct acpi_madt_io_apic {
    uint8_t type, length, id, reserved;
    uint32_t address, gsi_base;
} __attribute__((packed));

struct acpi_madt_override {
    uint8_t type, length, bus, source;
    uint32_t gsi;
    uint16_t flags;
} __attribute__((packed));

struct acpi_madt_nmi {
    uint8_t type, length, processor_id;
    uint16_t flags;
    uint8_t lint;
} __attribute__((packed));

#define MADT_LEVEL_HIGH 0x000d /* level-triggered, active high */

/* The tables, and the offsets of those that the XSDT lists. */
struct builder {
    struct acpi_tables *tables;
    uint32_t listed[8];
    unsigned count;
    bool ok;
};

/* What is at `at` in a blob will hold the address of a table, whose offset it has. */
static void add_pointer(struct builder *builder, bool in_rsdp, uint32_t at, unsigned size)
{
    struct acpi_tables *tables = builder->tables;
    if (tables->pointers < ARRAY_SIZE(tables->pointer))
        tables->pointer[tables->pointers++] = (struct acpi_pointer){in_rsdp, (uint8_t)size, at};
    else
        builder->ok = false;
}

static void add_checksum(struct builder *builder, bool in_rsdp, uint32_t at, uint32_t start,
                         uint32_t size)
{
    struct acpi_tables *tables = builder->tables;
    if (tables->checksums < ARRAY_SIZE(tables->checksum))
        tables->checksum[tables->checksums++] = (struct acpi_checksum){in_rsdp, at, start, size};
    else
        builder->ok = false;
}

static uint32_t put(struct builder *builder, const void *data, size_t size)
{
    struct acpi_tables *tables = builder->tables;
    uint32_t at = (uint32_t)align_up(tables->size, 64);
    if (at + size > sizeof(tables->data)) {
        builder->ok = false;
        return 0;
    }
    memcpy(tables->data + at, data, size);
    tables->size = at + (uint32_t)size;
    return at;
}

/* Completes the header of the table at data[0, size) and puts it. */
static uint32_t put_table(struct builder *builder, const char *signature, uint8_t revision,
                          void *data, size_t size)
{
    struct acpi_header *header = data;
    *header = (struct acpi_header){
        .length = (uint32_t)size,
        .revision = revision,
        .oem_revision = 1,
        .creator_revision = 1,
    };
    memcpy(header->signature, signature, 4);
    memcpy(header->oem_id, "DOPPEL", 6);
    memcpy(header->oem_table_id, "DOPPELPC", 8);
    memcpy(header->creator_id, "DPPL", 4);
    uint32_t at = put(builder, data, size);
    add_checksum(builder, false, at + offsetof(struct acpi_header, checksum), at, (uint32_t)size);
    return at;
}

static void list(struct builder *builder, uint32_t table)
{
    builder->listed[builder->count++] = table;
}

/* Power management's ports, as firmware has put them. */
static uint16_t pm_port(const struct acpi_config *config)
{
    uint32_t base = config->pci
                        ? pci_bus_read(config->pci, pci_devfn(PIIX3_SLOT, 3), PIIX4_PMBASE, 4)
                        : ACPI_PM_PORT;
    base &= 0xffc0;
    return base ? (uint16_t)base : ACPI_PM_PORT;
}

/* Sets the integer that the DSDT, at dsdt, declares as name with a value of `size` bytes. */
static void set_integer(struct builder *builder, uint32_t dsdt, const char *name, uint64_t value,
                        unsigned size)
{
    enum { NAME_OP = 0x08, DWORD_PREFIX = 0x0c, QWORD_PREFIX = 0x0e };
    struct acpi_tables *tables = builder->tables;
    uint8_t declaration[6] = {NAME_OP};
    memcpy(declaration + 1, name, 4);
    declaration[5] = size == 8 ? QWORD_PREFIX : DWORD_PREFIX;
    uint8_t *at =
        memmem(tables->data + dsdt, tables->size - dsdt, declaration, sizeof(declaration));
    if (at)
        store_le(at + sizeof(declaration), value, size);
    else
        builder->ok = false;
}

static uint32_t put_dsdt(struct builder *builder, const struct acpi_config *config)
{
    const uint32_t size = (uint32_t)(dsdt_aml_end - dsdt_aml);
    uint32_t at = put(builder, dsdt_aml, size);
    set_integer(builder, at, "PCIL", memory_map_pci_hole(config->memory), 4);
    set_integer(builder, at, "PCIH", memory_map_pci_high(config->memory), 8);
    builder->tables->data[at + offsetof(struct acpi_header, checksum)] = 0;
    add_checksum(builder, false, at + offsetof(struct acpi_header, checksum), at, size);
    return at;
}

static void put_fadt(struct builder *builder, const struct acpi_config *config)
{
    const uint16_t pm = pm_port(config);
    struct acpi_facs facs = {
        .signature = {'F', 'A', 'C', 'S'}, .length = sizeof(facs), .version = 1};
    uint32_t facs_at = put(builder, &facs, sizeof(facs));
    uint32_t dsdt_at = put_dsdt(builder, config);
    struct acpi_fadt fadt = {
        .facs = facs_at,
        .dsdt = dsdt_at,
        .sci_interrupt = BOARD_SCI_IRQ,
        .smi_command = ACPI_SMI_PORT,
        .acpi_enable = ACPI_ENABLE_COMMAND,
        .acpi_disable = ACPI_DISABLE_COMMAND,
        .pm1a_event = pm + ACPI_PM1_EVENT_PORT - ACPI_PM_PORT,
        .pm1a_control = pm + ACPI_PM1_CONTROL_PORT - ACPI_PM_PORT,
        .pm_timer = pm + ACPI_PM_TIMER_PORT - ACPI_PM_PORT,
        .gpe0 = ACPI_GPE0_PORT,
        .pm1_event_length = 4,
        .pm1_control_length = 2,
        .pm_timer_length = 4,
        .gpe0_length = 4,
        .c2_latency = 0xfff, /* no C2 and C3 */
        .c3_latency = 0xfff,
        .century = MC146818_CENTURY,
        .boot_architecture = FADT_ARCH_LEGACY_DEVICES | FADT_ARCH_8042 | FADT_ARCH_NO_VGA,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON_IS_DEVICE | FADT_RESET_REGISTER,
        .reset_register = {ACPI_SPACE_IO, 8, 0, 1, BOARD_RESET_PORT},
        .reset_value = BOARD_RESET_VALUE,
        .x_dsdt = dsdt_at,
    };
    uint32_t at = put_table(builder, "FACP", 3, &fadt, sizeof(fadt));
    add_pointer(builder, false, at + offsetof(struct acpi_fadt, facs), 4);
    add_pointer(builder, false, at + offsetof(struct acpi_fadt, dsdt), 4);
    add_pointer(builder, false, at + offsetof(struct acpi_fadt, x_dsdt), 8);
    list(builder, at);
}

static void put_madt(struct builder *builder, unsigned cpus)
{
    uint8_t table[1024] = {0};
    size_t size = sizeof(struct acpi_header);
    store_le(table + size, LAPIC_BASE, 4);
    store_le(table + size + 4, 1, 4); /* PCAT_COMPAT: there are 8259s too */
    size += 8;

    for (unsigned i = 0; i < cpus; i++) {
        struct acpi_madt_local_apic apic = {0, sizeof(apic), (uint8_t)i, (uint8_t)i, 1};
        memcpy(table + size, &apic, sizeof(apic));
        size += sizeof(apic);
    }
    struct acpi_madt_io_apic io_apic = {1, sizeof(io_apic), 0, 0, IOAPIC_BASE, 0};
    memcpy(table + size, &io_apic, sizeof(io_apic));
    size += sizeof(io_apic);

    const struct acpi_madt_override overrides[] = {
        {2, sizeof(overrides[0]), 0, 0, 2, 0}, /* the PIT is wired to input 2 */
        {2, sizeof(overrides[0]), 0, BOARD_SCI_IRQ, BOARD_SCI_IRQ, MADT_LEVEL_HIGH},
        {2, sizeof(overrides[0]), 0, 5, 5, MADT_LEVEL_HIGH}, /* the choices of PCI's links */
        {2, sizeof(overrides[0]), 0, 10, 10, MADT_LEVEL_HIGH},
        {2, sizeof(overrides[0]), 0, 11, 11, MADT_LEVEL_HIGH},
    };
    memcpy(table + size, overrides, sizeof(overrides));
    size += sizeof(overrides);
    struct acpi_madt_nmi nmi = {4, sizeof(nmi), 0xff, 0, 1};
    memcpy(table + size, &nmi, sizeof(nmi));
    size += sizeof(nmi);
    list(builder, put_table(builder, "APIC", 3, table, size));
}

static void put_hpet(struct builder *builder)
{
    struct {
        struct acpi_header header;
        uint32_t id;
        struct acpi_address address;
        uint8_t number;
        uint16_t minimum_tick;
        uint8_t protection;
    } __attribute__((packed)) hpet = {
        .id = HPET_ID,
        .address = {ACPI_SPACE_MEMORY, 64, 0, 0, HPET_BASE},
    };
    list(builder, put_table(builder, "HPET", 1, &hpet, sizeof(hpet)));
}

/* A table of pointers to all others. */
static uint32_t put_list(struct builder *builder, const char *signature, unsigned pointer_size)
{
    uint8_t table[sizeof(struct acpi_header) + 8 * ARRAY_SIZE(builder->listed)];
    const size_t header = sizeof(struct acpi_header);
    for (unsigned i = 0; i < builder->count; i++)
        store_le(table + header + i * pointer_size, builder->listed[i], pointer_size);
    uint32_t at =
        put_table(builder, signature, 1, table, header + builder->count * (size_t)pointer_size);
    for (unsigned i = 0; i < builder->count; i++)
        add_pointer(builder, false, at + (uint32_t)header + i * pointer_size, pointer_size);
    return at;
}

static void put_root(struct builder *builder)
{
    struct acpi_rsdp rsdp = {
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .oem_id = {'D', 'O', 'P', 'P', 'E', 'L'},
        .revision = 2,
        .length = sizeof(rsdp),
        .xsdt = put_list(builder, "XSDT", 8),
        .rsdt = put_list(builder, "RSDT", 4),
    };
    memcpy(builder->tables->rsdp, &rsdp, sizeof(rsdp));
    add_pointer(builder, true, offsetof(struct acpi_rsdp, rsdt), 4);
    add_pointer(builder, true, offsetof(struct acpi_rsdp, xsdt), 8);
    add_checksum(builder, true, offsetof(struct acpi_rsdp, checksum), 0, 20); /* ACPI 1.0's part */
    add_checksum(builder, true, offsetof(struct acpi_rsdp, extended_checksum), 0, sizeof(rsdp));
}

bool acpi_make_tables(struct acpi_tables *tables, const struct acpi_config *config,
                      struct error *error)
{
    struct builder builder = {.tables = tables, .ok = true};
    memset(tables, 0, sizeof(*tables));
    put_fadt(&builder, config);
    put_madt(&builder, config->cpus);
    put_hpet(&builder);
    put_root(&builder);
    return builder.ok ||
           error_set(error, "the ACPI tables have no room in %zu bytes", sizeof(tables->data));
}
