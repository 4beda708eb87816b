#include "pg/definitions.h"

#include <string.h>

#include "base/buf.h"
#include "pg/sql.h"

enum { SEQUENCES_AT_ONCE = 50 }; /* each locks a sequence and a table */

extern const char ph_definitions_sql[];
static const char mark[] = "\n-- @ ";

/* What stands behind the mark that follows `from`; NULL when there is none. */
static const char *next_query(const char *from, const char **word)
{
    const char *at = strstr(from, mark);
    if (!at)
        return NULL;
    *word = at + strlen(mark);
    return strchr(*word, '\n') + 1;
}

static bool is_word(const char *at, const char *word)
{
    return !strncmp(at, word, strlen(word)) && at[strlen(word)] == '\n';
}

/* One query with its scope, up to the next mark. */
static void add_query(struct ph_buf *sql, const char *query, const char *scope, bool all)
{
    static const char hole[] = ":all";
    const char *end = strstr(query, mark);
    size_t left = end ? (size_t)(end - query) : strlen(query);
    ph_sql_add(sql, "WITH RECURSIVE scope(rel) AS (SELECT unnest(%L::oid[]))\n", scope);
    while (left > 0) {
        const char *at = memmem(query, left, hole, strlen(hole));
        size_t n = at ? (size_t)(at - query) : left;
        ph_buf_addn(sql, query, n);
        if (at)
            ph_buf_add(sql, all ? "true" : "false");
        n += at ? strlen(hole) : 0;
        query += n;
        left -= n;
    }
}

static const char *scope_text(struct ph_arena *arena, const uint32_t *oids, int n)
{
    struct ph_buf text = {0};
    ph_buf_addc(&text, '{');
    for (int i = 0; i < n; i++)
        ph_buf_addf(&text, "%s%u", i ? "," : "", oids[i]);
    ph_buf_addc(&text, '}');
    const char *out = ph_arena_strdup(arena, text.data);
    ph_buf_fini(&text);
    return out;
}

static void take(struct ph_arena *arena, const struct ph_rows *rows, struct ph_facts *out)
{
    int n = ph_rows_count(rows);
    struct ph_fact *more = ph_arena_calloc(arena, (size_t)(out->n + n) + 1, sizeof *more);
    if (out->n)
        memcpy(more, out->items, (size_t)out->n * sizeof *more);
    for (int i = 0; i < n; i++)
        more[out->n + i] = (struct ph_fact){
            .kind = ph_arena_strdup(arena, ph_rows_text(rows, i, 0)),
            .rel = (uint32_t)ph_rows_uint(rows, i, 1),
            .schema = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
            .name = ph_arena_strdup(arena, ph_rows_text(rows, i, 3)),
            .order = (int)ph_rows_int(rows, i, 4),
            .property = ph_arena_strdup(arena, ph_rows_text(rows, i, 5)),
            .value = ph_arena_strdup(arena, ph_rows_text(rows, i, 6)),
        };
    out->items = more;
    out->n += n;
}

static bool begin(struct ph_conn *conn, struct ph_err *err)
{
    return ph_conn_exec(conn,
                        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                        "SET LOCAL search_path TO pg_catalog, pg_temp",
                        err);
}

static bool end(struct ph_conn *conn, bool ok, struct ph_err *err)
{
    if (ok)
        return ph_conn_exec(conn, "COMMIT", err);
    ph_conn_recover(conn);
    return ph_err_prefix(err, "reading definitions of the %s", ph_conn_side(conn));
}

bool ph_definitions_read(struct ph_conn *conn, struct ph_arena *arena, const uint32_t *oids, int n,
                         bool all, struct ph_facts *out, struct ph_err *err)
{
    const char *scope = scope_text(arena, oids, n), *word = "";
    *out = (struct ph_facts){0};
    bool ok = begin(conn, err);
    for (const char *query = ph_definitions_sql; ok && (query = next_query(query, &word));) {
        struct ph_buf sql = {0};
        struct ph_rows *rows = NULL;
        if (!is_word(word, "tables") && !(all && is_word(word, "all")))
            continue;
        add_query(&sql, query, scope, all);
        ok = ph_conn_query(conn, sql.data, &rows, err);
        if (ok)
            take(arena, rows, out);
        ph_rows_free(rows);
        ph_buf_fini(&sql);
    }
    return end(conn, ok, err);
}

/* Positions. */

struct sequence {
    struct ph_fact fact;
    const char *name, *table, *column;
    bool rises, readable;
};

static bool read_sequences(struct ph_conn *conn, struct ph_arena *arena, const char *scope,
                           struct sequence **out, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    const char *word = "", *query = ph_definitions_sql;
    while (!is_word(word, "positions"))
        query = next_query(query, &word);
    add_query(&sql, query, scope, false);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    *n = ph_rows_count(rows);
    *out = ph_arena_calloc(arena, (size_t)*n + 1, sizeof **out);
    for (int i = 0; i < *n; i++)
        (*out)[i] = (struct sequence){
            .fact = {.kind = "sequence",
                     .rel = (uint32_t)ph_rows_uint(rows, i, 0),
                     .schema = "",
                     .name = ph_arena_strdup(arena, ph_rows_text(rows, i, 1)),
                     .order = 100,
                     .property = "position"},
            .name = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
            .table = ph_arena_strdup(arena, ph_rows_text(rows, i, 3)),
            .column = ph_arena_strdup(arena, ph_rows_text(rows, i, 4)),
            .rises = ph_rows_bool(rows, i, 5),
            .readable = ph_rows_bool(rows, i, 6),
        };
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

/* The last value that it gave, and whether the next one is among those that are there already. */
static void add_question(struct ph_buf *sql, const struct sequence *s, int number)
{
    ph_sql_add(sql,
               "%sSELECT %d, q.last_value, coalesce((SELECT %s(t.%s) FROM %s t) %s"
               " q.last_value %s CASE WHEN q.is_called THEN 0 ELSE 1 END, false) FROM %s q",
               sql->len ? " UNION ALL " : "", number, s->rises ? "max" : "min", s->column, s->table,
               s->rises ? ">" : "<", s->rises ? "-" : "+", s->name);
}

static bool ask(struct ph_conn *conn, struct ph_arena *arena, struct sequence *all, int n,
                struct ph_facts *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool ok = true;
    for (int i = 0; i < n; i++)
        if (all[i].readable)
            add_question(&sql, &all[i], i);
        else
            all[i].fact.value = "that the role may not look at";
    if (sql.len)
        ok = begin(conn, err) && ph_conn_query(conn, sql.data, &rows, err) && end(conn, true, err);
    if (!ok)
        end(conn, false, err);
    for (int i = 0; i < ph_rows_count(rows); i++)
        if (ph_rows_bool(rows, i, 2))
            all[ph_rows_int(rows, i, 0)].fact.value =
                ph_arena_printf(arena, "%s, behind the column", ph_rows_text(rows, i, 1));
    for (int i = 0; ok && i < n; i++)
        if (all[i].fact.value)
            out->items[out->n++] = all[i].fact;
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_definitions_behind(struct ph_conn *conn, struct ph_arena *arena, const uint32_t *oids,
                           int n, struct ph_facts *out, struct ph_err *err)
{
    struct sequence *all = NULL;
    int n_all = 0;
    *out = (struct ph_facts){0};
    bool ok = begin(conn, err) &&
              read_sequences(conn, arena, scope_text(arena, oids, n), &all, &n_all, err);
    if (!end(conn, ok, err))
        return false;
    out->items = ph_arena_calloc(arena, (size_t)n_all + 1, sizeof *out->items);
    for (int i = 0; ok && i < n_all; i += SEQUENCES_AT_ONCE)
        ok = ask(conn, arena, all + i,
                 n_all - i < SEQUENCES_AT_ONCE ? n_all - i : SEQUENCES_AT_ONCE, out, err);
    return ok;
}
