#include "base/trace.h"
#include "bus/bus.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/lapic.h"
#include "machine/board_internal.h"

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

void board_set_pci_irq(void *opaque, unsigned irq, bool level)
{
    struct board *board = opaque;
    uint16_t bit = (uint16_t)(1u << irq);
    board->pci_irqs = level ? board->pci_irqs | bit : board->pci_irqs & ~bit;
    update_irq(board, irq);
}

struct irq_line board_isa_irq(struct board *board, unsigned irq)
{
    return (struct irq_line){set_isa_irq, board, irq};
}

static void set_lint0(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    (void)input;
    lapic_set_lint(board->lapic, 0, level);
}

struct irq_line board_lint0(struct board *board)
{
    return (struct irq_line){set_lint0, board, 0};
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

struct irq_line board_reset_line(struct board *board)
{
    return (struct irq_line){reset_machine, board, 0};
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

struct irq_line board_a20(struct board *board, enum a20_gate gate)
{
    return (struct irq_line){set_a20, board, gate};
}

void board_power_off(void *opaque)
{
    struct board *board = opaque;
    TRACE(board->config.trace, TRACE_DEVICE, "power off");
    board->config.events.power_off(board->config.events.opaque);
}

void board_exit_with(void *opaque, int status)
{
    struct board *board = opaque;
    board->config.events.debug_exit(board->config.events.opaque, (unsigned)status);
}

uint64_t board_read_tsc(void *opaque)
{
    struct board *board = opaque;
    return board->config.events.tsc(board->config.events.opaque);
}

int board_acknowledge_pics(void *opaque)
{
    struct board *board = opaque;
    return i8259_acknowledge(board->pics);
}

/* The local APIC's page follows IA32_APIC_BASE. Where another device is, it cannot be seen. */
void board_move_lapic(void *opaque, uint64_t base, bool visible)
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
