/* Virtual-8086 mode, with and without VME, and PVI (SDM vol. 3, chapter 20). INT 3 ends a case.
 *
 * expect:
 *   the frame: #UD cs=0xffff ss=0xffff flags=0x30202 es=0xffff ds=0xffff fs=0x3333 gs=0x4444 sp=0x0
 *   data segments are null in ring 0: #BP fs=0x0 gs=0x0
 *   CLI: #GP(0x0)
 *   STI: #GP(0x0)
 *   PUSHF: #GP(0x0)
 *   POPF: #GP(0x0)
 *   INT: #GP(0x0)
 *   IRET: #GP(0x0)
 *   INTO without overflow: #BP
 *   HLT: #GP(0x0)
 *   IOPL 3, CLI: #BP
 *   IOPL 3, INT through a gate of DPL 3: [0x40]
 *   IOPL 3, INT through a gate of DPL 0: #GP(0xfa)
 *   IOPL 3, PUSHF and POPF: #BP before=0x3202 after=0x3cd7
 *   IOPL 3, IN: #GP(0x0)
 *   IOPL 3, OUT: #GP(0x0)
 *   MOV from CR0: #GP(0x0)
 *   MOV to DR7: #GP(0x0)
 *   LGDT: #GP(0x0)
 *   LMSW: #GP(0x0)
 *   SMSW: #BP
 *   SLDT: #UD
 *   STR: #UD
 *   LLDT: #UD
 *   LAR: #UD
 *   VERR: #UD
 *   ARPL: #UD
 *   RDMSR: #GP(0x0)
 *   SYSENTER: #GP(0x0)
 *   INVLPG: #GP(0x0)
 *   segment loads: #BP value=0x11223344
 *   word over the limit: #GP(0x0)
 *   doubleword over the limit: #GP(0x0)
 *   32-bit address beyond the limit: #GP(0x0)
 *   push over the limit: #SS(0x0)
 *   pop over the limit: #SS(0x0)
 *   far JMP: #BP cs=0xfff0
 *   handler of DPL 3: #GP(0x19)
 *   conforming handler: #GP(0x71)
 *   the I/O bitmap, allowed port: #BP
 *   the I/O bitmap, port not allowed: #GP(0x0)
 *   without CR4.VME the redirection bitmap does nothing: #GP(0x0)
 *   VME, STI: #BP vif=0x80000
 *   VME, CLI: #BP vif=0x0
 *   VME, STI under VIP: #GP(0x0) vif=0x100000
 *   VME, CLI under VIP: #BP vif=0x100000
 *   VME, PUSHF shows VIF as IF, and IOPL 3: #BP flags=0x3202
 *   VME, PUSHF without VIF: #BP flags=0x3002
 *   VME, PUSHFD: #GP(0x0)
 *   VME, POPFD: #GP(0x0)
 *   VME, POPF with IF: #BP vif=0x80000
 *   VME, POPF without IF: #BP vif=0x0
 *   VME, POPF with IF under VIP: #GP(0x0)
 *   VME, POPF with TF: #GP(0x0)
 *   VME, INT to 8086 code, and IRET: #BP pushed=0x3202 inside=0x3002 after=0x3202
 *   VME, IRET with IF under VIP: #GP(0x0)
 *   VME, INT that is not redirected: #GP(0x0)
 *   VME, IOPL 3, INT that is not redirected: [0x41]
 *   VME, IOPL 3, INT to 8086 code: #BP pushed=0x3202 inside=0x3002 after=0x3202
 *   STI without PVI: #GP(0x0)
 *   PVI, STI: ok vif=0x80000
 *   PVI, CLI: ok vif=0x0
 *   PVI, STI under VIP: #GP(0x0)
 *   PVI, POPF and PUSHF are as ever: ok flags=0x80002
 */
#include "kit/kit.inc"

        .set    VM, 1 << 17
        .set    VIF, 1 << 19
        .set    VIP, 1 << 20
        .set    IF, 0x200
        .set    TF, 0x100
        .set    IOPL3, 0x3000
        .set    LINEAR, BASE16 * 16
        .set    TSS_VME, SPARE
        .set    TSS_LIMIT, 104 + 32 + 31 - 1
        .set    VECTOR, 0x40 /* redirected to 8086 code */
        .set    OTHER_VECTOR, 0x41 /* not redirected */

/* Enters it at the next instruction, which is 16-bit code. */
        .macro  vm86 flags
        mov     $stack_top, %esp /* what cases left there is of no use */
        pushl   $0x4444 /* GS, FS, DS, ES */
        pushl   $0x3333
        pushl   $BASE16
        pushl   $BASE16
        pushl   $BASE16
        pushl   $stack16_top - LINEAR
        pushl   $(\flags) | VM | 2
        pushl   $BASE16
        pushl   $777f - LINEAR
        iretl
        .code16
777:
        .endm

        .macro  vm86_end
        int3
        .code32
        caught
        .endm

        .macro  in_vm86 text, flags, code:vararg
        try     "\text"
        vm86    \flags
        \code
        vm86_end
        .endm

main:
        movb    $0xee, idt32 + 8 * 3 + 5 /* INT 3 for everybody */
        try     "the frame"
        movl    $note_segments, hook
        vm86    IF
        ud2
        vm86_end
        movl    $0, hook
        show    cs, event_cs
        show    ss, event_ss
        show    flags, event_flags
        show    es, frame_es
        show    ds, frame_ds
        show    fs, frame_fs
        show    gs, frame_gs
        mov     event_rsp, %eax
        sub     $stack16_top - LINEAR, %eax
        show    sp, %eax
        try     "data segments are null in ring 0"
        movl    $note_segments, hook
        vm86    0
        vm86_end
        movl    $0, hook
        show    fs, handler_fs
        show    gs, handler_gs

        /* IOPL. */
        in_vm86 "CLI", 0, cli
        in_vm86 "STI", 0, sti
        in_vm86 "PUSHF", 0, pushf
        in_vm86 "POPF", 0, popf
        in_vm86 "INT", 0, int $VECTOR
        in_vm86 "IRET", 0, iret
        in_vm86 "INTO without overflow", 0, into
        in_vm86 "HLT", IOPL3, hlt
        in_vm86 "IOPL 3, CLI", IOPL3, cli
        in_vm86 "IOPL 3, INT through a gate of DPL 3", IOPL3, int $VECTOR
        in_vm86 "IOPL 3, INT through a gate of DPL 0", IOPL3, int $0x1f
        try     "IOPL 3, PUSHF and POPF"
        vm86    IOPL3|IF
        pushf
        pop     %bx
        pushw   $0x0cd7
        popf
        pushf
        pop     %cx
        vm86_end
        movzwl  %bx, %ebx
        movzwl  %cx, %ecx
        show    before, %ebx
        show    after, %ecx
        in_vm86 "IOPL 3, IN", IOPL3, in $0xe0, %al
        in_vm86 "IOPL 3, OUT", IOPL3, out %al, $0xe0

        /* What ring 3 may not, and what is not there. */
        in_vm86 "MOV from CR0", IOPL3, mov %cr0, %eax
        in_vm86 "MOV to DR7", IOPL3, mov %eax, %dr7
        in_vm86 "LGDT", IOPL3, lgdt 0
        in_vm86 "LMSW", IOPL3, lmsw %ax
        in_vm86 "SMSW", IOPL3, smsw %ax
        in_vm86 "SLDT", IOPL3, sldt %ax
        in_vm86 "STR", IOPL3, str %ax
        in_vm86 "LLDT", IOPL3, lldt %ax
        in_vm86 "LAR", IOPL3, lar %ax, %bx
        in_vm86 "VERR", IOPL3, verr %ax
        in_vm86 "ARPL", IOPL3, .byte 0x63, 0xc0
        in_vm86 "RDMSR", IOPL3, rdmsr
        in_vm86 "SYSENTER", IOPL3, sysenter
        in_vm86 "INVLPG", IOPL3, invlpg 0

        /* Segments. */
        try     "segment loads"
        movl    $0x11223344, 0x54320
        vm86    0
        mov     $0x5432, %ax
        mov     %ax, %fs
        mov     %fs:0, %ebx
        vm86_end
        show    value, %ebx
        in_vm86 "word over the limit", 0, mov 0xffff, %ax
        in_vm86 "doubleword over the limit", 0, movl 0xfffe, %eax
        try     "32-bit address beyond the limit"
        vm86    0
        mov     $0x10000, %ebx
        mov     (%ebx), %ax
        vm86_end
        try     "push over the limit"
        vm86    0
        mov     $1, %sp
        push    %ax
        vm86_end
        try     "pop over the limit"
        vm86    0
        mov     $0xffff, %sp
        pop     %ax
        vm86_end
        try     "far JMP"
        vm86    0
        ljmp    $0xfff0, $1f - 0xfff00
1:      mov     %cs, %bx
        vm86_end
        movzwl  %bx, %ebx
        show    cs, %ebx

        set_gate idt32+8*6, USER_CODE32, stubs_32, 0x8e00
        in_vm86 "handler of DPL 3", 0, ud2
        set_descriptor 1, 0, 0xfffff, 0xc09f
        set_gate idt32+8*6, SPARE+8, stubs_32+6*16, 0x8e00
        in_vm86 "conforming handler", 0, ud2
        set_gate idt32+8*6, CODE32, stubs_32+6*16, 0x8e00

        /* VME. The redirection bitmap lies below the I/O bitmap. */
        mov     $tss_vme, %eax
        set_descriptor 0, 0, TSS_LIMIT, 0x0089
        mov     %ax, gdt + TSS_VME + 2
        shr     $16, %eax
        mov     %al, gdt + TSS_VME + 4
        mov     $TSS_VME, %eax
        ltr     %ax
        movw    $int_handler - LINEAR, 4 * VECTOR
        movw    $BASE16, 4 * VECTOR + 2
        in_vm86 "the I/O bitmap, allowed port", 0, in $0xe0, %al
        in_vm86 "the I/O bitmap, port not allowed", IOPL3, in $0xe8, %al
        in_vm86 "without CR4.VME the redirection bitmap does nothing", 0, int $VECTOR
        set_cr  cr4, 1

        .macro  in_vme text, flags, code:vararg
        in_vm86 "\text", \flags, \code
        call    show_vif
        .endm

        in_vme  "VME, STI", 0, sti
        in_vme  "VME, CLI", VIF, cli
        in_vme  "VME, STI under VIP", VIP, sti
        in_vme  "VME, CLI under VIP", VIF|VIP, cli
        try     "VME, PUSHF shows VIF as IF, and IOPL 3"
        vm86    VIF
        pushf
        pop     %bx
        vm86_end
        movzwl  %bx, %ebx
        show    flags, %ebx
        try     "VME, PUSHF without VIF"
        vm86    IF
        pushf
        pop     %bx
        vm86_end
        movzwl  %bx, %ebx
        show    flags, %ebx
        in_vm86 "VME, PUSHFD", 0, pushfl
        in_vm86 "VME, POPFD", 0, popfl
        try     "VME, POPF with IF"
        vm86    0
        pushw   $IF
        popf
        vm86_end
        call    show_vif
        try     "VME, POPF without IF"
        vm86    VIF
        pushw   $0
        popf
        vm86_end
        call    show_vif
        try     "VME, POPF with IF under VIP"
        vm86    VIP
        pushw   $IF
        popf
        vm86_end
        try     "VME, POPF with TF"
        vm86    0
        pushw   $TF
        popf
        vm86_end
        try     "VME, INT to 8086 code, and IRET"
        vm86    VIF
        int     $VECTOR
        pushf
        pop     %cx
        vm86_end
        movzwl  %bx, %ebx
        movzwl  %cx, %ecx
        movzwl  %dx, %edx
        show    pushed, %ebx
        show    inside, %edx
        show    after, %ecx
        try     "VME, IRET with IF under VIP"
        vm86    VIP
        pushw   $IF
        pushw   $BASE16
        pushw   $0
        iret
        vm86_end
        try     "VME, INT that is not redirected"
        vm86    0
        int     $OTHER_VECTOR
        vm86_end
        try     "VME, IOPL 3, INT that is not redirected"
        vm86    IOPL3
        int     $OTHER_VECTOR
        vm86_end
        try     "VME, IOPL 3, INT to 8086 code"
        vm86    IOPL3|IF
        int     $VECTOR
        pushf
        pop     %cx
        vm86_end
        movzwl  %bx, %ebx
        movzwl  %cx, %ecx
        movzwl  %dx, %edx
        show    pushed, %ebx
        show    inside, %edx
        show    after, %ecx

        /* PVI: the same for protected mode. */
        enable_pae
        try     "STI without PVI"
        user
        sti
        caught
        clear_cr cr4, 1
        set_cr  cr4, 2
        try     "PVI, STI"
        user
        sti
        leave_user
        caught
        call    show_vif
        try     "PVI, CLI"
        user    VIF|2
        cli
        leave_user
        caught
        call    show_vif
        try     "PVI, STI under VIP"
        user    VIP|2
        sti
        caught
        try     "PVI, POPF and PUSHF are as ever"
        user    VIF|2
        pushl   $IF|2
        popf
        pushf
        pop     %ebx
        leave_user
        caught
        show    flags, %ebx
        finish

show_vif:
        mov     event_flags, %eax
        and     $VIF | VIP | IF, %eax
        show    vif, %eax
        ret

/* EBP: the recorder's frame. */
note_segments:
        mov     28(%ebp), %eax
        mov     %eax, frame_es
        mov     32(%ebp), %eax
        mov     %eax, frame_ds
        mov     36(%ebp), %eax
        mov     %eax, frame_fs
        mov     40(%ebp), %eax
        mov     %eax, frame_gs
        xor     %eax, %eax
        mov     %fs, %eax
        mov     %eax, handler_fs
        mov     %gs, %eax
        mov     %eax, handler_gs
        ret

        .code16
int_handler:
        push    %bp
        mov     %sp, %bp
        mov     6(%bp), %bx
        pop     %bp
        pushf
        pop     %dx
        iret
        .code32

        .data
        .balign 4
tss_vme:
        .long   0, stack0_top, DATA
        .fill   22, 4, 0
        .word   0, io_bitmap - tss_vme
        .fill   VECTOR / 8, 1, 0xff
        .byte   0xfe
        .fill   31 - VECTOR / 8, 1, 0xff
io_bitmap:
        .fill   28, 1, 0xff
        .byte   0xfe, 0xff, 0xff
        .balign 4
frame_es:
        .long   0
frame_ds:
        .long   0
frame_fs:
        .long   0
frame_gs:
        .long   0
handler_fs:
        .long   0
handler_gs:
        .long   0
        .space  64
stack16_top:
        .space  4
