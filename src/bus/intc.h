/* What a CPU asks of its interrupt controller, filled in by the board. */
#ifndef DOPPEL_BUS_INTC_H
#define DOPPEL_BUS_INTC_H

#include "base/types.h"

struct intc_ops {
    /* Acknowledges the highest-priority interrupt and returns its vector, or -1 if there is none
     * any more (a spurious INTR). */
    int (*acknowledge)(void *opaque);

    /* CR8: the local APIC's task-priority class, 0 to 15. */
    uint8_t (*read_cr8)(void *opaque);
    void (*write_cr8)(void *opaque, uint8_t value);

    /* MSRs of the local APIC (APIC_BASE, x2APIC 0x800-0x8ff, TSC_DEADLINE). False: #GP(0). */
    bool (*read_msr)(void *opaque, uint32_t index, uint64_t *value);
    bool (*write_msr)(void *opaque, uint32_t index, uint64_t value);

    /* The TSC was written (TSC, TSC_ADJUST): a TSC deadline falls at another time. */
    void (*tsc_moved)(void *opaque);

    /* Waits are over: the CPU took INIT, or was reset. */
    void (*reset)(void *opaque);
};

/* Calls come from the vCPU's thread and take the bus lock themselves. */
struct intc {
    const struct intc_ops *ops;
    void *opaque;
};

#endif
