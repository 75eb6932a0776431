#include "jit/cache.h"

#include "host/memory.h"
#include "jit/operands.h"

bool jit_has_room(const struct jit *jit)
{
    return jit->end - jit->used >= 2 * JIT_BLOCK_MAX &&
           jit->records_end - jit->records_used >= PAGE_SIZE;
}

void *jit_record(struct jit *jit, size_t size)
{
    void *p = jit->records + jit->records_used;
    jit->records_used += align_up(size, 16);
    return p;
}

void jit_link(struct jit_link *link, struct translation *target)
{
    asm_patch(link->site, link->backward ? target->polled : target->entry);
    link->next = target->incoming;
    link->previous = &target->incoming;
    if (link->next)
        link->next->previous = &link->next;
    target->incoming = link;
}

static void unlink_from_target(struct jit_link *link)
{
    *link->previous = link->next;
    if (link->next)
        link->next->previous = link->previous;
    link->previous = NULL;
}

struct jit_link *jit_new_link(struct cpu *cpu)
{
    struct jit_link **newest = &cpu->jit->links[interp_blocks(cpu)->generation];
    struct jit_link *link = jit_record(cpu->jit, sizeof(*link));
    *link = (struct jit_link){.older = *newest};
    *newest = link;
    return link;
}

static void clear_jumps(struct jit *jit)
{
    for (unsigned i = 0; i < JIT_JUMP_ENTRIES; i++)
        jit->jump[i] = (struct jit_jump){.code = jit->thunks.miss};
}

void jit_enter_jump(struct cpu *cpu, gva_t va, struct translation *target, bool global)
{
    struct jit *jit = cpu->jit;
    if (!target->indirect[global])
        jit_emit_indirect_entry(jit, target, global);
    unsigned index = (unsigned)(va ^ va >> PAGE_SHIFT) & (JIT_JUMP_ENTRIES - 1);
    uint64_t context = global ? (uint64_t)cpu->global_context << 32 : cpu->context;
    struct jit_jump *jump = &jit->jump[index];
    if (jump->va && jump->va != va)
        jit->jump[index ^ 1] = *jump;
    *jump = (struct jit_jump){va, context, target->indirect[global] + jit->to_exec, 0};
}

/* A number is never used again for another pair, so that stale jump entries match nothing. */
static uint32_t number_context(struct jit *jit, bool global, uint32_t mode, uint32_t epoch)
{
    uint32_t hash = (mode * 0x9e3779b1u ^ epoch * 0x85ebca6bu) >> 24;
    struct jit_context *context = &jit->context[global][hash % JIT_CONTEXTS];
    if (context->mode != mode || context->epoch != epoch || !context->number)
        *context = (struct jit_context){mode, epoch, ++jit->last_context};
    return context->number;
}

bool jit_is_context(const struct cpu *cpu)
{
    const struct jit_selection *selected = &cpu->jit->selected;
    return selected->mode == cpu->mode && selected->space_epoch == cpu->space_epoch &&
           selected->global_epoch == cpu->global_epoch;
}

static struct jit_selection number_selection(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    uint32_t mode = cpu->mode, space = cpu->space_epoch, global = cpu->global_epoch;
    if (jit->last_context >= UINT32_MAX - 2) {
        clear_jumps(jit);
        memset(jit->context, 0, sizeof(jit->context));
        jit->before = (struct jit_selection){0};
        jit->last_context = 0;
    }
    return (struct jit_selection){
        .mode = mode,
        .space_epoch = space,
        .global_epoch = global,
        .context = number_context(jit, false, mode, space),
        .global_context = number_context(jit, true, mode, global),
    };
}

/* Guests go back and forth between two modes most of the time. */
void jit_select_context(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    if (jit_is_context(cpu))
        return;
    struct jit_selection before = jit->selected;
    jit->selected = jit->before;
    jit->before = before;
    if (!jit_is_context(cpu))
        jit->selected = number_selection(cpu);
    cpu->context = jit->selected.context;
    cpu->global_context = jit->selected.global_context;
}

/* Nothing may enter it any more: links lead out again, and so does the indirect entry. */
void jit_block_dropped(struct cpu *cpu, struct block *block)
{
    struct jit *jit = cpu->jit;
    struct translation *translation = jit_translation(block);
    jit->plain_age += block->plain_translation != NULL;
    block->plain_translation = NULL;
    if (!translation)
        return;
    while (translation->incoming) {
        struct jit_link *link = translation->incoming;
        asm_patch(link->site, link->unlinked);
        unlink_from_target(link);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(translation->indirect); i++) {
        struct assembler a = jit_assembler(jit, translation->indirect[i]);
        if (a.p) {
            asm_patch(asm_jmp(&a), jit->thunks.miss - jit->to_exec);
            asm_record(&a, a.p, JIT_INDIRECT_REST, ASM_DATA);
        }
    }
    block->translation = NULL;
}

static void select_part(struct jit *jit, unsigned generation)
{
    jit->entered = NULL;
    jit->used = jit->thunks_end + generation * jit->part_size;
    jit->end = jit->used + jit->part_size;
    operands_drop(jit, jit->used);
    jit->records_used = generation * JIT_RECORDS_PART;
    jit->records_end = jit->records_used + JIT_RECORDS_PART;
    jit->links[generation] = NULL;
    jit->left_by = NULL;
    jit->plain_age++;
    clear_jumps(jit);
}

void jit_blocks_dropped(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    jit->part_size = align_down((jit->mem.size - jit->thunks_end) / BLOCK_GENERATIONS, 64);
    jit->stats.flushes++;
    memset(jit->links, 0, sizeof(jit->links));
    select_part(jit, 0);
}

/* The translations in this part are no block's any more: their blocks were as old, or older. What
 * still knows it are younger translations that its links lead to. */
void jit_generation_began(struct cpu *cpu, unsigned generation)
{
    struct jit *jit = cpu->jit;
    for (struct jit_link *link = jit->links[generation]; link; link = link->older) {
        if (link->previous)
            unlink_from_target(link);
    }
    select_part(jit, generation);
}
