#include "haul/throttle.h"

#include "base/clock.h"

void ph_throttle_init(struct ph_throttle *throttle, const struct ph_rates *rates,
                      struct ph_interrupt *interrupt)
{
    *throttle = (struct ph_throttle){.interrupt = interrupt};
    ph_bucket_set(&throttle->source_bytes, rates->source_bytes);
    ph_bucket_set(&throttle->source_rows, rates->source_rows);
    ph_bucket_set(&throttle->target_bytes, rates->target_bytes);
    ph_bucket_set(&throttle->target_rows, rates->target_rows);
}

static uint64_t longer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool ph_throttle_wait(void *hop, uint64_t bytes, uint64_t rows, struct ph_err *err)
{
    struct ph_throttle_hop *h = hop;
    struct ph_throttle *t = h->throttle;
    uint64_t now = ph_clock_ns(), wait = 0;
    if (h->source)
        wait = longer(ph_bucket_charge(&t->source_bytes, bytes, now),
                      ph_bucket_charge(&t->source_rows, rows, now));
    if (h->target)
        wait = longer(wait, longer(ph_bucket_charge(&t->target_bytes, bytes, now),
                                   ph_bucket_charge(&t->target_rows, rows, now)));
    if (wait == 0)
        return true;
    bool ok = ph_interrupt_sleep(t->interrupt, 2, (double)wait / 1e9);
    uint64_t slept = ph_clock_ns() - now;
    atomic_fetch_add(&t->rate_ns, slept);
    h->slept_ns += slept;
    return ok || ph_err_set(err, PH_INTERRUPTED, "interrupted");
}

bool ph_throttle_holds_target(struct ph_throttle *throttle)
{
    /* a debt of a piece or two is how a bucket works; this much is a queue before it */
    static const uint64_t queue_ns = 50000000;
    uint64_t now = ph_clock_ns();
    return ph_bucket_debt(&throttle->target_bytes, now) > queue_ns ||
           ph_bucket_debt(&throttle->target_rows, now) > queue_ns;
}
