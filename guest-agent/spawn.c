/* The child's side, from fork to exec. A command gets nothing of the agent's: no descriptor, no '@' in its name, no
 * oom protection, no signal mask. */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "account.h"
#include "agent.h"
#include "wire.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define REPORT_FD 3
#define ADDED_VARIABLES 8

/* -- the request -------------------------------------------------------------------------------------------------- */

static bool count_fields(uint8_t *request, uint32_t size, size_t *arguments, size_t *variables)
{
    struct fields f = {.at = request, .end = request + size};

    while (fields_next(&f)) {
        *arguments += f.tag == F_ARG;
        *variables += f.tag == F_ENV;
    }
    return !f.bad && *arguments <= MAX_ARGUMENTS && *variables <= MAX_ARGUMENTS;
}

static void take_field(struct command *c, const struct fields *f, size_t *arguments, size_t *variables)
{
    switch (f->tag) {
    case F_ARG: c->argv[(*arguments)++] = (char *)f->value; break;
    case F_ENV: c->env[(*variables)++] = (char *)f->value; break;
    case F_CWD: c->cwd = (char *)f->value; break;
    case F_USER: c->user = (char *)f->value; break;
    case F_PATH: c->path = (char *)f->value; break;
    case F_SESSION: c->session = (char *)f->value; break;
    case F_STDIN: c->stdin_wanted = true; break;
    case F_FOLLOW: c->follow = true; break;
    case F_TIMEOUT_MS: c->timeout_ms = fields_number(f) < INT32_MAX ? (uint32_t)fields_number(f) : INT32_MAX; break;
    case F_SIGNAL: c->signal = (uint32_t)fields_number(f); break;
    case F_STREAMS: c->streams = (uint32_t)fields_number(f) & 3; break;
    case F_EOF: c->eof = true; break;
    case F_TAIL:
        c->tail_wanted = true;
        c->tail = fields_number(f);
        break;
    case F_TTY:
        c->tty = f->size == 4;
        c->rows = c->tty ? get16(f->value) : 0;
        c->cols = c->tty ? get16(f->value + 2) : 0;
        break;
    default: break; /* of a later protocol */
    }
}

bool command_parse(struct command *c, uint8_t *request, uint32_t size)
{
    size_t arguments = 0, variables = 0;
    struct fields f = {.at = request, .end = request + size};
    uint8_t *last = NULL;

    memset(c, 0, sizeof *c);
    c->streams = 3;
    if (!request)
        request = f.at = f.end = (uint8_t *)"";
    if (!count_fields(request, size, &arguments, &variables))
        return false;
    c->argv = calloc(arguments + variables + 2 + ADDED_VARIABLES, sizeof(char *));
    if (!c->argv)
        return false;
    c->env = c->argv + arguments + 1;
    arguments = variables = 0;
    while (fields_next(&f)) {
        if (last)
            *last = 0; /* the byte behind a value is the next field's tag, which has been read by now */
        last = f.at;
        take_field(c, &f, &arguments, &variables);
    }
    return true;
}

void command_free(struct command *c)
{
    free(c->argv);
    c->argv = NULL;
}

/* -- the child ---------------------------------------------------------------------------------------------------- */

static void refuse(enum refusal kind, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void refuse(enum refusal kind, const char *format, ...)
{
    uint8_t report[400];
    va_list arguments;
    int size;

    put32(report, kind);
    va_start(arguments, format);
    size = vsnprintf((char *)report + 4, sizeof report - 4, format, arguments);
    va_end(arguments);
    if (size > (int)sizeof report - 5)
        size = sizeof report - 5;
    if (write(REPORT_FD, report, 4 + (size_t)size) < 0)
        _exit(126);
    _exit(127);
}

/* Moves the descriptors to 0, 1, 2 (and the report to 3), closes all others, and undoes what protects the agent. */
static void become_plain(struct stdio stdio, int report)
{
    int wanted[4] = {stdio.in, stdio.out, stdio.err, report}, null = open("/dev/null", O_RDWR);
    sigset_t none;

    for (int i = 0; i < 4; i++) /* out of the way of the final numbers first */
        wanted[i] = fcntl(wanted[i] < 0 ? null : wanted[i], F_DUPFD, 10);
    for (int i = 0; i < 4; i++)
        if (wanted[i] < 0 || dup2(wanted[i], i) < 0)
            close(i);
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    if (syscall(SYS_close_range, 4, ~0U, 0))
        for (int fd = 4; fd < 1024; fd++)
            close(fd);
    for (int number = 1; number <= 64; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    write_file("/proc/self/oom_score_adj", "0");
    umask(022);
}

static bool has_variable(char **env, const char *assignment)
{
    size_t length = strcspn(assignment, "=") + 1;

    for (; *env; env++)
        if (!strncmp(*env, assignment, length))
            return true;
    return false;
}

static void add_variable(char **env, const char *name, const char *value)
{
    static char memory[ADDED_VARIABLES][HOME_SIZE + 16];
    static int used;
    char *text = memory[used];

    snprintf(text, sizeof memory[0], "%s=%s", name, value);
    if (!*value || used == ADDED_VARIABLES || has_variable(env, text))
        return;
    while (*env)
        env++;
    *env = text;
    used++;
}

static void complete_environment(const struct command *c, const struct account *a)
{
    add_variable(c->env, "PATH", DEFAULT_PATH);
    add_variable(c->env, "HOME", a->home[0] ? a->home : a->uid ? "/" : "/root");
    add_variable(c->env, "USER", a->name);
    add_variable(c->env, "LOGNAME", a->name);
    add_variable(c->env, "SHELL", a->shell);
    if (c->tty)
        add_variable(c->env, "TERM", "xterm");
}

static void become_user(const struct command *c, struct account *a)
{
    if (!account_find(c->user, a) && c->user)
        refuse(BAD_USER, "no user or group %s in the guest", c->user);
    if (c->tty && geteuid() == 0 && fchown(0, a->uid, (gid_t)-1))
        refuse(FAILED, "the terminal's owner: %s", strerror(errno));
    if (!c->user)
        return;
    if (a->uid == geteuid() && a->gid == getegid() && geteuid() != 0)
        return;
    if (setgroups((size_t)a->group_count, a->groups) || setresgid(a->gid, a->gid, a->gid) ||
        setresuid(a->uid, a->uid, a->uid))
        refuse(BAD_USER, "cannot become %s: %s", c->user, strerror(errno));
}

/* Tries one file; returns when it is not there. */
static void try_exec(const char *path, const struct command *c, int *failure)
{
    struct stat status;

    execve(path, c->argv, c->env);
    if (errno == ENOENT && stat(path, &status) == 0)
        refuse(NOT_EXECUTABLE, "%s: the interpreter or loader that it names is missing", path);
    if (errno == EACCES || errno == ENOEXEC || errno == EISDIR || errno == E2BIG || errno == ETXTBSY)
        *failure = errno;
    else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
        refuse(FAILED, "%s: %s", path, strerror(errno));
}

static void execute(const struct command *c)
{
    const char *name = c->argv[0], *at = DEFAULT_PATH;
    char path[4096];
    int failure = 0;

    if (strchr(name, '/')) {
        try_exec(name, c, &failure);
    } else {
        for (char **env = c->env; *env; env++)
            if (!strncmp(*env, "PATH=", 5))
                at = *env + 5;
        for (; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
            int length = (int)strcspn(at, ":");
            if (snprintf(path, sizeof path, "%.*s%s%s", length, at, length ? "/" : "./", name) < (int)sizeof path)
                try_exec(path, c, &failure);
        }
    }
    if (failure == E2BIG)
        refuse(FAILED, "%s: the arguments are too long for the guest's kernel", name);
    if (failure)
        refuse(NOT_EXECUTABLE, "%s", strerror(failure));
    refuse(NOT_FOUND, "%s: not found", name);
}

static void run_child(const struct command *c, struct stdio stdio, int report) __attribute__((noreturn));

static void run_child(const struct command *c, struct stdio stdio, int report)
{
    struct account account;

    setsid();
    become_plain(stdio, report);
    if (c->tty && ioctl(0, TIOCSCTTY, 0))
        refuse(FAILED, "no controlling terminal: %s", strerror(errno));
    become_user(c, &account);
    if (chdir(c->cwd ? c->cwd : "/"))
        refuse(BAD_CWD, "working directory %s: %s", c->cwd ? c->cwd : "/", strerror(errno));
    complete_environment(c, &account);
    execute(c);
    _exit(127);
}

pid_t spawn_command(const struct command *c, struct stdio stdio, int *report)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -1;
    pid = fork();
    if (pid == 0)
        run_child(c, stdio, ends[1]);
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    else
        *report = ends[0];
    return pid;
}

pid_t spawn_worker(int (*work)(const char *), const char *argument, struct stdio stdio)
{
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        become_plain(stdio, -1);
        _exit(work(argument));
    }
    return pid;
}
