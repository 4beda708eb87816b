/* A sink that lands a shard in PostgreSQL, rows and receipt in one transaction.
 *
 *     open    BEGIN, the receipt first (a rival blocks at this cheap end), the relation locked and checked, COPY
 *     put     COPY data
 *     commit  end of data; the server's count must be ours; for upsert the rows move from a temporary table into
 *             the target; receipt filled in, shard marked, COMMIT; the next claim rides on it
 *
 * Errors that a worker acts upon: PH_LANDED, PH_FENCED, PH_RELATION, PH_BUSY (locks), PH_CONNECTION. A commit that ends
 * with PH_CONNECTION is in doubt: the ledger knows.
 */
#ifndef PH_SINK_PG_H
#define PH_SINK_PG_H

#include "ledger/desk_pg.h"
#include "pg/table.h"
#include "pghaul/sink.h"

struct ph_sink_pg_opts {
    struct ph_desk_pg *desk; /* borrowed; its connection is used */
    enum ph_mode mode;
    bool
        fire_triggers; /* the user lets triggers fire: an upsert looks whether they swallowed rows */
    bool skip_triggers; /* session_replication_role = replica, within the transaction */
};

bool ph_sink_pg_new(struct ph_sink **out, const struct ph_sink_pg_opts *opts, struct ph_err *err);

#endif
