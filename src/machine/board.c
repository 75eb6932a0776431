#include "machine/board.h"

#include "base/trace.h"
#include "bus/bus.h"
#include "devices/char/debugcon.h"
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
#include "devices/misc/debug_exit.h"
#include "devices/misc/fpu_error.h"
#include "devices/misc/fw_cfg.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/pci_testdev.h"
#include "devices/misc/port92.h"
#include "devices/misc/reset_control.h"
#include "devices/misc/virtio_rng.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/mc146818.h"
#include "machine/chipset.h"
#include "machine/memory_map.h"
#include "machine/network.h"
#include "machine/storage.h"
#include "machine/uefi_vars.h"
#include "mmu/phys.h"

#include <stdlib.h>

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
    VGA_SLOT = 2,
};

enum a20_gate { A20_I8042, A20_PORT92, A20_GATES };

struct board {
    struct board_config config;
    struct chipset *chipset;
    struct vga *vga;                     /* or NULL */
    struct network_cards *network_cards; /* or NULL */
    struct virtio_rng *rng;              /* or NULL */
    struct storage *storage;
    struct cfi_flash *uefi_flash; /* or NULL */
    struct fw_cfg *fw_cfg;
    struct i8237 *dma;
    uint16_t isa_irqs, pci_irqs; /* who asserts which IRQ */
    uint16_t irqs;               /* which are high */
    uint64_t irq_counts[16];     /* of rising edges */
    struct apic_bus *apic_bus;
    struct lapic *lapic;
    uint64_t lapic_base; /* where its page is mapped; 0 while it is not */
    struct ioapic *ioapic;
    struct i8259 *pics;
    struct i8254 *pit;
    struct hpet *hpet;
    struct mc146818 *rtc;
    struct acpi_pm *pm;
    struct uart16550 *com1;
    struct ps2_keyboard *keyboard;
    struct ps2_mouse *mouse;
    struct i8042 *i8042;
    struct pc_testdev *testdev;
    struct pci_testdev *pci_testdev;
    struct fpu_error fpu_error;
    struct port92 port92;
    bool a20[A20_GATES]; /* who holds address line 20 open */
    struct reset_control reset_control;
    struct debug_exit debug_exit;
};

/* --- Wires */

/* An ISA interrupt goes to both interrupt controllers. */
static void update_irq(struct board *board, unsigned irq)
{
    bool level = (board->isa_irqs | board->pci_irqs) >> irq & 1;
    uint16_t bit = (uint16_t)(1u << irq);
    board->irq_counts[irq] += level && !(board->irqs & bit);
    board->irqs = level ? board->irqs | bit : board->irqs & ~bit;
    TRACE(board->config.trace, TRACE_DEVICE, "IRQ %u is %s", irq, level ? "high" : "low");
    i8259_set_irq(board->pics, irq, level);
    ioapic_set_irq(board->ioapic, irq == BOARD_PIT_IRQ ? BOARD_PIT_IOAPIC_INPUT : irq, level);
}

static void set_isa_irq(void *opaque, unsigned irq, bool level)
{
    struct board *board = opaque;
    uint16_t bit = (uint16_t)(1u << irq);
    board->isa_irqs = level ? board->isa_irqs | bit : board->isa_irqs & ~bit;
    update_irq(board, irq);
}

static void set_pci_irq(void *opaque, unsigned irq, bool level)
{
    struct board *board = opaque;
    uint16_t bit = (uint16_t)(1u << irq);
    board->pci_irqs = level ? board->pci_irqs | bit : board->pci_irqs & ~bit;
    update_irq(board, irq);
}

static struct irq_line isa_irq(struct board *board, unsigned irq)
{
    return (struct irq_line){set_isa_irq, board, irq};
}

static void set_lint0(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    (void)input;
    lapic_set_lint(board->lapic, 0, level);
}

static void reset_machine(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    (void)input;
    if (!level)
        return;
    TRACE(board->config.trace, TRACE_DEVICE, "reset");
    board->config.events.reset(board->config.events.opaque);
}

/* The line is open while either gate is. */
static void set_a20(void *opaque, unsigned gate, bool open)
{
    struct board *board = opaque;
    board->a20[gate] = open;
    open = board->a20[A20_I8042] || board->a20[A20_PORT92];
    TRACE(board->config.trace, TRACE_DEVICE, "A20 is %s", open ? "open" : "masked");
    irq_set(&board->config.a20, open);
}

static void power_off(void *opaque)
{
    struct board *board = opaque;
    TRACE(board->config.trace, TRACE_DEVICE, "power off");
    board->config.events.power_off(board->config.events.opaque);
}

static void exit_with(void *opaque, int status)
{
    struct board *board = opaque;
    board->config.events.debug_exit(board->config.events.opaque, (unsigned)status);
}

static uint64_t read_tsc(void *opaque)
{
    struct board *board = opaque;
    return board->config.events.tsc(board->config.events.opaque);
}

static int acknowledge_pics(void *opaque)
{
    struct board *board = opaque;
    return i8259_acknowledge(board->pics);
}

/* The local APIC's page follows IA32_APIC_BASE. Where another device is, it cannot be seen. */
static void move_lapic(void *opaque, uint64_t base, bool visible)
{
    struct board *board = opaque;
    struct bus *bus = board->config.bus;
    const char *other;
    if (board->lapic_base)
        bus_unmap(bus, BUS_MMIO, board->lapic_base);
    board->lapic_base = 0;
    TRACE(board->config.trace, TRACE_DEVICE, "local APIC at %#llx, %s", (unsigned long long)base,
          visible ? "visible" : "hidden");
    if (visible && bus_map(bus, BUS_MMIO, base, LAPIC_SIZE, &lapic_ops, board->lapic, &other))
        board->lapic_base = base;
}

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
        .tsc = read_tsc,
        .cpu = board,
        .extint = acknowledge_pics,
        .pic = board,
        .move = move_lapic,
        .board = board,
    });
    if (!board->ioapic || !board->lapic)
        return false;
    board->pics = i8259_create(&(struct i8259_config){.intr = {set_lint0, board, 0}});
    return board->pics;
}

static bool create_timers(struct board *board)
{
    struct clock *clock = board->config.clock;
    board->pit = i8254_create(&(struct i8254_config){clock, isa_irq(board, BOARD_PIT_IRQ)});
    board->rtc = mc146818_create(&(struct mc146818_config){
        .clock = clock,
        .irq = isa_irq(board, BOARD_RTC_IRQ),
        .epoch = mc146818_host_time(),
    });
    board->pm = acpi_pm_create(&(struct acpi_pm_config){
        .bus = board->config.bus,
        .clock = clock,
        .sci = isa_irq(board, BOARD_SCI_IRQ),
        .smi = board->config.smi,
        .power_off = power_off,
        .opaque = board,
    });
    if (!board->pit || !board->rtc || !board->pm)
        return false;
    board->hpet = hpet_create(&(struct hpet_config){
        .clock = clock,
        .ioapic = {ioapic_set_irq, board->ioapic, 0},
        .routes = 0x00f00000, /* inputs 20 to 23, which nothing else uses */
        .irq0 = isa_irq(board, BOARD_PIT_IRQ),
        .irq8 = isa_irq(board, BOARD_RTC_IRQ),
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
        .keyboard_irq = isa_irq(board, BOARD_KEYBOARD_IRQ),
        .mouse_irq = isa_irq(board, BOARD_MOUSE_IRQ),
        .a20 = {set_a20, board, A20_I8042},
        .reset = {reset_machine, board, 0},
    });
    board->fpu_error.irq = isa_irq(board, BOARD_FPU_IRQ);
    board->fpu_error.ignne = board->config.ignne;
    board->port92.a20 = (struct irq_line){set_a20, board, A20_PORT92};
    board->port92.reset = board->reset_control.reset = (struct irq_line){reset_machine, board, 0};
    return board->i8042;
}

static bool create_serial(struct board *board)
{
    board->com1 = uart16550_create(&(struct uart16550_config){
        .clock = board->config.clock,
        .chardev = board->config.serial,
        .irq = isa_irq(board, BOARD_COM1_IRQ),
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
            .set_irq = set_pci_irq,
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
            .ide_irq = {isa_irq(board, BOARD_IDE_IRQ), isa_irq(board, BOARD_IDE_IRQ + 1)},
            .pci = chipset_pci_bus(board->chipset),
        },
        error);
    return board->storage;
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
    board->debug_exit = (struct debug_exit){exit_with, board};
    struct irq_line lines[PC_TESTDEV_LINES];
    for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
        lines[i] = i < 16 ? isa_irq(board, i) : (struct irq_line){ioapic_set_irq, board->ioapic, i};
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

/* --- Mapping */

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

static bool map_devices(struct board *board, struct error *error)
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

static void set_cmos(struct board *board, unsigned index, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        mc146818_set_byte(board->rtc, index + i, (uint8_t)(value >> (8 * i)));
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

/* What a BIOS leaves or QEMU tells one: memory in KiB from 1 MiB, in 64 KiB from 16 MiB and from
 * 4 GiB. */
static void set_cmos_contents(struct board *board)
{
    uint64_t low = memory_map_low(board->config.memory);
    uint64_t extended = at_most((low - HIGH_BASE) / KIB, 0xffff);
    set_cmos(board, 0x14, 0x06, 1); /* equipment: an FPU, a PS/2 mouse, no floppy drive */
    set_cmos(board, 0x15, 640, 2);
    set_cmos(board, 0x17, extended, 2);
    set_cmos(board, 0x30, extended, 2);
    set_cmos(board, 0x34, low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0, 2);
    unsigned order = board->config.boot_order ? board->config.boot_order : BOARD_BOOT_DEFAULT;
    set_cmos(board, 0x38, order >> 4 & 0xf0, 1); /* the third try, and the first two */
    set_cmos(board, 0x3d, order & 0xff, 1);
    set_cmos(board, 0x5b, (board->config.memory - low) / (64 * KIB), 3);
    set_cmos(board, 0x5f, 0, 1); /* CPUs beyond the first */
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
               create_uefi_flash(board, error) && map_devices(board, error)) {
        set_cmos_contents(board);
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
    for (unsigned irq = 0; irq < ARRAY_SIZE(board->irq_counts); irq++) {
        if (board->irq_counts[irq])
            fprintf(out, "%2u: %llu\n", irq, (unsigned long long)board->irq_counts[irq]);
    }
}
