/* What the parts of the agent share: the loop's services and the machine that it runs in. */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "port.h"

#ifndef AGENT_VERSION
#define AGENT_VERSION "unknown"
#endif

/* Which program is process 1: "agent", or the path of the image's init. NULL on a test's host, where the agent must
 * not shut anything down. */
extern const char *pid1_kind;

/* agent.c: the loop */
void agent_run(struct transport_fd transport) __attribute__((noreturn));
void agent_exit(void) __attribute__((noreturn));
void watch_add(struct watch *watch, int fd);
void watch_close(struct watch *watch);
int64_t now_ms(void);

/* stream.c: what the port calls */
void stream_frame(int kind, int channel, uint32_t id, uint8_t *payload, uint32_t size);
void streams_abandon(void);

/* text.c: small readers */
ssize_t read_line(const char *path, char *line, size_t size);
bool write_file(const char *path, const char *text);

#endif
