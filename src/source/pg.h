/* A source that reads a shard out of PostgreSQL: COPY (SELECT ...) TO STDOUT under the job's
 * snapshot.
 *
 * One round trip opens a shard: end the transaction of the one before, begin, lock, import the
 * snapshot, check that the relation is still the planned one, COPY. Errors that a worker acts upon:
 * PH_SNAPSHOT_GONE, PH_RELATION, PH_BUSY (DDL waits for the table), PH_CONNECTION. `open` connects
 * when there is no usable connection.
 */
#ifndef PH_SOURCE_PG_H
#define PH_SOURCE_PG_H

#include "base/gate.h"
#include "pg/conn.h"
#include "pg/table.h"
#include "pghaul/source.h"

struct ph_source_pg_opts {
    struct ph_conn_opts conn;
    const char *tag;      /* 8 hexadecimal digits of the job, for application_name */
    const char *snapshot; /* exported snapshot id; NULL: each shard under one of its own */
    const char
        *pg_snapshot; /* pg_current_snapshot() under it: ids begin anew when a server restarts, and
                                somebody else's snapshot may bear ours */
    struct ph_gate *gate;  /* for wide rows; NULL: none */
    size_t batch;          /* bytes of the buffer; 0: 64 KiB */
    struct ph_conn *ready; /* made by the same rules; NULL: the first open connects */
};

/* Everything in opts is borrowed for the source's life, but for a connection that is ready: that is the source's from now on. */
bool ph_source_pg_new(struct ph_source **out, const struct ph_source_pg_opts *opts,
                      struct ph_err *err);

#endif
