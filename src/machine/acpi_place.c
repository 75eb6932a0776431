/* Where ACPI tables go: by our own hand, or by the firmware's. */
#include "base/bits.h"
#include "devices/misc/fw_cfg.h"
#include "machine/acpi.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <stdlib.h>

/* --- Direct boot */

static uint8_t *blob(struct acpi_tables *tables, bool rsdp)
{
    return rsdp ? tables->rsdp : tables->data;
}

static void resolve(struct acpi_tables *tables, gpa_t base)
{
    for (unsigned i = 0; i < tables->pointers; i++) {
        const struct acpi_pointer *pointer = &tables->pointer[i];
        uint8_t *at = blob(tables, pointer->in_rsdp) + pointer->at;
        store_le(at, load_le(at, pointer->size) + base, pointer->size);
    }
    for (unsigned i = 0; i < tables->checksums; i++) {
        const struct acpi_checksum *checksum = &tables->checksum[i];
        uint8_t *bytes = blob(tables, checksum->in_rsdp);
        uint8_t sum = 0;
        for (uint32_t j = 0; j < checksum->size; j++)
            sum = (uint8_t)(sum + bytes[checksum->start + j]);
        bytes[checksum->at] = (uint8_t)(bytes[checksum->at] - sum);
    }
}

bool acpi_write_tables(struct phys_map *phys, const struct acpi_config *config, gpa_t *rsdp,
                       struct error *error)
{
    struct acpi_tables *tables = malloc(sizeof(*tables));
    if (!tables)
        return error_set(error, "no memory for the guest's ACPI tables");
    bool ok = acpi_make_tables(tables, config, error);
    if (ok) {
        resolve(tables, ACPI_BASE);
        *rsdp = align_up(ACPI_BASE + tables->size, 64);
        ok = *rsdp + ACPI_RSDP_SIZE <= SMBIOS_BASE &&
             phys_write(phys, ACPI_BASE, tables->data, tables->size) &&
             phys_write(phys, *rsdp, tables->rsdp, ACPI_RSDP_SIZE);
        if (!ok)
            error_format(error, "the ACPI tables do not fit below %#llx", SMBIOS_BASE);
    }
    free(tables);
    return ok;
}

/* --- The table loader */

#define RSDP_FILE "etc/acpi/rsdp"
#define TABLES_FILE "etc/acpi/tables"

enum { ALLOCATE = 1, ADD_POINTER, ADD_CHECKSUM };
enum { ZONE_HIGH = 1, ZONE_F_SEGMENT = 2 };

struct command {
    uint32_t command;
    union {
        struct {
            char file[FW_CFG_NAME];
            uint32_t alignment;
            uint8_t zone;
        } __attribute__((packed)) allocate;
        struct {
            char in[FW_CFG_NAME], to[FW_CFG_NAME];
            uint32_t at;
            uint8_t size;
        } __attribute__((packed)) pointer;
        struct {
            char file[FW_CFG_NAME];
            uint32_t at, start, size;
        } __attribute__((packed)) checksum;
        uint8_t bytes[124];
    };
} __attribute__((packed));

_Static_assert(sizeof(struct command) == 128, "the loader's commands have this size");

struct script {
    struct command command[64];
    unsigned count;
};

_Static_assert(ARRAY_SIZE(((struct acpi_tables *)0)->pointer) +
                       ARRAY_SIZE(((struct acpi_tables *)0)->checksum) + 2 <=
                   ARRAY_SIZE(((struct script *)0)->command),
               "every fix has room for its command");

static void add_allocate(struct script *script, const char *file, uint32_t alignment, uint8_t zone)
{
    struct command *command = &script->command[script->count++];
    command->command = ALLOCATE;
    strcpy(command->allocate.file, file);
    command->allocate.alignment = alignment;
    command->allocate.zone = zone;
}

static const char *file_of(bool rsdp)
{
    return rsdp ? RSDP_FILE : TABLES_FILE;
}

static void write_script(struct script *script, const struct acpi_tables *tables)
{
    add_allocate(script, RSDP_FILE, 16, ZONE_F_SEGMENT);
    add_allocate(script, TABLES_FILE, 64, ZONE_HIGH);
    for (unsigned i = 0; i < tables->pointers; i++) {
        const struct acpi_pointer *pointer = &tables->pointer[i];
        struct command *command = &script->command[script->count++];
        command->command = ADD_POINTER;
        strcpy(command->pointer.in, file_of(pointer->in_rsdp));
        strcpy(command->pointer.to, TABLES_FILE);
        command->pointer.at = pointer->at;
        command->pointer.size = pointer->size;
    }
    for (unsigned i = 0; i < tables->checksums; i++) {
        const struct acpi_checksum *checksum = &tables->checksum[i];
        struct command *command = &script->command[script->count++];
        command->command = ADD_CHECKSUM;
        strcpy(command->checksum.file, file_of(checksum->in_rsdp));
        command->checksum.at = checksum->at;
        command->checksum.start = checksum->start;
        command->checksum.size = checksum->size;
    }
}

/* No memory: they stay as they were. */
static void fill_tables(void *opaque, uint8_t *data, size_t size)
{
    struct acpi_tables *tables = malloc(sizeof(*tables));
    struct error error;
    if (tables && acpi_make_tables(tables, opaque, &error))
        memcpy(data, tables->data, size);
    free(tables);
}

bool acpi_add_files(struct fw_cfg *fw_cfg, const struct acpi_config *config, struct error *error)
{
    struct acpi_tables *tables = malloc(sizeof(*tables));
    struct script *script = calloc(1, sizeof(*script));
    bool ok = tables && script && acpi_make_tables(tables, config, error);
    if (ok) {
        write_script(script, tables);
        ok = fw_cfg_add_live_file(fw_cfg, TABLES_FILE, tables->size, fill_tables, (void *)config) &&
             fw_cfg_add_file(fw_cfg, RSDP_FILE, tables->rsdp, ACPI_RSDP_SIZE) &&
             fw_cfg_add_file(fw_cfg, "etc/table-loader", script->command,
                             script->count * sizeof(script->command[0]));
    }
    free(tables);
    free(script);
    return ok || error_set(error, "no memory for the guest's ACPI tables");
}
