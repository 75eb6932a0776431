/* The local APIC's registers, as the xAPIC page and as MSRs: SDM vol. 3, 10.4.1 and 10.12.1. */
#include "devices/irq/lapic_internal.h"

#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800

/* Register numbers: xAPIC offset / 16, x2APIC MSR - 0x800. */
enum apic_register {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT_TIMER = 0x32,
    REG_LVT_ERROR = 0x37,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
};

/* Version 0x14, six LVT entries, EOI broadcasts can be suppressed. */
#define VERSION 0x01050014u

#define READ 1
#define WRITE 2
#define XAPIC 4  /* there in xAPIC mode */
#define X2APIC 8 /* there in x2APIC mode */
#define BOTH (XAPIC | X2APIC)

/* What there is, and the bits that may be written: others are #GP(0) in x2APIC mode, and ignored in
 * xAPIC mode. */
static const struct {
    uint8_t access;
    uint32_t writable;
} registers[0x40] = {
    [REG_ID] = {READ | BOTH, 0},
    [REG_VERSION] = {READ | BOTH, 0},
    [REG_TPR] = {READ | WRITE | BOTH, 0xff},
    [REG_PPR] = {READ | BOTH, 0},
    [REG_EOI] = {WRITE | BOTH, 0},
    [REG_LDR] = {READ | WRITE | BOTH, 0xff000000},
    [REG_DFR] = {READ | WRITE | XAPIC, 0xf0000000},
    [REG_SVR] = {READ | WRITE | BOTH, 0x13ff},
    [REG_ISR... REG_ESR - 1] = {READ | BOTH, 0},
    [REG_ESR] = {READ | WRITE | BOTH, 0},
    [REG_ICR] = {READ | WRITE | BOTH, 0xccfff},
    [REG_ICR_HIGH] = {READ | WRITE | XAPIC, 0xff000000},
    [REG_LVT_TIMER] = {READ | WRITE | BOTH, 0x710ff},
    [REG_LVT_TIMER + LVT_THERMAL] = {READ | WRITE | BOTH, 0x117ff},
    [REG_LVT_TIMER + LVT_PERFORMANCE] = {READ | WRITE | BOTH, 0x117ff},
    [REG_LVT_TIMER + LVT_LINT0] = {READ | WRITE | BOTH, 0x1f7ff},
    [REG_LVT_TIMER + LVT_LINT1] = {READ | WRITE | BOTH, 0x1f7ff},
    [REG_LVT_ERROR] = {READ | WRITE | BOTH, 0x110ff},
    [REG_INITIAL_COUNT] = {READ | WRITE | BOTH, UINT32_MAX},
    [REG_CURRENT_COUNT] = {READ | BOTH, 0},
    [REG_DIVIDE] = {READ | WRITE | BOTH, 0xb},
    [REG_SELF_IPI] = {WRITE | X2APIC, 0xff},
};

static bool register_allows(const struct lapic *lapic, unsigned reg, uint8_t access)
{
    access |= lapic_in_x2apic(lapic) ? X2APIC : XAPIC;
    return reg < ARRAY_SIZE(registers) && (registers[reg].access & access) == access;
}

/* The register is one that can be read. */
static uint32_t register_read(struct lapic *lapic, unsigned reg)
{
    struct lapic_state *state = &lapic->state;
    bool x2apic = lapic_in_x2apic(lapic);

    switch (reg) {
    case REG_ID:
        return x2apic ? lapic->config.id : lapic->config.id << 24;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return state->tpr;
    case REG_PPR:
        return lapic_priority(lapic);
    case REG_LDR:
        return x2apic ? lapic_x2apic_ldr(lapic) : state->ldr;
    case REG_DFR:
        return state->dfr;
    case REG_SVR:
        return state->svr;
    case REG_ISR ... REG_ISR + 7:
        return state->isr[reg - REG_ISR];
    case REG_TMR ... REG_TMR + 7:
        return state->tmr[reg - REG_TMR];
    case REG_IRR ... REG_IRR + 7:
        return state->irr[reg - REG_IRR];
    case REG_ESR:
        return state->esr;
    case REG_ICR:
        return (uint32_t)state->icr;
    case REG_ICR_HIGH:
        return (uint32_t)(state->icr >> 32);
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        return state->lvt[reg - REG_LVT_TIMER];
    case REG_INITIAL_COUNT:
        return state->initial_count;
    case REG_CURRENT_COUNT:
        return lapic_timer_current(lapic);
    default:
        return state->divide; /* REG_DIVIDE */
    }
}

static void write_lvt(struct lapic *lapic, enum lvt entry, uint32_t value)
{
    struct lapic_state *state = &lapic->state;

    value &= ~(1u << 12 | LVT_REMOTE_IRR); /* read-only: delivery status, remote IRR */
    if (!(state->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    if (entry == LVT_TIMER) {
        lapic_timer_write_lvt(lapic, value);
        return;
    }
    if (value & LVT_LEVEL) /* edges have no remote IRR */
        value |= state->lvt[entry] & LVT_REMOTE_IRR;
    state->lvt[entry] = value;
    if (entry == LVT_LINT0 || entry == LVT_LINT1)
        lapic_sample_lint(lapic, entry - LVT_LINT0);
}

static void write_svr(struct lapic *lapic, uint32_t value)
{
    lapic->state.svr = value;
    if (!(value & SVR_ENABLE)) {
        for (unsigned i = 0; i < LVT_COUNT; i++)
            write_lvt(lapic, (enum lvt)i, lapic->state.lvt[i]);
    }
    lapic_update(lapic);
}

/* The register is one that can be written, the value has no other bits than writable ones. */
static void register_write(struct lapic *lapic, unsigned reg, uint32_t value)
{
    struct lapic_state *state = &lapic->state;

    switch (reg) {
    case REG_TPR:
        state->tpr = (uint8_t)value;
        lapic_update(lapic);
        break;
    case REG_EOI:
        lapic_eoi(lapic);
        break;
    case REG_LDR:
        state->ldr = value;
        break;
    case REG_DFR:
        state->dfr = value | 0x0fffffff;
        break;
    case REG_SVR:
        write_svr(lapic, value);
        break;
    case REG_ESR:
        state->esr = state->esr_found;
        state->esr_found = 0;
        break;
    case REG_ICR:
        state->icr = (state->icr & ~(uint64_t)UINT32_MAX) | value;
        lapic_send_ipi(lapic);
        break;
    case REG_ICR_HIGH:
        state->icr = (uint64_t)value << 32 | (uint32_t)state->icr;
        break;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        write_lvt(lapic, (enum lvt)(reg - REG_LVT_TIMER), value);
        break;
    case REG_INITIAL_COUNT:
        lapic_timer_write_initial(lapic, value);
        break;
    case REG_DIVIDE:
        lapic_timer_write_divide(lapic, value);
        break;
    case REG_SELF_IPI: {
        struct apic_message message = {.vector = (uint8_t)value, .delivery = APIC_FIXED};
        if (message.vector < 16)
            lapic_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
        else
            lapic_accept(lapic, &message);
        break;
    }
    }
}

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    struct lapic *lapic = opaque;
    (void)size;
    if (offset & 0xf)
        return 0;
    if (register_allows(lapic, (unsigned)(offset >> 4), READ))
        return register_read(lapic, (unsigned)(offset >> 4));
    if (!register_allows(lapic, (unsigned)(offset >> 4), WRITE))
        lapic_error(lapic, ESR_ILLEGAL_REGISTER);
    return 0;
}

static void page_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct lapic *lapic = opaque;
    unsigned reg = (unsigned)(offset >> 4);
    (void)size;
    if (offset & 0xf)
        return;
    if (register_allows(lapic, reg, WRITE))
        register_write(lapic, reg, (uint32_t)value & registers[reg].writable);
    else if (!register_allows(lapic, reg, READ))
        lapic_error(lapic, ESR_ILLEGAL_REGISTER);
}

const struct bus_ops lapic_ops = {"local APIC", page_read, page_write, 4, 4};

/* SDM vol. 3, 10.12.5: which changes of mode there are. */
static bool write_base(struct lapic *lapic, uint64_t value)
{
    struct lapic_state *state = &lapic->state;
    uint64_t old = state->base;
    uint64_t mode = value & (APIC_BASE_EN | APIC_BASE_EXTD);
    uint64_t old_mode = old & (APIC_BASE_EN | APIC_BASE_EXTD);
    uint64_t address = (BIT(lapic->config.physical_bits) - 1) & PAGE_MASK;

    if (value & ~(address | APIC_BASE_EN | APIC_BASE_EXTD | APIC_BASE_BSP))
        return false;
    if (mode == APIC_BASE_EXTD || (old_mode & APIC_BASE_EXTD && mode == APIC_BASE_EN) ||
        (!old_mode && mode & APIC_BASE_EXTD))
        return false;

    state->base = value;
    if (!mode && old_mode)
        lapic_init_state(lapic);
    if (mode & ~old_mode & APIC_BASE_EXTD)
        state->icr = (uint32_t)state->icr;
    lapic_update(lapic);
    if (lapic->config.move && (old ^ value) & (address | APIC_BASE_EN | APIC_BASE_EXTD))
        lapic->config.move(lapic->config.board, value & address, mode == APIC_BASE_EN);
    return true;
}

bool lapic_read_msr(struct lapic *lapic, uint32_t index, uint64_t *value)
{
    uint32_t reg = index - MSR_X2APIC;

    if (index == MSR_APIC_BASE) {
        *value = lapic->state.base;
        return true;
    }
    if (index == MSR_TSC_DEADLINE) {
        *value = lapic->state.tsc_deadline;
        return true;
    }
    if (!lapic_in_x2apic(lapic) || !register_allows(lapic, reg, READ))
        return false;
    *value = reg == REG_ICR ? lapic->state.icr : register_read(lapic, reg);
    return true;
}

bool lapic_write_msr(struct lapic *lapic, uint32_t index, uint64_t value)
{
    uint32_t reg = index - MSR_X2APIC;

    if (index == MSR_APIC_BASE)
        return write_base(lapic, value);
    if (index == MSR_TSC_DEADLINE) {
        lapic_timer_write_deadline(lapic, value);
        return true;
    }
    if (!lapic_in_x2apic(lapic) || !register_allows(lapic, reg, WRITE) || reg == REG_LDR)
        return false;
    if (value & ~(uint64_t)registers[reg].writable & (reg == REG_ICR ? UINT32_MAX : UINT64_MAX))
        return false;
    if (reg == REG_ICR)
        lapic->state.icr = value;
    register_write(lapic, reg, (uint32_t)value);
    return true;
}
