/* Delivery in 64-bit mode: stacks, nested exceptions, interrupt shadows, single step, instruction
 * breakpoints (SDM vol. 3, 6.14, 6.15, 17.3).
 *
 * expect:
 *   the frame is aligned: ok rsp=0xfffffffffffffec8 pushed=0xfffffffffffffefb ss=0x10
 *   IST 1: ok rsp=0xffffffffffffffd8 ss=0x10
 *   IST 1 from ring 3: ok rsp=0xffffffffffffffd8 pushed_ss=0x23 ss=0x0
 *   RSP0 from ring 3: ok rsp=0xffffffffffffffd8 ss=0x0
 *   from compatibility mode: ok pushed_ss=0x23 ss=0x0
 *   handler in a 32-bit segment: #GP(0x38)
 *   16-bit gate: #GP(0x202)
 *   task gate: #GP(0x202)
 *   DPL 0 from ring 3: #GP(0x202)
 *   trap gate keeps IF: ok flags=0x202
 *   interrupt gate clears IF, NT, and RF: ok flags=0x2
 *   IRET with NT: #GP(0x0)
 *   IRET to a null SS at ring 0: ok ss=0x0
 *   IRET to a null SS at ring 3: #GP(0x0)
 *   #GP through a gate that is not present: #DF(0x0)
 *   and #UD, then #NP: #NP(0x33)
 *   and #DE, then #NP: #DF(0x0)
 *   and #PF, then #NP: #DF(0x0)
 *   and INT 13, then #NP: #NP(0x6a)
 *   #DE, then #PF: #PF(0x2)@0x40000ff8
 *   and #PF, then #PF: #DF(0x0) cr2=0x40000ff8
 *   and #DE, then #PF, then #PF: #DF(0x0)
 *   #UD, then #PF: #PF(0x2)@0x40000ff8
 *   #UD, then #SS: #SS(0x1)
 *   #GP, then #SS: #DF(0x0)
 *   STI shadows one instruction: [0x50]+0x2
 *   STI, CLI: no interrupt: ok
 *   STI, STI: [0x50]+0x2
 *   POPF has none: [0x50]+0x6
 *   STI, HLT: [0x50]+0x2
 *   IRET has none: [0x50]+0x14
 *   single step: #DB(0x4000)+0x0 #DB(0x4000)+0x1 #DB(0x4000)+0x2 #DB(0x4000)+0x4 #DB(0x4000)+0x5
 *   single step of REP MOVSB: #DB(0x4000)+0x0 #DB(0x4000)+0x5 #DB(0x4000)+0xa #DB(0x4000)+0xf #DB(0x4000)+0xf #DB(0x4000)+0xf #DB(0x4000)+0x11 #DB(0x4000)+0x12 #DB(0x4000)+0x14 #DB(0x4000)+0x15
 *   single step of a REP with no elements: #DB(0x4000)+0x0 #DB(0x4000)+0x2 #DB(0x4000)+0x4 #DB(0x4000)+0x6 #DB(0x4000)+0x7
 *   single step of INT: not in the handler: #DB(0x4000)+0x0 #DB(0x4000)+0x9 [0x41]+0xb #DB(0x4000)+0xc #DB(0x4000)+0xd #DB(0x4000)+0xf #DB(0x4000)+0x10
 *   single step of MOV SS: #DB(0x4000)+0x0 #DB(0x4000)+0x2 #DB(0x4000)+0x5 #DB(0x4000)+0x6 #DB(0x4000)+0x8 #DB(0x4000)+0x9
 *   single step of a fault: #DB(0x4000)+0x0 #UD+0x0
 *   IRET sets TF: #DB(0x4000)+0x15 #DB(0x4000)+0x16 #DB(0x4000)+0x18 #DB(0x4000)+0x19
 *   single step of SYSCALL that keeps TF: #DB(0x4000)+0x0 #DB(0x4000)+0x478 #DB(0x4000)+0x479
 *   single step of SYSCALL that masks TF: #DB(0x4000)+0x0
 *   instruction breakpoint, once: #DB(0x1)+0x1
 *   instruction breakpoint in a loop: #DB(0x1)+0x0 #DB(0x1)+0x0 #DB(0x1)+0x0
 *   instruction breakpoint on REP: #DB(0x1)+0x0
 *   instruction breakpoint, IRET with RF: ok
 *   instruction breakpoint, POPF does not load RF: #DB(0x1)+0x6
 *   instruction breakpoint under MOV SS: ok
 *   instruction breakpoint on an undefined instruction: #DB(0x1)+0x0 #UD+0x0
 *   RF is pushed for a fault: #UD rf=0x10000
 *   RF is not pushed for INT 3: #BP rf=0x0
 *   INT1: #DB(0x0)
 *   DR7.GD: #DB(0x2000) dr7=0x400
 *   DR4 is DR6: ok dr4=0xffff0ff0
 *   DR4 under CR4.DE: #UD
 *   DR6 beyond 32 bits: #GP(0x0)
 *   DR7 beyond 32 bits: #GP(0x0)
 *   DR0 at ring 3: #GP(0x0)
 *   IRET to 64-bit code with D: #GP(0x68)
 */
#include "kit/kit.inc"

        .set    TF, 0x100
        .set    IF, 0x200
        .set    NT, 0x4000
        .set    RF, 0x10000
        .set    VECTOR, 0x40
        .set    IRQ, 0x50
        .set    APIC, 0xfee00000

        .macro  gate64 vector, selector, target, attributes, ist=0
        movl    $\target, idt64 + 16 * (\vector)
        movw    $\selector, idt64 + 16 * (\vector) + 2
        movl    $\target, idt64 + 16 * (\vector) + 4
        movw    $\attributes << 8 + \ist, idt64 + 16 * (\vector) + 4
        .endm

        .macro  not_present vector
        btrl    $15, idt64 + 16 * \vector + 4
        .endm

        .macro  present vector
        btsl    $15, idt64 + 16 * \vector + 4
        .endm

        .macro  ist vector, n
        movb    $\n, idt64 + 16 * \vector + 4
        .endm

        .macro  set_flags flags
        pushq   $(\flags) | 2
        popfq
        .endm

        .macro  on_vector text, code:vararg
        try     "\text"
        \code
        int     $VECTOR
        caught
        .endm

/* An interrupt that waits: from ourselves. */
        .macro  send_interrupt
        movl    $0x40000 + IRQ, 0x300(%r15)
        .endm

        .macro  stepped text
        go_on   1
        try     "\text"
        set_flags TF
        show_rip
        .endm

        .macro  stepped_end
        set_flags 0
        caught
        hide_rip
        stop_on 1
        .endm

main:
        enter_long
        mov     $APIC, %r15d

        /* Stacks. */
        gate64  VECTOR, CODE64, frame, 0xee
        on_vector "the frame is aligned", mov $stack_top - 0x105, %esp
        sub     $stack_top, %rdx
        show    rsp, %rdx
        sub     $stack_top, %rcx
        show    pushed, %rcx
        show    ss, %rbx
        gate64  VECTOR, CODE64, frame, 0xee, 1
        on_vector "IST 1", nop
        sub     $ist1_top, %rdx
        show    rsp, %rdx
        show    ss, %rsi
        on_vector "IST 1 from ring 3", user
        sub     $ist1_top, %rdx
        show    rsp, %rdx
        show    pushed_ss, %rbx
        show    ss, %rsi
        gate64  VECTOR, CODE64, frame, 0xee
        on_vector "RSP0 from ring 3", user
        sub     $stack0_top, %rdx
        show    rsp, %rdx
        show    ss, %rsi
        on_vector "from compatibility mode", user 2, USER_CODE32
        show    pushed_ss, %rbx
        show    ss, %rsi
        gate64  VECTOR, CODE32, frame, 0xee
        on_vector "handler in a 32-bit segment", nop
        gate64  VECTOR, CODE64, frame, 0xe6
        on_vector "16-bit gate", nop
        gate64  VECTOR, CODE64, frame, 0xe5
        on_vector "task gate", nop
        gate64  VECTOR, CODE64, frame, 0x8e
        on_vector "DPL 0 from ring 3", user
        gate64  VECTOR, CODE64, frame, 0xef
        on_vector "trap gate keeps IF", set_flags IF
        show    flags, %rdi
        gate64  VECTOR, CODE64, frame, 0xee
        on_vector "interrupt gate clears IF, NT, and RF", set_flags IF|NT
        show    flags, %rdi

        /* IRET. */
        try     "IRET with NT"
        set_flags NT
        iretq
        caught
        try     "IRET to a null SS at ring 0"
        mov     %rsp, %rax
        push    $0
        push    %rax
        push    $2
        push    $CODE64
        push    $1f
        iretq
1:      mov     %ss, %ebx
        int     $LEAVE_VECTOR
        caught
        show    ss, %rbx
        try     "IRET to a null SS at ring 3"
        push    $3
        push    %rax
        push    $2
        push    $USER_CODE64
        push    $USER_BASE
        iretq
        caught
        /* Nested. */
        not_present 13
        try     "#GP through a gate that is not present"
        mov     $0xf8, %eax
        mov     %eax, %fs
        caught
        not_present 6
        try     "and #UD, then #NP"
        ud2
        caught
        not_present 0
        try     "and #DE, then #NP"
        xor     %ecx, %ecx
        div     %ecx
        caught
        not_present 14
        try     "and #PF, then #NP"
        mov     WINDOW, %eax
        caught
        try     "and INT 13, then #NP"
        int     $13
        caught
        .irp    vector, 0, 6, 13, 14
        present \vector
        .endr
        movl    $WINDOW + 0x1000, tss64 + 36 + 8 * 2 /* IST 3: not mapped */
        ist     0, 3
        try     "#DE, then #PF"
        xor     %ecx, %ecx
        div     %ecx
        caught
        ist     14, 3
        try     "and #PF, then #PF"
        mov     WINDOW, %eax
        caught
        show    cr2, %cr2
        try     "and #DE, then #PF, then #PF"
        xor     %ecx, %ecx
        div     %ecx
        caught
        ist     0, 0
        ist     14, 0
        ist     6, 3
        try     "#UD, then #PF"
        ud2
        caught
        ist     6, 0
        movl    $0x9000, tss64 + 36 + 8 * 3 + 4 /* IST 4: not canonical */
        ist     6, 4
        try     "#UD, then #SS"
        ud2
        caught
        ist     6, 0
        ist     13, 4
        try     "#GP, then #SS"
        mov     $0xf8, %eax
        mov     %eax, %fs
        caught
        ist     13, 0

        /* Interrupt shadows. The APIC on, in flat physical mode. */
        movl    $0x1ff, 0xf0(%r15)
        movl    $eoi, hook
        go_on   IRQ
        .macro  shadow text
        set_flags 0
        send_interrupt
        try     "\text"
        show_rip
        .endm
        .macro  shadow_end
        cli
        caught
        hide_rip
        .endm
        shadow  "STI shadows one instruction"
        sti
        nop
        nop
        shadow_end
        shadow  "STI, CLI: no interrupt"
        sti
        cli
        shadow_end
        shadow  "STI, STI"
        sti
        sti
        nop
        nop
        shadow_end
        shadow  "POPF has none"
        pushq   $IF | 2
        popfq
        nop
        nop
        shadow_end
        shadow  "STI, HLT"
        sti
        hlt
        nop
        shadow_end
        shadow  "IRET has none"
        mov     %rsp, %rax
        push    $DATA
        push    %rax
        push    $IF | 2
        push    $CODE64
        push    $1f
        iretq
1:      nop
        shadow_end
        movl    $0, hook

        /* Single step. */
        stepped "single step"
        nop
        nop
        stepped_end
        stepped "single step of REP MOVSB"
        mov     $page_a, %edi
        mov     $page_b, %esi
        mov     $3, %ecx
        rep movsb
        nop
        stepped_end
        stepped "single step of a REP with no elements"
        xor     %ecx, %ecx
        rep movsb
        stepped_end
        stepped "single step of INT: not in the handler"
        go_on   0x41
        int     $0x41
        nop
        nop
        stepped_end
        stepped "single step of MOV SS"
        mov     %ss, %eax
        mov     %eax, %ss
        nop
        nop
        stepped_end
        stepped "single step of a fault"
        ud2
        stepped_end
        go_on   1
        try     "IRET sets TF"
        show_rip
        mov     %rsp, %rax
        push    $DATA
        push    %rax
        push    $TF | 2
        push    $CODE64
        push    $1f
        iretq
1:      nop
        nop
        stepped_end
        mov     $MSR_STAR, %ecx
        xor     %eax, %eax
        mov     $(USER_CODE32 << 16) + CODE64, %edx
        wrmsr
        mov     $MSR_LSTAR, %ecx
        mov     $syscall_entry, %eax
        xor     %edx, %edx
        wrmsr
        stepped "single step of SYSCALL that keeps TF"
        syscall
        stepped_end
        write_msr MSR_SFMASK, TF
        stepped "single step of SYSCALL that masks TF"
        syscall
        stepped_end

        /* Instruction breakpoints. */
        .macro  break_at label
        mov     $\label, %eax
        mov     %rax, %dr0
        mov     $0x402, %eax /* G0 */
        mov     %rax, %dr7
        .endm
        .macro  break_end
        caught
        hide_rip
        mov     $0x400, %eax
        mov     %rax, %dr7
        .endm
        movl    $resume_flag, hook
        go_on   1
        try     "instruction breakpoint, once"
        break_at 1f
        show_rip
        nop
1:      nop
        nop
        break_end
        try     "instruction breakpoint in a loop"
        break_at 1f
        mov     $3, %ecx
        show_rip
1:      loop    1b
        break_end
        try     "instruction breakpoint on REP"
        break_at 1f
        mov     $page_a, %edi
        mov     $page_b, %esi
        mov     $3, %ecx
        show_rip
1:      rep movsb
        break_end
        try     "instruction breakpoint, IRET with RF"
        break_at 1f
        show_rip
        mov     %rsp, %rax
        push    $DATA
        push    %rax
        push    $RF | 2
        push    $CODE64
        push    $1f
        iretq
1:      nop
        break_end
        try     "instruction breakpoint, POPF does not load RF"
        break_at 1f
        show_rip
        push    $RF | 2
        popfq
1:      nop
        break_end
        try     "instruction breakpoint under MOV SS"
        break_at 1f
        show_rip
        mov     %ss, %eax
        mov     %eax, %ss
1:      nop
        break_end
        try     "instruction breakpoint on an undefined instruction"
        break_at 1f
        show_rip
1:      ud2
        break_end
        try     "RF is pushed for a fault"
        ud2
        caught
        mov     event_flags, %rax
        and     $RF, %eax
        show    rf, %rax
        try     "RF is not pushed for INT 3"
        int3
        caught
        mov     event_flags, %rax
        and     $RF, %eax
        show    rf, %rax
        stop_on 1
        movl    $0, hook
        try     "INT1"
        .byte 0xf1 /* INT1, which clang 14 does not know */
        caught
        try     "DR7.GD"
        mov     $0x2400, %eax
        mov     %rax, %dr7
        mov     %dr0, %rax
        caught
        mov     %dr7, %rax
        show    dr7, %rax
        mov     $0x400, %eax
        mov     %rax, %dr7
        try     "DR4 is DR6"
        mov     %dr4, %rax
        caught
        show    dr4, %rax
        set_cr  cr4, 8
        try     "DR4 under CR4.DE"
        mov     %dr4, %rax
        caught
        try     "DR6 beyond 32 bits"
        mov     $1, %eax
        shl     $32, %rax
        mov     %rax, %dr6
        caught
        try     "DR7 beyond 32 bits"
        mov     %rax, %dr7
        mov     $1, %eax
        shl     $32, %rax
        mov     %rax, %dr7
        caught
        try     "DR0 at ring 3"
        user
        mov     %dr0, %rax
        caught
        try     "IRET to 64-bit code with D"
        set_descriptor 0, 0, 0xfffff, 0xe09b
        push    $DATA
        push    $stack_top
        push    $2
        push    $SPARE
        push    $0
        iretq
        caught
        finish

/* RDX: RSP here, RCX and RBX: RSP and SS pushed, RSI: SS here, RDI: flags here. */
frame:  mov     %rsp, %rdx
        mov     24(%rsp), %rcx
        mov     32(%rsp), %rbx
        mov     %ss, %esi
        pushf
        pop     %rdi
        int     $LEAVE_VECTOR

syscall_entry:
        nop
        int     $LEAVE_VECTOR

/* RF in the frame of a breakpoint's handler, which else would come again at once. */
resume_flag:
        cmp     $1, %ebx
        jne     1f
        testb   $15, event_dr6
        jz      1f
        orl     $RF, 32(%rbp)
1:      ret

eoi:    cmp     $IRQ, %ebx
        jne     1f
        movl    $0, 0xb0(%r15)
1:      ret
