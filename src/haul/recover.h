/* What a recovery knows, see recover.c; and recover_prove.c, which looks whether what has landed still stands. */
#ifndef PH_HAUL_RECOVER_H
#define PH_HAUL_RECOVER_H

#include "haul/run.h"
#include "pghaul/source.h"
#include "pghaul/tally.h"

struct ph_landed {
    int64_t shard;
    int tab;
    const char *pred;
    int64_t xid;           /* 0: it is spilled, and the target has no row of it */
    struct ph_tally tally; /* as its receipt has it */
    uint64_t oldest;       /* none of its database was older when it was read */
    const char *lsn;       /* where the source was then, */
    int timeline;          /* and on which line */
    bool changed;
};

struct ph_recovery {
    struct ph_run *run;
    struct ph_snapshot fresh;
    struct ph_landed *landed;
    int n_landed;
    int *changed;             /* by table number - 1 */
    int *have;                /* landed shards, likewise */
    struct ph_source *reader; /* under the fresh snapshot; NULL: nothing had to be read */
    bool told;                /* that there is another history */
};

/* Finds what has landed, was spilled, or was parked on its way out of a file. */
bool ph_recovery_read(struct ph_recovery *rec, struct ph_err *err);

/* Looks at one of them: ->changed says that it is not proven to be what it was. run->source is under the fresh snapshot. */
bool ph_recovery_prove(struct ph_recovery *rec, struct ph_landed *landed, struct ph_err *err);

void ph_recovery_fini(struct ph_recovery *rec);

#endif
