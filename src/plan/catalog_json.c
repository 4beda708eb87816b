/* Writing an archive's catalog. What is false, zero or NULL is left out. */
#include "plan/catalog_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

/* JSON is UTF-8; bytes that are not are kept apart one by one, in a way that leads back. */
static json_t *text(const char *s)
{
    if (!s)
        return json_null();
    json_t *json = json_string(s);
    if (json)
        return json;
    struct ph_buf buf = {0};
    ph_buf_add_bytes(&buf, s);
    json = json_pack("{s:s}", "latin1", ph_buf_text(&buf));
    ph_buf_fini(&buf);
    return json;
}

static json_t *texts(const char *const *items, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(array, text(items[i]));
    return array;
}

static void put_text(json_t *json, const char *key, const char *s)
{
    if (s)
        json_object_set_new(json, key, text(s));
}

static void put_int(json_t *json, const char *key, int64_t n)
{
    if (n)
        json_object_set_new(json, key, json_integer(n));
}

static void put_flag(json_t *json, const char *key, bool on)
{
    if (on)
        json_object_set_new(json, key, json_true());
}

static void put_char(json_t *json, const char *key, char c)
{
    if (c)
        json_object_set_new(json, key, json_string((const char[]){c, '\0'}));
}

static json_t *server_json(const struct ph_server *server)
{
    json_t *json = json_object();
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, server->system_id);
    put_int(json, "version", server->version);
    put_text(json, "encoding", server->encoding);
    put_text(json, "system", id);
    put_text(json, "database", server->database);
    put_int(json, "database_oid", server->database_oid);
    put_text(json, "role", server->role);
    put_text(json, "lc_monetary", server->lc_monetary);
    put_text(json, "money_unit", server->money_unit);
    put_flag(json, "has_large_objects", server->has_large_objects);
    json_object_set_new(json, "path", texts(server->path, server->n_path));
    return json;
}

static json_t *attributes_json(const struct ph_type *type)
{
    json_t *array = json_array();
    for (int i = 0; i < type->n_attributes; i++) {
        json_t *json = json_object();
        put_text(json, "name", type->attributes[i].name);
        put_int(json, "type", type->attributes[i].type);
        json_object_set_new(json, "typmod", json_integer(type->attributes[i].typmod));
        json_array_append_new(array, json);
    }
    return array;
}

static json_t *type_json(const struct ph_type *type)
{
    json_t *json = json_object();
    put_int(json, "oid", type->oid);
    put_text(json, "schema", type->schema);
    put_text(json, "name", type->name);
    put_char(json, "kind", type->kind);
    put_int(json, "element", type->element);
    put_int(json, "base", type->base);
    json_object_set_new(json, "base_typmod", json_integer(type->base_typmod));
    put_int(json, "subtype", type->subtype);
    put_int(json, "length", type->length);
    put_flag(json, "by_value", type->by_value);
    put_flag(json, "send", type->has_send);
    put_flag(json, "receive", type->has_receive);
    put_flag(json, "not_null", type->not_null);
    put_flag(json, "default", type->has_default);
    put_text(json, "extension", type->extension);
    put_text(json, "extension_version", type->extension_version);
    if (type->kind == 'e')
        json_object_set_new(json, "labels", texts(type->labels, type->n_labels));
    if (type->kind == 'c')
        json_object_set_new(json, "attributes", attributes_json(type));
    return json;
}

static json_t *column_json(const struct ph_column *column)
{
    json_t *json = json_object();
    put_int(json, "number", column->number);
    put_text(json, "name", column->name);
    put_int(json, "type", column->type);
    json_object_set_new(json, "typmod", json_integer(column->typmod));
    put_text(json, "shown", column->shown);
    put_flag(json, "not_null", column->not_null);
    return json;
}

static json_t *index_json(const struct ph_index *index)
{
    json_t *json = json_object(), *key = json_array();
    for (int i = 0; i < index->n_key; i++)
        json_array_append_new(key, json_integer(index->key[i]));
    put_text(json, "name", index->name);
    put_flag(json, "unique", index->unique);
    put_flag(json, "primary", index->primary);
    put_flag(json, "valid", index->valid);
    put_flag(json, "immediate", index->immediate);
    put_flag(json, "partial", index->partial);
    put_flag(json, "expression", index->expression);
    json_object_set_new(json, "key", key);
    return json;
}

static json_t *relation_json(const struct ph_relation *relation)
{
    json_t *json = json_object(), *columns = json_array(), *indexes = json_array();
    put_int(json, "oid", relation->oid);
    put_text(json, "schema", relation->schema);
    put_text(json, "name", relation->name);
    put_char(json, "kind", relation->kind);
    put_char(json, "persistence", relation->persistence);
    put_flag(json, "is_partition", relation->is_partition);
    put_int(json, "filenode", relation->filenode);
    put_int(json, "heap", relation->heap);
    put_int(json, "toast", relation->toast);
    put_int(json, "blocks", relation->blocks);
    put_int(json, "rows", relation->rows > 0 ? (int64_t)relation->rows : 0);
    put_text(json, "bound", relation->bound);
    put_text(json, "part_key", relation->part_key);
    for (int i = 0; i < relation->n_columns; i++)
        json_array_append_new(columns, column_json(&relation->columns[i]));
    for (int i = 0; i < relation->n_indexes; i++)
        if (relation->indexes[i].unique) /* the others say nothing about rows */
            json_array_append_new(indexes, index_json(&relation->indexes[i]));
    json_object_set_new(json, "columns", columns);
    json_object_set_new(json, "indexes", indexes);
    if (relation->n_without)
        json_object_set_new(json, "without", texts(relation->without, relation->n_without));
    if (relation->n_cut_key)
        json_object_set_new(json, "cut_key", texts(relation->cut_key, relation->n_cut_key));
    return json;
}

const char *ph_catalog_json(const struct ph_catalog *catalog)
{
    json_t *json = json_object();
    json_t *types = json_array(), *relations = json_array(), *inherits = json_array();
    for (int i = 0; i < catalog->types.n; i++)
        json_array_append_new(types, type_json(&catalog->types.items[i]));
    for (int i = 0; i < catalog->n_relations; i++)
        json_array_append_new(relations, relation_json(&catalog->relations[i]));
    for (int i = 0; i < catalog->n_inherits; i++)
        json_array_append_new(inherits, json_pack("[I, I]", (json_int_t)catalog->inherits[i].parent,
                                                  (json_int_t)catalog->inherits[i].child));
    json_object_set_new(json, "format", json_integer(1));
    json_object_set_new(json, "server", server_json(&catalog->server));
    json_object_set_new(json, "types", types);
    json_object_set_new(json, "relations", relations);
    json_object_set_new(json, "inherits", inherits);
    char *dump = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    const char *out = ph_arena_strdup(catalog->arena, dump);
    free(dump);
    return out;
}
