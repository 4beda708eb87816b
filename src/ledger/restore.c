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

/* With its mark, like a builder. Whoever had it in hand is fenced. */
static bool make(struct ph_conn *conn, int64_t job, const struct ph_rows *steps, int i,
                 struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "BEGIN;SET LOCAL synchronous_commit = on;%s\n;\n"
               "UPDATE pghaul.step SET state = 'done', mover = NULL, slot = NULL, error = NULL,"
               " attempt = attempt OPERATOR(pg_catalog.+) 1, done_at = pg_catalog.clock_timestamp()"
               " WHERE job OPERATOR(pg_catalog.=) %D AND id OPERATOR(pg_catalog.=) %s;COMMIT",
               ph_rows_text(steps, i, 2), job, ph_rows_text(steps, i, 0));
    bool ok = ph_conn_exec(conn, sql.data, err);
    ph_buf_fini(&sql);
    if (ok && PH_FAULT("restore.made"))
        return ph_err_set(err, PH_FAILED, "fault point restore.made");
    if (ok)
        return true;
    ph_err_prefix(err, "the job has dropped it, and it cannot be made again: %s",
                  ph_rows_text(steps, i, 1));
    return ph_err_hint(err,
                       "mend the cause, or empty the table, or finish the job with the command "
                       "that began it; nothing of the job is removed until then");
}

bool ph_ledger_restore(struct ph_conn *conn, int64_t job, int *restored, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *steps = NULL;
    /* a step comes after steps of lower numbers only */
    ph_sql_add(&sql,
               "SELECT id, object, sql FROM pghaul.step WHERE job OPERATOR(pg_catalog.=) %D"
               " AND restores AND state OPERATOR(pg_catalog.<>) 'done' ORDER BY id",
               job);
    bool ok = ph_conn_query(conn, sql.data, &steps, err) || ph_err_prefix(err, "ledger");
    ph_buf_fini(&sql);
    for (int i = 0; i < ph_rows_count(steps) && ok; i++) {
        ok = make(conn, job, steps, i, err);
        *restored += ok;
    }
    ph_rows_free(steps);
    return ok;
}
