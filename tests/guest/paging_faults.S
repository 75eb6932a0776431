/* Page faults of 4-level paging: which accesses fault, with what error code (SDM vol. 3, 4.6, 4.7).
 *
 * expect:
 *   not present, read: #PF(0x0)@0x40000000
 *   not present, write: #PF(0x2)@0x40000000
 *   not present, fetch: #PF(0x10)@0x40000000
 *   not present, user read: #PF(0x4)@0x40000000
 *   not present, user write: #PF(0x6)@0x40000000
 *   not present, user fetch: #PF(0x14)@0x40000000
 *   user page, read: ok
 *   user page, write: ok
 *   user page, fetch: ok
 *   user page, user read: ok
 *   user page, user write: ok
 *   user page, user fetch: ok
 *   user page, read-only, read: ok
 *   user page, read-only, write: ok
 *   user page, read-only, fetch: ok
 *   user page, read-only, user read: ok
 *   user page, read-only, user write: #PF(0x7)@0x40002000
 *   user page, read-only, user fetch: ok
 *   supervisor page, read: ok
 *   supervisor page, write: ok
 *   supervisor page, fetch: ok
 *   supervisor page, user read: #PF(0x5)@0x40003000
 *   supervisor page, user write: #PF(0x7)@0x40003000
 *   supervisor page, user fetch: #PF(0x15)@0x40003000
 *   supervisor page, read-only, read: ok
 *   supervisor page, read-only, write: ok
 *   supervisor page, read-only, fetch: ok
 *   supervisor page, read-only, user read: #PF(0x5)@0x40004000
 *   supervisor page, read-only, user write: #PF(0x7)@0x40004000
 *   supervisor page, read-only, user fetch: #PF(0x15)@0x40004000
 *   no execution, read: ok
 *   no execution, write: ok
 *   no execution, fetch: #PF(0x11)@0x40005000
 *   no execution, user read: ok
 *   no execution, user write: ok
 *   no execution, user fetch: #PF(0x15)@0x40005000
 *   reserved bit 51, read: #PF(0x9)@0x40006000
 *   reserved bit 51, write: #PF(0xb)@0x40006000
 *   reserved bit 51, fetch: #PF(0x19)@0x40006000
 *   reserved bit 51, user read: #PF(0xd)@0x40006000
 *   reserved bit 51, user write: #PF(0xf)@0x40006000
 *   reserved bit 51, user fetch: #PF(0x1d)@0x40006000
 *   reserved bit 51, not present, read: #PF(0x0)@0x40007000
 *   reserved bit 51, not present, write: #PF(0x2)@0x40007000
 *   reserved bit 51, not present, fetch: #PF(0x10)@0x40007000
 *   reserved bit 51, not present, user read: #PF(0x4)@0x40007000
 *   reserved bit 51, not present, user write: #PF(0x6)@0x40007000
 *   reserved bit 51, not present, user fetch: #PF(0x14)@0x40007000
 *   WP, user page, read-only, read: ok
 *   WP, user page, read-only, write: #PF(0x3)@0x40002000
 *   WP, user page, read-only, fetch: ok
 *   WP, user page, read-only, user read: ok
 *   WP, user page, read-only, user write: #PF(0x7)@0x40002000
 *   WP, user page, read-only, user fetch: ok
 *   WP, supervisor page, read-only, read: ok
 *   WP, supervisor page, read-only, write: #PF(0x3)@0x40004000
 *   WP, supervisor page, read-only, fetch: ok
 *   read-only by the directory, user read: ok
 *   read-only by the directory, user write: #PF(0x7)@0x40001000
 *   read-only by the directory, user fetch: ok
 *   supervisor by the directory, user read: #PF(0x5)@0x40001000
 *   supervisor by the directory, user write: #PF(0x7)@0x40001000
 *   supervisor by the directory, user fetch: #PF(0x15)@0x40001000
 *   no execution by the directory, read: ok
 *   no execution by the directory, write: ok
 *   no execution by the directory, fetch: #PF(0x11)@0x40001000
 *   supervisor by the pointer table, user read: #PF(0x5)@0x40001000
 *   supervisor by the pointer table, user write: #PF(0x7)@0x40001000
 *   supervisor by the pointer table, user fetch: #PF(0x15)@0x40001000
 *   reserved in the directory, read: #PF(0x9)@0x40001000
 *   reserved in the directory, write: #PF(0xb)@0x40001000
 *   reserved in the directory, fetch: #PF(0x19)@0x40001000
 *   large page: ok
 *   large page, bit 13: #PF(0x9)@0x40400000
 *   large page, bit 20: #PF(0x9)@0x40600000
 *   large page, PAT bit: ok
 *   huge page: ok
 *   huge page, bit 13: #PF(0x9)@0x140000000
 *   huge page, bit 29: #PF(0x9)@0x180000000
 *   reserved in the pointer table: #PF(0x9)@0x1c0000000
 *   PS in the PML4: #PF(0x9)@0x8000000000
 *   reserved in the PML4: #PF(0x9)@0x8000000000
 *   SMEP, user page, read: ok
 *   SMEP, user page, write: ok
 *   SMEP, user page, fetch: #PF(0x11)@0x40001000
 *   SMEP, user page, user read: ok
 *   SMEP, user page, user write: ok
 *   SMEP, user page, user fetch: ok
 *   SMEP, supervisor page, read: ok
 *   SMEP, supervisor page, write: ok
 *   SMEP, supervisor page, fetch: ok
 *   SMAP, user page, read: #PF(0x1)@0x40001000
 *   SMAP, user page, write: #PF(0x3)@0x40001000
 *   SMAP, user page, fetch: #PF(0x11)@0x40001000
 *   SMAP, user page, user read: ok
 *   SMAP, user page, user write: ok
 *   SMAP, user page, user fetch: ok
 *   SMAP, supervisor page, read: ok
 *   SMAP, supervisor page, write: ok
 *   SMAP, supervisor page, fetch: ok
 *   SMAP and AC: ok
 *   SMAP, AC by POPF, then cleared: #PF(0x1)@0x40001000
 *   SMAP and AC at ring 3: ok
 *   SMAP, descriptor on a user page, AC set: #PF(0x1)@0x40008008
 *   NXE off, not present, fetch: #PF(0x0)@0x40000000
 *   NXE off, NX bit is reserved: #PF(0x9)@0x40005000
 *   NXE off, SMEP, not present, fetch: #PF(0x10)@0x40000000
 *   read over the end: #PF(0x0)@0x4000b000
 *   write over the end: #PF(0x2)@0x4000b000 kept=0x55555555
 *   read over the beginning: #PF(0x0)@0x4000bffd
 *   fetch over the end: #PF(0x10)@0x4000b000 rip=0x4000affe
 *   push: #PF(0x6)@0x4000bffc rsp=0x4000c004
 *   read-modify-write: #PF(0x2)@0x4000b000
 *   compare-and-exchange that would fail, read-only: #PF(0x3)@0x40002000
 */
#include "kit/kit.inc"

        .set    NX, 0x80000000 /* high half */
        .set    AC, 1 << 18
        .set    RETS, 0xc3c3c3c3 /* four RET: the pages are also executed */

        .macro  read page
        mov     WINDOW + 4096 * \page, %eax
        .endm

        .macro  write page
        movl    $RETS, WINDOW + 4096 * \page
        .endm

        .macro  fetch page
        mov     $WINDOW + 4096 * \page, %ebx
        call    *%rbx
        .endm

/* The three accesses, at ring 0 or 3. */
        .macro  supervisor_does text, page
        try     "\text, read"
        read    \page
        caught
        try     "\text, write"
        write   \page
        caught
        try     "\text, fetch"
        fetch   \page
        caught
        .endm

        .macro  user_does text, page
        try     "\text, user read"
        user
        read    \page
        leave_user
        caught
        try     "\text, user write"
        user
        write   \page
        leave_user
        caught
        try     "\text, user fetch"
        user
        fetch   \page
        leave_user
        caught
        .endm

        .macro  all_do text, page
        supervisor_does "\text", \page
        user_does "\text", \page
        .endm

main:
        movl    $RETS, page_a
        movl    $0x8000ffff, gdt + SPARE /* an LDT on page 8 of the window */
        movl    $0x40008200, gdt + SPARE + 4
        enter_long
        call    set_window
        all_do  "not present", 0
        all_do  "user page", 1
        all_do  "user page, read-only", 2
        all_do  "supervisor page", 3
        all_do  "supervisor page, read-only", 4
        all_do  "no execution", 5
        all_do  "reserved bit 51", 6
        all_do  "reserved bit 51, not present", 7

        set_cr  cr0, 0x10000 /* WP */
        all_do  "WP, user page, read-only", 2
        supervisor_does "WP, supervisor page, read-only", 4
        clear_cr cr0, 0x10000

        /* Rights are those that all levels give. */
        movl    $pt_window + P + U + A, pd_window
        call    flush
        user_does "read-only by the directory", 1
        movl    $pt_window + P + W + A, pd_window
        call    flush
        user_does "supervisor by the directory", 1
        movl    $pt_window + P + W + U + A, pd_window
        movl    $NX, pd_window + 4
        call    flush
        supervisor_does "no execution by the directory", 1
        movl    $0, pd_window + 4
        movl    $pd_window + P + W + A, pdpt + 8
        call    flush
        user_does "supervisor by the pointer table", 1
        movl    $pd_window + P + W + U + A, pdpt + 8

        /* What is reserved, at each level. */
        movl    $1 << 19, pd_window + 4
        call    flush
        supervisor_does "reserved in the directory", 1
        movl    $0x200000 + P + W + PS, pd_window + 8
        movl    $0x200000 + P + W + PS + (1 << 13), pd_window + 16
        movl    $0x200000 + P + W + PS + (1 << 20), pd_window + 24
        movl    $0x200000 + P + W + PS + (1 << 12), pd_window + 32 /* PAT */
        movl    $0, pd_window + 4
        call    flush
        try     "large page"
        mov     WINDOW + 0x200000, %eax
        caught
        try     "large page, bit 13"
        mov     WINDOW + 0x400000, %eax
        caught
        try     "large page, bit 20"
        mov     WINDOW + 0x600000, %eax
        caught
        try     "large page, PAT bit"
        mov     WINDOW + 0x800000, %eax
        caught
        movl    $P + W + PS, pdpt + 32
        movl    $P + W + PS + (1 << 13), pdpt + 40
        movl    $P + W + PS + (1 << 29), pdpt + 48
        movl    $1, pdpt + 56
        movl    $1 << 19, pdpt + 60
        try     "huge page"
        movabs  0x100000000, %eax
        caught
        try     "huge page, bit 13"
        movabs  0x140000000, %eax
        caught
        try     "huge page, bit 29"
        movabs  0x180000000, %eax
        caught
        try     "reserved in the pointer table"
        movabs  0x1c0000000, %eax
        caught
        movl    $pdpt + P + W + PS, pml4 + 8
        try     "PS in the PML4"
        movabs  $0x8000000000, %rax
        mov     (%rax), %eax
        caught
        movl    $pdpt + P + W, pml4 + 8
        movl    $1 << 19, pml4 + 12
        try     "reserved in the PML4"
        movabs  $0x8000000000, %rax
        mov     (%rax), %eax
        caught

        /* SMEP and SMAP. */
        set_cr  cr4, 1 << 20
        all_do  "SMEP, user page", 1
        supervisor_does "SMEP, supervisor page", 3
        set_cr  cr4, 1 << 21
        all_do  "SMAP, user page", 1
        supervisor_does "SMAP, supervisor page", 3
        try     "SMAP and AC"
        stac
        read    1
        write   1
        clac
        caught
        try     "SMAP, AC by POPF, then cleared"
        pushq   $AC | 2
        popf
        read    1
        pushq   $2
        popf
        read    1
        caught
        try     "SMAP and AC at ring 3"
        user    AC | 2
        read    1
        write   1
        leave_user
        caught
        /* Implicit accesses are checked in spite of AC. */
        mov     gdt + DATA, %rax
        mov     %rax, page_b + 8
        mov     $SPARE, %eax
        lldt    %ax
        try     "SMAP, descriptor on a user page, AC set"
        stac
        mov     $12, %eax /* LDT, second descriptor */
        mov     %eax, %fs
        caught
        clear_cr cr4, 3 << 20

        /* Without EFER.NXE. */
        write_msr MSR_EFER, 0x501
        try     "NXE off, not present, fetch"
        fetch   0
        caught
        try     "NXE off, NX bit is reserved"
        read    5
        caught
        set_cr  cr4, 1 << 20
        try     "NXE off, SMEP, not present, fetch"
        fetch   0
        caught
        clear_cr cr4, 1 << 20
        write_msr MSR_EFER, 0xd01

        /* Accesses of two pages: page 10 is there, page 11 is not; page 12 is there. */
        try     "read over the end"
        mov     WINDOW + 0xaffc, %rax
        caught
        movl    $0x55555555, page_b + 0xffc
        movabs  $0x1122334455667788, %rbx
        try     "write over the end"
        mov     %rbx, WINDOW + 0xaffc
        caught
        mov     page_b + 0xffc, %eax
        show    kept, %rax
        try     "read over the beginning"
        mov     WINDOW + 0xbffd, %rax
        caught
        movb    $0x48, page_b + 0xffe
        movb    $0x8b, page_b + 0xfff /* MOV and no ModRM byte */
        try     "fetch over the end"
        mov     $WINDOW + 0xaffe, %eax
        jmp     *%rax
        caught
        show    rip, event_rip
        try     "push"
        user
        mov     $WINDOW + 0xc004, %esp
        push    %rax
        caught
        show    rsp, event_rsp
        try     "read-modify-write"
        incl    WINDOW + 0xb000
        caught
        try     "compare-and-exchange that would fail, read-only"
        set_cr  cr0, 0x10000
        mov     $77, %eax
        lock cmpxchg %ebx, WINDOW + 0x2000
        caught
        finish

set_window:
        movl    $page_a + P + W + U, pt_window + 8 * 1
        movl    $page_a + P + U, pt_window + 8 * 2
        movl    $page_a + P + W, pt_window + 8 * 3
        movl    $page_a + P, pt_window + 8 * 4
        movl    $page_a + P + W + U, pt_window + 8 * 5
        movl    $NX, pt_window + 8 * 5 + 4
        movl    $page_a + P + W + U, pt_window + 8 * 6
        movl    $1 << 19, pt_window + 8 * 6 + 4
        movl    $1 << 19, pt_window + 8 * 7 + 4
        movl    $page_b + P + W + U, pt_window + 8 * 8
        movl    $page_b + P + W, pt_window + 8 * 10
        movl    $page_b + P + W + U, pt_window + 8 * 12
        movl    $0, pt_window
flush:  mov     %cr3, %rax
        mov     %rax, %cr3
        ret
