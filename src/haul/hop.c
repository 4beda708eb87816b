/* Read this first: the way of one shard. Everything else in pghaul exists to feed this function, or
 * to remember what it did. */
#include "pghaul/hop.h"

#include "base/fault.h"
#include "haul/laps.h"

static void show(struct ph_hop_gauge *gauge, const struct ph_tally *tally)
{
    if (!gauge)
        return;
    atomic_store_explicit(&gauge->rows, tally->rows, memory_order_relaxed);
    atomic_store_explicit(&gauge->bytes, tally->bytes, memory_order_relaxed);
}

static void flow(struct ph_flow *flow, const struct ph_batch *batch)
{
    atomic_fetch_add_explicit(&flow->bytes, batch->len, memory_order_relaxed);
    atomic_fetch_add_explicit(&flow->rows, batch->rows + batch->last_piece, memory_order_relaxed);
}

static bool stream(struct ph_source *source, struct ph_sink *sink, struct ph_tally *tally,
                   struct ph_laps *laps, const struct ph_brake *brake, struct ph_err *err)
{
    struct ph_hop_gauge *gauge = laps->gauge;
    struct ph_batch batch;
    for (;;) {
        ph_laps_call(laps, source->ops->waits);
        bool got = source->ops->next(source, &batch, err);
        ph_laps_source(laps);
        if (!got)
            return false;
        if (batch.len == 0)
            return true;
        if (!ph_tally_add(tally, &batch))
            return ph_err_nomem(err);
        ph_laps_as(laps, PH_STAGE_FINGERPRINT);
        if (PH_FAULT("hop.put"))
            return ph_err_set(err, PH_FAILED, "fault point hop.put");
        if (brake) {
            ph_laps_call(laps, PH_STAGE_THROTTLED);
            bool pass = brake->wait(brake->arg, batch.len, batch.rows + batch.last_piece, err);
            ph_laps_as(laps, PH_STAGE_THROTTLED);
            if (!pass)
                return false;
        }
        ph_laps_call(laps, sink->ops->waits);
        bool taken = sink->ops->put(sink, &batch, err);
        ph_laps_sink(laps);
        if (!taken)
            return false;
        show(gauge, tally);
        if (gauge && gauge->flow)
            flow(gauge->flow, &batch);
    }
}

/* The source first: it does not wait for an answer, so both servers get to work at once. */
static bool open_both(struct ph_source *source, struct ph_sink *sink, const struct ph_shard *shard,
                      struct ph_laps *laps, struct ph_err *err)
{
    ph_laps_call(laps, source->ops->waits);
    bool ok = source->ops->open(source, shard, err);
    ph_laps_source(laps);
    if (!ok)
        return false;
    ph_laps_call(laps, sink->ops->waits);
    ok = sink->ops->open(sink, shard, err);
    ph_laps_sink(laps);
    return ok;
}

/* What came out of a file must be what went in; the source knows it where some rows are left out. */
static bool is_expected(const struct ph_shard *shard, const struct ph_tally *tally,
                        struct ph_err *err)
{
    if (!shard->expect || shard->rejects || ph_tally_equal(shard->expect, tally))
        return true;
    return ph_err_set(err, PH_DAMAGED,
                      "shard %lld: %llu rows came out of %s, and not what its receipt says",
                      (long long)shard->id, (unsigned long long)tally->rows,
                      shard->file ? shard->file : "the source");
}

bool ph_hop_run(struct ph_source *source, struct ph_sink *sink, const struct ph_shard *shard,
                struct ph_tally *tally, struct ph_hop_gauge *gauge, const struct ph_brake *brake,
                struct ph_err *err)
{
    *tally = (struct ph_tally){0};
    struct ph_laps laps;
    ph_laps_begin(&laps, gauge, source, sink);
    bool ok = open_both(source, sink, shard, &laps, err) &&
              stream(source, sink, tally, &laps, brake, err) && is_expected(shard, tally, err);
    if (ok) {
        ph_laps_call(&laps, sink->ops->waits);
        ok = sink->ops->commit(sink, tally, err);
        ph_laps_sink(&laps);
    }
    ph_laps_end(&laps);
    show(gauge, tally);
    if (ok) {
        source->ops->finish(source);
    } else {
        source->ops->abandon(source);
        sink->ops->abandon(sink);
    }
    ph_tally_fini(tally);
    return ok;
}
