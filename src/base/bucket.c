#include "base/bucket.h"

void ph_bucket_set(struct ph_bucket *bucket, uint64_t per_s)
{
    atomic_store(&bucket->per_s, per_s);
}

uint64_t ph_bucket_charge(struct ph_bucket *bucket, uint64_t n, uint64_t now)
{
    uint64_t per_s = atomic_load_explicit(&bucket->per_s, memory_order_relaxed);
    if (per_s == 0)
        return 0;
    /* n * 1e9 overflows 64 bits above 18 GB: no piece is that large, but a rate of one byte is possible */
    double cost = (double)n * 1e9 / (double)per_s;
    uint64_t step = cost < 1e18 ? (uint64_t)cost : (uint64_t)1e18;
    uint64_t due = atomic_load(&bucket->due_ns), next;
    do {
        uint64_t earliest = now > PH_BUCKET_BURST_NS ? now - PH_BUCKET_BURST_NS : 0;
        next = (due > earliest ? due : earliest) + step;
    } while (!atomic_compare_exchange_weak(&bucket->due_ns, &due, next));
    return next > now ? next - now : 0;
}

uint64_t ph_bucket_debt(const struct ph_bucket *bucket, uint64_t now)
{
    uint64_t due = atomic_load(&bucket->due_ns);
    return due > now && atomic_load(&bucket->per_s) ? due - now : 0;
}
