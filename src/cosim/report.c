/* What a person is shown of a difference. */
#include "cosim/compare.h"
#include "cosim/state.h"
#include "mmu/mmu.h"

#include <capstone/capstone.h>

#define GUEST_BYTES 256
#define GUEST_LINES 70
#define HOST_LINES 1000
#define BYTES_SHOWN 32

static void disassemble(cs_mode mode, const uint8_t *code, size_t size, uint64_t address,
                        size_t lines, FILE *out)
{
    csh handle;
    if (cs_open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK)
        return;
    cs_insn *insn = cs_malloc(handle);
    while (insn && lines-- && cs_disasm_iter(handle, &code, &size, &address, insn)) {
        fprintf(out, "    %016lx ", (unsigned long)insn->address);
        for (unsigned i = 0; i < 11; i++)
            fprintf(out, i < insn->size ? "%02x" : "  ", insn->bytes[i]);
        fprintf(out, " %s %s\n", insn->mnemonic, insn->op_str);
    }
    cs_free(insn, 1);
    cs_close(&handle);
}

static void print_start(const struct cosim *cosim, FILE *out)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    fprintf(out, "before the block:\n");
    for (unsigned i = 0; i < 16; i++)
        fprintf(out, "%s%-3s %016lx%s", i % 4 ? " " : "  ", names[i], cosim->start.gpr[i],
                i % 4 == 3 ? "\n" : "");
    fprintf(out, "  rip %016lx rflags %08lx mode %08x\n", cosim->start.rip, cosim->start.rflags,
            cosim->a->mode);
}

static void print_flags(const struct cosim *cosim, FILE *out)
{
    static const char names[STATUS_FLAGS][3] = {"CF", "PF", "AF", "ZF", "SF", "OF"};
    for (unsigned i = 0; i < STATUS_FLAGS; i++) {
        if (cosim->stale[i].since)
            fprintf(out, "  %s differed before, since the block at %lx, %lu blocks ago\n", names[i],
                    cosim->stale[i].rip, cosim->turns - cosim->stale[i].since);
    }
}

static void print_bytes(const char *name, struct phys_map *phys, gpa_t gpa, FILE *out)
{
    uint8_t bytes[BYTES_SHOWN];
    phys_read(phys, gpa, bytes, sizeof(bytes));
    fprintf(out, "    %s", name);
    for (unsigned i = 0; i < BYTES_SHOWN; i++)
        fprintf(out, "%s%02x", i % 8 ? "" : " ", bytes[i]);
    fputc('\n', out);
}

static void print_memory(const struct cosim *cosim, FILE *out)
{
    gpa_t gpa = cosim->differs_at;
    if (gpa == NOWHERE)
        return;
    fprintf(out, "  physical memory at %lx, bytes in their order:\n", gpa);
    print_bytes("interpreter", cosim->a->phys, gpa, out);
    print_bytes("translator ", cosim->b->phys, gpa, out);
}

static void print_event(const char *name, const struct event *event, FILE *out)
{
    char text[128];
    replay_describe(event, text, sizeof(text));
    fprintf(out, "  %s: %s\n", name, text);
}

static void print_events(const struct replay *replay, FILE *out)
{
    for (unsigned i = 0; i < replay->count; i++)
        print_event("interpreter", &replay->event[i], out);
    if (replay->failed)
        print_event("translator instead", &replay->asked, out);
    else
        fprintf(out, "  translator: the first %u of these\n", replay->next);
}

static void print_exits(const struct cosim *cosim, FILE *out)
{
    static const char *const names[] = {
        [CPU_EXIT_REQUEST] = "a request",   [CPU_EXIT_HALT] = "a halt",
        [CPU_EXIT_SHUTDOWN] = "a shutdown", [CPU_EXIT_DEBUG] = "a stop for a debugger",
        [CPU_EXIT_BUDGET] = "going on",     [CPU_EXIT_FAULT] = "an exception",
    };
    for (unsigned i = 0; i < 2; i++) {
        const struct cpu *cpu = i ? cosim->b : cosim->a;
        fprintf(out, "  the %s's ended in %s", i ? "translator" : "interpreter",
                names[cosim->exit[i]]);
        if (cosim->exit[i] == CPU_EXIT_FAULT)
            fprintf(out, ": vector %u, error code %#x, address %lx", cpu->pending.vector,
                    cpu->pending.error, cpu->pending.cr2);
        fputc('\n', out);
    }
}

static void print_guest_code(const struct cosim *cosim, FILE *out)
{
    static const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    struct cpu *a = cosim->a;
    uint8_t code[GUEST_BYTES];
    size_t size = 0;
    gva_t va = cosim->start.rip + (a->mode & MODE_FLAT_CS ? 0 : a->seg[SEG_CS].base);
    gpa_t gpa;
    while (size < sizeof(code) && mmu_debug_translate(a, va + size, &gpa) &&
           phys_read(a->phys, gpa, code + size, 1))
        size++;
    fprintf(out, "the guest's code from there on:\n");
    disassemble(modes[mode_code(a->mode)], code, size, cosim->start.rip, GUEST_LINES, out);
}

void cosim_report(struct cosim *cosim, FILE *out)
{
    if (!cosim->difference)
        return;
    fprintf(out, "doppel: after %lu blocks the engines differ in %s\n", cosim->turns,
            cosim->difference);
    print_start(cosim, out);
    print_flags(cosim, out);
    fprintf(out, "after it: rip %016lx\n", cosim->a->rip);
    print_exits(cosim, out);
    state_print_differences(cosim->a, cosim->b, out);
    print_memory(cosim, out);
    print_events(&cosim->replay, out);
    print_guest_code(cosim, out);
    const uint8_t *code;
    size_t size = jit_last_code(cosim->b, &code);
    if (size) {
        fprintf(out, "the host's code that was entered last:\n");
        disassemble(CS_MODE_64, code, size, (uintptr_t)code, HOST_LINES, out);
    }
    fflush(out);
}
