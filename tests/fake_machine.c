/* What src/banger/vmm/fake/machine.py does with an agent, without an interpreter's start: for measurements of the daemon.
 *
 *     fake_machine LISTENER CONSOLE LARGEST -initrd PATH -- AGENT...
 *
 * LISTENER and CONSOLE are inherited descriptors, LARGEST bounds any file that is written, AGENT is run on each
 * connection, one at a time. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words)
{
    static char *environment[] = {"PATH=/bin:/usr/bin", NULL};
    static const char said[] = "fake machine\r\n";

    if (count < 8)
        return 2;
    int listener = atoi(words[1]), console = atoi(words[2]);
    struct rlimit largest = {strtoul(words[3], NULL, 10), strtoul(words[3], NULL, 10)};
    if (setrlimit(RLIMIT_FSIZE, &largest) || write(console, said, strlen(said)) < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            return 1;
        pid_t agent = fork();
        if (agent == 0) {
            dup2(connection, 0);
            dup2(connection, 1);
            close(connection);
            close(listener);
            close(console);
            execve(words[7], words + 7, environment);
            _exit(127);
        }
        close(connection);
        if (agent > 0)
            waitpid(agent, NULL, 0);
    }
}
