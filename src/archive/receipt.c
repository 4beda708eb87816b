#include "archive/receipt.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/fields.h"
#include "copy/stream.h"

const char *const ph_format_names[2] = {[PH_BINARY] = "binary", [PH_TEXT] = "text"};

uint64_t ph_receipt_stream(const struct ph_receipt *receipt)
{
    return receipt->bytes +
           (receipt->format == PH_BINARY ? PH_STREAM_HEADER + PH_STREAM_TRAILER : 0);
}

static json_t *to_json(const struct ph_receipt *r, struct ph_texts *texts)
{
    struct ph_tally tally = ph_receipt_tally(r);
    char hash[PH_TALLY_HASH_TEXT];
    json_t *json = json_object();
    json_object_set_new(json, "texts", json_string(ph_texts_name(texts)));
    json_object_set_new(json, "set", ph_texts_json(texts, r->set));
    json_object_set_new(json, "shard", json_integer(r->shard));
    json_object_set_new(json, "tab", json_integer(r->tab));
    json_object_set_new(json, "attempt", json_integer(r->attempt));
    json_object_set_new(json, "schema", ph_texts_json(texts, r->schema));
    json_object_set_new(json, "table", ph_texts_json(texts, r->table));
    json_object_set_new(json, "format", json_string(ph_format_names[r->format]));
    json_object_set_new(json, "encoding", ph_texts_json(texts, r->encoding));
    json_object_set_new(json, "columns", ph_texts_list(texts, r->columns, r->n_columns));
    json_object_set_new(json, "types", ph_texts_list(texts, r->types, r->n_columns));
    json_object_set_new(json, "where", ph_texts_json(texts, r->where));
    json_object_set_new(json, "lo", ph_texts_json(texts, r->lo));
    json_object_set_new(json, "hi", ph_texts_json(texts, r->hi));
    json_object_set_new(json, "snapshot", json_integer(r->snapshot));
    json_object_set_new(json, "pg_snapshot", ph_texts_json(texts, r->pg_snapshot));
    json_object_set_new(json, "lsn", ph_texts_json(texts, r->lsn));
    json_object_set_new(json, "rows", json_integer((json_int_t)r->rows));
    json_object_set_new(json, "bytes", json_integer((json_int_t)r->bytes));
    json_object_set_new(json, "tally", json_string(ph_tally_hash_text(&tally, hash)));
    return json;
}

static char *dump(const struct ph_receipt *receipt, struct ph_texts *texts)
{
    json_t *json = to_json(receipt, texts);
    char *text = texts->failed ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

char *ph_receipt_format(const struct ph_receipt *receipt, size_t *len, struct ph_err *err)
{
    struct ph_texts texts = {0};
    char *text = dump(receipt, &texts);
    if (texts.failed) {
        texts = (struct ph_texts){.bytes = true};
        text = dump(receipt, &texts);
    }
    if (!text) {
        ph_err_nomem(err);
        return NULL;
    }
    *len = strlen(text);
    struct ph_arena arena = {0};
    struct ph_receipt again;
    bool ok = ph_receipt_parse(&again, &arena, text, *len, err);
    ph_arena_fini(&arena);
    if (ok)
        return text;
    free(text);
    return NULL;
}

bool ph_receipt_parse(struct ph_receipt *r, struct ph_arena *arena, const char *data, size_t len,
                      struct ph_err *err)
{
    json_t *json = ph_fields_load(data, len, err);
    if (!json)
        return ph_err_prefix(err, "the receipt is damaged");
    struct ph_fields f;
    ph_fields_begin(&f, json, arena, err, "receipt");
    ph_fields_texts(&f);
    *r = (struct ph_receipt){
        .set = ph_fields_hex(&f, "set", 32),
        .shard = ph_fields_int(&f, "shard", 1, INT64_MAX),
        .tab = (int)ph_fields_int(&f, "tab", 1, INT_MAX),
        .attempt = (int)ph_fields_int(&f, "attempt", 0, INT_MAX),
        .schema = ph_fields_name(&f, "schema"),
        .table = ph_fields_name(&f, "table"),
        .format = ph_fields_word(&f, "format", ph_format_names, 2) == PH_TEXT ? PH_TEXT : PH_BINARY,
        .encoding = ph_fields_name(&f, "encoding"),
        .where = ph_fields_text(&f, "where"),
        .lo = ph_fields_text_or_null(&f, "lo"),
        .hi = ph_fields_text_or_null(&f, "hi"),
        .snapshot = (int)ph_fields_int(&f, "snapshot", 0, INT_MAX),
        .pg_snapshot = ph_fields_text_or_null(&f, "pg_snapshot"),
        .lsn = ph_fields_lsn(&f, "lsn"),
        .rows = (uint64_t)ph_fields_int(&f, "rows", 0, INT64_MAX),
        .bytes = (uint64_t)ph_fields_int(&f, "bytes", 0, INT64_MAX),
    };
    int n_types;
    r->columns = ph_fields_names(&f, "columns", &r->n_columns);
    r->types = ph_fields_names(&f, "types", &n_types);
    if (n_types != r->n_columns)
        ph_fields_complain(&f, "types", "has not one for each column");
    ph_fields_u128(&f, "tally", &r->hash_hi, &r->hash_lo);
    bool ok = ph_fields_end(&f);
    json_decref(json);
    return ok;
}
