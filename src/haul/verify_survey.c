/* The survey: both sides are read once, and every row is added to a bucket that its key chooses.
 * Where a bucket's sum is the same on both sides, so are its rows: sums see a row that came twice.
 *
 * No server is asked about the order of keys, for two servers may have two opinions. Buckets are
 * ranges where the order of the key's bytes is beyond dispute (integers, uuids): a differing one can
 * then be read again without reading the rest. Else a hash of the key's bytes chooses.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haul/verify_run.h"
#include "pg/sql.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

enum { FEW_UNITS = 20, BIG_BLOCKS = 1024 };
/* Few hashed ones, for they serve memory alone, and these fit into the nearest cache. */
enum { MOST_HASHED = 512 };
/* Buckets: some thousand rows each; so many of all units together that memory stays small. */
enum {
    ROWS_PER_BUCKET = 1024,
    MOST_BUCKETS = 4096,
    BUCKETS_AT_ONCE = 1 << 16,
    BLOCKS_SAMPLED = 1024
};

struct bucket {
    uint64_t rows, hash_lo, hash_hi;
};

/* Keys as numbers. */

static uint64_t number_of(const char *p, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len && i < 8; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* The first field of a key as an unsigned number in the key's order. */
static inline uint64_t key_number(const struct ph_unit *unit, const char *key)
{
    uint64_t eight;
    uint32_t len, four;
    memcpy(&len, key, sizeof len);
    len = be32toh(len);
    if (len == UINT32_MAX)
        return 0; /* null: with the lowest ones */
    const char *value = key + sizeof len;
    if (unit->order == PH_ORDER_UUID || len == 0 || len >= 8) {
        memcpy(&eight, value, sizeof eight);
        eight = be64toh(eight);
        return unit->order == PH_ORDER_UUID || len != 8 ? eight : eight ^ (uint64_t)1 << 63;
    }
    if (len == 4) {
        memcpy(&four, value, sizeof four);
        return (uint64_t)(int64_t)(int32_t)be32toh(four) ^ (uint64_t)1 << 63;
    }
    uint64_t v = number_of(value, len), sign = (uint64_t)1 << (len * 8 - 1);
    uint64_t wide = v & sign ? v | ~(sign | (sign - 1)) : v;
    return wide ^ (uint64_t)1 << 63;
}

/* Rows that lie together mostly have keys that do: the bucket of the one before is looked at first. The
 * search has no branch that would have to be guessed. */
int ph_survey_bucket(const struct ph_unit *unit, const char *key, int near, uint64_t hash)
{
    if (unit->order == PH_ORDER_NONE)
        return (int)(hash & (uint64_t)(unit->n_buckets - 1));
    uint64_t v = key_number(unit, key);
    const uint64_t *bounds = unit->bounds, *at = bounds;
    int n = unit->n_buckets - 1;
    if ((near == 0 || bounds[near - 1] <= v) && (near == n || v < bounds[near]))
        return near;
    for (int half; n > 1; n -= half) {
        half = n / 2;
        at += at[half - 1] <= v ? half : 0;
    }
    return (int)(at - bounds) + (n == 1 && *at <= v);
}

/* Bounds, from the keys of some of the source's blocks. */

static uint64_t read_number(const struct ph_unit *unit, const char *text)
{
    if (unit->order == PH_ORDER_INTEGER)
        return (uint64_t)strtoll(text, NULL, 10) ^ (uint64_t)1 << 63;
    char digits[17] = {0};
    for (size_t n = 0; *text && n < 16; text++)
        if (*text != '-')
            digits[n++] = *text;
    return strtoull(digits, NULL, 16);
}

/* Up to n - 1 quantiles of the keys in some of the source's blocks, rising; the server sorts them. */
static bool sample_keys(struct ph_verify *v, struct ph_unit *unit, int n, struct ph_rows **rows,
                        struct ph_err *err)
{
    const struct ph_unit_rel *rels = unit->rels[PH_READ_SOURCE];
    const char *column = unit->first->columns[unit->first->identity[0]].source;
    struct ph_buf sql = {0};
    int64_t blocks = 0;
    for (int i = 0; i < unit->n_rels[PH_READ_SOURCE]; i++)
        blocks += rels[i].blocks;
    double percent = blocks > BLOCKS_SAMPLED ? 100.0 * BLOCKS_SAMPLED / (double)blocks : 100;
    char share[32];
    snprintf(share, sizeof share, "%.6f", percent);
    ph_sql_add(&sql,
               "SELECT pg_catalog.unnest(pg_catalog.percentile_disc((SELECT pg_catalog.array_agg("
               "pg_catalog.float8(i) OPERATOR(pg_catalog./) %d) FROM pg_catalog.generate_series(1,"
               " %d) i)) WITHIN GROUP (ORDER BY s.k)) FROM (",
               n, n - 1);
    for (int i = 0; i < unit->n_rels[PH_READ_SOURCE]; i++)
        ph_sql_add(&sql, "%sSELECT %I AS k FROM %s TABLESAMPLE SYSTEM (%s) REPEATABLE (1)",
                   i ? " UNION ALL " : "", column, rels[i].from, share);
    ph_buf_add(&sql, ") s");
    bool ok = ph_conn_query(v->run.source, sql.data, rows, err);
    ph_buf_fini(&sql);
    return ok;
}

static double rows_expected(const struct ph_unit *unit)
{
    double rows = 0;
    for (int i = 0; i < unit->n_tables; i++) {
        const struct ph_table *t = unit->tables[i];
        double by_size = (double)t->blocks * 40;
        rows += t->rows_estimate > by_size ? t->rows_estimate : by_size;
    }
    return rows;
}

/* Chooses the number of buckets, and their bounds where keys have an order. */
static bool choose_bounds(struct ph_verify *v, struct ph_unit *unit, struct ph_err *err)
{
    double want = rows_expected(unit) / ROWS_PER_BUCKET;
    bool heaps = true;
    for (int i = 0; i < unit->n_rels[PH_READ_SOURCE]; i++)
        heaps = heaps && unit->tables[i]->source_kind == 'r';
    if (!heaps)
        unit->order = PH_ORDER_NONE;
    int n = 1, most = unit->order == PH_ORDER_NONE ? MOST_HASHED : MOST_BUCKETS;
    while (n < most && n < want)
        n *= 2;
    unit->n_buckets = n;
    free(unit->bounds);
    unit->bounds = NULL;
    if (unit->order == PH_ORDER_NONE || n == 1)
        return true;
    struct ph_rows *keys = NULL;
    if (!sample_keys(v, unit, n, &keys, err))
        return false;
    unit->bounds = calloc((size_t)n, sizeof *unit->bounds);
    unit->n_buckets = 1;
    for (int i = 0; unit->bounds && i < ph_rows_count(keys); i++) {
        uint64_t bound = read_number(unit, ph_rows_text(keys, i, 0));
        int kept = unit->n_buckets - 1;
        if (kept == 0 || bound > unit->bounds[kept - 1])
            unit->bounds[unit->n_buckets++ - 1] = bound;
    }
    ph_rows_free(keys);
    return unit->bounds || ph_err_nomem(err);
}

/* Adding up. */

struct survey {
    struct ph_unit *units;  /* those that are surveyed now */
    int *first;             /* of their buckets */
    int *unit_of;           /* by readout rel's number */
    size_t n_buckets;       /* of all, on one side */
    int *near;              /* by worker and side: the bucket of the last row */
    struct bucket *buckets; /* by side and bucket: of all chunks; then of each worker's chunk */
};

/* Of one side: who 0 is all chunks, else worker + 1. */
static struct bucket *buckets_of(const struct survey *s, int who, int side)
{
    return s->buckets + ((size_t)who * 2 + (size_t)side) * s->n_buckets;
}

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct survey *s = arg;
    int u = s->unit_of[row->rel->number];
    const struct ph_unit *unit = &s->units[u];
    int at = 0;
    if (unit->n_buckets > 1) {
        bool hashed = unit->order == PH_ORDER_NONE;
        uint64_t hash = !hashed            ? 0
                        : row->key_len > 0 ? XXH3_64bits(row->key, row->key_len)
                                           : row->hash_lo;
        int *near = &s->near[worker * 2 + row->rel->side];
        at = *near = ph_survey_bucket(unit, row->key, *near < unit->n_buckets ? *near : 0, hash);
    }
    struct bucket *b = buckets_of(s, worker + 1, row->rel->side) + s->first[u] + at;
    b->rows++;
    b->hash_lo += row->hash_lo;
    b->hash_hi += row->hash_hi + (b->hash_lo < row->hash_lo);
}

static void merge(struct bucket *to, const struct bucket *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i].rows += from[i].rows;
        to[i].hash_lo += from[i].hash_lo;
        to[i].hash_hi += from[i].hash_hi + (to[i].hash_lo < from[i].hash_lo);
    }
}

static void ended(void *arg, int worker, const struct ph_readout_rel *rel, bool whole)
{
    struct survey *s = arg;
    int u = s->unit_of[rel->number];
    size_t n = (size_t)s->units[u].n_buckets;
    struct bucket *part = buckets_of(s, worker + 1, rel->side) + s->first[u];
    if (whole)
        merge(buckets_of(s, 0, rel->side) + s->first[u], part, n);
    memset(part, 0, n * sizeof *part);
}

/* What the buckets say of a unit; here[0] are the source's, here[1] the target's. */
static bool judge(struct ph_unit *unit, const struct bucket *const sides[2], bool moment,
                  struct ph_err *err)
{
    struct ph_verify_table *r = unit->result;
    size_t n = (size_t)unit->n_buckets;
    free(unit->differing);
    free(unit->weight);
    unit->differing = calloc(n, sizeof *unit->differing);
    unit->weight = calloc(n, sizeof *unit->weight);
    if (!unit->differing || !unit->weight)
        return ph_err_nomem(err);
    r->level = PH_VERIFY_SOURCE;
    r->source_rows = r->target_rows = 0;
    r->shards = (int)n;
    r->differing_shards = 0;
    for (size_t i = 0; i < n; i++) {
        const struct bucket *a = &sides[0][i], *b = &sides[1][i];
        bool same = a->rows == b->rows && a->hash_lo == b->hash_lo && a->hash_hi == b->hash_hi;
        unit->differing[i] = !same;
        unit->weight[i] = a->rows + b->rows;
        r->differing_shards += !same;
        r->source_rows += (int64_t)a->rows;
        r->target_rows += (int64_t)b->rows;
    }
    r->proof = moment ? "both sides have the same bytes, the source as of the job's snapshot"
                      : "both sides have the same bytes now";
    r->equal = r->differing_shards == 0;
    r->missing = r->extra = r->changed = r->extra_ignored = 0;
    r->n_differences = 0;
    unit->settled = r->equal;
    unit->surveyed = true;
    return true;
}

static uint64_t count_rows(const void *sums, size_t size, int side)
{
    struct bucket b;
    uint64_t rows = 0;
    for (size_t at = side ? size / 2 : 0, end = side ? size : size / 2; at < end; at += sizeof b) {
        memcpy(&b, (const char *)sums + at, sizeof b);
        rows += b.rows;
    }
    return rows;
}

static bool read_both(struct ph_verify *v, struct survey *s, int n_units, struct ph_err *err)
{
    int n = 0, room = 0;
    for (int i = 0; i < n_units; i++)
        room += s->units[i].n_rels[0] + s->units[i].n_rels[1];
    struct ph_readout_rel *rels = ph_arena_calloc(v->arena, (size_t)room, sizeof *rels);
    s->unit_of = ph_arena_calloc(v->arena, (size_t)room, sizeof *s->unit_of);
    for (int i = 0; i < n_units; i++)
        for (int side = 0; side < 2 && s->first[i] >= 0; side++)
            for (int k = 0; k < s->units[i].n_rels[side]; k++) {
                rels[n] = ph_unit_readout(v, &s->units[i], side, k, false);
                rels[n].number = n;
                s->unit_of[n++] = i;
            }
    s->buckets = calloc((size_t)(v->most_jobs + 1) * 2 * s->n_buckets + 1, sizeof *s->buckets);
    s->near = ph_arena_calloc(v->arena, (size_t)v->most_jobs * 2, sizeof *s->near);
    if (!s->buckets)
        return ph_err_nomem(err);
    const struct ph_unit *unit = &s->units[0];
    const struct ph_reading reading = {
        .rels = rels,
        .n = n,
        .visit = visit,
        .ended = ended,
        .arg = s,
        .unit = v->n_units == 1 ? s->units : NULL,
        .stage = PH_READING_SURVEY,
        .sums = s->buckets,
        .sums_size = 2 * s->n_buckets * sizeof *s->buckets,
        .count = count_rows,
        .depends = unit->bounds, /* how many there are the size of the sums tells */
        .depends_size = unit->bounds ? (size_t)(unit->n_buckets - 1) * sizeof *unit->bounds : 0,
    };
    return ph_verify_read(v, &reading, err);
}

/* Of many small tables the rows come over sooner than the servers are asked one by one. */
static bool is_big(const struct ph_unit *unit)
{
    int64_t blocks = 0;
    for (int i = 0; i < unit->n_rels[PH_READ_TARGET]; i++)
        blocks += unit->rels[PH_READ_TARGET][i].blocks;
    return blocks >= BIG_BLOCKS;
}

/* As many units as have buckets for at once; returns how many were looked at. */
static bool survey_some(struct ph_verify *v, int begin, int *end, struct ph_err *err)
{
    struct survey s = {.units = v->units + begin};
    s.first = ph_arena_calloc(v->arena, (size_t)(v->n_units - begin), sizeof *s.first);
    int i = begin;
    for (; i < v->n_units && (s.n_buckets == 0 || s.n_buckets < BUCKETS_AT_ONCE); i++) {
        struct ph_unit *unit = &v->units[i];
        bool done = unit->settled;
        bool by_servers = v->opts->in_server && (v->n_units <= FEW_UNITS || is_big(unit));
        if (!done && by_servers && !ph_verify_in_server(v, unit, &done, err))
            return false;
        if (done) {
            s.first[i - begin] = -1;
            continue;
        }
        if (!choose_bounds(v, unit, err))
            return false;
        s.first[i - begin] = (int)s.n_buckets;
        s.n_buckets += (size_t)unit->n_buckets;
    }
    *end = i;
    bool ok = s.n_buckets == 0 || read_both(v, &s, i - begin, err);
    for (int u = begin; ok && u < i && s.n_buckets > 0; u++) {
        int first = s.first[u - begin];
        if (first < 0)
            continue;
        const struct bucket *const sides[2] = {s.buckets + first, s.buckets + s.n_buckets + first};
        ok = judge(&v->units[u], sides, v->moment != NULL, err);
    }
    free(s.buckets);
    return ok;
}

bool ph_verify_survey(struct ph_verify *v, struct ph_err *err)
{
    for (int begin = 0, end; begin < v->n_units; begin = end)
        if (!survey_some(v, begin, &end, err))
            return false;
    return true;
}
