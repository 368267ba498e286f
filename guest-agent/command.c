/* Attached commands: their pipes or their terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "spawn.h"
#include "stream.h"

/* The child's ends of what connects it, and ours. */
struct ends {
    struct stdio child;
    int in, out, err, control;
};

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void close_child_ends(struct ends *ends)
{
    close_fd(ends->child.in);
    if (ends->child.out != ends->child.in)
        close_fd(ends->child.out);
    if (ends->child.err != ends->child.out)
        close_fd(ends->child.err);
}

static void close_all_ends(struct ends *ends)
{
    close_child_ends(ends);
    close_fd(ends->in);
    close_fd(ends->out);
    close_fd(ends->err);
    close_fd(ends->control);
}

/* Only our end is non-blocking: the child has a right to ordinary pipes. */
static bool make_pipe(int *reader, int *writer, int *ours)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC))
        return false;
    *reader = pair[0];
    *writer = pair[1];
    fcntl(*ours, F_SETFL, O_NONBLOCK);
    return true;
}

static bool make_pipes(struct ends *ends, bool stdin_wanted)
{
    return (!stdin_wanted || make_pipe(&ends->child.in, &ends->in, &ends->in)) &&
           make_pipe(&ends->out, &ends->child.out, &ends->out) && make_pipe(&ends->err, &ends->child.err, &ends->err);
}

/* A terminal of the guest's own devpts. Input, output and control are three descriptors of one master. */
static bool make_terminal(struct ends *ends, uint16_t rows, uint16_t cols)
{
    struct winsize size = {.ws_row = rows, .ws_col = cols};
    int unlocked = 0, slave;

    ends->in = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (ends->in < 0 || ioctl(ends->in, TIOCSPTLCK, &unlocked))
        return false;
    slave = ioctl(ends->in, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return false;
    ends->child = (struct stdio){slave, slave, slave};
    ioctl(ends->in, TIOCSWINSZ, &size);
    ends->out = fcntl(ends->in, F_DUPFD_CLOEXEC, 0);
    ends->control = fcntl(ends->in, F_DUPFD_CLOEXEC, 0);
    return ends->out >= 0 && ends->control >= 0;
}

static void connect_stream(struct stream *s, const struct ends *ends, const struct command *c)
{
    s->tty = c->tty;
    s->terminal = ends->control;
    if (ends->in >= 0)
        inlet_open(&s->in, ends->in);
    outlet_open(&s->out[0], ends->out);
    if (ends->err >= 0)
        outlet_open(&s->out[1], ends->err);
    if (c->timeout_ms)
        s->timeout_at = now_ms() + c->timeout_ms;
}

static void start(struct stream *s, const struct command *c)
{
    struct ends ends = {{-1, -1, -1}, -1, -1, -1, -1};
    int report = -1;

    if (!(c->tty ? make_terminal(&ends, c->rows, c->cols) : make_pipes(&ends, c->stdin_wanted))) {
        stream_refuse(s, FAILED, "%s: %s", c->tty ? "no terminal" : "no pipes", strerror(errno));
        close_all_ends(&ends);
        return;
    }
    s->pid = s->group = spawn_command(c, ends.child, &report);
    if (s->pid < 0) {
        s->pid = s->group = 0;
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
        close_all_ends(&ends);
        return;
    }
    close_child_ends(&ends);
    watch_add(&s->report, report);
    connect_stream(s, &ends, c);
}

void exec_open(struct stream *s)
{
    struct command c;

    if (!command_parse(&c, s->request, s->request_size) || !c.argv[0] || !*c.argv[0])
        stream_refuse(s, BAD_REQUEST, "a malformed request for a command");
    else
        start(s, &c);
    command_free(&c);
    free(s->request);
    s->request = NULL;
    s->request_size = 0;
}

void exec_control(struct stream *s, uint8_t *payload, uint32_t size)
{
    struct fields f = {.at = payload, .end = payload + size};

    while (fields_next(&f)) {
        if (f.tag == F_TTY && f.size == 4 && s->terminal >= 0) {
            struct winsize window = {.ws_row = get16(f.value), .ws_col = get16(f.value + 2)};
            ioctl(s->terminal, TIOCSWINSZ, &window);
        } else if (f.tag == F_SIGNAL && s->pid && fields_number(&f) >= 1 && fields_number(&f) <= 64) {
            stream_signal(s, (int)fields_number(&f));
        }
    }
}
