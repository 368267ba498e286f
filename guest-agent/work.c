/* The machine's work disk: an ext4 file system of its own on /root. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent.h"
#include "loader.h"
#include "machine.h"

#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t) /* fs/ext4/ext4.h: no header for user space has it */

/* How many blocks the file system says that it has: the kernel takes its time over a growth to the same size. */
static uint64_t blocks_of(int device)
{
    uint32_t superblock[1024 / 4];

    if (pread(device, superblock, sizeof superblock, 1024) != sizeof superblock)
        return 0;
    return (uint64_t)superblock[0x150 / 4] << 32 | superblock[0x04 / 4];
}

/* The kernel grows a mounted ext4 itself, so that no image needs a tool for it. */
void grow(const char *disk, const char *path, const char *what)
{
    int device = open(disk, O_RDONLY | O_CLOEXEC), top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs status;
    uint64_t bytes, blocks;

    if (device < 0 || top < 0 || ioctl(device, BLKGETSIZE64, &bytes) || fstatfs(top, &status)) {
        dprintf(2, "banger: the size of %s cannot be told: %s\n", what, strerror(errno));
    } else {
        blocks = bytes / (uint64_t)status.f_bsize;
        if (blocks != blocks_of(device) && ioctl(top, EXT4_IOC_RESIZE_FS, &blocks))
            dprintf(2, "banger: %s cannot be grown: %s\n", what, strerror(errno));
    }
    close(device);
    close(top);
}

/* A service of the image's init that is started again finds it mounted. */
static bool is_mounted(void)
{
    struct stat above, here;

    return stat("/", &above) == 0 && stat(WORK_DISK, &here) == 0 && above.st_dev != here.st_dev;
}

void mount_work(void)
{
    char disk[64];

    if (!plan.work || is_mounted())
        return;
    find_disk(plan.work, disk, sizeof disk);
    mkdir(WORK_DISK, 0700);
    if (mount(disk, WORK_DISK, "ext4", 0, NULL))
        give_up("cannot mount the work disk %s: %s", disk, strerror(errno));
    grow(disk, WORK_DISK, "the work disk");
}
