/* What a run remembers of itself for those who look: events, samples of how far it is, and what the target's backends wait
 * for. The log hears of events at once; samples and events lie in memory until the pulse writes them into the ledger, so that
 * `pghaul report` can tell of the job later, even if this process has died.
 *
 * Threads: events from any; the rest from the pulse, or from the main thread while there is none.
 */
#ifndef PH_HAUL_SIGHT_H
#define PH_HAUL_SIGHT_H

#include <pthread.h>

#include "base/log.h"
#include "ledger/history.h"

struct ph_crew;

enum { PH_SIGHT_SAMPLES = 600, PH_SIGHT_EVENTS = 400, PH_SIGHT_WAITS = 24 };

struct ph_sight {
    pthread_mutex_t lock;
    struct ph_history_sample
        samples[PH_SIGHT_SAMPLES]; /* not written yet; when full, the newest is overwritten */
    int n_samples;
    struct ph_history_event events[PH_SIGHT_EVENTS]; /* likewise; when full, no more are kept */
    int n_events;
    struct ph_history_bar
        *bars; /* of an extract, likewise: elsewhere the ledger has them as receipts */
    int n_bars, room_bars;
    struct ph_sight_wait {
        char event[64];
        unsigned seen;
    } waits[PH_SIGHT_WAITS]; /* how often a backend of ours was seen so */
    double begin_s, sample_at, waits_at;
    double held_at, throttled_s; /* when to look again, and how long it had been */
    bool held;                   /* workers were held back then */
    bool paused;                 /* a side was held */
    bool said;                   /* that the history cannot be written */
};

void ph_sight_init(struct ph_sight *sight);
void ph_sight_fini(struct ph_sight *sight);

/* Something happened: a line of the log, and from PH_LOG_INFO on something to remember. shard, tab: 0 where it is of none. Names
 * of events are stable: those who read logs go by them. */
void ph_sight_event(struct ph_crew *crew, enum ph_log_level level, const char *event, int64_t shard,
                    int tab, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* A file of an extract is whole; times by ph_clock_s(). */
void ph_sight_file(struct ph_crew *crew, const struct ph_history_bar *bar);

/* Looks at the crew when it is time to; last: now in any case. */
void ph_sight_look(struct ph_crew *crew, bool last);

/* Asks the target once a second what our backends there wait for. */
void ph_sight_ask(struct ph_crew *crew, struct ph_conn *conn);

/* Puts what has been remembered into the ledger, or into the journal of an extract (conn NULL). Failing is no failure of the job; it is kept for the next time. */
void ph_sight_write(struct ph_crew *crew, struct ph_conn *conn);

/* What the target's backends mostly do, in plain words, into out; "" when that is not known. */
void ph_sight_busy(struct ph_sight *sight, char *out, size_t size);

#endif
