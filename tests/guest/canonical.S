/* Addresses that are not canonical: #SS(0) through the stack, #GP(0) else, before all of paging
 * (SDM vol. 1, 3.3.7.1).
 *
 * expect:
 *   load: #GP(0x0)
 *   store: #GP(0x0)
 *   load from the other half's end: #GP(0x0)
 *   load by an index: #GP(0x0)
 *   load over the end of the lower half: #GP(0x0)
 *   load from the last bytes of the lower half: ok
 *   store over the end of the lower half: #GP(0x0)
 *   load of 16 bytes, not aligned: #GP(0x0)
 *   PREFETCH does not fault: ok
 *   CLFLUSH: #GP(0x0)
 *   LEA does not fault: ok
 *   FXSAVE: #GP(0x0)
 *   push: #SS(0x0)
 *   pop: #SS(0x0)
 *   load by RBP: #SS(0x0)
 *   load by RSP: #SS(0x0)
 *   CALL: #SS(0x0)
 *   RET: #SS(0x0)
 *   IRET: #SS(0x0)
 *   PUSHF: #SS(0x0)
 *   ENTER: #SS(0x0)
 *   LEAVE: #SS(0x0)
 *   JMP: #GP(0x0)+0x0
 *   CALL: #GP(0x0)+0x0
 *   RET: #GP(0x0)+0x0
 *   IRET: #GP(0x0)+0x0
 *   far RET: #GP(0x0)
 *   execution runs over the end of the lower half: #GP(0x0) rip=0x800000000000
 *   an instruction over the end of the lower half: #GP(0x0) rip=0x7fffffffffff
 *   LGDT: #GP(0x0)
 *   LIDT: #GP(0x0)
 *   FS, last page of the lower half: ok
 *   FS, beyond it: #GP(0x0)
 *   LLDT of one with such a base: #GP(0x68)
 *   LTR of one with such a base: #GP(0x68)
 *   LTR, upper half with a type: #GP(0x68)
 *   #UD to a handler there: #GP(0x1)
 *   RSP0 there: #SS, which nobody can take but an IST: #SS(0x0)
 */
#include "kit/kit.inc"

        .set    BAD, 0x800000000000
        .set    TOP, 0x7ffffffff000

        .macro  bad text, code:vararg
        try     "\text"
        movabs  $BAD, %rbx
        \code
        caught
        .endm

        .macro  bad_stack text, code:vararg
        try     "\text"
        user
        movabs  $BAD, %rbx
        lea     8(%rbx), %rsp
        mov     %rsp, %rbp
        \code
        leave_user
        caught
        .endm

main:
        movl    $table1 + P + W + U, pml4 + 8 * 255
        movl    $table2 + P + W + U, table1 + 8 * 511
        movl    $table3 + P + W + U, table2 + 8 * 511
        movl    $page_a + P + W + U, table3 + 8 * 511
        movb    $0x90, page_a + 0xfff /* NOP */
        enter_long
        set_cr  cr4, 0x200 /* OSFXSR */

        bad     "load", mov (%rbx), %eax
        bad     "store", mov %eax, (%rbx)
        bad     "load from the other half's end", mov -0x1(%rbx,%rbx), %eax
        bad     "load by an index", mov (,%rbx,2), %eax
        bad     "load over the end of the lower half", mov -4(%rbx), %rax
        bad     "load from the last bytes of the lower half", mov -8(%rbx), %rax
        bad     "store over the end of the lower half", mov %rax, -1(%rbx)
        bad     "load of 16 bytes, not aligned", movups (%rbx), %xmm0
        bad     "PREFETCH does not fault", prefetcht0 (%rbx)
        bad     "CLFLUSH", clflush (%rbx)
        bad     "LEA does not fault", lea (%rbx), %rax
        bad     "FXSAVE", fxsave (%rbx)
        bad_stack "push", push %rax
        bad_stack "pop", pop %rax
        bad_stack "load by RBP", mov (%rbp), %rax
        bad_stack "load by RSP", mov (%rsp), %rax
        bad_stack "CALL", call .
        bad_stack "RET", ret
        bad_stack "IRET", iretq
        bad_stack "PUSHF", pushfq
        bad_stack "ENTER", enter $8, $0
        bad_stack "LEAVE", leave
        try     "JMP"
        movabs  $BAD, %rbx
        show_rip
        jmp     *%rbx
        caught
        try     "CALL"
        show_rip
        call    *%rbx
        caught
        try     "RET"
        movabs  $BAD, %rbx
        push    %rbx
        show_rip
        ret
        caught
        try     "IRET"
        movabs  $BAD, %rbx
        pushq   $DATA
        pushq   $stack_top
        pushq   $2
        pushq   $CODE64
        push    %rbx
        show_rip
        iretq
        caught
        hide_rip
        try     "far RET"
        movabs  $BAD, %rbx
        pushq   $CODE64
        push    %rbx
        lretq
        caught
        try     "execution runs over the end of the lower half"
        movabs  $TOP + 0xfff, %rbx
        jmp     *%rbx
        caught
        show    rip, event_rip
        movb    $0x0f, page_a + 0xfff
        try     "an instruction over the end of the lower half"
        movabs  $TOP + 0xfff, %rbx
        jmp     *%rbx
        caught
        show    rip, event_rip
        try     "LGDT"
        lgdt    bad_table
        caught
        try     "LIDT"
        lidt    bad_table
        caught
        mov     $0xc0000100, %ecx
        mov     $0x7fff, %edx
        mov     $0xfffff000, %eax
        wrmsr
        try     "FS, last page of the lower half"
        mov     %fs:0xff8, %rax
        caught
        try     "FS, beyond it"
        mov     %fs:0x1000, %rax
        caught
        set_descriptor 0, 0, 0xff, 0x0082
        movl    $0x8000, gdt + SPARE + 8
        movl    $0, gdt + SPARE + 12
        try     "LLDT of one with such a base"
        mov     $SPARE, %eax
        lldt    %ax
        caught
        set_descriptor 0, 0, 0x67, 0x0089
        movl    $0x8000, gdt + SPARE + 8
        try     "LTR of one with such a base"
        mov     $SPARE, %eax
        ltr     %ax
        caught
        movl    $0x00001000, gdt + SPARE + 12
        try     "LTR, upper half with a type"
        mov     $SPARE, %eax
        ltr     %ax
        caught
        movl    $0, idt64 + 16 * 6
        movabs  $BAD, %rbx
        mov     %rbx, %rax
        shr     $32, %rax
        mov     %eax, idt64 + 16 * 6 + 8
        movw    $CODE64, idt64 + 16 * 6 + 2
        try     "#UD to a handler there"
        ud2
        caught
        add     $0x1000, %rbx
        mov     %rbx, tss64 + 4
        try     "RSP0 there: #SS, which nobody can take but an IST"
        movb    $1, idt64 + 16 * 12 + 4
        movb    $1, idt64 + 16 * 8 + 4
        movb    $1, idt64 + 16 * LEAVE_VECTOR + 4
        user
        int     $0x40
        caught
        movl    $stack0_top, tss64 + 4
        movl    $0, tss64 + 8
        finish

        .data
bad_table:
        .word   0xff
        .quad   BAD

        .bss
        .balign 4096
table1: .space  4096
table2: .space  4096
table3: .space  4096
