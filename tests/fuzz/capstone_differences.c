/* Where the decoder and Capstone differ on purpose, and why. */
#include "capstone.h"

#include <stdio.h>
#include <string.h>

bool oracle_lists(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    }
    return false;
}

static bool is_legacy_prefix(uint8_t byte)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3};

    return memchr(prefixes, byte, sizeof(prefixes)) != NULL;
}

size_t oracle_prefixes(const struct comparison *result)
{
    size_t count = 0;

    while (count < result->size &&
           (is_legacy_prefix(result->bytes[count]) ||
            (result->mode == DEC_MODE_64 && result->bytes[count] >> 4 == 4)))
        count++;
    return count;
}

/* The instruction without some of its prefixes; false where there is none. */
static bool decode_without(const struct comparison *result, const char *dropped, bool flip_w,
                           struct dec_insn *insn)
{
    uint8_t bytes[32];
    size_t size = 0, prefixes = oracle_prefixes(result), start = 0;

    for (size_t i = 0; i < result->size && size < sizeof(bytes); i++) {
        if (i == prefixes)
            start = size;
        if (i >= prefixes || !strchr(dropped, result->bytes[i]))
            bytes[size++] = result->bytes[i];
    }
    if (flip_w) {
        if (bytes[start] != 0xc4 || size < start + 3)
            return false;
        bytes[start + 2] ^= 0x80;
    }
    return dec_decode(bytes, size, result->mode, insn) == DEC_OK;
}

static bool has_no_such_prefix(const struct comparison *result)
{
    struct dec_insn insn;

    return decode_without(result, "\xf0\xf2\xf3", false, &insn) ||
           decode_without(result, "\x66\xf0\xf2\xf3", false, &insn);
}

static bool has_prefix_before_vex(const struct comparison *result)
{
    static const uint8_t illegal[] = {0x66, 0xf0, 0xf2, 0xf3};
    size_t prefixes = oracle_prefixes(result);
    bool found = false;

    for (size_t i = 0; i < prefixes; i++)
        found |= result->bytes[i] >> 4 == 4 || memchr(illegal, result->bytes[i], sizeof(illegal));
    return found && (result->bytes[prefixes] == 0xc4 || result->bytes[prefixes] == 0xc5);
}

static bool has_wrong_vex_w(const struct comparison *result)
{
    struct dec_insn insn;

    return decode_without(result, "\x66\xf2\xf3", true, &insn);
}

static bool has_no_vsib(const struct comparison *result)
{
    return strstr(result->theirs, "gather") != NULL;
}

static bool is_evex(const struct comparison *result)
{
    return result->bytes[oracle_prefixes(result)] == 0x62;
}

/* Capstone does not look at the high bit of VEX.vvvv outside 64-bit mode, which must be 1 where the
 * field is unused (so do CPUs check it). */
static bool has_high_vvvv(const struct comparison *result)
{
    const uint8_t *vex = result->bytes + oracle_prefixes(result);

    return result->mode != DEC_MODE_64 && vex[0] == 0xc4 && (vex[2] & 0x78) == 0x38;
}

static bool is_mask_operation(const struct comparison *result)
{
    return result->theirs[0] == 'k';
}

static bool has_67_and_rex_w(const struct comparison *result)
{
    size_t prefixes = oracle_prefixes(result);

    return result->mode == DEC_MODE_64 && prefixes >= 2 &&
           memchr(result->bytes, 0x67, prefixes - 1) &&
           (result->bytes[prefixes - 1] & 0xf8) == 0x48;
}

static bool locks_what_does_not_lock(const struct comparison *result)
{
    struct dec_insn insn;

    return decode_without(result, "\xf0", false, &insn) &&
           (!(dec_info(insn.op)->attributes & DEC_ATTR_LOCKABLE) ||
            insn.operand[0].kind != DEC_OPERAND_MEM);
}

static bool is_not_offered(const struct comparison *result)
{
    static const uint8_t groups[] = {X86_GRP_VM,     X86_GRP_3DNOW, X86_GRP_SSE4A,
                                     X86_GRP_AVX512, X86_GRP_XOP,   X86_GRP_FMA4,
                                     X86_GRP_TBM,    X86_GRP_SGX,   X86_GRP_RTM};
    const cs_detail *detail = result->capstone->detail;

    for (unsigned i = 0; i < detail->groups_count; i++) {
        if (memchr(groups, detail->groups[i], sizeof(groups)))
            return true;
    }
    return false;
}

static bool is_legacy_mode(const struct comparison *result)
{
    return result->mode != DEC_MODE_64;
}

static bool is_64_bit_mode(const struct comparison *result)
{
    return result->mode == DEC_MODE_64;
}

static bool is_no_register(const struct comparison *result)
{
    return strstr(result->theirs, "cr") || strstr(result->theirs, "dr") ||
           strstr(result->theirs, "mov cs,");
}

static bool is_truncated(const struct comparison *result)
{
    return result->status == DEC_TRUNCATED;
}

static bool is_hint(const struct comparison *result)
{
    return result->insn.map == DEC_MAP_0F;
}

/* Whether Capstone has it with another mnemonic, or leaves out the last operand. */
static bool is_same_length(const struct comparison *result)
{
    return result->capstone->size == result->insn.length;
}

static bool has_offset(const struct comparison *result)
{
    return (result->insn.opcode & 0xfc) == 0xa0;
}

static bool is_segment_move(const struct comparison *result)
{
    return result->insn.op == DEC_OP_MOV_SEG;
}

enum whose { OURS_ONLY, THEIRS_ONLY, BOTH };

static const char branches[] = "jmp call jo jno jb jae je jne jbe ja js jns jp jnp jl jge jle jg";

/* Every difference that is meant, in the order in which they are looked for. The mnemonics are
 * Capstone's where only it has an instruction, and else ours; NULL stands for all. doc/decoder.md
 * lists them too. */
static const struct difference {
    enum whose whose;
    const char *mnemonics;
    bool (*applies)(const struct comparison *result);
    const char *reason;
} differences[] = {
    {THEIRS_ONLY, NULL, has_no_such_prefix, "Capstone ignores prefixes that make it undefined"},
    {THEIRS_ONLY, NULL, locks_what_does_not_lock, "Capstone allows LOCK where the manual does not"},
    {THEIRS_ONLY, NULL, has_prefix_before_vex, "VEX after REX, 66, F2, F3 or LOCK is undefined"},
    {THEIRS_ONLY, NULL, has_wrong_vex_w, "Capstone ignores VEX.W where the manual fixes it"},
    {THEIRS_ONLY, NULL, has_no_vsib, "Capstone reads gathers without SIB"},
    {THEIRS_ONLY, NULL, has_high_vvvv, "VEX.vvvv must be 1111 where it is unused"},
    {THEIRS_ONLY, NULL, is_evex, "AVX-512 is not offered"},
    {THEIRS_ONLY, NULL, is_mask_operation, "AVX-512 is not offered"},
    {THEIRS_ONLY, NULL, is_not_offered, "an instruction set that is not offered"},
    {THEIRS_ONLY,
     "getsec xsha1 xsha256 xstore montmul xcryptecb xcryptcbc xcryptctr xcryptcfb "
     "xcryptofb vmptrld vmptrst vmclear vmxon invept invvpid femms rdpkru wrpkru "
     "monitorx mwaitx clzero xbegin xend xabort xtest encls enclu xstorerng",
     NULL, "an instruction set that is not offered"},
    {THEIRS_ONLY, NULL, has_67_and_rex_w, "Capstone takes 67 before REX.W for 66"},
    {THEIRS_ONLY, "syscall sysret swapgs", is_legacy_mode,
     "undefined outside 64-bit mode on Intel's CPUs"},
    {THEIRS_ONLY, "mov", is_no_register, "there is no such register, or it cannot be loaded"},
    {THEIRS_ONLY, "ud0 ud1", is_truncated, "Capstone reads no ModRM byte"},
    {THEIRS_ONLY, branches, is_64_bit_mode, "66 shortens no near branch on Intel's CPUs"},

    {OURS_ONLY, "nop", is_hint, "Capstone does not know all of the reserved NOPs"},
    {OURS_ONLY, "ud0", NULL, "Capstone does not know it under prefixes"},
    {OURS_ONLY,
     "gf2p8affineqb gf2p8affineinvqb gf2p8mulb vgf2p8affineqb vgf2p8affineinvqb vgf2p8mulb "
     "vaesenc vaesenclast vaesdec vaesdeclast vpclmulqdq",
     NULL, "newer than Capstone 4"},
    {OURS_ONLY, "lfence mfence sfence", NULL, "the CPU ignores ModRM.rm"},
    {OURS_ONLY, "vbroadcasti128", NULL, "Capstone does not know it"},
    {OURS_ONLY, "endbr32 endbr64", NULL, "Capstone misses it in 16-bit mode"},
    {OURS_ONLY, "mov", is_segment_move, "the CPU ignores REX.R for segment registers"},

    {BOTH, "nop", is_hint, "Capstone shows ModRM.reg of the reserved NOPs, or another size"},
    {BOTH, "ud0 ud1", NULL, "Capstone reads no ModRM byte"},
    {BOTH, "lsl lar", is_same_length, "the selector in a register is 16 bits"},
    {BOTH, "mov", is_segment_move, "the selector in a register is 16 bits"},
    {BOTH, "cbw cwd", is_legacy_mode, "Capstone has CWDE and CDQ in 16-bit mode"},
    {BOTH, "movsxd", is_same_length, "Capstone shows a 64-bit destination without REX.W"},
    {BOTH, "sysretq sysexitq", is_same_length, "Capstone does not tell REX.W"},
    {BOTH, "movq", is_same_length, "Capstone calls MOVQ with a general register MOVD"},
    {BOTH, "movabs", has_offset, "Capstone calls it MOV under prefix 67"},
    {BOTH, "pause", is_same_length, "Capstone misses it in 16-bit mode and under REX.W"},
    {BOTH, "repne", NULL, "Capstone leaves out REPNE where it acts as REP"},
    {BOTH, "vpinsrd vpextrd", is_legacy_mode, "VEX.W counts in 64-bit mode only"},
    {BOTH, "clwb", is_same_length, "Capstone takes it for XSAVEOPT64 under REX.W"},
    {BOTH, "aam aad", is_same_length, "Capstone leaves out the usual base of 10"},
    {BOTH, "vblendvps vblendvpd vpblendvb", is_legacy_mode, "there are only 8 registers"},
    {BOTH, NULL, has_67_and_rex_w, "Capstone takes 67 before REX.W for 66"},
    {BOTH, "jcxz jecxz", is_same_length, "Capstone ignores prefix 67 before others"},
    {BOTH, "rdpid", is_same_length, "Capstone takes it for RDSEED"},
    {BOTH, "fstp fnop", is_same_length, "Capstone has names for undocumented encodings"},
    {BOTH, branches, is_64_bit_mode, "66 shortens no near branch on Intel's CPUs"},
};

static const char *first_word(const char *text, char *word, size_t size)
{
    size_t length = strcspn(text, " ");

    snprintf(word, size, "%.*s", (int)length, text);
    return word;
}

const char *oracle_explain(const struct comparison *result)
{
    enum whose whose = result->status != DEC_OK ? THEIRS_ONLY : result->capstone ? BOTH : OURS_ONLY;
    char word[32];

    first_word(whose == THEIRS_ONLY ? result->theirs : result->ours, word, sizeof(word));
    for (size_t i = 0; i < ARRAY_SIZE(differences); i++) {
        const struct difference *difference = &differences[i];
        if (difference->whose == whose &&
            (!difference->mnemonics || oracle_lists(difference->mnemonics, word)) &&
            (!difference->applies || difference->applies(result)))
            return difference->reason;
    }
    return NULL;
}
