/* Indexes and constraints of a server's tables, as its own functions write them; for index.c and index_defer.c. */
#ifndef PH_PLAN_INDEX_READ_H
#define PH_PLAN_INDEX_READ_H

#include "base/arena.h"
#include "pg/witness.h"

struct ph_index_table {
    uint32_t oid;
    const char *name; /* "schema"."name", quoted for SQL */
    const char *schema, *bare;
    char kind;       /* relkind: r, p */
    uint32_t parent; /* of a partition; else 0 */
    int depth;       /* partitioned tables above it */
    int *tabs;       /* the plan's tables whose rows land in it */
    int n_tabs;
    int64_t bytes;  /* of those */
    bool whole;     /* all partitions below it are the plan's, or it is one itself */
    int64_t *steps; /* that lock it while they build, see index.c */
    int n_steps, room_steps;
};

struct ph_index_def {
    uint32_t oid, parent; /* parent: of the partitioned index that it is attached to; else 0 */
    struct ph_index_table *table;
    const char *schema, *bare, *name, *sql;
    const char *shown_keys;     /* "a, lower(b)" */
    const char *method, *space; /* space "": the database's */
    bool unique, valid, clustered, identity, expression;
    double key_cost;     /* of sorting: 1 for each key that is a number, 4 for one of any length */
    const char *extras;  /* statistics targets, extensions that it depends on: SQL, or NULL */
    const char *comment; /* or NULL */
    char constraint;     /* p, u, x; '\0': none */
    const char *constraint_def, *constraint_comment, *constraint_options;
    bool deferrable, deferred, period;
    bool needed;  /* something that is no constraint depends on the constraint */
    bool wanted;  /* set by who wants steps for it */
    int64_t step; /* that has made it when it is done; 0: none does */
};

struct ph_index_key {
    uint32_t index;                          /* of the referenced table */
    char type;                               /* f, or c of a check that was never validated */
    const char *table, *schema, *bare_table; /* quoted; and not */
    char table_kind, other_kind;
    uint32_t table_oid, other_oid;
    const char *other, *other_schema, *bare_other;
    const char *name, *def, *columns, *comment; /* name: not quoted */
    bool validated;
    bool wanted;
};

struct ph_index_set {
    struct ph_arena *arena;
    struct ph_index_table *tables; /* by oid */
    int n_tables;
    struct ph_index_def *indexes; /* leaves first, then by depth; tables' own one after the other */
    struct ph_index_def **by_oid; /* the same */
    int n_indexes;
    struct ph_index_key *keys;
    int n_keys;
};

/* Reads what there is for tables (OIDs) and the partitioned tables above them. downwards: for the partitions below them too, and
 * foreign keys that point at them. Tables' tabs, bytes and whole are the caller's to fill. */
bool ph_index_read(struct ph_index_set *set, const struct ph_witness *witness, const uint32_t *oids,
                   int n, bool downwards, struct ph_err *err);

/* NULL when there is none. */
struct ph_index_table *ph_index_find_table(const struct ph_index_set *set, uint32_t oid);
struct ph_index_def *ph_index_find(const struct ph_index_set *set, uint32_t oid);

#endif
