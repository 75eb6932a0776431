#include "control/show.h"
#include "cpu/cpu.h"

#include <inttypes.h>
#include <string.h>

/* In 64-bit mode addresses have 16 digits, else 8. */
static int digits(const struct cpu *cpu)
{
    return (cpu->mode & MODE_CODE) == DEC_MODE_64 ? 16 : 8;
}

static void show_general(const struct cpu *cpu, FILE *out)
{
    static const struct {
        char name[4];
        uint8_t number;
    } order[] = {{"AX", 0}, {"BX", 3}, {"CX", 1}, {"DX", 2},
                 {"SI", 6}, {"DI", 7}, {"BP", 5}, {"SP", 4}};
    bool wide = digits(cpu) == 16;
    for (unsigned i = 0; i < 8; i++)
        fprintf(out, "%c%s=%0*" PRIx64 "%c", wide ? 'R' : 'E', order[i].name, digits(cpu),
                wide ? cpu->gpr[order[i].number] : (uint32_t)cpu->gpr[order[i].number],
                i % 4 == 3 ? '\n' : ' ');
    for (unsigned i = 8; wide && i < 16; i++)
        fprintf(out, "R%-2u=%016" PRIx64 "%c", i, cpu->gpr[i], i % 4 == 3 ? '\n' : ' ');
}

static void show_pointer(const struct cpu *cpu, FILE *out)
{
    static const struct {
        uint32_t flag;
        char name;
    } flags[] = {{FLAG_DF, 'D'}, {FLAG_OF, 'O'}, {FLAG_SF, 'S'}, {FLAG_ZF, 'Z'},
                 {FLAG_AF, 'A'}, {FLAG_PF, 'P'}, {FLAG_CF, 'C'}};
    bool wide = digits(cpu) == 16;
    fprintf(out, "%s=%0*" PRIx64 " %s=%08x [", wide ? "RIP" : "EIP", digits(cpu), cpu->rip,
            wide ? "RFL" : "EFL", (unsigned)cpu->rflags);
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        fputc(cpu->rflags & flags[i].flag ? flags[i].name : '-', out);
    fprintf(out, "] CPL=%u II=%d A20=%d SMM=%d HLT=%d\n", cpu->cpl, cpu->interrupt_shadow != 0,
            !cpu->a20_masked, cpu->smm, cpu->halted);
}

/* The descriptor's second word, with the limit's upper bits where they were. */
static uint32_t descriptor_word(const struct segment *segment)
{
    uint32_t limit =
        segment->attributes & SEGATTR_G ? segment->limit >> 28 : segment->limit >> 16 & 0xf;
    return (uint32_t)segment->attributes << 8 | limit << 16;
}

static void show_segment(const struct cpu *cpu, const char *name, const struct segment *segment,
                         FILE *out)
{
    fprintf(out, "%-3s=%04x %0*" PRIx64 " %08x %08x", name, segment->selector, digits(cpu),
            segment->base, segment->limit, descriptor_word(segment));
    if ((cpu->mode & MODE_PROTECTED) && (segment->attributes & SEGATTR_P)) {
        static const char *const code[] = {"CS16", "CS32", "CS64", "CS64"};
        unsigned dpl = segment->attributes >> SEGATTR_DPL_SHIFT & 3;
        unsigned size = (segment->attributes & SEGATTR_DB ? 1u : 0) |
                        (segment->attributes & SEGATTR_L ? 2u : 0);
        bool is_code = segment->attributes & 8, is_system = !(segment->attributes & SEGATTR_S);
        fprintf(out, " DPL=%u %s", dpl,
                is_system ? (segment->attributes & 1 ? "TSS" : "LDT")
                          : (is_code ? code[size]
                             : size  ? "DS"
                                     : "DS16"));
    }
    fputc('\n', out);
}

static void show_segments(const struct cpu *cpu, FILE *out)
{
    static const char *const names[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        show_segment(cpu, names[i], &cpu->seg[i], out);
    show_segment(cpu, "LDT", &cpu->ldtr, out);
    show_segment(cpu, "TR", &cpu->tr, out);
    fprintf(out, "GDT=     %0*" PRIx64 " %08x\n", digits(cpu), cpu->gdtr.base, cpu->gdtr.limit);
    fprintf(out, "IDT=     %0*" PRIx64 " %08x\n", digits(cpu), cpu->idtr.base, cpu->idtr.limit);
}

static void show_control(const struct cpu *cpu, FILE *out)
{
    fprintf(out, "CR0=%08" PRIx64 " CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08" PRIx64 "\n",
            cpu->cr0, digits(cpu), cpu->cr2, digits(cpu), cpu->cr3, cpu->cr4);
    for (unsigned i = 0; i < 4; i++)
        fprintf(out, "DR%u=%016" PRIx64 "%c", i, cpu->dr[i], i == 3 ? '\n' : ' ');
    fprintf(out, "DR6=%016" PRIx64 " DR7=%016" PRIx64 "\n", cpu->dr[6], cpu->dr[7]);
    fprintf(out, "EFER=%016" PRIx64 "\n", cpu->msr.efer);
}

static void show_vectors(const struct cpu *cpu, FILE *out)
{
    unsigned count = digits(cpu) == 16 ? 16 : 8;
    fprintf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", cpu->fx.fcw, cpu->fx.fsw,
            cpu->fx.fsw >> 11 & 7, (uint8_t)~cpu->fx.ftw, cpu->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t mantissa;
        uint16_t exponent;
        memcpy(&mantissa, cpu->fx.st[i], 8);
        memcpy(&exponent, cpu->fx.st[i] + 8, 2);
        fprintf(out, "FPR%u=%016" PRIx64 " %04x%c", i, mantissa, exponent, i % 2 ? '\n' : ' ');
    }
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%c", i, cpu->vec[i].u64[1],
                cpu->vec[i].u64[0], i % 2 ? '\n' : ' ');
}

void show_registers(const struct cpu *cpu, FILE *out)
{
    fprintf(out, "\nCPU#0\n");
    show_general(cpu, out);
    show_pointer(cpu, out);
    show_segments(cpu, out);
    show_control(cpu, out);
    show_vectors(cpu, out);
}
