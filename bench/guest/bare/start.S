/* Entered in flat 32-bit mode by a PVH note (in Doppel and in QEMU); brings the CPU into 64-bit mode
 * with the first 4 GiB mapped to themselves, and the entries for interrupts, faults and SYSCALL. */

        .set    CR0_PG, 1 << 31
        .set    CR4_PAE, 1 << 5
        .set    CR4_FX, 3 << 9 /* OSFXSR, OSXMMEXCPT */
        .set    MSR_EFER, 0xc0000080
        .set    EFER_SCE_LME, 1 | 1 << 8

        .section .note.Xen, "a", @note
        .long   4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   _start

        .text
        .code32
        .globl  _start
_start:
        cld
        /* PML4 -> PDPT -> four page directories of 2 MiB pages, all open to user code */
        movl    $pdpt + 7, pml4
        mov     $directories + 7, %eax
        mov     $pdpt, %edi
        mov     $4, %ecx
1:      mov     %eax, (%edi)
        add     $4096, %eax
        add     $8, %edi
        loop    1b
        mov     $0x87, %eax /* present, writable, user, large */
        mov     $directories, %edi
        mov     $2048, %ecx
1:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    1b

        mov     $CR4_PAE | CR4_FX, %eax
        mov     %eax, %cr4
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        mov     $EFER_SCE_LME, %eax
        xor     %edx, %edx
        wrmsr
        mov     %cr0, %eax
        or      $CR0_PG | 2, %eax /* MP */
        and     $~4, %eax         /* EM */
        mov     %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $8, $start64

        .code64
start64:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $stack_end, %esp
        call    bare_main
1:      hlt
        jmp     1b

/* 1: counts an interrupt and ends it at the local APIC. */
        .globl  entry_interrupt
entry_interrupt:
        push    %rax
        push    %rdx
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, interrupt_time
        mov     $0xfee000b0, %eax
        movl    $0, (%rax)
        incq    interrupt_count
        pop     %rdx
        pop     %rax
        iretq

/* A page fault: goes on at the address in RBX. */
        .globl  entry_page_fault
entry_page_fault:
        add     $8, %rsp
        mov     %rbx, (%rsp)
        iretq

/* A software interrupt: nothing. */
        .globl  entry_nothing
entry_nothing:
        iretq

/* An interrupt from user code that asks to come back: out of run_user(). */
        .globl  entry_leave_user
entry_leave_user:
        mov     kernel_stack, %rsp
        mov     $16, %eax
        mov     %eax, %ss
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

/* Any other exception: ends the guest in failure. */
        .globl  entry_failure
entry_failure:
        mov     $0x12, %eax
        out     %al, $0xf4
1:      hlt
        jmp     1b

        .globl  entry_syscall
entry_syscall:
        sysretq

/* void run_user(code, count): code runs in user mode with the count in RDI and ends by int $0x81. */
        .globl  run_user
run_user:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, kernel_stack
        mov     %rdi, %rax
        mov     %rsi, %rdi
        push    $0x20 | 3 /* SS */
        push    $user_stack_end
        push    $2 /* RFLAGS */
        push    $0x28 | 3 /* CS */
        push    %rax
        iretq

/* The user code */
        .globl  user_empty, user_syscall, user_int, user_fault
user_empty:
1:      dec     %rdi
        jnz     1b
        int     $0x81
user_syscall:
1:      syscall
        dec     %rdi
        jnz     1b
        int     $0x81
user_int:
1:      int     $0x80
        dec     %rdi
        jnz     1b
        int     $0x81
user_fault:
        mov     $2f, %ebx
        mov     $0xfff0000000, %rsi /* not mapped */
1:      mov     (%rsi), %eax
2:      dec     %rdi
        jnz     1b
        int     $0x81

        .data
        .balign 8
gdt:    .quad   0
        .quad   0x00af9b000000ffff /* 08: kernel code */
        .quad   0x00cf93000000ffff /* 10: kernel data */
        .quad   0                  /* 18: base of SYSRET's selectors */
        .quad   0x00cff3000000ffff /* 20: user data */
        .quad   0x00affb000000ffff /* 28: user code */
        .globl  gdt_tss
gdt_tss: .quad  0, 0               /* 30 */
gdt_pointer:
        .word   . - gdt - 1
        .quad   gdt

        .bss
        .balign 4096
        .globl  pml4, stack_end
pml4:   .skip   4096
pdpt:   .skip   4096
directories: .skip 4 * 4096
        .skip   16384
stack_end:
        .skip   4096
user_stack_end:
kernel_stack: .skip 8

        .section .note.GNU-stack, "", @progbits
