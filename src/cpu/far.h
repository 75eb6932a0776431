/* Transfers of control between segments, privilege levels and tasks: what instructions and delivery
 * share. Everything may raise; SS:RSP, CS:RIP and RFLAGS stay until the last check has passed. */
#ifndef DOPPEL_CPU_FAR_H
#define DOPPEL_CPU_FAR_H

#include "cpu/segment.h"

/* A stack in the making, or the current one with pushes that do not count yet. */
struct far_stack {
    struct segment ss;
    uint64_t rsp;
    uint64_t mask;  /* the width of RSP */
    unsigned cpl;   /* whose rights the accesses have */
    uint16_t error; /* selector in #SS where it overflows; 0 for the current stack */
    bool flat;      /* no limit but canonical addresses */
};

/* The current stack at the current CPL, as code in the segment cs sees it. */
struct far_stack far_stack_current(const struct cpu *cpu, const struct segment *cs);
/* The stack of an inner level, from the TSS; in long mode a null SS and RSPn. */
struct far_stack far_stack_inner(struct cpu *cpu, unsigned cpl);
/* Interrupt stack table entry ist, 1 to 7, for level cpl. */
struct far_stack far_stack_ist(struct cpu *cpu, unsigned ist, unsigned cpl);
void far_stack_push(struct cpu *cpu, struct far_stack *stack, uint64_t value, unsigned size);
/* SS:RSP become the stack's. */
void far_stack_commit(struct cpu *cpu, const struct far_stack *stack);

/* A far transfer's offset as wide as code in the segment has it. */
uint64_t far_offset(const struct cpu *cpu, const struct segment *cs, uint64_t offset);

/* CS, CPL and cpu->next_rip become these; all checks are done. The caller recomputes the mode. */
void far_set_code(struct cpu *cpu, const struct segment *cs, unsigned cpl, uint64_t rip);

/* Gates in IDT, GDT and LDT. */
struct gate {
    uint16_t selector;
    uint8_t type; /* enum system_type */
    uint8_t dpl;
    uint8_t ist;        /* 64-bit interrupt and trap gates */
    uint8_t parameters; /* call gates */
    uint8_t size;       /* of what is pushed: 2, 4, 8 */
    bool present;
    uint64_t offset;
};

/* high is the offset's bits 63:32 in place, 0 outside long mode. */
struct gate gate_decode(const struct cpu *cpu, uint64_t low, uint64_t high);

/* JMP or CALL through a call gate whose descriptor is desc. */
void far_call_gate(struct cpu *cpu, uint16_t selector, const struct descriptor *desc, bool call);

enum task_reason { TASK_JUMP, TASK_CALL, TASK_INTERRUPT, TASK_IRET };

/* Switches to the task of a TSS; privilege checks are done (SDM vol. 3, 7.3). rip is where the
 * outgoing task goes on. event is what is delivered under TASK_INTERRUPT, otherwise NULL: its error
 * code goes to the new task's stack. Faults in the new task's state are raised in the new task. */
void cpu_task_switch(struct cpu *cpu, uint16_t selector, enum task_reason reason, uint64_t rip,
                     const struct exception *event);
/* IRET with NT set: back to the task that the current TSS links to. */
void cpu_task_return(struct cpu *cpu, uint64_t rip);

#endif
