/* The job's snapshot, and the keeper: a small process that holds it beyond the mover's death.
 *
 * The keeper locks the tables (ACCESS SHARE) before it exports, so that no TRUNCATE or rewrite
 * slips in between; it starts its own session, closes everything it inherited, and ends when its
 * connection does, when no mover has been seen on the source for keep_s seconds, or when somebody's
 * DDL has waited for one of its locks for 30 s: the source's owner comes first. To end it:
 * pg_terminate_backend(backend) on the source.
 *
 * ph_keeper_start forks: call it while the process has one thread.
 */
#ifndef PH_PG_SNAPSHOT_H
#define PH_PG_SNAPSHOT_H

#include "pg/conn.h"
#include "pg/table.h"

struct ph_snapshot {
    char id[64];       /* for SET TRANSACTION SNAPSHOT */
    char *pg_snapshot; /* pg_current_snapshot() as text; malloc'ed */
    uint64_t oldest;   /* xid, 64 bits wide: no older transaction of the database was in progress */
    char lsn[32];
    int timeline; /* of that position */
    int keeper_pid;
    int keeper_backend;
    int keeper_fd; /* the keeper stays only if ph_keeper_confirm is called before this is closed;
                      -1: done */
};

struct ph_keeper_opts {
    const struct ph_dsn *dsn;
    const char *encoding; /* that the tables' names are in */
    const char *tag;      /* 8 hexadecimal digits of the job */
    const char *job;      /* its name, for ps */
    const struct ph_table *tables;
    int n_tables;
    double keep_s;
    struct ph_interrupt *interrupt;
};

/* Starts a keeper and waits for its snapshot. PH_BUSY when a table's lock cannot be had. */
bool ph_keeper_start(const struct ph_keeper_opts *opts, struct ph_snapshot *snapshot,
                     struct ph_err *err);

/* The snapshot is in the ledger now: the keeper shall outlive us. */
void ph_keeper_confirm(struct ph_snapshot *snapshot);

/* Without a confirmation before, this ends the keeper; so does our death. */
void ph_snapshot_fini(struct ph_snapshot *snapshot);

/* Ends the keeper through its backend on the source (0: whatever keeper the job has there); an absent one is fine. */
bool ph_keeper_end(struct ph_conn *source, const char *tag, int keeper_backend, struct ph_err *err);

/* Ends the keeper without the source, when it runs on this host; elsewhere, or gone: nothing
 * happens. */
void ph_keeper_kill(const char *host, int pid);

/* Begins a read-only transaction on `conn` under the snapshot and checks that it is the one meant
 * (its text is `expected`; NULL: any). PH_SNAPSHOT_GONE when it is not to be had any more. On
 * failure no transaction is open. */
bool ph_snapshot_import(struct ph_conn *conn, const char *id, const char *expected,
                        struct ph_err *err);

#endif
