/* From buckets that differ to rows that differ.
 *
 * The buckets are read again on both sides under the snapshots of the survey. Rows meet in a table
 * of hashes: what both sides have as often leaves nothing behind; what is left are the differences,
 * each with the place of the row, by which it can be fetched later. The table is bounded: buckets
 * that would not fit together are read one group after the other, and one that would not fit alone
 * in slices of its keys' hashes.
 */
#include <endian.h>
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

enum { MOST_RANGES = 100 };
static const uint64_t least_memory = (uint64_t)8 << 20;

struct drill {
    const struct ph_unit *unit;
    const bool *in_group; /* by bucket */
    uint64_t slice, slices;
    struct ph_meeting *meeting;
};

/* Half of the memory is for this. */
uint64_t ph_drill_room(const struct ph_verify *v)
{
    uint64_t memory = v->run.gate.limit / 2;
    return (memory > least_memory ? memory : least_memory) / PH_MEETING_ROW;
}

uint64_t ph_drill_key(const struct ph_unit *unit, const struct ph_readout_row *row)
{
    return unit->first->n_identity ? XXH3_64bits(row->key, row->key_len) : row->hash_lo;
}

struct ph_spot ph_drill_place(const struct ph_readout_row *row)
{
    uint32_t block;
    uint16_t offset;
    memcpy(&block, row->lead + 4, sizeof block); /* behind the length of the ctid */
    memcpy(&offset, row->lead + 8, sizeof offset);
    return (struct ph_spot){be32toh(block), be16toh(offset), (uint16_t)row->rel->number};
}

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct drill *d = arg;
    const struct ph_unit *unit = d->unit;
    (void)worker;
    uint64_t key = ph_drill_key(unit, row);
    int bucket = unit->n_buckets > 1 ? ph_survey_bucket(unit, row->key, 0, key) : 0;
    if (d->in_group[bucket] && (key >> 20) % d->slices == d->slice)
        ph_meeting_add(d->meeting, row->rel->side, key, row->hash_hi ^ row->hash_lo,
                       ph_drill_place(row));
}

/* What is read. */

static void add_bound(const struct ph_unit *unit, struct ph_buf *sql, uint64_t bound)
{
    if (unit->order == PH_ORDER_INTEGER)
        ph_sql_add(sql, "(%D)", (int64_t)(bound ^ (uint64_t)1 << 63));
    else
        ph_buf_addf(sql, "'%08x-%04x-%04x-0000-000000000000'::pg_catalog.uuid",
                    (unsigned)(bound >> 32), (unsigned)(bound >> 16) & 0xffff,
                    (unsigned)bound & 0xffff);
}

/* One run of buckets [lo, hi]: its range of keys. */
static void add_range(const struct ph_unit *unit, struct ph_buf *sql, const char *key, int lo,
                      int hi)
{
    ph_buf_add(sql, sql->len ? " OR (" : "(");
    const char *word = "";
    if (lo > 0) {
        ph_sql_add(sql, "%s OPERATOR(pg_catalog.>=) ", key);
        add_bound(unit, sql, unit->bounds[lo - 1]);
        word = " AND ";
    }
    if (hi < unit->n_buckets - 1) {
        ph_sql_add(sql, "%s%s OPERATOR(pg_catalog.<) ", word, key);
        add_bound(unit, sql, unit->bounds[hi]);
        word = " AND ";
    }
    if (!*word)
        ph_buf_add(sql, "true");
    if (lo == 0)
        ph_sql_add(sql, " OR %s IS NULL", key);
    ph_buf_addc(sql, ')');
}

/* A condition on the key that the group's rows satisfy, and few others; NULL when reading all is
 * as good. */
static const char *condition(struct ph_verify *v, const struct ph_unit *unit, const bool *in_group,
                             int side)
{
    const struct ph_plan_column *c;
    struct ph_buf key = {0}, sql = {0};
    uint64_t all = 0, wanted = 0;
    int ranges = 0;
    if (unit->order == PH_ORDER_NONE || unit->n_buckets < 2)
        return NULL;
    for (int i = 0; i < unit->n_buckets; i++) {
        all += unit->weight[i];
        wanted += in_group[i] ? unit->weight[i] : 0;
        ranges += in_group[i] && (i == 0 || !in_group[i - 1]);
    }
    if (ranges > MOST_RANGES || wanted > all / 4)
        return NULL;
    c = &unit->first->columns[unit->first->identity[0]];
    ph_sql_add(&key, "%I", side == PH_READ_SOURCE ? c->source : c->name);
    for (int lo = 0, hi; lo < unit->n_buckets; lo = hi + 1) {
        hi = lo;
        if (!in_group[lo])
            continue;
        while (hi + 1 < unit->n_buckets && in_group[hi + 1])
            hi++;
        add_range(unit, &sql, key.data, lo, hi);
    }
    const char *text = ph_arena_strdup(v->arena, sql.data);
    ph_buf_fini(&key);
    ph_buf_fini(&sql);
    return text;
}

static const char *both(struct ph_verify *v, const char *a, const char *b)
{
    if (!a || !b)
        return a ? a : b;
    return ph_arena_printf(v->arena, "(%s\n) AND (%s)", a, b);
}

static bool read_group(struct ph_verify *v, struct ph_unit *unit, struct drill *d,
                       struct ph_err *err)
{
    int n = 0, room = unit->n_rels[0] + unit->n_rels[1];
    struct ph_readout_rel *rels = ph_arena_calloc(v->arena, (size_t)room, sizeof *rels);
    for (int side = 0; side < 2; side++) {
        const char *range = condition(v, unit, d->in_group, side);
        for (int k = 0; k < unit->n_rels[side]; k++) {
            rels[n] = ph_unit_readout(v, unit, side, k, true);
            rels[n].where = both(v, rels[n].where, range);
            if (range)
                rels[n].by_tid = false; /* an index serves better */
            n++;
        }
    }
    const struct ph_readout_opts opts = ph_verify_readout(v);
    return ph_readout_run(&opts, rels, n, visit, d, err);
}

/* At a second look only those count that differed at the first. */
static bool is_suspect(const struct ph_unit *unit, uint64_t key)
{
    size_t lo = 0, hi = unit->n_suspects;
    if (!unit->suspects)
        return true;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (unit->suspects[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < unit->n_suspects && unit->suspects[lo] == key;
}

/* Counts what was found, and keeps what is still of use. */
bool ph_drill_take(struct ph_verify *v, struct ph_unit *unit, const struct ph_odds *found,
                   struct ph_odds *kept, struct ph_err *err)
{
    size_t most = v->opts->repair || v->opts->recheck_s > 0 ? (size_t)ph_drill_room(v)
                                                            : (size_t)v->opts->max_differences;
    struct ph_verify_table *r = unit->result;
    struct ph_verdict verdict;
    for (size_t at = 0, n; at < found->n; at += n) {
        n = ph_odds_group(found, at, &verdict);
        if (!is_suspect(unit, found->items[at].key))
            continue;
        r->missing += verdict.missing;
        r->changed += verdict.changed;
        *(unit->ignore_extra ? &r->extra_ignored : &r->extra) += verdict.extra;
        bool ignored = unit->ignore_extra && verdict.missing + verdict.changed == 0;
        if (ignored || kept->n >= most)
            continue;
        if (kept->n + n > kept->room) {
            size_t room = kept->room * 2 > kept->n + n ? kept->room * 2 : kept->n + n;
            struct ph_odd *bigger = realloc(kept->items, room * sizeof *bigger);
            if (!bigger)
                return ph_err_nomem(err);
            kept->items = bigger;
            kept->room = room;
        }
        memcpy(kept->items + kept->n, found->items + at, n * sizeof *kept->items);
        kept->n += n;
    }
    return true;
}

static bool drill_slice(struct ph_verify *v, struct ph_unit *unit, struct drill *d,
                        struct ph_odds *odds, struct ph_err *err)
{
    struct ph_odds found = {0};
    d->meeting = ph_meeting_new();
    bool ok = (d->meeting || ph_err_nomem(err)) && read_group(v, unit, d, err) &&
              ph_meeting_harvest(d->meeting, &found, err) &&
              ph_drill_take(v, unit, &found, odds, err);
    ph_meeting_free(d->meeting);
    free(found.items);
    return ok;
}

/* The next buckets that differ, as many as fit together; *at goes behind them. */
static uint64_t next_group(const struct ph_unit *unit, bool *in_group, int *at, uint64_t most)
{
    uint64_t weight = 0;
    memset(in_group, 0, (size_t)unit->n_buckets * sizeof *in_group);
    for (; *at < unit->n_buckets; (*at)++) {
        if (!unit->differing[*at])
            continue;
        if (weight > 0 && weight + unit->weight[*at] > most)
            break;
        in_group[*at] = true;
        weight += unit->weight[*at];
    }
    return weight;
}

bool ph_verify_drill(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds,
                     struct ph_err *err)
{
    uint64_t most = ph_drill_room(v);
    bool *in_group = calloc((size_t)unit->n_buckets, sizeof *in_group);
    struct ph_verify_table *r = unit->result;
    bool ok = in_group || ph_err_nomem(err);
    r->missing = r->extra = r->changed = r->extra_ignored = 0;
    for (int at = 0; ok && at < unit->n_buckets;) {
        uint64_t weight = next_group(unit, in_group, &at, most);
        if (weight == 0)
            break;
        uint64_t slices = (weight + most - 1) / most;
        for (uint64_t slice = 0; ok && slice < slices; slice++) {
            struct drill d = {.unit = unit, .in_group = in_group, .slice = slice, .slices = slices};
            ok = drill_slice(v, unit, &d, odds, err);
        }
    }
    free(in_group);
    return ok;
}
