/* What holds a run back: rates of bytes and rows, for the source and the target apart.
 *
 * A hop charges every batch (pghaul/hop.h, struct ph_brake) to the buckets of the servers that it touches, and sleeps off what it
 * owes. The buckets are shared by all workers of the process. Threads: any.
 */
#ifndef PH_HAUL_THROTTLE_H
#define PH_HAUL_THROTTLE_H

#include "base/bucket.h"
#include "base/interrupt.h"
#include "pghaul/hop.h"

/* Units a second; 0: no limit. */
struct ph_rates {
    uint64_t source_bytes, source_rows, target_bytes, target_rows;
};

struct ph_throttle {
    struct ph_bucket source_bytes, source_rows, target_bytes, target_rows;
    struct ph_interrupt *interrupt;
    _Atomic uint64_t rate_ns; /* that workers slept, all together */
};

void ph_throttle_init(struct ph_throttle *throttle, const struct ph_rates *rates,
                      struct ph_interrupt *interrupt);

/* One worker's brake for one hop: which servers it touches. Lives as long as the hop. */
struct ph_throttle_hop {
    struct ph_throttle *throttle;
    bool source, target;
    uint64_t slept_ns; /* so far */
};
bool ph_throttle_wait(void *hop, uint64_t bytes, uint64_t rows, struct ph_err *err);

/* Whether the target is what is held back now: somebody would have to wait for its bucket. */
bool ph_throttle_holds_target(struct ph_throttle *throttle);

#endif
