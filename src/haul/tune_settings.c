/* What values there are to try of each setting. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "haul/run.h"
#include "haul/tune_run.h"

#define MIB ((double)(1 << 20))

static struct ph_tune_setting *add_setting(struct ph_tune *t, const char *name, bool number)
{
    struct ph_tune_setting *s = &t->result->settings[t->result->n_settings++];
    *s = (struct ph_tune_setting){.name = name, .number = number, .challenger = -1};
    return s;
}

static const char as_said[] = "as you said";

static bool was_said(struct ph_tune *t, const char *name, double value, const char *label)
{
    struct ph_tune_setting *s = add_setting(t, name, false);
    ph_tune_point(t, s, value, label);
    s->why = as_said;
    return true;
}

/* Jobs. */

static void apply_jobs(struct ph_tune_config *config, double value)
{
    config->jobs = (int)value;
}

static const char *label_jobs(struct ph_tune *t, double value)
{
    return ph_arena_printf(t->arena, "%.0f", value);
}

/* So many that both servers have connections for, and no more than could be of use. */
static int most_jobs(struct ph_tune *t)
{
    struct ph_plan *plan = NULL;
    struct ph_job_spec spec = *t->opts->job->spec;
    struct ph_err ignored;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int most = t->plan->jobs, wish = cpus > 8 ? 4 * (int)cpus : 32;
    spec.jobs = wish < PH_WORKERS_MAX ? wish : PH_WORKERS_MAX;
    if (ph_plan_make(&plan, &spec, t->source, t->target, &ignored))
        most = plan->jobs > most ? plan->jobs : most;
    ph_plan_free(plan);
    return most;
}

static bool try_jobs(struct ph_tune *t, double until, struct ph_err *err)
{
    struct ph_tune_setting *s = add_setting(t, "jobs", true);
    int most = most_jobs(t);
    s->start = ph_tune_point(t, s, t->config.jobs, label_jobs(t, t->config.jobs));
    for (int i = 0; i < PH_TUNE_BASELINE; i++)
        ph_tune_add_speed(t, &s->points[s->start], t->baseline[i]);
    if (t->opts->fixed_jobs) {
        s->why = as_said;
        return true;
    }
    for (int n = 1; n <= most && n <= 4 * t->config.jobs; n *= 2)
        ph_tune_point(t, s, n, label_jobs(t, n));
    for (int n = 3; n <= most && n <= 4 * t->config.jobs; n *= 2)
        ph_tune_point(t, s, n, label_jobs(t, n));
    bool ok = ph_tune_search(t, s, apply_jobs, label_jobs, until, err);
    for (int i = 0; i < s->n_points; i++)
        if (s->points[i].value == 1 && s->points[i].n > 0)
            t->single = s->points[i].speed.median;
    return ok;
}

/* How it is cut. */

static void apply_split(struct ph_tune_config *config, double value)
{
    config->split = (enum ph_split)value;
}

/* Whether the table can be cut this way at all. */
static bool can_split(struct ph_tune *t, enum ph_split split)
{
    struct ph_plan *plan = NULL;
    struct ph_job_spec spec = *t->opts->job->spec;
    struct ph_err ignored;
    spec.split = split;
    bool can = ph_plan_make(&plan, &spec, t->source, t->target, &ignored) &&
               plan->n_obstacles == 0 && plan->n_tables > 0 && plan->tables[0].split == split;
    ph_plan_free(plan);
    return can;
}

static bool try_split(struct ph_tune *t, double until, struct ph_err *err)
{
    static const enum ph_split all[] = {PH_SPLIT_BLOCK, PH_SPLIT_KEY, PH_SPLIT_HASH};
    enum ph_split now = t->table->split;
    if (t->opts->fixed_split)
        return was_said(t, "split", now, ph_split_name(now));
    struct ph_tune_setting *s = add_setting(t, "split", false);
    s->start = ph_tune_point(t, s, now, ph_split_name(now));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != now && can_split(t, all[i]))
            ph_tune_point(t, s, all[i], ph_split_name(all[i]));
    if (s->n_points == 1) {
        s->why = "there is no other way to cut it";
        return true;
    }
    return ph_tune_search(t, s, apply_split, NULL, until, err);
}

/* Shard size. */

static void apply_size(struct ph_tune_config *config, double value)
{
    config->shard_size = (uint64_t)value;
}

static const char *label_size(struct ph_tune *t, double value)
{
    char text[PH_NUM_TEXT];
    return ph_arena_strdup(t->arena, ph_num_show_bytes(text, value));
}

/* What the planner chooses for the jobs in force. */
static double planned_size(struct ph_tune *t)
{
    struct ph_plan *plan = NULL;
    struct ph_job_spec spec = *t->opts->job->spec;
    struct ph_err ignored;
    double size = (double)t->plan->shard_size;
    spec.jobs = t->config.jobs;
    if (ph_plan_make(&plan, &spec, t->source, t->target, &ignored))
        size = (double)plan->shard_size;
    ph_plan_free(plan);
    return size;
}

static bool try_size(struct ph_tune *t, double until, struct ph_err *err)
{
    double now = planned_size(t), whole = (double)t->table->bytes;
    if (t->opts->fixed_shard)
        return was_said(t, "shard-size", now, label_size(t, now));
    struct ph_tune_setting *s = add_setting(t, "shard-size", true);
    s->start = ph_tune_point(t, s, now, label_size(t, now));
    /* as many shards as there are workers at least; receipts have their price */
    for (double size = MIB; size <= 256 * MIB && size * t->config.jobs <= whole; size *= 2)
        if (whole / size < 20000 && fabs(log2(size / now)) > 0.4)
            ph_tune_point(t, s, size, label_size(t, size));
    if (s->n_points == 1) {
        s->why = "the table is too small to be cut otherwise";
        return true;
    }
    return ph_tune_search(t, s, apply_size, label_size, until, err);
}

/* Files on the way. */

static void apply_spill(struct ph_tune_config *config, double value)
{
    config->spill = (enum ph_spill_when)value;
}

static bool try_spill(struct ph_tune *t, double until, struct ph_err *err)
{
    static const char *const names[] = {"auto", "never", "always"};
    enum ph_spill_when now = t->config.spill;
    if (t->opts->fixed_spill)
        return was_said(t, "spill", now, names[now]);
    struct ph_tune_setting *s = add_setting(t, "spill", false);
    s->start = ph_tune_point(t, s, PH_SPILL_AUTO, names[PH_SPILL_AUTO]);
    ph_tune_point(t, s, PH_SPILL_ALWAYS, names[PH_SPILL_ALWAYS]);
    ph_tune_point(t, s, PH_SPILL_NEVER, names[PH_SPILL_NEVER]);
    /* what has been read has not landed yet: only the end of all tells how long it took */
    t->to_the_end = true;
    bool ok = ph_tune_search(t, s, apply_spill, NULL, until, err);
    t->to_the_end = false;
    return ok;
}

static void tell(struct ph_tune *t, const struct ph_tune_setting *s)
{
    ph_log(t->opts->job->log, PH_LOG_NOTE, "%s: %s; %s", s->name, s->points[s->best].label, s->why);
}

/* What is not tried leaves its time to the others. */
bool ph_tune_settings(struct ph_tune *t, double until, struct ph_err *err)
{
    const struct {
        bool (*try)(struct ph_tune *, double, struct ph_err *);
        double share;
    } steps[] = {{try_jobs, t->opts->fixed_jobs ? 0 : 0.45},
                 {try_size, t->opts->fixed_shard ? 0 : 0.3},
                 {try_split, t->opts->fixed_split ? 0 : 0.13},
                 {try_spill, t->opts->fixed_spill ? 0 : 0.12}};
    enum { STEPS = sizeof steps / sizeof *steps };
    for (size_t i = 0; i < STEPS; i++) {
        double left = 0, now = ph_clock_s();
        for (size_t k = i; k < STEPS; k++)
            left += steps[k].share;
        double share = left > 0 ? steps[i].share / left : 0;
        if (!steps[i].try(t, now + share * (until - now), err))
            return false;
        tell(t, &t->result->settings[t->result->n_settings - 1]);
    }
    return true;
}

bool ph_tune_again(struct ph_tune *t, double until, struct ph_err *err)
{
    struct ph_tune_result *r = t->result;
    bool ok = true;
    for (int i = 0; i < r->n_settings && ok; i++) {
        struct ph_tune_setting *s = &r->settings[i];
        if (!ph_tune_is_open(t, s) || !ph_tune_has_time(t, until - t->trial_s))
            continue;
        t->to_the_end = !strcmp(s->name, "spill");
        ok = ph_tune_challenge(t, s, until, err);
        t->to_the_end = false;
        tell(t, s);
    }
    return ok;
}
