/* The root is there: the agent is started beside the image's init or below our own. Besides the loader, which brings
 * the root along, two roles begin here. Process 1 without an initramfs (init=/usr/local/bin/banger-agent) finds the
 * root that the kernel has mounted; a service of the image's init finds everything done but its port. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"
#include "machine.h"

#define AGENT_TITLE "@banger-agent"

static char **own_arguments;

void keep_arguments(char *arguments[]) { own_arguments = arguments; }

void give_up(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(2, "banger: %s\n", text);
    if (getpid() == 1) {
        sync();
        machine_off();
    }
    _exit(1); /* of process 1: the kernel panics, which is seen too */
}

void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    for (int i = 0; fd >= 0 && i < 3; i++)
        if (fd != i)
            dup2(fd, i);
    if (fd > 2)
        close(fd);
}

/* systemd-shutdown spares processes whose name begins with '@'. The kernel put our arguments and, behind them, our
 * environment on the stack; the title may use both. */
static void take_title(void)
{
    char *start = own_arguments[0], *end = start + strlen(start) + 1;

    for (char **list = own_arguments + 1; *list; list++)
        end = *list + strlen(*list) + 1;
    for (char **list = environ; *list; list++)
        if (*list == end)
            end = *list + strlen(*list) + 1;
    if ((size_t)(end - start) <= strlen(AGENT_TITLE)) {
        *start = '@';
        return;
    }
    environ = calloc(1, sizeof(char *));
    memset(start, 0, (size_t)(end - start));
    strcpy(start, AGENT_TITLE);
}

struct transport_fd need_transport(void)
{
    struct transport_fd transport = transport_open();

    if (transport.fd < 0)
        give_up("the machine has neither the port " PORT_NAME " nor a vsock, or another program holds it");
    return transport;
}

pid_t start_agent(struct transport_fd transport)
{
    pid_t pid = fork();

    if (pid == 0) {
        take_title();
        agent_run(transport);
    }
    if (pid < 0)
        give_up("no process for the agent: %s", strerror(errno));
    return pid;
}

void hand_over(struct transport_fd transport)
{
    char *arguments[] = {(char *)plan.init, NULL};
    char *variables[] = {"HOME=/", "TERM=linux", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    pid_t agent;

    umask(022);
    pid1_kind = plan.init ? plan.init : "agent";
    if (plan.init)
        settle_tmp();
    agent = start_agent(transport);
    if (!plan.init) {
        mount_for_own_init();
        init_run(transport, agent);
    }
    execve(plan.init, arguments, variables);
    give_up("the image's init %s cannot be started: %s", plan.init, strerror(errno));
}

void root_run(char *arguments[])
{
    int fault;

    keep_arguments(arguments);
    umask(0);
    fault = mount(NULL, "/", NULL, MS_REMOUNT, NULL) ? errno : 0; /* without "rw" the kernel mounts it read-only */
    mount_runtime();
    open_console();
    if (fault)
        dprintf(2, "banger: the root cannot be made writable: %s\n", strerror(fault));
    read_plan();
    mount_work();
    name_and_connect();
    hand_over(need_transport());
}

void service_run(char *arguments[])
{
    static char init[256];
    struct transport_fd transport = need_transport();

    if (readlink("/proc/1/exe", init, sizeof init - 1) < 0)
        strcpy(init, "unknown");
    pid1_kind = init;
    if (access("/proc/cmdline", R_OK) == 0) {
        read_plan();
        mount_work();
    }
    keep_arguments(arguments);
    take_title();
    agent_run(transport);
}
