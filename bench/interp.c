/* bench_interp [MILLIONS]: runs guest programs in 64-bit mode in the interpreter and prints how
 * many million instructions a second each one makes. */
#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "cpu/segment.h"
#include "mmu/phys.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CODE 0x100000
#define TABLES 0x1000
#define STACK 0x80000

struct program {
    const char *name;
    unsigned instructions; /* in a round of the loop, whose count is in RCX */
    uint8_t code[64];
    unsigned size;
};

static const struct program programs[] = {
    {"add, xor, shift, test, branch",
     7,
     {
         0x48, 0x01, 0xd8,             /* 1: add rax, rbx */
         0x48, 0x31, 0xc3,             /*    xor rbx, rax */
         0x48, 0xc1, 0xe2, 0x03,       /*    shl rdx, 3 */
         0x48, 0x8d, 0x54, 0x02, 0x07, /* lea rdx, [rdx+rax+7] */
         0x48, 0x89, 0xd6,             /*    mov rsi, rdx */
         0x48, 0xff, 0xc9,             /*    dec rcx */
         0x75, 0xe9,                   /*    jnz 1b */
         0xf4,
     },
     24},
    {"loads and stores",
     6,
     {
         0x48, 0x8b, 0x04, 0x24,       /* 1: mov rax, [rsp] */
         0x48, 0x83, 0xc0, 0x01,       /*    add rax, 1 */
         0x48, 0x89, 0x04, 0x24,       /*    mov [rsp], rax */
         0x48, 0x03, 0x44, 0x24, 0x08, /*    add rax, [rsp+8] */
         0x48, 0xff, 0xc9,             /*    dec rcx */
         0x75, 0xea,                   /*    jnz 1b */
         0xf4,
     },
     23},
    {"calls",
     6,
     {
         0xe8, 0x06, 0x00, 0x00, 0x00, /* 1: call 2f */
         0x48, 0xff, 0xc9,             /*    dec rcx */
         0x75, 0xf6,                   /*    jnz 1b */
         0xf4,                         /*    hlt */
         0x50,                         /* 2: push rax */
         0x58,                         /*    pop rax */
         0xc3,                         /*    ret */
     },
     14},
};

static void put64(struct cpu *cpu, gpa_t gpa, uint64_t value)
{
    phys_write(cpu->phys, gpa, &value, sizeof(value));
}

/* 64-bit mode, the first GiB mapped to itself. */
static void enter_long_mode(struct cpu *cpu)
{
    put64(cpu, TABLES, (TABLES + 0x1000) | 7);
    put64(cpu, TABLES + 0x1000, 0x87);
    cpu_write_cr4(cpu, CR4_PAE);
    cpu_write_cr3(cpu, TABLES);
    cpu->msr.efer = EFER_LME;
    cpu_write_cr0(cpu, CR0_PE | CR0_PG);
    cpu->seg[SEG_CS].attributes |= SEGATTR_L;
    cpu_update_mode(cpu);
}

static void run(struct cpu *cpu, const struct program *program, uint64_t instructions)
{
    struct timespec start, end;
    phys_write(cpu->phys, CODE, program->code, program->size);
    cpu->rip = CODE;
    cpu->gpr[REG_RSP] = STACK;
    cpu->gpr[REG_RCX] = instructions / program->instructions;
    cpu->halted = false;
    uint64_t before = cpu->stats.instructions;
    clock_gettime(CLOCK_MONOTONIC, &start);
    cpu_run(cpu);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / NS_PER_SECOND;
    printf("%-32s %6.1f million instructions a second\n", program->name,
           (double)(cpu->stats.instructions - before) / seconds / 1e6);
}

int main(int argc, char **argv)
{
    uint64_t instructions = (argc > 1 ? strtoull(argv[1], NULL, 10) : 100) * 1000000;
    struct error error;
    struct cpu_model model;
    struct trace trace = {0, stderr};
    struct bus *bus = bus_create();
    struct clock *clock = clock_create_host();
    struct phys_map *phys = phys_create(bus);
    if (!cpu_model_init(&model, NULL, &error) || !phys_add_ram(phys, 0, 4 << 20, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    struct cpu *cpu = cpu_create(
        &(struct cpu_config){
            .model = &model, .phys = phys, .bus = bus, .clock = clock, .trace = &trace},
        &error);
    if (!cpu) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    enter_long_mode(cpu);
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        run(cpu, &programs[i], instructions);
    cpu_destroy(cpu);
    phys_destroy(phys);
    clock_destroy(clock);
    bus_destroy(bus);
    return 0;
}
