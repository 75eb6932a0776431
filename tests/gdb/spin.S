/* Counts for ever: only a debugger ends it. The counter is the first datum. */
        .globl  _start
_start:
        incq    turns
        jmp     _start

        .data
turns:  .quad   0
