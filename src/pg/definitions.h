/* What a database says of the definitions of its objects, as facts that two databases can be
 * compared by.
 *
 * A fact is one property of one object, as text: written by the server's own deparsers under
 * search_path = pg_catalog, without OIDs, lists in an order of their own. Two objects are the same
 * when all of their facts are; an object is there when there is a fact of it. Some twenty queries
 * read them all, whatever the number of tables (definitions.sql), in one read-only transaction of
 * the connection, in which there must be none.
 *
 * Ownership: texts live in the arena. An object within a relation of the scope has that relation's
 * OID and a name of its own ("" for the relation itself); others have no relation, and their
 * identity for a name.
 */
#ifndef PH_PG_DEFINITIONS_H
#define PH_PG_DEFINITIONS_H

#include "base/arena.h"
#include "pg/conn.h"

struct ph_fact {
    const char *kind; /* "table", "column", "constraint", ... */
    uint32_t rel;     /* 0: none of the scope */
    const char
        *schema; /* of an object without relation: that decides whether it is wanted; or "" */
    const char *name;
    int order; /* among the object's facts; the first one says what it is */
    const char *property;
    const char *value;
};

struct ph_facts {
    struct ph_fact *items;
    int n;
};

/* Of n relations, all that is attached to them and the types of their columns; with `all`, also of
 * everything else that is no relation. */
bool ph_definitions_read(struct ph_conn *conn, struct ph_arena *arena, const uint32_t *oids, int n,
                         bool all, struct ph_facts *out, struct ph_err *err);

/* Sequences that belong to columns of n relations and whose next value is not beyond the column's
 * utmost one: a fact "position" for each, also of those that the role may not look at. */
bool ph_definitions_behind(struct ph_conn *conn, struct ph_arena *arena, const uint32_t *oids,
                           int n, struct ph_facts *out, struct ph_err *err);

#endif
