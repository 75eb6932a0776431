/* A kernel with a PVH note: entered in flat 32-bit mode with hvm_start_info in EBX. */
#include "guest.inc"

        .code32
        .globl  _start
_start:
        cmpl    $0x336ec578, (%ebx) /* magic */
        require e
        cmpl    $1, 4(%ebx) /* version */
        require e
        mov     24(%ebx), %eax /* command line */
        cmpl    $0x6c6c6568, (%eax) /* "hell" */
        require e
        mov     %cr0, %eax
        and     $0x80000001, %eax /* PG clear, PE set */
        cmp     $1, %eax
        require e
        print   text
        exit    SUCCESS
text:   .asciz  "hello from PVH\n"

        .section .note.Xen, "a", @note
        .long   4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   _start
