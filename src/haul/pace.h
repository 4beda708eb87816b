/* The pace of readers that look at both servers: rates of bytes and rows for each side, shared by all
 * threads. What a hop does in its throttle (throttle.h), without pauses and guards.
 *
 * Call order: ph_pace_init; ph_pace_wait for every piece that was read. Threads: any.
 */
#ifndef PH_HAUL_PACE_H
#define PH_HAUL_PACE_H

#include "base/bucket.h"
#include "base/interrupt.h"
#include "haul/throttle.h"

struct ph_pace {
    struct ph_bucket bytes[2], rows[2]; /* source, target */
    bool limited;
};

void ph_pace_init(struct ph_pace *pace, const struct ph_rates *rates);

/* Waits until a piece that was read on that side (0 source, 1 target) may pass; no longer than until
 * the interrupt or *stop. */
void ph_pace_wait(struct ph_pace *pace, int side, uint64_t bytes, uint64_t rows,
                  struct ph_interrupt *interrupt, const _Atomic bool *stop);

/* Whether the next piece would have to wait. */
bool ph_pace_holds(const struct ph_pace *pace);

#endif
