/* Process 1 of the initramfs. The kernel command line tells it what to do:
 *
 *     banger.root=SERIAL          the disk that holds the root (ext4)
 *     banger.modules=SERIAL       the kernel's module tree, mounted read-only at /lib/modules
 *     banger.init=PATH            the image's init; without it this program stays process 1
 *     banger.net=ADDRESS/BITS,GATEWAY
 *     banger.hostname=NAME
 *     banger.grow=1               the root's file system is made as large as its disk
 *
 * /banger/modules lists the modules to load, /banger/files holds the machine's own files. Whatever goes wrong is said
 * in one line on the console, and the machine is turned off: the host sees both. */
#define _GNU_SOURCE
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent.h"

#define NEW_ROOT "/root"
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t) /* fs/ext4/ext4.h: no header for user space has it */
#define AGENT_TITLE "@banger-agent"

static struct {
    char line[4096];
    const char *root, *modules, *init, *net, *hostname, *grow;
} plan;

static char **own_arguments;

void give_up(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(2, "banger: %s\n", text);
    sync();
    reboot(RB_POWER_OFF);
    _exit(1); /* the kernel panics, which is seen too */
}

static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    for (int i = 0; fd >= 0 && i < 3; i++)
        if (fd != i)
            dup2(fd, i);
    if (fd > 2)
        close(fd);
}

static void read_plan(void)
{
    static const struct {
        const char *name;
        const char **value;
    } tokens[] = {
        {"banger.root=", &plan.root}, {"banger.modules=", &plan.modules}, {"banger.init=", &plan.init},
        {"banger.net=", &plan.net}, {"banger.hostname=", &plan.hostname}, {"banger.grow=", &plan.grow},
    };
    char *at = plan.line;

    if (read_line("/proc/cmdline", plan.line, sizeof plan.line) < 0)
        give_up("the kernel command line cannot be read");
    for (char *token; (token = strsep(&at, " "));)
        for (unsigned i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
            if (!strncmp(token, tokens[i].name, strlen(tokens[i].name)))
                *tokens[i].value = token + strlen(tokens[i].name);
    if (!plan.root)
        give_up("the kernel command line has no banger.root=");
}

/* A disk larger than its image: the kernel grows a mounted ext4 itself, so that no image needs a tool for it. */
static void grow_root(const char *disk)
{
    int device = open(disk, O_RDONLY | O_CLOEXEC), root = open(NEW_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs status;
    uint64_t bytes, blocks;

    if (device < 0 || root < 0 || ioctl(device, BLKGETSIZE64, &bytes) || fstatfs(root, &status)) {
        dprintf(2, "banger: the size of the root cannot be told: %s\n", strerror(errno));
    } else {
        blocks = bytes / (uint64_t)status.f_bsize;
        if (ioctl(root, EXT4_IOC_RESIZE_FS, &blocks))
            dprintf(2, "banger: the root cannot be grown: %s\n", strerror(errno));
    }
    close(device);
    close(root);
}

static void mount_root(void)
{
    char disk[64];

    find_disk(plan.root, disk, sizeof disk);
    mkdir(NEW_ROOT, 0755);
    if (mount(disk, NEW_ROOT, "ext4", 0, NULL))
        give_up("cannot mount the root %s: %s", disk, strerror(errno));
    if (plan.grow)
        grow_root(disk);
}

/* From here on every path is resolved by the kernel inside the image's root, whatever links the image brings. */
static void enter_root(void)
{
    unmount_early();
    if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        give_up("cannot enter the root: %s", strerror(errno));
}

static void mount_modules(void)
{
    char disk[64];

    find_disk(plan.modules, disk, sizeof disk);
    mkdir("/lib", 0755);
    mkdir("/lib/modules", 0755);
    if (mount(disk, "/lib/modules", "ext4", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
        give_up("cannot mount the kernel's modules: %s", strerror(errno));
}

/* systemd-shutdown spares processes whose name begins with '@'. The kernel put our arguments and, behind them, our
 * environment on the stack; the title may use both. */
static void take_title(void)
{
    char *start = own_arguments[0], *end = start + strlen(start) + 1;

    for (char **list = own_arguments + 1; *list; list++)
        end = *list + strlen(*list) + 1;
    for (char **list = environ; *list; list++)
        if (*list == end)
            end = *list + strlen(*list) + 1;
    if ((size_t)(end - start) <= strlen(AGENT_TITLE)) {
        *start = '@';
        return;
    }
    environ = calloc(1, sizeof(char *));
    memset(start, 0, (size_t)(end - start));
    strcpy(start, AGENT_TITLE);
}

pid_t start_agent(struct transport_fd transport)
{
    pid_t pid = fork();

    if (pid == 0) {
        take_title();
        agent_run(transport);
    }
    if (pid < 0)
        give_up("no process for the agent: %s", strerror(errno));
    return pid;
}

static void set_hostname(void)
{
    if (plan.hostname && sethostname(plan.hostname, strlen(plan.hostname)))
        give_up("the host name %s: %s", plan.hostname, strerror(errno));
}

static void hand_over(struct transport_fd transport, pid_t agent)
{
    char *arguments[] = {(char *)plan.init, NULL};
    char *variables[] = {"HOME=/", "TERM=linux", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};

    if (!plan.init) {
        mount_for_own_init();
        init_run(transport, agent);
    }
    execve(plan.init, arguments, variables);
    give_up("the image's init %s cannot be started: %s", plan.init, strerror(errno));
}

void loader_run(char *arguments[])
{
    struct transport_fd transport;
    int old_root, files;
    pid_t agent;

    own_arguments = arguments;
    umask(0);
    mount_early();
    open_console();
    read_plan();
    load_modules("/banger/modules");
    mount_root();
    transport = transport_open();
    if (transport.fd < 0)
        give_up("the machine has neither the port " PORT_NAME " nor a vsock");
    old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files = open("/banger/files", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enter_root();
    mount_runtime();
    if (plan.modules)
        mount_modules();
    if (files >= 0) {
        int target = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        copy_tree(files, target);
        close(target);
    }
    remove_tree(old_root);
    set_hostname();
    bring_up_loopback();
    if (plan.net)
        bring_up_network(plan.net);
    umask(022);
    pid1_kind = plan.init ? plan.init : "agent";
    agent = start_agent(transport);
    hand_over(transport, agent);
    give_up("process 1 has nothing left to do");
}
