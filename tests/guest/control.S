/* Driven by tests/control: says what it gets from outside, on the debug console. First "ready"; then
 * each byte from the keyboard in hex, a line each. The key T (scan code 14) adds the time in TSC counts;
 * the power button is "power button", and the guest powers off. MARK counts the starts, in memory that
 * resets do not change. */
#include "guest.inc"

        .set    PORT_DATA, 0x60
        .set    PORT_STATUS, 0x64
        .set    PORT_PM1_STATUS, 0x600
        .set    PORT_PM1_CONTROL, 0x604
        .set    MARK, 0x900000

        .globl  _start
_start:
        mov     $0x700000, %esp
        incl    MARK
        movl    $0x1badb002, MARK + 4
        print   ready
loop:
        mov     $PORT_PM1_STATUS, %dx
        in      %dx, %ax
        test    $0x01, %ah
        jnz     button
        in      $PORT_STATUS, %al
        test    $1, %al
        jz      loop
        in      $PORT_DATA, %al
        movzbl  %al, %ebx
        mov     $8, %ecx
        call    hex
        call    newline
        cmp     $0x14, %ebx
        jne     loop
        rdtsc
        shl     $32, %rdx
        or      %rax, %rdx
        mov     %rdx, %rbx
        mov     $64, %ecx
        call    hex
        call    newline
        jmp     loop
button:
        print   pressed
        mov     $PORT_PM1_CONTROL, %dx
        mov     $0x2000, %ax
        out     %ax, %dx
        hlt

/* Writes the low RCX bits of RBX in hex. */
hex:
        sub     $4, %ecx
        mov     %rbx, %rax
        shr     %cl, %rax
        and     $15, %eax
        movb    digits(%rax), %al
        out     %al, $PORT_DEBUGCON
        test    %ecx, %ecx
        jnz     hex
        ret
newline:
        mov     $'\n', %al
        out     %al, $PORT_DEBUGCON
        ret

digits: .ascii  "0123456789abcdef"
ready:  .asciz  "ready\n"
pressed: .asciz "power button\n"
