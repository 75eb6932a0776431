/* The PCI function: BAR 0 is the memory, BAR 2 the EDID and all registers, and there is a ROM. */
#include "devices/display/vga_internal.h"

#include "host/memory.h"

#include <stdlib.h>

enum { BAR_MEMORY = 0, BAR_REGISTERS = 2, REGISTERS_SIZE = 0x1000 };
enum {
    REGISTERS_EDID = 0,
    REGISTERS_PORTS = 0x400, /* 3C0 to 3DF */
    REGISTERS_VBE = 0x500,
    REGISTERS_EXTENDED = 0x600, /* how many bytes of them there are; the byte order */
    EXTENDED_SIZE = 8,
    LITTLE_ENDIAN_ORDER = 0x1e1e1e1e,
};

static uint8_t read_register(struct vga *vga, unsigned offset)
{
    if (offset < VGA_EDID)
        return vga->edid[offset];
    if (offset - REGISTERS_PORTS < VGA_PORTS)
        return vga_read_port(vga, VGA_PORT + offset - REGISTERS_PORTS);
    if (offset - REGISTERS_VBE < 2 * VBE_REGS)
        return (uint8_t)(vga_vbe_read(vga, (offset - REGISTERS_VBE) / 2) >> 8 * (offset & 1));
    if (offset - REGISTERS_EXTENDED < 4)
        return offset == REGISTERS_EXTENDED ? EXTENDED_SIZE : 0;
    if (offset - REGISTERS_EXTENDED < EXTENDED_SIZE)
        return (uint8_t)LITTLE_ENDIAN_ORDER;
    return 0xff;
}

static uint64_t registers_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_register(device, (unsigned)offset + i) << 8 * i;
    return value;
}

static void registers_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *vga = device;
    if (offset - REGISTERS_VBE < 2 * VBE_REGS) {
        if (size == 2)
            vga_vbe_write(vga, (unsigned)(offset - REGISTERS_VBE) / 2, (uint16_t)value);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        if (offset + i - REGISTERS_PORTS < VGA_PORTS)
            vga_write_port(vga, VGA_PORT + (unsigned)(offset + i - REGISTERS_PORTS),
                           (uint8_t)(value >> 8 * i));
    }
}

static const struct bus_ops registers_ops = {"VGA registers", registers_read, registers_write, 1,
                                             2};

static uint64_t rom_read(void *device, uint64_t offset, unsigned size)
{
    const struct vga *vga = device;
    return load_le(vga->rom + offset, size);
}

static void rom_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)device, (void)offset, (void)value, (void)size;
}

static const struct bus_ops rom_ops = {"VGA ROM", rom_read, rom_write, 1, 8};

static void memory_changed(void *opaque)
{
    const struct vga *vga = opaque;
    display_changed(vga->config.display);
}

static void reset(struct pci_function *function)
{
    struct vga *vga = container_of(function, struct vga, pci);
    vga_vbe_reset(vga);
    vga_reset_registers(vga);
    vga_update_window(vga);
}

static const struct pci_ops pci_ops = {.name = "VGA", .reset = reset};

static void describe(struct vga *vga)
{
    pci_init(&vga->pci, &pci_ops,
             &(struct pci_identity){
                 .vendor = 0x1234, .device = 0x1111, .class_code = 0x030000, .revision = 2});
    pci_add_ram_bar(&vga->pci, BAR_MEMORY, &vga->frame_buffer);
    pci_add_bar(&vga->pci, BAR_REGISTERS, PCI_BAR_MEMORY, REGISTERS_SIZE, &registers_ops, vga);
    if (vga->config.rom)
        pci_add_bar(&vga->pci, PCI_BAR_ROM, PCI_BAR_MEMORY, VGA_ROM, &rom_ops, vga);
}

struct vga *vga_create(const struct vga_config *config)
{
    struct vga *vga = calloc(1, sizeof(*vga));
    if (!vga)
        return NULL;
    vga->config = *config;
    vga->memory = host_memory_map(VGA_MEMORY);
    vga->frame_buffer =
        (struct direct_ram){vga->memory, VGA_MEMORY, vga->written, memory_changed, vga};
    if (config->rom)
        memcpy(vga->rom, config->rom, config->rom_size < VGA_ROM ? config->rom_size : VGA_ROM);
    vga_make_edid(vga->edid);
    describe(vga);
    if (!vga->memory || !pci_bus_attach(config->pci, &vga->pci, config->slot, 0)) {
        vga_destroy(vga);
        return NULL;
    }
    reset(&vga->pci);
    display_connect(config->display, vga_draw, vga);
    return vga;
}

void vga_destroy(struct vga *vga)
{
    pci_free(&vga->pci);
    host_memory_unmap(vga->memory, VGA_MEMORY);
    free(vga);
}
