/* System instructions that are emitted: the interpreter's results. */
#include "guest.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct jit_config defaults = {.without = JIT_PATIENCE};

static void run_on_both(struct guest guest[2], const void *code, size_t size,
                        enum cpu_exit expected)
{
    for (unsigned i = 0; i < 2; i++) {
        guest_create(&guest[i], i ? &defaults : NULL);
        guest_set_code(&guest[i], 0, code, size);
        guest_start(&guest[i], GUEST_CODE);
        guest[i].cpu->gpr[REG_RSP] = GUEST_DATA + 0x800;
        guest[i].cpu->msr.kernel_gs_base = 0x1234567890;
        cr_assert_eq(cpu_run(guest[i].cpu), expected);
    }
    const struct cpu *a = guest[0].cpu, *b = guest[1].cpu;
    for (unsigned i = 0; i < 16; i++)
        cr_expect_eq(a->gpr[i], b->gpr[i], "register %u: %lx, %lx", i, a->gpr[i], b->gpr[i]);
    cr_expect_eq(a->rip, b->rip);
    cr_expect_eq((a->rflags ^ b->rflags) & ~(uint64_t)FLAGS_STATUS, 0); /* those are dead */
    cr_expect_eq(a->mode, b->mode);
    cr_expect_eq(a->seg[SEG_FS].base, b->seg[SEG_FS].base);
    cr_expect_eq(a->seg[SEG_GS].base, b->seg[SEG_GS].base);
    cr_expect_eq(a->msr.kernel_gs_base, b->msr.kernel_gs_base);
    cr_expect_arr_eq(guest_data(&guest[0]), guest_data(&guest[1]), GUEST_DATA_SIZE);
}

static void destroy(struct guest guest[2])
{
    guest_destroy(&guest[0]);
    guest_destroy(&guest[1]);
}

Test(jit_system, flags_registers_and_bases)
{
    static const uint8_t code[] = {
        0xfd, 0x31, 0xc0, 0x83, 0xe8, 0x01, 0x9c,       /* std; xor; sub eax, 1; pushf */
        0xfc, 0xfb, 0x90, 0x83, 0xc0, 0x01, 0x9c,       /* cld; sti; nop; add eax, 1; pushf */
        0xfa, 0xb8, 0xff, 0xff, 0xff, 0x7f,             /* cli; mov eax, 0x7fffffff */
        0x83, 0xc0, 0x01, 0x9c, 0x58, 0x5b, 0x41, 0x59, /* add eax, 1; pushf; pop rax, rbx, r9 */
        0x41, 0x0f, 0x20, 0xc2, 0x0f, 0x20, 0xd1,       /* mov r10, cr0; mov rcx, cr2 */
        0x41, 0x0f, 0x20, 0xd8, 0x0f, 0x20, 0xe2,       /* mov r8, cr3; mov rdx, cr4 */
        0xf3, 0x49, 0x0f, 0xae, 0xcc,                   /* rdgsbase r12 */
        0xf3, 0x41, 0x0f, 0xae, 0xc5,                   /* rdfsbase r13d */
        0xf3, 0x49, 0x0f, 0xae, 0xd1, 0x0f, 0x01, 0xf8, /* wrfsbase r9; swapgs */
        0xf3, 0x49, 0x0f, 0xae, 0xcb,                   /* rdgsbase r11 */
        0xf3, 0x0f, 0xae, 0xdb,                         /* wrgsbase ebx */
        0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xf8,             /* mfence; sfence */
        0x83, 0xf8, 0x07, 0x0f, 0xae, 0xe8,             /* cmp eax, 7; lfence */
        0x40, 0x0f, 0x92, 0xc6, 0x9c, 0x5f, 0xf4,       /* setc sil; pushf; pop rdi; hlt */
    };
    struct guest guest[2];
    run_on_both(guest, code, sizeof(code), CPU_EXIT_HALT);
    cr_expect_eq(guest[1].cpu->gpr[REG_RBX] & FLAG_IF, FLAG_IF);
    cr_expect_eq(guest[1].cpu->gpr[9] & FLAG_DF, FLAG_DF);
    cr_expect_eq(guest[1].cpu->gpr[11], 0x1234567890);
    destroy(guest);
}

/* mov rax, 1 << 47; wrgsbase rax: #GP, which nothing can take. */
Test(jit_system, base_that_is_not_canonical)
{
    static const uint8_t code[] = {0x48, 0xb8, 0,    0,    0,    0,    0,   0x80,
                                   0,    0,    0xf3, 0x48, 0x0f, 0xae, 0xd8};
    struct guest guest[2];
    run_on_both(guest, code, sizeof(code), CPU_EXIT_SHUTDOWN);
    cr_expect_eq(guest[1].cpu->rip, GUEST_CODE + 10);
    destroy(guest);
}

/* mov edi, 7ff100h + i; xor eax, eax; xor edx, edx; mov ebx, 11h; mov ecx, 22h; stc;
 * lock cmpxchg16b [rdi]; setc r8b; setz r9b; lock cmpxchg8b [rdi + 4]; setz r10b;
 * lock cmpxchg16b [rdi]; hlt */
Test(jit_system, exchanges_of_pairs)
{
    uint8_t code[] = {
        0xbf, 0,    0xf1, 0x7f, 0,    0x31, 0xc0, 0x31, 0xd2, 0xbb, 0x11, 0,
        0,    0,    0xb9, 0x22, 0,    0,    0,    0xf9, 0xf0, 0x48, 0x0f, 0xc7,
        0x0f, 0x41, 0x0f, 0x92, 0xc0, 0x41, 0x0f, 0x94, 0xc1, 0xf0, 0x0f, 0xc7,
        0x4f, 0x04, 0x41, 0x0f, 0x94, 0xc2, 0xf0, 0x48, 0x0f, 0xc7, 0x0f, 0xf4,
    };
    struct guest guest[2];
    run_on_both(guest, code, sizeof(code), CPU_EXIT_HALT);
    cr_expect_eq(guest[1].cpu->gpr[8], 1);
    cr_expect_eq(guest[1].cpu->gpr[9], 1);
    cr_expect_eq(guest[1].cpu->gpr[REG_RAX], 0x11);
    destroy(guest);
    code[1] = 8; /* #GP, which nothing can take */
    run_on_both(guest, code, sizeof(code), CPU_EXIT_SHUTDOWN);
    cr_expect_eq(guest[1].cpu->rip, GUEST_CODE + 20);
    destroy(guest);
}
