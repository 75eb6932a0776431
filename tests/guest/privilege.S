/* What user mode may not do, and what CR0 and CR4 forbid: IOPL, the I/O permission bitmap, TSD, PCE,
 * UMIP, TS, EM, MP, NE, OSFXSR, OSXSAVE (SDM vol. 1, 19.5; vol. 3, 2.5 and 5.9).
 *
 * expect:
 *   HLT: #GP(0x0)
 *   CLTS: #GP(0x0)
 *   LGDT: #GP(0x0)
 *   LIDT: #GP(0x0)
 *   LTR: #GP(0x0)
 *   LMSW: #GP(0x0)
 *   INVD: #GP(0x0)
 *   WBINVD: #GP(0x0)
 *   MOV from CR0: #GP(0x0)
 *   MOV to CR3: #GP(0x0)
 *   MOV from CR8: #GP(0x0)
 *   WRMSR: #GP(0x0)
 *   XSETBV without OSXSAVE: #UD
 *   CLI: #GP(0x0)
 *   STI: #GP(0x0)
 *   IN: #GP(0x0)
 *   OUT: #GP(0x0)
 *   IOPL 3, CLI: ok
 *   IOPL 3, STI: ok
 *   IOPL 3, IN: ok
 *   IOPL 3, HLT: #GP(0x0)
 *   POPF at ring 3 changes neither IF nor IOPL: ok flags=0x1ed7
 *   POPF at ring 3 with IOPL 3 changes IF: ok flags=0x3002
 *   IRET at ring 3 changes neither: ok flags=0x1ed7
 *   bitmap, byte: ok
 *   bitmap, byte that is not allowed: #GP(0x0)
 *   bitmap, word, half of it allowed: #GP(0x0)
 *   bitmap, byte at the limit: ok
 *   bitmap, OUT by DX: ok
 *   bitmap, INSB: #GP(0x0)
 *   bitmap beyond the TSS: #GP(0x0)
 *   bitmap, the second byte beyond the TSS: #GP(0x0)
 *   RDTSC: ok
 *   TSD, RDTSC: #GP(0x0)
 *   TSD, RDTSCP: #GP(0x0)
 *   TSD, RDTSC at ring 0: ok
 *   RDPMC at ring 3: #GP(0x0)
 *   SGDT: ok
 *   SLDT: ok
 *   UMIP, SGDT: #GP(0x0)
 *   UMIP, SIDT: #GP(0x0)
 *   UMIP, SLDT: #GP(0x0)
 *   UMIP, STR: #GP(0x0)
 *   UMIP, SMSW: #GP(0x0)
 *   UMIP, SMSW at ring 0: ok
 *   FADD: ok
 *   OSFXSR clear, MOVAPS: #UD
 *   OSFXSR clear, LDMXCSR: #UD
 *   OSFXSR clear, FXSAVE: ok
 *   OSFXSR clear, PADDD with MMX: ok
 *   OSFXSR clear, MFENCE: ok
 *   OSFXSR clear, CRC32: ok
 *   OSFXSR clear, XGETBV: #UD
 *   OSFXSR, MOVAPS: ok
 *   TS, FADD: #NM
 *   TS, FWAIT without MP: ok
 *   TS, PADDD with MMX: #NM
 *   TS, MOVAPS: #NM
 *   TS, LDMXCSR: #NM
 *   TS, FXSAVE: #NM
 *   TS, FNINIT: #NM
 *   TS, EMMS: #NM
 *   TS, MFENCE: ok
 *   TS, MOVNTI: ok
 *   TS, PAUSE: ok
 *   TS and MP, FWAIT: #NM
 *   MP, FWAIT: ok
 *   EM, FADD: #NM
 *   EM, FWAIT: ok
 *   EM, PADDD with MMX: #UD
 *   EM, MOVAPS: #UD
 *   EM, FXSAVE: #NM
 *   EM, MFENCE: ok
 *   EM and TS, MOVAPS: #UD
 *   EM and TS, EMMS: #UD
 *   EM and TS, FADD: #NM
 *   #MF at the next FADD: #MF+0x0
 *   #MF at FWAIT: #MF
 *   no #MF at FNSTSW: ok
 *   no #MF at FNSTCW: ok
 *   #MF at EMMS: #MF
 *   no #MF at MOVAPS: ok
 *   no #MF at FNCLEX: ok
 *   and then FWAIT: ok
 *   OSXMMEXCPT clear, DIVSS by 0: #UD
 *   OSXMMEXCPT, DIVSS by 0: #XM
 *   LDMXCSR, reserved bit: #GP(0x0)
 *   XGETBV: ok xcr0=0x1
 *   XGETBV of XCR2: #GP(0x0)
 *   XSETBV without x87: #GP(0x0)
 *   XSETBV of AVX without SSE: #GP(0x0)
 *   XSETBV of a bit that is not there: #GP(0x0)
 *   XSETBV of x87 and SSE: ok
 *   XCR0 without AVX, VXORPS: #UD
 *   XSETBV at ring 3: #GP(0x0)
 *   TS, XSAVE: #NM
 *   XSAVE, not aligned: #GP(0x0)
 */
#include "kit/kit.inc"

        .set    TSS_IO, SPARE
        .set    PORT, 0xe0 /* a byte register of the test device */
        .set    IOPL3, 0x3000
        .set    IF, 0x200

        .macro  at_user text, code:vararg
        try     "\text"
        user
        \code
        leave_user
        caught
        .endm

        .macro  at_user_iopl3 text, code:vararg
        try     "\text"
        user    IOPL3|2
        \code
        leave_user
        caught
        .endm

        .macro  here text, code:vararg
        try     "\text"
        \code
        caught
        .endm

main:
        enter_long
        fninit

        /* Privileged instructions. */
        at_user "HLT", hlt
        at_user "CLTS", clts
        at_user "LGDT", lgdt gdtr + USER_BASE
        at_user "LIDT", lidt idtr64 + USER_BASE
        at_user "LTR", ltr %ax
        at_user "LMSW", lmsw %ax
        at_user "INVD", invd
        at_user "WBINVD", wbinvd
        at_user "MOV from CR0", mov %cr0, %rax
        at_user "MOV to CR3", mov %rax, %cr3
        at_user "MOV from CR8", mov %cr8, %rax
        at_user "WRMSR", wrmsr
        at_user "XSETBV without OSXSAVE", xsetbv

        /* IOPL. */
        at_user "CLI", cli
        at_user "STI", sti
        at_user "IN", in $PORT, %al
        at_user "OUT", out %al, $PORT
        at_user_iopl3 "IOPL 3, CLI", cli
        at_user_iopl3 "IOPL 3, STI", sti
        at_user_iopl3 "IOPL 3, IN", in $PORT, %al
        at_user_iopl3 "IOPL 3, HLT", hlt
        try     "POPF at ring 3 changes neither IF nor IOPL"
        user    0x1202
        pushq   $0x2cd7
        popfq
        pushfq
        pop     %rbx
        leave_user
        caught
        show    flags, %rbx
        try     "POPF at ring 3 with IOPL 3 changes IF"
        user    0x3202
        pushq   $2
        popfq
        pushfq
        pop     %rbx
        leave_user
        caught
        show    flags, %rbx
        try     "IRET at ring 3 changes neither"
        user    0x1202
        mov     %rsp, %rax
        pushq   $USER_DATA
        push    %rax
        pushq   $0x2cd7
        pushq   $USER_CODE64
        lea     1f(%rip), %rax
        push    %rax
        iretq
1:      pushfq
        pop     %rbx
        leave_user
        caught
        show    flags, %rbx

        /* The I/O permission bitmap: ports 0xe0 and 0xe2 are allowed. */
        mov     $tss_io, %eax
        movl    $tss_io_end - tss_io - 1, gdt + TSS_IO
        mov     %ax, gdt + TSS_IO + 2
        shr     $16, %eax
        movl    $0x8900, gdt + TSS_IO + 4
        mov     %al, gdt + TSS_IO + 4
        movl    $0, gdt + TSS_IO + 8
        movl    $0, gdt + TSS_IO + 12
        mov     $TSS_IO, %eax
        ltr     %ax
        at_user "bitmap, byte", in $0xe0, %al
        at_user "bitmap, byte that is not allowed", in $0xe1, %al
        at_user "bitmap, word, half of it allowed", in $0xe0, %ax
        at_user "bitmap, byte at the limit", in $0xe2, %al
        try     "bitmap, OUT by DX"
        user
        mov     $0xe0, %edx
        out     %al, %dx
        leave_user
        caught
        try     "bitmap, INSB"
        user
        mov     $0xe1, %edx
        mov     $USER_BASE + page_a, %edi
        insb
        leave_user
        caught
        try     "bitmap beyond the TSS"
        user
        mov     $0x1000, %edx
        in      %dx, %al
        leave_user
        caught
        try     "bitmap, the second byte beyond the TSS"
        user
        mov     $0xf0, %edx
        in      %dx, %al
        leave_user
        caught

        /* CR4.TSD, PCE, UMIP. */
        at_user "RDTSC", rdtsc
        set_cr  cr4, 4
        at_user "TSD, RDTSC", rdtsc
        at_user "TSD, RDTSCP", rdtscp
        here    "TSD, RDTSC at ring 0", rdtsc
        clear_cr cr4, 4
        try     "RDPMC at ring 3"
        user
        xor     %ecx, %ecx
        rdpmc
        leave_user
        caught
        at_user "SGDT", sgdt USER_BASE + page_a
        at_user "SLDT", sldt %eax
        set_cr  cr4, 0x800
        at_user "UMIP, SGDT", sgdt USER_BASE + page_a
        at_user "UMIP, SIDT", sidt USER_BASE + page_a
        at_user "UMIP, SLDT", sldt %eax
        at_user "UMIP, STR", str %eax
        at_user "UMIP, SMSW", smsw %eax
        here    "UMIP, SMSW at ring 0", smsw %eax

        /* x87, MMX, SSE, AVX. */
        here    "FADD", fadd %st(1), %st
        here    "OSFXSR clear, MOVAPS", movaps %xmm0, %xmm1
        here    "OSFXSR clear, LDMXCSR", ldmxcsr mxcsr
        here    "OSFXSR clear, FXSAVE", fxsave page_b
        here    "OSFXSR clear, PADDD with MMX", paddd %mm0, %mm1
        here    "OSFXSR clear, MFENCE", mfence
        here    "OSFXSR clear, CRC32", crc32l %eax, %eax
        here    "OSFXSR clear, XGETBV", xgetbv
        emms
        set_cr  cr4, 0x200
        here    "OSFXSR, MOVAPS", movaps %xmm0, %xmm1
        set_cr  cr0, 8 /* TS */
        here    "TS, FADD", fadd %st(1), %st
        here    "TS, FWAIT without MP", fwait
        here    "TS, PADDD with MMX", paddd %mm0, %mm1
        here    "TS, MOVAPS", movaps %xmm0, %xmm1
        here    "TS, LDMXCSR", ldmxcsr mxcsr
        here    "TS, FXSAVE", fxsave page_b
        here    "TS, FNINIT", fninit
        here    "TS, EMMS", emms
        here    "TS, MFENCE", mfence
        here    "TS, MOVNTI", movnti %eax, page_b
        here    "TS, PAUSE", pause
        set_cr  cr0, 2 /* MP */
        here    "TS and MP, FWAIT", fwait
        clts
        here    "MP, FWAIT", fwait
        set_cr  cr0, 4 /* EM */
        here    "EM, FADD", fadd %st(1), %st
        here    "EM, FWAIT", fwait
        here    "EM, PADDD with MMX", paddd %mm0, %mm1
        here    "EM, MOVAPS", movaps %xmm0, %xmm1
        here    "EM, FXSAVE", fxsave page_b
        here    "EM, MFENCE", mfence
        set_cr  cr0, 8
        here    "EM and TS, MOVAPS", movaps %xmm0, %xmm1
        here    "EM and TS, EMMS", emms
        here    "EM and TS, FADD", fadd %st(1), %st
        clear_cr cr0, 12

        /* An x87 exception waits for the next instruction that waits. */
        set_cr  cr0, 0x20 /* NE */
        fninit
        fldcw   unmasked
        fld1
        fldz
        fdivrp
        try     "#MF at the next FADD"
        show_rip
        fadd    %st(1), %st
        caught
        hide_rip
        here    "#MF at FWAIT", fwait
        here    "no #MF at FNSTSW", fnstsw %ax
        here    "no #MF at FNSTCW", fnstcw page_b
        here    "#MF at EMMS", emms
        here    "no #MF at MOVAPS", movaps %xmm0, %xmm1
        here    "no #MF at FNCLEX", fnclex
        here    "and then FWAIT", fwait
        fninit

        /* SIMD exceptions. */
        ldmxcsr unmasked_mxcsr
        xorps   %xmm0, %xmm0
        movl    $0x3f800000, page_b
        movss   page_b, %xmm1
        here    "OSXMMEXCPT clear, DIVSS by 0", divss %xmm0, %xmm1
        set_cr  cr4, 0x400
        here    "OSXMMEXCPT, DIVSS by 0", divss %xmm0, %xmm1
        ldmxcsr mxcsr
        here    "LDMXCSR, reserved bit", ldmxcsr bad_mxcsr

        /* CR4.OSXSAVE. */
        set_cr  cr4, 0x40000
        try     "XGETBV"
        xor     %ecx, %ecx
        xgetbv
        caught
        show    xcr0, %rax
        try     "XGETBV of XCR2"
        mov     $2, %ecx
        xgetbv
        caught
        .macro  try_xsetbv text, value
        try     "\text"
        xor     %ecx, %ecx
        xor     %edx, %edx
        mov     $\value, %eax
        xsetbv
        caught
        .endm
        try_xsetbv "XSETBV without x87", 2
        try_xsetbv "XSETBV of AVX without SSE", 5
        try_xsetbv "XSETBV of a bit that is not there", 0x8000001
        try_xsetbv "XSETBV of x87 and SSE", 3
        here    "XCR0 without AVX, VXORPS", vxorps %xmm0, %xmm0, %xmm0
        at_user "XSETBV at ring 3", xsetbv
        set_cr  cr0, 8
        here    "TS, XSAVE", xsave page_b
        clts
        here    "XSAVE, not aligned", xsave page_b + 8
        finish

        .data
        .balign 16
tss_io: .long   0
        .quad   stack0_top, 0, 0, 0
        .fill   8, 8, 0
        .word   0, io_bitmap - tss_io
io_bitmap:
        .fill   28, 1, 0xff
        .byte   0xfa, 0xff
        .byte   0 /* of the ports from 0xf0 on, whose second byte lies beyond */
tss_io_end:
        .balign 4
mxcsr:  .long   0x1f80
unmasked_mxcsr:
        .long   0
bad_mxcsr:
        .long   0x10000
unmasked:
        .word   0x37b /* all masked but division by zero */
