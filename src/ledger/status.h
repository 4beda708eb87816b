/* What the ledger says of a job, for `status` and `clean`: also from another machine, also while it
 * runs.
 *
 * Needs the target only. Everything belongs to the status' arena.
 */
#ifndef PH_LEDGER_STATUS_H
#define PH_LEDGER_STATUS_H

#include "base/arena.h"
#include "ledger/answer.h"
#include "pg/conn.h"

struct ph_status_table {
    const char *source, *target; /* "schema.name", quoted where needed */
    const char *split, *mode;
    uint64_t rows, bytes;                           /* landed */
    int64_t weight, weight_done;                    /* expected bytes, for the ETA */
    int planned, spilled, landed, verified, parked; /* shards by state */
};

struct ph_status_worker {
    const char *host;
    int pid;
    int64_t shard; /* 0: none in hand */
    const char *table;
    const char *since; /* ISO 8601, server time */
    double seconds;    /* since then */
};

/* Where shards lie in files. */
struct ph_status_spill {
    const char *holder; /* host:directory; "" for an archive */
    int shards;
    uint64_t bytes; /* of files */
};

struct ph_status_shard {
    int64_t shard;
    const char *table;   /* source */
    const char *lo, *hi; /* NULL: open; key values are shown as "#" and a hash unless show_data */
    const char *state;   /* planned spilled landed verified parked */
    int attempt;
    uint64_t rows, bytes;
    const char *error; /* of a parked or failing shard, or NULL */
};

/* A step that is in hand or has failed: an index, a constraint, ... */
struct ph_status_step {
    const char *object;
    const char *error; /* NULL: it is in hand */
    double seconds;    /* in hand, since it began */
};

struct ph_status {
    struct ph_arena arena;
    int64_t job_id;
    const char *job;
    const char *tag;
    const char *state; /* pending running paused completed failed */
    const char *mode;
    int round;
    const char *source, *target;    /* as shown when the job was made; no secrets */
    const char *definition;         /* canonical JSON */
    const char *created, *finished; /* ISO 8601 or NULL */
    const char *error;              /* of the last run, or NULL */
    struct ph_status_table *tables;
    int n_tables;
    struct ph_status_worker *workers;
    int n_workers;
    int verifies; /* at work now */
    struct ph_status_spill *spills;
    int n_spills;
    struct ph_status_shard *shards; /* only when asked for */
    int n_shards;
    int steps_planned, steps_done, steps_failed; /* planned: those in hand included */
    struct ph_status_step *steps;                /* in hand, then failed; up to 20 */
    int n_steps;
    struct ph_answers *answers; /* to queries of the user's */
    int n_answers;
    uint64_t rows, bytes;
    const char *held_by;     /* what holds a live run back, or NULL */
    double eta_seconds;      /* < 0: unknown */
    const char *snapshot_id; /* NULL: none yet */
    const char *snapshot_lsn;
    double snapshot_held_seconds;
    bool snapshot_released;
    const char *keeper_host; /* who holds it, NULL when nobody does any more */
    int keeper_pid;          /* the process on that host */
    int keeper_backend;      /* its backend on the source: pg_terminate_backend(N) ends it */
};

/* PH_WRONG when there is no ledger or no such job (the hint lists those there are); PH_OTHER_JOB
 * when the ledger is of a newer version. job NULL: the only job, or PH_WRONG with the list when
 * there are several. */
bool ph_status_read(struct ph_status **out, struct ph_conn *target, const char *job, bool shards,
                    bool show_data, struct ph_err *err);
void ph_status_free(struct ph_status *status);

/* Names of all jobs, newest first; *names is malloc'ed, as is each name. n = 0 when there is no
 * ledger. */
bool ph_status_jobs(struct ph_conn *target, char ***names, int *n, struct ph_err *err);
void ph_status_jobs_free(char **names, int n);

/* Takes a job's ledger rows away, and the schema with the last job's, and ends the keeper of its
 * snapshot when that runs on this host (elsewhere it ends by itself when its time is over). PH_HELD when a live run holds
 * it. Never touches user tables, except that what the job has dropped of them (--defer-indexes) and not made again yet is made
 * first; *restored counts that. An error leaves the job, and what could be made. */
bool ph_ledger_clean(struct ph_conn *target, const char *job, int *restored, struct ph_err *err);

/* [tx] Takes the schema away if no job, no creation and no scratch table (ledger/scratch.h) is written down in it. */
bool ph_ledger_end_if_unused(struct ph_conn *target, struct ph_err *err);

#endif
