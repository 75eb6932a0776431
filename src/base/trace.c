#include "base/trace.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t mask;
} categories[] = {
    {"insn", TRACE_INSN}, {"exception", TRACE_EXCEPTION}, {"interrupt", TRACE_INTERRUPT},
    {"port", TRACE_PORT}, {"mmio", TRACE_MMIO},           {"pagefault", TRACE_PAGE_FAULT},
    {"msr", TRACE_MSR},   {"device", TRACE_DEVICE},       {"all", UINT32_MAX},
};

bool trace_parse(const char *list, uint32_t *mask, const char **bad)
{
    *mask = 0;
    *bad = list;
    if (!*list)
        return false;
    for (const char *word = list; *word;) {
        size_t length = strcspn(word, ",");
        size_t i;
        for (i = 0; i < ARRAY_SIZE(categories); i++) {
            if (strlen(categories[i].name) == length && !memcmp(word, categories[i].name, length))
                break;
        }
        if (i == ARRAY_SIZE(categories)) {
            *bad = word;
            return false;
        }
        *mask |= categories[i].mask;
        word += length;
        if (*word == ',')
            word++;
    }
    return true;
}

const char *trace_names(void)
{
    return "insn, exception, interrupt, port, mmio, pagefault, msr, device, all";
}

static const char *category_name(uint32_t category)
{
    for (size_t i = 0; i < ARRAY_SIZE(categories); i++) {
        if (categories[i].mask == category)
            return categories[i].name;
    }
    return "trace";
}

void trace_print(struct trace *trace, enum trace_category category, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(trace->out, "%s: %s\n", category_name(category), line);
}
