/* A Multiboot 1 kernel with load addresses in its header: flat 32-bit mode, information in EBX. */
#include "guest.inc"

        .set    FLAGS, 1 << 1 | 1 << 16 /* memory information; addresses */

        .code32
        .globl  _start
header:
        .long   0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
        .long   header, header, 0, 0, _start
_start:
        cmp     $0x2badb002, %eax
        require e
        mov     16(%ebx), %edi /* command line: the kernel's name, then its arguments */
        mov     $' ', %al
        mov     $-1, %ecx
        repne scasb
        cmpl    $0x6c6c6568, (%edi) /* "hell" */
        require e
        cmpl    $1, 20(%ebx) /* modules */
        require e
        mov     24(%ebx), %eax
        mov     (%eax), %eax /* the first one's start */
        cmpl    $0x75646f6d, (%eax) /* "modu" */
        require e
        print   text
        exit    SUCCESS
text:   .asciz  "hello from Multiboot\n"
