/* What a new job has to do besides rows. */
#include "haul/run.h"

bool ph_run_plan_steps(struct ph_run *run, struct ph_err *err)
{
    run->steps = (struct ph_steps){.arena = run->arena};
    run->cover = (struct ph_index_cover){.arena = run->arena};
    return !run->creation || ph_create_steps(run, err);
}
