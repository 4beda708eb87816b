/* Misfits: rows that cannot be written in the target's encoding. A server says of one that it is there, and
 * not which it is; so the source is asked to try row by row, which takes one pass over the shard and no
 * transfer. Then they can be named, and with --max-rejects be left out. */
#ifndef PH_HAUL_MISFIT_H
#define PH_HAUL_MISFIT_H

#include "haul/crew.h"
#include "pg/reject.h"

/* Whether a hop has failed because of an encoding. */
bool ph_misfit_is(const struct ph_err *err);

/* Finds the shard's misfits and adds to `why` which they are. False when nothing is known of them, or
 * there are more than the job may leave out. `out` and its texts live in `arena`. */
bool ph_misfit_find(struct ph_worker *worker, const struct ph_shard *shard, struct ph_arena *arena,
                    struct ph_rejects *out, struct ph_err *why);

#endif
