#include "ledger/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "ledger/query.h"
#include "pg/sql.h"

extern const char ph_ledger_schema_sql[];

/* Presence. */

bool ph_ledger_present(struct ph_conn *conn, bool *present, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    *present = false;
    if (!ph_conn_query(
            conn,
            "SELECT pg_catalog.obj_description(n.oid, 'pg_namespace'),"
            " pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
            " FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'pghaul'",
            &rows, err))
        return ph_err_prefix(err, "looking for the ledger");
    bool ok = true;
    int format = 0;
    if (ph_rows_count(rows) == 1) {
        *present = true;
        if (sscanf(ph_rows_text(rows, 0, 0), "pghaul ledger, format %d", &format) != 1) {
            ok = ph_err_set(err, PH_WRONG, "the target has a schema pghaul that is not ours");
            ph_err_hint(err, "rename it: pghaul keeps its ledger in a schema of that name");
        } else if (format > PH_LEDGER_FORMAT) {
            ok = ph_err_set(err, PH_OTHER_JOB,
                            "the ledger in the target has format %d, this pghaul knows %d", format,
                            PH_LEDGER_FORMAT);
            ph_err_hint(err, "use the newer pghaul that wrote it");
        } else if (!ph_rows_bool(rows, 0, 1)) {
            ok = ph_err_set(err, PH_WRONG,
                            "no permission to use the ledger (schema pghaul) in the target");
            ph_err_hint(err, "work as the role that owns it");
        }
    }
    ph_rows_free(rows);
    return ok;
}

/* objid 0 is no mover: this lock orders those who begin. */
#define BEGIN                                                                                      \
    "BEGIN;SET LOCAL synchronous_commit = on;SELECT pg_catalog.pg_advisory_xact_lock(1885825121, " \
    "0)"
/* What is in our own functions is known to compile: a fifth of the time. */
#define UNCHECKED "SET LOCAL check_function_bodies = off;"

bool ph_ledger_begin(struct ph_conn *conn, bool install, struct ph_err *err)
{
    if (!ph_conn_exec(conn, BEGIN, err))
        return ph_err_prefix(err, "ledger");
    bool present = false;
    if (!install)
        return true;
    if (!ph_ledger_present(conn, &present, err))
        return false;
    if (present)
        return true;
    return (ph_conn_exec(conn, UNCHECKED, err) && ph_conn_exec(conn, ph_ledger_schema_sql, err)) ||
           ph_err_prefix(err, "making the ledger");
}

bool ph_ledger_begin_ahead(struct ph_conn *conn)
{
    struct ph_err ignored; /* whatever it is, the ordinary way will meet it again, and say so */
    struct ph_buf sql = {0};
    bool present = false;
    if (!ph_ledger_present(conn, &present, &ignored) || present)
        return false;
    ph_buf_addf(&sql, BEGIN ";" UNCHECKED "%s", ph_ledger_schema_sql);
    bool ok = ph_conn_send(conn, sql.data, &ignored);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_ledger_await_begin(struct ph_conn *conn, const char *tag, struct ph_err *err)
{
    for (enum ph_result kind = PH_RESULT_COMMAND; kind != PH_RESULT_NONE;)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    if (!tag)
        return true;
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "SET application_name = 'pghaul/%s/main'", tag);
    bool ok = ph_conn_exec(conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_ledger_commit(struct ph_conn *conn, struct ph_err *err)
{
    if (PH_FAULT("ledger.commit"))
        return ph_err_set(err, PH_FAILED, "fault point ledger.commit");
    bool ok = ph_conn_exec(conn, "COMMIT", err) || ph_err_prefix(err, "ledger");
    if (ok && PH_FAULT("ledger.committed"))
        return ph_err_set(err, PH_FAILED, "fault point ledger.committed");
    return ok;
}

/* Jobs. */

bool ph_ledger_find(struct ph_conn *conn, struct ph_arena *arena, const char *name,
                    struct ph_ledger_job **job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    *job = NULL;
    ph_sql_add(&sql,
               "SELECT id, round, state, fingerprint, definition, source_system, source_database,"
               " set_id FROM pghaul.job WHERE name OPERATOR(pg_catalog.=) %L",
               name);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    if (ph_rows_count(rows) == 1) {
        struct ph_ledger_job *j = ph_arena_alloc(arena, sizeof *j);
        j->id = ph_rows_int(rows, 0, 0);
        j->round = (int)ph_rows_int(rows, 0, 1);
        j->completed = !strcmp(ph_rows_text(rows, 0, 2), "completed");
        j->fingerprint = ph_arena_strdup(arena, ph_rows_text(rows, 0, 3));
        j->definition = ph_arena_strdup(arena, ph_rows_text(rows, 0, 4));
        j->source_system = ph_rows_uint(rows, 0, 5);
        j->source_database = (uint32_t)ph_rows_uint(rows, 0, 6);
        j->set = ph_arena_strdup(arena, ph_rows_text(rows, 0, 7));
        *job = j;
    }
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_refuse_rivals(struct ph_conn *conn, const char *name, const struct ph_table *tables,
                             int n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (n == 0)
        return true;
    ph_sql_add(&sql,
               "SELECT j.name, t.target_schema, t.target_name FROM pghaul.tab t"
               " JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) t.job"
               " WHERE j.state OPERATOR(pg_catalog.=) 'open' AND j.name OPERATOR(pg_catalog.<>) %L"
               " AND t.target_oid OPERATOR(pg_catalog.=) ANY ('{",
               name);
    for (int i = 0; i < n; i++)
        ph_sql_add(&sql, "%s%u", i ? "," : "", tables[i].target_oid);
    ph_sql_add(&sql, "}'::pg_catalog.oid[]) LIMIT 1");
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    bool ok = ph_rows_count(rows) == 0;
    if (!ok) {
        ph_err_set(err, PH_WRONG,
                   "target table %s.%s is being loaded by another unfinished job, %s",
                   ph_rows_text(rows, 0, 1), ph_rows_text(rows, 0, 2), ph_rows_text(rows, 0, 0));
        ph_err_hint(err,
                    "finish it with the command that began it, or take it away: pghaul clean %s",
                    ph_rows_text(rows, 0, 0));
    }
    ph_rows_free(rows);
    return ok;
}

bool ph_ledger_refuse_live(struct ph_conn *conn, int64_t job, const char *name, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT host, pid, pg_catalog.to_char(started_at, 'YYYY-MM-DD HH24:MI:SS'),"
               " pg_catalog.count(*) OVER () FROM pghaul.live WHERE job OPERATOR(pg_catalog.=) %D"
               " ORDER BY id LIMIT 1",
               job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    bool ok = ph_rows_count(rows) == 0;
    if (!ok) {
        ph_err_set(err, PH_HELD, "job %s is held by a live run: pid %s on host %s since %s UTC",
                   name, ph_rows_text(rows, 0, 1), ph_rows_text(rows, 0, 0),
                   ph_rows_text(rows, 0, 2));
        ph_err_hint(err, "--join works beside it; pghaul status %s shows it", name);
    }
    ph_rows_free(rows);
    return ok;
}

/* Making a job. */

static bool insert_job(struct ph_conn *conn, const struct ph_ledger_new *what, int64_t *job,
                       struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    char system[32];
    snprintf(system, sizeof system, "%llu", (unsigned long long)what->source_system);
    if (*job == 0)
        ph_sql_add(
            &sql,
            "INSERT INTO pghaul.job (name, set_id, tag, mode, fingerprint, definition, source,"
            " target, source_system, source_database, nonempty)"
            " VALUES (%L, %L, %L, %L, %L, %L, %L, %L, %L, %u, %s) RETURNING id",
            what->name, what->set, what->tag, what->mode, what->fingerprint, what->definition,
            what->source, what->target, system, what->source_database,
            what->nonempty ? "true" : "false");
    else
        ph_sql_add(
            &sql,
            "DELETE FROM pghaul.receipt WHERE job OPERATOR(pg_catalog.=) %D;"
            "DELETE FROM pghaul.receipt_unlogged WHERE job OPERATOR(pg_catalog.=) %D;"
            "DELETE FROM pghaul.step WHERE job OPERATOR(pg_catalog.=) %D;"
            "DELETE FROM pghaul.tab WHERE job OPERATOR(pg_catalog.=) %D;"
            "DELETE FROM pghaul.snapshot WHERE job OPERATOR(pg_catalog.=) %D;"
            "DELETE FROM pghaul.sample WHERE job OPERATOR(pg_catalog.=) %D;"
            "DELETE FROM pghaul.event WHERE job OPERATOR(pg_catalog.=) %D;"
            "UPDATE pghaul.job SET state = 'open', round = round OPERATOR(pg_catalog.+) 1,"
            " started_at = pg_catalog.clock_timestamp(), completed_at = NULL, last_error = NULL,"
            " set_id = %L, source = %L, target = %L, nonempty = %s"
            " WHERE id OPERATOR(pg_catalog.=) %D RETURNING id",
            *job, *job, *job, *job, *job, *job, *job, what->set, what->source, what->target,
            what->nonempty ? "true" : "false", *job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *job = ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

enum { ROWS_PER_INSERT = 500 };

static bool insert_tabs(struct ph_conn *conn, const struct ph_ledger_new *what, int64_t job,
                        struct ph_err *err)
{
    for (int begin = 0; begin < what->n_tables; begin += ROWS_PER_INSERT) {
        struct ph_buf sql = {0};
        ph_sql_add(&sql,
                   "INSERT INTO pghaul.tab (job, id, source_schema, source_name, source_oid,"
                   " source_filenode, target_schema, target_name, target_oid, target_filenode,"
                   " target_unlogged, format, split, select_list, target_columns, source_attnums,"
                   " target_attnums) VALUES ");
        for (int i = begin; i < what->n_tables && i < begin + ROWS_PER_INSERT; i++) {
            const struct ph_table *t = &what->tables[i];
            ph_sql_add(&sql,
                       "%s(%D, %d, %L, %L, %u, %u, %L, %L, %u, %u, %s, %L, %L, %L, %L, %L, %L)",
                       i > begin ? ", " : "", job, t->id, t->source_schema, t->source_name,
                       t->source_oid, t->source_filenode, t->target_schema, t->target_name,
                       t->target_oid, t->target_filenode, t->target_unlogged ? "true" : "false",
                       t->format == PH_BINARY ? "binary" : "text", ph_split_name(t->split),
                       t->select_list, t->target_columns, t->source_attnums, t->target_attnums);
        }
        if (!ph_ledger_query(conn, &sql, NULL, err))
            return false;
    }
    return true;
}

bool ph_ledger_add_shards(struct ph_conn *conn, int64_t job, const struct ph_shard *shards,
                          const char *const *lo, const char *const *hi, int n, int64_t first_id,
                          struct ph_err *err)
{
    for (int begin = 0; begin < n; begin += ROWS_PER_INSERT) {
        struct ph_buf sql = {0};
        ph_sql_add(&sql,
                   "INSERT INTO pghaul.shard (job, id, tab, pred, lo, hi, weight, alone, state,"
                   " holder) VALUES ");
        for (int i = begin; i < n && i < begin + ROWS_PER_INSERT; i++)
            ph_sql_add(&sql, "%s(%D, %D, %d, %L, %L, %L, %D, %s, %L, %L)", i > begin ? ", " : "",
                       job, first_id + i, shards[i].table->id, shards[i].where, lo[i], hi[i],
                       shards[i].weight,
                       shards[i].table->n_shards == 1 && !shards[i].table->target_routes ? "true"
                                                                                         : "false",
                       shards[i].file ? "spilled" : "planned", shards[i].file ? "" : NULL);
        if (!ph_ledger_query(conn, &sql, NULL, err))
            return false;
    }
    return true;
}

bool ph_ledger_order_look(struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    /* the lock first, the shards' rows behind it: the order in which everybody takes them */
    ph_sql_add(&sql,
               "SELECT pg_catalog.pg_advisory_xact_lock(1885825123, %d);"
               "SELECT pghaul.order_look(%D)",
               (int)(job & 0x7fffffff), job);
    return ph_ledger_query(conn, &sql, NULL, err);
}

static void add_oids(struct ph_buf *sql, const uint32_t *oids, int n)
{
    for (int i = 0; i < n; i++)
        ph_sql_add(sql, "%s%u", i ? "," : "", oids[i]);
}

bool ph_ledger_order(struct ph_conn *conn, int64_t job, const struct ph_table *tables, int n,
                     struct ph_err *err)
{
    for (int begin = 0; begin < n; begin += ROWS_PER_INSERT) {
        struct ph_buf sql = {0};
        ph_sql_add(&sql, "UPDATE pghaul.tab t SET target_root = v.root, after = v.after FROM"
                         " (VALUES ");
        for (int i = begin; i < n && i < begin + ROWS_PER_INSERT; i++) {
            ph_sql_add(&sql, "%s(%u::pg_catalog.oid, %u::pg_catalog.oid, '{", i > begin ? ", " : "",
                       tables[i].source_oid, tables[i].target_root);
            add_oids(&sql, tables[i].after, tables[i].n_after);
            ph_sql_add(&sql, "}'::pg_catalog.oid[])");
        }
        ph_sql_add(&sql,
                   ") v (source, root, after) WHERE t.job OPERATOR(pg_catalog.=) %D"
                   " AND t.source_oid OPERATOR(pg_catalog.=) v.source",
                   job);
        if (!ph_ledger_query(conn, &sql, NULL, err))
            return false;
    }
    return ph_ledger_order_look(conn, job, err);
}

/* A load begins where an extract has ended: every shard lies in a file that whoever sees the archive can read. */
static bool insert_files(struct ph_conn *conn, const struct ph_ledger_new *what, int64_t job,
                         struct ph_err *err)
{
    char hash[PH_TALLY_HASH_TEXT];
    for (int begin = 0; begin < what->n_shards; begin += ROWS_PER_INSERT) {
        struct ph_buf sql = {0};
        ph_sql_add(&sql, "INSERT INTO pghaul.spill (job, shard, snapshot, file, rows, bytes, hash,"
                         " stored) VALUES ");
        for (int i = begin; i < what->n_shards && i < begin + ROWS_PER_INSERT; i++) {
            const struct ph_shard *s = &what->shards[i];
            ph_sql_add(&sql, "%s(%D, %d, %d, %L, %D, %D, %L, 0)", i > begin ? ", " : "", job, i + 1,
                       s->snapshot, s->file, (int64_t)s->expect->rows, (int64_t)s->expect->bytes,
                       ph_tally_hash_text(s->expect, hash));
        }
        if (!ph_ledger_query(conn, &sql, NULL, err))
            return false;
    }
    return true;
}

/* Nobody holds an archive's snapshots any more; the receipts point to them all the same. */
static bool insert_past_snapshots(struct ph_conn *conn, const struct ph_ledger_new *what,
                                  int64_t job, struct ph_err *err)
{
    for (int i = 0; i < what->n_past; i++) {
        const struct ph_past_snapshot *p = &what->past[i];
        struct ph_buf sql = {0};
        ph_sql_add(&sql,
                   "INSERT INTO pghaul.snapshot (job, no, id, pg_snapshot, oldest, lsn, taken_at,"
                   " released_at, keeper_host, keeper_pid, keeper_backend)"
                   " VALUES (%D, %d, %L, %L, %U, %L, %L, %L, '', 0, 0)",
                   job, p->no, p->id, p->pg_snapshot, p->oldest, p->lsn, p->taken_at, p->taken_at);
        if (!ph_ledger_query(conn, &sql, NULL, err))
            return false;
    }
    return true;
}

/* mode replace: every target is emptied once, with the mark, in the transaction that makes the job.
 * No run of this round ever does it again, so what finished shards have loaded is safe. */
static bool empty_targets(struct ph_conn *conn, const struct ph_ledger_new *what, int64_t job,
                          struct ph_err *err)
{
    struct ph_buf sql = {0};
    for (int i = 0; i < what->n_tables; i++) {
        const struct ph_table *t = &what->tables[i];
        if (t->objects)
            continue; /* there are none of these, or there was no beginning */
        ph_sql_add(&sql, "%s%s%I.%I", sql.len ? ", " : "TRUNCATE ", t->target_routes ? "" : "ONLY ",
                   t->target_schema, t->target_name);
    }
    ph_sql_add(&sql,
               "%sUPDATE pghaul.tab SET emptied = true, target_filenode ="
               " coalesce(pg_catalog.pg_relation_filenode(target_oid), 0)"
               " WHERE job OPERATOR(pg_catalog.=) %D",
               sql.len ? ";" : "", job);
    return ph_ledger_query(conn, &sql, NULL, err) ||
           ph_err_prefix(err, "emptying the target tables");
}

bool ph_ledger_add_snapshot(struct ph_conn *conn, int64_t job, const struct ph_snapshot *snapshot,
                            const char *host, int *no, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "UPDATE pghaul.snapshot SET released_at = pg_catalog.clock_timestamp()"
               " WHERE job OPERATOR(pg_catalog.=) %D AND released_at IS NULL;"
               "INSERT INTO pghaul.snapshot (job, no, id, pg_snapshot, oldest, lsn, timeline,"
               " keeper_host, keeper_pid, keeper_backend) SELECT %D,"
               " (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.+) 1 FROM pghaul.snapshot"
               " WHERE job OPERATOR(pg_catalog.=) %D), %L, %L, %U, %L, %d, %L, %d, %d RETURNING no",
               job, job, job, snapshot->id, snapshot->pg_snapshot, snapshot->oldest, snapshot->lsn,
               snapshot->timeline, host, snapshot->keeper_pid, snapshot->keeper_backend);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *no = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

/* What a partitioned target consists of now, so that a TRUNCATE of a leaf or a DETACH is noticed. */
static bool note_leaves(struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(
        &sql,
        "UPDATE pghaul.tab t SET target_leaves = l.leaves, target_files = l.files FROM ("
        " SELECT x.id, pg_catalog.array_agg(p.relid::pg_catalog.oid) AS leaves,"
        " pg_catalog.array_agg(pg_catalog.pg_relation_filenode(p.relid)) AS files"
        " FROM pghaul.tab x, LATERAL pg_catalog.pg_partition_tree(x.target_oid) p"
        " WHERE x.job OPERATOR(pg_catalog.=) %D AND x.target_filenode OPERATOR(pg_catalog.=) 0"
        " AND p.isleaf GROUP BY x.id) l"
        " WHERE t.job OPERATOR(pg_catalog.=) %D AND t.id OPERATOR(pg_catalog.=) l.id",
        job, job);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_other_target(struct ph_conn *conn, int64_t job, int *tab, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT id FROM pghaul.tab WHERE job OPERATOR(pg_catalog.=) %D"
               " AND NOT pghaul.same_target(job, id) ORDER BY id LIMIT 1",
               job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *tab = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_create(struct ph_conn *conn, const struct ph_ledger_new *what, int64_t *job,
                      struct ph_err *err)
{
    int no;
    return insert_job(conn, what, job, err) && insert_tabs(conn, what, *job, err) &&
           ph_ledger_add_shards(conn, *job, what->shards, what->lo, what->hi, what->n_shards, 1,
                                err) &&
           (what->snapshot
                ? ph_ledger_add_snapshot(conn, *job, what->snapshot, what->host, &no, err)
                : insert_past_snapshots(conn, what, *job, err) &&
                      insert_files(conn, what, *job, err)) &&
           (!what->fk_order || ph_ledger_order(conn, *job, what->tables, what->n_tables, err)) &&
           (!what->steps || ph_ledger_steps_put(conn, *job, what->steps, err)) &&
           (!what->replace || empty_targets(conn, what, *job, err)) && note_leaves(conn, *job, err);
}

/* Movers. */

bool ph_ledger_register(struct ph_conn *conn, int64_t job, const char *host, int pid,
                        const char *holder, int *mover, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(
        &sql,
        "UPDATE pghaul.job SET last_error = NULL WHERE id OPERATOR(pg_catalog.=) %D"
        " AND last_error IS NOT NULL;"
        "WITH m AS (INSERT INTO pghaul.mover (job, host, pid, holder) VALUES (%D, %L, %d, %L)"
        " RETURNING id) SELECT id, pg_catalog.pg_advisory_lock(1885825121, id) FROM m",
        job, job, host, pid, holder);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *mover = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_hold_again(struct ph_conn *conn, int mover, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "SELECT pg_catalog.pg_advisory_lock(1885825121, %d)", mover);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_release(struct ph_conn *conn, int mover, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "SELECT pg_catalog.pg_advisory_unlock(1885825121, %d)", mover);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_beat(struct ph_conn *conn, int64_t job, int mover, struct ph_pulse *pulse,
                    struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    /* Looked at first: whatever had landed when we looked is flushed by the commit behind it. Not by one that writes
     * nothing: a target that has failed over to an older standby may not know this mover. */
    ph_sql_add(
        &sql,
        "SELECT (SELECT pg_catalog.count(*) FROM pghaul.live WHERE job OPERATOR(pg_catalog.=) %D"
        " AND id OPERATOR(pg_catalog.<>) %d), EXISTS (SELECT FROM pghaul.shard"
        " WHERE job OPERATOR(pg_catalog.=) %D AND state IN ('planned', 'parked')),"
        " EXISTS (SELECT FROM pghaul.mover WHERE id OPERATOR(pg_catalog.=) %d);"
        "BEGIN;SET LOCAL synchronous_commit = on;"
        "UPDATE pghaul.mover SET beat_at = pg_catalog.clock_timestamp()"
        " WHERE id OPERATOR(pg_catalog.=) %d;COMMIT",
        job, mover, job, mover, mover);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    pulse->others = (int)ph_rows_int(rows, 0, 0);
    pulse->needs_source = ph_rows_bool(rows, 0, 1);
    bool known = ph_rows_bool(rows, 0, 2);
    ph_rows_free(rows);
    return known || ph_err_set(err, PH_FAILED, "the ledger does not know this mover any more");
}

bool ph_ledger_reopen(struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               /* one that was parked on its way out of a file has that file still */
               "UPDATE pghaul.shard SET state = CASE WHEN holder IS NULL THEN 'planned' ELSE "
               "'spilled' END,"
               " failures = 0, not_before = NULL, mover = NULL"
               " WHERE job OPERATOR(pg_catalog.=) %D AND (state OPERATOR(pg_catalog.=) 'parked'"
               " OR state IN ('planned', 'spilled') AND not_before IS NOT NULL)",
               job);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_lost(struct ph_conn *conn, int64_t job, int64_t *lost, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT pghaul.reopen_lost(%D)", job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *lost = ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_forget_spill(struct ph_conn *conn, int64_t job, const char *holder,
                            int64_t *forgotten, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT pghaul.forget_spill(%D, %L)", job, holder);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *forgotten = ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_stranded(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                        const char **holder, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT holder FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D"
               " AND state OPERATOR(pg_catalog.=) 'spilled' ORDER BY id LIMIT 1",
               job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *holder = ph_rows_count(rows) ? ph_arena_strdup(arena, ph_rows_get(rows, 0, 0)) : NULL;
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_roster(struct ph_conn *conn, int64_t job, struct ph_roster **out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT id, tab, pred, lo, hi, weight, state OPERATOR(pg_catalog.=) 'spilled'"
               " FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D"
               " AND state NOT IN ('landed', 'verified')",
               job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    int n = ph_rows_count(rows);
    struct ph_roster_item *items = calloc((size_t)n + 1, sizeof *items);
    for (int i = 0; items && i < n; i++)
        items[i] = (struct ph_roster_item){
            .id = ph_rows_int(rows, i, 0),
            .tab = (int)ph_rows_int(rows, i, 1),
            .where = ph_rows_text(rows, i, 2),
            .lo = ph_rows_get(rows, i, 3),
            .hi = ph_rows_get(rows, i, 4),
            .weight = ph_rows_int(rows, i, 5),
            .spilled = ph_rows_bool(rows, i, 6),
        };
    bool ok = items ? ph_roster_new(out, items, n, err) : ph_err_nomem(err);
    free(items);
    ph_rows_free(rows);
    return ok;
}

/* Snapshots. */

bool ph_ledger_snapshot(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                        struct ph_ledger_snapshot **out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(
        &sql,
        "SELECT no, id, pg_snapshot, keeper_host, keeper_pid, keeper_backend,"
        " pg_catalog.sum(pg_catalog.date_part('epoch', coalesce(released_at,"
        " pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.-) taken_at)) OVER (),"
        " released_at IS NOT NULL, lsn FROM pghaul.snapshot WHERE job OPERATOR(pg_catalog.=) %D"
        " ORDER BY no DESC LIMIT 1",
        job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *out = NULL;
    if (ph_rows_count(rows) == 1) {
        struct ph_ledger_snapshot *s = ph_arena_alloc(arena, sizeof *s);
        s->no = (int)ph_rows_int(rows, 0, 0);
        s->id = ph_arena_strdup(arena, ph_rows_text(rows, 0, 1));
        s->pg_snapshot = ph_arena_strdup(arena, ph_rows_text(rows, 0, 2));
        s->keeper_host = ph_arena_strdup(arena, ph_rows_text(rows, 0, 3));
        s->keeper_pid = (int)ph_rows_int(rows, 0, 4);
        s->keeper_backend = (int)ph_rows_int(rows, 0, 5);
        s->held_s = ph_rows_double(rows, 0, 6);
        s->released = ph_rows_bool(rows, 0, 7);
        s->lsn = ph_arena_strdup(arena, ph_rows_text(rows, 0, 8));
        *out = s;
    }
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_release_snapshot(struct ph_conn *conn, int64_t job, double ago_s, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "UPDATE pghaul.snapshot SET released_at = greatest(taken_at,"
                     " pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)"
                     " pg_catalog.make_interval(secs => ");
    ph_buf_addf(&sql, "%.3f", ago_s);
    ph_sql_add(&sql, ")) WHERE job OPERATOR(pg_catalog.=) %D AND released_at IS NULL", job);
    return ph_ledger_query(conn, &sql, NULL, err);
}

/* Where it stands. */

bool ph_ledger_tabs(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                    struct ph_ledger_tab **tabs, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(
        &sql,
        "SELECT t.id, t.source_schema, t.source_name, t.target_schema, t.target_name,"
        " t.source_oid, t.source_filenode, t.target_oid, t.target_filenode, t.select_list,"
        " t.target_columns, t.split, t.target_unlogged, t.source_attnums, t.target_attnums,"
        " r.rows, r.bytes, s.weight, s.weight_done, s.shards, s.landed, s.parked, s.spilled,"
        " s.weight_spilled, s.waiting"
        " FROM pghaul.tab t LEFT JOIN (SELECT tab, pg_catalog.count(*) AS shards,"
        "   pg_catalog.sum(weight) AS weight,"
        "   pg_catalog.sum(weight) FILTER (WHERE state IN ('landed', 'verified')) AS weight_done,"
        "   pg_catalog.count(*) FILTER (WHERE state IN ('landed', 'verified')) AS landed,"
        "   pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'parked') AS parked,"
        "   pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'spilled') AS spilled,"
        "   pg_catalog.sum(weight) FILTER (WHERE state OPERATOR(pg_catalog.=) 'spilled')"
        "    AS weight_spilled,"
        "   pg_catalog.count(*) FILTER (WHERE waits OPERATOR(pg_catalog.>) 0"
        "    AND state IN ('planned', 'spilled')) AS waiting"
        "   FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D GROUP BY tab) s"
        " ON s.tab OPERATOR(pg_catalog.=) t.id"
        " LEFT JOIN (SELECT tab, pg_catalog.sum(rows) AS rows, pg_catalog.sum(bytes) AS bytes"
        "   FROM pghaul.all_receipts WHERE job OPERATOR(pg_catalog.=) %D GROUP BY tab) r"
        " ON r.tab OPERATOR(pg_catalog.=) t.id"
        " WHERE t.job OPERATOR(pg_catalog.=) %D ORDER BY t.id",
        job, job, job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *tabs = ph_arena_calloc(arena, (size_t)*n, sizeof **tabs);
    for (int i = 0; i < *n; i++) {
        struct ph_ledger_tab *t = &(*tabs)[i];
        t->id = (int)ph_rows_int(rows, i, 0);
        t->source_schema = ph_arena_strdup(arena, ph_rows_text(rows, i, 1));
        t->source_name = ph_arena_strdup(arena, ph_rows_text(rows, i, 2));
        t->target_schema = ph_arena_strdup(arena, ph_rows_text(rows, i, 3));
        t->target_name = ph_arena_strdup(arena, ph_rows_text(rows, i, 4));
        t->source_oid = (uint32_t)ph_rows_uint(rows, i, 5);
        t->source_filenode = (uint32_t)ph_rows_uint(rows, i, 6);
        t->target_oid = (uint32_t)ph_rows_uint(rows, i, 7);
        t->target_filenode = (uint32_t)ph_rows_uint(rows, i, 8);
        t->select_list = ph_arena_strdup(arena, ph_rows_text(rows, i, 9));
        t->target_columns = ph_arena_strdup(arena, ph_rows_text(rows, i, 10));
        t->split = ph_arena_strdup(arena, ph_rows_text(rows, i, 11));
        t->target_unlogged = ph_rows_bool(rows, i, 12);
        t->source_attnums = ph_arena_strdup(arena, ph_rows_text(rows, i, 13));
        t->target_attnums = ph_arena_strdup(arena, ph_rows_text(rows, i, 14));
        t->rows = ph_rows_uint(rows, i, 15);
        t->bytes = ph_rows_uint(rows, i, 16);
        t->weight = ph_rows_int(rows, i, 17);
        t->weight_done = ph_rows_int(rows, i, 18);
        t->shards = (int)ph_rows_int(rows, i, 19);
        t->landed = (int)ph_rows_int(rows, i, 20);
        t->parked = (int)ph_rows_int(rows, i, 21);
        t->spilled = (int)ph_rows_int(rows, i, 22);
        t->weight_spilled = ph_rows_int(rows, i, 23);
        t->waiting = (int)ph_rows_int(rows, i, 24);
    }
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_parked(struct ph_conn *conn, struct ph_arena *arena, int64_t job, int max,
                      struct ph_ledger_parked **parked, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT id, tab, error FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D"
               " AND state OPERATOR(pg_catalog.=) 'parked' ORDER BY id LIMIT %d",
               job, max);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *parked = ph_arena_calloc(arena, (size_t)*n, sizeof **parked);
    for (int i = 0; i < *n; i++)
        (*parked)[i] = (struct ph_ledger_parked){
            .shard = ph_rows_int(rows, i, 0),
            .tab = (int)ph_rows_int(rows, i, 1),
            .error = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
        };
    ph_rows_free(rows);
    return true;
}

/* Ends. */

bool ph_ledger_complete(struct ph_conn *conn, int64_t job, int mover, bool *completed,
                        struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    *completed = false;
    /* The write to the mover's own row is the barrier even when another mover has marked the job: a
     * commit that writes nothing would flush nothing. */
    ph_sql_add(&sql,
               "BEGIN;SET LOCAL synchronous_commit = on;"
               "UPDATE pghaul.mover SET ended_at = pg_catalog.clock_timestamp()"
               " WHERE id OPERATOR(pg_catalog.=) %d;"
               "UPDATE pghaul.job j SET state = 'completed', last_error = NULL,"
               " completed_at = pg_catalog.clock_timestamp()"
               " WHERE j.id OPERATOR(pg_catalog.=) %D AND j.state OPERATOR(pg_catalog.=) 'open'"
               " AND NOT EXISTS (SELECT FROM pghaul.shard s WHERE s.job OPERATOR(pg_catalog.=) j.id"
               " AND s.state NOT IN ('landed', 'verified'))"
               " AND NOT EXISTS (SELECT FROM pghaul.step s WHERE s.job OPERATOR(pg_catalog.=) j.id"
               " AND s.state OPERATOR(pg_catalog.<>) 'done');"
               "SELECT state OPERATOR(pg_catalog.=) 'completed', EXISTS (SELECT FROM pghaul.mover"
               " WHERE id OPERATOR(pg_catalog.=) %d) FROM pghaul.job"
               " WHERE id OPERATOR(pg_catalog.=) %D;COMMIT",
               mover, job, mover, job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *completed = ph_rows_bool(rows, 0, 0);
    bool known = ph_rows_bool(rows, 0, 1);
    ph_rows_free(rows);
    if (known)
        return true;
    ph_err_set(err, PH_FAILED, "the ledger does not know this mover any more");
    return ph_err_hint(err, "the target has failed over, or was restored, to an earlier state: run"
                            " the same command again");
}

bool ph_ledger_uncomplete(struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "UPDATE pghaul.job SET state = 'open', completed_at = NULL"
               " WHERE id OPERATOR(pg_catalog.=) %D",
               job);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_leave(struct ph_conn *conn, int64_t job, int mover, const char *why,
                     struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "UPDATE pghaul.mover SET ended_at = pg_catalog.clock_timestamp()"
               " WHERE id OPERATOR(pg_catalog.=) %d;"
               "UPDATE pghaul.job SET last_error = %L WHERE id OPERATOR(pg_catalog.=) %D"
               " AND state OPERATOR(pg_catalog.=) 'open'",
               mover, why, job);
    return ph_ledger_query(conn, &sql, NULL, err);
}
