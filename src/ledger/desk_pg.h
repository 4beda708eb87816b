/* A worker's desk at the ledger in the target, see ledger/desk.h.
 *
 * Call order: ph_desk_pg_init; ph_desk_claim; then, through the sink, the SQL pieces below; ph_desk_fail after a failure;
 * ph_desk_pg_fini.
 */
#ifndef PH_LEDGER_DESK_PG_H
#define PH_LEDGER_DESK_PG_H

#include "base/buf.h"
#include "ledger/desk.h"
#include "pg/conn.h"
#include "pg/table.h"

struct ph_desk_pg_opts {
    struct ph_conn_opts conn;
    const char *tag; /* 8 hexadecimal digits of the job, for application_name */
    int64_t job;
    int mover;
    int slot;           /* of this worker within the mover */
    int snapshot;       /* number of the snapshot in force, for receipts */
    const char *moment; /* and its text; NULL: it is an archive's, and never another one's */
    const char *holder; /* host and directory of our spill files; NULL: we have none */
    struct ph_conn
        *ready; /* made by the same rules, but for its name, and the desk's from now on; or NULL */
};

struct ph_desk_pg {
    struct ph_desk base;
    struct ph_desk_pg_opts opts;
    struct ph_conn *conn; /* NULL: not connected now */
    uint64_t earlier_wait_ns;
    bool have_claim; /* `claims` came with the last commit */
    struct ph_claim claims[PH_BUNDLE_MAX];
    int n_claims;
};

void ph_desk_pg_init(struct ph_desk_pg *desk, const struct ph_desk_pg_opts *opts);
void ph_desk_pg_fini(struct ph_desk_pg *desk);

/* Makes sure that there is a connection, to a ledger that has our snapshot: a target that has failed over to an older standby
 * may not have heard of it, and number another one so. Else PH_SNAPSHOT_GONE. */
bool ph_desk_pg_connect(struct ph_desk_pg *desk, struct ph_err *err);
void ph_desk_pg_disconnect(struct ph_desk_pg *desk);

/* Nanoseconds spent waiting for the target so far. */
uint64_t ph_desk_pg_wait_ns(const struct ph_desk_pg *desk);

/* Appends the statement that inserts the receipts of a bundle and names the session after it; it
 * returns a row for each, fewer when some are there already. */
void ph_desk_pg_sql_receipts(const struct ph_desk_pg *desk, struct ph_buf *sql,
                             const struct ph_shard *shards, int n);

/* Appends what ends the transaction of a bundle: land each and COMMIT, and behind them the claim of
 * what comes next (unless we are told to stop). SQLSTATE PH001: fenced; PH002: the target is not the
 * planned relation any more. */
void ph_desk_pg_sql_set_aside(const struct ph_desk_pg *desk, struct ph_buf *sql,
                              const struct ph_shard *shard);
void ph_desk_pg_sql_land(const struct ph_desk_pg *desk, struct ph_buf *sql,
                         const struct ph_shard *shards, const struct ph_tally *tallies, int n);

/* Takes the answers of such an end, the next claim included. False when it did not commit; PH_CONNECTION: in doubt. */
bool ph_desk_pg_await_commit(struct ph_desk_pg *desk, struct ph_err *err);

/* Ends backends that earlier attempts at this shard left behind; *n says how many. */
bool ph_desk_pg_evict(struct ph_desk_pg *desk, const struct ph_shard *shard, int *n,
                      struct ph_err *err);

#endif
