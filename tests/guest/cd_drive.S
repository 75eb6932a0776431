/* Driven by tests/control: does to the CD drive at the second IDE channel what a key says, and says on
 * the debug console how it went: "ok", or "sense" and the sense key. L locks the tray, U unlocks it, E
 * opens it, R reads the first sector, whose first four bytes it shows in hex. First it says "ready". */
#include "guest.inc"

        .set    PORT_KEYBOARD, 0x60
        .set    PORT_KEYBOARD_STATUS, 0x64
        .set    PORT_DATA, 0x170
        .set    PORT_ERROR, 0x171
        .set    PORT_COUNT_LOW, 0x174
        .set    PORT_DEVICE, 0x176
        .set    PORT_STATUS, 0x177
        .set    COMMAND_PACKET, 0xa0
        .set    BUFFER, 0x600000

        .globl  _start
_start:
        mov     $0x700000, %esp
        print   ready
loop:
        in      $PORT_KEYBOARD_STATUS, %al
        test    $1, %al
        jz      loop
        in      $PORT_KEYBOARD, %al
        mov     $lock, %esi
        cmp     $0x26, %al
        je      command
        mov     $unlock, %esi
        cmp     $0x16, %al
        je      command
        mov     $eject, %esi
        cmp     $0x12, %al
        je      command
        mov     $read, %esi
        cmp     $0x13, %al
        jne     loop

/* Sends the packet at RSI and takes up to a sector of data. */
command:
        mov     $BUFFER, %edi
        mov     $PORT_DEVICE, %edx
        xor     %eax, %eax
        out     %al, %dx
        mov     $PORT_ERROR, %edx       /* features: no DMA */
        out     %al, %dx
        mov     $PORT_COUNT_LOW, %edx   /* 2048 bytes at a time */
        out     %al, %dx
        inc     %edx
        mov     $8, %al
        out     %al, %dx
        mov     $PORT_STATUS, %edx
        mov     $COMMAND_PACKET, %al
        out     %al, %dx
        call    wait
        mov     $PORT_DATA, %edx
        mov     $6, %ecx
        rep outsw
transfer:
        call    wait
        test    $1, %al
        jnz     failed
        test    $8, %al
        jz      done
        mov     $PORT_DATA, %edx
        mov     $1024, %ecx
        rep insw
        jmp     transfer
done:
        mov     $ok, %esi
        call    say
        cmp     $BUFFER, %edi
        je      end
        mov     BUFFER, %ebx
        bswap   %ebx
        mov     $32, %ecx
        call    hex
        jmp     end
failed:
        mov     $sense, %esi
        call    say
        mov     $PORT_ERROR, %edx
        in      %dx, %al
        movzbl  %al, %ebx
        shr     $4, %ebx
        mov     $4, %ecx
        call    hex
end:
        mov     $'\n', %al
        out     %al, $PORT_DEBUGCON
        jmp     loop

/* Until the drive is not busy; AL is its status. */
wait:
        mov     $PORT_STATUS, %edx
        in      %dx, %al
        test    $0x80, %al
        jnz     wait
        ret

say:
        lodsb
        test    %al, %al
        jz      1f
        out     %al, $PORT_DEBUGCON
        jmp     say
1:      ret

/* Writes the low RCX bits of RBX in hex. */
hex:
        sub     $4, %ecx
        mov     %ebx, %eax
        shr     %cl, %eax
        and     $15, %eax
        movb    digits(%rax), %al
        out     %al, $PORT_DEBUGCON
        test    %ecx, %ecx
        jnz     hex
        ret

lock:   .byte   0x1e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0
unlock: .byte   0x1e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
eject:  .byte   0x1b, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0
read:   .byte   0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0
digits: .ascii  "0123456789abcdef"
ready:  .asciz  "ready\n"
ok:     .asciz  "ok "
sense:  .asciz  "sense "
