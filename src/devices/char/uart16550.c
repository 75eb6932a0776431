/* The model follows National Semiconductor's PC16550D data sheet (June 1995); section numbers are
 * its own.
 *
 * Time: characters are sent at once, whatever the divisor says, so THRE comes back as soon as the
 * host's queue takes the character. While the queue is full the characters stay in the transmitter
 * and THRE stays clear, as if the other end had stopped the line. A line does not wait for ever:
 * if no room comes within STALL_NS the transmitter goes on and the characters are lost, until the
 * host takes some again. Received characters come as fast as the receiver FIFO has room. */
#include "devices/char/uart16550.h"

#include "backends/chardev.h"
#include "base/bits.h"
#include "bus/clock.h"

#include <stdlib.h>

enum { FIFO_SIZE = 16 };
enum { INPUT_HZ = 1843200 };

#define STALL_NS (2 * NS_PER_SECOND)
#define LONGEST_TIMEOUT_NS (NS_PER_SECOND / 100)

/* Registers (8.0, table II). */
enum { RBR_THR_DLL, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

enum { IER_RECEIVED = 1, IER_THRE = 2, IER_LINE_STATUS = 4, IER_MODEM_STATUS = 8 };
enum {
    IIR_MODEM_STATUS = 0x0,
    IIR_NONE = 0x1,
    IIR_THRE = 0x2,
    IIR_RECEIVED = 0x4,
    IIR_LINE_STATUS = 0x6,
    IIR_TIMEOUT = 0xc,
    IIR_FIFOS = 0xc0,
};
enum { FCR_ENABLE = 1, FCR_CLEAR_RECEIVER = 2, FCR_CLEAR_TRANSMITTER = 4 };
enum { LCR_STOP = 4, LCR_PARITY = 8, LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_ALL = 0x1f };
enum {
    LSR_READY = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_BREAK = 0x10,
    LSR_ERRORS = 0x1e, /* overrun, parity, framing, break */
    LSR_THRE = 0x20,
    LSR_EMPTY = 0x40,
    LSR_FIFO_ERROR = 0x80,
};
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

struct fifo {
    uint8_t bytes[FIFO_SIZE];
    uint8_t errors[FIFO_SIZE]; /* of enum LSR_*; the receiver's only */
    unsigned head, count;
};

struct uart16550 {
    struct clock *clock;
    struct chardev *chardev;
    struct irq_line irq;

    uint8_t ier, fcr, lcr, mcr, scr;
    uint16_t divisor;
    uint8_t errors;       /* LSR_ERRORS, as the top of the FIFO has them */
    uint8_t modem, delta; /* MSR's high and low halves */

    struct fifo receiver, transmitter;
    bool thre_pending; /* the THRE interrupt: reading IIR takes it back */
    bool timed_out;    /* the character timeout of the receiver FIFO */
    bool stalled;      /* the host takes nothing: characters are lost */
    struct clock_timer timeout, stall;
};

/* ---- FIFOs: 16 deep, or 1 in 16450 mode ---- */

static unsigned depth(const struct uart16550 *uart)
{
    return uart->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static void fifo_push(struct fifo *fifo, uint8_t byte, uint8_t errors)
{
    unsigned at = (fifo->head + fifo->count++) % FIFO_SIZE;
    fifo->bytes[at] = byte;
    fifo->errors[at] = errors;
}

static uint8_t fifo_pop(struct fifo *fifo)
{
    uint8_t byte = fifo->bytes[fifo->head];
    fifo->head = (fifo->head + 1) % FIFO_SIZE;
    fifo->count--;
    return byte;
}

static void fifo_clear(struct fifo *fifo)
{
    *fifo = (struct fifo){0};
}

static bool fifo_has_errors(const struct fifo *fifo)
{
    for (unsigned i = 0; i < fifo->count; i++)
        if (fifo->errors[(fifo->head + i) % FIFO_SIZE])
            return true;
    return false;
}

/* ---- Interrupts (8.5) ---- */

static bool trigger_reached(const struct uart16550 *uart)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    unsigned level = uart->fcr & FCR_ENABLE ? levels[uart->fcr >> 6] : 1;
    return uart->receiver.count >= level;
}

/* The interrupt of the highest priority, as IIR's low four bits have it. */
static uint8_t interrupt(const struct uart16550 *uart)
{
    if ((uart->ier & IER_LINE_STATUS) && uart->errors)
        return IIR_LINE_STATUS;
    if ((uart->ier & IER_RECEIVED) && trigger_reached(uart))
        return IIR_RECEIVED;
    if ((uart->ier & IER_RECEIVED) && uart->timed_out)
        return IIR_TIMEOUT;
    if ((uart->ier & IER_THRE) && uart->thre_pending)
        return IIR_THRE;
    if ((uart->ier & IER_MODEM_STATUS) && uart->delta)
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

/* A PC leads INTR through a gate that OUT2 opens; loopback holds the pin OUT2 inactive (8.6). */
static void update_irq(const struct uart16550 *uart)
{
    bool gate = (uart->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
    irq_set(&uart->irq, gate && interrupt(uart) != IIR_NONE);
}

/* ---- The receiver ---- */

/* Four characters' time, start and stop bits included, without a character coming or being read
 * (8.5, FIFO interrupt mode); no longer than a guest with an odd divisor should have to wait. */
static void restart_timeout(struct uart16550 *uart)
{
    uart->timed_out = false;
    if (!(uart->fcr & FCR_ENABLE) || !uart->receiver.count) {
        clock_cancel(uart->clock, &uart->timeout);
        return;
    }
    unsigned bits =
        1 + 5 + (uart->lcr & 3) + !!(uart->lcr & LCR_PARITY) + (uart->lcr & LCR_STOP ? 2 : 1);
    unsigned divisor = uart->divisor ? uart->divisor : 65536;
    uint64_t ns = clock_scale(NS_PER_SECOND, 4ull * bits * 16 * divisor, INPUT_HZ);
    if (ns > LONGEST_TIMEOUT_NS)
        ns = LONGEST_TIMEOUT_NS;
    clock_arm(uart->clock, &uart->timeout, clock_now(uart->clock) + ns);
}

static void on_timeout(void *opaque)
{
    struct uart16550 *uart = opaque;
    uart->timed_out = uart->receiver.count;
    update_irq(uart);
}

/* Shows the errors of the character at the top (8.4: "revealed to the CPU when its associated
 * character is at the top of the FIFO"). */
static void reveal_errors(struct uart16550 *uart)
{
    struct fifo *fifo = &uart->receiver;
    if (fifo->count)
        uart->errors |= fifo->errors[fifo->head];
}

static void receive(struct uart16550 *uart, uint8_t byte, uint8_t errors)
{
    struct fifo *fifo = &uart->receiver;
    if (fifo->count == depth(uart)) {
        uart->errors |= LSR_OVERRUN;
        if (uart->fcr & FCR_ENABLE) /* the shift register is overwritten, the FIFO is kept */
            return;
        fifo_clear(fifo);
    }
    fifo_push(fifo, byte, errors);
    reveal_errors(uart);
    restart_timeout(uart);
}

static uint8_t read_rbr(struct uart16550 *uart)
{
    struct fifo *fifo = &uart->receiver;
    if (!fifo->count)
        return fifo->bytes[(fifo->head + FIFO_SIZE - 1) % FIFO_SIZE];
    uint8_t byte = fifo_pop(fifo);
    reveal_errors(uart);
    restart_timeout(uart);
    update_irq(uart);
    if (uart->chardev)
        chardev_accept_input(uart->chardev);
    return byte;
}

static size_t can_receive(void *opaque)
{
    const struct uart16550 *uart = opaque;
    if (uart->mcr & MCR_LOOP)
        return 0;
    return depth(uart) - uart->receiver.count;
}

static void receive_bytes(void *opaque, const uint8_t *bytes, size_t count)
{
    struct uart16550 *uart = opaque;
    for (size_t i = 0; i < count; i++)
        receive(uart, bytes[i], 0);
    update_irq(uart);
}

static void receive_break(void *opaque)
{
    struct uart16550 *uart = opaque;
    if (uart->mcr & MCR_LOOP)
        return;
    receive(uart, 0, LSR_BREAK);
    update_irq(uart);
}

/* ---- The transmitter ---- */

static bool send(struct uart16550 *uart)
{
    if (uart->mcr & MCR_LOOP) {
        receive(uart, fifo_pop(&uart->transmitter), 0);
        return true;
    }
    if (uart->chardev && !uart->stalled && !chardev_write_room(uart->chardev))
        return false;
    uint8_t byte = fifo_pop(&uart->transmitter);
    if (uart->chardev)
        chardev_write(uart->chardev, &byte, 1);
    return true;
}

static void transmit(struct uart16550 *uart)
{
    if (!uart->transmitter.count)
        return;
    while (uart->transmitter.count) {
        if (send(uart))
            continue;
        if (uart->stall.deadline == CLOCK_NEVER)
            clock_arm(uart->clock, &uart->stall, clock_now(uart->clock) + STALL_NS);
        return;
    }
    clock_cancel(uart->clock, &uart->stall);
    uart->thre_pending = true;
}

static void write_thr(struct uart16550 *uart, uint8_t byte)
{
    struct fifo *fifo = &uart->transmitter;
    if (fifo->count == depth(uart)) {
        if (uart->fcr & FCR_ENABLE)
            return;
        fifo_clear(fifo);
    }
    fifo_push(fifo, byte, 0);
    /* An edge-triggered input needs to see INTR fall between one THRE interrupt and the next. */
    uart->thre_pending = false;
    update_irq(uart);
    transmit(uart);
    update_irq(uart);
}

static void on_stall(void *opaque)
{
    struct uart16550 *uart = opaque;
    uart->stalled = true;
    transmit(uart);
    update_irq(uart);
}

static void on_writable(void *opaque)
{
    struct uart16550 *uart = opaque;
    uart->stalled = false;
    clock_cancel(uart->clock, &uart->stall);
    transmit(uart);
    update_irq(uart);
}

/* ---- Modem control and status (8.6, 8.7) ---- */

static void update_modem(struct uart16550 *uart)
{
    uint8_t now = uart->chardev ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
    if (uart->mcr & MCR_LOOP)
        now = (uint8_t)((uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
                        (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0));
    uint8_t changed = now ^ uart->modem;
    if (now & MSR_RI) /* only the trailing edge of RI counts */
        changed &= (uint8_t)~MSR_RI;
    uart->delta |= changed >> 4;
    uart->modem = now;
}

static void write_mcr(struct uart16550 *uart, uint8_t value)
{
    bool left_loop = (uart->mcr & MCR_LOOP) && !(value & MCR_LOOP);
    uart->mcr = value & MCR_ALL;
    update_modem(uart);
    transmit(uart);
    if (left_loop && uart->chardev)
        chardev_accept_input(uart->chardev);
}

static void write_lcr(struct uart16550 *uart, uint8_t value)
{
    bool starts_break = (value & ~uart->lcr) & LCR_BREAK;
    uart->lcr = value;
    if (starts_break && (uart->mcr & MCR_LOOP))
        receive(uart, 0, LSR_BREAK);
}

/* ---- Registers ---- */

static void write_fcr(struct uart16550 *uart, uint8_t value)
{
    bool toggled = (value ^ uart->fcr) & FCR_ENABLE;
    if (toggled || (value & FCR_CLEAR_RECEIVER)) {
        fifo_clear(&uart->receiver);
        restart_timeout(uart);
    }
    if ((toggled || (value & FCR_CLEAR_TRANSMITTER)) && uart->transmitter.count) {
        fifo_clear(&uart->transmitter);
        clock_cancel(uart->clock, &uart->stall);
        uart->thre_pending = true;
    }
    /* The other bits are programmed only together with bit 0. The DMA pins lead nowhere. */
    uart->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    if (uart->chardev)
        chardev_accept_input(uart->chardev);
}

static void write_ier(struct uart16550 *uart, uint8_t value)
{
    if ((value & ~uart->ier & IER_THRE) && !uart->transmitter.count)
        uart->thre_pending = true;
    uart->ier = value & 0x0f;
}

static uint8_t read_iir(struct uart16550 *uart)
{
    uint8_t source = interrupt(uart);
    if (source == IIR_THRE) {
        uart->thre_pending = false;
        update_irq(uart);
    }
    return source | (uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct uart16550 *uart)
{
    struct fifo *fifo = &uart->receiver;
    uint8_t value = uart->errors;
    if (fifo->count)
        value |= LSR_READY;
    if (!uart->transmitter.count)
        value |= LSR_THRE | LSR_EMPTY;
    if ((uart->fcr & FCR_ENABLE) && fifo_has_errors(fifo))
        value |= LSR_FIFO_ERROR;
    uart->errors = 0;
    fifo->errors[fifo->head] = 0;
    update_irq(uart);
    return value;
}

static uint8_t read_msr(struct uart16550 *uart)
{
    uint8_t value = uart->modem | uart->delta;
    uart->delta = 0;
    update_irq(uart);
    return value;
}

static uint64_t uart16550_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    struct uart16550 *uart = device;
    bool dlab = uart->lcr & LCR_DLAB;
    switch (offset) {
    case RBR_THR_DLL:
        return dlab ? uart->divisor & 0xff : read_rbr(uart);
    case IER_DLM:
        return dlab ? uart->divisor >> 8 : uart->ier;
    case IIR_FCR:
        return read_iir(uart);
    case LCR:
        return uart->lcr;
    case MCR:
        return uart->mcr;
    case LSR:
        return read_lsr(uart);
    case MSR:
        return read_msr(uart);
    default:
        return uart->scr;
    }
}

static void uart16550_write(void *device, uint64_t offset, uint64_t wide, unsigned size)
{
    (void)size;
    struct uart16550 *uart = device;
    uint8_t value = (uint8_t)wide;
    bool dlab = uart->lcr & LCR_DLAB;
    switch (offset) {
    case RBR_THR_DLL:
        if (dlab)
            uart->divisor = (uint16_t)((uart->divisor & 0xff00) | value);
        else
            write_thr(uart, value);
        break;
    case IER_DLM:
        if (dlab)
            uart->divisor = (uint16_t)((uart->divisor & 0xff) | value << 8);
        else
            write_ier(uart, value);
        break;
    case IIR_FCR:
        write_fcr(uart, value);
        break;
    case LCR:
        write_lcr(uart, value);
        break;
    case MCR:
        write_mcr(uart, value);
        break;
    case LSR: /* factory tests only (8.4) */
    case MSR:
        break;
    default:
        uart->scr = value;
        break;
    }
    update_irq(uart);
}

const struct bus_ops uart16550_ops = {
    .name = "uart16550",
    .read = uart16550_read,
    .write = uart16550_write,
    .min_size = 1,
    .max_size = 1,
};

struct uart16550 *uart16550_create(const struct uart16550_config *config)
{
    struct uart16550 *uart = calloc(1, sizeof(*uart));
    if (!uart)
        return NULL;
    uart->clock = config->clock;
    uart->chardev = config->chardev;
    uart->irq = config->irq;
    clock_timer_init(&uart->timeout, on_timeout, uart);
    clock_timer_init(&uart->stall, on_stall, uart);
    uart16550_reset(uart);
    if (uart->chardev)
        chardev_set_receiver(uart->chardev, &(struct chardev_receiver){
                                                .can_receive = can_receive,
                                                .receive = receive_bytes,
                                                .receive_break = receive_break,
                                                .writable = on_writable,
                                                .opaque = uart,
                                            });
    return uart;
}

void uart16550_destroy(struct uart16550 *uart)
{
    if (!uart)
        return;
    clock_cancel(uart->clock, &uart->timeout);
    clock_cancel(uart->clock, &uart->stall);
    free(uart);
}

/* Master reset (8.0, table I). It leaves the divisor and the scratch register as they are. */
void uart16550_reset(struct uart16550 *uart)
{
    clock_cancel(uart->clock, &uart->timeout);
    clock_cancel(uart->clock, &uart->stall);
    uart->ier = uart->fcr = uart->lcr = uart->mcr = 0;
    uart->errors = 0;
    fifo_clear(&uart->receiver);
    fifo_clear(&uart->transmitter);
    uart->thre_pending = uart->timed_out = uart->stalled = false;
    update_modem(uart);
    uart->delta = 0;
    update_irq(uart);
    if (uart->chardev)
        chardev_accept_input(uart->chardev);
}
