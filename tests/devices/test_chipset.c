/* Host bridge, ISA bridge and power management, by their registers. */
#include "devices/misc/reset_control.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix3.h"
#include "devices/pci/piix4_pm.h"
#include "devices/timer/acpi_pm.h"

#include "probe.h"

#define SMRAM 0x72

static struct bus *bus;
static struct clock *clock;
static struct pci_bus *pci;
static struct i440fx *host;
static struct piix3 *isa;
static struct acpi_pm *pm;
static struct piix4_pm *piix4;
static struct probe smi, reset;
static struct reset_control reset_control;
static char segments[I440FX_SEGMENTS + 1]; /* "-", "r", "w" or "b" for both */
static bool smram_for_all, smram_in_smm, irqs[16];

static void show_segment(void *opaque, unsigned segment, bool reads, bool writes)
{
    (void)opaque;
    segments[segment] = reads && writes ? 'b' : reads ? 'r' : writes ? 'w' : '-';
}

static void show_smram(void *opaque, bool all, bool smm)
{
    (void)opaque;
    smram_for_all = all;
    smram_in_smm = smm;
}

static void set_irq(void *opaque, unsigned irq, bool level)
{
    (void)opaque;
    irqs[irq] = level;
}

static void setup(void)
{
    bus = bus_create();
    clock = clock_create_manual();
    pci = pci_bus_create(&(struct pci_bus_config){.bus = bus});
    smi = reset = (struct probe){0};
    reset_control = (struct reset_control){.reset = probe_line(&reset)};
    host = i440fx_create(&(struct i440fx_config){
        .bus = pci,
        .show_segment = show_segment,
        .show_smram = show_smram,
        .narrow_ops = &reset_control_ops,
        .narrow = &reset_control,
    });
    isa = piix3_create(&(struct piix3_config){.bus = pci, .set_irq = set_irq});
    pm = acpi_pm_create(
        &(struct acpi_pm_config){.bus = bus, .clock = clock, .smi = probe_line(&smi)});
    piix4 = piix4_pm_create(&(struct piix4_pm_config){.bus = pci, .ports = bus, .pm = pm});
    map(bus, BUS_PORT, I440FX_ADDRESS_PORT, 4, &i440fx_address_ops, host);
    map(bus, BUS_PORT, I440FX_DATA_PORT, 4, &i440fx_data_ops, host);
    pci_bus_reset(pci);
}

static void teardown(void)
{
    piix4_pm_destroy(piix4);
    acpi_pm_destroy(pm);
    piix3_destroy(isa);
    i440fx_destroy(host);
    pci_bus_destroy(pci);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(chipset, .init = setup, .fini = teardown);

static void address(unsigned slot, unsigned function, unsigned offset)
{
    out32(bus, 0xcf8, 0x80000000 | slot << 11 | function << 8 | offset);
}

static void write_config(unsigned slot, unsigned function, unsigned offset, uint32_t value,
                         unsigned size)
{
    address(slot, function, offset & ~3u);
    bus_write(bus, BUS_PORT, 0xcfc + (offset & 3), value, size);
}

static uint32_t read_config(unsigned slot, unsigned function, unsigned offset, unsigned size)
{
    address(slot, function, offset & ~3u);
    return (uint32_t)bus_read(bus, BUS_PORT, 0xcfc + (offset & 3), size);
}

Test(chipset, configuration_mechanism_1)
{
    cr_expect_eq(read_config(0, 0, 0, 4), 0x12378086);
    cr_expect_eq(read_config(1, 0, 0, 4), 0x70008086);
    cr_expect_eq(read_config(1, 3, 0, 4), 0x71138086);
    cr_expect_eq(read_config(0, 0, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    cr_expect_eq(read_config(1, 0, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTIFUNCTION);
    cr_expect_eq(read_config(1, 3, PCI_REVISION_ID, 4), 0x06800003);
    cr_expect_eq(read_config(2, 0, 0, 4), UINT32_MAX);
    cr_expect_eq(in32(bus, 0xcf8), 0x80001000);
    out32(bus, 0xcf8, 0x00000000);
    cr_expect_eq(in32(bus, 0xcfc), UINT32_MAX, "not enabled");
    out32(bus, 0xcf8, 0x80010000);
    cr_expect_eq(in32(bus, 0xcfc), UINT32_MAX, "there is no bus 1");
    out32(bus, 0xcf8, UINT32_MAX);
    cr_expect_eq(in32(bus, 0xcf8), 0x80fffffc);
}

Test(chipset, narrow_accesses_are_not_the_address_register)
{
    out32(bus, 0xcf8, 0x80000000);
    out8(bus, 0xcf8, 0x55);
    cr_expect_eq(in32(bus, 0xcf8), 0x80000000);
    cr_expect_eq(in8(bus, 0xcf8), 0xff);
    out8(bus, 0xcf9, 2);
    cr_expect_eq(in8(bus, 0xcf9), 2);
    out8(bus, 0xcf9, 6);
    cr_expect_eq(reset.rises, 1);
}

Test(chipset, pam)
{
    cr_expect_str_eq(segments, "-------------");
    write_config(0, 0, 0x59, 0x30, 1);
    cr_expect_str_eq(segments, "b------------");
    write_config(0, 0, 0x5a, 0x21, 1);
    cr_expect_str_eq(segments, "brw----------");
    write_config(0, 0, 0x5c, 0xffffffff, 4);
    cr_expect_str_eq(segments, "brw--bbbbbbbb");
    cr_expect_eq(read_config(0, 0, 0x5c, 4), 0x33333333);
    cr_expect_eq(i440fx_segment_base(0), 0xf0000);
    cr_expect_eq(i440fx_segment_base(12) + i440fx_segment_size(12), 0xf0000);
    pci_bus_reset(pci);
    cr_expect_str_eq(segments, "-------------");
    i440fx_shadow(host);
    cr_expect_str_eq(segments, "bbbbbbbbbbbbb");
}

Test(chipset, smram)
{
    cr_expect_eq(read_config(0, 0, SMRAM, 1), 0x02);
    cr_expect(!smram_for_all && !smram_in_smm);
    write_config(0, 0, SMRAM, 0x4a, 1);
    cr_expect(smram_for_all && smram_in_smm, "open");
    write_config(0, 0, SMRAM, 0x0a, 1);
    cr_expect(!smram_for_all && smram_in_smm, "closed");
    write_config(0, 0, SMRAM, 0x5a, 1);
    cr_expect_eq(read_config(0, 0, SMRAM, 1), 0x1a, "the lock closes it");
    cr_expect(!smram_for_all && smram_in_smm);
    write_config(0, 0, SMRAM, 0x60, 1);
    cr_expect_eq(read_config(0, 0, SMRAM, 1), 0x3a, "only D_CLS can be written");
    cr_expect(!smram_for_all && smram_in_smm);
    pci_bus_reset(pci);
    write_config(0, 0, SMRAM, 0x4a, 1);
    cr_expect(smram_for_all);
}

Test(chipset, pirq_routing)
{
    cr_expect_eq(read_config(1, 0, PIIX3_PIRQRC, 4), 0x80808080);
    piix3_set_pirq(isa, 0, true);
    write_config(1, 0, PIIX3_PIRQRC, 0x0b0b0a0a, 4);
    cr_expect(irqs[10] && !irqs[11]);
    piix3_set_pirq(isa, 1, true);
    piix3_set_pirq(isa, 0, false);
    cr_expect(irqs[10], "two lines share it");
    write_config(1, 0, PIIX3_PIRQRC + 1, 5, 1);
    cr_expect(!irqs[10] && irqs[5], "a level moves with its route");
    write_config(1, 0, PIIX3_PIRQRC + 1, 0x85, 1);
    cr_expect(!irqs[5]);
    write_config(1, 0, PIIX3_PIRQRC + 1, 8, 1);
    cr_expect(!irqs[8], "reserved");
    write_config(1, 0, PIIX3_PIRQRC + 1, 9, 1);
    cr_expect(irqs[9]);
    pci_bus_reset(pci);
    cr_expect(!irqs[9]);
}

Test(chipset, power_management_ports_move)
{
    cr_expect_eq(bus_read(bus, BUS_PORT, 0x604, 2), 0xffff);
    write_config(1, 3, PIIX4_PMBASE, 0x600, 4);
    cr_expect_eq(read_config(1, 3, PIIX4_PMBASE, 4), 0x601);
    cr_expect_eq(bus_read(bus, BUS_PORT, 0x604, 2), 0xffff, "not enabled");
    write_config(1, 3, PIIX4_PMREGMISC, 1, 1);
    cr_expect_eq(bus_read(bus, BUS_PORT, 0x604, 2), 0);
    clock_step(clock, NS_PER_SECOND);
    cr_expect_eq(in32(bus, 0x608), 3579545);
    write_config(1, 3, PIIX4_PMBASE, 0xb000, 4);
    cr_expect_eq(bus_read(bus, BUS_PORT, 0x604, 2), 0xffff);
    cr_expect_eq(in32(bus, 0xb008), 3579545);
    write_config(1, 3, PIIX4_PMBASE, 0xcf8 & ~0x3fu, 4);
    cr_expect_eq(in32(bus, 0xcc8), UINT32_MAX, "not over other ports");
    pci_bus_reset(pci);
    cr_expect_eq(in32(bus, 0xb008), UINT32_MAX);
}

Test(chipset, smi_command)
{
    map(bus, BUS_PORT, ACPI_SMI_PORT, 2, &acpi_smi_ops, pm);
    write_config(1, 3, PIIX4_PMBASE, 0x600, 4);
    write_config(1, 3, PIIX4_PMREGMISC, 1, 1);
    out32(bus, ACPI_GLOBAL_CONTROL_PORT, 1);
    out8(bus, ACPI_SMI_PORT, 0);
    cr_expect_eq(smi.rises, 0);
    write_config(1, 3, PIIX4_DEVACTB, PIIX4_APMC_ENABLE, 4);
    out8(bus, ACPI_SMI_PORT, 0);
    cr_expect_eq(smi.rises, 1);
}

Test(chipset, smbus_without_slaves)
{
    write_config(1, 3, PIIX4_SMBBA, 0x700, 4);
    cr_expect_eq(in8(bus, 0x700), 0xff);
    write_config(1, 3, PIIX4_SMBHSTCFG, 1, 1);
    cr_expect_eq(in8(bus, 0x700), 0);
    out8(bus, 0x704, 0xa1);
    out8(bus, 0x702, 0x48);
    cr_expect_eq(in8(bus, 0x700), 4, "nobody acknowledges");
    cr_expect_eq(in8(bus, 0x702), 0x08, "START is not kept");
    cr_expect_eq(in8(bus, 0x704), 0xa1);
    out8(bus, 0x700, 0x1e);
    cr_expect_eq(in8(bus, 0x700), 0);
    cr_expect_eq(in8(bus, 0x70f), 0);
}
