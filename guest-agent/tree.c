/* The machine's own files, from the initramfs onto the root; and the initramfs's end. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"

static void copy_file(int source, int target, const char *name, const struct stat *status)
{
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    off_t left = status->st_size;
    int from = openat(source, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int to = openat(target, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (from < 0 || to < 0)
        give_up("the machine's file %s: %s", name, strerror(errno));
    while (left > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)left);
        if (n <= 0)
            give_up("the machine's file %s: %s", name, strerror(errno));
        left -= n;
    }
    if (fchown(to, status->st_uid, status->st_gid) || fchmod(to, status->st_mode & 07777) || futimens(to, times))
        give_up("the machine's file %s: %s", name, strerror(errno));
    close(from);
    close(to);
}

static void copy_link(int source, int target, const char *name, const struct stat *status)
{
    char value[4096];
    ssize_t n = readlinkat(source, name, value, sizeof value - 1);

    value[n > 0 ? n : 0] = 0;
    if (n < 0 || symlinkat(value, target, name) ||
        fchownat(target, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW))
        give_up("the machine's link %s: %s", name, strerror(errno));
}

/* A directory that the image has keeps its owner and mode, and may be a link to one (/lib is, almost everywhere). */
static void copy_directory(int source, int target, const char *name, const struct stat *status)
{
    int from = openat(source, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int to = openat(target, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (to < 0) {
        unlinkat(target, name, 0);
        if (mkdirat(target, name, 0700) ||
            fchownat(target, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) ||
            fchmodat(target, name, status->st_mode & 07777, 0))
            give_up("the machine's directory %s: %s", name, strerror(errno));
        to = openat(target, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (from < 0 || to < 0)
        give_up("the machine's directory %s: %s", name, strerror(errno));
    copy_tree(from, to);
    close(to);
}

/* Copies what is in one directory into another, and closes the source. */
void copy_tree(int source, int target)
{
    DIR *list = fdopendir(source);
    struct dirent *entry;
    struct stat status;

    while (list && (entry = readdir(list))) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..") || fstatat(source, name, &status, AT_SYMLINK_NOFOLLOW))
            continue;
        if (S_ISDIR(status.st_mode)) {
            copy_directory(source, target, name, &status);
            continue;
        }
        if (unlinkat(target, name, 0) && errno == EISDIR)
            give_up("the machine's file %s: the image has a directory of this name", name);
        if (S_ISLNK(status.st_mode))
            copy_link(source, target, name, &status);
        else if (S_ISREG(status.st_mode))
            copy_file(source, target, name, &status);
    }
    if (list)
        closedir(list);
}

static void remove_below(int directory, dev_t device)
{
    DIR *list = fdopendir(directory);
    struct dirent *entry;
    struct stat status;

    while (list && (entry = readdir(list))) {
        const char *name = entry->d_name;
        int below;
        if (!strcmp(name, ".") || !strcmp(name, "..") || fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) ||
            status.st_dev != device)
            continue;
        if (!S_ISDIR(status.st_mode)) {
            unlinkat(directory, name, 0);
            continue;
        }
        below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            remove_below(below, device);
        unlinkat(directory, name, AT_REMOVEDIR);
    }
    if (list)
        closedir(list);
}

/* Frees the memory of the initramfs; whatever is mounted in it is left alone. Closes the directory. */
void remove_tree(int directory)
{
    struct stat status;

    if (fstat(directory, &status) == 0)
        remove_below(directory, status.st_dev);
}
