/* The real board, with everything that the command line can plug into it, without a CPU. */
#ifndef DOPPEL_TESTS_FUZZ_DEVICE_BOARD_H
#define DOPPEL_TESTS_FUZZ_DEVICE_BOARD_H

#include "backends/net/net.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "machine/board.h"
#include "machine/drives.h"
#include "machine/memory_map.h"
#include "machine/network.h"
#include "machine/uefi_vars.h"
#include "mmu/phys.h"

enum { DEVICE_RAM = 4 << 20, DEVICE_FUNCTIONS_MAX = 16, DEVICE_CARDS = 2 };

/* A network whose other end sends back what it gets. */
struct loopback {
    struct net net;
    bool kicked;
    uint8_t frame[NET_FRAME_MAX];
};

struct device_board {
    struct bus *bus;
    struct clock *clock; /* a manual one */
    struct phys_map *phys;
    struct memory_windows windows;
    struct display *display;
    struct drives drives;
    struct loopback loopback[DEVICE_CARDS];
    struct networks networks;
    struct uefi_vars uefi_vars;
    struct trace trace; /* of nothing */
    struct board *board;
    struct intc intc;
    bool intr, reset; /* INTR's level; the guest has asked for a reset */
    /* PCI functions that are there, and where their BARs were at first; 0: there is none. */
    struct device_function {
        uint8_t devfn;
        uint16_t vendor, class; /* and subclass */
        uint64_t bar[6];
    } functions[DEVICE_FUNCTIONS_MAX];
    unsigned function_count;
};

/* All BARs have places, and all functions answer and master. Aborts where the host refuses. */
struct device_board *device_board_create(void);
void device_board_destroy(struct device_board *board);

/* Frames and disk requests that wait are dealt with; time goes on. */
void device_board_step(struct device_board *board, uint64_t ns);
void device_board_reset(struct device_board *board);

uint32_t device_board_config_read(struct device_board *board, unsigned devfn, unsigned offset);
void device_board_config_write(struct device_board *board, unsigned devfn, unsigned offset,
                               uint32_t value, unsigned size);

#endif
