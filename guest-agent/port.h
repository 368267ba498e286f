/* The way to the host: a virtio-serial port, a vsock connection, or a descriptor that a test gave. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_NAME "banger.agent.0"
#define VSOCK_PORT 1024

/* A descriptor in the epoll set. It is watched edge-triggered: the loop remembers readiness until an operation says
 * EAGAIN, so that a port whose host is away (EPOLLHUP for as long as that lasts) costs nothing. */
struct watch {
    int fd;
    bool in, out;
};

enum transport { VIRTIO_PORT, VSOCK_LISTENER, GIVEN_FD };

struct transport_fd {
    enum transport type;
    int fd;
};

/* Opens the port or the listener; fd -1 when the machine has neither. */
struct transport_fd transport_open(void);

void port_init(struct transport_fd transport);
/* Reads and acts on frames; true when there may be more. */
bool port_receive(void);
/* Writes what is queued; true when something was written. */
bool port_flush(void);
bool port_pending(void);
/* Forgets what it knew about readiness: a wake-up may have been missed. */
void port_retry(void);
bool port_attached(void);
/* Room for one frame: the place for its payload of up to MAX_PAYLOAD bytes, or NULL while the queue is full. */
uint8_t *port_begin(void);
void port_commit(int kind, int channel, uint32_t stream, uint32_t size);

#endif
