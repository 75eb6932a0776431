/* Inside the board: its devices. board.c makes them, board_wires.c connects them, board_map.c has
 * their addresses and board_cmos.c what the CMOS says about the machine. */
#ifndef DOPPEL_MACHINE_BOARD_INTERNAL_H
#define DOPPEL_MACHINE_BOARD_INTERNAL_H

#include "devices/misc/debug_exit.h"
#include "devices/misc/fpu_error.h"
#include "devices/misc/port92.h"
#include "devices/misc/reset_control.h"
#include "machine/board.h"

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

/* --- board_wires.c: where devices' lines lead. */

/* An ISA interrupt, which goes to both interrupt controllers. */
struct irq_line board_isa_irq(struct board *board, unsigned irq);
/* Of a PCI interrupt that PIRQ routing has turned into an ISA one; opaque is the board. */
void board_set_pci_irq(void *opaque, unsigned irq, bool level);
/* INTR of the 8259s, to the local APIC. */
struct irq_line board_lint0(struct board *board);
struct irq_line board_reset_line(struct board *board);
struct irq_line board_a20(struct board *board, enum a20_gate gate);

/* What devices call; opaque is the board. */
void board_power_off(void *opaque);
void board_exit_with(void *opaque, int status);
uint64_t board_read_tsc(void *opaque);
int board_acknowledge_pics(void *opaque);
void board_move_lapic(void *opaque, uint64_t base, bool visible);

/* --- board_map.c. */

bool board_map_devices(struct board *board, struct error *error);

/* --- board_cmos.c. */

void board_set_cmos(struct board *board);

static inline unsigned board_boot_order(const struct board *board)
{
    return board->config.boot_order ? board->config.boot_order : BOARD_BOOT_DEFAULT;
}

#endif
