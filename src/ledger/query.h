/* What every file that speaks to the ledger needs to ask it. */
#ifndef PH_LEDGER_QUERY_H
#define PH_LEDGER_QUERY_H

#include "base/buf.h"
#include "pg/conn.h"

/* Runs the text as ph_conn_query() does, and frees it either way. An error says that it was about the ledger. */
bool ph_ledger_query(struct ph_conn *conn, struct ph_buf *sql, struct ph_rows **rows,
                     struct ph_err *err);

/* Whether there is a table of that name, as in "pghaul.reject": a ledger of an earlier build may lack it. */
bool ph_ledger_has(struct ph_conn *conn, const char *table, bool *there, struct ph_err *err);

#endif
