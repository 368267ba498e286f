/* Files in and out, and what listens: a child of ours reads or writes them, so that no slow disk, named pipe or network
 * filesystem of the guest can hold up the loop. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive.h"
#include "listeners.h"
#include "spawn.h"
#include "stream.h"

#define PIPE_SIZE (256 * 1024)

static void start(struct stream *s, int (*work)(const char *), const char *argument)
{
    bool put = work == archive_extract;
    int data[2], words[2];
    struct stdio child;

    if (pipe2(data, O_CLOEXEC)) {
        stream_refuse(s, FAILED, "no pipe: %s", strerror(errno));
        return;
    }
    if (pipe2(words, O_CLOEXEC)) {
        stream_refuse(s, FAILED, "no pipe: %s", strerror(errno));
        close(data[0]);
        close(data[1]);
        return;
    }
    fcntl(data[0], F_SETPIPE_SZ, PIPE_SIZE);
    child = put ? (struct stdio){data[0], -1, words[1]} : (struct stdio){-1, data[1], words[1]};
    s->worker = true;
    s->request_size = 0;
    s->pid = s->group = spawn_worker(work, argument, child);
    close(put ? data[0] : data[1]);
    close(words[1]);
    if (s->pid < 0) {
        s->pid = s->group = 0;
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
        close(put ? data[1] : data[0]);
        close(words[0]);
        return;
    }
    fcntl(put ? data[1] : data[0], F_SETFL, O_NONBLOCK);
    fcntl(words[0], F_SETFL, O_NONBLOCK);
    if (put)
        inlet_open(&s->in, data[1]);
    else
        outlet_open(&s->out[0], data[0]);
    outlet_open(&s->out[1], words[0]);
}

void transfer_open(struct stream *s)
{
    struct command c;

    if (!command_parse(&c, s->request, s->request_size) || !c.path || !*c.path)
        stream_refuse(s, BAD_REQUEST, "a malformed request for files");
    else {
        states_names = c.argv; /* the child has them, however long we keep them */
        start(s, s->operation == OP_PUT ? archive_extract : s->operation == OP_GET ? archive_create : states_list, c.path);
    }
    command_free(&c);
    free(s->request);
    s->request = NULL;
    s->request_size = 0;
}

void listeners_open(struct stream *s) { start(s, listeners_list, NULL); }
