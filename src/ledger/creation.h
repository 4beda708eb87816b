/* What --create has made of a target, or is making: which objects, how far, and from what dump.
 *
 * The dump is kept in the ledger, so that any host can go on. It is restored in chunks, each in one
 * transaction with its mark; what is left for later (see haul/create.h) is kept beside it. Chunks of
 * one wave may be made beside each other (see plan/waves.h). One mover at a time creates: it holds
 * ph_creation_lock, and each other connection that makes chunks for it holds ph_creation_help. A
 * creation belongs to a job once that is written down, and goes with it.
 */
#ifndef PH_LEDGER_CREATION_H
#define PH_LEDGER_CREATION_H

#include "base/arena.h"
#include "base/buf.h"
#include "pg/conn.h"

struct ph_creation {
    int64_t id;
    const char *key;           /* what is created, of which source, how: canonical JSON */
    int major;                 /* of the pg_dump that made the dump */
    const char *const *chunks; /* lists for pg_restore, in order */
    const int *waves;          /* of each */
    bool *done;                /* likewise */
    int n_chunks, n_done;
    const char *rest;   /* likewise, for after the rows */
    const char *counts; /* JSON: what is made, by kind */
    bool made;
};

/* The creation of that key; *out is NULL when there is none. There is a ledger. */
bool ph_creation_find(struct ph_conn *conn, struct ph_arena *arena, const char *key,
                      struct ph_creation **out, struct ph_err *err);

/* All that are written down: without a job first, then of jobs that are not complete; n 0: none, or there is no ledger. */
struct ph_creation_other {
    const char *key, *job; /* job NULL: it has come to none */
    bool completed;        /* the job */
};
bool ph_creation_others(struct ph_conn *conn, struct ph_arena *arena,
                        struct ph_creation_other **others, int *n, struct ph_err *err);

/* Tries to take the lock; it lasts as long as the connection. It is not to be had while a helper of a
 * mover that has died is still at work. */
bool ph_creation_lock(struct ph_conn *conn, bool *taken, struct ph_err *err);

/* The connection helps who holds the lock; likewise. */
bool ph_creation_help(struct ph_conn *conn, struct ph_err *err);

/* [tx] Writes a new one down. */
bool ph_creation_put(struct ph_conn *conn, struct ph_creation *creation, const struct ph_buf *dump,
                     struct ph_err *err);

bool ph_creation_dump(struct ph_conn *conn, int64_t id, struct ph_buf *dump, struct ph_err *err);

/* [tx] The chunk is done; the last one makes it `made`. The last statement before COMMIT: marks wait for each
 * other. Changes nothing in `creation`. */
bool ph_creation_mark(struct ph_conn *conn, const struct ph_creation *creation, int chunk,
                      struct ph_err *err);

/* What has been begun and has no job yet; n 0: nothing, or there is no ledger. */
struct ph_creation_left {
    int n;           /* creations */
    int parts, done; /* chunks of all of them */
    bool live;       /* a mover is at it */
};
bool ph_creation_left(struct ph_conn *conn, struct ph_creation_left *out, struct ph_err *err);

/* Forgets them, and takes the ledger away if nothing else is written down in it. What was made stays. PH_HELD when a
 * mover is at it. */
bool ph_creation_forget(struct ph_conn *conn, struct ph_err *err);

/* [tx] It is that job's. */
bool ph_creation_adopt(struct ph_conn *conn, int64_t id, int64_t job, struct ph_err *err);

#endif
