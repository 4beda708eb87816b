#include "ledger/query.h"

#include "pg/sql.h"

bool ph_ledger_query(struct ph_conn *conn, struct ph_buf *sql, struct ph_rows **rows,
                     struct ph_err *err)
{
    bool ok = ph_conn_query(conn, ph_buf_text(sql), rows, err);
    ph_buf_fini(sql);
    return ok || ph_err_prefix(err, "ledger");
}

bool ph_ledger_has(struct ph_conn *conn, const char *table, bool *there, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT pg_catalog.to_regclass(%L) IS NOT NULL", table);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *there = ph_rows_bool(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}
