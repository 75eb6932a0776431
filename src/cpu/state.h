/* The architectural state of one virtual CPU and what hangs off it.
 *
 * Owned by the vCPU's thread; other threads touch only `requests` (atomic), through cpu_request().
 * The layout is one of the project's seams (doc/seams.md): emitted code will know the offsets. */
#ifndef DOPPEL_CPU_STATE_H
#define DOPPEL_CPU_STATE_H

#include "base/types.h"
#include "bus/intc.h"
#include "bus/irq.h"
#include "decoder/insn.h"
#include "mmu/tlb.h"
#include "mmu/watch.h"

#include <setjmp.h>
#include <stdatomic.h>

struct bus;
struct clock;
struct debug;
struct phys_map;
struct interp;
struct cpu_engine;
struct jit;
struct stubs;
struct trace;

/* RFLAGS. */
#define FLAG_CF (1u << 0)
#define FLAG_PF (1u << 2)
#define FLAG_AF (1u << 4)
#define FLAG_ZF (1u << 6)
#define FLAG_SF (1u << 7)
#define FLAG_TF (1u << 8)
#define FLAG_IF (1u << 9)
#define FLAG_DF (1u << 10)
#define FLAG_OF (1u << 11)
#define FLAG_IOPL (3u << 12)
#define FLAG_NT (1u << 14)
#define FLAG_RF (1u << 16)
#define FLAG_VM (1u << 17)
#define FLAG_AC (1u << 18)
#define FLAG_VIF (1u << 19)
#define FLAG_VIP (1u << 20)
#define FLAG_ID (1u << 21)
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define FLAGS_FIXED (1u << 1) /* reads as one */

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR0_WRITABLE                                                                               \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define CR4_VME BIT(0)
#define CR4_PVI BIT(1)
#define CR4_TSD BIT(2)
#define CR4_DE BIT(3)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_PGE BIT(7)
#define CR4_PCE BIT(8)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_FSGSBASE BIT(16)
#define CR4_PCIDE BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

enum vector {
    VECTOR_DE,
    VECTOR_DB,
    VECTOR_NMI,
    VECTOR_BP,
    VECTOR_OF,
    VECTOR_BR,
    VECTOR_UD,
    VECTOR_NM,
    VECTOR_DF,
    VECTOR_TS = 10,
    VECTOR_NP,
    VECTOR_SS,
    VECTOR_GP,
    VECTOR_PF,
    VECTOR_MF = 16,
    VECTOR_AC,
    VECTOR_MC,
    VECTOR_XM,
};

/* A segment register with its hidden part; also LDTR and TR. */
struct segment {
    uint16_t selector;
    uint16_t attributes; /* descriptor bits 40-55: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13,
                            D/B 14, G 15. P clear: unusable */
    uint32_t limit;      /* in bytes, granularity applied */
    uint64_t base;
};

#define SEGATTR_TYPE 0x000f
#define SEGATTR_S 0x0010
#define SEGATTR_DPL_SHIFT 5
#define SEGATTR_P 0x0080
#define SEGATTR_L 0x2000
#define SEGATTR_DB 0x4000
#define SEGATTR_G 0x8000

struct table_register {
    uint64_t base;
    uint16_t limit;
};

/* YMM register; its low 16 bytes are the XMM register. */
union vec {
    uint8_t u8[32];
    uint16_t u16[16];
    uint32_t u32[8];
    uint64_t u64[4];
};

/* x87 and MMX state as the image of FXSAVE64 (SDM vol. 1, 10.5.1), so that FXRSTOR loads it. Its
 * MXCSR stays at the host's default and its XMM fields are unused: mxcsr and vec[] are the truth.
 */
struct fx_image {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t unused[16 * 16 + 96];
} __attribute__((aligned(64)));

/* What makes the image an area for XSAVE and XRSTOR of the x87 component. */
struct fx_header {
    uint64_t xstate_bv, xcomp_bv, reserved[6];
};

/* Model-specific registers that are plain storage; the rest live where they act. */
struct msrs {
    uint64_t efer;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_aux, tsc_adjust;
    uint64_t pvclock_wall_clock, pvclock_system_time;
    uint64_t pat, misc_enable, power_ctl, spec_ctrl, xss;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_phys_base[8], mtrr_phys_mask[8];
};

/* The mode word: everything besides the physical address that decides what an instruction means.
 * Recomputed by cpu_update_mode() after any change to what it is made of. */
enum mode_bits {
    MODE_CODE = 3,           /* enum dec_mode */
    MODE_CPL_SHIFT = 2,      /* 2 bits */
    MODE_VIEW_SHIFT = 4,     /* 2 bits, enum tlb_view: of explicit data accesses */
    MODE_STACK_SHIFT = 6,    /* 2 bits, enum dec_mode: stack-pointer width */
    MODE_LONG = 1 << 8,      /* EFER.LMA */
    MODE_PROTECTED = 1 << 9, /* CR0.PE */
    MODE_VM86 = 1 << 10,
    MODE_FLAT = 1 << 11,    /* DS, ES, SS: base 0, no limit to check */
    MODE_FLAT_CS = 1 << 12, /* CS likewise; always in 64-bit mode */
    MODE_PAGING = 1 << 13,
    MODE_STEP = 1 << 14,      /* TF, RF, armed code breakpoints, a debugger's step: one instruction
                                 at a time */
    MODE_X87_TRAP = 1 << 15,  /* CR0.EM or CR0.TS: x87 instructions raise #NM */
    MODE_MMX_TRAP = 1 << 16,  /* CR0.TS: MMX, SSE, AVX raise #NM */
    MODE_MMX_UD = 1 << 17,    /* CR0.EM: MMX and SSE are #UD */
    MODE_SSE_OFF = 1 << 18,   /* CR4.OSFXSR clear: SSE is #UD */
    MODE_AVX_OFF = 1 << 19,   /* CR4.OSXSAVE clear, or XCR0 without SSE and AVX: AVX is #UD */
    MODE_WAIT_TRAP = 1 << 20, /* CR0.MP and CR0.TS: WAIT raises #NM */
    MODE_UMIP = 1 << 21,      /* CR4.UMIP and CPL above 0 */
    MODE_AC_CHECK = 1 << 22,  /* CR0.AM, RFLAGS.AC and CPL 3: alignment is checked */
    MODE_FSGSBASE = 1 << 23,
    MODE_SMM = 1 << 24,          /* other memory may be behind the same address */
    MODE_SSE_UNMASKED = 1 << 25, /* MXCSR has exceptions unmasked */
    MODE_X87_UNMASKED = 1 << 26, /* FCW likewise, or FERR# is asserted */
};

/* Bits of cpu.requests: what the run loop looks at between blocks. */
enum cpu_request {
    CPU_REQUEST_INTR = 1 << 0, /* the interrupt controller's INTR line is high (a level) */
    CPU_REQUEST_NMI = 1 << 1,
    CPU_REQUEST_INIT = 1 << 2,
    CPU_REQUEST_EXIT = 1 << 3, /* return from cpu_run() to the vCPU thread */
    CPU_REQUEST_SMI = 1 << 4,
    CPU_REQUEST_CODE = 1 << 5,   /* decoded code was overwritten: drop it */
    CPU_REQUEST_DEBUG = 1 << 6,  /* a watchpoint was hit: return from cpu_run() */
    CPU_REQUEST_COUNT = 1 << 7,  /* cpu_run_for(): count the turns of the run loop */
    CPU_REQUEST_TRAP = 1 << 8,   /* a breakpoint on data or ports was hit: #DB */
    CPU_REQUEST_A20 = 1 << 9,    /* the A20M# pin has changed */
    CPU_REQUEST_MAP = 1 << 10,   /* the memory map has changed: flush the TLB */
    CPU_REQUEST_REARM = 1 << 11, /* note stores to devices' memory anew: mmu_rearm_direct() */
};

/* What an instruction holds off until the next one has been executed. */
enum interrupt_shadow {
    SHADOW_NONE,
    SHADOW_STI,    /* interrupts */
    SHADOW_MOV_SS, /* MOV SS and POP SS: debug exceptions as well */
};

/* What a CPU that executes nothing waits for, besides NMI, SMI, INIT and debug exceptions. */
enum halt {
    HALT_NONE,
    HALT_HLT,          /* an interrupt, if RFLAGS.IF */
    HALT_MWAIT,        /* that, or a write to the monitored line */
    HALT_MWAIT_MASKED, /* likewise, and without RFLAGS.IF an interrupt that is then not taken */
};

/* What stopped the guest for good, or made cpu_run() return. */
enum cpu_exit {
    CPU_EXIT_REQUEST,    /* CPU_REQUEST_EXIT was taken (and cleared) */
    CPU_EXIT_HALT,       /* halted; a request will wake it */
    CPU_EXIT_SHUTDOWN,   /* triple fault */
    CPU_EXIT_DEBUG,      /* for the debugger: see cpu/debug.h */
    CPU_EXIT_BUDGET,     /* cpu_run_for(), cpu_run_turn() or cpu_step() is over */
    CPU_EXIT_FAULT,      /* the turn or step ended in an exception, which has been delivered */
    CPU_EXIT_DIFFERENCE, /* lockstep: the engines differ */
};

/* An exception on its way to delivery. */
struct exception {
    uint8_t vector;
    bool has_error;
    bool software; /* INT n, INT3, INTO: RIP to push is the next instruction's */
    bool trap;     /* #DB that follows an instruction: likewise */
    bool keeps_rf; /* #DB for an instruction breakpoint: RF is not set in the frame */
    uint32_t error;
    uint64_t cr2; /* for #PF */
};

#define BOUNCE_ALIGN 64
#define BOUNCE_MAX 256

struct cpu_stats {
    uint64_t instructions, blocks_decoded, instructions_decoded;
    uint64_t exceptions[32], interrupts, page_walks, tlb_slow, jump_cache_misses;
    uint64_t port_accesses, mmio_accesses, code_writes, halts;
    /* Of each 64th block: what decoding and translating it took of the thread's time. */
    uint64_t decode_sampled, decode_sampled_ns, translate_sampled, translate_sampled_ns;
    uint64_t generations; /* of decoded blocks begun for want of room */
    uint64_t tlb_hits;    /* by handlers, not by translated code */
    uint64_t exits;       /* returns from cpu_run() */
};

/* Called, on any thread, when a CPU that waits may go on without a request. */
struct cpu_wake {
    void (*fn)(void *opaque); /* or NULL */
    void *opaque;
};

struct cpu {
    /* What translated code will touch most comes first. */
    uint64_t gpr[16];
    uint64_t rip;          /* of the instruction being executed */
    uint64_t next_rip;     /* what RIP becomes when it completes; branches write it */
    uint64_t rflags;       /* whole and always current, FLAGS_FIXED set */
    struct tlb_entry *tlb; /* the current bank's current view: see mmu/tlb.h */
    struct tlb_entry *tlb_view[TLB_VIEWS]; /* all of its views */
    uint32_t mode;                         /* enum mode_bits */
    uint32_t leave;                        /* set to leave the block after this instruction */
    /* Translated code's numbers for mode and space_epoch, and for mode and global_epoch. It
     * compares either one together with the requests that lie between them. */
    uint32_t context;
    _Atomic uint32_t requests; /* enum cpu_request */
    uint32_t global_context;
    uint32_t space_epoch;     /* of the current translations: see mmu/mmu.h */
    uint32_t global_epoch;    /* of the global ones among them */
    uint16_t status;          /* status flags while translated code runs, as cpu/alu.h has AX */
    uint8_t interrupt_shadow; /* enum interrupt_shadow */
    bool nmi_blocked;
    bool smm;             /* in system-management mode */
    bool smm_nmi_blocked; /* what nmi_blocked becomes after it */
    uint8_t halted;       /* enum halt */
    uint8_t cpl;
    uint64_t code_page; /* linear address of the page of the running translated block */
    void *jump_table;   /* translated code's: src/jit/cache.h */
    void *host_stack;   /* C code's stack while translated code runs */
    uint64_t kept[8];   /* translated code's registers while the TLB is filled */
    uint32_t branch;    /* the indirect branch that left translated code: likewise */

    struct segment seg[6], ldtr, tr;
    struct table_register gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, xcr0, dr[8];
    uint32_t smbase;
    uint64_t pdpte[4];      /* PAE's cached entries */
    uint64_t physical_mask; /* of every address that leaves the CPU: without bit 20 under A20M# */
    struct msrs msr;

    /* Copies of what translated code reads across the end of a page, for either of its pointers. */
    uint8_t bounce[2][3 * BOUNCE_ALIGN + BOUNCE_MAX] __attribute__((aligned(BOUNCE_ALIGN)));

    union vec vec[16] __attribute__((aligned(64)));
    struct fx_image fx;
    struct fx_header fx_header;
    uint32_t mxcsr;
    /* While translated code runs: */
    uint32_t host_mxcsr; /* to load the host's from, and to store it */
    bool vec_live;       /* vec and mxcsr are in the host's registers: never while C code runs */
    bool fx_live;        /* fx is, but for FOP, FIP and FDP: see cpu_save_fx() */

    struct exception pending;    /* what cpu_raise() left for the run loop */
    struct exception delivering; /* what delivery is about */
    bool is_delivering;          /* what is raised now is a fault of delivery itself */
    jmp_buf fault;               /* where cpu_raise() goes: the run loop */

    _Atomic bool a20_masked; /* the A20M# pin; any thread, through cpu_mask_a20() */
    struct irq_line ferr;    /* the FERR# pin, high where asserted */
    struct cpu_wake wake;
    bool ferr_asserted;
    _Atomic bool ignne;            /* the IGNNE# pin likewise; any thread */
    uint32_t apic_id;              /* the one it has at reset, as CPUID tells */
    const struct cpu_model *model; /* CPUID and the MSRs it implies; not owned */
    struct tlb *tlbs;              /* all banks; owned */
    struct interp *interp;         /* decoded blocks; owned */
    struct stubs *stubs;           /* host code that the blocks' vector instructions run; owned */
    /* What runs blocks; NULL: the interpreter. And the translator's, which it owns. */
    const struct cpu_engine *engine;
    struct jit *jit;
    struct phys_map *phys; /* as it is seen now, in SMM or not; not owned, nor are the following */
    struct bus *bus;
    struct clock *clock;
    struct intc intc;
    struct trace *trace;
    struct debug *debug;       /* an attached debugger's wishes, or NULL */
    struct watch_set *watches; /* those among them that the MMU minds, or NULL */
    struct store_log *stores;  /* of a lockstep run (mmu/store_log.h), or NULL */

    struct watch breakpoint[4]; /* DR0 to DR3 where they are armed for data or ports */
    uint8_t breakpoints_hit;    /* of those, as DR6 has them; not yet delivered */
    bool watching;              /* there are watches or breakpoints: see mmu/watch.h */
    struct cpu_stats stats;
};

_Static_assert(offsetof(struct cpu, fx_header) ==
                   offsetof(struct cpu, fx) + sizeof(struct fx_image),
               "XSAVE's header follows the legacy region");

static inline enum dec_mode mode_code(uint32_t mode)
{
    return (enum dec_mode)(mode & MODE_CODE);
}

static inline enum tlb_view mode_view(uint32_t mode)
{
    return (enum tlb_view)((mode >> MODE_VIEW_SHIFT) & 3);
}

static inline enum dec_mode mode_stack(uint32_t mode)
{
    return (enum dec_mode)((mode >> MODE_STACK_SHIFT) & 3);
}

#endif
