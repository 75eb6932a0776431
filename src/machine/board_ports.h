/* Where the board's devices are in port space, and their interrupt lines (as QEMU's pc has them).
 */
#ifndef DOPPEL_MACHINE_BOARD_PORTS_H
#define DOPPEL_MACHINE_BOARD_PORTS_H

#define PORT_PIC_MASTER 0x20
#define PORT_PIC_SLAVE 0xa0
#define PORT_ELCR 0x4d0
#define PORT_PIT 0x40
#define PORT_SPEAKER 0x61
#define PORT_I8042_DATA 0x60
#define PORT_I8042_COMMAND 0x64
#define PORT_RTC 0x70
#define PORT_PORT92 0x92
#define PORT_SMI_COMMAND 0xb2
#define PORT_DEBUGCON 0xe9
#define PORT_DEBUG_EXIT 0xf4
#define PORT_COM1 0x3f8
#define PORT_PM_BASE 0x600
#define PORT_RESET_CONTROL 0xcf9
#define PORT_GPE0 0xafe0

#define PIT_IRQ 0
#define KEYBOARD_IRQ 1
#define COM1_IRQ 4
#define RTC_IRQ 8
#define SCI_IRQ 9
#define MOUSE_IRQ 12

/* Values written to PORT_SMI_COMMAND. */
#define ACPI_ENABLE_COMMAND 0xf1
#define ACPI_DISABLE_COMMAND 0xf0
/* Value written to PORT_RESET_CONTROL: RST_CPU, SYS_RST, FULL_RST. */
#define RESET_CONTROL_HARD 0x0e

#define CMOS_CENTURY 0x32

#endif
