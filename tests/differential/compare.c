#include "compare.h"

#include "base/bits.h"

#include <cpuid.h>
#include <inttypes.h>
#include <stdio.h>

#define MXCSR_PE 0x20u
#define FDP_EXCPTN_ONLY 0x40u /* CPUID.7.EBX */

#define ANY_FAULT 0xff

/* Where Doppel is meant to differ. */
static const struct {
    uint16_t op;    /* or DEC_OP_COUNT: any */
    int16_t vector; /* of the host's exception, OUTCOME_COMPLETED, or ANY_FAULT */
    uint16_t parts;
} deliberate[] = {
    /* A POPA that faults has loaded some registers on the host, and none in the guest: it starts
     * anew either way. */
    {DEC_OP_POPA, ANY_FAULT, PART_GPR},
    /* Likewise the host has stored a part of the frame. */
    {DEC_OP_ENTER, ANY_FAULT, PART_MEMORY},
    /* Which byte of a large area faults first. */
    {DEC_OP_XSAVE, VECTOR_PF, PART_CR2},
    {DEC_OP_XSAVEC, VECTOR_PF, PART_CR2},
    {DEC_OP_XSAVEOPT, VECTOR_PF, PART_CR2},
    {DEC_OP_XRSTOR, VECTOR_PF,
     PART_CR2 | PART_FAULT}, /* or whether the header is looked at first */
    {DEC_OP_XRSTOR, VECTOR_GP, PART_FAULT},
    /* An address that is neither aligned nor canonical, with SS, where the x87 state is not asked
       for. */
    {DEC_OP_XSAVE, VECTOR_SS, PART_FAULT},
    {DEC_OP_XRSTOR, VECTOR_SS, PART_FAULT},
    {DEC_OP_XSAVEC, VECTOR_SS, PART_FAULT},
    {DEC_OP_XSAVEOPT, VECTOR_SS, PART_FAULT},
    /* Components that come before the one that is refused. */
    {DEC_OP_XRSTOR, VECTOR_GP, PART_VEC | PART_MXCSR | PART_X87 | PART_X87_POINTERS},
    {DEC_OP_XRSTOR, VECTOR_PF, PART_VEC | PART_MXCSR | PART_X87 | PART_X87_POINTERS},
    /* Whether a fault comes before the change to MMX, which is the same when it is tried again. */
    {DEC_OP_MOVD, ANY_FAULT, PART_X87},
    {DEC_OP_MOVQ, ANY_FAULT, PART_X87},
    {DEC_OP_MOVNTQ, ANY_FAULT, PART_X87},
    {DEC_OP_MASKMOVQ, ANY_FAULT, PART_X87},
    {DEC_OP_CVTPS2PI, VECTOR_XM, PART_X87},
    {DEC_OP_CVTPD2PI, VECTOR_XM, PART_X87},
    {DEC_OP_CVTTPS2PI, VECTOR_XM, PART_X87},
    {DEC_OP_CVTTPD2PI, VECTOR_XM, PART_X87},
    {DEC_OP_CVTPI2PS, VECTOR_XM, PART_X87},
    /* The elements before the one that faults, and a mask's other bits. */
    {DEC_OP_VPGATHERDD, ANY_FAULT, PART_VEC},
    {DEC_OP_VPGATHERDQ, ANY_FAULT, PART_VEC},
    {DEC_OP_VPGATHERQD, ANY_FAULT, PART_VEC},
    {DEC_OP_VPGATHERQQ, ANY_FAULT, PART_VEC},
    {DEC_OP_VGATHERDPS, ANY_FAULT, PART_VEC},
    {DEC_OP_VGATHERDPD, ANY_FAULT, PART_VEC},
    {DEC_OP_VGATHERQPS, ANY_FAULT, PART_VEC},
    {DEC_OP_VGATHERQPD, ANY_FAULT, PART_VEC},
    /* Flags of a result that cannot be stored. */
    {DEC_OP_VCVTPS2PH, ANY_FAULT, PART_MXCSR | PART_MXCSR_PE},
    /* At which of the additions an unmasked exception ends it. */
    {DEC_OP_DPPS, VECTOR_XM, PART_MXCSR},
    {DEC_OP_DPPD, VECTOR_XM, PART_MXCSR},
    {DEC_OP_VDPPS, VECTOR_XM, PART_MXCSR},
    {DEC_OP_VDPPD, VECTOR_XM, PART_MXCSR},
    /* Which byte of an element. */
    {DEC_OP_VMASKMOVPS, VECTOR_PF, PART_CR2},
    {DEC_OP_VMASKMOVPD, VECTOR_PF, PART_CR2},
    {DEC_OP_VPMASKMOVD, VECTOR_PF, PART_CR2},
    {DEC_OP_VPMASKMOVQ, VECTOR_PF, PART_CR2},
    /* Whether PE comes with an unmasked OE or UE depends on a result for an unbounded exponent,
     * which Doppel does not compute. */
    {DEC_OP_COUNT, VECTOR_XM, PART_MXCSR_PE},
    /* What these read depends on more than the state. */
    {DEC_OP_CPUID, OUTCOME_COMPLETED, PART_GPR},
    {DEC_OP_RDTSC, OUTCOME_COMPLETED, PART_GPR},
    {DEC_OP_RDTSCP, OUTCOME_COMPLETED, PART_GPR},
    {DEC_OP_RDPID, OUTCOME_COMPLETED, PART_GPR},
    {DEC_OP_RDRAND, OUTCOME_COMPLETED, PART_GPR},
    {DEC_OP_RDSEED, OUTCOME_COMPLETED, PART_GPR | PART_FLAGS}, /* CF: whether there is a number */
    {DEC_OP_XGETBV, OUTCOME_COMPLETED, PART_GPR},
};

static unsigned deliberate_parts(const struct dec_insn *insn, const struct diff_outcome *host)
{
    unsigned parts = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(deliberate); i++) {
        bool op = deliberate[i].op == insn->op || deliberate[i].op == DEC_OP_COUNT;
        bool any = deliberate[i].vector == ANY_FAULT && host->vector != OUTCOME_COMPLETED;
        if (op && (any || deliberate[i].vector == host->vector))
            parts |= deliberate[i].parts;
    }
    return parts;
}

static unsigned compare_faults(const struct diff_outcome *host, const struct diff_outcome *guest)
{
    /* Of kernel addresses Linux does not tell whether they are mapped. */
    bool page_fault = host->vector == VECTOR_PF, kernel = page_fault && host->address >> 63;
    if (host->vector != guest->vector)
        return PART_FAULT;
    if (host->vector != OUTCOME_COMPLETED && host->error != guest->error && !kernel)
        return PART_FAULT;
    uint64_t difference = page_fault ? host->address ^ guest->address : 0;
    return difference & PAGE_MASK ? PART_FAULT : difference ? PART_CR2 : 0;
}

static bool same_gpr(const struct dec_insn *insn, const uint64_t *a, const uint64_t *b)
{
    bool mode64 = insn->mode == DEC_MODE_64;
    uint64_t difference = 0;
    for (unsigned i = 0; i < (mode64 ? 16 : 8); i++)
        difference |= a[i] ^ b[i];
    return mode64 ? !difference : !(uint32_t)difference;
}

/* A context switch of the host makes every null selector 0. */
static bool same_selectors(const uint16_t *host, const uint16_t *guest)
{
    for (unsigned i = 0; i < 6; i++) {
        if (host[i] != guest[i] && !(host[i] == 0 && guest[i] < 4))
            return false;
    }
    return true;
}

bool compare_knows_pointers(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx & FDP_EXCPTN_ONLY;
}

static unsigned compare_vectors(const struct diff_state *host, const struct diff_state *guest)
{
    unsigned parts = 0;
    if (memcmp(host->vec, guest->vec, sizeof(host->vec)))
        parts |= PART_VEC;
    if (host->mxcsr != guest->mxcsr)
        parts |= (host->mxcsr ^ guest->mxcsr) == MXCSR_PE ? PART_MXCSR_PE : PART_MXCSR;
    const struct fx_image *a = &host->fx, *b = &guest->fx;
    if (a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw)
        parts |= PART_X87;
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(a->st[i], b->st[i], 10))
            parts |= PART_X87;
    }
    /* What FXRSTOR64 loads is made canonical, on some processors with 57 bits. */
    bool exact = compare_knows_pointers();
    if ((a->fip ^ b->fip) << 16 || (exact && (a->fop != b->fop || a->fdp != b->fdp)))
        parts |= PART_X87_POINTERS;
    return parts;
}

unsigned compare_outcomes(const struct dec_insn *insn, const struct diff_outcome *host,
                          const struct diff_outcome *guest, const uint8_t *host_memory,
                          const uint8_t *guest_memory)
{
    unsigned parts = 0;
    if (host->state.rip != guest->state.rip)
        parts |= PART_RIP;
    if (!same_gpr(insn, host->state.gpr, guest->state.gpr))
        parts |= PART_GPR;
    if (host->state.rflags != guest->state.rflags)
        parts |= PART_FLAGS;
    parts |= compare_faults(host, guest);
    if (host->state.fs_base != guest->state.fs_base || host->state.gs_base != guest->state.gs_base)
        parts |= PART_BASES;
    if (!same_selectors(host->state.selector, guest->state.selector))
        parts |= PART_SELECTORS;
    if (guest->state.has_vectors)
        parts |= compare_vectors(&host->state, &guest->state);
    if (memcmp(host_memory, guest_memory, AREA_SIZE))
        parts |= PART_MEMORY;
    return parts ? parts & ~deliberate_parts(insn, host) : 0;
}

/* --- Reports. */

static void print_general(const char *title, const struct diff_outcome *outcome)
{
    static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct diff_state *state = &outcome->state;
    printf("  %s: ", title);
    if (outcome->vector != OUTCOME_COMPLETED)
        printf("exception %d error %x address %" PRIx64 " ", outcome->vector, outcome->error,
               outcome->address);
    printf("rip %" PRIx64 " flags %" PRIx64 " fs %" PRIx64 " gs %" PRIx64 "\n   ", state->rip,
           state->rflags, state->fs_base, state->gs_base);
    for (unsigned i = 0; i < 16; i++)
        printf(" %s %" PRIx64, names[i], state->gpr[i]);
    printf("\n    es, cs, ss, ds, fs, gs:");
    for (unsigned i = 0; i < ARRAY_SIZE(state->selector); i++)
        printf(" %x", state->selector[i]);
    printf("\n");
    if (!state->has_vectors)
        return;
    printf("    mxcsr %04x fcw %04x fsw %04x ftw %02x fop %03x fip %" PRIx64 " fdp %" PRIx64 "\n",
           state->mxcsr, state->fx.fcw, state->fx.fsw, state->fx.ftw, state->fx.fop, state->fx.fip,
           state->fx.fdp);
}

static void print_register(const char *name, unsigned index, const struct diff_state *const s[3],
                           size_t offset, unsigned words)
{
    static const char titles[3][7] = {"before", "host", "guest"};
    printf("  %s%u:\n", name, index);
    for (unsigned i = 0; i < 3; i++) {
        printf("    %-6s", titles[i]);
        for (unsigned j = words; j-- > 0;)
            printf(" %016" PRIx64, load_le((const uint8_t *)s[i] + offset + 8 * j, 8));
        printf("\n");
    }
}

/* All that an instruction names, and all that differ. */
static void print_vectors(const struct dec_insn *insn, const struct diff_state *const states[3])
{
    for (unsigned n = 0; n < 16; n++) {
        bool wanted = memcmp(&states[1]->vec[n], &states[2]->vec[n], sizeof(union vec));
        for (unsigned i = 0; i < insn->operand_count; i++)
            wanted |= insn->operand[i].kind == DEC_OPERAND_VEC && insn->operand[i].reg == n;
        if (wanted)
            print_register("ymm", n, states, offsetof(struct diff_state, vec) + 32 * n, 4);
    }
    bool x87 = dec_info(insn->op)->op_class == DEC_CLASS_X87;
    for (unsigned n = 0; n < 8; n++) {
        if (memcmp(states[1]->fx.st[n], states[2]->fx.st[n], 10) || (x87 && n < 2))
            print_register("st", n, states, offsetof(struct diff_state, fx.st) + 16 * n, 2);
    }
}

void compare_report(unsigned parts, const struct dec_insn *insn, const struct diff_run *run,
                    const struct diff_state *in, const struct diff_outcome *host,
                    const struct diff_outcome *guest, const uint8_t *host_memory,
                    const uint8_t *guest_memory)
{
    static const unsigned bits[] = {16, 32, 64};
    static const char *const names[] = {"rip",      "gpr",   "flags",    "fault",        "bases",
                                        "vec",      "mxcsr", "x87",      "x87-pointers", "memory",
                                        "mxcsr.pe", "cr2",   "selectors"};
    char text[96];
    dec_format(insn, AREA_CODE, text, sizeof(text));
    printf("%u-bit%s%s:", bits[run->mode], run->layout == LAYOUT_WINDOW ? ", window" : "",
           run->step ? ", step" : "");
    for (unsigned i = 0; i < run->length; i++)
        printf(" %02x", run->code[i]);
    printf("  %s\n  different:", text);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (parts >> i & 1)
            printf(" %s", names[i]);
    }
    printf("\n");
    const struct diff_outcome before = {.vector = OUTCOME_COMPLETED, .state = *in};
    print_general("before", &before);
    print_general("host  ", host);
    print_general("guest ", guest);
    if (in->has_vectors)
        print_vectors(insn, (const struct diff_state *const[]){in, &host->state, &guest->state});
    for (unsigned i = 0, shown = 0; i < AREA_SIZE && shown < 16; i++) {
        if (host_memory[i] != guest_memory[i] && ++shown)
            printf("  memory %" PRIx64 ": host %02x guest %02x\n", (uint64_t)AREA_DATA + i,
                   host_memory[i], guest_memory[i]);
    }
    fflush(stdout);
}
