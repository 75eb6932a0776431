#include "guest.h"

#include <criterion/criterion.h>

static struct guest guest;

static void setup(void)
{
    guest_create(&guest);
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(walk, .init = setup, .fini = teardown);

/* Where a read at va lands, told apart by what is stored there. */
static uint64_t load(gva_t va)
{
    uint64_t value = 0;
    struct mmu_fault fault = {0, 0};
    enum mmu_status status = mmu_read(guest.cpu, mode_view(guest.cpu->mode), va, &value, 8, &fault);
    cr_expect_eq(status, MMU_OK, "address %lx: status %d error %x", va, status, fault.error);
    return value;
}

#define EXPECT_FAULT(call, code)                                                                   \
    do {                                                                                           \
        struct mmu_fault fault = {0, 0xffff};                                                      \
        cr_expect_eq(call, MMU_PAGE_FAULT);                                                        \
        cr_expect_eq(fault.error, (uint32_t)(code), "%s: error %x, not %x", #call, fault.error,    \
                     (unsigned)(code));                                                            \
    } while (0)
#define EXPECT_OK(call)                                                                            \
    do {                                                                                           \
        struct mmu_fault fault = {0, 0};                                                           \
        cr_expect_eq(call, MMU_OK, "%s: error %x", #call, fault.error);                            \
    } while (0)

Test(walk, without_paging_linear_is_physical)
{
    put64(&guest, 0x5008, 0x1122334455667788);
    cr_expect_eq(load(0x5008), 0x1122334455667788);
    cr_expect_eq(load(0x100005008), 0x1122334455667788, "32 bits of it");
    cr_expect_eq(load(0x8000000), ~0ull, "absent memory");
}

Test(walk, four_levels)
{
    guest_long_mode(&guest);
    guest_map(&guest, 5, 0x9000 | P | RW);
    put64(&guest, 0x9010, 42);
    cr_expect_eq(load(0x5010), 42);
    cr_expect_eq(get64(&guest, PML4), PDPT | P | RW | US | A);
    cr_expect_eq(get64(&guest, PDPT), PD | P | RW | US | A);
    cr_expect_eq(get64(&guest, PD), PT | P | RW | US | A);
    cr_expect_eq(get64(&guest, PT + 8 * 5), 0x9000 | P | RW | A, "read: no D");
    EXPECT_OK(guest_write(&guest, 0x5010, &fault));
    cr_expect_eq(get64(&guest, PT + 8 * 5), 0x9000 | P | RW | A | D);
    cr_expect_eq(get64(&guest, 0x9010), 0x5a);
}

Test(walk, large_and_huge_pages)
{
    guest_long_mode(&guest);
    put64(&guest, PD + 8, 0x400000 | P | RW | PS);
    put64(&guest, PDPT + 8, 0 | P | RW | PS);
    put64(&guest, 0x412340, 0xabcdef);
    cr_expect_eq(load(0x212340), 0xabcdef);
    cr_expect_eq(get64(&guest, PD + 8), 0x400000 | P | RW | PS | A);
    cr_expect_eq(load(0x40412340), 0xabcdef);
    EXPECT_OK(guest_write(&guest, 0x40412340, &fault));
    cr_expect_eq(get64(&guest, PDPT + 8), P | RW | PS | A | D);
}

Test(walk, upper_half_and_canonical_addresses)
{
    guest_long_mode(&guest);
    struct mmu_fault fault;
    put64(&guest, PML4 + 8 * 511, PDPT | P | RW);
    guest_map(&guest, 3, 0xa000 | P | RW);
    put64(&guest, 0xa000, 7);
    cr_expect_eq(load(0xffffff8000003000), 7);
    cr_expect_eq(guest_read(&guest, 0x0000800000000000, &fault), MMU_NON_CANONICAL);
    cr_expect_eq(guest_read(&guest, 0xffff7fffffffffff, &fault), MMU_NON_CANONICAL);
    cr_expect_eq(guest_fetch(&guest, 0x8000000000000000, &fault), MMU_NON_CANONICAL);
    /* A datum that runs off the end of the lower half. */
    uint64_t value;
    put64(&guest, PML4 + 8 * 255, PDPT | P | RW);
    put64(&guest, PDPT + 8 * 511, PD | P | RW);
    put64(&guest, PD + 8 * 511, PT | P | RW);
    guest_map(&guest, 511, 0xb000 | P | RW);
    cr_expect_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x7ffffffffffc, &value, 8, &fault),
                 MMU_NON_CANONICAL);
}

Test(walk, not_present_at_each_level)
{
    guest_long_mode(&guest);
    EXPECT_FAULT(guest_read(&guest, 0x7000, &fault), 0);
    EXPECT_FAULT(guest_write(&guest, 0x7000, &fault), PF_W);
    EXPECT_FAULT(guest_fetch(&guest, 0x7000, &fault), PF_I);
    EXPECT_FAULT(guest_read(&guest, 0x600000, &fault), 0);
    EXPECT_FAULT(guest_read(&guest, 0x80000000, &fault), 0);
    EXPECT_FAULT(guest_read(&guest, 0x8000000000, &fault), 0);
    guest_set_view(&guest, TLB_VIEW_USER);
    EXPECT_FAULT(guest_read(&guest, 0x7000, &fault), PF_U);
    EXPECT_FAULT(guest_write(&guest, 0x7000, &fault), PF_U | PF_W);
    EXPECT_FAULT(guest_fetch(&guest, 0x7000, &fault), PF_U | PF_I);
    struct mmu_fault fault;
    guest_read(&guest, 0x7123, &fault);
    cr_expect_eq(fault.address, 0x7123);
}

Test(walk, fetch_bit_needs_nx_or_smep)
{
    guest_long_mode(&guest);
    guest.cpu->msr.efer &= ~EFER_NXE;
    EXPECT_FAULT(guest_fetch(&guest, 0x7000, &fault), 0);
    guest.cpu->cr4 |= CR4_SMEP;
    EXPECT_FAULT(guest_fetch(&guest, 0x7000, &fault), PF_I);
}

Test(walk, user_pages)
{
    guest_long_mode(&guest);
    guest_map(&guest, 1, 0x9000 | P | RW);
    guest_map(&guest, 2, 0x9000 | P | US);
    guest_map(&guest, 3, 0x9000 | P | RW | US | XD);
    guest_set_view(&guest, TLB_VIEW_USER);
    EXPECT_FAULT(guest_read(&guest, 0x1000, &fault), PF_P | PF_U);
    EXPECT_FAULT(guest_write(&guest, 0x1000, &fault), PF_P | PF_U | PF_W);
    EXPECT_FAULT(guest_fetch(&guest, 0x1000, &fault), PF_P | PF_U | PF_I);
    EXPECT_OK(guest_read(&guest, 0x2000, &fault));
    EXPECT_FAULT(guest_write(&guest, 0x2000, &fault), PF_P | PF_U | PF_W);
    EXPECT_OK(guest_fetch(&guest, 0x2000, &fault));
    EXPECT_OK(guest_write(&guest, 0x3000, &fault));
    EXPECT_FAULT(guest_fetch(&guest, 0x3000, &fault), PF_P | PF_U | PF_I);
    /* A page is the user's only if every level says so. */
    put64(&guest, PDPT, PD | P | RW);
    mmu_flush_all(guest.cpu);
    EXPECT_FAULT(guest_read(&guest, 0x2000, &fault), PF_P | PF_U);
}

Test(walk, read_only_at_any_level)
{
    guest_long_mode(&guest);
    guest_map(&guest, 1, 0x9000 | P | RW | US);
    put64(&guest, PD, PT | P | US);
    EXPECT_FAULT(guest_write(&guest, 0x1000, &fault), PF_P | PF_W);
    cr_expect_eq(get64(&guest, PT + 8) & (A | D), 0, "refused: neither accessed nor dirty");
    guest.cpu->cr0 &= ~CR0_WP;
    mmu_flush_all(guest.cpu);
    EXPECT_OK(guest_write(&guest, 0x1000, &fault));
    cr_expect(get64(&guest, PT + 8) & D);
    guest_set_view(&guest, TLB_VIEW_USER);
    EXPECT_FAULT(guest_write(&guest, 0x1000, &fault), PF_P | PF_U | PF_W);
}

Test(walk, nx_at_any_level)
{
    guest_long_mode(&guest);
    guest_map(&guest, 1, 0x9000 | P | RW | US);
    put64(&guest, PML4, PDPT | P | RW | US | XD);
    EXPECT_FAULT(guest_fetch(&guest, 0x1000, &fault), PF_P | PF_I);
    EXPECT_OK(guest_write(&guest, 0x1000, &fault));
    guest.cpu->msr.efer &= ~EFER_NXE;
    mmu_flush_all(guest.cpu);
    EXPECT_FAULT(guest_read(&guest, 0x1000, &fault), PF_P | PF_RSVD);
}

Test(walk, smep_and_smap)
{
    guest_long_mode(&guest);
    guest_map(&guest, 1, 0x9000 | P | RW | US);
    guest_map(&guest, 2, 0x9000 | P | RW);
    guest.cpu->cr4 |= CR4_SMEP | CR4_SMAP;
    EXPECT_FAULT(guest_fetch(&guest, 0x1000, &fault), PF_P | PF_I);
    EXPECT_FAULT(guest_read(&guest, 0x1000, &fault), PF_P);
    EXPECT_FAULT(guest_write(&guest, 0x1000, &fault), PF_P | PF_W);
    EXPECT_OK(guest_read(&guest, 0x2000, &fault));
    EXPECT_OK(guest_fetch(&guest, 0x2000, &fault));
    guest_set_view(&guest, TLB_VIEW_SUPERVISOR_AC);
    EXPECT_OK(guest_write(&guest, 0x1000, &fault));
    EXPECT_FAULT(guest_fetch(&guest, 0x1000, &fault), PF_P | PF_I);
    guest_set_view(&guest, TLB_VIEW_SUPERVISOR);
    EXPECT_FAULT(guest_read(&guest, 0x1000, &fault), PF_P);
    guest_set_view(&guest, TLB_VIEW_USER);
    EXPECT_OK(guest_read(&guest, 0x1000, &fault));
    EXPECT_OK(guest_fetch(&guest, 0x1000, &fault));
}

Test(walk, reserved_bits)
{
    guest_long_mode(&guest);
    static const struct {
        gpa_t slot;
        uint64_t entry;
        gva_t va;
    } bad[] = {
        {PML4 + 8 * 1, PDPT | P | PS, 0x8000000000},
        {PML4 + 8 * 1, PDPT | P | BIT(36), 0x8000000000},
        {PDPT + 8 * 1, PD | P | BIT(51), 0x40000000},
        {PDPT + 8 * 1, P | PS | BIT(13), 0x40000000},
        {PDPT + 8 * 1, P | PS | BIT(29), 0x40000000},
        {PD + 8 * 1, P | PS | BIT(20), 0x200000},
        {PD + 8 * 1, P | PS | BIT(13), 0x200000},
        {PT + 8 * 1, P | BIT(40), 0x1000},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        put64(&guest, bad[i].slot, bad[i].entry);
        EXPECT_FAULT(guest_read(&guest, bad[i].va, &fault), PF_P | PF_RSVD);
        put64(&guest, bad[i].slot, 0);
    }
    put64(&guest, PD + 8, 0x400000 | P | PS | BIT(12) | 0x7ff0000000000000);
    EXPECT_OK(guest_read(&guest, 0x200000, &fault)); /* PAT and ignored bits */
    guest_map(&guest, 1, 0x9000 | P | BIT(36));
    guest_set_view(&guest, TLB_VIEW_USER);
    EXPECT_FAULT(guest_write(&guest, 0x1000, &fault), PF_P | PF_RSVD | PF_W | PF_U);
}

Test(walk, tables_in_absent_memory)
{
    guest_long_mode(&guest);
    put64(&guest, PDPT + 8, 0x8000000 | P | RW); /* reads as all ones: reserved bits */
    EXPECT_FAULT(guest_read(&guest, 0x40000000, &fault), PF_P | PF_RSVD);
    guest.cpu->cr3 = 0x800000000;
    mmu_switch_space(guest.cpu, false);
    EXPECT_FAULT(guest_read(&guest, 0x1000, &fault), PF_P | PF_RSVD);
}

Test(walk, tables_in_rom)
{
    guest_long_mode(&guest);
    /* ROM cannot take the accessed bit: the walk goes on. "ROM" reads as an entry not present. */
    put64(&guest, PDPT + 8, ROM_BASE | P | RW);
    EXPECT_FAULT(guest_read(&guest, 0x40001000, &fault), 0);
}

/* 32-bit paging: directory at 1000h, table at 2000h. */
static void legacy_paging(uint64_t cr4)
{
    guest.cpu->cr0 = CR0_PE | CR0_PG | CR0_WP;
    guest.cpu->cr3 = 0x1000;
    guest.cpu->cr4 = cr4;
    guest.cpu->mode = DEC_MODE_32 | MODE_PROTECTED | MODE_PAGING;
    guest_set_view(&guest, TLB_VIEW_SUPERVISOR);
    mmu_flush_all(guest.cpu);
}

Test(walk, legacy_small_pages)
{
    legacy_paging(0);
    put32(&guest, 0x1000 + 4 * 0x300, 0x2000 | P | RW | US);
    put32(&guest, 0x2000 + 4 * 5, 0x9000 | P | RW);
    put64(&guest, 0x9018, 99);
    cr_expect_eq(load(0xc0005018), 99);
    cr_expect_eq(get32(&guest, 0x2000 + 4 * 5), 0x9000 | P | RW | A);
    EXPECT_OK(guest_write(&guest, 0xc0005018, &fault));
    cr_expect_eq(get32(&guest, 0x2000 + 4 * 5), 0x9000 | P | RW | A | D);
    cr_expect_eq(get32(&guest, 0x1000 + 4 * 0x300), 0x2000 | P | RW | US | A);
    EXPECT_FAULT(guest_fetch(&guest, 0xc0006000, &fault), 0);
    EXPECT_FAULT(guest_read(&guest, 0x1000, &fault), 0);
    guest_set_view(&guest, TLB_VIEW_USER);
    EXPECT_FAULT(guest_write(&guest, 0xc0005018, &fault), PF_P | PF_W | PF_U);
}

Test(walk, legacy_4_mib_pages)
{
    legacy_paging(CR4_PSE);
    put32(&guest, 0x1000 + 4 * 1, 0x800000 | P | RW | PS);
    put64(&guest, 0x812340, 5);
    cr_expect_eq(load(0x412340), 5);
    EXPECT_OK(guest_write(&guest, 0x412340, &fault));
    cr_expect_eq(get32(&guest, 0x1004), 0x800000 | P | RW | PS | A | D);
    /* PSE-36: bits 16:13 are address bits 35:32 here; 17 and up are reserved, and bit 21. */
    put32(&guest, 0x1000 + 4 * 2, P | RW | PS | 1u << 13);
    cr_expect_eq(load(0x800000), ~0ull, "at 4 GiB there is nothing");
    put32(&guest, 0x1000 + 4 * 3, P | RW | PS | 1u << 17);
    EXPECT_FAULT(guest_read(&guest, 0xc00000, &fault), PF_P | PF_RSVD);
    put32(&guest, 0x1000 + 4 * 3, P | RW | PS | 1u << 21);
    EXPECT_FAULT(guest_read(&guest, 0xc00000, &fault), PF_P | PF_RSVD);
    /* Without CR4.PSE the bit is ignored. */
    legacy_paging(0);
    put32(&guest, 0x1000 + 4 * 4, 0x2000 | P | RW | PS);
    put32(&guest, 0x2000, 0x9000 | P);
    put64(&guest, 0x9000, 77);
    cr_expect_eq(load(0x1000000), 77);
}

Test(walk, pae)
{
    legacy_paging(CR4_PAE);
    guest.cpu->msr.efer = EFER_NXE;
    guest.cpu->pdpte[3] = 0x3000 | P;
    put64(&guest, 0x3000, PT | P | RW | US);
    put64(&guest, 0x3008, 0x400000 | P | RW | US | PS);
    guest_map(&guest, 1, 0x9000 | P | RW | XD);
    put64(&guest, 0x9000, 11);
    put64(&guest, 0x400018, 12);
    cr_expect_eq(load(0xc0001000), 11);
    cr_expect_eq(load(0xc0200018), 12);
    EXPECT_FAULT(guest_fetch(&guest, 0xc0001000, &fault), PF_P | PF_I);
    EXPECT_OK(guest_fetch(&guest, 0xc0200000, &fault));
    EXPECT_FAULT(guest_read(&guest, 0x80000000, &fault), 0);
    guest_map(&guest, 2, 0x9000 | P | BIT(52));
    EXPECT_FAULT(guest_read(&guest, 0xc0002000, &fault), PF_P | PF_RSVD);
    put64(&guest, 0x3010, P | PS | BIT(13));
    EXPECT_FAULT(guest_read(&guest, 0xc0400000, &fault), PF_P | PF_RSVD);
}

Test(walk, debug_translation_leaves_no_trace)
{
    guest_long_mode(&guest);
    gpa_t gpa = 0;
    guest_map(&guest, 5, 0x9000 | P);
    guest.cpu->cr4 |= CR4_SMAP;
    cr_expect(mmu_debug_translate(guest.cpu, 0x5123, &gpa));
    cr_expect_eq(gpa, 0x9123);
    cr_expect_eq(get64(&guest, PT + 8 * 5), 0x9000 | P);
    cr_expect_eq(get64(&guest, PML4) & A, 0);
    cr_expect_not(mmu_debug_translate(guest.cpu, 0x6000, &gpa));
    cr_expect_not(mmu_debug_translate(guest.cpu, 1ull << 63, &gpa));
}
