/* What is compared with what when definitions are compared: relations of both sides, by pairs.
 *
 * Tables are named as for a plan, but one that the other side lacks is no obstacle: it is half a
 * pair. With --all everything else that has a name among relations (views, ...) comes along, and
 * what only the target has. Partitions and children are paired by name below their parents.
 *
 * Ownership: relations and texts belong to the scope. Read-only once made.
 */
#ifndef PH_PLAN_SCOPE_H
#define PH_PLAN_SCOPE_H

#include "pg/catalog.h"
#include "plan/plan.h"

struct ph_scope_pair {
    const struct ph_relation *side[2]; /* source, target; one of them may be NULL */
};

struct ph_scope {
    struct ph_make *make;
    struct ph_scope_pair *pairs;
    int n, room;
};

/* Both connections are idle before and after. PH_WRONG for a name that the source does not know. */
bool ph_scope_make(struct ph_scope *scope, const struct ph_job_spec *spec, struct ph_conn *source,
                   struct ph_conn *target, struct ph_err *err);

/* OIDs of one side's relations; in the scope's arena. */
uint32_t *ph_scope_oids(const struct ph_scope *scope, int side, int *n);

/* Whether objects of that schema are to be compared. */
bool ph_scope_has_schema(const struct ph_scope *scope, const char *schema);

void ph_scope_fini(struct ph_scope *scope);

#endif
