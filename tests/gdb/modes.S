/* From 32-bit protected mode (PVH) to 16-bit real mode, back, and on to 64-bit mode. */
#include "guest.inc"

        .set    REAL, 0x7000 /* where the real-mode code runs */
        .set    CODE32, 0x08
        .set    DATA, 0x10
        .set    CODE16, 0x18
        .set    CODE64, 0x20

        .macro  load_data value
        mov     $\value, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        .endm

        .globl  _start, in_32, in_16, real_code, back_in_32, in_64, seen
        .code32
_start:
        cld
        lgdt    gdt_register
        ljmp    $CODE32, $in_32
in_32:
        load_data DATA
        mov     $real_code, %esi
        mov     $REAL, %edi
        mov     $real_code_end - real_code, %ecx
        rep movsb
        movl    $32, seen
        ljmp    $CODE16, $REAL

        .code16
real_code:
        mov     %cr0, %eax
        and     $~1, %eax
        mov     %eax, %cr0
        ljmp    $0, $REAL + in_16 - real_code
in_16:
        xor     %ax, %ax
        mov     %ax, %ss
        mov     $0x1616, %bx
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $CODE32, $back_in_32
real_code_end:

        .code32
back_in_32:
        load_data DATA
        movl    $pdpt + 3, pml4
        movl    $pd + 3, pdpt
        movl    $0x83, pd
        movl    $0x200083, pd + 8
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $0x20, %eax /* PAE */
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax /* LME */
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        ljmp    $CODE64, $in_64

        .code64
in_64:
        movabs  $0x6464646464646464, %rbx
        movl    $64, seen
        exit    SUCCESS

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff /* code, 32 bits */
        .quad   0x00cf93000000ffff /* data */
        .quad   0x00009b000000ffff /* code, 16 bits */
        .quad   0x00af9b000000ffff /* code, 64 bits */
gdt_register:
        .word   . - gdt - 1
        .long   gdt

        .section .note.Xen, "a", @note
        .long   4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   _start

        .bss
seen:   .skip   4
        .balign 4096
pml4:   .skip   4096
pdpt:   .skip   4096
pd:     .skip   4096
