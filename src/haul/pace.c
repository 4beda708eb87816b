#include "haul/pace.h"

#include "base/clock.h"

static const double longest_nap_s = 0.1; /* others may have failed meanwhile */

void ph_pace_init(struct ph_pace *pace, const struct ph_rates *rates)
{
    const uint64_t bytes[2] = {rates->source_bytes, rates->target_bytes};
    const uint64_t rows[2] = {rates->source_rows, rates->target_rows};
    *pace = (struct ph_pace){0};
    for (int side = 0; side < 2; side++) {
        ph_bucket_set(&pace->bytes[side], bytes[side], ph_clock_ns());
        ph_bucket_set(&pace->rows[side], rows[side], ph_clock_ns());
        pace->limited = pace->limited || bytes[side] || rows[side];
    }
}

void ph_pace_wait(struct ph_pace *pace, int side, uint64_t bytes, uint64_t rows,
                  struct ph_interrupt *interrupt, const _Atomic bool *stop)
{
    if (!pace->limited)
        return;
    uint64_t now = ph_clock_ns();
    struct ph_bucket_turn of_bytes = ph_bucket_take(&pace->bytes[side], bytes, now);
    struct ph_bucket_turn of_rows = ph_bucket_take(&pace->rows[side], rows, now);
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        now = ph_clock_ns();
        uint64_t a = ph_bucket_wait(&pace->bytes[side], &of_bytes, now);
        uint64_t b = ph_bucket_wait(&pace->rows[side], &of_rows, now);
        double left_s = (double)(a > b ? a : b) / 1e9;
        if (left_s <= 0 ||
            !ph_interrupt_sleep(interrupt, 1, left_s < longest_nap_s ? left_s : longest_nap_s))
            return;
    }
}

bool ph_pace_holds(const struct ph_pace *pace)
{
    uint64_t now = ph_clock_ns();
    for (int side = 0; pace->limited && side < 2; side++)
        if (ph_bucket_debt(&pace->bytes[side], now) || ph_bucket_debt(&pace->rows[side], now))
            return true;
    return false;
}
