/* Detached commands. They belong to the agent and not to any attachment; what they write goes into a file of
 * LOG_SIZE bytes used as a ring, so that a session's log neither waits for the port nor fills the guest's memory.
 * An ended session keeps its result and log until its place is needed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spawn.h"
#include "stream.h"

#define MAX_SESSIONS 64
#define LOG_SIZE (1024 * 1024)
#define DIRECTORY "/run/banger/sessions"
#define ID_SIZE 17

struct session {
    bool used, exited, timed_out;
    char id[ID_SIZE];
    char command[256];
    uint64_t started_ns, total;
    pid_t pid;
    int status, log;
    uint32_t error;
    char error_text[ERROR_SIZE];
    uint32_t error_size;
    struct watch output, report;
    int64_t timeout_at, kill_at, linger_until;
};

static struct session sessions[MAX_SESSIONS];

static struct session *find(const char *id)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && id && !strcmp(e->id, id))
            return e;
    return NULL;
}

static void forget(struct session *e)
{
    char path[64];

    watch_close(&e->output);
    watch_close(&e->report);
    if (e->log >= 0)
        close(e->log);
    snprintf(path, sizeof path, DIRECTORY "/%s/log", e->id);
    unlink(path);
    snprintf(path, sizeof path, DIRECTORY "/%s", e->id);
    rmdir(path);
    memset(e, 0, sizeof *e);
}

/* A free place; where there is none, that of the session that ended and was started first. */
static struct session *take(void)
{
    struct session *oldest = NULL;

    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++) {
        if (!e->used)
            return e;
        if (e->exited && !session_is_read(e) && (!oldest || e->started_ns < oldest->started_ns))
            oldest = e;
    }
    if (oldest)
        forget(oldest);
    return oldest;
}

static void name_session(struct session *e)
{
    uint64_t random = 0;
    struct timespec now;

    getrandom(&random, sizeof random, 0);
    clock_gettime(CLOCK_REALTIME, &now);
    e->started_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    snprintf(e->id, sizeof e->id, "%016llx", (unsigned long long)random);
}

/* Without the file the session runs all the same, and its output is lost. */
static void open_log(struct session *e)
{
    char path[64];

    mkdir("/run/banger", 0700);
    mkdir(DIRECTORY, 0700);
    snprintf(path, sizeof path, DIRECTORY "/%s", e->id);
    mkdir(path, 0700);
    snprintf(path, sizeof path, DIRECTORY "/%s/log", e->id);
    e->log = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void describe_command(struct session *e, char **argv)
{
    size_t used = 0;

    for (; *argv && used < sizeof e->command - 1; argv++)
        used += (size_t)snprintf(e->command + used, sizeof e->command - used, used ? " %s" : "%s", *argv);
}

static bool start(struct session *e, const struct command *c)
{
    int ends[2], report;

    if (pipe2(ends, O_CLOEXEC))
        return false;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    e->pid = spawn_command(c, (struct stdio){-1, ends[1], ends[1]}, &report);
    close(ends[1]);
    if (e->pid < 0) {
        close(ends[0]);
        return false;
    }
    watch_add(&e->output, ends[0]);
    watch_add(&e->report, report);
    e->timeout_at = c->timeout_ms ? now_ms() + c->timeout_ms : 0;
    return true;
}

static void detach(struct stream *s, struct command *c)
{
    struct session *e = take();

    if (!e) {
        stream_refuse(s, LIMIT, "%d sessions run already", MAX_SESSIONS);
        return;
    }
    memset(e, 0, sizeof *e);
    e->used = true;
    e->output.fd = e->report.fd = e->log = -1;
    c->tty = false;
    name_session(e);
    describe_command(e, c->argv);
    open_log(e);
    if (!start(e, c)) {
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
        forget(e);
        return;
    }
    s->session = e;
}

static void drop_request(struct stream *s, struct command *c)
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
    drop_request(s, &c);
}

/* -- questions ---------------------------------------------------------------------------------------------------- */

static void describe(struct writer *w, const struct session *e)
{
    uint8_t memory[640];
    struct writer record = {memory, memory + sizeof memory};

    write_text(&record, F_SESSION, e->id);
    write_text(&record, F_COMMAND, e->command);
    write_number(&record, F_STARTED_NS, e->started_ns);
    write_number(&record, F_LOG_BYTES, e->total);
    if (e->exited && e->timed_out)
        write_field(&record, F_TIMED_OUT, NULL, 0);
    else if (e->exited && WIFSIGNALED(e->status))
        write_number(&record, F_SIGNALLED, (uint64_t)WTERMSIG(e->status));
    else if (e->exited)
        write_number(&record, F_EXIT, (uint64_t)WEXITSTATUS(e->status));
    write_field(w, F_RECORD, memory, (uint32_t)(record.at - memory));
}

void session_list(struct stream *s)
{
    static uint8_t memory[MAX_PAYLOAD];
    struct writer w = {memory, memory + sizeof memory};
    uint64_t after = 0;

    for (;;) { /* oldest first */
        struct session *next = NULL;
        for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
            if (e->used && e->report.fd < 0 && e->started_ns > after && (!next || e->started_ns < next->started_ns))
                next = e;
        if (!next)
            break;
        describe(&w, next);
        after = next->started_ns;
    }
    stream_answer(s, &w, memory);
}

void session_log(struct stream *s)
{
    struct command c;
    bool sound = command_parse(&c, s->request, s->request_size);
    struct session *e = sound ? find(c.session) : NULL;

    if (!e) {
        stream_refuse(s, NO_ENTRY, "no such session");
    } else {
        s->session = e;
        s->follow = c.follow;
        s->out[0].credit = WINDOW;
        s->started_due = true;
    }
    drop_request(s, &c);
}

void session_kill(struct stream *s)
{
    struct command c;
    bool sound = command_parse(&c, s->request, s->request_size);
    struct session *e = sound ? find(c.session) : NULL;

    if (!e)
        stream_refuse(s, NO_ENTRY, "no such session");
    else if (c.signal < 1 || c.signal > 64)
        stream_refuse(s, BAD_REQUEST, "no signal has this number");
    else if (!e->exited)
        kill(-e->pid, (int)c.signal);
    drop_request(s, &c);
    if (!s->error)
        stream_answer(s, NULL, NULL);
}

/* -- the loop ----------------------------------------------------------------------------------------------------- */

/* A DETACH waits until its program runs or is known not to. */
static bool answer_detach(struct stream *s)
{
    struct session *e = s->session;
    uint8_t memory[64];
    struct writer w = {memory, memory + sizeof memory};

    if (e->report.fd >= 0)
        return false;
    s->session = NULL;
    if (e->error) {
        stream_refuse(s, e->error, "%.*s", (int)e->error_size, e->error_text);
        forget(e);
    } else {
        write_text(&w, F_SESSION, e->id);
        stream_answer(s, &w, memory);
    }
    return true;
}

/* Whether nothing can come any more from the command itself. */
static bool settled(const struct session *e)
{
    return e->exited && (e->output.fd < 0 || (!e->output.in && now_ms() >= e->linger_until));
}

bool session_log_pump(struct stream *s)
{
    struct session *e = s->session;
    uint64_t left, offset;
    uint8_t *at;
    ssize_t n;

    if (s->operation == OP_DETACH)
        return answer_detach(s);
    if (s->end_due)
        return false;
    if (e->total > LOG_SIZE && s->log_at < e->total - LOG_SIZE)
        s->log_at = e->total - LOG_SIZE;
    left = e->total - s->log_at;
    if (!left) {
        if (s->follow && !settled(e))
            return false;
        s->end_due = s->plain_end = true;
        return true;
    }
    if (!s->out[0].credit || s->started_due || !(at = port_begin()))
        return false;
    offset = s->log_at % LOG_SIZE;
    left = left < MAX_PAYLOAD ? left : MAX_PAYLOAD;
    left = left < s->out[0].credit ? left : s->out[0].credit;
    left = left < LOG_SIZE - offset ? left : LOG_SIZE - offset;
    n = e->log < 0 ? -1 : pread(e->log, at, left, (off_t)offset);
    if (n <= 0) {
        s->log_at = e->total;
        return true;
    }
    port_commit(DATA, 1, s->id, (uint32_t)n);
    s->out[0].credit -= (uint32_t)n;
    s->log_at += (uint64_t)n;
    return true;
}

static void record(struct session *e, const uint8_t *data, size_t size)
{
    while (size && e->log >= 0) {
        uint64_t offset = e->total % LOG_SIZE;
        size_t piece = size < LOG_SIZE - offset ? size : LOG_SIZE - offset;
        if (pwrite(e->log, data, piece, (off_t)offset) != (ssize_t)piece)
            return; /* the filesystem is full: this piece is lost */
        e->total += piece;
        data += piece;
        size -= piece;
    }
}

static bool read_output(struct session *e)
{
    static uint8_t memory[32768];
    ssize_t n = read(e->output.fd, memory, sizeof memory);

    if (n > 0)
        record(e, memory, (size_t)n);
    else if (n < 0 && errno == EAGAIN)
        e->output.in = false;
    else if (!(n < 0 && errno == EINTR))
        watch_close(&e->output);
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
        if (e->output.fd >= 0 && e->output.in)
            busy |= read_output(e);
        if (e->report.fd >= 0 && e->report.in)
            busy |= read_report(e);
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
            kill(-e->pid, SIGTERM);
        }
        if (!e->exited && e->kill_at && now >= e->kill_at) {
            e->kill_at = 0;
            kill(-e->pid, SIGKILL);
        }
        int64_t due[] = {e->exited ? 0 : e->timeout_at, e->exited ? 0 : e->kill_at,
                         e->linger_until > now ? e->linger_until : 0};
        for (unsigned i = 0; i < 3; i++)
            if (due[i] && (!next || due[i] < next))
                next = due[i];
    }
    return next;
}

bool session_exited(pid_t pid, int status)
{
    for (struct session *e = sessions; e < sessions + MAX_SESSIONS; e++)
        if (e->used && !e->exited && e->pid == pid) {
            e->exited = true;
            e->status = status;
            e->linger_until = now_ms() + LINGER_MS;
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
