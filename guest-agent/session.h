/* A session: a command that belongs to the agent and not to any attachment. */
#ifndef SESSION_H
#define SESSION_H

#include "stream.h"

#define MAX_SESSIONS 64
#define ID_SIZE 17
#define NAME_SIZE 64

struct session {
    bool used, exited, timed_out, tty;
    bool settled;  /* it has ended, and what it said is in the log */
    bool told;     /* somebody has been told how it ended */
    char id[ID_SIZE], name[NAME_SIZE];
    char arguments[2048]; /* each with its NUL, cut to fit */
    uint32_t arguments_size;
    char cwd[256], user[64];
    uint64_t number; /* in the order of their starts, whatever the clock says */
    uint64_t started_ns, ended_ns;
    pid_t pid;
    int status;
    struct log log;
    struct watch input, output[2], report;
    uint32_t last_words[2]; /* after its end: bytes that were in the pipe then */
    int terminal;           /* the terminal's master, for its control */
    struct stream *feeder;  /* whose bytes go into its standard input */
    uint32_t error;
    char error_text[ERROR_SIZE];
    uint32_t error_size;
    int64_t timeout_at, kill_at, linger_until;
};

/* By its id; refuses where there is none. */
struct session *session_find(struct stream *s, const char *id);
void session_drop_request(struct stream *s, struct command *command);
/* To the command's process group and, of a terminal, to the one in its foreground. */
void session_signal(const struct session *e, int number);
void session_write_end(const struct session *e, struct writer *w);

#endif
