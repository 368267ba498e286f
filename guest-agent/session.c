/* The table of sessions, from their start to the day when their place is needed. What they say goes into their log and
 * waits for nobody; a log is made of memory, so that it needs no file system of the guest's. An ended session keeps its
 * result and log until all places are taken: the first to go is the oldest whose end somebody has been told, then the
 * oldest. One that runs never goes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spawn.h"
#include "session.h"

#define LISTED 255 /* bytes of a command in a list, so that a frame holds all places */

static struct session sessions[MAX_SESSIONS];

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct session *session_find(struct stream *s, const char *id)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && e->report.fd < 0 && id && !strcmp(e->id, id))
            return e;
    stream_refuse(s, NO_ENTRY, "no such session");
    return NULL;
}

static void forget(struct session *e)
{
    watch_close(&e->input);
    watch_close(&e->output[0]);
    watch_close(&e->output[1]);
    watch_close(&e->report);
    if (e->terminal >= 0)
        close(e->terminal);
    log_close(&e->log);
    memset(e, 0, sizeof *e);
}

static bool sooner(const struct session *one, const struct session *other)
{
    if (!other || one->told != other->told)
        return !other || one->told;
    return one->number < other->number;
}

/* A free place, or that of an ended session which nobody reads. */
static struct session *take(void)
{
    struct session *oldest = NULL;

    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++) {
        if (!e->used)
            return e;
        if (e->exited && !session_is_read(e) && sooner(e, oldest))
            oldest = e;
    }
    if (oldest)
        forget(oldest);
    return oldest;
}

/* A name belongs to the session that runs under it; one that has ended gives it up to the next. */
static bool name_taken(const char *name)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && !e->exited && *name && !strcmp(e->name, name))
            return true;
    return false;
}

static void take_name(const struct session *owner)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && e != owner && !strcmp(e->name, owner->name))
            e->name[0] = 0;
}

static void take_text(char *memory, size_t size, const char *text)
{
    snprintf(memory, size, "%s", text ? text : "");
}

static void describe_command(struct session *e, const struct command *c)
{
    for (char **each = c->argv; *each && e->arguments_size < sizeof e->arguments; each++) {
        size_t left = sizeof e->arguments - e->arguments_size, size = strlen(*each) + 1;
        memcpy(e->arguments + e->arguments_size, *each, size < left ? size : left);
        e->arguments_size += (uint32_t)(size < left ? size : left);
    }
    take_text(e->cwd, sizeof e->cwd, c->cwd);
    take_text(e->user, sizeof e->user, c->user);
    take_text(e->name, sizeof e->name, c->session);
}

static void begin(struct session *e, const struct command *c)
{
    static uint64_t started;
    uint64_t random = 0;

    memset(e, 0, sizeof *e);
    e->used = true;
    e->tty = c->tty;
    e->input.fd = e->output[0].fd = e->output[1].fd = e->report.fd = e->terminal = -1;
    e->number = ++started;
    e->started_ns = clock_ns();
    getrandom(&random, sizeof random, 0);
    snprintf(e->id, sizeof e->id, "%016llx", (unsigned long long)random);
    describe_command(e, c);
    log_open(&e->log);
}

static bool start(struct session *e, const struct command *c)
{
    struct ends ends;
    int report = -1;

    if (!ends_open(&ends, c) || (e->pid = spawn_command(c, ends.child, &report)) < 0) {
        e->pid = 0;
        ends_close(&ends);
        return false;
    }
    ends_close_child(&ends);
    if (ends.in >= 0)
        watch_add(&e->input, ends.in);
    watch_add(&e->output[0], ends.out);
    if (ends.err >= 0)
        watch_add(&e->output[1], ends.err);
    watch_add(&e->report, report);
    e->input.out = ends.in >= 0;
    e->terminal = ends.control;
    e->timeout_at = c->timeout_ms ? now_ms() + c->timeout_ms : 0;
    return true;
}

static void detach(struct stream *s, struct command *c)
{
    const char *name = c->session ? c->session : "";
    struct session *e = NULL;

    if (strlen(name) >= NAME_SIZE)
        stream_refuse(s, BAD_REQUEST, "the name is too long");
    else if (name_taken(name))
        stream_refuse(s, NAME_TAKEN, "%s", name);
    else if (!(e = take()))
        stream_refuse(s, LIMIT, "%d sessions run already", MAX_SESSIONS);
    if (!e)
        return;
    begin(e, c);
    if (!start(e, c)) {
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
        forget(e);
        return;
    }
    s->session = e;
}

void session_drop_request(struct stream *s, struct command *c)
{
    command_free(c);
    free(s->request);
    s->request = NULL;
    s->request_size = 0;
}

void session_detach(struct stream *s)
{
    struct command c;

    if (!command_parse(&c, s->request, s->request_size) || !c.argv[0] || !*c.argv[0])
        stream_refuse(s, BAD_REQUEST, "a malformed request for a command");
    else
        detach(s, &c);
    session_drop_request(s, &c);
}

/* -- questions ---------------------------------------------------------------------------------------------------- */

void session_write_end(const struct session *e, struct writer *w)
{
    if (e->timed_out)
        write_field(w, F_TIMED_OUT, NULL, 0);
    else if (WIFSIGNALED(e->status))
        write_number(w, F_SIGNALLED, (uint64_t)WTERMSIG(e->status));
    else
        write_number(w, F_EXIT, (uint64_t)WEXITSTATUS(e->status));
}

static void describe(struct writer *w, const struct session *e, uint32_t most)
{
    static uint8_t memory[4096];
    struct writer record = {memory, memory + sizeof memory};

    write_text(&record, F_SESSION, e->id);
    write_text(&record, F_NAME, e->name);
    write_field(&record, F_COMMAND, e->arguments, e->arguments_size < most ? e->arguments_size : most);
    write_number(&record, F_STARTED_NS, e->started_ns);
    write_number(&record, F_LOG_BYTES, e->log.written[0]);
    write_number(&record, F_ERROR_BYTES, e->log.written[1]);
    write_number(&record, F_DROPPED, e->log.dropped[0] + e->log.dropped[1]);
    write_number(&record, F_PID, (uint64_t)e->pid);
    if (e->tty)
        write_field(&record, F_TTY, NULL, 0);
    if (e->input.fd >= 0)
        write_field(&record, F_STDIN, NULL, 0);
    if (e->exited) {
        write_number(&record, F_ENDED_NS, e->ended_ns);
        session_write_end(e, &record);
    }
    if (most > LISTED) {
        write_text(&record, F_CWD, e->cwd);
        write_text(&record, F_USER, e->user);
    }
    write_field(w, F_RECORD, memory, (uint32_t)(record.at - memory));
}

static void describe_all(struct writer *w)
{
    uint64_t after = 0;

    for (;;) { /* oldest first */
        struct session *next = NULL;
        for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
            if (e->used && e->report.fd < 0 && !e->error && e->number > after && (!next || e->number < next->number))
                next = e;
        if (!next)
            break;
        describe(w, next, LISTED);
        after = next->number;
    }
}

void session_list(struct stream *s)
{
    static uint8_t memory[MAX_PAYLOAD];
    struct writer w = {memory, memory + sizeof memory};
    struct command c;
    bool sound = command_parse(&c, s->request, s->request_size);
    struct session *one = sound && c.session ? session_find(s, c.session) : NULL;

    if (one) {
        describe(&w, one, sizeof one->arguments);
        one->told |= one->exited;
    } else if (!s->error) {
        describe_all(&w);
    }
    session_drop_request(s, &c);
    if (!s->error)
        stream_answer(s, &w, memory);
}

/* -- signals ------------------------------------------------------------------------------------------------------ */

void session_signal(const struct session *e, int number)
{
    pid_t front = -1;

    if (e->exited || e->pid <= 1)
        return;
    kill(-e->pid, number);
    if (e->terminal >= 0 && ioctl(e->terminal, TIOCGPGRP, &front) == 0 && front > 1 && front != e->pid)
        kill(-front, number);
}

/* With a time limit the group is to end: what is halted goes on to hear of it, and a shell on a terminal, which ignores
 * SIGTERM, is hung up. */
static void stop(struct session *e, const struct command *c)
{
    e->kill_at = now_ms() + c->timeout_ms;
    if (e->tty)
        session_signal(e, SIGHUP);
    session_signal(e, SIGCONT);
}

void session_kill(struct stream *s)
{
    struct command c;
    bool sound = command_parse(&c, s->request, s->request_size);
    struct session *e = sound ? session_find(s, c.session) : NULL;

    if (!sound || c.signal < 1 || c.signal > 64) {
        stream_refuse(s, BAD_REQUEST, "no signal has this number");
    } else if (e && e->exited) {
        stream_refuse(s, SESSION_ENDED, "the session has ended");
    } else if (e) {
        session_signal(e, (int)c.signal);
        if (c.timeout_ms)
            stop(e, &c);
    }
    session_drop_request(s, &c);
    if (!s->error)
        stream_answer(s, NULL, NULL);
}

/* -- the loop ----------------------------------------------------------------------------------------------------- */

/* A DETACH waits until its program runs or is known not to. */
bool session_answer(struct stream *s)
{
    struct session *e = s->session;
    uint8_t memory[64];
    struct writer w = {memory, memory + sizeof memory};

    if (e->report.fd >= 0 || s->end_due)
        return false;
    s->session = NULL;
    if (e->error) {
        stream_refuse(s, e->error, "%.*s", (int)e->error_size, e->error_text);
        forget(e);
        return true;
    }
    take_name(e);
    write_text(&w, F_SESSION, e->id);
    stream_answer(s, &w, memory);
    return true;
}

/* Nothing can come any more from the command itself; others may hold its pipes, and are not waited for. */
static void settle(struct session *e)
{
    bool late = now_ms() >= e->linger_until;

    for (unsigned i = 0; i < 2; i++)
        if (e->output[i].fd >= 0 && !(late && (!e->last_words[i] || !e->output[i].in)))
            return;
    e->settled = true;
}

static bool read_output(struct session *e, unsigned which)
{
    static uint8_t memory[32768];
    struct watch *output = &e->output[which];
    ssize_t n = read(output->fd, memory, sizeof memory);

    if (n > 0) {
        log_write(&e->log, (int)which + 1, memory, (uint32_t)n);
        e->last_words[which] -= e->last_words[which] < (uint32_t)n ? e->last_words[which] : (uint32_t)n;
    } else if (n < 0 && errno == EAGAIN) {
        output->in = false;
    } else if (!(n < 0 && errno == EINTR)) {
        watch_close(output); /* the end, or EIO: a terminal whose last process is gone */
    }
    return true;
}

static bool read_report(struct session *e)
{
    uint8_t report[ERROR_SIZE];
    ssize_t n = read(e->report.fd, report, sizeof report);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        e->report.in = errno == EINTR;
        return false;
    }
    watch_close(&e->report);
    if (n > 4) {
        e->error = get32(report);
        e->error_size = (uint32_t)n - 4;
        memcpy(e->error_text, report + 4, e->error_size);
    }
    return true;
}

bool sessions_pump(void)
{
    bool busy = false;

    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++) {
        if (!e->used)
            continue;
        for (unsigned i = 0; i < 2; i++)
            if (e->output[i].fd >= 0 && e->output[i].in)
                busy |= read_output(e, i);
        if (e->input.fd >= 0 && e->input.in && !e->tty)
            watch_close(&e->input); /* nobody has the other end any more */
        if (e->report.fd >= 0 && e->report.in)
            busy |= read_report(e);
        if (e->exited && !e->settled)
            settle(e);
        if (e->error && e->exited && !session_is_read(e))
            forget(e); /* it never ran, and its DETACH is gone */
    }
    return busy;
}

int64_t sessions_timers(int64_t now)
{
    int64_t next = 0;

    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++) {
        if (!e->used)
            continue;
        if (!e->exited && e->timeout_at && now >= e->timeout_at) {
            e->timeout_at = 0;
            e->timed_out = true;
            e->kill_at = now + GRACE_MS;
            session_signal(e, SIGTERM);
        }
        if (!e->exited && e->kill_at && now >= e->kill_at) {
            e->kill_at = 0;
            session_signal(e, SIGKILL);
        }
        int64_t due[] = {e->exited ? 0 : e->timeout_at, e->exited ? 0 : e->kill_at,
                         e->linger_until > now ? e->linger_until : 0};
        for (unsigned i = 0; i < 3; i++)
            if (due[i] && (!next || due[i] < next))
                next = due[i];
    }
    return next;
}

static void end(struct session *e, int status)
{
    e->exited = true;
    e->status = status;
    e->ended_ns = clock_ns();
    e->linger_until = now_ms() + LINGER_MS;
    watch_close(&e->input);
    for (unsigned i = 0; i < 2; i++) {
        int waiting = 0;
        if (e->output[i].fd >= 0 && ioctl(e->output[i].fd, FIONREAD, &waiting) == 0)
            e->last_words[i] = (uint32_t)waiting;
    }
}

bool session_exited(pid_t pid, int status)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && !e->exited && e->pid == pid) {
            end(e, status);
            return true;
        }
    return false;
}

/* Only where the agent itself ends: on a test's host. */
void sessions_kill(void)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && !e->exited)
            kill(-e->pid, SIGKILL);
}
