#include "machine/board.h"

#include "base/trace.h"
#include "devices/char/uart16550.h"
#include "devices/display/vga.h"
#include "devices/dma/i8237.h"
#include "devices/flash/cfi_flash.h"
#include "devices/input/i8042.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/irq/apic_bus.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/lapic.h"
#include "devices/misc/fw_cfg.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/pci_testdev.h"
#include "devices/misc/virtio_rng.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/mc146818.h"
#include "machine/board_internal.h"
#include "machine/chipset.h"
#include "machine/network.h"
#include "machine/storage.h"
#include "machine/uefi_vars.h"
#include "mmu/phys.h"

#include <stdlib.h>

#define VGA_SLOT 2

/* --- Creation, in the order of who needs whom. Each says whether the host had memory. */

static bool create_interrupt_controllers(struct board *board)
{
    const struct board_config *config = &board->config;
    board->apic_bus = apic_bus_create();
    if (!board->apic_bus)
        return false;
    board->ioapic = ioapic_create(&(struct ioapic_config){.apic_bus = board->apic_bus});
    board->lapic = lapic_create(&(struct lapic_config){
        .bootstrap = true,
        .physical_bits = config->physical_bits,
        .bus = config->bus,
        .clock = config->clock,
        .apic_bus = board->apic_bus,
        .intr = config->intr,
        .nmi = config->nmi,
        .smi = config->smi,
        .init = config->init,
        .tsc = board_read_tsc,
        .cpu = board,
        .extint = board_acknowledge_pics,
        .pic = board,
        .move = board_move_lapic,
        .board = board,
    });
    if (!board->ioapic || !board->lapic)
        return false;
    board->pics = i8259_create(&(struct i8259_config){.intr = board_lint0(board)});
    return board->pics;
}

static bool create_timers(struct board *board)
{
    struct clock *clock = board->config.clock;
    board->pit = i8254_create(&(struct i8254_config){clock, board_isa_irq(board, BOARD_PIT_IRQ)});
    board->rtc = mc146818_create(&(struct mc146818_config){
        .clock = clock,
        .irq = board_isa_irq(board, BOARD_RTC_IRQ),
        .epoch = mc146818_host_time(),
    });
    board->pm = acpi_pm_create(&(struct acpi_pm_config){
        .bus = board->config.bus,
        .clock = clock,
        .sci = board_isa_irq(board, BOARD_SCI_IRQ),
        .smi = board->config.smi,
        .power_off = board_power_off,
        .opaque = board,
    });
    if (!board->pit || !board->rtc || !board->pm)
        return false;
    board->hpet = hpet_create(&(struct hpet_config){
        .clock = clock,
        .ioapic = {ioapic_set_irq, board->ioapic, 0},
        .routes = 0x00f00000, /* inputs 20 to 23, which nothing else uses */
        .irq0 = board_isa_irq(board, BOARD_PIT_IRQ),
        .irq8 = board_isa_irq(board, BOARD_RTC_IRQ),
        .replaces = {{i8254_set_replaced, board->pit, 0}, {mc146818_set_replaced, board->rtc, 0}},
    });
    return board->hpet;
}

static bool create_input(struct board *board)
{
    board->keyboard = ps2_keyboard_create();
    board->mouse = ps2_mouse_create();
    if (!board->keyboard || !board->mouse)
        return false;
    board->i8042 = i8042_create(&(struct i8042_config){
        .clock = board->config.clock,
        .keyboard = ps2_keyboard_device(board->keyboard),
        .mouse = ps2_mouse_device(board->mouse),
        .keyboard_irq = board_isa_irq(board, BOARD_KEYBOARD_IRQ),
        .mouse_irq = board_isa_irq(board, BOARD_MOUSE_IRQ),
        .a20 = board_a20(board, A20_I8042),
        .reset = board_reset_line(board),
    });
    board->fpu_error.irq = board_isa_irq(board, BOARD_FPU_IRQ);
    board->fpu_error.ignne = board->config.ignne;
    board->port92.a20 = board_a20(board, A20_PORT92);
    board->port92.reset = board->reset_control.reset = board_reset_line(board);
    return board->i8042;
}

static bool create_serial(struct board *board)
{
    board->com1 = uart16550_create(&(struct uart16550_config){
        .clock = board->config.clock,
        .chardev = board->config.serial,
        .irq = board_isa_irq(board, BOARD_COM1_IRQ),
    });
    return board->com1;
}

static bool create_chipset(struct board *board, struct error *error)
{
    board->chipset = chipset_create(
        &(struct chipset_config){
            .bus = board->config.bus,
            .phys = board->config.phys,
            .direct = board->config.direct,
            .windows = board->config.windows,
            .apic_bus = board->apic_bus,
            .pm = board->pm,
            .reset_control = &board->reset_control,
            .set_irq = board_set_pci_irq,
            .opaque = board,
        },
        error);
    return board->chipset;
}

static bool create_vga(struct board *board, struct error *error)
{
    const struct board_config *config = &board->config;
    if (!config->display)
        return true;
    board->vga = vga_create(&(struct vga_config){
        .clock = config->clock,
        .pci = chipset_pci_bus(board->chipset),
        .slot = VGA_SLOT,
        .display = config->display,
        .direct = config->direct,
        .rom = config->vga_rom.bytes,
        .rom_size = config->vga_rom.size,
    });
    return board->vga || error_set(error, "no memory for the guest's VGA");
}

static bool create_storage(struct board *board, struct error *error)
{
    board->storage = storage_create(
        &(struct storage_config){
            .drives = board->config.drives,
            .bus = board->config.bus,
            .ide_irq = {board_isa_irq(board, BOARD_IDE_IRQ),
                        board_isa_irq(board, BOARD_IDE_IRQ + 1)},
            .pci = chipset_pci_bus(board->chipset),
        },
        error);
    return board->storage &&
           (storage_describe_boot(board->storage, board_boot_order(board), board->fw_cfg) ||
            error_set(error, "no memory for the order in which disks boot"));
}

static bool create_uefi_flash(struct board *board, struct error *error)
{
    struct uefi_vars *vars = board->config.uefi_vars;
    if (!vars->contents.size)
        return true;
    board->uefi_flash = cfi_flash_create(&(struct cfi_flash_config){
        .contents = vars->contents.bytes,
        .size = (uint32_t)vars->contents.size,
        .block_size = UEFI_VARS_BLOCK,
        .direct = board->config.direct,
        .base = vars->base,
        .changed = uefi_vars_changed,
        .opaque = vars,
    });
    return board->uefi_flash || error_set(error, "no memory for the flash of UEFI variables");
}

static bool create_network_cards(struct board *board, struct error *error)
{
    if (!board->config.networks)
        return true;
    board->network_cards = network_cards_create(
        board->config.networks, chipset_pci_bus(board->chipset), board->config.clock, error);
    return board->network_cards;
}

static bool create_rng(struct board *board, struct error *error)
{
    if (!board->config.rng)
        return true;
    board->rng = virtio_rng_create(&(struct virtio_rng_config){
        .bus = chipset_pci_bus(board->chipset),
        .slot = PCI_ANY_SLOT,
        .entropy = entropy_from_host,
    });
    return board->rng || error_set(error, "--rng on: no memory, or no slot is free");
}

static bool create_masters(struct board *board)
{
    struct dma memory = phys_dma(board->config.phys);
    board->dma = i8237_create(&memory);
    board->fw_cfg = fw_cfg_create(&memory);
    return board->dma && board->fw_cfg;
}

static bool create_test_devices(struct board *board)
{
    if (!board->config.events.debug_exit)
        return true;
    board->debug_exit = (struct debug_exit){board_exit_with, board};
    struct irq_line lines[PC_TESTDEV_LINES];
    for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
        lines[i] =
            i < 16 ? board_isa_irq(board, i) : (struct irq_line){ioapic_set_irq, board->ioapic, i};
    board->testdev = pc_testdev_create(lines);
    return board->testdev;
}

static bool create_pci_testdev(struct board *board, struct error *error)
{
    if (!board->config.pci_testdev)
        return true;
    board->pci_testdev = pci_testdev_create();
    return (board->pci_testdev &&
            pci_bus_attach(board_pci_bus(board), pci_testdev_function(board->pci_testdev),
                           PCI_ANY_SLOT, 0)) ||
           error_set(error, "there is no room for pci-testdev");
}

struct board *board_create(const struct board_config *config, struct error *error)
{
    struct board *board = calloc(1, sizeof(*board));
    if (!board) {
        error_format(error, "no memory for the guest's board");
        return NULL;
    }
    board->config = *config;
    if (!create_interrupt_controllers(board) || !create_timers(board) || !create_input(board) ||
        !create_serial(board) || !create_masters(board) || !create_test_devices(board)) {
        error_format(error, "no memory for the guest's devices");
    } else if (create_chipset(board, error) && create_vga(board, error) &&
               create_network_cards(board, error) && create_storage(board, error) &&
               create_rng(board, error) && create_pci_testdev(board, error) &&
               create_uefi_flash(board, error) && board_map_devices(board, error)) {
        board_set_cmos(board);
        return board;
    }
    board_destroy(board);
    return NULL;
}

void board_destroy(struct board *board)
{
    fw_cfg_destroy(board->fw_cfg);
    cfi_flash_destroy(board->uefi_flash);
    i8237_destroy(board->dma);
    if (board->storage)
        storage_destroy(board->storage);
    if (board->chipset)
        chipset_destroy(board->chipset);
    if (board->vga)
        vga_destroy(board->vga);
    network_cards_destroy(board->network_cards);
    virtio_rng_destroy(board->rng);
    if (board->pci_testdev)
        pci_testdev_destroy(board->pci_testdev);
    if (board->testdev)
        pc_testdev_destroy(board->testdev);
    if (board->com1)
        uart16550_destroy(board->com1);
    if (board->i8042)
        i8042_destroy(board->i8042);
    if (board->mouse)
        ps2_mouse_destroy(board->mouse);
    if (board->keyboard)
        ps2_keyboard_destroy(board->keyboard);
    if (board->hpet)
        hpet_destroy(board->hpet);
    if (board->pm)
        acpi_pm_destroy(board->pm);
    if (board->rtc)
        mc146818_destroy(board->rtc);
    if (board->pit)
        i8254_destroy(board->pit);
    if (board->lapic)
        lapic_destroy(board->lapic);
    if (board->ioapic)
        ioapic_destroy(board->ioapic);
    if (board->apic_bus)
        apic_bus_destroy(board->apic_bus);
    if (board->pics)
        i8259_destroy(board->pics);
    free(board);
}

void board_reset(struct board *board)
{
    i8259_reset(board->pics);
    ioapic_reset(board->ioapic);
    lapic_reset(board->lapic);
    i8254_reset(board->pit);
    hpet_reset(board->hpet);
    mc146818_reset(board->rtc);
    chipset_reset(board->chipset);
    fw_cfg_reset(board->fw_cfg);
    i8237_reset(board->dma);
    uart16550_reset(board->com1);
    ps2_keyboard_reset(board->keyboard);
    ps2_mouse_reset(board->mouse);
    i8042_reset(board->i8042);
    fpu_error_reset(&board->fpu_error);
    port92_reset(&board->port92);
    reset_control_reset(&board->reset_control);
    if (board->uefi_flash)
        cfi_flash_reset(board->uefi_flash);
    if (board->testdev)
        pc_testdev_reset(board->testdev);
}

void board_enter_after_firmware(struct board *board)
{
    lapic_enter_virtual_wire(board->lapic);
    chipset_enter_after_firmware(board->chipset);
    i8259_elcr_ops.write(board->pics, 0, (uint8_t)CHIPSET_PCI_IRQS, 1);
    i8259_elcr_ops.write(board->pics, 1, CHIPSET_PCI_IRQS >> 8, 1);
}

struct fw_cfg *board_fw_cfg(struct board *board)
{
    return board->fw_cfg;
}

struct pci_bus *board_pci_bus(struct board *board)
{
    return chipset_pci_bus(board->chipset);
}

struct storage *board_storage(struct board *board)
{
    return board->storage;
}

struct irq_line board_ferr(struct board *board)
{
    return (struct irq_line){fpu_error_set_ferr, &board->fpu_error, 0};
}

struct intc board_intc(struct board *board)
{
    return (struct intc){&lapic_intc_ops, board->lapic};
}

void board_press_power_button(struct board *board)
{
    TRACE(board->config.trace, TRACE_DEVICE, "power button");
    acpi_pm_press_power_button(board->pm);
}

void board_press_key(struct board *board, uint8_t key, bool pressed)
{
    ps2_keyboard_key(board->keyboard, key, pressed);
}

void board_move_mouse(struct board *board, int right, int down, int wheel, uint8_t buttons)
{
    ps2_mouse_move(board->mouse, right, down, wheel, buttons);
}

void board_print_interrupts(const struct board *board, FILE *out)
{
    ioapic_print(board->ioapic, out);
    i8259_print(board->pics, out);
}

void board_print_irq_counts(const struct board *board, FILE *out)
{
    fprintf(out, "IRQ statistics for isa:\n");
    for (unsigned irq = 0; irq < ARRAY_SIZE(board->irq_counts); irq++) {
        if (board->irq_counts[irq])
            fprintf(out, "%2u: %llu\n", irq, (unsigned long long)board->irq_counts[irq]);
    }
    fprintf(out, "IRQ statistics for msi:\n");
    for (unsigned vector = 0; vector <= UINT8_MAX; vector++) {
        uint64_t count = apic_bus_msis(board->apic_bus, (uint8_t)vector);
        if (count)
            fprintf(out, "0x%02x: %llu\n", vector, (unsigned long long)count);
    }
}
