/* Registers of PCI configuration space (PCI 3.0, 6.1 and 6.8). */
#ifndef DOPPEL_DEVICES_PCI_PCI_REGS_H
#define DOPPEL_DEVICES_PCI_PCI_REGS_H

enum pci_register {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION_ID = 0x08,
    PCI_CLASS_CODE = 0x09, /* 3 bytes: interface, sub-class, base class */
    PCI_CACHE_LINE_SIZE = 0x0c,
    PCI_LATENCY_TIMER = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BASE_ADDRESS = 0x10, /* 6 of 4 bytes */
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_SPECIFIC = 0x40, /* from here on: the function's own, and capabilities */
};

enum pci_command {
    PCI_COMMAND_IO = 1 << 0,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_PARITY = 1 << 6,
    PCI_COMMAND_SERR = 1 << 8,
    PCI_COMMAND_INTX_DISABLE = 1 << 10,
};

enum pci_status {
    PCI_STATUS_INTERRUPT = 1 << 3,
    PCI_STATUS_CAPABILITIES = 1 << 4,
    PCI_STATUS_FAST_BACK_TO_BACK = 1 << 7,
    PCI_STATUS_DEVSEL_MEDIUM = 1 << 9,
    PCI_STATUS_ERRORS = 0xf900, /* written ones clear them */
};

#define PCI_HEADER_MULTIFUNCTION 0x80

enum pci_base_address {
    PCI_BASE_IO = 1 << 0,
    PCI_BASE_64 = 1 << 2,
    PCI_BASE_PREFETCHABLE = 1 << 3,
    PCI_ROM_ENABLE = 1 << 0,
};

enum pci_capability {
    PCI_CAP_MSI = 0x05,
    PCI_CAP_VENDOR = 0x09,
    PCI_CAP_MSIX = 0x11,
};

/* From the capability's begin. */
enum pci_msi_register {
    PCI_MSI_CONTROL = 2,
    PCI_MSI_ADDRESS = 4, /* 8 bytes */
    PCI_MSI_DATA = 12,
    PCI_MSI_MASK = 16,
    PCI_MSI_PENDING = 20,
    PCI_MSI_LENGTH = 24,

    PCI_MSI_ENABLE = 1 << 0,
    PCI_MSI_CAPABLE_SHIFT = 1, /* 3 bits: log2 of the vectors there are */
    PCI_MSI_ENABLED_SHIFT = 4, /* 3 bits: log2 of those that are in use */
    PCI_MSI_64BIT = 1 << 7,
    PCI_MSI_MASKABLE = 1 << 8,
};

enum pci_msix_register {
    PCI_MSIX_CONTROL = 2,
    PCI_MSIX_TABLE = 4,
    PCI_MSIX_PENDING = 8,
    PCI_MSIX_LENGTH = 12,

    PCI_MSIX_FUNCTION_MASK = 1 << 14,
    PCI_MSIX_ENABLE = 1 << 15,
};

#endif
