/* Tar streams: what a put extracts and a get creates. Both run in a child, with the stream as standard input or
 * output; they return 0 or a refusal, after one line about it on standard error. */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <stdint.h>

#define BLOCK 512
#define NAME_LIMIT 4096
#define SPLICE_FROM (128 * 1024) /* smaller files are not worth the system calls */

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100], magic[6],
        version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], pad[12];
};

_Static_assert(sizeof(struct tar_header) == BLOCK, "a tar header is one block");

int archive_extract(const char *destination);
int archive_create(const char *path);

/* Records of what `states_names`, ended by NULL, are below a directory. */
extern char *const *states_names;
int states_list(const char *directory);
unsigned tar_checksum(const struct tar_header *header);
/* The last part of a path, for `archive_create`'s names. */

#endif
