#include "haul/laps.h"

#include "base/clock.h"

const char *const ph_stage_names[PH_N_STAGES] = {
    [PH_STAGE_SOURCE_WAIT] = "source_wait",   [PH_STAGE_SOURCE_READ] = "source_read",
    [PH_STAGE_FINGERPRINT] = "fingerprint",   [PH_STAGE_COMPRESS] = "compress",
    [PH_STAGE_SPILL_WRITE] = "spill_write",   [PH_STAGE_SPILL_READ] = "spill_read",
    [PH_STAGE_TARGET_WRITE] = "target_write", [PH_STAGE_TARGET_WAIT] = "target_wait",
    [PH_STAGE_COMMIT_WAIT] = "commit_wait",   [PH_STAGE_THROTTLED] = "throttled",
};

void ph_laps_begin(struct ph_laps *laps, struct ph_hop_gauge *gauge, const struct ph_source *source,
                   const struct ph_sink *sink)
{
    *laps = (struct ph_laps){.gauge = gauge,
                             .source = source,
                             .sink = sink,
                             .at = gauge ? ph_clock_ns() : 0,
                             .source_wait = source->wait_ns,
                             .sink_wait = sink->wait_ns,
                             .sink_commit = sink->commit_ns};
}

/* There is one writer, so no locked instruction is needed. */
static void count(struct ph_laps *laps, enum ph_stage stage, uint64_t ns)
{
    _Atomic uint64_t *sum = &laps->gauge->stage_ns[stage];
    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + ns,
                          memory_order_relaxed);
}

/* The call that begins now waits, if it does, for this. */
void ph_laps_call(struct ph_laps *laps, enum ph_stage waits)
{
    if (!laps->gauge)
        return;
    atomic_store_explicit(&laps->gauge->waits, (int)waits, memory_order_relaxed);
    atomic_store_explicit(&laps->gauge->begun_ns, laps->at, memory_order_relaxed);
}

static uint64_t lap(struct ph_laps *laps)
{
    uint64_t now = ph_clock_ns(), passed = now - laps->at;
    laps->at = now;
    atomic_store_explicit(&laps->gauge->begun_ns, now, memory_order_relaxed);
    return passed;
}

void ph_laps_end(struct ph_laps *laps)
{
    if (laps->gauge)
        atomic_store_explicit(&laps->gauge->begun_ns, 0, memory_order_relaxed);
}

void ph_laps_as(struct ph_laps *laps, enum ph_stage stage)
{
    if (laps->gauge)
        count(laps, stage, lap(laps));
}

void ph_laps_source(struct ph_laps *laps)
{
    if (!laps->gauge)
        return;
    uint64_t passed = lap(laps), waited = laps->source->wait_ns - laps->source_wait;
    laps->source_wait = laps->source->wait_ns;
    waited = waited < passed ? waited : passed;
    count(laps, laps->source->ops->waits, waited);
    count(laps, laps->source->ops->works, passed - waited);
}

void ph_laps_sink(struct ph_laps *laps)
{
    if (!laps->gauge)
        return;
    uint64_t passed = lap(laps), waited = laps->sink->wait_ns - laps->sink_wait,
             committed = laps->sink->commit_ns - laps->sink_commit;
    laps->sink_wait = laps->sink->wait_ns;
    laps->sink_commit = laps->sink->commit_ns;
    waited = waited < passed ? waited : passed;
    committed = committed < waited ? committed : waited;
    count(laps, PH_STAGE_COMMIT_WAIT, committed);
    count(laps, laps->sink->ops->waits, waited - committed);
    count(laps, laps->sink->ops->works, passed - waited);
}

void ph_hop_stages(const struct ph_hop_gauge *gauge, uint64_t now_ns, uint64_t ns[PH_N_STAGES])
{
    uint64_t begun = atomic_load_explicit(&gauge->begun_ns, memory_order_relaxed);
    for (int i = 0; i < PH_N_STAGES; i++)
        ns[i] += atomic_load_explicit(&gauge->stage_ns[i], memory_order_relaxed);
    if (begun && now_ns > begun)
        ns[atomic_load_explicit(&gauge->waits, memory_order_relaxed)] += now_ns - begun;
}
