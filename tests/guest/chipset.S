/* Memory that the host bridge hides and shows: PAM and SMRAM, with data and code; and SMM by the
 * command port (Intel's data sheets 290549 and 290562).
 *
 * expect:
 *   RAM: value=0x11111111 ok
 *   read-only: value=0x11111111 ok
 *   hidden: value=0xffffffff ok
 *   write-only: value=0xffffffff ok
 *   what was written: value=0x22222222 ok
 *   code: value=0x33 ok
 *   code that is hidden: #UD
 *   and comes back: value=0x33 ok
 *   SMRAM is closed: value=0xffffffff ok
 *   SMRAM is open: value=0x44444444 ok
 *   SMI not enabled: status=0x55 ok
 *   SMBASE moves: status=0x0 ok
 *   the handler in SMRAM: status=0x66 count=0x1 ok
 *   again: status=0x66 count=0x2 ok
 *   its code seen from outside: #UD
 *   its data seen from outside: value=0xffffffff ok
 *   its data while SMRAM is open: value=0x44444446 ok
 *   D_LCK closes SMRAM: smram=0x1a value=0xffffffff ok
 *   it stays so: smram=0x1a value=0xffffffff ok
 *   the handler still runs: status=0x66 count=0x3 ok
 */
#include "kit/kit.inc"

        .set    SEGMENT, 0xd0000
        .set    PAM_D0000, 0x5c
        .set    SMRAM, 0x72
        .set    SMRAM_BASE, 0xa0000
        .set    SMRAM_DATA, SMRAM_BASE + 0x2000
        .set    PM_FUNCTION, 0xb00 /* 1.3 */
        .set    COUNT, 0x6000
        .set    APMC, 0xb2
        .set    APMS, 0xb3

        .macro  address function, register
        mov     $0x80000000 | (\function) | ((\register) & ~3), %eax
        mov     $0xcf8, %edx
        out     %eax, %dx
        mov     $0xcfc + ((\register) & 3), %edx
        .endm

        .macro  configure function, register, value
        address \function, \register
        mov     $\value, %eax
        .if     (\value) > 0xff
        out     %eax, %dx
        .else
        out     %al, %dx
        .endif
        .endm

/* How much of the RAM at SEGMENT is shown: 1 to reads, 2 to writes. */
        .macro  segment shown
        configure 0, PAM_D0000, \shown
        .endm

        .macro  read at
        mov     \at, %ebx
        show    value, %ebx
        .endm

        .macro  run at
        mov     $\at, %ebx
        call    *%ebx
        show    value, %eax
        .endm

        .macro  smi status, command
        mov     $\status, %al
        out     %al, $APMS
        mov     $\command, %al
        out     %al, $APMC
        xor     %ebx, %ebx
        in      $APMS, %al
        mov     %al, %bl
        show    status, %ebx
        .endm

        .macro  show_smram
        address 0, SMRAM
        xor     %eax, %eax
        in      %dx, %al
        show    smram, %eax
        .endm

        .macro  copy from, end, to
        mov     $\from, %esi
        mov     $\to, %edi
        mov     $\end - \from, %ecx
        rep movsb
        .endm

main:
        segment 3
        movl    $0x11111111, SEGMENT
        try     "RAM"
        read    SEGMENT
        caught
        segment 1
        movl    $0x22222222, SEGMENT
        try     "read-only"
        read    SEGMENT
        caught
        segment 0
        try     "hidden"
        read    SEGMENT
        caught
        segment 2
        movl    $0x22222222, SEGMENT
        try     "write-only"
        read    SEGMENT
        caught
        segment 1
        try     "what was written"
        read    SEGMENT
        caught

        segment 3
        copy    routine, routine_end, SEGMENT
        try     "code"
        run     SEGMENT
        caught
        segment 0
        try     "code that is hidden"
        run     SEGMENT
        caught
        segment 3
        try     "and comes back"
        run     SEGMENT
        caught

        movl    $0x44444444, SMRAM_DATA
        try     "SMRAM is closed"
        read    SMRAM_DATA
        caught
        configure 0, SMRAM, 0x4a
        movl    $0x44444444, SMRAM_DATA
        try     "SMRAM is open"
        read    SMRAM_DATA
        caught
        copy    handler, handler_end, SMRAM_BASE + 0x8000
        copy    mover, mover_end, 0x38000
        configure 0, SMRAM, 0x0a

        movl    $0, COUNT
        try     "SMI not enabled"
        smi     0x55, 0
        caught
        configure PM_FUNCTION, 0x58, 0x02000000 /* DEVACTB: APMC_EN */
        mov     $0x628, %edx /* global control: SMI_EN */
        mov     $1, %eax
        out     %eax, %dx
        try     "SMBASE moves"
        smi     0x55, 0
        caught
        try     "the handler in SMRAM"
        smi     0x55, 0
        show    count, COUNT
        caught
        try     "again"
        smi     0x55, 0
        show    count, COUNT
        caught
        try     "its code seen from outside"
        run     SMRAM_BASE + 0x8000
        caught
        try     "its data seen from outside"
        read    SMRAM_DATA
        caught
        configure 0, SMRAM, 0x4a
        try     "its data while SMRAM is open"
        read    SMRAM_DATA
        caught

        configure 0, SMRAM, 0x5a
        try     "D_LCK closes SMRAM"
        show_smram
        read    SMRAM_DATA
        caught
        configure 0, SMRAM, 0x4a
        try     "it stays so"
        show_smram
        read    SMRAM_DATA
        caught
        try     "the handler still runs"
        smi     0x55, 0
        show    count, COUNT
        caught
        finish

routine:
        mov     $0x33, %eax
        ret
routine_end:

/* At SMBASE + 8000H, with CS at SMBASE and the data segments flat. */
        .code16
mover:
        movl    $SMRAM_BASE, %cs:0xff00
        xor     %al, %al
        out     %al, $APMS
        rsm
mover_end:

handler:
        mov     $SMRAM_DATA, %ebx
        incl    (%ebx)
        mov     $COUNT, %ebx
        incl    (%ebx)
        mov     $0x66, %al
        out     %al, $APMS
        rsm
handler_end:
        .code32
