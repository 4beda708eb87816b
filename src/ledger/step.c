#include "ledger/step.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/query.h"
#include "pg/sql.h"

/* Lists. */

static void grow(struct ph_arena *arena, void **items, int n, int *room, size_t size)
{
    if (n < *room)
        return;
    int wider = *room ? *room * 2 : 64;
    void *more = ph_arena_calloc(arena, (size_t)wider, size);
    if (n > 0)
        memcpy(more, *items, (size_t)n * size);
    *items = more;
    *room = wider;
}

struct ph_step *ph_steps_add(struct ph_steps *steps, const char *kind, const char *object,
                             const char *sql)
{
    grow(steps->arena, (void **)&steps->items, steps->n, &steps->room, sizeof *steps->items);
    struct ph_step *step = &steps->items[steps->n++];
    *step = (struct ph_step){.id = steps->n, .kind = kind, .object = object, .sql = sql};
    return step;
}

void ph_steps_drop(struct ph_steps *steps, const char *sql)
{
    grow(steps->arena, (void **)&steps->drops, steps->n_drops, &steps->room_drops,
         sizeof *steps->drops);
    steps->drops[steps->n_drops++] = sql;
}

/* The ledger. */

enum { ROWS_PER_INSERT = 200 };

/* Whether it comes after every step up to some one: lists of all steps would make the ledger's work grow with their square. */
static bool is_behind_all(const struct ph_step *s)
{
    for (int i = 0; i < s->n_after; i++)
        if (s->after[i] != i + 1)
            return false;
    return true;
}

static void add_row(struct ph_buf *sql, int64_t job, const struct ph_step *s)
{
    bool behind = is_behind_all(s);
    ph_sql_add(sql, "(%D, %D, %L, %L, ", job, s->id, s->kind, s->object);
    ph_buf_add(sql, s->tabs ? "'{" : "NULL");
    for (int i = 0; s->tabs && i < s->n_tabs; i++)
        ph_sql_add(sql, "%s%d", i ? "," : "", s->tabs[i]);
    ph_sql_add(sql, "%s'{", s->tabs ? "}', " : ", ");
    for (int i = 0; i < s->n_after && !behind; i++)
        ph_sql_add(sql, "%s%D", i ? "," : "", s->after[i]);
    ph_sql_add(sql, "}', %d, %L, %s, %L, %D, %s)", behind ? s->n_after : 0, s->sql,
               s->outside ? "true" : "false", s->alone, s->weight, s->restores ? "true" : "false");
}

bool ph_ledger_steps_put(struct ph_conn *conn, int64_t job, const struct ph_steps *steps,
                         struct ph_err *err)
{
    struct ph_buf sql = {0};
    for (int begin = 0; begin < steps->n; begin += ROWS_PER_INSERT) {
        ph_sql_add(
            &sql,
            "INSERT INTO pghaul.step (job, id, kind, object, tabs, after, behind, sql, outside,"
            " alone, weight, restores) VALUES ");
        for (int i = begin; i < steps->n && i < begin + ROWS_PER_INSERT; i++) {
            ph_buf_add(&sql, i > begin ? ", " : "");
            add_row(&sql, job, &steps->items[i]);
        }
        if (!ph_ledger_query(conn, &sql, NULL, err))
            return false;
    }
    for (int i = 0; i < steps->n_drops; i++)
        if (!ph_conn_exec(conn, steps->drops[i], err))
            return ph_err_prefix(err, "dropping what is built again afterwards");
    return true;
}

bool ph_ledger_steps_count(struct ph_conn *conn, int64_t job, struct ph_step_counts *counts,
                           struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'planned'),"
               " pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'done'),"
               " pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'failed')"
               " FROM pghaul.step WHERE job OPERATOR(pg_catalog.=) %D",
               job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    counts->planned = (int)ph_rows_int(rows, 0, 0);
    counts->done = (int)ph_rows_int(rows, 0, 1);
    counts->failed = (int)ph_rows_int(rows, 0, 2);
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_steps_failed(struct ph_conn *conn, struct ph_arena *arena, int64_t job, int max,
                            struct ph_step_failed **failed, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT id, kind, object, error FROM pghaul.step WHERE job OPERATOR(pg_catalog.=) %D"
               " AND state OPERATOR(pg_catalog.=) 'failed' ORDER BY id LIMIT %d",
               job, max);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *failed = ph_arena_calloc(arena, (size_t)*n, sizeof **failed);
    for (int i = 0; i < *n; i++)
        (*failed)[i] = (struct ph_step_failed){
            .step = ph_rows_int(rows, i, 0),
            .kind = ph_arena_strdup(arena, ph_rows_text(rows, i, 1)),
            .object = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
            .error = ph_arena_strdup(arena, ph_rows_text(rows, i, 3)),
        };
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_steps_reopen(struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(
        &sql,
        "UPDATE pghaul.step SET state = 'planned', failures = 0, not_before = NULL,"
        " ready = false WHERE job OPERATOR(pg_catalog.=) %D AND (state OPERATOR(pg_catalog.=)"
        " 'failed' OR state OPERATOR(pg_catalog.=) 'planned' AND not_before IS NOT NULL)",
        job);
    return ph_ledger_query(conn, &sql, NULL, err);
}

/* A builder's. */

void ph_step_sql_claim(struct ph_buf *sql, int64_t job, int mover, int slot, bool look)
{
    ph_sql_add(sql,
               "SELECT step, attempt, kind, object, sql, outside, weight, ready, running, undone,"
               " others"
               " FROM pghaul.step_claim(%D, %d, %d, %s)",
               job, mover, slot, look ? "true" : "false");
}

void ph_step_take(struct ph_step_claim *out, const struct ph_rows *rows)
{
    int n = ph_rows_count(rows);
    *out = (struct ph_step_claim){
        .ready = (int)ph_rows_int(rows, 0, 7),
        .running = (int)ph_rows_int(rows, 0, 8),
        .undone = (int)ph_rows_int(rows, 0, 9),
        .others = ph_rows_int(rows, 0, 10),
    };
    for (int i = 0; i < n && out->n < PH_STEP_BUNDLE && ph_rows_get(rows, i, 0); i++)
        out->steps[out->n++] = (struct ph_claimed_step){
            .id = ph_rows_int(rows, i, 0),
            .attempt = (int)ph_rows_int(rows, i, 1),
            .kind = strdup(ph_rows_text(rows, i, 2)),
            .object = strdup(ph_rows_text(rows, i, 3)),
            .sql = strdup(ph_rows_text(rows, i, 4)),
            .outside = ph_rows_bool(rows, i, 5),
            .weight = ph_rows_int(rows, i, 6),
        };
}

bool ph_step_claim(struct ph_conn *conn, int64_t job, int mover, int slot, bool look,
                   struct ph_step_claim *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_step_sql_claim(&sql, job, mover, slot, look);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    ph_step_take(out, rows);
    ph_rows_free(rows);
    return true;
}

void ph_step_claim_fini(struct ph_step_claim *claim)
{
    for (int i = 0; i < claim->n; i++) {
        free(claim->steps[i].kind);
        free(claim->steps[i].object);
        free(claim->steps[i].sql);
    }
    claim->n = 0;
}

void ph_step_sql_done(struct ph_buf *sql, int64_t job, int mover,
                      const struct ph_claimed_step *steps, int n)
{
    ph_sql_add(sql, "SELECT pghaul.step_done(%D, '{", job);
    for (int i = 0; i < n; i++)
        ph_sql_add(sql, "%s%D", i ? "," : "", steps[i].id);
    ph_buf_add(sql, "}', '{");
    for (int i = 0; i < n; i++)
        ph_sql_add(sql, "%s%d", i ? "," : "", steps[i].attempt);
    ph_sql_add(sql, "}', %d)", mover);
}

bool ph_step_fail(struct ph_conn *conn, int64_t job, int mover, const struct ph_claimed_step *step,
                  bool counted, bool final, const char *why, double delay_s, bool *failed,
                  struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    *failed = false;
    ph_sql_add(&sql, "SELECT pghaul.step_fail(%D, %D, %d, %d, %s, %s, %L, ", job, step->id,
               step->attempt, mover, counted ? "true" : "false", final ? "true" : "false", why);
    ph_buf_addf(&sql, "%.3f)", delay_s);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *failed = !strcmp(ph_rows_text(rows, 0, 0), "failed");
    ph_rows_free(rows);
    return true;
}
