/* Extracts a tar stream below a directory: ustar, PAX and GNU names; files, directories, symbolic and hard links.
 * An existing file or link is replaced and never followed; directories get their modes and times when the stream
 * leaves them, so that a read-only directory can be filled. Memory is constant: one buffer, one stack of open
 * directories as deep as a path. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "wire.h"

#define BUFFER (64 * 1024)
#define DEPTH 256

struct entry {
    char name[NAME_LIMIT], link[NAME_LIMIT];
    char type;
    uint64_t size;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct timespec time;
    bool has_name, has_link, has_size, has_uid, has_gid, has_time; /* from extended headers */
};

struct open_directory {
    size_t length; /* of its name */
    char *name;
    mode_t mode;
    struct timespec time;
};

static uint8_t buffer[BUFFER];
static size_t buffer_at, buffer_end;
static struct open_directory stack[DEPTH];
static int depth;
static int root;

static void fail(enum refusal kind, const char *what, const char *why) __attribute__((noreturn));

static void fail(enum refusal kind, const char *what, const char *why)
{
    dprintf(2, "%s: %s", what, why);
    _exit(kind);
}

/* What the kernel refused, by errno. A disk that is full is no fault of the archive's or ours. */
static void refuse(const char *what) __attribute__((noreturn));

static void refuse(const char *what) { fail(errno == ENOSPC || errno == EDQUOT ? NO_SPACE : FAILED, what, strerror(errno)); }

/* -- the stream --------------------------------------------------------------------------------------------------- */

static bool fill(void)
{
    ssize_t n;

    if (buffer_at < buffer_end)
        return true;
    do {
        n = read(0, buffer, sizeof buffer);
    } while (n < 0 && errno == EINTR);
    buffer_at = 0;
    buffer_end = n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* Reads exactly `size` bytes; false only at the very end of the stream. */
static bool take(void *target, size_t size)
{
    uint8_t *at = target;
    size_t left = size;

    while (left) {
        size_t piece;
        if (!fill()) {
            if (left == size)
                return false;
            fail(BAD_ARCHIVE, "the archive", "it ends too early");
        }
        piece = left < buffer_end - buffer_at ? left : buffer_end - buffer_at;
        if (at)
            memcpy(at + (size - left), buffer + buffer_at, piece);
        buffer_at += piece;
        left -= piece;
    }
    return true;
}

static void skip(uint64_t size)
{
    while (size) {
        size_t piece = size < BUFFER ? (size_t)size : BUFFER;
        if (!take(NULL, piece))
            fail(BAD_ARCHIVE, "the archive", "it ends too early");
        size -= piece;
    }
}

static uint64_t padding(uint64_t size) { return (BLOCK - size % BLOCK) % BLOCK; }

static void write_all(int fd, const uint8_t *data, size_t size, const char *name)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            refuse(name);
        data += n;
        size -= (size_t)n;
    }
}

/* Large files go from the pipe to the file without a way through our memory. */
static uint64_t splice_some(int fd, uint64_t size)
{
    uint64_t moved = 0;

    while (moved < size) {
        ssize_t n = splice(0, NULL, fd, NULL, size - moved < (1 << 20) ? (size_t)(size - moved) : 1 << 20, SPLICE_F_MOVE);
        if (n <= 0)
            break;
        moved += (uint64_t)n;
    }
    return moved;
}

static void copy_data(int fd, uint64_t size, const char *name)
{
    while (size) {
        size_t piece;
        if (buffer_at == buffer_end && size >= SPLICE_FROM) {
            uint64_t moved = splice_some(fd, size);
            size -= moved;
            if (!size)
                break;
        }
        if (!fill())
            fail(BAD_ARCHIVE, "the archive", "it ends too early");
        piece = size < buffer_end - buffer_at ? (size_t)size : buffer_end - buffer_at;
        write_all(fd, buffer + buffer_at, piece, name);
        buffer_at += piece;
        size -= piece;
    }
}

/* -- headers ------------------------------------------------------------------------------------------------------ */

unsigned tar_checksum(const struct tar_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    unsigned sum = 8 * ' ';

    for (size_t i = 0; i < BLOCK; i++)
        sum += bytes[i];
    for (size_t i = 0; i < sizeof header->checksum; i++)
        sum -= (uint8_t)header->checksum[i];
    return sum;
}

/* Octal digits, or after a byte with the high bit a big-endian number, as GNU writes what octal cannot hold. */
static uint64_t parse_number(const char *text, size_t size)
{
    uint64_t value = 0;

    if (*text & 0x80) {
        value = *text & 0x3f;
        for (size_t i = 1; i < size; i++)
            value = value << 8 | (uint8_t)text[i];
        return value;
    }
    while (size && *text == ' ')
        text++, size--;
    for (; size && *text >= '0' && *text <= '7'; text++, size--)
        value = value << 3 | (uint64_t)(*text - '0');
    return value;
}

static void set_name(char *target, const char *source, size_t size)
{
    if (size >= NAME_LIMIT)
        fail(BAD_ARCHIVE, "the archive", "a name is too long");
    memcpy(target, source, size);
    target[size] = 0;
}

static struct timespec parse_time(const char *text)
{
    struct timespec time = {0};
    bool negative = *text == '-';
    long scale = 100000000;

    for (text += negative; *text >= '0' && *text <= '9'; text++)
        time.tv_sec = time.tv_sec * 10 + (*text - '0');
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
            time.tv_nsec += (*text - '0') * scale;
    if (negative) {
        time.tv_sec = -time.tv_sec - (time.tv_nsec ? 1 : 0);
        time.tv_nsec = time.tv_nsec ? 1000000000 - time.tv_nsec : 0;
    }
    return time;
}

static void set_record(struct entry *e, const char *key, const char *value, size_t size)
{
    if (!strcmp(key, "path")) {
        set_name(e->name, value, size);
        e->has_name = true;
    } else if (!strcmp(key, "linkpath")) {
        set_name(e->link, value, size);
        e->has_link = true;
    } else if (!strcmp(key, "size")) {
        e->size = strtoull(value, NULL, 10);
        e->has_size = true;
    } else if (!strcmp(key, "uid")) {
        e->uid = (uid_t)strtoul(value, NULL, 10);
        e->has_uid = true;
    } else if (!strcmp(key, "gid")) {
        e->gid = (gid_t)strtoul(value, NULL, 10);
        e->has_gid = true;
    } else if (!strcmp(key, "mtime")) {
        e->time = parse_time(value);
        e->has_time = true;
    }
}

/* "LENGTH KEY=VALUE\n", one after the other; the length counts all of it. */
static void parse_records(struct entry *e, char *text, size_t size)
{
    char *end = text + size;

    while (text < end) {
        char *rest, *key, *equals;
        size_t length = strtoul(text, &rest, 10);
        if (*rest != ' ' || length < 5 || length > (size_t)(end - text) || text[length - 1] != '\n')
            fail(BAD_ARCHIVE, "the archive", "an extended header is malformed");
        key = rest + 1;
        text[length - 1] = 0;
        equals = memchr(key, '=', (size_t)(text + length - key));
        if (!equals)
            fail(BAD_ARCHIVE, "the archive", "an extended header is malformed");
        *equals = 0;
        set_record(e, key, equals + 1, (size_t)(text + length - 1 - (equals + 1)));
        text += length;
    }
}

/* Headers that speak of the next one: PAX and GNU long names. */
static void read_extension(struct entry *e, char type, uint64_t size)
{
    static char text[BUFFER + 1];

    if (size > BUFFER)
        fail(BAD_ARCHIVE, "the archive", "an extended header is too long");
    if (!take(text, (size_t)size) && size)
        fail(BAD_ARCHIVE, "the archive", "it ends too early");
    text[size] = 0;
    skip(padding(size));
    if (type == 'x') {
        parse_records(e, text, (size_t)size);
    } else if (type == 'L') {
        set_name(e->name, text, strlen(text));
        e->has_name = true;
    } else if (type == 'K') {
        set_name(e->link, text, strlen(text));
        e->has_link = true;
    }
}

static void take_header(struct entry *e, const struct tar_header *h)
{
    size_t prefix = memcmp(h->magic, "ustar", 6) ? 0 : strnlen(h->prefix, sizeof h->prefix);

    if (!e->has_name) {
        size_t length = strnlen(h->name, sizeof h->name);
        memcpy(e->name, h->prefix, prefix);
        if (prefix)
            e->name[prefix++] = '/';
        memcpy(e->name + prefix, h->name, length);
        e->name[prefix + length] = 0;
    }
    if (!e->has_link)
        set_name(e->link, h->linkname, strnlen(h->linkname, sizeof h->linkname));
    if (!e->has_size)
        e->size = parse_number(h->size, sizeof h->size);
    if (!e->has_uid)
        e->uid = (uid_t)parse_number(h->uid, sizeof h->uid);
    if (!e->has_gid)
        e->gid = (gid_t)parse_number(h->gid, sizeof h->gid);
    if (!e->has_time)
        e->time.tv_sec = (time_t)parse_number(h->mtime, sizeof h->mtime);
    e->mode = (mode_t)parse_number(h->mode, sizeof h->mode) & 07777;
    e->type = h->type;
}

/* The next entry; false at the end of the archive. */
static bool next_entry(struct entry *e)
{
    static const struct tar_header zero;
    struct tar_header h;

    memset(e, 0, sizeof *e);
    for (;;) {
        if (!take(&h, BLOCK))
            return false;
        if (!memcmp(&h, &zero, BLOCK))
            return false;
        if (parse_number(h.checksum, sizeof h.checksum) != tar_checksum(&h))
            fail(BAD_ARCHIVE, "the archive", "this is not a tar stream");
        if (h.type != 'x' && h.type != 'g' && h.type != 'L' && h.type != 'K')
            break;
        read_extension(e, h.type, parse_number(h.size, sizeof h.size));
    }
    take_header(e, &h);
    return true;
}

/* -- files -------------------------------------------------------------------------------------------------------- */

/* The name relative to the destination, without leading slashes, "." parts and doubled or trailing slashes. */
static void normalise(char *name, const char *shown)
{
    char *to = name, *from = name;

    while (*from) {
        size_t length = strcspn(from, "/");
        if (length == 2 && !memcmp(from, "..", 2))
            fail(BAD_ARCHIVE, shown, "a name leads out of the destination");
        if (length && !(length == 1 && *from == '.')) {
            if (to != name)
                *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length + (from[length] == '/');
    }
    *to = 0;
}

static void leave_directories(const char *name)
{
    while (depth) {
        struct open_directory *top = &stack[depth - 1];
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, top->time};
        if (name && !strncmp(name, top->name, top->length) && name[top->length] == '/')
            return;
        fchmodat(root, top->name, top->mode, 0);
        utimensat(root, top->name, times, 0);
        free(top->name);
        depth--;
    }
}

/* Files of one directory mostly come one after another: it is made, or found to be there, for the first of them. */
static char parent[NAME_LIMIT];

static void make_parents(char *name)
{
    char *last = strrchr(name, '/');
    size_t length = last ? (size_t)(last - name) : 0;

    if (!last || (!strncmp(parent, name, length) && !parent[length]))
        return;
    for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdirat(root, name, 0755) && errno != EEXIST)
            refuse(name);
        *slash = '/';
    }
    memcpy(parent, name, length);
    parent[length] = 0;
}

static void make_way(const char *name)
{
    if (unlinkat(root, name, 0) && errno == EISDIR)
        fail(FAILED, name, "there is a directory of this name");
}

static void own(const struct entry *e)
{
    if (geteuid() == 0 && fchownat(root, e->name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW))
        refuse(e->name);
}

static void date(const struct entry *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->time};

    utimensat(root, e->name, times, AT_SYMLINK_NOFOLLOW);
}

static void extract_directory(const struct entry *e)
{
    struct open_directory *top;
    struct stat status;

    if (!*e->name)
        return; /* the destination itself keeps what it has */
    if (mkdirat(root, e->name, 0700)) {
        if (errno != EEXIST)
            refuse(e->name);
        if (fstatat(root, e->name, &status, 0) || !S_ISDIR(status.st_mode))
            fail(FAILED, e->name, "there is something else of this name");
    }
    if (geteuid() == 0)
        fchownat(root, e->name, e->uid, e->gid, 0);
    if (depth == DEPTH)
        fail(BAD_ARCHIVE, e->name, "directories are nested too deeply");
    top = &stack[depth++];
    *top = (struct open_directory){strlen(e->name), strdup(e->name), e->mode, e->time};
    if (!top->name)
        fail(FAILED, e->name, "out of memory");
}

static void extract_file(const struct entry *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->time};
    struct stat status;
    int fd = openat(root, e->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST) {
        make_way(e->name);
        fd = openat(root, e->name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (fd < 0)
        refuse(e->name);
    copy_data(fd, e->size, e->name);
    if (fstat(fd, &status))
        refuse(e->name);
    if (geteuid() == 0 && (status.st_uid != e->uid || status.st_gid != e->gid) && fchown(fd, e->uid, e->gid))
        refuse(e->name);
    if (futimens(fd, times) || fchmod(fd, e->mode)) /* the mode last: until then it is known for a part */
        refuse(e->name);
    if (close(fd))
        refuse(e->name);
    skip(padding(e->size));
}

/* An entry of type 'R' brings nothing: what stands at its name is removed. What is not there need not be removed, and a
 * directory that somebody else has filled stays. */
static void remove_entry(const struct entry *e)
{
    *parent = 0;
    if (!*e->name || !unlinkat(root, e->name, 0))
        return;
    if (errno == EISDIR && !unlinkat(root, e->name, AT_REMOVEDIR))
        return;
    if (errno != ENOENT && errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
        refuse(e->name);
}

static void extract(struct entry *e)
{
    normalise(e->name, e->name);
    leave_directories(e->name);
    if (e->type == 'R') {
        remove_entry(e);
        skip(e->size + padding(e->size));
        return;
    }
    make_parents(e->name);
    if (e->type == '5' || !*e->name) {
        extract_directory(e);
        skip(e->size + padding(e->size));
    } else if (e->type == '0' || e->type == 0 || e->type == '7') {
        extract_file(e);
    } else if (e->type == '2') {
        make_way(e->name);
        if (symlinkat(e->link, root, e->name))
            refuse(e->name);
        own(e);
        date(e);
    } else if (e->type == '1') {
        normalise(e->link, e->name);
        make_way(e->name);
        if (linkat(root, e->link, root, e->name, 0))
            refuse(e->name);
    } else {
        fail(BAD_ARCHIVE, e->name, "neither a file nor a directory nor a link");
    }
}

int archive_extract(const char *destination)
{
    static struct entry e;

    root = open(destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        fail(errno == ENOENT || errno == ENOTDIR ? NO_ENTRY : FAILED, destination, strerror(errno));
    while (next_entry(&e))
        extract(&e);
    leave_directories(NULL);
    while (fill()) /* what follows the end of an archive is padding */
        buffer_at = buffer_end;
    return 0;
}
