/* Paging outside long mode: 32-bit with 4 MiB pages and PSE-36, and PAE with its PDPTEs (SDM vol. 3,
 * 4.3 and 4.4).
 *
 * expect:
 *   not present, read: #PF(0x0)@0x40000000
 *   not present, write: #PF(0x2)@0x40000000
 *   not present, fetch: #PF(0x0)@0x40000000
 *   not present, user read: #PF(0x4)@0x40000000
 *   not present, user write: #PF(0x6)@0x40000000
 *   not present, user fetch: #PF(0x4)@0x40000000
 *   user page, read: ok
 *   user page, write: ok
 *   user page, fetch: ok
 *   user page, user read: ok
 *   user page, user write: ok
 *   user page, user fetch: ok
 *   read-only, read: ok
 *   read-only, write: ok
 *   read-only, fetch: ok
 *   read-only, user read: ok
 *   read-only, user write: #PF(0x7)@0x40002000
 *   read-only, user fetch: ok
 *   supervisor page, read: ok
 *   supervisor page, write: ok
 *   supervisor page, fetch: ok
 *   supervisor page, user read: #PF(0x5)@0x40003000
 *   supervisor page, user write: #PF(0x7)@0x40003000
 *   supervisor page, user fetch: #PF(0x5)@0x40003000
 *   WP, read-only, read: ok
 *   WP, read-only, write: #PF(0x3)@0x40002000
 *   WP, read-only, fetch: ok
 *   WP, read-only, user read: ok
 *   WP, read-only, user write: #PF(0x7)@0x40002000
 *   WP, read-only, user fetch: ok
 *   SMEP, user page, read: ok
 *   SMEP, user page, write: ok
 *   SMEP, user page, fetch: #PF(0x11)@0x40001000
 *   SMEP, user page, user read: ok
 *   SMEP, user page, user write: ok
 *   SMEP, user page, user fetch: ok
 *   SMEP, not present, read: #PF(0x0)@0x40000000
 *   SMEP, not present, write: #PF(0x2)@0x40000000
 *   SMEP, not present, fetch: #PF(0x10)@0x40000000
 *   SMEP, not present, user read: #PF(0x4)@0x40000000
 *   SMEP, not present, user write: #PF(0x6)@0x40000000
 *   SMEP, not present, user fetch: #PF(0x14)@0x40000000
 *   accessed and dirty: ok entry=0x27
 *   accessed and dirty: ok entry=0x67
 *   large page: ok value=0xabcd entry=0xa3
 *   large page, written: ok entry=0xe3
 *   large page at 4 GiB, where there is no memory: ok value=0xffffffff
 *   large page, bit 21: #PF(0x9)@0x40c00000
 *   large page, bit 12: ok
 *   PS with CR4.PSE: ok
 *   PS without CR4.PSE: ok value=0x1234
 *   PAE, not present, read: #PF(0x0)@0x40000000
 *   PAE, not present, write: #PF(0x2)@0x40000000
 *   PAE, not present, fetch: #PF(0x0)@0x40000000
 *   PAE, not present, user read: #PF(0x4)@0x40000000
 *   PAE, not present, user write: #PF(0x6)@0x40000000
 *   PAE, not present, user fetch: #PF(0x4)@0x40000000
 *   PAE, user page, read: ok
 *   PAE, user page, write: ok
 *   PAE, user page, fetch: ok
 *   PAE, user page, user read: ok
 *   PAE, user page, user write: ok
 *   PAE, user page, user fetch: ok
 *   PAE, read-only, read: ok
 *   PAE, read-only, write: ok
 *   PAE, read-only, fetch: ok
 *   PAE, read-only, user read: ok
 *   PAE, read-only, user write: #PF(0x7)@0x40002000
 *   PAE, read-only, user fetch: ok
 *   PAE, NX without EFER.NXE, read: #PF(0x9)@0x40003000
 *   PAE, NX without EFER.NXE, write: #PF(0xb)@0x40003000
 *   PAE, NX without EFER.NXE, fetch: #PF(0x9)@0x40003000
 *   PAE, NX without EFER.NXE, user read: #PF(0xd)@0x40003000
 *   PAE, NX without EFER.NXE, user write: #PF(0xf)@0x40003000
 *   PAE, NX without EFER.NXE, user fetch: #PF(0xd)@0x40003000
 *   PAE, NX, read: ok
 *   PAE, NX, write: ok
 *   PAE, NX, fetch: #PF(0x11)@0x40003000
 *   PAE, NX, user read: ok
 *   PAE, NX, user write: ok
 *   PAE, NX, user fetch: #PF(0x15)@0x40003000
 *   PAE with NXE, not present, read: #PF(0x0)@0x40000000
 *   PAE with NXE, not present, write: #PF(0x2)@0x40000000
 *   PAE with NXE, not present, fetch: #PF(0x10)@0x40000000
 *   PAE with NXE, not present, user read: #PF(0x4)@0x40000000
 *   PAE with NXE, not present, user write: #PF(0x6)@0x40000000
 *   PAE with NXE, not present, user fetch: #PF(0x14)@0x40000000
 *   PAE, reserved bit 52, read: #PF(0x9)@0x40004000
 *   PAE, reserved bit 52, write: #PF(0xb)@0x40004000
 *   PAE, reserved bit 52, fetch: #PF(0x19)@0x40004000
 *   PAE, reserved bit 52, user read: #PF(0xd)@0x40004000
 *   PAE, reserved bit 52, user write: #PF(0xf)@0x40004000
 *   PAE, reserved bit 52, user fetch: #PF(0x1d)@0x40004000
 *   PAE, reserved bit 62: #PF(0x9)@0x40005000
 *   PAE, large page: ok
 *   PAE, large page, bit 13: #PF(0x9)@0x40400100
 *   PAE, PDPTE not present: #PF(0x0)@0x80000000
 *   PDPTE cleared in memory: ok
 *   and CR3 loaded: #PF(0x0)@0x40001000
 *   PDPTE with bit 1: #GP(0x0)
 *   PDPTE with bit 2: #GP(0x0)
 *   PDPTE with bit 5: #GP(0x0)
 *   PDPTE with bit 6: #GP(0x0)
 *   PDPTE with bit 7: #GP(0x0)
 *   PDPTE with bit 8: #GP(0x0)
 *   PDPTE with bit 63: #GP(0x0)
 *   PDPTE with all of them, not present: #PF(0x0)@0x40001000
 *   PDPTE with ignored bits: ok entry=0xe01
 */
#include "kit/kit.inc"

        .set    NX, 0x80000000 /* high half */

        .macro  map_32 page, entry
        movl    $\entry, pt_window + 4 * \page
        invlpg  WINDOW + 4096 * \page
        .endm

        .macro  accesses text, address
        try     "\text, read"
        mov     \address, %eax
        caught
        try     "\text, write"
        movl    $0xc3c3c3c3, \address
        caught
        try     "\text, fetch"
        mov     $\address, %ebx
        call    *%ebx
        caught
        try     "\text, user read"
        user
        mov     \address, %eax
        leave_user
        caught
        try     "\text, user write"
        user
        movl    $0xc3c3c3c3, \address
        leave_user
        caught
        try     "\text, user fetch"
        user
        mov     $\address, %ebx
        call    *%ebx
        leave_user
        caught
        .endm

main:
        movl    $0xc3c3c3c3, page_a
        enable_32
        accesses "not present", WINDOW
        map_32  1, page_a + P + W + U
        accesses "user page", WINDOW + 0x1000
        map_32  2, page_a + P + U
        accesses "read-only", WINDOW + 0x2000
        map_32  3, page_a + P + W
        accesses "supervisor page", WINDOW + 0x3000
        set_cr  cr0, 0x10000
        accesses "WP, read-only", WINDOW + 0x2000
        set_cr  cr4, 1 << 20
        accesses "SMEP, user page", WINDOW + 0x1000
        accesses "SMEP, not present", WINDOW
        clear_cr cr4, 1 << 20
        clear_cr cr0, 0x10000

        map_32  4, page_a + P + W + U
        try     "accessed and dirty"
        mov     WINDOW + 0x4000, %eax
        caught
        mov     pt_window + 16, %eax
        and     $0xfff, %eax
        show    entry, %eax
        try     "accessed and dirty"
        mov     %eax, WINDOW + 0x4000
        caught
        mov     pt_window + 16, %eax
        and     $0xfff, %eax
        show    entry, %eax

        /* Large pages: bits 13 to 20 are bits 32 to 39 of the address. */
        movl    $0xabcd, 0x400100
        movl    $0x400000 + P + W + PS, pd32 + 4 * 257
        try     "large page"
        mov     WINDOW + 0x400100, %eax
        caught
        show    value, %eax
        mov     pd32 + 4 * 257, %eax
        and     $0xfff, %eax
        show    entry, %eax
        try     "large page, written"
        mov     %eax, WINDOW + 0x400100
        caught
        mov     pd32 + 4 * 257, %eax
        and     $0xfff, %eax
        show    entry, %eax
        movl    $0x402000 + P + W + PS, pd32 + 4 * 258
        try     "large page at 4 GiB, where there is no memory"
        mov     WINDOW + 0x800100, %eax
        caught
        show    value, %eax
        movl    $0x600000 + P + W + PS, pd32 + 4 * 259
        try     "large page, bit 21"
        mov     WINDOW + 0xc00000, %eax
        caught
        movl    $0x401000 + P + W + PS, pd32 + 4 * 260
        try     "large page, bit 12"
        mov     WINDOW + 0x1000100, %eax
        caught

        /* PS means nothing without CR4.PSE; all of the kit's own memory by small pages then. */
        mov     $pt_low, %edi
        mov     $P + W + U, %eax
        mov     $1024, %ecx
1:      stosl
        add     $0x1000, %eax
        loop    1b
        movl    $pt_low + P + W + U, small_pd
        movl    $pt_window + P + W + PS, small_pd + 4
        movl    $page_a + P + W, pt_window
        mov     $small_pd, %eax
        mov     %eax, %cr3
        try     "PS with CR4.PSE"
        mov     0x400000, %eax
        caught
        movl    $0x1234, page_a
        try     "PS without CR4.PSE"
        clear_cr cr4, 1 << 4
        mov     0x400000, %eax
        caught
        show    value, %eax
        set_cr  cr4, 1 << 4
        clear_cr cr0, 0x80000000

        /* PAE. */
        movl    $0, pt_window
        movl    $0, pt_window + 4
        enable_pae
        accesses "PAE, not present", WINDOW
        movl    $0xc3c3c3c3, page_a
        map     1, page_a + P + W + U
        accesses "PAE, user page", WINDOW + 0x1000
        map     2, page_a + P + U
        accesses "PAE, read-only", WINDOW + 0x2000
        map     3, page_a + P + W + U, NX
        accesses "PAE, NX without EFER.NXE", WINDOW + 0x3000
        write_msr MSR_EFER, 0x800
        accesses "PAE, NX", WINDOW + 0x3000
        accesses "PAE with NXE, not present", WINDOW
        map     4, page_a + P + W + U, 1 << 20
        accesses "PAE, reserved bit 52", WINDOW + 0x4000
        map     5, page_a + P + W + U, 1 << 30
        try     "PAE, reserved bit 62"
        mov     WINDOW + 0x5000, %eax
        caught
        movl    $0x400000 + P + W + PS, pd_window + 8
        try     "PAE, large page"
        mov     WINDOW + 0x200100, %eax
        caught
        movl    $0x402000 + P + W + PS, pd_window + 16
        try     "PAE, large page, bit 13"
        mov     WINDOW + 0x400100, %eax
        caught
        try     "PAE, PDPTE not present"
        mov     0x80000000, %eax
        caught

        /* The PDPTEs are read when CR3 is loaded, not later. */
        movl    $0, pdpt_pae + 8
        invlpg  WINDOW + 0x1000
        try     "PDPTE cleared in memory"
        mov     WINDOW + 0x1000, %eax
        caught
        try     "and CR3 loaded"
        mov     %cr3, %eax
        mov     %eax, %cr3
        mov     WINDOW + 0x1000, %eax
        caught
        .irp    bit, 1, 2, 5, 6, 7, 8
        movl    $pd_window + P + (1 << \bit), pdpt_pae + 8
        try     "PDPTE with bit \bit"
        mov     %cr3, %eax
        mov     %eax, %cr3
        caught
        .endr
        movl    $pd_window + P, pdpt_pae + 8
        movl    $1 << 31, pdpt_pae + 12
        try     "PDPTE with bit 63"
        mov     %cr3, %eax
        mov     %eax, %cr3
        caught
        movl    $0, pdpt_pae + 12
        movl    $pd_window + 0x1e6, pdpt_pae + 8
        try     "PDPTE with all of them, not present"
        mov     %cr3, %eax
        mov     %eax, %cr3
        mov     WINDOW + 0x1000, %eax
        caught
        movl    $pd_window + P + 0xe00, pdpt_pae + 8
        try     "PDPTE with ignored bits"
        mov     %cr3, %eax
        mov     %eax, %cr3
        mov     WINDOW + 0x1000, %eax
        caught
        mov     pdpt_pae + 8, %eax
        and     $0xfff, %eax
        show    entry, %eax
        finish

        .bss
        .balign 4096
pt_low: .space  4096
small_pd:
        .space  4096
