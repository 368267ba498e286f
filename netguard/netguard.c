/*
 * netguard: keeps a guest's user-mode network away from the host's own services.
 *
 * QEMU's user-mode stack (libslirp) opens a host socket for each of the guest's connections. The address
 * 10.0.2.2 becomes the host's 127.0.0.1, and any other address is taken as the guest wrote it, so that a guest
 * reaches what listens on the host's loopback and on link-local addresses (cloud metadata at 169.254.169.254).
 * QEMU 7.2 has no option against it that leaves the rest of the network usable, and a network namespace with a
 * way out needs root or a tun device.
 *
 * This library is preloaded into QEMU and stands before the calls with which libslirp names a destination:
 * connect, sendto, sendmsg. Destinations in 0.0.0.0/8, 127.0.0.0/8 and 169.254.0.0/16, and all of IPv6 (the
 * guest has none), are refused as if nothing listened there. One exception: the host's resolver, when it is such
 * an address (systemd-resolved), at port 53, named by BANGER_NETGUARD_RESOLVER.
 *
 * It guards against a guest that sends what it likes. It does not hold a QEMU that the guest has taken over.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static in_addr_t resolver;	/* network order; 0: none */

__attribute__((constructor)) static void start(void)
{
	const char *text = getenv("BANGER_NETGUARD_RESOLVER");
	struct in_addr address;

	if (text != NULL && inet_pton(AF_INET, text, &address) == 1)
		resolver = address.s_addr;
}

static int refused(const void *destination, size_t size)
{
	const struct sockaddr_in *in = destination;
	uint32_t address;

	if (destination == NULL || size < sizeof(sa_family_t))
		return 0;
	if (in->sin_family == AF_INET6)
		return 1;
	if (in->sin_family != AF_INET || size < sizeof *in)
		return 0;	/* a unix socket; or the kernel refuses it */
	if (resolver != 0 && in->sin_addr.s_addr == resolver && in->sin_port == htons(53))
		return 0;
	address = ntohl(in->sin_addr.s_addr);
	return address >> 24 == 0 || address >> 24 == 127 || address >> 16 == (169u << 8 | 254u);
}

__attribute__((visibility("default")))
int connect(int fd, const struct sockaddr *destination, socklen_t size)
{
	if (refused(destination, size)) {
		errno = ECONNREFUSED;
		return -1;
	}
	return (int)syscall(SYS_connect, fd, destination, size);
}

__attribute__((visibility("default")))
ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *destination, socklen_t size)
{
	if (refused(destination, size)) {
		errno = ECONNREFUSED;
		return -1;
	}
	return syscall(SYS_sendto, fd, data, length, flags, destination, size);
}

__attribute__((visibility("default")))
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (message != NULL && refused(message->msg_name, message->msg_namelen)) {
		errno = ECONNREFUSED;
		return -1;
	}
	return syscall(SYS_sendmsg, fd, message, flags);
}
