/* Segment checks, alignment checks and slow accesses, without instructions. */
#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/access.h"
#include "cpu/cpu.h"
#include "mmu/phys.h"

#include <criterion/criterion.h>

static struct {
    struct bus *bus;
    struct clock *clock;
    struct cpu_model model;
    struct trace trace;
    struct cpu *cpu;
} vm;

static void setup(void)
{
    struct error error;
    vm.bus = bus_create();
    vm.clock = clock_create_manual();
    vm.trace = (struct trace){0, stderr};
    cr_assert(cpu_model_init(&vm.model, "v1", &error), "%s", error.text);
    struct phys_map *phys = phys_create(vm.bus);
    cr_assert(phys_add_ram(phys, 0, 1 << 20, &error), "%s", error.text);
    vm.cpu = cpu_create(
        &(struct cpu_config){
            .model = &vm.model, .phys = phys, .bus = vm.bus, .clock = vm.clock, .trace = &vm.trace},
        &error);
    cr_assert(vm.cpu, "%s", error.text);
}

static void teardown(void)
{
    struct phys_map *phys = vm.cpu->phys;
    cpu_destroy(vm.cpu);
    phys_destroy(phys);
    clock_destroy(vm.clock);
    bus_destroy(vm.bus);
}

TestSuite(access, .init = setup, .fini = teardown);

/* 32-bit protected mode without paging: every segment flat. */
static void enter_protected_mode(void)
{
    for (unsigned i = 0; i < 6; i++)
        vm.cpu->seg[i] = (struct segment){.attributes = 0xc093, .limit = UINT32_MAX};
    vm.cpu->seg[SEG_CS].attributes = 0xc09b;
    cr_assert(cpu_write_cr0(vm.cpu, CR0_PE | CR0_AM));
    cpu_update_mode(vm.cpu);
}

#define NO_FAULT (-1)

static __attribute__((noinline)) gva_t linear(enum dec_seg seg, uint64_t offset, unsigned size,
                                              bool write)
{
    return seg_linear(vm.cpu, seg, offset, size, write);
}

/* The vector that a check raises; the linear address in *va otherwise. */
static int check(enum dec_seg seg, uint64_t offset, unsigned size, bool write, gva_t *va)
{
    if (setjmp(vm.cpu->fault)) {
        cr_expect(vm.cpu->pending.has_error);
        cr_expect_eq(vm.cpu->pending.error, 0);
        return vm.cpu->pending.vector;
    }
    *va = linear(seg, offset, size, write);
    return NO_FAULT;
}

#define EXPECT_CHECK(expected, ...)                                                                \
    do {                                                                                           \
        gva_t va;                                                                                  \
        int vector = check(__VA_ARGS__, &va);                                                      \
        cr_expect_eq(vector, expected, "check(%s): vector %d", #__VA_ARGS__, vector);              \
    } while (0)

Test(access, flat_segments_are_not_checked)
{
    enter_protected_mode();
    cr_expect(vm.cpu->mode & MODE_FLAT);
    gva_t va = 0;
    cr_expect_eq(check(SEG_DS, 0xfffffffc, 4, true, &va), NO_FAULT);
    cr_expect_eq(va, 0xfffffffc);
}

Test(access, bases_wrap_at_32_bits)
{
    enter_protected_mode();
    vm.cpu->seg[SEG_FS].base = 0xf0000000;
    gva_t va = 0;
    cr_expect_eq(check(SEG_FS, 0x20000000, 4, false, &va), NO_FAULT);
    cr_expect_eq(va, 0x10000000);
}

Test(access, limits)
{
    enter_protected_mode();
    vm.cpu->seg[SEG_DS].limit = 0xfff;
    vm.cpu->seg[SEG_SS].limit = 0xfff;
    cpu_update_mode(vm.cpu);
    cr_expect_not(vm.cpu->mode & MODE_FLAT);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0xffc, 4, false);
    EXPECT_CHECK(VECTOR_GP, SEG_DS, 0xffd, 4, false);
    EXPECT_CHECK(VECTOR_GP, SEG_DS, 0x1000, 1, false);
    EXPECT_CHECK(VECTOR_GP, SEG_DS, 0xfffffffe, 4, false);
    EXPECT_CHECK(VECTOR_SS, SEG_SS, 0xffd, 4, true);
}

Test(access, expand_down_segments_hold_what_is_above_the_limit)
{
    enter_protected_mode();
    vm.cpu->seg[SEG_ES] = (struct segment){.attributes = 0x4097, .limit = 0xfff};
    cpu_update_mode(vm.cpu);
    EXPECT_CHECK(VECTOR_GP, SEG_ES, 0xfff, 1, false);
    EXPECT_CHECK(NO_FAULT, SEG_ES, 0x1000, 4, true);
    EXPECT_CHECK(NO_FAULT, SEG_ES, 0xfffffffc, 4, true);
    EXPECT_CHECK(VECTOR_GP, SEG_ES, 0xfffffffd, 4, true);
    vm.cpu->seg[SEG_ES].attributes = 0x0097;
    EXPECT_CHECK(NO_FAULT, SEG_ES, 0xfffc, 4, true);
    EXPECT_CHECK(VECTOR_GP, SEG_ES, 0xfffd, 4, true);
}

Test(access, types)
{
    enter_protected_mode();
    EXPECT_CHECK(VECTOR_GP, SEG_CS, 0, 4, true);
    EXPECT_CHECK(NO_FAULT, SEG_CS, 0, 4, false);
    vm.cpu->seg[SEG_CS].attributes = 0xc099;
    EXPECT_CHECK(VECTOR_GP, SEG_CS, 0, 4, false);
    vm.cpu->seg[SEG_DS].attributes = 0xc091;
    cpu_update_mode(vm.cpu);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0, 4, false);
    EXPECT_CHECK(VECTOR_GP, SEG_DS, 0, 4, true);
    vm.cpu->seg[SEG_GS].attributes = 0;
    EXPECT_CHECK(VECTOR_GP, SEG_GS, 0, 4, false);
}

Test(access, real_mode_has_limits_but_no_types)
{
    EXPECT_CHECK(NO_FAULT, SEG_CS, 0, 2, true);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0xfffe, 2, true);
    EXPECT_CHECK(VECTOR_GP, SEG_DS, 0xffff, 2, true);
    EXPECT_CHECK(VECTOR_SS, SEG_SS, 0xffff, 2, true);
}

Test(access, alignment_is_checked_at_cpl_3_only)
{
    enter_protected_mode();
    vm.cpu->rflags |= FLAG_AC;
    cpu_update_mode(vm.cpu);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0x101, 4, false);
    vm.cpu->cpl = 3;
    cpu_update_mode(vm.cpu);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0x101, 1, false);
    EXPECT_CHECK(VECTOR_AC, SEG_DS, 0x101, 2, false);
    EXPECT_CHECK(VECTOR_AC, SEG_DS, 0x102, 4, true);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0x104, 4, true);
    EXPECT_CHECK(VECTOR_AC, SEG_DS, 0x104, 8, true);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0x101, 16, false);
    vm.cpu->rflags &= ~(uint64_t)FLAG_AC;
    cpu_update_mode(vm.cpu);
    EXPECT_CHECK(NO_FAULT, SEG_DS, 0x102, 4, true);
}

Test(access, a_read_modify_write_on_code_goes_through_the_slow_path)
{
    enter_protected_mode();
    struct mem_rmw rmw;
    mem_store(vm.cpu, SEG_DS, 0x5000, 41, 4);
    uint32_t *datum = mem_rmw_begin(vm.cpu, &rmw, SEG_DS, 0x5000, 4);
    cr_expect_not(rmw.bounced);
    ++*datum;
    mem_rmw_end(vm.cpu, &rmw);
    phys_mark_code(vm.cpu->phys, 0x5000, 4);
    mmu_protect_code_page(vm.cpu, 0x5000);
    vm.cpu->leave = 0;
    datum = mem_rmw_begin(vm.cpu, &rmw, SEG_DS, 0x5000, 4);
    cr_expect(rmw.bounced);
    cr_expect_eq(*datum, 42);
    ++*datum;
    cr_expect_eq(mem_load(vm.cpu, SEG_DS, 0x5000, 4), 42);
    mem_rmw_end(vm.cpu, &rmw);
    cr_expect_eq(mem_load(vm.cpu, SEG_DS, 0x5000, 4), 43);
    cr_expect_eq(vm.cpu->leave, 1);
}
