/* What the files of the 82540EM share. */
#ifndef DOPPEL_DEVICES_NET_E1000_INTERNAL_H
#define DOPPEL_DEVICES_NET_E1000_INTERNAL_H

#include "devices/net/e1000.h"
#include "devices/net/e1000_regs.h"

enum { E1000_EEPROM_WORDS = 64, E1000_PHY_REGS = 32, E1000_DESCRIPTOR = 16, E1000_CRC = 4 };

/* A serial EEPROM behind four wires (a 93C46). */
struct e1000_eeprom {
    uint16_t word[E1000_EEPROM_WORDS];
    bool clock, select, reading;
    unsigned bits_in;
    uint32_t in;      /* bits since the start bit, the last one lowest */
    unsigned bit_out; /* of all words, 0 is the first word's highest */
};

/* Offsets that a context descriptor sets for the data that follow (3.3.6). */
struct e1000_context {
    uint8_t ip_start, ip_field, tcp_start, tcp_field;
    uint16_t ip_end, tcp_end; /* the last byte; 0: the frame's */
    bool is_ipv4, is_tcp;
};

struct e1000 {
    struct pci_function pci;
    struct net *net;
    struct clock *clock;
    uint8_t mac[6];

    uint32_t reg[REGS_END / 4];
    uint16_t phy[E1000_PHY_REGS];
    uint32_t io_address;
    struct e1000_eeprom eeprom;

    uint32_t causes; /* of interrupts, for when the network is done */
    bool pin;
    uint64_t quiet_until; /* ITR: guest ns */
    struct clock_timer throttle;

    bool starved; /* the network waits for descriptors */
    struct e1000_context context, segmentation;
    struct {
        uint32_t size;              /* of the frame so far; beyond NET_FRAME_MAX it is too long */
        bool checks_ip, checks_tcp; /* POPTS of its first data descriptor */
        uint8_t bytes[NET_FRAME_MAX];
    } sending;
};

static inline uint32_t *e1000_reg(struct e1000 *nic, unsigned offset)
{
    return &nic->reg[offset / 4];
}

static inline uint64_t e1000_reg64(const struct e1000 *nic, unsigned offset)
{
    return nic->reg[offset / 4] | (uint64_t)nic->reg[offset / 4 + 1] << 32;
}

/* Sets bits of ICR and the pin. */
void e1000_interrupt(struct e1000 *nic, uint32_t causes);

/* A frame, without its CRC, in the statistics that begin with those of its size. */
void e1000_count(struct e1000 *nic, bool sent, const uint8_t *frame, uint32_t size);

/* Writes the second half of a descriptor at once, as the driver may be looking at it. */
void e1000_write_back(struct e1000 *nic, uint64_t descriptor, uint64_t value);

/* e1000_transmit.c, e1000_receive.c: struct net_card_ops. */
uint32_t e1000_take(void *card, uint8_t *frame);
bool e1000_give(void *card, const uint8_t *frame, uint32_t size);

/* e1000_serial.c: what is behind wires of the chip. */
void e1000_eeprom_fill(struct e1000 *nic);
uint32_t e1000_eeprom_pins(const struct e1000 *nic); /* EECD */
void e1000_eeprom_drive(struct e1000 *nic, uint32_t pins);
void e1000_eeprom_read(struct e1000 *nic, uint32_t eerd);
void e1000_phy_reset(struct e1000 *nic);
void e1000_phy_access(struct e1000 *nic, uint32_t mdic);

#endif
