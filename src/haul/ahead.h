/* Connections that are made ahead: those that the first workers of a new job will need, while the job is being written down.
 *
 * A server takes some milliseconds for a new session, and so do both for each worker; the ledger takes longer, on one core.
 * Each thread makes the connections of one worker. What cannot be had is not there: the worker connects himself then, and
 * meets the reason.
 *
 * Call order: ph_ahead_begin; ph_ahead_spare; ph_ahead_take for each worker; ph_ahead_end, which closes what nobody has taken
 * and is harmless at any time. All by one thread; afterwards the threads are gone (who forks must call it before).
 */
#ifndef PH_HAUL_AHEAD_H
#define PH_HAUL_AHEAD_H

#include <pthread.h>

#include "pg/conn.h"

enum { PH_AHEAD_MAX = 8 };

struct ph_ahead_opts {
    const struct ph_dsn *source, *target;
    const char *encoding;
    const char *tag; /* of the job, for application_name */
    int workers;     /* there will be so many; the first PH_AHEAD_MAX are served */
    struct ph_interrupt *interrupt;
};

struct ph_ahead {
    struct ph_ahead_opts opts;
    struct ph_ahead_pair {
        struct ph_ahead *ahead;
        pthread_t thread;
        bool started;
        int slot;
        bool has_target; /* it will get a spare one */
        struct ph_conn *source, *target;
    } pair[PH_AHEAD_MAX];
};

/* Begins to connect. Everything in opts is borrowed until the end. spared: worker 1 will be given a connection to the target. */
void ph_ahead_begin(struct ph_ahead *ahead, const struct ph_ahead_opts *opts, bool spared);

/* Gives away a connection to the target that is not needed any more; NULL is fine. */
void ph_ahead_spare(struct ph_ahead *ahead, struct ph_conn *target);

/* Waits for the connections of a worker, which are the caller's then; NULL where there is none. */
void ph_ahead_take(struct ph_ahead *ahead, int slot, struct ph_conn **source,
                   struct ph_conn **target);

void ph_ahead_end(struct ph_ahead *ahead);

#endif
