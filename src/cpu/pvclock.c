#include "cpu/pvclock.h"

#include "base/bits.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

/* The page, and the wall clock. */
enum {
    PAGE_VERSION = 0, /* odd while the rest changes, which nobody sees here */
    PAGE_TSC = 8,
    PAGE_SYSTEM_TIME = 16,
    PAGE_MULTIPLIER = 24, /* of ns, as (ticks << shift) * multiplier >> 32 */
    PAGE_SHIFT_COUNT = 28,
    PAGE_FLAGS = 29,
    PAGE_BYTES = 32,
    WALL_VERSION = 0,
    WALL_SECONDS = 4,
    WALL_NS = 8,
    WALL_BYTES = 12,
};
enum { ENABLE = 1 };
enum { TSC_STABLE = 1, GUEST_STOPPED = 2 };

static void write_page(struct cpu *cpu, unsigned flags)
{
    const gpa_t gpa = cpu->msr.pvclock_system_time & ~(uint64_t)ENABLE;
    uint8_t page[PAGE_BYTES] = {0}, old[PAGE_BYTES] = {0};
    phys_read(cpu->phys, gpa, old, sizeof(old));
    uint32_t version = ((uint32_t)load_le(old + PAGE_VERSION, 4) | 1) + 1;
    store_le(page + PAGE_VERSION, version, 4);
    store_le(page + PAGE_TSC, cpu->msr.tsc_adjust, 8); /* the TSC at the guest's start */
    store_le(page + PAGE_SYSTEM_TIME, 0, 8);
    store_le(page + PAGE_MULTIPLIER, BIT(31), 4);
    page[PAGE_SHIFT_COUNT] = 1;
    page[PAGE_FLAGS] = (uint8_t)(flags | TSC_STABLE);
    mmu_write_physical(cpu, gpa, page, sizeof(page));
}

static unsigned flags_of_page(struct cpu *cpu)
{
    uint8_t flags = 0;
    phys_read(cpu->phys, (cpu->msr.pvclock_system_time & ~(uint64_t)ENABLE) + PAGE_FLAGS, &flags,
              1);
    return flags & GUEST_STOPPED; /* until the guest clears it */
}

void pvclock_update(struct cpu *cpu)
{
    if (cpu->msr.pvclock_system_time & ENABLE)
        write_page(cpu, flags_of_page(cpu));
}

void cpu_note_stop(struct cpu *cpu)
{
    if (cpu->msr.pvclock_system_time & ENABLE)
        write_page(cpu, GUEST_STOPPED);
}

bool pvclock_write_system_time(struct cpu *cpu, uint64_t value)
{
    if (value & 2)
        return false;
    cpu->msr.pvclock_system_time = value;
    if (value & ENABLE)
        write_page(cpu, 0);
    return true;
}

bool pvclock_write_wall_clock(struct cpu *cpu, uint64_t value)
{
    const uint64_t epoch = clock_epoch(cpu->clock);
    uint8_t wall[WALL_BYTES];
    if (value & 3)
        return false;
    cpu->msr.pvclock_wall_clock = value;
    store_le(wall + WALL_VERSION, 2, 4);
    store_le(wall + WALL_SECONDS, epoch / NS_PER_SECOND, 4);
    store_le(wall + WALL_NS, epoch % NS_PER_SECOND, 4);
    mmu_write_physical(cpu, value, wall, sizeof(wall));
    return true;
}
