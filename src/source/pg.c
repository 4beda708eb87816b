#include "source/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "copy/batcher.h"
#include "pg/copyout.h"
#include "pg/objects.h"
#include "pg/reject.h"
#include "pg/sql.h"

/* 64 KiB puts overlap best: a put larger than the target's socket buffer makes the source wait
 * (bench/RESULTS.md). */
enum { BATCH = 64 * 1024 };

/* Statements of one open, in order; an error's place among them tells what it means. */
enum step { STEP_BEGIN, STEP_LOCK, STEP_SNAPSHOT, STEP_REST };

struct source_pg {
    struct ph_source base;
    struct ph_source_pg_opts opts;
    struct ph_conn *conn;
    uint64_t earlier_wait_ns; /* of connections that are closed */
    const struct ph_shard *shard;
    enum {
        IDLE,
        OPENING,
        COPYING,
        ENDED,
        CLOSING
    } state; /* ENDED: read to its end, in the bundle's transaction still; CLOSING: that is told to end */
    int step; /* the first of the opening statements */
    struct ph_copyout copy;
    struct ph_batcher batcher;
};

static struct source_pg *self_of(struct ph_source *source)
{
    return (struct source_pg *)source;
}

static void note_wait(struct source_pg *self)
{
    self->base.wait_ns = self->earlier_wait_ns + (self->conn ? ph_conn_wait_ns(self->conn) : 0);
}

static void disconnect(struct source_pg *self)
{
    note_wait(self);
    self->earlier_wait_ns = self->base.wait_ns;
    ph_conn_close(self->conn);
    self->conn = NULL;
    self->state = IDLE;
    self->copy.swollen = false;
    if (self->opts.gate)
        ph_gate_leave(self->opts.gate, self);
}

/* Opening. */

/* TID by TID: which rows they are was found under the same snapshot. */
static void add_without(struct ph_buf *sql, const struct ph_rejects *rejects, bool and)
{
    ph_buf_add(sql, and? " AND ctid" : " WHERE ctid");
    ph_buf_add(sql, " OPERATOR(pg_catalog.<>) ALL ('{");
    for (int i = 0; i < rejects->n; i++)
        ph_buf_addf(sql, "%s\"%s\"", i ? "," : "", rejects->item[i].place);
    ph_buf_add(sql, "}'::pg_catalog.tid[])");
}

static void add_select(struct ph_buf *sql, const struct ph_shard *shard, const char *list)
{
    const struct ph_table *t = shard->table;
    ph_sql_add(sql, "SELECT %s FROM ", list);
    if (t->objects)
        ph_objects_from(sql);
    else
        ph_sql_add(sql, "ONLY %I.%I", t->source_schema, t->source_name);
    if (*shard->where)
        ph_sql_add(sql, " WHERE (%s)", shard->where);
    if (t->filter) /* the newline ends a comment that the filter may end with */
        ph_sql_add(sql, " %s (%s\n)", *shard->where ? "AND" : "WHERE", t->filter);
    if (shard->rejects)
        add_without(sql, shard->rejects, *shard->where || t->filter);
}

/* All tables of a bundle are locked, and looked at, before the first of them is read. */
static void add_begin(struct source_pg *self, struct ph_buf *sql, const struct ph_shard *shard)
{
    int n = ph_shard_count(shard);
    ph_sql_add(sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;");
    for (int i = 0; i < n; i++) {
        const struct ph_table *t = shard[i].table;
        ph_sql_add(sql, "%sONLY %I.%I", i ? ", " : "LOCK TABLE ", t->source_schema, t->source_name);
    }
    ph_sql_add(sql, " IN ACCESS SHARE MODE NOWAIT;");
    if (self->opts.snapshot)
        ph_sql_add(sql, "SET TRANSACTION SNAPSHOT %L;", self->opts.snapshot);
}

/* One row: the snapshot that we are under, and the files of the bundle's relations as they are now. */
static void add_look(struct source_pg *self, struct ph_buf *sql, const struct ph_shard *shard)
{
    ph_sql_add(sql,
               "SELECT pg_catalog.set_config('application_name', 'pghaul/%s/%D/%d', true),"
               " pg_catalog.txid_current_snapshot()",
               self->opts.tag, shard->id, shard->attempt);
    for (int i = 0; i < ph_shard_count(shard); i++)
        ph_sql_add(sql, ", pg_catalog.pg_relation_filenode(%u)", shard[i].table->source_oid);
    ph_sql_add(sql, ";");
}

static bool connect(struct source_pg *self, struct ph_err *err)
{
    if (self->conn && !ph_conn_ok(self->conn))
        disconnect(self);
    if (self->conn)
        return true;
    if (ph_conn_ok(self->opts.ready)) {
        self->conn = self->opts.ready;
        self->opts.ready = NULL;
        self->earlier_wait_ns -= ph_conn_wait_ns(self->conn); /* what it waited was not for us */
    } else if (!ph_conn_open(&self->conn, &self->opts.conn, err)) {
        return false;
    }
    /* libpq reads at most its buffer at once, 16 KiB at first. One large value makes it grow for
     * good: a third of the system calls, and a busier source. */
    return ph_conn_exec(self->conn, "SELECT pg_catalog.repeat(' ', 65536)", err);
}

/* Takes the answer of a COMMIT that nobody had to wait for. It has mostly come by now. */
static void await_commit(struct source_pg *self)
{
    struct ph_err ignored;
    bool ok = true;
    for (enum ph_result kind = PH_RESULT_COMMAND; ok && kind != PH_RESULT_NONE;)
        ok = ph_conn_next(self->conn, &kind, NULL, &ignored);
    self->state = IDLE;
    if (!ok)
        disconnect(self);
}

static bool open_shard(struct ph_source *source, const struct ph_shard *shard, struct ph_err *err)
{
    struct source_pg *self = self_of(source);
    const struct ph_table *t = shard->table;
    /* the transaction of a bundle is the one that its first shard began, or none */
    if (shard != ph_shard_first(shard) && self->state != ENDED)
        return ph_err_set(err, PH_FAILED, "the source's transaction is gone");
    if (self->state == CLOSING)
        await_commit(self);
    if (!connect(self, err))
        return false;
    struct ph_buf sql = {0};
    self->step = STEP_REST;
    if (shard == ph_shard_first(shard)) {
        self->step = STEP_BEGIN;
        add_begin(self, &sql, shard);
        if (t->qualify)
            ph_sql_add(&sql, "SET LOCAL search_path = pg_catalog;");
        add_look(self, &sql, shard);
    }
    ph_sql_add(&sql, "COPY (");
    add_select(&sql, shard, t->select_list);
    ph_sql_add(&sql, ") TO STDOUT%s", shard->format == PH_BINARY ? " (FORMAT binary)" : "");
    bool ok = ph_conn_send(self->conn, sql.data, err);
    ph_buf_fini(&sql);
    self->shard = shard;
    self->state = OPENING;
    ph_batcher_begin(&self->batcher, shard->format, t->n_columns);
    self->copy = (struct ph_copyout){
        .conn = self->conn, .gate = self->opts.gate, .owner = self, .swollen = self->copy.swollen};
    note_wait(self);
    return ok;
}

/* What an error among the opening statements means for the job. */
static bool translate(const struct source_pg *self, int step, struct ph_err *err)
{
    const struct ph_table *t = self->shard->table;
    if (err->code != PH_FAILED)
        return false;
    if (!self->opts.snapshot && step >= STEP_SNAPSHOT)
        step++;
    if (step == STEP_LOCK && !strcmp(err->sqlstate, "55P03")) {
        ph_err_set(err, PH_BUSY, "source table %s is being locked by somebody else",
                   t->root_source);
        err->transient = true;
        return false;
    }
    if (step == STEP_LOCK && (!strcmp(err->sqlstate, "42P01") || !strcmp(err->sqlstate, "3F000"))) {
        return ph_err_set(err, PH_RELATION, "source table %s is gone", t->root_source);
    }
    if (step == STEP_SNAPSHOT &&
        (!strcmp(err->sqlstate, "22023") || !strcmp(err->sqlstate, "42704"))) {
        err->code = PH_SNAPSHOT_GONE;
        return ph_err_set(err, PH_SNAPSHOT_GONE, "the snapshot of the job is gone");
    }
    return false;
}

static bool same_world(const struct source_pg *self, const struct ph_rows *rows, struct ph_err *err)
{
    if (self->opts.pg_snapshot && strcmp(ph_rows_text(rows, 0, 1), self->opts.pg_snapshot) != 0)
        return ph_err_set(err, PH_SNAPSHOT_GONE, "the snapshot of the job is gone");
    for (int i = 0; i < ph_shard_count(self->shard); i++) {
        const struct ph_table *t = self->shard[i].table;
        if (!t->source_filenode || ph_rows_uint(rows, 0, i + 2) == t->source_filenode)
            continue;
        ph_err_set(err, PH_RELATION, "source table %s is no longer the one that was planned",
                   t->root_source);
        return ph_err_hint(err,
                           "it was truncated or rewritten meanwhile; pghaul clean takes the job"
                           " away, then begin anew");
    }
    return true;
}

static bool await_copy(struct source_pg *self, struct ph_err *err)
{
    for (int step = self->step;; step++) {
        enum ph_result kind;
        struct ph_rows *rows = NULL;
        if (!ph_conn_next(self->conn, &kind, &rows, err))
            return translate(self, step, err);
        bool ok = kind != PH_RESULT_ROWS || same_world(self, rows, err);
        ph_rows_free(rows);
        if (!ok)
            return false;
        if (kind == PH_RESULT_COPY_OUT)
            break;
        if (kind == PH_RESULT_NONE)
            return ph_err_set(err, PH_FAILED, "the source did not begin its COPY");
    }
    if (PH_FAULT("source.opened"))
        return ph_err_set(err, PH_FAILED, "fault point source.opened");
    self->state = COPYING;
    return true;
}

/* Reading. */

/* At once, though the next shard could do it by the way: there may be none, and as long as the transaction is open the
 * snapshot is not let go, whatever becomes of the keeper. Should it fail, the rows have been read all the same. */
static void end_transaction(struct source_pg *self)
{
    struct ph_err ignored;
    if (!ph_shard_is_last(self->shard))
        return;
    ph_conn_send(self->conn, "COMMIT", &ignored);
    self->state = CLOSING;
}

/* The server's last word: an end of data alone is no success. */
static bool finish_copy(struct source_pg *self, struct ph_err *err)
{
    enum ph_result kind;
    struct ph_rows *rows = NULL;
    if (!ph_conn_next(self->conn, &kind, &rows, err))
        return false;
    uint64_t count = ph_rows_affected(rows);
    ph_rows_free(rows);
    if (!ph_batcher_complete(&self->batcher, "the source", err))
        return false;
    if (kind != PH_RESULT_COMMAND || count != self->batcher.rows)
        return ph_err_set(err, PH_FAILED, "the source says that it sent %llu rows, %llu arrived",
                          (unsigned long long)count, (unsigned long long)self->batcher.rows);
    while (kind != PH_RESULT_NONE)
        if (!ph_conn_next(self->conn, &kind, NULL, err))
            return false;
    self->state = ENDED;
    end_transaction(self);
    return true;
}

static bool read_copy(void *from, char *to, size_t room, size_t *n, struct ph_err *err)
{
    return ph_copyout_read(from, to, room, n, err);
}

/* After a row that could not be read whole: where is it? The widest row of the shard as it is
 * stored; asked on a new connection, since the old one is stuck in its COPY. */
static void name_widest_row(struct source_pg *self, struct ph_err *err)
{
    const struct ph_table *t = self->shard->table;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    disconnect(self);
    if (!connect(self, &ignored))
        return;
    add_begin(self, &sql, ph_shard_first(self->shard));
    add_select(&sql, self->shard, "ctid");
    ph_buf_add(&sql, " ORDER BY 0::pg_catalog.int8");
    for (int i = 0; i < t->n_columns; i++)
        if (!t->columns[i].is_expression)
            ph_sql_add(&sql, " OPERATOR(pg_catalog.+) coalesce(pg_catalog.pg_column_size(%I), 0)",
                       t->columns[i].source);
    ph_buf_add(&sql, " DESC LIMIT 1");
    if (ph_conn_query(self->conn, sql.data, &rows, &ignored) && ph_rows_count(rows) == 1) {
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof err->text - n, "; the shard's widest row is at ctid %s",
                 ph_rows_text(rows, 0, 0));
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    disconnect(self);
}

/* The server's own limit on a row (54000), or ours. */
static bool is_too_wide(const struct source_pg *self, const struct ph_err *err)
{
    return err->code == PH_FAILED && !self->shard->table->objects &&
           (!strcmp(err->sqlstate, "54000") ||
            (self->copy.swollen && ph_gate_exceeded(self->opts.gate)));
}

static bool next_batch(struct ph_source *source, struct ph_batch *batch, struct ph_err *err)
{
    struct source_pg *self = self_of(source);
    *batch = (struct ph_batch){0};
    if (self->state == OPENING && !await_copy(self, err))
        return false;
    bool ok = ph_batcher_next(&self->batcher, read_copy, &self->copy, batch, err) &&
              (batch->len > 0 || finish_copy(self, err));
    if (!ok && is_too_wide(self, err))
        name_widest_row(self, err);
    note_wait(self);
    return ok;
}

/* Ends. */

static void finish(struct ph_source *source)
{
    struct source_pg *self = self_of(source);
    if (self->copy.swollen)
        disconnect(self); /* gives libpq's grown buffer back */
}

static void abandon(struct ph_source *source)
{
    struct source_pg *self = self_of(source);
    if (!self->conn)
        return;
    if (self->copy.swollen || !ph_conn_recover(self->conn))
        disconnect(self);
    self->state = IDLE;
}

static void free_source(struct ph_source *source)
{
    struct source_pg *self = self_of(source);
    if (!self)
        return;
    disconnect(self);
    ph_conn_close(self->opts.ready);
    ph_batcher_fini(&self->batcher);
    free(self);
}

static const struct ph_source_ops ops = {
    .name = "postgresql",
    .waits = PH_STAGE_SOURCE_WAIT,
    .works = PH_STAGE_SOURCE_READ,
    .open = open_shard,
    .next = next_batch,
    .finish = finish,
    .abandon = abandon,
    .free = free_source,
};

bool ph_source_pg_new(struct ph_source **out, const struct ph_source_pg_opts *opts,
                      struct ph_err *err)
{
    struct source_pg *self = calloc(1, sizeof *self);
    if (!self)
        return ph_err_nomem(err);
    if (!ph_batcher_init(&self->batcher, opts->batch ? opts->batch : BATCH, err)) {
        free(self);
        return false;
    }
    self->base.ops = &ops;
    self->opts = *opts;
    *out = &self->base;
    return true;
}
