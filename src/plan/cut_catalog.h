/* What cutting needs to know of the source, read for many tables at once: one query, however many
 * there are. */
#ifndef PH_PLAN_CUT_CATALOG_H
#define PH_PLAN_CUT_CATALOG_H

#include "plan/plan.h"

/* Some of a plan's tables, by index into plan->tables. */
struct ph_cut_list {
    int *table;
    int n;
};

struct ph_cut_size {
    int64_t blocks; /* of the heap */
    int64_t bytes;  /* heap and TOAST */
    bool heap;      /* kept by PostgreSQL's own table access method */
};

/* Present sizes, by pg_relation_size: relpages may be years old. `out` is parallel to the list. */
bool ph_cut_read_sizes(const struct ph_plan *plan, const struct ph_cut_list *list,
                       struct ph_conn *source, struct ph_cut_size *out, struct ph_err *err);

struct ph_cut_column {
    int attnum;
    struct ph_plan_key key; /* op_schema NULL: its type has no order of its own */
    const char *type_shown; /* for people */
    bool hashable;
};

struct ph_cut_index {
    const char *name;
    bool primary, unique;
    bool valid; /* false: a CREATE INDEX CONCURRENTLY that failed or still works */
    bool partial;
    bool expression;
    const struct ph_cut_column **columns; /* key columns; NULL where an expression stands */
    int n_columns;
};

struct ph_cut_facts {
    struct ph_cut_column *columns; /* those of indexes, and the ones in `names` */
    int n_columns;
    struct ph_cut_index
        *indexes; /* btree; primary key first, then unique ones, narrow ones first */
    int n_indexes;
};

/* Indexes and the columns that could be keys. `names` are columns that matter beyond those of
 * indexes. `out` is parallel to the list; texts are in the plan's arena. Two queries. */
bool ph_cut_read_keys(struct ph_plan *plan, const struct ph_cut_list *list,
                      const char *const *names, int n_names, struct ph_conn *source,
                      struct ph_cut_facts *out, struct ph_err *err);

#endif
