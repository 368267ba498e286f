/* From a request to a running program. */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_ARGUMENTS 8192

struct command {
    char **argv; /* NULL-terminated, allocated together with env */
    char **env;
    const char *cwd, *user, *path, *session;
    bool stdin_wanted, tty, follow;
    uint16_t rows, cols;
    uint32_t timeout_ms, signal;
};

/* Understands the fields of a request, which it ends with NUL bytes in place. False when they are malformed. */
bool command_parse(struct command *command, uint8_t *request, uint32_t size);
void command_free(struct command *command);

/* The child's three descriptors; -1 stands for /dev/null. With a terminal all are its slave. */
struct stdio {
    int in, out, err;
};

/* Starts the program; `report` receives a descriptor that yields nothing and its end when the program runs, or the
 * refusal (u32 kind, then text) when it does not. */
pid_t spawn_command(const struct command *command, struct stdio stdio, int *report);
/* Runs our own code in a child with nothing but its standard descriptors. */
pid_t spawn_worker(int (*work)(const char *), const char *argument, struct stdio stdio);

#endif
