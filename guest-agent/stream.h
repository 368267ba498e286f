/* Streams: what a request turned into, with its data under flow control. */
#ifndef STREAM_H
#define STREAM_H

#include <sys/types.h>

#include "agent.h"
#include "log.h"
#include "wire.h"

#define MAX_REQUESTS 64      /* streams of everything but connections, */
#define MAX_CONNECTIONS 256 /* which have places of their own: neither keeps the other out */
#define MAX_STREAMS (MAX_REQUESTS + MAX_CONNECTIONS)
#define GRACE_MS 2000  /* between asking a process to end and killing it */
#define LINGER_MS 100  /* for output of processes that a command left behind */
#define ERROR_SIZE 512

/* Bytes on their way to the guest's side: a ring of one window, made when the first byte has to wait. */
struct inlet {
    struct watch own;
    struct watch *watch; /* its own, or that of a session's standard input */
    uint8_t *ring;
    uint32_t start, used;
    uint32_t owed; /* bytes taken, for which the host has not yet been given credit back */
    bool open;     /* somebody may still read; else what comes is dropped, and credited */
    bool eof;      /* the host has said its last */
    uint64_t taken; /* bytes that went on their way */
};

/* Bytes from the guest's side. */
struct outlet {
    struct watch watch;
    uint32_t credit;
    uint32_t last_words; /* after the command's end: bytes that were in the pipe then */
    bool open, eof_due;
};

struct stream {
    bool used;
    bool abandoned; /* the host is not there any more, or has said CLOSE */
    bool silent;    /* not even END may be sent: its epoch is over */
    int operation;
    uint32_t id;
    uint8_t *request;
    uint32_t request_size;

    struct inlet in;
    struct outlet out[2]; /* channels 1 and 2 */
    struct watch report;  /* what the child says between fork and exec; -1 afterwards */
    bool started_due;
    bool worker; /* our own code in the child: channel 2 is its error text */
    bool tty;
    int terminal; /* the terminal's master, for its control; a copy of in's */
    pid_t pid;    /* 0: no process, or already reaped */
    pid_t group;
    int status;
    bool exited, timed_out;
    int64_t timeout_at, kill_at, linger_until; /* 0: none */

    bool end_due;
    uint32_t error;
    char error_text[ERROR_SIZE];
    uint32_t error_size;
    bool plain_end; /* END without an exit status: everything but commands */

    struct session *session; /* which this stream starts, reads or feeds */
    struct log_reader reader;
    uint64_t until; /* where a reader ends, once that is certain */
    bool follow, certain, closes;
    bool connecting;
};

/* stream.c */
struct stream *stream_by_pid(pid_t pid);
void stream_refuse(struct stream *s, enum refusal kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
void stream_answer(struct stream *s, const struct writer *w, const uint8_t *start);
void stream_exited(struct stream *s, int status);
void stream_signal(struct stream *s, int number);
bool streams_pump(void);
int64_t streams_timers(int64_t now);
void streams_kill(void);
bool session_is_read(const struct session *session);

/* flow.c */
void inlet_open(struct inlet *in, int fd);
void inlet_close(struct inlet *in, bool half);
bool inlet_put(struct inlet *in, const uint8_t *data, uint32_t size);
bool inlet_pump(struct stream *s);
void outlet_open(struct outlet *out, int fd);
void outlet_close(struct outlet *out);
bool outlet_pump(struct stream *s, int channel);

/* Operations. Each takes up a stream whose request is complete. */
void exec_open(struct stream *s);
void exec_control(struct stream *s, uint8_t *payload, uint32_t size);
void transfer_open(struct stream *s);
void listeners_open(struct stream *s);
void dial_open(struct stream *s);
bool dial_pump(struct stream *s);
void dial_reset(struct stream *s);
void machine_open(struct stream *s);
void session_detach(struct stream *s);
void session_list(struct stream *s);
void session_kill(struct stream *s);
bool session_answer(struct stream *s);

/* attach.c: reading and feeding a session */
void session_attach(struct stream *s);
void session_send(struct stream *s);
void session_control(struct stream *s, uint8_t *payload, uint32_t size);
bool session_pump(struct stream *s);
void session_leave(struct stream *s);
void session_result(struct stream *s, struct writer *w);

/* session.c */
bool sessions_pump(void);
int64_t sessions_timers(int64_t now);
bool session_exited(pid_t pid, int status);
void sessions_kill(void);

#endif
