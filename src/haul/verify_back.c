/* Readback: the target against the receipts.
 *
 * A shard's rows cannot be found in the target by the range that they had in the source; but they
 * carry the transaction that wrote them. So the target is read once, in ranges of TIDs, xmin in
 * front of each row, and the rows are added up by receipt. What was loaded as text is read as text:
 * a type that does not write what it has read (or by a rule of its own database) differs then from
 * its receipt, and both sides are compared, as is done for whatever differs. Where the sum over all rows is that of
 * all receipts, the table is as it was sent, whoever may have touched it without changing it.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "haul/verify_run.h"

static void add_row(struct ph_tally *tally, const struct ph_readout_row *row)
{
    tally->rows++;
    tally->bytes += row->bytes;
    tally->hash_lo += row->hash_lo;
    tally->hash_hi += row->hash_hi + (tally->hash_lo < row->hash_lo);
}

static bool same_tally(const struct ph_tally *a, const struct ph_tally *b)
{
    return a->rows == b->rows && a->bytes == b->bytes && a->hash_lo == b->hash_lo &&
           a->hash_hi == b->hash_hi;
}

/* Whether the job selected the rows of this table as we do: by the same filter and expressions. */
static bool same_selection(const struct ph_verify *v, const struct ph_table *t,
                           const struct ph_ledger_load *load)
{
    const char *const keys[] = {"filter", "mapping"};
    if (!strcmp(v->run.plan->definition, load->definition))
        return true;
    json_t *sides[2] = {json_loads(v->run.plan->definition, 0, NULL),
                        json_loads(load->definition, 0, NULL)};
    const json_t *found[2] = {NULL, NULL};
    bool same = true;
    for (int i = 0; i < 2; i++) {
        size_t n;
        json_t *entry;
        json_array_foreach(json_object_get(sides[i], "tables"), n, entry)
        {
            const char *source = json_string_value(json_object_get(entry, "source"));
            if (source && !strcmp(source, t->root_source))
                found[i] = entry;
        }
    }
    for (int k = 0; k < 2; k++) {
        const json_t *a = json_object_get(found[0], keys[k]);
        const json_t *b = json_object_get(found[1], keys[k]);
        same = same && ((!a && !b) || json_equal(a, b));
    }
    json_decref(sides[0]);
    json_decref(sides[1]);
    return same;
}

/* Why receipts alone cannot prove this unit; NULL when they can. */
static const char *why_not(const struct ph_verify *v, struct ph_unit *unit)
{
    for (int i = 0; i < unit->n_tables; i++) {
        const struct ph_table *t = unit->tables[i];
        const struct ph_ledger_load *load = unit->loads[i];
        if (!load)
            return "no job of the ledger has loaded it";
        if (!load->same_target)
            return "the target was truncated, rewritten or made anew since it was loaded";
        if (!strcmp(load->mode, "upsert"))
            return "an upsert leaves rows alone that are equal already";
        if (!same_selection(v, t, load))
            return "another selection of rows was loaded than is compared";
        if (load->target_oid != t->target_oid || strcmp(load->target_columns, t->target_columns) ||
            strcmp(load->select_list, t->select_list))
            return "other columns were loaded than are compared";
        bool text = strcmp(load->format, "binary") != 0;
        if (i > 0 && text != unit->text)
            return "some of its parts were loaded as text, some were not";
        unit->text = text;
        for (int c = 0; c < t->n_columns && !text; c++)
            if (t->columns[c].by_text && !t->columns[c].generated)
                return "its types have other bytes in each database";
    }
    return NULL;
}

static int order_receipts(const void *a, const void *b)
{
    uint32_t x = (uint32_t)((const struct ph_ledger_receipt *)a)->xid;
    uint32_t y = (uint32_t)((const struct ph_ledger_receipt *)b)->xid;
    return (x > y) - (x < y);
}

/* Reads the receipts of all tables of a unit; *whole says that every shard has one. */
static bool read_receipts(struct ph_verify *v, struct ph_unit *unit, bool *whole,
                          struct ph_err *err)
{
    int n = 0;
    *whole = true;
    unit->receipts = NULL;
    unit->n_receipts = 0;
    for (int i = 0; i < unit->n_tables; i++) {
        struct ph_ledger_receipt *part;
        if (!unit->loads[i]) {
            *whole = false;
            continue;
        }
        if (!ph_ledger_receipts(v->run.target, v->arena, unit->loads[i], &part, &n, err))
            return false;
        struct ph_ledger_receipt *all =
            ph_arena_calloc(v->arena, (size_t)(unit->n_receipts + n), sizeof *all);
        if (unit->n_receipts)
            memcpy(all, unit->receipts, (size_t)unit->n_receipts * sizeof *all);
        if (n)
            memcpy(all + unit->n_receipts, part, (size_t)n * sizeof *all);
        unit->receipts = all;
        unit->n_receipts += n;
    }
    for (int i = 0; i < unit->n_receipts; i++)
        *whole = *whole && unit->receipts[i].landed;
    if (unit->n_receipts)
        qsort(unit->receipts, (size_t)unit->n_receipts, sizeof *unit->receipts, order_receipts);
    return true;
}

static struct ph_tally sum_receipts(const struct ph_unit *unit)
{
    struct ph_tally sum = {0};
    for (int i = 0; i < unit->n_receipts; i++)
        if (unit->receipts[i].landed)
            ph_tally_merge(&sum, &unit->receipts[i].tally);
    return sum;
}

bool ph_verify_receipts(struct ph_verify *v, struct ph_err *err)
{
    for (int i = 0; i < v->n_units; i++) {
        struct ph_unit *unit = &v->units[i];
        struct ph_verify_table *r = unit->result;
        bool whole = false, same = true;
        int landed = 0;
        if (!read_receipts(v, unit, &whole, err))
            return false;
        for (int k = 0; k < unit->n_tables; k++) {
            if (!unit->loads[k]) {
                ph_err_set(err, PH_WRONG, "there are no receipts for %s", r->source);
                return ph_err_hint(err, "no job of the ledger has loaded it; --level source "
                                        "compares the rows themselves");
            }
            same = same && unit->loads[k]->same_target;
        }
        for (int k = 0; k < unit->n_receipts; k++)
            landed += unit->receipts[k].landed;
        r->shards = unit->n_receipts;
        r->differing_shards = same ? r->shards - landed : r->shards;
        r->source_rows = r->target_rows = (int64_t)sum_receipts(unit).rows;
        r->coverage = r->shards ? (double)landed / r->shards : 1;
        r->equal = whole && same;
        r->proof = !same   ? "the target is not the file that was loaded any more"
                   : whole ? "every shard was accepted by the target as it was read"
                           : "some shards have not landed";
        unit->settled = true;
    }
    return true;
}

/* The reading. */

struct back_unit {
    const struct ph_unit *unit; /* NULL: not read back */
    size_t first;               /* of its tallies: one for each receipt, the last for other rows */
};

struct back {
    struct ph_verify *v;
    struct back_unit *units;
    size_t n_tallies;
    struct ph_tally *tallies; /* n_tallies of all chunks; then as many of each worker's chunk */
    int *last;                /* for each worker: the receipt that it found last */
};

int ph_back_find(const struct ph_unit *unit, uint32_t xid)
{
    int lo = 0, hi = unit->n_receipts;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if ((uint32_t)unit->receipts[mid].xid < xid)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool found = lo < unit->n_receipts && (uint32_t)unit->receipts[lo].xid == xid &&
                 unit->receipts[lo].landed;
    return found ? lo : unit->n_receipts;
}

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct back *back = arg;
    const struct back_unit *b = &back->units[row->rel->number];
    const struct ph_unit *unit = b->unit;
    uint32_t xid;
    if (row->rel->text) {
        xid = (uint32_t)strtoul(row->lead, NULL, 10); /* a tab ends it */
    } else {
        memcpy(&xid, row->lead + 4, sizeof xid); /* behind its length */
        xid = be32toh(xid);
    }
    int *last = &back->last[worker];
    if (*last >= unit->n_receipts || (uint32_t)unit->receipts[*last].xid != xid ||
        !unit->receipts[*last].landed)
        *last = ph_back_find(unit, xid);
    add_row(&back->tallies[(size_t)(worker + 1) * back->n_tallies + b->first + (size_t)*last], row);
}

static void ended(void *arg, int worker, const struct ph_readout_rel *rel, bool whole)
{
    struct back *back = arg;
    const struct back_unit *b = &back->units[rel->number];
    struct ph_tally *sum = back->tallies + b->first;
    struct ph_tally *part = sum + (size_t)(worker + 1) * back->n_tallies;
    size_t n = (size_t)b->unit->n_receipts + 1;
    for (size_t i = 0; whole && i < n; i++)
        ph_tally_merge(&sum[i], &part[i]);
    memset(part, 0, n * sizeof *part);
}

/* What sums of a unit's target are compared with. */
static void add_receipts(struct ph_buf *out, const struct ph_unit *unit)
{
    for (int i = 0; i < unit->n_receipts; i++) {
        const struct ph_ledger_receipt *r = &unit->receipts[i];
        const uint64_t all[] = {(uint64_t)r->job, (uint64_t)r->shard, r->xid,
                                r->tally.rows,    r->tally.hash_lo,   r->tally.hash_hi};
        ph_buf_addn(out, (const char *)all, sizeof all);
    }
}

static uint64_t count_rows(const void *sums, size_t size, int side)
{
    struct ph_tally tally;
    uint64_t rows = 0;
    for (size_t at = 0; side == PH_READ_TARGET && at < size; at += sizeof tally) {
        memcpy(&tally, (const char *)sums + at, sizeof tally);
        rows += tally.rows;
    }
    return rows;
}

static bool read_back(struct ph_verify *v, struct back *back, struct ph_err *err)
{
    int n = 0, room = 0;
    for (int i = 0; i < v->n_units; i++)
        room += back->units[i].unit ? v->units[i].n_rels[PH_READ_TARGET] : 0;
    struct ph_readout_rel *rels = ph_arena_calloc(v->arena, (size_t)room, sizeof *rels);
    for (int i = 0; i < v->n_units; i++)
        for (int k = 0; back->units[i].unit && k < v->units[i].n_rels[PH_READ_TARGET]; k++) {
            const struct ph_unit_rel *r = &v->units[i].rels[PH_READ_TARGET][k];
            rels[n++] = (struct ph_readout_rel){
                .side = PH_READ_TARGET,
                .from = r->from,
                .lead = "xmin",
                .select = r->back,
                .n_lead = 1,
                .n_columns = r->n_back,
                .text = v->units[i].text,
                .qualify = v->units[i].text && r->qualify,
                .by_tid = r->by_tid,
                .blocks = r->blocks,
                .number = i,
            };
        }
    size_t jobs = (size_t)v->most_jobs;
    struct ph_buf depends = {0};
    back->tallies = calloc(back->n_tallies * (jobs + 1) + 1, sizeof *back->tallies);
    back->last = calloc(jobs, sizeof *back->last);
    if (v->n_units == 1)
        add_receipts(&depends, &v->units[0]);
    const struct ph_reading reading = {
        .rels = rels,
        .n = n,
        .visit = visit,
        .ended = ended,
        .arg = back,
        .unit = v->n_units == 1 ? &v->units[0] : NULL,
        .stage = PH_READING_BACK,
        .sums = back->tallies,
        .sums_size = back->n_tallies * sizeof *back->tallies,
        .count = count_rows,
        .depends = depends.data,
        .depends_size = depends.len,
    };
    bool ok = back->tallies && back->last ? ph_verify_read(v, &reading, err) : ph_err_nomem(err);
    ph_buf_fini(&depends);
    return ok;
}

static void judge(struct ph_verify *v, struct ph_unit *unit, const struct ph_tally *seen)
{
    struct ph_verify_table *r = unit->result;
    struct ph_tally sum = seen[unit->n_receipts], sent = sum_receipts(unit);
    r->shards = unit->n_receipts;
    r->differing_shards = 0;
    unit->bad = ph_arena_calloc(v->arena, (size_t)unit->n_receipts, sizeof *unit->bad);
    unit->stray = sum.rows;
    for (int i = 0; i < unit->n_receipts; i++) {
        unit->bad[i] = !same_tally(&seen[i], &unit->receipts[i].tally);
        unit->stray += unit->bad[i] ? seen[i].rows : 0;
        r->differing_shards += unit->bad[i];
        ph_tally_merge(&sum, &seen[i]);
    }
    r->source_rows = (int64_t)sent.rows;
    r->target_rows = (int64_t)sum.rows;
    r->proof = unit->text ? "the target's rows are, as text, those that were read from the source"
                          : "the target's bytes are those that were read from the source";
    if (same_tally(&sum, &sent)) {
        r->differing_shards = 0;
        r->equal = unit->settled = true;
    } else if (unit->ignore_extra && r->differing_shards == 0) {
        r->extra_ignored = seen[unit->n_receipts].rows;
        r->equal = unit->settled = true;
    } else {
        r->why = "its fingerprints are not those of the receipts";
    }
}

bool ph_verify_back(struct ph_verify *v, struct ph_err *err)
{
    struct back back = {.v = v};
    int n = 0;
    back.units = ph_arena_calloc(v->arena, (size_t)v->n_units, sizeof *back.units);
    for (int i = 0; i < v->n_units; i++) {
        struct ph_unit *unit = &v->units[i];
        bool whole = true;
        if (unit->settled)
            continue;
        unit->result->why = why_not(v, unit);
        if (unit->result->why)
            continue;
        if (!read_receipts(v, unit, &whole, err))
            return false;
        if (!whole) {
            unit->result->why = "not all of its shards have landed";
            continue;
        }
        back.units[i] = (struct back_unit){unit, back.n_tallies};
        back.n_tallies += (size_t)unit->n_receipts + 1;
        n++;
    }
    bool ok = n == 0 || read_back(v, &back, err);
    for (int i = 0; ok && i < v->n_units; i++)
        if (back.units[i].unit)
            judge(v, &v->units[i], back.tallies + back.units[i].first);
    free(back.tallies);
    free(back.last);
    return ok;
}
