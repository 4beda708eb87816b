/* A sink lands the batches of a shard, all or none of them.
 *
 * Call order, per shard:  open, put*, commit;  or abandon at any point after a failed call. A sink
 * keeps nothing of a batch after `put` has returned. Ownership and threads as for a source.
 */
#ifndef PGHAUL_SINK_H
#define PGHAUL_SINK_H

#include "pghaul/batch.h"
#include "pghaul/err.h"
#include "pghaul/shard.h"
#include "pghaul/stage.h"
#include "pghaul/tally.h"

struct ph_sink;

struct ph_sink_ops {
    const char *name;
    enum ph_stage waits, works; /* as of a source */

    /* Begins to land a shard. PH_LANDED when its receipt is there already, PH_FENCED when a newer
     * attempt owns it: nothing was changed then. */
    bool (*open)(struct ph_sink *sink, const struct ph_shard *shard, struct ph_err *err);

    bool (*put)(struct ph_sink *sink, const struct ph_batch *batch, struct ph_err *err);

    /* Makes rows and receipt durable in one act. The sink compares its own count of rows with the
     * tally's and fails when they differ. After a PH_CONNECTION error the outcome is unknown until
     * the ledger has been asked; after any other nothing has landed. Within a
     * bundle only the last shard's commit commits; until then the others have landed as little as it. */
    bool (*commit)(struct ph_sink *sink, const struct ph_tally *tally, struct ph_err *err);

    void (*abandon)(struct ph_sink *sink);

    void (*free)(struct ph_sink *sink);
};

struct ph_sink {
    const struct ph_sink_ops *ops;
    uint64_t wait_ns; /* time spent waiting for the other end, so far; written by the owner only */
    uint64_t commit_ns; /* of it: for a commit, when all rows had been taken */
};

#endif
