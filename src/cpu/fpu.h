/* The x87 state as cpu->fx holds it: an FXSAVE64 image, in which st[i] is ST(i), counted from the
 * top of stack, while the tag bits of ftw are by physical register (SDM vol. 1, 10.5.1). */
#ifndef DOPPEL_CPU_FPU_H
#define DOPPEL_CPU_FPU_H

#include "cpu/exception.h"
#include "cpu/state.h"
#include "cpu/xstate.h"

#define FSW_EXCEPTIONS 0x003fu /* IE, DE, ZE, OE, UE, PE; their masks in FCW */
#define FSW_IE 0x0001u
#define FSW_OE 0x0008u
#define FSW_UE 0x0010u
#define FSW_SF 0x0040u
#define FSW_ES 0x0080u
#define FSW_TOP_SHIFT 11
#define FSW_TOP 0x3800u
#define FSW_B 0x8000u

/* Bits of FCW that can be written; bit 6 reads as one. */
#define FCW_WRITABLE 0x1f3fu
#define FCW_FIXED 0x0040u

#define FOP_MASK 0x07ffu

static inline unsigned fpu_top(const struct fx_image *fx)
{
    return (fx->fsw & FSW_TOP) >> FSW_TOP_SHIFT;
}

/* Whether an unmasked exception waits for the next waiting instruction. */
static inline bool fpu_pending(const struct fx_image *fx)
{
    return fx->fsw & ~fx->fcw & FSW_EXCEPTIONS;
}

/* Sets ES and B, which summarise the other bits, after a change of FSW or FCW. */
static inline void fpu_summarise(struct fx_image *fx)
{
    fx->fsw &= (uint16_t) ~(FSW_ES | FSW_B);
    if (fpu_pending(fx))
        fx->fsw |= FSW_ES | FSW_B;
}

static inline void fpu_set_fcw(struct fx_image *fx, uint16_t value)
{
    fx->fcw = (value & FCW_WRITABLE) | FCW_FIXED;
}

/* The part of the mode word that MXCSR, FCW and FERR# make, and its update after they changed. */
static inline uint32_t fpu_mode_bits(const struct cpu *cpu)
{
    uint32_t bits = 0;
    if ((cpu->fx.fcw & FSW_EXCEPTIONS) != FSW_EXCEPTIONS || cpu->ferr_asserted)
        bits |= MODE_X87_UNMASKED;
    if ((cpu->mxcsr & MXCSR_MASKS) != MXCSR_MASKS)
        bits |= MODE_SSE_UNMASKED;
    return bits;
}

static inline void fpu_update_mode(struct cpu *cpu)
{
    uint32_t other = cpu->mode & ~(uint32_t)(MODE_X87_UNMASKED | MODE_SSE_UNMASKED);
    uint32_t mode = other | fpu_mode_bits(cpu);
    if (UNLIKELY(mode != cpu->mode))
        cpu->leave = 1;
    cpu->mode = mode;
}

/* What fpu_wait() does about a pending exception, or one that is gone and was reported by FERR#. */
void fpu_report(struct cpu *cpu);

/* What a waiting instruction does first: #MF for a pending exception. Without CR0.NE, FERR# is
 * asserted and the CPU waits for the interrupt that comes of it; under IGNNE#, or where FERR# is
 * not connected, the exception is ignored. */
static inline void fpu_wait(struct cpu *cpu)
{
    if (UNLIKELY(fpu_pending(&cpu->fx) || cpu->ferr_asserted))
        fpu_report(cpu);
}

/* Changes the top of stack with the physical registers staying what they are. */
static inline void fpu_set_top(struct fx_image *fx, unsigned top)
{
    unsigned turn = (top - fpu_top(fx)) & 7;
    if (turn) {
        uint8_t old[8][16];
        memcpy(old, fx->st, sizeof(old));
        for (unsigned i = 0; i < 8; i++)
            memcpy(fx->st[i], old[(i + turn) & 7], sizeof(old[0]));
    }
    fx->fsw = (uint16_t)((fx->fsw & ~FSW_TOP) | top << FSW_TOP_SHIFT);
}

/* What every MMX instruction but EMMS does besides its own work: the top of stack becomes 0, all
 * registers become valid (SDM vol. 1, 9.6.2). MMn is st[n] then. */
static inline void fpu_enter_mmx(struct fx_image *fx)
{
    fpu_set_top(fx, 0);
    fx->ftw = 0xff;
}

/* FNINIT: registers keep their contents but are empty. */
static inline void fpu_init(struct fx_image *fx)
{
    fpu_set_top(fx, 0);
    fx->fcw = FCW_DEFAULT;
    fx->fsw = 0;
    fx->ftw = 0;
    fx->fop = 0;
    fx->fip = 0;
    fx->fdp = 0;
}

#endif
