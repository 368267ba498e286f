/* Files from the initramfs onto the root; and the initramfs's end.
 *
 * The machine's own files are vital. Banger's files for the root are not: this start has an agent without them, and a
 * root that is full must not keep its machine from starting. What cannot be copied is left as it was.
 *
 * A default has the first second of 1970 as its time of change. Any program that changes it gives it another. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"

#define NEW_NAME ".banger-new"

static enum copied how;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (how == NEEDED)
        give_up("%s", text);
    dprintf(2, "banger: %s\n", text);
}

static bool copy_content(int from, int to, off_t left)
{
    while (left > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)left);
        if (n <= 0)
            return false;
        left -= n;
    }
    return true;
}

/* Whether there is something that is not a default as it was copied here before. */
static bool is_own(int target, const char *name)
{
    struct stat status;

    if (fstatat(target, name, &status, AT_SYMLINK_NOFOLLOW))
        return false;
    return !S_ISREG(status.st_mode) || status.st_mtim.tv_sec || status.st_mtim.tv_nsec;
}

/* Under another name first, so that what was there is there until all is written. */
static void copy_file(int source, int target, const char *name, const struct stat *status)
{
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    int from, to;

    if (how == DEFAULTS) {
        if (is_own(target, name))
            return;
        times[1] = (struct timespec){0};
    }
    from = openat(source, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    unlinkat(target, NEW_NAME, 0); /* of a start that was broken off */
    to = openat(target, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (from < 0 || to < 0 || !copy_content(from, to, status->st_size) || fchown(to, status->st_uid, status->st_gid) ||
        fchmod(to, status->st_mode & 07777) || futimens(to, times) || renameat(target, NEW_NAME, target, name)) {
        complain("the file %s: %s", name, strerror(errno));
        unlinkat(target, NEW_NAME, 0);
    }
    close(from);
    close(to);
}

static void copy_link(int source, int target, const char *name, const struct stat *status)
{
    char value[4096];
    ssize_t n = readlinkat(source, name, value, sizeof value - 1);

    value[n > 0 ? n : 0] = 0;
    unlinkat(target, name, 0);
    if (n < 0 || symlinkat(value, target, name) ||
        fchownat(target, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW))
        complain("the link %s: %s", name, strerror(errno));
}

static void copy_below(int source, int target);

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
            complain("the directory %s: %s", name, strerror(errno));
        to = openat(target, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (from < 0 || to < 0) {
        complain("the directory %s: %s", name, strerror(errno));
        close(from);
    } else {
        copy_below(from, to);
    }
    close(to);
}

/* Copies what is in one directory into another, and closes the source. */
static void copy_below(int source, int target)
{
    DIR *list = fdopendir(source);
    struct dirent *entry;
    struct stat status;

    while (list && (entry = readdir(list))) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..") || fstatat(source, name, &status, AT_SYMLINK_NOFOLLOW))
            continue;
        if (S_ISDIR(status.st_mode))
            copy_directory(source, target, name, &status);
        else if (S_ISLNK(status.st_mode))
            copy_link(source, target, name, &status);
        else if (S_ISREG(status.st_mode))
            copy_file(source, target, name, &status);
    }
    if (list)
        closedir(list);
}

void copy_tree(int initramfs, const char *path, enum copied manner)
{
    int source = openat(initramfs, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int target = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    how = manner;
    if (source >= 0)
        copy_below(source, target);
    close(target);
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
