/* Mending: what differs is made as it is in the source, in one transaction for each unit.
 *
 * Rows of the target that are changed or extra are deleted, all of them first, then rows of the
 * source are copied in: so unique keys that cross from row to row cannot collide. A row is
 * known by its place under the snapshot of the look; that snapshot is held until the end, so no
 * place can have been given to another row, and a row that somebody has touched meanwhile is not
 * found there any more: then nothing is changed. Where foreign keys point here, a deletion could
 * take more with it: changed rows are updated in place then, and extra ones stay, unless --triggers
 * skip goes around the keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "haul/verify_run.h"
#include "pg/sql.h"

enum { PLACES_AT_ONCE = 5000 };

struct mend {
    struct ph_verify *v;
    struct ph_unit *unit;
    struct ph_odds *odds;
    struct ph_conn *conn; /* of the target: the transaction */
    bool in_place;        /* changed rows are updated */
    struct ph_throttle_hop hop;
    uint64_t inserted, deleted, updated;
};

/* Whether it may be done at all. */

/* What in the target would act on its own when rows are deleted or come in: foreign keys that point
 * here, triggers. */
static bool read_effects(const struct mend *m, int64_t *pointing, int64_t *triggers,
                         struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint"
                     " WHERE contype OPERATOR(pg_catalog.=) 'f'"
                     " AND confrelid OPERATOR(pg_catalog.=) ANY (r.o)),"
                     " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger"
                     " WHERE NOT tgisinternal AND tgenabled OPERATOR(pg_catalog.<>) 'D'"
                     " AND tgrelid OPERATOR(pg_catalog.=) ANY (r.o))"
                     " FROM (SELECT '{");
    int n = 0;
    for (int i = 0; i < m->unit->n_rels[PH_READ_TARGET]; i++)
        ph_sql_add(&sql, n++ ? ",%u" : "%u", m->unit->rels[PH_READ_TARGET][i].oid);
    for (int i = 0; i < m->unit->n_tables; i++)
        ph_sql_add(&sql, n++ ? ",%u" : "%u", m->unit->tables[i]->target_oid);
    ph_buf_add(&sql, "}'::pg_catalog.oid[] AS o) r");
    bool ok = ph_conn_query(m->conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    *pointing = ph_rows_int(rows, 0, 0);
    *triggers = ph_rows_int(rows, 0, 1);
    ph_rows_free(rows);
    return ok;
}

static bool refuse(struct mend *m, const char *why)
{
    m->unit->result->repair_refused = why;
    return false;
}

/* Whether rows go that nothing comes back for, with their key. */
static bool deletes_for_good(const struct ph_odds *odds)
{
    struct ph_verdict verdict;
    for (size_t at = 0; at < odds->n; at += ph_odds_group(odds, at, &verdict)) {
        ph_odds_group(odds, at, &verdict);
        if (verdict.extra > 0)
            return true;
    }
    return false;
}

/* True when mending may go ahead; false with a reason in the result, or an error. */
static bool may_mend(struct mend *m, bool *ok, struct ph_err *err)
{
    const struct ph_verify_table *r = m->unit->result;
    int64_t pointing = 0, triggers = 0;
    *ok = read_effects(m, &pointing, &triggers, err);
    if (!*ok)
        return false;
    if (r->n_only_source > 0)
        return refuse(m, "the target lacks a column: add it, or name the columns by --columns");
    for (int i = 0; i < m->unit->n_tables; i++)
        if (m->unit->loads[i] && m->unit->loads[i]->open)
            return refuse(m,
                          "its job is not complete: copy goes on with it, and would land rows that"
                          " were mended a second time");
    for (int i = 0; i < m->unit->n_tables; i++)
        for (int c = 0; c < m->unit->tables[i]->n_columns; c++)
            if (m->unit->tables[i]->columns[c].unfit)
                return refuse(m, "the types of the two sides do not fit");
    if (triggers > 0 && m->v->spec.triggers == PH_TRIGGERS_REFUSE)
        return refuse(m,
                      "triggers of the target would fire: say --triggers fire or --triggers skip");
    m->in_place = pointing > 0 && m->v->spec.triggers != PH_TRIGGERS_SKIP;
    if (m->in_place && deletes_for_good(m->odds))
        return refuse(m,
                      "foreign keys point at the target, and would act on rows that are replaced: "
                      "--triggers skip goes around them");
    return true;
}

/* A pause takes back what was done so far: it leaves no transaction open. */
static bool may_go_on(struct mend *m, struct ph_err *err)
{
    ph_verify_attend(m->v);
    return ph_throttle_wait(&m->hop, 0, 0, err);
}

/* Places, as the text of an array. */

/* The odds of one relation on one side, so many a time; calls act with each array's text. */
static bool each_places(struct mend *m, int side, int rel,
                        bool (*act)(struct mend *m, int rel, const char *places, uint64_t n,
                                    struct ph_err *err),
                        struct ph_err *err)
{
    struct ph_buf places = {0};
    uint64_t n = 0;
    bool ok = true;
    for (size_t i = 0; ok && i <= m->odds->n; i++) {
        const struct ph_odd *odd = i < m->odds->n ? &m->odds->items[i] : NULL;
        uint32_t copies = !odd || odd->place[side].rel != rel ? 0
                          : side == PH_READ_SOURCE
                              ? odd->count[side]
                              : odd->count[side] == 1; /* more: delete_copies */
        for (uint32_t c = 0; c < copies; c++, n++)
            ph_buf_addf(&places, "%s\"(%u,%u)\"", n ? "," : "", odd->place[side].block,
                        odd->place[side].offset);
        if (n == 0 || (odd && n < PLACES_AT_ONCE))
            continue;
        ok = may_go_on(m, err) && act(m, rel, places.data, n, err);
        ph_buf_clear(&places);
        n = 0;
    }
    ph_buf_fini(&places);
    return ok;
}

static bool touched(struct ph_err *err)
{
    ph_err_set(err, PH_FAILED, "rows of the target were changed while they were to be mended");
    err->transient = true;
    return ph_err_hint(err, "run the same command again");
}

static bool delete_places(struct mend *m, int rel, const char *places, uint64_t n,
                          struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "DELETE FROM %s WHERE ctid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.tid[])",
               m->unit->rels[PH_READ_TARGET][rel].from, places);
    bool ok = ph_conn_query(m->conn, sql.data, &rows, err);
    uint64_t gone = ph_rows_affected(rows);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    if (ok && gone != n)
        return touched(err);
    m->deleted += gone;
    return ok;
}

/* Of rows that are the same, byte by byte, in all columns that there are, so many go. */
static bool delete_copies(struct mend *m, const struct ph_odd *odd, struct ph_err *err)
{
    const struct ph_spot *p = &odd->place[PH_READ_TARGET];
    const char *from = m->unit->rels[PH_READ_TARGET][p->rel].from;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "DELETE FROM %s WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT"
               " pghaul_t.ctid FROM %s pghaul_t WHERE pghaul_t OPERATOR(pg_catalog.*=)"
               " (SELECT pghaul_x FROM %s pghaul_x WHERE pghaul_x.ctid OPERATOR(pg_catalog.=)"
               " '(%u,%d)'::pg_catalog.tid) LIMIT %u))",
               from, from, from, p->block, p->offset, odd->count[PH_READ_TARGET]);
    bool ok = ph_conn_query(m->conn, sql.data, &rows, err);
    m->deleted += ph_rows_affected(rows);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

static bool delete_all(struct mend *m, struct ph_err *err)
{
    bool ok = true;
    for (int i = 0; ok && i < m->unit->n_rels[PH_READ_TARGET]; i++)
        ok = each_places(m, PH_READ_TARGET, i, delete_places, err);
    for (size_t i = 0; ok && i < m->odds->n; i++)
        if (m->odds->items[i].count[PH_READ_TARGET] > 1)
            ok = delete_copies(m, &m->odds->items[i], err);
    return ok;
}

/* Copying. */

static void add_target_name(const struct ph_unit *unit, const struct ph_table *t,
                            struct ph_buf *sql)
{
    bool tree = unit->n_tables > 1 || t->target_routes;
    if (tree && *t->root_target)
        ph_sql_add(sql, "%s", t->root_target);
    else
        ph_sql_add(sql, "%I.%I", t->target_schema, t->target_name);
}

static const char *format_of(const struct ph_table *t)
{
    return t->format == PH_BINARY ? " (FORMAT binary)" : "";
}

static bool copy_places(struct mend *m, int rel, const char *places, uint64_t n, struct ph_err *err)
{
    const struct ph_unit_rel *r = &m->unit->rels[PH_READ_SOURCE][rel];
    const struct ph_table *t = r->table;
    struct ph_buf out = {0}, in = {0};
    uint64_t stored = 0;
    ph_sql_add(&out,
               "COPY (SELECT c.* FROM pg_catalog.unnest('{%s}'::pg_catalog.tid[]) pghaul_u(at) JOIN"
               " LATERAL (SELECT %s FROM %s WHERE ctid OPERATOR(pg_catalog.=) pghaul_u.at) AS c ON"
               " true) TO STDOUT%s",
               places, t->select_list, r->from, format_of(t));
    ph_buf_add(&in, "COPY ");
    add_target_name(m->unit, t, &in);
    if (*t->target_columns)
        ph_sql_add(&in, " (%s)", t->target_columns);
    ph_sql_add(&in, " FROM STDIN%s", format_of(t));
    bool ok = ph_mending_copy(m->v, m->conn, t->qualify, out.data, in.data, &stored, err);
    ph_buf_fini(&out);
    ph_buf_fini(&in);
    if (ok && stored != n)
        return ph_err_set(err, PH_FAILED, "%llu of %llu rows were found to be copied",
                          (unsigned long long)stored, (unsigned long long)n);
    m->inserted += stored;
    return ok;
}

/* Updating in place. */

static void add_settable(const struct ph_table *t, bool values, struct ph_buf *sql)
{
    int n = 0;
    for (int i = 0; i < t->n_columns; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        if (!c->settable || c->generated)
            continue;
        if (values)
            ph_sql_add(sql, "%spghaul_s.%I", n++ ? ", " : "", c->name);
        else
            ph_sql_add(sql, "%s%I", n++ ? ", " : "", c->name);
    }
}

/* Rows of the source at `here` into those of the target at `there`, one for one. */
static bool update_places(struct mend *m, const struct ph_unit_rel *source,
                          const struct ph_unit_rel *target, const char *here, const char *there,
                          uint64_t n, struct ph_err *err)
{
    const struct ph_table *t = source->table;
    struct ph_buf out = {0}, in = {0}, update = {0};
    struct ph_rows *rows = NULL;
    uint64_t stored = 0;
    ph_sql_add(&in,
               "CREATE TEMPORARY TABLE IF NOT EXISTS pghaul_mend ON COMMIT DROP AS"
               " SELECT 0::pg_catalog.int8 AS pghaul_n, %s FROM %s WITH NO DATA;"
               "TRUNCATE pg_temp.pghaul_mend;COPY pg_temp.pghaul_mend (pghaul_n, %s) FROM STDIN%s",
               t->target_columns, target->from, t->target_columns, format_of(t));
    ph_sql_add(&out,
               "COPY (SELECT pghaul_u.n, c.* FROM pg_catalog.unnest('{%s}'::pg_catalog.tid[]) WITH"
               " ORDINALITY pghaul_u(at, n) JOIN LATERAL (SELECT %s FROM %s WHERE ctid"
               " OPERATOR(pg_catalog.=) pghaul_u.at) AS c ON true) TO STDOUT%s",
               here, t->select_list, source->from, format_of(t));
    ph_sql_add(&update, "UPDATE %s pghaul_t SET (", target->from);
    add_settable(t, false, &update);
    ph_buf_add(&update, ") = ROW(");
    add_settable(t, true, &update);
    ph_sql_add(
        &update,
        ") FROM pg_temp.pghaul_mend pghaul_s JOIN pg_catalog.unnest('{%s}'::pg_catalog.tid[])"
        " WITH ORDINALITY pghaul_p(at, n) ON pghaul_p.n OPERATOR(pg_catalog.=)"
        " pghaul_s.pghaul_n WHERE pghaul_t.ctid OPERATOR(pg_catalog.=) pghaul_p.at",
        there);
    bool ok = ph_mending_copy(m->v, m->conn, t->qualify, out.data, in.data, &stored, err) &&
              ph_conn_query(m->conn, update.data, &rows, err);
    if (ok && ph_rows_affected(rows) != n)
        ok = touched(err);
    m->updated += n;
    ph_rows_free(rows);
    ph_buf_fini(&out);
    ph_buf_fini(&in);
    ph_buf_fini(&update);
    return ok;
}

/* The rows of a key that are one on each side, in these two relations. */
static bool is_pair(const struct ph_odds *odds, size_t at, size_t n, int here, int there,
                    struct ph_odd *pair[2])
{
    pair[0] = pair[1] = NULL;
    for (size_t i = at; i < at + n; i++)
        for (int side = 0; side < 2; side++) {
            struct ph_odd *odd = &odds->items[i];
            if (odd->count[side] > 1 || (odd->count[side] && pair[side]))
                return false;
            if (odd->count[side])
                pair[side] = odd;
        }
    return pair[0] && pair[1] && pair[0]->place[0].rel == here && pair[1]->place[1].rel == there;
}

static void add_place(struct ph_buf *buf, const struct ph_spot *p)
{
    ph_buf_addf(buf, "%s\"(%u,%u)\"", buf->len ? "," : "", p->block, p->offset);
}

/* Updates all pairs in these two relations, and takes them off the list. */
static bool update_pairs(struct mend *m, int here, int there, struct ph_err *err)
{
    struct ph_buf places[2] = {{0}, {0}};
    struct ph_odd *pair[2];
    struct ph_verdict ignored;
    uint64_t waiting = 0;
    bool ok = true;
    for (size_t at = 0, n; ok && at <= m->odds->n; at += n) {
        bool last = at == m->odds->n;
        n = last ? 1 : ph_odds_group(m->odds, at, &ignored);
        if (!last && is_pair(m->odds, at, n, here, there, pair)) {
            add_place(&places[0], &pair[0]->place[0]);
            add_place(&places[1], &pair[1]->place[1]);
            pair[0]->count[0] = pair[1]->count[1] = 0;
            waiting++;
        }
        if (waiting == 0 || (!last && waiting < PLACES_AT_ONCE))
            continue;
        ok =
            may_go_on(m, err) && update_places(m, &m->unit->rels[0][here], &m->unit->rels[1][there],
                                               places[0].data, places[1].data, waiting, err);
        ph_buf_clear(&places[0]);
        ph_buf_clear(&places[1]);
        waiting = 0;
    }
    ph_buf_fini(&places[0]);
    ph_buf_fini(&places[1]);
    return ok;
}

static bool update_all(struct mend *m, struct ph_err *err)
{
    for (int here = 0; here < m->unit->n_rels[PH_READ_SOURCE]; here++)
        for (int there = 0; there < m->unit->n_rels[PH_READ_TARGET]; there++)
            if (!update_pairs(m, here, there, err))
                return false;
    return true;
}

static bool mend_all(struct mend *m, struct ph_err *err)
{
    struct ph_unit *unit = m->unit;
    bool ok = ph_conn_exec(m->conn,
                           m->v->spec.triggers == PH_TRIGGERS_SKIP
                               ? "SET LOCAL session_replication_role = replica"
                               : "SELECT",
                           err);
    ok = ok && (!m->in_place || update_all(m, err)) && delete_all(m, err);
    for (int i = 0; ok && i < unit->n_rels[PH_READ_SOURCE]; i++)
        ok = each_places(m, PH_READ_SOURCE, i, copy_places, err);
    if (ok && PH_FAULT("repair.mended"))
        ok = ph_err_set(err, PH_FAILED, "fault point repair.mended");
    return ok && ph_conn_exec(m->conn, "COMMIT", err);
}

/* Takes rows that are extra, and may not go, out of the odds. */
static uint64_t spare_extra(struct mend *m, struct ph_odds *odds)
{
    struct ph_verify_table *r = m->unit->result;
    uint64_t spared = 0, room = m->v->opts->max_delete;
    room = room > r->deleted ? room - r->deleted : 0;
    struct ph_verdict verdict;
    uint64_t extra = 0;
    for (size_t at = 0, n; at < odds->n; at += n) {
        n = ph_odds_group(odds, at, &verdict);
        extra += verdict.extra;
    }
    bool all_may_go = r->extra <= room && !m->unit->ignore_extra;
    if (all_may_go || extra == 0)
        return 0;
    for (size_t at = 0, n; at < odds->n; at += n) {
        n = ph_odds_group(odds, at, &verdict);
        uint64_t keep = verdict.extra;
        for (size_t i = at + n; i > at && keep > 0; i--) {
            uint32_t *count = &odds->items[i - 1].count[PH_READ_TARGET];
            uint32_t less = keep < *count ? (uint32_t)keep : *count;
            *count -= less;
            keep -= less;
        }
        spared += verdict.extra;
    }
    return spared;
}

static bool is_nothing(const struct ph_odds *odds)
{
    for (size_t i = 0; i < odds->n; i++)
        if (odds->items[i].count[0] || odds->items[i].count[1])
            return false;
    return true;
}

bool ph_verify_repair(struct ph_verify *v, struct ph_unit *unit, struct ph_odds *odds,
                      struct ph_err *err)
{
    struct mend m = {.v = v, .unit = unit, .odds = odds};
    struct ph_verify_table *r = unit->result;
    uint64_t extra = r->extra;
    bool ok = true;
    r->repair_refused = NULL;
    uint64_t spared = spare_extra(&m, odds);
    if (spared > 0 && !unit->ignore_extra)
        r->repair_refused = ph_arena_printf(
            v->arena, "%llu %s extra and may not be deleted: --max-delete %llu would let %s",
            (unsigned long long)r->extra, r->extra == 1 ? "row is" : "rows are",
            (unsigned long long)(r->extra + r->deleted), r->extra == 1 ? "it" : "them");
    if (is_nothing(odds))
        return true;
    if (v->opts->dry_run) {
        r->repair_refused =
            ph_arena_printf(v->arena, "this is a dry run: %llu rows would be copied, %llu deleted",
                            (unsigned long long)(r->missing + r->changed),
                            (unsigned long long)(r->changed + (spared ? 0 : extra)));
        return true;
    }
    if (!ph_verify_may_go_on(v, err))
        return false;
    ph_throttle_begin(&m.hop, &v->run.throttle, PH_AT_BOTH);
    ok = ph_mending_begin(v, &m.conn, err);
    if (ok && may_mend(&m, &ok, err))
        ok = mend_all(&m, err) || (!strcmp(err->sqlstate, "40001") && touched(err));
    ph_conn_close(m.conn);
    ph_throttle_end(&m.hop);
    if (ok) {
        r->repaired += m.updated + (m.deleted > m.inserted ? m.deleted : m.inserted);
        if (!spared && !unit->ignore_extra)
            r->deleted += extra < m.deleted ? extra : m.deleted;
    }
    return ok || err->code == PH_PAUSED ? ok : ph_err_prefix(err, "repairing %s", r->target);
}
