/* A planned table, as the planner settles it and as sources and sinks use it.
 *
 * It stands below the planner because sources and sinks do; they read it and never change it. All
 * texts belong to the plan's arena.
 */
#ifndef PH_PG_TABLE_H
#define PH_PG_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "pghaul/shard.h"

enum ph_mode { PH_APPEND, PH_UPSERT, PH_REPLACE };
enum ph_split { PH_SPLIT_AUTO, PH_SPLIT_BLOCK, PH_SPLIT_KEY, PH_SPLIT_HASH, PH_SPLIT_NONE };
enum ph_triggers { PH_TRIGGERS_REFUSE, PH_TRIGGERS_FIRE, PH_TRIGGERS_SKIP };

const char *ph_mode_name(enum ph_mode mode);
const char *ph_split_name(enum ph_split split);

struct ph_plan_column {
    const char *name;   /* in the target */
    const char *source; /* the source column's name, or the expression */
    bool is_expression;
    const char *select;      /* SQL that stands in the source's SELECT list: quoted name, cast, or
                                (expression) */
    const char *format;      /* "binary", "cast" or "text" */
    const char *why;         /* for people: "same type integer", "int4 to int8, lossless", ... */
    const char *source_type; /* as format_type() shows it */
    const char *target_type;
    const char *compare; /* suffix under which equal is identical: "" or a cast; for verify */
    bool settable;       /* upsert may SET it (not identity always) */

    /* How verify reads it on either side: as the stream has it, or as text where the binary form of
     * equal values differs between servers, or there is none. */
    const char *verify_source, *verify_target;
    bool by_text;
    bool unfit; /* no value of the source's type gets into the target's: it can only be looked at */
    bool generated; /* by the target itself: verified, never copied */
};

struct ph_plan_key {
    const char *column; /* source column name */
    const char *type;   /* schema-qualified type name for typed literals, as format_type under an
                           empty path */
    const char
        *op_schema; /* schema of the btree operators < and >= of the type's default opclass */
    bool nullable;
};

/* One relation with storage: a plain table, or a leaf of a partitioned one. */
struct ph_table {
    int id; /* 1, 2, ... in the plan */

    const char *source_schema, *source_name;
    uint32_t source_oid, source_filenode;
    bool objects;     /* large objects, see pg/objects.h: no table of anybody's */
    char source_kind; /* relkind: r, or m f v where that was allowed */
    bool source_unlogged;

    const char *target_schema,
        *target_name; /* what COPY names: the leaf, or the root that routes */
    uint32_t target_oid, target_filenode;
    bool target_routes;   /* the target is a partitioned table */
    bool target_unlogged; /* its receipts live in the unlogged twin */
    uint32_t
        target_root; /* --fk-order: the target, or the root that it is a partition of; else 0 */
    const uint32_t *after;          /* likewise: roots whose rows must be there before its own */
    const char *const *after_names; /* the same for people */
    int n_after;

    /* the relation that the user named when this is a leaf of it, else the table itself */
    const char *root_source,
        *root_target; /* "schema"."name", quoted where needed, for people and definition */

    enum ph_format format;
    bool qualify; /* read with search_path = pg_catalog, so that reg* values come out with their
                     schema */
    const struct ph_plan_column *columns;
    int n_columns;
    const char *
        select_list; /* "a", "b"::bigint, (lower(c)) : for the source's SELECT; "" for no columns */
    const char *target_columns; /* "a", "b", "c" : for the target's COPY; "" for no columns */
    /* numbers (attnum) of the columns in use, "1,2,5": a column that was dropped and added again has
     * another one. With the user's own SQL, all of the source's. */
    const char *source_attnums, *target_attnums;
    const char *filter; /* SQL or NULL */

    enum ph_split split;
    const char *split_reason;
    const struct ph_plan_key *key; /* of the cut; NULL for block and none */
    int n_key;
    const char *const *conflict; /* upsert: target columns of the unique index */
    int n_conflict;
    bool source_key_unique; /* the source itself guarantees that the upsert key is not doubled */

    /* For verify: a key that is unique on one side at least, as places in `columns`; and columns that
     * only one side has, as far as nobody has chosen the columns. */
    const int *identity;
    int n_identity;
    const char *const *only_source, *const *only_target;
    int n_only_source, n_only_target;

    double rows_estimate;
    int64_t bytes;  /* heap and TOAST in the source */
    int64_t blocks; /* heap, by pg_relation_size */
    int n_shards;   /* forecast by ph_plan_make, exact after ph_plan_cut */

    const char *const *warnings;
    int n_warnings;
};

#endif
