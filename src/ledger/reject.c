#include "ledger/reject.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/query.h"
#include "pg/sql.h"

static bool ask(struct ph_conn *target, const char *sql, int64_t job, struct ph_rows **rows,
                struct ph_err *err)
{
    struct ph_buf buf = {0};
    ph_sql_add(&buf, sql, job);
    bool ok = ph_conn_query(target, buf.data, rows, err);
    ph_buf_fini(&buf);
    return ok;
}

bool ph_ledger_rejected(struct ph_conn *target, int64_t job, struct ph_ledger_rejected **out,
                        int *n, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    bool there = false;
    *out = NULL;
    *n = 0;
    if (!ph_ledger_has(target, "pghaul.reject", &there, err))
        return false;
    if (!there)
        return true;
    if (!ask(target,
             "SELECT tab, pg_catalog.count(*) FROM pghaul.reject"
             " WHERE job OPERATOR(pg_catalog.=) %D GROUP BY tab ORDER BY tab",
             job, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *out = calloc((size_t)*n + 1, sizeof **out);
    for (int i = 0; *out && i < *n; i++)
        (*out)[i] = (struct ph_ledger_rejected){.tab = (int)ph_rows_int(rows, i, 0),
                                                .rows = ph_rows_uint(rows, i, 1)};
    ph_rows_free(rows);
    return *out || ph_err_nomem(err);
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void add_bytes(struct ph_buf *out, const char *hex)
{
    for (; hex[0] && hex[1]; hex += 2)
        ph_buf_addc(out, (char)(digit(hex[0]) << 4 | digit(hex[1])));
}

bool ph_ledger_reject_script(struct ph_conn *target, int64_t job, const char *encoding,
                             struct ph_buf *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool there = false;
    if (!ph_ledger_has(target, "pghaul.reject", &there, err))
        return false;
    if (!there)
        return true;
    ph_sql_add(&sql,
               "SELECT r.tab, pg_catalog.encode(pg_catalog.convert_to(pg_catalog.format("
               "'COPY %%I.%%I (%%s) FROM stdin', t.target_schema, t.target_name,"
               " t.target_columns), %L), 'hex'), pg_catalog.encode(r.line, 'hex')"
               " FROM pghaul.reject r JOIN pghaul.tab t ON t.job OPERATOR(pg_catalog.=) r.job"
               " AND t.id OPERATOR(pg_catalog.=) r.tab WHERE r.job OPERATOR(pg_catalog.=) %D"
               " ORDER BY r.tab, r.shard, CASE WHEN pg_catalog.starts_with(r.place, '(')"
               " THEN r.place::pg_catalog.tid END, CASE WHEN NOT pg_catalog.starts_with(r.place,"
               " '(') THEN pg_catalog.substring(r.place, '[0-9]+')::pg_catalog.int8 END",
               encoding, job);
    bool ok = ph_conn_query(target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (!ok)
        return false;
    int n = ph_rows_count(rows);
    ph_sql_add(out, "SET client_encoding = %L;\n", encoding);
    for (int i = 0; i < n; i++) {
        int64_t tab = ph_rows_int(rows, i, 0);
        if (i == 0 || ph_rows_int(rows, i - 1, 0) != tab) {
            add_bytes(out, ph_rows_text(rows, i, 1));
            ph_buf_add(out, ";\n");
        }
        add_bytes(out, ph_rows_text(rows, i, 2));
        if (i + 1 == n || ph_rows_int(rows, i + 1, 0) != tab)
            ph_buf_add(out, "\\.\n");
    }
    ph_rows_free(rows);
    return true;
}
