/* A token bucket in one atomic word: the generic cell rate algorithm (GCRA; ITU-T I.371, virtual scheduling).
 *
 * The word is the theoretical arrival time of the next unit. Whoever passes charges what it has and is told how long to wait
 * before it goes on; debts are shared by all who charge, so the sum of all keeps to the rate whatever the size of
 * their pieces. What is not used is lost but for `burst`.
 *
 * Threads: any.
 */
#ifndef PH_BASE_BUCKET_H
#define PH_BASE_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

struct ph_bucket {
    _Atomic uint64_t due_ns; /* when the bucket is level again */
    _Atomic uint64_t per_s;  /* units a second; 0: no limit */
};

/* How much may pass at once after a pause: so many nanoseconds' worth. */
enum { PH_BUCKET_BURST_NS = 150 * 1000 * 1000 };

/* Sets the rate, at once; 0: no limit. */
void ph_bucket_set(struct ph_bucket *bucket, uint64_t per_s);

/* Charges n units at `now` (ph_clock_ns). Returns the nanoseconds to wait before the next piece may follow; 0: none. */
uint64_t ph_bucket_charge(struct ph_bucket *bucket, uint64_t n, uint64_t now);

/* How far behind the bucket is at `now`, in nanoseconds. */
uint64_t ph_bucket_debt(const struct ph_bucket *bucket, uint64_t now);

#endif
