/* A plain ELF kernel: entered in long mode with boot_params in RSI. Options: --append hello. */
#include "guest.inc"

        .globl  _start
_start:
        mov     %cs, %ax
        cmp     $0x10, %ax
        require e
        cmpl    $0, 0x1e8(%rsi) /* e820 entries */
        require ne
        mov     0x228(%rsi), %eax /* command line */
        cmpl    $0x6c6c6568, (%rax) /* "hell" */
        require e
        mov     $0xc0000080, %ecx /* EFER */
        rdmsr
        and     $0x500, %eax /* LME and LMA */
        cmp     $0x500, %eax
        require e
        print   text
        exit    SUCCESS
text:   .asciz  "hello from long mode\n"
