/* Scratch tables: what tune loads into, like a target but never the target itself.
 *
 * A scratch table is written down, and that is committed, before it is made. It lives as long as the session lock of who made
 * it; one whose maker has died is found by its free lock and taken away by the next tune or clean, together with the job that
 * loaded it last. The list is a table pghaul.scratch, which goes with the last of them.
 *
 * Connections are control connections to the target with no transaction open.
 */
#ifndef PH_LEDGER_SCRATCH_H
#define PH_LEDGER_SCRATCH_H

#include "base/arena.h"
#include "pg/conn.h"

/* What of the original the copy has not, to learn what that costs. */
enum { PH_SCRATCH_NO_INDEXES = 1, PH_SCRATCH_UNLOGGED = 2 };

struct ph_scratch {
    int id;
    const char *schema, *name; /* beside the original */
};

/* Makes one like a table: columns, defaults, checks, generated columns, indexes, storage, persistence, tablespace, access method;
 * not its triggers and foreign keys. job and its tag: whose rows it is going to hold. PH_WRONG when the role may not. */
bool ph_scratch_make(struct ph_conn *conn, struct ph_arena *arena, const char *schema,
                     const char *name, const char *job, const char *tag, int without,
                     struct ph_scratch *out, struct ph_err *err);

bool ph_scratch_truncate(struct ph_conn *conn, const struct ph_scratch *scratch,
                         struct ph_err *err);

bool ph_scratch_drop(struct ph_conn *conn, const struct ph_scratch *scratch, struct ph_err *err);

/* Takes away what the dead have left, and says what it was; in the arena. The jobs' files are not its affair. */
struct ph_scratch_left {
    const char *schema, *name, *job, *tag;
};
bool ph_scratch_sweep(struct ph_conn *conn, struct ph_arena *arena, struct ph_scratch_left **left,
                      int *n, struct ph_err *err);

/* Takes away a job of ours that has just ended: its last backends may still be about to notice. PH_WRONG: there is none. */
bool ph_scratch_end_job(struct ph_conn *conn, const char *job, struct ph_err *err);

#endif
