#include "haul/readout.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/fault.h"
#include "copy/stream.h"
#include "haul/readout_row.h"
#include "pg/copyout.h"
#include "pg/sql.h"

enum { BUFFER = 128 * 1024, MAX_ROWS = 8192, BLOCK = 8192 };
static const uint64_t least_chunk = (uint64_t)4 << 20, most_chunk = (uint64_t)128 << 20;

struct pool {
    const struct ph_readout_opts *opts;
    ph_readout_visit visit;
    void *arg;
    const struct ph_readout_rel *rels;
    struct ph_readout_cut *cut;
    _Atomic int next, done;
    _Atomic bool stop;
    pthread_mutex_t lock; /* of failed, err, and of what `ended` does */
    bool failed;
    struct ph_err err;
};

struct reader {
    struct pool *pool;
    int number;
    pthread_t thread;
    struct ph_conn *conn[2];
    bool qualified[2];                /* its search_path is pg_catalog */
    const struct ph_readout_rel *rel; /* in hand */
    struct ph_scan scan;
    struct ph_copyout copy;
    struct ph_throttle_hop hop;
    char *buf;
    size_t cap, begin, end;
    uint64_t rows;
    uint32_t edge[MAX_ROWS];
    struct ph_row_taker taker;
};

/* Chunks. */

static uint64_t chunk_size(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels,
                           int n)
{
    uint64_t total = 0, most = most_chunk, least = least_chunk;
    for (int i = 0; i < n; i++)
        total += rels[i].blocks > 0 ? (uint64_t)rels[i].blocks * BLOCK : 0;
    if (opts->chunk && opts->chunk < most)
        most = opts->chunk;
    least = least < most ? least : most;
    uint64_t size = total / ((uint64_t)opts->jobs * 8);
    return size < least ? least : size > most ? most : size;
}

static int count_chunks(const struct ph_readout_rel *rel, int64_t blocks)
{
    if (!rel->by_tid || rel->blocks <= blocks)
        return 1;
    return (int)((rel->blocks + blocks - 1) / blocks);
}

/* Both sides go forward together, so that neither server waits for the other one to be done. */
static int order_chunks(const void *a, const void *b, void *rels)
{
    const struct ph_readout_chunk *x = a, *y = b;
    const struct ph_readout_rel *rel_x = (struct ph_readout_rel *)rels + x->rel;
    const struct ph_readout_rel *rel_y = (struct ph_readout_rel *)rels + y->rel;
    double at_x = rel_x->blocks > 0 ? (double)x->lo / (double)rel_x->blocks : 0;
    double at_y = rel_y->blocks > 0 ? (double)y->lo / (double)rel_y->blocks : 0;
    if (at_x != at_y)
        return at_x < at_y ? -1 : 1;
    return (x->rel > y->rel) - (x->rel < y->rel);
}

bool ph_readout_cut(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels, int n,
                    struct ph_readout_cut *cut, struct ph_err *err)
{
    int64_t blocks = (int64_t)(chunk_size(opts, rels, n) / BLOCK);
    int total = 0;
    blocks = blocks > 0 ? blocks : 1;
    for (int i = 0; i < n; i++)
        total += count_chunks(&rels[i], blocks);
    *cut = (struct ph_readout_cut){.items = calloc((size_t)total + 1, sizeof *cut->items)};
    if (!cut->items)
        return ph_err_nomem(err);
    for (int i = 0; i < n; i++) {
        int count = count_chunks(&rels[i], blocks);
        for (int k = 0; k < count; k++)
            cut->items[cut->n++] = (struct ph_readout_chunk){
                .rel = i, .lo = k * blocks, .hi = k == count - 1 ? -1 : (k + 1) * blocks};
    }
    qsort_r(cut->items, (size_t)total, sizeof *cut->items, order_chunks, (void *)rels);
    return true;
}

/* Streams. */

/* Takes what whole rows (or piece of one) the buffer holds. */
static bool take(struct reader *self, bool *progress, struct ph_err *err)
{
    struct ph_scan_view view;
    char *data = self->buf + self->begin;
    size_t len = self->end - self->begin;
    *progress = false;
    if (len == 0)
        return true;
    bool full = self->begin == 0 && self->end == self->cap;
    if (!ph_scan_look(&self->scan, data, len, full, self->edge, MAX_ROWS, &view, err))
        return false;
    char *rows = data + view.begin;
    if (view.piece &&
        !ph_row_taker_piece(&self->taker, rows, view.end - view.begin, view.last_piece, err))
        return false;
    if (!ph_row_taker_rows(&self->taker, rows, self->edge, view.rows, err))
        return false;
    self->rows += view.rows + view.last_piece;
    self->begin = self->scan.at == PH_SCAN_END ? self->end : self->begin + view.end;
    *progress = view.end > 0;
    const struct ph_readout_opts *opts = self->pool->opts;
    if (opts->rows)
        atomic_fetch_add_explicit(opts->rows, view.rows + view.last_piece, memory_order_relaxed);
    if (opts->bytes)
        atomic_fetch_add_explicit(opts->bytes, view.end, memory_order_relaxed);
    return !opts->throttle ||
           ph_throttle_wait(&self->hop, view.end, view.rows + view.last_piece, err);
}

static bool fill(struct reader *self, bool *ended, struct ph_err *err)
{
    memmove(self->buf, self->buf + self->begin, self->end - self->begin);
    self->end -= self->begin;
    self->begin = 0;
    *ended = false;
    while (self->end < self->cap) {
        size_t n;
        if (!ph_copyout_read(&self->copy, self->buf + self->end, self->cap - self->end, &n, err))
            return false;
        if (n == 0) {
            *ended = true;
            break;
        }
        self->end += n;
    }
    return true;
}

/* The server's last word, as everywhere: an end of data is no success. */
static bool finish(struct reader *self, struct ph_conn *conn, struct ph_err *err)
{
    enum ph_result kind;
    struct ph_rows *rows = NULL;
    if (!ph_conn_next(conn, &kind, &rows, err))
        return false;
    uint64_t count = ph_rows_affected(rows);
    ph_rows_free(rows);
    if (kind != PH_RESULT_COMMAND || count != self->rows || !ph_scan_complete(&self->scan))
        return ph_err_set(err, PH_FAILED, "the %s says that it sent %llu rows, %llu arrived",
                          ph_conn_side(conn), (unsigned long long)count,
                          (unsigned long long)self->rows);
    while (kind != PH_RESULT_NONE)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    return true;
}

static bool stream(struct reader *self, struct ph_conn *conn, struct ph_err *err)
{
    bool ended = false, progress;
    for (;;) {
        if (!take(self, &progress, err))
            return false;
        if (atomic_load_explicit(&self->pool->stop, memory_order_relaxed))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        if (progress)
            continue;
        if (ended)
            return finish(self, conn, err);
        if (!fill(self, &ended, err))
            return false;
    }
}

/* Statements. */

static void add_copy(struct ph_buf *sql, const struct ph_readout_rel *rel,
                     const struct ph_readout_chunk *chunk)
{
    const char *word = "WHERE";
    bool both = *rel->lead && *rel->select;
    ph_sql_add(sql, "COPY (SELECT %s%s%s FROM %s%s%s", rel->lead, both ? ", " : "", rel->select,
               rel->inner ? "(" : "", rel->inner ? rel->inner : "", rel->inner ? " FROM " : "");
    ph_buf_add(sql, rel->from);
    if (chunk->lo > 0) {
        ph_sql_add(sql, " %s ctid OPERATOR(pg_catalog.>=) '(%D,0)'::pg_catalog.tid", word,
                   chunk->lo);
        word = "AND";
    }
    if (chunk->hi >= 0) {
        ph_sql_add(sql, " %s ctid OPERATOR(pg_catalog.<) '(%D,0)'::pg_catalog.tid", word,
                   chunk->hi);
        word = "AND";
    }
    if (rel->where) /* the newline ends a comment that it may end with */
        ph_sql_add(sql, " %s (%s\n)", word, rel->where);
    ph_sql_add(sql, "%s) TO STDOUT (FORMAT %s)", rel->inner ? ") h" : "",
               rel->text ? "text" : "binary");
}

static bool read_chunk(struct reader *self, const struct ph_readout_rel *rel,
                       const struct ph_readout_chunk *chunk, struct ph_err *err)
{
    struct ph_conn *conn = self->conn[rel->side];
    struct ph_buf sql = {0};
    enum ph_result kind;
    if (rel->qualify)
        ph_buf_add(&sql, "SET LOCAL search_path = pg_catalog;");
    self->qualified[rel->side] = rel->qualify;
    add_copy(&sql, rel, chunk);
    bool ok = ph_conn_send(conn, sql.data, err);
    ph_buf_fini(&sql);
    do {
        ok = ok && ph_conn_next(conn, &kind, NULL, err);
    } while (ok && kind == PH_RESULT_COMMAND);
    if (!ok)
        return false;
    if (kind != PH_RESULT_COPY_OUT)
        return ph_err_set(err, PH_FAILED, "the %s did not begin its COPY", ph_conn_side(conn));
    self->rel = self->taker.rel = rel;
    self->scan = (struct ph_scan){.format = rel->text ? PH_TEXT : PH_BINARY,
                                  .fields = rel->n_lead + rel->n_columns};
    self->copy = (struct ph_copyout){.conn = conn, .gate = self->pool->opts->gate, .owner = self};
    self->begin = self->end = 0;
    self->rows = 0;
    return stream(self, conn, err);
}

static void hang_up(struct reader *self, int side)
{
    ph_conn_close(self->conn[side]);
    self->conn[side] = NULL;
    if (self->pool->opts->gate)
        ph_gate_leave(self->pool->opts->gate, self);
}

/* One transaction for all that this thread reads on a side. */
static bool connect_side(struct reader *self, int side, struct ph_err *err)
{
    const struct ph_readout_opts *opts = self->pool->opts;
    if (self->conn[side])
        return true;
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/verify", opts->tag);
    const struct ph_conn_opts how = {.dsn = opts->dsn[side],
                                     .application_name = name,
                                     .encoding = opts->encoding,
                                     .read_only = true,
                                     .interrupt = opts->interrupt,
                                     .interrupt_level = 1};
    if (!ph_conn_open(&self->conn[side], &how, err))
        return false;
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;SET TRANSACTION SNAPSHOT %L;"
               "SELECT pg_catalog.repeat(' ', 65536)", /* libpq's buffer grows, see source/pg.c */
               opts->snapshot[side]);
    bool ok = ph_conn_exec(self->conn[side], sql.data, err);
    ph_buf_fini(&sql);
    return ok ||
           ph_err_prefix(err, "taking the snapshot of the %s", ph_conn_side(self->conn[side]));
}

static void fail(struct pool *pool, const struct ph_err *err)
{
    pthread_mutex_lock(&pool->lock);
    if (!pool->failed) {
        pool->failed = true;
        pool->err = *err;
    }
    pthread_mutex_unlock(&pool->lock);
    atomic_store(&pool->stop, true);
}

/* A side that is held is left alone at once; who is given up now has no chunk in hand. */
static bool may_begin(struct reader *self, int side, struct ph_err *err)
{
    struct ph_throttle *t = self->pool->opts->throttle;
    char why[PH_REASON_TEXT] = "";
    enum ph_hold_kind kind;
    bool hard;
    if (!t || !(ph_throttle_held(t) & (side == PH_READ_SOURCE ? PH_AT_SOURCE : PH_AT_TARGET)))
        return true;
    ph_throttle_reason(t, why, &kind, &hard);
    return ph_err_set(err, PH_PAUSED, "paused: %s", why);
}

static bool take_chunk(struct reader *self, struct ph_readout_chunk *chunk, struct ph_err *err)
{
    struct pool *pool = self->pool;
    const struct ph_readout_rel *rel = &pool->rels[chunk->rel];
    struct ph_throttle *throttle = pool->opts->throttle;
    int side = rel->side;
    if (self->qualified[side] && !rel->qualify)
        hang_up(self, side); /* the role's own search_path is wanted */
    bool ok = may_begin(self, side, err) && connect_side(self, side, err);
    if (ok && throttle)
        ph_throttle_begin(&self->hop, throttle,
                          side == PH_READ_SOURCE ? PH_AT_SOURCE : PH_AT_TARGET);
    bool begun = ok;
    ok = ok && read_chunk(self, rel, chunk, err);
    if (begun && throttle)
        ph_throttle_end(&self->hop);
    if (ok && PH_FAULT("readout.chunk"))
        ok = ph_err_set(err, PH_FAILED, "fault point readout.chunk");
    pthread_mutex_lock(&pool->lock);
    chunk->done = ok;
    if (pool->opts->ended)
        pool->opts->ended(pool->opts->ended_arg, self->number, rel, ok);
    pthread_mutex_unlock(&pool->lock);
    if (ok && self->copy.swollen)
        hang_up(self, side); /* gives libpq's grown buffer back */
    return ok ||
           (err->code == PH_PAUSED ? false
                                   : ph_err_prefix(err, "reading %s of the %s", rel->from,
                                                   side == PH_READ_SOURCE ? "source" : "target"));
}

/* Rests while fewer readers are wanted, without a transaction that anybody would have to wait for. */
static bool rest_laid_off(struct reader *self)
{
    struct pool *pool = self->pool;
    struct ph_throttle *t = pool->opts->throttle;
    while (t && self->number >= ph_throttle_workers(t) && !atomic_load(&pool->stop) &&
           atomic_load(&pool->next) < pool->cut->n) {
        hang_up(self, PH_READ_SOURCE);
        hang_up(self, PH_READ_TARGET);
        if (!ph_interrupt_sleep(pool->opts->interrupt, 1, 0.05))
            return false;
    }
    return true;
}

static void *read_all(void *arg)
{
    struct reader *self = arg;
    struct pool *pool = self->pool;
    struct ph_err err = {0};
    self->cap = BUFFER;
    self->buf = malloc(self->cap);
    bool ok = self->buf != NULL || ph_err_nomem(&err);
    while (ok && rest_laid_off(self) && !atomic_load(&pool->stop)) {
        int i = atomic_fetch_add(&pool->next, 1);
        if (i >= pool->cut->n)
            break;
        ok = pool->cut->items[i].done || take_chunk(self, &pool->cut->items[i], &err);
        atomic_fetch_add(&pool->done, 1);
    }
    if (!ok)
        fail(pool, &err);
    for (int side = 0; side < 2; side++)
        hang_up(self, side);
    free(self->buf);
    ph_row_taker_fini(&self->taker);
    return NULL;
}

/* Readers. */

struct readers {
    struct pool *pool;
    struct reader *items;
    int n, most;
};

static bool hire(struct readers *all)
{
    int number = all->n;
    struct reader *reader = &all->items[number];
    *reader = (struct reader){
        .pool = all->pool,
        .number = number,
        .taker = {.visit = all->pool->visit, .arg = all->pool->arg, .worker = number}};
    if (pthread_create(&reader->thread, NULL, read_all, reader) != 0)
        return false;
    all->n++;
    return true;
}

/* More of them while somebody wishes for more and there is something left to take. */
static void hire_wished(struct readers *all)
{
    const struct pool *pool = all->pool;
    struct ph_throttle *t = pool->opts->throttle;
    int before = all->n;
    while (t && all->n < all->most && all->n < ph_throttle_jobs(t) &&
           atomic_load(&pool->next) < pool->cut->n && hire(all))
        ;
    if (all->n > before)
        ph_throttle_crew(t, all->n);
}

/* Waits for a reader, and tells meanwhile how much has been read. */
static void await(struct readers *all, pthread_t thread)
{
    const struct pool *pool = all->pool;
    enum { TICK_NS = 200 * 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };
    struct timespec until;
    do {
        if (pool->opts->tick)
            pool->opts->tick(pool->opts->tick_arg,
                             (double)atomic_load(&pool->done) / (double)pool->cut->n);
        hire_wished(all);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        until.tv_sec += until.tv_nsec / SECOND_NS;
        until.tv_nsec %= SECOND_NS;
    } while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
}

static bool run_readers(struct pool *pool, int jobs, int most, struct ph_err *err)
{
    struct readers all = {
        .pool = pool, .items = calloc((size_t)most, sizeof *all.items), .most = most};
    if (!all.items)
        return ph_err_nomem(err);
    while (all.n < jobs && hire(&all))
        ;
    for (int i = 0; i < all.n; i++)
        await(&all, all.items[i].thread);
    free(all.items);
    return all.n > 0 || ph_err_set(err, PH_FAILED, "cannot start a thread");
}

bool ph_readout_go_on(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels,
                      struct ph_readout_cut *cut, ph_readout_visit visit, void *arg,
                      struct ph_err *err)
{
    struct pool pool = {.opts = opts, .visit = visit, .arg = arg, .rels = rels, .cut = cut};
    bool ok = true;
    int left = 0;
    for (int i = 0; i < cut->n; i++)
        left += !cut->items[i].done;
    int most = opts->most_jobs > opts->jobs ? opts->most_jobs : opts->jobs;
    int jobs = opts->jobs < left ? opts->jobs : left;
    most = most < left ? most : left;
    if (opts->throttle)
        ph_throttle_crew(opts->throttle, jobs);
    pthread_mutex_init(&pool.lock, NULL);
    if (left > 0)
        ok = run_readers(&pool, jobs, most, err);
    if (ok && pool.failed) {
        *err = pool.err;
        ok = false;
    }
    pthread_mutex_destroy(&pool.lock);
    for (int i = 0; i < cut->n && ok; i++) /* readers that were told to end have said nothing */
        ok = cut->items[i].done || ph_err_set(err, PH_INTERRUPTED, "interrupted");
    return ok;
}

bool ph_readout_run(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels, int n,
                    ph_readout_visit visit, void *arg, struct ph_err *err)
{
    struct ph_readout_cut cut;
    bool ok = ph_readout_cut(opts, rels, n, &cut, err) &&
              ph_readout_go_on(opts, rels, &cut, visit, arg, err);
    free(cut.items);
    return ok;
}
