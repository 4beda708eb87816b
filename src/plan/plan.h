/* The plan: what a job will do, settled from both catalogs before anything is changed.
 *
 *     ph_plan_make:  select tables (select.c) → read both catalogs (pg/catalog.c) → match columns and types, choose
 *                    the format (match.c) → choose the cut (split.c) → look for what stands in the way (check.c)
 *     ph_plan_cut:   bounds of all shards, read under the job's snapshot (split.c)
 *
 * A plan and everything in it belongs to its arena: ph_plan_free() ends it all. Read-only once made, so
 * any thread may look at it.
 */
#ifndef PH_PLAN_PLAN_H
#define PH_PLAN_PLAN_H

#include <stdint.h>

#include "base/arena.h"
#include "pg/conn.h"
#include "pghaul/err.h"
#include "pghaul/shard.h"

/* What the user asked for: options and job file, resolved to one form. Borrowed by the plan. ------------------- */

enum ph_mode { PH_APPEND, PH_UPSERT, PH_REPLACE };
enum ph_split { PH_SPLIT_AUTO, PH_SPLIT_BLOCK, PH_SPLIT_KEY, PH_SPLIT_HASH, PH_SPLIT_NONE };
enum ph_triggers { PH_TRIGGERS_REFUSE, PH_TRIGGERS_FIRE, PH_TRIGGERS_SKIP };

const char *ph_mode_name(enum ph_mode mode);
const char *ph_split_name(enum ph_split split);

/* target column ← SQL expression over the source's columns */
struct ph_mapping {
    const char *column;
    const char *expression;
};

/* One -t, or one entry under `tables:` of a job file. */
struct ph_request {
    const char *pattern; /* [SCHEMA.]NAME with psql's quoting, * and ?; exact when `exact` */
    const char *target;  /* [SCHEMA.]NAME or NULL: same name; an error together with wildcards */
    const char *filter;  /* SQL condition or NULL */
    const char *const *columns; /* NULL: all that both have */
    int n_columns;
    const struct ph_mapping *mappings;
    int n_mappings;
    const char *const *key; /* NULL: chosen */
    int n_key;
    enum ph_split split; /* AUTO: the job's */
};

struct ph_job_spec {
    const struct ph_request *requests;
    int n_requests;
    const char *const *exclude_tables; /* patterns */
    int n_exclude_tables;
    const char *const *schemas; /* patterns: every table of these schemas */
    int n_schemas;
    const char *const *exclude_schemas;
    int n_exclude_schemas;
    bool all; /* every table of the source database */

    enum ph_mode mode;
    enum ph_split split;
    uint64_t shard_size; /* bytes; 0: chosen */
    uint64_t shard_rows; /* rows; 0: not used */
    int jobs;            /* 0: chosen */
    bool allow_nonempty;
    enum ph_triggers triggers;
    bool sequences;
    bool strict;
    const char *job_name; /* NULL: made from the target's name and the definition */
};

/* What was settled. --------------------------------------------------------------------------------------------- */

struct ph_plan_column {
    const char *name;       /* in the target */
    const char *source;     /* the source column's name, or the expression */
    bool is_expression;
    const char *select;     /* SQL that stands in the source's SELECT list: quoted name, cast, or (expression) */
    const char *format;     /* "binary", "cast" or "text" */
    const char *why;        /* for people: "same type integer", "int4 to int8, lossless", ... */
    const char *source_type; /* as format_type() shows it */
    const char *target_type;
    const char *compare;    /* upsert: "" when the type has =, else "::text" */
    bool settable;          /* upsert may SET it (not identity always) */
};

struct ph_plan_key {
    const char *column;      /* source column name */
    const char *type;        /* schema-qualified type name for typed literals, as format_type under an empty path */
    const char *op_schema;   /* schema of the btree operators < and >= of the type's default opclass */
    bool nullable;
};

/* One relation with storage: a plain table, or a leaf of a partitioned one. */
struct ph_table {
    int id; /* 1, 2, ... in the plan */

    const char *source_schema, *source_name;
    uint32_t source_oid, source_filenode;
    char source_kind; /* relkind: r, or m f v where that was allowed */
    bool source_unlogged;

    const char *target_schema, *target_name; /* what COPY names: the leaf, or the root that routes */
    uint32_t target_oid, target_filenode;
    bool target_routes;   /* the target is a partitioned table */
    bool target_unlogged; /* its receipts live in the unlogged twin */

    /* the relation that the user named when this is a leaf of it, else the table itself */
    const char *root_source, *root_target; /* "schema"."name", quoted where needed, for people and definition */

    enum ph_format format;
    bool qualify; /* read with search_path = pg_catalog, so that reg* values come out with their schema */
    const struct ph_plan_column *columns;
    int n_columns;
    const char *select_list;    /* "a", "b"::bigint, (lower(c)) : for the source's SELECT; "" for no columns */
    const char *target_columns; /* "a", "b", "c" : for the target's COPY; "" for no columns */
    const char *filter;         /* SQL or NULL */

    enum ph_split split;
    const char *split_reason;
    const struct ph_plan_key *key; /* of the cut; NULL for block and none */
    int n_key;
    const char *const *conflict; /* upsert: target columns of the unique index */
    int n_conflict;
    bool source_key_unique; /* the source itself guarantees that the upsert key is not doubled */

    double rows_estimate;
    int64_t bytes;  /* heap and TOAST in the source */
    int64_t blocks; /* heap, by pg_relation_size */
    int n_shards;   /* forecast by ph_plan_make, exact after ph_plan_cut */

    const char *const *warnings;
    int n_warnings;
};

/* One thing that stands in the way: the plan is shown, copy refuses (exit 2). */
struct ph_obstacle {
    const char *text; /* one sentence, names the table */
    const char *hint; /* NULL: none */
};

struct ph_side {
    const char *shown;     /* ph_dsn_shown */
    const char *database;
    uint32_t database_oid;
    uint64_t system_id;    /* 0 when it may not be read */
    int version;
    const char *encoding;
    const char *transport;
    bool in_recovery;
    bool superuser;
    int free_connections; /* for our role in this database */
};

struct ph_plan {
    struct ph_arena arena;
    const struct ph_job_spec *spec;
    struct ph_side source, target;
    struct ph_table *tables; /* biggest first */
    int n_tables;
    const struct ph_obstacle *obstacles;
    int n_obstacles;
    const char *const *warnings; /* of the job as a whole */
    int n_warnings;
    int jobs;                /* workers, after looking at machine, servers and the number of shards */
    uint64_t shard_size;     /* bytes, as chosen */
    int64_t bytes;           /* of all tables */
    char fingerprint[33];    /* of the definition, hexadecimal */
    const char *definition;  /* canonical JSON of the definition; no secret in it */
    const char *job_name;

    struct ph_shard *shards; /* after ph_plan_cut; biggest first */
    const char **shard_lo;   /* bounds as people read them, NULL: open; parallel to shards */
    const char **shard_hi;
    int n_shards;
};

/* Reads both catalogs and settles everything. Errors (PH_WRONG) are what makes a plan impossible: no such table,
 * no matching pattern, unparsable filter. What merely forbids to run it becomes an obstacle. Both connections are
 * idle before and after; nothing is changed. */
bool ph_plan_make(struct ph_plan **out, const struct ph_job_spec *spec, struct ph_conn *source,
                  struct ph_conn *target, struct ph_err *err);

/* Cuts every table into shards. `source` must be inside a transaction whose snapshot is the job's. */
bool ph_plan_cut(struct ph_plan *plan, struct ph_conn *source, struct ph_err *err);

void ph_plan_free(struct ph_plan *plan);

/* "schema.name", quoted where SQL needs it; in the plan's arena. */
const char *ph_plan_name(struct ph_plan *plan, const char *schema, const char *name);

#endif
