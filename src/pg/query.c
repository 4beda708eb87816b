/* Statements, their results, and waiting for them. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "pg/internal.h"

bool ph_conn_wait(struct ph_conn *conn, short events, double timeout_s, struct ph_err *err)
{
    uint64_t begin = ph_clock_ns();
    for (;;) {
        if (ph_interrupt_at(conn->interrupt, conn->interrupt_level))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        int ms = -1;
        if (timeout_s >= 0) {
            double left = timeout_s - (double)(ph_clock_ns() - begin) / 1e9;
            if (left <= 0) {
                ph_err_set(err, PH_CONNECTION, "no answer from the %s for %.0f s", conn->side,
                           timeout_s);
                err->transient = true;
                return false;
            }
            ms = (int)(left * 1000) + 1;
        }
        struct pollfd p[2] = {
            {.fd = PQsocket(conn->pg), .events = events},
            {.fd = ph_interrupt_fd(conn->interrupt, conn->interrupt_level), .events = POLLIN},
        };
        int n = poll(p, 2, ms);
        if (n > 0 && p[0].revents) {
            conn->wait_ns += ph_clock_ns() - begin;
            return true;
        }
        if (n < 0 && errno != EINTR) {
            conn->broken = true;
            return ph_err_set(err, PH_CONNECTION, "cannot wait for the %s: %s", conn->side,
                              strerror(errno));
        }
    }
}

bool ph_conn_flush(struct ph_conn *conn, struct ph_err *err)
{
    int pending;
    while ((pending = PQflush(conn->pg)) > 0) {
        if (!ph_conn_wait(conn, POLLIN | POLLOUT, -1, err))
            return false;
        if (!PQconsumeInput(conn->pg))
            return ph_conn_error(conn, NULL, err);
    }
    return pending == 0 || ph_conn_error(conn, NULL, err);
}

bool ph_conn_send(struct ph_conn *conn, const char *sql, struct ph_err *err)
{
    if (PH_FAULT("pq.send")) {
        conn->broken = true;
        ph_err_set(err, PH_CONNECTION, "connection to the %s lost (fault)", conn->side);
        err->transient = true;
        return false;
    }
    conn->held_back = 0;
    if (!PQsendQuery(conn->pg, sql))
        return ph_conn_error(conn, NULL, err);
    return ph_conn_flush(conn, err);
}

bool ph_conn_result(struct ph_conn *conn, PGresult **result, struct ph_err *err)
{
    while (PQisBusy(conn->pg)) {
        int pending = PQflush(conn->pg);
        if (pending < 0)
            return ph_conn_error(conn, NULL, err);
        if (!ph_conn_wait(conn, (short)(POLLIN | (pending ? POLLOUT : 0)), -1, err))
            return false;
        if (!PQconsumeInput(conn->pg))
            return ph_conn_error(conn, NULL, err);
    }
    *result = PQgetResult(conn->pg);
    if (PQstatus(conn->pg) == CONNECTION_BAD)
        conn->broken = true;
    return true;
}

static bool wrap(PGresult *result, struct ph_rows **rows, struct ph_err *err)
{
    struct ph_rows *r = malloc(sizeof *r);
    if (!r) {
        PQclear(result);
        return ph_err_nomem(err);
    }
    r->result = result;
    ph_rows_free(*rows);
    *rows = r;
    return true;
}

bool ph_conn_next(struct ph_conn *conn, enum ph_result *kind, struct ph_rows **rows,
                  struct ph_err *err)
{
    PGresult *result = NULL;
    *kind = PH_RESULT_NONE;
    if (!ph_conn_result(conn, &result, err))
        return false;
    if (!result)
        return !conn->broken || ph_conn_error(conn, NULL, err);
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
        *kind = PH_RESULT_ROWS;
        break;
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        *kind = PH_RESULT_COMMAND;
        break;
    case PGRES_COPY_OUT:
        *kind = PH_RESULT_COPY_OUT;
        break;
    case PGRES_COPY_IN:
        *kind = PH_RESULT_COPY_IN;
        break;
    default:
        ph_conn_error(conn, result, err);
        PQclear(result);
        return false;
    }
    if (rows)
        return wrap(result, rows, err);
    PQclear(result);
    return true;
}

bool ph_conn_query(struct ph_conn *conn, const char *sql, struct ph_rows **rows, struct ph_err *err)
{
    if (rows)
        *rows = NULL;
    if (!ph_conn_send(conn, sql, err))
        return false;
    bool ok = true, have_rows = false;
    for (;;) {
        PGresult *result = NULL;
        struct ph_err ignored;
        if (!ph_conn_result(conn, &result, ok ? err : &ignored)) {
            ok = false;
            break;
        }
        if (!result)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
            status == PGRES_EMPTY_QUERY) {
            bool keep = rows && ok && (status == PGRES_TUPLES_OK || !have_rows);
            have_rows = have_rows || status == PGRES_TUPLES_OK;
            if (keep)
                ok = wrap(result, rows, err);
            else
                PQclear(result);
            continue;
        }
        if (ok)
            ok = ph_conn_error(conn, result, err);
        PQclear(result);
        if (conn->broken)
            break;
    }
    if (ok && conn->broken)
        ok = ph_conn_error(conn, NULL, err);
    if (!ok && rows) {
        ph_rows_free(*rows);
        *rows = NULL;
    }
    return ok;
}

bool ph_conn_exec(struct ph_conn *conn, const char *sql, struct ph_err *err)
{
    return ph_conn_query(conn, sql, NULL, err);
}

bool ph_conn_describe(struct ph_conn *conn, const char *sql, struct ph_column_type *types, int max,
                      int *count, struct ph_err *err)
{
    *count = 0;
    for (int step = 0; step < 2; step++) {
        int sent = step == 0 ? PQsendPrepare(conn->pg, "", sql, 0, NULL)
                             : PQsendDescribePrepared(conn->pg, "");
        if (!sent)
            return ph_conn_error(conn, NULL, err);
        if (!ph_conn_flush(conn, err))
            return false;
        bool ok = true;
        PGresult *result = NULL;
        while (ph_conn_result(conn, &result, err) && result) {
            if (PQresultStatus(result) != PGRES_COMMAND_OK && ok)
                ok = ph_conn_error(conn, result, err);
            if (ok && step == 1) {
                *count = PQnfields(result);
                for (int i = 0; i < *count && i < max; i++)
                    types[i] = (struct ph_column_type){PQftype(result, i), PQfmod(result, i)};
            }
            PQclear(result);
        }
        if (result || conn->broken)
            return false;
        if (!ok)
            return false;
    }
    return true;
}

void ph_conn_cancel(struct ph_conn *conn)
{
    char ignored[256];
    if (!ph_conn_ok(conn) || PQtransactionStatus(conn->pg) != PQTRANS_ACTIVE)
        return;
    PGcancel *cancel = PQgetCancel(conn->pg);
    if (cancel)
        PQcancel(cancel, ignored, sizeof ignored);
    PQfreeCancel(cancel);
}

/* Puts an end to whatever the connection is in the middle of. A COPY OUT would have to be read to
 * its end: that may be gigabytes, so such a connection is not worth saving. */
bool ph_conn_recover(struct ph_conn *conn)
{
    struct ph_err err;
    double until = ph_clock_s() + 5;
    if (!ph_conn_ok(conn) || ph_interrupt_at(conn->interrupt, conn->interrupt_level))
        return false;
    while (PQtransactionStatus(conn->pg) == PQTRANS_ACTIVE) {
        /* rows of a COPY that has failed may be on their way still, and the server waits for their end */
        for (int pending = PQflush(conn->pg); PQisBusy(conn->pg) || pending > 0;
             pending = PQflush(conn->pg)) {
            double left = until - ph_clock_s();
            short events = (short)(POLLIN | (pending > 0 ? POLLOUT : 0));
            if (left <= 0 || !ph_conn_wait(conn, events, left, &err) || !PQconsumeInput(conn->pg)) {
                conn->broken = true;
                return false;
            }
        }
        PGresult *result = PQgetResult(conn->pg);
        ExecStatusType status = PQresultStatus(result);
        PQclear(result);
        if (status == PGRES_COPY_IN)
            PQputCopyEnd(conn->pg, "pghaul: given up");
        if (status == PGRES_COPY_OUT || PQstatus(conn->pg) == CONNECTION_BAD) {
            conn->broken = true;
            return false;
        }
        if (!result && PQtransactionStatus(conn->pg) == PQTRANS_ACTIVE) {
            conn->broken = true;
            return false;
        }
    }
    PGTransactionStatusType status = PQtransactionStatus(conn->pg);
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        return ph_conn_exec(conn, "ROLLBACK", &err);
    return status == PQTRANS_IDLE;
}

int ph_rows_count(const struct ph_rows *rows)
{
    return rows ? PQntuples(rows->result) : 0;
}

int ph_rows_columns(const struct ph_rows *rows)
{
    return rows ? PQnfields(rows->result) : 0;
}

const char *ph_rows_column(const struct ph_rows *rows, int col)
{
    return rows ? PQfname(rows->result, col) : "";
}

const char *ph_rows_get(const struct ph_rows *rows, int row, int col)
{
    if (!rows || row >= PQntuples(rows->result) || PQgetisnull(rows->result, row, col))
        return NULL;
    return PQgetvalue(rows->result, row, col);
}

const char *ph_rows_text(const struct ph_rows *rows, int row, int col)
{
    const char *value = ph_rows_get(rows, row, col);
    return value ? value : "";
}

int64_t ph_rows_int(const struct ph_rows *rows, int row, int col)
{
    return strtoll(ph_rows_text(rows, row, col), NULL, 10);
}

uint64_t ph_rows_uint(const struct ph_rows *rows, int row, int col)
{
    return strtoull(ph_rows_text(rows, row, col), NULL, 10);
}

double ph_rows_double(const struct ph_rows *rows, int row, int col)
{
    return strtod(ph_rows_text(rows, row, col), NULL);
}

bool ph_rows_bool(const struct ph_rows *rows, int row, int col)
{
    return *ph_rows_text(rows, row, col) == 't';
}

uint64_t ph_rows_affected(const struct ph_rows *rows)
{
    return rows ? strtoull(PQcmdTuples(rows->result), NULL, 10) : 0;
}

const char *ph_rows_tag(const struct ph_rows *rows)
{
    return rows ? PQcmdStatus(rows->result) : "";
}

void ph_rows_free(struct ph_rows *rows)
{
    if (!rows)
        return;
    PQclear(rows->result);
    free(rows);
}
