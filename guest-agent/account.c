/* Lines longer than the buffer, as directory services never write here, are skipped whole. */
#define _GNU_SOURCE
#include "account.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELDS 7

/* The colon-separated fields of the next line that has `count` of them. */
static bool next_entry(FILE *file, char *line, int size, char *field[], int count)
{
    while (fgets(line, size, file)) {
        char *at = line;
        int found = 0;
        if (!strchr(line, '\n')) {
            int c;
            while ((c = getc(file)) != EOF && c != '\n')
                ;
            if (strlen(line) == (size_t)size - 1)
                continue;
        }
        line[strcspn(line, "\n")] = 0;
        while (found < count && (field[found] = strsep(&at, ":")))
            found++;
        if (found == count)
            return true;
    }
    return false;
}

static bool number(const char *text, unsigned *value)
{
    char *end;
    unsigned long long parsed;

    if (*text < '0' || *text > '9')
        return false;
    parsed = strtoull(text, &end, 10);
    *value = (unsigned)parsed;
    return !*end && parsed < 0xffffffffULL;
}

static bool find_user(const char *wanted, struct account *a)
{
    char line[4096], *field[FIELDS];
    unsigned uid = 0, entry_uid, entry_gid;
    bool numeric = number(wanted, &uid);
    FILE *file = fopen("/etc/passwd", "re");

    while (file && !a->known && next_entry(file, line, sizeof line, field, FIELDS)) {
        if (!number(field[2], &entry_uid) || !number(field[3], &entry_gid))
            continue;
        if (strcmp(field[0], wanted) && !(numeric && entry_uid == uid))
            continue;
        a->known = true;
        a->uid = entry_uid;
        a->gid = entry_gid;
        snprintf(a->name, NAME_SIZE, "%s", field[0]);
        snprintf(a->home, HOME_SIZE, "%s", field[5]);
        snprintf(a->shell, HOME_SIZE, "%s", field[6]);
    }
    if (file)
        fclose(file);
    if (!a->known && numeric)
        a->uid = uid;
    return a->known || numeric;
}

static bool lists(char *members, const char *name)
{
    char *member;

    while ((member = strsep(&members, ",")))
        if (!strcmp(member, name))
            return true;
    return false;
}

/* Sets the group when `wanted` is given, else the supplementary groups of the user. */
static bool find_groups(const char *wanted, struct account *a)
{
    char line[8192], *field[4];
    unsigned gid, entry_gid;
    bool found = wanted && number(wanted, &gid);
    FILE *file = fopen("/etc/group", "re");

    if (found)
        a->gid = gid;
    while (file && !(wanted && found) && next_entry(file, line, sizeof line, field, 4)) {
        if (!number(field[2], &entry_gid))
            continue;
        if (wanted && !strcmp(field[0], wanted)) {
            a->gid = entry_gid;
            found = true;
        } else if (!wanted && a->known && a->group_count < MAX_GROUPS && lists(field[3], a->name)) {
            a->groups[a->group_count++] = entry_gid;
        }
    }
    if (file)
        fclose(file);
    return found || !wanted;
}

bool account_find(const char *wanted, struct account *a)
{
    char user[NAME_SIZE * 2], own[16], *group = NULL;

    memset(a, 0, sizeof *a);
    if (!wanted) {
        snprintf(own, sizeof own, "%u", geteuid());
        a->gid = getegid();
        return find_user(own, a);
    }
    if (strlen(wanted) >= sizeof user)
        return false;
    strcpy(user, wanted);
    group = strchr(user, ':');
    if (group)
        *group++ = 0;
    if (!find_user(*user ? user : "0", a) || (group && !*group))
        return false;
    a->groups[a->group_count++] = a->gid;
    if (!find_groups(group, a))
        return false;
    if (group)
        a->groups[0] = a->gid;
    return true;
}
