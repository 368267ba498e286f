/* The table of streams: requests in, results out, and the life of what runs for them in between. */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stream streams[MAX_STREAMS];
static struct stream *end = streams; /* behind the last that is used */
static struct stream overflow; /* answers the request for which there was no room */

static struct stream *by_id(uint32_t id)
{
    for (struct stream *s = streams; s < end; s++)
        if (s->used && !s->silent && s->id == id)
            return s;
    return NULL;
}

struct stream *stream_by_pid(pid_t pid)
{
    for (struct stream *s = streams; s < end; s++)
        if (s->used && s->pid == pid)
            return s;
    return NULL;
}

bool session_is_read(const struct session *session)
{
    for (struct stream *s = streams; s < end; s++)
        if (s->used && s->session == session)
            return true;
    return false;
}

static void reset(struct stream *s, uint32_t id)
{
    memset(s, 0, sizeof *s);
    s->used = true;
    s->id = id;
    s->in.watch = &s->in.own;
    s->in.own.fd = s->out[0].watch.fd = s->out[1].watch.fd = s->report.fd = s->terminal = -1;
}

static struct stream *take(uint32_t id, bool connection)
{
    struct stream *s = NULL;
    int alike = 0;

    for (struct stream *each = streams; each < streams + MAX_STREAMS; each++)
        if (each->used)
            alike += (each->operation == OP_DIAL) == connection;
        else if (!s)
            s = each;
    if (!s || alike >= (connection ? MAX_CONNECTIONS : MAX_REQUESTS))
        return NULL;
    reset(s, id);
    if (s >= end)
        end = s + 1;
    return s;
}

static void drop_descriptors(struct stream *s)
{
    session_leave(s);
    inlet_close(&s->in, false);
    outlet_close(&s->out[0]);
    outlet_close(&s->out[1]);
    watch_close(&s->report);
    if (s->terminal >= 0)
        close(s->terminal);
    s->terminal = -1;
}

static void release(struct stream *s)
{
    drop_descriptors(s);
    free(s->request);
    memset(s, 0, sizeof *s);
    while (end > streams && !end[-1].used)
        end--;
}

/* -- ends --------------------------------------------------------------------------------------------------------- */

void stream_refuse(struct stream *s, enum refusal kind, const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(s->error_text, ERROR_SIZE, format, arguments);
    va_end(arguments);
    s->error_size = (uint32_t)(size < ERROR_SIZE ? size : ERROR_SIZE - 1);
    s->error = kind;
    s->end_due = true;
    drop_descriptors(s);
}

/* The whole answer of a short request. It waits in the request's memory until the port has room. */
void stream_answer(struct stream *s, const struct writer *w, const uint8_t *start)
{
    size_t size = w ? (size_t)(w->at - start) : 0;

    free(s->request);
    s->request = NULL;
    s->request_size = 0;
    if (size && !(s->request = malloc(size))) {
        stream_refuse(s, FAILED, "out of memory");
        return;
    }
    if (size)
        memcpy(s->request, start, size);
    s->request_size = (uint32_t)size;
    s->plain_end = true;
    s->end_due = true;
}

static uint32_t describe_end(struct stream *s, uint8_t *at)
{
    struct writer w = {at, at + MAX_PAYLOAD};

    if (s->worker && !s->error && !(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0)) {
        s->error = WIFEXITED(s->status) ? (uint32_t)WEXITSTATUS(s->status) : FAILED;
        if (!s->error_size)
            s->error_size = (uint32_t)snprintf(s->error_text, ERROR_SIZE, "the work was cut off");
    }
    if (s->operation == OP_SEND)
        write_number(&w, F_TAKEN, s->in.taken);
    if (s->error) {
        write_number(&w, F_ERROR, s->error);
        write_field(&w, F_TEXT, s->error_text, s->error_size);
    } else if (s->operation == OP_ATTACH) {
        session_result(s, &w);
    } else if (s->plain_end || s->worker) {
        if (s->request_size)
            memcpy(w.at, s->request, s->request_size);
        w.at += s->request_size;
    } else if (s->timed_out) {
        write_field(&w, F_TIMED_OUT, NULL, 0);
    } else if (WIFSIGNALED(s->status)) {
        write_number(&w, F_SIGNALLED, (uint64_t)WTERMSIG(s->status));
    } else {
        write_number(&w, F_EXIT, (uint64_t)WEXITSTATUS(s->status));
    }
    return (uint32_t)(w.at - at);
}

static bool send_end(struct stream *s)
{
    uint8_t *at;

    if (s->silent || !port_attached()) {
        release(s);
        return true;
    }
    if (!(at = port_begin()))
        return false;
    port_commit(END, 0, s->id, describe_end(s, at));
    release(s);
    return true;
}

/* -- processes ---------------------------------------------------------------------------------------------------- */

/* To the command's process group; with a terminal, to the group in its foreground too. */
void stream_signal(struct stream *s, int number)
{
    pid_t front = -1;

    if (s->terminal >= 0 && ioctl(s->terminal, TIOCGPGRP, &front) == 0 && front > 1 && front != s->group)
        kill(-front, number);
    else if (s->group > 1)
        kill(-s->group, number);
}

void stream_exited(struct stream *s, int status)
{
    s->pid = 0;
    s->exited = true;
    s->status = status;
    s->linger_until = now_ms() + LINGER_MS;
    for (int i = 0; i < 2; i++) {
        int waiting = 0;
        if (s->out[i].open && ioctl(s->out[i].watch.fd, FIONREAD, &waiting) == 0)
            s->out[i].last_words = (uint32_t)waiting;
    }
}

/* Nobody waits for this stream: what runs is asked to end, then made to. */
static void abandon(struct stream *s)
{
    if (s->abandoned)
        return;
    s->abandoned = true;
    if (s->pid) {
        stream_signal(s, SIGHUP);
        if (s->group > 1) {
            kill(-s->group, SIGHUP);
            kill(-s->group, SIGTERM);
            kill(-s->group, SIGCONT);
        }
        s->kill_at = now_ms() + GRACE_MS;
    }
    if (s->operation == OP_DIAL && !s->in.eof)
        dial_reset(s);
    drop_descriptors(s);
    if (!s->pid && !s->end_due) {
        s->request_size = 0;
        s->end_due = s->plain_end = true;
    }
}

void streams_abandon(void)
{
    for (struct stream *s = streams; s < end; s++)
        if (s->used) {
            abandon(s);
            s->silent = true;
        }
}

static void kill_late(struct stream *s)
{
    stream_signal(s, SIGKILL);
    if (s->group > 1)
        kill(-s->group, SIGKILL);
    s->kill_at = 0;
}

/* Only where the agent itself ends: on a test's host. */
void streams_kill(void)
{
    for (struct stream *s = streams; s < end; s++)
        if (s->used && s->pid)
            kill_late(s);
}

/* Acts on what is due; the time of the next that will be, or 0. */
int64_t streams_timers(int64_t now)
{
    int64_t next = 0;

    for (struct stream *s = streams; s < end; s++) {
        if (!s->used)
            continue;
        if (s->timeout_at && now >= s->timeout_at) {
            s->timeout_at = 0;
            if (s->pid) {
                s->timed_out = true;
                stream_signal(s, SIGTERM);
                kill(-s->group, SIGTERM);
                s->kill_at = now + GRACE_MS;
            }
        }
        if (s->kill_at && now >= s->kill_at)
            kill_late(s);
        int64_t due[] = {s->pid ? s->timeout_at : 0, s->kill_at, s->linger_until > now ? s->linger_until : 0};
        for (unsigned i = 0; i < 3; i++)
            if (due[i] && (!next || due[i] < next))
                next = due[i];
    }
    return next;
}

/* -- frames ------------------------------------------------------------------------------------------------------- */

static bool gather(struct stream *s, const uint8_t *payload, uint32_t size)
{
    uint8_t *grown;

    if (size > MAX_REQUEST - s->request_size)
        return false;
    grown = realloc(s->request, s->request_size + size + 1);
    if (!grown)
        return false;
    memcpy(grown + s->request_size, payload, size);
    s->request = grown;
    s->request_size += size;
    grown[s->request_size] = 0;
    return true;
}

static void open_stream(struct stream *s, int operation)
{
    s->operation = operation;
    switch (operation) {
    case OP_EXEC: exec_open(s); break;
    case OP_DETACH: session_detach(s); break;
    case OP_SESSIONS: session_list(s); break;
    case OP_ATTACH: session_attach(s); break;
    case OP_SEND: session_send(s); break;
    case OP_KILL: session_kill(s); break;
    case OP_PUT:
    case OP_STATES:
    case OP_GET: transfer_open(s); break;
    case OP_DIAL: dial_open(s); break;
    case OP_HEALTH:
    case OP_CLOCK:
    case OP_FLUSH:
    case OP_POWEROFF: machine_open(s); break;
    case OP_LISTENERS: listeners_open(s); break;
    default: stream_refuse(s, BAD_REQUEST, "this agent knows no operation %d", operation);
    }
}

static void refuse_overflow(uint32_t id, bool connection)
{
    uint8_t *at = port_begin();

    if (!at)
        return;
    reset(&overflow, id);
    stream_refuse(&overflow, LIMIT, "more than %d %s at a time", connection ? MAX_CONNECTIONS : MAX_REQUESTS,
                  connection ? "connections" : "requests");
    port_commit(END, 0, id, describe_end(&overflow, at));
}

static void open_frame(int kind, int operation, uint32_t id, const uint8_t *payload, uint32_t size)
{
    struct stream *s = by_id(id);
    bool connection = kind == OPEN && operation == OP_DIAL;

    if (s && s->operation)
        return; /* an id in use */
    if (!s && !(s = take(id, connection))) {
        if (kind == OPEN)
            refuse_overflow(id, connection);
        return;
    }
    if (s->end_due)
        return;
    if (!gather(s, payload, size)) {
        s->operation = operation ? operation : -1;
        stream_refuse(s, LIMIT, "the request is longer than %u bytes", MAX_REQUEST);
        return;
    }
    if (kind == OPEN)
        open_stream(s, operation);
}

static void data_frame(struct stream *s, const uint8_t *payload, uint32_t size)
{
    if (s->in.eof || inlet_put(&s->in, payload, size))
        return;
    abandon(s);
    s->error = BAD_REQUEST;
    s->error_size = (uint32_t)snprintf(s->error_text, ERROR_SIZE, "more data than there was credit for");
}

void stream_frame(int kind, int channel, uint32_t id, uint8_t *payload, uint32_t size)
{
    struct stream *s;

    if (kind == OPEN || kind == PART) {
        open_frame(kind, channel, id, payload, size);
        return;
    }
    s = by_id(id);
    if (!s)
        return; /* it has just ended */
    if (kind == DATA)
        data_frame(s, payload, size);
    else if (kind == END_OF_DATA)
        s->in.eof = true;
    else if (kind == CREDIT && size == 4 && (channel == 1 || channel == 2))
        s->out[channel - 1].credit += get32(payload);
    else if (kind == CONTROL && s->operation == OP_EXEC)
        exec_control(s, payload, size);
    else if (kind == CONTROL && s->operation == OP_ATTACH)
        session_control(s, payload, size);
    else if (kind == CLOSE)
        abandon(s);
}

/* -- the turn of the loop ----------------------------------------------------------------------------------------- */

/* The child has either said why it could not become the command, or its end of the pipe was closed by exec. */
static bool read_report(struct stream *s)
{
    uint8_t report[ERROR_SIZE];
    ssize_t n = read(s->report.fd, report, sizeof report - 1);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        s->report.in = errno == EINTR;
        return false;
    }
    watch_close(&s->report);
    if (n > 4) {
        s->error = get32(report);
        s->error_size = (uint32_t)n - 4;
        memcpy(s->error_text, report + 4, s->error_size);
    } else {
        s->started_due = true;
    }
    return true;
}

static bool finished(struct stream *s)
{
    if (s->end_due)
        return true;
    if (s->pid || s->report.fd >= 0)
        return false;
    if (s->operation == OP_DIAL)
        return !s->connecting && !s->out[0].open && !s->in.open;
    return s->exited && (s->abandoned || (!s->out[0].open && !s->out[1].open));
}

static bool pump(struct stream *s)
{
    bool busy = false;

    if (s->report.fd >= 0 && s->report.in)
        busy |= read_report(s);
    if (s->connecting)
        busy |= dial_pump(s);
    if (s->started_due && !s->abandoned && port_begin()) {
        port_commit(STARTED, 0, s->id, 0);
        s->started_due = false;
        busy = true;
    }
    if (s->session)
        busy |= session_pump(s);
    busy |= inlet_pump(s);
    if (!s->started_due) {
        busy |= outlet_pump(s, 1);
        busy |= outlet_pump(s, 2);
    }
    if (finished(s) && (s->abandoned || s->error || !s->started_due))
        busy |= send_end(s);
    return busy;
}

bool streams_pump(void)
{
    static unsigned first; /* each turn begins with another stream, so that none takes the port for itself */
    unsigned count = (unsigned)(end - streams);
    bool busy = false;

    first++;
    for (unsigned i = 0; i < count; i++) {
        struct stream *s = &streams[(first + i) % count];
        if (s->used && (s->operation || s->end_due))
            busy |= pump(s);
    }
    return busy;
}
