/* Code that is written: by itself, ahead of itself, through another mapping, by string instructions,
 * by the CPU's own writes (SDM vol. 3, 8.1.3 and 11.6: linear aliases are coherent too).
 *
 * expect:
 */
#include "kit/kit.inc"

        .set    RET, 0xc3

/* MOV $n, %eax; RET at page_a. */
        .macro  make_routine n
        movb    $0xb8, page_a
        movl    $\n, page_a + 1
        movb    $RET, page_a + 5
        .endm

        .macro  run
        mov     $page_a, %ebx
        call    *%rbx
        show    result, %rax
        .endm

main:
        enter_long
        make_routine 1
        try     "a routine"
        run
        caught
        movl    $2, page_a + 1
        try     "written, and called again"
        run
        caught
        movb    $3, page_a + 1
        try     "one byte written"
        run
        caught
        map     0, page_a + P + W
        movl    $4, WINDOW + 1
        try     "written through another mapping"
        run
        caught
        mov     $WINDOW, %ebx
        try     "called through the other mapping"
        call    *%rbx
        caught
        show    result, %rax
        movl    $5, page_a + 1
        mov     $WINDOW, %ebx
        try     "written here, called there"
        call    *%rbx
        caught
        show    result, %rax
        mov     $page_a + 1, %edi
        mov     $6, %eax
        mov     $1, %ecx
        rep stosl
        try     "written by REP STOS"
        run
        caught
        movb    $7, page_b + 1
        movb    $0xb8, page_b
        movb    $RET, page_b + 5
        mov     $page_a, %edi
        mov     $page_b, %esi
        mov     $4096, %ecx
        rep movsb
        try     "written by REP MOVS, the whole page"
        run
        caught
        lock incl page_a + 1
        try     "written by LOCK INC"
        run
        caught
        mov     $9, %eax
        xchg    %al, page_a + 1
        try     "written by XCHG"
        run
        caught
        movb    $0x1c, page_a + 1
        mov     $page_a + 6, %esp
        movl    $0, page_a + 6
        try     "a loop that writes itself"
        mov     $stack_top, %esp
        xor     %ecx, %ecx
        mov     $5, %edx
1:      add     $1, %ecx
2:      .set    add_immediate, 2b - 1
        incb    add_immediate
        dec     %edx
        jnz     1b
        caught
        show    sum, %rcx
        try     "the next instruction is written"
        movb    $0x40, 1f + 2
1:      mov     $0x11, %al /* becomes... */
        nop
        caught
        finish
