/* Kernel modules and disks. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"

#define DISK_TRIES 5000
#define DISK_PAUSE_US 2000

static void load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        give_up("module %s: %s", path, strerror(errno));
    if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
        give_up("module %s: %s", path, strerror(errno));
    close(fd);
}

/* One path a line, in the order of loading. A kernel with everything built in has no list. */
void load_modules(const char *list)
{
    char line[512];
    FILE *file = fopen(list, "re");

    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (*line)
            load_module(line);
    }
    if (file)
        fclose(file);
}

static int look_for_disk(const char *serial, char *path, size_t size)
{
    DIR *list = opendir("/sys/block");
    struct dirent *entry;
    int found = 0;

    while (list && !found && (entry = readdir(list))) {
        char name[320], value[64];
        snprintf(name, sizeof name, "/sys/block/%s/serial", entry->d_name);
        if (entry->d_name[0] == '.' || read_line(name, value, sizeof value) < 0 || strcmp(value, serial))
            continue;
        snprintf(path, size, "/dev/%s", entry->d_name);
        found = access(path, F_OK) == 0;
    }
    if (list)
        closedir(list);
    return found;
}

/* The node of a disk that is given by its serial or as a node; waits for one that the kernel has yet to announce. */
void find_disk(const char *disk, char *path, size_t size)
{
    bool node = !strncmp(disk, "/dev/", 5);

    for (int tries = 0; tries < DISK_TRIES; tries++) {
        if (node ? access(disk, F_OK) == 0 : look_for_disk(disk, path, size)) {
            if (node)
                snprintf(path, size, "%s", disk);
            return;
        }
        usleep(DISK_PAUSE_US);
    }
    give_up(node ? "there is no disk %s" : "no disk has the serial %s", disk);
}
