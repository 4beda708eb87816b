/* In which order a schema can be made by several connections at once.
 *
 * pg_dump's order is one in which everything has what it needs, but most of it is tables that need
 * nothing of each other. They are cut into chunks, lists for pg_restore, and each chunk is of a wave:
 * those of one wave can be made beside each other, when all waves before it are there.
 *
 *     wave 0       what comes before the tables: schemas, extensions, types, functions, as it came
 *     wave 1       tables and sequences in several chunks; what needs each other is in one, in its order
 *     wave 2, ...  the rest as it came; views, which stand among the tables, wait till then
 *
 * and the same again where a table needs something that is no table: a view's row, a type that is made of
 * another table.
 */
#ifndef PH_PLAN_WAVES_H
#define PH_PLAN_WAVES_H

#include "plan/toc.h"

/* A relation that needs another, both as OIDs of the source. partition: as a partition needs its parent,
 * which does not count where pg_dump attaches it later. */
struct ph_wave_need {
    uint32_t relation, needs;
    bool partition;
};

struct ph_waves {
    const char **chunks;
    int *wave; /* of each chunk; never falls */
    int n;
};

/* No chunk of several has more than `most` entries, or `beside` where it is made beside others, unless
 * comments come behind its last. Everything lives in the arena. */
void ph_waves_cut(struct ph_waves *out, struct ph_arena *arena, const struct ph_toc *toc,
                  const struct ph_wave_need *needs, int n_needs, int most, int beside);

#endif
