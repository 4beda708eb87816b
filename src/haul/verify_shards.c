/* Shards whose rows in the target are not those of their receipts: these alone are compared.
 *
 * The other shards are proven. So the source is read where the bad shards are, and the target for
 * rows that are not of a proven one; whatever does not meet there is a difference of the tables.
 * That is true as long as the source's shards still hold what they held: their fingerprints are
 * compared with the receipts first.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "haul/verify_run.h"
#include "pg/sql.h"

enum { MOST_SHARDS = 2000, XMIN_AT = 10 + 4 /* behind a ctid, and its own length */ };

struct shards {
    struct ph_verify *v;
    struct ph_unit *unit;
    struct ph_readout_rel *rels;
    int *receipt;             /* by rel: the source's */
    struct ph_tally *tallies; /* by worker and receipt */
    struct ph_meeting *meeting;
};

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct shards *s = arg;
    const struct ph_unit *unit = s->unit;
    if (row->rel->side == PH_READ_TARGET) {
        uint32_t xid;
        memcpy(&xid, row->lead + XMIN_AT, sizeof xid);
        int i = ph_back_find(unit, be32toh(xid));
        if (i < unit->n_receipts && !unit->bad[i])
            return;
    } else {
        int i = s->receipt[row->rel - s->rels];
        struct ph_tally *t = &s->tallies[(size_t)worker * (size_t)unit->n_receipts + (size_t)i];
        t->rows++;
        t->bytes += row->bytes;
        t->hash_lo += row->hash_lo;
        t->hash_hi += row->hash_hi + (t->hash_lo < row->hash_lo);
    }
    ph_meeting_add(s->meeting, row->rel->side, ph_drill_key(unit, row), row->hash_hi ^ row->hash_lo,
                   ph_drill_place(row));
}

/* The source's relation of a receipt: -1 when it cannot be told. */
static int rel_of(const struct ph_unit *unit, const struct ph_ledger_receipt *r)
{
    for (int i = 0; i < unit->n_tables; i++)
        if (unit->loads[i] && unit->loads[i]->job == r->job && unit->loads[i]->tab == r->tab)
            return unit->loads[i]->source_filenode == unit->tables[i]->source_filenode ? i : -1;
    return -1;
}

/* Rows that are not of a proven shard; the server's look spares sending the others. */
static const char *strays(struct ph_verify *v, const struct ph_unit *unit)
{
    struct ph_buf sql = {0};
    int n = 0;
    ph_buf_add(&sql, "NOT xmin OPERATOR(pg_catalog.=) ANY ('{");
    for (int i = 0; i < unit->n_receipts; i++)
        if (!unit->bad[i])
            ph_sql_add(&sql, "%s%U", n++ ? "," : "", unit->receipts[i].xid & 0xffffffff);
    ph_buf_add(&sql, "}'::pg_catalog.xid[])");
    const char *text = n ? ph_arena_strdup(v->arena, sql.data) : NULL;
    ph_buf_fini(&sql);
    return text;
}

static const char *both(struct ph_verify *v, const char *a, const char *b)
{
    if (!a || !*b)
        return a ? a : *b ? b : NULL;
    return ph_arena_printf(v->arena, "(%s\n) AND (%s)", a, b);
}

/* What is read; 0 when it is not possible. */
static int make_rels(struct shards *s)
{
    struct ph_verify *v = s->v;
    const struct ph_unit *unit = s->unit;
    int n = 0, room = unit->n_receipts + unit->n_rels[PH_READ_TARGET];
    s->rels = ph_arena_calloc(v->arena, (size_t)room, sizeof *s->rels);
    s->receipt = ph_arena_calloc(v->arena, (size_t)room, sizeof *s->receipt);
    for (int i = 0; i < unit->n_receipts; i++) {
        int rel = unit->bad[i] ? rel_of(unit, &unit->receipts[i]) : 0;
        if (rel < 0)
            return 0;
        if (!unit->bad[i])
            continue;
        s->rels[n] = ph_unit_readout(v, unit, PH_READ_SOURCE, rel, true);
        s->rels[n].where = both(v, s->rels[n].where, unit->receipts[i].where);
        s->rels[n].by_tid = false;
        s->receipt[n++] = i;
    }
    const char *where = strays(v, unit);
    for (int k = 0; k < unit->n_rels[PH_READ_TARGET]; k++) {
        struct ph_readout_rel *r = &s->rels[n++];
        *r = ph_unit_readout(v, unit, PH_READ_TARGET, k, true);
        bool keys = r->n_lead > 1;
        r->lead = ph_arena_printf(v->arena, "ctid, xmin%s%s", keys ? ", " : "",
                                  keys ? unit->rels[PH_READ_TARGET][k].keys : "");
        r->n_lead++;
        r->n_skip++;
        r->where = where;
    }
    return n;
}

/* Whether the source's shards still are what the receipts say. */
static bool stands_still(const struct shards *s, int jobs)
{
    const struct ph_unit *unit = s->unit;
    for (int i = 0; i < unit->n_receipts; i++) {
        struct ph_tally sum = {0};
        const struct ph_tally *was = &unit->receipts[i].tally;
        if (!unit->bad[i])
            continue;
        for (int w = 0; w < jobs; w++)
            ph_tally_merge(&sum, &s->tallies[(size_t)w * (size_t)unit->n_receipts + (size_t)i]);
        if (sum.rows != was->rows || sum.hash_lo != was->hash_lo || sum.hash_hi != was->hash_hi)
            return false;
    }
    return true;
}

static bool fits(const struct ph_verify *v, const struct ph_unit *unit)
{
    uint64_t rows = unit->stray;
    int bad = 0;
    for (int i = 0; i < unit->n_receipts; i++) {
        rows += unit->bad[i] ? unit->receipts[i].tally.rows : 0;
        bad += unit->bad[i];
    }
    return rows <= ph_drill_room(v) && bad <= MOST_SHARDS && unit->n_receipts - bad <= MOST_SHARDS;
}

bool ph_verify_shards(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds, bool *done,
                      struct ph_err *err)
{
    struct shards s = {.v = v, .unit = unit};
    struct ph_odds found = {0};
    *done = false;
    if (unit->text || !fits(v, unit)) /* of text we have no fingerprints of both sides */
        return true;
    int n = make_rels(&s);
    if (n == 0)
        return true;
    const struct ph_readout_opts opts = ph_verify_readout(v);
    s.tallies = calloc((size_t)opts.most_jobs * (size_t)unit->n_receipts + 1, sizeof *s.tallies);
    s.meeting = ph_meeting_new();
    bool ok = (s.tallies && s.meeting) || ph_err_nomem(err);
    ok = ok && ph_readout_run(&opts, s.rels, n, visit, &s, err);
    if (ok && stands_still(&s, opts.most_jobs)) {
        ok =
            ph_meeting_harvest(s.meeting, &found, err) && ph_drill_take(v, unit, &found, odds, err);
        unit->result->why = "some of its shards are not as their receipts say";
        *done = true;
    }
    ph_meeting_free(s.meeting);
    free(s.tallies);
    free(found.items);
    return ok;
}
