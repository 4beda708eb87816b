/* A token bucket in one atomic word: the generic cell rate algorithm (GCRA; ITU-T I.371, virtual scheduling).
 *
 * The word is the theoretical arrival time of the next unit. Whoever has a piece to pass takes a turn, which says when the piece
 * may pass, and puts the next turn behind it; so the sum of all keeps to the rate whatever the size of their pieces and whoever
 * comes first. Within any time T no more passes than rate * (T + PH_BUCKET_BURST_NS), or one piece where that is more. A new bucket is empty: there is
 * no burst at the start, and what is not used later is lost but for the burst.
 *
 * Call order: ph_bucket_set; ph_bucket_take, then ph_bucket_wait until that says 0. Threads: any; a turn is its taker's.
 */
#ifndef PH_BASE_BUCKET_H
#define PH_BASE_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

struct ph_bucket {
    _Atomic uint64_t due_ns; /* when the next piece may pass */
    _Atomic uint64_t per_s;  /* units a second; 0: no limit */
};

/* How much may pass at once after an idle time: so many nanoseconds' worth. Over 10 s that is 1.5 % more than the rate. */
enum { PH_BUCKET_BURST_NS = 150 * 1000 * 1000 };

/* Sets the rate, at once; 0: no limit. Who is waiting waits for what is left at the new rate. */
void ph_bucket_set(struct ph_bucket *bucket, uint64_t per_s, uint64_t now);

/* When a piece may pass, and the rate that this was reckoned with. */
struct ph_bucket_turn {
    uint64_t at_ns, per_s;
};

/* Takes a turn for n units at `now` (ph_clock_ns). */
struct ph_bucket_turn ph_bucket_take(struct ph_bucket *bucket, uint64_t n, uint64_t now);

/* Nanoseconds until the piece may pass; 0: now. A turn is reckoned anew when the rate has changed. */
uint64_t ph_bucket_wait(const struct ph_bucket *bucket, struct ph_bucket_turn *turn, uint64_t now);

/* How far behind the bucket is at `now`, in nanoseconds: what the next piece would have to wait. */
uint64_t ph_bucket_debt(const struct ph_bucket *bucket, uint64_t now);

#endif
