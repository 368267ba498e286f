/* The agent's loop. It never waits for anything but events: the port, the pipes and terminals of commands, its
 * children's ends, and the clock. Work that may block on the guest's files runs in children. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define EVENTS 64
#define RETRY_MS 1000 /* looks at a port with data waiting, in case a wake-up was missed */

static int epoll = -1;
static struct watch children;

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

void watch_add(struct watch *watch, int fd)
{
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = watch}};

    watch->fd = fd;
    watch->in = watch->out = false;
    if (fd >= 0)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Leaves the set by name first: a child between fork and exec may still hold the same open file. */
void watch_close(struct watch *watch)
{
    if (watch->fd < 0)
        return;
    epoll_ctl(epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    close(watch->fd);
    watch->fd = -1;
    watch->in = watch->out = false;
}

/* Our own process 1 says with SIGTERM that the machine ends; nobody else's SIGTERM means anything here. From then on
 * the agent goes on reading what its commands say, and ends with the last of them. */
static bool ends_the_machine(const struct signalfd_siginfo *info)
{
    return info->ssi_signo == SIGTERM && info->ssi_pid == 1 && pid1_kind && !strcmp(pid1_kind, "agent");
}

static void reap(void)
{
    static bool ending;
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(children.fd, &info, sizeof info) > 0)
        ending |= ends_the_machine(&info);
    children.in = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct stream *s = stream_by_pid(pid);
        if (s)
            stream_exited(s, status);
        else
            session_exited(pid, status);
    }
    if (ending && pid < 0 && errno == ECHILD)
        _exit(0);
}

void agent_exit(void)
{
    streams_kill();
    sessions_kill();
    _exit(0);
}

static int wait_time(bool busy)
{
    int64_t now = now_ms(), next = streams_timers(now), other = sessions_timers(now);

    if (other && (!next || other < next))
        next = other;
    if (busy)
        return 0;
    if (port_pending() && (!next || next > now + RETRY_MS))
        next = now + RETRY_MS;
    return next ? (int)(next > now ? next - now : 0) : -1;
}

static void wait_for_events(int timeout)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, timeout);

    if (!count && timeout && port_pending())
        port_retry();
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->in |= !!(events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        watch->out |= !!(events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP));
    }
}

static void prepare(struct transport_fd transport)
{
    sigset_t all, heard;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "banger-agent");
    prctl(PR_SET_DUMPABLE, 0);
    write_file("/proc/self/oom_score_adj", "-1000");
    fcntl(transport.fd, F_SETFL, fcntl(transport.fd, F_GETFL) | O_NONBLOCK);
    fcntl(transport.fd, F_SETFD, FD_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    watch_add(&children, signalfd(-1, &heard, SFD_NONBLOCK | SFD_CLOEXEC));
}

void agent_run(struct transport_fd transport)
{
    bool busy = true;

    prepare(transport);
    port_init(transport);
    for (;;) {
        wait_for_events(wait_time(busy));
        if (children.in)
            reap();
        busy = port_receive();
        busy |= sessions_pump();
        busy |= streams_pump();
        busy |= port_flush();
    }
}
