/* An extract: from the source into a directory, which is the ledger as well.
 *
 *     plan ─► lock the directory ─┬─ manifest.json: complete, nothing to do
 *                                 ├─ job.json: goes on with the shards that have no sealed file
 *                                 └─ empty: keeper, cut, job.json
 *     ─► crew at work, claiming from the roster ─► manifest.json
 *
 * A sealed file of the archive's set is its own receipt. When the snapshot is lost before everything has been read, what is there
 * is of another moment than what is missing: the extract starts over, under a new snapshot and a new set (--strict: it stops).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/archive.h"
#include "haul/progress.h"
#include "io/file.h"

enum { LOCK_WAIT_S = 5 };

struct extract {
    struct ph_run run;
    struct ph_archive *archive; /* what job.json says */
    int resumed;                /* shards that earlier runs have sealed */
    double taken_s;             /* when this run took the snapshot; 0: an earlier one did */
};

static const char *now_text(struct ph_arena *arena)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    return ph_arena_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Finding out what is there. */

static bool other_archive(struct extract *x, const struct ph_archive *found, struct ph_err *err)
{
    ph_log(x->run.opts->log, PH_LOG_ERROR, "in the archive:  %s", found->definition);
    ph_log(x->run.opts->log, PH_LOG_ERROR, "by this command: %s", x->run.plan->definition);
    ph_err_set(err, PH_OTHER_JOB, "%s has an archive of another definition",
               x->run.archive_dir.shown);
    return ph_err_hint(err, "name another directory, or remove this one");
}

static bool is_same(struct extract *x, const struct ph_archive *found, struct ph_err *err)
{
    return !strcmp(found->fingerprint, x->run.plan->fingerprint) || other_archive(x, found, err);
}

static bool not_empty(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    const struct ph_run *run = arg;
    (void)size;
    static const char *const early[] = {"lock",
                                        "job.json.part",
                                        "job-schema.dump",
                                        "job-schema.json",
                                        "job-schema.dump.part",
                                        "job-schema.json.part"};
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        if (!strcmp(name, early[i]))
            return true;
    ph_err_set(err, PH_WRONG, "directory %s is not empty, and has no archive",
               run->archive_dir.shown);
    return ph_err_hint(err, "name a directory that is not there yet, or an empty one");
}

static bool has(const struct ph_dir *dir, const char *name)
{
    return faccessat(dir->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Before so much as a lock is put into it: that it is an archive, or going to be one. */
static bool may_be_archive(struct ph_run *run, struct ph_err *err)
{
    const struct ph_dir *dir = &run->archive_dir;
    return has(dir, "manifest.json") || has(dir, "job.json") ||
           ph_dir_list(dir, "", not_empty, run, err);
}

/* The planned table of each of the archive's, in its order, column for column. */
static bool match_tables(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    const struct ph_archive *a = x->archive;
    run->n_tabs = a->n_tables;
    run->tables = ph_arena_calloc(run->arena, (size_t)a->n_tables + 1, sizeof(struct ph_table *));
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *t = &a->tables[i];
        const struct ph_table *found = NULL;
        for (int k = 0; k < run->plan->n_tables && !found; k++)
            if (!strcmp(run->plan->tables[k].target_name, t->name) &&
                !strcmp(run->plan->tables[k].target_schema, t->schema))
                found = &run->plan->tables[k];
        bool same = found && found->format == t->format && found->n_columns == t->n_columns;
        for (int c = 0; same && c < t->n_columns; c++)
            same = !strcmp(found->columns[c].name, t->columns[c]) &&
                   !strcmp(found->columns[c].target_type, t->types[c]);
        if (!same) {
            ph_err_set(err, PH_OTHER_JOB, "table %s.%s is not what it was when the extract began",
                       t->schema, t->name);
            return ph_err_hint(err, "remove %s and begin again", run->archive_dir.shown);
        }
        run->tables[i] = found;
    }
    return true;
}

/* Beginning, and beginning again. */

static void know_set(struct ph_run *run, const char *set)
{
    run->place.set = set;
    snprintf(run->tag, sizeof run->tag, "%.8s", set);
}

static bool remove_file(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    const struct ph_dir *dir = arg;
    (void)size;
    return ph_file_remove(dir->fd, dir->shown, name, err);
}

static void note_snapshot(struct extract *x, const struct ph_snapshot *taken)
{
    struct ph_arena *arena = x->run.arena;
    struct ph_archive_snapshot *s = ph_arena_calloc(arena, 1, sizeof *s);
    *s = (struct ph_archive_snapshot){
        .no = 1,
        .id = ph_arena_strdup(arena, taken->id),
        .pg_snapshot = ph_arena_strdup(arena, taken->pg_snapshot),
        .lsn = ph_arena_strdup(arena, taken->lsn),
        .taken_at = now_text(arena),
        .oldest = taken->oldest,
    };
    x->taken_s = ph_clock_s();
    x->archive->snapshots = s;
    x->archive->n_snapshots = 1;
}

static bool begin(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_snapshot taken;
    struct ph_dir *dir = &run->archive_dir;
    const char *set = ph_run_new_set(run);
    know_set(run, set);
    if (!ph_dir_list(dir, ".lz4", remove_file, dir, err) || !ph_run_start_keeper(run, &taken, err))
        return ph_run_unchanged(err);
    bool ok = ph_snapshot_import(run->source, taken.id, taken.pg_snapshot, err) &&
              ph_plan_cut(run->plan, run->source, err) &&
              ph_conn_exec(run->source, "ROLLBACK", err) && ph_run_await_flush(run, &taken, err);
    if (ok) {
        x->archive = ph_arena_calloc(run->arena, 1, sizeof *x->archive);
        ph_plan_archive(run->plan, x->archive);
        x->archive->set = set;
        x->archive->created_at = now_text(run->arena);
        note_snapshot(x, &taken);
        ok = (!run->opts->spec->create || ph_create_keep(run, x->archive, err)) &&
             ph_manifest_write(x->archive, dir->fd, dir->shown, false, err);
    }
    if (ok)
        ph_keeper_confirm(&taken);
    ph_snapshot_fini(&taken);
    return ok && match_tables(x, err);
}

/* job.json names the schema's files by what is in them. They are there before it is; if they are not any more, they are
 * made again, and it with them. */
static bool have_schema(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_err why;
    if (ph_create_is_kept(run, x->archive, &why))
        return true;
    if (why.code != PH_DAMAGED) {
        *err = why;
        return false;
    }
    ph_log(run->opts->log, PH_LOG_WARN, "%s; it is written again", why.text);
    return ph_create_keep(run, x->archive, err) &&
           ph_manifest_write(x->archive, run->archive_dir.fd, run->archive_dir.shown, false, err);
}

static bool start_over(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_err ignored;
    if (run->opts->spec->strict) {
        ph_err_set(err, PH_FAILED,
                   "the extract's snapshot is gone, and --strict forbids a second one");
        return ph_err_hint(err, "without --strict it starts over under a new snapshot");
    }
    ph_log(run->opts->log, PH_LOG_WARN,
           "the extract's snapshot is gone: it starts over under a new one");
    if (!ph_run_reach(run, true, err))
        return false;
    ph_keeper_end(run->source, run->tag, 0, &ignored);
    x->resumed = 0;
    run->result->snapshots++;
    return begin(x, err);
}

/* The roster: what is sealed, what is still to be read. */

static bool look_at_file(struct extract *x, int i, struct ph_place *place,
                         struct ph_spill_note *note, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    const struct ph_archive_shard *shard = &x->archive->shards[i];
    const struct ph_archive_table *table = &x->archive->tables[shard->tab - 1];
    const char *name =
        ph_archive_file_name(run->arena, table->schema, table->name, shard->id, NULL);
    struct ph_shardin *file = NULL;
    struct ph_err why;
    if (faccessat(place->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    bool whole = ph_shardin_open(&file, place->ring, place->dir, place->shown, name, false, &why);
    const struct ph_receipt *r = whole ? ph_shardin_receipt(file) : NULL;
    if (r && !strcmp(r->set, x->archive->set) && r->shard == shard->id) {
        *note = (struct ph_spill_note){
            .file = name,
            .sealed = *ph_shardin_sealed(file),
            .tally = {.rows = r->rows,
                      .bytes = r->bytes,
                      .hash_lo = r->hash_lo,
                      .hash_hi = r->hash_hi},
            .snapshot = r->snapshot,
        };
    } else {
        ph_log(run->opts->log, PH_LOG_WARN, "%s is not a file of this extract: it is written again",
               name);
    }
    bool ok = note->file || ph_file_remove(place->dir, place->shown, name, err);
    if (whole)
        ph_shardin_close(file);
    return ok;
}

static bool fill_roster(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    const struct ph_archive *a = x->archive;
    struct ph_roster_item *items =
        ph_arena_calloc(run->arena, (size_t)a->n_shards + 1, sizeof *items);
    for (int i = 0; i < a->n_shards; i++)
        items[i] = (struct ph_roster_item){
            .id = a->shards[i].id,
            .tab = a->shards[i].tab,
            .where = a->shards[i].where ? a->shards[i].where : "",
            .lo = a->shards[i].lo,
            .hi = a->shards[i].hi,
            .weight = a->shards[i].weight,
        };
    ph_roster_free(run->roster);
    run->roster = NULL;
    struct ph_place place = run->place; /* a ring for this thread */
    bool ok = ph_roster_new(&run->roster, items, a->n_shards, err) &&
              ph_dir_list(&run->archive_dir, ".part", remove_file, &run->archive_dir, err) &&
              ph_place_ready(&place, err);
    x->resumed = 0;
    for (int i = 0; i < a->n_shards && ok; i++) {
        struct ph_spill_note note = {0};
        ok = look_at_file(x, i, &place, &note, err);
        if (ok && note.file) {
            ph_roster_sealed(run->roster, a->shards[i].id, &note);
            x->resumed++;
        }
    }
    ph_place_fini(&place);
    return ok;
}

/* At work. */

static bool brief(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_crew *crew = &run->crew;
    const struct ph_archive *a = x->archive;
    struct ph_spill_note note;
    int64_t id;
    free(crew->tabs);
    crew->n_tabs = a->n_tables;
    crew->tabs = calloc((size_t)a->n_tables + 1, sizeof *crew->tabs);
    if (!crew->tabs)
        return ph_err_nomem(err);
    for (int i = 0; i < a->n_tables; i++)
        crew->tabs[i].table = run->tables[i];
    for (int i = 0; i < a->n_shards; i++) {
        struct ph_crew_tab *tab = &crew->tabs[a->shards[i].tab - 1];
        tab->shards++;
        tab->weight += a->shards[i].weight;
    }
    for (int at = 0; ph_roster_next_sealed(run->roster, &at, false, &id, &note);) {
        struct ph_crew_tab *tab = &crew->tabs[ph_roster_find(run->roster, id)->tab - 1];
        atomic_fetch_add(&tab->rows, note.tally.rows);
        atomic_fetch_add(&tab->bytes, note.tally.bytes);
        atomic_fetch_add(&tab->weight_done, ph_roster_find(run->roster, id)->weight);
        atomic_fetch_add(&tab->landed, 1);
    }
    crew->snapshot = a->snapshots[0].id;
    crew->pg_snapshot = a->snapshots[0].pg_snapshot;
    crew->lsn = a->snapshots[0].lsn;
    crew->snapshot_no = a->snapshots[0].no;
    return true;
}

static bool run_crew(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_crew_opts opts;
    if (run->crew.workers)
        ph_crew_fini(&run->crew);
    ph_run_crew_opts(run, x->archive->n_shards - x->resumed, &opts);
    opts.tag = run->tag;
    opts.extract = true;
    opts.journal = &run->journal;
    opts.place = run->place;
    opts.compress = run->opts->spill.compress;
    opts.roster = run->roster;
    if (!ph_crew_init(&run->crew, &opts, err) || !brief(x, err))
        return false;
    run->phase = "extracting";
    ph_sight_event(&run->crew, PH_LOG_INFO, "started", 0, 0, "job %s: %d workers", run->result->job,
                   run->result->workers);
    if (!ph_crew_start(&run->crew, &run->target, err))
        return false;
    ph_progress_watch(run);
    ph_crew_join(&run->crew);
    if (run->crew.has_fatal) {
        *err = run->crew.fatal;
        return false;
    }
    if (ph_interrupt_at(run->opts->interrupt, 1))
        return ph_err_set(err, PH_INTERRUPTED, "interrupted; the extract can go on");
    return true;
}

static bool have_snapshot(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    const struct ph_archive_snapshot *s = &x->archive->snapshots[0];
    if (ph_snapshot_import(run->source, s->id, s->pg_snapshot, err))
        return ph_conn_exec(run->source, "ROLLBACK", err);
    return err->code == PH_SNAPSHOT_GONE && start_over(x, err) && fill_roster(x, err);
}

static bool parked_error(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    int64_t id;
    int at = 0, tab = 0, n = 0;
    const char *why = NULL, *first = NULL;
    int first_tab = 0;
    while (ph_roster_next_parked(run->roster, &at, &id, &tab, &why)) {
        if (n++ == 0) {
            first = why;
            first_tab = tab;
        }
    }
    run->result->parked = n;
    if (n == 0)
        return true;
    ph_err_set(err, PH_FAILED, "%d of %d shards could not be read; of %s: %s", n,
               x->archive->n_shards, run->tables[first_tab - 1]->root_source, first);
    return ph_err_hint(err, "mend the cause and run the same command again");
}

static bool work(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    if (!fill_roster(x, err))
        return false;
    run->result->shards_resumed = x->resumed;
    ph_run_begin_journal(run);
    while (x->resumed < x->archive->n_shards) {
        if (!have_snapshot(x, err) || !run_crew(x, err))
            return false;
        if (!atomic_load(&run->crew.snapshot_gone))
            break;
        if (!start_over(x, err) || !fill_roster(x, err))
            return false;
    }
    return parked_error(x, err);
}

/* The end. */

static bool seal(struct extract *x, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_archive *a = x->archive;
    struct ph_spill_note note;
    int64_t id;
    int sealed = 0;
    for (int at = 0; ph_roster_next_sealed(run->roster, &at, false, &id, &note); sealed++) {
        struct ph_archive_shard *s = &a->shards[id - 1];
        s->file = note.file;
        s->sealed = note.sealed;
        s->tally = note.tally;
        s->snapshot = note.snapshot;
    }
    if (sealed != a->n_shards)
        return ph_err_set(err, PH_FAILED, "%d of %d shards have no file", a->n_shards - sealed,
                          a->n_shards);
    if (PH_FAULT("extract.seal"))
        return ph_err_set(err, PH_FAILED, "fault point extract.seal");
    a->sealed_at = now_text(run->arena);
    return ph_manifest_write(a, run->archive_dir.fd, run->archive_dir.shown, true, err);
}

static double worked_s(const struct ph_crew_tab *tab)
{
    uint64_t first = atomic_load(&tab->first_ns), last = atomic_load(&tab->last_ns);
    return first && last > first ? (double)(last - first) / 1e9 : 0;
}

/* What is in the archive so far. */
static void fill_result(struct extract *x)
{
    struct ph_run *run = &x->run;
    struct ph_job_result *result = run->result;
    const struct ph_archive *a = x->archive;
    result->n_tables = a->n_tables;
    result->tables = ph_arena_calloc(run->arena, (size_t)a->n_tables + 1, sizeof *result->tables);
    result->shards = a->n_shards;
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *t = &a->tables[i];
        const struct ph_crew_tab *tab = run->crew.tabs ? &run->crew.tabs[i] : NULL;
        const char *name = ph_plan_name(run->plan, t->schema, t->name);
        result->tables[i] = (struct ph_job_table){
            .source = ph_arena_strdup(run->arena, run->tables ? run->tables[i]->root_source : name),
            .target = ph_arena_strdup(run->arena, name),
            .split = ph_arena_strdup(run->arena, t->split),
            .seconds = tab ? worked_s(tab) : 0,
        };
    }
    result->rows = result->bytes = result->spilled_bytes = 0;
    for (int i = 0; i < a->n_shards; i++) {
        const struct ph_archive_shard *s = &a->shards[i];
        struct ph_job_table *t = &result->tables[s->tab - 1];
        t->shards++;
        t->landed += s->sealed.size > 0;
        t->rows += s->tally.rows;
        t->bytes += s->tally.bytes;
        result->rows += s->tally.rows;
        result->bytes += s->tally.bytes;
        result->spilled_bytes += s->sealed.size;
    }
}

/* While it is unfinished the sealed files are known to the roster only. */
static void take_from_roster(struct extract *x)
{
    struct ph_spill_note note;
    int64_t id;
    for (int at = 0;
         x->run.roster && ph_roster_next_sealed(x->run.roster, &at, false, &id, &note);) {
        x->archive->shards[id - 1].tally = note.tally;
        x->archive->shards[id - 1].sealed = note.sealed;
    }
}

/* The archive says when the snapshot was taken to the second only. */
static double held_s(const struct extract *x)
{
    const struct ph_archive *a = x->archive;
    struct tm tm = {0};
    if (x->taken_s > 0)
        return ph_clock_s() - x->taken_s;
    if (a->n_snapshots == 0 || !strptime(a->snapshots[0].taken_at, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return 0;
    double s = difftime(time(NULL), timegm(&tm));
    return s > 0 ? s : 0;
}

bool ph_run_open_archive(struct ph_run *run, enum ph_dir_make make, struct ph_err *err)
{
    if (!ph_dir_open(&run->archive_dir, run->opts->archive_dir, make, err))
        return ph_err_prefix(err, "archive");
    run->place =
        (struct ph_place){.dir = run->archive_dir.fd,
                          .shown = run->archive_dir.shown,
                          .set = run->opts->spec->archive ? run->opts->spec->archive->set : NULL,
                          .log = run->opts->log};
    ph_place_choose(&run->place, run->opts->spill.io, false);
    return true;
}

/* Finds what is in the directory. *done: it is complete. */
static bool find(struct extract *x, bool *done, struct ph_err *err)
{
    struct ph_run *run = &x->run;
    struct ph_dir *dir = &run->archive_dir;
    *done = false;
    if (!ph_manifest_read(&x->archive, run->arena, dir->fd, dir->shown, true, err))
        return false;
    if (x->archive) {
        *done = true;
        know_set(run, x->archive->set);
        return is_same(x, x->archive, err);
    }
    if (!ph_manifest_read(&x->archive, run->arena, dir->fd, dir->shown, false, err))
        return false;
    if (x->archive) {
        know_set(run, x->archive->set);
        return is_same(x, x->archive, err) && match_tables(x, err) && ph_run_may_begin(run, err) &&
               have_schema(x, err);
    }
    return may_be_archive(run, err) && ph_run_may_begin(run, err) && begin(x, err);
}

bool ph_job_extract(const struct ph_job_opts *given, struct ph_job_result *result,
                    struct ph_err *err)
{
    struct ph_job_opts opts = *given;
    struct ph_err ignored;
    if (opts.keep_snapshot_s <= 0)
        opts.keep_snapshot_s = PH_KEEP_S;
    *result = (struct ph_job_result){.state = "failed", .snapshots = 1};
    struct extract x = {0};
    struct ph_run *run = &x.run;
    bool done = false;
    ph_run_init(run, &opts, result);
    bool ok = ph_run_know_guards(run, err) && ph_run_plan(run, err) &&
              (!opts.spec->create || ph_create_can_keep(run, err));
    if (ok)
        ph_run_name(run);
    /* what stands in the way is said before a directory is made */
    ok = ok && (run->plan->n_obstacles == 0 || ph_run_may_begin(run, err)) &&
         ph_run_open_archive(run, PH_DIR_MAKE, err) && may_be_archive(run, err) &&
         ph_dir_lock(&run->archive_dir, LOCK_WAIT_S, err) && find(&x, &done, err);
    result->was_complete = ok && done;
    bool begun = ok;
    ok = ok && (done || (work(&x, err) && seal(&x, err)));
    if (ok && run->source && ph_run_reach(run, true, &ignored))
        ph_keeper_end(run->source, run->tag, 0, &ignored);
    if (x.archive && begun) {
        if (!ok)
            take_from_roster(&x);
        fill_result(&x);
        result->snapshot_held_s = done ? 0 : held_s(&x);
        if (done)
            result->shards_resumed = result->shards;
    }
    if (run->crew.workers)
        ph_run_add_figures(run);
    if (x.archive && ok)
        fill_result(&x);
    if (run->journal.shown)
        ph_run_remember_end(run, ok, err);
    result->state = ok ? "completed" : err->code == PH_INTERRUPTED ? "pending" : "failed";
    ph_run_fini(run);
    return ok;
}
