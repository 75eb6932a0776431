/* Code that is written: by itself, ahead of itself, through another mapping, by string instructions,
 * by the CPU's own writes (SDM vol. 3, 8.1.3 and 11.6: linear aliases are coherent too).
 *
 * expect:
 *   a routine: result=0x1 ok
 *   written, and called again: result=0x2 ok
 *   one byte written: result=0x3 ok
 *   written through another mapping: result=0x4 ok
 *   called through the other mapping: ok result=0x4
 *   written here, called there: ok result=0x5
 *   written by REP STOS: result=0x6 ok
 *   written by REP MOVS, the whole page: result=0x7 ok
 *   written by LOCK INC: result=0x8 ok
 *   written by XCHG: result=0x9 ok
 *   a loop that writes into itself: ok sum=0xf
 *   the next instruction is written: ok al=0x40
 *   the next instruction becomes an undefined one: #UD
 *   REP STOSB writes the instruction behind itself: ok cl=0x55
 *   an instruction over two pages: ok result=0x21
 *   its second half is written: ok result=0x22
 *   its first half is written: ok
 *   a page is mapped elsewhere: other code: ok first=0x31 second=0x32
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
        try     "a loop that writes into itself"
        xor     %ecx, %ecx
        mov     $5, %edx
1:      add     $1, %ecx
2:      incb    2b - 1
        dec     %edx
        jnz     1b
        caught
        show    sum, %rcx
        try     "the next instruction is written"
        xor     %eax, %eax
        movb    $0x40, 1f + 1
1:      mov     $0x11, %al
        caught
        show    al, %rax
        try     "the next instruction becomes an undefined one"
        movw    $0x0b0f, 1f
1:      nop
        nop
        caught
        try     "REP STOSB writes the instruction behind itself"
        mov     $1f + 1, %edi
        mov     $0x55, %eax
        mov     $1, %ecx
        rep stosb
1:      mov     $0x11, %cl
        caught
        show    cl, %rcx
        /* Two pages: an instruction that crosses, its second half is written. */
        movw    $0xb890, page_a + 0xffe /* NOP, MOV $n, %eax */
        movl    $0x21, page_b
        movb    $RET, page_b + 4
        map     1, page_a + P + W
        map     2, page_b + P + W
        try     "an instruction over two pages"
        mov     $WINDOW + 0x1ffe, %ebx
        call    *%rbx
        caught
        show    result, %rax
        movl    $0x22, page_b
        try     "its second half is written"
        call    *%rbx
        caught
        show    result, %rax
        try     "its first half is written"
        mov     $WINDOW + 0x1ffe, %ebx
        movl    $0xc3c3c3c3, page_b
        movw    $0xc390, page_a + 0xffe
        call    *%rbx
        caught
        make_routine 0x31
        movl    $0x32b8, page_c
        movl    $0xc30000, page_c + 4
        movb    $0xc3, page_c + 5
        movb    $0, page_c + 4
        map     3, page_a + P + W
        mov     $WINDOW + 0x3000, %ebx
        try     "a page is mapped elsewhere: other code"
        call    *%rbx
        mov     %eax, %ecx
        map     3, page_c + P + W
        call    *%rbx
        caught
        show    first, %rcx
        show    second, %rax

        finish
