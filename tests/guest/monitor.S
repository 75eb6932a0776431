/* MONITOR and MWAIT (SDM vol. 2; vol. 3, 9.10.2).
 *
 * expect:
 *   CPUID: ecx=0x8 line=0x40 extensions=0x3 states=0x10 ok
 *   MWAIT without MONITOR: ok
 *   store to the line: ok
 *   store of what is there: ok
 *   store by another linear address: ok
 *   locked store to the last byte: ok
 *   stores around the line do not count: [0x60]
 *   the line is watched once: [0x60]
 *   the next MONITOR counts: [0x60]
 *   interrupt, with STI before MWAIT: [0x60]
 *   interrupt before MWAIT: [0x50]
 *   masked interrupt, as break event: [0x60] before=0x0
 *   exception before MWAIT: [0x31]
 *   single step: #DB(0x4000)
 *   code beside the line runs on: ok
 *   32-bit address: ok
 *   address in FS: ok
 *   MONITOR sets A: ok entry=0x3021
 *   MONITOR of a page that is not there: #PF(0x0)@0x40001008
 *   MONITOR with ECX: #GP(0x0)
 *   MONITOR with the upper half of RCX: #GP(0x0)
 *   MWAIT with an unknown extension: #GP(0x0)
 *   MWAIT with the upper half of RCX: #GP(0x0)
 *   MONITOR at ring 3: #UD
 *   MWAIT at ring 3: #UD
 *   MONITOR FSM off: ecx=0x0 line=0x0 ok
 *   MONITOR FSM off, MONITOR: #UD
 *   MONITOR FSM off, MWAIT: #UD
 *   MONITOR FSM on: ecx=0x8 ok
 *   in compatibility mode: ok
 */
#include "kit/kit.inc"

        .set    APIC, 0xfee00000 /* in R15 */
        .set    EOI, 0xb0
        .set    SVR, 0xf0
        .set    ICR, 0x300
        .set    LVT_TIMER, 0x320
        .set    LVT_LINT0, 0x350
        .set    INITIAL_COUNT, 0x380
        .set    DIVIDE, 0x3e0
        .set    MASKED, 1 << 16
        .set    SELF, 1 << 18
        .set    MSR_MISC_ENABLE, 0x1a0
        .set    MONITOR_FSM, 18
        .set    MSR_FS_BASE, 0xc0000100

        .macro  apic register, value
        movl    $\value, \register(%r15)
        .endm

        .macro  watch address
        mov     $\address, %eax
        xor     %ecx, %ecx
        xor     %edx, %edx
        monitor
        .endm

        .macro  wait_for_write extensions=0
        xor     %eax, %eax
        mov     $\extensions, %ecx
        mwait
        .endm

/* An interrupt in 0.2 ms. */
        .macro  start_timer
        apic    INITIAL_COUNT, 200000
        .endm

/* Waits for the timer, and for nothing else. */
        .macro  wait_for_timer
        start_timer
        sti
        wait_for_write
        cli
        .endm

        .macro  show_monitor_bit
        mov     $1, %eax
        cpuid
        and     $8, %ecx
        show    ecx, %rcx
        .endm

        .macro  misc_enable change
        mov     $MSR_MISC_ENABLE, %ecx
        rdmsr
        \change $MONITOR_FSM, %eax
        wrmsr
        .endm

main:
        go_on   0x31
        go_on   0x50
        go_on   0x60
        enter_long
        mov     $APIC, %r15d
        apic    SVR, 0x1ff
        apic    LVT_LINT0, MASKED
        apic    DIVIDE, 0xb
        apic    LVT_TIMER, 0x60
        movl    $eoi, hook

        try     "CPUID"
        show_monitor_bit
        mov     $5, %eax
        cpuid
        show    line, %rax
        show    extensions, %rcx
        show    states, %rdx
        caught

        /* What ends a wait, or keeps it from beginning. */
        try     "MWAIT without MONITOR"
        wait_for_write
        caught
        try     "store to the line"
        watch   line
        movl    $1, line + 32
        wait_for_write
        caught
        try     "store of what is there"
        watch   line + 63
        movb    $0, line
        wait_for_write
        caught
        try     "store by another linear address"
        watch   line
        movq    $2, USER_BASE + line + 8
        wait_for_write
        caught
        try     "locked store to the last byte"
        watch   line
        lock incw line - 1
        lock incb line + 63
        wait_for_write
        caught
        try     "stores around the line do not count"
        watch   line
        movl    $3, line - 4
        movl    $3, line + 64
        wait_for_timer
        caught
        try     "the line is watched once"
        watch   line
        movl    $1, line
        watch   line
        wait_for_timer
        caught
        try     "the next MONITOR counts"
        watch   line
        watch   line + 64
        movl    $1, line
        wait_for_timer
        caught
        try     "interrupt, with STI before MWAIT"
        watch   line
        wait_for_timer
        caught
        try     "interrupt before MWAIT"
        watch   line
        apic    ICR, SELF + 0x50
        sti
        nop
        cli
        wait_for_write
        caught
        try     "masked interrupt, as break event"
        movl    $0, interrupts
        watch   line
        start_timer
        wait_for_write 1
        mov     interrupts, %eax
        sti
        nop
        cli
        caught
        show    before, %rax
        try     "exception before MWAIT"
        watch   line
        int     $0x31
        wait_for_write
        caught
        try     "single step"
        watch   line
        xor     %ecx, %ecx
        pushf
        orl     $0x100, (%rsp)
        popf
        mwait
        caught
        try     "code beside the line runs on"
        watch   code_line
        mov     $5, %ecx
        call    code_line
        movl    $1, code_line + 60
        wait_for_write
        caught

        /* The address. */
        try     "32-bit address"
        mov     $line, %eax
        bts     $40, %rax
        xor     %ecx, %ecx
        .byte   0x67
        monitor
        movl    $1, line
        wait_for_write
        caught
        try     "address in FS"
        mov     $MSR_FS_BASE, %ecx
        mov     $line, %eax
        xor     %edx, %edx
        wrmsr
        xor     %eax, %eax
        xor     %ecx, %ecx
        .byte   0x64 /* FS */
        monitor
        movl    $1, line
        wait_for_write
        caught
        try     "MONITOR sets A"
        map     0, 0x3001
        watch   WINDOW
        mov     pt_window, %rax
        caught
        show    entry, %rax
        try     "MONITOR of a page that is not there"
        map     1, 0
        watch   WINDOW + 0x1008
        caught

        /* What is refused. */
        try     "MONITOR with ECX"
        mov     $line, %eax
        mov     $1, %ecx
        monitor
        caught
        try     "MONITOR with the upper half of RCX"
        mov     $line, %eax
        mov     $1 << 32, %rcx
        monitor
        caught
        try     "MWAIT with an unknown extension"
        mov     $2, %ecx
        mwait
        caught
        try     "MWAIT with the upper half of RCX"
        mov     $1 << 32, %rcx
        mwait
        caught
        try     "MONITOR at ring 3"
        user
        mov     $USER_BASE + line, %eax
        xor     %ecx, %ecx
        monitor
        leave_user
        caught
        try     "MWAIT at ring 3"
        user
        xor     %ecx, %ecx
        mwait
        leave_user
        caught
        try     "MONITOR FSM off"
        misc_enable btr
        show_monitor_bit
        mov     $5, %eax
        cpuid
        show    line, %rax
        caught
        try     "MONITOR FSM off, MONITOR"
        watch   line
        caught
        try     "MONITOR FSM off, MWAIT"
        wait_for_write
        caught
        try     "MONITOR FSM on"
        misc_enable bts
        show_monitor_bit
        caught
        try     "in compatibility mode"
        push    $CODE32
        push    $compatible
        lretq
        use_bits 32
compatible:
        watch   line
        incl    line
        wait_for_write
        ljmp    $CODE64, $1f
        use_bits 64
1:      caught
        finish

eoi:    incl    interrupts
        apic    EOI, 0
        ret

        .data
        .balign 64
        .fill   64
line:   .fill   64
        .fill   64
interrupts:
        .long   0

        .balign 64
code_line:
1:      dec     %ecx
        jnz     1b
        ret
        .balign 64
