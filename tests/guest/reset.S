/* Resets by port 0xcf9. The second start finds the mark that the first one left in memory. */
#include "guest.inc"

        .set    MARK, 0x900000

        .globl  _start
_start:
        cmpl    $0x12345678, MARK
        jne     first
        print   text
        exit    SUCCESS
first:
        movl    $0x12345678, MARK
        mov     $0xcf9, %dx
        mov     $0x0e, %al
        out     %al, %dx
        hlt
text:   .asciz  "back again\n"
