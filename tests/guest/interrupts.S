/* The local APIC (priorities, EOI, timer modes, IPIs, NMI), the I/O APIC (edge, level, remote IRR) and
 * the 8259s with the 8254, in 64-bit mode (SDM vol. 3, chapter 10; 82093AA and 8259A data sheets).
 *
 * expect:
 *   three IPIs: the highest first: irr2=0x10000 irr3=0x10001 [0x70] [0x60] [0x50] irr2=0x0 isr2=0x0
 *   CR8 holds back its class and those below: [0x60] tpr=0x50 [0x5f]
 *   TPR is CR8: cr8=0x9 ppr=0x93 ok
 *   no EOI: lower ones wait, higher ones come: [0x50] ppr=0x50 [0x60] isr2=0x10000 isr3=0x1 isr3=0x0 isr2=0x10000 [0x51] isr2=0x0
 *   the same vector twice is once: [0x50]
 *   IPI to APIC ID 0: [0x50]
 *   IPI to a logical destination: [0x50]
 *   IPI to all including self, and to all but self: [0x50]
 *   an illegal vector: esr=0x20 esr=0x0 ok
 *   NMI, and one within it that comes after IRET: NMI NMI depth=0x2
 *   one-shot timer: [0x60] count=0x0
 *   periodic timer: [0x61] [0x61] [0x61]
 *   masked timer: ok
 *   edge: [0x51] [0x51]
 *   level: again until the line is low: [0x52] [0x52] remote_irr=0x0
 *   remote IRR until the EOI: [0x52] remote_irr=0x1 remote_irr=0x1 remote_irr=0x0
 *   level, masked, and then not: [0x53]
 *   level that goes away before: ok
 *   8259: two lines, by priority: [0x33] [0x35]
 *   8259: the second one, through IRQ 2: [0x39]
 *   8259: no EOI, lower ones wait: [0x33] isr=0x8 irr=0x20 [0x35]
 *   8254: IRQ 0 wakes HLT, three times: [0x30] [0x30] [0x30]
 *   TSC deadline: [0x63] deadline=0x0
 *   TSC deadline in the past: [0x63]
 *   TSC deadline disarmed: deadline=0x0 ok
 */
#include "kit/kit.inc"

        .set    APIC, 0xfee00000 /* in R15 */
        .set    IOAPIC, 0xfec00000 /* in R14 */
        .set    TPR, 0x80
        .set    PPR, 0xa0
        .set    EOI, 0xb0
        .set    SVR, 0xf0
        .set    ISR, 0x100
        .set    IRR, 0x200
        .set    ESR, 0x280
        .set    ICR, 0x300
        .set    LVT_TIMER, 0x320
        .set    LVT_LINT0, 0x350
        .set    INITIAL_COUNT, 0x380
        .set    CURRENT_COUNT, 0x390
        .set    DIVIDE, 0x3e0
        .set    MASKED, 1 << 16
        .set    PERIODIC, 1 << 17
        .set    DEADLINE, 2 << 17
        .set    SELF, 1 << 18
        .set    MSR_TSC_DEADLINE, 0x6e0
        .set    LINES, 0x2000 /* the test device's interrupt lines */
        .set    PIN, 11
        .set    LEVEL, 1 << 15

        .macro  apic register, value
        movl    $\value, \register(%r15)
        .endm

        .macro  show_apic name, register
        mov     \register(%r15), %eax
        show    \name, %rax
        .endm

        .macro  self vector
        apic    ICR, SELF+\vector
        .endm

        .macro  redirection low
        movl    $0x10 + 2 * PIN + 1, (%r14)
        movl    $0, 0x10(%r14)
        movl    $0x10 + 2 * PIN, (%r14)
        movl    $\low, 0x10(%r14)
        .endm

        .macro  show_remote_irr
        movl    $0x10 + 2 * PIN, (%r14)
        mov     0x10(%r14), %eax
        shr     $14, %eax
        and     $1, %eax
        show    remote_irr, %rax
        .endm

        .macro  line n, level
        mov     $LINES + \n, %edx
        mov     $\level, %al
        out     %al, %dx
        .endm

/* Lets the interrupts in that are there. */
        .macro  let_in
        sti
        nop
        cli
        .endm

        .macro  wait_for count
776:    sti
        hlt
        cli
        cmpl    $\count, interrupts
        jb      776b
        .endm

        .macro  on_interrupt routine
        movl    $\routine, hook
        movl    $0, interrupts
        .endm

main:
        .set    vector, 0x30
        .rept   0x50
        go_on   vector
        .set    vector, vector + 1
        .endr
        go_on   2
        enter_long
        mov     $APIC, %r15d
        mov     $IOAPIC, %r14d
        apic    SVR, 0x1ff
        apic    LVT_LINT0, MASKED

        /* Priorities. */
        on_interrupt eoi
        try     "three IPIs: the highest first"
        self    0x50
        self    0x70
        self    0x60
        show_apic irr2, IRR+0x20
        show_apic irr3, IRR+0x30
        let_in
        caught
        show_apic irr2, IRR+0x20
        show_apic isr2, ISR+0x20
        try     "CR8 holds back its class and those below"
        mov     $5, %eax
        mov     %rax, %cr8
        self    0x5f
        self    0x60
        let_in
        show_apic tpr, TPR
        mov     $4, %eax
        mov     %rax, %cr8
        let_in
        caught
        try     "TPR is CR8"
        apic    TPR, 0x93
        mov     %cr8, %rax
        show    cr8, %rax
        show_apic ppr, PPR
        apic    TPR, 0
        caught
        on_interrupt 0
        try     "no EOI: lower ones wait, higher ones come"
        self    0x50
        let_in
        show_apic ppr, PPR
        self    0x51
        let_in
        self    0x60
        let_in
        show_apic isr2, ISR+0x20
        show_apic isr3, ISR+0x30
        apic    EOI, 0
        show_apic isr3, ISR+0x30
        show_apic isr2, ISR+0x20
        let_in
        apic    EOI, 0
        let_in
        apic    EOI, 0
        show_apic isr2, ISR+0x20
        apic    EOI, 0
        caught
        on_interrupt eoi
        try     "the same vector twice is once"
        self    0x50
        self    0x50
        let_in
        caught
        try     "IPI to APIC ID 0"
        apic    ICR+0x10, 0
        apic    ICR, 0x50
        let_in
        caught
        try     "IPI to a logical destination"
        apic    0xd0, 0x02000000
        apic    0xe0, 0xffffffff
        apic    ICR+0x10, 0x03000000
        apic    ICR, 0x850
        let_in
        apic    ICR+0x10, 0x04000000
        apic    ICR, 0x851
        let_in
        apic    ICR+0x10, 0
        caught
        try     "IPI to all including self, and to all but self"
        apic    ICR, 0x80050
        apic    ICR, 0xc0051
        let_in
        caught
        try     "an illegal vector"
        apic    ESR, 0
        self    5
        apic    ESR, 0
        show_apic esr, ESR
        apic    ESR, 0
        show_apic esr, ESR
        caught

        /* NMI. */
        on_interrupt nmi_again
        try     "NMI, and one within it that comes after IRET"
        apic    ICR, 0x400
        nop
        caught
        show    depth, depth

        /* The timer. */
        apic    DIVIDE, 0xb
        on_interrupt eoi
        try     "one-shot timer"
        apic    LVT_TIMER, 0x60
        apic    INITIAL_COUNT, 200000
        wait_for 1
        show_apic count, CURRENT_COUNT
        caught
        on_interrupt eoi_and_stop
        try     "periodic timer"
        apic    LVT_TIMER, PERIODIC+0x61
        apic    INITIAL_COUNT, 200000000
        wait_for 3
        caught
        on_interrupt eoi
        try     "masked timer"
        apic    LVT_TIMER, MASKED+0x62
        apic    INITIAL_COUNT, 1000
1:      cmpl    $0, CURRENT_COUNT(%r15)
        jne     1b
        let_in
        caught

        /* The I/O APIC. */
        try     "edge"
        redirection 0x51
        line    PIN, 1
        let_in
        line    PIN, 1
        let_in
        line    PIN, 0
        let_in
        line    PIN, 1
        let_in
        line    PIN, 0
        caught
        on_interrupt lower_at_second
        try     "level: again until the line is low"
        redirection LEVEL+0x52
        line    PIN, 1
        let_in
        let_in
        caught
        show_remote_irr
        on_interrupt 0
        try     "remote IRR until the EOI"
        line    PIN, 1
        let_in
        show_remote_irr
        line    PIN, 0
        show_remote_irr
        apic    EOI, 0
        show_remote_irr
        let_in
        caught
        on_interrupt lower
        try     "level, masked, and then not"
        redirection MASKED+LEVEL+0x53
        line    PIN, 1
        let_in
        redirection LEVEL+0x53
        let_in
        caught
        redirection MASKED
        try     "level that goes away before"
        redirection MASKED+LEVEL+0x53
        line    PIN, 1
        line    PIN, 0
        redirection LEVEL+0x53
        let_in
        caught
        redirection MASKED

        /* The 8259s, through LINT0. */
        /* ICW1 to ICW4, and OCW1: lines 0, 2, 3, 5 and 9 count. */
        .irp    pair, 0x11*256+0x20, 0x11*256+0xa0, 0x30*256+0x21, 0x38*256+0xa1, 4*256+0x21, \
                      2*256+0xa1, 1*256+0x21, 1*256+0xa1, 0xd3*256+0x21, 0xfd*256+0xa1
        mov     $(\pair) / 256, %al
        out     %al, $(\pair) % 256
        .endr
        apic    LVT_LINT0, 0x700 /* ExtINT */
        on_interrupt eoi_8259
        try     "8259: two lines, by priority"
        line    5, 1
        line    3, 1
        let_in
        let_in
        line    5, 0
        line    3, 0
        caught
        try     "8259: the second one, through IRQ 2"
        line    9, 1
        let_in
        line    9, 0
        caught
        on_interrupt 0
        try     "8259: no EOI, lower ones wait"
        line    3, 1
        let_in
        line    5, 1
        let_in
        mov     $0x0b, %al
        out     %al, $0x20
        in      $0x20, %al
        movzbl  %al, %eax
        show    isr, %rax
        mov     $0x0a, %al
        out     %al, $0x20
        in      $0x20, %al
        movzbl  %al, %eax
        show    irr, %rax
        mov     $0x20, %al
        out     %al, $0x20
        let_in
        mov     $0x20, %al
        out     %al, $0x20
        line    3, 0
        line    5, 0
        caught
        on_interrupt eoi_and_mask
        try     "8254: IRQ 0 wakes HLT, three times"
        mov     $0x34, %al
        out     %al, $0x43
        mov     $0x00, %al
        out     %al, $0x40
        mov     $0x20, %al
        out     %al, $0x40
        in      $0x21, %al
        and     $0xfe, %al
        out     %al, $0x21
        wait_for 3
        caught

        /* The TSC deadline. */
        apic    LVT_LINT0, MASKED
        on_interrupt eoi
        try     "TSC deadline"
        apic    LVT_TIMER, DEADLINE+0x63
        mfence
        rdtsc
        add     $2000000, %eax
        adc     $0, %edx
        mov     $MSR_TSC_DEADLINE, %ecx
        wrmsr
        wait_for 1
        rdmsr
        show    deadline, %rax
        caught
        on_interrupt eoi
        try     "TSC deadline in the past"
        mov     $1, %eax
        xor     %edx, %edx
        wrmsr
        wait_for 1
        caught
        try     "TSC deadline disarmed"
        mov     $-1, %eax
        mov     $0x7fffffff, %edx
        wrmsr
        xor     %eax, %eax
        xor     %edx, %edx
        wrmsr
        let_in
        rdmsr
        show    deadline, %rax
        caught
        finish

eoi:    incl    interrupts
        apic    EOI, 0
        ret

eoi_and_stop:
        incl    interrupts
        cmpl    $3, interrupts
        jb      1f
        apic    LVT_TIMER, MASKED
1:      apic    EOI, 0
        ret

lower_at_second:
        incl    interrupts
        cmpl    $2, interrupts
        jb      1f
lower:  line    PIN, 0
1:      apic    EOI, 0
        ret

nmi_again:
        incl    depth
        cmpl    $1, depth
        ja      1f
        apic    ICR, 0x400
        nop
1:      ret

eoi_and_mask:
        cmpl    $2, interrupts
        jb      eoi_8259
        mov     $0xff, %al
        out     %al, $0x21
eoi_8259:
        incl    interrupts
        mov     $0x20, %al
        cmp     $0x38, %ebx
        jb      1f
        out     %al, $0xa0
1:      out     %al, $0x20
        ret

        .data
        .balign 8
interrupts:
        .quad   0
depth:  .quad   0
