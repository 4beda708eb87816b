/* From buckets that differ to rows that differ.
 *
 * The buckets are read again on both sides under the snapshots of the survey. Rows meet in a table
 * of hashes: what both sides have as often leaves nothing behind; what is left are the differences,
 * each with the place of the row, by which it can be fetched later. The table is bounded: buckets
 * that would not fit together are read one group after the other, and one that would not fit alone
 * in slices of its keys' hashes.
 */
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "haul/verify_run.h"
#include "pg/sql.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

enum { STRIPES = 64, FIRST_SLOTS = 64, MOST_RANGES = 100 };
/* At worst: a table that has just doubled, its odds, and what sorting them takes. */
enum { BYTES_PER_ROW = 5 * sizeof(struct ph_odd) };
static const uint64_t least_memory = (uint64_t)8 << 20;

/* A table of odds: open addressing, locked for itself, chosen by the key's hash. */
struct stripe {
    pthread_mutex_t lock;
    struct ph_odd *slots; /* unused: no counts */
    size_t n, room;       /* room is a power of two */
};

struct drill {
    const struct ph_unit *unit;
    const bool *in_group; /* by bucket */
    uint64_t slice, slices;
    struct stripe stripes[STRIPES];
    _Atomic bool no_memory;
};

static bool is_used(const struct ph_odd *slot)
{
    return slot->count[0] || slot->count[1];
}

static struct ph_odd *find_slot(struct ph_odd *slots, size_t room, uint64_t key, uint64_t row)
{
    size_t i = (size_t)(key ^ row * 0x9E3779B97F4A7C15u) & (room - 1);
    while (is_used(&slots[i]) && (slots[i].key != key || slots[i].row != row))
        i = (i + 1) & (room - 1);
    return &slots[i];
}

/* Straight from the kernel and back to it: the heaps of threads keep what they have had. */
static struct ph_odd *new_slots(size_t room)
{
    void *slots = mmap(NULL, room * sizeof(struct ph_odd), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return slots == MAP_FAILED ? NULL : slots;
}

static void free_slots(struct stripe *s)
{
    if (s->slots)
        munmap(s->slots, s->room * sizeof *s->slots);
    s->slots = NULL;
    s->n = s->room = 0;
}

static bool grow(struct stripe *s)
{
    size_t room = s->room ? s->room * 2 : FIRST_SLOTS, n = s->n;
    struct ph_odd *slots = new_slots(room);
    if (!slots)
        return false;
    for (size_t i = 0; i < s->room; i++)
        if (is_used(&s->slots[i]))
            *find_slot(slots, room, s->slots[i].key, s->slots[i].row) = s->slots[i];
    free_slots(s);
    s->slots = slots;
    s->room = room;
    s->n = n;
    return true;
}

static struct ph_place place_of(const struct ph_readout_row *row)
{
    uint32_t block;
    uint16_t offset;
    memcpy(&block, row->lead + 4, sizeof block); /* behind the length of the ctid */
    memcpy(&offset, row->lead + 8, sizeof offset);
    return (struct ph_place){be32toh(block), be16toh(offset), (uint16_t)row->rel->number};
}

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct drill *d = arg;
    const struct ph_unit *unit = d->unit;
    (void)worker;
    uint64_t key = unit->first->n_identity ? XXH3_64bits(row->key, row->key_len) : row->hash_lo;
    int bucket = unit->n_buckets > 1 ? ph_survey_bucket(unit, row->key, row->key_len, key) : 0;
    if (!d->in_group[bucket] || (key >> 20) % d->slices != d->slice)
        return;
    uint64_t content = row->hash_hi ^ row->hash_lo;
    struct stripe *s = &d->stripes[key >> 58];
    pthread_mutex_lock(&s->lock);
    if (s->n * 3 >= s->room * 2 && !grow(s)) {
        atomic_store(&d->no_memory, true);
    } else {
        struct ph_odd *slot = find_slot(s->slots, s->room, key, content);
        s->n += !is_used(slot);
        slot->key = key;
        slot->row = content;
        slot->count[row->rel->side]++;
        slot->place[row->rel->side] = place_of(row);
    }
    pthread_mutex_unlock(&s->lock);
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
    if (!ph_readout_run(&opts, rels, n, visit, d, err))
        return false;
    return !atomic_load(&d->no_memory) || ph_err_nomem(err);
}

/* What is left. */

static int order_odds(const void *a, const void *b)
{
    const struct ph_odd *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

size_t ph_odds_group(const struct ph_odds *odds, size_t at, struct ph_verdict *out)
{
    size_t n = 0;
    uint64_t count[2] = {0, 0};
    while (at + n < odds->n && odds->items[at + n].key == odds->items[at].key) {
        count[0] += odds->items[at + n].count[0];
        count[1] += odds->items[at + n].count[1];
        n++;
    }
    uint64_t changed = count[0] < count[1] ? count[0] : count[1];
    *out = (struct ph_verdict){
        .missing = count[0] - changed, .extra = count[1] - changed, .changed = changed};
    return n;
}

/* Empties the stripes into a sorted list of what does not match. */
static bool harvest(struct drill *d, struct ph_odds *odds, struct ph_err *err)
{
    size_t room = 0;
    for (int i = 0; i < STRIPES; i++)
        for (size_t k = 0; k < d->stripes[i].room; k++)
            room += d->stripes[i].slots[k].count[0] != d->stripes[i].slots[k].count[1];
    *odds = (struct ph_odds){.items = calloc(room + 1, sizeof *odds->items), .room = room};
    if (!odds->items)
        return ph_err_nomem(err);
    for (int i = 0; i < STRIPES; i++) {
        for (size_t k = 0; k < d->stripes[i].room; k++) {
            struct ph_odd odd = d->stripes[i].slots[k];
            uint32_t same = odd.count[0] < odd.count[1] ? odd.count[0] : odd.count[1];
            odd.count[0] -= same;
            odd.count[1] -= same;
            if (is_used(&odd))
                odds->items[odds->n++] = odd;
        }
        free_slots(&d->stripes[i]);
    }
    qsort(odds->items, odds->n, sizeof *odds->items, order_odds);
    return true;
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
static bool take(struct ph_unit *unit, const struct ph_odds *found, struct ph_odds *kept,
                 size_t most, struct ph_err *err)
{
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
                        struct ph_odds *odds, size_t most, struct ph_err *err)
{
    struct ph_odds found = {0};
    bool ok = read_group(v, unit, d, err) && harvest(d, &found, err) &&
              take(unit, &found, odds, most, err);
    free(found.items);
    for (int i = 0; i < STRIPES; i++)
        free_slots(&d->stripes[i]);
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
    uint64_t memory = v->run.gate.limit / 2;
    uint64_t most = (memory > least_memory ? memory : least_memory) / BYTES_PER_ROW;
    size_t keep =
        v->opts->repair || v->opts->recheck_s > 0 ? (size_t)most : (size_t)v->opts->max_differences;
    bool *in_group = calloc((size_t)unit->n_buckets, sizeof *in_group);
    struct drill *d = calloc(1, sizeof *d);
    bool ok = (in_group && d) || ph_err_nomem(err);
    for (int i = 0; ok && i < STRIPES; i++)
        pthread_mutex_init(&d->stripes[i].lock, NULL);
    struct ph_verify_table *r = unit->result;
    r->missing = r->extra = r->changed = r->extra_ignored = 0;
    for (int at = 0; ok && at < unit->n_buckets;) {
        uint64_t weight = next_group(unit, in_group, &at, most);
        if (weight == 0)
            break;
        uint64_t slices = (weight + most - 1) / most;
        for (uint64_t slice = 0; ok && slice < slices; slice++) {
            d->unit = unit;
            d->in_group = in_group;
            d->slice = slice;
            d->slices = slices;
            ok = drill_slice(v, unit, d, odds, keep, err);
        }
    }
    for (int i = 0; d && in_group && i < STRIPES; i++)
        pthread_mutex_destroy(&d->stripes[i].lock);
    free(in_group);
    free(d);
    return ok;
}
