/* From definitions to steps; what index.c and index_defer.c have in common. */
#ifndef PH_PLAN_INDEX_STEPS_H
#define PH_PLAN_INDEX_STEPS_H

#include "ledger/step.h"
#include "plan/index_read.h"
#include "plan/plan.h"

struct ph_index_maker {
    struct ph_index_set set; /* its arena is set by the caller */
    struct ph_steps *steps;
    bool restores; /* they were there before: comments come back too */
};

/* Fills in which of the plan's tables load which of the set's: by the target's OIDs, or the source's. */
void ph_index_assign(struct ph_index_maker *maker, const struct ph_plan *plan, bool by_target);

/* Makes the steps of all indexes that are `wanted`, with their constraints; then of all such keys. */
void ph_index_make(struct ph_index_maker *maker);

#endif
