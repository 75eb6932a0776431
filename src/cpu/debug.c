#include "cpu/debug.h"

#include "cpu/cpu.h"

static struct debug_breakpoint *find(struct debug *debug, gva_t va)
{
    for (unsigned i = 0; i < debug->count; i++) {
        if (debug->breakpoint[i].va == va)
            return &debug->breakpoint[i];
    }
    return NULL;
}

bool debug_add_breakpoint(struct debug *debug, gva_t va, unsigned kind)
{
    struct debug_breakpoint *breakpoint = find(debug, va);
    if (!breakpoint && debug->count == DEBUG_BREAKPOINTS_MAX)
        return false;
    if (breakpoint)
        breakpoint->kinds |= kind;
    else
        debug->breakpoint[debug->count++] = (struct debug_breakpoint){va, kind};
    return true;
}

void debug_remove_breakpoint(struct debug *debug, gva_t va, unsigned kind)
{
    struct debug_breakpoint *breakpoint = find(debug, va);
    if (!breakpoint)
        return;
    breakpoint->kinds &= ~kind;
    if (!breakpoint->kinds)
        *breakpoint = debug->breakpoint[--debug->count];
}

unsigned debug_breakpoint_kinds(const struct debug *debug, gva_t va)
{
    for (unsigned i = 0; i < debug->count; i++) {
        if (debug->breakpoint[i].va == va)
            return debug->breakpoint[i].kinds;
    }
    return 0;
}

bool debug_breaks_in(const struct debug *debug, gva_t va, unsigned size)
{
    for (unsigned i = 0; i < debug->count; i++) {
        if (debug->breakpoint[i].va - va < size)
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
