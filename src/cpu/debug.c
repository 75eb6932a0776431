#include "cpu/debug.h"

#include "cpu/cpu.h"

static gva_t *find(struct debug *debug, gva_t va)
{
    for (unsigned i = 0; i < debug->count; i++) {
        if (debug->breakpoint[i] == va)
            return &debug->breakpoint[i];
    }
    return NULL;
}

bool debug_add_breakpoint(struct debug *debug, gva_t va)
{
    if (find(debug, va))
        return true;
    if (debug->count == DEBUG_BREAKPOINTS_MAX)
        return false;
    debug->breakpoint[debug->count++] = va;
    return true;
}

void debug_remove_breakpoint(struct debug *debug, gva_t va)
{
    gva_t *breakpoint = find(debug, va);
    if (breakpoint)
        *breakpoint = debug->breakpoint[--debug->count];
}

bool debug_breaks_in(const struct debug *debug, gva_t va, unsigned size)
{
    for (unsigned i = 0; i < debug->count; i++) {
        if (debug->breakpoint[i] - va < size)
            return true;
    }
    return false;
}

void debug_attach(struct cpu *cpu, struct debug *debug)
{
    cpu->debug = debug;
    watch_install(cpu, &debug->watches);
}

void debug_detach(struct cpu *cpu)
{
    cpu->debug = NULL;
    cpu_clear_request(cpu, CPU_REQUEST_DEBUG);
    watch_install(cpu, NULL);
    cpu_update_mode(cpu); /* without MODE_STEP */
}

void debug_go(struct cpu *cpu, bool step)
{
    struct debug *debug = cpu->debug;
    debug->stepping = step;
    debug->stop = DEBUG_STOP_NONE;
    debug->watches.hit = false;
    cpu_clear_request(cpu, CPU_REQUEST_DEBUG);
    cpu_update_mode(cpu);
}
