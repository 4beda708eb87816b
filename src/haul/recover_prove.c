/* Whether what has landed still stands under the fresh snapshot: by the numbers of the transactions that wrote the
 * source's rows, where those can be trusted; else by reading the shard again and comparing its tally with the receipt.
 *
 * They cannot be trusted
 *   - where the source has another history: another timeline, or a position behind the one where the shard was read. It is
 *     a standby that has taken over, or was restored. What landed may have been written by transactions that it never had,
 *     and their numbers may have been given to others since.
 *   - under a --where: what that looks at besides the row (the time, another table) leaves no number in the row.
 */
#include "haul/recover.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "pg/sql.h"
#include "pghaul/hop.h"
#include "sink/null.h"
#include "source/pg.h"

bool ph_recovery_read(struct ph_recovery *rec, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT s.id, s.tab, s.pred, r.rows, r.xid, n.oldest, r.bytes, r.hash, n.lsn,"
               " n.timeline FROM pghaul.shard s JOIN (SELECT job, shard, snapshot, rows, xid,"
               " bytes, hash FROM pghaul.all_receipts UNION ALL"
               " SELECT job, shard, snapshot, rows, 0, bytes, hash FROM pghaul.spill) r"
               " ON r.job OPERATOR(pg_catalog.=) s.job AND r.shard OPERATOR(pg_catalog.=) s.id"
               " AND (r.xid OPERATOR(pg_catalog.=) 0)"
               " OPERATOR(pg_catalog.=) (s.state IN ('spilled', 'parked'))"
               " JOIN pghaul.snapshot n ON n.job OPERATOR(pg_catalog.=) s.job"
               " AND n.no OPERATOR(pg_catalog.=) r.snapshot"
               " WHERE s.job OPERATOR(pg_catalog.=) %D"
               " AND s.state IN ('landed', 'verified', 'spilled', 'parked') ORDER BY s.tab, s.id",
               run->job);
    bool ok = ph_conn_query(run->target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (!ok)
        return false;
    rec->n_landed = ph_rows_count(rows);
    rec->landed = ph_arena_calloc(run->arena, (size_t)rec->n_landed, sizeof *rec->landed);
    rec->changed = ph_arena_calloc(run->arena, (size_t)run->n_tabs, sizeof(int));
    rec->have = ph_arena_calloc(run->arena, (size_t)run->n_tabs, sizeof(int));
    for (int i = 0; i < rec->n_landed; i++) {
        struct ph_landed *l = &rec->landed[i];
        l->shard = ph_rows_int(rows, i, 0);
        l->tab = (int)ph_rows_int(rows, i, 1);
        l->pred = ph_arena_strdup(run->arena, ph_rows_text(rows, i, 2));
        l->xid = ph_rows_int(rows, i, 4);
        l->oldest = ph_rows_uint(rows, i, 5);
        l->tally.rows = ph_rows_uint(rows, i, 3);
        l->tally.bytes = ph_rows_uint(rows, i, 6);
        ph_tally_read_hash(&l->tally, ph_rows_text(rows, i, 7));
        l->lsn = ph_arena_strdup(run->arena, ph_rows_text(rows, i, 8));
        l->timeline = (int)ph_rows_int(rows, i, 9);
        rec->have[l->tab - 1]++;
    }
    ph_rows_free(rows);
    return true;
}

/* By the numbers. */

/* A row's xmin has 32 bits. Every visible one is older than the present snapshot's xmax and, unless
 * frozen long ago, less than 2^31 behind it: that widens it. One that was frozen longer ago than
 * 2^32 transactions may look younger than it is, which errs on the safe side. */
static bool count(struct ph_recovery *rec, struct ph_landed *l, struct ph_err *err)
{
    const struct ph_table *t = rec->run->tables[l->tab - 1];
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE x.x "
               "OPERATOR(pg_catalog.>=) 3"
               " AND n.n OPERATOR(pg_catalog.-) ((n.n OPERATOR(pg_catalog.-) x.x)"
               " OPERATOR(pg_catalog.&) 4294967295) OPERATOR(pg_catalog.>=) %U)"
               " FROM (SELECT xmin::pg_catalog.text::pg_catalog.int8 AS x FROM ONLY %I.%I",
               l->oldest, t->source_schema, t->source_name);
    if (*l->pred)
        ph_sql_add(&sql, " WHERE (%s)", l->pred);
    ph_sql_add(&sql,
               ") x, (SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())"
               "::pg_catalog.text::pg_catalog.int8 AS n) n");
    bool ok = ph_conn_query(rec->run->source, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (ok)
        l->changed = ph_rows_uint(rows, 0, 0) != l->tally.rows || ph_rows_int(rows, 0, 1) != 0;
    ph_rows_free(rows);
    return ok;
}

/* By reading. */

static bool take_reader(struct ph_recovery *rec, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    if (rec->reader)
        return true;
    const char *name = ph_arena_printf(run->arena, "pghaul/%s/recover", run->tag);
    return ph_source_pg_new(&rec->reader,
                            &(struct ph_source_pg_opts){.conn = {.dsn = run->opts->source,
                                                                 .application_name = name,
                                                                 .encoding = run->encoding,
                                                                 .read_only = true,
                                                                 .interrupt = run->opts->interrupt,
                                                                 .interrupt_level = 1},
                                                        .tag = run->tag,
                                                        .snapshot = rec->fresh.id,
                                                        .pg_snapshot = rec->fresh.pg_snapshot,
                                                        .gate = &run->gate},
                            err);
}

/* Somebody's DDL may wait for a moment. */
static bool read_once(struct ph_recovery *rec, struct ph_sink *nowhere,
                      const struct ph_shard *shard, struct ph_tally *tally, struct ph_err *err)
{
    static const double patience_s = 30;
    double until = ph_clock_s() + patience_s;
    while (!ph_hop_run(rec->reader, nowhere, shard, tally, NULL, NULL, err))
        if (err->code != PH_BUSY || ph_clock_s() > until ||
            !ph_interrupt_sleep(rec->run->opts->interrupt, 1, 0.2))
            return false;
    return true;
}

static bool compare(struct ph_recovery *rec, struct ph_landed *l, struct ph_err *err)
{
    const struct ph_table *t = rec->run->tables[l->tab - 1];
    const struct ph_shard shard = {
        .id = l->shard, .tab = l->tab, .table = t, .format = t->format, .where = l->pred};
    struct ph_sink *nowhere = NULL;
    struct ph_tally tally;
    if (!take_reader(rec, err) || !ph_sink_null_new(&nowhere, err))
        return false;
    bool ok = read_once(rec, nowhere, &shard, &tally, err);
    nowhere->ops->free(nowhere);
    l->changed = !ok || !ph_tally_equal(&tally, &l->tally);
    return ok;
}

static uint64_t position(const char *lsn)
{
    uint32_t high = 0, low = 0;
    return sscanf(lsn, "%" SCNx32 "/%" SCNx32, &high, &low) == 2 ? (uint64_t)high << 32 | low : 0;
}

/* Whether the source may be without something that it had when the shard was read. */
static bool has_other_history(struct ph_recovery *rec, const struct ph_landed *l)
{
    const struct ph_snapshot *now = &rec->fresh;
    bool other = l->timeline != now->timeline || position(now->lsn) < position(l->lsn);
    if (other && !rec->told)
        ph_run_event(rec->run, PH_LOG_WARN, "other_history",
                     ph_arena_printf(rec->run->arena,
                                     "the source was at %s of timeline %d when rows were read, and"
                                     " is at %s of timeline %d now: what has landed is proven by"
                                     " reading it again",
                                     l->lsn, l->timeline, now->lsn, now->timeline));
    rec->told = rec->told || other;
    return other;
}

bool ph_recovery_prove(struct ph_recovery *rec, struct ph_landed *l, struct ph_err *err)
{
    const struct ph_table *t = rec->run->tables[l->tab - 1];
    bool ok = true;
    if (t->objects) /* who writes into an object leaves no trace where its OID is */
        l->changed = true;
    else if (has_other_history(rec, l) || t->filter)
        ok = compare(rec, l, err);
    else
        ok = count(rec, l, err);
    if (!ok)
        return ph_err_prefix(err, "looking whether %s has changed", t->root_source);
    rec->changed[l->tab - 1] += l->changed;
    return true;
}

void ph_recovery_fini(struct ph_recovery *rec)
{
    if (rec->reader)
        rec->reader->ops->free(rec->reader);
    rec->reader = NULL;
}
