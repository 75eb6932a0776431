/* A Multiboot 1 kernel that is an ELF file, as test suites have them: loaded by its program headers,
 * with a .bss; it reads its arguments and the test device. Options: --append "one two". */
#include "guest.inc"

        .set    FLAGS, 1 << 1 /* memory information */
        .set    PORT_TESTDEV, 0xe0

        .code32
        .section .header, "ax"
        .balign 4
        .long   0x1badb002, FLAGS, -(0x1badb002 + FLAGS)

        .text
        .globl  _start
_start:
        cmp     $0x2badb002, %eax
        require e
        testl   $1 << 0, (%ebx)
        require nz
        cmpl    $0, 8(%ebx) /* KiB from 1 MiB on */
        require ne
        testl   $1 << 2, (%ebx)
        require nz
        mov     16(%ebx), %edi /* the kernel's name, then its arguments */
        mov     $' ', %al
        mov     $-1, %ecx
        repne scasb
        cmpl    $0x20656e6f, (%edi) /* "one " */
        require e
        cmpl    $0x6f7774, 4(%edi) /* "two" */
        require e
        testl   $1 << 6, (%ebx) /* memory map */
        require nz
        mov     48(%ebx), %edi
        cmpl    $20, (%edi)
        require ae
        mov     $zeros, %edi
        mov     $4096, %ecx
        xor     %eax, %eax
        repe scasl
        require e
        mov     $0x12345678, %eax
        mov     $PORT_TESTDEV, %edx
        out     %eax, %dx
        xor     %eax, %eax
        in      %dx, %eax
        cmp     $0x12345678, %eax
        require e
        print   text
        exit    SUCCESS
text:   .asciz  "hello from ELF\n"

        .bss
zeros:  .space  16384
