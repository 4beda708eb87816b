/* Large objects as rows, so that they go the way that rows go: cut into shards, tallied, spilled, landed
 * with a receipt.
 *
 * The source shows each object as pieces, in order: (oid, off, data, owner, acl, note). The last one is
 * shorter than PH_OBJECT_PIECE, so there is one even of an empty object; owner, grants and comment come
 * with the first. COPY lands them in a temporary table, from which pghaul.land_objects() makes objects
 * of the same OIDs within the shard's transaction. One that is there already fails it (23505).
 *
 * In the plan, and in an archive, they are one table, pg_catalog.pg_largeobject_metadata on both sides, which knows the
 * OIDs and nothing else.
 */
#ifndef PH_PG_OBJECTS_H
#define PH_PG_OBJECTS_H

#include <stdbool.h>

#include "base/buf.h"
#include "pg/conn.h"

#define PH_OBJECTS_SCHEMA "pg_catalog"
#define PH_OBJECTS_TABLE "pg_largeobject_metadata"

enum { PH_OBJECT_PIECE = 128 * 1024 };

/* What stands in FROM on the source: the pieces of all objects. It has a column "oid". */
void ph_objects_from(struct ph_buf *sql);

/* The temporary table, gone with the transaction. */
void ph_objects_stage(struct ph_buf *sql);

/* Takes away what a transaction of ours has landed: its objects, and nobody else's. */
void ph_objects_take_back(struct ph_buf *sql, int64_t xid);

/* The select list on the source, and the columns of the temporary table. */
extern const char ph_objects_select[], ph_objects_columns[];

#endif
