#include "ledger/control.h"

#include "ledger/query.h"
#include "ledger/verify.h"
#include "pg/sql.h"

/* Verifies that listen, in a query whose tables are l and a; a lock of this class, of the job's number, and how far each has
 * heard behind the last slash of its name. */
#define VERIFY_LOCK 1885825122
static const char listening[] =
    " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a"
    " ON a.pid OPERATOR(pg_catalog.=) l.pid WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'"
    " AND l.classid OPERATOR(pg_catalog.=) %u AND l.objid OPERATOR(pg_catalog.=) %u"
    " AND l.objsubid OPERATOR(pg_catalog.=) 2 AND l.granted AND l.database"
    " OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d"
    " WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";

bool ph_ledger_listen(struct ph_conn *conn, const char *name, const char *tag, int64_t *job,
                      int *mover, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool may = false;
    *job = 0;
    *mover = -ph_conn_backend_pid(conn);
    if (!ph_ledger_may_read(conn, &may, err))
        return false;
    if (!may)
        return true;
    ph_sql_add(&sql,
               "SET application_name = 'pghaul/%s/control/-1';"
               "SELECT id, pg_catalog.pg_advisory_lock_shared(%u, id::pg_catalog.int4)"
               " FROM pghaul.job WHERE name OPERATOR(pg_catalog.=) %L",
               tag, VERIFY_LOCK, name);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *job = ph_rows_count(rows) > 0 ? ph_rows_int(rows, 0, 0) : 0;
    ph_rows_free(rows);
    return true;
}

static void add_said(struct ph_buf *sql, const struct ph_ledger_look *look)
{
    if (!look->changed)
        return;
    if (look->verify_tag)
        ph_sql_add(sql, "SET application_name = 'pghaul/%s/control/%D';", look->verify_tag,
                   look->heard);
    else
        ph_sql_add(sql,
                   "UPDATE pghaul.mover SET paused = %s, held = %L, heard = %D"
                   " WHERE id OPERATOR(pg_catalog.=) %d;",
                   look->paused ? "true" : "false", look->held, look->heard, look->mover);
}

bool ph_ledger_look(struct ph_conn *conn, struct ph_arena *arena, const struct ph_ledger_look *look,
                    struct ph_ledger_wish **wishes, int *n, int *others, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    add_said(&sql, look);
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
               " OPERATOR(pg_catalog.>=) %D) FROM (SELECT heard FROM pghaul.live"
               " WHERE job OPERATOR(pg_catalog.=) %D UNION ALL SELECT"
               " pg_catalog.substring(a.application_name, '-?[0-9]+$')::pg_catalog.int8",
               no, job);
    ph_sql_add(&sql, listening, VERIFY_LOCK, (unsigned)job);
    ph_buf_add(&sql, ") m");
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *live = (int)ph_rows_int(rows, 0, 0);
    *heard = (int)ph_rows_int(rows, 0, 1);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_verifies(struct ph_conn *conn, int64_t job, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, "SELECT pg_catalog.count(*)");
    ph_sql_add(&sql, listening, VERIFY_LOCK, (unsigned)job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}
