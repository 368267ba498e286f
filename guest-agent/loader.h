#ifndef LOADER_H
#define LOADER_H

#include <sys/types.h>

#include "port.h"

/* plan.c: the kernel command line; NULL for what it does not say */
struct plan {
    const char *root, *work, *modules, *init, *net, *dns, *hostname, *grow, *port, *off;
};
extern struct plan plan;
void read_plan(void);
void name_and_connect(void);

/* loader.c: from the initramfs to the image's root */
void loader_run(char *arguments[]) __attribute__((noreturn));

/* start.c: in the image's root */
void root_run(char *arguments[]) __attribute__((noreturn));
void service_run(char *arguments[]) __attribute__((noreturn));
void hand_over(struct transport_fd transport) __attribute__((noreturn));
void keep_arguments(char *arguments[]);
void open_console(void);
struct transport_fd need_transport(void);
pid_t start_agent(struct transport_fd transport);
/* Says one line; as process 1, on the console, and turns the machine off. */
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* init.c: process 1 of an image that has none */
void init_run(struct transport_fd transport, pid_t agent) __attribute__((noreturn));

/* mounts.c */
void mount_early(void);
void unmount_early(void);
void mount_runtime(void);
void mount_for_own_init(void);
void unmount_all(void);

/* tmp.c: before any command runs, what the image's init will do to /tmp */
void settle_tmp(void);

/* work.c */
/* A disk may be larger than the file system on it, which is mounted at a path: the kernel grows that. */
void grow(const char *disk, const char *path, const char *what);
/* The machine's work disk on /root, unless it is there; before anything of the image runs. */
void mount_work(void);

/* device.c */
void load_modules(const char *list);
void find_disk(const char *disk, char *path, size_t size);

/* network.c */
void bring_up_loopback(void);
void bring_up_network(const char *device, const char *description);
void name_servers(const char *list);

/* tree.c */
enum copied {
    NEEDED,  /* what cannot be copied ends the start */
    WANTED,  /* what cannot be copied is told, and left as it was */
    DEFAULTS /* likewise; and a file that the guest has of its own, or has changed since, stays */
};
/* Copies what is below a path of the initramfs onto the root, which is "/" by now. */
void copy_tree(int initramfs, const char *path, enum copied how);
void remove_tree(int directory);

#endif
