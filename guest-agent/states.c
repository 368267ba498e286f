/* What names are below a directory: kind and mode, size, time of change. Nothing is opened or read, and a link is what it
 * is and not what it leads to. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "wire.h"

#define RECORD 24
#define RECORDS 256

char *const *states_names;

static bool absent(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG; }

static bool tell(const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = write(1, data, size);
        if (n < 0 && errno != EINTR)
            return false;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Little-endian: u32 st_mode, u32 0, u64 size, i64 nanoseconds since 1970; all zeros for what is not there. */
static void describe(uint8_t *record, const struct stat *status)
{
    put32(record, status->st_mode);
    put64(record + 8, (uint64_t)status->st_size);
    put64(record + 16, (uint64_t)(status->st_mtim.tv_sec * 1000000000LL + status->st_mtim.tv_nsec));
}

int states_list(const char *directory)
{
    static uint8_t records[RECORDS * RECORD];
    size_t used = 0;
    int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0 && !absent(errno)) {
        dprintf(2, "%s: %s", directory, strerror(errno));
        return FAILED;
    }
    for (char *const *name = states_names; *name; name++) {
        struct stat status;
        uint8_t *record = records + used;
        memset(record, 0, RECORD);
        if (root >= 0 && !fstatat(root, *name, &status, AT_SYMLINK_NOFOLLOW)) {
            describe(record, &status);
        } else if (root >= 0 && !absent(errno)) {
            dprintf(2, "%s: %s", *name, strerror(errno));
            return FAILED;
        }
        used += RECORD;
        if (used == sizeof records) {
            if (!tell(records, used))
                return FAILED;
            used = 0;
        }
    }
    return tell(records, used) ? 0 : FAILED;
}
