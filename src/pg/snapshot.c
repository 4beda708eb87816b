#include "pg/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "pg/internal.h"
#include "pg/sql.h"

enum { REPORT = 3, START_TIMEOUT_S = 60, DDL_PATIENCE_S = 30 };

/* The keeper's process. */

static void write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        data += done;
        n -= (size_t)done;
    }
}

/* One report to the mover: lines of fields, then that direction is closed. */
static void report_failure(const struct ph_err *err)
{
    struct ph_buf text = {0};
    ph_buf_addf(&text, "E\n%d\n%d\n%s\n%s\n%s\n", err->code, err->transient, err->sqlstate,
                err->text, err->hint);
    write_all(REPORT, text.data, text.len);
    ph_buf_fini(&text);
}

/* What ps shows of a process is the memory where its arguments stood; the connection string must
 * not stay there, nor should somebody who kills "pghaul copy" by its command line hit the keeper.
 */
static void set_title(const char *job)
{
    char stat[2048];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, stat, sizeof stat - 1) : -1;
    if (fd >= 0)
        close(fd);
    prctl(PR_SET_NAME, "pghaul-keeper");
    if (n <= 0)
        return;
    stat[n] = '\0';
    char *field = strrchr(stat, ')'); /* the end of field 2; arg_start and arg_end are 48 and 49 */
    for (int i = 2; i < 48 && field; i++)
        field = strchr(field + 1, ' ');
    unsigned long begin = 0, end = 0;
    if (!field || sscanf(field, " %lu %lu", &begin, &end) != 2 || end <= begin + 1)
        return;
    char *area = (char *)begin; /* NOLINT: an address of our own, told by the kernel */
    size_t size = (size_t)(end - begin);
    memset(area, 0, size);
    snprintf(area, size, "pghaul-keeper %s", job);
}

static void become_keeper(int report_fd, const char *job)
{
    setsid();
    if (chdir("/") != 0)
        _exit(1);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    dup2(report_fd, REPORT);
    if (close_range(REPORT + 1, ~0U, 0) != 0)
        for (int fd = REPORT + 1; fd < 1024; fd++)
            close(fd);
    fcntl(REPORT, F_SETFD, FD_CLOEXEC);
    const int ignored[] = {SIGHUP, SIGINT, SIGPIPE, SIGQUIT};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_title(job);
}

/* Whether the source has room for a lock on each table, and half of it left for others. Without it a TRUNCATE
 * does not wait for us; it is noticed, since every shard looks whether its table is still in the same
 * file, and then the job stops. */
static bool may_lock_all(const struct ph_keeper_opts *opts, struct ph_conn *conn, bool *may,
                         struct ph_err *err)
{
    enum { ALWAYS = 1000 };
    struct ph_rows *rows = NULL;
    *may = opts->n_tables <= ALWAYS;
    if (*may)
        return true;
    if (!ph_conn_query(conn,
                       "SELECT pg_catalog.current_setting('max_locks_per_transaction')"
                       "::pg_catalog.int8 OPERATOR(pg_catalog.*)"
                       " pg_catalog.current_setting('max_connections')::pg_catalog.int8",
                       &rows, err))
        return false;
    *may = opts->n_tables <= ph_rows_int(rows, 0, 0) / 2;
    ph_rows_free(rows);
    return true;
}

/* Lowers *oldest to the oldest xid that the query finds. They have 32 bits; the bias is for those younger than `near`. */
static bool lower(struct ph_conn *conn, const char *xids, int64_t near, int64_t *oldest,
                  struct ph_err *err)
{
    const int64_t base = near + INT32_MAX;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.min(%D OPERATOR(pg_catalog.-) ((%D OPERATOR(pg_catalog.-) x.x)"
               " OPERATOR(pg_catalog.&) 4294967295)) FROM (%s) x(x)",
               base, base, xids);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    if (ok && ph_rows_get(rows, 0, 0) && ph_rows_int(rows, 0, 0) < *oldest)
        *oldest = ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

/* What is older than *oldest and is of this database is over before the snapshot is taken. txid_snapshot_xmin() would
 * say it of all databases of the server, and one long transaction in another would make every row that was written
 * since look as if it had changed. Nothing slips through: a transaction has its xid, and its session shows it, before
 * the next one is given out; and it is there as a prepared one before its session lets it go. 0: not known, since a
 * standby does not see its primary's sessions. */
static bool find_oldest(struct ph_conn *conn, int64_t *oldest, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(conn,
                       "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()),"
                       " pg_catalog.pg_is_in_recovery()",
                       &rows, err))
        return false;
    int64_t near = ph_rows_int(rows, 0, 0);
    *oldest = ph_rows_bool(rows, 0, 1) ? 0 : near;
    ph_rows_free(rows);
    return *oldest == 0 ||
           (lower(conn,
                  "SELECT backend_xid::pg_catalog.text::pg_catalog.int8"
                  " FROM pg_catalog.pg_stat_activity WHERE datname OPERATOR(pg_catalog.=)"
                  " pg_catalog.current_database()",
                  near, oldest, err) &&
            lower(conn,
                  "SELECT transaction::pg_catalog.text::pg_catalog.int8"
                  " FROM pg_catalog.pg_prepared_xacts WHERE database OPERATOR(pg_catalog.=)"
                  " pg_catalog.current_database()",
                  near, oldest, err));
}

/* The timeline of the position: another one means that a standby has taken over, or that the server was restored. A primary
 * knows it from the name of its WAL file. A standby has only hints; where they are late, the one that comes later says more. */
static void add_position(struct ph_buf *sql)
{
    ph_buf_add(sql,
               " CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
               " ELSE pg_catalog.pg_current_wal_insert_lsn() END,"
               " CASE WHEN pg_catalog.pg_is_in_recovery() THEN greatest("
               "(SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),"
               " (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),"
               " (SELECT pg_catalog.max(received_tli) FROM pg_catalog.pg_stat_wal_receiver))"
               " ELSE ('x' OPERATOR(pg_catalog.||) pg_catalog.substr(pg_catalog.pg_walfile_name("
               "pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::pg_catalog.bit(32)"
               "::pg_catalog.int4 END");
}

static bool take_snapshot(const struct ph_keeper_opts *opts, struct ph_conn *conn,
                          struct ph_buf *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool lock = false;
    int64_t oldest = 0;
    if (!may_lock_all(opts, conn, &lock, err) || !find_oldest(conn, &oldest, err))
        return ph_err_prefix(err, "taking a snapshot");
    ph_sql_add(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;");
    for (int i = 0; lock && i < opts->n_tables; i++)
        ph_sql_add(&sql, "%sONLY %I.%I", i ? ", " : "LOCK TABLE ", opts->tables[i].source_schema,
                   opts->tables[i].source_name);
    ph_sql_add(
        &sql,
        "%s"
        "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.txid_current_snapshot()::text,"
        " greatest(pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()), %D)::text,",
        lock && opts->n_tables ? " IN ACCESS SHARE MODE;" : "", oldest);
    add_position(&sql);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (!ok) {
        if (!strcmp(err->sqlstate, "55P03")) {
            err->code = PH_BUSY;
            ph_err_hint(
                err, "a statement on the source holds a table in ACCESS EXCLUSIVE mode; try later");
        }
        return ph_err_prefix(err, "taking a snapshot");
    }
    ph_buf_addf(out, "S\n%s\n%s\n%s\n%s\n%d\n%d\n%d\n", ph_rows_text(rows, 0, 0),
                ph_rows_text(rows, 0, 1), ph_rows_text(rows, 0, 2), ph_rows_text(rows, 0, 3),
                (int)ph_rows_int(rows, 0, 4), (int)getpid(), ph_conn_backend_pid(conn));
    ph_rows_free(rows);
    return true;
}

/* Until the snapshot is in the ledger nobody but this mover knows of us: we go when it does. False:
 * it has gone. */
static bool await_confirmation(void)
{
    char word;
    ssize_t n;
    do
        n = read(REPORT, &word, 1);
    while (n < 0 && errno == EINTR);
    close(REPORT);
    return n == 1;
}

/* Looks once a second; returns when there is no reason to go on. */
static void keep(const struct ph_keeper_opts *opts, struct ph_conn *conn)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "SELECT pg_catalog.pg_stat_clear_snapshot();"
               "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a"
               " WHERE pg_catalog.starts_with(a.application_name, 'pghaul/%s/')"
               " AND a.application_name OPERATOR(pg_catalog.<>) 'pghaul/%s/keeper'),"
               " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks w WHERE NOT w.granted"
               " AND pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=)"
               " ANY (pg_catalog.pg_blocking_pids(w.pid)))",
               opts->tag, opts->tag);
    double seen = ph_clock_s(), free_since = ph_clock_s();
    for (;;) {
        struct ph_err err;
        struct ph_rows *rows = NULL;
        /* readable without a question of ours: the server says goodbye */
        if (ph_conn_wait(conn, POLLIN, 1, &err) || !ph_conn_query(conn, sql.data, &rows, &err))
            break;
        double now = ph_clock_s();
        if (ph_rows_int(rows, 0, 0) > 0)
            seen = now;
        if (ph_rows_int(rows, 0, 1) == 0)
            free_since = now;
        ph_rows_free(rows);
        if (now - seen > opts->keep_s || now - free_since > DDL_PATIENCE_S)
            break;
    }
    ph_buf_fini(&sql);
}

static _Noreturn void run_keeper(const struct ph_keeper_opts *opts, int report_fd)
{
    struct ph_err err;
    struct ph_conn *conn = NULL;
    struct ph_buf report = {0};
    char name[64];
    become_keeper(report_fd, opts->job);
    snprintf(name, sizeof name, "pghaul/%s/keeper", opts->tag);
    struct ph_conn_opts how = {
        .dsn = opts->dsn, .application_name = name, .encoding = opts->encoding, .read_only = true};
    if (!ph_conn_open(&conn, &how, &err) || !take_snapshot(opts, conn, &report, &err)) {
        report_failure(&err);
        _exit(1);
    }
    write_all(REPORT, report.data, report.len);
    shutdown(REPORT, SHUT_WR);
    ph_buf_fini(&report);
    if (await_confirmation())
        keep(opts, conn);
    ph_conn_close(conn);
    _exit(0);
}

/* The mover's side. */

static char *take_line(char **text)
{
    char *line = *text;
    char *end = strchr(line, '\n');
    if (!end)
        return line + strlen(line);
    *end = '\0';
    *text = end + 1;
    return line;
}

static bool parse_report(char *text, struct ph_snapshot *snapshot, struct ph_err *err)
{
    char *kind = take_line(&text);
    if (!strcmp(kind, "E")) {
        enum ph_code code = (enum ph_code)strtol(take_line(&text), NULL, 10);
        bool transient = *take_line(&text) == '1';
        char *sqlstate = take_line(&text);
        ph_err_set(err, code, "%s", take_line(&text));
        ph_err_hint(err, "%s", take_line(&text));
        err->transient = transient;
        snprintf(err->sqlstate, sizeof err->sqlstate, "%s", sqlstate);
        return false;
    }
    if (strcmp(kind, "S") != 0)
        return ph_err_set(err, PH_FAILED, "the keeper of the snapshot died at once");
    snprintf(snapshot->id, sizeof snapshot->id, "%s", take_line(&text));
    snapshot->pg_snapshot = strdup(take_line(&text));
    snapshot->oldest = strtoull(take_line(&text), NULL, 10);
    snprintf(snapshot->lsn, sizeof snapshot->lsn, "%s", take_line(&text));
    snapshot->timeline = (int)strtol(take_line(&text), NULL, 10);
    snapshot->keeper_pid = (int)strtol(take_line(&text), NULL, 10);
    snapshot->keeper_backend = (int)strtol(take_line(&text), NULL, 10);
    return snapshot->pg_snapshot || ph_err_nomem(err);
}

/* Reads the report until the keeper has said all. */
static bool read_report(int fd, const struct ph_interrupt *interrupt, struct ph_buf *text,
                        struct ph_err *err)
{
    double until = ph_clock_s() + START_TIMEOUT_S;
    for (;;) {
        double left = until - ph_clock_s();
        if (left <= 0)
            return ph_err_set(err, PH_FAILED, "no snapshot after %d s", START_TIMEOUT_S);
        struct pollfd p[2] = {
            {.fd = fd, .events = POLLIN},
            {.fd = ph_interrupt_fd(interrupt, 1), .events = POLLIN},
        };
        int n = poll(p, 2, (int)(left * 1000) + 1);
        if (ph_interrupt_at(interrupt, 1))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        if (n <= 0 || !p[0].revents)
            continue;
        char piece[4096];
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return true;
        ph_buf_addn(text, piece, (size_t)got);
    }
}

bool ph_keeper_start(const struct ph_keeper_opts *opts, struct ph_snapshot *snapshot,
                     struct ph_err *err)
{
    int fds[2];
    *snapshot = (struct ph_snapshot){.keeper_fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return ph_err_set(err, PH_FAILED, "cannot make a socket pair: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) {
        close(fds[0]);
        close(fds[1]);
        return ph_err_set(err, PH_FAILED, "cannot fork: %s", strerror(errno));
    }
    if (child == 0) {
        /* forked twice, so that the keeper is nobody's child and never a zombie */
        if (fork() == 0)
            run_keeper(opts, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    struct ph_buf text = {0};
    bool ok = read_report(fds[0], opts->interrupt, &text, err);
    snapshot->keeper_fd = fds[0];
    if (ok) {
        ph_buf_addc(&text, '\n');
        ok = parse_report(text.data, snapshot, err);
    }
    ph_buf_fini(&text);
    if (ok && PH_FAULT("keeper.started"))
        ok = ph_err_set(err, PH_FAILED, "fault point keeper.started");
    if (!ok)
        ph_snapshot_fini(snapshot);
    return ok;
}

void ph_keeper_confirm(struct ph_snapshot *snapshot)
{
    if (snapshot->keeper_fd >= 0)
        write_all(snapshot->keeper_fd, "k", 1);
}

void ph_snapshot_fini(struct ph_snapshot *snapshot)
{
    free(snapshot->pg_snapshot);
    snapshot->pg_snapshot = NULL;
    if (snapshot->keeper_fd >= 0)
        close(snapshot->keeper_fd);
    snapshot->keeper_fd = -1;
}

bool ph_keeper_end(struct ph_conn *source, const char *tag, int keeper_backend, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(
        &sql,
        "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a"
        " WHERE %d IN (0, a.pid) AND a.application_name OPERATOR(pg_catalog.=) 'pghaul/%s/keeper'",
        keeper_backend, tag);
    bool ok = ph_conn_exec(source, sql.data, err);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "ending the keeper of the snapshot");
}

void ph_keeper_kill(const char *host, int pid)
{
    char here[256] = "", path[64], name[32] = "";
    if (pid <= 1 || gethostname(here, sizeof here - 1) != 0 || strcmp(here, host) != 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, name, sizeof name - 1) : -1;
    if (fd >= 0)
        close(fd);
    /* the number may be another process's by now */
    if (n > 0 && !strncmp(name, "pghaul-keeper", strlen("pghaul-keeper")))
        kill(pid, SIGTERM);
}

bool ph_snapshot_import(struct ph_conn *conn, const char *id, const char *expected,
                        struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;SET TRANSACTION SNAPSHOT %L;"
               "SELECT pg_catalog.txid_current_snapshot()::text",
               id);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    bool gone = !ok && err->code == PH_FAILED &&
                (!strcmp(err->sqlstate, "22023") || !strcmp(err->sqlstate, "42704"));
    /* after a restart of the server its ids begin anew: somebody else's snapshot may bear ours */
    if (ok && expected && strcmp(ph_rows_text(rows, 0, 0), expected) != 0)
        gone = true;
    ph_rows_free(rows);
    if (gone)
        ok = ph_err_set(err, PH_SNAPSHOT_GONE, "the snapshot of the job is gone");
    if (!ok)
        ph_conn_recover(conn);
    return ok;
}
