/* The catalogue of operations (insn.def): what is known of an op without decoding. */
#ifndef DOPPEL_DECODER_CATALOGUE_H
#define DOPPEL_DECODER_CATALOGUE_H

#include "base/types.h"

enum dec_op {
#define DEC_INSN(op, name, class, feature, flags_read, flags_written, attributes) DEC_OP_##op,
#include "decoder/insn.def"
#undef DEC_INSN
    DEC_OP_COUNT
};

/* Which part of the CPU an operation belongs to: it decides what gates it (CR0.TS, CR0.EM,
 * CR4.OSFXSR, CR4.OSXSAVE, XCR0) and which interpreter file handles it. */
enum dec_class {
    DEC_CLASS_INTEGER, /* general registers and flags, branches, strings, BMI */
    DEC_CLASS_SYSTEM,  /* system registers, privilege, I/O, far transfers, interrupts */
    DEC_CLASS_X87,
    DEC_CLASS_MMX,
    DEC_CLASS_SSE,   /* legacy-encoded SSE to SSE4.2, AES, SHA, GFNI, PCLMULQDQ on XMM */
    DEC_CLASS_AVX,   /* VEX-encoded on vector registers */
    DEC_CLASS_STATE, /* FXSAVE and XSAVE families, EMMS, LDMXCSR, STMXCSR */
};

/* The CPUID feature that offers an operation. */
enum dec_feature {
    DEC_FEATURE_BASE, /* always there */
    DEC_FEATURE_CMOV,
    DEC_FEATURE_CX8,
    DEC_FEATURE_CX16,
    DEC_FEATURE_FPU,
    DEC_FEATURE_MMX,
    DEC_FEATURE_FXSR,
    DEC_FEATURE_SSE,
    DEC_FEATURE_SSE2,
    DEC_FEATURE_SSE3,
    DEC_FEATURE_SSSE3,
    DEC_FEATURE_SSE4_1,
    DEC_FEATURE_SSE4_2,
    DEC_FEATURE_POPCNT,
    DEC_FEATURE_AES,
    DEC_FEATURE_PCLMULQDQ,
    DEC_FEATURE_SHA,
    DEC_FEATURE_GFNI,
    DEC_FEATURE_AVX,
    DEC_FEATURE_AVX2,
    DEC_FEATURE_FMA,
    DEC_FEATURE_F16C,
    DEC_FEATURE_VAES,
    DEC_FEATURE_VPCLMULQDQ,
    DEC_FEATURE_BMI1,
    DEC_FEATURE_BMI2,
    DEC_FEATURE_LZCNT,
    DEC_FEATURE_MOVBE,
    DEC_FEATURE_ADX,
    DEC_FEATURE_RDRAND,
    DEC_FEATURE_RDSEED,
    DEC_FEATURE_FSGSBASE,
    DEC_FEATURE_INVPCID,
    DEC_FEATURE_RDTSCP,
    DEC_FEATURE_RDPID,
    DEC_FEATURE_CLFLUSH,
    DEC_FEATURE_CLFLUSHOPT,
    DEC_FEATURE_CLWB,
    DEC_FEATURE_PREFETCHW,
    DEC_FEATURE_XSAVE,
    DEC_FEATURE_XSAVEOPT,
    DEC_FEATURE_XSAVEC,
    DEC_FEATURE_XSAVES,
    DEC_FEATURE_SYSCALL,
    DEC_FEATURE_SEP,
    DEC_FEATURE_MONITOR,
    DEC_FEATURE_SMAP,
    DEC_FEATURE_LAHF64,
    DEC_FEATURE_COUNT
};

enum dec_attribute {
    DEC_ATTR_LOCKABLE = 1 << 0,
    DEC_ATTR_BRANCH = 1 << 1,     /* may set RIP to other than the next instruction */
    DEC_ATTR_END = 1 << 2,        /* always ends a block: branches, and what can change the mode */
    DEC_ATTR_PRIVILEGED = 1 << 3, /* #GP(0) unless CPL is 0 */
    DEC_ATTR_ALIGNED = 1 << 4, /* a 16-byte (VEX: operand-sized) memory operand must be aligned */
    DEC_ATTR_STRING = 1 << 5,
    DEC_ATTR_IO = 1 << 6,   /* gated by IOPL and the I/O bitmap */
    DEC_ATTR_NO64 = 1 << 7, /* undefined in 64-bit mode */
    DEC_ATTR_ONLY64 = 1 << 8,
    DEC_ATTR_MXCSR = 1 << 9,      /* reads or writes MXCSR: can raise #XM */
    DEC_ATTR_PROTECTED = 1 << 10, /* undefined in real and virtual-8086 mode */
};

/* What holds of every form of an operation. Where forms differ, class and feature are those of the
 * least form (MMX rather than SSE2 on XMM, AVX with 128 bits rather than AVX2 with 256);
 * dec_insn_class() and dec_insn_feature() say it exactly for an instruction. */
struct dec_info {
    const char *name;       /* lower-case mnemonic; families by a stem: "j", "set", "cmov" */
    uint8_t op_class;       /* enum dec_class */
    uint8_t feature;        /* enum dec_feature */
    uint16_t attributes;    /* enum dec_attribute */
    uint32_t flags_read;    /* RFLAGS bits it depends on, or may pass on unchanged where it also
                               writes them (a shift by a count of zero) */
    uint32_t flags_written; /* RFLAGS bits changed or left undefined */
};

struct dec_insn;
enum dec_class dec_insn_class(const struct dec_insn *insn);
enum dec_feature dec_insn_feature(const struct dec_insn *insn);

extern const struct dec_info dec_info_table[DEC_OP_COUNT];

static inline const struct dec_info *dec_info(enum dec_op op)
{
    return &dec_info_table[op];
}

#endif
