/* For guests of tests: sends back what comes over the agent's vsock port, one connection after another. */
#include <linux/vm_sockets.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_vm here = {.svm_family = AF_VSOCK, .svm_port = 1024, .svm_cid = VMADDR_CID_ANY};
    int listener = socket(AF_VSOCK, SOCK_STREAM, 0), fd;
    static char data[65536];
    ssize_t got;

    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8))
        return 1;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        while ((got = read(fd, data, sizeof data)) > 0 && write(fd, data, (size_t)got) == got)
            ;
        close(fd);
    }
    return 1;
}
