/* The DSDT as iasl compiled it from firmware/acpi/dsdt.asl. */
        .section .rodata
        .globl  dsdt_aml, dsdt_aml_end
        .balign 8
dsdt_aml:
        .incbin DSDT_AML
dsdt_aml_end:
        .section .note.GNU-stack,"",@progbits
