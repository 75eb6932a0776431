#include "jit/cache.h"

#include "host/memory.h"
#include "jit/x86_64/asm.h"

bool jit_has_room(const struct jit *jit)
{
    return jit->mem.size - jit->used >= 2 * JIT_BLOCK_MAX &&
           JIT_RECORDS_SIZE - jit->records_used >= PAGE_SIZE;
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
    target->incoming = link;
}

static void clear_jumps(struct jit *jit)
{
    for (unsigned i = 0; i < JIT_JUMP_ENTRIES; i++)
        jit->jump[i] = (struct jit_jump){.code = jit->thunks.miss};
}

void jit_enter_jump(struct cpu *cpu, gva_t va, struct translation *target)
{
    struct jit *jit = cpu->jit;
    if (!target->indirect)
        jit_emit_indirect_entry(jit, target);
    unsigned index = (unsigned)(va ^ va >> PAGE_SHIFT) & (JIT_JUMP_ENTRIES - 1);
    jit->jump[index] = (struct jit_jump){va, cpu->context, target->indirect + jit->to_exec, 0};
}

/* A number is never used again for another pair, so that stale jump entries match nothing. */
void jit_select_context(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    uint32_t hash = (cpu->mode * 0x9e3779b1u ^ cpu->space_epoch * 0x85ebca6bu) >> 24;
    struct jit_context *context = &jit->context[hash % JIT_CONTEXTS];
    if (context->mode != cpu->mode || context->epoch != cpu->space_epoch || !context->number) {
        if (jit->last_context == UINT32_MAX) {
            clear_jumps(jit);
            memset(jit->context, 0, sizeof(jit->context));
            jit->last_context = 0;
        }
        *context = (struct jit_context){cpu->mode, cpu->space_epoch, ++jit->last_context};
    }
    cpu->context = context->number;
}

/* Nothing may enter it any more: links lead out again, and so does the indirect entry. */
void jit_block_dropped(struct cpu *cpu, struct block *block)
{
    struct jit *jit = cpu->jit;
    struct translation *translation = jit_translation(block);
    if (!translation)
        return;
    for (struct jit_link *link = translation->incoming; link; link = link->next)
        asm_patch(link->site, link->unlinked);
    if (translation->indirect) {
        struct assembler a = {translation->indirect};
        asm_patch(asm_jmp(&a), jit->thunks.miss - jit->to_exec);
    }
    block->translation = NULL;
}

void jit_blocks_dropped(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    jit->used = jit->thunks_end;
    jit->records_used = 0;
    jit->left_by = NULL;
    jit->stats.flushes++;
    clear_jumps(jit);
}
