#include "machine/gdb_session.h"

#include "base/bits.h"
#include "cpu/cpu.h"
#include "machine/gdb_target.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

/* Errors that gdb shows by number; their meaning is ours. */
#define ERROR_FORMAT "E01" /* not as the protocol has it */
#define ERROR_MEMORY "E14" /* EFAULT: not mapped, or no memory */
#define ERROR_VALUE "E16"  /* EINVAL: the register cannot have that value */
#define ERROR_FULL "E1c"   /* ENOSPC: too many breakpoints or watchpoints */

enum breakpoint_kind { SOFTWARE = 1, HARDWARE = 2 };

static enum gdb_action answer(struct gdb_session *session, const char *text)
{
    session->reply.length = 0;
    gdb_reply_format(&session->reply, "%s", text);
    return GDB_ANSWER;
}

void gdb_session_begin(struct gdb_session *session, struct cpu *cpu, const char *description)
{
    *session = (struct gdb_session){
        .cpu = cpu,
        .description = description,
        .signal = GDB_SIGNAL_TRAP,
    };
    debug_attach(cpu, &session->debug);
}

void gdb_session_end(struct gdb_session *session)
{
    debug_detach(session->cpu);
}

static gva_t linear_rip(const struct cpu *cpu)
{
    if (mode_code(cpu->mode) == DEC_MODE_64)
        return cpu->rip;
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

void gdb_session_describe_stop(struct gdb_session *session)
{
    static const char *const watch_names[] = {
        [WATCH_READ] = "rwatch", [WATCH_WRITE] = "watch", [WATCH_ACCESS] = "awatch"};
    const struct debug *debug = &session->debug;
    struct gdb_reply *reply = &session->reply;
    reply->length = 0;
    gdb_reply_format(reply, "T%02xthread:1;",
                     debug->stop == DEBUG_STOP_NONE ? session->signal : GDB_SIGNAL_TRAP);
    if (debug->stop == DEBUG_STOP_WATCH)
        gdb_reply_format(reply, "%s:%llx;", watch_names[debug->watches.which.kind],
                         (unsigned long long)debug->watches.address);
    if (debug->stop == DEBUG_STOP_BREAK && session->tells_breaks) {
        unsigned kinds = debug_breakpoint_kinds(debug, linear_rip(session->cpu));
        gdb_reply_format(reply, "%s:;", kinds & SOFTWARE ? "swbreak" : "hwbreak");
    }
}

/* --- Registers. */

static enum gdb_action read_all_registers(struct gdb_session *session, struct gdb_cursor *cursor)
{
    (void)cursor;
    uint8_t bytes[GDB_REGISTER_BYTES];
    for (unsigned n = 0; n < gdb_register_count(); n++) {
        gdb_register_read(session->cpu, n, bytes);
        gdb_reply_hex(&session->reply, bytes, gdb_register_size(n));
    }
    return GDB_ANSWER;
}

/* Only values that differ are written: most could not be, as they are. */
static bool change_register(struct cpu *cpu, unsigned n, const uint8_t *bytes)
{
    uint8_t old[GDB_REGISTER_BYTES];
    gdb_register_read(cpu, n, old);
    return !memcmp(old, bytes, gdb_register_size(n)) || gdb_register_write(cpu, n, bytes);
}

static enum gdb_action write_all_registers(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint8_t bytes[GDB_REGISTER_BYTES];
    bool done = true;
    for (unsigned n = 0; n < gdb_register_count(); n++) {
        if (!gdb_take_hex(cursor, bytes, gdb_register_size(n)))
            return answer(session, ERROR_FORMAT);
        done &= change_register(session->cpu, n, bytes);
    }
    return answer(session, done ? "OK" : ERROR_VALUE);
}

static enum gdb_action read_register(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint64_t n;
    uint8_t bytes[GDB_REGISTER_BYTES];
    if (!gdb_take_number(cursor, &n) || n >= gdb_register_count())
        return answer(session, ERROR_FORMAT);
    gdb_register_read(session->cpu, (unsigned)n, bytes);
    gdb_reply_hex(&session->reply, bytes, gdb_register_size((unsigned)n));
    return GDB_ANSWER;
}

static enum gdb_action write_register(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint64_t n;
    uint8_t bytes[GDB_REGISTER_BYTES];
    if (!gdb_take_number(cursor, &n) || n >= gdb_register_count() || !gdb_take(cursor, "=") ||
        !gdb_take_hex(cursor, bytes, gdb_register_size((unsigned)n)))
        return answer(session, ERROR_FORMAT);
    bool done = change_register(session->cpu, (unsigned)n, bytes);
    return answer(session, done ? "OK" : ERROR_VALUE);
}

/* --- Memory, by linear address: the guest's translation of the moment, and never a device. */

static bool translate(struct cpu *cpu, gva_t va, gpa_t *gpa)
{
    if (!(cpu->msr.efer & EFER_LMA) && va > UINT32_MAX)
        return false;
    return mmu_debug_translate(cpu, va, gpa);
}

/* How much of [va, va + size) lies in va's page. */
static size_t part_in_page(gva_t va, size_t size)
{
    size_t room = PAGE_SIZE - (va & ~PAGE_MASK);
    return size < room ? size : room;
}

static size_t read_memory(struct cpu *cpu, gva_t va, uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        gpa_t gpa;
        size_t part = part_in_page(va + done, size - done);
        if (!translate(cpu, va + done, &gpa) || !phys_read(cpu->phys, gpa, bytes + done, part))
            break;
        done += part;
    }
    return done;
}

static bool write_memory(struct cpu *cpu, gva_t va, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        gpa_t gpa;
        size_t part = part_in_page(va + done, size - done);
        if (!translate(cpu, va + done, &gpa) || !phys_write(cpu->phys, gpa, bytes + done, part))
            return false;
        done += part;
    }
    return true;
}

static bool take_range(struct gdb_cursor *cursor, uint64_t *va, uint64_t *size)
{
    return gdb_take_number(cursor, va) && gdb_take(cursor, ",") && gdb_take_number(cursor, size);
}

static enum gdb_action read_range(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint8_t bytes[GDB_PACKET_MAX / 2];
    uint64_t va, size;
    if (!take_range(cursor, &va, &size))
        return answer(session, ERROR_FORMAT);
    if (size > sizeof(bytes)) /* gdb takes less than it asked for */
        size = sizeof(bytes);
    size_t done = read_memory(session->cpu, va, bytes, size);
    if (size && !done)
        return answer(session, ERROR_MEMORY);
    gdb_reply_hex(&session->reply, bytes, done);
    return GDB_ANSWER;
}

static enum gdb_action write_range(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint8_t bytes[GDB_PACKET_MAX / 2];
    uint64_t va, size;
    if (!take_range(cursor, &va, &size) || !gdb_take(cursor, ":") || size > sizeof(bytes) ||
        !gdb_take_hex(cursor, bytes, size))
        return answer(session, ERROR_FORMAT);
    bool done = write_memory(session->cpu, va, bytes, size);
    return answer(session, done ? "OK" : ERROR_MEMORY);
}

static enum gdb_action write_binary_range(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint64_t va, size;
    if (!take_range(cursor, &va, &size) || !gdb_take(cursor, ":") || size != gdb_left(cursor))
        return answer(session, ERROR_FORMAT);
    bool done = write_memory(session->cpu, va, (const uint8_t *)cursor->at, size);
    return answer(session, done ? "OK" : ERROR_MEMORY);
}

/* --- Breakpoints and watchpoints. */

static enum gdb_action change_breakpoint(struct gdb_session *session, struct gdb_cursor *cursor,
                                         bool add)
{
    struct debug *debug = &session->debug;
    struct watch_set *watches = &debug->watches;
    uint64_t type, va, size;
    if (!gdb_take_number(cursor, &type) || !gdb_take(cursor, ",") ||
        !take_range(cursor, &va, &size))
        return answer(session, ERROR_FORMAT);
    bool done = true;
    if (type <= 1) {
        unsigned kind = type ? HARDWARE : SOFTWARE;
        if (add)
            done = debug_add_breakpoint(debug, va, kind);
        else
            debug_remove_breakpoint(debug, va, kind);
    } else if (type <= 4) {
        static const enum watch_kind kinds[] = {WATCH_WRITE, WATCH_READ, WATCH_ACCESS};
        if (add)
            done = watch_add(watches, va, size, kinds[type - 2]);
        else
            watch_remove(watches, va, size, kinds[type - 2]);
        watch_install(session->cpu, watches);
    } else {
        return answer(session, "");
    }
    return answer(session, done ? "OK" : ERROR_FULL);
}

static enum gdb_action add_breakpoint(struct gdb_session *session, struct gdb_cursor *cursor)
{
    return change_breakpoint(session, cursor, true);
}

static enum gdb_action remove_breakpoint(struct gdb_session *session, struct gdb_cursor *cursor)
{
    return change_breakpoint(session, cursor, false);
}

/* --- Running. Signals have no meaning to a machine and are dropped. */

static enum gdb_action resume(struct gdb_session *session, struct gdb_cursor *cursor, bool step)
{
    uint64_t rip;
    if (gdb_take_number(cursor, &rip))
        gdb_target_set_rip(session->cpu, rip);
    return step ? GDB_STEP : GDB_CONTINUE;
}

static enum gdb_action resume_continue(struct gdb_session *session, struct gdb_cursor *cursor)
{
    return resume(session, cursor, false);
}

static enum gdb_action resume_step(struct gdb_session *session, struct gdb_cursor *cursor)
{
    return resume(session, cursor, true);
}

static bool take_signal(struct gdb_cursor *cursor)
{
    uint64_t signal;
    return gdb_take_number(cursor, &signal);
}

static enum gdb_action resume_continue_signal(struct gdb_session *session,
                                              struct gdb_cursor *cursor)
{
    if (!take_signal(cursor))
        return answer(session, ERROR_FORMAT);
    gdb_take(cursor, ";");
    return resume(session, cursor, false);
}

static enum gdb_action resume_step_signal(struct gdb_session *session, struct gdb_cursor *cursor)
{
    if (!take_signal(cursor))
        return answer(session, ERROR_FORMAT);
    gdb_take(cursor, ";");
    return resume(session, cursor, true);
}

/* Whether the thread id that may follow an action of vCont is ours: 1, 0 (any), -1 (all). */
static bool take_our_thread(struct gdb_cursor *cursor)
{
    uint64_t thread;
    if (!gdb_take(cursor, ":") || gdb_take(cursor, "-1"))
        return true;
    return gdb_take_number(cursor, &thread) && thread <= 1;
}

/* "vCont;action:thread;...": the first action for a thread is the one that counts. */
static enum gdb_action resume_by_thread(struct gdb_session *session, struct gdb_cursor *cursor)
{
    while (gdb_take(cursor, ";")) {
        bool with_signal = false;
        bool step = gdb_take(cursor, "s") || (with_signal = gdb_take(cursor, "S"));
        if (!step && !gdb_take(cursor, "c") && !(with_signal = gdb_take(cursor, "C")))
            break;
        if (with_signal && !take_signal(cursor))
            break;
        if (take_our_thread(cursor))
            return step ? GDB_STEP : GDB_CONTINUE;
    }
    return answer(session, ERROR_FORMAT);
}

/* --- Queries and the rest. */

static enum gdb_action negotiate(struct gdb_session *session, struct gdb_cursor *cursor)
{
    session->tells_breaks = strstr(cursor->at, "swbreak+") && strstr(cursor->at, "hwbreak+");
    gdb_reply_format(&session->reply,
                     "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;swbreak+;hwbreak+;"
                     "vContSupported+",
                     GDB_PACKET_MAX);
    return GDB_ANSWER;
}

static enum gdb_action read_description(struct gdb_session *session, struct gdb_cursor *cursor)
{
    uint64_t offset, size;
    if (!take_range(cursor, &offset, &size))
        return answer(session, ERROR_FORMAT);
    size_t total = strlen(session->description);
    if (offset >= total)
        return answer(session, "l");
    struct gdb_reply *reply = &session->reply;
    gdb_reply_format(reply, "m");
    uint64_t left = total - offset;
    uint64_t done =
        gdb_reply_binary(reply, session->description + offset, size < left ? size : left);
    if (done == left)
        reply->text[0] = 'l';
    return GDB_ANSWER;
}

static enum gdb_action run_monitor(struct gdb_session *session, struct gdb_cursor *cursor)
{
    static const char help[] = "help          this list\n"
                               "quit          ends the guest\n"
                               "system_reset  restarts the guest\n";
    char command[32] = "";
    size_t length = gdb_left(cursor) / 2;
    if (length >= sizeof(command) || !gdb_take_hex(cursor, command, length))
        length = 0;
    command[length] = '\0';
    if (!strcmp(command, "quit"))
        return GDB_KILL;
    if (!strcmp(command, "system_reset")) {
        answer(session, "OK");
        return GDB_RESET;
    }
    if (strcmp(command, "help") != 0) {
        static const char unknown[] = "unknown; the commands are:\n";
        gdb_reply_hex(&session->reply, unknown, sizeof(unknown) - 1);
    }
    gdb_reply_hex(&session->reply, help, sizeof(help) - 1);
    return GDB_ANSWER;
}

static enum gdb_action start_no_ack(struct gdb_session *session, struct gdb_cursor *cursor)
{
    (void)cursor;
    session->no_ack = true;
    return answer(session, "OK");
}

static enum gdb_action tell_stop(struct gdb_session *session, struct gdb_cursor *cursor)
{
    (void)cursor;
    gdb_session_describe_stop(session);
    return GDB_ANSWER;
}

static enum gdb_action detach(struct gdb_session *session, struct gdb_cursor *cursor)
{
    (void)cursor;
    answer(session, "OK");
    return GDB_DETACH;
}

static enum gdb_action end_guest(struct gdb_session *session, struct gdb_cursor *cursor)
{
    (void)session, (void)cursor;
    return GDB_KILL;
}

/* What a packet begins with and, if it needs no more than that, the answer. The first that matches
 * counts. */
static const struct command {
    const char *name;
    enum gdb_action (*execute)(struct gdb_session *session, struct gdb_cursor *cursor);
    const char *answer;
} commands[] = {
    {"vCont?", NULL, "vCont;c;C;s;S"},
    {"vCont", resume_by_thread, NULL},
    {"qSupported", negotiate, NULL},
    {"qXfer:features:read:target.xml:", read_description, NULL},
    {"qRcmd,", run_monitor, NULL},
    {"qAttached", NULL, "1"},
    {"qfThreadInfo", NULL, "m1"},
    {"qsThreadInfo", NULL, "l"},
    {"QStartNoAckMode", start_no_ack, NULL},
    {"?", tell_stop, NULL},
    {"g", read_all_registers, NULL},
    {"G", write_all_registers, NULL},
    {"p", read_register, NULL},
    {"P", write_register, NULL},
    {"m", read_range, NULL},
    {"M", write_range, NULL},
    {"X", write_binary_range, NULL},
    {"Z", add_breakpoint, NULL},
    {"z", remove_breakpoint, NULL},
    {"c", resume_continue, NULL},
    {"C", resume_continue_signal, NULL},
    {"s", resume_step, NULL},
    {"S", resume_step_signal, NULL},
    {"H", NULL, "OK"},
    {"T", NULL, "OK"},
    {"D", detach, NULL},
    {"k", end_guest, NULL},
};

enum gdb_action gdb_session_execute(struct gdb_session *session, const char *packet, size_t length)
{
    struct gdb_cursor cursor = {packet, packet + length};
    session->reply.length = 0;
    session->reply.full = false;
    if (!strcmp(packet, "qC"))
        return answer(session, "QC1");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!gdb_take(&cursor, commands[i].name))
            continue;
        if (!commands[i].execute)
            return answer(session, commands[i].answer);
        return commands[i].execute(session, &cursor);
    }
    return answer(session, ""); /* not supported */
}
