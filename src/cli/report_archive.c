/* The report of an extract: what a ledger says elsewhere is in the archive's directory. */
#include "cli/report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "haul/archive_check.h"
#include "ledger/journal.h"
#include "plan/quote.h"

/* Whether somebody writes to it now. Who may not even ask is told that nobody does. */
static bool is_live(struct ph_dir *dir)
{
    struct ph_err err;
    if (ph_dir_lock(dir, 0, &err))
        return false;
    return err.code == PH_HELD;
}

static void fill_tables(struct ph_status *st, const struct ph_archive *a)
{
    st->n_tables = a->n_tables;
    st->tables = ph_arena_calloc(&st->arena, (size_t)a->n_tables + 1, sizeof *st->tables);
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *t = &a->tables[i];
        const char *name = ph_quote_name(&st->arena, t->schema, t->name);
        st->tables[i] = (struct ph_status_table){
            .source = name, .target = name, .split = t->split, .mode = "extract"};
    }
    for (int i = 0; i < a->n_shards; i++) {
        const struct ph_archive_shard *s = &a->shards[i];
        struct ph_status_table *t = &st->tables[s->tab - 1];
        t->weight += s->weight;
        if (!s->file) {
            t->planned++;
            continue;
        }
        t->landed++;
        t->weight_done += s->weight;
        t->rows += s->tally.rows;
        t->bytes += s->tally.bytes;
        st->rows += s->tally.rows;
        st->bytes += s->tally.bytes;
    }
}

static double seconds_of(const char *calendar)
{
    struct tm tm = {0};
    return calendar && strptime(calendar, "%Y-%m-%dT%H:%M:%S", &tm) ? (double)timegm(&tm) : 0;
}

/* From when it was taken to the seal, or to now: whether somebody still holds it only the source knows. */
static void fill_snapshot(struct ph_status *st, const struct ph_archive *a)
{
    if (a->n_snapshots == 0)
        return;
    const struct ph_archive_snapshot *s = &a->snapshots[a->n_snapshots - 1];
    double from = seconds_of(s->taken_at),
           to = a->sealed_at ? seconds_of(a->sealed_at) : (double)time(NULL);
    st->snapshot_id = s->id;
    st->snapshot_lsn = s->lsn;
    st->snapshot_held_seconds = from > 0 && to > from ? to - from : 0;
    st->snapshot_released = a->sealed_at != NULL;
}

static struct ph_status *status_of(const struct ph_archive *a, const struct ph_dir *dir, bool live,
                                   const char *error)
{
    struct ph_status *st = calloc(1, sizeof *st);
    if (!st)
        return NULL;
    st->job = a->name;
    st->tag = ph_arena_printf(&st->arena, "%.8s", a->set);
    st->state = a->sealed_at ? "completed" : live ? "running" : error ? "failed" : "pending";
    st->mode = "extract";
    st->round = 1;
    st->source = a->source;
    st->target = ph_arena_printf(&st->arena, "archive:%s", dir->shown);
    st->definition = a->definition;
    st->created = a->created_at;
    st->finished = a->sealed_at;
    st->error = a->sealed_at ? NULL : ph_arena_strdup(&st->arena, error);
    st->eta_seconds = -1;
    fill_tables(st, a);
    fill_snapshot(st, a);
    return st;
}

/* What moments and bars are about, by the archive's names. */
static void name_tables(struct ph_history *h, const struct ph_status *st,
                        const struct ph_archive *a)
{
    for (int i = 0; i < h->n_moments; i++) {
        int64_t shard = h->moments[i].shard;
        if (shard > 0 && shard <= a->n_shards)
            h->moments[i].table = st->tables[a->shards[shard - 1].tab - 1].source;
    }
    int kept = 0;
    for (int i = 0; i < h->n_bars; i++)
        if (h->bars[i].tab >= 0 && h->bars[i].tab < a->n_tables)
            h->bars[kept++] = h->bars[i];
    h->n_bars = kept;
    if (!h->started)
        h->started = a->created_at; /* there is no journal */
}

static bool survey(struct ph_cli *cli, struct ph_archive *a, const struct ph_dir *dir,
                   struct ph_err *err)
{
    int n;
    return a->sealed_at ||
           ph_archive_survey(a, dir, cli->settings->io, &cli->settings->arena, &n, err);
}

bool ph_report_archive(struct ph_cli *cli, struct ph_status **status, struct ph_history **history,
                       struct ph_err *err)
{
    struct ph_dir dir;
    struct ph_archive *a;
    const char *error, *job = cli->settings->job;
    *status = NULL;
    *history = NULL;
    if (!ph_cli_open_archive(cli, cli->target_archive, &dir, &a, err))
        return false;
    bool ok = (!job || !strcmp(job, a->name)) ||
              ph_err_set(err, PH_WRONG, "the archive in %s is of job %s", dir.shown, a->name);
    bool live = ok && !a->sealed_at && is_live(&dir);
    ok = ok && survey(cli, a, &dir, err) &&
         ph_journal_read(history, &error, dir.fd, dir.shown, a->set, live, err);
    if (ok) {
        *status = status_of(a, &dir, live, error);
        ok = *status || ph_err_nomem(err);
    }
    if (ok)
        name_tables(*history, *status, a);
    ph_dir_close(&dir);
    return ok;
}
