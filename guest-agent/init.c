/* Process 1 of an image that has no init: it adopts and reaps, and turns the machine off in order. It never talks to
 * the host and never waits for the agent; an agent that dies is started again on the port that is still held here. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"
#include "machine.h"

#define GRACE_S 3
#define RESTARTS 5
#define SYSTEMD_POWEROFF 38

/* Until no child is left or the time is over; true when none is left. */
static bool reap_for(const sigset_t *set, int seconds)
{
    struct timespec end, now, pause = {0, 100 * 1000 * 1000};

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += seconds;
    for (;;) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec))
            return false;
        sigtimedwait(set, NULL, &pause);
    }
}

/* The agent understands SIGTERM from us: it serves its commands to their end and then ends too, so that the last of
 * our children is the last process. */
static void power_off(const sigset_t *set) __attribute__((noreturn));

static void power_off(const sigset_t *set)
{
    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    if (!reap_for(set, GRACE_S)) {
        kill(-1, SIGKILL);
        reap_for(set, 1);
    }
    sync();
    unmount_all();
    machine_settle_and_off();
    give_up("the kernel does not turn the machine off");
}

static void reap(struct transport_fd transport, pid_t *agent)
{
    static int restarts;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != *agent)
            continue;
        dprintf(2, "banger: the agent ended (status %#x)\n", status);
        *agent = restarts++ < RESTARTS ? start_agent(transport) : 0;
    }
}

void init_run(struct transport_fd transport, pid_t agent)
{
    static const int wanted[] = {SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGUSR1, SIGUSR2, SYSTEMD_POWEROFF};
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        sigaddset(&set, wanted[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del arrives as SIGINT */
    for (;;) {
        reap(transport, &agent);
        int number = sigwaitinfo(&set, NULL);
        if (number > 0 && number != SIGCHLD)
            power_off(&set);
    }
}
