/* The XSAVE area (SDM vol. 1, 13.4): what XSAVE and its kin lay out and CPUID leaf 0DH describes.
 *
 * AVX is the only extended component; directly after the header, it has the same place in the
 * standard and in the compacted format. */
#ifndef DOPPEL_CPU_XSTATE_H
#define DOPPEL_CPU_XSTATE_H

#include "base/bits.h"

/* State components, as in XCR0, XSTATE_BV and requested-feature bitmaps. */
#define XSTATE_X87 BIT(0)
#define XSTATE_SSE BIT(1)
#define XSTATE_AVX BIT(2)
#define XSTATE_ALL (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX)

enum xstate_layout {
    XSTATE_LEGACY_SIZE = 512,
    XSTATE_HEADER_OFFSET = 512,
    XSTATE_HEADER_SIZE = 64,
    XSTATE_AVX_OFFSET = 576, /* the upper halves of YMM0 to YMM15 */
    XSTATE_AVX_SIZE = 256,
    XSTATE_MAX_SIZE = XSTATE_AVX_OFFSET + XSTATE_AVX_SIZE,
};

/* The bit of XCOMP_BV that says compacted. */
#define XCOMP_COMPACTED BIT(63)

#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_MASKS 0x1f80u
#define MXCSR_VALID 0xffffu /* MXCSR_MASK: DAZ is there */
#define FCW_DEFAULT 0x037fu

struct cpu;

/* XINUSE: the components that are not in their initial configuration (SDM vol. 1, 13.6). */
uint64_t cpu_xstate_in_use(const struct cpu *cpu);

/* The size of an area that holds the components in mask, in either format. */
static inline uint32_t xstate_size(uint64_t mask)
{
    return mask & XSTATE_AVX ? XSTATE_MAX_SIZE : XSTATE_AVX_OFFSET;
}

#endif
