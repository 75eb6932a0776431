#include "device_board.h"

#include "backends/block/block.h"
#include "backends/display/display.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, DISK_SIZE = 1 << 20, FLASH_SIZE = 1 << 16 };
enum { FRAMES_AT_ONCE = 64 };

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "the host refuses: %s\n", what);
    abort();
}

/* --- Networks */

static void kick(struct net *net)
{
    ((struct loopback *)net)->kicked = true;
}

static void destroy(struct net *net)
{
    (void)net;
}

static const struct net_ops loopback_ops = {kick, destroy};

static void exchange_frames(struct loopback *loopback)
{
    struct net *net = &loopback->net;
    uint32_t size;
    if (!loopback->kicked || !net->card)
        return;
    loopback->kicked = false;
    for (unsigned i = 0; i < FRAMES_AT_ONCE; i++) {
        size = net->card_ops->take(net->card, loopback->frame);
        if (!size || !net->card_ops->give(net->card, loopback->frame, size))
            break;
    }
    net->card_ops->settle(net->card);
}

static void create_networks(struct device_board *board)
{
    static const enum net_model models[DEVICE_CARDS] = {NET_VIRTIO, NET_E1000};
    for (unsigned i = 0; i < DEVICE_CARDS; i++) {
        board->loopback[i].net.ops = &loopback_ops;
        board->networks.network[i] = (struct network){
            &board->loopback[i].net, models[i], {0x52, 0x54, 0, 0x12, 0x34, (uint8_t)i}, 1500};
    }
    board->networks.count = DEVICE_CARDS;
}

/* --- Drives */

static void create_drives(struct device_board *board)
{
    static const enum drive_kind kinds[] = {DRIVE_VIRTIO, DRIVE_IDE, DRIVE_IDE, DRIVE_CD};
    const struct block_config config = {.bus = board->bus};
    char path[] = "/tmp/doppel-fuzz-XXXXXX";
    struct error error;
    int fd = mkstemp(path);
    check(fd >= 0 && !ftruncate(fd, DISK_SIZE), "a temporary file");
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct drive_options options = {
            .kind = kinds[i],
            .unit = DRIVE_ANY_UNIT,
            .disk = {.file = path, .format = DISK_RAW, .readonly = kinds[i] == DRIVE_CD},
        };
        options.disk.snapshot = !options.disk.readonly;
        check(drives_open(&board->drives, &options, 1, &config, &error), error.text);
    }
    unlink(path);
    close(fd);
}

/* --- The board */

static void set_intr(void *opaque, unsigned input, bool level)
{
    (void)input;
    ((struct device_board *)opaque)->intr = level;
}

static void ignore_line(void *opaque, unsigned input, bool level)
{
    (void)opaque;
    (void)input;
    (void)level;
}

static void ignore(void *opaque)
{
    (void)opaque;
}

static void ignore_status(void *opaque, unsigned status)
{
    (void)opaque;
    (void)status;
}

static void ask_for_reset(void *opaque)
{
    ((struct device_board *)opaque)->reset = true;
}

static uint64_t read_tsc(void *opaque)
{
    return clock_now(((struct device_board *)opaque)->clock);
}

static void create_memory(struct device_board *board)
{
    struct error error;
    check(memory_map_add_ram(board->phys, DEVICE_RAM, &error) &&
              memory_map_add_windows(board->phys, NULL, &board->windows, &error),
          error.text);
    board->uefi_vars.base = HIGH_RAM_BASE - FLASH_SIZE;
    board->uefi_vars.contents = (struct file_data){calloc(1, FLASH_SIZE), FLASH_SIZE};
    check(board->uefi_vars.contents.bytes, "memory");
}

static void create_board(struct device_board *board)
{
    const struct irq_line nowhere = {ignore_line, board, 0};
    struct error error;
    board->board = board_create(
        &(struct board_config){
            .pci_testdev = true,
            .bus = board->bus,
            .clock = board->clock,
            .phys = board->phys,
            .direct = phys_direct(board->phys),
            .windows = &board->windows,
            .memory = DEVICE_RAM,
            .physical_bits = 40,
            .display = board->display,
            .drives = &board->drives,
            .uefi_vars = &board->uefi_vars,
            .networks = &board->networks,
            .rng = true,
            .intr = {set_intr, board, 0},
            .nmi = nowhere,
            .smi = nowhere,
            .init = nowhere,
            .ignne = nowhere,
            .a20 = nowhere,
            .events = {ignore, ask_for_reset, ignore_status, read_tsc, board},
            .trace = &board->trace,
        },
        &error);
    check(board->board, error.text);
    board->intc = board_intc(board->board);
}

/* --- What firmware does */

static void address(struct device_board *board, unsigned devfn, unsigned offset)
{
    bus_write(board->bus, BUS_PORT, CONFIG_ADDRESS, 1u << 31 | devfn << 8 | (offset & 0xfc), 4);
}

uint32_t device_board_config_read(struct device_board *board, unsigned devfn, unsigned offset)
{
    address(board, devfn, offset);
    return (uint32_t)bus_read(board->bus, BUS_PORT, CONFIG_DATA, 4);
}

void device_board_config_write(struct device_board *board, unsigned devfn, unsigned offset,
                               uint32_t value, unsigned size)
{
    address(board, devfn, offset);
    bus_write(board->bus, BUS_PORT, CONFIG_DATA + (offset & 3), value, size);
}

/* Puts the BARs to the next places that are free. */
static void place_bars(struct device_board *board, struct device_function *function)
{
    enum { BAR = 0x10, IO = 1, MEMORY_64 = 4, COMMAND = 4 };
    uint64_t next[] = {0xe0000000 + ((uint64_t)function->devfn << 20),
                       0xc000 + 0x40u * function->devfn};
    for (unsigned i = 0; i < ARRAY_SIZE(function->bar); i++) {
        device_board_config_write(board, function->devfn, BAR + 4 * i, UINT32_MAX, 4);
        uint32_t bits = device_board_config_read(board, function->devfn, BAR + 4 * i);
        uint32_t mask = bits & (bits & IO ? ~3u : ~15u);
        uint64_t *at = &next[bits & IO], size = (uint32_t)-mask;
        if (!mask)
            continue;
        function->bar[i] = *at = (*at + size - 1) & ~(size - 1);
        device_board_config_write(board, function->devfn, BAR + 4 * i, (uint32_t)*at, 4);
        *at += size;
        if (!(bits & IO) && bits & MEMORY_64)
            device_board_config_write(board, function->devfn, BAR + 4 * ++i, 0, 4);
    }
    device_board_config_write(board, function->devfn, COMMAND, 7, 2);
}

static void find_functions(struct device_board *board)
{
    board->function_count = 0;
    for (unsigned devfn = 0; devfn < 256 && board->function_count < DEVICE_FUNCTIONS_MAX; devfn++) {
        uint32_t id = device_board_config_read(board, devfn, 0);
        if (id == UINT32_MAX)
            continue;
        struct device_function *function = &board->functions[board->function_count++];
        *function = (struct device_function){
            .devfn = (uint8_t)devfn,
            .vendor = (uint16_t)id,
            .class = (uint16_t)(device_board_config_read(board, devfn, 8) >> 16),
        };
        place_bars(board, function);
    }
}

struct device_board *device_board_create(void)
{
    struct device_board *board = calloc(1, sizeof(*board));
    check(board, "memory");
    board->bus = bus_create();
    board->clock = clock_create_manual();
    board->phys = phys_create(board->bus);
    board->display = display_create(board->bus);
    check(board->bus && board->clock && board->phys && board->display, "memory");
    create_memory(board);
    create_networks(board);
    create_drives(board);
    create_board(board);
    device_board_reset(board);
    return board;
}

void device_board_destroy(struct device_board *board)
{
    drives_close(&board->drives);
    board_destroy(board->board);
    display_destroy(board->display);
    phys_destroy(board->phys);
    clock_destroy(board->clock);
    bus_destroy(board->bus);
    free(board->uefi_vars.contents.bytes);
    free(board);
}

void device_board_step(struct device_board *board, uint64_t ns)
{
    bus_lock(board->bus);
    for (unsigned i = 0; i < board->drives.count; i++)
        block_drain(board->drives.drive[i].image);
    for (unsigned i = 0; i < DEVICE_CARDS; i++)
        exchange_frames(&board->loopback[i]);
    clock_step(board->clock, ns);
    bus_unlock(board->bus);
}

void device_board_reset(struct device_board *board)
{
    bus_lock(board->bus);
    board_reset(board->board);
    board_enter_after_firmware(board->board);
    bus_unlock(board->bus);
    board->reset = false;
    find_functions(board);
}
