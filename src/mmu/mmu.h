/* Guest memory by linear address: page walk, soft TLB fills and flushes, slow loads and stores.
 *
 * All calls are for the vCPU's own thread. None raises a guest exception: faults are returned and
 * cpu/ delivers them. */
#ifndef DOPPEL_MMU_MMU_H
#define DOPPEL_MMU_MMU_H

#include "base/types.h"
#include "mmu/tlb.h"

struct cpu;

enum mmu_access { MMU_READ, MMU_WRITE, MMU_EXECUTE };

/* Page-fault error code bits (SDM vol. 3, 4.7). */
enum pf_error { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

enum mmu_status {
    MMU_OK,
    MMU_PAGE_FAULT,    /* fault.address, fault.error */
    MMU_NON_CANONICAL, /* #GP(0), or #SS(0) through the stack segment */
};

struct mmu_fault {
    gva_t address;
    uint32_t error; /* enum pf_error */
};

/* Creates and destroys cpu->tlbs. Returns false where memory is short. */
bool mmu_init(struct cpu *cpu);
void mmu_free(struct cpu *cpu);

/* Loads and stores size (1 to 64) bytes at va with the rights of view, through the TLB, across
 * pages and to devices. Faults come before any byte is stored, and before any device is touched. A
 * write to a page that holds decoded code invalidates the blocks it overlaps (phys_code_written()).
 */
enum mmu_status mmu_read(struct cpu *cpu, enum tlb_view view, gva_t va, void *data, unsigned size,
                         struct mmu_fault *fault);
enum mmu_status mmu_write(struct cpu *cpu, enum tlb_view view, gva_t va, const void *data,
                          unsigned size, struct mmu_fault *fault);

/* Where a store of size bytes at va goes that misses the TLB only because its page holds decoded
 * code, while its bytes do not: the caller may then store there. NULL: mmu_write() must do it. */
uint8_t *mmu_store_beside_code(struct cpu *cpu, enum tlb_view view, gva_t va, unsigned size);

/* A store of the CPU's own to RAM at gpa, at an instruction that ends its block. */
void mmu_write_physical(struct cpu *cpu, gpa_t gpa, const void *data, unsigned size);

/* Whether a write of size bytes at va would succeed; sets A and D bits as the write would. */
enum mmu_status mmu_probe_write(struct cpu *cpu, enum tlb_view view, gva_t va, unsigned size,
                                struct mmu_fault *fault);

/* Fills the TLB for an access that translated code is about to make; the last kind is a read that a
 * write will follow. False: the access is not one to ordinary RAM within a page, or would fault,
 * or marks an entry in a page with code. Uses general registers only. */
enum mmu_refill { MMU_REFILL_READ, MMU_REFILL_WRITE, MMU_REFILL_READ_TO_WRITE };
bool mmu_refill(struct cpu *cpu, gva_t va, enum mmu_refill kind);

/* Copies size (2 to 4096) bytes at va that lie in two pages which the TLB has for reading; false:
 * they do not. Up to 7 bytes before and behind them may be changed, too. Likewise. */
bool mmu_read_across(struct cpu *cpu, gva_t va, uint8_t *data, unsigned size);

/* The guest-physical address of va for instruction fetch in the current mode, and what kind of
 * translation gave it: enum tlb_flag. */
enum mmu_status mmu_fetch(struct cpu *cpu, gva_t va, gpa_t *gpa, unsigned *flags,
                          struct mmu_fault *fault);

/* Copies up to size code bytes at va, crossing into the next page only if it can be fetched.
 * Returns the count; where it is 0, or less than size because of a fault in the next page, *status
 * and *fault say what the fetch of the byte after the last one meets. */
unsigned mmu_fetch_bytes(struct cpu *cpu, gva_t va, uint8_t *bytes, unsigned size,
                         enum mmu_status *status, struct mmu_fault *fault);

/* The translation of va without access checks, faults or A/D updates, for debuggers and reports. */
bool mmu_debug_translate(struct cpu *cpu, gva_t va, gpa_t *gpa);

/* Makes cpu->tlb point to the view of cpu->mode in the bank of the current PCID, whose views
 * cpu->tlb_view holds. */
void mmu_select_view(struct cpu *cpu);

/* MOV to CR3: selects the bank of the new PCID (CR3 bits 11:0 under CR4.PCIDE), flushing its
 * non-global entries unless keep. cpu->cr3 is already the new value, without bit 63. */
void mmu_switch_space(struct cpu *cpu, bool keep);

/* Everything goes, global pages too: changes of CR0.PG, CR4.PGE, PSE, PAE, SMEP, SMAP, PCIDE,
 * EFER.NXE, CR0.WP, A20. */
void mmu_flush_all(struct cpu *cpu);

/* INVLPG: va of the current PCID and global translations of it in all banks, and every fragment of
 * a large page around it. */
void mmu_invlpg(struct cpu *cpu, gva_t va);

/* INVPCID (SDM vol. 2): types 0 (address), 1 (single PCID), 2 (all with global), 3 (all but
 * global). */
void mmu_invpcid(struct cpu *cpu, unsigned type, uint16_t pcid, gva_t va);

/* Takes write access to a guest-physical page out of all entries: it holds decoded code now. */
void mmu_protect_code_page(struct cpu *cpu, gpa_t page);

/* After a device has taken what was written to its memory (bus/direct_ram.h): notes the pages that
 * can still be written as written, and takes write access to them away, so that the next store to
 * each is noted. */
void mmu_rearm_direct(struct cpu *cpu);

/* cpu->space_epoch is a number that changes whenever a translation that mmu_fetch() gave may have,
 * but for global ones: jump caches are tagged with it. It comes back with its bank.
 * cpu->global_epoch does the same for global translations, whatever the bank. All are different. */

#endif
