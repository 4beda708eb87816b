/* How a plan is made: what the files behind ph_plan_make() hand to each other.
 *
 *     select.c    what the user named → picks, one per table as named
 *     tree.c      picks → pairs, one per table with storage
 *     mapping.c   the user's SQL is checked and its types are learnt
 *     match.c     columns by name; format.c says how a value of one type gets into another
 *     conflict.c  the key of an upsert; identity.c  the key by which verify tells rows apart
 *     check.c, check_table.c   what stands in the way, all of it at once
 *     objects.c   large objects; translate.c  what the user said, in the session's encoding
 *     fk_order.c   which tables must be there before which others, by the target's foreign keys
 *     definition.c   what the job is, canonically
 *     scope.c     what verify compares the definitions of, in another run than the plan's
 *     extract.c, load.c   what is otherwise when an archive stands in for one of the servers
 *
 * Everything lives in the plan's arena.
 */
#ifndef PH_PLAN_MAKE_H
#define PH_PLAN_MAKE_H

#include <stdarg.h>

#include "pg/catalog.h"
#include "plan/format.h"
#include "plan/pattern.h"
#include "plan/plan.h"

enum { PH_SOURCE, PH_TARGET };

/* An expression of the user's over a source table, and what it yields there. */
struct ph_make_mapping {
    const char *column;     /* of the target */
    const char *expression; /* safe to stand within parentheses, comments included */
    uint32_t type;
    int typmod;
    const char *shown; /* the type, for people */
};

/* A table as the user named it: a plain one, or the root of a tree. */
struct ph_pick {
    const struct ph_request *request; /* NULL: by --all or --schema */
    bool by_wildcard;                 /* not named one by one */
    struct ph_relation *source, *target;
    const char *filter; /* safe to stand within parentheses, or NULL */
    struct ph_make_mapping *mappings;
    int n_mappings;
    const char **without; /* parts of its tree that were excluded */
    int n_without, room_without;
};

/* Two relations with storage (the target may route instead). */
struct ph_pair {
    const struct ph_pick *pick;
    struct ph_relation *source, *target;
};

/* What an archive has of a relation: `table` is NULL where it has no rows of it. */
struct ph_archived {
    const struct ph_archive_table *table;
    int n_shards;
    uint64_t rows, bytes; /* in the files that are there */
};

struct ph_make {
    struct ph_plan *plan;
    struct ph_catalog side[2];
    struct ph_pattern *exclude_tables, *exclude_schemas; /* as many as the spec has */
    struct ph_pick *picks;
    int n_picks, room_picks;
    bool half_picks;       /* a target that is not there is NULL, and no obstacle: see scope.h */
    struct ph_pair *pairs; /* after ph_select_pairs; reordered with plan->tables */
    int n_pairs, room_pairs;
    struct ph_obstacle *obstacles; /* growing; the plan's own are set at the end */
    int room_obstacles, room_warnings;
    bool money_differs;           /* the two servers disagree about the unit of money */
    bool money_text_differs;      /* or about how it is written */
    struct ph_archived *archived; /* load: by position in the source's catalog */
    struct ph_archived objects;   /* load: the archive's large objects */
};

/* Grows an array in the arena by one element and returns that. */
void *ph_make_push(struct ph_arena *arena, void **items, int *n, int *room, size_t size);

/* Puts a warning behind a list of them; what all that warn in a plan call. */
void ph_make_vwarn(struct ph_arena *arena, const char *const **list, int *n, const char *fmt,
                   va_list ap);

/* Findings. hint may be NULL. */
void ph_make_obstacle(struct ph_make *make, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void ph_make_warning(struct ph_make *make, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void ph_make_table_warning(struct ph_make *make, struct ph_table *table, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "public.orders", quoted where SQL needs it. */
const char *ph_make_name(struct ph_make *make, const struct ph_relation *relation);

/* "a, b, c and 4 more": at most eight are named; in the arena. */
const char *ph_make_list(struct ph_make *make, const char *const *names, int n);

/* The name, quoted where SQL needs it, in the arena. */
const char *ph_make_quote(struct ph_make *make, const char *name);

/* select.c: picks, from names alone. PH_WRONG when something that was named is not there. */
bool ph_select_tables(struct ph_make *make, struct ph_err *err);

/* select.c: whether --exclude-table or --exclude-schema leave a source relation out. */
bool ph_select_is_excluded(const struct ph_make *make, const struct ph_relation *relation);

/* select.c: the same of a relation of that side; and of a whole schema. */
bool ph_select_is_excluded_of(const struct ph_make *make, int side,
                              const struct ph_relation *relation);
bool ph_select_is_excluded_schema(const struct ph_make *make, const char *schema);

/* select.c: the name that the user gave the target of a pick: schema NULL when it has none. */
bool ph_select_target(struct ph_make *make, const struct ph_pick *pick, struct ph_pattern *out,
                      struct ph_err *err);

/* make.c: whether there are no tables of a target to look at, and they are made up from the source's: in an archive, or
 * until --create has made them. */
bool ph_make_invents(const struct ph_make *make);

/* make.c: "source", "target" or "archive". */
const char *ph_make_side(const struct ph_make *make, int side);

/* tree.c: the OIDs of everything on one side whose details matter; malloc'ed. */
bool ph_tree_relations(struct ph_make *make, int side, uint32_t **oids, int *n, struct ph_err *err);

/* tree.c: pairs, after the details of both sides were read. */
bool ph_tree_pairs(struct ph_make *make, struct ph_err *err);

/* tree.c: the topmost ancestor through partitions; the relation itself when it has none. */
struct ph_relation *ph_tree_root(const struct ph_catalog *catalog, struct ph_relation *relation);

/* mapping.c: checks filters and expressions of all picks against the source. */
bool ph_mapping_check(struct ph_make *make, struct ph_err *err);

/* match.c: asks both servers how they understand money, when there is any. */
bool ph_match_probe_money(struct ph_make *make, struct ph_err *err);

/* match.c: fills one table of the plan from a pair. */
bool ph_match_table(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table,
                    struct ph_err *err);

/* conflict.c: chooses and checks the upsert's key. */
bool ph_match_conflict(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table,
                       struct ph_err *err);

/* identity.c: a key by which verify tells rows apart; none where there is none. */
void ph_match_identity(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table);

/* translate.c: names and SQL of the user's, from UTF-8 to what the session speaks. */
bool ph_translate_spec(struct ph_plan *plan, struct ph_conn *conn, struct ph_err *err);

/* objects.c: puts the table of large objects behind the others, when it is asked for. */
bool ph_objects_plan(struct ph_make *make, struct ph_err *err);

/* check.c: servers, connections, space; check_table.c: tables. */
void ph_check_servers(struct ph_make *make, struct ph_conn *source, struct ph_conn *target);
void ph_check_tables(struct ph_make *make);

/* fk_order.c: fills tables' target_root and after; and whether a table comes after that root. */
void ph_fk_order(struct ph_make *make);
bool ph_fk_order_has(const struct ph_table *table, const struct ph_relation *root);

/* check.c: plan->jobs, from the spec, the machine and the connections that are free. */
void ph_check_jobs(struct ph_make *make, struct ph_conn *source, struct ph_conn *target);

/* extract.c: see there. */
bool ph_extract_check(struct ph_make *make, struct ph_err *err);
bool ph_extract_target(struct ph_make *make, struct ph_pick *pick, struct ph_err *err);
bool ph_extract_catalog(struct ph_make *make, struct ph_err *err);
bool ph_extract_columns(struct ph_make *make, struct ph_err *err);
void ph_extract_warn(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table);
bool ph_extract_describe(struct ph_make *make, struct ph_err *err);

/* load.c: refuses what cannot be asked of an archive (PH_WRONG). */
bool ph_load_check(struct ph_make *make, struct ph_err *err);

/* load.c: the archive's catalog becomes the source's, with what its files hold for sizes. */
bool ph_load_catalog(struct ph_make *make, struct ph_err *err);

/* load.c: what the archive has of a relation. */
const struct ph_archived *ph_load_archived(const struct ph_make *make,
                                           const struct ph_relation *relation);

/* load.c: the format in which the archive has a relation that it has rows of. */
enum ph_format ph_load_format(const struct ph_make *make, const struct ph_relation *relation);

/* load.c: whether a column can be loaded as it was written; obstacles where not. Afterwards `fit` is
 * BINARY or TEXT as the archive has it. */
void ph_load_fit(struct ph_make *make, const struct ph_pair *pair,
                 const struct ph_plan_column *column, struct ph_fit *fit);
void ph_load_warn(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table);

/* load.c: the cut of every table is the archive's. */
void ph_load_split(struct ph_make *make);

/* load.c: an upsert wants rows of one key in one shard; shared: other tables go to the same target. */
void ph_load_conflict(struct ph_make *make, const struct ph_pair *pair,
                      const struct ph_table *table, bool shared);

/* definition.c: definition, fingerprint, job_name. PH_WRONG for a bad --job. */
bool ph_definition_make(struct ph_make *make, struct ph_err *err);

#endif
