/* The EEPROM and the PHY. */
#include "devices/net/e1000_internal.h"

#include <string.h>

/* --- EEPROM (5): words, the sum of which is EEPROM_SUM */

enum {
    WORD_INIT_CONTROL_1 = 0x0a,
    WORD_SUBSYSTEM = 0x0b,
    WORD_SUBSYSTEM_VENDOR = 0x0c,
    WORD_DEVICE = 0x0d,
    WORD_VENDOR = 0x0e,
    WORD_CHECKSUM = 0x3f,
    EEPROM_SUM = 0xbaba,
    INIT_CONTROL_1 = 0x4003, /* it is valid; IDs are loaded from it */
};

/* A 1, then the instruction and the address: the start bit, READ, six bits. */
enum { START_BITS = 9, ADDRESS_BITS = 6, READ = 6 };

void e1000_eeprom_fill(struct e1000 *nic)
{
    uint16_t *word = nic->eeprom.word;
    memcpy(word, nic->mac, sizeof(nic->mac));
    word[WORD_INIT_CONTROL_1] = INIT_CONTROL_1;
    word[WORD_SUBSYSTEM] = (uint16_t)pci_get(&nic->pci, PCI_SUBSYSTEM_ID, 2);
    word[WORD_SUBSYSTEM_VENDOR] = (uint16_t)pci_get(&nic->pci, PCI_SUBSYSTEM_VENDOR_ID, 2);
    word[WORD_DEVICE] = (uint16_t)pci_get(&nic->pci, PCI_DEVICE_ID, 2);
    word[WORD_VENDOR] = (uint16_t)pci_get(&nic->pci, PCI_VENDOR_ID, 2);
    uint16_t sum = 0;
    for (unsigned i = 0; i < WORD_CHECKSUM; i++)
        sum += word[i];
    word[WORD_CHECKSUM] = (uint16_t)(EEPROM_SUM - sum);
}

static bool data_out(const struct e1000_eeprom *eeprom)
{
    uint16_t word = eeprom->word[eeprom->bit_out / 16 % E1000_EEPROM_WORDS];
    return !eeprom->reading || word >> (15 - eeprom->bit_out % 16) & 1;
}

uint32_t e1000_eeprom_pins(const struct e1000 *nic)
{
    uint32_t pins = nic->reg[REG_EECD / 4] | EECD_PRES;
    return pins | (pins & EECD_REQ ? EECD_GNT : 0u) | (data_out(&nic->eeprom) ? EECD_DO : 0u);
}

static void shift_in(struct e1000_eeprom *eeprom, bool bit)
{
    if (eeprom->reading || (!eeprom->bits_in && !bit))
        return;
    eeprom->in = eeprom->in << 1 | bit;
    if (++eeprom->bits_in != START_BITS || eeprom->in >> ADDRESS_BITS != READ)
        return;
    /* The first bit comes when the clock next falls. */
    eeprom->reading = true;
    eeprom->bit_out = (eeprom->in & ((1u << ADDRESS_BITS) - 1)) * 16 - 1;
}

void e1000_eeprom_drive(struct e1000 *nic, uint32_t pins)
{
    struct e1000_eeprom *eeprom = &nic->eeprom;
    bool clock = pins & EECD_SK, select = pins & EECD_CS;
    nic->reg[REG_EECD / 4] = pins & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ);
    if (!select || !eeprom->select) {
        eeprom->reading = false;
        eeprom->bits_in = 0;
        eeprom->in = 0;
    } else if (clock && !eeprom->clock) {
        shift_in(eeprom, pins & EECD_DI);
    } else if (!clock && eeprom->clock && eeprom->reading) {
        eeprom->bit_out++;
    }
    eeprom->clock = clock;
    eeprom->select = select;
}

void e1000_eeprom_read(struct e1000 *nic, uint32_t eerd)
{
    uint32_t address = eerd >> 8 & 0xff;
    if (!(eerd & EERD_START))
        return;
    uint32_t word = address < E1000_EEPROM_WORDS ? nic->eeprom.word[address] : 0xffff;
    nic->reg[REG_EERD / 4] = word << 16 | address << 8 | EERD_DONE;
}

/* --- PHY (13.4.8 and 8): a Marvell 88E1011, whose link partner can do everything */

enum { PHY_ADDRESS = 1, PHY_CONTROL = 0, CONTROL_RESET = 1 << 15, CONTROL_RESTART = 1 << 9 };

void e1000_phy_reset(struct e1000 *nic)
{
    static const uint16_t at_reset[E1000_PHY_REGS] = {
        [PHY_CONTROL] = 0x1140,                /* negotiation, full duplex, 1 Gbit/s */
        [1] = 0x796d,                          /* status: link, negotiation is complete */
        [2] = 0x0141,                          /* identity */
        [3] = 0x0c20,           [4] = 0x0de1,  /* what it can do */
        [5] = 0x45e1,                          /* what its partner can, with acknowledgement */
        [6] = 0x0001,                          /* the partner negotiates */
        [9] = 0x0e00,                          /* 1000BASE-T, its own and the partner's */
        [10] = 0x3c00,          [16] = 0x0068, /* PHY specific control */
        [17] = 0xac00, /* and status: 1 Gbit/s, full duplex, resolved, link */
        [20] = 0x0c60,
    };
    memcpy(nic->phy, at_reset, sizeof(nic->phy));
}

static void phy_write(struct e1000 *nic, unsigned index, uint16_t value)
{
    static const uint32_t writable = 1u << 0 | 1u << 4 | 1u << 7 | 1u << 9 | 1u << 16 | 1u << 18 |
                                     1u << 20 | 1u << 24 | 1u << 29 | 1u << 30;
    if (index == PHY_CONTROL && value & CONTROL_RESET)
        e1000_phy_reset(nic);
    else if (writable >> index & 1)
        nic->phy[index] = value;
    if (index == PHY_CONTROL && value & (CONTROL_RESET | CONTROL_RESTART)) {
        nic->phy[PHY_CONTROL] &= (uint16_t)~CONTROL_RESTART;
        e1000_interrupt(nic, ICR_LSC);
    }
}

void e1000_phy_access(struct e1000 *nic, uint32_t mdic)
{
    unsigned index = mdic >> 16 & 0x1f;
    uint32_t result = mdic & ~(uint32_t)MDIC_READY;
    if ((mdic >> 21 & 0x1f) != PHY_ADDRESS)
        result |= MDIC_ERROR;
    else if (mdic & MDIC_READ)
        result = (result & ~0xffffu) | nic->phy[index];
    else if (mdic & MDIC_WRITE)
        phy_write(nic, index, (uint16_t)mdic);
    nic->reg[REG_MDIC / 4] = result | MDIC_READY;
    if (mdic & MDIC_INTERRUPT)
        e1000_interrupt(nic, ICR_MDAC);
}
