/* For guests of tests: sends back what comes over the agent's vsock port, one connection after another. As the agent
 * does, it makes the first connection itself. */
#include <linux/vm_sockets.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 1024

static void echo(int fd)
{
    static char data[65536];
    ssize_t got;

    while ((got = read(fd, data, sizeof data)) > 0 && write(fd, data, (size_t)got) == got)
        ;
    close(fd);
}

int main(void)
{
    struct sockaddr_vm here = {.svm_family = AF_VSOCK, .svm_port = PORT, .svm_cid = VMADDR_CID_ANY};
    struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_port = PORT, .svm_cid = VMADDR_CID_HOST};
    int listener = socket(AF_VSOCK, SOCK_STREAM, 0), ring = socket(AF_VSOCK, SOCK_STREAM, 0), fd;

    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8))
        return 1;
    if (connect(ring, (struct sockaddr *)&host, sizeof host) == 0)
        echo(ring);
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        echo(fd);
    return 1;
}
