/* One program, several roles. As process 1 of the initramfs it is the loader (loader.c); as process 1 of a root that
 * the kernel has mounted it begins in start.c. Both turn into process 1 of the machine (init.c) where the image has no
 * init, and fork the agent (agent.c) in any case. As a service of the image's init it is the agent alone. */
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"

static bool in_initramfs(void)
{
    struct statfs status;

    return statfs("/", &status) == 0 && (status.f_type == RAMFS_MAGIC || status.f_type == TMPFS_MAGIC);
}

int main(int count, char *arguments[])
{
    if (getpid() == 1 && in_initramfs())
        loader_run(arguments);
    if (getpid() == 1)
        root_run(arguments);
    if (count == 2 && !strcmp(arguments[1], "serve"))
        service_run(arguments);
    if (count == 3 && !strcmp(arguments[1], "serve-fd"))
        agent_run((struct transport_fd){GIVEN_FD, atoi(arguments[2])});
    if (count == 4 && !strcmp(arguments[1], "network")) {
        bring_up_network(arguments[2], arguments[3]);
        return 0;
    }
    if (count == 2 && !strcmp(arguments[1], "version")) {
        puts(AGENT_VERSION);
        return 0;
    }
    fputs("banger-agent is process 1, or runs as one of:\n"
          "  banger-agent serve                                   the agent, on the machine's port\n"
          "  banger-agent serve-fd N                              the agent, on an inherited descriptor\n"
          "  banger-agent network DEVICE ADDRESS/BITS,GATEWAY     sets up an interface\n"
          "  banger-agent version\n", stderr);
    return 2;
}
