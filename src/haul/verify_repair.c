/* Mending: what differs is made as it is in the source, in one transaction for each unit.
 *
 * Rows of the target that are changed or extra are deleted, all of them first, then rows of the
 * source are copied in: so unique keys that cross from row to row cannot collide. A row is
 * known by its place under the snapshot of the look; that snapshot is held until the end, so no
 * place can have been given to another row, and a row that somebody has touched meanwhile is not
 * found there any more: then nothing is changed. Where foreign keys would act on what is deleted,
 * nothing is, unless --triggers skip goes around them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "copy/stream.h"
#include "haul/verify_run.h"
#include "pg/copyin.h"
#include "pg/copyout.h"
#include "pg/sql.h"

enum { PLACES_AT_ONCE = 5000, PIECE = 64 * 1024 };

struct mend {
    struct ph_verify *v;
    struct ph_unit *unit;
    const struct ph_odds *odds;
    struct ph_conn *conn; /* of the target: the transaction */
    uint64_t inserted, deleted, changed;
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

static bool deletes(const struct ph_odds *odds)
{
    for (size_t i = 0; i < odds->n; i++)
        if (odds->items[i].count[PH_READ_TARGET])
            return true;
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
        for (int c = 0; c < m->unit->tables[i]->n_columns; c++)
            if (m->unit->tables[i]->columns[c].unfit)
                return refuse(m, "the types of the two sides do not fit");
    if (triggers > 0 && m->v->spec.triggers == PH_TRIGGERS_REFUSE)
        return refuse(m,
                      "triggers of the target would fire: say --triggers fire or --triggers skip");
    if (pointing > 0 && deletes(m->odds) && m->v->spec.triggers != PH_TRIGGERS_SKIP)
        return refuse(m,
                      "foreign keys point at the target, and would act on rows that are replaced: "
                      "--triggers skip goes around them");
    return true;
}

/* Places, as the text of an array. */

/* The odds of one relation on one side, so many a time; calls act with each array's text. */
static bool each_places(struct mend *m, int side, int rel, uint64_t most,
                        bool (*act)(struct mend *m, int rel, const char *places, uint64_t n,
                                    struct ph_err *err),
                        struct ph_err *err)
{
    struct ph_buf places = {0};
    uint64_t n = 0, all = 0;
    bool ok = true;
    for (size_t i = 0; ok && i <= m->odds->n; i++) {
        const struct ph_odd *odd = i < m->odds->n ? &m->odds->items[i] : NULL;
        /* of equal copies that are too many, the one whose place is known; the next round finds the
         * next one */
        uint32_t copies = !odd || odd->place[side].rel != rel || odd->count[side] == 0 ? 0
                          : side == PH_READ_TARGET                                     ? 1
                                                   : odd->count[side];
        for (uint32_t c = 0; c < copies && all < most; c++, n++, all++)
            ph_buf_addf(&places, "%s\"(%u,%u)\"", n ? "," : "", odd->place[side].block,
                        odd->place[side].offset);
        if (n == 0 || (odd && n < PLACES_AT_ONCE))
            continue;
        ok = act(m, rel, places.data, n, err);
        ph_buf_clear(&places);
        n = 0;
    }
    ph_buf_fini(&places);
    return ok;
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
    if (ok && gone != n) {
        ph_err_set(err, PH_FAILED, "rows of the target were changed while they were to be mended");
        err->transient = true;
        return ph_err_hint(err, "run the same command again");
    }
    m->deleted += gone;
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

/* Until the server is in the state of a COPY. */
static bool await(struct ph_conn *conn, enum ph_result wanted, struct ph_err *err)
{
    enum ph_result kind = PH_RESULT_COMMAND;
    while (kind == PH_RESULT_COMMAND)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    return kind == wanted ||
           ph_err_set(err, PH_FAILED, "the %s did not begin its COPY", ph_conn_side(conn));
}

static bool end_of_copy(struct ph_conn *conn, uint64_t *rows_copied, struct ph_err *err)
{
    enum ph_result kind;
    struct ph_rows *rows = NULL;
    if (!ph_conn_next(conn, &kind, &rows, err))
        return false;
    *rows_copied = ph_rows_affected(rows);
    ph_rows_free(rows);
    while (kind != PH_RESULT_NONE)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    return true;
}

/* The stream goes through as it is, header and trailer included. */
static bool pump(struct ph_conn *from, struct ph_conn *to, struct ph_err *err)
{
    struct ph_copyout copy = {.conn = from};
    char *buf = malloc(PIECE);
    bool ok = buf != NULL || ph_err_nomem(err);
    for (size_t n = 1; ok && n > 0;) {
        ok = ph_copyout_read(&copy, buf, PIECE, &n, err);
        if (ok && n > 0)
            ok = ph_copyin_put(to, buf, n, err);
    }
    free(buf);
    return ok;
}

static bool copy_places(struct mend *m, int rel, const char *places, uint64_t n, struct ph_err *err)
{
    const struct ph_unit_rel *r = &m->unit->rels[PH_READ_SOURCE][rel];
    const struct ph_table *t = r->table;
    struct ph_conn *source = m->v->run.source;
    const char *format = t->format == PH_BINARY ? " (FORMAT binary)" : "";
    struct ph_buf sql = {0};
    uint64_t sent = 0, stored = 0;
    ph_sql_add(&sql,
               "COPY (SELECT c.* FROM pg_catalog.unnest('{%s}'::pg_catalog.tid[]) pghaul_u(at) "
               "JOIN LATERAL"
               " (SELECT %s FROM %s WHERE ctid OPERATOR(pg_catalog.=) pghaul_u.at) AS c ON true) TO"
               " STDOUT%s",
               places, t->select_list, r->from, format);
    bool ok = ph_conn_send(source, sql.data, err) && await(source, PH_RESULT_COPY_OUT, err);
    ph_buf_clear(&sql);
    ph_buf_add(&sql, "COPY ");
    add_target_name(m->unit, t, &sql);
    if (*t->target_columns)
        ph_sql_add(&sql, " (%s)", t->target_columns);
    ph_sql_add(&sql, " FROM STDIN%s", format);
    ok = ok && ph_conn_send(m->conn, sql.data, err) && await(m->conn, PH_RESULT_COPY_IN, err) &&
         pump(source, m->conn, err) && end_of_copy(source, &sent, err) &&
         ph_copyin_end(m->conn, err) && end_of_copy(m->conn, &stored, err);
    ph_buf_fini(&sql);
    if (ok && (sent != n || stored != n))
        return ph_err_set(
            err, PH_FAILED, "%llu rows were to be copied, %llu were sent, %llu stored",
            (unsigned long long)n, (unsigned long long)sent, (unsigned long long)stored);
    m->inserted += stored;
    return ok;
}

static bool mend_all(struct mend *m, struct ph_err *err)
{
    struct ph_unit *unit = m->unit;
    bool ok = ph_conn_exec(m->conn,
                           m->v->spec.triggers == PH_TRIGGERS_SKIP
                               ? "SET LOCAL session_replication_role = replica"
                               : "SELECT",
                           err);
    for (int i = 0; ok && i < unit->n_rels[PH_READ_TARGET]; i++)
        ok = each_places(m, PH_READ_TARGET, i, UINT64_MAX, delete_places, err);
    for (int i = 0; ok && i < unit->n_rels[PH_READ_SOURCE]; i++)
        ok = each_places(m, PH_READ_SOURCE, i, UINT64_MAX, copy_places, err);
    if (ok && PH_FAULT("repair.mended"))
        ok = ph_err_set(err, PH_FAILED, "fault point repair.mended");
    return ok && ph_conn_exec(m->conn, "COMMIT", err);
}

static bool connect(struct mend *m, struct ph_err *err)
{
    const struct ph_conn_opts how = {.dsn = m->v->job.target,
                                     .application_name = "pghaul repair",
                                     .encoding = m->v->run.encoding,
                                     .interrupt = m->v->job.interrupt,
                                     .interrupt_level = 1};
    return ph_conn_open(&m->conn, &how, err) &&
           ph_conn_exec(m->conn, "BEGIN;SET LOCAL synchronous_commit = on", err);
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
            v->arena,
            "%llu rows are extra and may not be deleted: --max-delete %llu would let them",
            (unsigned long long)r->extra, (unsigned long long)(r->extra + r->deleted));
    if (is_nothing(odds))
        return true;
    if (v->opts->dry_run) {
        r->repair_refused =
            ph_arena_printf(v->arena, "this is a dry run: %llu rows would be copied, %llu deleted",
                            (unsigned long long)(r->missing + r->changed),
                            (unsigned long long)(r->changed + (spared ? 0 : extra)));
        return true;
    }
    ok = connect(&m, err);
    if (ok && may_mend(&m, &ok, err))
        ok = mend_all(&m, err);
    ph_conn_close(m.conn);
    if (ok) {
        uint64_t gone = m.deleted > m.inserted ? m.deleted : m.inserted;
        r->repaired += gone;
        r->deleted += spared || unit->ignore_extra ? 0 : extra < m.deleted ? extra : m.deleted;
    }
    return ok || ph_err_prefix(err, "repairing %s", r->target);
}
