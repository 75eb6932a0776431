/* Segment registers in protected mode: loads, types, limits, rights, nulls (SDM vol. 3, 3.4 and 5.2
 * to 5.7). The spare descriptors have the selectors from 0x68 on.
 *
 * expect:
 *   data to FS: ok access=0x93
 *   data to SS: ok
 *   read-only data to FS: ok
 *   read-only data to SS: #GP(0x68)
 *   readable code to FS: ok
 *   readable code to SS: #GP(0x68)
 *   unreadable code to FS: #GP(0x68)
 *   a system descriptor to FS: #GP(0x68)
 *   a system descriptor to SS: #GP(0x68)
 *   not present to FS: #NP(0x68)
 *   not present to SS: #SS(0x68) access=0x12
 *   null to FS: ok
 *   null with RPL 3 to FS: ok
 *   null to SS: #GP(0x0)
 *   read through a null FS: #GP(0x0)
 *   the last descriptor of the GDT, which is empty: #GP(0xf0)
 *   beyond the GDT: #GP(0xf8)
 *   beyond the GDT, RPL 2: #GP(0xf8)
 *   beyond the GDT to SS: #GP(0xf8)
 *   LDT without one: #GP(0xc)
 *   DPL 3 to FS at CPL 0: ok
 *   DPL 3, RPL 3 to FS at CPL 0: ok
 *   DPL 3 to SS at CPL 0: #GP(0x68)
 *   DPL 1, RPL 2 to FS at CPL 0: #GP(0x70)
 *   DPL 0, RPL 1 to SS: #GP(0x10)
 *   DPL 0 to FS at CPL 3: #GP(0x10)
 *   DPL 1 to FS at CPL 3: #GP(0x70)
 *   DPL 3, RPL 0 to FS at CPL 3: ok
 *   DPL 3, RPL 0 to SS at CPL 3: #GP(0x68)
 *   DPL 3, RPL 3 to SS at CPL 3: ok
 *   conforming code of DPL 0 to FS at CPL 3: ok
 *   return to ring 3 drops segments of ring 0: ok fs=0x0 gs=0x78
 *   byte at the limit: ok
 *   byte beyond the limit: #GP(0x0)
 *   word at the limit: #GP(0x0)
 *   doubleword up to the limit: ok
 *   doubleword over the limit: #GP(0x0)
 *   doubleword at the end of 4 GiB: #GP(0x0)
 *   limit 0, byte 0: ok
 *   limit 0, byte 1: #GP(0x0)
 *   limit 0 pages, the last byte: ok
 *   limit 0 pages, the next one: #GP(0x0)
 *   expand-down, byte at the limit: #GP(0x0)
 *   expand-down, byte beyond the limit: ok
 *   expand-down, the last byte of 4 GiB: ok
 *   expand-down, over the end of 4 GiB: #GP(0x0)
 *   expand-down of 64 KiB, its last byte: ok
 *   expand-down of 64 KiB, beyond: #GP(0x0)
 *   expand-down of 64 KiB, over the end: #GP(0x0)
 *   expand-down, the whole limit: nothing: #GP(0x0)
 *   base and offset wrap at 4 GiB: ok value=0x77
 *   write to read-only data: #GP(0x0)
 *   write to code: #GP(0x0)
 *   write through CS: #GP(0x0)
 *   read through an unreadable CS: #GP(0x0)
 *   push below the limit of SS: ok esp=0xfc
 *   push over the limit of SS: #SS(0x0) esp=0x103
 *   pop over the limit of SS: #SS(0x0) esp=0xfd
 *   push at offset 0: #SS(0x0) esp=0x0
 *   read through EBP: #SS(0x0) esp=0x0
 *   CALL: #SS(0x0) esp=0x2
 *   far CALL: #SS(0x0) esp=0x4
 *   PUSHA with room for half of it: #SS(0x0) esp=0x110
 *   ENTER: #SS(0x0) esp=0x20
 *   LEAVE: #SS(0x0) esp=0x20
 *   RET: #SS(0x0) esp=0xff
 *   IRET: #SS(0x0) esp=0xf8
 *   16-bit stack wraps: ok esp=0xabc5fffc
 *   16-bit stack, push over the end: #SS(0x0) esp=0xabc50002
 *   16-bit stack, pop over the end: #SS(0x0) esp=0xabc5fffe
 *   the hidden part stays: ok
 *   LLDT: ok
 *   segment of the LDT: ok
 *   LDT, null entry: #GP(0x4)
 *   beyond the LDT: #GP(0x14)
 *   LLDT of a data segment: #GP(0x10)
 *   LLDT of the LDT itself: #GP(0xc)
 *   LLDT beyond the GDT: #GP(0xf8)
 *   LLDT of one that is not present: #NP(0x80)
 *   LLDT of null, then a segment of the LDT: #GP(0xc)
 *   LLDT at ring 3: #GP(0x0)
 *   LTR of a busy TSS: #GP(0x50)
 *   LTR of null: #GP(0x0)
 *   JMP to code of the same level, RPL 3: #GP(0x68) cs=0x38
 *   JMP to code of DPL 3 at CPL 0: #GP(0x68)
 *   JMP to conforming code of DPL 3 at CPL 0: #GP(0x68)
 *   JMP at CPL 3 to conforming code of DPL 0: ok cs=0x6b
 *   JMP at CPL 3 to code of DPL 0: #GP(0x38)
 *   JMP to data: #GP(0x10)
 *   JMP to null: #GP(0x0)
 *   JMP to code that is not present: #NP(0x68)
 *   JMP beyond the limit of CS: #GP(0x0) cs=0x38
 *   CALL to data: #GP(0x10)
 *   CALL and RET, releasing two parameters: ok released=0x0
 *   execution runs into the limit: #GP(0x0) rip=0x100
 *   RET to an inner level: #GP(0x38)
 *   RET to ring 3 with SS of ring 0: #GP(0x10)
 *   RET to ring 3, releasing parameters from both stacks: ok above=0x8
 */
#include "kit/kit.inc"

        .set    AREA, 0x300000
        .set    S0, SPARE
        .set    S1, SPARE + 8
        .set    S2, SPARE + 16
        .set    LDT, SPARE + 24

        .macro  load segment, selector
        mov     $\selector, %eax
        mov     %eax, %\segment
        .endm

        .macro  try_load text, segment, selector
        try     "\text"
        load    \segment, \selector
        caught
        .endm

        .macro  user_load text, segment, selector
        try     "\text"
        user
        load    \segment, \selector
        leave_user
        caught
        .endm

/* Reads through FS, which S0 describes. */
        .macro  try_read text, size, address
        try     "\text"
        load    fs, S0
        mov     %fs:\address, %\size
        caught
        .endm

main:
        enable_pae
        /* Types. */
        set_descriptor 0, 0, 0xfffff, 0xc092
        try_load "data to FS", fs, S0
        mov     gdt + S0 + 5, %al
        and     $0xff, %eax
        show    access, %eax
        try_load "data to SS", ss, S0
        set_descriptor 0, 0, 0xfffff, 0xc090
        try_load "read-only data to FS", fs, S0
        try_load "read-only data to SS", ss, S0
        set_descriptor 0, 0, 0xfffff, 0xc09a
        try_load "readable code to FS", fs, S0
        try_load "readable code to SS", ss, S0
        set_descriptor 0, 0, 0xfffff, 0xc098
        try_load "unreadable code to FS", fs, S0
        set_descriptor 0, 0, 0xfffff, 0x0082
        try_load "a system descriptor to FS", fs, S0
        try_load "a system descriptor to SS", ss, S0
        set_descriptor 0, 0, 0xfffff, 0xc012
        try_load "not present to FS", fs, S0
        try_load "not present to SS", ss, S0
        mov     gdt + S0 + 5, %al
        and     $0xff, %eax
        show    access, %eax

        /* Tables and nulls. */
        try_load "null to FS", fs, 0
        try_load "null with RPL 3 to FS", fs, 3
        try_load "null to SS", ss, 0
        try     "read through a null FS"
        load    fs, 0
        mov     %fs:AREA, %eax
        caught
        try_load "the last descriptor of the GDT, which is empty", fs, 0xf0
        try_load "beyond the GDT", fs, 0xf8
        try_load "beyond the GDT, RPL 2", gs, 0xfa
        try_load "beyond the GDT to SS", ss, 0xf8
        try_load "LDT without one", fs, 0xc

        /* Privilege: DPL against CPL and RPL. */
        set_descriptor 0, 0, 0xfffff, 0xc0f3
        set_descriptor 1, 0, 0xfffff, 0xc0b3
        set_descriptor 2, 0, 0xfffff, 0xc09f /* conforming, DPL 0 */
        try_load "DPL 3 to FS at CPL 0", fs, S0
        try_load "DPL 3, RPL 3 to FS at CPL 0", fs, S0 + 3
        try_load "DPL 3 to SS at CPL 0", ss, S0
        try_load "DPL 1, RPL 2 to FS at CPL 0", fs, S1 + 2
        try_load "DPL 0, RPL 1 to SS", ss, DATA + 1
        user_load "DPL 0 to FS at CPL 3", fs, DATA
        user_load "DPL 1 to FS at CPL 3", fs, S1
        user_load "DPL 3, RPL 0 to FS at CPL 3", fs, S0
        user_load "DPL 3, RPL 0 to SS at CPL 3", ss, S0
        user_load "DPL 3, RPL 3 to SS at CPL 3", ss, S0 + 3
        user_load "conforming code of DPL 0 to FS at CPL 3", fs, S2 + 3
        try     "return to ring 3 drops segments of ring 0"
        load    fs, DATA
        load    gs, S2 /* conforming: stays */
        user
        mov     %fs, %eax
        mov     %gs, %ebx
        leave_user
        caught
        show    fs, %eax
        show    gs, %ebx

        /* Limits. */
        set_descriptor 0, AREA, 0xff, 0x4093
        try_read "byte at the limit", al, 0xff
        try_read "byte beyond the limit", al, 0x100
        try_read "word at the limit", ax, 0xff
        try_read "doubleword up to the limit", eax, 0xfc
        try_read "doubleword over the limit", eax, 0xfd
        try_read "doubleword at the end of 4 GiB", eax, 0xfffffffd
        set_descriptor 0, AREA, 0, 0x4093
        try_read "limit 0, byte 0", al, 0
        try_read "limit 0, byte 1", al, 1
        set_descriptor 0, AREA, 0, 0xc093
        try_read "limit 0 pages, the last byte", al, 0xfff
        try_read "limit 0 pages, the next one", al, 0x1000
        set_descriptor 0, AREA, 0xff, 0x4097
        try_read "expand-down, byte at the limit", al, 0xff
        try_read "expand-down, byte beyond the limit", al, 0x100
        try_read "expand-down, the last byte of 4 GiB", al, 0xffffffff
        try_read "expand-down, over the end of 4 GiB", eax, 0xfffffffe
        set_descriptor 0, AREA, 0xff, 0x0097
        try_read "expand-down of 64 KiB, its last byte", al, 0xffff
        try_read "expand-down of 64 KiB, beyond", al, 0x10000
        try_read "expand-down of 64 KiB, over the end", ax, 0xffff
        set_descriptor 0, AREA, 0xfffff, 0xc097
        try_read "expand-down, the whole limit: nothing", al, 0xffffffff
        set_descriptor 0, 0xffffff00, 0xfffff, 0xc093
        try     "base and offset wrap at 4 GiB"
        movl    $0x77, AREA
        load    fs, S0
        mov     %fs:AREA + 0x100, %eax
        caught
        show    value, %eax

        /* Writes. */
        set_descriptor 0, 0, 0xfffff, 0xc091
        try     "write to read-only data"
        load    fs, S0
        movl    $1, %fs:AREA
        caught
        set_descriptor 0, 0, 0xfffff, 0xc09b
        try     "write to code"
        load    fs, S0
        movl    $1, %fs:AREA
        caught
        try     "write through CS"
        movl    $1, %cs:AREA
        caught
        set_descriptor 0, 0, 0xfffff, 0xc099
        try     "read through an unreadable CS"
        ljmp    $S0, $1f
1:      mov     %cs:AREA, %eax
        caught

        /* The stack. */
        .macro  on_stack text, esp, code:vararg
        try     "\text"
        user
        load    ss, S0 + 3
        mov     $\esp, %esp
        mov     $0x1000, %ebp
        \code
        leave_user
        caught
        show    esp, event_rsp
        .endm

        set_descriptor 0, 0x20300000, 0xff, 0x40f3
        on_stack "push below the limit of SS", 0x100, push %eax
        on_stack "push over the limit of SS", 0x103, push %eax
        on_stack "pop over the limit of SS", 0xfd, pop %eax
        on_stack "push at offset 0", 0, push %eax
        on_stack "read through EBP", 0, mov -0xf00(%ebp), %eax
        on_stack "CALL", 2, call .
        on_stack "far CALL", 4, lcall $USER_CODE32, $0
        on_stack "PUSHA with room for half of it", 0x110, pusha
        on_stack "ENTER", 0x20, enter $0x40, $0
        on_stack "LEAVE", 0x20, leave
        on_stack "RET", 0xff, ret
        on_stack "IRET", 0xf8, iret
        set_descriptor 0, 0x20300000, 0xffff, 0x00f3
        on_stack "16-bit stack wraps", 0xabc50000, push %eax
        on_stack "16-bit stack, push over the end", 0xabc50002, push %eax
        on_stack "16-bit stack, pop over the end", 0xabc5fffe, pop %eax

        /* Hidden parts stay when the table changes. */
        set_descriptor 0, AREA, 0xff, 0x4093
        try     "the hidden part stays"
        load    fs, S0
        set_descriptor 0, 0, 0, 0
        mov     %fs:0, %eax
        caught

        /* LDT. */
        set_descriptor 3, AREA, 15, 0x0082
        movl    $0x0000ffff, AREA + 8
        movl    $0x00cf9200, AREA + 12
        try     "LLDT"
        mov     $LDT, %eax
        lldt    %ax
        caught
        try_load "segment of the LDT", fs, 0xc
        try_load "LDT, null entry", fs, 0x4
        try_load "beyond the LDT", fs, 0x14
        try     "LLDT of a data segment"
        mov     $DATA, %eax
        lldt    %ax
        caught
        try     "LLDT of the LDT itself"
        mov     $0xc, %eax
        lldt    %ax
        caught
        try     "LLDT beyond the GDT"
        mov     $0xf8, %eax
        lldt    %ax
        caught
        set_descriptor 3, AREA, 15, 0x0002
        try     "LLDT of one that is not present"
        mov     $LDT, %eax
        lldt    %ax
        caught
        try     "LLDT of null, then a segment of the LDT"
        xor     %eax, %eax
        lldt    %ax
        load    fs, 0xc
        caught
        try     "LLDT at ring 3"
        user
        lldt    %ax
        caught
        try     "LTR of a busy TSS"
        mov     $TSS32, %eax
        ltr     %ax
        caught
        try     "LTR of null"
        xor     %eax, %eax
        ltr     %ax
        caught

        /* Far jumps and calls to code. */
        set_descriptor 0, 0, 0xfffff, 0xc09b
        try     "JMP to code of the same level, RPL 3"
        ljmp    $S0 + 3, $1f
1:      caught
        mov     %cs, %eax
        show    cs, %eax
        ljmp    $CODE32, $1f
1:      set_descriptor 0, 0, 0xfffff, 0xc0fb
        try     "JMP to code of DPL 3 at CPL 0"
        ljmp    $S0, $1f
1:      caught
        set_descriptor 0, 0, 0xfffff, 0xc0ff
        try     "JMP to conforming code of DPL 3 at CPL 0"
        ljmp    $S0, $1f
1:      caught
        set_descriptor 0, 0, 0xfffff, 0xc09f
        try     "JMP at CPL 3 to conforming code of DPL 0"
        user
        ljmp    $S0, $USER_BASE + 1f
1:      mov     %cs, %eax
        leave_user
        caught
        show    cs, %eax
        try     "JMP at CPL 3 to code of DPL 0"
        user
        ljmp    $CODE32, $1f
1:      caught
        try     "JMP to data"
        ljmp    $DATA, $1f
1:      caught
        try     "JMP to null"
        ljmp    $3, $1f
1:      caught
        set_descriptor 0, 0, 0xfffff, 0xc01b
        try     "JMP to code that is not present"
        ljmp    $S0, $1f
1:      caught
        set_descriptor 0, 0, 0xfff, 0x409b
        try     "JMP beyond the limit of CS"
        ljmp    $S0, $0x1000
        caught
        show    cs, event_cs
        try     "CALL to data"
        lcall   $DATA, $1f
1:      caught
        try     "CALL and RET, releasing two parameters"
        mov     %esp, %ebx
        push    $1
        push    $2
        lcall   $CODE32, $far_routine
        sub     %esp, %ebx
        caught
        show    released, %ebx
        set_descriptor 0, 0x300000, 0xff, 0x409b
        movb    $0x90, AREA + 0xff
        try     "execution runs into the limit"
        ljmp    $S0, $0xff
        caught
        show    rip, event_rip
        try     "RET to an inner level"
        user
        push    $CODE32
        push    $1f
        lret
1:      caught
        try     "RET to ring 3 with SS of ring 0"
        push    $DATA
        push    $user_stack_top
        push    $USER_CODE32
        push    $1f
        lret
1:      caught
        try     "RET to ring 3, releasing parameters from both stacks"
        push    $USER_DATA
        push    $user_stack_top
        push    $0
        push    $0
        push    $USER_CODE32
        push    $USER_BASE + 1f
        lret    $8
1:      mov     %esp, %ebx
        leave_user
        caught
        sub     $user_stack_top, %ebx
        show    above, %ebx
        finish

far_routine:
        lret    $8
