/* Connections: made, set up, described. (Statements are in query.c, errors in error.c.) */
#include "pg/conn.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/feature.h"
#include "pg/internal.h"
#include "pg/sql.h"

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
    if (!ph_dsn_get(conn->dsn, "password") && PQconnectionNeedsPassword(conn->pg))
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
    enum ph_feature since; /* 0: every supported one */
};

/* Everything that could change what bytes mean, how long a statement may take, or which rows are
 * seen: set here, never inherited from role, database, environment or pooler. search_path alone
 * stays the role's, since the user's expressions, CHECKs and triggers may need it; our own SQL is
 * fully qualified. */
static const struct setting preamble[] = {
    {"statement_timeout", "0", 0},
    {"lock_timeout", "10s", 0},
    {"idle_in_transaction_session_timeout", "0", 0},
    {"idle_session_timeout", "0", PH_HAS_IDLE_SESSION_TIMEOUT},
    {"transaction_timeout", "0", PH_HAS_TRANSACTION_TIMEOUT},
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
    {"plan_cache_mode", "auto", 0},
    {"jit", "off", 0},
    {"tcp_keepalives_idle", "10", 0},
    {"tcp_keepalives_interval", "5", 0},
    {"tcp_keepalives_count", "3", 0},
    {"tcp_user_timeout", "60000", 0},
    {"client_connection_check_interval", "10s", PH_HAS_CLIENT_CHECK},
};

static bool set_up(struct ph_conn *conn, const struct ph_conn_opts *opts, struct ph_err *err)
{
    struct ph_buf sql = {0};
    int version = PQserverVersion(conn->pg);
    ph_buf_add(&sql, "SELECT pg_catalog.pg_backend_pid()");
    for (size_t i = 0; i < sizeof preamble / sizeof *preamble; i++)
        if (ph_feature_has(version, preamble[i].since))
            ph_sql_add(&sql, ", pg_catalog.set_config(%L, %L, false)", preamble[i].name,
                       preamble[i].value);
    ph_sql_add(&sql,
               ", pg_catalog.set_config('search_path', coalesce((SELECT pg_catalog.string_agg("
               "pg_catalog.quote_ident(u.s), ', ' ORDER BY u.n) FROM"
               " pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY u(s, n)"
               " WHERE u.s OPERATOR(pg_catalog.<>) 'pg_catalog'), ''), false)");
    ph_sql_add(&sql, ", pg_catalog.set_config('default_transaction_read_only', %L, false)",
               opts->read_only ? "on" : "off");
    ph_sql_add(&sql, ", pg_catalog.set_config('client_encoding', %L, false)",
               opts->encoding ? opts->encoding : PQparameterStatus(conn->pg, "server_encoding"));
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (!ok && opts->encoding && !strcmp(err->sqlstate, "22023")) {
        ph_err_set(err, PH_WRONG, "the %s knows no encoding %s", conn->side, opts->encoding);
        ph_err_hint(err, "UTF8, LATIN1, WIN1252 and the like");
    }
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

/* Which server, database and role a service has led to. */
static void describe_service(struct ph_conn *conn)
{
    const char *service = ph_dsn_get(conn->dsn, "service");
    PQconninfoOption *all = service ? PQconninfo(conn->pg) : NULL;
    conn->shown = all ? ph_dsn_show(all, service) : NULL;
    PQconninfoFree(all);
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
        describe_service(conn);
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
    free(conn->shown);
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

const char *ph_conn_shown(const struct ph_conn *conn)
{
    return conn->shown ? conn->shown : conn->dsn->shown;
}

const char *ph_conn_side(const struct ph_conn *conn)
{
    return conn->side;
}

const char *ph_conn_server_encoding(const struct ph_conn *conn)
{
    return PQparameterStatus(conn->pg, "server_encoding");
}

const char *ph_conn_client_encoding(const struct ph_conn *conn)
{
    return PQparameterStatus(conn->pg, "client_encoding");
}

const char *ph_conn_transport(const struct ph_conn *conn)
{
    return conn->transport;
}

bool ph_conn_is_local(const struct ph_conn *conn)
{
    return conn->local;
}

bool ph_conn_in_transaction(const struct ph_conn *conn)
{
    return PQtransactionStatus(conn->pg) == PQTRANS_INTRANS;
}

bool ph_conn_ok(const struct ph_conn *conn)
{
    return conn && !conn->broken;
}

uint64_t ph_conn_wait_ns(const struct ph_conn *conn)
{
    return conn->wait_ns;
}
