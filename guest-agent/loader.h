#ifndef LOADER_H
#define LOADER_H

#include <sys/types.h>

#include "port.h"

/* loader.c: from the initramfs to the image's root */
void loader_run(char *arguments[]) __attribute__((noreturn));
/* Says one line on the console and turns the machine off. */
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* init.c: process 1 of an image that has none */
void init_run(struct transport_fd transport, pid_t agent) __attribute__((noreturn));
pid_t start_agent(struct transport_fd transport);

/* mounts.c */
void mount_early(void);
void unmount_early(void);
void mount_runtime(void);
void mount_for_own_init(void);
void unmount_all(void);

/* device.c */
void load_modules(const char *list);
void find_disk(const char *serial, char *path, size_t size);

/* network.c */
void bring_up_loopback(void);
void bring_up_network(const char *description);

/* tree.c */
void copy_tree(int source, int target);
void remove_tree(int directory);

#endif
