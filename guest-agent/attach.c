/* Reading and feeding sessions. Any number of streams read a session's log, each at its own pace; none holds up the
 * command. Its standard input takes from one stream at a time: an attachment has it for as long as it lasts, and what is
 * sent meanwhile is refused; of several that send, each waits until the one before is done. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "spawn.h"
#include "session.h"

static bool may_feed(struct stream *s, const struct session *e)
{
    if (e->exited)
        stream_refuse(s, SESSION_ENDED, "the session has ended");
    else if (e->input.fd < 0)
        stream_refuse(s, STDIN_CLOSED, "its standard input is closed");
    else if (e->feeder && (s->operation == OP_ATTACH || e->feeder->operation == OP_ATTACH))
        stream_refuse(s, STDIN_TAKEN, "another attachment has its standard input");
    return !s->error;
}

static void feed(struct stream *s, struct session *e)
{
    e->feeder = s;
    s->in.watch = &e->input;
}

static void resize(const struct session *e, uint16_t rows, uint16_t cols)
{
    struct winsize window = {.ws_row = rows, .ws_col = cols}, before = {0};

    if (e->terminal < 0)
        return;
    ioctl(e->terminal, TIOCGWINSZ, &before);
    ioctl(e->terminal, TIOCSWINSZ, &window);
    if (before.ws_row == rows && before.ws_col == cols)
        session_signal(e, SIGWINCH); /* whoever has come sees nothing yet: it is to be drawn again */
}

static void attach(struct stream *s, struct session *e, const struct command *c)
{
    if (c->stdin_wanted && !may_feed(s, e))
        return;
    s->session = e;
    s->follow = c->follow;
    s->certain = !c->follow;
    s->until = e->log.tail;
    s->reader.streams = c->streams;
    if (c->tail_wanted)
        log_tail(&e->log, &s->reader, c->tail);
    s->out[0].credit = s->out[1].credit = WINDOW;
    s->started_due = true;
    if (c->stdin_wanted) {
        s->in.open = true;
        feed(s, e);
    }
    if (c->stdin_wanted && c->tty)
        resize(e, c->rows, c->cols);
}

void session_attach(struct stream *s)
{
    struct command c;
    bool sound = command_parse(&c, s->request, s->request_size);
    struct session *e = sound ? session_find(s, c.session) : NULL;

    if (e)
        attach(s, e, &c);
    else if (!sound)
        stream_refuse(s, BAD_REQUEST, "a malformed request for a session");
    session_drop_request(s, &c);
}

void session_send(struct stream *s)
{
    struct command c;
    bool sound = command_parse(&c, s->request, s->request_size);
    struct session *e = sound ? session_find(s, c.session) : NULL;

    if (e && may_feed(s, e)) {
        s->session = e;
        s->closes = c.eof;
        s->in.open = s->started_due = true;
    } else if (!sound) {
        stream_refuse(s, BAD_REQUEST, "a malformed request for a session");
    }
    session_drop_request(s, &c);
}

void session_control(struct stream *s, uint8_t *payload, uint32_t size)
{
    struct fields f = {.at = payload, .end = payload + size};

    while (fields_next(&f))
        if (f.tag == F_TTY && f.size == 4 && s->session && s->session->feeder == s)
            resize(s->session, get16(f.value), get16(f.value + 2));
}

/* Whatever ends the stream: the next may feed. */
void session_leave(struct stream *s)
{
    if (s->session && s->session->feeder == s)
        s->session->feeder = NULL;
}

/* The result of a reader: how the session ended, if it has, and what he did not get. */
void session_result(struct stream *s, struct writer *w)
{
    if (!s->session)
        return;
    if (s->session->exited && s->follow) {
        session_write_end(s->session, w);
        s->session->told = true;
    }
    write_number(w, F_DROPPED, s->reader.missed);
}

/* -- the loop ----------------------------------------------------------------------------------------------------- */

static bool pump_log(struct stream *s)
{
    struct session *e = s->session;
    const uint8_t *piece;
    struct outlet *out;
    uint32_t size;
    uint8_t *at;
    int channel;

    if (!s->certain && e->settled) {
        s->certain = true;
        s->until = e->log.tail; /* what others who hold its pipes say from now on would have no end */
    }
    size = log_next(&e->log, &s->reader, &channel, &piece);
    if (s->certain && (!size || s->reader.at >= s->until)) {
        s->end_due = true;
        return true;
    }
    if (!size || s->started_due)
        return false;
    out = &s->out[channel - 1];
    size = size < MAX_PAYLOAD ? size : MAX_PAYLOAD;
    size = size < out->credit ? size : out->credit;
    if (!size || !(at = port_begin()))
        return false;
    memcpy(at, piece, size);
    port_commit(DATA, channel, s->id, size);
    out->credit -= size;
    log_pass(&s->reader, channel, size);
    return true;
}

/* The end of file of a terminal is a character. */
static bool close_input(struct session *e)
{
    if (!e->tty)
        watch_close(&e->input);
    else if (e->input.out && write(e->input.fd, "\4", 1) != 1)
        e->input.out = false;
    return !e->tty || e->input.out;
}

static bool pump_send(struct stream *s)
{
    struct session *e = s->session;
    bool gone = e->input.fd < 0;

    if (e->feeder && e->feeder != s)
        return false;
    if (!e->feeder && !gone)
        feed(s, e);
    if (!s->in.open || (gone && s->in.used)) {
        stream_refuse(s, e->exited ? SESSION_ENDED : STDIN_CLOSED, "it does not read any more");
        return true;
    }
    if (!s->in.eof || s->in.used || (s->closes && !gone && !close_input(e)))
        return false;
    session_leave(s);
    s->end_due = s->plain_end = true;
    return true;
}

bool session_pump(struct stream *s)
{
    if (s->operation == OP_DETACH)
        return session_answer(s);
    if (s->end_due)
        return false;
    if (s->operation == OP_SEND)
        return pump_send(s);
    if (s->in.open && s->session->input.fd < 0)
        inlet_close(&s->in, false);
    return pump_log(s);
}
