#include "machine/report.h"

#include "cpu/interp.h"
#include "jit/jit.h"
#include "machine/symbols.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <string.h>

#define CODE_BYTES 64
#define CODE_LINES 24
#define BLOCKS_SHOWN 8

static const char *const gpr_names[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                          "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
static const char *const segment_names[6] = {"ES", "CS", "SS", "DS", "FS", "GS"};

static void print_segment(const char *name, const struct segment *segment, FILE *out)
{
    fprintf(out, "  %-4s %04x base %016" PRIx64 " limit %08x attributes %04x\n", name,
            segment->selector, segment->base, segment->limit, segment->attributes);
}

static void print_registers(const struct cpu *cpu, FILE *out)
{
    for (unsigned i = 0; i < 16; i++)
        fprintf(out, "%s%-3s %016" PRIx64 "%s", i % 4 ? " " : "  ", gpr_names[i], cpu->gpr[i],
                i % 4 == 3 ? "\n" : "");
    fprintf(out, "  RIP %016" PRIx64 " RFLAGS %08" PRIx64 " CPL %u mode %08x\n", cpu->rip,
            cpu->rflags, cpu->cpl, cpu->mode);
    for (unsigned i = 0; i < 6; i++)
        print_segment(segment_names[i], &cpu->seg[i], out);
    print_segment("LDTR", &cpu->ldtr, out);
    print_segment("TR", &cpu->tr, out);
    fprintf(out, "  GDTR %016" PRIx64 " %04x IDTR %016" PRIx64 " %04x\n", cpu->gdtr.base,
            cpu->gdtr.limit, cpu->idtr.base, cpu->idtr.limit);
    fprintf(out,
            "  CR0 %08" PRIx64 " CR2 %016" PRIx64 " CR3 %016" PRIx64 " CR4 %08" PRIx64
            " EFER %04" PRIx64 "\n",
            cpu->cr0, cpu->cr2, cpu->cr3, cpu->cr4, cpu->msr.efer);
}

/* The bytes that can be read from linear address va on. */
static size_t read_code(struct cpu *cpu, gva_t va, uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        gpa_t gpa;
        size_t part = PAGE_SIZE - (va + done) % PAGE_SIZE;
        if (part > size - done)
            part = size - done;
        if (!mmu_debug_translate(cpu, va + done, &gpa) ||
            !phys_read(cpu->phys, gpa, bytes + done, part))
            break;
        done += part;
    }
    return done;
}

static void print_location(const char *label, uint64_t address, const char *kernel, FILE *out)
{
    char name[256];
    if (symbols_name(kernel, address, name, sizeof(name)))
        fprintf(out, "%s%016" PRIx64 " %s\n", label, address, name);
    else
        fprintf(out, "%s%016" PRIx64 "\n", label, address);
}

/* The code around RIP, from offset start in CS on. */
static void disassemble(struct cpu *cpu, uint64_t start, FILE *out)
{
    static const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    uint8_t bytes[2 * CODE_BYTES];
    size_t size = read_code(cpu, cpu->seg[SEG_CS].base + start, bytes, sizeof(bytes));
    csh handle;
    if (cs_open(CS_ARCH_X86, modes[mode_code(cpu->mode)], &handle) != CS_ERR_OK)
        return;
    cs_insn *insn = NULL;
    size_t count = cs_disasm(handle, bytes, size, start, CODE_LINES, &insn);
    for (size_t i = 0; i < count && insn[i].address < cpu->rip + CODE_BYTES; i++)
        fprintf(out, "  %s %016" PRIx64 "  %s %s\n", insn[i].address == cpu->rip ? "=>" : "  ",
                insn[i].address, insn[i].mnemonic, insn[i].op_str);
    if (count == 0)
        fprintf(out, "    %016" PRIx64 "  (no code can be read here)\n", start);
    cs_free(insn, count);
    cs_close(&handle);
}

/* The blocks entered last, the latest one's code up to RIP, and the code from RIP on. */
static void print_path(struct cpu *cpu, const char *kernel, FILE *out)
{
    uint64_t recent[INTERP_RECENT];
    unsigned count = interp_recent(cpu, recent);
    unsigned shown = count < BLOCKS_SHOWN ? count : BLOCKS_SHOWN;
    fprintf(out, "  blocks entered before, oldest first:\n");
    for (unsigned i = shown; i-- > 0;)
        print_location("    ", recent[i], kernel, out);
    uint64_t start =
        count && recent[0] <= cpu->rip && cpu->rip - recent[0] < CODE_BYTES ? recent[0] : cpu->rip;
    fprintf(out, "  code of the last one:\n");
    disassemble(cpu, start, out);
}

void report_death(struct cpu *cpu, const char *kernel, FILE *out)
{
    fprintf(out, "doppel: the guest died: triple fault (an exception while a double fault was "
                 "delivered)\n");
    print_location("  at RIP ", cpu->rip, kernel, out);
    fprintf(out, "  last exception: vector %u, error code %#x\n", cpu->pending.vector,
            cpu->pending.error);
    print_registers(cpu, out);
    print_path(cpu, kernel, out);
    fflush(out);
}

struct counter {
    const char *name;
    uint64_t value;
};

static uint64_t sum(const uint64_t *values, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

static void print_counters(const struct counter *counters, size_t count, FILE *out, bool json)
{
    for (size_t i = 0; i < count; i++) {
        if (json)
            fprintf(out, ",\n  \"%s\": %" PRIu64, counters[i].name, counters[i].value);
        else
            fprintf(out, "%-22s %15" PRIu64 "\n", counters[i].name, counters[i].value);
    }
}

static void report_translator(const struct cpu *cpu, FILE *out, bool json)
{
    const struct jit_stats *stats = jit_stats(cpu);
    const struct counter counters[] = {
        {"translated_blocks", stats->blocks},
        {"translated_bytes", stats->guest_bytes},
        {"host_bytes", stats->host_bytes},
        {"translated_accesses", stats->accesses},
        {"translated_checks", stats->checks},
        {"plain_entries", stats->plain},
        {"code_flushes", stats->flushes},
        {"code_entries", stats->entries},
        {"links_made", stats->links},
        {"left_by_handler", stats->exits[JIT_EXIT_HANDLER]},
        {"left_by_mode", stats->exits[JIT_EXIT_MODE]},
        {"left_by_miss", stats->exits[JIT_EXIT_MISS]},
        {"left_by_link", stats->exits[JIT_EXIT_LINK]},
        {"left_by_request", stats->exits[JIT_EXIT_REQUEST]},
#ifdef DOPPEL_RECORD_OPERANDS
        {"operands_checked", jit_check_operands(cpu)},
#endif
    };
    print_counters(counters, ARRAY_SIZE(counters), out, json);
    if (!json)
        jit_print_called(cpu, out);
}

void report_stats(const struct cpu *cpu, uint64_t host_ns, FILE *out, bool json)
{
    const struct cpu_stats *stats = &cpu->stats;
    const struct counter counters[] = {
        {"host_ns", host_ns},
        {cpu->engine ? "instructions_interpreted" : "instructions", stats->instructions},
        {"blocks_decoded", stats->blocks_decoded},
        {"instructions_decoded", stats->instructions_decoded},
        {"jump_cache_misses", stats->jump_cache_misses},
        {"exceptions", sum(stats->exceptions, ARRAY_SIZE(stats->exceptions))},
        {"page_faults", stats->exceptions[VECTOR_PF]},
        {"interrupts", stats->interrupts},
        {"halts", stats->halts},
        {"exits", stats->exits},
        {cpu->engine ? "tlb_hits_interpreted" : "tlb_hits", stats->tlb_hits},
        {"tlb_misses", stats->tlb_slow},
        {"page_walks", stats->page_walks},
        {"port_accesses", stats->port_accesses},
        {"mmio_accesses", stats->mmio_accesses},
        {"code_writes", stats->code_writes},
        {"generations", stats->generations},
        {"decode_sampled", stats->decode_sampled},
        {"decode_sampled_ns", stats->decode_sampled_ns},
        {"translate_sampled", stats->translate_sampled},
        {"translate_sampled_ns", stats->translate_sampled_ns},
    };
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
        if (json)
            fprintf(out, "%s  \"%s\": %" PRIu64, i ? ",\n" : "{\n", counters[i].name,
                    counters[i].value);
        else
            fprintf(out, "%-22s %15" PRIu64 "\n", counters[i].name, counters[i].value);
    }
    if (cpu->jit)
        report_translator(cpu, out, json);
    if (json)
        fputs("\n}\n", out);
    fflush(out);
}
