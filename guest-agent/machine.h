#ifndef MACHINE_H
#define MACHINE_H

#include "spawn.h"

/* Flushes, makes the root read-only and turns the machine off. Returns only when the kernel refuses. */
void machine_settle_and_off(void);

#endif
