#include "cosim/compare.h"

#include <string.h>

struct field {
    const char *name;
    uint16_t offset, size; /* size: of an element */
    uint16_t count;
};

#define FIELD(member)                                                                              \
    {                                                                                              \
#member, offsetof(struct cpu, member), sizeof(((struct cpu *)0)->member), 1                \
    }
#define ARRAY(member)                                                                              \
    {                                                                                              \
#member, offsetof(struct cpu, member), sizeof(((struct cpu *)0)->member[0]),               \
            ARRAY_SIZE(((struct cpu *)0)->member)                                                  \
    }

static const struct field fields[] = {
    ARRAY(gpr),
    FIELD(rip),
    FIELD(mode),
    FIELD(interrupt_shadow),
    FIELD(nmi_blocked),
    FIELD(smm),
    FIELD(smm_nmi_blocked),
    FIELD(halted),
    FIELD(cpl),
    ARRAY(seg),
    FIELD(ldtr),
    FIELD(tr),
    FIELD(gdtr.base),
    FIELD(gdtr.limit),
    FIELD(idtr.base),
    FIELD(idtr.limit),
    FIELD(cr0),
    FIELD(cr2),
    FIELD(cr3),
    FIELD(cr4),
    FIELD(xcr0),
    ARRAY(dr),
    FIELD(smbase),
    ARRAY(pdpte),
    FIELD(physical_mask),
    FIELD(msr),
    ARRAY(vec),
    FIELD(mxcsr),
    FIELD(fx.fcw),
    FIELD(fx.fsw),
    FIELD(fx.ftw),
    FIELD(fx.fop),
    FIELD(fx.fip),
    FIELD(fx.fdp),
    ARRAY(fx.st),
    FIELD(ferr_asserted),
};

static const uint8_t *at(const struct cpu *cpu, const struct field *field, unsigned i)
{
    return (const uint8_t *)cpu + field->offset + i * field->size;
}

void state_copy(struct cpu *to, const struct cpu *from)
{
    to->rflags = from->rflags;
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
        memcpy((uint8_t *)to + fields[i].offset, at(from, &fields[i], 0),
               (size_t)fields[i].size * fields[i].count);
}

bool state_equal(const struct cpu *a, const struct cpu *b)
{
    if ((a->rflags ^ b->rflags) & ~(uint64_t)FLAGS_STATUS)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        const struct field *field = &fields[i];
        if (memcmp(at(a, field, 0), at(b, field, 0), (size_t)field->size * field->count) != 0)
            return false;
    }
    return true;
}

/* As a number, or a long field as bytes. */
static void print_value(const uint8_t *value, unsigned size, FILE *out)
{
    fputc(' ', out);
    for (unsigned i = size; i-- > 0;)
        fprintf(out, "%02x", value[i]);
}

static void print_field(const struct field *field, unsigned i, const struct cpu *a,
                        const struct cpu *b, FILE *out)
{
    unsigned from = 0, size = field->size;
    if (size > 32) { /* the eight bytes that differ first */
        while (at(a, field, i)[from] == at(b, field, i)[from])
            from++;
        from &= ~7u;
        size = size - from < 8 ? size - from : 8;
    }
    fprintf(out, "  %s", field->name);
    if (field->count > 1)
        fprintf(out, "[%u]", i);
    if (from || size != field->size)
        fprintf(out, " byte %u", from);
    fprintf(out, ":\n    interpreter");
    print_value(at(a, field, i) + from, size, out);
    fprintf(out, "\n    translator ");
    print_value(at(b, field, i) + from, size, out);
    fputc('\n', out);
}

void state_print_differences(const struct cpu *a, const struct cpu *b, FILE *out)
{
    if (a->rflags != b->rflags)
        fprintf(out, "  rflags:\n    interpreter %lx\n    translator  %lx\n", a->rflags, b->rflags);
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        for (unsigned j = 0; j < fields[i].count; j++) {
            if (memcmp(at(a, &fields[i], j), at(b, &fields[i], j), fields[i].size) != 0)
                print_field(&fields[i], j, a, b, out);
        }
    }
}
