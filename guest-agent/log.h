/* What a session said: one ring for both of its streams, so that their order is kept and memory has an end. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_SIZE (1024u * 1024)

/* Positions count all bytes that were ever put into the ring, and only grow. */
struct log {
    uint8_t *ring; /* NULL: there was no memory for it, and nothing is kept */
    uint64_t head; /* of the oldest record */
    uint64_t last; /* of the newest, which still grows */
    uint64_t tail; /* behind it */
    uint64_t written[2], dropped[2];
};

/* Where one of several readers is. What is dropped before he comes he has missed; nobody waits for him. */
struct log_reader {
    unsigned streams; /* that he wants: 1 standard output, 2 standard error, 3 both */
    uint64_t at;      /* of a record, */
    uint32_t done;    /* of which he has had so much */
    uint64_t passed[2], missed;
};

void log_open(struct log *log);
void log_close(struct log *log);
/* `channel` is 1 or 2. */
void log_write(struct log *log, int channel, const uint8_t *data, uint32_t size);
/* The next bytes for a reader, as many as lie together; 0 when there are none. He says how many he took. */
uint32_t log_next(const struct log *log, struct log_reader *reader, int *channel, const uint8_t **piece);
void log_pass(struct log_reader *reader, int channel, uint32_t size);
/* Passes over all but the last lines. */
void log_tail(const struct log *log, struct log_reader *reader, uint64_t lines);

#endif
