/* What the kernel command line asks for, and the part of it that every start of a machine has in common. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"
#include "machine.h"

struct plan plan;

void read_plan(void)
{
    static const struct {
        const char *name;
        const char **value;
    } tokens[] = {
        {"banger.root=", &plan.root}, {"banger.work=", &plan.work}, {"banger.modules=", &plan.modules},
        {"banger.init=", &plan.init}, {"banger.net=", &plan.net}, {"banger.dns=", &plan.dns},
        {"banger.hostname=", &plan.hostname}, {"banger.grow=", &plan.grow}, {"banger.port=", &plan.port},
        {"banger.off=", &plan.off},
    };
    static char line[4096];
    char *at = line;

    if (read_line("/proc/cmdline", line, sizeof line) < 0)
        give_up("the kernel command line cannot be read");
    for (char *token; (token = strsep(&at, " "));)
        for (unsigned i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
            if (!strncmp(token, tokens[i].name, strlen(tokens[i].name)))
                *tokens[i].value = token + strlen(tokens[i].name);
    off_by_reset = plan.off && !strcmp(plan.off, "reset");
}

void name_and_connect(void)
{
    if (plan.hostname && sethostname(plan.hostname, strlen(plan.hostname)))
        give_up("the host name %s: %s", plan.hostname, strerror(errno));
    bring_up_loopback();
    if (plan.net)
        bring_up_network("eth0", plan.net);
    if (plan.dns)
        name_servers(plan.dns);
}
