/* Changes of mode: real, protected, long and compatibility mode and back; combinations of CR0, CR4 and
 * EFER that fault (SDM vol. 3, 2.5, 9.8, 9.9).
 *
 * expect:
 *   PG without PE: #GP(0x0)
 *   NW without CD: #GP(0x0)
 *   CR4, reserved bit: #GP(0x0)
 *   CR4, VMXE: #GP(0x0)
 *   CR4, PCIDE outside long mode: #GP(0x0)
 *   CR0, reserved bits are ignored: ok cr0=0x11
 *   LMSW cannot clear PE: ok msw=0x11
 *   LMSW sets MP, EM, TS only: ok cr0=0x1f
 *   LME, PG without PAE: #GP(0x0)
 *   EFER.LMA cannot be written: ok efer=0x0
 *   real mode and back: ok cs=0xffff
 *   INT and IRET: ok vector=0x40 flags=0xed7 inside=0xcd7
 *   DIV by 0: ok vector=0x0
 *   UD2: ok vector=0x6
 *   word over the limit: ok vector=0xd
 *   doubleword over the limit: ok vector=0xd
 *   byte at the limit: ok vector=0xff
 *   LLDT: ok vector=0x6
 *   STR: ok vector=0x6
 *   LAR: ok vector=0x6
 *   ARPL: ok vector=0x6
 *   SYSENTER: ok vector=0xd
 *   BOUND: ok vector=0x5
 *   VEX prefix is LES or #UD: ok vector=0x6
 *   SGDT: ok vector=0xff
 *   INT beyond the limit of the IVT: ok vector=0xd
 *   push at SP 0 wraps to 0xfffe: ok sp=0xfffe
 *   unreal mode: ok value=0x12345678 again=0x12345678
 *   PE set, before a jump: still 16 bits: ok cs=0xffff pe=0x1
 *   PAE cleared in long mode: #GP(0x0)
 *   PG cleared in 64-bit mode: #GP(0x0)
 *   PE cleared in 64-bit mode: #GP(0x0)
 *   CR0 beyond 32 bits: #GP(0x0)
 *   CR4 beyond 32 bits: #GP(0x0)
 *   CR3 beyond the physical address: #GP(0x0)
 *   CR8 of 16: #GP(0x0)
 *   CR1: #UD
 *   CR9: #UD
 *   compatibility mode, 32 bits: ok cs=0x38 rcx=0x55667789
 *   64-bit descriptor with D: #GP(0x68)
 *   out of long mode: ok efer=0x901
 *   and with LME clear to PAE paging: ok
 *   PAE cleared under paging: the tables are other ones: ok
 *   LME set under paging: #GP(0x0)
 */
#include "kit/kit.inc"

        .set    LINEAR, BASE16 * 16
        .set    PE, 1
        .set    PG, 0x80000000
        .set    LME, 0x100

        .macro  write_cr text, reg, value
        try     "\text"
        mov     $\value, %eax
        mov     %eax, %\reg
        caught
        .endm

/* From flat protected mode to real mode: 16-bit code follows, all segments are BASE16. */
        .macro  to_real
        mov     $DATA16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        mov     $stack16_top - LINEAR, %esp
        ljmp    $CODE16, $777f - LINEAR
        .code16
777:    mov     %cr0, %eax
        and     $~PE, %al
        mov     %eax, %cr0
        ljmp    $BASE16, $778f - LINEAR
778:    mov     $BASE16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        lidt    ivt - LINEAR
        .endm

        .macro  to_protected
        mov     %cr0, %eax
        or      $PE, %al
        mov     %eax, %cr0
        ljmpl   $CODE32, $777f
        use_bits 32
777:    mov     $DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_top, %esp
        lidt    idtr32
        .endm

/* The real-mode handler that tells its vector in BX. */
        .macro  real_vector vector
        movw    $real_handler_\vector - LINEAR, 4 * \vector
        movw    $BASE16, 4 * \vector + 2
        .endm

main:
        /* CR0 and CR4 without paging. */
        write_cr "PG without PE", cr0, PG
        write_cr "NW without CD", cr0, PE+0x20000000
        write_cr "CR4, reserved bit", cr4, 1<<31
        write_cr "CR4, VMXE", cr4, 1<<13
        write_cr "CR4, PCIDE outside long mode", cr4, 1<<17
        write_cr "CR0, reserved bits are ignored", cr0, PE+0x1000ff00
        mov     %cr0, %eax
        show    cr0, %eax
        try     "LMSW cannot clear PE"
        xor     %eax, %eax
        lmsw    %ax
        caught
        smsw    %eax
        show    msw, %eax
        try     "LMSW sets MP, EM, TS only"
        mov     $0xffff, %eax
        lmsw    %ax
        caught
        mov     %cr0, %eax
        show    cr0, %eax
        xor     %eax, %eax
        lmsw    %ax
        write_msr MSR_EFER, LME
        mov     $pml4, %eax
        mov     %eax, %cr3
        try     "LME, PG without PAE"
        mov     %cr0, %eax
        or      $PG, %eax
        mov     %eax, %cr0
        caught
        write_msr MSR_EFER, 0
        try     "EFER.LMA cannot be written"
        write_msr MSR_EFER, 0x400
        caught
        mov     $MSR_EFER, %ecx
        rdmsr
        show    efer, %eax
        write_msr MSR_EFER, 0

        /* Real mode. */
        real_vector 0
        real_vector 5
        real_vector 6
        real_vector 12
        real_vector 13
        real_vector 64
        try     "real mode and back"
        to_real
        mov     %cs, %bx
        mov     %sp, %cx
        to_protected
        caught
        movzwl  %bx, %ebx
        show    cs, %ebx
        try     "INT and IRET"
        to_real
        pushw   $0x0ed7
        popf
        mov     $0, %bx
        int     $64
        pushf
        pop     %cx
        cli
        cld
        to_protected
        caught
        movzwl  %bx, %ebx
        movzwl  %cx, %ecx
        movzwl  %dx, %edx
        show    vector, %ebx
        show    flags, %ecx
        show    inside, %edx
        .macro  real_fault text, code:vararg
        try     "\text"
        to_real
        movw    $779f - LINEAR, resume16 - LINEAR
        mov     $0xff, %bx
        xor     %cx, %cx
        \code
779:    mov     $stack16_top - LINEAR, %sp
        to_protected
        caught
        movzwl  %bx, %ebx
        show    vector, %ebx
        .endm
        real_fault "DIV by 0", div %cx
        real_fault "UD2", ud2
        real_fault "word over the limit", mov 0xffff, %ax
        real_fault "doubleword over the limit", mov 0xfffd, %eax
        real_fault "byte at the limit", mov 0xffff, %al
        real_fault "LLDT", lldt %ax
        real_fault "STR", str %ax
        real_fault "LAR", lar %ax, %ax
        real_fault "ARPL", .byte 0x63, 0xc0
        real_fault "SYSENTER", sysenter
        real_fault "BOUND", bound %cx, bound_pair - LINEAR
        real_fault "VEX prefix is LES or #UD", .byte 0xc5, 0xf8, 0x57, 0xc0
        real_fault "SGDT", sgdt 0x10
        try     "INT beyond the limit of the IVT"
        to_real
        lidt    short_ivt - LINEAR
        movw    $1f - LINEAR, resume16 - LINEAR
        mov     $0xff, %bx
        int     $64
1:      to_protected
        caught
        movzwl  %bx, %ebx
        show    vector, %ebx
        try     "push at SP 0 wraps to 0xfffe"
        to_real
        mov     $0x5000, %ax
        mov     %ax, %ss
        xor     %esp, %esp
        push    %ax
        mov     %sp, %cx
        to_protected
        caught
        movzwl  %cx, %ecx
        show    sp, %ecx

        /* Unreal mode: a limit of 4 GiB stays. */
        try     "unreal mode"
        movl    $0x12345678, 0x300000
        to_real
        mov     %cr0, %eax
        or      $PE, %al
        mov     %eax, %cr0
        mov     $DATA, %bx
        mov     %bx, %fs
        and     $~PE, %al
        mov     %eax, %cr0
        mov     $0x300000, %ebx
        mov     %fs:(%ebx), %ecx
        xor     %ax, %ax
        mov     %ax, %fs
        mov     %fs:(%ebx), %edx
        to_protected
        caught
        show    value, %ecx
        show    again, %edx
        try     "PE set, before a jump: still 16 bits"
        to_real
        mov     %cr0, %eax
        or      $PE, %al
        mov     %eax, %cr0
        mov     $0x1234, %ecx
        mov     %cs, %bx
        smsw    %dx
        and     $~PE, %al
        mov     %eax, %cr0
        to_protected
        caught
        movzwl  %bx, %ebx
        and     $1, %edx
        show    cs, %ebx
        show    pe, %edx

        /* Long mode. */
        enter_long
        try     "PAE cleared in long mode"
        clear_cr cr4, 0x20
        caught
        try     "PG cleared in 64-bit mode"
        clear_cr cr0, PG
        caught
        try     "PE cleared in 64-bit mode"
        mov     %cr0, %rax
        and     $~1, %rax
        mov     %rax, %cr0
        caught
        try     "CR0 beyond 32 bits"
        mov     %cr0, %rax
        bts     $32, %rax
        mov     %rax, %cr0
        caught
        try     "CR4 beyond 32 bits"
        mov     %cr4, %rax
        bts     $32, %rax
        mov     %rax, %cr4
        caught
        try     "CR3 beyond the physical address"
        mov     %cr3, %rax
        bts     $60, %rax
        mov     %rax, %cr3
        caught
        try     "CR8 of 16"
        mov     $16, %eax
        mov     %rax, %cr8
        caught
        try     "CR1"
        mov     %cr1, %rax
        caught
        try     "CR9"
        .byte   0x44, 0x0f, 0x20, 0xc8 /* MOV %cr9, %rax */
        caught

        /* Compatibility mode: a 32-bit and a 16-bit segment. */
        try     "compatibility mode, 32 bits"
        mov     $-1, %rbx
        mov     $0x1122334455667788, %rcx
        mov     %rsp, %rbp
        push    $CODE32
        push    $1f
        lretq
        .code32
1:      inc     %ecx /* no REX prefix here */
        mov     %cs, %ebx
        ljmp    $CODE64, $1f
        .code64
1:      caught
        show    cs, %rbx
        show    rcx, %rcx
        try     "64-bit descriptor with D"
        set_descriptor 0, 0, 0xfffff, 0xe09b
        push    $SPARE
        push    $1f
        lretq
1:      caught
        try     "out of long mode"
        push    $CODE32
        push    $1f
        lretq
        .code32
1:      mov     %cr0, %eax
        and     $~PG, %eax
        mov     %eax, %cr0
        mov     $MSR_EFER, %ecx
        rdmsr
        mov     %eax, %ebx
        mov     $CODE32, %eax
        use_bits 32
        lidt    idtr32
        caught
        show    efer, %ebx
        try     "and with LME clear to PAE paging"
        write_msr MSR_EFER, 0
        enable_pae
        caught
        try     "PAE cleared under paging: the tables are other ones"
        mov     $pd32, %ebx
        clear_cr cr0, PG
        clear_cr cr4, 0x20
        enable_32
        caught
        try     "LME set under paging"
        write_msr MSR_EFER, LME
        caught
        finish

/* Each leaves the vector in BX, and goes on at resume16 but for INT 64. */
        .code16
        .irp    vector, 0, 5, 6, 12, 13
real_handler_\vector:
        mov     $\vector, %bx
        jmp     real_resume
        .endr
real_resume:
        add     $6, %sp
        jmp     *resume16 - LINEAR

real_handler_64:
        mov     $64, %bx
        pushf
        pop     %dx
        iret
        .code32

        .data
        .balign 4
resume16:
        .word   0
bound_pair:
        .word   1, 2
ivt:    .word   0x3ff
        .long   0
short_ivt:
        .word   64 * 4 + 2
        .long   0
        .balign 4
        .space  128
stack16_top:
        .space  4
