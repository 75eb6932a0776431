#include "guest.h"

#include "bus/bus.h"

#include <criterion/criterion.h>

static struct guest guest;

static void setup(void)
{
    guest_create(&guest);
    guest_long_mode(&guest);
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(tlb, .init = setup, .fini = teardown);

/* What the inline lookup of cpu/access.h finds in the current view. */
static bool hits_read(gva_t va)
{
    return (va ^ guest.cpu->tlb[tlb_index(va)].read_tag) < PAGE_SIZE;
}

static bool hits_write(gva_t va)
{
    return (va ^ guest.cpu->tlb[tlb_index(va)].write_tag) < PAGE_SIZE;
}

static void touch(gva_t va)
{
    struct mmu_fault fault;
    cr_assert_eq(guest_read(&guest, va, &fault), MMU_OK);
}

static void dirty(gva_t va)
{
    struct mmu_fault fault;
    cr_assert_eq(guest_write(&guest, va, &fault), MMU_OK);
}

Test(tlb, nothing_matches_an_empty_table)
{
    for (gva_t page = 0; page < 2 * TLB_ENTRIES; page++) {
        cr_assert_not(hits_read(page << PAGE_SHIFT));
        cr_assert_not(hits_write(page << PAGE_SHIFT));
    }
}

Test(tlb, write_tag_only_when_dirty)
{
    guest_map(&guest, 0, 0x9000 | P | RW);
    touch(0);
    cr_expect(hits_read(0));
    cr_expect_not(hits_write(0));
    dirty(0);
    cr_expect(hits_write(0));
    guest_map(&guest, 1, 0x9000 | P | RW | A | D);
    touch(0x1000);
    cr_expect(hits_write(0x1000), "dirty already");
    guest_map(&guest, 2, 0x9000 | P | A | D);
    touch(0x2000);
    cr_expect_not(hits_write(0x2000), "read-only");
}

Test(tlb, views_are_apart)
{
    guest.cpu->cr4 |= CR4_SMAP;
    guest_map(&guest, 1, 0x9000 | P | RW | US);
    guest_set_view(&guest, TLB_VIEW_USER);
    dirty(0x1000);
    cr_expect(hits_write(0x1000));
    guest_set_view(&guest, TLB_VIEW_SUPERVISOR);
    cr_expect_not(hits_read(0x1000));
    guest_set_view(&guest, TLB_VIEW_SUPERVISOR_AC);
    cr_expect_not(hits_read(0x1000));
    touch(0x1000);
    cr_expect(hits_read(0x1000));
}

Test(tlb, a_stale_translation_lives_until_invlpg)
{
    guest_map(&guest, 1, 0x9000 | P | RW);
    guest_map(&guest, 2, 0x9000 | P | RW);
    dirty(0x1000);
    dirty(0x2000);
    uint32_t epoch = guest.cpu->space_epoch;
    guest_map(&guest, 1, 0);
    touch(0x1000);
    mmu_invlpg(guest.cpu, 0x1fff);
    cr_expect_not(hits_read(0x1000));
    cr_expect_not(hits_write(0x1000));
    cr_expect(hits_write(0x2000));
    cr_expect_eq(guest.cpu->space_epoch, epoch, "nothing was fetched from there");
    struct mmu_fault fault;
    cr_expect_eq(guest_read(&guest, 0x1000, &fault), MMU_PAGE_FAULT);
}

Test(tlb, fetches_make_invlpg_change_the_epoch)
{
    struct mmu_fault fault;
    guest_map(&guest, 1, 0x9000 | P | RW);
    cr_assert_eq(guest_fetch(&guest, 0x1000, &fault), MMU_OK);
    uint32_t epoch = guest.cpu->space_epoch;
    guest_map(&guest, 1, 0);
    cr_expect_eq(guest_fetch(&guest, 0x1000, &fault), MMU_OK, "still in the TLB");
    mmu_invlpg(guest.cpu, 0x1000);
    cr_expect_neq(guest.cpu->space_epoch, epoch);
    cr_expect_eq(guest_fetch(&guest, 0x1000, &fault), MMU_PAGE_FAULT);
}

Test(tlb, a_fetch_that_hits_counts_in_the_new_epoch_too)
{
    struct mmu_fault fault;
    guest_map(&guest, 1, 0x9000 | P | RW);
    guest_map(&guest, 2, 0x9000 | P | RW);
    cr_assert_eq(guest_fetch(&guest, 0x1000, &fault), MMU_OK);
    cr_assert_eq(guest_fetch(&guest, 0x2000, &fault), MMU_OK);
    mmu_invlpg(guest.cpu, 0x1000);
    uint32_t epoch = guest.cpu->space_epoch;
    cr_assert_eq(guest_fetch(&guest, 0x2000, &fault), MMU_OK);
    mmu_invlpg(guest.cpu, 0x2000);
    cr_expect_neq(guest.cpu->space_epoch, epoch);
}

Test(tlb, cr3_keeps_global_pages)
{
    guest_map(&guest, 1, 0x9000 | P | RW | G);
    guest_map(&guest, 2, 0x9000 | P | RW);
    touch(0x1000);
    touch(0x2000);
    uint32_t epoch = guest.cpu->space_epoch;
    mmu_switch_space(guest.cpu, false);
    cr_expect(hits_read(0x1000));
    cr_expect_not(hits_read(0x2000));
    cr_expect_neq(guest.cpu->space_epoch, epoch);
    touch(0x2000);
    cr_expect(hits_read(0x2000), "enters again after the flush");
    mmu_flush_all(guest.cpu);
    cr_expect_not(hits_read(0x1000));
    cr_expect_not(hits_read(0x2000));
}

Test(tlb, without_pge_nothing_is_global)
{
    guest.cpu->cr4 &= ~CR4_PGE;
    guest_map(&guest, 1, 0x9000 | P | RW | G);
    touch(0x1000);
    mmu_switch_space(guest.cpu, false);
    cr_expect_not(hits_read(0x1000));
}

Test(tlb, global_fetches_have_an_epoch_of_their_own)
{
    struct mmu_fault fault;
    struct cpu *cpu = guest.cpu;
    guest_map(&guest, 1, 0x9000 | P | RW | G);
    guest_map(&guest, 2, 0x9000 | P | RW);
    cr_assert_eq(guest_fetch(&guest, 0x1000, &fault), MMU_OK);
    cr_assert_eq(guest_fetch(&guest, 0x2000, &fault), MMU_OK);
    uint32_t epoch = cpu->global_epoch, space = cpu->space_epoch;
    mmu_invlpg(cpu, 0x1000);
    cr_expect_neq(cpu->global_epoch, epoch);
    cr_expect_eq(cpu->space_epoch, space);
    epoch = cpu->global_epoch;
    mmu_invlpg(cpu, 0x2000);
    mmu_switch_space(cpu, false);
    cr_expect_eq(cpu->global_epoch, epoch);
    cr_expect_neq(cpu->space_epoch, space);
    mmu_flush_all(cpu);
    cr_expect_neq(cpu->global_epoch, epoch);
    cr_expect_neq(cpu->global_epoch, cpu->space_epoch);
}

static void switch_pcid(uint16_t pcid, bool keep)
{
    guest.cpu->cr3 = PML4 | pcid;
    mmu_switch_space(guest.cpu, keep);
}

Test(tlb, banks_by_pcid)
{
    guest.cpu->cr4 |= CR4_PCIDE;
    guest_map(&guest, 1, 0x9000 | P | RW);
    switch_pcid(1, false);
    touch(0x1000);
    uint32_t epoch = guest.cpu->space_epoch;
    switch_pcid(2, false);
    cr_expect_not(hits_read(0x1000));
    cr_expect_neq(guest.cpu->space_epoch, epoch);
    switch_pcid(1, true);
    cr_expect(hits_read(0x1000), "bit 63 keeps");
    cr_expect_eq(guest.cpu->space_epoch, epoch);
    switch_pcid(2, true);
    switch_pcid(1, false);
    cr_expect_not(hits_read(0x1000));
}

Test(tlb, the_oldest_bank_is_reused)
{
    guest.cpu->cr4 |= CR4_PCIDE;
    guest_map(&guest, 1, 0x9000 | P | RW);
    for (uint16_t pcid = 1; pcid <= TLB_BANKS; pcid++) {
        switch_pcid(pcid, true);
        cr_expect_not(hits_read(0x1000));
        touch(0x1000);
    }
    switch_pcid(1, true);
    cr_expect(hits_read(0x1000));
    switch_pcid(100, true); /* in the place of PCID 2 */
    cr_expect_not(hits_read(0x1000));
    switch_pcid(3, true);
    cr_expect(hits_read(0x1000));
    switch_pcid(2, true);
    cr_expect_not(hits_read(0x1000));
}

Test(tlb, invlpg_reaches_global_pages_of_other_banks)
{
    guest.cpu->cr4 |= CR4_PCIDE;
    guest_map(&guest, 1, 0x9000 | P | RW | G);
    guest_map(&guest, 2, 0x9000 | P | RW);
    switch_pcid(1, false);
    touch(0x1000);
    touch(0x2000);
    switch_pcid(2, false);
    mmu_invlpg(guest.cpu, 0x1000);
    mmu_invlpg(guest.cpu, 0x2000);
    switch_pcid(1, true);
    cr_expect_not(hits_read(0x1000));
    cr_expect(hits_read(0x2000), "not global, another PCID");
}

Test(tlb, invlpg_of_a_global_page_fetched_in_another_bank)
{
    struct mmu_fault fault;
    guest.cpu->cr4 |= CR4_PCIDE;
    guest_map(&guest, 1, 0x9000 | P | RW | G);
    switch_pcid(1, false);
    cr_assert_eq(guest_fetch(&guest, 0x1000, &fault), MMU_OK);
    uint32_t epoch = guest.cpu->global_epoch;
    switch_pcid(2, false);
    cr_expect_eq(guest.cpu->global_epoch, epoch);
    mmu_invlpg(guest.cpu, 0x1000);
    cr_expect_neq(guest.cpu->global_epoch, epoch);
}

Test(tlb, invlpg_drops_every_fragment)
{
    put64(&guest, PD + 8, 0x400000 | P | RW | PS);
    put64(&guest, PD + 16, 0x600000 | P | RW | PS);
    put64(&guest, PDPT + 8, P | RW | PS);
    touch(0x201000);
    touch(0x3ff000);
    touch(0x402000);
    touch(0x40003000);
    touch(0x7fff4000);
    mmu_invlpg(guest.cpu, 0x2a0000);
    cr_expect_not(hits_read(0x201000));
    cr_expect_not(hits_read(0x3ff000));
    cr_expect(hits_read(0x402000));
    cr_expect(hits_read(0x40003000));
    mmu_invlpg(guest.cpu, 0x50000000);
    cr_expect_not(hits_read(0x40003000));
    cr_expect_not(hits_read(0x7fff4000));
    cr_expect(hits_read(0x402000));
}

Test(tlb, invlpg_of_a_fetched_large_page)
{
    struct mmu_fault fault;
    put64(&guest, PD + 8, 0x400000 | P | RW | PS);
    cr_assert_eq(guest_fetch(&guest, 0x201000, &fault), MMU_OK);
    uint32_t epoch = guest.cpu->space_epoch;
    put64(&guest, PD + 8, 0);
    mmu_invlpg(guest.cpu, 0x300000);
    cr_expect_neq(guest.cpu->space_epoch, epoch);
    cr_expect_eq(guest_fetch(&guest, 0x201000, &fault), MMU_PAGE_FAULT);
}

static void fill_two_pcids(void)
{
    guest.cpu->cr4 |= CR4_PCIDE;
    guest_map(&guest, 1, 0x9000 | P | RW | G);
    guest_map(&guest, 2, 0x9000 | P | RW);
    guest_map(&guest, 3, 0x9000 | P | RW);
    for (uint16_t pcid = 2; pcid >= 1; pcid--) {
        switch_pcid(pcid, false);
        touch(0x1000);
        touch(0x2000);
        touch(0x3000);
    }
}

Test(tlb, invpcid_address)
{
    fill_two_pcids();
    mmu_invpcid(guest.cpu, 0, 2, 0x2000);
    cr_expect(hits_read(0x2000));
    switch_pcid(2, true);
    cr_expect_not(hits_read(0x2000));
    cr_expect(hits_read(0x3000));
    mmu_invpcid(guest.cpu, 0, 77, 0x3000); /* a PCID without a bank */
    cr_expect(hits_read(0x3000));
}

Test(tlb, invpcid_single)
{
    fill_two_pcids();
    mmu_invpcid(guest.cpu, 1, 2, 0);
    cr_expect(hits_read(0x2000));
    switch_pcid(2, true);
    cr_expect(hits_read(0x1000), "global stays");
    cr_expect_not(hits_read(0x2000));
    cr_expect_not(hits_read(0x3000));
}

Test(tlb, invpcid_all)
{
    fill_two_pcids();
    mmu_invpcid(guest.cpu, 3, 0, 0);
    cr_expect(hits_read(0x1000));
    cr_expect_not(hits_read(0x2000));
    mmu_invpcid(guest.cpu, 2, 0, 0);
    cr_expect_not(hits_read(0x1000));
    switch_pcid(2, true);
    cr_expect_not(hits_read(0x1000));
    cr_expect_not(hits_read(0x2000));
}

Test(tlb, accesses_across_pages)
{
    struct mmu_fault fault;
    uint64_t value = 0x8877665544332211, back = 0;
    guest_map(&guest, 1, 0x9000 | P | RW);
    guest_map(&guest, 2, 0xc000 | P | RW);
    cr_assert_eq(mmu_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ffd, &value, 8, &fault), MMU_OK);
    cr_expect_eq(get64(&guest, 0xc000) & 0xffffffffff, 0x8877665544);
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ffd, &back, 8, &fault), MMU_OK);
    cr_expect_eq(back, value);

    guest_map(&guest, 2, 0xc000 | P);
    mmu_invlpg(guest.cpu, 0x2000);
    put64(&guest, 0x9ff8, 0);
    cr_expect_eq(mmu_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ffd, &value, 8, &fault),
                 MMU_PAGE_FAULT);
    cr_expect_eq(fault.address, 0x2000);
    cr_expect_eq(fault.error, PF_P | PF_W);
    cr_expect_eq(get64(&guest, 0x9ff8), 0, "nothing was stored");
    cr_expect_eq(mmu_probe_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ffd, 8, &fault),
                 MMU_PAGE_FAULT);
    cr_expect_eq(mmu_probe_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ff8, 8, &fault), MMU_OK);
}

Test(tlb, linear_addresses_wrap_at_4_gib_outside_64_bit_mode)
{
    struct mmu_fault fault;
    uint64_t value;
    guest.cpu->cr0 = CR0_PE;
    guest.cpu->msr.efer = 0;
    guest.cpu->mode = DEC_MODE_32 | MODE_PROTECTED;
    mmu_flush_all(guest.cpu);
    put32(&guest, 0, 0x12345678);
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0xfffffffc, &value, 8, &fault), MMU_OK);
    cr_expect_eq(value, 0x12345678ffffffff);
}

struct device {
    uint8_t byte[64];
    unsigned reads, writes;
};

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct device *device = opaque;
    device->reads++;
    return load_le(device->byte + offset, size);
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct device *device = opaque;
    device->writes++;
    store_le(device->byte + offset, value, size);
}

Test(tlb, devices_are_reached_and_never_entered)
{
    static const struct bus_ops ops = {
        .name = "test", .read = device_read, .write = device_write, .min_size = 1, .max_size = 8};
    struct device device = {0};
    const char *other;
    struct mmu_fault fault;
    uint8_t data[32], back[32];
    cr_assert(bus_map(guest.bus, BUS_MMIO, 0xd0000000, 64, &ops, &device, &other));
    guest_map(&guest, 1, 0xd0000000 | P | RW);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    cr_assert_eq(mmu_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1010, data, 32, &fault), MMU_OK);
    cr_expect_not(hits_read(0x1010));
    cr_expect_eq(device.writes, 4);
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1010, back, 32, &fault), MMU_OK);
    cr_expect_arr_eq(back, data, 32);
    cr_expect_eq(device.reads, 4);
    /* The second page faults: the device is not touched. */
    guest_map(&guest, 2, 0);
    cr_expect_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ffc, back, 8, &fault), MMU_PAGE_FAULT);
    cr_expect_eq(device.reads, 4);
}

Test(tlb, rom_reads_and_ignores_writes)
{
    struct mmu_fault fault;
    char text[4] = "";
    guest_map(&guest, 1, ROM_BASE | P | RW);
    dirty(0x1000);
    cr_expect_not(hits_write(0x1000));
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1000, text, 3, &fault), MMU_OK);
    cr_expect_str_eq(text, "ROM");
}

static unsigned dropped;

static void code_written(void *opaque, gpa_t gpa, unsigned size)
{
    (void)opaque;
    dropped++;
    cr_expect_eq(gpa, 0x9080);
    cr_expect_eq(size, 1);
}

Test(tlb, pages_with_code_are_written_slowly)
{
    phys_set_code_listener(guest.cpu->phys, code_written, NULL);
    guest_map(&guest, 1, 0x9000 | P | RW);
    guest_map(&guest, 2, 0x9000 | P | RW);
    dirty(0x1000);
    dirty(0x2000);
    cr_assert(phys_mark_code(guest.cpu->phys, 0x9080, 10));
    mmu_protect_code_page(guest.cpu, 0x9000);
    cr_expect_not(hits_write(0x1000));
    cr_expect_not(hits_write(0x2000), "through every mapping");
    cr_expect(hits_read(0x1000));
    dirty(0x1040);
    cr_expect_not(hits_write(0x1000));
    cr_expect_eq(dropped, 0, "another granule");
    cr_expect_not(guest.cpu->leave);
    uint64_t walks = guest.cpu->stats.page_walks;
    struct mmu_fault fault;
    cr_assert_eq(mmu_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x2080, "", 1, &fault), MMU_OK);
    cr_expect_eq(dropped, 0, "the byte that is there");
    dirty(0x2080);
    cr_expect_eq(guest.cpu->stats.page_walks, walks, "the entries know the page");
    cr_expect_eq(dropped, 1);
    cr_expect(guest.cpu->leave, "the running block may be hit");
    static uint8_t bytes[PHYS_CODE_BYTES] = {[0x80 / 8] = 0xff};
    cr_expect_null(mmu_store_beside_code(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1088, 4));
    phys_set_code_bytes(guest.cpu->phys, 0x9000, bytes);
    uint8_t *page = phys_ram_pointer(guest.cpu->phys, 0x9000, PAGE_SIZE);
    cr_expect_eq(mmu_store_beside_code(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1088, 4), page + 0x88);
    cr_expect_null(mmu_store_beside_code(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1087, 4));
    cr_expect_null(mmu_store_beside_code(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1ffd, 4), "two pages");
    cr_expect_null(mmu_store_beside_code(guest.cpu, TLB_VIEW_SUPERVISOR, 0x3088, 4), "unmapped");
    phys_keep_code(guest.cpu->phys, 0x9000, 0);
    dirty(0x1000);
    cr_expect(hits_write(0x1000), "fast again");
}

Test(tlb, fetched_bytes_stop_at_a_fault)
{
    struct mmu_fault fault;
    enum mmu_status status;
    uint8_t bytes[15];
    guest_map(&guest, 1, 0x9000 | P);
    put64(&guest, 0x9ff8, 0x0807060504030201);
    cr_expect_eq(mmu_fetch_bytes(guest.cpu, 0x1ffc, bytes, 15, &status, &fault), 4);
    cr_expect_eq(status, MMU_PAGE_FAULT);
    cr_expect_eq(fault.address, 0x2000);
    cr_expect_eq(bytes[3], 8);
    cr_expect_eq(mmu_fetch_bytes(guest.cpu, 0x1ff0, bytes, 15, &status, &fault), 15);
    cr_expect_eq(status, MMU_OK);
    guest_map(&guest, 2, 0xd0000000 | P); /* absent: all ones */
    cr_expect_eq(mmu_fetch_bytes(guest.cpu, 0x1ffc, bytes, 15, &status, &fault), 15);
    cr_expect_eq(bytes[4], 0xff);
}

Test(tlb, a_full_table_flushes_clean)
{
    put64(&guest, PDPT + 8, P | RW | PS);
    for (gva_t page = 0; page < TLB_ENTRIES; page++) {
        gva_t va = 0x40000000 + (page * 7919 % TLB_ENTRIES << PAGE_SHIFT);
        struct mmu_fault fault;
        cr_assert_eq(guest_read(&guest, va, &fault), MMU_OK);
    }
    mmu_switch_space(guest.cpu, false);
    for (gva_t page = 0; page < TLB_ENTRIES; page++)
        cr_assert_not(hits_read(0x40000000 + (page << PAGE_SHIFT)));
}

Test(tlb, reads_across_pages_into_a_copy)
{
    uint8_t copy[8 + 256 + 8], expected[256];
    struct mmu_fault fault;
    uint64_t value;
    guest_map(&guest, 1, 0x9000 | P | RW);
    guest_map(&guest, 2, 0xc000 | P | RW);
    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        put64(&guest, 0x9000 + i, i * 0x9e3779b97f4a7c15);
        put64(&guest, 0xc000 + i, ~i * 0x9e3779b97f4a7c15);
    }
    for (unsigned size = 2; size <= 256; size++) {
        gva_t va = 0x2000 - 1 - size * 7 % (size - 1);
        mmu_flush_all(guest.cpu);
        cr_assert_not(mmu_read_across(guest.cpu, va, copy + 8, size), "not in the TLB");
        for (unsigned i = 0; i < size; i++)
            cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, va + i, &expected[i], 1, &fault),
                         MMU_OK);
        cr_assert(mmu_read_across(guest.cpu, va, copy + 8, size));
        cr_assert_arr_eq(copy + 8, expected, size);
    }
    mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1000, &value, 8, &fault);
    cr_expect_not(mmu_read_across(guest.cpu, 0x1ff0, copy + 8, 16), "in one page");
}

Test(tlb, walks_to_devices_are_kept_until_a_flush)
{
    struct mmu_fault fault;
    uint64_t value = 0;
    put64(&guest, 0x9000, 0x1122334455667788);
    guest_map(&guest, 1, 0xfed00000 | P); /* nothing is there */
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1000, &value, 8, &fault), MMU_OK);
    cr_expect_eq(value, ~0ull);
    uint64_t walks = guest.cpu->stats.page_walks, accesses = guest.cpu->stats.mmio_accesses;
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1010, &value, 8, &fault), MMU_OK);
    cr_expect_eq(guest.cpu->stats.page_walks, walks);
    cr_expect_eq(guest.cpu->stats.mmio_accesses, accesses + 1);
    cr_expect_eq(mmu_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1010, &value, 8, &fault),
                 MMU_PAGE_FAULT, "the page is read-only");
    cr_expect_eq(mmu_read(guest.cpu, TLB_VIEW_USER, 0x1010, &value, 8, &fault), MMU_PAGE_FAULT);
    guest_map(&guest, 1, 0x9000 | P);
    mmu_invlpg(guest.cpu, 0x1000);
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1000, &value, 8, &fault), MMU_OK);
    cr_expect_eq(value, 0x1122334455667788);
    guest_map(&guest, 1, 0xfed00000 | P | RW);
    mmu_invlpg(guest.cpu, 0x1000);
    cr_expect_eq(mmu_write(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1000, &value, 8, &fault), MMU_OK);
    guest_map(&guest, 1, 0x9000 | P);
    mmu_flush_all(guest.cpu);
    cr_assert_eq(mmu_read(guest.cpu, TLB_VIEW_SUPERVISOR, 0x1000, &value, 8, &fault), MMU_OK);
    cr_expect_eq(value, 0x1122334455667788);
}
