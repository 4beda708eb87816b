/* The wish to stop, seen by every thread and every wait.
 *
 * Level 0: go on. Level 1 (first SIGINT, SIGTERM or SIGHUP): finish the shards in hand, begin no
 * new one. Level 2 (second signal): stop at once. Whoever waits polls ph_interrupt_fd() of the
 * level that concerns it together with its own descriptors; the descriptor stays readable once the
 * level is reached.
 *
 * ph_interrupt_raise() is async-signal-safe; everything is safe from any thread.
 */
#ifndef PH_BASE_INTERRUPT_H
#define PH_BASE_INTERRUPT_H

#include <stdatomic.h>

#include "pghaul/err.h"

struct ph_interrupt {
    atomic_int level;
    int fd[3]; /* by level; [0] is unused */
};

bool ph_interrupt_init(struct ph_interrupt *it, struct ph_err *err);
void ph_interrupt_fini(struct ph_interrupt *it);

/* Raises the level by one, up to 2. */
void ph_interrupt_raise(struct ph_interrupt *it);

/* Whether `level` (1 or 2) has been reached. NULL: never. */
bool ph_interrupt_at(const struct ph_interrupt *it, int level);

/* A descriptor that is readable once `level` is reached; -1 for NULL. */
int ph_interrupt_fd(const struct ph_interrupt *it, int level);

/* Sleeps for at most `seconds`; returns false when `level` was reached before they were over. */
bool ph_interrupt_sleep(const struct ph_interrupt *it, int level, double seconds);

#endif
