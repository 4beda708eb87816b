/* Sums, extremes and null counts of numeric and time columns, made by both servers: one query a
 * side and table, both servers at it at once, under a snapshot of each.
 *
 * Values, not bytes: 1.5 and 1.50 make one sum. Sums are numerics, so they are exact and do not hang
 * on the order of rows; a floating point number goes in as the 15 digits of its numeric form, and
 * neither NaN nor infinity do: those show in extremes. Extremes are values of rows, so they are not
 * shown without --show-data.
 */
#include <stdio.h>
#include <string.h>

#include "haul/verify_run.h"
#include "pg/sql.h"

enum form { FORM_NONE, FORM_EXACT, FORM_FLOAT, FORM_SPAN, FORM_TIME };

static const struct {
    const char *type;
    enum form form;
} types[] = {{"smallint", FORM_EXACT},         {"integer", FORM_EXACT}, {"bigint", FORM_EXACT},
             {"numeric", FORM_EXACT},          {"money", FORM_EXACT},   {"real", FORM_FLOAT},
             {"double precision", FORM_FLOAT}, {"interval", FORM_SPAN}, {"date", FORM_TIME},
             {"timestamp", FORM_TIME},         {"time", FORM_TIME}};

static enum form form_of_type(const char *shown)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i].type);
        if (!strncmp(shown, types[i].type, n) && strchr("( ", shown[n]) && !strstr(shown, "[]"))
            return types[i].form;
    }
    return FORM_NONE;
}

/* Both sides must be asked alike; an integer and a numeric can. */
static enum form form_of(const struct ph_plan_column *c)
{
    enum form form = form_of_type(c->target_type);
    return form_of_type(c->source_type) == form ? form : FORM_NONE;
}

static const char *const properties[] = {"nulls", "sum", "min", "max"};
enum { N_PROPERTIES = 4 };

static void add_column(struct ph_buf *sql, enum form form, int i)
{
    static const char finite[] =
        "pg_catalog.sum(q.c%d::pg_catalog.numeric) FILTER (WHERE q.c%d::pg_catalog.float8"
        " OPERATOR(pg_catalog.<) 'Infinity' AND q.c%d::pg_catalog.float8 OPERATOR(pg_catalog.>)"
        " '-Infinity')";
    ph_sql_add(sql, ", pg_catalog.count(*) OPERATOR(pg_catalog.-) pg_catalog.count(q.c%d), ", i);
    if (form == FORM_EXACT)
        ph_sql_add(sql, "pg_catalog.trim_scale(pg_catalog.sum(q.c%d::pg_catalog.numeric))", i);
    else if (form == FORM_FLOAT) {
        ph_buf_add(sql, "pg_catalog.trim_scale(");
        ph_sql_add(sql, finite, i, i, i);
        ph_buf_addc(sql, ')');
    } else
        ph_sql_add(sql, form == FORM_SPAN ? "pg_catalog.sum(q.c%d)" : "NULL", i);
    for (int k = 0; k < 2; k++) {
        const char *name = k ? "max" : "min";
        if (form == FORM_EXACT)
            ph_sql_add(sql, ", pg_catalog.trim_scale(pg_catalog.%s(q.c%d::pg_catalog.numeric))",
                       name, i);
        else if (form == FORM_FLOAT) /* -0 and 0 are one value */
            ph_sql_add(sql,
                       ", pg_catalog.%s(q.c%d)::pg_catalog.float8 OPERATOR(pg_catalog.+)"
                       " 0::pg_catalog.float8",
                       name, i);
        else if (form == FORM_SPAN) /* equal spans are written in many ways */
            ph_buf_add(sql, ", NULL");
        else
            ph_sql_add(sql, ", pg_catalog.%s(q.c%d)", name, i);
    }
}

static const struct ph_plan_column *named(const struct ph_table *t, const char *name)
{
    for (int i = 0; i < t->n_columns; i++)
        if (!strcmp(t->columns[i].name, name))
            return &t->columns[i];
    return NULL;
}

/* All rows of the unit on one side, with the columns that count as c0, c1, ... */
static void add_rows(struct ph_buf *sql, const struct ph_unit *unit, int side)
{
    for (int k = 0; k < unit->n_rels[side]; k++) {
        const struct ph_unit_rel *rel = &unit->rels[side][k];
        ph_buf_add(sql, k ? " UNION ALL SELECT 0" : "SELECT 0");
        for (int i = 0; i < unit->first->n_columns; i++) {
            const struct ph_plan_column *c = named(rel->table, unit->first->columns[i].name);
            if (form_of(&unit->first->columns[i]) == FORM_NONE)
                continue;
            const char *text = !c                       ? "NULL"
                               : side == PH_READ_SOURCE ? c->verify_source
                                                        : c->verify_target;
            ph_sql_add(sql, ", %s AS c%d", text, i);
        }
        ph_sql_add(sql, " FROM %s", rel->from);
        if (rel->where)
            ph_sql_add(sql, " WHERE (%s\n)", rel->where);
    }
}

static int add_query(struct ph_buf *sql, const struct ph_unit *unit, int side)
{
    int n = 0;
    ph_buf_add(sql, "SELECT pg_catalog.count(*)");
    for (int i = 0; i < unit->first->n_columns; i++) {
        enum form form = form_of(&unit->first->columns[i]);
        if (form == FORM_NONE)
            continue;
        add_column(sql, form, i);
        n++;
    }
    ph_buf_add(sql, " FROM (");
    add_rows(sql, unit, side);
    ph_buf_add(sql, ") q");
    return n;
}

static bool fetch(struct ph_conn *conn, struct ph_rows **rows, struct ph_err *err)
{
    enum ph_result kind = PH_RESULT_ROWS;
    if (!ph_conn_next(conn, &kind, rows, err))
        return false;
    while (kind != PH_RESULT_NONE)
        if (!ph_conn_next(conn, &kind, NULL, err))
            return false;
    return true;
}

/* Both servers reckon at once. */
static bool ask(struct ph_verify *v, const struct ph_unit *unit, struct ph_rows *rows[2],
                struct ph_err *err)
{
    struct ph_conn *conn[2] = {v->run.source, v->run.target};
    bool ok = true;
    for (int side = 0; ok && side < 2; side++) {
        struct ph_buf sql = {0};
        add_query(&sql, unit, side);
        ok = ph_conn_send(conn[side], sql.data, err);
        ph_buf_fini(&sql);
    }
    for (int side = 0; ok && side < 2; side++)
        ok = fetch(conn[side], &rows[side], err);
    return ok;
}

static void add_sum(struct ph_verify *v, int *room, const struct ph_verify_sum *sum)
{
    struct ph_verify_sums *out = &v->result->sums;
    if (out->n == *room) {
        *room = *room ? *room * 2 : 64;
        struct ph_verify_sum *more = ph_arena_calloc(v->arena, (size_t)*room, sizeof *more);
        if (out->n)
            memcpy(more, out->items, (size_t)out->n * sizeof *more);
        out->items = more;
    }
    out->items[out->n++] = *sum;
    out->equal = out->equal && sum->equal;
}

static void take(struct ph_verify *v, const struct ph_unit *unit, struct ph_rows *const rows[2],
                 int *room)
{
    int at = 0;
    for (int i = -1; i < unit->first->n_columns; i++) {
        if (i >= 0 && form_of(&unit->first->columns[i]) == FORM_NONE)
            continue;
        for (int k = 0; k < (i < 0 ? 1 : N_PROPERTIES); k++, at++) {
            const char *a = ph_rows_get(rows[0], 0, at), *b = ph_rows_get(rows[1], 0, at);
            bool shown = k < 2 || v->opts->show_data;
            if (!a && !b)
                continue;
            const struct ph_verify_sum sum = {
                .table = unit->result->source,
                .column = i < 0 ? NULL : unit->first->columns[i].name,
                .property = i < 0 ? "rows" : properties[k],
                .equal = a && b && !strcmp(a, b),
                .hidden = !shown,
                .source = shown ? ph_arena_strdup(v->arena, a) : NULL,
                .target = shown ? ph_arena_strdup(v->arena, b) : NULL,
            };
            add_sum(v, room, &sum);
        }
    }
}

bool ph_verify_add_up(struct ph_verify *v, struct ph_err *err)
{
    int room = 0;
    v->result->sums = (struct ph_verify_sums){.compared = true, .equal = true};
    bool ok = ph_verify_look(v, PH_READ_SOURCE, err) && ph_verify_look(v, PH_READ_TARGET, err);
    for (int i = 0; ok && i < v->n_units; i++) {
        struct ph_rows *rows[2] = {NULL, NULL};
        ok = (ph_verify_may_go_on(v, err) || (err->code == PH_PAUSED && ph_verify_rest(v, err))) &&
             ask(v, &v->units[i], rows, err);
        if (ok)
            take(v, &v->units[i], rows, &room);
        else
            ph_err_prefix(err, "adding up %s", v->units[i].result->source);
        ph_rows_free(rows[0]);
        ph_rows_free(rows[1]);
    }
    ph_verify_look_away(v);
    return ok;
}
