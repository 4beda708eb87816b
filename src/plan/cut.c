/* The cutting: bounds of every shard, read under the job's snapshot. See split.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/sql.h"
#include "plan/cut_catalog.h"
#include "plan/cut_where.h"
#include "plan/split.h"

/* Shards in the making. They are sorted at the end, so where each one came from is kept. */
struct piece {
    struct ph_shard shard;
    const char *lo, *hi;
};

struct cutter {
    struct ph_plan *plan;
    struct ph_conn *source;
    struct piece *pieces;
    size_t n, cap;
    struct ph_buf text; /* for predicates and queries */
    bool tid_scan_checked;
};

static bool add(struct cutter *c, struct ph_table *t, const char *where, double weight,
                const char *lo, const char *hi, struct ph_err *err)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 1024;
        struct piece *more = realloc(c->pieces, cap * sizeof *more);
        if (!more)
            return ph_err_nomem(err);
        c->pieces = more;
        c->cap = cap;
    }
    struct ph_arena *arena = &c->plan->arena;
    c->pieces[c->n++] = (struct piece){.shard = {.table = t,
                                                 .format = t->format,
                                                 .where = ph_arena_strdup(arena, where),
                                                 .weight = (int64_t)weight},
                                       .lo = ph_arena_strdup(arena, lo),
                                       .hi = ph_arena_strdup(arena, hi)};
    t->n_shards++;
    return true;
}

static bool add_whole(struct cutter *c, struct ph_table *t, int64_t bytes, struct ph_err *err)
{
    return add(c, t, "", (double)bytes, NULL, NULL, err);
}

/* The planner must turn the predicate into a TID range scan, or every shard reads the whole table.
 * One look a job: what could forbid it (a setting, an old server) is the same for all tables. */
static bool check_tid_scan(struct cutter *c, struct ph_table *t, const char *where,
                           struct ph_err *err)
{
    c->tid_scan_checked = true;
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "EXPLAIN (COSTS OFF) SELECT 1 FROM ONLY %I.%I WHERE %s", t->source_schema,
               t->source_name, where);
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(c->source, sql.data, &rows, err);
    bool found = false;
    for (int r = 0; ok && r < ph_rows_count(rows); r++)
        found = found || strstr(ph_rows_text(rows, r, 0), "Tid Range Scan");
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    if (ok && !found)
        ph_split_warn(
            c->plan, t,
            "the source does not plan TID range scans: every shard scans the whole table");
    return ok;
}

static const char *tid_shown(char out[static 32], int64_t block)
{
    snprintf(out, 32, "(%" PRId64 ",0)", block);
    return out;
}

/* How a table is cut by block: into `n` equal shards, of which the last `fine` are quartered, so that what is claimed last is small
 * and the workers end together. */
struct block_cut {
    int64_t blocks;
    int n, fine;
};

/* Only the biggest table's: the small shards of all tables come last. A size that the user has asked for is kept to. */
static struct block_cut choose_block_cut(const struct ph_plan *plan, const struct ph_table *t,
                                         const struct ph_cut_size *size)
{
    int n = ph_split_count(plan, t, size->bytes);
    if (n > size->blocks)
        n = size->blocks > 1 ? (int)size->blocks : 1;
    bool asked = plan->spec->shard_size || plan->spec->shard_rows;
    bool fine = t == plan->tables && !asked && n > plan->jobs && size->blocks >= 4 * (int64_t)n;
    return (struct block_cut){.blocks = size->blocks, .n = n, .fine = fine ? plan->jobs : 0};
}

static int count_cuts(const struct block_cut *cut)
{
    return cut->n + 3 * cut->fine;
}

/* Where piece i begins. */
static int64_t block_of(const struct block_cut *cut, int i)
{
    int coarse = cut->n - cut->fine;
    int64_t quarters = i < coarse ? 4 * (int64_t)i : 4 * (int64_t)coarse + (i - coarse);
    return cut->blocks * quarters / (4 * (int64_t)cut->n);
}

static bool cut_blocks(struct cutter *c, struct ph_table *t, const struct ph_cut_size *size,
                       struct ph_err *err)
{
    struct block_cut cut = choose_block_cut(c->plan, t, size);
    int n = count_cuts(&cut);
    t->blocks = size->blocks;
    for (int i = 0; i < n; i++) {
        int64_t lo = block_of(&cut, i), hi = block_of(&cut, i + 1);
        double weight = (double)size->bytes * (double)(hi - lo) / (double)size->blocks;
        /* The file may be longer than it was a moment ago: the last range is open. */
        bool last = i == n - 1;
        ph_buf_clear(&c->text);
        ph_cut_where_blocks(&c->text, lo, last ? -1 : hi);
        char lo_text[32], hi_text[32];
        if (n == 1)
            return add_whole(c, t, size->bytes, err);
        if (!c->tid_scan_checked && !check_tid_scan(c, t, ph_buf_text(&c->text), err))
            return false;
        if (!add(c, t, ph_buf_text(&c->text), weight, lo ? tid_shown(lo_text, lo) : NULL,
                 last ? NULL : tid_shown(hi_text, hi), err))
            return false;
    }
    return true;
}

/* What part of a table is looked at for its quantiles. A hundred pages a shard put a bound right
 * within some ten percent of a shard, even when the table lies in key order and a page counts as
 * one observation; for thousands of shards fewer do, and of many small rows every `thin`-th is
 * enough. */
struct sample {
    double percent; /* of pages; 0: no TABLESAMPLE clause */
    int64_t thin;   /* every n-th row */
    int shards;     /* wanted */
};

enum { SAMPLE_ROWS = 2000000 };

static struct sample choose_sample(const struct ph_table *t, const struct ph_cut_size *size,
                                   int shards)
{
    struct sample s = {.thin = 1, .shards = shards};
    double pages = 100.0 * shards;
    if (pages < 1000)
        pages = 1000;
    if (pages > 100000)
        pages = 20.0 * shards > 100000 ? 20.0 * shards : 100000;
    double part = size->blocks > 0 ? pages / (double)size->blocks : 1;
    if (!size->heap || part > 0.5)
        part = 1;
    double rows = t->rows_estimate * part;
    if (size->heap && rows > 2.0 * SAMPLE_ROWS)
        s.thin = (int64_t)(rows / SAMPLE_ROWS);
    /* A thinned sample must be the same every time, which a plain scan need not be. */
    if (part < 1 || s.thin > 1)
        s.percent = 100 * part;
    return s;
}

/* The rows of the sample: k1, k2, ..., and whether one of them is NULL. */
static void add_sample(struct ph_buf *sql, const struct ph_table *t, const struct sample *s)
{
    if (s->thin > 1)
        ph_buf_add(sql, "SELECT * FROM (");
    ph_buf_add(sql, "SELECT ");
    for (int i = 0; i < t->n_key; i++)
        ph_sql_add(sql, "%I::%s AS k%d, ", t->key[i].column, t->key[i].type, i + 1);
    for (int i = 0, any = 0; i < t->n_key; i++) {
        if (!t->key[i].nullable)
            continue;
        ph_buf_add(sql, any++ ? " OR " : "");
        ph_cut_where_is_null(sql, &t->key[i]);
    }
    bool nullable = false;
    for (int i = 0; i < t->n_key; i++)
        nullable = nullable || t->key[i].nullable;
    ph_sql_add(sql, "%s AS hole%s FROM ONLY %I.%I", nullable ? "" : "false",
               s->thin > 1 ? ", pg_catalog.row_number() OVER () AS nth" : "", t->source_schema,
               t->source_name);
    if (s->percent > 0)
        ph_buf_addf(sql, " TABLESAMPLE SYSTEM (%.6f) REPEATABLE (1)",
                    s->percent < 0.000001 ? 0.000001 : s->percent);
    if (s->thin > 1)
        ph_sql_add(sql,
                   ") every WHERE nth OPERATOR(pg_catalog.%%) %D::pg_catalog.int8"
                   " OPERATOR(pg_catalog.=) 0::pg_catalog.int8",
                   s->thin);
}

/* OPERATOR() has one precedence, whatever stands in it: hence the parentheses.
 *
 * How many ranges the server shall make of its `filled` rows without NULLs. With --shard-rows the
 * sample itself says how many rows there are, better than any statistics. */
static void add_ranges(struct ph_buf *sql, const struct ph_plan *plan, const struct sample *s)
{
    ph_sql_add(sql,
               "LEAST(filled, GREATEST(1, (((%d::pg_catalog.int8 OPERATOR(pg_catalog.*) filled)"
               " OPERATOR(pg_catalog.+) total) OPERATOR(pg_catalog.-) 1::pg_catalog.int8)"
               " OPERATOR(pg_catalog./) total",
               s->shards);
    if (plan->spec->shard_rows) {
        double scale = (double)s->thin * (s->percent > 0 ? 100 / s->percent : 1);
        ph_buf_addf(sql,
                    ", pg_catalog.ceil(filled::pg_catalog.float8 OPERATOR(pg_catalog.*)"
                    " %.9g::pg_catalog.float8)::pg_catalog.int8",
                    scale / (double)plan->spec->shard_rows);
    }
    ph_buf_add(sql, "))");
}

/* Rows whose number in key order begins a new range, with their rank: rows with equal keys have the
 * same one, so the ranks tell which bounds are the same key, and how many rows lie below, without
 * comparing a key here. */
static void write_quantile_query(struct cutter *c, const struct ph_table *t, const struct sample *s)
{
    struct ph_buf *sql = &c->text, keys = {0};
    for (int i = 1; i <= t->n_key; i++)
        ph_buf_addf(&keys, "%sk%d", i > 1 ? ", " : "", i);
    ph_buf_clear(sql);
    ph_sql_add(sql, "SELECT hole, filled, total, below, %s FROM (SELECT *, ", keys.data);
    add_ranges(sql, c->plan, s);
    ph_sql_add(sql,
               " AS ranges FROM (SELECT %s, hole,"
               " pg_catalog.row_number() OVER o AS nth_key,"
               " pg_catalog.rank() OVER o OPERATOR(pg_catalog.-) 1::pg_catalog.int8 AS below,"
               " pg_catalog.count(*) OVER (PARTITION BY hole) AS filled,"
               " pg_catalog.count(*) OVER () AS total FROM (",
               keys.data);
    add_sample(sql, t, s);
    ph_sql_add(sql,
               ") seen WINDOW o AS (PARTITION BY hole ORDER BY %s)) ranked) cut"
               " WHERE nth_key OPERATOR(pg_catalog.=) 1::pg_catalog.int8 OR NOT hole AND"
               " (((nth_key OPERATOR(pg_catalog.-) 1::pg_catalog.int8)"
               " OPERATOR(pg_catalog.*) ranges) OPERATOR(pg_catalog./) filled)"
               " OPERATOR(pg_catalog.<>)"
               " (((nth_key OPERATOR(pg_catalog.-) 2::pg_catalog.int8)"
               " OPERATOR(pg_catalog.*) ranges) OPERATOR(pg_catalog./) filled)"
               " ORDER BY hole, nth_key",
               keys.data);
    ph_buf_fini(&keys);
}

/* A bound longer than this is not worth its place in the ledger; its two ranges stay one. */
enum { MAX_BOUND = 65536 };

struct quantiles {
    struct ph_rows *rows; /* hole, filled, total, below, keys... */
    int *bound;           /* rows that are bounds, all distinct, in order */
    int n;
    int64_t filled, holes; /* rows of the sample without and with NULL in the key */
};

enum { HOLE, FILLED, TOTAL, BELOW, KEYS };

static void quantiles_fini(struct quantiles *q)
{
    ph_rows_free(q->rows);
    free(q->bound);
}

static bool bound_too_long(const struct quantiles *q, int row, int n_key)
{
    size_t len = 0;
    for (int i = 0; i < n_key; i++)
        len += strlen(ph_rows_text(q->rows, row, KEYS + i));
    return len > MAX_BOUND;
}

static bool read_quantiles(struct cutter *c, const struct ph_table *t, const struct sample *s,
                           struct quantiles *q, struct ph_err *err)
{
    *q = (struct quantiles){0};
    write_quantile_query(c, t, s);
    if (!ph_conn_query(c->source, c->text.data, &q->rows, err))
        return false;
    int n = ph_rows_count(q->rows);
    q->bound = calloc((size_t)n + 1, sizeof *q->bound);
    if (!q->bound)
        return ph_err_nomem(err);
    int64_t before = 0; /* a bound that is the smallest key would make an empty range */
    for (int r = 0; r < n; r++) {
        if (ph_rows_bool(q->rows, r, HOLE)) {
            q->holes = ph_rows_int(q->rows, r, FILLED);
            continue;
        }
        q->filled = ph_rows_int(q->rows, r, FILLED);
        int64_t below = ph_rows_int(q->rows, r, BELOW);
        if (below == before || bound_too_long(q, r, t->n_key))
            continue;
        before = below;
        q->bound[q->n++] = r;
    }
    return true;
}

/* A sample of few rows says little: of a bloated table, say, whose pages are mostly empty. Then all
 * of it is read, which costs one scan of a table with few rows. */
static bool measure(struct cutter *c, const struct ph_table *t, const struct ph_cut_size *size,
                    int shards, struct quantiles *q, struct ph_err *err)
{
    struct sample s = choose_sample(t, size, shards);
    if (!read_quantiles(c, t, &s, q, err)) {
        quantiles_fini(q);
        return false;
    }
    if ((s.percent <= 0 || s.percent >= 100) && s.thin == 1)
        return true;
    if (q->filled + q->holes >= 20 * (int64_t)shards && q->filled + q->holes >= 1000)
        return true;
    quantiles_fini(q);
    s = (struct sample){.thin = 1, .shards = shards};
    if (!read_quantiles(c, t, &s, q, err)) {
        quantiles_fini(q);
        return false;
    }
    return true;
}

/* The key texts of a bound, and the same for people: "7", "(7, x)". */
static const char **bound_texts(struct cutter *c, const struct ph_table *t,
                                const struct quantiles *q, int i, const char **shown)
{
    struct ph_arena *arena = &c->plan->arena;
    const char **texts = ph_arena_calloc(arena, (size_t)t->n_key, sizeof *texts);
    struct ph_buf people = {0};
    for (int k = 0; k < t->n_key; k++) {
        texts[k] = ph_arena_strdup(arena, ph_rows_text(q->rows, q->bound[i], KEYS + k));
        ph_buf_addf(&people, "%s%s", k ? ", " : t->n_key > 1 ? "(" : "", texts[k]);
    }
    if (t->n_key > 1)
        ph_buf_add(&people, ")");
    *shown = ph_arena_strdup(arena, people.data);
    ph_buf_fini(&people);
    return texts;
}

static bool add_ranges_of(struct cutter *c, struct ph_table *t, const struct quantiles *q,
                          double bytes_per_row, struct ph_err *err)
{
    const char **lo = NULL, **hi = NULL;
    const char *lo_shown = NULL, *hi_shown = NULL;
    int64_t below = 0;
    for (int i = 0; i <= q->n; i++, lo = hi, lo_shown = hi_shown) {
        int64_t up_to = q->filled;
        hi = NULL;
        hi_shown = NULL;
        if (i < q->n) {
            hi = bound_texts(c, t, q, i, &hi_shown);
            up_to = ph_rows_int(q->rows, q->bound[i], BELOW);
        }
        ph_buf_clear(&c->text);
        ph_cut_where_range(&c->text, t->key, t->n_key, lo, hi);
        if (!add(c, t, ph_buf_text(&c->text), bytes_per_row * (double)(up_to - below), lo_shown,
                 hi_shown, err))
            return false;
        below = up_to;
    }
    return true;
}

static bool key_is_nullable(const struct ph_table *t)
{
    for (int i = 0; i < t->n_key; i++)
        if (t->key[i].nullable)
            return true;
    return false;
}

static bool cut_measured(struct cutter *c, struct ph_table *t, const struct ph_cut_size *size,
                         const struct quantiles *q, struct ph_err *err)
{
    if (q->n == 0 && (q->holes == 0 || q->filled == 0))
        return add_whole(c, t, size->bytes, err);
    double bytes_per_row = (double)size->bytes / (double)(q->filled + q->holes);
    if (!add_ranges_of(c, t, q, bytes_per_row, err))
        return false;
    if (!key_is_nullable(t))
        return true;
    ph_buf_clear(&c->text);
    ph_cut_where_null(&c->text, t->key, t->n_key);
    return add(c, t, c->text.data, bytes_per_row * (double)q->holes, "NULL", "NULL", err);
}

static bool cut_keys(struct cutter *c, struct ph_table *t, const struct ph_cut_size *size,
                     int forecast, struct ph_err *err)
{
    struct quantiles q;
    int shards = forecast - key_is_nullable(t);
    if (!measure(c, t, size, shards, &q, err)) {
        /* A type inside the key's type (a field, an element) has no order: only running shows it.
         */
        if (strcmp(err->sqlstate, "42883") == 0) {
            err->code = PH_WRONG;
            ph_err_hint(err, "use another --split or --key for this table");
        }
        return ph_err_prefix(err, "cutting %s by key",
                             ph_plan_name(c->plan, t->source_schema, t->source_name));
    }
    bool ok = cut_measured(c, t, size, &q, err);
    quantiles_fini(&q);
    return ok;
}

static bool cut_hash(struct cutter *c, struct ph_table *t, const struct ph_cut_size *size, int n,
                     struct ph_err *err)
{
    for (int i = 0; i < n; i++) {
        char shown[32];
        snprintf(shown, sizeof shown, "%d/%d", i, n);
        ph_buf_clear(&c->text);
        ph_cut_where_hash(&c->text, t->key, t->n_key, i, n, ph_conn_server_version(c->source));
        if (!add(c, t, c->text.data, (double)size->bytes / n, shown, shown, err))
            return false;
    }
    return true;
}

/* Biggest first, then as the tables and their ranges come; a sort that must not depend on its own
 * whims. */
static int by_weight(const void *a, const void *b)
{
    const struct ph_shard *x = &((const struct piece *)a)->shard;
    const struct ph_shard *y = &((const struct piece *)b)->shard;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void hand_over(struct cutter *c)
{
    struct ph_plan *plan = c->plan;
    for (size_t i = 0; i < c->n; i++)
        c->pieces[i].shard.id = (int64_t)i;
    if (c->n)
        qsort(c->pieces, c->n, sizeof *c->pieces, by_weight);
    plan->shards = ph_arena_calloc(&plan->arena, c->n + 1, sizeof *plan->shards);
    plan->shard_lo = ph_arena_calloc(&plan->arena, c->n + 1, sizeof *plan->shard_lo);
    plan->shard_hi = ph_arena_calloc(&plan->arena, c->n + 1, sizeof *plan->shard_hi);
    plan->n_shards = (int)c->n;
    for (size_t i = 0; i < c->n; i++) {
        plan->shards[i] = c->pieces[i].shard;
        plan->shards[i].id = (int64_t)i + 1;
        plan->shard_lo[i] = c->pieces[i].lo;
        plan->shard_hi[i] = c->pieces[i].hi;
    }
}

/* `forecast` is the number of shards that the plan spoke of. A table that it took for one shard
 * stays one, whatever it has grown to: nothing was asked about it. */
static bool stays_whole(const struct ph_table *t)
{
    return t->split == PH_SPLIT_NONE || t->split == PH_SPLIT_AUTO || t->n_shards <= 1;
}

static bool cut_one(struct cutter *c, struct ph_table *t, const struct ph_cut_size *size,
                    int forecast, struct ph_err *err)
{
    switch (t->split) {
    case PH_SPLIT_BLOCK:
        return cut_blocks(c, t, size, err);
    case PH_SPLIT_KEY:
        return cut_keys(c, t, size, forecast, err);
    case PH_SPLIT_HASH:
        return cut_hash(c, t, size, forecast, err);
    case PH_SPLIT_AUTO:
    case PH_SPLIT_NONE:
        break;
    }
    return add_whole(c, t, size->bytes, err);
}

static bool cut_all(struct cutter *c, struct ph_err *err)
{
    struct ph_plan *plan = c->plan;
    struct ph_cut_list list = {0};
    size_t room = (size_t)plan->n_tables + 1;
    list.table = ph_arena_calloc(&plan->arena, room, sizeof *list.table);
    for (int i = 0; i < plan->n_tables; i++)
        if (!stays_whole(&plan->tables[i]))
            list.table[list.n++] = i;
    struct ph_cut_size *sizes = ph_arena_calloc(&plan->arena, room, sizeof *sizes);
    if (!ph_cut_read_sizes(plan, &list, c->source, sizes, err))
        return false;
    for (int i = 0, at = 0; i < plan->n_tables; i++) {
        struct ph_table *t = &plan->tables[i];
        bool cut = at < list.n && list.table[at] == i;
        int forecast = t->n_shards;
        t->n_shards = 0;
        if (!(cut ? cut_one(c, t, &sizes[at], forecast, err) : add_whole(c, t, t->bytes, err)))
            return false;
        at += cut;
    }
    return true;
}

bool ph_plan_cut(struct ph_plan *plan, struct ph_conn *source, struct ph_err *err)
{
    struct cutter c = {.plan = plan, .source = source};
    bool ok = cut_all(&c, err);
    if (ok)
        hand_over(&c);
    free(c.pieces);
    ph_buf_fini(&c.text);
    return ok;
}
