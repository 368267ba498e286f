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
    bool stdin_wanted, tty, follow, eof, tail_wanted;
    uint16_t rows, cols;
    uint32_t timeout_ms, signal, streams;
    uint64_t tail;
};

/* Understands the fields of a request, which it ends with NUL bytes in place. False when they are malformed. */
bool command_parse(struct command *command, uint8_t *request, uint32_t size);
void command_free(struct command *command);

/* The child's three descriptors; -1 stands for /dev/null. With a terminal all are its slave. */
struct stdio {
    int in, out, err;
};

/* What connects a command: the child's ends and ours, each -1 where there is none. A terminal has one more of ours, for
 * its control, and no error stream. */
struct ends {
    struct stdio child;
    int in, out, err, control;
};

/* ends.c. `ends_close` also takes what a failed `ends_open` has left. */
bool ends_open(struct ends *ends, const struct command *command);
void ends_close_child(struct ends *ends);
void ends_close(struct ends *ends);

/* Starts the program; `report` receives a descriptor that yields nothing and its end when the program runs, or the
 * refusal (u32 kind, then text) when it does not. */
pid_t spawn_command(const struct command *command, struct stdio stdio, int *report);
/* Runs our own code in a child with nothing but its standard descriptors. */
pid_t spawn_worker(int (*work)(const char *), const char *argument, struct stdio stdio);

#endif
