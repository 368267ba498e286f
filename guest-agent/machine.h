#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>

#include "spawn.h"

/* The machine has no power switch that its kernel could reach: it ends with a reset. */
extern bool off_by_reset;
/* Where the work disk is mounted, on machines that have one. */
#define WORK_DISK "/root"
/* Flushes, makes work disk and root read-only and turns the machine off. Returns only when the kernel refuses. */
void machine_settle_and_off(void);
void machine_off(void);

#endif
