/* A small guest for tests of the system instructions: tables in RAM, and handlers that halt, so
 * that cpu_run() returns with the state that delivery left. */
#ifndef DOPPEL_TESTS_CPU_SYSTEM_GUEST_H
#define DOPPEL_TESTS_CPU_SYSTEM_GUEST_H

#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "cpu/segment.h"
#include "mmu/phys.h"

/* Where things are; everything is mapped one to one, and all pages are user pages. */
enum guest_layout {
    GUEST_GDT = 0x1000,
    GUEST_IDT = 0x2000,
    GUEST_TSS = 0x3000,
    GUEST_PML4 = 0x4000,
    GUEST_PDPT = 0x5000,
    GUEST_PD = 0x6000,
    GUEST_LDT = 0x7000,
    GUEST_TSS2 = 0x7800,
    GUEST_CODE = 0x8000,
    GUEST_HANDLERS = 0xa000, /* 16 bytes a vector: HLT */
    GUEST_DATA = 0xc000,
    GUEST_STACK = 0x20000, /* tops */
    GUEST_STACK0 = 0x30000,
    GUEST_STACK_IST = 0x38000,
    GUEST_UNMAPPED = 0x200000, /* the second large page is absent */
    GUEST_RAM = 0x400000,
};

enum guest_selector {
    SEL_CODE64 = 0x08,
    SEL_DATA = 0x10,
    SEL_USER_CODE32 = 0x18,
    SEL_USER_DATA = 0x20,
    SEL_USER_CODE64 = 0x28,
    SEL_CODE32 = 0x30,
    SEL_TSS = 0x38, /* 16 bytes in long mode */
    SEL_LDT = 0x48, /* likewise */
    SEL_CODE16 = 0x58,
    SEL_DATA16 = 0x60,
    SEL_READ_ONLY = 0x68,
    SEL_ABSENT = 0x70,
    SEL_CONFORMING = 0x78,
    SEL_GATE = 0x80, /* call gate, 16 bytes in long mode */
    SEL_TSS2 = 0x90,
    SEL_TASK_GATE = 0x98,
    SEL_EXECUTE_ONLY = 0xa0,
    SEL_BEYOND = 0xa8,
};

struct guest {
    struct cpu *cpu;
    struct phys_map *phys;
    struct bus *bus;
    struct clock *clock;
    struct cpu_model model;
    struct trace trace;
};

/* In real mode after reset: IVT at 0 with handlers, CS = DS = ES = SS = 0. */
void guest_create(struct guest *guest);
void guest_destroy(struct guest *guest);

/* Modes at a privilege level, IF clear, RSP at GUEST_STACK, RIP at GUEST_CODE. */
void guest_enter_long(struct guest *guest, unsigned cpl);
void guest_enter_protected(struct guest *guest, unsigned cpl);
void guest_enter_vm86(struct guest *guest);

void guest_set_descriptor(struct guest *guest, uint16_t selector, uint64_t raw);
/* Gates of IDT (vector) in the current mode: type as in enum system_type. */
void guest_set_gate(struct guest *guest, unsigned vector, uint16_t selector, uint64_t offset,
                    unsigned type, unsigned dpl, unsigned ist);

void guest_write(struct guest *guest, uint64_t address, uint64_t value, unsigned size);
uint64_t guest_read(struct guest *guest, uint64_t address, unsigned size);

/* Puts code at GUEST_CODE and runs until HLT or shutdown. */
enum cpu_exit guest_run(struct guest *guest, const uint8_t *code, size_t size);
#define GUEST_RUN(guest, ...)                                                                      \
    guest_run(guest, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The vector whose handler halted, or -1. */
int guest_vector(const struct guest *guest);
/* Item i of size bytes from the stack's top. */
uint64_t guest_stack(struct guest *guest, unsigned i, unsigned size);

/* Expects level 3 at GUEST_DATA with HLT there, which faults: the frame, in items of size bytes,
 * tells where it was. */
void guest_expect_level_3(struct guest *guest, unsigned size, uint16_t cs, uint64_t rsp,
                          uint16_t ss);

/* A descriptor's 8 bytes: attributes as in struct segment. */
uint64_t guest_raw(uint32_t base, uint32_t limit20, uint16_t attributes);

#endif
