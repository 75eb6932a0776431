/* Accessed and dirty bits: set by accesses, not by those that fail (SDM vol. 3, 4.8). A page's entry
 * is shown without its address.
 *
 * expect:
 *   read: ok entry=0x27
 *   write: ok entry=0x67
 *   fetch: ok entry=0x27
 *   read, then write: ok entry=0x67
 *   write, then cleared and read: ok entry=0x27
 *   write, then cleared and written: ok entry=0x67
 *   compare-and-exchange that fails: ok entry=0x67
 *   prefetch of another page: ok entry=0x7
 *   write to a read-only page: #PF(0x3)@0x40000000 entry=0x5
 *   user reads a page of the supervisor: #PF(0x5)@0x40000000 entry=0x3
 *   write by a write-string of no elements: ok entry=0x7
 *   descriptor becomes accessed: ok entry=0x67
 *   descriptor was accessed: ok entry=0x27 descriptor=0xcf9300
 *   interrupt's frame from ring 3: ok entry=0x67
 *   write, entries above: ok entry=0x67 pde=0x27 pdpte=0x27
 *   directory entry after a cached translation: ok entry=0x27 pde=0x27
 *   large page, read: ok pde=0xa3
 *   large page, write elsewhere: ok pde=0xe3
 *   huge page, read: ok pdpte=0xa3
 */
#include "kit/kit.inc"

        .set    CLEAN, page_a + P + W + U

        .macro  fresh entry=CLEAN
        movl    $\entry, pt_window
        invlpg  WINDOW
        .endm

        .macro  show_entry name, entry
        mov     \entry, %eax
        and     $0xfff, %eax
        show    \name, %rax
        .endm

        .macro  entry_after text, entry=CLEAN
        fresh   \entry
        try     "\text"
        .endm

        .macro  shown
        caught
        show_entry entry, pt_window
        .endm

main:
        movl    $0xc3c3c3c3, page_a
        enter_long
        set_cr  cr0, 0x10000 /* WP */

        entry_after "read"
        mov     WINDOW, %eax
        shown
        entry_after "write"
        mov     %eax, WINDOW
        shown
        entry_after "fetch"
        movl    $0xc3c3c3c3, page_a
        mov     $WINDOW, %eax
        call    *%rax
        shown
        entry_after "read, then write"
        mov     WINDOW, %eax
        mov     %eax, WINDOW
        shown
        entry_after "write, then cleared and read"
        mov     %eax, WINDOW
        fresh
        mov     WINDOW, %eax
        shown
        entry_after "write, then cleared and written"
        mov     %eax, WINDOW
        fresh
        mov     %eax, WINDOW
        shown
        entry_after "compare-and-exchange that fails"
        mov     $1, %eax
        lock cmpxchg %ebx, WINDOW
        shown
        entry_after "prefetch of another page"
        prefetcht0 WINDOW + 4096
        shown
        entry_after "write to a read-only page", CLEAN-W
        mov     %eax, WINDOW
        shown
        entry_after "user reads a page of the supervisor", CLEAN-U
        user
        mov     WINDOW, %eax
        leave_user
        shown
        entry_after "write by a write-string of no elements"
        xor     %ecx, %ecx
        mov     $WINDOW, %edi
        rep stosb
        shown

        /* What the CPU does by itself. */
        mov     gdt + DATA, %rax
        andb    $0xfe, gdt + DATA + 5 /* not accessed */
        mov     gdt + DATA, %rbx
        mov     %rax, gdt + DATA
        mov     %rbx, page_a + 8
        movl    $0x0000ffff, gdt + SPARE /* an LDT at WINDOW */
        movl    $0x40008200, gdt + SPARE + 4
        mov     $SPARE, %eax
        lldt    %ax
        entry_after "descriptor becomes accessed"
        mov     $12, %eax
        mov     %eax, %fs
        shown
        entry_after "descriptor was accessed"
        mov     $12, %eax
        mov     %eax, %fs
        shown
        mov     page_a + 12, %eax
        show    descriptor, %rax
        xor     %eax, %eax
        lldt    %ax
        mov     %eax, %fs

        movl    $WINDOW + 0x1000, tss64 + 4 /* RSP0 */
        entry_after "interrupt's frame from ring 3"
        user
        leave_user
        shown
        movl    $stack0_top, tss64 + 4

        /* Entries on the way. */
        movl    $pt_window + P + W + U, pd_window
        movl    $pd_window + P + W + U, pdpt + 8
        mov     %cr3, %rax
        mov     %rax, %cr3
        entry_after "write, entries above"
        mov     %eax, WINDOW
        shown
        show_entry pde, pd_window
        show_entry pdpte, pdpt + 8
        movl    $pt_window + P + W + U, pd_window
        mov     %cr3, %rax
        mov     %rax, %cr3
        entry_after "directory entry after a cached translation"
        mov     WINDOW, %eax
        shown
        show_entry pde, pd_window

        movl    $0x200000 + P + W + PS, pd_window + 8
        try     "large page, read"
        mov     WINDOW + 0x212345, %eax
        caught
        show_entry pde, pd_window + 8
        try     "large page, write elsewhere"
        mov     %eax, WINDOW + 0x312345
        caught
        show_entry pde, pd_window + 8
        movl    $P + W + PS, pdpt + 16
        try     "huge page, read"
        mov     $0x80000000, %eax
        mov     (%rax), %ecx
        caught
        show_entry pdpte, pdpt + 16
        finish
