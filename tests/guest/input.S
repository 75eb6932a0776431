/* A picture in a VBE mode, 640 by 480: blue, with an orange square of 100 at (200, 100). Then what the
 * keyboard and the mouse send, byte by byte on the debug console: "K1e " or "M08 "; a key of code 01
 * (Esc) ends the guest. Entered in long mode, memory mapped one to one. */
#include "guest.inc"

        .set    FRAME_BUFFER, 0xe0000000
        .set    BLUE, 0x204060
        .set    ORANGE, 0xff8000

        .macro  pci register value
        mov     $0xcf8, %dx
        mov     $0x80001000 | \register, %eax
        out     %eax, %dx
        mov     $0xcfc, %dx
        mov     $\value, %eax
        out     %eax, %dx
        .endm

        .macro  vbe register value
        mov     $0x1ce, %dx
        mov     $\register, %ax
        out     %ax, %dx
        mov     $0x1cf, %dx
        mov     $\value, %ax
        out     %ax, %dx
        .endm

        .macro  vga port value
        mov     $\port, %dx
        mov     $\value, %al
        out     %al, %dx
        .endm

/* Waits until the keyboard controller takes a byte, and writes it. */
        .macro  i8042 value port
5:      in      $0x64, %al
        test    $2, %al
        jnz     5b
        mov     $\value, %al
        out     %al, $\port
        .endm

/* A byte to the mouse, whose answer is printed. */
        .macro  mouse value
        i8042   0xd4, 0x64
        i8042   \value, 0x60
6:      in      $0x64, %al
        test    $1, %al
        jz      6b
        call    print_byte
        .endm

        .globl  _start
_start:
        mov     $stack, %esp
        pci     0x10, FRAME_BUFFER
        pci     0x04, 2
        vga     0x3c2, 0x67
        mov     $0x3da, %dx
        in      %dx, %al
        vga     0x3c0, 0x20
        vbe     4, 0
        vbe     1, 640
        vbe     2, 480
        vbe     3, 32
        vbe     4, 0x41
        mov     $FRAME_BUFFER, %edi
        mov     $BLUE, %eax
        mov     $640 * 480, %ecx
        rep stosl
        mov     $FRAME_BUFFER + (100 * 640 + 200) * 4, %edi
        mov     $ORANGE, %eax
        mov     $100, %edx
1:      mov     $100, %ecx
        rep stosl
        add     $(640 - 100) * 4, %edi
        dec     %edx
        jnz     1b

        i8042   0x60, 0x64 /* command byte: translation, no interrupts */
        i8042   0x40, 0x60
        .irp    byte, 0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf4 /* a wheel; go */
        mouse   \byte
        .endr
        print   ready
2:      in      $0x64, %al
        test    $1, %al
        jz      2b
        call    print_byte
        cmp     $0x4b01, %bx
        jne     2b
        exit    SUCCESS

/* What the controller has to say, and from whom, which BX is then. */
print_byte:
        mov     $'K', %bh
        test    $0x20, %al
        jz      1f
        mov     $'M', %bh
1:      in      $0x60, %al
        mov     %al, %bl
        mov     %bh, %al
        out     %al, $PORT_DEBUGCON
        mov     %bl, %al
        shr     $4, %al
        call    print_digit
        mov     %bl, %al
        and     $15, %al
        call    print_digit
        mov     $' ', %al
        out     %al, $PORT_DEBUGCON
        ret

print_digit:
        add     $'0', %al
        cmp     $'9', %al
        jbe     1f
        add     $'a' - '0' - 10, %al
1:      out     %al, $PORT_DEBUGCON
        ret

ready:  .asciz  "ready "

        .bss
        .skip   4096
stack:
