/* Indexes and constraints, as steps that build them once the rows are there.
 *
 * Two ways in. With --create the target's tables are new and bare: ph_index_plan reads what the
 * source's tables have. With --defer-indexes the target's tables have their own: ph_index_defer
 * reads those, and adds to the list the statements that drop them. Either way the texts are the
 * servers' own (pg_get_indexdef, pg_get_constraintdef), taken apart only where that lets several be
 * built at once: a primary key becomes a unique index that is attached afterwards, a foreign key is
 * added unchecked and then validated.
 *
 *     table's rows ─► index … (several at once) ─► constraints by USING INDEX ─┐
 *     all rows ───────────────────────────────────────────────────────────────┴► foreign keys ─► validated
 *     partition's index … ─► the root's, ON ONLY ─► attached
 *
 * Call order: after ph_plan_make, which knows the tables. What is returned lives in the list's arena.
 */
#ifndef PH_PLAN_INDEX_H
#define PH_PLAN_INDEX_H

#include "ledger/step.h"
#include "pg/witness.h"
#include "plan/plan.h"

/* What the steps take care of, for who goes through an archive of pg_dump: the rest is theirs. */
struct ph_index_cover {
    struct ph_arena *arena; /* set by the caller */
    char **keys;            /* sorted */
    int n, room;
};

/* Plans the indexes and constraints of the plan's tables and of the partitioned tables above them,
 * as the source has them and the target has not yet. Tables that have another name in the target are
 * passed over. Comments are not looked after. cover may be NULL. */
bool ph_index_plan(const struct ph_plan *plan, const struct ph_witness *source,
                   struct ph_conn *target, struct ph_steps *steps, struct ph_index_cover *cover,
                   struct ph_err *err);

/* Asks what ph_index_plan will ask: for a witness who writes, so that it can be planned without the source. */
bool ph_index_ask(const struct ph_plan *plan, const struct ph_witness *source, struct ph_err *err);

/* Plans to drop the indexes and constraints of the plan's targets, foreign keys that point at them
 * included, and to make them again as they were, comments included. */
bool ph_index_defer(const struct ph_plan *plan, struct ph_conn *target, struct ph_steps *steps,
                    struct ph_err *err);

/* Whether steps make what an entry of a dump's table of contents would make: its kind ("INDEX",
 * "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "INDEX ATTACH"), schema, and tag as pg_restore -l
 * shows them (a constraint's is "table constraint"). */
bool ph_index_covers(const struct ph_index_cover *cover, const char *kind, const char *schema,
                     const char *tag);

#endif
