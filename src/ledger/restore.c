/* What a job has dropped and not made again, when the job is to go: nobody else would make it. */
#include "ledger/step.h"

#include "base/fault.h"
#include "pg/sql.h"

bool ph_ledger_restores(struct ph_conn *conn, int64_t job, int *open, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*) FROM pghaul.step WHERE job OPERATOR(pg_catalog.=) %D"
               " AND restores AND state OPERATOR(pg_catalog.<>) 'done'",
               job);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    *open = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "ledger");
}

/* With its mark, like a builder. Whoever had it in hand is fenced. In the transaction that the caller has begun. */
static bool make(struct ph_conn *conn, int64_t job, const struct ph_rows *steps, int i,
                 struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "%s\n;\n"
               "UPDATE pghaul.step SET state = 'done', mover = NULL, slot = NULL, error = NULL,"
               " attempt = attempt OPERATOR(pg_catalog.+) 1, done_at = pg_catalog.clock_timestamp()"
               " WHERE job OPERATOR(pg_catalog.=) %D AND id OPERATOR(pg_catalog.=) %s",
               ph_rows_text(steps, i, 2), job, ph_rows_text(steps, i, 0));
    bool ok = ph_conn_exec(conn, sql.data, err);
    ph_buf_fini(&sql);
    if (ok)
        return true;
    ph_err_prefix(err, "the job has dropped it, and it cannot be made again: %s",
                  ph_rows_text(steps, i, 1));
    return ph_err_hint(err,
                       "mend the cause, or empty the table, or finish the job with the command "
                       "that began it; nothing of the job is removed until then");
}

/* The steps from `i` to before `end` in one transaction. */
static bool make_together(struct ph_conn *conn, int64_t job, const struct ph_rows *steps, int i,
                          int end, struct ph_err *err)
{
    bool ok = ph_conn_exec(conn, "BEGIN;SET LOCAL synchronous_commit = on", err);
    for (; ok && i < end; i++)
        ok = make(conn, job, steps, i, err);
    ok = ok && ph_conn_exec(conn, "COMMIT", err);
    if (!ok)
        ph_conn_recover(conn);
    else if (PH_FAULT("restore.made"))
        return ph_err_set(err, PH_FAILED, "fault point restore.made");
    return ok;
}

bool ph_ledger_restore(struct ph_conn *conn, int64_t job, int *restored, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *steps = NULL;
    /* A step comes after steps of lower numbers only. Foreign keys last, and all or none: should one of them not hold yet,
     * the job may be gone on with, and the others would be in its way. */
    ph_sql_add(&sql,
               "SELECT id, object, sql, kind IN ('fk', 'validate') FROM pghaul.step"
               " WHERE job OPERATOR(pg_catalog.=) %D AND restores"
               " AND state OPERATOR(pg_catalog.<>) 'done' ORDER BY 4, id",
               job);
    bool ok = ph_conn_query(conn, sql.data, &steps, err) || ph_err_prefix(err, "ledger");
    ph_buf_fini(&sql);
    int n = ph_rows_count(steps);
    for (int i = 0, end; i < n && ok; i = end) {
        end = ph_rows_bool(steps, i, 3) ? n : i + 1;
        ok = make_together(conn, job, steps, i, end, err);
        *restored += ok ? end - i : 0;
    }
    ph_rows_free(steps);
    return ok;
}
