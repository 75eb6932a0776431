/* The three-byte opcode map 0F 3A xx (SDM volume 2, table A-5). */
#include "decoder/table.h"

/* All but PALIGNR's MMX form and SHA1RNDS4 have prefix 66. */
#define MODIFY_66(...) BY_PREFIX(UD, MODIFY(__VA_ARGS__), UD, UD)
#define WRITE_66(...) BY_PREFIX(UD, WRITE(__VA_ARGS__), UD, UD)
#define READ_66(...) BY_PREFIX(UD, READ(__VA_ARGS__), UD, UD)

const struct dec_entry dec_table_0f3a[256] = {
    [0x08] = WRITE_66(ROUNDPS, Vx, Wx, Ib),
    [0x09] = WRITE_66(ROUNDPD, Vx, Wx, Ib),
    [0x0a] = MODIFY_66(ROUNDSS, Vx, Wd, Ib),
    [0x0b] = MODIFY_66(ROUNDSD, Vx, Wq, Ib),
    [0x0c] = MODIFY_66(BLENDPS, Vx, Wx, Ib),
    [0x0d] = MODIFY_66(BLENDPD, Vx, Wx, Ib),
    [0x0e] = MODIFY_66(PBLENDW, Vx, Wx, Ib),
    [0x0f] = BY_PREFIX(MODIFY(PALIGNR, Pq, Qq, Ib), MODIFY(PALIGNR, Vx, Wx, Ib), UD, UD),
    [0x14] = WRITE_66(PEXTRB, RdMb, Vx, Ib),
    [0x15] = WRITE_66(PEXTRW, RdMw, Vx, Ib),
    [0x16] = BY_PREFIX(UD, BY_W(WRITE(PEXTRD, Ed, Vx, Ib), WRITE(PEXTRQ, Eq, Vx, Ib)), UD, UD),
    [0x17] = WRITE_66(EXTRACTPS, Ed, Vx, Ib),
    [0x20] = MODIFY_66(PINSRB, Vx, RdMb, Ib),
    [0x21] = MODIFY_66(INSERTPS, Vx, Wd, Ib),
    [0x22] = BY_PREFIX(UD, BY_W(MODIFY(PINSRD, Vx, Ed, Ib), MODIFY(PINSRQ, Vx, Eq, Ib)), UD, UD),
    [0x40] = MODIFY_66(DPPS, Vx, Wx, Ib),
    [0x41] = MODIFY_66(DPPD, Vx, Wx, Ib),
    [0x42] = MODIFY_66(MPSADBW, Vx, Wx, Ib),
    [0x44] = MODIFY_66(PCLMULQDQ, Vx, Wx, Ib),
    [0x60] = READ_66(PCMPESTRM, Vx, Wx, Ib),
    [0x61] = READ_66(PCMPESTRI, Vx, Wx, Ib),
    [0x62] = READ_66(PCMPISTRM, Vx, Wx, Ib),
    [0x63] = READ_66(PCMPISTRI, Vx, Wx, Ib),
    [0xcc] = MODIFY_R(NP, SHA1RNDS4, Vx, Wx, Ib),
    [0xce] = MODIFY_66(GF2P8AFFINEQB, Vx, Wx, Ib),
    [0xcf] = MODIFY_66(GF2P8AFFINEINVQB, Vx, Wx, Ib),
    [0xdf] = WRITE_66(AESKEYGENASSIST, Vx, Wx, Ib),
};
