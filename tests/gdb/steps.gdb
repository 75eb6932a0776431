# expect: rip            0x20[0-9a-f]+
info registers rip
break again
continue
# expect: Breakpoint 1, again \(\)
# expect: rbx            0x1122334455667788
# expect: rcx            0x5
# expect: cr0            0x[0-9a-f]+ .* PG
# expect: efer           0x[0-9a-f]+ .* LMA
info registers rbx rcx cr0 efer
# expect: => .*<again>:\s+add
x/i $rip
stepi
# expect: rax            0x3
info registers rax
delete
# expect: Hardware watchpoint 2
watch *(int *)&counter
# expect: Old value = 0
# expect: New value = 3
continue
# expect: Old value = 3
# expect: New value = 6
continue
# expect: rcx            0x4
info registers rcx
delete
set $rcx = 1
hbreak summed
continue
# expect: Breakpoint 3, summed \(\)
# expect: rax            0x6
info registers rax
# expect: r8             0xc
nexti
info registers r8
set *(int *)&patched = 1234
# expect: 0x000004d2
x/xw &patched
awatch *(char[4] *)((char *)&table + 8)
continue
# expect: Hardware access \(read/write\) watchpoint 4
# expect: rcx            0x7
info registers rcx
# expect: v4_int32 = \{0x1, 0x2, 0x3, 0x4\}
print/x $xmm3
# expect: st0            3.14159265
info registers st0
delete
# expect: refused: Cannot access memory at address 0x8000000000000
# expect: refused: Cannot access memory at address 0xfee00020
python
for address in (1 << 51, 0xfee00020):
    try:
        gdb.execute("x/x %d" % address)
    except gdb.MemoryError as error:
        print("\nrefused:", error)
end
break finished
continue
# expect: Breakpoint 5, finished \(\)
# expect: 0x5a5a5a5a	0x5a5a5a5a
x/2xw &table
# expect: system_reset
monitor help
delete
continue
# expect: exited with code 041
