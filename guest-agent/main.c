/* One program, three roles. As process 1 of the initramfs it is the loader (loader.c), which turns into process 1 of
 * the machine (init.c) where the image has no init, and forks the agent (agent.c) in both cases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"

int main(int count, char *arguments[])
{
    if (getpid() == 1)
        loader_run(arguments);
    if (count == 3 && !strcmp(arguments[1], "serve-fd"))
        agent_run((struct transport_fd){GIVEN_FD, atoi(arguments[2])});
    if (count == 2 && !strcmp(arguments[1], "version")) {
        puts(AGENT_VERSION);
        return 0;
    }
    fputs("banger-agent runs as process 1 of an initramfs, or as: banger-agent serve-fd N\n", stderr);
    return 2;
}
