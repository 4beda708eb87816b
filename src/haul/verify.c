/* Verify from beginning to end; definitions come first, where they are asked for.
 *
 *     plan ─► look at the target ─► units ─┬─ receipt ───────────────────► settled
 *                                          ├─ readback ─┬─ equal ────────► settled
 *                                          │            └─ no, or not so ─┐
 *                                          ├─ source ─────────────────────┴► survey ─┬─ equal ─► settled
 *                                          └─ sample ─► settled                      └─ drill ─► name ─► repair
 *     after a repair: from the survey on again
 */
#include "haul/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/definitions.h"
#include "haul/verify_run.h"
#include "pg/sql.h"
#include "pg/tag.h"

enum { REPAIR_ROUNDS = 100, DEFAULT_DIFFERENCES = 100, WINDOW_BLOCKS = 32768 };
static const uint64_t default_memory = (uint64_t)512 << 20;

const char *ph_verify_level_name(enum ph_verify_level level)
{
    static const char *const names[] = {"receipt", "readback", "source", "sample"};
    return names[level];
}

const char *ph_difference_kind_name(enum ph_difference_kind kind)
{
    static const char *const names[] = {"missing", "extra", "changed"};
    return names[kind];
}

/* Stages. */

static bool connect(struct ph_verify *v, struct ph_err *err)
{
    struct ph_run *run = &v->run;
    if (v->spec.source_encoding)
        snprintf(run->encoding, sizeof run->encoding, "%s", v->spec.source_encoding);
    if (!ph_run_connect(run, false, err))
        return ph_run_unchanged(err);
    if (!*run->encoding)
        snprintf(run->encoding, sizeof run->encoding, "%s", ph_conn_server_encoding(run->target));
    return ph_run_connect(run, true, err) || ph_run_unchanged(err);
}

static bool make_plan(struct ph_verify *v, struct ph_err *err)
{
    struct ph_run *run = &v->run;
    if (!ph_plan_make(&run->plan, &v->spec, run->source, run->target, err))
        return ph_run_unchanged(err);
    const struct ph_plan *plan = run->plan;
    if (plan->n_obstacles > 0) {
        ph_err_set(err, PH_WRONG, "%s", plan->obstacles[0].text);
        return plan->obstacles[0].hint ? ph_err_hint(err, "%s", plan->obstacles[0].hint) : false;
    }
    ph_tag_of_job(plan->job_name, plan->target.system_id, plan->target.database_oid, run->tag);
    v->result->job = ph_arena_strdup(v->arena, plan->job_name);
    v->result->jobs = plan->jobs > 0 ? plan->jobs : 1;
    ph_gate_init(&run->gate, v->job.memory ? v->job.memory : default_memory);
    v->most_jobs = ph_run_most_workers(run);
    v->most_jobs = v->most_jobs < plan->most_jobs ? v->most_jobs : plan->most_jobs;
    v->most_jobs = v->most_jobs > v->result->jobs ? v->most_jobs : v->result->jobs;
    return true;
}

static int order_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Notes which keys differ, for the second look; more than fit are none, so that all count. */
static bool remember(struct ph_verify *v, struct ph_unit *unit, const struct ph_odds *odds,
                     struct ph_err *err)
{
    const struct ph_verify_table *r = unit->result;
    uint64_t rows = 0;
    if (v->opts->recheck_s <= 0 || unit->suspects)
        return true;
    for (size_t i = 0; i < odds->n; i++)
        rows += odds->items[i].count[0] + odds->items[i].count[1];
    if (rows < r->missing + r->extra + r->changed)
        return true;
    unit->suspects = calloc(odds->n + 1, sizeof *unit->suspects);
    if (!unit->suspects)
        return ph_err_nomem(err);
    for (size_t i = 0; i < odds->n; i++)
        unit->suspects[unit->n_suspects++] = odds->items[i].key;
    qsort(unit->suspects, unit->n_suspects, sizeof *unit->suspects, order_hashes);
    return true;
}

/* What was found is a verdict, and gets names. */
static bool conclude(struct ph_verify *v, struct ph_unit *unit, const struct ph_odds *odds,
                     struct ph_err *err)
{
    struct ph_verify_table *r = unit->result;
    r->equal = r->missing + r->extra + r->changed == 0;
    r->n_differences = 0;
    unit->settled = true;
    return r->equal || (remember(v, unit, odds, err) && ph_verify_name(v, unit, odds, err));
}

/* Mends what differs; what was mended is to be looked at again. */
static bool mend(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds, bool *again,
                 struct ph_err *err)
{
    uint64_t before = unit->result->repaired;
    if (unit->result->equal)
        return true;
    ph_note_forget(v, unit);
    if (!ph_verify_repair(v, unit, odds, err))
        return false;
    if (unit->result->repaired > before) {
        unit->settled = false;
        *again = true;
    }
    return true;
}

static void add_columns_verdict(struct ph_verify_table *r)
{
    if (r->n_only_source + r->n_only_target > 0)
        r->equal = false;
}

/* Down to the row: by receipts where these tell where to look, else by buckets. */
static bool drill_unit(struct ph_verify *v, struct ph_unit *unit, bool by_receipts, bool mending,
                       bool *again, struct ph_err *err)
{
    struct ph_odds odds = {0};
    bool done = !by_receipts;
    bool ok = by_receipts ? ph_verify_shards(v, unit, &odds, &done, err)
                          : ph_verify_drill(v, unit, &odds, err);
    ok = ok && (!done ||
                (conclude(v, unit, &odds, err) && (!mending || mend(v, unit, &odds, again, err))));
    free(odds.items);
    return ok;
}

/* Places of rows are those of a snapshot: after a pause a unit is drilled from its beginning. */
static bool drill(struct ph_verify *v, bool by_receipts, bool mending, bool *again,
                  struct ph_err *err)
{
    for (int i = 0; i < v->n_units; i++) {
        struct ph_unit *unit = &v->units[i];
        if (unit->settled || (by_receipts && !unit->bad))
            continue;
        while (!drill_unit(v, unit, by_receipts, mending, again, err))
            if (err->code != PH_PAUSED || !ph_verify_rest(v, err))
                return ph_err_prefix(err, "comparing %s", unit->result->source);
    }
    return true;
}

/* Surveys what is not settled yet, drills where it differs, mends when asked to. *again says that
 * something was mended. */
static bool compare(struct ph_verify *v, bool mending, bool *again, struct ph_err *err)
{
    *again = false;
    return ph_verify_look(v, PH_READ_SOURCE, err) && ph_verify_look(v, PH_READ_TARGET, err) &&
           ph_verify_survey(v, err) && drill(v, false, mending, again, err);
}

static int count_open(const struct ph_verify *v)
{
    int open = 0;
    for (int i = 0; i < v->n_units; i++)
        open += !v->units[i].settled;
    return open;
}

static bool recheck(struct ph_verify *v, struct ph_err *err)
{
    bool differs = false, again;
    for (int i = 0; i < v->n_units; i++)
        differs = differs || !v->units[i].result->equal;
    if (!differs || v->opts->recheck_s <= 0)
        return true;
    ph_verify_look_away(v);
    if (!ph_interrupt_sleep(v->job.interrupt, 1, v->opts->recheck_s))
        return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    for (int i = 0; i < v->n_units; i++)
        v->units[i].settled = v->units[i].result->equal;
    return compare(v, false, &again, err);
}

/* The verdict by rows; columns that one side lacks are added at the end. */
static bool judge(struct ph_verify *v, struct ph_err *err)
{
    const struct ph_verify_opts *o = v->opts;
    bool again = false, mended = false, at_once = o->repair && o->recheck_s <= 0;
    if (o->level == PH_VERIFY_RECEIPT)
        return ph_verify_receipts(v, err);
    if (o->level == PH_VERIFY_SAMPLE)
        if (!ph_verify_look(v, PH_READ_SOURCE, err) || !ph_verify_sample(v, err))
            return false;
    if (o->level == PH_VERIFY_READBACK && !ph_verify_back(v, err))
        return false;
    if (count_open(v) == 0)
        return true;
    if (o->level == PH_VERIFY_READBACK &&
        (!ph_verify_look(v, PH_READ_SOURCE, err) || !drill(v, true, at_once, &mended, err)))
        return false;
    if (mended)
        ph_verify_look_away(v);
    if ((count_open(v) > 0 && !compare(v, at_once, &again, err)) || !recheck(v, err))
        return false;
    for (int round = 0; (again || (o->repair && !at_once)) && round < REPAIR_ROUNDS; round++) {
        ph_verify_look_away(v);
        for (int i = 0; i < v->n_units; i++)
            v->units[i].settled = v->units[i].settled && v->units[i].result->equal;
        at_once = true;
        if (!compare(v, round + 1 < REPAIR_ROUNDS, &again, err))
            return false;
    }
    return true;
}

/* The ledger learns what was proven, where we may write to it; a proof is none the worse without.
 * While the verify goes on it notes units, on a connection of its own, since the other one looks. */

static bool note_unit(struct ph_verify *v, struct ph_conn *conn, const struct ph_unit *unit,
                      struct ph_err *err)
{
    char stands[200];
    bool ok = ph_census_write(v, unit, stands, err);
    for (int k = 0; ok && *stands && k < unit->n_tables; k++)
        ok = !unit->loads[k] || ph_ledger_note_proven(conn, unit->loads[k]->job,
                                                      unit->loads[k]->tab, v->how, stands, err);
    return ok;
}

static void note_window(struct ph_verify *v)
{
    struct ph_err ignored;
    struct ph_conn *conn = NULL;
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/note", v->run.tag);
    const struct ph_conn_opts how = {.dsn = v->job.target,
                                     .application_name = name,
                                     .interrupt = v->job.interrupt,
                                     .interrupt_level = 1};
    bool proven = v->opts->level == PH_VERIFY_READBACK || v->opts->level == PH_VERIFY_SOURCE;
    bool ok = proven && ph_conn_open(&conn, &how, &ignored);
    for (int i = 0; ok && i < v->n_units; i++)
        ok = !v->units[i].result->equal || note_unit(v, conn, &v->units[i], &ignored);
    ph_conn_close(conn);
}

static bool mark_unit(struct ph_verify *v, const struct ph_unit *unit)
{
    struct ph_err ignored;
    bool proven = unit->result->equal &&
                  (v->opts->level == PH_VERIFY_READBACK || v->opts->level == PH_VERIFY_SOURCE);
    for (int k = 0; k < unit->n_tables; k++) {
        const struct ph_ledger_load *load = unit->loads[k];
        if (load &&
            (!ph_ledger_forget_proven(v->run.target, load->job, load->tab, &ignored) ||
             (proven && !ph_ledger_mark_verified(v->run.target, load->job, load->tab, &ignored))))
            return false;
    }
    return true;
}

/* Windows. */

static int64_t blocks_of(const struct ph_unit *unit)
{
    int64_t blocks = 0;
    for (int i = 0; i < unit->n_rels[PH_READ_TARGET]; i++)
        blocks += unit->rels[PH_READ_TARGET][i].blocks;
    return blocks;
}

/* So many units that what is lost when we are stopped is little, and what is done at once is much. One
 * that is as big as that is alone: of what is alone a part is kept, too. */
static int window_size(const struct ph_unit *units, int n)
{
    int64_t blocks = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && blocks_of(&units[i]) >= WINDOW_BLOCKS)
            return i;
        blocks += blocks_of(&units[i]);
        if (blocks >= WINDOW_BLOCKS || PH_FAULT("verify.window"))
            return i + 1;
    }
    return n;
}

/* The verdict of one unit: nothing is to be gone on with, but it tells what it had. */
static void end_note(struct ph_verify *v, struct ph_unit *unit)
{
    ph_note_forget(v, unit);
    if (unit->read_before && unit->result->proof)
        unit->result->proof =
            ph_arena_printf(v->arena, "%s; %s", unit->result->proof, unit->read_before);
}

/* What was proven before this verify was stopped is proven if it is the same still. */
static bool prove_again(struct ph_verify *v, struct ph_err *err)
{
    for (int i = 0; i < v->n_units; i++) {
        struct ph_unit *unit = &v->units[i];
        bool yes = true;
        while (unit->stands && !ph_census_stands(v, unit, unit->stands, &yes, err))
            if (err->code != PH_PAUSED || !ph_verify_rest(v, err))
                return ph_err_prefix(err, "looking whether %s has changed", unit->result->source);
        if (!yes) {
            unit->settled = unit->result->equal = false;
            unit->result->proof = NULL;
        }
    }
    return true;
}

static bool judge_all(struct ph_verify *v, struct ph_err *err)
{
    struct ph_unit *all = v->units;
    int n = v->n_units;
    bool ok = true;
    for (int begin = 0; ok && begin < n; begin += v->n_units) {
        v->n_before = begin;
        v->units = all + begin;
        v->n_units = window_size(v->units, n - begin);
        for (int side = 0; side < 2; side++)
            v->since[side] = v->snapshot[side] ? v->oldest[side] : 0;
        ok = prove_again(v, err) &&
             (count_open(v) == 0 || (ph_verify_look(v, PH_READ_TARGET, err) && judge(v, err)));
        if (ok && begin + v->n_units < n)
            note_window(v);
        if (ok && v->n_units == 1)
            end_note(v, &v->units[0]);
        if (ok && PH_FAULT("verify.noted"))
            ok = ph_err_set(err, PH_FAILED, "fault point verify.noted");
    }
    v->units = all;
    v->n_units = n;
    return ok;
}

/* Definitions that differ explain why rows cannot be compared: then that is the verdict, no error. */
static bool plan_rows(struct ph_verify *v, struct ph_err *err)
{
    struct ph_verify_result *r = v->result;
    if (make_plan(v, err))
        return true;
    if (err->code == PH_WRONG && r->definitions.compared && !r->definitions.equal)
        r->rows_why_not = ph_arena_strdup(v->arena, err->text);
    return r->rows_why_not != NULL;
}

static bool run_rows(struct ph_verify *v, struct ph_err *err)
{
    struct ph_verify_result *r = v->result;
    if (!plan_rows(v, err))
        return false;
    if (r->rows_why_not)
        return true;
    ph_verify_listen(v);
    if (!ph_verify_look(v, PH_READ_TARGET, err) || !ph_unit_make(v, err) || !judge_all(v, err))
        return false;
    if (v->spec.large_objects && !ph_verify_objects(v, &r->tables[r->n_tables++], err))
        return false;
    ph_verify_look_away(v);
    for (int i = 0; i < r->n_tables; i++) {
        add_columns_verdict(&r->tables[i]);
        r->equal = r->equal && r->tables[i].equal;
    }
    for (int i = 0; i < v->n_units && !v->opts->dry_run; i++)
        if (!mark_unit(v, &v->units[i]))
            break;
    if (!v->opts->sums)
        return true;
    return ph_verify_add_up(v, err);
}

static bool run_all(struct ph_verify *v, struct ph_err *err)
{
    struct ph_verify_result *r = v->result;
    const struct ph_verify_opts *o = v->opts;
    if (!connect(v, err))
        return false;
    ph_guards_watch(&v->run.guards, "verify");
    if (!ph_verify_wait(v, err))
        return false;
    r->equal = true;
    if (o->definitions && !ph_definitions_compare(o, &v->spec, v->run.source, v->run.target,
                                                  v->arena, &r->definitions, err))
        return false;
    if (!o->rows_not && !run_rows(v, err))
        return false;
    r->equal = r->equal && (!o->definitions || r->definitions.equal) &&
               (!r->sums.compared || r->sums.equal);
    return true;
}

static void add_throttled(struct ph_verify *v)
{
    for (int i = 0; i < PH_N_HOLDS; i++) {
        v->result->throttled_by_s[i] = (double)atomic_load(&v->run.throttle.slept_ns[i]) / 1e9;
        v->result->throttled_s += v->result->throttled_by_s[i];
    }
}

static bool say_differs(const struct ph_verify_result *r, struct ph_err *err)
{
    int differing = 0;
    const char *name = "", *refused = NULL;
    const struct ph_verify_definitions *d = &r->definitions;
    for (int i = 0; i < r->n_tables; i++)
        if (!r->tables[i].equal) {
            differing++;
            name = *name ? name : r->tables[i].source;
            refused = refused ? refused : r->tables[i].repair_refused;
        }
    if (d->n_differences > 0 && differing == 0)
        ph_err_set(err, PH_DIFFERS, "definitions differ in %d thing%s, %s %s among them",
                   d->n_differences, d->n_differences == 1 ? "" : "s", d->differences[0].type,
                   d->differences[0].object);
    else if (differing == 0)
        ph_err_set(err, PH_DIFFERS, "sums of source and target differ");
    else if (differing == 1)
        ph_err_set(err, PH_DIFFERS, "source and target differ in %s", name);
    else
        ph_err_set(err, PH_DIFFERS, "source and target differ in %d of %d tables, %s among them",
                   differing, r->n_tables, name);
    if (r->rows_why_not)
        ph_err_hint(err, "rows cannot be compared: %s", r->rows_why_not);
    if (refused)
        ph_err_hint(err, "%s", refused);
    return false;
}

bool ph_verify_run(const struct ph_verify_opts *opts, struct ph_verify_result *result,
                   struct ph_err *err)
{
    struct ph_verify_opts all = *opts;
    if (all.max_differences <= 0)
        all.max_differences = DEFAULT_DIFFERENCES;
    *result = (struct ph_verify_result){.level = opts->level, .in_server = opts->in_server};
    struct ph_verify v = {.opts = &all,
                          .result = result,
                          .arena = &result->arena,
                          .spec = *opts->job->spec,
                          .job = *opts->job,
                          .begin_s = ph_clock_s()};
    v.pulse.last_s = v.begin_s;
    v.spec.verify = true;
    snprintf(v.how, sizeof v.how, "%s%s%s", ph_verify_level_name(opts->level),
             opts->in_server ? ", in server" : "", opts->exact ? ", exact" : "");
    v.run = (struct ph_run){.opts = &v.job, .arena = v.arena, .phase = "verifying"};
    ph_throttle_init(&v.run.throttle, &v.job.rates, v.job.timetable, v.job.interrupt);
    bool ok = ph_run_know_guards(&v.run, err) && run_all(&v, err);
    ph_verify_deafen(&v);
    ph_verify_look_away(&v);
    ph_guards_rest(&v.run.guards);
    add_throttled(&v);
    result->rows = atomic_load(&v.rows);
    result->bytes = atomic_load(&v.bytes);
    result->seconds = ph_clock_s() - v.begin_s;
    result->cpu_s = ph_clock_cpu_s();
    result->max_rss = ph_clock_max_rss();
    if (ok && !result->equal)
        ok = say_differs(result, err);
    if (!ok && err->code == PH_INTERRUPTED)
        ph_err_set(err, PH_INTERRUPTED, "interrupted; the same command goes on with the verify");
    for (int i = 0; i < v.n_units; i++) {
        free(v.units[i].bounds);
        free(v.units[i].differing);
        free(v.units[i].weight);
        free(v.units[i].suspects);
    }
    ph_guards_fini(&v.run.guards);
    ph_throttle_fini(&v.run.throttle);
    if (v.run.gate.limit)
        ph_gate_fini(&v.run.gate);
    ph_conn_close(v.run.source);
    ph_conn_close(v.run.target);
    result->plan = v.run.plan;
    return ok;
}

void ph_verify_result_free(struct ph_verify_result *result)
{
    ph_plan_free(result->plan);
    ph_arena_fini(&result->arena);
}
