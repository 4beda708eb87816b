/* The user's own SQL: filters and expressions over a source table's columns.
 *
 * It is put into statements as it is, within parentheses; that is what it is for. So it must be one
 * expression and nothing else, which the server's parser is asked about, without running anything:
 * as it is, where a comma, a second clause or an open parenthesis has no place, and within
 * parentheses, where what would close them early has none. What passes both ways means the same in
 * either. A filter or an expression that calls a volatile function would give other rows when a
 * shard is read again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pg/sql.h"
#include "plan/make.h"
#include "plan/sqltext.h"

enum { BOOL_OID = 16 };

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

/* What ends in a comment would swallow the closing parenthesis: a line break ends the comment
 * first. */
static const char *make_safe(struct ph_make *make, const char *text)
{
    return strstr(text, "--") ? ph_arena_printf(arena_of(make), "%s\n", text) : text;
}

/* Describes `head` text `tail`, where %I.%I of the table follows in the tail. */
static bool describe(struct ph_make *make, const struct ph_pick *pick, const char *head,
                     const char *text, const char *middle, const char *tail,
                     struct ph_column_type *type, struct ph_err *err)
{
    struct ph_buf sql = {0};
    int count = 0;
    ph_sql_add(&sql, "SELECT %s%s\n%s FROM ONLY %I.%I%s", head, text, middle, pick->source->schema,
               pick->source->name, tail);
    bool ok = ph_conn_describe(make->side[PH_SOURCE].conn, sql.data, type, 1, &count, err);
    ph_buf_fini(&sql);
    if (ok)
        return count == 1 || ph_err_set(err, PH_WRONG, "it is more than one expression");
    if (err->code == PH_FAILED && !err->transient)
        err->code = PH_WRONG;
    return false;
}

static bool describe_where(struct ph_make *make, const struct ph_pick *pick, const char *open,
                           const char *text, const char *close, struct ph_err *err)
{
    struct ph_buf where = {0};
    struct ph_column_type type;
    ph_sql_add(&where, " WHERE %s%s\n%s", open, text, close);
    bool ok = describe(make, pick, "1", "", "", where.data, &type, err);
    ph_buf_fini(&where);
    return ok;
}

static bool check_filter(struct ph_make *make, struct ph_pick *pick, struct ph_err *err)
{
    const char *filter = pick->request->filter;
    struct ph_column_type type = {0};
    bool ok = describe_where(make, pick, "", filter, "", err) &&
              describe_where(make, pick, "(", filter, ")", err) &&
              describe(make, pick, "(", filter, ")", "", &type, err);
    if (ok && type.oid != BOOL_OID)
        ok = ph_err_set(err, PH_WRONG, "it is not a condition");
    if (ok) {
        pick->filter = make_safe(make, filter);
        return true;
    }
    ph_err_prefix(err, "the filter of %s is not usable", ph_make_name(make, pick->source));
    if (err->code == PH_WRONG && !*err->hint)
        ph_err_hint(err, "a filter is one SQL condition over the columns of the source table, as "
                         "after WHERE");
    return false;
}

/* CASE keeps out sets of rows and a list; WHERE keeps out aggregates and windows, which would make
 * one row of many. */
static bool check_mapping(struct ph_make *make, const struct ph_pick *pick,
                          const struct ph_mapping *mapping, struct ph_make_mapping *out,
                          struct ph_err *err)
{
    const char *text = mapping->expression;
    struct ph_column_type type = {0}, unused;
    bool ok = describe(make, pick, "CASE WHEN true THEN ", text, "END", "", &unused, err) &&
              describe(make, pick, "(", text, ")", "", &type, err) &&
              describe_where(make, pick, "(", text, ") IS NULL", err);
    if (ok) {
        *out = (struct ph_make_mapping){
            .column = mapping->column,
            .expression = make_safe(make, text),
            .type = type.oid,
            .typmod = type.typmod,
        };
        return true;
    }
    ph_err_prefix(err, "the expression for column %s of %s is not usable",
                  ph_make_quote(make, mapping->column), ph_make_name(make, pick->source));
    if (err->code == PH_WRONG && !*err->hint)
        ph_err_hint(err, "an expression yields one value from the columns of one source row");
    return false;
}

/* Volatility. */

static void add_calls(struct ph_make *make, const char *sql, struct ph_buf *names)
{
    struct ph_sqltext text = {.p = sql};
    while (ph_sqltext_next(&text, arena_of(make)))
        if (text.is_call)
            ph_sql_add(names, names->len ? ", %L" : "%L", text.word);
}

static const char *volatile_call(struct ph_make *make, const char *sql, const struct ph_rows *rows)
{
    struct ph_sqltext text = {.p = sql};
    while (ph_sqltext_next(&text, arena_of(make)))
        for (int i = 0; text.is_call && i < ph_rows_count(rows); i++)
            if (!strcmp(text.word, ph_rows_text(rows, i, 0)))
                return text.word;
    return NULL;
}

static void judge_calls(struct ph_make *make, const struct ph_rows *rows)
{
    for (int i = 0; i < make->n_picks; i++) {
        struct ph_pick *pick = &make->picks[i];
        const char *call = pick->filter ? volatile_call(make, pick->filter, rows) : NULL;
        if (call)
            ph_make_obstacle(make, "a filter must pick the same rows whenever it is asked",
                             "the filter of %s calls the volatile function %s",
                             ph_make_name(make, pick->source), call);
        for (int m = 0; m < pick->n_mappings; m++) {
            call = volatile_call(make, pick->mappings[m].expression, rows);
            if (call)
                ph_make_warning(
                    make,
                    "the expression for column %s of %s calls the volatile function %s: "
                    "a row that is read again gets another value",
                    ph_make_quote(make, pick->mappings[m].column), ph_make_name(make, pick->source),
                    call);
        }
    }
}

/* By name: the parser tells nobody which of several functions of a name it chose. A name counts as
 * volatile when the system's own function is, or all that have it are. */
static bool check_volatility(struct ph_make *make, struct ph_err *err)
{
    struct ph_buf names = {0}, sql = {0};
    for (int i = 0; i < make->n_picks; i++) {
        if (make->picks[i].filter)
            add_calls(make, make->picks[i].filter, &names);
        for (int m = 0; m < make->picks[i].n_mappings; m++)
            add_calls(make, make->picks[i].mappings[m].expression, &names);
    }
    bool ok = true;
    if (names.len) {
        struct ph_rows *rows = NULL;
        ph_sql_add(
            &sql,
            "SELECT p.proname FROM pg_proc p WHERE p.proname = ANY (ARRAY[%s]::name[])\n"
            "GROUP BY p.proname HAVING bool_and(p.provolatile = 'v')\n"
            " OR bool_or(p.provolatile = 'v' AND p.pronamespace = 'pg_catalog'::regnamespace)",
            names.data);
        ok = ph_catalog_query(make->side[PH_SOURCE].conn, sql.data, &rows, err);
        if (ok)
            judge_calls(make, rows);
        ph_rows_free(rows);
    }
    ph_buf_fini(&names);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_mapping_check(struct ph_make *make, struct ph_err *err)
{
    for (int i = 0; i < make->n_picks; i++) {
        struct ph_pick *pick = &make->picks[i];
        const struct ph_request *request = pick->request;
        if (!request)
            continue;
        if (request->filter && !check_filter(make, pick, err))
            return false;
        pick->n_mappings = request->n_mappings;
        pick->mappings =
            ph_arena_calloc(arena_of(make), (size_t)request->n_mappings, sizeof *pick->mappings);
        for (int m = 0; m < request->n_mappings; m++)
            if (!check_mapping(make, pick, &request->mappings[m], &pick->mappings[m], err))
                return false;
    }
    return check_volatility(make, err);
}
