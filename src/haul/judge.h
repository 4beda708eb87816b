/* What guards make of what they measure: pure, so that it can be tested without a server.
 *
 *     hard    holds as soon as the value is above its limit; lets go when it has been below four fifths of it for a while, so
 *             that a value around the limit does not make a run stutter
 *     soft    AIMD, as networks do it: half of the share at once when it is too much, a tenth more each second while it is not
 *     lag     how far a standby is behind, by when the server's WAL had grown beyond what the standby has replayed. By our own
 *             monotonic clock: no server's clock, and no standby's good will, comes in.
 *     canary  how much may be done so that answers stay as quick as they were before. It begins with little and doubles while all
 *             is well, as networks begin slowly; two slow answers halve it, and what they were answers to is forgotten; then it comes
 *             back quickly to well below where that was, and from there on by a twentieth a second: others' 99th percentile has no
 *             room for finding out often. One that is twice as slow as it may be is enough: of such ones others
 *             can bear less than one in a hundred. An answer that took as long as several should have counts as so many slow ones.
 *             The baseline is taken anew when hardly anything has been done for some seconds.
 *     fill    how soon something is full, as fast as it has filled within the last half minute
 *     window  how often a counter of the server's has grown within the last so many seconds
 */
#ifndef PH_HAUL_JUDGE_H
#define PH_HAUL_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

struct ph_judge_hard {
    bool holds;
    double below_since_s; /* < 0: it is not below */
};
bool ph_judge_hard(struct ph_judge_hard *judge, double value, double limit, double now_s);

struct ph_judge_soft {
    double share; /* 1 at the beginning */
    double changed_s;
};
double ph_judge_soft(struct ph_judge_soft *judge, bool too_much, double now_s);

enum { PH_LAG_SAMPLES = 4096 };
struct ph_judge_lag {
    struct {
        double at_s;
        uint64_t lsn;
    } sample[PH_LAG_SAMPLES]; /* a ring; LSNs grow */
    unsigned n;
};
/* The server's WAL ends here now. */
void ph_judge_lag_note(struct ph_judge_lag *judge, uint64_t lsn, double now_s);
/* Seconds that a standby which has replayed so much is behind; as far back as the samples go. */
double ph_judge_lag(const struct ph_judge_lag *judge, uint64_t replayed, double now_s);

enum { PH_FILL_SAMPLES = 64 };
#define PH_FILL_NEVER 1e12
struct ph_judge_fill {
    struct {
        double at_s, room;
    } sample[PH_FILL_SAMPLES]; /* a ring; two a second are half a minute */
    unsigned n;
};
/* So much room is left now; seconds until there is none. PH_FILL_NEVER: it does not fill, or has not been watched for long enough. */
double ph_judge_fill(struct ph_judge_fill *judge, double room, double now_s);

enum { PH_WINDOW_MOST = 512 }; /* that are told apart; more are as many */
struct ph_judge_window {
    bool known;
    uint64_t counter;
    double at_s[PH_WINDOW_MOST]; /* when it grew; a ring */
    unsigned n;
};
/* Notes what the counter says now, and returns how often it has grown within window_s. One that is smaller than before was
 * reset: what it shows has happened since. What was before the first look is not known, and does not count. */
unsigned ph_judge_window(struct ph_judge_window *judge, uint64_t counter, double window_s,
                         double now_s);

enum { PH_CANARY_WINDOW = 64, PH_CANARY_BASE = 40 };
#define PH_CANARY_LEAST 0.005 /* of the whole goes on whatever it says */
struct ph_judge_canary {
    double last[PH_CANARY_WINDOW]; /* seconds, a ring */
    unsigned n;
    /* p99 of the first ones, or of those while hardly anything was done; 0: not known yet */
    double base_s;
    double share;           /* of the whole that may work; it begins small */
    double ceiling;         /* where it was too much the last time; 0: not known */
    double lowered_s;       /* when it was halved last */
    unsigned answers, slow; /* since the share was changed */
    unsigned still;         /* answers since hardly anything has been done */
};
/* Notes an answer; the first PH_CANARY_BASE make the baseline. */
void ph_judge_canary_note(struct ph_judge_canary *judge, double seconds);
double ph_judge_canary_p99(const struct ph_judge_canary *judge);

/* The share that follows from an answer, when one is due every every_s and none should take longer than bound_s. */
double ph_judge_canary(struct ph_judge_canary *judge, double seconds, double bound_s,
                       double every_s, double now_s);

#endif
