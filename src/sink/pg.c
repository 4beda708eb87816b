#include "sink/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "copy/stream.h"
#include "pg/copyin.h"
#include "pg/objects.h"
#include "pg/sql.h"

struct sink_pg {
    struct ph_sink base;
    struct ph_sink_pg_opts opts;
    const struct ph_shard *shard;
    enum { IDLE, OPENING, COPYING, LANDING } state;
    struct ph_tally tallies[PH_BUNDLE_MAX]; /* of the shards of the bundle in hand */
};

static struct sink_pg *self_of(struct ph_sink *sink)
{
    return (struct sink_pg *)sink;
}

static struct ph_conn *conn_of(const struct sink_pg *self)
{
    return self->opts.desk->conn;
}

static void note_wait(struct sink_pg *self)
{
    self->base.wait_ns = ph_desk_pg_wait_ns(self->opts.desk);
}

/* Opening. */

static void add_target(struct ph_buf *sql, const struct ph_table *t)
{
    ph_sql_add(sql, "%I.%I", t->target_schema, t->target_name);
}

/* Upsert: rows come into a temporary table first. It has the target's columns and none of its
 * constraints, and ends with the transaction, so that not even a crash of the server leaves it. */
static void add_stage(struct ph_buf *sql, const struct ph_table *t)
{
    ph_sql_add(sql, "CREATE TEMPORARY TABLE pghaul_upsert ON COMMIT DROP AS SELECT %s FROM ",
               t->target_columns);
    add_target(sql, t);
    ph_sql_add(sql, " WITH NO DATA;");
}

static void add_copy(struct sink_pg *self, struct ph_buf *sql, const struct ph_table *t)
{
    ph_sql_add(sql, "COPY ");
    if (t->objects)
        ph_sql_add(sql, "pg_temp.pghaul_objects");
    else if (self->opts.mode == PH_UPSERT)
        ph_sql_add(sql, "pg_temp.pghaul_upsert");
    else
        add_target(sql, t);
    if (*t->target_columns)
        ph_sql_add(sql, " (%s)", t->target_columns);
    ph_sql_add(sql, " FROM STDIN%s", self->shard->format == PH_BINARY ? " (FORMAT binary)" : "");
}

static void add_begin(struct sink_pg *self, struct ph_buf *sql)
{
    const struct ph_shard *shard = self->shard;
    ph_sql_add(sql, "BEGIN;");
    if (self->opts.skip_triggers)
        ph_sql_add(sql, "SET LOCAL session_replication_role = replica;");
    ph_desk_pg_sql_receipts(self->opts.desk, sql, shard, ph_shard_count(shard));
    if (shard->redo_xid) /* objects of a snapshot that is lost; rows would be gone by now */
        ph_objects_take_back(sql, shard->redo_xid);
    if (shard->table->objects)
        ph_objects_stage(sql);
    else if (self->opts.mode == PH_UPSERT)
        add_stage(sql, shard->table);
}

static bool open_shard(struct ph_sink *sink, const struct ph_shard *shard, struct ph_err *err)
{
    struct sink_pg *self = self_of(sink);
    struct ph_desk_pg *desk = self->opts.desk;
    const struct ph_table *t = shard->table;
    bool fresh = !ph_conn_ok(desk->conn);
    if (shard != ph_shard_first(shard) && (fresh || self->state != LANDING))
        return ph_err_set(err, PH_FAILED, "the target's transaction is gone");
    if (!ph_desk_pg_connect(desk, err))
        return false;
    self->shard = shard;
    struct ph_buf sql = {0};
    if (shard == ph_shard_first(shard))
        add_begin(self, &sql);
    add_copy(self, &sql, t);
    bool ok = ph_conn_send(desk->conn, sql.data, err);
    ph_buf_fini(&sql);
    self->state = OPENING;
    note_wait(self);
    return ok;
}

/* A lock that cannot be had is somebody else's doing; the worker looks for our own dead backends
 * then. */
static bool translate(const struct sink_pg *self, struct ph_err *err)
{
    if (!strcmp(err->sqlstate, "55P03"))
        err->code = PH_BUSY;
    if (!strcmp(err->sqlstate, "PH001"))
        err->code = PH_FENCED;
    if (!strcmp(err->sqlstate, "PH004"))
        err->code = PH_SNAPSHOT_GONE;
    if (!strcmp(err->sqlstate, "23505") && self->opts.mode == PH_UPSERT)
        ph_err_prefix(err,
                      "a row with another key has a unique value of one of these (where rows have"
                      " exchanged them: pghaul clean, then pghaul verify --repair)");
    if (!strcmp(err->sqlstate, "PH003"))
        ph_err_hint(err, "mend the rows in the source, or allow more");
    if (strcmp(err->sqlstate, "PH002") != 0)
        return false;
    ph_err_set(err, PH_RELATION, "target table %s is no longer the one that was planned",
               self->shard->table->root_target);
    return ph_err_hint(
        err, "it was truncated, rewritten or made anew meanwhile; pghaul clean takes the job "
             "away, then begin anew");
}

/* Results of the opening statements, up to the server's readiness for data. */
static bool await_copy(struct sink_pg *self, struct ph_err *err)
{
    for (;;) {
        enum ph_result kind;
        struct ph_rows *rows = NULL;
        if (!ph_conn_next(conn_of(self), &kind, &rows, err))
            return translate(self, err);
        bool ok = true;
        if (kind == PH_RESULT_ROWS) {
            /* all receipts have been written: as many rows as shards; objects that were taken back: one */
            if (ph_rows_count(rows) < ph_shard_count(self->shard))
                ok = ph_err_set(err, PH_LANDED, "shard %lld has landed already",
                                (long long)self->shard->id);
        }
        ph_rows_free(rows);
        if (!ok)
            return false;
        if (kind == PH_RESULT_COPY_IN)
            break;
        if (kind == PH_RESULT_NONE)
            return ph_err_set(err, PH_FAILED, "the target did not begin its COPY");
    }
    self->state = COPYING;
    if (PH_FAULT("sink.opened"))
        return ph_err_set(err, PH_FAILED, "fault point sink.opened");
    if (self->shard->format == PH_BINARY)
        return ph_copyin_put(conn_of(self), ph_stream_header, PH_STREAM_HEADER, err);
    return true;
}

static bool put(struct ph_sink *sink, const struct ph_batch *batch, struct ph_err *err)
{
    struct sink_pg *self = self_of(sink);
    if (self->state == OPENING && !await_copy(self, err))
        return false;
    bool ok = ph_copyin_put(conn_of(self), batch->data, batch->len, err);
    note_wait(self);
    return ok;
}

/* Committing. */

static bool end_copy(struct sink_pg *self, const struct ph_tally *tally, struct ph_err *err)
{
    struct ph_conn *conn = conn_of(self);
    if (self->shard->format == PH_BINARY &&
        !ph_copyin_put(conn, ph_stream_trailer, PH_STREAM_TRAILER, err))
        return false;
    if (!ph_copyin_end(conn, err))
        return false;
    uint64_t stored = 0;
    for (enum ph_result kind = PH_RESULT_COMMAND; kind != PH_RESULT_NONE;) {
        struct ph_rows *rows = NULL;
        if (!ph_conn_next(conn, &kind, &rows, err))
            return false;
        if (kind == PH_RESULT_COMMAND)
            stored = ph_rows_affected(rows);
        ph_rows_free(rows);
    }
    self->state = LANDING;
    if (PH_FAULT("sink.counted"))
        stored++;
    if (stored == tally->rows)
        return true;
    ph_err_set(err, PH_FAILED, "target table %s stored %llu of %llu rows of shard %lld",
               self->shard->table->root_target, (unsigned long long)stored,
               (unsigned long long)tally->rows, (long long)self->shard->id);
    return ph_err_hint(err,
                       "a BEFORE trigger that drops rows does this; nothing of the shard was kept");
}

static void add_key(struct ph_buf *sql, const struct ph_table *t)
{
    for (int i = 0; i < t->n_conflict; i++)
        ph_sql_add(sql, "%s%I", i ? ", " : "", t->conflict[i]);
}

/* Where the source does not promise that the key is unique, a doubled one would be a matter of
 * luck: found here. */
static bool refuse_doubled(struct sink_pg *self, struct ph_err *err)
{
    const struct ph_table *t = self->shard->table;
    struct ph_buf sql = {0}, key = {0};
    struct ph_rows *rows = NULL;
    if (t->source_key_unique)
        return true;
    add_key(&key, t);
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*) FROM (SELECT FROM pg_temp.pghaul_upsert"
               " GROUP BY %s HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1) d",
               key.data);
    bool ok = ph_conn_query(conn_of(self), sql.data, &rows, err);
    int64_t doubled = ph_rows_int(rows, 0, 0);
    if (ok && doubled > 0) {
        ok = ph_err_set(err, PH_FAILED, "%lld keys (%s) are doubled in source table %s",
                        (long long)doubled, key.data, t->root_source);
        ph_err_hint(err, "upsert needs rows with distinct keys: name another --key, or filter");
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    ph_buf_fini(&key);
    return ok;
}

/* The source's row wins. Rows that are the same to the last byte are left alone (*<> compares
 * images, so it serves types without an equality of their own, and does not take 1.5 for 1.50). */
static void add_upsert(struct sink_pg *self, struct ph_buf *sql)
{
    const struct ph_table *t = self->shard->table;
    struct ph_buf set = {0}, ours = {0}, theirs = {0};
    for (int i = 0; i < t->n_columns; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        if (!c->settable)
            continue;
        const char *comma = set.len ? ", " : "";
        ph_sql_add(&set, "%s%I = excluded.%I", comma, c->name, c->name);
        ph_sql_add(&ours, "%st.%I", comma, c->name);
        ph_sql_add(&theirs, "%sexcluded.%I", comma, c->name);
    }
    ph_sql_add(sql, "INSERT INTO ");
    add_target(sql, t);
    ph_sql_add(sql,
               " AS t (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.pghaul_upsert"
               " ON CONFLICT (",
               t->target_columns, t->target_columns);
    add_key(sql, t);
    if (set.len)
        ph_sql_add(sql,
                   ") DO UPDATE SET %s WHERE ROW(%s)::record OPERATOR(pg_catalog.*<>)"
                   " ROW(%s)::record;",
                   set.data, ours.data, theirs.data);
    else
        ph_sql_add(sql, ") DO NOTHING;");
    ph_buf_fini(&set);
    ph_buf_fini(&ours);
    ph_buf_fini(&theirs);
}

/* A BEFORE trigger that returns NULL swallows a row without a word, and an upsert's count does not tell,
 * since rows that are the same are left out of it. So where triggers fire, every key must be there. */
static bool check_upsert(struct sink_pg *self, struct ph_err *err)
{
    const struct ph_table *t = self->shard->table;
    struct ph_buf sql = {0}, target = {0};
    struct ph_rows *rows = NULL;
    add_target(&target, t);
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*) FROM pg_temp.pghaul_upsert s WHERE NOT EXISTS"
               " (SELECT FROM %s t WHERE ",
               target.data);
    for (int i = 0; i < t->n_conflict; i++)
        ph_sql_add(&sql, "%st.%I = s.%I", i ? " AND " : "", t->conflict[i], t->conflict[i]);
    ph_sql_add(&sql, ")");
    bool ok = ph_conn_query(conn_of(self), sql.data, &rows, err);
    int64_t missing = ph_rows_int(rows, 0, 0);
    if (ok && missing > 0) {
        ok = ph_err_set(err, PH_FAILED, "target table %s did not take %lld rows of shard %lld",
                        t->root_target, (long long)missing, (long long)self->shard->id);
        ph_err_hint(err,
                    "a BEFORE trigger that drops rows does this; nothing of the shard was kept");
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    ph_buf_fini(&target);
    return ok;
}

static bool commit(struct ph_sink *sink, const struct ph_tally *tally, struct ph_err *err)
{
    struct sink_pg *self = self_of(sink);
    struct ph_desk_pg *desk = self->opts.desk;
    if (self->state == OPENING && !await_copy(self, err))
        return false;
    if (!end_copy(self, tally, err))
        return false;
    uint64_t taken_ns = ph_desk_pg_wait_ns(desk);
    const struct ph_shard *first = ph_shard_first(self->shard);
    self->tallies[self->shard - first] = *tally;
    if (!ph_shard_is_last(self->shard))
        return true;
    struct ph_buf sql = {0};
    if (self->opts.mode == PH_UPSERT) {
        if (!refuse_doubled(self, err))
            return false;
        add_upsert(self, &sql);
        if (self->opts.fire_triggers) {
            bool done = (ph_conn_exec(desk->conn, sql.data, err) || translate(self, err)) &&
                        check_upsert(self, err);
            ph_buf_clear(&sql);
            if (!done) {
                ph_buf_fini(&sql);
                return false;
            }
        }
    }
    if (self->shard->table->objects)
        ph_buf_add(&sql, "SELECT pghaul.land_objects();");
    ph_desk_pg_sql_set_aside(desk, &sql, self->shard);
    ph_desk_pg_sql_land(desk, &sql, first, self->tallies, ph_shard_count(self->shard));
    bool ok = !PH_FAULT("sink.commit") || ph_err_set(err, PH_FAILED, "fault point sink.commit");
    ok = ok && ph_conn_send(desk->conn, sql.data, err);
    ph_buf_fini(&sql);
    if (ok && PH_FAULT("sink.committing")) {
        ph_desk_pg_disconnect(desk); /* COMMIT is sent, the answer will never come */
        ph_err_set(err, PH_CONNECTION, "fault point sink.committing");
        err->transient = true;
        return false;
    }
    ok = ok && (ph_desk_pg_await_commit(desk, err) || translate(self, err));
    note_wait(self);
    self->base.commit_ns += self->base.wait_ns - taken_ns;
    if (ok) {
        self->state = IDLE;
        if (PH_FAULT("sink.committed"))
            ph_desk_pg_disconnect(desk);
    }
    return ok;
}

static void abandon(struct ph_sink *sink)
{
    struct sink_pg *self = self_of(sink);
    struct ph_desk_pg *desk = self->opts.desk;
    note_wait(self);
    if (desk->conn && !ph_conn_recover(desk->conn))
        ph_desk_pg_disconnect(desk);
    self->state = IDLE;
}

static void free_sink(struct ph_sink *sink)
{
    free(self_of(sink));
}

static const struct ph_sink_ops ops = {
    .name = "postgresql",
    .waits = PH_STAGE_TARGET_WAIT,
    .works = PH_STAGE_TARGET_WRITE,
    .open = open_shard,
    .put = put,
    .commit = commit,
    .abandon = abandon,
    .free = free_sink,
};

bool ph_sink_pg_new(struct ph_sink **out, const struct ph_sink_pg_opts *opts, struct ph_err *err)
{
    struct sink_pg *self = calloc(1, sizeof *self);
    if (!self)
        return ph_err_nomem(err);
    self->base.ops = &ops;
    self->opts = *opts;
    *out = &self->base;
    return true;
}
