/* Dies: an exception with an empty IDT. */
        .globl  _start
        .type   _start, @function
_start:
        lidt    empty
        movabs  $0x1122334455667788, %rbx
        ud2
        .size   _start, . - _start
        .balign 8
empty:  .word   0
        .quad   0
