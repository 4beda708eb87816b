#include "pg/witness.h"

#include <stdlib.h>
#include <string.h>

#include "archive/fields.h"
#include "pg/catalog.h"
#include "pg/internal.h"

struct answer {
    char *question;
    PGresult *result;
};

struct ph_testimony {
    struct answer *items;
    int n, room;
};

struct ph_testimony *ph_testimony_new(void)
{
    return calloc(1, sizeof(struct ph_testimony));
}

void ph_testimony_free(struct ph_testimony *answers)
{
    if (!answers)
        return;
    for (int i = 0; i < answers->n; i++) {
        free(answers->items[i].question);
        PQclear(answers->items[i].result);
    }
    free(answers->items);
    free(answers);
}

static struct answer *find(const struct ph_testimony *answers, const char *question)
{
    for (int i = 0; answers && i < answers->n; i++)
        if (!strcmp(answers->items[i].question, question))
            return &answers->items[i];
    return NULL;
}

/* Takes the result over, whatever happens; who asks twice keeps the second answer. */
static bool keep(struct ph_testimony *answers, const char *question, PGresult *result,
                 struct ph_err *err)
{
    struct answer *known = find(answers, question);
    if (known && result) {
        PQclear(known->result);
        known->result = result;
        return true;
    }
    char *name = result ? strdup(question) : NULL;
    if (name && answers->n == answers->room) {
        int room = answers->room ? 2 * answers->room : 16;
        struct answer *more = realloc(answers->items, (size_t)room * sizeof *more);
        answers->items = more ? more : answers->items;
        answers->room = more ? room : answers->room;
    }
    if (!name || answers->n == answers->room) {
        PQclear(result);
        free(name);
        return ph_err_nomem(err);
    }
    answers->items[answers->n++] = (struct answer){name, result};
    return true;
}

static bool recall(const struct ph_testimony *answers, const char *question, struct ph_rows **rows,
                   struct ph_err *err)
{
    const struct answer *known = find(answers, question);
    if (!known)
        return ph_err_set(err, PH_FAILED, "what the archive says of its schema leaves out \"%s\"",
                          question);
    struct ph_rows *copy = malloc(sizeof *copy);
    PGresult *result =
        copy ? PQcopyResult(known->result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES) : NULL;
    if (!result) {
        free(copy);
        return ph_err_nomem(err);
    }
    copy->result = result;
    *rows = copy;
    return true;
}

static bool ask(const struct ph_witness *w, const char *question, const char *sql, bool catalog,
                struct ph_rows **rows, struct ph_err *err)
{
    *rows = NULL;
    if (!w->conn)
        return recall(w->answers, question, rows, err);
    if (!(catalog ? ph_catalog_query(w->conn, sql, rows, err)
                  : ph_conn_query(w->conn, sql, rows, err)))
        return false;
    if (!w->answers ||
        keep(w->answers, question,
             PQcopyResult((*rows)->result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES), err))
        return true;
    ph_rows_free(*rows);
    *rows = NULL;
    return false;
}

bool ph_witness_query(const struct ph_witness *witness, const char *question, const char *sql,
                      struct ph_rows **rows, struct ph_err *err)
{
    return ask(witness, question, sql, false, rows, err);
}

bool ph_witness_catalog(const struct ph_witness *witness, const char *question, const char *select,
                        struct ph_rows **rows, struct ph_err *err)
{
    return ask(witness, question, select, true, rows, err);
}

const char *ph_witness_shown(const struct ph_witness *witness)
{
    return witness->conn ? ph_conn_side(witness->conn) : "archive";
}

/* Written. */

static json_t *rows_json(const PGresult *result, struct ph_texts *texts)
{
    json_t *rows = json_array();
    for (int i = 0; i < PQntuples(result); i++) {
        json_t *row = json_array();
        for (int c = 0; c < PQnfields(result); c++)
            json_array_append_new(
                row,
                ph_texts_json(texts, PQgetisnull(result, i, c) ? NULL : PQgetvalue(result, i, c)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static char *format(const struct ph_testimony *answers, struct ph_texts *texts)
{
    json_t *json = json_object(), *list = json_array();
    json_object_set_new(json, "format", json_string("pghaul schema facts"));
    json_object_set_new(json, "version", json_integer(1));
    json_object_set_new(json, "texts", json_string(ph_texts_name(texts)));
    for (int i = 0; i < answers->n; i++) {
        const struct answer *a = &answers->items[i];
        json_t *item = json_object();
        json_object_set_new(item, "question", json_string(a->question));
        json_object_set_new(item, "columns", json_integer(PQnfields(a->result)));
        json_object_set_new(item, "rows", rows_json(a->result, texts));
        json_array_append_new(list, item);
    }
    json_object_set_new(json, "answers", list);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

bool ph_testimony_text(const struct ph_testimony *answers, struct ph_buf *out, struct ph_err *err)
{
    struct ph_texts texts = {0};
    char *text = format(answers, &texts);
    if (texts.failed) { /* names that are no UTF-8 */
        free(text);
        texts = (struct ph_texts){.bytes = true};
        text = format(answers, &texts);
    }
    if (!text)
        return ph_err_nomem(err);
    ph_buf_add(out, text);
    ph_buf_addc(out, '\n');
    free(text);
    return true;
}

/* Read. */

enum { COLUMNS_MAX = 100 };

static PGresult *new_result(int columns)
{
    static char no_name[] = "";
    PGresAttDesc attributes[COLUMNS_MAX] = {0};
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    for (int i = 0; i < columns; i++)
        attributes[i].name = no_name;
    if (result && columns && !PQsetResultAttrs(result, columns, attributes)) {
        PQclear(result);
        return NULL;
    }
    return result;
}

/* One answer's rows; texts pass through the arena of `f`. */
static bool fill(PGresult *result, int columns, struct ph_fields *f, const json_t *rows)
{
    if (!json_is_array(rows))
        ph_fields_complain(f, "rows", "is no list");
    for (size_t i = 0; !f->failed && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_array_size(row) != (size_t)columns)
            ph_fields_complain(f, "rows", "has not one value for each column");
        for (int c = 0; !f->failed && c < columns; c++) {
            const char *value = ph_fields_value(f, "rows", json_array_get(row, (size_t)c));
            /* libpq copies it, and does not say that it is only read */
            if (!PQsetvalue(result, (int)i, c, (char *)value, value ? (int)strlen(value) : -1))
                ph_fields_complain(f, "rows", "is too large for this host");
        }
    }
    return !f->failed;
}

static bool read_one(struct ph_testimony *answers, struct ph_fields *f)
{
    const char *question = ph_fields_name(f, "question");
    int columns = (int)ph_fields_int(f, "columns", 1, COLUMNS_MAX);
    const json_t *rows = ph_fields_get(f, "rows");
    PGresult *result = f->failed ? NULL : new_result(columns);
    if (f->failed || (!result && !ph_err_nomem(f->err)))
        return false;
    if (fill(result, columns, f, rows) && ph_fields_end(f))
        return keep(answers, question, result, f->err);
    PQclear(result);
    return false;
}

static bool read_all(struct ph_testimony *answers, const json_t *json, struct ph_arena *arena,
                     struct ph_err *err)
{
    static const char *const kind[] = {"pghaul schema facts"};
    struct ph_fields f;
    ph_fields_begin(&f, json, arena, err, "schema's facts");
    ph_fields_word(&f, "format", kind, 1);
    ph_fields_int(&f, "version", 1, 1);
    ph_fields_texts(&f);
    const json_t *list = ph_fields_get(&f, "answers");
    if (list && !json_is_array(list))
        ph_fields_complain(&f, "answers", "is no list");
    for (size_t i = 0; !f.failed && i < json_array_size(list); i++) {
        struct ph_fields item;
        ph_fields_begin_nth(&item, &f, json_array_get(list, i), "answer", (int64_t)i + 1);
        if (item.failed || !read_one(answers, &item))
            return false;
    }
    return ph_fields_end(&f);
}

bool ph_testimony_read(struct ph_testimony **out, const char *data, size_t len, struct ph_err *err)
{
    struct ph_arena arena = {0};
    json_t *json = ph_fields_load(data, len, err);
    struct ph_testimony *answers = json ? ph_testimony_new() : NULL;
    *out = NULL;
    if (json && !answers)
        ph_err_nomem(err);
    bool ok = answers && read_all(answers, json, &arena, err);
    json_decref(json);
    ph_arena_fini(&arena);
    if (ok)
        *out = answers;
    else
        ph_testimony_free(answers);
    return ok;
}
