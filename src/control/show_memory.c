/* The commands x and xp: /COUNT FORMAT SIZE, in any order, and an address, which is a sum. */
#include "base/bits.h"
#include "control/show.h"
#include "cpu/cpu.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#include <capstone/capstone.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 16, BYTES_MAX = 65536, CODE_MAX = 15 };

struct request {
    uint64_t address;
    unsigned count, size; /* of an item, in bytes */
    char format;
};

size_t show_read(struct cpu *cpu, bool linear, uint64_t address, uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        uint64_t at = address + done, gpa = at;
        size_t part = PAGE_SIZE - at % PAGE_SIZE;
        if (part > size - done)
            part = size - done;
        if (linear && !(cpu->msr.efer & EFER_LMA) && at > UINT32_MAX)
            break;
        if ((linear && !mmu_debug_translate(cpu, at, &gpa)) ||
            !phys_read(cpu->phys, gpa, bytes + done, part))
            break;
        done += part;
    }
    return done;
}

/* --- The request. */

static bool parse_register(const struct cpu *cpu, const char **text, uint64_t *value)
{
    static const char names[16][4] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
                                      "8",  "9",  "10", "11", "12", "13", "14", "15"};
    size_t length = 0;
    while (isalnum((unsigned char)(*text)[length]))
        length++;
    const char *name = *text;
    *text += length;
    if (length == 2 && !memcmp(name, "pc", 2)) {
        *value = cpu->seg[SEG_CS].base + cpu->rip;
        return true;
    }
    if (length < 2 || (*name != 'r' && *name != 'e'))
        return false;
    uint64_t mask = *name == 'e' ? UINT32_MAX : UINT64_MAX;
    *value = cpu->rip & mask;
    if (length == 3 && !memcmp(name + 1, "ip", 2))
        return true;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (strlen(names[i]) == length - 1 && !memcmp(name + 1, names[i], length - 1)) {
            *value = cpu->gpr[i] & mask;
            return true;
        }
    }
    return false;
}

static bool parse_term(const struct cpu *cpu, const char **text, uint64_t *value)
{
    while (isspace((unsigned char)**text))
        ++*text;
    if (**text == '$') {
        ++*text;
        return parse_register(cpu, text, value);
    }
    char *end;
    *value = strtoull(*text, &end, 0);
    bool found = isdigit((unsigned char)**text) && end != *text;
    *text = end;
    return found;
}

/* Terms with + and - between them. */
static bool parse_address(const struct cpu *cpu, const char *text, uint64_t *value)
{
    uint64_t term;
    *value = 0;
    for (char sign = '+';; sign = *text++) {
        if ((sign != '+' && sign != '-') || !parse_term(cpu, &text, &term))
            return false;
        *value += sign == '+' ? term : -term;
        while (isspace((unsigned char)*text))
            text++;
        if (!*text)
            return true;
    }
}

/* What is after the slash, up to white space. */
static const char *parse_format(const char *text, struct request *request, FILE *out)
{
    static const char sizes[] = "bhwg";
    if (isdigit((unsigned char)*text)) {
        char *end;
        unsigned long count = strtoul(text, &end, 10);
        request->count = count < BYTES_MAX ? (unsigned)count : BYTES_MAX;
        text = end;
    }
    for (; *text && !isspace((unsigned char)*text); text++) {
        const char *size = strchr(sizes, *text);
        if (size)
            request->size = 1u << (size - sizes);
        else if (strchr("xduoci", *text))
            request->format = *text;
        else {
            fprintf(out, "invalid char in format: '%c'\n", *text);
            return NULL;
        }
    }
    return text;
}

static bool parse_request(const struct cpu *cpu, const char *text, struct request *request,
                          FILE *out)
{
    *request = (struct request){.count = 1, .size = 4, .format = 'x'};
    while (isspace((unsigned char)*text))
        text++;
    if (*text == '/' && !(text = parse_format(text + 1, request, out)))
        return false;
    if (request->format == 'c')
        request->size = 1;
    if (parse_address(cpu, text, &request->address))
        return true;
    fprintf(out, "an address is missing or not understood:%s\n", text);
    return false;
}

/* --- The answer. */

static void show_item(uint64_t value, const struct request *request, FILE *out)
{
    static const uint8_t octal[] = {0, 3, 6, 0, 11, 0, 0, 0, 22};
    static const uint8_t decimal[] = {0, 4, 6, 0, 11, 0, 0, 0, 20};
    unsigned size = request->size, unused = 64 - 8 * size;
    switch (request->format) {
    case 'x':
        fprintf(out, " 0x%0*" PRIx64, (int)(2 * size), value);
        break;
    case 'o':
        fprintf(out, " 0%0*" PRIo64, octal[size], value);
        break;
    case 'u':
        fprintf(out, " %*" PRIu64, decimal[size], value);
        break;
    case 'd':
        fprintf(out, " %*" PRId64, decimal[size], (int64_t)(value << unused) >> unused);
        break;
    default:
        fprintf(out, isprint((int)value) ? " '%c'" : " '\\x%02x'", (int)value);
        break;
    }
}

static void show_items(struct cpu *cpu, bool linear, struct request *request, FILE *out)
{
    unsigned left = request->count * request->size;
    if (request->count > BYTES_MAX / request->size)
        left = BYTES_MAX;
    for (uint8_t bytes[LINE]; left; request->address += LINE) {
        unsigned size = left < LINE ? left : LINE;
        fprintf(out, "%016" PRIx64 ":", request->address);
        if (show_read(cpu, linear, request->address, bytes, size) < size) {
            fprintf(out, " Cannot access memory\n");
            return;
        }
        for (unsigned at = 0; at < size; at += request->size) {
            uint64_t value = 0;
            memcpy(&value, bytes + at, request->size);
            show_item(value, request, out);
        }
        fputc('\n', out);
        left -= size;
    }
}

/* The length of the instruction; 0: there is none. */
static unsigned show_instruction(csh handle, const uint8_t *bytes, size_t size, uint64_t address,
                                 FILE *out)
{
    cs_insn *insn;
    fprintf(out, "0x%08" PRIx64 ":  ", address);
    if (!cs_disasm(handle, bytes, size, address, 1, &insn)) {
        fprintf(out, "%s\n", size ? "(bad)" : "unable to read memory");
        return 0;
    }
    unsigned length = insn->size;
    for (unsigned i = 0; i < length; i++)
        fprintf(out, "%02x ", bytes[i]);
    fprintf(out, "%*s%s %s\n", length < 8 ? (int)(3 * (8 - length)) : 0, "", insn->mnemonic,
            insn->op_str);
    cs_free(insn, 1);
    return length;
}

static void show_code(struct cpu *cpu, bool linear, struct request *request, FILE *out)
{
    static const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    uint8_t bytes[CODE_MAX];
    csh handle;
    if (cs_open(CS_ARCH_X86, modes[mode_code(cpu->mode)], &handle) != CS_ERR_OK)
        return;
    for (unsigned i = 0; i < request->count && i < BYTES_MAX / LINE; i++) {
        size_t size = show_read(cpu, linear, request->address, bytes, sizeof(bytes));
        unsigned length = show_instruction(handle, bytes, size, request->address, out);
        if (!length)
            break;
        request->address += length;
    }
    cs_close(&handle);
}

void show_memory(struct cpu *cpu, bool linear, const char *arguments, FILE *out)
{
    struct request request;
    if (!parse_request(cpu, arguments, &request, out))
        return;
    if (request.format == 'i')
        show_code(cpu, linear, &request, out);
    else
        show_items(cpu, linear, &request, out);
}
