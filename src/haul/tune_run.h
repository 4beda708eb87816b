/* A tune at work: what its parts share.
 *
 *     tune.c           the order of things: look, make the scratch, warm up, try, tidy up
 *     tune_trial.c     one trial
 *     tune_search.c    one setting: halving, golden section, the duel
 *     tune_settings.c  what values there are to try
 *     tune_server.c    what the servers could do about it
 */
#ifndef PH_HAUL_TUNE_RUN_H
#define PH_HAUL_TUNE_RUN_H

#include "haul/tune.h"
#include "ledger/scratch.h"
#include "pg/conn.h"

/* Everything that a trial can have otherwise. */
struct ph_tune_config {
    int jobs;
    enum ph_split split;
    uint64_t shard_size; /* 0: as the planner chooses for the jobs */
    enum ph_spill_when spill;
    int way; /* place in ways; 0 is the usual one */
};

/* Another road between the same tables: for what only the server's owner can change. */
struct ph_tune_way {
    const struct ph_dsn *source, *target;
    struct ph_scratch scratch;
};

/* B against A, turn by turn. */
struct ph_tune_duel {
    double a[PH_STATS_MOST], b[PH_STATS_MOST];
    int pairs;
    struct ph_estimate gain;
};

/* The duel of a setting, which may go on later. */
typedef void ph_tune_apply(struct ph_tune_config *config, double value);
struct ph_tune_bout {
    ph_tune_apply *apply;
    struct ph_tune_duel duel;
};

enum { PH_TUNE_BASELINE = 2 };

struct ph_tune {
    const struct ph_tune_opts *opts;
    struct ph_tune_result *result;
    struct ph_arena *arena;
    struct ph_conn *source, *target; /* control connections */
    char encoding[64];
    struct ph_plan *plan; /* of the real job */
    const struct ph_table *table;
    struct ph_job_spec spec; /* of the trials */
    struct ph_request request;
    char job[64], tag[9]; /* of the trials */
    struct ph_tune_way ways[1 + PH_TUNE_MOVES];
    int n_ways;
    struct ph_dsn *dsns[2 * PH_TUNE_MOVES]; /* to be freed */
    int n_dsns;
    struct ph_tune_config config;                /* in force */
    double baseline[PH_TUNE_BASELINE];           /* speeds of the first one */
    struct ph_tune_bout bouts[PH_TUNE_SETTINGS]; /* as the result's settings */
    struct ph_dice dice;
    double until;       /* when all time is over */
    double box_s;       /* a trial measures so long */
    double trial_s;     /* and takes so long with all that belongs to it, lately */
    double weight_rate; /* planned bytes a second, of the warm-up */
    double single;      /* speed of one worker, 0: not known; see tail in tune_trial.c */
    double place;       /* where in the table the next pair of trials reads, 0 to 1 */
    bool to_the_end;    /* trials are not stopped: they move few shards, all of them */
};

/* tune_trial.c */

/* One trial. *speed is 0 when it was held back and says nothing. A failure of the trial itself is PH_FAILED or PH_WRONG. */
bool ph_tune_trial(struct ph_tune *t, const struct ph_tune_config *config, double *speed,
                   struct ph_err *err);

/* The first trial, which is not counted; knows afterwards how long trials are. */
bool ph_tune_warm_up(struct ph_tune *t, struct ph_err *err);

/* Moves on to other rows: what is compared is measured on the same. */
void ph_tune_move_on(struct ph_tune *t);

/* Whether another trial can be had before then. */
bool ph_tune_has_time(const struct ph_tune *t, double until);

/* tune_search.c */

/* Tries a setting and takes what is better; `apply` puts a value into a configuration. False only if nothing can be tried any
 * more. */
bool ph_tune_search(struct ph_tune *t, struct ph_tune_setting *setting, ph_tune_apply *apply,
                    const char *(*label)(struct ph_tune *t, double value), double until,
                    struct ph_err *err);

/* The value's place among the points, which is made when there is none; -1 when there is no room. */
int ph_tune_point(struct ph_tune *t, struct ph_tune_setting *setting, double value,
                  const char *label);

/* One more trial of a point; a speed of 0 says nothing. */
void ph_tune_add_speed(struct ph_tune *t, struct ph_tune_point *point, double speed);

/* Goes on with a duel (one of zeros begins) until it is clear or time is over. */
bool ph_tune_duel(struct ph_tune *t, const struct ph_tune_config *a, const struct ph_tune_config *b,
                  double until, struct ph_tune_duel *duel, struct ph_err *err);

/* Goes on with the setting's own, and takes the challenger when it is better. Open: more pairs might still decide. */
bool ph_tune_challenge(struct ph_tune *t, struct ph_tune_setting *setting, double until,
                       struct ph_err *err);
bool ph_tune_is_open(const struct ph_tune *t, const struct ph_tune_setting *setting);
bool ph_tune_is_settled(const struct ph_tune_duel *duel);
bool ph_tune_is_better(const struct ph_estimate *gain, int pairs);

/* tune_settings.c: all of them; and again those whose duel is open, with what time is left. */
bool ph_tune_settings(struct ph_tune *t, double until, struct ph_err *err);
bool ph_tune_again(struct ph_tune *t, double until, struct ph_err *err);

/* tune_server.c */

/* Settings of both servers. */
void ph_tune_read_facts(struct ph_tune *t);

/* What was before the first trial, and what came of it. */
struct ph_tune_counters {
    int64_t asked, timed;
    uint64_t wal;
    bool known;
};
void ph_tune_count(struct ph_tune *t, struct ph_tune_counters *counters);
bool ph_tune_server(struct ph_tune *t, double until, struct ph_err *err);

/* What the counters say of checkpoints: after trials of the usual way alone. */
void ph_tune_tell_checkpoints(struct ph_tune *t, const struct ph_tune_counters *before);
void ph_tune_note(struct ph_tune *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
