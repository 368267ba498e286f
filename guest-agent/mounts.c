/* What is mounted when. The initramfs gets what the loader needs; the image's root gets what every Linux program may
 * expect, before the first of its own programs runs: an init that finds these mounted leaves them alone. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"

struct filesystem {
    const char *type, *path;
    unsigned long flags;
    const char *options;
    mode_t mode; /* of the directory, where the image lacks it */
};

static const struct filesystem early[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=755", 0755},
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555},
};

static const struct filesystem runtime[] = {
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", 0755},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", 01777},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", 0755},
};

static const struct filesystem own[] = {
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0755},
};

static void mount_all(const struct filesystem *list, size_t count, int vital)
{
    for (size_t i = 0; i < count; i++) {
        const struct filesystem *f = &list[i];
        if (mount(f->type, f->path, f->type, f->flags, f->options) == 0 || errno == EBUSY)
            continue;
        if (errno == ENOENT) {
            mkdir(f->path, f->mode);
            if (mount(f->type, f->path, f->type, f->flags, f->options) == 0)
                continue;
        }
        if (vital)
            give_up("cannot mount %s: %s", f->path, strerror(errno));
    }
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

void mount_early(void) { mount_all(early, COUNT(early), 1); }

/* The root may bring symbolic links of these names along; they are followed inside the root, where we are by then. */
void mount_runtime(void)
{
    mount_all(early, COUNT(early), 1);
    mount_all(runtime, COUNT(runtime), 0);
}

void unmount_early(void)
{
    for (size_t i = COUNT(early); i-- > 0;)
        umount2(early[i].path, MNT_DETACH);
}

void mount_for_own_init(void)
{
    mount_all(own, COUNT(own), 0);
    if (mkdir("/tmp", 01777) == 0)
        chmod("/tmp", 01777);
    symlink("/proc/self/fd", "/dev/fd");
    symlink("/proc/self/fd/0", "/dev/stdin");
    symlink("/proc/self/fd/1", "/dev/stdout");
    symlink("/proc/self/fd/2", "/dev/stderr");
}

/* The kernel writes blanks and the like in mount points as three octal digits. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; to++) {
        if (text[0] == '\\' && text[1] && text[2] && text[3]) {
            *to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *to = *text++;
        }
    }
    *to = 0;
}

/* Last mounted, first unmounted; what is still in use stays, and the root is for the caller. */
void unmount_all(void)
{
    static char text[65536];
    char *points[256], *at = text;
    size_t count = 0, size = 0;
    int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    while (fd >= 0 && size < sizeof text - 1 && (n = read(fd, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)n;
    if (fd >= 0)
        close(fd);
    for (char *line; count < 256 && (line = strsep(&at, "\n")) && *line;) {
        strsep(&line, " ");
        points[count++] = strsep(&line, " ");
    }
    while (count-- > 0) {
        if (!points[count] || !strncmp(points[count], "/proc", 5) || !strncmp(points[count], "/dev", 4) ||
            !strncmp(points[count], "/sys", 4) || !strcmp(points[count], "/"))
            continue;
        unescape(points[count]);
        umount2(points[count], 0);
    }
}
