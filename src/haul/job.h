/* A job from beginning to end: plan, ledger, snapshot, workers, recovery, completion.
 *
 * ph_job_copy() is what `pghaul copy` does, without the command line: it neither prints nor exits,
 * tells its events to the log and its progress to a callback, and returns a result to be shown. One
 * call at a time in a process (it forks the keeper, which wants no other threads at that moment).
 */
#ifndef PH_HAUL_JOB_H
#define PH_HAUL_JOB_H

#include "base/buf.h"
#include "base/interrupt.h"
#include "archive/manifest.h"
#include "base/log.h"
#include "haul/guard.h"
#include "haul/spill.h"
#include "haul/throttle.h"
#include "pghaul/stage.h"
#include "plan/plan.h"

/* One moment of a running job; arrays are valid during the callback only. */
struct ph_progress_table {
    const char *source, *target;
    uint64_t rows, bytes;        /* landed plus in flight */
    int64_t weight, weight_done; /* of planned bytes; weight_done grows with what is in flight */
    int shards, shards_landed, shards_parked;
    int64_t weight_spilled; /* of planned bytes: in files, not landed */
};

struct ph_progress {
    const char *job;
    double seconds; /* since the command began */
    const struct ph_progress_table *tables;
    int n_tables;
    uint64_t rows, bytes;         /* of the job, with what earlier runs landed */
    uint64_t run_rows, run_bytes; /* of this run */
    double rate_rows, rate_bytes; /* per second, over the last few seconds */
    double eta_s;                 /* < 0: unknown */
    int workers, workers_busy;
    int retries, parked;
    double source_share, target_share,
        self_share;             /* where workers' time goes, lately; sum 1 or 0 */
    double stages[PH_N_STAGES]; /* seconds of all workers, this run */
    const char *limit;          /* what it is, lately, in words; "" or NULL: not known */
    double snapshot_held_s;
    bool snapshot_released;
    uint64_t spilled_bytes;   /* of rows, that this run has put into files */
    double throttled_s;       /* of workers, all together */
    const char *throttled_by; /* the first reason, or NULL */
    bool paused;
    int steps, steps_done, steps_failed; /* indexes, constraints, ...; all of them, ... */
    bool making_schema;        /* --create: there is no job yet, and no more to tell than */
    int objects, objects_made; /* these; 0: not known */
    const char *phase; /* "planning", "copying", "waiting for the target", "finishing", ... */
};

/* Some of the shards instead of all, see ph_plan_thin(); bytes 0: all of them. */
struct ph_job_sample {
    uint64_t bytes;
    int least;
    double place;
};

/* copy --create: what is made besides tables and rows, and how. */
struct ph_create_opts {
    const char *pg_bin; /* where pg_dump and pg_restore are; NULL: they are looked for */
    bool no_owner, no_privileges, no_comments;
    bool no_analyze, vacuum, refresh; /* refresh: of materialized views */
};

struct ph_job_opts {
    const struct ph_dsn *source, *target;
    const struct ph_job_spec *spec;
    bool join;
    bool again;
    uint64_t index_memory;  /* of the target, for all index builds together, bytes; 0: chosen */
    uint64_t memory;        /* upper bound of resident memory, bytes; 0: 512 MiB */
    double keep_snapshot_s; /* how long the keeper outlives the last mover; 0: 15 min */
    double max_outage_s;    /* how long lost servers are tried for; 0: 30 min */
    bool climbs;            /* the number of workers is found out while they work */
    int source_jobs, target_jobs; /* workers at each side at most; 0: as many as there are */
    struct ph_rates rates;
    const struct ph_timetable *timetable; /* may be NULL */
    const struct ph_guard_limits *guards; /* likewise */
    struct ph_create_opts create;
    struct ph_spill_opts spill; /* copy */
    int64_t max_rejects; /* rows that the target's encoding has no characters for and that may be
                            left out */
    bool forget_spill;   /* what is spilled where no mover works is read again */
    const char *archive_dir;     /* extract, load */
    struct ph_job_sample sample; /* tune */
    struct ph_log *log;          /* may be NULL */
    struct ph_interrupt *interrupt;
    void (*progress)(void *arg,
                     const struct ph_progress *now); /* main thread, every 200 ms; may be NULL */
    void *arg;
};

struct ph_job_table {
    const char *source, *target;
    uint64_t rows, bytes;
    int shards, landed;
    int parked;
    uint64_t rejected; /* rows that were left out */
    const char *split;
    double seconds; /* from its first claim to its last receipt, this run; 0: nothing done in this
                       run */
};

struct ph_job_phase {
    const char *name;
    double seconds;
};

struct ph_job_result {
    struct ph_arena arena;
    const char *job;
    const char *state; /* as in status */
    bool was_complete; /* there was nothing to do */
    bool joined;
    int workers;
    uint64_t rows, bytes;         /* of the job */
    uint64_t run_rows, run_bytes; /* of this run */
    double seconds;
    int shards, shards_resumed, retries, parked, snapshots;
    double snapshot_held_s;
    int steps, steps_done, steps_failed; /* of the job: indexes, constraints, ... */
    double index_s; /* from the first of them that this run began to the end of the last */
    double tail_s;  /* from the first worker that ran dry to the end of the last shard */
    double source_share, target_share, self_share; /* of the workers' time; sum 1 or 0 */
    double stages[PH_N_STAGES];                    /* seconds of all workers */
    const char *created; /* what --create has made, by kind: JSON; NULL: it was not asked for */
    const char *const *
        unfilled; /* materialized views of the target that have not been filled, where --create has made some */
    int n_unfilled;
    const struct ph_job_phase *phases;
    int n_phases;
    const char *limit;      /* what it was, in words; "" or NULL: not known */
    uint64_t spilled_bytes; /* of files, by this run; extract: of the archive */
    double throttled_s;     /* of workers, all together */
    double throttled_by_s[PH_N_HOLDS];
    double cpu_s;
    uint64_t max_rss;
    struct ph_job_table *tables;
    int n_tables;
    struct {
        int64_t shard;
        const char *table;
        const char *error;
    } * parked_shards; /* up to 20 */
    int n_parked_shards;
    uint64_t rejected;     /* rows of the job that were left out */
    struct ph_buf rejects; /* a script of COPY that has them, in the source's bytes */
};

/* Runs or goes on with the job. The result is filled as far as it went on failure too; free it
 * either way. */
bool ph_job_copy(const struct ph_job_opts *opts, struct ph_job_result *result, struct ph_err *err);

/* The first half of a copy: from the source into opts->archive_dir, which becomes an archive (spec->route is PH_ROUTE_EXTRACT).
 * Goes on where an earlier run has left it; does nothing when it is complete. */
bool ph_job_extract(const struct ph_job_opts *opts, struct ph_job_result *result,
                    struct ph_err *err);

void ph_job_result_free(struct ph_job_result *result);

/* Plans only (a copy, or an extract, which has no target), and changes nothing: connects, plans, cuts under a snapshot of its own. The plan
 * borrows spec. */
bool ph_job_plan(const struct ph_job_opts *opts, struct ph_plan **plan, struct ph_err *err);

#endif
