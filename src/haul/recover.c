/* When the snapshot is truly gone.
 *
 * Shards that have landed were read under the old snapshot; the rest must be read under a new one. That gives one
 * consistent state only if what landed looks the same under the new one. So, under the new snapshot:
 *
 *   1. A relation that is not the planned one any more ends the job.
 *   2. A landed shard is proven unchanged when it has as many rows as its receipt says and every row was written by a
 *      transaction older than all that were in progress in the database when the old snapshot was taken. Then every
 *      row visible now was visible then, and as many were: the sets are equal. ("Visible in the old snapshot" would not do: a
 *      snapshot's text leaves subtransactions out, so a savepoint's UPDATE would pass.) Where that cannot be trusted, it is
 *      read again, and its tally must be the receipt's: see recover_prove.c.
 *   3. A table cut by key, hash or not at all: shards that are not proven are planned again. Their rows (found by
 *      xmin, and exactly as many as the receipts say) and receipts are taken away all together: replaced one by one, two
 *      rows that have exchanged a unique value would stand in each other's way for ever. Large objects, which cannot,
 *      are replaced by the transaction that lands the shard again.
 *   4. A table cut by block: its shards mean nothing under another snapshot once rows have moved, so the whole
 *      table starts over: our rows and receipts are taken away, and it is cut anew.
 *
 * For upsert nothing is taken away: shards are just planned again. A spilled shard (or one that was parked on its way out of
 * its file) is looked at like one that has landed;
 * where it is not proven, its file is of no use any more.
 * All changes to the ledger are one transaction. Attempts in flight are fenced before anything is looked at, and once more in
 * that transaction: a mover that has not noticed may have landed a file meanwhile, and then it is looked at again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "haul/recover.h"
#include "pg/sql.h"

static bool ask(struct ph_conn *conn, struct ph_buf *sql, struct ph_rows **rows, struct ph_err *err)
{
    bool ok = ph_conn_query(conn, sql->data, rows, err);
    ph_buf_fini(sql);
    return ok;
}

/* Whoever still works under the old snapshot must not land any more. */
static bool fence(struct ph_run *run, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "UPDATE pghaul.shard SET attempt = attempt OPERATOR(pg_catalog.+) 1, mover = NULL,"
               " slot = NULL WHERE job OPERATOR(pg_catalog.=) %D"
               " AND state IN ('planned', 'spilled') AND mover IS NOT NULL",
               run->job);
    return ask(run->target, &sql, NULL, err);
}

static bool check_relations(struct ph_run *run, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.pg_relation_filenode(o.oid), o.n, (SELECT pg_catalog.count(*)"
               " FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) o.oid"
               " AND a.attnum OPERATOR(pg_catalog.=) ANY (o.used) AND NOT a.attisdropped)"
               " OPERATOR(pg_catalog.=) pg_catalog.cardinality(o.used) FROM (VALUES ");
    for (int i = 0; i < run->n_tabs; i++)
        ph_sql_add(&sql, "%s(%u::pg_catalog.oid, %d, '{%s}'::pg_catalog.int2[])", i ? ", " : "",
                   run->tabs[i].source_oid, i, run->tabs[i].source_attnums);
    ph_sql_add(&sql, ") o(oid, n, used)");
    if (!ask(run->source, &sql, &rows, err))
        return false;
    bool ok = true;
    for (int r = 0; r < ph_rows_count(rows) && ok; r++) {
        const struct ph_ledger_tab *t = &run->tabs[ph_rows_int(rows, r, 1)];
        if ((t->source_filenode && ph_rows_uint(rows, r, 0) != t->source_filenode) ||
            !ph_rows_bool(rows, r, 2))
            ok = ph_err_set(err, PH_RELATION,
                            "source table %s.%s is no longer the one that was planned",
                            t->source_schema, t->source_name);
    }
    ph_rows_free(rows);
    return ok || ph_err_hint(
                     err, "it was truncated, rewritten or made anew; take the job away with pghaul "
                          "clean, and begin again");
}

/* Rows that are taken back to be loaded again must not take others with them: a foreign key of
 * somebody else's that points here may cascade, a trigger may do anything. */
static bool refuse_followers(struct ph_recovery *rec, int tab, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    const struct ph_table *t = run->tables[tab - 1];
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (run->opts->spec->triggers == PH_TRIGGERS_SKIP)
        return true; /* neither foreign keys nor triggers act then */
    ph_sql_add(
        &sql,
        "SELECT (SELECT pg_catalog.format('foreign key %%I of %%s', c.conname, "
        "c.conrelid::pg_catalog.regclass)"
        " FROM pg_catalog.pg_constraint c WHERE c.contype OPERATOR(pg_catalog.=) 'f'"
        " AND c.confrelid OPERATOR(pg_catalog.=) %u LIMIT 1),"
        " (SELECT pg_catalog.format('trigger %%I', g.tgname) FROM pg_catalog.pg_trigger g"
        " WHERE g.tgrelid OPERATOR(pg_catalog.=) %u AND NOT g.tgisinternal"
        " AND g.tgenabled IN ('O', 'A') AND (g.tgtype OPERATOR(pg_catalog.&) 8::pg_catalog.int2)"
        " OPERATOR(pg_catalog.<>) 0 LIMIT 1)",
        t->target_oid, t->target_oid);
    if (!ask(run->target, &sql, &rows, err))
        return false;
    const char *key = ph_rows_get(rows, 0, 0), *trigger = ph_rows_get(rows, 0, 1);
    if (run->opts->spec->triggers == PH_TRIGGERS_FIRE)
        trigger = NULL;
    bool ok = !key && !trigger;
    if (!ok) {
        ph_err_set(
            err, PH_FAILED,
            "%s has changed since the snapshot was lost, and its rows cannot be taken back to be"
            " read again: %s would act on their deletion",
            t->root_source, key ? key : trigger);
        ph_err_hint(err, "drop it until the job is done, or take the job away with pghaul clean and"
                         " begin again");
    }
    ph_rows_free(rows);
    return ok;
}

/* Takes our own rows out of the target: those that the receipts' transactions wrote, and exactly as
 * many. all: also of shards that are proven unchanged. */
static bool take_rows_back(struct ph_recovery *rec, int tab, bool all, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    const struct ph_table *t = run->tables[tab - 1];
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    uint64_t expected = 0;
    const char *comma = "";
    if (run->opts->spec->triggers == PH_TRIGGERS_SKIP)
        ph_sql_add(&sql, "SET LOCAL session_replication_role = replica;");
    ph_sql_add(&sql, "DELETE FROM %s%I.%I WHERE xmin OPERATOR(pg_catalog.=) ANY ('{",
               t->target_routes ? "" : "ONLY ", t->target_schema, t->target_name);
    for (int i = 0; i < rec->n_landed; i++) {
        const struct ph_landed *l = &rec->landed[i];
        if (l->tab != tab || l->xid == 0 || !(all || l->changed))
            continue;
        ph_sql_add(&sql, "%s%D", comma, l->xid & 0xffffffff);
        expected += l->tally.rows;
        comma = ",";
    }
    ph_sql_add(&sql, "}'::pg_catalog.xid[])");
    if (!ask(run->target, &sql, &rows, err))
        return ph_err_prefix(err, "taking back the rows of %s", t->root_target);
    uint64_t deleted = ph_rows_affected(rows);
    ph_rows_free(rows);
    if (deleted == expected)
        return true;
    ph_err_set(err, PH_FAILED,
               "target table %s has %" PRIu64 " of the %" PRIu64 " rows that this job landed in it",
               t->root_target, deleted, expected);
    return ph_err_hint(err,
                       "somebody else changed them: pghaul clean, empty the table, begin again");
}

static void add_plan_again(struct ph_buf *sql, int64_t job, const struct ph_landed *l, bool redo)
{
    ph_sql_add(sql,
               "DELETE FROM pghaul.spill WHERE job OPERATOR(pg_catalog.=) %D"
               " AND shard OPERATOR(pg_catalog.=) %D;"
               "DELETE FROM pghaul.reject WHERE job OPERATOR(pg_catalog.=) %D"
               " AND shard OPERATOR(pg_catalog.=) %D;"
               "UPDATE pghaul.shard SET state = 'planned', holder = NULL,"
               " attempt = attempt OPERATOR(pg_catalog.+) 1",
               job, l->shard, job, l->shard);
    if (redo)
        ph_sql_add(sql, ", redo_xid = %D, redo_rows = %D", l->xid, (int64_t)l->tally.rows);
    ph_sql_add(sql, " WHERE job OPERATOR(pg_catalog.=) %D AND id OPERATOR(pg_catalog.=) %D", job,
               l->shard);
    if (!redo && l->xid)
        ph_sql_add(sql,
                   ";DELETE FROM pghaul.receipt WHERE job OPERATOR(pg_catalog.=) %D"
                   " AND shard OPERATOR(pg_catalog.=) %D;"
                   "DELETE FROM pghaul.receipt_unlogged WHERE job OPERATOR(pg_catalog.=) %D"
                   " AND shard OPERATOR(pg_catalog.=) %D",
                   job, l->shard, job, l->shard);
}

/* Rule 3, and upsert. */
static bool plan_again(struct ph_recovery *rec, int tab, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    bool objects = run->tables[tab - 1]->objects, upsert = run->opts->spec->mode == PH_UPSERT;
    for (int i = 0; i < rec->n_landed; i++) {
        const struct ph_landed *l = &rec->landed[i];
        struct ph_buf sql = {0};
        if (l->tab != tab || !l->changed)
            continue;
        add_plan_again(&sql, run->job, l, objects && l->xid);
        if (!ask(run->target, &sql, NULL, err))
            return false;
    }
    return upsert || objects || take_rows_back(rec, tab, false, err);
}

/* Rule 4: cuts one table anew under the fresh snapshot and puts its shards behind the present ones.
 */
static bool start_over(struct ph_recovery *rec, int tab, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    struct ph_table table = *run->tables[tab - 1];
    struct ph_rows *rows = NULL;
    if (!take_rows_back(rec, tab, true, err))
        return false;
    struct ph_plan *cut = calloc(1, sizeof *cut);
    if (!cut)
        return ph_err_nomem(err);
    *cut = *run->plan;
    cut->arena = (struct ph_arena){0};
    cut->tables = &table;
    cut->n_tables = 1;
    table.id = tab;
    bool ok = ph_plan_cut(cut, run->source, err);
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "DELETE FROM pghaul.receipt WHERE job OPERATOR(pg_catalog.=) %D AND tab "
               "OPERATOR(pg_catalog.=) %d;"
               "DELETE FROM pghaul.receipt_unlogged WHERE job OPERATOR(pg_catalog.=) %D"
               " AND tab OPERATOR(pg_catalog.=) %d;"
               "DELETE FROM pghaul.reject WHERE job OPERATOR(pg_catalog.=) %D"
               " AND tab OPERATOR(pg_catalog.=) %d;"
               "WITH gone AS (SELECT pg_catalog.max(id) AS last FROM pghaul.shard"
               "  WHERE job OPERATOR(pg_catalog.=) %D),"
               " d AS (DELETE FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D"
               "  AND tab OPERATOR(pg_catalog.=) %d) SELECT last FROM gone",
               run->job, tab, run->job, tab, run->job, tab, run->job, run->job, tab);
    ok = ok && ph_conn_query(run->target, sql.data, &rows, err) &&
         ph_ledger_add_shards(
             run->target, run->job, cut->shards, (const char *const *)cut->shard_lo,
             (const char *const *)cut->shard_hi, cut->n_shards, ph_rows_int(rows, 0, 0) + 1, err);
    ph_buf_fini(&sql);
    ph_rows_free(rows);
    cut->tables = NULL;
    cut->n_tables = 0;
    ph_plan_free(cut);
    return ok;
}

/* Locks the job's shards, and fences them, until the transaction ends; *stands: nothing has landed or was spilled since it was
 * looked at. */
static bool still_stands(struct ph_recovery *rec, bool *stands, struct ph_err *err)
{
    struct ph_recovery now = {.run = rec->run};
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "WITH l AS (SELECT FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D ORDER BY id"
               " FOR UPDATE) SELECT pg_catalog.count(*) FROM l",
               rec->run->job);
    if (!ask(rec->run->target, &sql, NULL, err) || !fence(rec->run, err) ||
        !ph_recovery_read(&now, err))
        return false;
    *stands = now.n_landed == rec->n_landed;
    for (int i = 0; *stands && i < now.n_landed; i++)
        *stands =
            now.landed[i].shard == rec->landed[i].shard && now.landed[i].xid == rec->landed[i].xid;
    return true;
}

/* Whether it was done; else it is to be looked at again. */
static bool rewrite_ledger(struct ph_recovery *rec, bool *done, struct ph_err *err)
{
    struct ph_run *run = rec->run;
    bool upsert = run->opts->spec->mode == PH_UPSERT;
    int no = 0;
    if (!ph_ledger_begin(run->target, false, err) || !still_stands(rec, done, err))
        return false;
    if (!*done)
        return ph_conn_exec(run->target, "ROLLBACK", err);
    for (int tab = 1; tab <= run->n_tabs; tab++)
        if (rec->changed[tab - 1] && !upsert && !refuse_followers(rec, tab, err))
            return false;
    for (int tab = 1; tab <= run->n_tabs; tab++) {
        bool by_block = run->tables[tab - 1]->split == PH_SPLIT_BLOCK;
        if (rec->changed[tab - 1] &&
            !(by_block && !upsert ? start_over(rec, tab, err) : plan_again(rec, tab, err)))
            return false;
    }
    return ph_ledger_add_snapshot(run->target, run->job, &rec->fresh, run->host, &no, err) &&
           ph_ledger_commit(run->target, err) && ph_ledger_order_look(run->target, run->job, err);
}

static void tell(const struct ph_recovery *rec)
{
    struct ph_run *run = rec->run;
    for (int i = 0; i < run->n_tabs; i++) {
        const struct ph_table *t = run->tables[i];
        if (rec->changed[i] && t->split == PH_SPLIT_BLOCK && run->opts->spec->mode != PH_UPSERT)
            ph_log(
                run->opts->log, PH_LOG_WARN,
                "%s has changed since and is cut by block: it starts over under the new snapshot",
                t->root_source);
        else if (rec->changed[i])
            ph_log(run->opts->log, PH_LOG_WARN,
                   "%s has changed since: %d of its %d finished shards are read again",
                   t->root_source, rec->changed[i], rec->have[i]);
        else if (rec->have[i])
            ph_log(run->opts->log, PH_LOG_NOTE,
                   "%s is proven unchanged: its %d finished shards stay", t->root_source,
                   rec->have[i]);
    }
}

/* Where the run's own snapshot is still to be had, and the ledger's is not, other movers read from another server: after a
 * failover that has left the old primary alive, it may be. In turns, each would take the other's rows back for ever. Or the
 * ledger is of an earlier state, and what this run knows of its files is of a later one. */
static bool refuse_other_server(struct ph_run *run, struct ph_err *err)
{
    if (!ph_snapshot_import(run->source, run->snapshot->id, run->snapshot->pg_snapshot, err))
        return err->code == PH_SNAPSHOT_GONE;
    ph_conn_recover(run->source);
    ph_keeper_end(run->source, run->tag, run->snapshot->keeper_backend, err);
    ph_err_set(err, PH_FAILED,
               "in the ledger job %s is under a snapshot of another source server, or of another"
               " time: another mover reads elsewhere, or the target has gone back",
               run->plan->job_name);
    return ph_err_hint(err, "see that the source's name leads all movers of a job to the same"
                            " server, and run the same command again");
}

/* Another mover of this job may have been quicker. */
static bool adopt(struct ph_run *run, bool *adopted, struct ph_err *err)
{
    struct ph_ledger_snapshot *now = NULL;
    *adopted = false;
    if (!ph_ledger_snapshot(run->target, run->arena, run->job, &now, err))
        return false;
    if (!now ||
        (now->no == run->snapshot->no && !strcmp(now->pg_snapshot, run->snapshot->pg_snapshot)))
        return true;
    if (!ph_snapshot_import(run->source, now->id, now->pg_snapshot, err))
        return err->code == PH_SNAPSHOT_GONE && refuse_other_server(run, err);
    run->snapshot = now;
    *adopted = true;
    return ph_conn_exec(run->source, "ROLLBACK", err);
}

static bool recover_alone(struct ph_run *run, struct ph_err *err)
{
    struct ph_recovery rec = {.run = run, .fresh = {.keeper_fd = -1}};
    ph_run_event(run, PH_LOG_WARN, "snapshot_gone",
                 "the job's snapshot is gone; looking whether what has landed still stands");
    if (!fence(run, err) ||
        !ph_spill_forget_missing(&run->spill, run->target, run->job, run->tables, err) ||
        !ph_run_start_keeper(run, &rec.fresh, err))
        return false;
    bool ok = ph_snapshot_import(run->source, rec.fresh.id, rec.fresh.pg_snapshot, err) &&
              check_relations(run, err) && ph_run_await_flush(run, &rec.fresh, err);
    for (bool done = false; ok && !done;) {
        ok = ph_recovery_read(&rec, err);
        for (int i = 0; i < rec.n_landed && ok; i++)
            ok = ph_recovery_prove(&rec, &rec.landed[i], err);
        if (ok && PH_FAULT("recover.proven"))
            ok = ph_err_set(err, PH_FAILED, "fault point recover.proven");
        ok = ok && rewrite_ledger(&rec, &done, err);
    }
    struct ph_err ignored;
    ph_recovery_fini(&rec);
    if (ok) {
        ph_keeper_confirm(&rec.fresh);
        tell(&rec);
        /* the old keeper, should it live still: nobody will ask for its snapshot again */
        if (run->snapshot->keeper_backend != rec.fresh.keeper_backend)
            ph_keeper_end(run->source, run->tag, run->snapshot->keeper_backend, &ignored);
    }
    ph_conn_recover(run->target);
    ph_conn_recover(run->source);
    ph_snapshot_fini(&rec.fresh);
    return ok && ph_ledger_snapshot(run->target, run->arena, run->job, &run->snapshot, err);
}

bool ph_run_recover(struct ph_run *run, struct ph_err *err)
{
    struct ph_buf sql = {0};
    bool adopted = false;
    if (run->opts->spec->strict) {
        ph_err_set(err, PH_FAILED, "the job's snapshot is gone, and --strict forbids a second one");
        return ph_err_hint(
            err, "without --strict, shards that are proven unchanged stay and the rest is read "
                 "under a new snapshot");
    }
    /* it may well have died with the snapshot */
    if (!ph_run_reach(run, true, err))
        return false;
    ph_conn_set_interrupt(run->source, run->opts->interrupt, 1);
    ph_conn_set_interrupt(run->target, run->opts->interrupt, 1);
    /* movers of one job recover one after the other; class 1885825122 is for this */
    ph_sql_add(&sql,
               "SET lock_timeout = 0;SELECT pg_catalog.pg_advisory_lock(1885825122, %d);"
               "SET lock_timeout = '10s'",
               (int)(run->job & 0x7fffffff));
    bool ok = ask(run->target, &sql, NULL, err) && adopt(run, &adopted, err) &&
              (adopted || recover_alone(run, err));
    ph_sql_add(&sql, "SELECT pg_catalog.pg_advisory_unlock(1885825122, %d)",
               (int)(run->job & 0x7fffffff));
    struct ph_err ignored;
    if (ph_conn_ok(run->target))
        ask(run->target, &sql, NULL, &ignored);
    else
        ph_buf_fini(&sql);
    return ok;
}
