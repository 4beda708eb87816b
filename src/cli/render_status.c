#include "cli/render.h"

#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/grid.h"

enum { BAR = 20, MANY_TABLES = 60 };

/* For people
 * ------------------------------------------------------------------------------------------------------
 */

static int shards_of(const struct ph_status_table *t)
{
    return t->planned + t->spilled + t->landed + t->verified + t->parked;
}

static int landed_of(const struct ph_status_table *t)
{
    return t->landed + t->verified;
}

static double share_of(const struct ph_status_table *t)
{
    if (shards_of(t) > 0 && landed_of(t) == shards_of(t))
        return 1;
    double share = t->weight > 0 ? (double)t->weight_done / (double)t->weight : 0;
    return share > 0.99 ? 0.99 : share;
}

static void add_pair(struct ph_buf *out, const char *word, const char *text)
{
    if (!text)
        return;
    ph_buf_addf(out, "%-9s ", word);
    ph_term_safe(out, text);
    ph_buf_addc(out, '\n');
}

static void add_snapshot(struct ph_buf *out, const struct ph_status *st)
{
    char held[PH_NUM_TEXT];
    if (!st->snapshot_id)
        return;
    ph_buf_addf(out, "snapshot  %s %s%s%s\n", st->snapshot_released ? "let go after" : "held for",
                ph_num_show_duration(held, st->snapshot_held_seconds),
                st->snapshot_lsn ? ", at LSN " : "", st->snapshot_lsn ? st->snapshot_lsn : "");
    if (!st->keeper_host || st->snapshot_released)
        return;
    ph_buf_addf(out, "keeper    process %d on ", st->keeper_pid);
    ph_term_safe(out, st->keeper_host);
    ph_buf_addf(out, "; to let the snapshot go: kill %d there", st->keeper_pid);
    if (st->keeper_backend)
        ph_buf_addf(out, ",\n          or SELECT pg_terminate_backend(%d) on the source",
                    st->keeper_backend);
    ph_buf_addc(out, '\n');
}

static void add_spills(struct ph_buf *out, const struct ph_status *st)
{
    char bytes[PH_NUM_TEXT];
    for (int i = 0; i < st->n_spills; i++) {
        const struct ph_status_spill *p = &st->spills[i];
        ph_buf_addf(out, "spilled   %d shard%s", p->shards, p->shards == 1 ? "" : "s");
        if (p->bytes)
            ph_buf_addf(out, ", %s", ph_num_show_bytes(bytes, (double)p->bytes));
        ph_buf_add(out, " in ");
        ph_term_safe(out, p->holder && *p->holder ? p->holder : "the archive");
        ph_buf_addc(out, '\n');
    }
}

static void add_head(struct ph_buf *out, const struct ph_status *st)
{
    char eta[PH_NUM_TEXT], rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT];
    ph_buf_addf(out, "job %s: %s", st->job, st->state);
    if (st->mode)
        ph_buf_addf(out, ", mode %s", st->mode);
    if (st->round > 1)
        ph_buf_addf(out, ", round %d", st->round);
    ph_buf_addf(out, "; %s rows, %s landed", ph_num_show_count(rows, st->rows),
                ph_num_show_bytes(bytes, (double)st->bytes));
    if (st->eta_seconds >= 0 && strcmp(st->state, "completed") != 0)
        ph_buf_addf(out, "; ETA %s", ph_num_show_duration(eta, st->eta_seconds));
    ph_buf_addc(out, '\n');
    add_pair(out, "from", st->source);
    add_pair(out, "to", st->target);
    add_pair(out, "created", st->created);
    add_pair(out, "finished", st->finished);
    add_snapshot(out, st);
    add_spills(out, st);
    add_pair(out, "held back", st->held_by);
    if (st->verifies)
        ph_buf_addf(out, "verify    %d at work\n", st->verifies);
    add_pair(out, "error", st->error);
}

static void add_tables(struct ph_buf *out, const struct ph_status *st, const struct ph_term *term)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT];
    int shown = st->n_tables > MANY_TABLES ? MANY_TABLES : st->n_tables;
    int names = 5, limit = term->width / 2;
    for (int i = 0; i < shown; i++) {
        int w = ph_term_columns(st->tables[i].source);
        names = w > names ? w : names;
    }
    names = names > limit ? limit : names;
    ph_buf_addf(out, "\n%-*s %*s %13s %10s  %s\n", names, "table", BAR + 6, "", "rows", "bytes",
                "shards");
    for (int i = 0; i < shown; i++) {
        const struct ph_status_table *t = &st->tables[i];
        struct ph_buf name = {0};
        ph_term_safe(&name, t->source);
        ph_term_fit(out, ph_buf_text(&name), names, true, term->utf8);
        ph_buf_fini(&name);
        ph_buf_addc(out, ' ');
        ph_render_bar(out, term, share_of(t), BAR);
        ph_buf_addf(out, " %3d %% %13s %10s  %d of %d landed", (int)(share_of(t) * 100),
                    ph_num_show_count(rows, t->rows), ph_num_show_bytes(bytes, (double)t->bytes),
                    landed_of(t), shards_of(t));
        if (t->spilled)
            ph_buf_addf(out, ", %d spilled", t->spilled);
        if (t->parked)
            ph_buf_addf(out, ", %d parked", t->parked);
        ph_buf_addc(out, '\n');
    }
    if (shown < st->n_tables)
        ph_buf_addf(out, "and %d more tables\n", st->n_tables - shown);
}

static void add_workers(struct ph_buf *out, const struct ph_status *st)
{
    char since[PH_NUM_TEXT];
    struct ph_grid grid = {.align = "lrll"};
    for (int i = 0; i < st->n_workers; i++) {
        const struct ph_status_worker *w = &st->workers[i];
        ph_grid_cell(&grid, "worker on %s", w->host ? w->host : "?");
        ph_grid_cell(&grid, "pid %d", w->pid);
        if (w->shard)
            ph_grid_cell(&grid, "shard %lld of %s", (long long)w->shard, w->table ? w->table : "?");
        else
            ph_grid_cell(&grid, "idle");
        ph_grid_cell(&grid, "for %s", ph_num_show_duration(since, w->seconds));
    }
    if (st->n_workers)
        ph_buf_addc(out, '\n');
    ph_grid_print(&grid, out, "");
}

static void add_steps(struct ph_buf *out, const struct ph_status *st)
{
    char since[PH_NUM_TEXT];
    int all = st->steps_planned + st->steps_done + st->steps_failed;
    if (all == 0)
        return;
    ph_buf_addf(out, "\n%d of %d indexes and constraints done", st->steps_done, all);
    if (st->steps_failed)
        ph_buf_addf(out, ", %d failed", st->steps_failed);
    ph_buf_addc(out, '\n');
    for (int i = 0; i < st->n_steps; i++) {
        const struct ph_status_step *s = &st->steps[i];
        ph_buf_add(out, s->error ? "failed    " : "building  ");
        ph_term_safe(out, s->object);
        if (s->error) {
            ph_buf_add(out, ": ");
            ph_term_safe(out, s->error);
        } else {
            ph_buf_addf(out, " for %s", ph_num_show_duration(since, s->seconds));
        }
        ph_buf_addc(out, '\n');
    }
}

/* Queries that both sides were asked: how often, and how it ended. */
static void add_answers(struct ph_buf *out, const struct ph_status *st)
{
    static const char *const heads[] = {"query", "rounds", "not equal", "last", ""};
    struct ph_grid grid = {.align = "lrrll"};
    if (st->n_answers == 0)
        return;
    ph_buf_addc(out, '\n');
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < st->n_answers; i++) {
        const struct ph_answers *a = &st->answers[i];
        ph_grid_cell(&grid, "%s", a->query);
        ph_grid_cell(&grid, "%d", a->rounds);
        ph_grid_cell(&grid, "%d", a->differing + a->failed);
        ph_grid_cell(&grid, "%s, %s", a->last, a->verdict);
        ph_grid_cell(&grid, "%s", a->trouble ? a->trouble : "");
    }
    ph_grid_print(&grid, out, "");
}

static void add_shards(struct ph_buf *out, const struct ph_status *st)
{
    static const char *const heads[] = {"shard",   "table", "from",  "to", "state",
                                        "attempt", "rows",  "bytes", ""};
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT];
    struct ph_grid grid = {.align = "rllllrrrl"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < st->n_shards; i++) {
        const struct ph_status_shard *s = &st->shards[i];
        ph_grid_cell(&grid, "%lld", (long long)s->shard);
        ph_grid_cell(&grid, "%s", s->table ? s->table : "?");
        ph_grid_cell(&grid, "%s", s->lo ? s->lo : "open");
        ph_grid_cell(&grid, "%s", s->hi ? s->hi : "open");
        ph_grid_cell(&grid, "%s", s->state ? s->state : "?");
        ph_grid_cell(&grid, "%d", s->attempt);
        ph_grid_cell(&grid, "%s", ph_num_show_count(rows, s->rows));
        ph_grid_cell(&grid, "%s", ph_num_show_bytes(bytes, (double)s->bytes));
        ph_grid_cell(&grid, "%s", s->error ? s->error : "");
    }
    ph_buf_addc(out, '\n');
    ph_grid_print(&grid, out, "");
}

void ph_render_status(struct ph_buf *out, const struct ph_status *st, const struct ph_term *term,
                      bool shards)
{
    add_head(out, st);
    add_tables(out, st, term);
    add_workers(out, st);
    add_steps(out, st);
    add_answers(out, st);
    if (shards)
        add_shards(out, st);
}

/* For programs
 * ----------------------------------------------------------------------------------------------------
 */

static json_t *tables_json(const struct ph_status *st)
{
    json_t *list = json_array();
    for (int i = 0; i < st->n_tables; i++) {
        const struct ph_status_table *t = &st->tables[i];
        json_t *shards =
            json_pack("{s:i, s:i, s:i, s:i, s:i}", "planned", t->planned, "spilled", t->spilled,
                      "landed", t->landed, "verified", t->verified, "parked", t->parked);
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:I, s:I, s:o, s:o}", "source",
                                        ph_json_text(t->source), "target", ph_json_text(t->target),
                                        "rows", (json_int_t)t->rows, "bytes", (json_int_t)t->bytes,
                                        "split", ph_json_text(t->split), "shards", shards));
    }
    return list;
}

static json_t *workers_json(const struct ph_status *st)
{
    json_t *list = json_array();
    for (int i = 0; i < st->n_workers; i++) {
        const struct ph_status_worker *w = &st->workers[i];
        json_array_append_new(list, json_pack("{s:o, s:i, s:o, s:o, s:o, s:f}", "host",
                                              ph_json_text(w->host), "pid", w->pid, "shard",
                                              w->shard ? json_integer(w->shard) : json_null(),
                                              "table", ph_json_text(w->table), "since",
                                              ph_json_text(w->since), "seconds", w->seconds));
    }
    return list;
}

static json_t *shards_json(const struct ph_status *st)
{
    json_t *list = json_array();
    for (int i = 0; i < st->n_shards; i++) {
        const struct ph_status_shard *s = &st->shards[i];
        json_array_append_new(list,
                              json_pack("{s:I, s:o, s:o, s:o, s:o, s:i, s:I, s:I, s:o}", "shard",
                                        (json_int_t)s->shard, "table", ph_json_text(s->table), "lo",
                                        ph_json_text(s->lo), "hi", ph_json_text(s->hi), "state",
                                        ph_json_text(s->state), "attempt", s->attempt, "rows",
                                        (json_int_t)s->rows, "bytes", (json_int_t)s->bytes, "error",
                                        ph_json_text(s->error)));
    }
    return list;
}

static json_t *snapshot_json(const struct ph_status *st)
{
    json_t *o = json_object();
    json_object_set_new(o, "held_seconds", json_real(st->snapshot_held_seconds));
    json_object_set_new(o, "lsn", ph_json_text(st->snapshot_lsn));
    json_object_set_new(o, "id", ph_json_text(st->snapshot_id));
    json_object_set_new(o, "released", json_boolean(st->snapshot_released));
    json_object_set_new(o, "keeper_host", ph_json_text(st->keeper_host));
    json_object_set_new(o, "keeper_pid",
                        st->keeper_pid ? json_integer(st->keeper_pid) : json_null());
    json_object_set_new(o, "keeper_backend",
                        st->keeper_backend ? json_integer(st->keeper_backend) : json_null());
    return o;
}

static json_t *answers_json(const struct ph_status *st)
{
    json_t *list = json_array();
    for (int i = 0; i < st->n_answers; i++) {
        const struct ph_answers *a = &st->answers[i];
        json_t *one = json_object();
        json_object_set_new(one, "query", ph_json_text(a->query));
        json_object_set_new(one, "rounds", json_integer(a->rounds));
        json_object_set_new(one, "differing", json_integer(a->differing));
        json_object_set_new(one, "failed", json_integer(a->failed));
        json_object_set_new(one, "first", ph_json_text(a->first));
        json_object_set_new(one, "last", ph_json_text(a->last));
        json_object_set_new(one, "last_verdict", ph_json_text(a->verdict));
        json_object_set_new(one, "trouble", ph_json_text(a->trouble));
        json_object_set_new(one, "source_seconds", json_real(a->median_s[0]));
        json_object_set_new(one, "target_seconds", json_real(a->median_s[1]));
        json_array_append_new(list, one);
    }
    return list;
}

json_t *ph_render_status_json(const struct ph_status *st, bool shards)
{
    json_t *o = json_object();
    json_object_set_new(o, "job", ph_json_text(st->job));
    json_object_set_new(o, "state", ph_json_text(st->state));
    json_object_set_new(o, "mode", ph_json_text(st->mode));
    json_object_set_new(o, "round", json_integer(st->round));
    json_object_set_new(o, "rows", json_integer((json_int_t)st->rows));
    json_object_set_new(o, "bytes", json_integer((json_int_t)st->bytes));
    json_object_set_new(o, "source", ph_json_text(st->source));
    json_object_set_new(o, "target", ph_json_text(st->target));
    json_object_set_new(o, "created", ph_json_text(st->created));
    json_object_set_new(o, "finished", ph_json_text(st->finished));
    json_object_set_new(o, "last_error", ph_json_text(st->error));
    json_object_set_new(o, "tables", tables_json(st));
    json_object_set_new(o, "workers", workers_json(st));
    json_object_set_new(o, "verifies", json_integer(st->verifies));
    json_object_set_new(o, "throttled_by", ph_json_text(st->held_by));
    json_object_set_new(o, "eta_seconds",
                        st->eta_seconds >= 0 ? json_real(st->eta_seconds) : json_null());
    json_object_set_new(o, "snapshot", snapshot_json(st));
    json_t *spills = json_array();
    for (int i = 0; i < st->n_spills; i++)
        json_array_append_new(spills, json_pack("{s:o, s:i, s:I}", "holder",
                                                ph_json_text(st->spills[i].holder), "shards",
                                                st->spills[i].shards, "bytes",
                                                (json_int_t)st->spills[i].bytes));
    json_object_set_new(o, "spilled", spills);
    json_object_set_new(o, "steps",
                        json_pack("{s:i, s:i, s:i}", "planned", st->steps_planned, "done",
                                  st->steps_done, "failed", st->steps_failed));
    json_t *failed = json_array();
    for (int i = 0; i < st->n_steps; i++)
        if (st->steps[i].error)
            json_array_append_new(failed, json_pack("{s:o, s:o}", "object",
                                                    ph_json_text(st->steps[i].object), "error",
                                                    ph_json_text(st->steps[i].error)));
    json_object_set_new(o, "failed_steps", failed);
    if (st->n_answers)
        json_object_set_new(o, "queries", answers_json(st));
    if (shards)
        json_object_set_new(o, "shards", shards_json(st));
    return o;
}
