/* Spill files and the ledger: what it has not heard of, and what a crash made it forget. */
#include "haul/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/file.h"
#include "pg/sql.h"
#include "pg/table.h"
#include "pghaul/hop.h"
#include "sink/null.h"
#include "source/archive.h"

static bool put_to_ledger(struct ph_conn *target, int64_t job, int64_t shard, int mover,
                          const char *holder, const struct ph_spill_note *note,
                          char said[static 16], struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    char hash[PH_TALLY_HASH_TEXT];
    ph_sql_add(&sql,
               "BEGIN;SET LOCAL synchronous_commit = on;"
               "SELECT pghaul.adopt(%D, %D, %d, %d, %L, %L, %L, %D, %D, %L, %D);COMMIT",
               job, shard, mover, note->snapshot, note->moment, holder, note->file,
               (int64_t)note->tally.rows, (int64_t)note->tally.bytes,
               ph_tally_hash_text(&note->tally, hash), (int64_t)note->sealed.size);
    bool ok = ph_conn_query(target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (ok)
        snprintf(said, 16, "%s", ph_rows_text(rows, 0, 0));
    ph_rows_free(rows);
    return ok || ph_err_prefix(err, "telling the ledger of a spilled shard");
}

bool ph_spill_note(struct ph_spill *spill, struct ph_roster *roster, struct ph_conn *target,
                   int64_t job, int mover, struct ph_err *err)
{
    struct ph_spill_note note;
    int64_t shard;
    char said[16];
    for (int at = 0; ph_roster_next_sealed(roster, &at, false, &shard, &note);) {
        if (!put_to_ledger(target, job, shard, mover, spill->holder, &note, said, err))
            return false;
        if (!strcmp(said, "landed"))
            ph_roster_landed(roster, shard, false);
        else if (!strcmp(said, "spilled"))
            ph_roster_noted(roster, shard);
        else
            ph_roster_planned(roster, shard);
        if (!strcmp(said, "spilled"))
            continue;
        ph_log(spill->log, PH_LOG_INFO, "the spill file of shard %lld is not needed: %s",
               (long long)shard, said);
        ph_spill_landed(spill, note.file); /* what has landed is to be flushed before it goes */
    }
    return true;
}

struct adoption {
    struct ph_spill *spill;
    struct ph_place place;
    struct ph_conn *target;
    int64_t job;
    int mover;
    int adopted;
};

static void fill_note(struct ph_spill_note *note, const char *name, const struct ph_shardin *file)
{
    const struct ph_receipt *r = ph_shardin_receipt(file);
    *note = (struct ph_spill_note){
        .file = name,
        .sealed = *ph_shardin_sealed(file),
        .tally = {.rows = r->rows, .bytes = r->bytes, .hash_lo = r->hash_lo, .hash_hi = r->hash_hi},
        .snapshot = r->snapshot,
        .moment = r->pg_snapshot,
    };
}

static bool adopt_file(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    struct adoption *a = arg;
    struct ph_shardin *file = NULL;
    struct ph_spill_note note;
    struct ph_err why;
    char said[16];
    if (!ph_shardin_open(&file, a->place.ring, a->place.dir, a->place.shown, name, false, &why)) {
        ph_log(a->spill->log, PH_LOG_WARN, "%s; it is left alone", why.text);
        return true;
    }
    bool ok = true, ours = !strcmp(ph_shardin_receipt(file)->set, a->spill->set);
    if (ours) {
        fill_note(&note, name, file);
        ok = put_to_ledger(a->target, a->job, ph_shardin_receipt(file)->shard, a->mover,
                           a->spill->holder, &note, said, err);
        ph_spill_adopted(a->spill, size);
        if (ok && strcmp(said, "spilled") != 0)
            ph_spill_landed(a->spill, name);
        a->adopted += ok && !strcmp(said, "spilled");
    }
    ph_shardin_close(file);
    return ok;
}

static bool drop_part(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    const struct ph_spill *spill = arg;
    (void)size;
    return ph_file_remove(spill->dir.fd, spill->dir.shown, name, err);
}

bool ph_spill_adopt(struct ph_spill *spill, struct ph_conn *target, int64_t job, int mover,
                    struct ph_err *err)
{
    bool open = false;
    if (!ph_spill_open(spill, false, &open, err))
        return false;
    if (!open || atomic_load(&spill->shared))
        return true;
    struct adoption a = {.spill = spill, .target = target, .job = job, .mover = mover};
    ph_spill_place(spill, &a.place);
    bool ok = ph_dir_list(&spill->dir, ".part", drop_part, spill, err) &&
              ph_place_ready(&a.place, err) &&
              ph_dir_list(&spill->dir, ".lz4", adopt_file, &a, err);
    ph_place_fini(&a.place);
    if (ok && a.adopted > 0)
        ph_log(spill->log, PH_LOG_NOTE, "%d %s in spill files and %s not read again", a.adopted,
               a.adopted == 1 ? "shard lies" : "shards lie", a.adopted == 1 ? "is" : "are");
    return ok;
}

bool ph_spill_recheck(struct ph_spill *spill, struct ph_roster *roster, struct ph_conn *target,
                      int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    uint64_t now = ph_clock_ns();
    ph_sql_add(&sql,
               "SELECT s.id, p.file FROM pghaul.shard s LEFT JOIN pghaul.spill p"
               " ON p.job OPERATOR(pg_catalog.=) s.job AND p.shard OPERATOR(pg_catalog.=) s.id"
               " WHERE s.job OPERATOR(pg_catalog.=) %D AND s.state IN ('planned', 'spilled')",
               job);
    bool ok = ph_conn_query(target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    for (int i = 0; ok && i < ph_rows_count(rows); i++) {
        const char *file = ph_rows_get(rows, i, 1);
        if (file)
            ph_spill_not_landed(spill, file, now);
        else
            ph_roster_taken_back(roster, ph_rows_int(rows, i, 0));
    }
    ph_rows_free(rows);
    return ok || ph_err_prefix(err, "looking what a crash of the target has taken back");
}

/* By name and length. What cannot be seen is not taken for missing. */
static bool is_missing(const struct ph_spill *spill, const char *file, int64_t stored)
{
    struct ph_buf path = {0};
    struct stat st;
    ph_buf_addf(&path, "%s/%s", spill->path, file);
    bool seen = fstatat(AT_FDCWD, path.data, &st, AT_SYMLINK_NOFOLLOW) == 0;
    bool missing = seen ? st.st_size != stored : errno == ENOENT;
    ph_buf_fini(&path);
    return missing;
}

/* Reads files to their ends, for nothing but to know that they can be read. */
struct reading {
    struct ph_place place;
    struct ph_source *file;
    struct ph_sink *nowhere;
    const struct ph_table *const *tables; /* NULL: they are not read */
};

static bool begin_reading(struct reading *r, struct ph_spill *spill, struct ph_err *err)
{
    bool open = false;
    if (!ph_spill_open(spill, false, &open, err))
        return false;
    if (!open) {
        r->tables = NULL; /* those that cannot be seen are not missing, and cannot be read */
        return true;
    }
    ph_spill_place(spill, &r->place);
    return ph_source_archive_new(&r->file, &r->place, err) && ph_sink_null_new(&r->nowhere, err);
}

static void end_reading(struct reading *r)
{
    if (r->file)
        r->file->ops->free(r->file);
    if (r->nowhere)
        r->nowhere->ops->free(r->nowhere);
    ph_place_fini(&r->place);
}

/* The row is one of ph_spill_forget_missing's. */
static bool is_damaged(struct reading *r, const struct ph_spill *spill, const struct ph_rows *rows,
                       int i, bool *damaged, struct ph_err *err)
{
    const struct ph_table *table = r->tables[ph_rows_int(rows, i, 4) - 1];
    struct ph_tally passed,
        wanted = {.rows = ph_rows_uint(rows, i, 5), .bytes = ph_rows_uint(rows, i, 6)};
    ph_tally_read_hash(&wanted, ph_rows_text(rows, i, 7));
    const struct ph_shard shard = {.id = ph_rows_int(rows, i, 0),
                                   .tab = (int)ph_rows_int(rows, i, 4),
                                   .table = table,
                                   .format = table->format,
                                   .where = "",
                                   .file = ph_rows_text(rows, i, 2),
                                   .expect = &wanted};
    bool ok = ph_hop_run(r->file, r->nowhere, &shard, &passed, NULL, NULL, err);
    *damaged = !ok && err->code == PH_DAMAGED;
    if (*damaged)
        ph_log(spill->log, PH_LOG_INFO, "%s", err->text);
    return ok || *damaged;
}

/* Those of them that nobody has touched since they were looked at are planned again. */
static bool plan_missing(struct ph_conn *target, int64_t job, const char *shards, int64_t *planned,
                         struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_addf(&sql,
                "WITH gone AS (UPDATE pghaul.shard s SET state = 'planned', holder = NULL,"
                " attempt = s.attempt OPERATOR(pg_catalog.+) 1 FROM (VALUES %s) v(id, attempt)"
                " WHERE s.id OPERATOR(pg_catalog.=) v.id"
                " AND s.attempt OPERATOR(pg_catalog.=) v.attempt",
                shards);
    ph_sql_add(&sql,
               " AND s.job OPERATOR(pg_catalog.=) %D AND s.state OPERATOR(pg_catalog.=) 'spilled'"
               " AND s.mover IS NULL RETURNING s.id), files AS (DELETE FROM pghaul.spill p"
               " USING gone WHERE p.job OPERATOR(pg_catalog.=) %D"
               " AND p.shard OPERATOR(pg_catalog.=) gone.id)"
               " SELECT pg_catalog.count(*) FROM gone",
               job, job);
    bool ok = ph_conn_query(target, sql.data, &rows, err);
    *planned = ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_spill_forget_missing(struct ph_spill *spill, struct ph_conn *target, int64_t job,
                             const struct ph_table *const *tables, struct ph_err *err)
{
    struct ph_buf sql = {0}, shards = {0};
    struct ph_rows *rows = NULL;
    struct reading reading = {.tables = tables};
    int64_t planned = 0;
    if (!spill->path)
        return true;
    ph_sql_add(&sql,
               "SELECT s.id, s.attempt, p.file, p.stored, s.tab, p.rows, p.bytes, p.hash FROM "
               "pghaul.shard s JOIN pghaul.spill p"
               " ON p.job OPERATOR(pg_catalog.=) s.job AND p.shard OPERATOR(pg_catalog.=) s.id"
               " WHERE s.job OPERATOR(pg_catalog.=) %D AND s.holder OPERATOR(pg_catalog.=) %L"
               " AND s.state OPERATOR(pg_catalog.=) 'spilled' AND s.mover IS NULL",
               job, spill->holder);
    bool ok = ph_conn_query(target, sql.data, &rows, err) &&
              (!tables || !ph_rows_count(rows) || begin_reading(&reading, spill, err));
    for (int i = 0; ok && i < ph_rows_count(rows); i++) {
        bool lost = is_missing(spill, ph_rows_text(rows, i, 2), ph_rows_int(rows, i, 3));
        if (!lost && reading.tables)
            ok = is_damaged(&reading, spill, rows, i, &lost, err);
        if (lost)
            ph_sql_add(&shards, "%s(%D, %d)", shards.len ? ", " : "", ph_rows_int(rows, i, 0),
                       (int)ph_rows_int(rows, i, 1));
    }
    end_reading(&reading);
    ok = ok && (!shards.len || plan_missing(target, job, shards.data, &planned, err));
    if (ok && planned > 0)
        ph_log(spill->log, PH_LOG_WARN,
               "%lld files in %s are %s: their shards are read from the source again",
               (long long)planned, spill->path,
               tables ? "missing or damaged" : "missing or too short");
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    ph_buf_fini(&shards);
    return ok || ph_err_prefix(err, "looking whether all spill files are there");
}
