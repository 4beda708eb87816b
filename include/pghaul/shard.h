/* A shard: a range of one table. The unit of claim, of failure, of commit and of verification.
 *
 * A shard is made by the planner, kept in the ledger, and handed to a source and a sink when a
 * worker has claimed it. Everything a hop needs is in it; it borrows its texts from the plan or
 * from the claim, which outlive the hop.
 */
#ifndef PGHAUL_SHARD_H
#define PGHAUL_SHARD_H

#include <stdint.h>

/* How the bytes of a COPY stream are written. */
enum ph_format { PH_BINARY, PH_TEXT };

enum { PH_BUNDLE_MAX = 16 };

struct ph_tally;
struct ph_rejects;
struct ph_table; /* pg/table.h; opaque to sources and sinks that know no PostgreSQL */

struct ph_shard {
    int64_t id;                   /* 1, 2, ... within the job */
    int tab;                      /* number of its table within the job */
    const struct ph_table *table; /* what it is a part of */
    enum ph_format format;
    const char
        *where;     /* SQL predicate that selects its rows in the source; "" for the whole table */
    int64_t weight; /* expected bytes, heap and TOAST */
    const char *file;  /* that it lies in: it is spilled, or in an archive; NULL: in a server */
    int snapshot;      /* number of the one it was read under; 0: of the one in force */
    int attempt;       /* fencing token: only grows */
    int64_t redo_xid;  /* replace the large objects that this transaction landed; 0: none */
    int64_t redo_rows; /* so many pieces were they */

    const struct ph_rejects *rejects; /* rows that are left out, see pg/reject.h; NULL: none */

    const struct ph_tally *expect; /* what must pass, where that is known; else NULL */

    /* A bundle: tiny shards that were claimed together and land in one transaction, in order. Its
     * first one opens the transaction, its last one commits it with the receipts of all. */
    const struct ph_shard *bundle; /* its shards; NULL: this one stands alone */
    int n_bundle;
};

/* The shards that share this one's transaction: its bundle, or itself alone. */
static inline const struct ph_shard *ph_shard_first(const struct ph_shard *shard)
{
    return shard->bundle ? shard->bundle : shard;
}

static inline int ph_shard_count(const struct ph_shard *shard)
{
    return shard->bundle ? shard->n_bundle : 1;
}

static inline int ph_shard_is_last(const struct ph_shard *shard)
{
    return shard == ph_shard_first(shard) + ph_shard_count(shard) - 1;
}

#endif
