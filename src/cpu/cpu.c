/* A virtual CPU's life: creation, reset, requests. */
#include "cpu/cpu.h"

#include "base/bits.h"
#include "cpu/breakpoint.h"
#include "cpu/interp.h"
#include "cpu/monitor.h"
#include "cpu/msr.h"
#include "cpu/smm.h"
#include "cpu/stub.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#include <stdlib.h>

#define PAT_AT_RESET 0x0007040600070406ull
#define MXCSR_AT_RESET 0x1f80

static void reset_segments(struct cpu *cpu)
{
    const struct segment data = {.limit = 0xffff, .attributes = SEGATTR_P | SEGATTR_S | 3};
    for (unsigned i = 0; i < ARRAY_SIZE(cpu->seg); i++)
        cpu->seg[i] = data;
    cpu->seg[SEG_CS].selector = 0xf000;
    cpu->seg[SEG_CS].base = 0xffff0000;
    cpu->seg[SEG_CS].attributes = SEGATTR_P | SEGATTR_S | 0xb;
    cpu->ldtr = (struct segment){.limit = 0xffff, .attributes = SEGATTR_P | 2};
    cpu->tr = (struct segment){.limit = 0xffff, .attributes = SEGATTR_P | 0xb};
    cpu->gdtr = cpu->idtr = (struct table_register){.limit = 0xffff};
}

/* What RESET and INIT have in common (SDM vol. 3, table 9-1). */
static void reset_common(struct cpu *cpu)
{
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->gpr[REG_RDX] = cpu_cpuid(cpu, 1, 0).eax;
    cpu->rip = cpu->next_rip = 0xfff0;
    cpu->rflags = FLAGS_FIXED;
    cpu->dr[6] = DR6_FIXED;
    cpu->dr[7] = DR7_FIXED;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    cpu->msr.efer = 0;
    cpu->cpl = 0;
    cpu->halted = HALT_NONE;
    cpu->nmi_blocked = false;
    phys_end_monitor(cpu->phys);
    smm_set(cpu, false);
    cpu->interrupt_shadow = SHADOW_NONE;
    breakpoints_take_hits(cpu);
    breakpoints_update(cpu);
    reset_segments(cpu);
    mmu_flush_all(cpu);
    cpu_update_mode(cpu);
}

static void reset_state(struct cpu *cpu)
{
    memset(&cpu->msr, 0, sizeof(cpu->msr));
    cpu->msr.pat = PAT_AT_RESET;
    cpu->msr.misc_enable = MISC_ENABLE_FAST_STRINGS;
    if (cpu->model->features[DEC_FEATURE_MONITOR])
        cpu->msr.misc_enable |= MISC_ENABLE_MONITOR;
    memset(cpu->vec, 0, sizeof(cpu->vec));
    memset(&cpu->fx, 0, sizeof(cpu->fx));
    cpu->fx_live = false;
    cpu->ferr_asserted = false;
    cpu->smbase = SMBASE_AT_RESET;
    cpu->fx.fcw = 0x40;
    cpu->fx.ftw = 0xff;
    cpu->fx.mxcsr = cpu->mxcsr = MXCSR_AT_RESET;
    cpu->xcr0 = 1;
    cpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    reset_common(cpu);
}

static void reset_intc(struct cpu *cpu)
{
    if (cpu->intc.ops && cpu->intc.ops->reset)
        cpu->intc.ops->reset(cpu->intc.opaque);
}

void cpu_reset(struct cpu *cpu)
{
    reset_state(cpu);
    reset_intc(cpu);
    interp_flush(cpu); /* memory may be loaded anew, behind the code tracking */
}

void cpu_init_signal(struct cpu *cpu)
{
    cpu->cr0 = (cpu->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    reset_common(cpu);
    reset_intc(cpu);
}

struct cpu *cpu_create(const struct cpu_config *config, struct error *error)
{
    struct cpu *cpu = aligned_alloc(_Alignof(struct cpu), sizeof(struct cpu));
    if (!cpu) {
        error_set(error, "the host has no memory for a virtual CPU");
        return NULL;
    }
    memset(cpu, 0, sizeof(*cpu));
    cpu->model = config->model;
    cpu->phys = config->phys;
    cpu->bus = config->bus;
    cpu->clock = config->clock;
    cpu->intc = config->intc;
    cpu->ferr = config->ferr;
    cpu->wake = config->wake;
    cpu->trace = config->trace;
    cpu->apic_id = config->apic_id;
    phys_set_monitor_listener(cpu->phys, monitor_was_hit, cpu);
    if (!mmu_init(cpu) || !interp_init(cpu)) {
        error_set(error, "the host has no memory for a virtual CPU's tables");
        cpu_destroy(cpu);
        return NULL;
    }
    cpu->stubs = stubs_create(error);
    if (!cpu->stubs) {
        cpu_destroy(cpu);
        return NULL;
    }
    reset_state(cpu); /* without the interrupt controller: it may not know the CPU yet */
    return cpu;
}

void cpu_destroy(struct cpu *cpu)
{
    if (!cpu)
        return;
    if (cpu->engine)
        cpu->engine->destroy(cpu);
    phys_set_monitor_listener(cpu->phys, NULL, NULL);
    stubs_destroy(cpu->stubs);
    interp_free(cpu);
    mmu_free(cpu);
    free(cpu);
}

bool cpu_has_work(const struct cpu *cpu)
{
    return cpu_wakes_by(cpu, atomic_load(&cpu->requests));
}

bool cpu_wakes_by(const struct cpu *cpu, uint32_t requests)
{
    if (requests & CPU_REQUEST_EXIT)
        return true;
    if (requests & (CPU_REQUEST_INIT | CPU_REQUEST_SMI) && !cpu->smm)
        return true;
    if (requests & CPU_REQUEST_NMI && !cpu->nmi_blocked)
        return true;
    return (requests & CPU_REQUEST_INTR && cpu->rflags & FLAG_IF) || monitor_ends(cpu, requests);
}

void cpu_request(struct cpu *cpu, enum cpu_request request)
{
    atomic_fetch_or(&cpu->requests, request);
}

void cpu_mask_a20(struct cpu *cpu, bool masked)
{
    if (atomic_exchange(&cpu->a20_masked, masked) != masked)
        cpu_request(cpu, CPU_REQUEST_A20);
}

void cpu_set_ignne(struct cpu *cpu, bool asserted)
{
    cpu->ignne = asserted;
}

void cpu_clear_request(struct cpu *cpu, enum cpu_request request)
{
    atomic_fetch_and(&cpu->requests, ~(uint32_t)request);
}
