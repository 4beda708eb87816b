/* How tables are cut into shards.
 *
 * Many small shards instead of a few big ones: they are the unit of retry and of balance, and what
 * is left when the first worker runs idle is one shard at most. Four ways:
 *
 *     block   ranges of TIDs: no key needed, reads every page once. One snapshot only.
 *     key     ranges of a btree order, bounds at the quantiles of a sample: rows can be found again
 * without the snapshot, and equal keys are in one shard. hash    a hash of the key modulo n: for
 * keys without an order; every shard scans the whole table. none    one shard.
 *
 * Whatever the way, the shards of a table are disjoint and cover it: ranges are half-open, the ends
 * of the first and of the last are open, and rows with a NULL in the key have a shard of their own.
 * Every decision about order or equality of keys is the source server's; nothing here compares two
 * keys.
 *
 * Call order: ph_split_choose() when columns are matched, ph_plan_cut() under the job's snapshot.
 * cut_keys.h reads keys from the catalog, cut_where.h writes the predicates.
 */
#ifndef PH_PLAN_SPLIT_H
#define PH_PLAN_SPLIT_H

#include "plan/plan.h"

/* Chooses split, split_reason and key of every table and the forecast n_shards; sets
 * plan->shard_size.
 *
 * Before the call a table holds what was asked for it: `split` (PH_SPLIT_AUTO: what the job says)
 * and `key`/`n_key` with only `column` filled, by source or target name (n_key 0: nothing was
 * asked). Kinds, sizes, columns and, for upsert, conflict and source_key_unique are settled, and
 * plan->source.version and plan->jobs (0: not yet) are known. Afterwards `split` is never AUTO and
 * `key` is that of the cut.
 *
 * Costs three queries at most, however many tables there are, and none when every table is small.
 * PH_WRONG when an explicit choice cannot work; the hint says what can. */
bool ph_split_choose(struct ph_plan *plan, struct ph_conn *source, struct ph_err *err);

/* The number of shards that `bytes` of a table make by plan->shard_size or --shard-rows; at
 * least 1. */
int ph_split_count(const struct ph_plan *plan, const struct ph_table *table, int64_t bytes);

/* Adds a warning to a table. */
void ph_split_warn(struct ph_plan *plan, struct ph_table *table, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
