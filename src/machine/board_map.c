#include "bus/bus.h"
#include "devices/char/debugcon.h"
#include "devices/char/uart16550.h"
#include "devices/display/vga.h"
#include "devices/dma/i8237.h"
#include "devices/flash/cfi_flash.h"
#include "devices/input/i8042.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/misc/fw_cfg.h"
#include "devices/misc/pc_testdev.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/mc146818.h"
#include "machine/board_internal.h"
#include "machine/uefi_vars.h"

enum {
    PORT_I8042_DATA = 0x60,
    PORT_I8042_COMMAND = 0x64,
    PORT_PORT92 = 0x92,
    PORT_TESTDEV = 0xe0,
    PORT_TESTDEV_FLUSH = 0xe4,
    PORT_DEBUG_EXIT = 0xf4,
    PORT_COM1 = 0x3f8,
    PORT_TESTDEV_IRQ = 0x2000,
    TESTDEV_MEMORY_BASE = 0xff000000,
};

struct mapping {
    enum bus_space space;
    uint64_t base, size;
    const struct bus_ops *ops;
    void *device; /* NULL: the device is not there */
};

static bool map_all(struct board *board, const struct mapping *mappings, size_t count,
                    struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct mapping *mapping = &mappings[i];
        const char *other;
        if (mapping->device && !bus_map(board->config.bus, mapping->space, mapping->base,
                                        mapping->size, mapping->ops, mapping->device, &other))
            return error_set(error, "the board has %s and %s at the same addresses",
                             mapping->ops->name, other);
    }
    return true;
}

bool board_map_devices(struct board *board, struct error *error)
{
    const struct mapping mappings[] = {
        {BUS_PORT, I8259_FIRST_PORT, 2, &i8259_first_ops, board->pics},
        {BUS_PORT, I8259_SECOND_PORT, 2, &i8259_second_ops, board->pics},
        {BUS_PORT, I8259_ELCR_PORT, 2, &i8259_elcr_ops, board->pics},
        {BUS_PORT, I8254_PORT, 4, &i8254_ops, board->pit},
        {BUS_PORT, I8254_SPEAKER_PORT, 1, &i8254_speaker_ops, board->pit},
        {BUS_PORT, MC146818_PORT, 2, &mc146818_ops, board->rtc},
        {BUS_PORT, ACPI_GPE0_PORT, ACPI_GPE0_PORTS, &acpi_gpe_ops, board->pm},
        {BUS_PORT, ACPI_SMI_PORT, 2, &acpi_smi_ops, board->pm},
        {BUS_PORT, PORT_I8042_DATA, 1, &i8042_data_ops, board->i8042},
        {BUS_PORT, PORT_I8042_COMMAND, 1, &i8042_command_ops, board->i8042},
        {BUS_PORT, FPU_ERROR_PORT, 1, &fpu_error_ops, &board->fpu_error},
        {BUS_PORT, PORT_PORT92, 1, &port92_ops, &board->port92},
        {BUS_PORT, I8237_FIRST_PORT, I8237_FIRST_PORTS, &i8237_first_ops, board->dma},
        {BUS_PORT, I8237_SECOND_PORT, I8237_SECOND_PORTS, &i8237_second_ops, board->dma},
        {BUS_PORT, I8237_PAGE_PORT, I8237_PAGE_PORTS, &i8237_page_ops, board->dma},
        {BUS_PORT, FW_CFG_PORT, FW_CFG_PORTS, &fw_cfg_ops, board->fw_cfg},
        {BUS_PORT, FW_CFG_DMA_PORT, FW_CFG_DMA_PORTS, &fw_cfg_dma_ops, board->fw_cfg},
        {BUS_PORT, PORT_COM1, 8, &uart16550_ops, board->com1},
        {BUS_PORT, board->config.debugcon_port, 1, &debugcon_ops, board->config.debugcon},
        {BUS_PORT, PORT_DEBUG_EXIT, 4, &debug_exit_ops, board->testdev ? &board->debug_exit : NULL},
        {BUS_PORT, PORT_TESTDEV, 4, &pc_testdev_port_ops, board->testdev},
        {BUS_PORT, PORT_TESTDEV_FLUSH, 4, &pc_testdev_flush_ops, board->testdev},
        {BUS_PORT, PORT_TESTDEV_IRQ, PC_TESTDEV_LINES, &pc_testdev_irq_ops, board->testdev},
        {BUS_PORT, VGA_MONO_PORT, VGA_MONO_PORTS, &vga_mono_ops, board->vga},
        {BUS_PORT, VGA_PORT, VGA_PORTS, &vga_ports_ops, board->vga},
        {BUS_PORT, VGA_VBE_PORT, VGA_VBE_PORTS, &vga_vbe_ops, board->vga},
        {BUS_MMIO, VGA_WINDOW_BASE, VGA_WINDOW_SIZE, &vga_window_ops, board->vga},
        {BUS_MMIO, TESTDEV_MEMORY_BASE, PC_TESTDEV_MEMORY, &pc_testdev_memory_ops, board->testdev},
        {BUS_MMIO, IOAPIC_BASE, IOAPIC_SIZE, &ioapic_ops, board->ioapic},
        {BUS_MMIO, HPET_BASE, HPET_SIZE, &hpet_ops, board->hpet},
        {BUS_MMIO, board->config.uefi_vars->base, board->config.uefi_vars->contents.size,
         &cfi_flash_ops, board->uefi_flash},
    };
    return map_all(board, mappings, ARRAY_SIZE(mappings), error);
}
