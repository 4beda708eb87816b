#include "pg/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "pg/internal.h"
#include "pg/sql.h"

static atomic_bool show_data;

void ph_conn_show_data(bool on)
{
    atomic_store(&show_data, on);
}

/* Waiting. */

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

/* Sends what libpq has buffered. While the socket is full, what the server says is read too: it may
 * be waiting for us to read before it reads any more. */
static bool flush(struct ph_conn *conn, struct ph_err *err)
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

/* Errors. */

/* The one place that decides, by SQLSTATE, what an error of a server means for us. */
static void classify(struct ph_err *err)
{
    static const char *const lost[] = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"};
    static const char *const again[] = {
        "40001", "40P01", "40003", /* serialization, deadlock, completion unknown */
        "55P03", "55006",          /* lock not available, object in use */
        "57014",                   /* canceled by somebody */
        "53300", "53200", "53400", /* connections, memory, configuration limit */
    };
    const char *state = err->sqlstate;
    if (!strncmp(state, "08", 2))
        err->code = PH_CONNECTION;
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
        if (!strcmp(state, lost[i]))
            err->code = PH_CONNECTION;
    err->transient = err->code == PH_CONNECTION;
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (!strcmp(state, again[i]))
            err->transient = true;
}

/* Messages of class 22 (data exceptions) quote the offending value. Encoding names are quoted too,
 * and stay. */
static void hide_values(char *out, size_t size, const char *message, const char *state)
{
    bool hide = !strncmp(state, "22", 2) && strcmp(state, "22021") != 0 &&
                strcmp(state, "22P05") != 0 && strcmp(state, "22023") != 0 &&
                !atomic_load(&show_data);
    size_t n = 0;
    for (const char *p = message; *p && n + 8 < size; p++) {
        out[n++] = *p;
        if (!hide || *p != '"')
            continue;
        const char *last = strrchr(p, '"');
        if (last > p) {
            memcpy(out + n, "...", 3);
            n += 3;
            p = last - 1;
        }
    }
    out[n] = '\0';
}

/* COPY's context says line, column and the value: keep the first two. */
static void add_copy_place(struct ph_err *err, const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *line = context ? strstr(context, ", line ") : NULL;
    if (!line || strncmp(context, "COPY ", 5) != 0)
        return;
    char place[128];
    size_t n = 0;
    for (const char *p = line + 2; *p && *p != ':' && *p != '\n' && n + 1 < sizeof place; p++)
        place[n++] = *p;
    place[n] = '\0';
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, " (row of the shard: %s)", place);
}

bool ph_conn_error(struct ph_conn *conn, const PGresult *result, struct ph_err *err)
{
    struct ph_err local;
    if (!err)
        err = &local;
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (PQstatus(conn->pg) == CONNECTION_BAD)
        conn->broken = true;
    if (!state) {
        char text[PH_ERR_TEXT];
        snprintf(text, sizeof text, "%s", PQerrorMessage(conn->pg));
        text[strcspn(text, "\n")] = '\0';
        conn->broken = true;
        ph_err_set(err, PH_CONNECTION, "connection to the %s lost%s%s", conn->side,
                   *text ? ": " : "", text);
        err->transient = true;
        return false;
    }
    char text[PH_ERR_TEXT];
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    hide_values(text, sizeof text, primary ? primary : "unknown error", state);
    ph_err_set(err, PH_FAILED, "%s says: %s (SQLSTATE %s)", conn->side, text, state);
    snprintf(err->sqlstate, sizeof err->sqlstate, "%s", state);
    classify(err);
    add_copy_place(err, result);
    if (detail && atomic_load(&show_data))
        ph_err_hint(err, "%s", detail);
    else if (detail && !strncmp(state, "23", 2))
        ph_err_hint(err, "--show-data shows the row's key");
    if (conn->broken) {
        err->code = PH_CONNECTION;
        err->transient = true;
    }
    return false;
}

/* Connecting. */

enum { MAX_PARAMS = 64 };

struct params {
    const char *keyword[MAX_PARAMS + 1];
    const char *value[MAX_PARAMS + 1];
    int n;
};

static bool has_param(const struct params *p, const char *keyword)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->keyword[i], keyword))
            return true;
    return false;
}

static void add_param(struct params *p, const char *keyword, const char *value)
{
    if (p->n < MAX_PARAMS && !has_param(p, keyword)) {
        p->keyword[p->n] = keyword;
        p->value[p->n++] = value;
    }
}

/* The user's parameters win over ours, except for the application name. */
static void gather_params(struct params *p, const struct ph_conn_opts *opts)
{
    *p = (struct params){0};
    add_param(p, "application_name", opts->application_name);
    for (const PQconninfoOption *o = opts->dsn->given; o && o->keyword; o++)
        if (o->val && *o->val)
            add_param(p, o->keyword, o->val);
    add_param(p, "keepalives_idle", "10");
    add_param(p, "keepalives_interval", "5");
    add_param(p, "keepalives_count", "3");
    add_param(p, "tcp_user_timeout", "60000");
    add_param(p, "connect_timeout", "10");
    if (!getenv("PGGSSENCMODE"))
        add_param(p, "gssencmode", "disable"); /* saves a round trip per connection */
}

/* libpq does not tell the SQLSTATE of a refused connection; PQping does tell "starting up" from the
 * rest. */
static bool server_is_starting(const struct params *p)
{
    return PQpingParams(p->keyword, p->value, 0) == PQPING_REJECT;
}

static bool connect_failed(struct ph_conn *conn, const struct params *p, struct ph_err *err)
{
    char text[PH_ERR_TEXT];
    snprintf(text, sizeof text, "%s", PQerrorMessage(conn->pg));
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        text[--n] = '\0';
    /* several hosts give several lines: the last is as good as any, one sentence is enough */
    char *tab = strstr(text, "\n\t");
    if (tab)
        *tab = '\0';
    char *last = strrchr(text, '\n');
    const char *reason = last ? last + 1 : text;
    const char *failed = strstr(reason, " failed: ");
    if (failed)
        reason = failed + strlen(" failed: ");
    if (!strncmp(reason, "FATAL:  ", 8))
        reason += 8;
    bool starting = server_is_starting(p);
    ph_err_set(err, PH_CONNECTION, "cannot connect to the %s (%s): %s", conn->side,
               conn->dsn->shown, reason);
    err->transient = starting;
    if (!conn->dsn->has_password && PQconnectionNeedsPassword(conn->pg))
        ph_err_hint(err, "give the password by ~/.pgpass, PGPASSWORD or a service file");
    else
        ph_err_hint(err, "check with: psql, the same connection string and the same user");
    return false;
}

static bool connect_poll(struct ph_conn *conn, const struct params *p, double timeout_s,
                         struct ph_err *err)
{
    double until = ph_clock_s() + timeout_s;
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    for (;;) {
        if (want == PGRES_POLLING_OK)
            return true;
        if (want == PGRES_POLLING_FAILED || PQsocket(conn->pg) < 0)
            return connect_failed(conn, p, err);
        double left = until - ph_clock_s();
        if (!ph_conn_wait(conn, want == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                          left > 0 ? left : 0, err))
            return err->code == PH_INTERRUPTED ? false
                                               : ph_err_prefix(err, "cannot connect to the %s (%s)",
                                                               conn->side, conn->dsn->shown);
        want = PQconnectPoll(conn->pg);
    }
}

struct setting {
    const char *name, *value;
    int since; /* server version; 0: every supported one */
};

/* Everything that could change what bytes mean, how long a statement may take, or which rows are
 * seen: set here, never inherited from role, database, environment or pooler. search_path alone
 * stays the role's, since the user's expressions, CHECKs and triggers may need it; our own SQL is
 * fully qualified. */
static const struct setting preamble[] = {
    {"statement_timeout", "0", 0},
    {"lock_timeout", "10s", 0},
    {"idle_in_transaction_session_timeout", "0", 0},
    {"idle_session_timeout", "0", 140000},
    {"transaction_timeout", "0", 170000},
    {"standard_conforming_strings", "on", 0},
    {"DateStyle", "ISO, YMD", 0},
    {"IntervalStyle", "postgres", 0},
    {"TimeZone", "UTC", 0},
    {"extra_float_digits", "3", 0},
    {"bytea_output", "hex", 0},
    {"xmloption", "content", 0},
    {"xmlbinary", "base64", 0},
    {"row_security", "off", 0},
    {"synchronize_seqscans", "off", 0},
    {"client_min_messages", "error", 0},
    {"default_transaction_isolation", "read committed", 0},
    {"default_transaction_deferrable", "off", 0},
    {"max_parallel_workers_per_gather", "0", 0},
    {"enable_tidscan", "on", 0},
    {"quote_all_identifiers", "off", 0},
    {"array_nulls", "on", 0},
    {"transform_null_equals", "off", 0},
    {"plan_cache_mode", "auto", 120000},
    {"jit", "off", 0},
    {"tcp_keepalives_idle", "10", 0},
    {"tcp_keepalives_interval", "5", 0},
    {"tcp_keepalives_count", "3", 0},
    {"tcp_user_timeout", "60000", 120000},
    {"client_connection_check_interval", "10s", 140000},
};

static bool set_up(struct ph_conn *conn, const struct ph_conn_opts *opts, struct ph_err *err)
{
    struct ph_buf sql = {0};
    int version = PQserverVersion(conn->pg);
    ph_buf_add(&sql, "SELECT pg_catalog.pg_backend_pid()");
    for (size_t i = 0; i < sizeof preamble / sizeof *preamble; i++)
        if (version >= preamble[i].since)
            ph_sql_add(&sql, ", pg_catalog.set_config(%L, %L, false)", preamble[i].name,
                       preamble[i].value);
    ph_sql_add(&sql, ", pg_catalog.set_config('default_transaction_read_only', %L, false)",
               opts->read_only ? "on" : "off");
    ph_sql_add(&sql, ", pg_catalog.set_config('client_encoding', %L, false)",
               opts->encoding ? opts->encoding : PQparameterStatus(conn->pg, "server_encoding"));
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (ok && ph_rows_int(rows, 0, 0) != PQbackendPID(conn->pg)) {
        ok = ph_err_set(err, PH_WRONG, "the %s is behind a connection pooler", conn->side);
        ph_err_hint(err, "connect to the server itself: pghaul needs sessions of its own");
    }
    ph_rows_free(rows);
    if (ok) {
        const char *integer_times = PQparameterStatus(conn->pg, "integer_datetimes");
        if (!integer_times || strcmp(integer_times, "on") != 0)
            ok = ph_err_set(err, PH_WRONG, "the %s stores times as floating point numbers",
                            conn->side);
    }
    return ok;
}

static void describe_transport(struct ph_conn *conn)
{
    const char *host = PQhost(conn->pg);
    const char *address = PQhostaddr(conn->pg);
    bool is_socket = host && *host == '/';
    conn->local =
        is_socket || (address && (!strncmp(address, "127.", 4) || !strcmp(address, "::1")));
    if (is_socket)
        snprintf(conn->transport, sizeof conn->transport, "unix socket");
    else if (PQsslInUse(conn->pg))
        snprintf(conn->transport, sizeof conn->transport, "TCP with %s",
                 PQsslAttribute(conn->pg, "protocol"));
    else
        snprintf(conn->transport, sizeof conn->transport, "TCP without TLS");
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

bool ph_conn_open(struct ph_conn **out, const struct ph_conn_opts *opts, struct ph_err *err)
{
    struct params params;
    gather_params(&params, opts);
    struct ph_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return ph_err_nomem(err);
    conn->dsn = opts->dsn;
    conn->side = opts->dsn->side;
    conn->interrupt = opts->interrupt;
    conn->interrupt_level = opts->interrupt_level ? opts->interrupt_level : 2;
    conn->pg = PQconnectStartParams(params.keyword, params.value, 0);
    double timeout_s = opts->connect_timeout_s > 0 ? opts->connect_timeout_s : 10;
    bool ok = conn->pg != NULL || ph_err_nomem(err);
    if (ok && PQstatus(conn->pg) == CONNECTION_BAD)
        ok = connect_failed(conn, &params, err);
    ok = ok && connect_poll(conn, &params, timeout_s, err);
    if (ok) {
        PQsetNoticeReceiver(conn->pg, ignore_notice, NULL);
        PQsetnonblocking(conn->pg, 1);
        describe_transport(conn);
        ok = set_up(conn, opts, err);
    }
    if (!ok) {
        ph_conn_close(conn);
        return false;
    }
    conn->wait_ns = 0;
    *out = conn;
    return true;
}

void ph_conn_close(struct ph_conn *conn)
{
    if (!conn)
        return;
    if (conn->pg)
        PQfinish(conn->pg);
    free(conn);
}

void ph_conn_set_interrupt(struct ph_conn *conn, struct ph_interrupt *interrupt, int level)
{
    conn->interrupt = interrupt;
    conn->interrupt_level = level;
}

int ph_conn_server_version(const struct ph_conn *conn)
{
    return PQserverVersion(conn->pg);
}

int ph_conn_backend_pid(const struct ph_conn *conn)
{
    return PQbackendPID(conn->pg);
}

const char *ph_conn_side(const struct ph_conn *conn)
{
    return conn->side;
}

const char *ph_conn_server_encoding(const struct ph_conn *conn)
{
    return PQparameterStatus(conn->pg, "server_encoding");
}

const char *ph_conn_transport(const struct ph_conn *conn)
{
    return conn->transport;
}

bool ph_conn_is_local(const struct ph_conn *conn)
{
    return conn->local;
}

bool ph_conn_ok(const struct ph_conn *conn)
{
    return conn && !conn->broken;
}

uint64_t ph_conn_wait_ns(const struct ph_conn *conn)
{
    return conn->wait_ns;
}

/* Statements. */

bool ph_conn_send(struct ph_conn *conn, const char *sql, struct ph_err *err)
{
    if (PH_FAULT("pq.send")) {
        conn->broken = true;
        ph_err_set(err, PH_CONNECTION, "connection to the %s lost (fault)", conn->side);
        err->transient = true;
        return false;
    }
    if (!PQsendQuery(conn->pg, sql))
        return ph_conn_error(conn, NULL, err);
    return flush(conn, err);
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
        if (!flush(conn, err))
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

/* Puts an end to whatever the connection is in the middle of. A COPY OUT would have to be read to
 * its end: that may be gigabytes, so such a connection is not worth saving. */
bool ph_conn_recover(struct ph_conn *conn)
{
    struct ph_err err;
    double until = ph_clock_s() + 5;
    if (!ph_conn_ok(conn) || ph_interrupt_at(conn->interrupt, conn->interrupt_level))
        return false;
    while (PQtransactionStatus(conn->pg) == PQTRANS_ACTIVE) {
        while (PQisBusy(conn->pg) || PQflush(conn->pg) > 0) {
            double left = until - ph_clock_s();
            if (left <= 0 || !ph_conn_wait(conn, POLLIN, left, &err) || !PQconsumeInput(conn->pg)) {
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

/* Rows. */

int ph_rows_count(const struct ph_rows *rows)
{
    return rows ? PQntuples(rows->result) : 0;
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
