/* Programs of busybox, each started by a shell. A round's checksum covers all that it writes. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

struct tool {
    const char *argv[5];
};

/* Writes a file of words and numbers to work on, and gives the shell the place to run in. */
static void *tool_prepare(const struct bench_env *env)
{
    char path[128];
    uint64_t seed = 31;
    struct tool *tool = bench_alloc(sizeof(*tool));
    snprintf(path, sizeof(path), "%s/text", env->folder);
    FILE *file = fopen(path, "w");
    if (!file)
        bench_fail(path);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t number = bench_random(&seed);
        fprintf(file, "%llu word%llu %s\n", (unsigned long long)(number >> 48),
                (unsigned long long)(number % 101), number & 4096 ? "some more text" : "less");
    }
    if (fclose(file))
        bench_fail(path);
    setenv("BB", env->busybox, 1);
    setenv("FOLDER", env->folder, 1);
    setenv("LC_ALL", "C", 1);
    *tool = (struct tool){{env->busybox, "sh", "-c", NULL, NULL}};
    return tool;
}

static uint64_t shell(struct tool *tool, const char *script)
{
    uint64_t hash = 0;
    tool->argv[3] = script;
    bench_spawn(tool->argv, &hash);
    return hash;
}

static uint64_t gzip_round(void *state)
{
    return shell(state, "$BB gzip -c <$FOLDER/text");
}
static uint64_t gunzip_round(void *state)
{
    return shell(state, "[ -e $FOLDER/text.gz ] || $BB gzip -c <$FOLDER/text >$FOLDER/text.gz;"
                        " $BB gunzip -c <$FOLDER/text.gz");
}
static uint64_t sha256sum_round(void *state)
{
    return shell(state, "cd $FOLDER; $BB sha256sum text text text text");
}
static uint64_t sort_round(void *state)
{
    return shell(state, "$BB sort -k 2 $FOLDER/text");
}
static uint64_t awk_round(void *state)
{
    return shell(state, "$BB awk '{ n[$2] += $1; m += length($3) }"
                        " END { for (i = 0; i < 101; i++) print i, n[\"word\" i]; print m }'"
                        " $FOLDER/text");
}
static uint64_t grep_round(void *state)
{
    return shell(state, "$BB grep 'word[3-5].*mo[a-z]* te' $FOLDER/text | $BB sed 's/word/w/' |"
                        " $BB wc");
}
static uint64_t shell_loop_round(void *state)
{
    return shell(state, "i=0; s=0; while [ $i -lt 2000 ]; do s=$(((s * 3 + i) % 65537));"
                        " i=$((i + 1)); done; echo $s");
}
static uint64_t shell_forks_round(void *state)
{
    return shell(state, "for i in 1 2 3 4 5 6; do $BB true; x=$(echo $i); done; echo $x");
}

static const struct bench benches[] = {
    {"gzip", NULL, tool_prepare, gzip_round},
    {"gunzip", NULL, tool_prepare, gunzip_round},
    {"sha256sum", NULL, tool_prepare, sha256sum_round},
    {"sort", NULL, tool_prepare, sort_round},
    {"awk", NULL, tool_prepare, awk_round},
    {"grep", NULL, tool_prepare, grep_round},
    {"shell_loop", NULL, tool_prepare, shell_loop_round},
    {"shell_forks", NULL, tool_prepare, shell_forks_round},
};
const struct bench_group bench_tools = {"tools", benches, COUNT_OF(benches)};
