/* Frames in and out. Invariants: a frame is acted on only after its tag was checked; nothing here ever waits; the
 * queue to the host is bounded and its senders look for room first; on SYNC it is emptied.
 *
 * A frame with a wrong tag is an earlier attachment's half frame that SYNC records have filled up. All of it is thrown
 * away unread - its payload is some command's input and might imitate a SYNC - and the search starts after it. */
#define _GNU_SOURCE
#include "port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "wire.h"

#define IN_SIZE (4 * MAX_FRAME)
#define OUT_SIZE (8 * MAX_FRAME)
#define READS_PER_TURN 16

static struct {
    enum transport type;
    struct watch watch;    /* the stream of bytes; fd -1 while a vsock has no connection */
    struct watch listener; /* of the vsock */
    bool attached, hunting;
    uint64_t epoch;
    uint16_t round;
    uint32_t tag_in, tag_out;
    size_t in_start, in_end, out_start, out_end;
    uint8_t in[IN_SIZE], out[OUT_SIZE];
} port;

static int open_virtio_port(void)
{
    DIR *list = opendir("/sys/class/virtio-ports");
    struct dirent *entry;
    int found = -1;

    while (list && found < 0 && (entry = readdir(list))) {
        char path[320], name[64];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
        if (read_line(path, name, sizeof name) < 0 || strcmp(name, PORT_NAME))
            continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        found = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    if (list)
        closedir(list);
    return found;
}

/* Ports are announced some time after their device: worth waiting for where there is a device. */
static bool has_virtio_console(void)
{
    DIR *list = opendir("/sys/bus/virtio/drivers/virtio_console");
    struct dirent *entry;
    bool found = false;

    while (list && (entry = readdir(list)))
        found |= !strncmp(entry->d_name, "virtio", 6);
    if (list)
        closedir(list);
    return found;
}

static int open_vsock(void)
{
    struct sockaddr_vm here = {.svm_family = AF_VSOCK, .svm_port = VSOCK_PORT, .svm_cid = VMADDR_CID_ANY};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && (bind(fd, (struct sockaddr *)&here, sizeof here) || listen(fd, 4))) {
        close(fd);
        return -1;
    }
    return fd;
}

struct transport_fd transport_open(void)
{
    struct transport_fd found = {VIRTIO_PORT, -1};

    for (int tries = 0; tries < 2500; tries++) {
        found.fd = open_virtio_port();
        if (found.fd >= 0 || !has_virtio_console())
            break;
        usleep(2000);
    }
    if (found.fd < 0)
        found = (struct transport_fd){VSOCK_LISTENER, open_vsock()};
    return found;
}

/* The host need not ask until we listen: whoever waits there for this connection gets it at once, as if it were one of
 * theirs. Where nobody does it is reset, which ends it as any other. */
static void ring(void)
{
    struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_port = VSOCK_PORT, .svm_cid = VMADDR_CID_HOST};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&host, sizeof host) && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    watch_add(&port.watch, fd);
}

void port_init(struct transport_fd transport)
{
    port.type = transport.type;
    port.hunting = true;
    port.watch.fd = port.listener.fd = -1;
    if (transport.type == VSOCK_LISTENER) {
        watch_add(&port.listener, transport.fd);
        ring();
    } else {
        watch_add(&port.watch, transport.fd);
    }
}

static void drop_connection(void)
{
    watch_close(&port.watch);
    port.attached = false;
    streams_abandon();
}

/* Takes the newest connection of the host; only the host's context id is let in. */
static void accept_vsock(void)
{
    struct sockaddr_vm peer;
    socklen_t size = sizeof peer;
    int fd;

    while ((fd = accept4(port.listener.fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (peer.svm_cid != VMADDR_CID_HOST) {
            close(fd);
            continue;
        }
        drop_connection();
        port.in_start = port.in_end = port.out_start = port.out_end = 0;
        port.hunting = true;
        watch_add(&port.watch, fd);
    }
    port.listener.in = false;
}

/* -- out ---------------------------------------------------------------------------------------------------------- */

static bool make_room(size_t size)
{
    if (port.out_start == port.out_end)
        port.out_start = port.out_end = 0;
    if (OUT_SIZE - port.out_end >= size)
        return true;
    if (OUT_SIZE - (port.out_end - port.out_start) < size)
        return false;
    memmove(port.out, port.out + port.out_start, port.out_end - port.out_start);
    port.out_end -= port.out_start;
    port.out_start = 0;
    return true;
}

uint8_t *port_begin(void)
{
    return port.attached && make_room(MAX_FRAME) ? port.out + port.out_end + HEADER_SIZE : NULL;
}

void port_commit(int kind, int channel, uint32_t stream, uint32_t size)
{
    uint8_t *at = port.out + port.out_end;

    put32(at, size);
    at[4] = (uint8_t)kind;
    at[5] = (uint8_t)channel;
    put16(at + 6, 0);
    put32(at + 8, stream);
    put32(at + HEADER_SIZE + size, port.tag_out++);
    port.out_end += HEADER_SIZE + size + TAG_SIZE;
}

bool port_pending(void) { return port.out_start != port.out_end; }
void port_retry(void) { port.watch.in = port.watch.out = true; }
bool port_attached(void) { return port.attached; }

bool port_flush(void)
{
    bool wrote = false;

    while (port.watch.fd >= 0 && port_pending() && port.watch.out) {
        ssize_t n = write(port.watch.fd, port.out + port.out_start, port.out_end - port.out_start);
        if (n > 0) {
            port.out_start += (size_t)n;
            wrote = true;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            port.watch.out = false;
        }
    }
    return wrote;
}

/* -- in ----------------------------------------------------------------------------------------------------------- */

/* A SYNC record. All records of one sending carry the same round and are answered once. */
static void synchronise(const uint8_t *record)
{
    uint64_t epoch = get64(record + 16);
    uint16_t round = get16(record + 26);
    uint8_t *ack;

    if (port.attached && epoch == port.epoch && round == port.round)
        return;
    if (!port.attached || epoch != port.epoch) {
        streams_abandon();
        port.out_start = port.out_end = 0;
        port.epoch = epoch;
        port.tag_in = port.tag_out = (uint32_t)(epoch ^ (epoch >> 32));
        port.attached = true;
    }
    port.round = round;
    if (!make_room(ACK_SIZE))
        return;
    ack = port.out + port.out_end;
    memset(ack, 0, ACK_SIZE);
    memcpy(ack, ACK_MAGIC, MAGIC_SIZE);
    put64(ack + 16, epoch);
    put16(ack + 24, PROTOCOL);
    put16(ack + 26, round);
    strncpy((char *)ack + 32, AGENT_VERSION, 31);
    port.out_end += ACK_SIZE;
}

/* Moves to the next SYNC record; false when there is none yet. */
static bool hunt(void)
{
    size_t have = port.in_end - port.in_start;
    uint8_t *at = port.in + port.in_start;
    uint8_t *found = have < MAGIC_SIZE ? NULL : memmem(at, have, SYNC_MAGIC, MAGIC_SIZE);

    if (!found) {
        if (have >= MAGIC_SIZE)
            port.in_start = port.in_end - (MAGIC_SIZE - 1);
        return false;
    }
    port.in_start = (size_t)(found - port.in);
    port.hunting = false;
    return true;
}

/* One record or frame at the start of the buffer; false when it is not complete. */
static bool take(void)
{
    size_t have = port.in_end - port.in_start;
    uint8_t *at = port.in + port.in_start;
    uint32_t size, whole;

    if (have < 4)
        return false;
    size = get32(at);
    if (size > MAX_PAYLOAD) {
        if (memcmp(at, SYNC_MAGIC, have < MAGIC_SIZE ? have : MAGIC_SIZE)) {
            port.in_start++;
            port.hunting = true;
            return true;
        }
        if (have < SYNC_SIZE)
            return false;
        port.in_start += SYNC_SIZE;
        synchronise(at);
        return true;
    }
    whole = HEADER_SIZE + size + TAG_SIZE;
    if (have < whole)
        return false;
    port.in_start += whole;
    if (!port.attached || get16(at + 6) || get32(at + HEADER_SIZE + size) != port.tag_in) {
        port.hunting = true;
        return true;
    }
    port.tag_in++;
    stream_frame(at[4], at[5], get32(at + 8), at + HEADER_SIZE, size);
    return true;
}

static void parse(void)
{
    while (port.hunting ? hunt() : take())
        ;
    if (port.in_start == port.in_end) {
        port.in_start = port.in_end = 0;
    } else if (IN_SIZE - port.in_end < MAX_FRAME) {
        memmove(port.in, port.in + port.in_start, port.in_end - port.in_start);
        port.in_end -= port.in_start;
        port.in_start = 0;
    }
}

bool port_receive(void)
{
    if (port.listener.fd >= 0 && port.listener.in)
        accept_vsock();
    for (int turn = 0; turn < READS_PER_TURN && port.watch.fd >= 0 && port.watch.in; turn++) {
        ssize_t n = read(port.watch.fd, port.in + port.in_end, IN_SIZE - port.in_end);
        if (n > 0) {
            port.in_end += (size_t)n;
            if (IN_SIZE - port.in_end < MAX_FRAME)
                parse();
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        port.watch.in = false;
        if (n == 0 || errno != EAGAIN) {
            if (port.type == GIVEN_FD)
                agent_exit();
            if (port.type == VSOCK_LISTENER)
                drop_connection();
        }
    }
    parse();
    return port.watch.fd >= 0 && port.watch.in;
}
