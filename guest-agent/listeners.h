#ifndef LISTENERS_H
#define LISTENERS_H

/* In a child: writes a record for each socket that listens to standard output. 0, or a refusal. */
int listeners_list(const char *unused);

#endif
