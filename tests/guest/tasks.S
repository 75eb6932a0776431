/* Hardware task switches: JMP, CALL, INT, exceptions and IRET; busy bits, links, NT, TS and the
 * T bit (SDM vol. 3, chapter 7).
 *
 * expect:
 *   JMP to a TSS: ok tr=0x68 kit=0x89 other=0x8b link=0x0 ts=0x8 saved_nt=0x0 saved_ebx=0x1234
 *   CALL to a TSS: ok tr=0x68 kit=0x8b other=0x8b link=0x50 ts=0x8 saved_nt=0x0
 *   JMP through a task gate: ok tr=0x68 kit=0x89 other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   CALL through a task gate: ok tr=0x68 kit=0x8b other=0x8b link=0x50 ts=0x8 saved_nt=0x0
 *   INT through a task gate: ok tr=0x68 kit=0x8b other=0x8b link=0x50 ts=0x8 saved_nt=0x0
 *   CALL, and IRET: ok ebx=0x1234 tr=0x50 kit=0x8b other=0x89 link=0x50 ts=0x8 saved_nt=0x0
 *   CALL, IRET, and CALL goes on behind the IRET: ok count=0x2 tr=0x50 kit=0x8b other=0x89 link=0x50 ts=0x8 saved_nt=0x0
 *   JMP to a busy TSS: #GP(0x50) tr=0x50 kit=0x8b other=0x89 link=0x0 ts=0x0 saved_nt=0x0
 *   CALL to oneself: #GP(0x50) tr=0x50 kit=0x8b other=0x89 link=0x0 ts=0x0 saved_nt=0x0
 *   IRET with NT to a TSS that is not busy: #TS(0x68) tr=0x50 kit=0x8b other=0x89 link=0x0 ts=0x0 saved_nt=0x0
 *   IRET with NT to null: #TS(0x0) tr=0x50 kit=0x8b other=0x89 link=0x0 ts=0x0 saved_nt=0x0
 *   IRET with NT to data: #TS(0x10) tr=0x50 kit=0x8b other=0x89 link=0x0 ts=0x0 saved_nt=0x0
 *   TSS not present: #NP(0x68) tr=0x50 kit=0x8b other=0x9 link=0x0 ts=0x0 saved_nt=0x0
 *   TSS with a limit of 0x66: #TS(0x68) tr=0x50 kit=0x8b other=0x89 link=0x0 ts=0x0 saved_nt=0x0
 *   task gate not present: #NP(0x70)
 *   task gate to data: #GP(0x10)
 *   task gate to null: #GP(0x0)
 *   DS of the new task is a TSS: ok error=0x50 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   ES of the new task beyond the GDT: ok error=0xf8 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   SS of the new task with RPL 3: ok error=0x20 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   SS of the new task is null: ok error=0x0 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   CS of the new task is data: ok error=0x10 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   CS of the new task with RPL 3: ok error=0x38 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   LDT of the new task is data: ok error=0x10 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   FS of the new task not present: ok error=0x88 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   SS of the new task not present: ok error=0x88 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   CS of the new task not present: ok error=0x88 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   EIP of the new task beyond the limit: ok error=0x0 tr=0x50 kit=0x8b other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   T bit: #DB(0x8000) tr=0x68 kit=0x89 other=0x8b link=0x0 ts=0x8 saved_nt=0x0
 *   #GP through a task gate, and back: ok error=0xf8 saved_eip=0x0 saved_rf=0x10000 tr=0x68 kit=0x8b other=0x8b link=0x50 ts=0x8 saved_nt=0x0
 *   #DF through a task gate: ok error=0x0 tr=0x68 kit=0x8b other=0x8b link=0x50 ts=0x8 saved_nt=0x0
 *   CALL from ring 3 through a task gate: ok cs=0x1b tr=0x50 kit=0x8b other=0x89 link=0x50 ts=0x8 saved_nt=0x0
 *   CALL from ring 3 to a TSS of DPL 0: #GP(0x68)
 *   the local enables of DR7: ok dr7=0x602
 *   CALL to a 16-bit TSS, and IRET: ok cx=0x1111 tr=0x78 access=0x81 tr=0x50
 */
#include "kit/kit.inc"

        .set    TASK, SPARE /* the other task's TSS */
        .set    GATE, SPARE + 8
        .set    TASK16, SPARE + 16
        .set    VECTOR, 0x40
        .set    NT, 1 << 14
        .set    TS, 8

        .macro  tss_descriptor n, tss, limit, attributes
        set_descriptor \n, 0, \limit, \attributes
        movl    $\tss, %eax
        mov     %ax, gdt + SPARE + 8 * \n + 2
        shr     $16, %eax
        mov     %al, gdt + SPARE + 8 * \n + 4
        .endm

        .macro  show_access name, selector
        movzbl  gdt + \selector + 5, %eax
        show    \name, %eax
        .endm

/* What the other task runs, from its beginning at each case. */
        .macro  other_task label, flags=2
        call    fresh
        movl    $\label, task + 32
        movl    $\flags, task + 36
        .endm

main:
        clts
        set_gate gdt+GATE, TASK, 0, 0xe500
        set_gate idt32+8*VECTOR, TASK, 0, 0xe500

        other_task ends
        try     "JMP to a TSS"
        mov     $0x1234, %ebx
        ljmp    $TASK, $0
        caught
        call    show_state
        mov     tss32 + 52, %ecx
        show    saved_ebx, %ecx

        other_task ends
        try     "CALL to a TSS"
        lcall   $TASK, $0
        caught
        call    show_state

        other_task ends
        try     "JMP through a task gate"
        ljmp    $GATE, $0
        caught
        call    show_state

        other_task ends
        try     "CALL through a task gate"
        lcall   $GATE, $0
        caught
        call    show_state

        other_task ends
        try     "INT through a task gate"
        int     $VECTOR
        caught
        call    show_state

        other_task returns
        try     "CALL, and IRET"
        mov     $0x1234, %ebx
        lcall   $TASK, $0
        caught
        show    ebx, %ebx
        call    show_state

        other_task returns
        try     "CALL, IRET, and CALL goes on behind the IRET"
        lcall   $TASK, $0
        lcall   $TASK, $0
        caught
        show    count, count
        call    show_state

        other_task ends
        try     "JMP to a busy TSS"
        ljmp    $TSS32, $0
        caught
        call    show_state
        try     "CALL to oneself"
        lcall   $TSS32, $0
        caught
        call    show_state
        try     "IRET with NT to a TSS that is not busy"
        movw    $TASK, tss32
        pushl   $NT | 2
        popf
        iret
        caught
        call    show_state
        try     "IRET with NT to null"
        movw    $0, tss32
        pushl   $NT | 2
        popf
        iret
        caught
        call    show_state
        try     "IRET with NT to data"
        movw    $DATA, tss32
        pushl   $NT | 2
        popf
        iret
        caught
        call    show_state

        movb    $0x09, gdt + TASK + 5
        try     "TSS not present"
        ljmp    $TASK, $0
        caught
        call    show_state
        tss_descriptor 0, task, 0x66, 0x0089
        try     "TSS with a limit of 0x66"
        ljmp    $TASK, $0
        caught
        call    show_state
        call    fresh
        set_gate gdt+GATE, TASK, 0, 0x6500
        try     "task gate not present"
        ljmp    $GATE, $0
        caught
        set_gate gdt+GATE, DATA, 0, 0xe500
        try     "task gate to data"
        ljmp    $GATE, $0
        caught
        set_gate gdt+GATE, 0, 0, 0xe500
        try     "task gate to null"
        ljmp    $GATE, $0
        caught
        set_gate gdt+GATE, TASK, 0, 0xe500

        /* Faults in the new task, which a task gate sends back to the kit's: it goes on behind the
         * JMP, with the error code on its stack. */
        .macro  bad_task text, field, value
        other_task ends
        movl    $\value, task + \field
        try     "\text"
        ljmp    $TASK, $0
        pop     %ecx
        caught
        show    error, %ecx
        call    show_state
        .endm

        set_gate idt32+8*10, TSS32, 0, 0x8500
        set_gate idt32+8*11, TSS32, 0, 0x8500
        set_gate idt32+8*12, TSS32, 0, 0x8500
        set_gate idt32+8*13, TSS32, 0, 0x8500
        bad_task "DS of the new task is a TSS", 84, TSS32
        bad_task "ES of the new task beyond the GDT", 72, 0xf8
        bad_task "SS of the new task with RPL 3", 80, USER_DATA
        bad_task "SS of the new task is null", 80, 0
        bad_task "CS of the new task is data", 76, DATA
        bad_task "CS of the new task with RPL 3", 76, CODE32 + 3
        bad_task "LDT of the new task is data", 96, DATA
        set_descriptor 4, 0, 0xfffff, 0xc013
        bad_task "FS of the new task not present", 88, SPARE + 32
        bad_task "SS of the new task not present", 80, SPARE + 32
        set_descriptor 4, 0, 0xfffff, 0xc01b
        bad_task "CS of the new task not present", 76, SPARE + 32
        set_descriptor 4, 0, 0xff, 0x409b
        bad_task "EIP of the new task beyond the limit", 76, SPARE + 32
        .irp    vector, 10, 11, 12, 13
        set_gate idt32+8*\vector, CODE32, stubs_32+16*\vector, 0x8e00
        .endr

        other_task ends
        movl    $1, task + 100
        go_on   1
        try     "T bit"
        ljmp    $TASK, $0
        caught
        stop_on 1
        call    show_state

        /* An exception with an error code. */
        set_gate idt32+8*13, TASK, 0, 0x8500
        other_task pops_error
        try     "#GP through a task gate, and back"
        mov     $0xf8, %eax
        show_rip
        mov     %eax, %fs
        caught
        show    error, error
        mov     tss32 + 32, %eax
        sub     rip_base, %eax
        show    saved_eip, %eax
        mov     tss32 + 36, %eax
        and     $0x10000, %eax
        show    saved_rf, %eax
        hide_rip
        call    show_state
        set_gate idt32+8*13, CODE32, stubs_32+13*16, 0x8e00

        /* A double fault that has a task of its own. */
        set_gate idt32+8*8, TASK, 0, 0x8500
        movw    $0, idt32 + 8 * 13 + 2
        other_task pops_error
        try     "#DF through a task gate"
        mov     $0xf8, %eax
        mov     %eax, %fs
        caught
        show    error, error
        call    show_state
        movw    $CODE32, idt32 + 8 * 13 + 2

        /* Ring 3 calls a task of ring 0. */
        enable_pae
        movl    $pdpt_pae, task + 28
        movl    $pdpt_pae, tss32 + 28
        other_task returns
        try     "CALL from ring 3 through a task gate"
        user
        lcall   $GATE, $0
        mov     %cs, %ecx
        leave_user
        caught
        show    cs, %ecx
        call    show_state
        other_task ends
        try     "CALL from ring 3 to a TSS of DPL 0"
        user
        lcall   $TASK, $0
        caught

        /* Debug registers: the local enables are dropped. */
        other_task returns
        try     "the local enables of DR7"
        mov     $0x10000, %eax /* not accessed */
        mov     %eax, %dr0
        mov     %eax, %dr1
        mov     $0x607, %eax /* L0 G0 L1, GE: on execution */
        mov     %eax, %dr7
        lcall   $TASK, $0
        mov     %dr7, %ecx
        mov     $0x400, %eax
        mov     %eax, %dr7
        caught
        show    dr7, %ecx

        /* A 16-bit TSS: the new task has words, and the rest of its registers is all ones. */
        tss_descriptor 2, task16, 43, 0x0081
        clear_cr cr0, 0x80000000
        clts
        set_descriptor 3, IMAGE, 0xffff, 0x409b
        set_descriptor 4, IMAGE, 0xffff, 0x0093
        movw    $ends16 - IMAGE, task16 + 14
        movw    $stack16_top - IMAGE, task16 + 26
        try     "CALL to a 16-bit TSS, and IRET"
        lcall   $TASK16, $0
        caught
        show    cx, cx_seen
        show    tr, event_tr
        show_access access, TASK16
        str     %eax
        show    tr, %eax
        finish

        .set    IMAGE, 0x100000

/* Makes both TSSs as at the beginning; the kit's is the current one again. */
fresh:
        movl    $0, count
        movl    $0, task + 100
        tss_descriptor 0, task, 103, 0x0089
        mov     $task + 72, %edi
        mov     $DATA, %eax
        mov     $6, %ecx
        rep stosl
        movl    $CODE32, task + 72 + 4
        movl    $0, task + 96
        movl    $task_stack_top, task + 56
        movl    $0, task
        movl    $0x5555, task + 52 /* EBX */
        ret

/* TR, the TSS descriptors' busy bits, and so on; then everything back to a quiet state. */
show_state:
        str     %eax
        show    tr, %eax
        show_access kit, TSS32
        show_access other, TASK
        movzwl  task, %eax
        show    link, %eax
        mov     %cr0, %eax
        and     $TS, %eax
        show    ts, %eax
        mov     tss32 + 36, %eax
        and     $NT, %eax
        show    saved_nt, %eax
        /* Back to the kit's task. */
        clts
        pushl   $2
        popf
        movl    $0, tss32
        movl    $2, tss32 + 36
        movb    $0x89, gdt + TSS32 + 5
        mov     $TSS32, %eax
        ltr     %ax
        movb    $0x89, gdt + TASK + 5
        ret

ends:   str     event_tr
        pushf
        pop     %edx
        int     $LEAVE_VECTOR

ends16: str     event_tr
        movzwl  %cx, %ecx
        mov     %ecx, cx_seen
        iret

returns:
        incl    count
        iret
        jmp     returns

pops_error:
        pop     error
        int     $LEAVE_VECTOR

        .data
        .balign 4
task:   .fill   25, 4, 0
        .word   0, 104
task16: .fill   7, 2, 0
        .word   0, 2 /* IP, FLAGS */
        .word   0, 0x1111, 0, 0, 0, 0, 0, 0 /* AX to DI */
        .word   DATA, SPARE + 24, SPARE + 32, DATA, 0 /* ES, CS, SS, DS, LDT */
        .space  64
stack16_top:
        .balign 4
count:  .long   0
error:  .long   0
cx_seen:
        .long   0
event_tr:
        .long   0

        .bss
        .space  1024
task_stack_top:
        .space  16
