/* The engine: its life, and the loop that enters translated code. */
#include "cpu/cpu.h"
#include "cpu/xstate.h"
#include "host/features.h"
#include "host/memory.h"
#include "host/thread.h"
#include "jit/operands.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAF7_EBX_BMI2 BIT(8)
#define HWCAP2_FSGSBASE BIT(1)

static const char *const feature_names[] = {"native", "links", "liveness", "lookup", "global",
                                            "groups", "large", "patience", "strings"};

bool jit_parse_features(const char *list, uint32_t *features, const char **bad)
{
    *features = 0;
    while (*list) {
        size_t length = strcspn(list, ",");
        unsigned i = 0;
        while (i < ARRAY_SIZE(feature_names) &&
               (strlen(feature_names[i]) != length || strncmp(list, feature_names[i], length) != 0))
            i++;
        if (i == ARRAY_SIZE(feature_names)) {
            *bad = list;
            return false;
        }
        *features |= 1u << i;
        list += length + (list[length] == ',');
    }
    return true;
}

const char *jit_feature_names(void)
{
    return "native, links, liveness, lookup, global, groups, large, patience, strings";
}

static void set_gs(struct cpu *cpu)
{
    if (cpu->jit->wrgsbase)
        __asm__ volatile("wrgsbase %0" : : "r"(cpu));
    else
        syscall(SYS_arch_prctl, ARCH_SET_GS, cpu);
}

/* Translations are for flat code: RIP is a linear address, and data accesses need no check but the
 * TLB's. New blocks, and those that are rewritten all the time, are interpreted for a while. */
static bool can_run(struct cpu *cpu, struct block *block)
{
    if (!(cpu->mode & MODE_FLAT_CS) || block == interp_blocks(cpu)->loose)
        return false;
    if (UNLIKELY(block->patience)) {
        block->patience--;
        cpu->jit->left_by = NULL;
        return false;
    }
    return true;
}

/* An indirect branch outside the canonical addresses raises #GP(0) before it changes anything but
 * the stack's bytes: it is taken back and left to its handler. */
static void retry_branch(struct cpu *cpu)
{
    const struct interp_insn *in = (const void *)(interp_blocks(cpu)->arena + (cpu->branch & ~1u));
    if (in->insn.op == DEC_OP_RET)
        cpu->gpr[REG_RSP] -= 8 + (in->insn.operand_count ? in->insn.imm : 0);
    else if (in->insn.op == DEC_OP_CALL)
        cpu->gpr[REG_RSP] += 8;
    cpu->rip = cpu->code_page + in->offset;
    cpu->next_rip = cpu->rip + in->insn.length;
    in->handler(cpu, in);
    cpu->rip = cpu->next_rip;
}

static bool is_canonical_rip(uint64_t rip)
{
    return (uint64_t)((int64_t)(rip << 16) >> 16) == rip;
}

/* Links the jump that the last run left by, if this is where it leads. */
static void take_link(struct cpu *cpu, const struct block *block)
{
    struct jit *jit = cpu->jit;
    struct jit_link *link = jit->left_by;
    jit->left_by = NULL;
    if (link && link->gpa == block->gpa && link->mode == block->mode && block_is_whole(block) &&
        jit_has(jit, JIT_LINKS)) {
        jit_link(link, jit_translation(block));
        jit->stats.links++;
    }
}

bool jit_resume(struct cpu *cpu)
{
    bool attention = atomic_load_explicit(&cpu->requests, memory_order_relaxed) || cpu->halted ||
                     cpu->interrupt_shadow || cpu->mode & MODE_STEP;
    if (attention || !(cpu->mode & MODE_FLAT_CS) || !jit_has(cpu->jit, JIT_LOOKUP))
        return false;
    cpu->leave = 0;
    jit_select_context(cpu);
    return true;
}

const uint8_t *jit_plain(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    struct block *block = blocks_find(cpu, interp_blocks(cpu), cpu->rip);
    struct translation *translation = block->plain_translation;
    if (!translation)
        translation = jit_translate(cpu, block, true);
    if (!translation) {
        blocks_next_generation(cpu, interp_blocks(cpu));
        return NULL;
    }
    const uint8_t *code = translation->entry + jit->to_exec;
    if (!translation->flags_alive)
        *jit_plain_entry(jit, cpu->rip) =
            (struct jit_plain_entry){cpu->rip, cpu->context, jit->plain_age, code};
    return code;
}

static void count_exit(struct cpu *cpu, enum jit_exit exit)
{
    struct jit *jit = cpu->jit;
    if (exit == JIT_EXIT_MISS && atomic_load_explicit(&cpu->requests, memory_order_relaxed))
        exit = JIT_EXIT_REQUEST;
    else if (exit == JIT_EXIT_HANDLER && !jit_is_context(cpu))
        exit = JIT_EXIT_MODE;
    jit->stats.exits[exit]++;
}

static struct translation *translate_sampled(struct cpu *cpu, struct block *block)
{
    if (cpu->jit->stats.blocks % BLOCKS_A_SAMPLE)
        return jit_translate(cpu, block, false);
    uint64_t before = host_thread_ns(), start = host_thread_ns();
    struct translation *translation = jit_translate(cpu, block, false);
    cpu->stats.translate_sampled += block->count;
    cpu->stats.translate_sampled_ns += host_thread_ns() - start - (start - before);
    return translation;
}

static void run(struct cpu *cpu, struct block *block)
{
    struct jit *jit = cpu->jit;
    struct translation *translation = jit_translation(block);
    bool room = jit_has_room(jit); /* for an indirect entry, too */
    if (room && !translation)
        translation = translate_sampled(cpu, block);
    if (!room || !translation) {
        blocks_next_generation(cpu, interp_blocks(cpu));
        return;
    }
    jit_select_context(cpu);
    take_link(cpu, block);
    if (jit_has(jit, JIT_LOOKUP))
        jit_enter_jump(cpu, cpu->rip, translation,
                       jit_has(jit, JIT_GLOBAL) &&
                           blocks_found_global(cpu, interp_blocks(cpu), cpu->rip));
    jit->stats.entries++;
    jit->entered = translation;
    cpu->code_page = cpu->rip & PAGE_MASK;
    cpu->branch = 0;
    struct jit_left left = jit->thunks.enter(cpu, translation->entry + jit->to_exec);
    count_exit(cpu, (enum jit_exit)left.exit);
    if (left.exit == JIT_EXIT_LINK) {
        cpu->rip = cpu->code_page + (left.link->gpa & ~PAGE_MASK);
        jit->left_by = left.link;
    } else if (cpu->branch && !is_canonical_rip(cpu->rip)) {
        retry_branch(cpu);
    }
}

static bool open_perf_map(struct jit *jit, struct error *error)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    jit->perf_map = fopen(path, "we");
    return jit->perf_map || error_set(error, "--perf-map: %s: %s", path, strerror(errno));
}

static void destroy(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    if (jit->perf_map)
        fclose(jit->perf_map);
    operands_destroy(jit);
    codemem_destroy(&jit->mem);
    host_memory_unmap(jit->jump, JIT_JUMP_ENTRIES * sizeof(*jit->jump));
    host_memory_unmap(jit->records, JIT_RECORDS_SIZE);
    free(jit);
    cpu->jit = NULL;
    cpu->engine = NULL;
}

static const struct cpu_engine engine = {
    .start = set_gs,
    .can_run = can_run,
    .run = run,
    .destroy = destroy,
    .block_dropped = jit_block_dropped,
    .blocks_dropped = jit_blocks_dropped,
    .generation_began = jit_generation_began,
    .save_fx = jit_save_fx,
};

bool jit_attach(struct cpu *cpu, const struct jit_config *config, struct error *error)
{
    struct jit *jit = calloc(1, sizeof(*jit));
    if (!jit)
        return error_set(error, "the host has no memory for the translator");
    struct host_features features;
    host_features_read(&features);
    jit->config = *config;
    jit->bmi2 = features.leaf7_ebx & LEAF7_EBX_BMI2;
    jit->xsave = features.xcr0 & XSTATE_X87;
    jit->wrgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
    jit->jump = host_memory_map(JIT_JUMP_ENTRIES * sizeof(*jit->jump));
    jit->records = host_memory_map_sparse(JIT_RECORDS_SIZE);
    cpu->jit = jit;
    cpu->engine = &engine;
    cpu->jump_table = jit->jump;
    if (!jit->jump || !jit->records)
        return error_set(error, "the host has no memory for the translator's tables");
    if (!codemem_create(&jit->mem, config->code_size ? config->code_size : JIT_CODE_DEFAULT, error))
        return false;
    if (!operands_create(jit, error))
        return false;
    if (config->perf_map && !open_perf_map(jit, error))
        return false;
    jit->to_exec = jit->mem.exec - jit->mem.write;
    jit_emit_thunks(cpu);
    interp_blocks(cpu)->first_patience = jit_has(jit, JIT_PATIENCE) ? FIRST_PATIENCE : 0;
    interp_flush(cpu);
    return true;
}

const struct jit_stats *jit_stats(const struct cpu *cpu)
{
    return &cpu->jit->stats;
}

size_t jit_last_code(const struct cpu *cpu, const uint8_t **code)
{
    const struct jit *jit = cpu->jit;
    if (!jit->entered)
        return 0;
    *code = jit->entered->polled + jit->to_exec;
    return jit->entered->host_size;
}

struct called {
    uint64_t count;
    unsigned op;
};

static int more_called(const void *a, const void *b)
{
    const struct called *x = a, *y = b;
    return x->count < y->count ? 1 : -(x->count > y->count);
}

#define CALLED_SHOWN 20

void jit_print_called(const struct cpu *cpu, FILE *out)
{
    struct called called[DEC_OP_COUNT];
    for (unsigned op = 0; op < DEC_OP_COUNT; op++)
        called[op] = (struct called){cpu->jit->called[op], op};
    qsort(called, DEC_OP_COUNT, sizeof(called[0]), more_called);
    fprintf(out, "slow_paths             %15lu\n", cpu->jit->slow_paths);
    for (unsigned i = 0; i < CALLED_SHOWN && called[i].count; i++)
        fprintf(out, "called %-15s %15lu\n", dec_info((enum dec_op)called[i].op)->name,
                called[i].count);
}
