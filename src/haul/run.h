/* One run of a job: what job.c, recover.c and finish.c share. Lives on the stack of ph_job_copy. */
#ifndef PH_HAUL_RUN_H
#define PH_HAUL_RUN_H

#include "haul/crew.h"
#include "haul/job.h"
#include "ledger/pg.h"
#include "pg/snapshot.h"

struct ph_run {
    const struct ph_job_opts *opts;
    struct ph_job_result *result;
    struct ph_arena *arena; /* the result's */
    struct ph_plan *plan;
    struct ph_conn *source, *target; /* control connections */
    char encoding[64];
    char tag[9]; /* 8 hexadecimal digits of the job */
    char host[256];
    int64_t job;
    int mover;
    struct ph_ledger_snapshot *snapshot;
    struct ph_ledger_tab *tabs; /* as in the ledger when the phase began */
    int n_tabs;
    const struct ph_table **tables; /* by the ledger's table number - 1 */
    struct ph_crew crew;
    struct ph_gate gate;
    double begin_s;
    const char *phase;
};

/* Opens (or opens again) a control connection. */
bool ph_run_connect(struct ph_run *run, bool source, struct ph_err *err);

/* The snapshot is gone: does what can be done so that the job may go on under a new one
 * (recover.c), or says why it cannot. Afterwards run->snapshot is the new one. The process must
 * have one thread. */
bool ph_run_recover(struct ph_run *run, struct ph_err *err);

/* Sets the sequences of the target columns ahead of what was copied (finish.c). */
bool ph_run_sequences(struct ph_run *run, struct ph_err *err);

#endif
