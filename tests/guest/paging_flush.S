/* Translations that must be gone after INVLPG, INVPCID, MOV CR3 and changes of CR4, in spite of
 * large pages, global pages and PCIDs (SDM vol. 3, 4.10). The pages hold 0xa, 0xb, and 0xc.
 *
 * expect:
 *   INVLPG: ok sees=0xb
 *   MOV CR3: ok sees=0xb
 *   INVLPG of a non-canonical address does nothing: ok
 *   INVLPG at ring 3: #GP(0x0)
 *   INVLPG of a fragment of a large page: ok first=0xb middle=0xb last=0xb
 *   a large page becomes a table: ok sees=0xc
 *   and a large page again: ok sees=0xb
 *   INVLPG of a fragment of a huge page: ok sees=0xb
 *   global page, INVLPG: ok sees=0xb
 *   global page, CR4.PGE cleared: ok sees=0xb
 *   no longer global, MOV CR3: ok sees=0xc
 *   no-flush bit without PCIDE: #GP(0x0)
 *   PCIDE where CR3 has a PCID: #GP(0x0)
 *   PCIDE: ok
 *   PG cleared under PCIDE, in 64-bit mode: #GP(0x0)
 *   two spaces, two PCIDs: two=0xc one=0xa two=0xc one=0xa ok
 *   MOV CR3 without the no-flush bit: ok one=0xb
 *   the same PCID, other tables, flushed: sees=0xc ok sees=0xb
 *   INVPCID of an address: ok one=0xb
 *   INVPCID of a context: ok one=0xb
 *   INVPCID of all but global: ok one=0xb
 *   INVPCID of all: ok one=0xb
 *   CR4.PGE cleared: all PCIDs: one=0xb ok
 *   INVPCID of type 4: #GP(0x0)
 *   INVPCID with a PCID of 13 bits: #GP(0x0)
 *   INVPCID of a non-canonical address: #GP(0x0)
 *   INVPCID of a context and a non-canonical address: ok
 *   INVPCID at ring 3: #GP(0x0)
 *   INVPCID of a descriptor that is not there: #PF(0x0)@0x40010000
 *   PCIDE cleared, and set: clear=0xb one=0xb ok
 *   INVPCID of an address with a PCID, without PCIDE: #GP(0x0)
 */
#include "kit/kit.inc"

        .set    PGE, 1 << 7
        .set    PCIDE, 1 << 17
        .set    NO_FLUSH, 1 << 63

        .macro  load_cr3 value
        movabs  $\value, %rax
        mov     %rax, %cr3
        .endm

        .macro  see name, address
        mov     \address, %eax
        show    \name, %rax
        .endm

/* Uses page 0 of the window for page_a, then makes it page_b without telling. */
        .macro  remap flags=0
        movl    $page_a + P + W + \flags, pt_window
        mov     $WINDOW, %eax
        invlpg  (%rax)
        mov     (%rax), %eax
        movl    $page_b + P + W + \flags, pt_window
        .endm

main:
        mov     $0xa, %eax
        mov     $page_a, %edi
        mov     $1024, %ecx
        rep stosl
        mov     $0xb, %eax
        mov     $page_b, %edi
        mov     $1024, %ecx
        rep stosl
        mov     $0xc, %eax
        mov     $page_c, %edi
        mov     $1024, %ecx
        rep stosl
        movl    $0xa, 0x200000
        movl    $0xa, 0x2ff000
        movl    $0xa, 0x3fffff - 3
        movl    $0xb, 0x400000
        movl    $0xb, 0x4ff000
        movl    $0xb, 0x5fffff - 3
        enter_long

        remap
        try     "INVLPG"
        mov     $WINDOW + 0x123, %eax
        invlpg  (%rax)
        caught
        see     sees, WINDOW
        remap
        try     "MOV CR3"
        mov     %cr3, %rax
        mov     %rax, %cr3
        caught
        see     sees, WINDOW
        remap
        try     "INVLPG of a non-canonical address does nothing"
        movabs  $0x1234567890000000, %rax
        invlpg  (%rax)
        caught
        try     "INVLPG at ring 3"
        user
        invlpg  WINDOW
        caught

        /* A fragment of a large page. */
        movl    $0x200000 + P + W + PS, pd_window + 8
        mov     WINDOW + 0x200000, %eax
        mov     WINDOW + 0x2ff000, %eax
        mov     WINDOW + 0x3ffffc, %eax
        mov     %eax, WINDOW + 0x2ff000
        movl    $0x400000 + P + W + PS, pd_window + 8
        try     "INVLPG of a fragment of a large page"
        mov     $WINDOW + 0x2ab000, %eax
        invlpg  (%rax)
        caught
        see     first, WINDOW + 0x200000
        see     middle, WINDOW + 0x2ff000
        see     last, WINDOW + 0x3ffffc
        movl    $pt_window + P + W, pd_window + 8 /* now a table */
        movl    $page_c + P + W, pt_window + 8 * 255
        try     "a large page becomes a table"
        mov     $WINDOW + 0x200000, %eax
        invlpg  (%rax)
        caught
        see     sees, WINDOW + 0x2ff000
        movl    $0x400000 + P + W + PS, pd_window + 8
        try     "and a large page again"
        mov     $WINDOW + 0x200000, %eax
        invlpg  (%rax)
        mov     $WINDOW + 0x2ff000, %eax
        invlpg  (%rax)
        caught
        see     sees, WINDOW + 0x2ff000
        movl    $P + W + PS, pdpt + 16
        mov     $0x80000000, %eax
        mov     0x200000(%rax), %ecx
        mov     0x4ff000(%rax), %ecx
        movl    $pd_window + P + W, pdpt + 16
        try     "INVLPG of a fragment of a huge page"
        mov     $0x9abcd000, %eax
        invlpg  (%rax)
        caught
        mov     $0x80000000, %ecx
        see     sees, 0x200000(%rcx)

        /* Global pages. */
        set_cr  cr4, PGE
        remap   G
        try     "global page, INVLPG"
        mov     $WINDOW, %eax
        invlpg  (%rax)
        caught
        see     sees, WINDOW
        remap   G
        try     "global page, CR4.PGE cleared"
        clear_cr cr4, PGE
        caught
        see     sees, WINDOW
        set_cr  cr4, PGE
        remap   G
        movl    $page_b + P + W, pt_window
        mov     $WINDOW, %eax
        invlpg  (%rax)
        mov     WINDOW, %eax
        movl    $page_c + P + W, pt_window
        try     "no longer global, MOV CR3"
        mov     %cr3, %rax
        mov     %rax, %cr3
        caught
        see     sees, WINDOW
        clear_cr cr4, PGE

        /* PCIDs. */
        try     "no-flush bit without PCIDE"
        load_cr3 NO_FLUSH + pml4
        caught
        try     "PCIDE where CR3 has a PCID"
        load_cr3 pml4 + 8
        set_cr  cr4, PCIDE
        caught
        load_cr3 pml4
        try     "PCIDE"
        set_cr  cr4, PCIDE
        caught
        try     "PG cleared under PCIDE, in 64-bit mode"
        clear_cr cr0, 0x80000000
        caught

        /* Two spaces: page 0 of the window is page_a in pml4's, page_c in other_pml4's. */
        mov     $pml4, %esi
        mov     $other_pml4, %edi
        mov     $512, %ecx
        rep movsq
        mov     $pdpt, %esi
        mov     $other_pdpt, %edi
        mov     $512, %ecx
        rep movsq
        movl    $other_pdpt + P + W + U, other_pml4
        movl    $other_pd + P + W + U, other_pdpt + 8
        movl    $other_pt + P + W + U, other_pd
        movl    $page_c + P + W, other_pt
        movl    $page_a + P + W, pt_window
        load_cr3 pml4 + 1
        load_cr3 other_pml4 + 2
        try     "two spaces, two PCIDs"
        see     two, WINDOW
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        load_cr3 NO_FLUSH + other_pml4 + 2
        see     two, WINDOW
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        caught
        movl    $page_b + P + W, pt_window
        load_cr3 NO_FLUSH + other_pml4 + 2
        try     "MOV CR3 without the no-flush bit"
        load_cr3 pml4 + 1
        caught
        see     one, WINDOW
        try     "the same PCID, other tables, flushed"
        load_cr3 other_pml4 + 1
        see     sees, WINDOW
        load_cr3 pml4 + 1
        caught
        see     sees, WINDOW

        .macro  invpcid_case text, type, pcid, address=0
        movq    $\pcid, invpcid_descriptor
        movabs  $\address, %rax
        mov     %rax, invpcid_descriptor + 8
        try     "\text"
        mov     $\type, %eax
        invpcid invpcid_descriptor, %rax
        caught
        .endm

        /* For each type PCID 1 is filled with page_a, the table changed under PCID 2. */
        .macro  fill_one flags=0
        load_cr3 NO_FLUSH + pml4 + 1
        movl    $page_a + P + W + \flags, pt_window
        mov     $WINDOW, %eax
        invlpg  (%rax)
        mov     WINDOW, %eax
        load_cr3 NO_FLUSH + other_pml4 + 2
        movl    $page_b + P + W + \flags, pt_window
        .endm

        fill_one
        invpcid_case "INVPCID of an address", 0, 1, WINDOW
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        fill_one
        invpcid_case "INVPCID of a context", 1, 1
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        fill_one
        invpcid_case "INVPCID of all but global", 3, 0
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        set_cr  cr4, PGE
        fill_one G
        invpcid_case "INVPCID of all", 2, 0
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        fill_one
        try     "CR4.PGE cleared: all PCIDs"
        clear_cr cr4, PGE
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        caught
        invpcid_case "INVPCID of type 4", 4, 0
        invpcid_case "INVPCID with a PCID of 13 bits", 1, 0x1000
        invpcid_case "INVPCID of a non-canonical address", 0, 1, 0x1234567890000000
        invpcid_case "INVPCID of a context and a non-canonical address", 1, 1, 0x1234567890000000
        try     "INVPCID at ring 3"
        user
        invpcid invpcid_descriptor, %rax
        caught
        try     "INVPCID of a descriptor that is not there"
        mov     $1, %eax
        invpcid WINDOW + 0x10000, %rax
        caught

        load_cr3 pml4
        fill_one
        try     "PCIDE cleared, and set"
        load_cr3 pml4
        clear_cr cr4, PCIDE
        see     clear, WINDOW
        set_cr  cr4, PCIDE
        load_cr3 NO_FLUSH + pml4 + 1
        see     one, WINDOW
        load_cr3 pml4
        clear_cr cr4, PCIDE
        caught
        invpcid_case "INVPCID of an address with a PCID, without PCIDE", 0, 1, WINDOW
        finish

        .data
        .balign 16
invpcid_descriptor:
        .quad   0, 0

        .bss
        .balign 4096
other_pml4:
        .space  4096
other_pdpt:
        .space  4096
other_pd:
        .space  4096
other_pt:
        .space  4096
