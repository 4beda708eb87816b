/* Reading an archive's catalog: bytes from outside, so nothing is believed. What follows relies on
 * sorted arrays, and on types and inheritance that end somewhere. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "plan/catalog_json.h"

/* The first fault is kept, and everything goes on with empty values until somebody looks. */
struct reader {
    struct ph_arena *arena;
    const char *fault; /* the key that is not as it should be; NULL: none so far */
};

static void fault(struct reader *r, const char *key)
{
    if (!r->fault)
        r->fault = key;
}

/* The bytes of a text that was not UTF-8: one for each character, all below U+0100. */
static const char *from_latin1(struct reader *r, const char *s, const char *key)
{
    struct ph_buf buf = {0};
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p < 0x80) {
            ph_buf_addc(&buf, (char)*p);
        } else if (*p == 0xC2 || *p == 0xC3) {
            p++; /* jansson takes well-formed UTF-8 only */
            ph_buf_addc(&buf, (char)(p[-1] == 0xC3 ? *p | 0x40 : *p));
        } else {
            fault(r, key);
            break;
        }
    }
    const char *out = ph_arena_strdup(r->arena, ph_buf_text(&buf));
    ph_buf_fini(&buf);
    return out;
}

static const char *as_text(struct reader *r, const json_t *json, const char *key)
{
    const json_t *bytes = json_object_get(json, "latin1");
    if (json_is_string(json))
        return ph_arena_strdup(r->arena, json_string_value(json));
    if (json_is_string(bytes))
        return from_latin1(r, json_string_value(bytes), key);
    fault(r, key);
    return "";
}

static const char *maybe_text(struct reader *r, const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return !value || json_is_null(value) ? NULL : as_text(r, value, key);
}

static const char *get_text(struct reader *r, const json_t *json, const char *key)
{
    return as_text(r, json_object_get(json, key), key);
}

static int64_t as_int(struct reader *r, const json_t *json, const char *key, int64_t min,
                      int64_t max)
{
    int64_t n = json_integer_value(json);
    if (json_is_integer(json) && n >= min && n <= max)
        return n;
    fault(r, key);
    return min > 0 ? min : 0;
}

/* What is left out is 0. */
static int64_t get_int(struct reader *r, const json_t *json, const char *key, int64_t min,
                       int64_t max)
{
    const json_t *value = json_object_get(json, key);
    return value || min > 0 ? as_int(r, value, key, min, max) : 0;
}

static uint32_t get_oid(struct reader *r, const json_t *json, const char *key, bool needed)
{
    return (uint32_t)get_int(r, json, key, needed, UINT32_MAX);
}

static int get_typmod(struct reader *r, const json_t *json, const char *key)
{
    return (int)as_int(r, json_object_get(json, key), key, -1, INT32_MAX);
}

static bool get_flag(struct reader *r, const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    if (value && !json_is_boolean(value))
        fault(r, key);
    return json_is_true(value);
}

static char get_char(struct reader *r, const json_t *json, const char *key, const char *allowed)
{
    const char *s = get_text(r, json, key);
    if (*s && !s[1] && strchr(allowed, *s))
        return *s;
    fault(r, key);
    return *allowed;
}

static const json_t *get_array(struct reader *r, const json_t *json, const char *key, int *n)
{
    enum { MOST = 10000000 };
    const json_t *array = json_object_get(json, key);
    *n = 0;
    if (!json_is_array(array) || json_array_size(array) > MOST)
        fault(r, key);
    else
        *n = (int)json_array_size(array);
    return array;
}

static const char *const *get_texts(struct reader *r, const json_t *json, const char *key, int *n)
{
    const json_t *array = get_array(r, json, key, n);
    const char **out = ph_arena_calloc(r->arena, (size_t)*n, sizeof *out);
    for (int i = 0; i < *n; i++)
        out[i] = as_text(r, json_array_get(array, (size_t)i), key);
    return out;
}

/* Parts. */

static uint64_t get_system(struct reader *r, const json_t *json)
{
    const char *s = get_text(r, json, "system");
    char *end = NULL;
    errno = 0;
    uint64_t id = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || *end || errno)
        fault(r, "system");
    return id;
}

static void read_server(struct reader *r, const json_t *json, struct ph_server *server)
{
    *server = (struct ph_server){
        .version = (int)get_int(r, json, "version", 10000, INT32_MAX),
        .encoding = get_text(r, json, "encoding"),
        .system_id = get_system(r, json),
        .database = get_text(r, json, "database"),
        .database_oid = get_oid(r, json, "database_oid", false),
        .role = get_text(r, json, "role"),
        .lc_monetary = get_text(r, json, "lc_monetary"),
        .money_unit = maybe_text(r, json, "money_unit"),
        .has_large_objects = get_flag(r, json, "has_large_objects"),
        .standby_delay = "",
    };
    server->path = get_texts(r, json, "path", &server->n_path);
}

static void read_attributes(struct reader *r, const json_t *json, struct ph_type *type)
{
    const json_t *array = get_array(r, json, "attributes", &type->n_attributes);
    struct ph_attribute *out =
        ph_arena_calloc(r->arena, (size_t)type->n_attributes, sizeof *type->attributes);
    for (int i = 0; i < type->n_attributes; i++) {
        const json_t *item = json_array_get(array, (size_t)i);
        out[i] = (struct ph_attribute){
            .name = get_text(r, item, "name"),
            .type = get_oid(r, item, "type", true),
            .typmod = get_typmod(r, item, "typmod"),
        };
    }
    type->attributes = out;
}

static void read_type(struct reader *r, const json_t *json, struct ph_type *type)
{
    *type = (struct ph_type){
        .oid = get_oid(r, json, "oid", true),
        .schema = get_text(r, json, "schema"),
        .name = get_text(r, json, "name"),
        .kind = get_char(r, json, "kind", "bcdermp"),
        .element = get_oid(r, json, "element", false),
        .base = get_oid(r, json, "base", false),
        .base_typmod = get_typmod(r, json, "base_typmod"),
        .subtype = get_oid(r, json, "subtype", false),
        .length = (int)get_int(r, json, "length", -2, INT16_MAX),
        .by_value = get_flag(r, json, "by_value"),
        .has_send = get_flag(r, json, "send"),
        .has_receive = get_flag(r, json, "receive"),
        .not_null = get_flag(r, json, "not_null"),
        .has_default = get_flag(r, json, "default"),
        .extension = maybe_text(r, json, "extension"),
        .extension_version = maybe_text(r, json, "extension_version"),
    };
    if (type->extension && !type->extension_version)
        fault(r, "extension_version");
    if (type->kind == 'e')
        type->labels = get_texts(r, json, "labels", &type->n_labels);
    if (type->kind == 'c')
        read_attributes(r, json, type);
}

static void read_columns(struct reader *r, const json_t *json, struct ph_relation *relation)
{
    const json_t *array = get_array(r, json, "columns", &relation->n_columns);
    relation->columns =
        ph_arena_calloc(r->arena, (size_t)relation->n_columns, sizeof *relation->columns);
    for (int i = 0; i < relation->n_columns; i++) {
        const json_t *item = json_array_get(array, (size_t)i);
        const char *shown = maybe_text(r, item, "shown");
        relation->columns[i] = (struct ph_column){
            .number = (int)get_int(r, item, "number", 1, INT32_MAX),
            .name = get_text(r, item, "name"),
            .type = get_oid(r, item, "type", true),
            .typmod = get_typmod(r, item, "typmod"),
            .shown = shown ? shown : "",
            .not_null = get_flag(r, item, "not_null"),
        };
    }
}

static void read_indexes(struct reader *r, const json_t *json, struct ph_relation *relation)
{
    const json_t *array = get_array(r, json, "indexes", &relation->n_indexes);
    relation->indexes =
        ph_arena_calloc(r->arena, (size_t)relation->n_indexes, sizeof *relation->indexes);
    for (int i = 0; i < relation->n_indexes; i++) {
        const json_t *item = json_array_get(array, (size_t)i);
        struct ph_index *index = &relation->indexes[i];
        *index = (struct ph_index){
            .name = get_text(r, item, "name"),
            .unique = get_flag(r, item, "unique"),
            .primary = get_flag(r, item, "primary"),
            .valid = get_flag(r, item, "valid"),
            .immediate = get_flag(r, item, "immediate"),
            .partial = get_flag(r, item, "partial"),
            .expression = get_flag(r, item, "expression"),
        };
        const json_t *numbers = get_array(r, item, "key", &index->n_key);
        int *key = ph_arena_calloc(r->arena, (size_t)index->n_key, sizeof *key);
        for (int k = 0; k < index->n_key; k++)
            key[k] =
                (int)as_int(r, json_array_get(numbers, (size_t)k), "key", INT32_MIN, INT32_MAX);
        index->key = key;
    }
}

static void read_relation(struct reader *r, const json_t *json, struct ph_relation *relation)
{
    *relation = (struct ph_relation){
        .oid = get_oid(r, json, "oid", true),
        .schema = get_text(r, json, "schema"),
        .name = get_text(r, json, "name"),
        .kind = get_char(r, json, "kind", "rp"),
        .persistence = get_char(r, json, "persistence", "pu"),
        .is_partition = get_flag(r, json, "is_partition"),
        .detailed = true,
        .filenode = get_oid(r, json, "filenode", false),
        .heap = get_int(r, json, "heap", 0, INT64_MAX / 4),
        .toast = get_int(r, json, "toast", 0, INT64_MAX / 4),
        .blocks = get_int(r, json, "blocks", 0, INT64_MAX),
        .rows = (double)get_int(r, json, "rows", 0, INT64_MAX),
        .bound = maybe_text(r, json, "bound"),
        .part_key = maybe_text(r, json, "part_key"),
        .may_use_schema = true,
        .may_select = true,
    };
    read_columns(r, json, relation);
    read_indexes(r, json, relation);
    if (json_object_get(json, "without"))
        relation->without = get_texts(r, json, "without", &relation->n_without);
    if (json_object_get(json, "cut_key"))
        relation->cut_key = get_texts(r, json, "cut_key", &relation->n_cut_key);
}

static void read_parts(struct reader *r, const json_t *json, struct ph_catalog *catalog)
{
    const json_t *array = get_array(r, json, "types", &catalog->types.n);
    catalog->types.items =
        ph_arena_calloc(r->arena, (size_t)catalog->types.n, sizeof *catalog->types.items);
    for (int i = 0; i < catalog->types.n && !r->fault; i++)
        read_type(r, json_array_get(array, (size_t)i), &catalog->types.items[i]);
    array = get_array(r, json, "relations", &catalog->n_relations);
    catalog->relations =
        ph_arena_calloc(r->arena, (size_t)catalog->n_relations, sizeof *catalog->relations);
    for (int i = 0; i < catalog->n_relations && !r->fault; i++)
        read_relation(r, json_array_get(array, (size_t)i), &catalog->relations[i]);
    array = get_array(r, json, "inherits", &catalog->n_inherits);
    catalog->inherits =
        ph_arena_calloc(r->arena, (size_t)catalog->n_inherits, sizeof *catalog->inherits);
    for (int i = 0; i < catalog->n_inherits; i++) {
        const json_t *pair = json_array_get(array, (size_t)i);
        catalog->inherits[i] = (struct ph_inherit){
            .parent = (uint32_t)as_int(r, json_array_get(pair, 0), "inherits", 1, UINT32_MAX),
            .child = (uint32_t)as_int(r, json_array_get(pair, 1), "inherits", 1, UINT32_MAX),
        };
    }
}

/* The whole. */

static void check_order(struct reader *r, const struct ph_catalog *catalog)
{
    for (int i = 1; i < catalog->types.n; i++)
        if (catalog->types.items[i - 1].oid >= catalog->types.items[i].oid)
            fault(r, "types");
    for (int i = 1; i < catalog->n_relations; i++)
        if (catalog->relations[i - 1].oid >= catalog->relations[i].oid)
            fault(r, "relations");
    for (int i = 1; i < catalog->n_inherits; i++) {
        const struct ph_inherit *a = &catalog->inherits[i - 1], *b = &catalog->inherits[i];
        if (a->parent > b->parent || (a->parent == b->parent && a->child >= b->child))
            fault(r, "inherits");
    }
}

static void check_names(struct reader *r, const struct ph_catalog *catalog)
{
    for (int i = 1; i < catalog->n_relations; i++) {
        const struct ph_relation *a = catalog->by_name[i - 1], *b = catalog->by_name[i];
        if (!strcmp(a->name, b->name) && !strcmp(a->schema, b->schema))
            fault(r, "relations");
    }
}

enum { DEEPEST = 64 };

/* How deep a thing was found to be; 0 while it was not looked at, and -1 while it is. */
typedef int depth;

static bool type_ends(const struct ph_types *types, depth *seen, uint32_t oid, int level)
{
    const struct ph_type *t = oid ? ph_types_find(types, oid) : NULL;
    if (!t)
        return true; /* a part that is not known is refused where it is compared */
    depth *mine = &seen[t - types->items];
    if (*mine > 0)
        return true;
    if (*mine < 0 || level > DEEPEST)
        return false;
    *mine = -1;
    bool ok = type_ends(types, seen, t->element, level + 1) &&
              type_ends(types, seen, t->base, level + 1) &&
              type_ends(types, seen, t->subtype, level + 1);
    for (int i = 0; ok && i < t->n_attributes; i++)
        ok = type_ends(types, seen, t->attributes[i].type, level + 1);
    *mine = 1;
    return ok;
}

static bool tree_ends(const struct ph_catalog *catalog, depth *seen, uint32_t oid, int level)
{
    const struct ph_relation *relation = ph_catalog_relation(catalog, oid);
    if (!relation)
        return false;
    depth *mine = &seen[relation - catalog->relations];
    if (*mine > 0)
        return true;
    if (*mine < 0 || level > DEEPEST)
        return false;
    *mine = -1;
    int n = 0;
    const struct ph_inherit *children = ph_catalog_children(catalog, oid, &n);
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = tree_ends(catalog, seen, children[i].child, level + 1);
    *mine = 1;
    return ok;
}

static bool check_ends(struct reader *r, const struct ph_catalog *catalog)
{
    int room = catalog->types.n + catalog->n_relations;
    depth *seen = calloc((size_t)room + 1, sizeof *seen);
    if (!seen)
        return false;
    for (int i = 0; i < catalog->types.n; i++)
        if (!type_ends(&catalog->types, seen, catalog->types.items[i].oid, 0))
            fault(r, "types");
    for (int i = 0; i < catalog->n_inherits; i++)
        if (!tree_ends(catalog, seen + catalog->types.n, catalog->inherits[i].parent, 0))
            fault(r, "inherits");
    free(seen);
    return true;
}

bool ph_catalog_json_read(struct ph_catalog *catalog, struct ph_arena *arena, const char *text,
                          struct ph_err *err)
{
    struct reader r = {.arena = arena};
    *catalog = (struct ph_catalog){.arena = arena};
    json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    int format = (int)get_int(&r, json, "format", 1, INT32_MAX);
    if (r.fault) {
        json_decref(json);
        return ph_err_set(err, PH_FAILED, "the archive's catalog is none of ours");
    }
    if (format > 1) {
        json_decref(json);
        ph_err_set(err, PH_OTHER_JOB, "the archive's catalog is of format %d, and this is format 1",
                   format);
        return ph_err_hint(err, "use a newer version of pghaul");
    }
    read_server(&r, json_object_get(json, "server"), &catalog->server);
    read_parts(&r, json, catalog);
    json_decref(json);
    check_order(&r, catalog);
    if (!r.fault) {
        ph_catalog_index(catalog);
        check_names(&r, catalog);
        if (!check_ends(&r, catalog))
            return ph_err_nomem(err);
    }
    return !r.fault ||
           ph_err_set(err, PH_FAILED, "the archive's catalog is damaged at \"%s\"", r.fault);
}
