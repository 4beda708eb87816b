#include "sink/null.h"

#include <stdlib.h>

static bool open_shard(struct ph_sink *sink, const struct ph_shard *shard, struct ph_err *err)
{
    (void)sink;
    (void)shard;
    (void)err;
    return true;
}

static bool put(struct ph_sink *sink, const struct ph_batch *batch, struct ph_err *err)
{
    (void)sink;
    (void)batch;
    (void)err;
    return true;
}

static bool commit(struct ph_sink *sink, const struct ph_tally *tally, struct ph_err *err)
{
    (void)sink;
    (void)tally;
    (void)err;
    return true;
}

static void abandon(struct ph_sink *sink)
{
    (void)sink;
}

static void free_sink(struct ph_sink *sink)
{
    free(sink);
}

static const struct ph_sink_ops ops = {
    .name = "null",
    .waits = PH_STAGE_TARGET_WAIT,
    .works = PH_STAGE_TARGET_WRITE,
    .open = open_shard,
    .put = put,
    .commit = commit,
    .abandon = abandon,
    .free = free_sink,
};

bool ph_sink_null_new(struct ph_sink **out, struct ph_err *err)
{
    struct ph_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return ph_err_nomem(err);
    sink->ops = &ops;
    *out = sink;
    return true;
}
