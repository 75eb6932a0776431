/* QEMU's pci-testdev (1b36:0005; docs/specs/pci-testdev), which kvm-unit-tests drive: BAR 0 in
 * memory and BAR 1 in I/O space count writes. All calls with the bus lock held, or before the vCPU
 * starts. */
#ifndef DOPPEL_DEVICES_MISC_PCI_TESTDEV_H
#define DOPPEL_DEVICES_MISC_PCI_TESTDEV_H

struct pci_function;
struct pci_testdev;

/* NULL: no memory. */
struct pci_testdev *pci_testdev_create(void);
void pci_testdev_destroy(struct pci_testdev *testdev);
struct pci_function *pci_testdev_function(struct pci_testdev *testdev);

#endif
