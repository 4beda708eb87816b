#include "haul/queries.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ledger/answer.h"
#include "pg/sql.h"

static bool read_number(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && isfinite(*out);
}

bool ph_query_same(const struct ph_query *query, const char *source, const char *target)
{
    double a, b;
    if (!source || !target)
        return source == target;
    if (!strcmp(source, target))
        return true;
    if (query->tolerance <= 0 || !read_number(source, &a) || !read_number(target, &b))
        return false;
    double most = query->percent ? fabs(a) * query->tolerance / 100 : query->tolerance;
    return fabs(a - b) <= most;
}

/* Asking. */

static bool connect(const struct ph_queries_opts *o, struct ph_conn *conn[2], struct ph_err *err)
{
    const struct ph_dsn *dsn[2] = {o->source, o->target};
    for (int side = 0; side < 2; side++) {
        const struct ph_conn_opts how = {.dsn = dsn[side],
                                         .application_name = "pghaul/verify/queries",
                                         .encoding = "UTF8",
                                         .read_only = true,
                                         .interrupt = o->interrupt,
                                         .interrupt_level = 1};
        if (!ph_conn_open(&conn[side], &how, err))
            return false;
    }
    return true;
}

/* One statement only: the extended protocol takes no more. */
static bool ask(const struct ph_queries_opts *o, struct ph_conn *conn, const char *sql,
                struct ph_rows **rows, double *seconds, struct ph_err *err)
{
    struct ph_buf begin = {0};
    struct ph_column_type types[1];
    int n;
    ph_sql_add(&begin, "BEGIN READ ONLY; SET LOCAL statement_timeout = %D",
               (int64_t)(o->timeout_s * 1000));
    bool ok = ph_conn_exec(conn, begin.data, err) && ph_conn_describe(conn, sql, types, 1, &n, err);
    ph_buf_fini(&begin);
    double began_s = ph_clock_s();
    ok = ok && ph_conn_query(conn, sql, rows, err);
    *seconds = ph_clock_s() - began_s;
    ok = ok && ph_conn_exec(conn, "ROLLBACK", err);
    if (!ok)
        ph_conn_recover(conn);
    return ok;
}

/* Comparing. */

static void say_value(const struct ph_queries_opts *o, struct ph_buf *out, const char *a,
                      const char *b)
{
    double x, y;
    if (o->show_data)
        ph_buf_addf(out, ": %s, %s", a ? a : "null", b ? b : "null");
    else if (a && b && read_number(a, &x) && read_number(b, &y) && x != 0)
        ph_buf_addf(out, " by %.4g %%", (y - x) / fabs(x) * 100);
}

static const char *find_difference(const struct ph_queries_opts *o, const struct ph_query *q,
                                   struct ph_rows *const rows[2], struct ph_arena *arena)
{
    int n[2] = {ph_rows_count(rows[0]), ph_rows_count(rows[1])};
    int columns = ph_rows_columns(rows[0]);
    if (columns != ph_rows_columns(rows[1]))
        return ph_arena_printf(arena, "%d columns, %d", columns, ph_rows_columns(rows[1]));
    for (int i = 0; i < n[0] && i < n[1]; i++)
        for (int k = 0; k < columns; k++) {
            const char *a = ph_rows_get(rows[0], i, k), *b = ph_rows_get(rows[1], i, k);
            if (ph_query_same(q, a, b))
                continue;
            struct ph_buf text = {0};
            ph_buf_addf(&text, "row %d, %s", i + 1, ph_rows_column(rows[0], k));
            say_value(o, &text, a, b);
            const char *out = ph_arena_strdup(arena, text.data);
            ph_buf_fini(&text);
            return out;
        }
    return n[0] == n[1] ? NULL : ph_arena_printf(arena, "%d rows, %d", n[0], n[1]);
}

static void tell(const struct ph_queries_opts *o, const struct ph_query *q,
                 const struct ph_query_verdict *v)
{
    const struct ph_log_fields fields = {.event = "query", .rows = (uint64_t)v->rows[0]};
    const char *what = v->error ? v->error : v->difference ? v->difference : "equal";
    ph_log_event(o->log, v->equal ? PH_LOG_NOTE : PH_LOG_WARN, &fields,
                 "%s: %s%s (source %.1f ms, target %.1f ms)", q->name,
                 v->equal   ? ""
                 : v->error ? "failed, "
                            : "differs, ",
                 what, v->seconds[0] * 1000, v->seconds[1] * 1000);
}

/* False when a connection is lost or we are to stop; a query that fails is a verdict. */
static bool judge(const struct ph_queries_opts *o, int i, struct ph_conn *conn[2],
                  struct ph_arena *arena, struct ph_query_verdict *v, struct ph_err *err)
{
    const struct ph_query *q = &o->queries[i];
    struct ph_rows *rows[2] = {NULL, NULL};
    bool ok = true;
    v->difference = v->error = NULL;
    for (int side = 0; ok && side < 2; side++) {
        ok = ask(o, conn[side], q->sql[side], &rows[side], &v->seconds[side], err);
        v->rows[side] = ph_rows_count(rows[side]);
        v->most[side] = fmax(v->most[side], v->seconds[side]);
    }
    bool lost = !ok && (err->code == PH_CONNECTION || err->code == PH_INTERRUPTED);
    if (ok)
        v->difference = find_difference(o, q, rows, arena);
    else
        v->error = ph_arena_strdup(arena, err->text);
    v->equal = ok && !v->difference;
    v->rounds++;
    v->differing += v->difference != NULL;
    v->failed += !ok;
    ph_rows_free(rows[0]);
    ph_rows_free(rows[1]);
    if (!lost)
        tell(o, q, v);
    return !lost;
}

/* The history is none of what was asked: without it the answers are the same. */
static void keep_round(const struct ph_queries_opts *o, struct ph_queries_result *r,
                       struct ph_arena *arena)
{
    struct ph_answer *answers = ph_arena_calloc(arena, (size_t)o->n, sizeof *answers);
    struct ph_conn *conn = NULL;
    struct ph_err ignored;
    const struct ph_conn_opts how = {.dsn = o->target,
                                     .application_name = "pghaul/verify/note",
                                     .encoding = "UTF8",
                                     .interrupt = o->interrupt,
                                     .interrupt_level = 1};
    for (int i = 0; i < o->n; i++) {
        const struct ph_query_verdict *v = &r->verdicts[i];
        answers[i] = (struct ph_answer){
            .query = o->queries[i].name,
            .verdict = v->error   ? "failed"
                       : v->equal ? "equal"
                                  : "differs",
            .text = v->error       ? v->error
                    : o->show_data ? NULL /* it has values in it */
                                   : v->difference,
            .seconds = {v->seconds[0], v->seconds[1]},
            .rows = {v->rows[0], v->rows[1]},
        };
    }
    if (ph_conn_open(&conn, &how, &ignored))
        ph_answers_write(conn, o->job, answers, o->n, &ignored);
    ph_conn_close(conn);
}

static bool ask_all(const struct ph_queries_opts *o, struct ph_arena *arena,
                    struct ph_queries_result *r, struct ph_err *err)
{
    struct ph_conn *conn[2] = {NULL, NULL};
    bool ok = connect(o, conn, err);
    for (int i = 0; ok && i < o->n; i++) {
        ok = judge(o, i, conn, arena, &r->verdicts[i], err);
        r->equal = r->equal && r->verdicts[i].equal;
    }
    ph_conn_close(conn[0]);
    ph_conn_close(conn[1]);
    if (ok && o->keep)
        keep_round(o, r, arena);
    r->rounds++;
    return ok;
}

/* What could not be asked is no difference; where there is one, that is the news. */
static bool say_differs(const struct ph_queries_opts *o, const struct ph_queries_result *r,
                        struct ph_err *err)
{
    int differing = 0, failed = 0, first = 0, unanswered = 0;
    for (int i = o->n - 1; i >= 0; i--) {
        const struct ph_query_verdict *v = &r->verdicts[i];
        differing += v->differing > 0;
        failed += v->failed > 0;
        first = v->differing > 0 ? i : first;
        unanswered = v->failed > 0 ? i : unanswered;
    }
    if (differing)
        return ph_err_set(err, PH_DIFFERS, "%d of %d queries differ, %s among them", differing,
                          o->n, o->queries[first].name);
    if (!failed)
        return ph_err_set(err, PH_FAILED, "the servers could not be asked in every round");
    const char *error = r->verdicts[unanswered].error;
    ph_err_set(err, PH_FAILED, "%d of %d queries could not be answered, %s among them%s%s", failed,
               o->n, o->queries[unanswered].name, error ? ": " : "", error ? error : "");
    return ph_err_hint(err, "both servers have to answer each within --statement-timeout; it may "
                            "only read, and is one statement");
}

bool ph_queries_run(const struct ph_queries_opts *opts, struct ph_arena *arena,
                    struct ph_queries_result *result, struct ph_err *err)
{
    double end_s = ph_clock_s() + opts->for_s, next_s = ph_clock_s();
    *result = (struct ph_queries_result){.equal = true};
    result->verdicts = ph_arena_calloc(arena, (size_t)opts->n + 1, sizeof *result->verdicts);
    for (;;) {
        bool ok = ask_all(opts, arena, result, err);
        if (!ok && (opts->every_s <= 0 || err->code == PH_INTERRUPTED))
            return false;
        if (!ok) {
            ph_log_err(opts->log, PH_LOG_WARN, err);
            result->equal = false;
        }
        next_s = fmax(next_s + opts->every_s, ph_clock_s());
        if (opts->every_s <= 0 || next_s > end_s)
            break;
        if (!ph_interrupt_sleep(opts->interrupt, 1, next_s - ph_clock_s()))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    }
    return result->equal || say_differs(opts, result, err);
}
