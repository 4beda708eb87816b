/* One trial: a real job of some shards into a scratch table, stopped when its time is over. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "haul/tune_run.h"

enum { PATIENCE = 8, PATIENCE_TO_THE_END = 20, KEEP_S = 5 };

/* A trial that moves the whole table within so many boxes need not be stopped; others have shards for so many. */
static const double whole_boxes = 1.5, sample_boxes = 3;

struct watch {
    struct ph_interrupt stop;
    struct ph_interrupt *user;
    double box_s; /* so long it is measured; 0: to its end */
    double patience_s;
    double begun_s; /* when rows were there for the first time; 0: not yet */
    uint64_t bytes; /* then */
    int64_t weight;
    double rate, weight_rate; /* since then */
    double shard;             /* its mean weight */
    double passed;            /* bytes at the last look */
    uint64_t rows;            /* likewise */
    double looked_s;          /* seconds of the job then */
    bool halted;
};

static void halt(struct watch *w)
{
    w->halted = true;
    ph_interrupt_raise(&w->stop);
    ph_interrupt_raise(&w->stop);
}

/* The main thread's, five times a second. */
static void look(void *arg, const struct ph_progress *now)
{
    struct watch *w = arg;
    double at = ph_clock_s();
    const struct ph_progress_table *t = now->tables;
    if (w->halted || now->n_tables != 1)
        return;
    w->passed = (double)now->bytes;
    w->rows = now->rows;
    w->looked_s = now->seconds;
    w->shard = t->shards > 0 ? (double)t->weight / t->shards : 0;
    if (ph_interrupt_at(w->user, 1)) {
        halt(w);
    } else if (w->begun_s <= 0) {
        if (now->bytes == 0)
            return;
        w->begun_s = at;
        w->bytes = now->bytes;
        w->weight = t->weight_done;
    } else if (now->bytes > w->bytes) {
        double seconds = at - w->begun_s;
        w->rate = (double)(now->bytes - w->bytes) / seconds;
        w->weight_rate = (double)(t->weight_done - w->weight) / seconds;
        if (w->box_s > 0 && seconds >= w->box_s)
            halt(w);
    }
    if (!w->halted && now->seconds > w->patience_s)
        halt(w);
}

/* What the end of the whole table costs: on the average half a shard is left when the others have run dry, and one worker
 * alone is slower than all of them. */
static double with_tail(const struct ph_tune *t, const struct ph_tune_config *config,
                        const struct watch *w)
{
    double whole = (double)t->table->bytes, times = config->jobs;
    if (t->single > 0 && w->rate / t->single < times)
        times = w->rate / t->single;
    return times > 1 && whole > 0 ? w->rate * whole / (whole + w->shard / 2 * (times - 1))
                                  : w->rate;
}

static double speed_of(const struct ph_tune *t, const struct ph_tune_config *config,
                       const struct watch *w, const struct ph_job_result *r, bool complete)
{
    if (complete && r->n_tables == 1 && r->tables[0].seconds > 0)
        return (double)r->tables[0].bytes / r->tables[0].seconds;
    if (w->box_s > 0)
        return with_tail(t, config, w);
    return w->looked_s > 0 ? w->passed / w->looked_s : 0; /* too slow to be waited for */
}

static void clean_spill(struct ph_tune *t, const struct ph_spill_opts *opts)
{
    struct ph_spill spill;
    struct ph_err ignored;
    if (opts->when == PH_SPILL_NEVER ||
        !ph_spill_init(&spill, opts, "", t->job, t->tag, "", NULL, &ignored))
        return;
    ph_spill_end(&spill);
    ph_spill_fini(&spill);
}

/* So many shards that no worker is without one before time is over, or nobody would see what many workers or large shards do. */
static struct ph_job_sample sample(const struct ph_tune *t, const struct ph_tune_config *config)
{
    double boxes = t->to_the_end ? 1 : sample_boxes;
    return (struct ph_job_sample){.bytes = (uint64_t)(t->weight_rate * t->box_s * boxes),
                                  .least = (t->to_the_end ? 1 : 3) * config->jobs,
                                  .place = t->place};
}

static bool run(struct ph_tune *t, const struct ph_tune_config *config, struct watch *w,
                struct ph_job_result *result, struct ph_err *err)
{
    const struct ph_tune_way *way = &t->ways[config->way];
    struct ph_job_opts opts = *t->opts->job;
    struct ph_request request = t->request;
    struct ph_job_spec spec = t->spec;
    request.target = ph_plan_name(t->plan, way->scratch.schema, way->scratch.name);
    spec.requests = &request;
    spec.jobs = config->jobs;
    spec.split = config->split;
    spec.shard_size = config->shard_size;
    opts.spec = &spec;
    opts.source = way->source;
    opts.target = way->target;
    opts.spill.when = config->spill;
    opts.spill.keep = false;
    opts.keep_snapshot_s = KEEP_S;
    opts.log = NULL;
    opts.interrupt = &w->stop;
    opts.progress = look;
    opts.arg = w;
    if (t->weight_rate > 0)
        opts.sample = sample(t, config);
    bool ok = ph_job_copy(&opts, result, err);
    struct ph_err clean;
    if (!ph_scratch_end_job(t->target, t->job, &clean) && clean.code != PH_WRONG) {
        if (ok)
            *err = clean;
        ok = w->halted = false;
    }
    clean_spill(t, &opts.spill);
    return ok;
}

/* What was under way when a trial was stopped has been written, too. */
static void account(struct ph_tune *t, const struct watch *w, const struct ph_job_result *r,
                    double seconds)
{
    uint64_t passed = (uint64_t)w->passed;
    t->result->trials++;
    t->result->moved_rows += r->run_rows > w->rows ? r->run_rows : w->rows;
    t->result->moved_bytes += r->run_bytes > passed ? r->run_bytes : passed;
    t->trial_s = t->trial_s > 0 ? 0.7 * t->trial_s + 0.3 * seconds : seconds;
}

static void tell(struct ph_tune *t, const struct ph_tune_config *c, double speed, double seconds,
                 const struct ph_job_result *r)
{
    char size[PH_NUM_TEXT], passed[PH_NUM_TEXT];
    ph_log(t->opts->job->log, PH_LOG_DEBUG,
           "trial %d: jobs %d, shard size %s, split %s, spill %d, way %d: %s/s; %.2f s, %d shards",
           t->result->trials, c->jobs,
           c->shard_size ? ph_num_show_bytes(size, (double)c->shard_size) : "planned",
           ph_split_name(c->split), (int)c->spill, c->way, ph_num_show_bytes(passed, speed),
           seconds, r->shards);
}

static bool measure(struct ph_tune *t, const struct ph_tune_config *config, struct watch *w,
                    double *speed, struct ph_err *err)
{
    struct ph_job_result result = {0};
    double begun = ph_clock_s();
    *speed = 0;
    if (ph_interrupt_at(w->user, 1))
        return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    if (!ph_scratch_truncate(t->target, &t->ways[config->way].scratch, err) ||
        !ph_interrupt_init(&w->stop, err))
        return false;
    bool complete = run(t, config, w, &result, err), ok = complete || w->halted;
    if (ok && result.throttled_s > 0.05 * t->box_s)
        t->result->held_back++;
    else if (ok)
        *speed = speed_of(t, config, w, &result, complete);
    account(t, w, &result, ph_clock_s() - begun);
    tell(t, config, *speed, ph_clock_s() - begun, &result);
    ph_interrupt_fini(&w->stop);
    ph_job_result_free(&result);
    if (ph_interrupt_at(w->user, 1))
        return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    return ok;
}

bool ph_tune_trial(struct ph_tune *t, const struct ph_tune_config *config, double *speed,
                   struct ph_err *err)
{
    bool whole = t->to_the_end || t->result->whole;
    struct watch w = {.user = t->opts->job->interrupt,
                      .box_s = whole ? 0 : t->box_s,
                      .patience_s =
                          (t->to_the_end ? PATIENCE_TO_THE_END : PATIENCE) * t->box_s + 2};
    return measure(t, config, &w, speed, err) || ph_err_prefix(err, "trial");
}

bool ph_tune_warm_up(struct ph_tune *t, struct ph_err *err)
{
    double speed;
    struct watch w = {
        .user = t->opts->job->interrupt, .box_s = t->box_s, .patience_s = PATIENCE * t->box_s + 10};
    if (!measure(t, &t->config, &w, &speed, err))
        return ph_err_prefix(err, "trial");
    if (t->result->held_back) {
        ph_err_set(err, PH_WRONG, "a rate or a guard holds the job back: there is nothing to tune");
        return ph_err_hint(err, "leave them out while measuring");
    }
    double whole_s = w.weight_rate > 0 ? (double)t->table->bytes / w.weight_rate : 0;
    t->result->whole = !w.halted || whole_s <= whole_boxes * t->box_s;
    t->weight_rate = t->result->whole ? 0 : w.weight_rate;
    return true;
}

void ph_tune_move_on(struct ph_tune *t)
{
    t->place += 0.6180339887498949; /* never near where it was lately */
    t->place -= t->place >= 1;
}

bool ph_tune_has_time(const struct ph_tune *t, double until)
{
    return ph_clock_s() + t->trial_s <= (until < t->until ? until : t->until);
}
