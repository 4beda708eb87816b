#include "ledger/control.h"

#include "ledger/query.h"
#include "pg/sql.h"

bool ph_ledger_look(struct ph_conn *conn, struct ph_arena *arena, const struct ph_ledger_look *look,
                    struct ph_ledger_wish **wishes, int *n, int *others, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (look->changed)
        ph_sql_add(&sql,
                   "UPDATE pghaul.mover SET paused = %s, held = %L, heard = %D"
                   " WHERE id OPERATOR(pg_catalog.=) %d;",
                   look->paused ? "true" : "false", look->held, look->heard, look->mover);
    ph_sql_add(&sql,
               "SELECT o.n, c.no, c.word, c.who, c.keep, c.said_at OPERATOR(pg_catalog.>) o.since"
               " FROM (SELECT pg_catalog.count(*) AS n, pg_catalog.min(started_at) AS since"
               " FROM pghaul.live WHERE job OPERATOR(pg_catalog.=) %D"
               " AND id OPERATOR(pg_catalog.<>) %d) o LEFT JOIN pghaul.control c"
               " ON c.job OPERATOR(pg_catalog.=) %D AND c.no OPERATOR(pg_catalog.>) %D"
               " AND c.mover IS DISTINCT FROM %d ORDER BY c.no",
               look->job, look->mover, look->job, look->heard, look->mover);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    int count = ph_rows_count(rows);
    *others = (int)ph_rows_int(rows, 0, 0);
    *n = 0;
    *wishes = ph_arena_calloc(arena, (size_t)count, sizeof **wishes);
    for (int i = 0; i < count; i++)
        if (ph_rows_get(rows, i, 1))
            (*wishes)[(*n)++] = (struct ph_ledger_wish){
                .no = ph_rows_int(rows, i, 1),
                .word = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
                .who = ph_arena_strdup(arena, ph_rows_text(rows, i, 3)),
                .keep = ph_rows_bool(rows, i, 4),
                .current = ph_rows_bool(rows, i, 5),
            };
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_wish(struct ph_conn *conn, int64_t job, int mover, const char *who, bool keep,
                    const char *const *words, int n, int64_t *last, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (n == 0)
        return true;
    ph_sql_add(&sql, "INSERT INTO pghaul.control (job, mover, who, keep, word) VALUES ");
    for (int i = 0; i < n; i++)
        ph_sql_add(&sql, "%s(%D, nullif(%d, 0), %L, %s, %L)", i ? ", " : "", job, mover, who,
                   keep ? "true" : "false", words[i]);
    ph_sql_add(&sql, " RETURNING no");
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    for (int i = 0; i < ph_rows_count(rows); i++)
        *last = ph_rows_int(rows, i, 0);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_heard(struct ph_conn *conn, int64_t job, int64_t no, int *live, int *heard,
                     struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE heard"
               " OPERATOR(pg_catalog.>=) %D) FROM pghaul.live WHERE job OPERATOR(pg_catalog.=) %D",
               no, job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *live = (int)ph_rows_int(rows, 0, 0);
    *heard = (int)ph_rows_int(rows, 0, 1);
    ph_rows_free(rows);
    return true;
}
