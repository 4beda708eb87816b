/* struct ph_archive as the text of job.json or manifest.json.
 *
 * A large archive has a hundred thousand shards. They are written one by one, a line each, and read so: collected in
 * one tree of JSON they would need ten times the memory of the text.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "archive/fields.h"
#include "archive/manifest.h"
#include "archive/manifest_line.h"
#include "archive/receipt.h"
#include "base/buf.h"

void ph_manifest_line(char out[static PH_MANIFEST_LINE + 1], const char *data, size_t len)
{
    XXH128_hash_t hash = XXH3_128bits(data, len);
    snprintf(out, PH_MANIFEST_LINE + 1, "xxh3-128:%016" PRIx64 "%016" PRIx64 "\n",
             (uint64_t)hash.high64, (uint64_t)hash.low64);
}

static json_t *snapshots_json(const struct ph_archive *a, struct ph_texts *texts)
{
    json_t *array = json_array();
    for (int i = 0; i < a->n_snapshots; i++) {
        const struct ph_archive_snapshot *s = &a->snapshots[i];
        json_t *json = json_object();
        json_object_set_new(json, "no", json_integer(s->no));
        json_object_set_new(json, "id", ph_texts_json(texts, s->id));
        json_object_set_new(json, "pg_snapshot", ph_texts_json(texts, s->pg_snapshot));
        json_object_set_new(json, "lsn", ph_texts_json(texts, s->lsn));
        json_object_set_new(json, "taken_at", ph_texts_json(texts, s->taken_at));
        json_object_set_new(json, "oldest", json_integer((json_int_t)s->oldest));
        json_array_append_new(array, json);
    }
    return array;
}

static json_t *tables_json(const struct ph_archive *a, struct ph_texts *texts)
{
    json_t *array = json_array();
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *t = &a->tables[i];
        json_t *json = json_object();
        json_object_set_new(json, "id", json_integer(t->id));
        json_object_set_new(json, "schema", ph_texts_json(texts, t->schema));
        json_object_set_new(json, "name", ph_texts_json(texts, t->name));
        json_object_set_new(json, "format", json_string(ph_format_names[t->format]));
        json_object_set_new(json, "split", ph_texts_json(texts, t->split));
        json_object_set_new(json, "filter", ph_texts_json(texts, t->filter));
        json_object_set_new(json, "columns", ph_texts_list(texts, t->columns, t->n_columns));
        json_object_set_new(json, "types", ph_texts_list(texts, t->types, t->n_columns));
        json_object_set_new(json, "bytes", json_integer(t->bytes));
        json_array_append_new(array, json);
    }
    return array;
}

static json_t *schema_json(const struct ph_archive_schema *schema, struct ph_texts *texts)
{
    json_t *json = json_object();
    char hash[33];
    json_object_set_new(json, "pg_dump", json_integer(schema->major));
    json_object_set_new(json, "counts", ph_texts_json(texts, schema->counts));
    for (int i = 0; i < PH_SCHEMA_FILES; i++) {
        const struct ph_archive_file *file = &schema->file[i];
        snprintf(hash, sizeof hash, "%016" PRIx64 "%016" PRIx64, file->hash_hi, file->hash_lo);
        json_object_set_new(json, i == PH_SCHEMA_DUMP ? "dump" : "facts",
                            json_pack("{s:I, s:s}", "size", (json_int_t)file->size, "hash", hash));
    }
    return json;
}

static json_t *head_json(const struct ph_archive *a, bool sealed, struct ph_texts *texts)
{
    json_t *json = json_object();
    json_object_set_new(json, "format", json_string("pghaul archive"));
    json_object_set_new(json, "version", json_integer(PH_ARCHIVE_VERSION));
    json_object_set_new(json, "texts", json_string(ph_texts_name(texts)));
    json_object_set_new(json, "set", ph_texts_json(texts, a->set));
    json_object_set_new(json, "name", ph_texts_json(texts, a->name));
    json_object_set_new(json, "fingerprint", ph_texts_json(texts, a->fingerprint));
    json_object_set_new(json, "definition", ph_texts_json(texts, a->definition));
    json_object_set_new(json, "source", ph_texts_json(texts, a->source));
    json_object_set_new(json, "source_system", ph_texts_json(texts, a->source_system));
    json_object_set_new(json, "source_database", ph_texts_json(texts, a->source_database));
    json_object_set_new(json, "source_database_oid", json_integer(a->source_database_oid));
    json_object_set_new(json, "source_version", json_integer(a->source_version));
    json_object_set_new(json, "encoding", ph_texts_json(texts, a->encoding));
    json_object_set_new(json, "created_at", ph_texts_json(texts, a->created_at));
    json_object_set_new(json, "sealed_at", ph_texts_json(texts, sealed ? a->sealed_at : NULL));
    json_object_set_new(json, "catalog", ph_texts_json(texts, a->catalog));
    if (a->schema)
        json_object_set_new(json, "schema", schema_json(a->schema, texts));
    json_object_set_new(json, "snapshots", snapshots_json(a, texts));
    json_object_set_new(json, "tables", tables_json(a, texts));
    return json;
}

static void add_sealed(json_t *json, const struct ph_archive_shard *s, struct ph_texts *texts)
{
    char hash[2 * PH_SHARDFILE_HASH + 1], tally[PH_TALLY_HASH_TEXT];
    for (int i = 0; i < PH_SHARDFILE_HASH; i++)
        snprintf(hash + (size_t)i * 2, 3, "%02x", s->sealed.hash[i]);
    json_object_set_new(json, "file", ph_texts_json(texts, s->file));
    json_object_set_new(json, "size", json_integer((json_int_t)s->sealed.size));
    json_object_set_new(json, "hash", json_string(hash));
    json_object_set_new(json, "rows", json_integer((json_int_t)s->tally.rows));
    json_object_set_new(json, "bytes", json_integer((json_int_t)s->tally.bytes));
    json_object_set_new(json, "tally", json_string(ph_tally_hash_text(&s->tally, tally)));
    json_object_set_new(json, "snapshot", json_integer(s->snapshot));
}

static json_t *shard_json(const struct ph_archive_shard *s, bool sealed, struct ph_texts *texts)
{
    json_t *json = json_object();
    json_object_set_new(json, "id", json_integer(s->id));
    json_object_set_new(json, "tab", json_integer(s->tab));
    json_object_set_new(json, "where", ph_texts_json(texts, s->where));
    json_object_set_new(json, "lo", ph_texts_json(texts, s->lo));
    json_object_set_new(json, "hi", ph_texts_json(texts, s->hi));
    json_object_set_new(json, "weight", json_integer(s->weight));
    if (sealed)
        add_sealed(json, s, texts);
    return json;
}

/* Appends the JSON's text without its last `cut` bytes, and frees it. */
static bool add_json(struct ph_buf *out, json_t *json, size_t flags, size_t cut)
{
    char *text = json_dumps(json, flags);
    json_decref(json);
    if (text)
        ph_buf_addn(out, text, strlen(text) - cut);
    free(text);
    return text != NULL;
}

static bool write_all(struct ph_buf *out, const struct ph_archive *a, bool sealed,
                      struct ph_texts *texts)
{
    /* the shards go in before the brace that ends the head */
    if (!add_json(out, head_json(a, sealed, texts), JSON_INDENT(1), strlen("\n}")))
        return false;
    ph_buf_add(out, ",\n \"shards\": [");
    for (int i = 0; i < a->n_shards && !texts->failed; i++) {
        ph_buf_add(out, i ? ",\n  " : "\n  ");
        if (!add_json(out, shard_json(&a->shards[i], sealed, texts), JSON_COMPACT, 0))
            return false;
    }
    ph_buf_add(out, "\n ]\n}\n");
    return !texts->failed;
}

char *ph_manifest_format(const struct ph_archive *archive, bool sealed, size_t *len)
{
    struct ph_buf out = {0};
    struct ph_texts texts = {0};
    bool ok = write_all(&out, archive, sealed, &texts);
    if (!ok && texts.failed) {
        ph_buf_clear(&out);
        texts = (struct ph_texts){.bytes = true};
        ok = write_all(&out, archive, sealed, &texts);
    }
    if (!ok) {
        ph_buf_fini(&out);
        return NULL;
    }
    char line[PH_MANIFEST_LINE + 1];
    ph_manifest_line(line, out.data, out.len);
    ph_buf_add(&out, line);
    *len = out.len;
    return out.data;
}
