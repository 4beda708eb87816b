/* What a plan needs to know of one server: its limits, its relations, its types.
 *
 * Set-based throughout: the number of queries is the same for one table and for ten thousand.
 * Everything runs in read-only transactions of its own under search_path = pg_catalog, so that
 * nobody's operators or functions stand in for the system's; only the role's own search_path is
 * asked for, since names without a schema mean what it says.
 *
 * Call order, per side:
 *
 *     ph_catalog_open      server facts and the names of all relations
 *     ph_catalog_detail    columns, indexes, triggers, ... of those that matter
 *     ph_catalog_types     the types that matter, and all that they are made of
 *
 * Ownership: everything belongs to the arena that was given to ph_catalog_open. OIDs mean something
 * on their own side only; two sides are compared by name and structure, never by OID. Threads:
 * those of the connection.
 */
#ifndef PH_PG_CATALOG_H
#define PH_PG_CATALOG_H

#include "base/arena.h"
#include "pg/conn.h"

/* Types. */

struct ph_attribute {
    const char *name;
    uint32_t type;
    int typmod;
};

struct ph_type {
    uint32_t oid;
    const char *schema, *name;
    char kind; /* typtype: b base, c composite, d domain, e enum, r range, m multirange, p pseudo */
    uint32_t element; /* of an array, else 0 */
    uint32_t base;    /* of a domain, else 0 */
    int base_typmod;  /* of a domain, else -1 */
    uint32_t subtype; /* of a range: of its bounds; of a multirange: its range; else 0 */
    int length;       /* typlen: < 0 for variable length */
    bool by_value;
    bool has_send, has_receive;                /* binary output and input */
    bool not_null, has_default;                /* of a domain */
    const char *extension, *extension_version; /* that owns it, or NULL */
    const char *const *labels;                 /* of an enum, in its order */
    int n_labels;
    const struct ph_attribute *attributes; /* of a composite, without dropped ones */
    int n_attributes;
};

/* By OID; NULL when it was not read. */
struct ph_types {
    struct ph_type *items; /* sorted by OID */
    int n;
};
const struct ph_type *ph_types_find(const struct ph_types *types, uint32_t oid);

/* Relations. */

struct ph_column {
    int number;
    const char *name;
    uint32_t type;
    int typmod;
    const char *shown; /* its type for people; set by who asked ph_catalog_show_types */
    bool not_null;
    bool has_default;
    char generated;                       /* 's' stored, '\0' not */
    char identity;                        /* 'a' always, 'd' by default, '\0' not */
    bool no_select, no_insert, no_update; /* neither by the table's grants nor by its own */
};

struct ph_index {
    const char *name;
    bool unique, primary, valid, immediate, partial, expression;
    int n_key;      /* key columns, without INCLUDEd ones */
    const int *key; /* column numbers; 0 is an expression */
};

struct ph_trigger {
    const char *name;
    int type;     /* pg_trigger.tgtype: bits below */
    char enabled; /* O origin, A always, R replica, D disabled */
};
enum { PH_TRIGGER_INSERT = 4, PH_TRIGGER_UPDATE = 16, PH_TRIGGER_TRUNCATE = 32 };

/* A foreign key between this relation and another (or itself). */
struct ph_foreign_key {
    const char *name;
    bool incoming; /* the other one refers to this one */
    uint32_t other;
    const char *other_schema, *other_name;
};

struct ph_owned_sequence {
    int column; /* number */
    const char *schema, *name;
    bool may_select, may_update;
};

struct ph_relation {
    uint32_t oid;
    const char *schema, *name;
    char kind;        /* relkind */
    char persistence; /* p, u, t */
    bool is_partition;
    bool of_extension;
    bool detailed; /* what follows was read */

    uint32_t filenode;    /* 0 where there is no storage */
    int64_t heap, toast;  /* bytes */
    int64_t blocks;       /* of the heap */
    double rows;          /* estimate */
    const char *bound;    /* of a partition, as SQL; else NULL */
    const char *part_key; /* of a partitioned table, as SQL; else NULL */
    bool row_security;    /* in force for our role */
    bool may_use_schema, may_select, may_insert, may_update, may_truncate;
    struct ph_column *columns; /* by number */
    int n_columns;
    struct ph_index *indexes;
    int n_indexes;
    struct ph_trigger *triggers;
    int n_triggers;
    struct ph_foreign_key *foreign_keys;
    int n_foreign_keys;
    struct ph_owned_sequence *sequences;
    int n_sequences;

    /* In an archive. */
    const char *const *cut_key; /* it was cut by these: rows equal in them are in one shard */
    int n_cut_key;
    const char *const *without; /* parts below it that were left out, for people */
    int n_without;
};

/* "table", "view", "partitioned table", ... */
const char *ph_relation_kind_name(const struct ph_relation *relation);

/* The column of that name; NULL when there is none. */
const struct ph_column *ph_relation_column(const struct ph_relation *relation, const char *name);
const struct ph_column *ph_relation_column_number(const struct ph_relation *relation, int number);

/* The server. */

struct ph_server {
    const char *shown; /* ph_conn_shown() */
    int version;       /* 150018 */
    const char *encoding;
    const char *database, *role;
    uint32_t database_oid;
    uint64_t system_id; /* 0 when it may not be read */
    bool in_recovery, superuser;
    bool read_only_default; /* default_transaction_read_only of the role or the database */
    bool may_replica_role;  /* SET session_replication_role */
    bool may_create_schema; /* CREATE on the database */
    bool may_temp;          /* TEMPORARY on the database */
    bool has_ledger;        /* schema pghaul is there */
    bool may_use_ledger;    /* and may be used */
    bool may_write_ledger;  /* and written to, or created in while it is empty */
    bool hot_standby_feedback;
    const char *standby_delay; /* max_standby_streaming_delay, as shown */
    bool has_large_objects;
    int free_connections;       /* for our role in this database, besides ours */
    const char *data_directory; /* NULL when it may not be read */
    const char *lc_monetary;
    const char *money_unit;  /* '1'::money in binary, hexadecimal; NULL: not asked, there is none */
    const char *const *path; /* the role's search_path, implicit schemas included */
    int n_path;
};

struct ph_inherit {
    uint32_t parent, child;
};

struct ph_catalog {
    struct ph_arena *arena;
    struct ph_conn *conn; /* NULL: it is that of an archive, see plan/catalog_json.h */
    struct ph_server server;
    struct ph_relation *relations; /* outside system schemas; sorted by OID */
    int n_relations;
    struct ph_relation **by_name; /* the same, sorted by name, then schema */
    struct ph_inherit *inherits;  /* sorted by parent, then child */
    struct ph_inherit *by_child;  /* the same, sorted by child */
    int n_inherits;
    struct ph_types types;
};

/* Reads the server's facts and all names. PH_WRONG for servers older than PostgreSQL 12. */
bool ph_catalog_open(struct ph_catalog *catalog, struct ph_conn *conn, struct ph_arena *arena,
                     struct ph_err *err);

/* For who fills a catalog in another way, with relations and inherits in their order: makes the other
 * orders, by which names and parents are found. */
void ph_catalog_index(struct ph_catalog *catalog);

/* NULL when there is none. */
struct ph_relation *ph_catalog_relation(const struct ph_catalog *catalog, uint32_t oid);
struct ph_relation *ph_catalog_named(const struct ph_catalog *catalog, const char *schema,
                                     const char *name);
/* The relation that a name without schema means under the role's search_path. */
struct ph_relation *ph_catalog_visible(const struct ph_catalog *catalog, const char *name);

/* Direct children, in order of OID; *n of them, borrowed. */
const struct ph_inherit *ph_catalog_children(const struct ph_catalog *catalog, uint32_t oid,
                                             int *n);
/* The parent of a partition, one of the parents of a child; 0 when there is none. */
uint32_t ph_catalog_parent(const struct ph_catalog *catalog, uint32_t oid);

/* What is looked at beyond what both sides need: how big tables are (a look at files, the dearest
 * of all), or what happens to rows that come in (triggers, foreign keys, sequences). */
enum { PH_DETAIL_SIZES = 1, PH_DETAIL_EFFECTS = 2, PH_DETAIL_SEQUENCES = 4 };

/* Fills the details of n relations. */
bool ph_catalog_detail(struct ph_catalog *catalog, const uint32_t *oids, int n, int what,
                       struct ph_err *err);

/* Reads the types and everything they consist of into catalog->types. */
bool ph_catalog_types(struct ph_catalog *catalog, const uint32_t *oids, int n, struct ph_err *err);

/* How people write n types with their modifiers ("character varying(20)"), schemas included where
 * they are not pg_catalog. out[i] belongs to the arena. */
bool ph_catalog_show_types(struct ph_catalog *catalog, const struct ph_column_type *types, int n,
                           const char **out, struct ph_err *err);

/* Runs one SELECT in a read-only transaction of its own under search_path = pg_catalog, so there
 * must be none open; free *rows. On failure the connection has been recovered where that was
 * possible. */
bool ph_catalog_query(struct ph_conn *conn, const char *select, struct ph_rows **rows,
                      struct ph_err *err);

#endif
