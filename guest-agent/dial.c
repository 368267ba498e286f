/* TCP connections from inside the guest. Addresses are numeric: resolving a name could block the loop. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

struct target {
    char host[64];
    uint16_t port;
};

static bool parse(struct stream *s, struct target *target)
{
    struct fields f = {.at = s->request, .end = s->request + s->request_size};

    strcpy(target->host, "127.0.0.1");
    target->port = 0;
    while (fields_next(&f)) {
        if (f.tag == F_PORT && fields_number(&f) < 65536)
            target->port = (uint16_t)fields_number(&f);
        if (f.tag == F_HOST && f.size < sizeof target->host) {
            memcpy(target->host, f.value, f.size);
            target->host[f.size] = 0;
        }
    }
    if (!strcmp(target->host, "localhost"))
        strcpy(target->host, "127.0.0.1");
    return !f.bad && target->port;
}

static int start_connection(const struct target *target)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(target->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(target->port)};
    bool old = inet_pton(AF_INET, target->host, &v4.sin_addr) == 1;
    int fd, one = 1;

    if (!old && inet_pton(AF_INET6, target->host, &v6.sin6_addr) != 1) {
        errno = EDESTADDRREQ;
        return -1;
    }
    fd = socket(old ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, old ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, old ? sizeof v4 : sizeof v6) &&
        errno != EINPROGRESS) {
        int failure = errno;
        close(fd);
        errno = failure;
        return -1;
    }
    return fd;
}

void dial_open(struct stream *s)
{
    struct target target;
    int fd = -1, twin;

    if (!parse(s, &target)) {
        stream_refuse(s, BAD_REQUEST, "a malformed request for a connection");
        return;
    }
    free(s->request);
    s->request = NULL;
    s->request_size = 0;
    fd = start_connection(&target);
    twin = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (twin < 0) {
        int failure = errno;
        if (fd >= 0)
            close(fd);
        if (failure == EDESTADDRREQ)
            stream_refuse(s, BAD_REQUEST, "%s is not a numeric address", target.host);
        else
            stream_refuse(s, FAILED, "%s port %u: %s", target.host, target.port, strerror(failure));
        return;
    }
    s->connecting = s->plain_end = true;
    inlet_open(&s->in, fd);
    s->in.watch->out = false; /* until the connection stands */
    outlet_open(&s->out[0], twin);
    s->out[0].watch.in = false;
}

bool dial_pump(struct stream *s)
{
    int failure = 0;
    socklen_t size = sizeof failure;

    if (!s->in.watch->out)
        return false;
    s->connecting = false;
    getsockopt(s->in.watch->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure)
        stream_refuse(s, FAILED, "the connection failed: %s", strerror(failure));
    else
        s->started_due = true;
    return true;
}

/* Whoever is at the other end is told that this was no end in order. */
void dial_reset(struct stream *s)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(s->out[0].open ? s->out[0].watch.fd : s->in.watch->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
