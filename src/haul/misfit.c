#include "haul/misfit.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "pg/snapshot.h"
#include "pg/sql.h"

/* So many are found to be named when none may be left out. */
enum { NAMED = 3 };

bool ph_misfit_is(const struct ph_err *err)
{
    return err->code == PH_FAILED && (!strcmp(err->sqlstate, "22021") || /* not in repertoire */
                                      !strcmp(err->sqlstate, "22P05"));  /* untranslatable */
}

static void add_from(struct ph_buf *sql, const struct ph_shard *shard)
{
    const struct ph_table *t = shard->table;
    ph_sql_add(sql, " FROM ONLY %I.%I", t->source_schema, t->source_name);
    if (*shard->where)
        ph_sql_add(sql, " WHERE (%s)", shard->where);
    if (t->filter)
        ph_sql_add(sql, " %s (%s\n)", *shard->where ? "AND" : "WHERE", t->filter);
}

/* The columns whose characters are converted. The single byte of "char" is not. */
static void add_row(struct ph_buf *sql, const struct ph_table *t)
{
    const char *comma = "";
    ph_buf_add(sql, "ROW(");
    for (int i = 0; i < t->n_columns; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        if (c->generated || !strcmp(c->source_type, "\"char\""))
            continue;
        ph_sql_add(sql, "%s%s", comma, c->select);
        comma = ", ";
    }
    ph_buf_add(sql, ")::pg_catalog.text");
}

/* A row at a time under an exception's guard: an error would end the statement. What is found is left
 * in a setting of the transaction, since DO returns nothing. */
static void add_search(struct ph_buf *sql, const struct ph_crew *crew, const struct ph_shard *shard,
                       int64_t most)
{
    struct ph_buf body = {0};
    const char *bytes = "pghaul_text";
    ph_buf_add(&body, "#variable_conflict use_column\n"
                      "DECLARE pghaul_row record; pghaul_text text; pghaul_n int8 := 0;"
                      " pghaul_found text := '';\nBEGIN FOR pghaul_row IN SELECT"
                      " ctid::pg_catalog.text AS place, ");
    add_row(&body, shard->table);
    ph_buf_add(&body, " AS txt");
    add_from(&body, shard);
    ph_buf_add(&body, " LOOP BEGIN pghaul_text := pghaul_row.txt; PERFORM ");
    if (crew->opts.source_encoding)
        ph_sql_add(&body,
                   "pg_catalog.convert(pg_catalog.convert_to(%s,"
                   " pg_catalog.getdatabaseencoding()), %L, %L)",
                   bytes, crew->opts.source_encoding, crew->opts.target_encoding);
    else
        ph_sql_add(&body, "pg_catalog.convert_to(%s, %L)", bytes, crew->opts.target_encoding);
    ph_sql_add(&body,
               "; EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN"
               " pghaul_n := pghaul_n OPERATOR(pg_catalog.+) 1;"
               " pghaul_found := pg_catalog.concat(pghaul_found, '\"', pghaul_row.place, '\",');"
               " END; EXIT WHEN pghaul_n OPERATOR(pg_catalog.>) %D; END LOOP;"
               " PERFORM pg_catalog.set_config('pghaul.misfits', pghaul_found, true); END",
               most);
    ph_sql_add(sql, "DO LANGUAGE plpgsql %L;SELECT pg_catalog.current_setting('pghaul.misfits')",
               ph_buf_text(&body));
    ph_buf_fini(&body);
}

/* A value's bytes as they are, whatever they mean: hexadecimal digits need no conversion. */
static void add_hex(struct ph_buf *sql, const char *value)
{
    ph_sql_add(sql,
               ", pg_catalog.encode(pg_catalog.replace((%s)::pg_catalog.text, '\\', '\\\\')"
               "::pg_catalog.bytea, 'hex')",
               value);
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* One field of a line as COPY text has it, from hexadecimal to hexadecimal. */
static void add_field(struct ph_buf *line, const char *hex)
{
    static const char named[] = "\b\f\n\r\t\v\\", letters[] = "bfnrtv\\";
    if (!hex) {
        ph_buf_add(line, "5c4e"); /* \N */
        return;
    }
    for (; hex[0] && hex[1]; hex += 2) {
        char byte = (char)(digit(hex[0]) << 4 | digit(hex[1]));
        const char *special = byte ? strchr(named, byte) : NULL;
        if (special)
            ph_buf_addf(line, "5c%02x", (unsigned char)letters[special - named]);
        else
            ph_buf_addf(line, "%.2s", hex);
    }
}

static const char *show_key(struct ph_arena *arena, const struct ph_table *t,
                            const struct ph_rows *rows, int row, int first)
{
    struct ph_buf key = {0};
    bool plain = t->n_identity > 0;
    for (int i = 0; i < t->n_identity && plain; i++) {
        const char *hex = ph_rows_get(rows, row, first + i);
        ph_buf_addf(&key, "%s%s=", i ? ", " : "", t->columns[t->identity[i]].name);
        for (; hex && hex[0] && hex[1]; hex += 2) {
            int byte = digit(hex[0]) << 4 | digit(hex[1]);
            plain = plain && byte >= ' ' && byte < 0x7f;
            ph_buf_addc(&key, (char)byte);
        }
    }
    const char *text = plain ? ph_arena_strdup(arena, ph_buf_text(&key)) : NULL;
    ph_buf_fini(&key);
    return text;
}

/* The rows behind the places, `{"(0,1)",...}`: their key and their line. */
static bool read_rows(struct ph_conn *conn, const struct ph_shard *shard, const char *places,
                      struct ph_arena *arena, struct ph_rejects *out, struct ph_err *err)
{
    const struct ph_table *t = shard->table;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, "SELECT ctid");
    for (int i = 0; i < t->n_identity; i++)
        add_hex(&sql, t->columns[t->identity[i]].select);
    for (int i = 0; i < t->n_columns; i++)
        if (!t->columns[i].generated)
            add_hex(&sql, t->columns[i].select);
    ph_sql_add(&sql,
               " FROM ONLY %I.%I WHERE ctid OPERATOR(pg_catalog.=) ANY (%L::pg_catalog.tid[])",
               t->source_schema, t->source_name, places);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    out->n = ph_rows_count(rows);
    out->item = ph_arena_calloc(arena, (size_t)out->n, sizeof *out->item);
    for (int i = 0; i < out->n; i++) {
        struct ph_buf line = {0};
        int column = 1 + t->n_identity;
        for (int c = 0; c < t->n_columns; c++) {
            if (t->columns[c].generated)
                continue;
            ph_buf_add(&line, line.len ? "09" : "");
            add_field(&line, ph_rows_get(rows, i, column++));
        }
        ph_buf_add(&line, "0a");
        out->item[i] = (struct ph_reject){.place = ph_arena_strdup(arena, ph_rows_text(rows, i, 0)),
                                          .key = show_key(arena, t, rows, i, 1),
                                          .line = ph_arena_strdup(arena, line.data)};
        ph_buf_fini(&line);
    }
    ph_rows_free(rows);
    return ok;
}

static bool search(struct ph_conn *conn, const struct ph_crew *crew, const struct ph_shard *shard,
                   struct ph_arena *arena, struct ph_rejects *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (!ph_snapshot_import(conn, crew->snapshot, crew->pg_snapshot, err))
        return false;
    if (shard->table->qualify)
        ph_buf_add(&sql, "SET LOCAL search_path = pg_catalog;");
    add_search(&sql, crew, shard, out->most > NAMED ? out->most : NAMED);
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    ph_buf_clear(&sql);
    if (ok && *ph_rows_text(rows, 0, 0)) {
        const char *list = ph_rows_text(rows, 0, 0);
        ph_buf_addf(&sql, "{%.*s}", (int)strlen(list) - 1, list);
        ok = read_rows(conn, shard, sql.data, arena, out, err);
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

/* "…; it is the row at ctid (0,5), id=7, and there are more in this shard" */
static void name_them(const struct ph_rejects *found, bool filed, struct ph_err *why)
{
    const struct ph_reject *first = &found->item[0];
    size_t n = strlen(why->text);
    snprintf(why->text + n, sizeof why->text - n, "; it is %s%s%s%s%s%s",
             filed ? "" : "the row at ctid ", first->place, first->key ? ", " : "",
             first->key ? first->key : "", found->n > 1 ? ", and there are more in this shard" : "",
             found->most ? "" : "; --max-rejects N leaves such rows out");
}

static bool ask_source(struct ph_worker *w, const struct ph_shard *shard, struct ph_arena *arena,
                       struct ph_rejects *out, struct ph_err *err)
{
    const struct ph_crew *crew = w->crew;
    struct ph_conn *conn = NULL;
    const struct ph_conn_opts source = {.dsn = crew->opts.source,
                                        .application_name = w->name,
                                        .encoding = crew->opts.encoding,
                                        .read_only = true,
                                        .interrupt = crew->opts.interrupt};
    bool ok = ph_conn_open(&conn, &source, err) && search(conn, crew, shard, arena, out, err);
    ph_conn_close(conn);
    return ok;
}

bool ph_misfit_find(struct ph_worker *w, const struct ph_shard *shard, struct ph_arena *arena,
                    struct ph_rejects *out, struct ph_err *why)
{
    const struct ph_crew *crew = w->crew;
    struct ph_err err;
    *out = (struct ph_rejects){.most = crew->opts.max_rejects};
    if (shard->table->objects || crew->snapshot_released)
        return false;
    int64_t most = out->most > NAMED ? out->most : NAMED;
    bool ok = crew->opts.load ? ph_misfit_find_filed(w, shard, most, arena, out, &err)
                              : ask_source(w, shard, arena, out, &err);
    if (!ok)
        ph_log(crew->opts.log, PH_LOG_INFO, "looking for the rows that do not fit: %s", err.text);
    if (!ok || out->n == 0)
        return false;
    name_them(out, crew->opts.load, why);
    return out->n <= out->most;
}
