/* What the board wires to the CPU's pins: A20 from the keyboard controller and port 92, x87 errors
 * by IRQ 13. Entered in long mode, memory mapped one to one. */
#include "guest.inc"

        .set    LOW, 0x480000
        .set    HIGH, LOW | 1 << 20 /* the same where bit 20 is masked */

/* Waits until the keyboard controller takes a byte, and writes it. */
        .macro  i8042 value port
5:      in      $0x64, %al
        test    $2, %al
        jnz     5b
        mov     $\value, %al
        out     %al, $\port
        .endm

        .globl  _start
_start:
        mov     $stack, %esp
        movl    $0x1111, LOW
        movl    $0x2222, HIGH
        cmpl    $0x1111, LOW
        require e

        i8042   0xd1, 0x64 /* output port: A20 masked */
        i8042   0xdd, 0x60
        cmpl    $0x1111, HIGH
        require e
        mov     $2, %al
        out     %al, $0x92
        cmpl    $0x2222, HIGH
        require e
        xor     %al, %al
        out     %al, $0x92
        cmpl    $0x1111, HIGH
        require e
        i8042   0xd1, 0x64
        i8042   0xdf, 0x60
        cmpl    $0x2222, HIGH
        require e

/* IRQ 13 becomes vector 0x2d: the slave has its vectors at 0x28. */
        mov     $0x11, %al
        out     %al, $0x20
        out     %al, $0xa0
        mov     $0x20, %al
        out     %al, $0x21
        mov     $0x28, %al
        out     %al, $0xa1
        mov     $4, %al
        out     %al, $0x21
        mov     $2, %al
        out     %al, $0xa1
        mov     $1, %al
        out     %al, $0x21
        out     %al, $0xa1
        mov     $0xfb, %al
        out     %al, $0x21
        mov     $0xdf, %al
        out     %al, $0xa1

        mov     $irq13, %eax
        mov     %ax, gate
        mov     %cs, gate + 2
        movw    $0x8e00, gate + 4
        shr     $16, %eax
        mov     %ax, gate + 6
        lidt    idtr

        mov     %cr0, %rax
        and     $~0x2c, %rax /* NE, TS and EM */
        mov     %rax, %cr0
        fninit
        fldcw   control
        fld1
        fldz
        sti
        xor     %ebx, %ebx
        fdivrp  %st, %st(1) /* 1 / 0 */
        cmp     $0, %ebx
        require e
        fwait
        cmp     $1, %ebx
        require e
        fwait /* nothing is pending any more */
        cmp     $1, %ebx
        require e
        print   text
        exit    SUCCESS

irq13:
        push    %rax
        inc     %ebx
        xor     %al, %al
        out     %al, $0xf0
        fwait /* passed over by IGNNE# */
        fnstsw  %ax
        test    $4, %al /* ZE */
        require nz
        fnclex
        mov     $0x20, %al
        out     %al, $0xa0
        out     %al, $0x20
        pop     %rax
        iretq

text:   .asciz  "pins are wired\n"
control: .word  0x37b /* ZM clear */
idtr:   .word   0x2e * 16 - 1
        .quad   idt

        .bss
        .balign 16
idt:    .skip   0x2d * 16
gate:   .skip   16
        .skip   4096
stack:
