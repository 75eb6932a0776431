#include "system_guest.h"

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

TestSuite(cpuid, .init = setup, .fini = teardown);

Test(cpuid, vendor_and_signature)
{
    struct cpuid_leaf leaf = cpu_cpuid(guest.cpu, 0, 0);
    char vendor[13] = "";
    store_le(vendor, leaf.ebx, 4);
    store_le(vendor + 4, leaf.edx, 4);
    store_le(vendor + 8, leaf.ecx, 4);
    cr_expect_str_eq(vendor, "GenuineIntel");
    cr_expect_eq(leaf.eax, 0x16);
    cr_expect_eq(cpu_cpuid(guest.cpu, 1, 0).eax >> 8 & 15, 6);
}

Test(cpuid, hypervisor_signature)
{
    struct cpuid_leaf leaf = cpu_cpuid(guest.cpu, 0x40000000, 0);
    char text[13] = "";
    store_le(text, leaf.ebx, 4);
    store_le(text + 4, leaf.ecx, 4);
    store_le(text + 8, leaf.edx, 4);
    cr_expect_str_eq(text, "DoppelDoppel");
    cr_expect(cpu_cpuid(guest.cpu, 1, 0).ecx & BIT(31));
}

Test(cpuid, kvm_clock)
{
    struct cpuid_leaf leaf = cpu_cpuid(guest.cpu, 0x40000100, 0);
    char text[13] = "";
    store_le(text, leaf.ebx, 4);
    store_le(text + 4, leaf.ecx, 4);
    store_le(text + 8, leaf.edx, 4);
    cr_expect_str_eq(text, "KVMKVMKVM");
    cr_expect_eq(leaf.eax, 0x40000101);
    leaf = cpu_cpuid(guest.cpu, 0x40000101, 0);
    cr_expect_eq(leaf.eax, BIT(3) | BIT(24), "the clock and its stability, nothing else");
    cr_expect_eq(leaf.edx, 0);
}

Test(cpuid, brand)
{
    char brand[49] = "";
    for (unsigned i = 0; i < 3; i++) {
        struct cpuid_leaf leaf = cpu_cpuid(guest.cpu, 0x80000002 + i, 0);
        memcpy(brand + 16 * i, &leaf, 16);
    }
    cr_expect_str_eq(brand, "Doppel virtual CPU");
}

Test(cpuid, tsc_frequency)
{
    struct cpuid_leaf leaf = cpu_cpuid(guest.cpu, 0x15, 0);
    cr_assert_neq(leaf.eax, 0);
    cr_expect_eq((uint64_t)leaf.ecx * leaf.ebx / leaf.eax, CLOCK_TSC_HZ);
    cr_expect_eq(leaf.ecx, NS_PER_SECOND, "the rate of the local APIC's timer");
    cr_expect(cpu_cpuid(guest.cpu, 0x80000007, 0).edx & BIT(8));
}

Test(cpuid, address_sizes)
{
    uint32_t eax = cpu_cpuid(guest.cpu, 0x80000008, 0).eax;
    cr_expect_eq(eax & 0xff, guest.model.physical_bits);
    cr_expect_eq(eax >> 8 & 0xff, 48);
}

Test(cpuid, osxsave_follows_cr4)
{
    cr_expect_not(cpu_cpuid(guest.cpu, 1, 0).ecx & BIT(27));
    guest_enter_long(&guest, 0);
    cr_expect(cpu_cpuid(guest.cpu, 1, 0).ecx & BIT(27));
}

Test(cpuid, xsave_sizes)
{
    struct cpuid_leaf leaf = cpu_cpuid(guest.cpu, 0xd, 0);
    cr_expect_eq(leaf.ebx, 576, "x87 alone is enabled");
    cr_expect_eq(leaf.eax, guest.model.xcr0_supported);
    if (guest.model.features[DEC_FEATURE_AVX]) {
        cr_expect_eq(leaf.ecx, 832);
        struct cpuid_leaf avx = cpu_cpuid(guest.cpu, 0xd, 2);
        cr_expect_eq(avx.eax, 256);
        cr_expect_eq(avx.ebx, 576);
    }
}

Test(cpuid, caches_and_topology_end)
{
    unsigned caches = 0;
    while (cpu_cpuid(guest.cpu, 4, caches).eax & 31)
        caches++;
    cr_expect_eq(caches, 4);
    cr_expect_eq(cpu_cpuid(guest.cpu, 0xb, 0).ecx, 0x100);
    cr_expect_eq(cpu_cpuid(guest.cpu, 0xb, 1).ecx, 0x201);
    cr_expect_eq(cpu_cpuid(guest.cpu, 0xb, 2).ecx, 2);
}

Test(cpuid, absent_features_are_not_offered)
{
    cr_expect_not(cpu_cpuid(guest.cpu, 1, 0).ecx & (BIT(5) | BIT(6)), "VMX SMX");
    cr_expect_eq(cpu_cpuid(guest.cpu, 0xa, 0).eax, 0, "performance counters");
    struct cpuid_leaf leaf7 = cpu_cpuid(guest.cpu, 7, 0);
    cr_expect_not(leaf7.ebx & (BIT(4) | BIT(11) | BIT(14) | BIT(16)), "HLE RTM MPX AVX512F");
    cr_expect_not(leaf7.ecx & (BIT(3) | BIT(5) | BIT(7) | BIT(16)), "PKU WAITPKG CET LA57");
    cr_expect_not(cpu_cpuid(guest.cpu, 0x80000001, 0).ecx & BIT(2), "SVM");
}

Test(cpuid, models)
{
    struct cpu_model model;
    struct error error = {""};
    cr_assert(cpu_model_init(&model, "v1", &error), "%s", error.text);
    cr_expect(model.features[DEC_FEATURE_SSE2]);
    cr_expect_not(model.features[DEC_FEATURE_SSE3]);
    cr_expect_not(model.features[DEC_FEATURE_XSAVE]);
    cr_expect_not(model.features[DEC_FEATURE_MONITOR]);
    cr_expect_not(cpu_model_init(&model, "z80", &error));
    cr_expect(strstr(error.text, "z80"));
    cr_expect(strstr(error.text, "v3"));
    cr_assert(cpu_model_init(&model, NULL, &error), "%s", error.text);
    cr_expect_str_eq(model.name, "host");
    cr_expect(model.features[DEC_FEATURE_MONITOR]);
}

Test(cpuid, instruction)
{
    guest_enter_long(&guest, 3);
    guest.cpu->gpr[REG_RAX] = 0xffffffff80000000;
    guest.cpu->gpr[REG_RBX] = ~0ull;
    guest.cpu->gpr[REG_RCX] = ~0ull;
    /* cpuid; ud2 */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0xa2, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0x80000008);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], 0);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0);
}
