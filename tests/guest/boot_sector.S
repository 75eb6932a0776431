/* A disk of 1 MiB: its boot sector has the BIOS read the next one, copy it to the third and read
 * that, and writes what it holds to port 0xe9. */
#include "guest.inc"

#define TEXT 0x8000

        .code16
        .globl  _start
_start:
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $0x7c00, %sp
        mov     $0x42, %ah
        call    transfer
        movb    $2, packet + 8
        mov     $0x43, %ah
        call    transfer
        movw    $0, TEXT
        mov     $0x42, %ah
        call    transfer
        mov     $TEXT, %si
1:      lodsb
        test    %al, %al
        jz      2f
        out     %al, $0xe9
        jmp     1b
2:      mov     $SUCCESS, %al
        out     %al, $0xf4

/* AH: the function; DL: the drive, as the BIOS left it. */
transfer:
        xor     %al, %al
        mov     $packet, %si
        push    %dx
        int     $0x13
        pop     %dx
        jc      3f
        ret
3:      mov     $FAILURE, %al
        out     %al, $0xf4

        .balign 4
packet: .byte   16, 0
        .word   1, TEXT, 0
        .quad   1

        .org    510
        .word   0xaa55
        .asciz  "sectors by the BIOS\n"
        .org    2048 * 512
