/* Emission of one block: what its parts share. Private to jit/. */
#ifndef DOPPEL_JIT_X86_64_EMIT_H
#define DOPPEL_JIT_X86_64_EMIT_H

#include "cpu/encode.h"
#include "cpu/interp.h"
#include "jit/cache.h"
#include "jit/groups.h"
#include "jit/x86_64/asm.h"

/* Code after the block's end for where an instruction's own code cannot run it: runs its handler in
 * a plain translation, and goes there from others. */
struct slow_path {
    uint8_t *from; /* the branch's rel32 */
    uint8_t *to;   /* where it goes on */
    const struct interp_insn *in;
    bool status_in, status_out, host_out; /* what is live where; host_out: in the host's flags */
    bool vec_live, fx_live;               /* in the host's registers, where it goes on */
    const struct interp_insn *fip;        /* as struct emitter's */
};

#define SLOW_MAX 3 /* an instruction */

/* Code after the block's end for a check that has failed: fills the TLB and tries again, or goes on
 * in the plain translation of the instruction at `offset`. */
struct refill_path {
    uint8_t *from;  /* the branch's rel32 */
    uint8_t *retry; /* with the linear address in a register */
    uint8_t kind;   /* enum refill_kind */
    struct jit_site site;
};

/* A host register with the pointer to the start of a group's span. */
struct pointer {
    uint16_t group;  /* GROUP_NONE: none */
    uint16_t next;   /* the access that needs it next */
    uint8_t aligned; /* known to be aligned so, `aligned_at` bytes further; 0: nothing is known */
    int32_t aligned_at;
};

#define POINTERS 2

/* A conditional jump in the block's middle or at its end, and where the guest's flags are then. */
struct side_exit {
    uint8_t *from; /* the jump's rel32 */
    const struct interp_insn *in;
    bool in_host, in_status;
};

/* Live flags at a branch's target, once looked up. */
struct target_flags {
    int64_t offset;
    uint32_t live;
};

struct emitter {
    struct assembler a;
    struct cpu *cpu;
    struct jit *jit;
    struct block *block;
    struct translation *translation;
    unsigned index; /* of the instruction being emitted */

    /* Where the guest's status flags are, if any is live; both may hold. */
    bool in_host;   /* in the host's flags */
    bool in_status; /* in cpu->status */

    /* The host's registers are known to hold the guest's; see struct cpu. */
    bool vec_live, fx_live;
    const struct interp_insn *fip; /* the instruction whose FIP is not yet in cpu->fx, or NULL */
    bool plain;     /* every access is checked for itself, and its handler runs where that fails */
    unsigned taken; /* accesses of the instruction that have been emitted */
    struct pointer pointer[POINTERS];
    unsigned refill_count, slow_count, exit_count, target_count;

    /* From here on nothing is cleared for a block: the counts above tell what is in use. */
    uint32_t live[BLOCK_MAX_INSNS + 1]; /* status flags live before each instruction, and after */
    struct groups groups;
    struct refill_path refill[ACCESS_MAX];
    struct slow_path slow[SLOW_MAX * BLOCK_MAX_INSNS];
    struct side_exit exit[BLOCK_MAX_EXITS + 1];
    struct target_flags target[BLOCK_MAX_EXITS + 2];
};

static inline bool is_pinned(unsigned guest)
{
    return guest < 9 || (guest >= 12 && guest < 15);
}

static inline unsigned host_of(unsigned guest)
{
    return guest == REG_RSP ? HOST_GUEST_RSP : guest;
}

/* Loads the host's flags from cpu->status; changes T1. Saves them there; changes T1. */
void emit_load_status(struct assembler *a);
void emit_save_status(struct assembler *a);

/* Makes the host's flags, or cpu->status, hold the guest's flags. */
static inline void need_host_flags(struct emitter *e)
{
    if (!e->in_host)
        emit_load_status(&e->a);
    e->in_host = true;
}

static inline void need_status(struct emitter *e)
{
    if (!e->in_status)
        emit_save_status(&e->a);
    e->in_status = true;
}

/* Before emitting what changes the host's flags for purposes of our own. */
static inline void clobber_host_flags(struct emitter *e, bool live)
{
    if (live)
        need_status(e);
    e->in_host = false;
}

static inline uint32_t live_before(const struct emitter *e)
{
    return e->live[e->index];
}

static inline uint32_t live_after(const struct emitter *e)
{
    return e->live[e->index + 1];
}

static inline uint32_t arena_offset(const struct emitter *e, const struct interp_insn *in)
{
    return (uint32_t)((const uint8_t *)in - interp_blocks(e->cpu)->arena);
}

/* memory.c. Pointers to guest memory may stay in T0 and T2 from one instruction to the next: what
 * changes T0 claims it, what calls C code forgets all. */
void emit_claim(struct emitter *e, unsigned reg);
void emit_forget_pointers(struct emitter *e);

/* The host register that holds a guest register: its own, or `temporary`, claimed and loaded. */
unsigned emit_use(struct emitter *e, unsigned guest, unsigned temporary);

/* dst = the memory operand's offset plus `move`, as far as `wide`; where can_address(). Changes T1,
 * and T0 if dst is no temporary. */
bool can_address(const struct interp_insn *in);
void emit_effective_address(struct emitter *e, const struct interp_insn *in, unsigned dst,
                            int32_t move, bool wide);

/* *rm = `size` bytes of the guest at the memory operand, or at a register that holds a stack
 * address. Where they cannot be reached, the instruction runs in another way. Changes T0, T1, T2
 * and the host's flags; T1 is free then, T0 or T2 is *rm's base. Everything that emitted code loads
 * from and stores to the guest goes through here, and an instruction asks for its accesses in the
 * order in which groups_find() lists them. False: not an operand for it, and nothing was emitted.
 */
bool emit_memory(struct emitter *e, const struct interp_insn *in, unsigned size, bool write,
                 struct asm_rm *rm);
struct asm_rm emit_stack_memory(struct emitter *e, unsigned base, int32_t disp, unsigned size,
                                bool write);
bool is_plain_segment(const struct emitter *e, unsigned segment);

/* T1 = where the TLB's entry for the address in reg is, from RSP. Changes the host's flags. */
void emit_tlb_index(struct assembler *a, bool bmi2, unsigned reg);

/* refill.c: the thunks of refill paths. strings.c: those of REP MOVS and REP STOS. */
void jit_emit_refills(struct cpu *cpu, struct assembler *a);
void jit_emit_repeats(struct jit *jit, struct assembler *a);

/* The slow path, where rm, which the memory primitive gave, is not aligned. */
void emit_check_alignment(struct emitter *e, struct asm_rm rm, unsigned size);

/* The code of the refill paths, after the block. */
void emit_refill_paths(struct emitter *e);

/* Runs the handler instead where the host's flags, which clobber_host_flags() has saved, meet
 * `cond`; by way of the plain translation. Nothing of the instruction may have happened. */
void emit_slow_if(struct emitter *e, unsigned cond);

/* Emits the instruction; false where only its handler can run it, and nothing was emitted. */
bool emit_integer(struct emitter *e, const struct interp_insn *in);

/* Before an instruction that reads flags, or leaves some of them alone that are live; and after any
 * instruction. */
void before_flags(struct emitter *e, const struct dec_insn *insn);
void after_flags(struct emitter *e, const struct dec_insn *insn);

/* encoded.c. The memory operand, or NULL. */
const struct dec_operand *memory_operand(const struct dec_insn *insn);

/* Emits an instruction as encode_for_host() has it, on the guest's registers; its memory operand is
 * rm. Changes T0 and T1, of which rm may use T0. */
void emit_encoded(struct emitter *e, const struct dec_insn *insn, const struct encoded *host,
                  struct asm_rm rm);

/* BMI1 and BMI2: VEX encodings on general registers. As emit_integer(). */
bool emit_vex_integer(struct emitter *e, const struct interp_insn *in);

/* System instructions; at the block's end the caller goes on to the next one. As emit_integer(). */
bool emit_system(struct emitter *e, const struct interp_insn *in);

/* REP MOVS and REP STOS. As emit_integer(). */
bool emit_string(struct emitter *e, const struct interp_insn *in);

/* vector.c: SSE, AVX and MMX, and MXCSR. x87.c: x87 and EMMS. Likewise, but code may come before
 * the handler. */
bool emit_vector(struct emitter *e, const struct interp_insn *in);
bool emit_x87(struct emitter *e, const struct interp_insn *in);

/* Makes the host's registers hold the guest's; changes T0, T1 and the host's flags. */
void need_vectors(struct emitter *e);
void need_fx(struct emitter *e);
void emit_load_if_not(struct emitter *e, struct asm_rm live, const uint8_t *thunk);

/* Whether x87 and MMX can run as they are. Whether an instruction's handler looks at cpu->fx. */
bool has_native_x87(const struct emitter *e);
bool touches_fx(const struct dec_insn *insn);

/* Whether an instruction leaves its address in FIP. It is stored once for a run of such
 * instructions: end_x87_run() comes before any other one. Changes T0. */
bool leaves_fip(const struct dec_insn *insn);
void end_x87_run(struct emitter *e);
void emit_fip(struct emitter *e, const struct interp_insn *in);

/* The size of a push or pop that is emitted: the stack's own width; 0: it is not emitted. And the
 * move of RSP that belongs to it. */
unsigned emit_stack_size(const struct emitter *e, const struct dec_insn *insn);
void emit_adjust_stack(struct emitter *e, unsigned size, int bytes);

/* Whether what lies `offset` bytes from the start of the block's page is mapped wherever the block
 * is: it is in the same page, or in the same large page. And where it is then. */
bool is_near(const struct emitter *e, int64_t offset);
gpa_t near_gpa(const struct emitter *e, int64_t offset);

/* Emits the block's last instruction, if it is a branch, with all that leaves the block. */
bool emit_branch(struct emitter *e, const struct interp_insn *in);

/* A conditional jump that the block goes on after, false where only its handler can run it; and
 * where such jumps lead, after the block. */
bool emit_side_exit(struct emitter *e, const struct interp_insn *in);
void emit_side_exits(struct emitter *e);

/* The offset of a relative branch's target from the page's start. */
static inline int64_t target_of(const struct interp_insn *in)
{
    return in->offset + in->insn.length + (int64_t)in->insn.imm;
}

/* Leaves the block for the instruction `offset` bytes from its page's start, anywhere. */
void emit_goto(struct emitter *e, int64_t offset);

/* flags.c. The status flags that an instruction reads or may pass on although it writes them. */
uint32_t insn_flags_read(const struct dec_insn *insn);

/* Those that it gives a value of its own: of the undefined ones, some keep the value that they had,
 * on the host and thus in the interpreter. */
uint32_t insn_flags_written(const struct dec_insn *insn);

/* Fills e->live from the block's code and, within its page, its successors'. */
void find_live_flags(struct emitter *e);

/* Status flags that may be read `offset` bytes from the start of the block's page before they are
 * written. */
uint32_t live_at(struct emitter *e, int64_t offset);

#endif
