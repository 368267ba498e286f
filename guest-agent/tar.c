/* Creates a tar stream of one path: POSIX headers, with extended records for exact times and for whatever an ordinary
 * header cannot hold. A file that shrinks while it is read is filled up with zeros, one that grows is cut. Memory is
 * bounded: one buffer, one name, and the names of at most LINKS files that have several. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive.h"
#include "wire.h"

#define BUFFER (64 * 1024)
#define LINKS 16384

struct link_name {
    dev_t device;
    ino_t inode;
    char *name;
};

static uint8_t buffer[BUFFER];
static size_t used;
static char name[NAME_LIMIT]; /* of the entry, as the archive spells it */
static struct link_name links[LINKS];
static char records[3 * NAME_LIMIT];
static size_t record_size;

static void fail(enum refusal kind, const char *what) __attribute__((noreturn));

static void fail(enum refusal kind, const char *what)
{
    dprintf(2, "%s: %s", what, strerror(errno));
    _exit(kind);
}

/* -- the stream --------------------------------------------------------------------------------------------------- */

static void flush(void)
{
    size_t at = 0;

    while (at < used) {
        ssize_t n = write(1, buffer + at, used - at);
        if (n < 0 && errno != EINTR)
            _exit(FAILED); /* nobody reads any more */
        at += n > 0 ? (size_t)n : 0;
    }
    used = 0;
}

static void put(const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size) {
        size_t piece = size < BUFFER - used ? size : BUFFER - used;
        if (from)
            memcpy(buffer + used, from, piece);
        else
            memset(buffer + used, 0, piece);
        from = from ? from + piece : NULL;
        used += piece;
        size -= piece;
        if (used == BUFFER)
            flush();
    }
}

static void pad(uint64_t size) { put(NULL, (size_t)((BLOCK - size % BLOCK) % BLOCK)); }

static void put_data(int fd, uint64_t left)
{
    if (left >= SPLICE_FROM) {
        flush();
        while (left) {
            ssize_t n = splice(fd, NULL, 1, NULL, left < (1 << 20) ? (size_t)left : 1 << 20, SPLICE_F_MOVE);
            if (n <= 0)
                break;
            left -= (uint64_t)n;
        }
    }
    while (left) {
        ssize_t n = read(fd, buffer + used, left < BUFFER - used ? (size_t)left : BUFFER - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        left -= (uint64_t)n;
        if (used == BUFFER)
            flush();
    }
    while (left) {
        size_t piece = left < BUFFER ? (size_t)left : BUFFER;
        put(NULL, piece);
        left -= piece;
    }
}

/* -- headers ------------------------------------------------------------------------------------------------------ */

static void add_record(const char *key, const char *value)
{
    size_t length = strlen(key) + strlen(value) + 3; /* space, '=' and newline */
    size_t digits = 1;

    for (size_t limit = 10; length + digits >= limit; limit *= 10)
        digits++;
    if (record_size + length + digits >= sizeof records)
        return;
    record_size += (size_t)snprintf(records + record_size, sizeof records - record_size, "%zu %s=%s\n",
                                    length + digits, key, value);
}

static void add_number(const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    add_record(key, text);
}

static void octal(char *field, size_t size, uint64_t value)
{
    field[size - 1] = 0;
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

/* Octal where it fits; else a record beside zeros. */
static void set_number(char *field, size_t size, uint64_t value, const char *key)
{
    bool fits = value >> (3 * (size - 1)) == 0;

    octal(field, size, fits ? value : 0);
    if (!fits && key)
        add_number(key, value);
}

static void set_text(char *field, size_t size, const char *text, const char *key)
{
    size_t length = strlen(text);

    memcpy(field, text, length < size ? length : size);
    if (length > size)
        add_record(key, text);
}

static void set_time(struct tar_header *h, const struct timespec *time)
{
    char text[48];

    octal(h->mtime, sizeof h->mtime, time->tv_sec > 0 ? (uint64_t)time->tv_sec & 077777777777 : 0);
    if (time->tv_sec >= 0)
        snprintf(text, sizeof text, "%lld.%09ld", (long long)time->tv_sec, time->tv_nsec);
    else if (!time->tv_nsec)
        snprintf(text, sizeof text, "%lld", (long long)time->tv_sec);
    else
        snprintf(text, sizeof text, "-%lld.%09ld", (long long)-(time->tv_sec + 1), 1000000000 - time->tv_nsec);
    if (time->tv_nsec || time->tv_sec < 0 || time->tv_sec > 077777777777)
        add_record("mtime", text);
}

static void seal(struct tar_header *h)
{
    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    octal(h->checksum, 7, tar_checksum(h));
    h->checksum[7] = ' ';
}

static void put_header(const struct stat *status, char type, const char *link, uint64_t size)
{
    struct tar_header h = {0}, extension = {0};

    record_size = 0;
    set_text(h.name, sizeof h.name, name, "path");
    set_text(h.linkname, sizeof h.linkname, link, "linkpath");
    set_number(h.mode, sizeof h.mode, status->st_mode & 07777, NULL);
    set_number(h.uid, sizeof h.uid, status->st_uid, "uid");
    set_number(h.gid, sizeof h.gid, status->st_gid, "gid");
    set_number(h.size, sizeof h.size, size, "size");
    if (type == '3' || type == '4') {
        set_number(h.devmajor, sizeof h.devmajor, major(status->st_rdev), NULL);
        set_number(h.devminor, sizeof h.devminor, minor(status->st_rdev), NULL);
    }
    set_time(&h, &status->st_mtim);
    h.type = type;
    seal(&h);
    if (record_size) {
        memcpy(extension.name, "pax", 3);
        octal(extension.mode, sizeof extension.mode, 0644);
        octal(extension.uid, sizeof extension.uid, 0);
        octal(extension.gid, sizeof extension.gid, 0);
        octal(extension.size, sizeof extension.size, record_size);
        octal(extension.mtime, sizeof extension.mtime, 0);
        extension.type = 'x';
        seal(&extension);
        put(&extension, BLOCK);
        put(records, record_size);
        pad(record_size);
    }
    put(&h, BLOCK);
}

/* -- the tree ----------------------------------------------------------------------------------------------------- */

/* The name under which this file went out before, or NULL; remembers it then. */
static const char *earlier_name(const struct stat *status)
{
    size_t place = (status->st_ino ^ status->st_dev) % LINKS;

    for (size_t i = 0; i < 64; i++) {
        struct link_name *l = &links[(place + i) % LINKS];
        if (l->name && l->device == status->st_dev && l->inode == status->st_ino)
            return l->name;
        if (!l->name) {
            *l = (struct link_name){status->st_dev, status->st_ino, strdup(name)};
            return NULL;
        }
    }
    return NULL; /* too many: this one goes out a second time */
}

static void put_file(int directory, const char *path, const struct stat *status)
{
    struct stat now;
    const char *earlier = status->st_nlink > 1 ? earlier_name(status) : NULL;
    int fd;

    if (earlier) {
        put_header(status, '1', earlier, 0);
        return;
    }
    fd = openat(directory, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) || !S_ISREG(now.st_mode))
        fail(FAILED, name);
    put_header(&now, '0', "", (uint64_t)now.st_size);
    put_data(fd, (uint64_t)now.st_size);
    pad((uint64_t)now.st_size);
    close(fd);
}

static void put_link(int directory, const char *path, const struct stat *status)
{
    char target[NAME_LIMIT];
    ssize_t n = readlinkat(directory, path, target, sizeof target - 1);

    if (n < 0)
        fail(FAILED, name);
    target[n] = 0;
    put_header(status, '2', target, 0);
}

static void put_tree(int directory, const char *path);

static void put_directory(int directory, const char *path, const struct stat *status)
{
    size_t length = strlen(name);
    int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!list || length + 2 > sizeof name)
        fail(FAILED, name);
    name[length] = '/';
    name[length + 1] = 0;
    put_header(status, '5', "", 0);
    while ((entry = readdir(list))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (length + 2 + strlen(entry->d_name) >= sizeof name) {
            errno = ENAMETOOLONG;
            fail(FAILED, name);
        }
        strcpy(name + length + 1, entry->d_name);
        put_tree(fd, entry->d_name);
        name[length + 1] = 0;
    }
    name[length] = 0;
    closedir(list);
}

static void put_tree(int directory, const char *path)
{
    struct stat status;

    if (fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW)) {
        if (errno == ENOENT && directory != AT_FDCWD)
            return; /* gone since it was listed */
        fail(errno == ENOENT || errno == ENOTDIR ? NO_ENTRY : FAILED, directory == AT_FDCWD ? path : name);
    }
    if (S_ISREG(status.st_mode))
        put_file(directory, path, &status);
    else if (S_ISDIR(status.st_mode))
        put_directory(directory, path, &status);
    else if (S_ISLNK(status.st_mode))
        put_link(directory, path, &status);
    else if (!S_ISSOCK(status.st_mode))
        put_header(&status, S_ISCHR(status.st_mode) ? '3' : S_ISBLK(status.st_mode) ? '4' : '6', "", 0);
}

/* The archive's names begin with the last part of the path; "." stands for the root and for a path that ends in it. */
static void first_name(const char *path)
{
    size_t end = strlen(path), start;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path[start - 1] != '/'; start--)
        ;
    if (end - start >= sizeof name) {
        errno = ENAMETOOLONG;
        fail(FAILED, path);
    }
    memcpy(name, path + start, end - start);
    name[end - start] = 0;
    if (!*name || !strcmp(name, "..") || !strcmp(name, "/"))
        strcpy(name, ".");
}

int archive_create(const char *path)
{
    first_name(path);
    put_tree(AT_FDCWD, path);
    put(NULL, 2 * BLOCK);
    flush();
    return 0;
}
