#include "machine/gdb_target.h"

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/fpu.h"
#include "cpu/msr.h"
#include "cpu/x87_env.h"

#include <stdio.h>
#include <stdlib.h>

enum kind {
    KIND_GPR, /* index: enum dec_reg */
    KIND_RIP,
    KIND_RFLAGS,
    KIND_SELECTOR, /* index: enum dec_seg */
    KIND_ST,
    KIND_X87, /* index: its field of the environment in the 32-bit protected format */
    KIND_XMM,
    KIND_MXCSR,
    KIND_BASE, /* index: enum dec_seg */
    KIND_YMMH,
    KIND_SYSTEM, /* index: enum system_register */
};

enum system_register { SYS_K_GS_BASE, SYS_CR0, SYS_CR2, SYS_CR3, SYS_CR4, SYS_CR8, SYS_EFER };

/* Fields of the x87 environment; FOP lies in the upper half of FCS. */
enum { ENV_FCW, ENV_FSW, ENV_FTW, ENV_FIP, ENV_FCS, ENV_FDP, ENV_FDS, ENV_FOP };

struct gdb_register {
    const char *feature; /* of this register and those that follow it; NULL: as before */
    const char *name, *type, *group;
    enum kind kind;
    uint8_t index, bits;
};

#define GPR(name, n)                                                                               \
    {                                                                                              \
        NULL, name, "int64", NULL, KIND_GPR, n, 64                                                 \
    }
#define SELECTOR(name, n)                                                                          \
    {                                                                                              \
        NULL, name, "int32", NULL, KIND_SELECTOR, n, 32                                            \
    }
#define ST(n)                                                                                      \
    {                                                                                              \
        NULL, "st" #n, "i387_ext", NULL, KIND_ST, n, 80                                            \
    }
#define X87(name, n)                                                                               \
    {                                                                                              \
        NULL, name, "int", "float", KIND_X87, n, 32                                                \
    }
#define XMM(n)                                                                                     \
    {                                                                                              \
        NULL, "xmm" #n, "vec128", "vector", KIND_XMM, n, 128                                       \
    }
#define YMMH(n)                                                                                    \
    {                                                                                              \
        NULL, "ymm" #n "h", "uint128", NULL, KIND_YMMH, n, 128                                     \
    }
#define SYSTEM(name, type, n)                                                                      \
    {                                                                                              \
        NULL, name, type, "system", KIND_SYSTEM, n, 64                                             \
    }
#define TIMES_8(m, a, b, c, d, e, f, g, h) m(a), m(b), m(c), m(d), m(e), m(f), m(g), m(h)

/* gdb knows the features org.gnu.gdb.i386.* (manual, G.5.5) and wants core's registers in this
 * order. */
static const struct gdb_register registers[] = {
    {"org.gnu.gdb.i386.core", "rax", "int64", NULL, KIND_GPR, REG_RAX, 64},
    GPR("rbx", REG_RBX),
    GPR("rcx", REG_RCX),
    GPR("rdx", REG_RDX),
    GPR("rsi", REG_RSI),
    GPR("rdi", REG_RDI),
    {NULL, "rbp", "data_ptr", NULL, KIND_GPR, REG_RBP, 64},
    {NULL, "rsp", "data_ptr", NULL, KIND_GPR, REG_RSP, 64},
    GPR("r8", 8),
    GPR("r9", 9),
    GPR("r10", 10),
    GPR("r11", 11),
    GPR("r12", 12),
    GPR("r13", 13),
    GPR("r14", 14),
    GPR("r15", 15),
    {NULL, "rip", "code_ptr", NULL, KIND_RIP, 0, 64},
    {NULL, "eflags", "i386_eflags", NULL, KIND_RFLAGS, 0, 32},
    SELECTOR("cs", SEG_CS),
    SELECTOR("ss", SEG_SS),
    SELECTOR("ds", SEG_DS),
    SELECTOR("es", SEG_ES),
    SELECTOR("fs", SEG_FS),
    SELECTOR("gs", SEG_GS),
    TIMES_8(ST, 0, 1, 2, 3, 4, 5, 6, 7),
    X87("fctrl", ENV_FCW),
    X87("fstat", ENV_FSW),
    X87("ftag", ENV_FTW),
    X87("fiseg", ENV_FCS),
    X87("fioff", ENV_FIP),
    X87("foseg", ENV_FDS),
    X87("fooff", ENV_FDP),
    X87("fop", ENV_FOP),
    {"org.gnu.gdb.i386.sse", "xmm0", "vec128", "vector", KIND_XMM, 0, 128},
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    TIMES_8(XMM, 8, 9, 10, 11, 12, 13, 14, 15),
    {NULL, "mxcsr", "i386_mxcsr", "vector", KIND_MXCSR, 0, 32},
    {"org.gnu.gdb.i386.segments", "fs_base", "int64", NULL, KIND_BASE, SEG_FS, 64},
    {NULL, "gs_base", "int64", NULL, KIND_BASE, SEG_GS, 64},
    {"org.gnu.gdb.i386.avx", "ymm0h", "uint128", NULL, KIND_YMMH, 0, 128},
    YMMH(1),
    YMMH(2),
    YMMH(3),
    YMMH(4),
    YMMH(5),
    YMMH(6),
    YMMH(7),
    TIMES_8(YMMH, 8, 9, 10, 11, 12, 13, 14, 15),
    {"org.doppel.system", "k_gs_base", "int64", "system", KIND_SYSTEM, SYS_K_GS_BASE, 64},
    SYSTEM("cr0", "x86_cr0", SYS_CR0),
    SYSTEM("cr2", "int64", SYS_CR2),
    SYSTEM("cr3", "int64", SYS_CR3),
    SYSTEM("cr4", "x86_cr4", SYS_CR4),
    SYSTEM("cr8", "int64", SYS_CR8),
    SYSTEM("efer", "x86_efer", SYS_EFER),
};

/* Types that gdb does not know by itself; they belong to the feature that uses them. */
struct flag_type {
    const char *feature, *id;
    unsigned size;
    struct {
        const char *name;
        unsigned bit;
    } flag[20];
};

static const struct flag_type flag_types[] = {
    {"org.gnu.gdb.i386.core",
     "i386_eflags",
     4,
     {{"CF", 0},
      {"", 1},
      {"PF", 2},
      {"AF", 4},
      {"ZF", 6},
      {"SF", 7},
      {"TF", 8},
      {"IF", 9},
      {"DF", 10},
      {"OF", 11},
      {"NT", 14},
      {"RF", 16},
      {"VM", 17},
      {"AC", 18},
      {"VIF", 19},
      {"VIP", 20},
      {"ID", 21}}},
    {"org.gnu.gdb.i386.sse",
     "i386_mxcsr",
     4,
     {{"IE", 0},
      {"DE", 1},
      {"ZE", 2},
      {"OE", 3},
      {"UE", 4},
      {"PE", 5},
      {"DAZ", 6},
      {"IM", 7},
      {"DM", 8},
      {"ZM", 9},
      {"OM", 10},
      {"UM", 11},
      {"PM", 12},
      {"FZ", 15}}},
    {"org.doppel.system",
     "x86_cr0",
     8,
     {{"PE", 0},
      {"MP", 1},
      {"EM", 2},
      {"TS", 3},
      {"ET", 4},
      {"NE", 5},
      {"WP", 16},
      {"AM", 18},
      {"NW", 29},
      {"CD", 30},
      {"PG", 31}}},
    {"org.doppel.system",
     "x86_cr4",
     8,
     {{"VME", 0},
      {"PVI", 1},
      {"TSD", 2},
      {"DE", 3},
      {"PSE", 4},
      {"PAE", 5},
      {"MCE", 6},
      {"PGE", 7},
      {"PCE", 8},
      {"OSFXSR", 9},
      {"OSXMMEXCPT", 10},
      {"UMIP", 11},
      {"FSGSBASE", 16},
      {"PCIDE", 17},
      {"OSXSAVE", 18},
      {"SMEP", 20},
      {"SMAP", 21}}},
    {"org.doppel.system", "x86_efer", 8, {{"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}}},
};

static const char vector_types[] = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n"
                                   "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
                                   "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n"
                                   "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
                                   "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n"
                                   "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
                                   "<union id=\"vec128\">\n"
                                   "<field name=\"v4_float\" type=\"v4f\"/>\n"
                                   "<field name=\"v2_double\" type=\"v2d\"/>\n"
                                   "<field name=\"v16_int8\" type=\"v16i8\"/>\n"
                                   "<field name=\"v8_int16\" type=\"v8i16\"/>\n"
                                   "<field name=\"v4_int32\" type=\"v4i32\"/>\n"
                                   "<field name=\"v2_int64\" type=\"v2i64\"/>\n"
                                   "<field name=\"uint128\" type=\"uint128\"/>\n"
                                   "</union>\n";

static void describe_types(FILE *out, const char *feature)
{
    if (!strcmp(feature, "org.gnu.gdb.i386.sse"))
        fputs(vector_types, out);
    for (size_t i = 0; i < ARRAY_SIZE(flag_types); i++) {
        const struct flag_type *type = &flag_types[i];
        if (strcmp(type->feature, feature) != 0)
            continue;
        fprintf(out, "<flags id=\"%s\" size=\"%u\">\n", type->id, type->size);
        for (size_t j = 0; j < ARRAY_SIZE(type->flag) && type->flag[j].name; j++)
            fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>\n", type->flag[j].name,
                    type->flag[j].bit, type->flag[j].bit);
        fputs("</flags>\n", out);
    }
}

char *gdb_target_describe(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs("<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
          "<target>\n<architecture>i386:x86-64</architecture>\n",
          out);
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++) {
        const struct gdb_register *reg = &registers[i];
        if (reg->feature) {
            fprintf(out, "%s<feature name=\"%s\">\n", i ? "</feature>\n" : "", reg->feature);
            describe_types(out, reg->feature);
        }
        fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"", reg->name, reg->bits,
                reg->type);
        if (reg->group)
            fprintf(out, " group=\"%s\"", reg->group);
        fputs("/>\n", out);
    }
    fputs("</feature>\n</target>\n", out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

unsigned gdb_register_count(void)
{
    return ARRAY_SIZE(registers);
}

unsigned gdb_register_size(unsigned n)
{
    return registers[n].bits / 8;
}

static uint64_t read_x87(const struct cpu *cpu, unsigned field)
{
    uint8_t env[X87_ENV_MAX];
    x87_env_store(&cpu->fx, X87_ENV_PROTECTED_32, env);
    if (field == ENV_FOP)
        return cpu->fx.fop;
    uint32_t value = (uint32_t)load_le(env + 4 * field, 4);
    /* Words with nothing above them, and of FCS what is not FOP. */
    bool wide = field == ENV_FIP || field == ENV_FDP;
    return wide ? value : value & 0xffff;
}

static uint64_t read_system(struct cpu *cpu, enum system_register reg)
{
    switch (reg) {
    case SYS_K_GS_BASE:
        return cpu->msr.kernel_gs_base;
    case SYS_CR0:
        return cpu->cr0;
    case SYS_CR2:
        return cpu->cr2;
    case SYS_CR3:
        return cpu->cr3;
    case SYS_CR4:
        return cpu->cr4;
    case SYS_CR8:
        return cpu->intc.ops ? cpu->intc.ops->read_cr8(cpu->intc.opaque) : 0;
    default:
        return cpu->msr.efer;
    }
}

static uint64_t read_scalar(struct cpu *cpu, const struct gdb_register *reg)
{
    switch (reg->kind) {
    case KIND_GPR:
        return cpu->gpr[reg->index];
    case KIND_RIP:
        return cpu->rip;
    case KIND_RFLAGS:
        return cpu->rflags;
    case KIND_SELECTOR:
        return cpu->seg[reg->index].selector;
    case KIND_X87:
        return read_x87(cpu, reg->index);
    case KIND_MXCSR:
        return cpu->mxcsr;
    case KIND_BASE:
        return cpu->seg[reg->index].base;
    default:
        return read_system(cpu, reg->index);
    }
}

void gdb_register_read(struct cpu *cpu, unsigned n, uint8_t bytes[GDB_REGISTER_BYTES])
{
    const struct gdb_register *reg = &registers[n];
    memset(bytes, 0, GDB_REGISTER_BYTES);
    switch (reg->kind) {
    case KIND_ST:
        memcpy(bytes, cpu->fx.st[reg->index], 10);
        break;
    case KIND_XMM:
        memcpy(bytes, cpu->vec[reg->index].u8, 16);
        break;
    case KIND_YMMH:
        memcpy(bytes, cpu->vec[reg->index].u8 + 16, 16);
        break;
    default:
        store_le(bytes, read_scalar(cpu, reg), gdb_register_size(n));
    }
}

/* A debugger that moves RIP wants the instruction there to run. */
void gdb_target_set_rip(struct cpu *cpu, uint64_t rip)
{
    cpu->rip = mode_code(cpu->mode) == DEC_MODE_64 ? rip : (uint32_t)rip;
    cpu->halted = HALT_NONE;
    cpu->interrupt_shadow = SHADOW_NONE;
}

/* All but VM, which no instruction changes without segments and CPL. */
static bool write_rflags(struct cpu *cpu, uint64_t value)
{
    const uint64_t writable = FLAGS_STATUS | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                              FLAG_RF | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    if ((value ^ cpu->rflags) & FLAG_VM)
        return false;
    cpu->rflags = (cpu->rflags & ~writable) | (value & writable);
    cpu_update_mode(cpu);
    return true;
}

/* A descriptor would have to be loaded in protected mode: only the guest can do that. */
static bool write_selector(struct cpu *cpu, enum dec_seg seg, uint64_t value)
{
    bool is_protected = (cpu->mode & (MODE_PROTECTED | MODE_VM86)) == MODE_PROTECTED;
    if (value == cpu->seg[seg].selector)
        return true;
    if (is_protected || value > UINT16_MAX)
        return false;
    cpu->seg[seg].selector = (uint16_t)value;
    cpu->seg[seg].base = value << 4;
    cpu_update_mode(cpu);
    return true;
}

static bool write_x87(struct cpu *cpu, unsigned field, uint64_t value)
{
    struct fx_image *fx = &cpu->fx;
    uint8_t env[X87_ENV_MAX];
    struct fx_image tags;
    switch (field) {
    case ENV_FCW:
        fpu_set_fcw(fx, (uint16_t)value);
        break;
    case ENV_FSW:
        fx->fsw = (uint16_t)value;
        break;
    case ENV_FTW:
        tags = *fx;
        x87_env_store(&tags, X87_ENV_PROTECTED_32, env);
        store_le(env + 4 * ENV_FTW, value, 4);
        x87_env_load(&tags, X87_ENV_PROTECTED_32, env);
        fx->ftw = tags.ftw;
        break;
    case ENV_FIP:
        fx->fip = value;
        break;
    case ENV_FDP:
        fx->fdp = value;
        break;
    case ENV_FOP:
        fx->fop = value & FOP_MASK;
        break;
    default:
        return value == 0; /* the selectors, which are not kept */
    }
    fpu_summarise(fx);
    fpu_update_mode(cpu);
    return true;
}

static bool write_cr8(struct cpu *cpu, uint64_t value)
{
    if (value > 15 || !cpu->intc.ops)
        return false;
    cpu->intc.ops->write_cr8(cpu->intc.opaque, (uint8_t)value);
    return true;
}

static bool write_base(struct cpu *cpu, enum dec_seg seg, uint64_t value)
{
    return cpu_write_msr(cpu, seg == SEG_FS ? MSR_FS_BASE : MSR_GS_BASE, value);
}

/* Under the rules of MOV and WRMSR; with PE as it is where the CPL could not follow. */
static bool write_system(struct cpu *cpu, enum system_register reg, uint64_t value)
{
    switch (reg) {
    case SYS_K_GS_BASE:
        return cpu_write_msr(cpu, MSR_KERNEL_GS_BASE, value);
    case SYS_CR0:
        return (!cpu->cpl || !((value ^ cpu->cr0) & CR0_PE)) && cpu_write_cr0(cpu, value);
    case SYS_CR2:
        cpu->cr2 = value;
        return true;
    case SYS_CR3:
        return cpu_write_cr3(cpu, value);
    case SYS_CR4:
        return cpu_write_cr4(cpu, value);
    case SYS_CR8:
        return write_cr8(cpu, value);
    default:
        return cpu_write_msr(cpu, MSR_EFER, value);
    }
}

static bool write_mxcsr(struct cpu *cpu, uint64_t value)
{
    if (value & ~(uint64_t)MXCSR_VALID)
        return false;
    cpu->mxcsr = (uint32_t)value;
    fpu_update_mode(cpu);
    return true;
}

bool gdb_register_write(struct cpu *cpu, unsigned n, const uint8_t bytes[GDB_REGISTER_BYTES])
{
    const struct gdb_register *reg = &registers[n];
    unsigned size = gdb_register_size(n);
    uint64_t value = load_le(bytes, size < 8 ? size : 8);
    switch (reg->kind) {
    case KIND_GPR:
        cpu->gpr[reg->index] = value;
        return true;
    case KIND_RIP:
        gdb_target_set_rip(cpu, value);
        return true;
    case KIND_RFLAGS:
        return write_rflags(cpu, value);
    case KIND_SELECTOR:
        return write_selector(cpu, reg->index, value);
    case KIND_ST:
        memcpy(cpu->fx.st[reg->index], bytes, 10);
        return true;
    case KIND_X87:
        return write_x87(cpu, reg->index, value);
    case KIND_XMM:
        memcpy(cpu->vec[reg->index].u8, bytes, 16);
        return true;
    case KIND_MXCSR:
        return write_mxcsr(cpu, value);
    case KIND_BASE:
        return write_base(cpu, reg->index, value);
    case KIND_YMMH:
        memcpy(cpu->vec[reg->index].u8 + 16, bytes, 16);
        return true;
    default:
        return write_system(cpu, reg->index, value);
    }
}
