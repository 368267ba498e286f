/* Addresses by ioctl: no other program and no netlink parser is needed for one address and one route. And the name
 * servers. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"

#define DEVICE_TRIES 1000
#define DEVICE_PAUSE_US 2000

static int raise_interface(int fd, const char *name)
{
    struct ifreq request = {0};

    strcpy(request.ifr_name, name);
    if (ioctl(fd, SIOCGIFFLAGS, &request))
        return -1;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

void bring_up_loopback(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        raise_interface(fd, "lo");
        close(fd);
    }
}

static void set_address(int fd, const char *device, unsigned long request_code, uint32_t address)
{
    struct ifreq request = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;

    strcpy(request.ifr_name, device);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = address;
    if (ioctl(fd, (int)request_code, &request))
        give_up("the address of %s: %s", device, strerror(errno));
}

static void set_gateway(int fd, char *device, uint32_t gateway)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = device};

    route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
    ((struct sockaddr_in *)&route.rt_gateway)->sin_family = AF_INET;
    ((struct sockaddr_in *)&route.rt_gateway)->sin_addr.s_addr = gateway;
    if (ioctl(fd, SIOCADDRT, &route) && errno != EEXIST)
        give_up("the default route: %s", strerror(errno));
}

/* "ADDRESS/BITS,GATEWAY" */
void bring_up_network(const char *name, const char *description)
{
    char text[64], device[IFNAMSIZ], *slash, *comma;
    struct in_addr address, gateway;
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bits;

    snprintf(text, sizeof text, "%s", description);
    slash = strchr(text, '/');
    comma = slash ? strchr(slash, ',') : NULL;
    if (!comma)
        give_up("banger.net=%s is not ADDRESS/BITS,GATEWAY", description);
    *slash++ = *comma++ = 0;
    bits = atoi(slash);
    if (inet_pton(AF_INET, text, &address) != 1 || inet_pton(AF_INET, comma, &gateway) != 1 || bits < 1 || bits > 32)
        give_up("banger.net=%s is not ADDRESS/BITS,GATEWAY", description);
    snprintf(device, sizeof device, "%s", name);
    strcpy(request.ifr_name, device);
    for (int tries = 0; ioctl(fd, SIOCGIFFLAGS, &request); tries++) {
        if (tries == DEVICE_TRIES)
            give_up("there is no network interface %s", device);
        usleep(DEVICE_PAUSE_US);
    }
    set_address(fd, device, SIOCSIFADDR, address.s_addr);
    set_address(fd, device, SIOCSIFNETMASK, htonl(~0U << (32 - bits)));
    if (raise_interface(fd, device))
        give_up("%s: %s", device, strerror(errno));
    set_gateway(fd, device, gateway.s_addr);
    close(fd);
}

/* "ADDRESS[,ADDRESS...]". A file of our own takes the place of what the image has, which may be a link into /run. A
 * root that cannot be written is no reason not to start. */
void name_servers(const char *list)
{
    char text[256], *at = text;
    int fd;

    snprintf(text, sizeof text, "%s", list);
    mkdir("/etc", 0755);
    unlink("/etc/resolv.conf");
    fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        dprintf(2, "banger: /etc/resolv.conf: %s\n", strerror(errno));
        return;
    }
    for (char *server; (server = strsep(&at, ","));) {
        struct in6_addr address;
        if (inet_pton(AF_INET, server, &address) == 1 || inet_pton(AF_INET6, server, &address) == 1)
            dprintf(fd, "nameserver %s\n", server);
        else
            dprintf(2, "banger: banger.dns=%s: %s is no address\n", list, server);
    }
    close(fd);
}
