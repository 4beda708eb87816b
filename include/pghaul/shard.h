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

struct ph_table; /* pg/table.h; opaque to sources and sinks that know no PostgreSQL */

struct ph_shard {
    int64_t id;                   /* 1, 2, ... within the job */
    int tab;                      /* number of its table within the job */
    const struct ph_table *table; /* what it is a part of */
    enum ph_format format;
    const char
        *where;     /* SQL predicate that selects its rows in the source; "" for the whole table */
    int64_t weight; /* expected bytes, heap and TOAST */
    int attempt;    /* fencing token: only grows */
    int64_t redo_xid;  /* replace the rows that this transaction landed; 0: none */
    int64_t redo_rows; /* so many must they be */
};

#endif
