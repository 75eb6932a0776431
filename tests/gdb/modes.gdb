# One session over all modes: 32 bits, real mode, 32 bits, 64 bits.
hbreak in_32
continue
# expect: Breakpoint 1, in_32 \(\)
# expect: cr0            0x[0-9a-f]+ .* PE
info registers cr0
hbreak *(0x7000 + (long)&in_16 - (long)&real_code)
watch *(int *)&seen
continue
# expect: Hardware watchpoint 3
# expect: New value = 32
continue
# expect: Breakpoint 2
# expect: cr0            0x[0-9a-f]+ *\[ ET \]
# expect: cs             0x0
info registers cr0 cs
stepi 3
# expect: rbx .*1616
info registers rbx
hbreak back_in_32
continue
# expect: Breakpoint 4, back_in_32 \(\)
hbreak in_64
continue
# expect: Breakpoint 5, in_64 \(\)
# expect: efer           0x500 .* LME LMA
info registers efer
stepi
# expect: rbx            0x6464646464646464
info registers rbx
continue
# expect: Hardware watchpoint 3
# expect: Old value = 32
# expect: New value = 64
delete
continue
# expect: exited with code 041
