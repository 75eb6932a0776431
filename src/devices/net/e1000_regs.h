/* Registers of the 82540EM (manual, 13.4) by their offsets, and bits of them. */
#ifndef DOPPEL_DEVICES_NET_E1000_REGS_H
#define DOPPEL_DEVICES_NET_E1000_REGS_H

enum {
    REG_CTRL = 0x0000,
    REG_STATUS = 0x0008,
    REG_EECD = 0x0010,
    REG_EERD = 0x0014,
    REG_CTRL_EXT = 0x0018,
    REG_MDIC = 0x0020,
    REG_FCAL = 0x0028,
    REG_FCT = 0x0030,
    REG_VET = 0x0038,
    REG_ICR = 0x00c0,
    REG_ITR = 0x00c4,
    REG_ICS = 0x00c8,
    REG_IMS = 0x00d0,
    REG_IMC = 0x00d8,
    REG_RCTL = 0x0100,
    REG_FCTTV = 0x0170,
    REG_TXCW = 0x0178,
    REG_TCTL = 0x0400,
    REG_TIPG = 0x0410,
    REG_AIT = 0x0458,
    REG_LEDCTL = 0x0e00,
    REG_PBA = 0x1000,
    REG_FCRTL = 0x2160,
    REG_FCRTH = 0x2168,
    REG_RDBAL = 0x2800,
    REG_RDBAH = 0x2804,
    REG_RDLEN = 0x2808,
    REG_RDH = 0x2810,
    REG_RDT = 0x2818,
    REG_RDTR = 0x2820,
    REG_RXDCTL = 0x2828,
    REG_RADV = 0x282c,
    REG_TDBAL = 0x3800,
    REG_TDBAH = 0x3804,
    REG_TDLEN = 0x3808,
    REG_TDH = 0x3810,
    REG_TDT = 0x3818,
    REG_TIDV = 0x3820,
    REG_TXDCTL = 0x3828,
    REG_TADV = 0x382c,
    REG_TSPMT = 0x3830,
    REG_STATISTICS = 0x4000,
    REG_STATISTICS_END = 0x4100,
    REG_RXCSUM = 0x5000,
    REG_MTA = 0x5200,
    REG_RAL = 0x5400,
    REG_RAH = 0x5404,
    REG_VFTA = 0x5600,
    REG_VFTA_END = 0x5800,
    REGS_END = 0x6000,
};

/* Statistics; those of 64 bits have their upper half behind. */
enum {
    STAT_PRC64 = 0x405c, /* received frames by size: up to 64, 127, 255, 511, 1023, above */
    STAT_GPRC = 0x4074,
    STAT_BPRC = 0x4078,
    STAT_MPRC = 0x407c,
    STAT_GPTC = 0x4080,
    STAT_GORC = 0x4088,
    STAT_GOTC = 0x4090,
    STAT_ROC = 0x40ac,
    STAT_TOR = 0x40c0,
    STAT_TOT = 0x40c8,
    STAT_TPR = 0x40d0,
    STAT_TPT = 0x40d4,
    STAT_PTC64 = 0x40d8, /* sent ones */
    STAT_MPTC = 0x40f0,
    STAT_BPTC = 0x40f4,
    STAT_TSCTC = 0x40f8,
};

enum {
    CTRL_RST = 1 << 26,
    CTRL_VME = 1 << 30,

    STATUS_FD = 1 << 0,
    STATUS_LU = 1 << 1,
    STATUS_SPEED_1000 = 2 << 6,

    EECD_SK = 1 << 0,
    EECD_CS = 1 << 1,
    EECD_DI = 1 << 2,
    EECD_DO = 1 << 3,
    EECD_REQ = 1 << 6,
    EECD_GNT = 1 << 7,
    EECD_PRES = 1 << 8,

    EERD_START = 1 << 0,
    EERD_DONE = 1 << 4,

    MDIC_WRITE = 1 << 26,
    MDIC_READ = 2 << 26,
    MDIC_READY = 1 << 28,
    MDIC_INTERRUPT = 1 << 29,
    MDIC_ERROR = 1 << 30,

    ICR_TXDW = 1 << 0,
    ICR_TXQE = 1 << 1,
    ICR_LSC = 1 << 2,
    ICR_RXDMT0 = 1 << 4,
    ICR_RXT0 = 1 << 7,
    ICR_MDAC = 1 << 9,

    RCTL_EN = 1 << 1,
    RCTL_UPE = 1 << 3,
    RCTL_MPE = 1 << 4,
    RCTL_LPE = 1 << 5,
    RCTL_BAM = 1 << 15,
    RCTL_VFE = 1 << 18,
    RCTL_BSEX = 1 << 25,
    RCTL_SECRC = 1 << 26,

    RXCSUM_IPOFL = 1 << 8,
    RXCSUM_TUOFL = 1 << 9,

    TCTL_EN = 1 << 1,
};

#define RAH_AV (1u << 31)

#endif
