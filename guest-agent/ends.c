/* What connects a command: pipes or a terminal, the child's ends of them and ours. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "spawn.h"

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void ends_close_child(struct ends *ends)
{
    close_fd(ends->child.in);
    if (ends->child.out != ends->child.in)
        close_fd(ends->child.out);
    if (ends->child.err != ends->child.out)
        close_fd(ends->child.err);
}

void ends_close(struct ends *ends)
{
    ends_close_child(ends);
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

bool ends_open(struct ends *ends, const struct command *c)
{
    *ends = (struct ends){{-1, -1, -1}, -1, -1, -1, -1};
    return c->tty ? make_terminal(ends, c->rows, c->cols) : make_pipes(ends, c->stdin_wanted);
}
