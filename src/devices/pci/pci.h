/* A function of a PCI device: what every device on the bus is made of.
 *
 * The device embeds a struct pci_function, describes it once, and attaches it (pci_bus.h):
 *
 *     pci_init(&nic->pci, &nic_ops, &(struct pci_identity){.vendor = 0x8086, ...});
 *     pci_add_bar(&nic->pci, 0, PCI_BAR_MEMORY, 0x20000, &nic_registers, nic);
 *     pci_add_msix(&nic->pci, 1, 3)
 *
 * What its configuration space holds then is what a reset brings back. Base addresses, the command
 * register, capabilities and interrupts need nothing more from it: a BAR's `bus_ops` are asked
 * wherever the guest has put it. All calls with the bus lock held, or before the vCPU starts. */
#ifndef DOPPEL_DEVICES_PCI_PCI_H
#define DOPPEL_DEVICES_PCI_PCI_H

#include "base/bits.h"
#include "bus/bus.h"
#include "bus/direct_ram.h"
#include "bus/dma.h"
#include "devices/pci/pci_regs.h"

#define PCI_CONFIG_SIZE 256u
#define PCI_MSI_VECTORS 32u
#define PCI_MSIX_VECTORS 128u /* as many as a BAR of 4 KiB takes, with their pending bits */
enum { PCI_BAR_ROM = 6, PCI_BARS };

struct pci_bus;
struct pci_function;

struct pci_ops {
    const char *name;
    /* Before the guest reads [offset, offset + size) of the configuration space. May be NULL. */
    void (*config_reading)(struct pci_function *function, unsigned offset, unsigned size);
    /* After the guest has written [offset, offset + size) of the configuration space. May be NULL.
     */
    void (*config_written)(struct pci_function *function, unsigned offset, unsigned size);
    /* The RST# pin: the configuration space is as described again. May be NULL. */
    void (*reset)(struct pci_function *function);
};

struct pci_identity {
    uint16_t vendor, device;
    uint32_t class_code; /* 24 bits: base class, sub-class, interface */
    uint8_t revision;
    uint8_t interrupt_pin;                /* 1 to 4: INTA# to INTD#; 0: none */
    uint16_t subsystem_vendor, subsystem; /* 0: QEMU's, 1af4:1100 */
};

enum pci_bar_kind {
    PCI_BAR_NONE,
    PCI_BAR_IO,
    PCI_BAR_MEMORY,
    PCI_BAR_MEMORY_64, /* takes the next BAR's register too */
};

struct pci_bar {
    enum pci_bar_kind kind;
    uint64_t size;
    const struct bus_ops *ops;
    void *device;
    const struct direct_ram *ram; /* what the guest reaches there by itself, or NULL */
    uint64_t base;                /* where it is mapped, if it is */
    bool mapped;
};

struct pci_msix_vector {
    uint64_t address;
    uint32_t data, control;
};

struct pci_function {
    const struct pci_ops *ops;
    struct pci_bus *bus; /* NULL: not attached */
    uint8_t devfn;       /* slot * 8 + function */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE];  /* bits that the guest can change */
    uint8_t clearable[PCI_CONFIG_SIZE]; /* bits that it clears by writing ones */
    uint8_t at_reset[PCI_CONFIG_SIZE];
    struct pci_bar bar[PCI_BARS];
    uint8_t capabilities_end; /* where the next one goes */
    uint8_t msi, msix;        /* where the capabilities are; 0: there is none */
    bool intx;                /* the device asserts its pin */
    bool intx_driven;         /* and it gets through */
    unsigned msix_vectors;
    struct pci_msix_vector *msix_table;
    uint64_t msix_pending[PCI_MSIX_VECTORS / 64];
};

/* --- Description, before the function is attached */

void pci_init(struct pci_function *function, const struct pci_ops *ops,
              const struct pci_identity *identity);
/* Frees what the description took; the bus is not told. */
void pci_free(struct pci_function *function);

/* size is a power of two: 4 to 256 for I/O, 16 to 2^63 for memory. PCI_BAR_ROM is the expansion
 * ROM. The range answers while its space is enabled and nothing else is there. */
void pci_add_bar(struct pci_function *function, unsigned bar, enum pci_bar_kind kind, uint64_t size,
                 const struct bus_ops *ops, void *device);
/* A BAR of prefetchable memory that the guest reaches by itself, where the bus's config lets it.
 * Not owned; its size is a power of two. */
void pci_add_ram_bar(struct pci_function *function, unsigned bar, const struct direct_ram *ram);

/* Makes room for a capability of `length` bytes and returns where it begins. Its third byte and
 * what follows are the caller's, in config[] and writable[]. */
unsigned pci_add_capability(struct pci_function *function, enum pci_capability id, unsigned length);

/* Up to PCI_MSI_VECTORS, a power of two; with masks. */
void pci_add_msi(struct pci_function *function, unsigned vectors);
/* 1 to PCI_MSIX_VECTORS, in a memory BAR of 4 KiB of their own. False: no memory. */
bool pci_add_msix(struct pci_function *function, unsigned bar, unsigned vectors);

/* --- Interrupts */

/* The level of the function's INTx# pin. */
void pci_set_intx(struct pci_function *function, bool level);

/* Whether the guest has turned them on; the pin is then to be left alone. */
bool pci_msi_enabled(const struct pci_function *function);
bool pci_msix_enabled(const struct pci_function *function);
/* Sends the message of a vector, or keeps it pending while it is masked. Nothing where it is not
 * enabled or there is no such vector. */
void pci_msi_notify(struct pci_function *function, unsigned vector);
void pci_msix_notify(struct pci_function *function, unsigned vector);

/* --- Guest memory: bus/dma.h; nothing happens (false, NULL) unless the command register lets the
 * function be bus master */

bool pci_is_master(const struct pci_function *function);
bool pci_dma_read(struct pci_function *function, uint64_t address, void *data, uint64_t size);
bool pci_dma_write(struct pci_function *function, uint64_t address, const void *data,
                   uint64_t size);
void *pci_dma_map(struct pci_function *function, uint64_t address, uint64_t *size);
void pci_dma_written(struct pci_function *function, uint64_t address, uint64_t size);
/* The memory itself, for who asks pci_is_master() before each use. The function is attached. */
struct dma pci_dma(const struct pci_function *function);

/* --- Configuration space; registers do not cross its end */

static inline uint32_t pci_get(const struct pci_function *function, unsigned offset, unsigned size)
{
    return (uint32_t)load_le(function->config + offset, size);
}

static inline void pci_set(struct pci_function *function, unsigned offset, uint32_t value,
                           unsigned size)
{
    store_le(function->config + offset, value, size);
}

/* Describes a register: its value after reset, and which bits the guest can change. */
static inline void pci_describe(struct pci_function *function, unsigned offset, uint32_t value,
                                uint32_t writable, unsigned size)
{
    store_le(function->config + offset, value, size);
    store_le(function->writable + offset, writable, size);
}

/* Whether [offset, offset + size) touches a register of `length` bytes at `reg`: for
 * config_written(). */
static inline bool pci_touches(unsigned offset, unsigned size, unsigned reg, unsigned length)
{
    return offset < reg + length && reg < offset + size;
}

#endif
