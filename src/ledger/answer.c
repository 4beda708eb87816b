#include "ledger/answer.h"

#include "base/buf.h"
#include "ledger/query.h"
#include "pg/sql.h"

bool ph_answers_write(struct ph_conn *conn, const char *job, const struct ph_answer *answers, int n,
                      struct ph_err *err)
{
    struct ph_buf sql = {0};
    bool there = false;
    if (n == 0)
        return true;
    if (!ph_ledger_has(conn, "pghaul.answer", &there, err) || !there)
        return !there;
    ph_sql_add(&sql,
               "INSERT INTO pghaul.answer (job, query, verdict, text, source_s, target_s,"
               " source_rows, target_rows) SELECT (SELECT id FROM pghaul.job WHERE name"
               " OPERATOR(pg_catalog.=) %L), a.* FROM (VALUES ",
               job);
    for (int i = 0; i < n; i++) {
        const struct ph_answer *a = &answers[i];
        ph_sql_add(&sql, "%s(%L, %L, %L, ", i ? ", " : "", a->query, a->verdict, a->text);
        ph_buf_addf(&sql, "%.6f::pg_catalog.float8, %.6f::pg_catalog.float8, ", a->seconds[0],
                    a->seconds[1]);
        ph_sql_add(&sql, "%D::pg_catalog.int8, %D::pg_catalog.int8)", a->rows[0], a->rows[1]);
    }
    ph_buf_add(&sql, ") a");
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_answers_read(struct ph_conn *conn, struct ph_arena *arena, int64_t job,
                     struct ph_answers **out, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool there = false;
    *out = NULL;
    *n = 0;
    if (!ph_ledger_has(conn, "pghaul.answer", &there, err) || !there)
        return !there;
    static const char iso[] = "YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"";
    ph_sql_add(&sql,
               "SELECT a.query, pg_catalog.count(*),"
               " pg_catalog.count(*) FILTER (WHERE a.verdict OPERATOR(pg_catalog.=) 'differs'),"
               " pg_catalog.count(*) FILTER (WHERE a.verdict OPERATOR(pg_catalog.=) 'failed'),"
               " pg_catalog.to_char(pg_catalog.min(a.at), %L),"
               " pg_catalog.to_char(pg_catalog.max(a.at), %L),"
               " (pg_catalog.array_agg(a.verdict ORDER BY a.at DESC))[1],"
               " (pg_catalog.array_agg(a.text ORDER BY a.at DESC) FILTER (WHERE a.text IS NOT NULL"
               " AND a.verdict OPERATOR(pg_catalog.<>) 'equal'))[1],"
               " pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY a.source_s),"
               " pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY a.target_s),"
               " pg_catalog.max(a.source_s), pg_catalog.max(a.target_s)"
               " FROM pghaul.answer a JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) %D"
               " WHERE a.job OPERATOR(pg_catalog.=) j.id OR (a.job IS NULL"
               " AND a.at OPERATOR(pg_catalog.>=) j.created_at)"
               " GROUP BY a.query ORDER BY a.query",
               iso, iso, job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *out = ph_arena_calloc(arena, (size_t)*n + 1, sizeof **out);
    for (int i = 0; i < *n; i++)
        (*out)[i] = (struct ph_answers){
            .query = ph_arena_strdup(arena, ph_rows_text(rows, i, 0)),
            .rounds = (int)ph_rows_int(rows, i, 1),
            .differing = (int)ph_rows_int(rows, i, 2),
            .failed = (int)ph_rows_int(rows, i, 3),
            .first = ph_arena_strdup(arena, ph_rows_text(rows, i, 4)),
            .last = ph_arena_strdup(arena, ph_rows_text(rows, i, 5)),
            .verdict = ph_arena_strdup(arena, ph_rows_text(rows, i, 6)),
            .trouble = ph_arena_strdup(arena, ph_rows_get(rows, i, 7)),
            .median_s = {ph_rows_double(rows, i, 8), ph_rows_double(rows, i, 9)},
            .most_s = {ph_rows_double(rows, i, 10), ph_rows_double(rows, i, 11)},
        };
    ph_rows_free(rows);
    return true;
}
