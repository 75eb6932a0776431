/* Segment registers and descriptors (SDM vol. 3, chapter 3 and 5): what MOV, POP, far transfers,
 * delivery and task switches share.
 *
 * Everything that takes a cpu may raise; nothing is committed before the last check. */
#ifndef DOPPEL_CPU_SEGMENT_H
#define DOPPEL_CPU_SEGMENT_H

#include "cpu/exception.h"
#include "cpu/state.h"

#define SELECTOR_RPL 3u
#define SELECTOR_TI 4u
#define SELECTOR_INDEX 0xfff8u

/* Type field bits of code and data segments. */
#define SEGTYPE_ACCESSED 1u
#define SEGTYPE_WRITABLE 2u /* data */
#define SEGTYPE_READABLE 2u /* code */
#define SEGTYPE_EXPAND_DOWN 4u
#define SEGTYPE_CONFORMING 4u
#define SEGTYPE_CODE 8u

/* Type field of system segments and gates; in long mode the 32-bit ones are the 64-bit ones. */
enum system_type {
    SYSTEM_TSS16 = 1,
    SYSTEM_LDT = 2,
    SYSTEM_TSS16_BUSY = 3,
    SYSTEM_CALL_GATE16 = 4,
    SYSTEM_TASK_GATE = 5,
    SYSTEM_INTERRUPT_GATE16 = 6,
    SYSTEM_TRAP_GATE16 = 7,
    SYSTEM_TSS32 = 9,
    SYSTEM_TSS32_BUSY = 11,
    SYSTEM_CALL_GATE32 = 12,
    SYSTEM_INTERRUPT_GATE32 = 14,
    SYSTEM_TRAP_GATE32 = 15,
};

/* A descriptor as read from the GDT or an LDT. */
struct descriptor {
    gva_t address;          /* its own, for the accessed and busy bits */
    uint64_t raw;           /* its first 8 bytes */
    struct segment segment; /* what raw says, were it loaded; gates: attributes only */
};

static inline unsigned seg_type(const struct segment *seg)
{
    return seg->attributes & SEGATTR_TYPE;
}

static inline unsigned seg_dpl(const struct segment *seg)
{
    return (seg->attributes >> SEGATTR_DPL_SHIFT) & 3;
}

static inline bool seg_present(const struct segment *seg)
{
    return seg->attributes & SEGATTR_P;
}

static inline bool seg_is_system(const struct segment *seg)
{
    return !(seg->attributes & SEGATTR_S);
}

static inline bool seg_is_code(const struct segment *seg)
{
    return !seg_is_system(seg) && (seg->attributes & SEGTYPE_CODE);
}

static inline bool seg_is_conforming(const struct segment *seg)
{
    return seg_is_code(seg) && (seg->attributes & SEGTYPE_CONFORMING);
}

static inline bool seg_is_readable(const struct segment *seg)
{
    return !seg_is_system(seg) &&
           (!(seg->attributes & SEGTYPE_CODE) || (seg->attributes & SEGTYPE_READABLE));
}

static inline bool seg_is_writable(const struct segment *seg)
{
    return !seg_is_system(seg) && !(seg->attributes & SEGTYPE_CODE) &&
           (seg->attributes & SEGTYPE_WRITABLE);
}

static inline bool selector_is_null(uint16_t selector)
{
    return !(selector & ~SELECTOR_RPL);
}

/* Linear addresses have 48 significant bits. */
static inline bool is_canonical(uint64_t va)
{
    return ((uint64_t)((int64_t)(va << 16) >> 16)) == va;
}

/* A linear address as wide as the mode has it: 64 bits, or 32 outside long mode. */
static inline gva_t cpu_linear(const struct cpu *cpu, uint64_t address)
{
    return cpu->mode & MODE_LONG ? address : (uint32_t)address;
}

/* Code in this segment is 64-bit code. */
static inline bool cpu_is_long_code(const struct cpu *cpu, const struct segment *cs)
{
    return (cpu->mode & MODE_LONG) && (cs->attributes & SEGATTR_L);
}

/* Segments are paragraphs: real or virtual-8086 mode. */
static inline bool cpu_is_real(const struct cpu *cpu)
{
    return !(cpu->mode & MODE_PROTECTED) || (cpu->mode & MODE_VM86);
}

/* MOV, POP and far-pointer loads of ES, SS, DS, FS, GS with all checks of the current mode. A load
 * of SS puts the next instruction in the interrupt shadow. Ends the block where the mode changes.
 */
void cpu_load_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector);

/* ES, DS, FS or GS in protected mode: raises vector(selector), or #NP(selector). */
void cpu_load_data_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector,
                           enum vector vector);

/* The segment as real and virtual-8086 mode load it: base 16 * selector. */
void cpu_load_real_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector);

/* Reads the descriptor; false where the selector is beyond its table. May raise #PF. */
bool cpu_read_descriptor(struct cpu *cpu, uint16_t selector, struct descriptor *desc);
/* The same, but raises vector(selector) where it is null or beyond: the selector's RPL is not part
 * of the error code. */
void cpu_get_descriptor(struct cpu *cpu, uint16_t selector, enum vector vector,
                        struct descriptor *desc);
/* The upper half of a 16-byte descriptor (system segments and gates in long mode) as bits 63:32 of
 * base or offset; raises #GP(selector) where it is not one. */
uint64_t cpu_read_descriptor_high(struct cpu *cpu, uint16_t selector,
                                  const struct descriptor *desc);
/* Sets the accessed bit in memory and in desc->segment. */
void cpu_mark_accessed(struct cpu *cpu, struct descriptor *desc);
/* Sets or clears the busy bit of a TSS descriptor in memory. */
void cpu_mark_busy(struct cpu *cpu, const struct descriptor *desc, bool busy);

/* Raises vector with the selector (without RPL) as error code. */
_Noreturn void cpu_raise_selector(struct cpu *cpu, enum vector vector, uint16_t selector);

/* Reads and checks a stack segment for privilege level cpl; raises vector, #NP excepted: a segment
 * that is not present is #SS(selector). Marks it accessed. */
struct segment cpu_stack_segment(struct cpu *cpu, uint16_t selector, unsigned cpl,
                                 enum vector vector);

/* Whether RIP may be this offset in the code segment: raises #GP(0) otherwise. */
void cpu_check_rip(struct cpu *cpu, const struct segment *cs, uint64_t rip);

/* Loads LDTR without privilege checks (LLDT, task switches); raises vector(selector) and
 * #NP(selector). */
void cpu_load_ldtr(struct cpu *cpu, uint16_t selector, enum vector vector);

/* Makes a data segment register unusable, as a null selector does. */
void cpu_null_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector);

/* After a return to an outer level: data segments that the new CPL may not hold become null. */
void cpu_drop_inner_segments(struct cpu *cpu);

/* Recomputes the mode word and ends the block. */
void cpu_mode_changed(struct cpu *cpu);

/* Changes the flags of mask to value's, and what hangs on them. */
void cpu_write_flags(struct cpu *cpu, uint64_t value, uint64_t mask);

#endif
