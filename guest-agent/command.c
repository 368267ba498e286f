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
    struct ends ends;
    int report = -1;

    if (!ends_open(&ends, c)) {
        stream_refuse(s, FAILED, "%s: %s", c->tty ? "no terminal" : "no pipes", strerror(errno));
        ends_close(&ends);
        return;
    }
    s->pid = s->group = spawn_command(c, ends.child, &report);
    if (s->pid < 0) {
        s->pid = s->group = 0;
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
        ends_close(&ends);
        return;
    }
    ends_close_child(&ends);
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
