/* The plan: what a job will do, settled from both catalogs before anything is changed.
 *
 *     ph_plan_make:  select tables (select.c) → read both catalogs (pg/catalog.c) → match columns
 * and types, choose the format (match.c) → choose the cut (split.c) → look for what stands in the
 * way (check.c) ph_plan_cut:   bounds of all shards, read under the job's snapshot (split.c)
 *
 * A plan and everything in it belongs to its arena: ph_plan_free() ends it all. Read-only once
 * made, so any thread may look at it.
 */
#ifndef PH_PLAN_PLAN_H
#define PH_PLAN_PLAN_H

#include <stdint.h>

#include "base/arena.h"
#include "pg/conn.h"
#include "pg/table.h"
#include "pghaul/err.h"
#include "pghaul/shard.h"

/* From where to where: an archive can stand in for either server. */
enum ph_route {
    PH_ROUTE_COPY,    /* server to server */
    PH_ROUTE_EXTRACT, /* server to archive: there is no target, tables are taken as they are */
    PH_ROUTE_LOAD,    /* archive to server: the source is what the archive says of it */
};

struct ph_archive; /* archive/manifest.h */

/* What the user asked for: options and job file, resolved to one form. Borrowed by the plan.
 * ------------------- */

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
    enum ph_route route;
    const struct ph_archive *archive; /* load: what is loaded */
    const char *archive_shown; /* extract, load: the archive for people; NULL: "an archive" */

    const struct ph_request *requests;
    int n_requests;
    const char *const *exclude_tables; /* patterns */
    int n_exclude_tables;
    const char *const *schemas; /* patterns: every table of these schemas */
    int n_schemas;
    const char *const *exclude_schemas;
    int n_exclude_schemas;
    bool all; /* every table of the source database; load: so it is when nothing is named */

    enum ph_mode mode;
    enum ph_split split;
    uint64_t shard_size; /* bytes; 0: chosen */
    uint64_t shard_rows; /* rows; 0: not used */
    int jobs;            /* 0: chosen */
    bool allow_nonempty;
    enum ph_triggers triggers;
    bool sequences;
    const char *source_encoding; /* of a source that has none itself (SQL_ASCII); NULL: not said */
    bool large_objects;          /* those of the whole database */
    bool create;     /* copy: the target's tables are made as the source's are, and then loaded */
    bool no_rows;    /* and stay empty */
    bool to_be_made; /* create: they are not there yet; the route is EXTRACT, and what the target
                        will have is made up from the source as an archive's is */
    bool defer_indexes; /* the targets' indexes are dropped, and built again after their rows */
    bool fk_order;      /* tables that are referred to land before those that refer to them */
    bool strict;
    bool verify; /* the plan is for looking: what would stand in the way of loading does not */
    const char *job_name; /* NULL: made from the target's name and the definition */
};

/* What was settled.
 * --------------------------------------------------------------------------------------------- */

/* One thing that stands in the way: the plan is shown, copy refuses (exit 2). */
struct ph_obstacle {
    const char *text; /* one sentence, names the table */
    const char *hint; /* NULL: none */
};

struct ph_side {
    const char *shown; /* ph_conn_shown */
    const char *database;
    uint32_t database_oid;
    uint64_t system_id; /* 0 when it may not be read */
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
    int most_jobs;        /* that connections are free for */
    int jobs;             /* workers, after looking at machine, servers and the number of shards */
    int builders;         /* the same, whatever the number of shards */
    uint64_t shard_size;  /* bytes, as chosen */
    int64_t bytes;        /* of all tables */
    char fingerprint[33]; /* of the definition, hexadecimal */
    const char *definition; /* canonical JSON of the definition; no secret in it */
    const char *job_name;
    const char *creates; /* create: what is made, by kind; JSON */
    const char *const
        *left_out; /* create: tables of the source that were excluded, as exact patterns */
    int n_left_out;
    const char
        *catalog_json; /* extract: the archive's catalog, see plan/catalog_json.h; else NULL */

    struct ph_shard *shards; /* after ph_plan_cut or ph_plan_adopt_shards; biggest first */
    const char **shard_lo;   /* bounds as people read them, NULL: open; parallel to shards */
    const char **shard_hi;
    int n_shards;
};

/* Reads both catalogs and settles everything. Errors (PH_WRONG) are what makes a plan impossible:
 * no such table, no matching pattern, unparsable filter. What merely forbids to run it becomes an
 * obstacle. Both connections are idle before and after; nothing is changed.
 *
 * An extract has no target (NULL): plan->target is empty but for `database`, the source's, after
 * which the job is named; a table's target is its name in the archive. A load has no source (NULL);
 * PH_FAILED when the archive does not make sense. */
bool ph_plan_make(struct ph_plan **out, const struct ph_job_spec *spec, struct ph_conn *source,
                  struct ph_conn *target, struct ph_err *err);

/* For who finds out more about it than catalogs say. hint may be NULL. */
void ph_plan_warn(struct ph_plan *plan, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_plan_obstacle(struct ph_plan *plan, const char *text, const char *hint);

/* Mode append without allow_nonempty: PH_WRONG when a target table has rows. Only for a new job or
 * round: a job that goes on has rows of its own there. */
bool ph_check_empty(struct ph_plan *plan, struct ph_conn *target, struct ph_err *err);

/* A new job with large objects: PH_WRONG when the target has some of them already; from an archive (no source), any. */
bool ph_objects_check(struct ph_plan *plan, struct ph_conn *source, struct ph_conn *target,
                      struct ph_err *err);

/* Cuts every table into shards. `source` must be inside a transaction whose snapshot is the job's.
 */
bool ph_plan_cut(struct ph_plan *plan, struct ph_conn *source, struct ph_err *err);

/* After ph_plan_cut: leaves a run of neighbouring shards, of some `bytes` and so many at least, which begins at `place` (0 to 1)
 * of all of them. For who wants to know how fast a job would be, not to move its rows. */
void ph_plan_thin(struct ph_plan *plan, uint64_t bytes, int least, double place);

/* Load: the shards are those that the archive has of the planned tables, numbered anew, biggest
 * first; their files are the archive's texts. PH_FAILED when the archive is not complete, or is not
 * the one that the plan was made of. */
bool ph_plan_adopt_shards(struct ph_plan *plan, const struct ph_archive *archive,
                          struct ph_err *err);

/* Extract, after ph_plan_cut: what an archive says of itself before it is written: tables, shards,
 * and the facts of source and job. `set`, times and snapshots are the caller's. Texts are the
 * plan's. */
void ph_plan_archive(struct ph_plan *plan, struct ph_archive *out);

void ph_plan_free(struct ph_plan *plan);

/* "schema.name", quoted where SQL needs it; in the plan's arena. */
const char *ph_plan_name(struct ph_plan *plan, const char *schema, const char *name);

#endif
