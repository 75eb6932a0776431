/* The guest's debug registers (SDM vol. 3, chapter 17): breakpoints on instructions, data and
 * ports. */
#ifndef DOPPEL_CPU_BREAKPOINT_H
#define DOPPEL_CPU_BREAKPOINT_H

#include "base/bits.h"
#include "cpu/state.h"

#define DR6_HITS 0xfull /* B0 to B3 */
#define DR6_BD BIT(13)
#define DR6_BS BIT(14)
#define DR6_BT BIT(15)
#define DR6_WRITABLE (DR6_HITS | DR6_BD | DR6_BS | DR6_BT)
/* Among these are RTM and BLD, which tell something by being clear. */
#define DR6_FIXED 0xffff0ff0ull

#define DR7_ENABLES 0xffull /* L0, G0 to L3, G3 */
#define DR7_WRITABLE 0xffff23ffull
#define DR7_FIXED BIT(10)
#define DR7_GD BIT(13)

/* Whether a breakpoint on an instruction is armed. */
bool breakpoints_on_code(const struct cpu *cpu);
/* Those, as bits of DR6, that the instruction at va has. */
uint64_t breakpoints_at(const struct cpu *cpu, gva_t va);

/* Takes over breakpoints on data and ports from DR0 to DR3, DR7 and CR4.DE: after their changes. */
void breakpoints_update(struct cpu *cpu);

/* Breakpoints on data and ports that were hit since the last call, as bits of DR6. */
uint64_t breakpoints_take_hits(struct cpu *cpu);

#endif
