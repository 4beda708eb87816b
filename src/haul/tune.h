/* Tuning: the best settings for these two servers and this table, found by measuring.
 *
 * A trial is a real job of the real engine: some shards of the source, under a snapshot, into a scratch table that costs what
 * the target costs; it is stopped when its time is over, and what passed meanwhile is its speed. Nothing is modelled but the
 * end of the whole table, which no short trial sees: on the average half a shard is left to a lone worker.
 *
 * Settings are tried one after the other, each from where the ones before have led to: many values a few times, the better half
 * of them again (successive halving), between the neighbours of the best by golden section, and at last the best against the
 * setting in force, turn by turn on the same rows (A B B A). It is taken only if it is faster by 3 % at least, and 95 of 100
 * bootstrapped worlds agree that it is faster at all.
 *
 * The source is only read. The live target is not touched: scratch tables stand beside it, see ledger/scratch.h.
 */
#ifndef PH_HAUL_TUNE_H
#define PH_HAUL_TUNE_H

#include "base/stats.h"
#include "haul/job.h"

enum { PH_TUNE_POINTS = 24, PH_TUNE_SETTINGS = 4, PH_TUNE_MOVES = 8, PH_TUNE_FACTS = 16 };

/* One value of a setting. Speeds are bytes of COPY a second, over the whole table. */
struct ph_tune_point {
    double value; /* jobs, bytes, or the place in a list */
    const char *label;
    double speeds[PH_STATS_MOST];
    int n;
    struct ph_estimate speed; /* when n > 0 */
    const char *failed;       /* it does not work, and why; NULL: it does */
    bool dropped;             /* the slower half of its time */
};

struct ph_tune_setting {
    const char *name; /* the option's: "jobs", "shard-size", "split", "spill" */
    bool number;      /* the points lie on a curve */
    struct ph_tune_point points[PH_TUNE_POINTS];
    int n_points;
    int start, best;         /* places in points; equal: it stays as it was */
    struct ph_estimate gain; /* of the challenger: 1.08 is 8 % faster; median 0: there was none */
    int challenger;          /* place; -1: none */
    int pairs;               /* that the gain is of */
    const char *why;         /* one phrase: what was decided, and why */
};

/* What somebody else than pghaul could change. */
struct ph_tune_move {
    const char *what, *now, *then; /* "transport", "TCP with TLSv1.3", "unix socket" */
    bool measured;
    struct ph_estimate gain; /* when measured */
    int pairs;
    const char *text; /* one sentence */
};

struct ph_tune_fact {
    const char *name, *source, *target; /* "": not known */
};

struct ph_tune_result {
    struct ph_arena arena;
    const char *source, *target; /* the table's names */
    const char *scratch;
    int64_t table_bytes;
    uint64_t moved_rows, moved_bytes; /* in all trials */
    int trials, held_back;            /* held back: by rates or guards, and not counted */
    double seconds, trial_s;          /* trial_s: how long one measures */
    bool whole;                       /* a trial moves the whole table */
    double cpu_s;
    struct ph_tune_setting settings[PH_TUNE_SETTINGS];
    int n_settings;
    struct ph_tune_move moves[PH_TUNE_MOVES];
    int n_moves;
    struct ph_tune_fact facts[PH_TUNE_FACTS];
    int n_facts;
    struct ph_estimate speed; /* as it was, bytes a second */
    struct ph_estimate gain;  /* of all settings together; median 0: nothing is to be changed */
    int gain_pairs;
    const char *notes[8]; /* what one should know of the figures */
    int n_notes;
    uint64_t wal_bytes; /* that the target wrote during the trials, by whomever */
    int checkpoints_asked, checkpoints_timed;
};

struct ph_tune_opts {
    const struct ph_job_opts
        *job;      /* where, what, and in which directories; progress is not called */
    double time_s; /* all together */
    uint64_t seed;
    /* said by the user, so not tried: */
    bool fixed_jobs, fixed_split, fixed_shard, fixed_spill;
};

/* Measures until time is over. The result is filled as far as it came, also when it was interrupted (PH_INTERRUPTED), which
 * leaves nothing behind either. PH_WRONG: what copy would refuse, more tables than one, or one that is too small. Call it in a
 * process with one thread. Free the result either way. */
bool ph_tune_run(const struct ph_tune_opts *opts, struct ph_tune_result *result,
                 struct ph_err *err);

void ph_tune_result_free(struct ph_tune_result *result);

/* What a dead tune has left in the target and in files here; *n counts the scratch tables. */
struct ph_scratch_left;
bool ph_tune_sweep(struct ph_conn *target, const struct ph_spill_opts *spill,
                   struct ph_arena *arena, struct ph_scratch_left **left, int *n,
                   struct ph_err *err);

#endif
