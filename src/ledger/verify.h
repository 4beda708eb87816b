/* The ledger as verify reads it: by which job each table was loaded, and the receipts of that.
 *
 * Read inside of the transaction under whose snapshot the target is read: then a receipt is there
 * if and only if its rows are.
 */
#ifndef PH_LEDGER_VERIFY_H
#define PH_LEDGER_VERIFY_H

#include "base/arena.h"
#include "pg/conn.h"
#include "pghaul/tally.h"

/* Whether there is a ledger that may be read: a role that may read the tables need not be one that may read it. */
bool ph_ledger_may_read(struct ph_conn *conn, bool *yes, struct ph_err *err);

/* How a table was loaded: one table of a job. */
struct ph_ledger_load {
    int64_t job;
    const char *name, *mode;
    bool nonempty;    /* into a target that may have had rows of its own */
    bool same_target; /* which is still the same file */
    bool open;        /* the job is not complete */
    int tab;
    uint32_t source_oid, source_filenode, target_oid;
    const char *format, *select_list, *target_columns;
    const char *definition; /* of the job */
    const char *stands,     /* what that proof stands upon */
        *proven_at; /* when a verify in the same way that has not ended proved it; else NULL */
};

/* Every table of the job of that name; NULL: of each pair of tables the latest job, as far as it
 * read this source. An empty list where there is no ledger. */
struct ph_ledger_loads {
    struct ph_ledger_load *items;
    int n;
};
bool ph_ledger_loads(struct ph_conn *conn, struct ph_arena *arena, const char *job,
                     uint64_t source_system, uint32_t source_database, const char *how,
                     struct ph_ledger_loads *out, struct ph_err *err);

/* Notes that a table of a job is proven, in this way, by a verify that goes on, and what shows that it
 * is still; or, when it has ended, forgets what it had noted. */
bool ph_ledger_note_proven(struct ph_conn *conn, int64_t job, int tab, const char *how,
                           const char *stands, struct ph_err *err);
bool ph_ledger_forget_proven(struct ph_conn *conn, int64_t job, int tab, struct ph_err *err);

/* The shards of one table of a job, and their receipts where they have landed. */
struct ph_ledger_receipt {
    int64_t job, shard;
    int tab;
    const char *where; /* what selects its rows in the source */
    bool landed;
    uint64_t xid;
    struct ph_tally tally;
};
bool ph_ledger_receipts(struct ph_conn *conn, struct ph_arena *arena,
                        const struct ph_ledger_load *load, struct ph_ledger_receipt **out, int *n,
                        struct ph_err *err);

/* The rows of these shards were read back and are as they were sent. */
bool ph_ledger_mark_verified(struct ph_conn *conn, int64_t job, int tab, struct ph_err *err);

/* Whether there is a ledger that can make large objects; and whether a job that is not complete moves some. */
bool ph_ledger_makes_objects(struct ph_conn *conn, bool *makes, bool *moving, struct ph_err *err);

/* The definition of a job, to make its tables of; NULL when there is none of that name. */
bool ph_ledger_definition(struct ph_conn *conn, struct ph_arena *arena, const char *job,
                          const char **definition, struct ph_err *err);

#endif
