/* The order of things: look, make the scratch, warm up, try, tidy up. */
#include "haul/tune_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "haul/control.h"
#include "ledger/pg.h"
#include "pg/tag.h"

/* A table that is moved within the blink of an eye tells nothing. */
enum { SMALLEST = 8 << 20 };

static bool connect_one(struct ph_tune *t, bool source, struct ph_err *err)
{
    const struct ph_job_opts *job = t->opts->job;
    struct ph_conn_opts how = {.dsn = source ? job->source : job->target,
                               .application_name = "pghaul/tune",
                               .encoding = *t->encoding ? t->encoding : NULL,
                               .read_only = source,
                               .interrupt = job->interrupt};
    if (!ph_conn_open(source ? &t->source : &t->target, &how, err)) {
        err->code = err->code == PH_CONNECTION ? PH_WRONG : err->code;
        return false;
    }
    if (!source)
        snprintf(t->encoding, sizeof t->encoding, "%s", ph_conn_server_encoding(t->target));
    return true;
}

/* Looking. */

static bool refuse(const struct ph_plan *plan, struct ph_err *err)
{
    const struct ph_obstacle *first = plan->obstacles;
    ph_err_set(err, PH_WRONG, "copy would refuse: %s", first->text);
    return first->hint ? ph_err_hint(err, "%s", first->hint) : false;
}

/* One table, or one tree of them, whose biggest leaf stands for it. */
static bool one_table(struct ph_tune *t, struct ph_err *err)
{
    const struct ph_plan *plan = t->plan;
    char size[PH_NUM_TEXT], least[PH_NUM_TEXT];
    for (int i = 1; i < plan->n_tables; i++)
        if (strcmp(plan->tables[i].root_source, plan->tables->root_source) != 0) {
            ph_err_set(err, PH_WRONG, "tune measures one table, and these are %d", plan->n_tables);
            return ph_err_hint(err, "name the biggest one: -t %s", plan->tables->root_source);
        }
    if (plan->n_tables == 0)
        return ph_err_set(err, PH_WRONG, "there is no table to measure");
    t->table = plan->tables;
    if (t->table->bytes >= SMALLEST)
        return true;
    ph_err_set(err, PH_WRONG, "table %s has %s, which is too little to measure: less than %s",
               t->table->root_source, ph_num_show_bytes(size, (double)t->table->bytes),
               ph_num_show_bytes(least, SMALLEST));
    return ph_err_hint(err, "any settings will do for it; tune with a big table");
}

static bool look(struct ph_tune *t, struct ph_err *err)
{
    if (!ph_plan_make(&t->plan, t->opts->job->spec, t->source, t->target, err)) {
        err->code = err->code == PH_FAILED || err->code == PH_CONNECTION ? PH_WRONG : err->code;
        return false;
    }
    if (!one_table(t, err))
        return false;
    if (t->plan->n_obstacles > 0)
        return refuse(t->plan, err);
    t->result->source = ph_arena_strdup(
        t->arena, ph_plan_name(t->plan, t->table->source_schema, t->table->source_name));
    t->result->target = ph_arena_strdup(
        t->arena, ph_plan_name(t->plan, t->table->target_schema, t->table->target_name));
    t->result->table_bytes = t->table->bytes;
    return true;
}

/* What trials do: the same rows and columns of the same table, into the scratch. */
static void specify(struct ph_tune *t)
{
    const struct ph_job_spec *spec = t->opts->job->spec;
    t->request = spec->n_requests == 1 ? spec->requests[0] : (struct ph_request){0};
    t->request.pattern = t->result->source;
    t->spec = (struct ph_job_spec){.route = PH_ROUTE_COPY,
                                   .n_requests = 1,
                                   .mode = PH_APPEND,
                                   .shard_rows = spec->shard_rows,
                                   .job_name = t->job};
    t->config = (struct ph_tune_config){.jobs = t->plan->jobs,
                                        .split = spec->split,
                                        .shard_size = spec->shard_size,
                                        .spill = t->opts->job->spill.when};
}

static bool make_scratch(struct ph_tune *t, struct ph_err *err)
{
    struct ph_tune_way *usual = &t->ways[0];
    uint64_t dice = ph_clock_ns();
    snprintf(t->job, sizeof t->job, "tune-%08" PRIx32,
             (uint32_t)ph_dice_next(&(struct ph_dice){dice}));
    ph_tag_of_job(t->job, t->plan->target.system_id, t->plan->target.database_oid, t->tag);
    usual->source = t->opts->job->source;
    usual->target = t->opts->job->target;
    if (!ph_scratch_make(t->target, t->arena, t->table->target_schema, t->table->target_name,
                         t->job, t->tag, 0, &usual->scratch, err)) {
        err->code = err->code == PH_FAILED ? PH_WRONG : err->code;
        return false;
    }
    t->n_ways = 1;
    t->result->scratch = ph_arena_strdup(
        t->arena, ph_plan_name(t->plan, usual->scratch.schema, usual->scratch.name));
    return true;
}

/* Trying. */

static void note_what_differs(struct ph_tune *t)
{
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    const struct ph_table *table = t->table;
    if (strcmp(table->root_source, t->result->source) != 0)
        ph_tune_note(t, "%s is the biggest part of %s and stands for it", t->result->source,
                     table->root_source);
    if (t->opts->job->spec->triggers != PH_TRIGGERS_REFUSE)
        ph_tune_note(t, "triggers are not part of the trials");
    if (t->weight_rate > 0)
        ph_tune_note(t,
                     "a trial read some %s of %s, each from another place of the table; what comes"
                     " from the source's disk at first may be in its memory later",
                     ph_num_show_bytes(a, t->weight_rate * t->box_s),
                     ph_num_show_bytes(b, (double)table->bytes));
    if (t->result->held_back)
        ph_tune_note(t, "%d trials were held back by a rate or a guard, and are not counted",
                     t->result->held_back);
}

static bool any_better(const struct ph_tune *t)
{
    int n = 0;
    for (int i = 0; i < t->result->n_settings; i++)
        n += t->result->settings[i].best != t->result->settings[i].start;
    return n > 0;
}

/* All changes together against none: gains cannot just be multiplied. */
static bool final_duel(struct ph_tune *t, const struct ph_tune_config *first, double until,
                       struct ph_err *err)
{
    struct ph_tune_duel duel = {0};
    if (!any_better(t))
        return true;
    bool ok = ph_tune_duel(t, first, &t->config, until, &duel, err);
    if (duel.pairs > 0) {
        t->result->gain = duel.gain;
        t->result->gain_pairs = duel.pairs;
    }
    return ok;
}

static void know_speed(struct ph_tune *t)
{
    const struct ph_tune_setting *s = t->result->settings;
    if (t->result->n_settings > 0 && s->points[s->start].n > 0)
        t->result->speed = s->points[s->start].speed;
}

/* However short the time is, it is known how fast it was. */
static bool baseline(struct ph_tune *t, struct ph_err *err)
{
    for (int i = 0; i < PH_TUNE_BASELINE; i++)
        if (!ph_tune_trial(t, &t->config, &t->baseline[i], err))
            return false;
    return true;
}

static bool try_all(struct ph_tune *t, struct ph_err *err)
{
    struct ph_tune_counters before;
    double begun = ph_clock_s(), time_s = t->until - begun;
    struct ph_tune_config first = t->config;
    ph_tune_read_facts(t);
    ph_tune_count(t, &before);
    if (!ph_tune_warm_up(t, err) || !baseline(t, err))
        return false;
    bool ok = ph_tune_settings(t, begun + 0.7 * time_s, err);
    know_speed(t);
    ph_tune_tell_checkpoints(t, &before);
    ok = ok && ph_tune_server(t, begun + 0.9 * time_s, err) &&
         ph_tune_again(t, begun + (any_better(t) ? 0.9 : 1) * time_s, err) &&
         final_duel(t, &first, t->until, err);
    note_what_differs(t);
    return ok;
}

/* Tidying up. */

static void tidy_up(struct ph_tune *t)
{
    struct ph_err err;
    if (t->n_ways == 0 || !t->target)
        return;
    ph_conn_set_interrupt(t->target, NULL, 2);
    ph_conn_recover(t->target);
    if (!ph_scratch_drop(t->target, &t->ways[0].scratch, &err))
        ph_log(t->opts->job->log, PH_LOG_WARN,
               "the scratch table %s is left behind, until the next tune or clean: %s",
               t->result->scratch, err.text);
}

/* Whoever opens the socket of a dead run has it, and takes it away in the end. */
static void drop_socket(const struct ph_spill_opts *opts, const char *job, struct ph_arena *arena)
{
    struct ph_control control;
    const char *base = opts->state_dir ? NULL : opts->state_base;
    if (!base || access(ph_arena_printf(arena, "%s/%s", base, job), F_OK) != 0)
        return;
    ph_control_begin(&control,
                     &(struct ph_control_opts){.job = job, .host = "", .state_base = base});
    ph_control_end(&control);
}

bool ph_tune_sweep(struct ph_conn *target, const struct ph_spill_opts *opts, struct ph_arena *arena,
                   struct ph_scratch_left **left, int *n, struct ph_err *err)
{
    if (!ph_scratch_sweep(target, arena, left, n, err))
        return false;
    for (int i = 0; i < *n; i++) {
        struct ph_spill spill;
        struct ph_err ignored;
        const struct ph_scratch_left *l = &(*left)[i];
        if (ph_spill_init(&spill, opts, "", l->job, l->tag, "", NULL, &ignored)) {
            ph_spill_end(&spill);
            ph_spill_fini(&spill);
        }
        drop_socket(opts, l->job, arena);
    }
    return true;
}

static bool sweep(struct ph_tune *t, struct ph_err *err)
{
    struct ph_scratch_left *left;
    int n;
    bool present = false;
    if (!ph_ledger_present(t->target, &present, err) ||
        (present && !ph_tune_sweep(t->target, &t->opts->job->spill, t->arena, &left, &n, err)))
        return false;
    for (int i = 0; present && i < n; i++)
        ph_log(t->opts->job->log, PH_LOG_NOTE, "%s.%s, left by a tune that died, is taken away",
               left[i].schema, left[i].name);
    return true;
}

static void fini(struct ph_tune *t)
{
    tidy_up(t);
    ph_conn_close(t->source);
    ph_conn_close(t->target);
    for (int i = 0; i < t->n_dsns; i++)
        ph_dsn_free(t->dsns[i]);
    ph_plan_free(t->plan);
}

/* So that some hundred trials fit into the time; short ones measure the beginning of a job more than the job. */
static double box(double time_s)
{
    double s = time_s / 150;
    return s < 0.4 ? 0.4 : s > 5 ? 5 : s;
}

bool ph_tune_run(const struct ph_tune_opts *opts, struct ph_tune_result *result, struct ph_err *err)
{
    double begun = ph_clock_s(), cpu = ph_clock_cpu_s();
    *result = (struct ph_tune_result){0};
    struct ph_tune t = {.opts = opts,
                        .result = result,
                        .arena = &result->arena,
                        .dice = {opts->seed},
                        .until = begun + opts->time_s,
                        .box_s = box(opts->time_s)};
    result->trial_s = t.box_s;
    bool ok = connect_one(&t, false, err) && connect_one(&t, true, err) && sweep(&t, err) &&
              look(&t, err);
    if (ok && make_scratch(&t, err)) {
        specify(&t);
        ok = try_all(&t, err);
    } else {
        ok = false;
    }
    fini(&t);
    result->seconds = ph_clock_s() - begun;
    result->cpu_s = ph_clock_cpu_s() - cpu;
    return ok;
}

void ph_tune_result_free(struct ph_tune_result *result)
{
    ph_arena_fini(&result->arena);
}
