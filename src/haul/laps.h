/* The laps of a hop: its time, told apart by stage (pghaul/stage.h).
 *
 * One look at the clock for each call of the hop, so a batch costs three and a row none. What a call has waited its end says
 * itself (wait_ns); the rest of it was work.
 *
 *     ph_laps_begin,  then for each call:  ph_laps_call … the call … ph_laps_source, _sink or _as;  ph_laps_end
 */
#ifndef PH_HAUL_LAPS_H
#define PH_HAUL_LAPS_H

#include "pghaul/hop.h"

struct ph_laps {
    struct ph_hop_gauge *gauge; /* NULL: nobody wants to know, and all of it does nothing */
    const struct ph_source *source;
    const struct ph_sink *sink;
    uint64_t at, source_wait, sink_wait, sink_commit;
};

void ph_laps_begin(struct ph_laps *laps, struct ph_hop_gauge *gauge, const struct ph_source *source,
                   const struct ph_sink *sink);
void ph_laps_end(struct ph_laps *laps);

/* The call that begins now waits, if it does, for this. */
void ph_laps_call(struct ph_laps *laps, enum ph_stage waits);

/* A call has ended: of the source, of the sink, or what counts as one stage altogether. */
void ph_laps_source(struct ph_laps *laps);
void ph_laps_sink(struct ph_laps *laps);
void ph_laps_as(struct ph_laps *laps, enum ph_stage stage);

#endif
