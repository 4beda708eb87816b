/* Checks on a plan that are not part of making it. */
#ifndef PH_PLAN_CHECK_H
#define PH_PLAN_CHECK_H

#include "plan/plan.h"

/* Whether the target tables may be appended to: PH_WRONG naming those that have rows of their own,
 * unless the mode is another or --allow-nonempty was given. Asked for a new job or round only: a
 * job that goes on finds its own rows. A query per few hundred tables, inside of the caller's
 * transaction where one is open. */
bool ph_check_empty(struct ph_plan *plan, struct ph_conn *target, struct ph_err *err);

#endif
