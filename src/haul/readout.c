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
#include "pg/copyout.h"
#include "pg/sql.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

enum { BUFFER = 128 * 1024, MAX_ROWS = 8192, BLOCK = 8192, COUNT = 2 /* bytes of a field count */ };
static const uint64_t least_chunk = (uint64_t)4 << 20, most_chunk = (uint64_t)128 << 20;

/* A range of a relation's TIDs; hi < 0: to its end. */
struct chunk {
    const struct ph_readout_rel *rel;
    int64_t lo, hi;
};

struct pool {
    const struct ph_readout_opts *opts;
    ph_readout_visit visit;
    void *arg;
    struct chunk *chunks;
    int n_chunks;
    _Atomic int next, done;
    _Atomic bool stop;
    pthread_mutex_t lock; /* of failed, err */
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
    char *buf;
    size_t cap, begin, end;
    uint64_t rows;
    uint32_t edge[MAX_ROWS];
    /* a row that comes in pieces: */
    XXH3_state_t *state;
    struct ph_buf lead;
    struct ph_readout_row wide;
};

/* Chunks. */

static uint64_t chunk_size(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels,
                           int n)
{
    uint64_t total = 0;
    for (int i = 0; i < n; i++)
        total += rels[i].blocks > 0 ? (uint64_t)rels[i].blocks * BLOCK : 0;
    uint64_t size = opts->chunk ? opts->chunk : total / ((uint64_t)opts->jobs * 8);
    if (opts->chunk)
        return size;
    return size < least_chunk ? least_chunk : size > most_chunk ? most_chunk : size;
}

static int count_chunks(const struct ph_readout_rel *rel, int64_t blocks)
{
    if (!rel->by_tid || rel->blocks <= blocks)
        return 1;
    return (int)((rel->blocks + blocks - 1) / blocks);
}

/* Both sides go forward together, so that neither server waits for the other one to be done. */
static int order_chunks(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;
    double at_x = x->rel->blocks > 0 ? (double)x->lo / (double)x->rel->blocks : 0;
    double at_y = y->rel->blocks > 0 ? (double)y->lo / (double)y->rel->blocks : 0;
    if (at_x != at_y)
        return at_x < at_y ? -1 : 1;
    return (x->rel > y->rel) - (x->rel < y->rel);
}

static bool make_chunks(struct pool *pool, const struct ph_readout_rel *rels, int n,
                        struct ph_err *err)
{
    int64_t blocks = (int64_t)(chunk_size(pool->opts, rels, n) / BLOCK);
    int total = 0;
    blocks = blocks > 0 ? blocks : 1;
    for (int i = 0; i < n; i++)
        total += count_chunks(&rels[i], blocks);
    pool->chunks = calloc((size_t)total + 1, sizeof *pool->chunks);
    if (!pool->chunks)
        return ph_err_nomem(err);
    for (int i = 0; i < n; i++) {
        int count = count_chunks(&rels[i], blocks);
        for (int k = 0; k < count; k++)
            pool->chunks[pool->n_chunks++] =
                (struct chunk){&rels[i], k * blocks, k == count - 1 ? -1 : (k + 1) * blocks};
    }
    qsort(pool->chunks, (size_t)total, sizeof *pool->chunks, order_chunks);
    return true;
}

/* Rows. */

static size_t field_size(const char *p)
{
    uint32_t size;
    memcpy(&size, p, sizeof size);
    size = be32toh(size);
    return 4 + (size == UINT32_MAX ? 0 : size);
}

/* Skips n fields within len bytes; 0 when they are not all there. */
static size_t skip_fields(const char *p, size_t len, int n)
{
    size_t at = 0;
    for (; n > 0; n--) {
        if (len - at < 4 || len - at < field_size(p + at))
            return 0;
        at += field_size(p + at);
    }
    return at;
}

/* Finds lead and key in the beginning of a row and makes the rest look like a row of its own: its
 * field count goes where the last bytes of the leading fields were, which are not needed any more
 * (lead must have been copied when they are). Returns the offset of that row; 0: not all is there. */
static size_t dissect(const struct ph_readout_rel *rel, char *row, size_t len,
                      struct ph_readout_row *out)
{
    size_t lead = skip_fields(row + COUNT, len - COUNT, rel->n_lead);
    if (rel->n_lead > 0 && lead == 0)
        return 0;
    const char *from = row + COUNT;
    size_t skip = skip_fields(from, len - COUNT, rel->n_skip);
    size_t key = skip_fields(from + skip, len - COUNT - skip, rel->n_key);
    if (rel->n_key > 0 && key == 0)
        return 0;
    *out = (struct ph_readout_row){
        .rel = rel, .lead = row + COUNT, .key = from + skip, .key_len = key};
    return COUNT + lead;
}

static void put_count(const struct ph_readout_rel *rel, char *at)
{
    uint16_t count = htobe16((uint16_t)rel->n_columns);
    memcpy(at, &count, sizeof count);
}

static void show(struct reader *self, const struct ph_readout_row *row)
{
    self->pool->visit(self->pool->arg, self->number, row);
}

/* Leading fields end with the key (or a system column); its last two bytes are given back after
 * hashing, since the visitor wants to see it. */
static bool take_row(struct reader *self, char *row, size_t len, struct ph_err *err)
{
    struct ph_readout_row seen;
    size_t body = dissect(self->rel, row, len, &seen);
    if (body == 0)
        return ph_err_set(err, PH_FAILED, "a row is shorter than its fields");
    char kept[COUNT];
    char *at = row + body - COUNT;
    memcpy(kept, at, COUNT);
    put_count(self->rel, at);
    seen.bytes = len - (size_t)(at - row);
    XXH128_hash_t hash = XXH3_128bits(at, seen.bytes);
    memcpy(at, kept, COUNT);
    seen.hash_lo = hash.low64;
    seen.hash_hi = hash.high64;
    show(self, &seen);
    return true;
}

static bool begin_wide(struct reader *self, char *data, size_t len, struct ph_err *err)
{
    size_t body = dissect(self->rel, data, len, &self->wide);
    if (body == 0)
        return ph_err_set(err, PH_FAILED, "a key is wider than %d KiB", BUFFER / 1024);
    size_t key_at = (size_t)(self->wide.key - data);
    ph_buf_clear(&self->lead);
    ph_buf_addn(&self->lead, data,
                key_at + self->wide.key_len > body ? key_at + self->wide.key_len : body);
    self->wide.lead = self->lead.data + COUNT;
    self->wide.key = self->lead.data + key_at;
    if (!self->state && !(self->state = XXH3_createState()))
        return ph_err_nomem(err);
    char count[COUNT];
    put_count(self->rel, count);
    XXH3_128bits_reset(self->state);
    XXH3_128bits_update(self->state, count, COUNT);
    XXH3_128bits_update(self->state, data + body, len - body);
    self->wide.bytes = COUNT + len - body;
    return true;
}

static bool take_piece(struct reader *self, char *data, size_t len, bool last, struct ph_err *err)
{
    if (!self->wide.rel) {
        if (!begin_wide(self, data, len, err))
            return false;
    } else {
        XXH3_128bits_update(self->state, data, len);
        self->wide.bytes += len;
    }
    if (!last)
        return true;
    XXH128_hash_t hash = XXH3_128bits_digest(self->state);
    self->wide.hash_lo = hash.low64;
    self->wide.hash_hi = hash.high64;
    show(self, &self->wide);
    self->wide = (struct ph_readout_row){0};
    return true;
}

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
    if (view.piece && !take_piece(self, rows, view.end - view.begin, view.last_piece, err))
        return false;
    for (size_t i = 0, at = 0; i < view.rows; i++) {
        if (!take_row(self, rows + at, self->edge[i] - at, err))
            return false;
        at = self->edge[i];
    }
    self->rows += view.rows + view.last_piece;
    self->begin = self->scan.at == PH_SCAN_END ? self->end : self->begin + view.end;
    *progress = view.end > 0;
    const struct ph_readout_opts *opts = self->pool->opts;
    if (opts->rows)
        atomic_fetch_add_explicit(opts->rows, view.rows + view.last_piece, memory_order_relaxed);
    if (opts->bytes)
        atomic_fetch_add_explicit(opts->bytes, view.end, memory_order_relaxed);
    if (opts->pace)
        ph_pace_wait(opts->pace, self->rel->side, view.end, view.rows + view.last_piece,
                     opts->interrupt, &self->pool->stop);
    return true;
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

static void add_copy(struct ph_buf *sql, const struct chunk *chunk)
{
    const struct ph_readout_rel *rel = chunk->rel;
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
    ph_sql_add(sql, "%s) TO STDOUT (FORMAT binary)", rel->inner ? ") h" : "");
}

static bool read_chunk(struct reader *self, const struct chunk *chunk, struct ph_err *err)
{
    struct ph_conn *conn = self->conn[chunk->rel->side];
    struct ph_buf sql = {0};
    enum ph_result kind;
    if (chunk->rel->qualify)
        ph_buf_add(&sql, "SET LOCAL search_path = pg_catalog;");
    self->qualified[chunk->rel->side] = chunk->rel->qualify;
    add_copy(&sql, chunk);
    bool ok = ph_conn_send(conn, sql.data, err);
    ph_buf_fini(&sql);
    do {
        ok = ok && ph_conn_next(conn, &kind, NULL, err);
    } while (ok && kind == PH_RESULT_COMMAND);
    if (!ok)
        return false;
    if (kind != PH_RESULT_COPY_OUT)
        return ph_err_set(err, PH_FAILED, "the %s did not begin its COPY", ph_conn_side(conn));
    self->rel = chunk->rel;
    self->scan =
        (struct ph_scan){.format = PH_BINARY, .fields = chunk->rel->n_lead + chunk->rel->n_columns};
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

static void *read_all(void *arg)
{
    struct reader *self = arg;
    struct pool *pool = self->pool;
    struct ph_err err = {0};
    self->cap = BUFFER;
    self->buf = malloc(self->cap);
    bool ok = self->buf != NULL || ph_err_nomem(&err);
    while (ok && !atomic_load(&pool->stop)) {
        int i = atomic_fetch_add(&pool->next, 1);
        if (i >= pool->n_chunks)
            break;
        int side = pool->chunks[i].rel->side;
        if (self->qualified[side] && !pool->chunks[i].rel->qualify)
            hang_up(self, side); /* the role's own search_path is wanted */
        ok = connect_side(self, side, &err) && read_chunk(self, &pool->chunks[i], &err);
        if (ok && PH_FAULT("readout.chunk"))
            ok = ph_err_set(&err, PH_FAILED, "fault point readout.chunk");
        if (!ok)
            ph_err_prefix(&err, "reading %s of the %s", pool->chunks[i].rel->from,
                          side == PH_READ_SOURCE ? "source" : "target");
        atomic_fetch_add(&pool->done, 1);
        if (ok && self->copy.swollen)
            hang_up(self, side); /* gives libpq's grown buffer back */
    }
    if (!ok)
        fail(pool, &err);
    for (int side = 0; side < 2; side++)
        hang_up(self, side);
    free(self->buf);
    if (self->state)
        XXH3_freeState(self->state);
    ph_buf_fini(&self->lead);
    return NULL;
}

/* Waits for a reader, and tells meanwhile how much has been read. */
static void await(const struct pool *pool, pthread_t thread)
{
    enum { TICK_NS = 200 * 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };
    struct timespec until;
    do {
        if (pool->opts->tick)
            pool->opts->tick(pool->opts->tick_arg,
                             (double)atomic_load(&pool->done) / (double)pool->n_chunks);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        until.tv_sec += until.tv_nsec / SECOND_NS;
        until.tv_nsec %= SECOND_NS;
    } while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
}

static bool run_readers(struct pool *pool, int jobs, struct ph_err *err)
{
    struct reader *readers = calloc((size_t)jobs, sizeof *readers);
    int started = 0;
    if (!readers)
        return ph_err_nomem(err);
    for (; started < jobs; started++) {
        readers[started] = (struct reader){.pool = pool, .number = started};
        if (pthread_create(&readers[started].thread, NULL, read_all, &readers[started]) != 0)
            break;
    }
    for (int i = 0; i < started; i++)
        await(pool, readers[i].thread);
    free(readers);
    return started > 0 || ph_err_set(err, PH_FAILED, "cannot start a thread");
}

bool ph_readout_run(const struct ph_readout_opts *opts, const struct ph_readout_rel *rels, int n,
                    ph_readout_visit visit, void *arg, struct ph_err *err)
{
    struct pool pool = {.opts = opts, .visit = visit, .arg = arg};
    pthread_mutex_init(&pool.lock, NULL);
    bool ok = make_chunks(&pool, rels, n, err);
    int jobs = opts->jobs < pool.n_chunks ? opts->jobs : pool.n_chunks;
    if (ok && pool.n_chunks > 0)
        ok = run_readers(&pool, jobs, err);
    if (ok && pool.failed) {
        *err = pool.err;
        ok = false;
    }
    pthread_mutex_destroy(&pool.lock);
    free(pool.chunks);
    return ok;
}
