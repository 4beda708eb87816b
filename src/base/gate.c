#include "base/gate.h"

#include <time.h>

#include "base/clock.h"

void ph_gate_init(struct ph_gate *gate, uint64_t limit)
{
    *gate = (struct ph_gate){.limit = limit};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->freed, &attr);
    pthread_condattr_destroy(&attr);
}

void ph_gate_fini(struct ph_gate *gate)
{
    pthread_cond_destroy(&gate->freed);
    pthread_mutex_destroy(&gate->lock);
}

bool ph_gate_enter(struct ph_gate *gate, const void *owner, const struct ph_interrupt *interrupt,
                   struct ph_err *err)
{
    bool ok = true;
    pthread_mutex_lock(&gate->lock);
    while (gate->holder && gate->holder != owner) {
        if (ph_interrupt_at(interrupt, 2)) {
            ok = ph_err_set(err, PH_INTERRUPTED, "interrupted");
            break;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 200 * 1000 * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&gate->freed, &gate->lock, &until);
    }
    if (ok)
        gate->holder = owner;
    pthread_mutex_unlock(&gate->lock);
    return ok;
}

void ph_gate_leave(struct ph_gate *gate, const void *owner)
{
    pthread_mutex_lock(&gate->lock);
    if (gate->holder == owner) {
        gate->holder = NULL;
        pthread_cond_signal(&gate->freed);
    }
    pthread_mutex_unlock(&gate->lock);
}

bool ph_gate_exceeded(const struct ph_gate *gate)
{
    return gate->limit && ph_clock_rss() > gate->limit;
}
