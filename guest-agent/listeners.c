/* What listens in the machine: sockets out of the kernel's tables, and whose they are by the descriptors of all
 * processes. A child of the agent looks, for a guest may have any number of either: it tells what it has found when its
 * time is over, and says that there may be more. Nothing here is believed: whoever is root in the guest may have put
 * anything in the place of these files. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "listeners.h"
#include "wire.h"

#define MAX_LISTENERS 1024
#define LOOK_MS 2000 /* then what is known is told */
#define END_S 8      /* then the child is ended, whatever holds it up */
#define NAME_SIZE 16 /* of a process, as the kernel keeps it */
#define COLUMNS 10   /* of a table, up to the inode */
#define RECORD_SIZE 256
#define SOCKET "socket:[" /* and the inode: what a descriptor's link says */

struct listener {
    unsigned long inode;
    uint32_t pid;
    uint16_t port;
    uint8_t transport, size;
    uint8_t address[16];
    char name[NAME_SIZE];
};

static struct listener listeners[MAX_LISTENERS];
static size_t count, unowned;
static int64_t latest;
static bool cut;

static bool late(void)
{
    bool over = now_ms() > latest;

    cut |= over;
    return over;
}

/* "0100007F:0016": words as this machine has them, of an address in the network's order; then the port. */
static bool read_endpoint(struct listener *l, const char *text)
{
    size_t digits = strcspn(text, ":");
    char word[9] = "";

    if ((digits != 8 && digits != 32) || text[digits] != ':')
        return false;
    l->size = (uint8_t)(digits / 2);
    for (size_t i = 0; i < l->size; i += 4) {
        memcpy(word, text + 2 * i, 8);
        put32(l->address + i, (uint32_t)strtoul(word, NULL, 16));
    }
    l->port = (uint16_t)strtoul(text + digits + 1, NULL, 16);
    return l->port;
}

static void take_line(char *line, uint8_t transport, const char *state)
{
    struct listener found = {.transport = transport};
    char *column[COLUMNS], *rest = NULL;

    for (int i = 0; i < COLUMNS; i++)
        if (!(column[i] = strtok_r(i ? NULL : line, " ", &rest)))
            return;
    if (strcmp(column[3], state) || !read_endpoint(&found, column[1]))
        return;
    found.inode = strtoul(column[9], NULL, 10);
    if (count < MAX_LISTENERS)
        listeners[count++] = found;
    else
        cut = true;
}

static void read_table(const char *path, uint8_t transport, const char *state)
{
    FILE *file = fopen(path, "re");
    char line[512];

    while (file && !late() && fgets(line, sizeof line, file))
        take_line(line, transport, state);
    if (file)
        fclose(file);
}

static int by_inode(const void *one, const void *other)
{
    const struct listener *a = one, *b = other;

    return (a->inode > b->inode) - (a->inode < b->inode);
}

/* Of several holders the first is named, and process 1, which may have opened it for a service, only if it is alone. */
static void own(struct listener *l, uint32_t pid)
{
    char path[64];

    if (l->pid > 1)
        return;
    unowned -= pid > 1;
    l->pid = pid;
    snprintf(path, sizeof path, "/proc/%u/comm", pid);
    if (read_line(path, l->name, sizeof l->name) < 0)
        l->name[0] = 0;
}

static void look_at(uint32_t pid)
{
    struct listener key = {0}, *found;
    struct dirent *entry;
    char text[64];
    DIR *list;

    snprintf(text, sizeof text, "/proc/%u/fd", pid);
    list = opendir(text);
    while (list && unowned && !late() && (entry = readdir(list))) {
        ssize_t size = readlinkat(dirfd(list), entry->d_name, text, sizeof text - 1);
        text[size > 0 ? size : 0] = 0;
        if (strncmp(text, SOCKET, strlen(SOCKET)))
            continue;
        key.inode = strtoul(text + strlen(SOCKET), NULL, 10);
        found = bsearch(&key, listeners, count, sizeof key, by_inode);
        if (found)
            own(found, pid);
    }
    if (list)
        closedir(list);
}

static void find_owners(void)
{
    DIR *list = opendir("/proc");
    struct dirent *entry;

    qsort(listeners, count, sizeof *listeners, by_inode);
    unowned = count;
    while (list && unowned && !late() && (entry = readdir(list))) {
        unsigned long pid = strtoul(entry->d_name, NULL, 10);
        if (pid)
            look_at((uint32_t)pid);
    }
    if (list)
        closedir(list);
}

static bool tell(const struct listener *l)
{
    uint8_t memory[RECORD_SIZE], whole[RECORD_SIZE + 5];
    struct writer w = {memory, memory + sizeof memory}, outer = {whole, whole + sizeof whole};

    write_number(&w, F_TRANSPORT, l->transport);
    write_field(&w, F_ADDRESS, l->address, l->size);
    write_number(&w, F_LOCAL_PORT, l->port);
    if (l->pid) {
        write_number(&w, F_PID, l->pid);
        write_text(&w, F_NAME, l->name);
    }
    write_field(&outer, F_RECORD, memory, (uint32_t)(w.at - memory));
    return write(1, whole, (size_t)(outer.at - whole)) == outer.at - whole;
}

int listeners_list(const char *unused)
{
    uint8_t more[5];
    struct writer w = {more, more + sizeof more};

    (void)unused;
    alarm(END_S);
    latest = now_ms() + LOOK_MS;
    read_table("/proc/net/tcp", 6, "0A");   /* listening */
    read_table("/proc/net/tcp6", 6, "0A");
    read_table("/proc/net/udp", 17, "07");  /* with a port, and no peer */
    read_table("/proc/net/udp6", 17, "07");
    find_owners();
    for (size_t i = 0; i < count; i++)
        if (!tell(&listeners[i]))
            return FAILED;
    write_field(&w, F_MORE, NULL, 0);
    return cut && write(1, more, sizeof more) < 0 ? FAILED : 0;
}
