/* The ledger in the target, as a job's main thread uses it: find or make the job, hold it, know
 * where it stands, end it. (Workers claim and land through ledger/desk.h; people look through
 * ledger/status.h.)
 *
 * The invariants stand at the head of schema.sql. Every function runs on the control connection to
 * the target; those marked [tx] must be called inside a transaction that begins with
 * ph_ledger_begin, which lets one mover at a time look and decide.
 */
#ifndef PH_LEDGER_PG_H
#define PH_LEDGER_PG_H

#include "base/arena.h"
#include "ledger/roster.h"
#include "ledger/step.h"
#include "pg/conn.h"
#include "pg/snapshot.h"
#include "pg/table.h"

enum { PH_LEDGER_FORMAT = 1 };

struct ph_ledger_job {
    int64_t id;
    int round;
    bool completed;
    const char *fingerprint;
    const char *definition;
    uint64_t source_system;
    uint32_t source_database;
    const char *set; /* 32 hexadecimal digits: this round, or the archive that is loaded */
};

/* A snapshot that an archive was read under. */
struct ph_past_snapshot {
    int no;
    const char *id, *pg_snapshot, *lsn, *taken_at;
    uint64_t oldest;
};

/* What a new job, or a new round, is made of. Everything is borrowed. */
struct ph_ledger_new {
    const char *name, *set, *tag, *mode, *fingerprint, *definition, *source, *target;
    uint64_t source_system;
    uint32_t source_database;
    const struct ph_table *tables;
    int n_tables;
    const struct ph_shard *shards;
    const char *const *lo, *const *hi;
    int n_shards;
    bool nonempty;                      /* the targets may have rows of their own */
    const struct ph_steps *steps;       /* what there is to do besides rows; may be NULL */
    bool replace;                       /* empty the targets in the same transaction */
    bool fk_order;                      /* the tables say what they come after */
    const struct ph_snapshot *snapshot; /* NULL: the shards lie in an archive, and these are its: */
    const struct ph_past_snapshot *past;
    int n_past;
    const char *host;
};

/* Whether the target has a ledger. PH_WRONG when a schema of that name is not ours, PH_OTHER_JOB
 * when it is of a newer version. */
bool ph_ledger_present(struct ph_conn *conn, bool *present, struct ph_err *err);

/* Begins the transaction of a [tx] function; makes the ledger when there is none. */
bool ph_ledger_begin(struct ph_conn *conn, bool install, struct ph_err *err);

/* The same in two halves, where there is no ledger: the first does not wait, and is false when there is one, or the ordinary way
 * has to find out what is wrong. The second names the session after the job of this
 * tag, if it is not NULL; it fails if somebody else has made the ledger meanwhile. */
bool ph_ledger_begin_ahead(struct ph_conn *conn);
bool ph_ledger_await_begin(struct ph_conn *conn, const char *tag, struct ph_err *err);

/* Makes what has been done since ph_ledger_begin durable, really (synchronous_commit = on). */
bool ph_ledger_commit(struct ph_conn *conn, struct ph_err *err);

/* The job of that name; *job is NULL when there is none. */
bool ph_ledger_find(struct ph_conn *conn, struct ph_arena *arena, const char *name,
                    struct ph_ledger_job **job, struct ph_err *err);

/* [tx] PH_WRONG when an unfinished job of another name loads one of these targets. */
bool ph_ledger_refuse_rivals(struct ph_conn *conn, const char *name, const struct ph_table *tables,
                             int n, struct ph_err *err);

/* [tx] PH_HELD when a live run holds the job: the sentence says who, where and since when. */
bool ph_ledger_refuse_live(struct ph_conn *conn, int64_t job, const char *name, struct ph_err *err);

/* [tx] Writes a new job down, tables and shards; with an existing id, a new round of it. replace:
 * the targets are truncated here, once, with the job's mark. */
bool ph_ledger_create(struct ph_conn *conn, const struct ph_ledger_new *what, int64_t *job,
                      struct ph_err *err);

/* [tx] --fk-order: writes down what the tables' rows come after, and looks which shards may go. */
bool ph_ledger_order(struct ph_conn *conn, int64_t job, const struct ph_table *tables, int n,
                     struct ph_err *err);

/* Looks again, after shards that had landed are planned anew. */
bool ph_ledger_order_look(struct ph_conn *conn, int64_t job, struct ph_err *err);

/* [tx] Adds another snapshot to the job. *no is its number. */
bool ph_ledger_add_snapshot(struct ph_conn *conn, int64_t job, const struct ph_snapshot *snapshot,
                            const char *host, int *no, struct ph_err *err);

/* [tx] Registers this process as a mover of the job and takes its lock, which lasts as long as the
 * connection. holder: host and directory of its spill files, or NULL. */
bool ph_ledger_register(struct ph_conn *conn, int64_t job, const char *host, int pid,
                        const char *holder, int *mover, struct ph_err *err);

/* Takes the lock again on a new connection, after the old one was lost. */
bool ph_ledger_hold_again(struct ph_conn *conn, int mover, struct ph_err *err);

/* Lets it go while the connection goes on. */
bool ph_ledger_release(struct ph_conn *conn, int mover, struct ph_err *err);

/* One heartbeat. It is a barrier as well: whatever had committed before it began is on disk when it returns. */
struct ph_pulse {
    int others;        /* other live movers of the job */
    bool needs_source; /* shards are still to be read, or parked */
};
bool ph_ledger_beat(struct ph_conn *conn, int64_t job, int mover, struct ph_pulse *pulse,
                    struct ph_err *err);

/* [tx] A new run begins: parked shards get another chance, back-offs are over. */
bool ph_ledger_reopen(struct ph_conn *conn, int64_t job, struct ph_err *err);

/* After a crash of the target: shards whose unlogged rows are gone are planned again; *lost counts
 * them. */
bool ph_ledger_lost(struct ph_conn *conn, int64_t job, int64_t *lost, struct ph_err *err);

/* Shards that are spilled where no live mover works, and not with `holder` (NULL: with nobody), are planned again. */
bool ph_ledger_forget_spill(struct ph_conn *conn, int64_t job, const char *holder,
                            int64_t *forgotten, struct ph_err *err);

/* One place (host:directory) where shards are spilled; NULL: none. */
bool ph_ledger_stranded(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                        const char **holder, struct ph_err *err);

/* A roster of the shards that have not landed; free it with ph_roster_free. */
bool ph_ledger_roster(struct ph_conn *conn, int64_t job, struct ph_roster **out,
                      struct ph_err *err);

/* The first table whose target is no longer the planned relation; 0: all are. */
bool ph_ledger_other_target(struct ph_conn *conn, int64_t job, int *tab, struct ph_err *err);

/* Adds shards behind the present ones (ids are made here). [tx] */
bool ph_ledger_add_shards(struct ph_conn *conn, int64_t job, const struct ph_shard *shards,
                          const char *const *lo, const char *const *hi, int n, int64_t first_id,
                          struct ph_err *err);

/* The snapshot in force. */
struct ph_ledger_snapshot {
    int no;
    const char *id, *pg_snapshot, *lsn, *keeper_host;
    int keeper_pid, keeper_backend;
    double held_s; /* all snapshots of this round together, up to now or to their release */
    bool released;
};
bool ph_ledger_snapshot(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                        struct ph_ledger_snapshot **out, struct ph_err *err);
/* Notes that the snapshot was let go so many seconds ago. */
bool ph_ledger_release_snapshot(struct ph_conn *conn, int64_t job, double ago_s,
                                struct ph_err *err);

/* Where the job stands, by table. */
struct ph_ledger_tab {
    int id;
    const char *source_schema, *source_name, *target_schema, *target_name;
    uint32_t source_oid, source_filenode, target_oid, target_filenode;
    const char *select_list, *target_columns, *split;
    const char *source_attnums, *target_attnums;
    bool target_unlogged;
    uint64_t rows, bytes;
    int64_t weight, weight_done;
    int shards, landed, parked, spilled;
    int waiting; /* for the rows that its own refer to */
    int64_t weight_spilled;
};
bool ph_ledger_tabs(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                    struct ph_ledger_tab **tabs, int *n, struct ph_err *err);

/* Parked shards with their errors, at most max. */
struct ph_ledger_parked {
    int64_t shard;
    int tab;
    const char *error;
};
bool ph_ledger_parked(struct ph_conn *conn, struct ph_arena *arena, int64_t job, int max,
                      struct ph_ledger_parked **parked, int *n, struct ph_err *err);

/* Marks the job completed when every shard has landed and every step is done, and is the barrier: a transaction that
 * writes, with synchronous_commit on, so everything that committed before it is on disk when it
 * returns. */
bool ph_ledger_complete(struct ph_conn *conn, int64_t job, int mover, bool *completed,
                        struct ph_err *err);

/* A completed job turned out not to be: it is open again. */
bool ph_ledger_uncomplete(struct ph_conn *conn, int64_t job, struct ph_err *err);

/* The run ends without the job being complete; why may be NULL. */
bool ph_ledger_leave(struct ph_conn *conn, int64_t job, int mover, const char *why,
                     struct ph_err *err);

#endif
