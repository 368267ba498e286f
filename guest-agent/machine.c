/* The machine as a whole: health, clock, flush, power-off. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "stream.h"

#define SYSTEMD_POWEROFF 38 /* SIGRTMIN+4 as glibc counts, which is what systemd means; musl counts differently */
#define SYSTEMD_REBOOT 39

const char *pid1_kind;
bool off_by_reset;

static void health(struct stream *s)
{
    uint8_t memory[1024];
    struct writer w = {memory, memory + sizeof memory};
    struct timespec up, now;
    struct sysinfo info;
    char text[80];

    clock_gettime(CLOCK_BOOTTIME, &up);
    write_text(&w, F_VERSION, AGENT_VERSION);
    write_number(&w, F_PROTOCOL, PROTOCOL);
    write_number(&w, F_UPTIME_MS, (uint64_t)up.tv_sec * 1000 + (uint64_t)up.tv_nsec / 1000000);
    if (read_line("/proc/sys/kernel/random/boot_id", text, sizeof text) >= 0)
        write_text(&w, F_BOOT_ID, text);
    write_text(&w, F_PID1, pid1_kind ? pid1_kind : "none");
    if (gethostname(text, sizeof text - 1) == 0)
        write_text(&w, F_HOSTNAME, text);
    if (sysinfo(&info) == 0) {
        write_number(&w, F_MEMORY_TOTAL, (uint64_t)info.totalram * info.mem_unit);
        write_number(&w, F_MEMORY_AVAILABLE, (uint64_t)(info.freeram + info.bufferram) * info.mem_unit);
    }
    if (read_line("/proc/loadavg", text, sizeof text) >= 0)
        write_text(&w, F_LOAD, text);
    clock_gettime(CLOCK_REALTIME, &now);
    write_number(&w, F_CLOCK_NS, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    stream_answer(s, &w, memory);
}

static void set_clock(struct stream *s)
{
    struct fields f = {.at = s->request, .end = s->request + s->request_size};
    struct timespec now = {0};

    while (fields_next(&f))
        if (f.tag == F_TIME_NS)
            now = (struct timespec){(time_t)(fields_number(&f) / 1000000000), (long)(fields_number(&f) % 1000000000)};
    if (f.bad || !now.tv_sec)
        stream_refuse(s, BAD_REQUEST, "a malformed time");
    else if (clock_settime(CLOCK_REALTIME, &now))
        stream_refuse(s, FAILED, "the clock cannot be set: %s", strerror(errno));
    else
        stream_answer(s, NULL, NULL);
}

/* Everything but process 1 and us has had its chance; what is written is on the disk afterwards. */
void machine_settle_and_off(void)
{
    sync();
    mount(NULL, WORK_DISK, NULL, MS_REMOUNT | MS_RDONLY, NULL); /* where it is still mounted */
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL))
        dprintf(2, "banger: the root cannot be made read-only: %s\n", strerror(errno));
    machine_off();
}

void machine_off(void) { reboot(off_by_reset ? RB_AUTOBOOT : RB_POWER_OFF); }

/* An init that we have no words for: what it would have done, without its services' own order. */
static int force_off(const char *unused)
{
    (void)unused;
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    usleep(100 * 1000); /* the answer goes out */
    kill(-1, SIGTERM);
    usleep(1000 * 1000);
    kill(-1, SIGKILL);
    machine_settle_and_off();
    return FAILED;
}

static int request_off(const char *number)
{
    usleep(50 * 1000); /* the answer goes out */
    return kill(1, atoi(number)) ? FAILED : 0;
}

static int flush(const char *unused)
{
    (void)unused;
    sync();
    return 0;
}

static void start_worker(struct stream *s, int (*work)(const char *), const char *argument)
{
    s->worker = true;
    s->request_size = 0;
    s->pid = s->group = spawn_worker(work, argument, (struct stdio){-1, -1, -1});
    if (s->pid < 0) {
        s->pid = s->group = 0;
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
    }
}

static void poweroff(struct stream *s)
{
    struct stat status;
    char number[8] = "";

    if (!pid1_kind) {
        stream_refuse(s, FAILED, "this agent does not look after a machine");
        return;
    }
    if (!strcmp(pid1_kind, "agent"))
        snprintf(number, sizeof number, "%d", SIGTERM);
    else if (stat("/run/systemd/system", &status) == 0)
        snprintf(number, sizeof number, "%d", off_by_reset ? SYSTEMD_REBOOT : SYSTEMD_POWEROFF);
    if (spawn_worker(*number ? request_off : force_off, number, (struct stdio){-1, -1, -1}) < 0)
        stream_refuse(s, FAILED, "no process: %s", strerror(errno));
    else
        stream_answer(s, NULL, NULL);
}

void machine_open(struct stream *s)
{
    switch (s->operation) {
    case OP_HEALTH: health(s); break;
    case OP_CLOCK: set_clock(s); break;
    case OP_FLUSH: start_worker(s, flush, NULL); break;
    default: poweroff(s); break;
    }
}
