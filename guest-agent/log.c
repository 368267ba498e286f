/* The ring of a session's log. It holds records: a head of four bytes, with the size and the stream, and what one of the
 * streams said. The newest record grows until the other stream says something or it is full; the oldest is dropped. */
#define _GNU_SOURCE
#include "log.h"

#include <string.h>
#include <sys/mman.h>

#define HEAD 4u
#define MAX_RECORD 8192u

void log_open(struct log *l)
{
    void *memory = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(l, 0, sizeof *l);
    if (memory == MAP_FAILED)
        return;
    madvise(memory, LOG_SIZE, MADV_DONTFORK); /* a command's start costs the same however much sessions have said */
    l->ring = memory;
}

void log_close(struct log *l)
{
    if (l->ring)
        munmap(l->ring, LOG_SIZE);
    l->ring = NULL;
}

/* -- records ------------------------------------------------------------------------------------------------------ */

static void put(struct log *l, uint64_t at, const uint8_t *data, uint32_t size)
{
    uint32_t offset = at % LOG_SIZE, first = size < LOG_SIZE - offset ? size : LOG_SIZE - offset;

    memcpy(l->ring + offset, data, first);
    memcpy(l->ring, data + first, size - first);
}

static void put_head(struct log *l, uint64_t at, int channel, uint32_t size)
{
    uint32_t head = size << 1 | (channel == 2);
    uint8_t bytes[HEAD];

    memcpy(bytes, &head, HEAD);
    put(l, at, bytes, HEAD);
}

static uint32_t record_at(const struct log *l, uint64_t at, int *channel)
{
    uint8_t bytes[HEAD];
    uint32_t head;

    for (unsigned i = 0; i < HEAD; i++)
        bytes[i] = l->ring[(at + i) % LOG_SIZE];
    memcpy(&head, bytes, HEAD);
    *channel = head & 1 ? 2 : 1;
    return head >> 1;
}

static void make_room(struct log *l, uint32_t size)
{
    int channel;

    while (l->tail - l->head + HEAD + size > LOG_SIZE) {
        uint32_t oldest = record_at(l, l->head, &channel);
        l->dropped[channel - 1] += oldest;
        l->head += HEAD + oldest;
    }
}

void log_write(struct log *l, int channel, const uint8_t *data, uint32_t size)
{
    l->written[channel - 1] += size;
    if (!l->ring) {
        l->dropped[channel - 1] += size;
        return;
    }
    while (size) {
        int newest = 0;
        uint32_t grown = l->tail > l->head ? record_at(l, l->last, &newest) : MAX_RECORD;
        uint32_t room = newest == channel && grown < MAX_RECORD ? MAX_RECORD - grown : MAX_RECORD;
        uint32_t piece = size < room ? size : room;

        make_room(l, piece);
        if (room == MAX_RECORD) { /* another record begins */
            l->last = l->tail;
            l->tail += HEAD;
            grown = 0;
        }
        put(l, l->tail, data, piece);
        put_head(l, l->last, channel, grown + piece);
        l->tail += piece;
        data += piece;
        size -= piece;
    }
}

/* -- readers ------------------------------------------------------------------------------------------------------ */

/* What was dropped before it was read is counted, as far as it was wanted. */
static void catch_up(const struct log *l, struct log_reader *r)
{
    if (l->ring && r->at >= l->head)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (r->streams & 1u << i)
            r->missed += l->dropped[i] - r->passed[i];
        r->passed[i] = l->dropped[i];
    }
    r->at = l->head;
    r->done = 0;
}

uint32_t log_next(const struct log *l, struct log_reader *r, int *channel, const uint8_t **piece)
{
    catch_up(l, r);
    while (r->at < l->tail) {
        uint32_t size = record_at(l, r->at, channel), left = size - r->done;
        uint32_t offset = (r->at + HEAD + r->done) % LOG_SIZE;

        if (left && r->streams & (unsigned)*channel) {
            *piece = l->ring + offset;
            return left < LOG_SIZE - offset ? left : LOG_SIZE - offset;
        }
        log_pass(r, *channel, left);
        if (r->at == l->last)
            break;
        r->at += HEAD + size;
        r->done = 0;
    }
    return 0;
}

void log_pass(struct log_reader *r, int channel, uint32_t size)
{
    r->done += size;
    r->passed[channel - 1] += size;
}

static uint64_t count_lines(const struct log *l, struct log_reader ahead)
{
    const uint8_t *piece;
    uint8_t final = '\n';
    uint64_t lines = 0;
    uint32_t size;
    int channel;

    while ((size = log_next(l, &ahead, &channel, &piece))) {
        for (uint32_t i = 0; i < size; i++)
            lines += piece[i] == '\n';
        final = piece[size - 1];
        log_pass(&ahead, channel, size);
    }
    return lines + (final != '\n');
}

void log_tail(const struct log *l, struct log_reader *r, uint64_t lines)
{
    const uint8_t *piece, *end;
    uint64_t there;
    uint32_t size;
    int channel;

    catch_up(l, r);
    r->missed = 0;
    for (there = count_lines(l, *r); there > lines && (size = log_next(l, r, &channel, &piece)); there -= !!end) {
        end = memchr(piece, '\n', size);
        log_pass(r, channel, end ? (uint32_t)(end - piece) + 1 : size);
    }
}
