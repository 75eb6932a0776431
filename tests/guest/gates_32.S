/* Call, interrupt and trap gates outside long mode: stacks, parameters, checks (SDM vol. 3, 5.8 and
 * 6.12).
 *
 * expect:
 *   CALL through a gate to the same level: ok cs=0x38 return_cs=0x38 first=0x11 second=0x22
 *   CALL through a gate from ring 3, two parameters: ok cs=0x38 return_cs=0x1b first=0x11 second=0x22 old_esp=0xfffffff8 old_ss=0x23
 *   and back: ok esp=0x0 ds=0x23 fs=0x0
 *   CALL through a 16-bit gate from ring 3, one parameter: ok cs=0x1b parameter=0x11 sp=0xfffe ss=0x23
 *   gate of DPL 0 at CPL 3: #GP(0x68)
 *   gate of DPL 1, RPL 2: #GP(0x68)
 *   gate not present: #NP(0x68)
 *   gate to null: #GP(0x0)
 *   gate to data: #GP(0x10)
 *   gate to an outer level: #GP(0x18)
 *   gate to code that is not present: #NP(0x70)
 *   gate beyond the limit: #GP(0x0)
 *   gate to conforming code: stays at CPL 3: ok cs=0x73
 *   JMP through a gate to an inner level: #GP(0x38)
 *   JMP through a gate to the same level: ok cs=0x38
 *   ring 1: ok cs=0x71
 *   null stack: #TS(0x0)
 *   stack beyond the GDT: #TS(0xf8)
 *   stack with RPL 0: #TS(0x78)
 *   stack of DPL 0: #TS(0x10)
 *   code as stack: #TS(0x70)
 *   read-only stack: #TS(0x78)
 *   stack not present: #SS(0x78)
 *   stack beyond its limit: #SS(0x78)
 *   page fault on the stack: #PF(0x2)@0x40000000
 *   INT to ring 1, null stack: #TS(0x0)
 *   interrupt gate: ok flags_before=0x202 flags_in=0x2
 *   trap gate: ok flags_before=0x202 flags_in=0x202
 *   16-bit interrupt gate from ring 3: ok cs=0x1b flags=0x246 sp=0x0 ss=0x23
 *   gate of DPL 0, INT at CPL 3: #GP(0x202)
 *   gate not present: #NP(0x202)
 *   call gate in the IDT: #GP(0x202)
 *   gate to null: #GP(0x0)
 *   gate to data: #GP(0x10)
 *   gate to an outer level: #GP(0x18)
 *   gate to code that is not present: #NP(0x70)
 *   gate beyond the limit: #GP(0x0)
 *   INT 3 at CPL 3, gate of DPL 0: #GP(0x1a)
 *   INTO at CPL 3, gate of DPL 0: #GP(0x22)
 *   INT1 at CPL 3, gate of DPL 0: #DB(0x0)
 *   INT 3 returns behind itself: #BP+0x1
 *   vector beyond the IDT: #GP(0x202)
 *   #UD through a gate to null: #GP(0x1)
 *   #UD through a gate that is not present: #NP(0x33)
 *   #UD through a gate beyond the GDT: #GP(0xf9)
 */
#include "kit/kit.inc"

        .set    S0, SPARE /* a gate */
        .set    S1, SPARE + 8 /* code */
        .set    S2, SPARE + 16 /* a stack */
        .set    IMAGE, 0x100000
        .set    GATE, gdt + S0
        .set    CALL_GATE16, 0x8400
        .set    CALL_GATE32, 0x8c00
        .set    INTERRUPT_GATE16, 0x8600
        .set    TRAP_GATE16, 0x8700
        .set    INTERRUPT_GATE32, 0x8e00
        .set    TRAP_GATE32, 0x8f00
        .set    DPL3, 0x6000
        .set    VECTOR, 0x40

        .macro  vector_gate selector, offset, attributes
        set_gate idt32+8*VECTOR, \selector, \offset, \attributes
        .endm

        .macro  load_fs selector
        mov     $\selector, %eax
        mov     %eax, %fs
        .endm

        .macro  user_int text
        try     "\text"
        user
        int     $VECTOR
        caught
        .endm

main:
        enable_pae

        /* Call gates. */
        set_gate GATE, CODE32, gate_target, CALL_GATE32+DPL3+2
        try     "CALL through a gate to the same level"
        push    $0x22
        push    $0x11
        lcall   $S0, $0
        caught
        show    cs, %eax
        show    return_cs, %edx
        show    first, %esi
        show    second, %edi
        try     "CALL through a gate from ring 3, two parameters"
        user
        push    $0x22
        push    $0x11
        lcall   $S0 + 3, $0
        caught
        show    cs, %eax
        show    return_cs, %edx
        show    first, %esi
        show    second, %edi
        sub     $USER_BASE + user_stack_top, %ebp
        show    old_esp, %ebp
        show    old_ss, %ecx
        movb    $1, return
        try     "and back"
        load_fs DATA
        user
        push    $0x22
        push    $0x11
        lcall   $S0, $0
        mov     %esp, %ebx
        mov     %ds, %ecx
        mov     %fs, %edx
        leave_user
        caught
        sub     $USER_BASE + user_stack_top, %ebx
        show    esp, %ebx
        show    ds, %ecx
        show    fs, %edx
        movb    $0, return
        set_gate GATE, S1, gate16_target-IMAGE, CALL_GATE16+DPL3+1
        set_descriptor 1, IMAGE, 0xffff, 0x409b
        try     "CALL through a 16-bit gate from ring 3, one parameter"
        user
        pushw   $0x11
        lcall   $S0, $0
        caught
        show    cs, %edx
        show    parameter, %esi
        sub     $user_stack_top, %edi
        movzwl  %di, %edi
        show    sp, %edi
        show    ss, %ebp
        set_gate GATE, CODE32, gate_target, CALL_GATE32
        try     "gate of DPL 0 at CPL 3"
        user
        lcall   $S0, $0
        caught
        set_gate GATE, CODE32, gate_target, CALL_GATE32+0x2000
        try     "gate of DPL 1, RPL 2"
        lcall   $S0 + 2, $0
        caught
        set_gate GATE, CODE32, gate_target, CALL_GATE32+DPL3-0x8000
        try     "gate not present"
        lcall   $S0, $0
        caught
        set_gate GATE, 0, gate_target, CALL_GATE32+DPL3
        try     "gate to null"
        lcall   $S0, $0
        caught
        set_gate GATE, DATA, gate_target, CALL_GATE32+DPL3
        try     "gate to data"
        lcall   $S0, $0
        caught
        set_gate GATE, USER_CODE32, gate_target, CALL_GATE32+DPL3
        try     "gate to an outer level"
        lcall   $S0, $0
        caught
        set_gate GATE, S1, gate_target, CALL_GATE32+DPL3
        set_descriptor 1, 0, 0xfffff, 0xc01b
        try     "gate to code that is not present"
        lcall   $S0, $0
        caught
        set_descriptor 1, 0, 0xfff, 0x409b
        try     "gate beyond the limit"
        lcall   $S0, $0
        caught
        set_descriptor 1, 0, 0xfffff, 0xc09f
        set_gate GATE, S1, USER_BASE+conforming_target, CALL_GATE32+DPL3
        try     "gate to conforming code: stays at CPL 3"
        user
        lcall   $S0, $0
        caught
        show    cs, %eax
        set_gate GATE, CODE32, gate_target, CALL_GATE32+DPL3
        try     "JMP through a gate to an inner level"
        user
        ljmp    $S0, $0
        caught
        try     "JMP through a gate to the same level"
        ljmp    $S0, $0
        caught
        show    cs, %eax

        /* Stacks of ring 1, as the TSS gives them: the faults come to ring 0. */
        .macro  ring1 text, ss, esp=stack1_top
        movl    $\ss, tss32 + 16
        movl    $\esp, tss32 + 12
        try     "\text"
        user
        lcall   $S0, $0
        caught
        .endm

        set_gate GATE, S1, gate_target, CALL_GATE32+DPL3
        set_descriptor 1, 0, 0xfffff, 0xc0bb
        set_descriptor 2, 0, 0xfffff, 0xc0b3
        ring1   "ring 1", S2+1
        show    cs, %eax
        ring1   "null stack", 0
        ring1   "stack beyond the GDT", 0xf9
        ring1   "stack with RPL 0", S2
        ring1   "stack of DPL 0", DATA+1
        ring1   "code as stack", S1+1
        set_descriptor 2, 0, 0xfffff, 0xc0b1
        ring1   "read-only stack", S2+1
        set_descriptor 2, 0, 0xfffff, 0xc033
        ring1   "stack not present", S2+1
        set_descriptor 2, 0, 0xfff, 0x40b3
        ring1   "stack beyond its limit", S2+1
        set_descriptor 2, 0, 0xfffff, 0xc0b3
        ring1   "page fault on the stack", S2+1, WINDOW+4
        vector_gate S1, gate_target, INTERRUPT_GATE32+DPL3
        movl    $0, tss32 + 16
        user_int "INT to ring 1, null stack"

        /* Interrupt and trap gates. */
        vector_gate CODE32, vector_target, INTERRUPT_GATE32+DPL3
        try     "interrupt gate"
        pushl   $0x202
        popf
        int     $VECTOR
        caught
        call    show_flags
        vector_gate CODE32, vector_target, TRAP_GATE32+DPL3
        try     "trap gate"
        pushl   $0x202
        popf
        int     $VECTOR
        caught
        call    show_flags
        vector_gate S1, vector16_target-IMAGE, INTERRUPT_GATE16+DPL3
        set_descriptor 1, IMAGE, 0xffff, 0x409b
        try     "16-bit interrupt gate from ring 3"
        user    0x246
        int     $VECTOR
        caught
        show    cs, %edx
        show    flags, %esi
        sub     $user_stack_top, %edi
        movzwl  %di, %edi
        show    sp, %edi
        show    ss, %ebp
        vector_gate CODE32, vector_target, INTERRUPT_GATE32
        user_int "gate of DPL 0, INT at CPL 3"
        vector_gate CODE32, vector_target, INTERRUPT_GATE32+DPL3-0x8000
        user_int "gate not present"
        vector_gate CODE32, vector_target, CALL_GATE32+DPL3
        user_int "call gate in the IDT"
        vector_gate 0, vector_target, INTERRUPT_GATE32+DPL3
        user_int "gate to null"
        vector_gate DATA, vector_target, INTERRUPT_GATE32+DPL3
        user_int "gate to data"
        vector_gate USER_CODE32, vector_target, INTERRUPT_GATE32+DPL3
        try     "gate to an outer level"
        int     $VECTOR
        caught
        set_descriptor 1, 0, 0xfffff, 0xc01b
        vector_gate S1, vector_target, INTERRUPT_GATE32+DPL3
        user_int "gate to code that is not present"
        set_descriptor 1, 0, 0xfff, 0x409b
        user_int "gate beyond the limit"
        try     "INT 3 at CPL 3, gate of DPL 0"
        user
        int3
        caught
        try     "INTO at CPL 3, gate of DPL 0"
        user
        mov     $0x7f, %al
        inc     %al
        into
        caught
        try     "INT1 at CPL 3, gate of DPL 0"
        user
        .byte 0xf1 /* INT1, which clang 14 does not know */
        caught
        go_on   3
        try     "INT 3 returns behind itself"
        show_rip
        int3
        nop
        caught
        hide_rip
        stop_on 3
        movw    $8 * VECTOR - 1, idtr32
        lidt    idtr32
        user_int "vector beyond the IDT"

        /* A fault of delivery that the program did not ask for has EXT set. */
        set_gate idt32+8*6, 0, vector_target, INTERRUPT_GATE32
        try     "#UD through a gate to null"
        ud2
        caught
        set_gate idt32+8*6, CODE32, vector_target, INTERRUPT_GATE32-0x8000
        try     "#UD through a gate that is not present"
        ud2
        caught
        set_gate idt32+8*6, 0xf8, vector_target, INTERRUPT_GATE32
        try     "#UD through a gate beyond the GDT"
        ud2
        caught
        finish

show_flags:
        show    flags_before, %esi
        show    flags_in, %ebx
        ret

gate_target:
        mov     %cs, %eax
        cmpb    $0, %cs:return
        je      1f
        lret    $8
1:      mov     4(%esp), %edx
        mov     8(%esp), %esi
        mov     12(%esp), %edi
        mov     16(%esp), %ebp
        mov     20(%esp), %ecx
        int     $LEAVE_VECTOR

/* The frame in words: IP, CS, the parameter or FLAGS, SP, SS. */
gate16_target:
vector16_target:
        movzwl  2(%esp), %edx
        movzwl  4(%esp), %esi
        movzwl  6(%esp), %edi
        movzwl  8(%esp), %ebp
        int     $LEAVE_VECTOR

vector_target:
        mov     4(%esp), %edx
        mov     8(%esp), %esi
        pushf
        pop     %ebx
        int     $LEAVE_VECTOR

conforming_target:
        mov     %cs, %eax
        leave_user

        .data
return: .byte   0

        .bss
        .space  256
stack1_top:
        .space  16
