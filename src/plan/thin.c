/* A part of a plan, for trials. */
#include <stdlib.h>

#include "plan/plan.h"

static int by_weight_then_id(const void *a, const void *b)
{
    const struct ph_shard *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void ph_plan_thin(struct ph_plan *plan, uint64_t bytes, int least, double place)
{
    int n = plan->n_shards, taken = 0;
    double sum = 0;
    struct ph_shard *kept = ph_arena_calloc(&plan->arena, (size_t)n + 1, sizeof *kept);
    const char **lo = ph_arena_calloc(&plan->arena, (size_t)n + 1, sizeof *lo);
    const char **hi = ph_arena_calloc(&plan->arena, (size_t)n + 1, sizeof *hi);
    int first = (int)(place * n) % (n > 0 ? n : 1);
    for (; taken < n && (taken < least || sum < (double)bytes); taken++) {
        kept[taken] = plan->shards[(first + taken) % n];
        sum += (double)kept[taken].weight;
    }
    qsort(kept, (size_t)taken, sizeof *kept, by_weight_then_id);
    for (int i = 0; i < plan->n_tables; i++)
        plan->tables[i].n_shards = 0;
    for (int i = 0; i < taken; i++) {
        lo[i] = plan->shard_lo[kept[i].id - 1]; /* the plan's are numbered as they stand */
        hi[i] = plan->shard_hi[kept[i].id - 1];
        kept[i].id = i + 1;
        ((struct ph_table *)kept[i].table)->n_shards++; /* ours, the plan's */
    }
    plan->shards = kept;
    plan->shard_lo = lo;
    plan->shard_hi = hi;
    plan->n_shards = taken;
}
