/* The window at A0000: how addresses become planes, and the graphics controller between them. */
#include "devices/display/vga_internal.h"

enum { FUNCTION_REPLACE, FUNCTION_AND, FUNCTION_OR, FUNCTION_XOR };

/* A byte of ones for each of the four planes. */
static uint32_t planes_mask(unsigned planes)
{
    return (planes & 1) * 0xffu | (planes >> 1 & 1) * 0xff00u | (planes >> 2 & 1) * 0xff0000u |
           (planes >> 3 & 1) * 0xff000000u;
}

static uint32_t in_all_planes(uint8_t byte)
{
    return byte * 0x01010101u;
}

/* Where the memory is in the window, by the memory map select. */
struct mapping {
    unsigned first, size;
};

static struct mapping mapping_of(const struct vga *vga)
{
    static const struct mapping mappings[] = {
        {0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    return mappings[vga->gc[GC_MISC] >> GC_MISC_MAP_SHIFT & 3];
}

static unsigned bank_of(const struct vga *vga)
{
    return (unsigned)vga->vbe[VBE_BANK] << 16;
}

/* The address in memory of an offset in the window; false: nothing is there. */
static bool find(const struct vga *vga, uint64_t offset, unsigned *address)
{
    struct mapping mapping = mapping_of(vga);
    if (!(vga->misc & MISC_RAM) || offset - mapping.first >= mapping.size)
        return false;
    *address = (unsigned)offset - mapping.first + bank_of(vga);
    return true;
}

/* What a write puts on the planes: write modes 0 to 3, with `enabled` as the bits that come from
 * the data instead of the latch. */
static uint32_t data_of(const struct vga *vga, uint8_t value, uint8_t *enabled)
{
    const uint8_t *gc = vga->gc;
    unsigned rotate = gc[GC_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate));
    uint32_t set_reset = planes_mask(gc[GC_SET_RESET]);
    uint32_t by_set_reset = planes_mask(gc[GC_ENABLE_SET_RESET]);
    *enabled = gc[GC_BIT_MASK];
    switch (gc[GC_MODE] & 3) {
    case 0:
        return (in_all_planes(rotated) & ~by_set_reset) | (set_reset & by_set_reset);
    case 2:
        return planes_mask(value);
    default:
        *enabled &= rotated;
        return set_reset;
    }
}

static uint32_t apply_function(const struct vga *vga, uint32_t data)
{
    switch (vga->gc[GC_ROTATE] >> 3) {
    case FUNCTION_AND:
        return data & vga->latch;
    case FUNCTION_OR:
        return data | vga->latch;
    case FUNCTION_XOR:
        return data ^ vga->latch;
    default:
        return data;
    }
}

static uint32_t planes_after(const struct vga *vga, uint8_t value)
{
    uint8_t enabled;
    if ((vga->gc[GC_MODE] & 3) == 1)
        return vga->latch;
    uint32_t data = apply_function(vga, data_of(vga, value, &enabled));
    uint32_t bits = in_all_planes(enabled);
    return (data & bits) | (vga->latch & ~bits);
}

static void store_dword(struct vga *vga, unsigned dword, uint32_t value, unsigned planes)
{
    if (dword >= VGA_DWORDS)
        return;
    uint8_t *at = vga->memory + 4 * (size_t)dword;
    uint32_t mask = planes_mask(planes & vga->seq[SEQ_MAP_MASK]);
    store_le(at, (load_le(at, 4) & ~mask) | (value & mask), 4);
    direct_ram_note(&vga->frame_buffer, 4 * (uint64_t)dword);
}

static void write_byte(struct vga *vga, unsigned address, uint8_t value)
{
    if (vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN_4)
        store_dword(vga, address >> 2, in_all_planes(value), 1u << (address & 3));
    else if (vga->gc[GC_MODE] & GC_MODE_ODD_EVEN)
        store_dword(vga, address >> 1, planes_after(vga, value), address & 1 ? 0xa : 0x5);
    else
        store_dword(vga, address, planes_after(vga, value), 0xf);
}

/* Read mode 1: the bits whose planes, as far as anyone cares, have the colour. */
static uint8_t compare(const struct vga *vga)
{
    uint32_t differ =
        (vga->latch ^ planes_mask(vga->gc[GC_COMPARE])) & planes_mask(vga->gc[GC_DONT_CARE]);
    differ |= differ >> 16;
    differ |= differ >> 8;
    return (uint8_t)~differ;
}

static uint8_t read_byte(struct vga *vga, unsigned address)
{
    bool chain_4 = vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN_4;
    bool odd_even = vga->gc[GC_MODE] & GC_MODE_ODD_EVEN;
    unsigned dword = chain_4 ? address >> 2 : odd_even ? address >> 1 : address;
    unsigned plane = vga->gc[GC_READ_MAP];
    if (dword >= VGA_DWORDS)
        return 0xff;
    vga->latch = (uint32_t)load_le(vga->memory + 4 * (size_t)dword, 4);
    if (chain_4)
        plane = address & 3;
    else if (vga->gc[GC_MODE] & GC_MODE_READ_COMPARE)
        return compare(vga);
    else if (odd_even)
        plane = (plane & 2) | (address & 1);
    return (uint8_t)(vga->latch >> 8 * plane);
}

static uint64_t window_read(void *device, uint64_t offset, unsigned size)
{
    struct vga *vga = device;
    uint64_t value = 0;
    for (unsigned i = 0, address; i < size; i++) {
        uint8_t byte = find(vga, offset + i, &address) ? read_byte(vga, address) : 0xff;
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static void window_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *vga = device;
    for (unsigned i = 0, address; i < size; i++) {
        if (find(vga, offset + i, &address))
            write_byte(vga, address, (uint8_t)(value >> 8 * i));
    }
}

const struct bus_ops vga_window_ops = {"VGA memory", window_read, window_write, 1, 8};

/* --- The window as memory that the guest reaches by itself */

static bool is_plain(const struct vga *vga)
{
    return vga->config.direct.ops && vga->misc & MISC_RAM &&
           vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN_4 && vga->seq[SEQ_MAP_MASK] == 0xf;
}

void vga_update_window(struct vga *vga)
{
    const struct direct_memory *direct = &vga->config.direct;
    struct mapping mapping = mapping_of(vga);
    unsigned bank = bank_of(vga);
    bool plain = is_plain(vga) && bank + mapping.size <= VGA_MEMORY;
    uint64_t base = plain ? VGA_WINDOW_BASE + mapping.first : 0;
    if (base == vga->window_base &&
        (!base || (vga->window.bytes == vga->memory + bank && vga->window.size == mapping.size)))
        return;
    if (vga->window_base)
        direct->ops->hide(direct->opaque, &vga->window);
    vga->window_base = 0;
    if (!plain)
        return;
    vga->window = vga->frame_buffer;
    vga->window.bytes += bank;
    vga->window.written += bank >> PAGE_SHIFT;
    vga->window.size = mapping.size;
    if (direct->ops->show(direct->opaque, &vga->window, base))
        vga->window_base = base;
}
