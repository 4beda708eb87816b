/* What guards make of what they measure: pure, so that it can be tested without a server.
 *
 *     hard    holds as soon as the value is above its limit; lets go when it has been below four fifths of it for a while, so
 *             that a value around the limit does not make a run stutter
 *     soft    AIMD, as networks do it: half of the share at once when it is too much, a tenth more each second while it is not
 *     lag     how far a standby is behind, by when the server's WAL had grown beyond what the standby has replayed. By our own
 *             monotonic clock: no server's clock, and no standby's good will, comes in.
 *     p99     of the last answers of a canary
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

enum { PH_CANARY_WINDOW = 64, PH_CANARY_BASE = 32 };
struct ph_judge_canary {
    double last[PH_CANARY_WINDOW]; /* seconds, a ring */
    unsigned n;
    double base_s; /* p99 of the first ones; 0: not known yet */
};
/* Notes an answer; the first PH_CANARY_BASE make the baseline. */
void ph_judge_canary_note(struct ph_judge_canary *judge, double seconds);
double ph_judge_canary_p99(const struct ph_judge_canary *judge);

#endif
