/* Inlets and outlets: bytes between a stream and the descriptors of what runs for it, never more than a window. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

#define FRAMES_PER_TURN 4

void inlet_open(struct inlet *in, int fd)
{
    in->watch = &in->own;
    watch_add(&in->own, fd);
    in->watch->out = true;
    in->open = true;
}

/* `half` closes one direction of a socket. */
void inlet_close(struct inlet *in, bool half)
{
    if (half && in->watch->fd >= 0)
        shutdown(in->watch->fd, SHUT_WR);
    watch_close(&in->own);
    in->watch = &in->own;
    free(in->ring);
    in->ring = NULL;
    in->owed += in->used;
    in->used = 0;
    in->open = false;
}

static ssize_t write_some(struct inlet *in, const uint8_t *data, size_t size)
{
    ssize_t n;

    do {
        n = write(in->watch->fd, data, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        in->watch->out = false;
        return 0;
    }
    in->taken += n > 0 ? (uint64_t)n : 0;
    return n;
}

/* Passes data on or keeps it; false when the host sent more than it had credit for, or when memory is short. */
bool inlet_put(struct inlet *in, const uint8_t *data, uint32_t size)
{
    uint32_t end, piece;

    if (!in->open) {
        in->owed += size;
        return true;
    }
    if (!in->used && in->watch->out && in->watch->fd >= 0) {
        ssize_t n = write_some(in, data, size);
        if (n < 0) {
            inlet_close(in, false);
            in->owed += size;
            return true;
        }
        in->owed += (uint32_t)n;
        data += n;
        size -= (uint32_t)n;
    }
    if (!size)
        return true;
    if (size > WINDOW - in->used)
        return false;
    if (!in->ring && !(in->ring = malloc(WINDOW)))
        return false;
    end = (in->start + in->used) % WINDOW;
    piece = size < WINDOW - end ? size : WINDOW - end;
    memcpy(in->ring + end, data, piece);
    memcpy(in->ring, data + piece, size - piece);
    in->used += size;
    return true;
}

static bool give_credit(struct stream *s)
{
    uint8_t *at;

    if (s->in.owed < GRANT || s->abandoned || !(at = port_begin()))
        return false;
    put32(at, s->in.owed);
    port_commit(CREDIT, 0, s->id, 4);
    s->in.owed = 0;
    return true;
}

bool inlet_pump(struct stream *s)
{
    struct inlet *in = &s->in;
    bool busy = false;

    while (in->open && in->used && in->watch->fd >= 0 && in->watch->out) {
        uint32_t piece = in->used < WINDOW - in->start ? in->used : WINDOW - in->start;
        ssize_t n = write_some(in, in->ring + in->start, piece);
        if (n < 0) {
            inlet_close(in, false);
            break;
        }
        busy |= n > 0;
        in->owed += (uint32_t)n;
        in->start = (in->start + (uint32_t)n) % WINDOW;
        in->used -= (uint32_t)n;
    }
    if (in->open && in->eof && !in->used && in->watch->fd >= 0 && !s->connecting && !s->session) {
        if (s->tty) {
            if (in->watch->out && write_some(in, (const uint8_t *)"\4", 1) == 1)
                in->eof = false;
        } else {
            inlet_close(in, s->operation == OP_DIAL);
            busy = true;
        }
    }
    return give_credit(s) || busy;
}

void outlet_open(struct outlet *out, int fd)
{
    watch_add(&out->watch, fd);
    out->watch.in = true;
    out->credit = WINDOW;
    out->open = true;
}

void outlet_close(struct outlet *out)
{
    if (!out->open)
        return;
    watch_close(&out->watch);
    out->open = false;
    out->eof_due = true;
}

/* A worker's words on its standard error become the text of its refusal. */
static bool collect_error(struct stream *s, struct outlet *out)
{
    char rest[64];
    bool full = s->error_size >= ERROR_SIZE - 1;
    ssize_t n = full ? read(out->watch.fd, rest, sizeof rest)
                     : read(out->watch.fd, s->error_text + s->error_size, ERROR_SIZE - 1 - s->error_size);

    if (n > 0) {
        s->error_size += full ? 0 : (uint32_t)n;
        return true;
    }
    if (n < 0 && errno == EAGAIN)
        out->watch.in = false;
    else if (!(n < 0 && errno == EINTR))
        outlet_close(out);
    return false;
}

/* What the command itself wrote is out, and its descendants had their chance: do not wait for them. */
static bool may_stop(const struct stream *s, const struct outlet *out, bool drained)
{
    return s->linger_until && now_ms() >= s->linger_until && (drained || !out->last_words);
}

static bool send_some(struct stream *s, struct outlet *out, int channel)
{
    uint8_t *at = port_begin();
    uint32_t limit = out->credit < MAX_PAYLOAD ? out->credit : MAX_PAYLOAD;
    ssize_t n;

    if (!at || !limit)
        return false;
    n = read(out->watch.fd, at, limit);
    if (n > 0) {
        port_commit(DATA, channel, s->id, (uint32_t)n);
        out->credit -= (uint32_t)n;
        out->last_words -= out->last_words < (uint32_t)n ? out->last_words : (uint32_t)n;
        if (may_stop(s, out, false))
            outlet_close(out);
        return true;
    }
    if (n < 0 && errno == EAGAIN) {
        out->watch.in = false;
        if (may_stop(s, out, true))
            outlet_close(out);
    } else if (n < 0 && errno != EINTR && s->operation == OP_DIAL) {
        stream_refuse(s, FAILED, "the connection broke: %s", strerror(errno));
        out->eof_due = false; /* it is not whole */
    } else if (!(n < 0 && errno == EINTR)) {
        outlet_close(out); /* the end, or EIO: a terminal whose last process is gone */
    }
    return false;
}

bool outlet_pump(struct stream *s, int channel)
{
    struct outlet *out = &s->out[channel - 1];
    bool busy = false;

    for (int turn = 0; turn < FRAMES_PER_TURN && out->open && out->watch.in; turn++) {
        bool more = s->worker && channel == 2 ? collect_error(s, out) : send_some(s, out, channel);
        if (!more)
            break;
        busy = true;
    }
    if (out->open && !out->watch.in && may_stop(s, out, true))
        outlet_close(out);
    if (out->eof_due && !s->abandoned && !(s->worker && channel == 2) && port_begin()) {
        port_commit(END_OF_DATA, channel, s->id, 0);
        out->eof_due = false;
        busy = true;
    }
    return busy;
}
