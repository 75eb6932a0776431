/* The registers that gdb sees: one x86-64 target description for all of the guest's modes, so that
 * a session goes on while the guest changes between 16, 32 and 64 bits.
 *
 * A register is little-endian bytes. All calls while the vCPU is held. */
#ifndef DOPPEL_MACHINE_GDB_TARGET_H
#define DOPPEL_MACHINE_GDB_TARGET_H

#include "cpu/state.h"

#define GDB_REGISTER_BYTES 16 /* the widest */

unsigned gdb_register_count(void);
/* n is less than the count. */
unsigned gdb_register_size(unsigned n);
void gdb_register_read(struct cpu *cpu, unsigned n, uint8_t bytes[GDB_REGISTER_BYTES]);
/* False, with nothing changed, where the CPU cannot have that value, or not just so: selectors in
 * protected mode, control registers against the rules of MOV. */
bool gdb_register_write(struct cpu *cpu, unsigned n, const uint8_t bytes[GDB_REGISTER_BYTES]);

/* Where the guest goes on. */
void gdb_target_set_rip(struct cpu *cpu, uint64_t rip);

/* The target description as XML, allocated; NULL where the host has no memory. */
char *gdb_target_describe(void);

#endif
