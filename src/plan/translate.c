/* What the user said, in the encoding that our sessions speak. Command lines and job files are UTF-8; a session
 * speaks the target's encoding, and a name or a condition in other bytes would be another one. */
#include <string.h>

#include "base/buf.h"
#include "pg/sql.h"
#include "plan/make.h"

struct translation {
    struct ph_arena *arena;
    struct ph_conn *conn;
    const char *encoding;
};

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static const char *unhex(struct ph_arena *arena, const char *hex)
{
    size_t n = strlen(hex) / 2;
    char *text = ph_arena_calloc(arena, n + 1, 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return text;
}

/* What is no UTF-8 is taken for being in the session's encoding already. */
static bool translate(const struct translation *t, const char **text, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (!*text || is_ascii(*text))
        return true;
    ph_buf_add(&sql, "SELECT pg_catalog.encode(pg_catalog.convert(pg_catalog.decode('");
    for (const char *p = *text; *p; p++)
        ph_buf_addf(&sql, "%02x", (unsigned char)*p);
    ph_sql_add(&sql, "', 'hex'), 'UTF8', %L), 'hex')", t->encoding);
    bool ok = ph_conn_query(t->conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (ok)
        *text = unhex(t->arena, ph_rows_text(rows, 0, 0));
    ph_rows_free(rows);
    if (ok || !strcmp(err->sqlstate, "22021"))
        return true;
    if (strcmp(err->sqlstate, "22P05") != 0)
        return false;
    ph_err_set(err, PH_WRONG, "%.200s cannot be written in the encoding %s", *text, t->encoding);
    return ph_err_hint(err, "that is the target's, which both sessions speak");
}

static bool translate_list(const struct translation *t, const char *const **list, int n,
                           struct ph_err *err)
{
    const char **own = ph_arena_calloc(t->arena, (size_t)n + 1, sizeof *own);
    for (int i = 0; i < n; i++) {
        own[i] = (*list)[i];
        if (!translate(t, &own[i], err))
            return false;
    }
    if (*list)
        *list = own;
    return true;
}

static bool translate_request(const struct translation *t, struct ph_request *r, struct ph_err *err)
{
    struct ph_mapping *mappings =
        ph_arena_calloc(t->arena, (size_t)r->n_mappings + 1, sizeof *mappings);
    for (int i = 0; i < r->n_mappings; i++) {
        mappings[i] = r->mappings[i];
        if (!translate(t, &mappings[i].column, err) || !translate(t, &mappings[i].expression, err))
            return false;
    }
    r->mappings = mappings;
    return translate(t, &r->pattern, err) && translate(t, &r->target, err) &&
           translate(t, &r->filter, err) && translate_list(t, &r->columns, r->n_columns, err) &&
           translate_list(t, &r->key, r->n_key, err);
}

bool ph_translate_spec(struct ph_plan *plan, struct ph_conn *conn, struct ph_err *err)
{
    const struct translation t = {&plan->arena, conn, ph_conn_client_encoding(conn)};
    if (!strcmp(t.encoding, "UTF8") || !strcmp(t.encoding, "SQL_ASCII"))
        return true;
    struct ph_job_spec *spec = ph_arena_calloc(t.arena, 1, sizeof *spec);
    *spec = *plan->spec;
    struct ph_request *requests =
        ph_arena_calloc(t.arena, (size_t)spec->n_requests + 1, sizeof *requests);
    for (int i = 0; i < spec->n_requests; i++) {
        requests[i] = spec->requests[i];
        if (!translate_request(&t, &requests[i], err))
            return false;
    }
    spec->requests = requests;
    plan->spec = spec;
    return translate_list(&t, &spec->exclude_tables, spec->n_exclude_tables, err) &&
           translate_list(&t, &spec->schemas, spec->n_schemas, err) &&
           translate_list(&t, &spec->exclude_schemas, spec->n_exclude_schemas, err);
}
