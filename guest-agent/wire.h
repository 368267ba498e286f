/* The words of the protocol. docs/reference/guest-agent-protocol.md is the contract; src/banger/guest/wire.py is the
 * other end. Both architectures that we build for are little-endian, as the wire is. */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>
#include <string.h>

#define PROTOCOL 1
#define MAX_FRAME 32768u
#define HEADER_SIZE 12u
#define TAG_SIZE 4u
#define MAX_PAYLOAD (MAX_FRAME - HEADER_SIZE - TAG_SIZE)
#define WINDOW (256u * 1024)
#define GRANT (WINDOW / 4)
#define MAX_REQUEST (256u * 1024)

#define MAGIC_SIZE 16u
#define SYNC_MAGIC "\xff\xfe\xfd\xfc" "BANGER-SYNC\n"
#define SYNC_SIZE 32u
#define ACK_MAGIC "\xff\xfe\xfd\xfc" "BANGER-HERE\n"
#define ACK_SIZE 64u

enum kind { OPEN = 1, DATA, END_OF_DATA, CREDIT, CONTROL, CLOSE, END, STARTED, PART };

enum operation {
    OP_EXEC = 1, OP_DETACH, OP_SESSIONS, OP_ATTACH, OP_KILL, OP_PUT, OP_GET, OP_DIAL, OP_HEALTH, OP_CLOCK, OP_FLUSH,
    OP_POWEROFF, OP_LISTENERS, OP_SEND, OP_STATES
};

enum field {
    F_ARG = 1, F_ENV, F_CWD, F_USER, F_TTY, F_TIMEOUT_MS, F_STDIN, F_PATH, F_SESSION, F_FOLLOW, F_SIGNAL, F_HOST,
    F_PORT, F_TIME_NS, F_STREAMS, F_TAIL, F_EOF,
    F_EXIT = 32, F_SIGNALLED, F_TIMED_OUT, F_ERROR, F_TEXT,
    F_VERSION = 40, F_PROTOCOL, F_UPTIME_MS, F_BOOT_ID, F_PID1, F_HOSTNAME, F_MEMORY_TOTAL, F_MEMORY_AVAILABLE, F_LOAD, F_CLOCK_NS,
    F_RECORD = 50, F_COMMAND, F_STARTED_NS, F_LOG_BYTES, F_TRANSPORT, F_ADDRESS, F_LOCAL_PORT, F_PID, F_NAME, F_MORE,
    F_ENDED_NS, F_ERROR_BYTES, F_DROPPED, F_TAKEN
};

enum refusal {
    NOT_FOUND = 1, NOT_EXECUTABLE, BAD_USER, BAD_CWD, FAILED, LIMIT, BAD_REQUEST, NO_ENTRY, BAD_ARCHIVE,
    NAME_TAKEN, SESSION_ENDED, STDIN_TAKEN, STDIN_CLOSED, NO_SPACE
};

static inline uint16_t get16(const uint8_t *at) { uint16_t v; memcpy(&v, at, 2); return v; }
static inline uint32_t get32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return v; }
static inline uint64_t get64(const uint8_t *at) { uint64_t v; memcpy(&v, at, 8); return v; }
static inline void put16(uint8_t *at, uint16_t v) { memcpy(at, &v, 2); }
static inline void put32(uint8_t *at, uint32_t v) { memcpy(at, &v, 4); }
static inline void put64(uint8_t *at, uint64_t v) { memcpy(at, &v, 8); }

/* A reader of fields. `next` is false at the end, and when the rest is malformed (then `bad` is true). */
struct fields {
    uint8_t *at, *end;
    int tag;
    uint8_t *value;
    uint32_t size;
    int bad;
};

static inline int fields_next(struct fields *f)
{
    if (f->at == f->end)
        return 0;
    if (f->end - f->at < 5 || get32(f->at + 1) > (size_t)(f->end - f->at - 5)) {
        f->bad = 1;
        return 0;
    }
    f->tag = f->at[0];
    f->size = get32(f->at + 1);
    f->value = f->at + 5;
    f->at = f->value + f->size;
    return 1;
}

static inline uint64_t fields_number(const struct fields *f) { return f->size == 8 ? get64(f->value) : 0; }

/* A writer of fields into a buffer that its caller made large enough; what does not fit is left out whole. */
struct writer {
    uint8_t *at, *end;
};

static inline void write_field(struct writer *w, int tag, const void *value, uint32_t size)
{
    if ((size_t)(w->end - w->at) < 5 + (size_t)size)
        return;
    w->at[0] = (uint8_t)tag;
    put32(w->at + 1, size);
    if (size)
        memcpy(w->at + 5, value, size);
    w->at += 5 + size;
}

static inline void write_text(struct writer *w, int tag, const char *text)
{
    write_field(w, tag, text, (uint32_t)strlen(text));
}

static inline void write_number(struct writer *w, int tag, uint64_t number)
{
    write_field(w, tag, &number, 8);
}

#endif
