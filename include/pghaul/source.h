/* A source lends the batches of a shard.
 *
 * A source is a struct that begins with `struct ph_source` and a const table of operations. One
 * worker thread makes, owns, uses and frees it; only `interrupt` may be called from elsewhere.
 *
 * Call order, per shard:  open, next until it lends an empty batch, finish;  or abandon at any
 * point after a failed call.
 */
#ifndef PGHAUL_SOURCE_H
#define PGHAUL_SOURCE_H

#include "pghaul/batch.h"
#include "pghaul/err.h"
#include "pghaul/shard.h"
#include "pghaul/stage.h"

struct ph_source;

struct ph_source_ops {
    const char *name;
    enum ph_stage waits,
        works; /* what its time counts as: waiting for the other end, and the rest */

    /* Begins to read a shard. May return before the other end has answered, so that a sink can be
     * opened meanwhile; errors then come from `next`. */
    bool (*open)(struct ph_source *source, const struct ph_shard *shard, struct ph_err *err);

    /* Lends the next batch; len 0 at the end of the shard, which the source has then proven
     * complete (the server said so, and its count of rows is the one that was lent). */
    bool (*next)(struct ph_source *source, struct ph_batch *batch, struct ph_err *err);

    /* Ends the shard after the sink has committed. Cannot fail: the rows have landed. A source that
     * is broken now mends itself in the next `open`. */
    void (*finish)(struct ph_source *source);

    /* Gives the shard up: afterwards `open` works again, at the price of a new connection if need
     * be. */
    void (*abandon)(struct ph_source *source);

    void (*free)(struct ph_source *source);
};

struct ph_source {
    const struct ph_source_ops *ops;
    uint64_t wait_ns; /* time spent waiting for the other end, so far; written by the owner only */
};

#endif
