/* SYSCALL, SYSRET, SYSENTER, SYSEXIT, and their MSRs (SDM vol. 3, 5.8.7 and 5.8.8).
 *
 * expect:
 *   SYSCALL at ring 3: ok rip=0x0 r11=0x246 cs=0x8 ss=0x10 flags=0x46
 *   SYSCALL at ring 0: ok rip=0x0 r11=0xcd7 cs=0x8 ss=0x10 flags=0x8d7
 *   SYSCALL in compatibility mode: #UD
 *   SYSRET to 64-bit mode: ok cs=0x2b ss=0x23 flags=0x3c7ed7
 *   SYSRET to compatibility mode: ok cs=0x1b ss=0x23
 *   SYSRET, RCX is not canonical: #GP(0x0) cs=0x8
 *   SYSRET at ring 3: #GP(0x0)
 *   SYSCALL without EFER.SCE: #UD
 *   SYSRET without EFER.SCE: #UD
 *   SYSENTER without SYSENTER_CS: #GP(0x0)
 *   SYSEXIT without SYSENTER_CS: #GP(0x0)
 *   SYSENTER at ring 3: ok rsp=0x0 cs=0x8 ss=0x10 flags=0x46
 *   SYSENTER in compatibility mode: ok cs=0x8 ss=0x10
 *   SYSEXIT to 64-bit mode: ok cs=0x2b ss=0x33
 *   SYSEXIT to compatibility mode: ok cs=0x1b ss=0x23
 *   SYSEXIT, RDX is not canonical: #GP(0x0)
 *   SYSEXIT, RCX is not canonical: #GP(0x0)
 *   SYSEXIT at ring 3: #GP(0x0)
 *   LSTAR, not canonical: #GP(0x0)
 *   CSTAR, not canonical: #GP(0x0)
 *   SYSENTER_EIP, not canonical: #GP(0x0)
 *   SYSENTER_ESP, not canonical: #GP(0x0)
 *   FS_BASE, not canonical: #GP(0x0)
 *   GS_BASE, not canonical: #GP(0x0)
 *   KERNEL_GS_BASE, not canonical: #GP(0x0)
 *   KERNEL_GS_BASE, canonical: ok
 *   SFMASK beyond 32 bits: #GP(0x0)
 *   EFER, reserved bit: #GP(0x0)
 *   EFER, LME cleared under paging: #GP(0x0)
 *   EFER, LMA cleared: ignored: ok efer=0xd01
 *   an unknown MSR: #GP(0x0)
 *   RDMSR of an unknown MSR: #GP(0x0)
 *   RDMSR at ring 3: #GP(0x0)
 *   SWAPGS: ok high=0xffff8000
 *   SWAPGS at ring 3: #GP(0x0)
 */
#include "kit/kit.inc"

        .set    NOT_CANONICAL, 0x800000000000
        .set    IF, 0x200

/* What the entry points found. */
        .macro  show_entry
        show    rip, %rcx
        show    r11, %r11
        show    cs, %rdx
        show    ss, %rbx
        show    flags, %rdi
        .endm

        .macro  bad_msr text, msr, high, low=0
        try     "\text"
        mov     $\msr, %ecx
        mov     $\high, %edx
        mov     $\low, %eax
        wrmsr
        caught
        .endm

        .macro  set_msr msr, symbol
        mov     $\msr, %ecx
        mov     $\symbol, %eax
        xor     %edx, %edx
        wrmsr
        .endm

/* RDX: CS, RBX: SS, RDI: flags. */
        .macro  look
        mov     %cs, %edx
        mov     %ss, %ebx
        pushf
        pop     %rdi
        .endm

main:
        enter_long
        mov     $MSR_STAR, %ecx
        xor     %eax, %eax
        mov     $(USER_CODE32 << 16) + CODE64, %edx
        wrmsr
        set_msr MSR_LSTAR, syscall_entry
        write_msr MSR_SFMASK, 0x600

        try     "SYSCALL at ring 3"
        user    0x246
        syscall
1:      caught
        sub     $USER_BASE + 1b, %rcx
        show_entry
        try     "SYSCALL at ring 0"
        pushq   $0xcd7
        popf
        syscall
1:      caught
        sub     $1b, %rcx
        show_entry
        try     "SYSCALL in compatibility mode"
        user    2, USER_CODE32
        syscall
        caught
        try     "SYSRET to 64-bit mode"
        mov     $USER_BASE + 1f, %ecx
        mov     $0xfffffeff, %r11d /* without TF */
        sysretq
1:      mov     %cs, %edx
        mov     %ss, %ebx
        mov     $USER_BASE + user_stack_top, %esp
        pushf
        pop     %rdi
        leave_user
        caught
        show    cs, %rdx
        show    ss, %rbx
        show    flags, %rdi
        try     "SYSRET to compatibility mode"
        mov     $USER_BASE + 1f, %ecx
        mov     $0x202, %r11d
        sysretl
1:      mov     %cs, %edx
        mov     %ss, %ebx
        leave_user
        caught
        show    cs, %rdx
        show    ss, %rbx
        try     "SYSRET, RCX is not canonical"
        movabs  $NOT_CANONICAL, %rcx
        mov     $2, %r11d
        sysretq
        caught
        show    cs, event_cs
        try     "SYSRET at ring 3"
        user
        sysretq
        caught
        write_msr MSR_EFER, 0xd00
        try     "SYSCALL without EFER.SCE"
        syscall
        caught
        try     "SYSRET without EFER.SCE"
        sysretq
        caught
        write_msr MSR_EFER, 0xd01

        try     "SYSENTER without SYSENTER_CS"
        sysenter
        caught
        try     "SYSEXIT without SYSENTER_CS"
        sysexitl
        caught
        write_msr MSR_SYSENTER_CS, CODE64
        set_msr MSR_SYSENTER_EIP, sysenter_entry
        set_msr MSR_SYSENTER_ESP, ist2_top
        try     "SYSENTER at ring 3"
        user    0x246
        sysenter
        caught
        sub     $ist2_top, %rcx
        show    rsp, %rcx
        show    cs, %rdx
        show    ss, %rbx
        show    flags, %rdi
        try     "SYSENTER in compatibility mode"
        user    2, USER_CODE32
        sysenter
        caught
        show    cs, %rdx
        show    ss, %rbx
        try     "SYSEXIT to 64-bit mode"
        mov     $USER_BASE + 1f, %edx
        mov     $USER_BASE + user_stack_top, %ecx
        sysexitq
1:      mov     %cs, %edx
        mov     %ss, %ebx
        leave_user
        caught
        show    cs, %rdx
        show    ss, %rbx
        try     "SYSEXIT to compatibility mode"
        mov     $USER_BASE + 1f, %edx
        mov     $USER_BASE + user_stack_top, %ecx
        sysexitl
1:      mov     %cs, %edx
        mov     %ss, %ebx
        leave_user
        caught
        show    cs, %rdx
        show    ss, %rbx
        try     "SYSEXIT, RDX is not canonical"
        movabs  $NOT_CANONICAL, %rdx
        xor     %ecx, %ecx
        sysexitq
        caught
        try     "SYSEXIT, RCX is not canonical"
        movabs  $NOT_CANONICAL, %rcx
        xor     %edx, %edx
        sysexitq
        caught
        try     "SYSEXIT at ring 3"
        user
        sysexitq
        caught

        bad_msr "LSTAR, not canonical", MSR_LSTAR, 0x8000
        bad_msr "CSTAR, not canonical", 0xc0000083, 0x8000
        bad_msr "SYSENTER_EIP, not canonical", MSR_SYSENTER_EIP, 0x8000
        bad_msr "SYSENTER_ESP, not canonical", MSR_SYSENTER_ESP, 0x8000
        bad_msr "FS_BASE, not canonical", 0xc0000100, 0x8000
        bad_msr "GS_BASE, not canonical", 0xc0000101, 0xffff7fff
        bad_msr "KERNEL_GS_BASE, not canonical", 0xc0000102, 0x8000
        bad_msr "KERNEL_GS_BASE, canonical", 0xc0000102, 0xffff8000
        bad_msr "SFMASK beyond 32 bits", MSR_SFMASK, 1
        bad_msr "EFER, reserved bit", MSR_EFER, 0, 0x901+2
        bad_msr "EFER, LME cleared under paging", MSR_EFER, 0, 1
        bad_msr "EFER, LMA cleared: ignored", MSR_EFER, 0, 0x901
        mov     $MSR_EFER, %ecx
        rdmsr
        show    efer, %rax
        bad_msr "an unknown MSR", 0x12345678, 0
        try     "RDMSR of an unknown MSR"
        mov     $0x12345678, %ecx
        rdmsr
        caught
        try     "RDMSR at ring 3"
        user
        rdmsr
        caught
        try     "SWAPGS"
        swapgs
        mov     $0xc0000101, %ecx
        rdmsr
        swapgs
        caught
        show    high, %rdx
        try     "SWAPGS at ring 3"
        user
        swapgs
        caught
        finish

syscall_entry:
        mov     $stack0_top, %esp
        look
        int     $LEAVE_VECTOR

sysenter_entry:
        mov     %rsp, %rcx
        look
        int     $LEAVE_VECTOR
