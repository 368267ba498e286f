/* Process 1 of the initramfs. The kernel command line tells it what to do:
 *
 *     banger.root=DISK            the disk that holds the root (ext4): its serial, or its node in /dev
 *     banger.work=DISK            the disk that is mounted on /root, and made as large as it is
 *     banger.modules=DISK         the kernel's module tree, mounted read-only at /lib/modules
 *     banger.init=PATH            the image's init; without it this program stays process 1
 *     banger.net=ADDRESS/BITS,GATEWAY
 *     banger.dns=ADDRESS[,...]    name servers; /etc/resolv.conf is written anew
 *     banger.hostname=NAME
 *     banger.grow=1               the root's file system is made as large as its disk
 *     banger.port=vsock           the way to the host is a vsock, whose modules are in a list of their own
 *     banger.off=reset            the machine has no power switch: it ends with a reset
 *
 * /banger/modules and /banger/modules.vsock list the modules to load, /banger/files holds the machine's own files,
 * /banger/assets banger's for a root that has others, /banger/defaults what it gets where it has nothing of its own.
 * Whatever goes wrong is said in one line on the console, and the machine is turned off: the host sees both. */
#define _GNU_SOURCE
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define NEW_ROOT "/root"

static void mount_root(void)
{
    char disk[64];

    find_disk(plan.root, disk, sizeof disk);
    mkdir(NEW_ROOT, 0755);
    if (mount(disk, NEW_ROOT, "ext4", 0, NULL))
        give_up("cannot mount the root %s: %s", disk, strerror(errno));
    if (plan.grow)
        grow(disk, NEW_ROOT, "the root");
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

void loader_run(char *arguments[])
{
    struct transport_fd transport;
    int old_root;

    keep_arguments(arguments);
    umask(0);
    mount_early();
    open_console();
    read_plan();
    if (!plan.root)
        give_up("the kernel command line has no banger.root=");
    load_modules("/banger/modules");
    if (plan.port && !strcmp(plan.port, "vsock"))
        load_modules("/banger/modules.vsock");
    mount_root();
    transport = need_transport();
    old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enter_root();
    mount_runtime();
    mount_work();
    if (plan.modules)
        mount_modules();
    copy_tree(old_root, "banger/assets", WANTED);
    copy_tree(old_root, "banger/defaults", DEFAULTS);
    copy_tree(old_root, "banger/files", NEEDED);
    remove_tree(old_root);
    name_and_connect();
    hand_over(transport);
}
