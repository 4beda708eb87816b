#include "ledger/creation.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/pg.h"
#include "ledger/query.h"
#include "ledger/status.h"
#include "pg/sql.h"

/* Keys of the advisory lock's class: who creates; whoever makes chunks for him, shared. */
enum { CLASS = 1885825122, CREATOR = 0, HELPERS = 1 };

static bool try_lock(struct ph_conn *conn, int key, bool *taken, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT pg_catalog.pg_try_advisory_lock(%d, %d)", CLASS, key);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *taken = ph_rows_bool(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

static bool unlock(struct ph_conn *conn, int key, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "SELECT pg_catalog.pg_advisory_unlock(%d, %d)", CLASS, key);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_creation_lock(struct ph_conn *conn, bool *taken, struct ph_err *err)
{
    bool alone = false;
    if (!try_lock(conn, CREATOR, taken, err))
        return false;
    if (!*taken)
        return true;
    if (!try_lock(conn, HELPERS, &alone, err))
        return false;
    *taken = alone;
    return unlock(conn, alone ? HELPERS : CREATOR, err);
}

bool ph_creation_help(struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "SELECT pg_catalog.pg_advisory_lock_shared(%d, %d)", CLASS, HELPERS);
    return ph_ledger_query(conn, &sql, NULL, err);
}

/* Chunks, their waves, and which are done. */
static bool read_chunks(struct ph_creation *creation, struct ph_arena *arena, const char *text)
{
    json_t *json = json_loads(text, 0, NULL), *done = json_array_get(json, 2), *which;
    size_t n = json_array_size(json_array_get(json, 0)), i;
    const char **chunks = ph_arena_calloc(arena, n + 1, sizeof *chunks);
    int *waves = ph_arena_calloc(arena, n + 1, sizeof *waves);
    creation->done = ph_arena_calloc(arena, n + 1, sizeof *creation->done);
    for (i = 0; i < n; i++) {
        chunks[i] =
            ph_arena_strdup(arena, json_string_value(json_array_get(json_array_get(json, 0), i)));
        waves[i] = (int)json_integer_value(json_array_get(json_array_get(json, 1), i));
    }
    json_array_foreach(done, i, which)
    {
        json_int_t k = json_integer_value(which);
        if (k >= 1 && (size_t)k <= n)
            creation->done[k - 1] = true;
    }
    creation->n_chunks = (int)n;
    creation->chunks = chunks;
    creation->waves = waves;
    creation->n_done = (int)json_array_size(done);
    bool ok = json_is_array(json) && json_array_size(json_array_get(json, 1)) == n &&
              json_array_size(done) <= n;
    json_decref(json);
    return ok;
}

bool ph_creation_find(struct ph_conn *conn, struct ph_arena *arena, const char *key,
                      struct ph_creation **out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool ok = true;
    *out = NULL;
    ph_sql_add(&sql,
               "SELECT id, major, pg_catalog.json_build_array(chunks, waves, done), rest, counts,"
               " state OPERATOR(pg_catalog.=) 'made' FROM pghaul.creation"
               " WHERE key OPERATOR(pg_catalog.=) %L",
               key);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    if (ph_rows_count(rows) == 1) {
        struct ph_creation *c = ph_arena_alloc(arena, sizeof *c);
        *c = (struct ph_creation){
            .id = ph_rows_int(rows, 0, 0),
            .key = ph_arena_strdup(arena, key),
            .major = (int)ph_rows_int(rows, 0, 1),
            .rest = ph_arena_strdup(arena, ph_rows_text(rows, 0, 3)),
            .counts = ph_arena_strdup(arena, ph_rows_text(rows, 0, 4)),
            .made = ph_rows_bool(rows, 0, 5),
        };
        ok = read_chunks(c, arena, ph_rows_text(rows, 0, 2)) ||
             ph_err_set(err, PH_FAILED, "ledger: a creation's chunks make no sense");
        *out = c;
    }
    ph_rows_free(rows);
    return ok;
}

bool ph_creation_others(struct ph_conn *conn, struct ph_arena *arena,
                        struct ph_creation_other **others, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool present = false;
    *n = 0;
    if (!ph_ledger_present(conn, &present, err))
        return false;
    if (!present)
        return true;
    ph_sql_add(&sql,
               "SELECT c.key, j.name, coalesce(j.state OPERATOR(pg_catalog.=) 'completed', false)"
               " FROM pghaul.creation c LEFT JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) c.job"
               " ORDER BY 3, j.id IS NOT NULL, c.id DESC");
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *others = ph_arena_calloc(arena, (size_t)*n + 1, sizeof **others);
    for (int i = 0; i < *n; i++)
        (*others)[i] = (struct ph_creation_other){
            .key = ph_arena_strdup(arena, ph_rows_text(rows, i, 0)),
            .job = ph_arena_strdup(arena, ph_rows_get(rows, i, 1)),
            .completed = ph_rows_bool(rows, i, 2),
        };
    ph_rows_free(rows);
    return true;
}

bool ph_creation_put(struct ph_conn *conn, struct ph_creation *creation, const struct ph_buf *dump,
                     struct ph_err *err)
{
    static const char digits[] = "0123456789abcdef";
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "INSERT INTO pghaul.creation (key, major, rest, counts, state, chunks, waves, dump)"
               " VALUES (%L, %d, %L, %L, %L, ARRAY[",
               creation->key, creation->major, creation->rest, creation->counts,
               creation->n_chunks ? "making" : "made");
    for (int i = 0; i < creation->n_chunks; i++)
        ph_sql_add(&sql, "%s%L", i ? ", " : "", creation->chunks[i]);
    ph_buf_add(&sql, "]::pg_catalog.text[], '{");
    for (int i = 0; i < creation->n_chunks; i++)
        ph_sql_add(&sql, "%s%d", i ? ", " : "", creation->waves[i]);
    ph_buf_add(&sql, "}', E'\\\\x");
    for (size_t i = 0; i < dump->len; i++) {
        unsigned char byte = (unsigned char)dump->data[i];
        ph_buf_addn(&sql, (char[]){digits[byte >> 4], digits[byte & 15]}, 2);
    }
    ph_buf_add(&sql, "') RETURNING id");
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    creation->id = ph_rows_int(rows, 0, 0);
    creation->made = creation->n_chunks == 0;
    ph_rows_free(rows);
    return true;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

bool ph_creation_dump(struct ph_conn *conn, int64_t id, struct ph_buf *dump, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT pg_catalog.encode(dump, 'hex') FROM pghaul.creation"
               " WHERE id OPERATOR(pg_catalog.=) %D",
               id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    for (const char *p = ph_rows_text(rows, 0, 0); p[0] && p[1]; p += 2)
        ph_buf_addc(dump, (char)(digit(p[0]) << 4 | digit(p[1])));
    ph_rows_free(rows);
    return true;
}

bool ph_creation_mark(struct ph_conn *conn, const struct ph_creation *creation, int chunk,
                      struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "UPDATE pghaul.creation SET done = pg_catalog.array_append(done, %d), state = CASE"
               " WHEN pg_catalog.cardinality(done) OPERATOR(pg_catalog.+) 1"
               " OPERATOR(pg_catalog.=) pg_catalog.cardinality(chunks) THEN 'made' ELSE state END,"
               " made_at = pg_catalog.clock_timestamp() WHERE id OPERATOR(pg_catalog.=) %D"
               " AND %d OPERATOR(pg_catalog.<>) ALL (done)",
               chunk + 1, creation->id, chunk + 1);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    bool ok = ph_rows_affected(rows) == 1 ||
              ph_err_set(err, PH_FAILED, "somebody else has gone on with the schema");
    ph_rows_free(rows);
    return ok;
}

bool ph_creation_adopt(struct ph_conn *conn, int64_t id, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "UPDATE pghaul.creation SET job = %D WHERE id OPERATOR(pg_catalog.=) %D"
               " AND job IS NULL",
               job, id);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_creation_left(struct ph_conn *conn, struct ph_creation_left *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool present = false;
    *out = (struct ph_creation_left){0};
    if (!ph_ledger_present(conn, &present, err))
        return false;
    if (!present)
        return true;
    ph_sql_add(&sql,
               "SELECT pg_catalog.count(*), pg_catalog.sum(pg_catalog.cardinality(chunks)),"
               " pg_catalog.sum(pg_catalog.cardinality(done)),"
               " EXISTS (SELECT FROM pg_catalog.pg_locks l"
               " JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) l.database"
               " WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted"
               " AND l.classid OPERATOR(pg_catalog.=) %d::pg_catalog.oid"
               " AND l.objid OPERATOR(pg_catalog.=) %d::pg_catalog.oid"
               " AND l.objsubid OPERATOR(pg_catalog.=) 2::pg_catalog.int2"
               " AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
               " FROM pghaul.creation WHERE job IS NULL",
               CLASS, CREATOR);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    out->n = (int)ph_rows_int(rows, 0, 0);
    out->parts = (int)ph_rows_int(rows, 0, 1);
    out->done = (int)ph_rows_int(rows, 0, 2);
    out->live = ph_rows_bool(rows, 0, 3);
    ph_rows_free(rows);
    return true;
}

bool ph_creation_forget(struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    bool taken = false;
    if (!ph_creation_lock(conn, &taken, err))
        return false;
    if (!taken)
        return ph_err_set(err, PH_HELD, "a live run is creating a schema in the target");
    ph_buf_add(&sql, "DELETE FROM pghaul.creation WHERE job IS NULL");
    bool ok = ph_ledger_begin(conn, false, err) && ph_ledger_query(conn, &sql, NULL, err) &&
              ph_ledger_end_if_unused(conn, err) && ph_ledger_commit(conn, err);
    if (!ok)
        ph_conn_recover(conn);
    return ok;
}
