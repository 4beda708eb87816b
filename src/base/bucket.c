#include "base/bucket.h"

/* What is left of a wait when the rate changes. */
static uint64_t rescale(uint64_t left, uint64_t old_per_s, uint64_t per_s)
{
    if (old_per_s == 0 || per_s == 0)
        return 0;
    double scaled = (double)left * (double)old_per_s / (double)per_s;
    return scaled < 1e18 ? (uint64_t)scaled : (uint64_t)1e18;
}

void ph_bucket_set(struct ph_bucket *bucket, uint64_t per_s, uint64_t now)
{
    uint64_t old = atomic_exchange(&bucket->per_s, per_s);
    if (old == per_s)
        return;
    uint64_t due = atomic_load(&bucket->due_ns), next;
    do
        next = due > now ? now + rescale(due - now, old, per_s) : now;
    while (!atomic_compare_exchange_weak(&bucket->due_ns, &due, next));
}

struct ph_bucket_turn ph_bucket_take(struct ph_bucket *bucket, uint64_t n, uint64_t now)
{
    uint64_t per_s = atomic_load_explicit(&bucket->per_s, memory_order_relaxed);
    if (per_s == 0)
        return (struct ph_bucket_turn){.at_ns = now};
    /* n * 1e9 overflows 64 bits above 18 GB: no piece is that large, but a rate of one byte is possible */
    double cost = (double)n * 1e9 / (double)per_s;
    uint64_t step = cost < 1e18 ? (uint64_t)cost : (uint64_t)1e18;
    /* the piece itself is a part of the burst */
    uint64_t saved = step < PH_BUCKET_BURST_NS ? PH_BUCKET_BURST_NS - step : 0;
    uint64_t earliest = now > saved ? now - saved : 0;
    uint64_t due = atomic_load(&bucket->due_ns), at;
    do
        at = due > earliest ? due : earliest;
    while (!atomic_compare_exchange_weak(&bucket->due_ns, &due, at + step));
    return (struct ph_bucket_turn){.at_ns = at, .per_s = per_s};
}

uint64_t ph_bucket_wait(const struct ph_bucket *bucket, struct ph_bucket_turn *turn, uint64_t now)
{
    uint64_t per_s = atomic_load_explicit(&bucket->per_s, memory_order_relaxed);
    if (turn->at_ns <= now)
        return 0;
    if (per_s != turn->per_s) {
        turn->at_ns = now + rescale(turn->at_ns - now, turn->per_s, per_s);
        turn->per_s = per_s;
    }
    return turn->at_ns - now;
}

uint64_t ph_bucket_debt(const struct ph_bucket *bucket, uint64_t now)
{
    uint64_t due = atomic_load(&bucket->due_ns);
    return due > now && atomic_load(&bucket->per_s) ? due - now : 0;
}
