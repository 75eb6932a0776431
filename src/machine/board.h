/* The PC board: which devices there are, where they sit and how they are wired. */
#ifndef DOPPEL_MACHINE_BOARD_H
#define DOPPEL_MACHINE_BOARD_H

#include "base/error.h"
#include "bus/clock.h"
#include "bus/direct_ram.h"
#include "bus/intc.h"
#include "bus/irq.h"
#include "host/file.h"

#include <stdio.h>

/* ISA interrupt lines, and where a write resets the machine (for the ACPI tables). */
enum {
    BOARD_PIT_IRQ = 0,
    BOARD_KEYBOARD_IRQ = 1,
    BOARD_COM1_IRQ = 4,
    BOARD_RTC_IRQ = 8,
    BOARD_SCI_IRQ = 9,
    BOARD_MOUSE_IRQ = 12,
    BOARD_FPU_IRQ = 13,
    BOARD_IDE_IRQ = 14, /* and 15 */
    BOARD_PIT_IOAPIC_INPUT = 2,

    BOARD_RESET_PORT = 0xcf9,
    BOARD_RESET_VALUE = 0x0e, /* RST_CPU, SYS_RST, FULL_RST */
};

/* Where firmware boots from, as CMOS has it: four bits for each try, the first one lowest. */
#define BOARD_BOOT_TRIES 3u
enum {
    BOARD_BOOT_FLOPPY = 1,
    BOARD_BOOT_DISK = 2,
    BOARD_BOOT_CD = 3,
    BOARD_BOOT_DEFAULT = BOARD_BOOT_DISK | BOARD_BOOT_FLOPPY << 4 | BOARD_BOOT_CD << 8,
};

struct board;
struct bus;
struct chardev;
struct display;
struct drives;
struct fw_cfg;
struct memory_windows;
struct networks;
struct pci_bus;
struct phys_map;
struct storage;
struct trace;
struct uefi_vars;

/* Called on the vCPU's thread, or the loop's, with the bus lock held. */
struct board_events {
    void (*power_off)(void *opaque);
    void (*reset)(void *opaque);
    void (*debug_exit)(void *opaque, unsigned status); /* NULL: no debug-exit and pc-testdev */
    uint64_t (*tsc)(void *opaque);                     /* vCPU's thread only */
    void *opaque;
};

/* Nothing is owned. */
struct board_config {
    bool pci_testdev; /* QEMU's test device for PCI */
    struct bus *bus;
    struct clock *clock;
    struct phys_map *phys;                /* has the RAM */
    struct direct_memory direct;          /* of phys; or without ops, for a lockstep run */
    const struct memory_windows *windows; /* of it */
    uint64_t memory;                      /* bytes of RAM, for the CMOS */
    unsigned physical_bits;               /* of the CPU */
    struct chardev *serial;               /* COM1; NULL: nothing is plugged in */
    uint16_t debugcon_port;
    struct chardev *debugcon;        /* NULL: no debug console */
    struct display *display;         /* what the VGA draws on; NULL: no VGA */
    struct file_data vga_rom;        /* its option ROM, copied; or none */
    uint16_t boot_order;             /* 0: BOARD_BOOT_DEFAULT */
    const struct drives *drives;     /* NULL: none */
    struct uefi_vars *uefi_vars;     /* outlives the board; may be empty */
    const struct networks *networks; /* outlives the board; NULL: none */
    bool rng;                        /* a virtio entropy device */
    struct irq_line intr;            /* to the CPU: a level */
    struct irq_line nmi, smi, init;  /* to the CPU: pulses */
    struct irq_line ignne;           /* to the CPU: high where it is to ignore x87 exceptions */
    struct irq_line a20;             /* to the CPU: high while address line 20 is not masked */
    struct board_events events;
    struct trace *trace; /* interrupt lines and events */
};

/* Makes and maps all devices. */
struct board *board_create(const struct board_config *config, struct error *error);
void board_destroy(struct board *board);

/* The state after power-up; the bus lock is held. */
void board_reset(struct board *board);

/* After a reset: what firmware would leave behind, for guests that boot without. */
void board_enter_after_firmware(struct board *board);

/* For what firmware is told. */
struct fw_cfg *board_fw_cfg(struct board *board);

/* Where devices are plugged in. */
struct pci_bus *board_pci_bus(struct board *board);

/* The disks and CD drives. */
struct storage *board_storage(struct board *board);

/* Where the CPU's FERR# leads. */
struct irq_line board_ferr(struct board *board);

/* The CPU's interrupt controller. */
struct intc board_intc(struct board *board);

/* Without the bus lock. */
void board_press_power_button(struct board *board);

/* A key, as devices/input/ps2_keyboard.h names it, goes down or up; the bus lock is held. */
void board_press_key(struct board *board, uint8_t key, bool pressed);
/* As ps2_mouse_move(); likewise. */
void board_move_mouse(struct board *board, int right, int down, int wheel, uint8_t buttons);

/* For a person to read: the interrupt controllers' state, and how often each IRQ has risen and
 * message-signalled interrupts have come, by vector. The bus lock is held. */
void board_print_interrupts(const struct board *board, FILE *out);
void board_print_irq_counts(const struct board *board, FILE *out);

#endif
