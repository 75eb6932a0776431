/* A 64-bit kernel to be looked at: a loop that stores, a call, vectors and x87. */
#include "guest.inc"

        .globl  _start, again, summed, counter, table, finished
_start:
        mov     $0x1122334455667788, %rbx
        mov     $stack_top, %esp
        mov     $5, %ecx
        xor     %eax, %eax
again:
        add     $3, %eax
        mov     %eax, counter
        dec     %ecx
        jnz     again
summed:
        call    double_it
        mov     %cr4, %rdx
        or      $0x600, %rdx /* OSFXSR, OSXMMEXCPT */
        mov     %rdx, %cr4
        mov     %cr0, %rdx
        and     $~0xc, %rdx /* EM, TS */
        mov     %rdx, %cr0
        movdqu  numbers, %xmm3
        fninit
        fldpi
        mov     $table, %edi
        mov     $16, %ecx
        mov     $0x5a, %al
        rep stosb
finished:
        cmpl    $1234, patched /* by the debugger */
        require e
        exit    SUCCESS

        .type   double_it, @function
double_it:
        lea     (%rax, %rax), %r8
        ret

        .section .rodata
numbers:
        .long   1, 2, 3, 4

        .data
        .globl  patched
        .balign 8
counter:
        .long   0
patched:
        .long   0
table:  .fill   16
        .fill   256
stack_top:
