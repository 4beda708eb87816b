/* How far a verify is, for the progress of the command line: the tables that have a verdict, and the
 * share of what is being read now. Called by the thread that waits for the readers. */
#include "base/clock.h"
#include "haul/verify_run.h"

static const double memory_s = 3; /* the rate is of so long */

/* The rate over the last few seconds, as a weighted mean. */
static void measure(struct ph_verify_pulse *p, double now_s, uint64_t rows, uint64_t bytes)
{
    double dt = now_s - p->last_s;
    if (dt <= 0)
        return;
    double alpha = dt / (dt + memory_s);
    p->rate_rows += alpha * ((double)(rows - p->rows) / dt - p->rate_rows);
    p->rate_bytes += alpha * ((double)(bytes - p->bytes) / dt - p->rate_bytes);
    p->last_s = now_s;
    p->rows = rows;
    p->bytes = bytes;
}

static int count_settled(const struct ph_verify *v)
{
    int settled = v->n_before;
    for (int i = 0; i < v->n_units; i++)
        settled += v->units[i].settled;
    return settled;
}

void ph_verify_tick(void *arg, double share)
{
    struct ph_verify *v = arg;
    struct ph_verify_pulse *p = &v->pulse;
    double now_s = ph_clock_s();
    char why[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused = false;
    if (share >= 0)
        p->share = share;
    ph_verify_attend(v);
    measure(p, now_s, atomic_load(&v->rows), atomic_load(&v->bytes));
    enum { WHOLE = 1000 };
    int n = v->result->n_tables, settled = count_settled(v);
    int jobs = ph_throttle_jobs(&v->run.throttle);
    bool held = ph_throttle_reason(&v->run.throttle, why, &kind, &paused);
    const struct ph_progress_table table = {
        .source = n == 0   ? "planning"
                  : n == 1 ? v->result->tables[0].source
                           : ph_arena_printf(&p->arena, "%d tables, %d proven", n, settled),
        .target = "",
        .rows = p->rows,
        .bytes = p->bytes,
        .weight = WHOLE,
        .weight_done = (int64_t)(p->share * WHOLE),
    };
    const struct ph_progress now = {
        .job = v->result->job ? v->result->job : "verify",
        .seconds = now_s - v->begin_s,
        .tables = &table,
        .n_tables = 1,
        .rows = p->rows,
        .bytes = p->bytes,
        .run_rows = p->rows,
        .run_bytes = p->bytes,
        .rate_rows = p->rate_rows,
        .rate_bytes = p->rate_bytes,
        .eta_s = -1,
        .snapshot_held_s = v->snapshot[0] || v->snapshot[1] ? now_s - v->looks_since_s : 0,
        .workers = jobs ? jobs : v->result->jobs,
        .workers_busy = paused ? 0
                        : jobs ? jobs
                               : v->result->jobs,
        .throttled_by = held ? why : NULL,
        .paused = paused,
        .phase = v->snapshot[PH_READ_SOURCE] ? "comparing both sides" : "reading back",
    };
    ph_control_saw(&v->run.control, &now);
    if (v->job.progress && !ph_interrupt_at(v->job.interrupt, 1))
        v->job.progress(v->job.arg, &now);
    ph_arena_fini(&p->arena);
}
