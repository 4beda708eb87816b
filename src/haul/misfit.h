/* Misfits: rows that cannot be written in the target's encoding. A server says of one that it is there, and
 * not which it is; so the source is asked to try row by row, which takes one pass over the shard and no
 * transfer. A load has no source to ask: there the target tries, in a temporary table, and says which row of the
 * stream it does not take (misfit_file.c). Then they can be named, and with --max-rejects be left out. */
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

/* misfit_file.c: the same of a shard that lies in a file of an archive; adds nothing to `why`. `most`: stop when there are more. */
bool ph_misfit_find_filed(struct ph_worker *worker, const struct ph_shard *shard, int64_t most,
                          struct ph_arena *arena, struct ph_rejects *out, struct ph_err *err);

#endif
