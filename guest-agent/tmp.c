/* /tmp, where /etc/fstab has it in memory, as it is written for a new machine. Commands run from the first moment, and
 * the image's init mounts the file system in the middle of its boot: what they had put there would be gone. So it is
 * mounted here beforehand, which an init takes for its own work. Debian's systemd empties the directory then; it finds
 * a rule that does not, as there is nothing from before (tmpfiles.d(5)). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"

#define RULES "tmpfiles.d/tmp.conf"
#define LIMIT 16384

/* A whole file of less than LIMIT bytes; its size, or -1. */
static ssize_t read_text(const char *path, char text[LIMIT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, LIMIT - 1);

    close(fd);
    if (size < 0 || size == LIMIT - 1)
        return -1;
    text[size] = 0;
    return size;
}

/* The options of the table's tmpfs on /tmp, NULL where it has none. */
static char *find_options(void)
{
    static char table[LIMIT];
    char *at = table, *line, *field[4];
    int n;

    if (read_text("/etc/fstab", table) < 0)
        return NULL;
    while ((line = strsep(&at, "\n"))) {
        for (n = 0; n < 4 && (field[n] = strsep(&line, " \t"));)
            n += *field[n] != 0;
        if (n == 4 && *field[0] != '#' && !strcmp(field[1], "/tmp") && !strcmp(field[2], "tmpfs"))
            return field[3];
    }
    return NULL;
}

/* Takes the words that mount(8) takes; what is neither a flag nor for other programs is the file system's. */
static bool mount_tmp(char *options)
{
    static const struct {
        const char *word;
        unsigned long flag;
    } flags[] = {
        {"defaults", 0}, {"rw", 0}, {"auto", 0}, {"nofail", 0}, {"nosuid", MS_NOSUID}, {"nodev", MS_NODEV},
        {"noexec", MS_NOEXEC}, {"noatime", MS_NOATIME}, {"relatime", MS_RELATIME}, {"strictatime", MS_STRICTATIME},
    };
    unsigned long asked = 0;
    char own[256] = "";
    unsigned i;

    for (char *word; (word = strsep(&options, ","));) {
        for (i = 0; i < sizeof flags / sizeof flags[0] && strcmp(word, flags[i].word); i++)
            ;
        if (i < sizeof flags / sizeof flags[0])
            asked |= flags[i].flag;
        else if (*word && strncmp(word, "x-", 2) && strlen(own) + strlen(word) + 2 < sizeof own)
            strcat(strcat(own, *own ? "," : ""), word);
    }
    return mount("tmpfs", "/tmp", "tmpfs", asked, own) == 0;
}

/* Has the rule that empties /tmp ("D") make it alone ("d"); whether there was one. */
static bool tame(char *rules)
{
    bool empties = false;

    for (char *line = rules; line; line = strchr(line, '\n')) {
        char *path;
        line += *line == '\n';
        path = line + strcspn(line, " \t\n");
        path += strspn(path, " \t");
        if (*line != 'D' || strncmp(path, "/tmp", 4) || !strchr(" \t\n", path[4]))
            continue;
        *line = 'd';
        empties = true;
    }
    return empties;
}

/* What lies in /run counts before what the distribution brings, and behind the administrator's own. */
static void keep_tmp(void)
{
    static char rules[LIMIT];
    ssize_t size = read_text("/usr/lib/" RULES, rules);
    int to;

    if (size < 0 || !tame(rules))
        return;
    mkdir("/run/tmpfiles.d", 0755);
    to = open("/run/" RULES, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (to >= 0 && write(to, rules, (size_t)size) != size)
        unlink("/run/" RULES);
    close(to);
}

void settle_tmp(void)
{
    char *options = find_options();

    if (options && mount_tmp(options))
        keep_tmp();
}
