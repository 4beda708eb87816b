/* What holds a run back: rates of bytes and rows, for the source and the target apart; and holds, which are whatever else makes it
 * slow or stop: the user's pause, a timetable, guards (haul/guard.h).
 *
 *     rate    a hop takes a turn for every batch at the buckets of the servers that it touches, and waits for it. The buckets are
 *             shared by all workers; several movers of one job each have their part of the rate.
 *     hard    a hold on a side (source, target or both) lets nobody touch that server: a hop gets a moment to end, and is given
 *             up then, so that no transaction is left open; workers rest until it is lifted, and say why.
 *     soft    a hold may leave a share of the whole: fewer workers, and below one worker a part of its time.
 *
 * What is shown is the first reason: the oldest hard hold, then the soft one that leaves least, then the rate.
 *
 * Call order: ph_throttle_init; ph_throttle_settle now and then (the pulse does) and after every change; ph_throttle_fini.
 * Threads: any, but init and fini.
 */
#ifndef PH_HAUL_THROTTLE_H
#define PH_HAUL_THROTTLE_H

#include <pthread.h>

#include "base/bucket.h"
#include "base/interrupt.h"
#include "base/timetable.h"
#include "pghaul/hop.h"

/* Units a second; 0: no limit. */
struct ph_rates {
    uint64_t source_bytes, source_rows, target_bytes, target_rows;
};

enum { PH_AT_SOURCE = 1, PH_AT_TARGET = 2, PH_AT_BOTH = 3 };

enum ph_hold_kind {
    PH_HOLD_RATE,
    PH_HOLD_PAUSE,
    PH_HOLD_TIMETABLE,
    PH_HOLD_LAG,
    PH_HOLD_LOAD,
    PH_HOLD_XACT_AGE,
    PH_HOLD_SLOT_WAL,
    PH_HOLD_FREE,
    PH_HOLD_FULL,
    PH_HOLD_CHECKPOINTS,
    PH_HOLD_CANARY,
    PH_HOLD_QUERY,
    PH_HOLD_FILE,
    PH_HOLD_URL,
    PH_N_HOLDS,
};

/* "rate", "pause", ...: as in throttled_seconds. */
const char *ph_hold_name(enum ph_hold_kind kind);

enum { PH_REASON_TEXT = 192 };

/* One reason to hold back. Its owner keeps it as long as the throttle; all zero but the kind and the share: holds nothing. */
struct ph_hold {
    enum ph_hold_kind kind;
    unsigned sides;    /* that nobody may touch */
    double share;      /* of the whole that may work, 0 to 1 */
    uint64_t since_ns; /* 0: holds nothing */
    char text[PH_REASON_TEXT];
    struct ph_hold *next;
};

struct ph_throttle {
    struct ph_bucket source_bytes, source_rows, target_bytes, target_rows;
    struct ph_interrupt *interrupt;
    _Atomic bool active;                   /* something may have to wait */
    _Atomic unsigned held;                 /* sides that nobody may touch */
    _Atomic uint64_t held_ns[2];           /* since when: source, target */
    _Atomic unsigned share;                /* of the whole that may work, in thousandths */
    _Atomic int busy;                      /* hops under way */
    _Atomic int workers;                   /* that there are */
    _Atomic uint64_t rate_seen_ns;         /* somebody waited for a turn then */
    _Atomic uint64_t slept_ns[PH_N_HOLDS]; /* of workers, all together, by the first reason */

    pthread_mutex_t lock; /* of what follows */
    struct ph_rates rates;
    const struct ph_timetable *timetable;
    int movers; /* that share the rates, we among them */
    int jobs;   /* workers that may work; 0: all */
    bool told;  /* that number has been asked for by somebody */
    struct ph_hold pause, by_timetable;
    uint64_t timetable_rate;
    char timetable_text[48];
    struct ph_hold *holds;
};

/* timetable may be NULL; it is borrowed, and so is the interrupt. */
void ph_throttle_init(struct ph_throttle *throttle, const struct ph_rates *rates,
                      const struct ph_timetable *timetable, struct ph_interrupt *interrupt);
void ph_throttle_fini(struct ph_throttle *throttle);

/* Makes what was wished effective, as the clock and the number of movers have it now. */
void ph_throttle_settle(struct ph_throttle *throttle);

/* So many movers share the rates from now on. */
void ph_throttle_share(struct ph_throttle *throttle, int movers);

/* A hold comes into being, changes, or is lifted (no sides and a share of 1). The text is a clause for people: "pause by bob". */
void ph_throttle_hold(struct ph_throttle *throttle, struct ph_hold *hold, unsigned sides,
                      double share, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Sides that nobody may touch now. */
unsigned ph_throttle_held(const struct ph_throttle *throttle);

/* There are so many workers now; how many of them may work. */
void ph_throttle_crew(struct ph_throttle *throttle, int workers);
int ph_throttle_workers(struct ph_throttle *throttle);

/* So many workers may work: somebody has asked for it; or it is only thought better, which does not count any more then. */
void ph_throttle_ask_jobs(struct ph_throttle *throttle, int jobs);
void ph_throttle_try_jobs(struct ph_throttle *throttle, int jobs);

/* Workers that are wanted; 0: as many as there are. */
int ph_throttle_jobs(struct ph_throttle *throttle);

/* The first reason; false: nothing holds back. paused: a hard one. */
bool ph_throttle_reason(struct ph_throttle *throttle, char text[static PH_REASON_TEXT],
                        enum ph_hold_kind *kind, bool *paused);

/* Who rested so long because of a hold says so. */
void ph_throttle_rested(struct ph_throttle *throttle, uint64_t ns);

/* One worker's brake: which servers its hop touches. All zero before the first hop; it lives as long as the worker, for the end of
 * a hop is work as well, and is rested for in the next one. */
struct ph_throttle_hop {
    struct ph_throttle *throttle;
    unsigned sides;
    uint64_t slept_ns; /* so far, of this hop */
    uint64_t last_ns;  /* when it was let go last; 0: never */
    uint64_t ended_ns; /* the last hop */
};
void ph_throttle_begin(struct ph_throttle_hop *hop, struct ph_throttle *throttle, unsigned sides);
void ph_throttle_end(struct ph_throttle_hop *hop);

/* Waits until a batch may pass. PH_PAUSED: a side has been held for longer than a moment. */
bool ph_throttle_wait(void *hop, uint64_t bytes, uint64_t rows, struct ph_err *err);

/* Whether the target is what is held back now: it is held, or somebody would have to wait for its bucket. still: it was; then
 * one who waits alone is enough, for the others have gone elsewhere. */
bool ph_throttle_holds_target(struct ph_throttle *throttle, bool still);

#endif
