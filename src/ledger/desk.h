/* A worker's desk at the ledger: its connection to the target, on which it claims shards, lands
 * them and gives them back. The sink uses the same connection, so that rows and receipt share a
 * transaction and the claim of the next shard rides on the commit of the last one.
 *
 * Call order: ph_desk_new; ph_desk_claim; then, through the sink, the SQL pieces below;
 * ph_desk_fail after a failure; ph_desk_free. One worker thread owns it.
 */
#ifndef PH_LEDGER_DESK_H
#define PH_LEDGER_DESK_H

#include "base/buf.h"
#include "pg/conn.h"
#include "pg/table.h"
#include "pghaul/shard.h"
#include "pghaul/tally.h"

struct ph_claim {
    int64_t shard; /* 0: nothing to claim now */
    int tab;
    int attempt;
    char *where; /* the desk's, valid until the next answer of the ledger */
    int64_t weight;
    int64_t redo_xid, redo_rows; /* see struct ph_shard */
    int64_t remaining;           /* when shard is 0: shards that are not landed and not parked */
    double wait_s;               /* when shard is 0: ask again then */
};

struct ph_desk_opts {
    struct ph_conn_opts conn;
    const char *tag; /* 8 hexadecimal digits of the job, for application_name */
    int64_t job;
    int mover;
    int slot;     /* of this worker within the mover */
    int snapshot; /* number of the snapshot in force, for receipts */
};

struct ph_desk {
    struct ph_desk_opts opts;
    struct ph_conn *conn; /* NULL: not connected now */
    uint64_t earlier_wait_ns;
    bool hold;       /* commits shall not claim: more of the last claim is to be done */
    bool have_claim; /* `claim` came with the last commit */
    struct ph_claim claims[PH_BUNDLE_MAX];
    int n_claims;
};

void ph_desk_init(struct ph_desk *desk, const struct ph_desk_opts *opts);
void ph_desk_fini(struct ph_desk *desk);

/* Makes sure that there is a connection. */
bool ph_desk_connect(struct ph_desk *desk, struct ph_err *err);
void ph_desk_disconnect(struct ph_desk *desk);

/* Nanoseconds spent waiting for the target so far. */
uint64_t ph_desk_wait_ns(const struct ph_desk *desk);

/* What to work on next: one shard, or several tiny ones; or one claim of shard 0: nothing now. */
bool ph_desk_claim(struct ph_desk *desk, const struct ph_claim **claims, int *n,
                   struct ph_err *err);

/* Appends the statement that inserts the receipts of a bundle and names the session after it; it
 * returns a row for each, fewer when some are there already. */
void ph_desk_sql_receipts(const struct ph_desk *desk, struct ph_buf *sql,
                          const struct ph_shard *shards, int n);

/* Appends what ends the transaction of a bundle: land each and COMMIT, and behind them the claim of
 * what comes next (unless we are told to stop). SQLSTATE PH001: fenced; PH002: the target is not the
 * planned relation any more. */
void ph_desk_sql_land(const struct ph_desk *desk, struct ph_buf *sql, const struct ph_shard *shards,
                      const struct ph_tally *tallies, int n);

/* Takes the rows of the claim that rode on a commit. */
void ph_desk_take_claim(struct ph_desk *desk, const struct ph_rows *rows);

/* Gives a claimed shard back. counted: the failure was the shard's own, the fifth parks it; park:
 * it would fail for ever. *parked says whether it is parked now. */
bool ph_desk_fail(struct ph_desk *desk, const struct ph_shard *shard, bool counted, bool park,
                  const char *why, double delay_s, bool *parked, struct ph_err *err);

/* Ends backends that earlier attempts at this shard left behind; *n says how many. */
bool ph_desk_evict(struct ph_desk *desk, const struct ph_shard *shard, int *n, struct ph_err *err);

#endif
