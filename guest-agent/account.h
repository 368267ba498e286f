/* Who a command runs as: our own small reading of /etc/passwd and /etc/group, because the image may have no libc. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#define MAX_GROUPS 64
#define NAME_SIZE 64
#define HOME_SIZE 256

struct account {
    bool known; /* there is a passwd entry */
    uid_t uid;
    gid_t gid;
    gid_t groups[MAX_GROUPS];
    int group_count;
    char name[NAME_SIZE], home[HOME_SIZE], shell[HOME_SIZE];
};

/* "name", "uid", "name:group" or "uid:gid"; NULL means the caller's own. False when a name is unknown. */
bool account_find(const char *wanted, struct account *account);

#endif
