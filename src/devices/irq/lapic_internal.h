/* What the local APIC's three files share: lapic.c (interrupts), lapic_regs.c (registers and MSRs),
 * lapic_timer.c. */
#ifndef DOPPEL_DEVICES_IRQ_LAPIC_INTERNAL_H
#define DOPPEL_DEVICES_IRQ_LAPIC_INTERNAL_H

#include "base/bits.h"
#include "devices/irq/lapic.h"

#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_EN BIT(11)

#define SVR_ENABLE (1u << 8)
#define SVR_NO_EOI_BROADCAST (1u << 12)

#define LVT_REMOTE_IRR (1u << 14)
#define LVT_LEVEL (1u << 15)
#define LVT_MASKED (1u << 16)

/* SDM vol. 3, figure 10-9. */
#define ESR_SEND_ILLEGAL_VECTOR (1u << 5)
#define ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define ESR_ILLEGAL_REGISTER (1u << 7)

enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

struct lapic_state {
    uint64_t base; /* IA32_APIC_BASE */
    uint8_t tpr;
    uint32_t ldr, dfr, svr;  /* ldr, dfr: of xAPIC mode */
    uint32_t esr, esr_found; /* as read; what was found since the last write */
    uint64_t icr;
    uint32_t lvt[LVT_COUNT];
    uint32_t isr[8], irr[8], tmr[8];
    uint32_t initial_count, divide;
    bool counting;
    uint64_t count_origin; /* guest ns when the count was initial_count */
    uint64_t tsc_deadline; /* 0: not armed */
    bool lint[2];          /* the input pins */
    bool extint;           /* an ExtINT message awaits acknowledgement */
    bool intr;             /* the output */
};

struct lapic {
    struct lapic_config config;
    struct lapic_state state;
    struct clock_timer timer;
};

static inline bool lapic_in_x2apic(const struct lapic *lapic)
{
    return lapic->state.base & APIC_BASE_EXTD;
}

/* The logical APIC ID of x2APIC mode (SDM vol. 3, 10.12.10.2). */
static inline uint32_t lapic_x2apic_ldr(const struct lapic *lapic)
{
    return (lapic->config.id >> 4) << 16 | 1u << (lapic->config.id & 0xf);
}

/* As INIT leaves it: everything but IA32_APIC_BASE. */
void lapic_init_state(struct lapic *lapic);
/* Recomputes INTR. */
void lapic_update(struct lapic *lapic);
void lapic_error(struct lapic *lapic, uint32_t esr_bit);
/* A fixed interrupt from this APIC's own LVT entry. */
void lapic_deliver_local(struct lapic *lapic, enum lvt entry);
void lapic_eoi(struct lapic *lapic);
/* Sends what the ICR says. */
void lapic_send_ipi(struct lapic *lapic);
/* After an LVT entry of a pin was written: a level may be waiting. */
void lapic_sample_lint(struct lapic *lapic, unsigned input);

/* IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC registers. False: #GP(0). */
bool lapic_read_msr(struct lapic *lapic, uint32_t index, uint64_t *value);
bool lapic_write_msr(struct lapic *lapic, uint32_t index, uint64_t value);

void lapic_timer_fire(void *lapic);
void lapic_timer_write_lvt(struct lapic *lapic, uint32_t value);
void lapic_timer_write_initial(struct lapic *lapic, uint32_t value);
void lapic_timer_write_divide(struct lapic *lapic, uint32_t value);
void lapic_timer_write_deadline(struct lapic *lapic, uint64_t value);
uint32_t lapic_timer_current(struct lapic *lapic);
/* Arms the deadline anew: the TSC has moved. */
void lapic_timer_rearm_deadline(struct lapic *lapic);

#endif
