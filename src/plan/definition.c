/* What a job is: the same for the same command, whatever the order in which its parts were named,
 * and another as soon as it would land other rows. How it is cut, by how many workers and how fast
 * is no part of it.
 *
 * Trees are kept by their roots: a partition that is attached between two runs does not make
 * another job of it.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "archive/manifest.h"
#include "base/buf.h"
#include "plan/make.h"

/* JSON is UTF-8; names in another encoding are kept apart byte by byte, as if they were LATIN1. */
static json_t *text(const char *s)
{
    json_t *json = json_string(s);
    if (json)
        return json;
    struct ph_buf buf = {0};
    ph_buf_add_bytes(&buf, s);
    json = json_string(ph_buf_text(&buf));
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

/* An archive that is written is any directory; one that is read is known by its set. */
static json_t *archive_json(const char *set)
{
    json_t *json = json_object();
    json_object_set_new(json, "archive", set ? text(set) : json_true());
    return json;
}

static json_t *side_json(const struct ph_side *side)
{
    json_t *json = json_object();
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, side->system_id);
    json_object_set_new(json, "system", json_string(id));
    json_object_set_new(json, "database", text(side->database));
    json_object_set_new(json, "database_oid", json_integer(side->database_oid));
    return json;
}

static int order_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The order in which columns were listed changes nothing. */
static json_t *sorted_texts(struct ph_make *make, const char *const *items, int n)
{
    const char **sorted = ph_arena_calloc(&make->plan->arena, (size_t)n, sizeof *sorted);
    for (int i = 0; i < n; i++)
        sorted[i] = items[i];
    if (n)
        qsort(sorted, (size_t)n, sizeof *sorted, order_texts);
    return texts(sorted, n);
}

static const struct ph_table *first_table(const struct ph_make *make, const struct ph_pick *pick)
{
    for (int i = 0; i < make->n_pairs; i++)
        if (make->pairs[i].pick == pick)
            return &make->plan->tables[i];
    return NULL;
}

static json_t *pick_json(struct ph_make *make, const struct ph_pick *pick)
{
    const struct ph_request *request = pick->request;
    json_t *json = json_object();
    json_object_set_new(json, "source", text(ph_make_name(make, pick->source)));
    json_object_set_new(json, "target", text(ph_make_name(make, pick->target)));
    if (request && request->filter)
        json_object_set_new(json, "filter", text(request->filter));
    if (request && request->columns)
        json_object_set_new(json, "columns",
                            sorted_texts(make, request->columns, request->n_columns));
    if (pick->n_without)
        json_object_set_new(json, "without", sorted_texts(make, pick->without, pick->n_without));
    if (request && request->n_mappings) {
        json_t *mapping = json_object();
        for (int i = 0; i < request->n_mappings; i++) {
            json_t *key = text(request->mappings[i].column); /* in UTF-8, as keys must be */
            json_object_set_new(mapping, json_string_value(key),
                                text(request->mappings[i].expression));
            json_decref(key);
        }
        json_object_set_new(json, "mapping", mapping);
    }
    if (make->plan->spec->mode == PH_UPSERT) {
        const struct ph_table *t = first_table(make, pick);
        if (t && t->n_conflict)
            json_object_set_new(json, "key", sorted_texts(make, t->conflict, t->n_conflict));
    }
    return json;
}

static int order_picks(const void *a, const void *b)
{
    const struct ph_pick *x = *(const struct ph_pick *const *)a;
    const struct ph_pick *y = *(const struct ph_pick *const *)b;
    int c = strcmp(x->source->schema, y->source->schema);
    return c ? c : strcmp(x->source->name, y->source->name);
}

static json_t *tables_json(struct ph_make *make)
{
    const struct ph_pick **sorted =
        ph_arena_calloc(&make->plan->arena, (size_t)make->n_picks, sizeof *sorted);
    for (int i = 0; i < make->n_picks; i++)
        sorted[i] = &make->picks[i];
    qsort(sorted, (size_t)make->n_picks, sizeof(*sorted), order_picks);
    json_t *array = json_array();
    for (int i = 0; i < make->n_picks; i++)
        json_array_append_new(array, pick_json(make, sorted[i]));
    return array;
}

static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* The database says where it goes, the fingerprint tells it from other jobs there. */
static const char *default_name(struct ph_plan *plan)
{
    enum { DATABASE_PART = 40, FINGERPRINT_PART = 8 };
    char database[DATABASE_PART + 1];
    size_t n = 0;
    for (const char *p = plan->target.database; *p && n < DATABASE_PART; p++)
        database[n++] = is_name_character(*p) ? *p : '_';
    database[n] = '\0';
    return ph_arena_printf(&plan->arena, "%s-%.*s", database, FINGERPRINT_PART, plan->fingerprint);
}

static bool check_name(const char *name, struct ph_err *err)
{
    enum { LONGEST = 63 };
    size_t n = strlen(name);
    bool ok = n >= 1 && n <= LONGEST;
    for (size_t i = 0; ok && i < n; i++)
        ok = is_name_character(name[i]);
    if (ok)
        return true;
    ph_err_set(err, PH_WRONG, "\"%.80s\" cannot be the name of a job", name);
    return ph_err_hint(err, "1 to %d of the characters A-Z a-z 0-9 . _ -", LONGEST);
}

bool ph_definition_make(struct ph_make *make, struct ph_err *err)
{
    struct ph_plan *plan = make->plan;
    json_t *json = json_object();
    json_object_set_new(json, "format", json_integer(1));
    json_object_set_new(json, "mode", json_string(ph_mode_name(plan->spec->mode)));
    enum ph_route route = plan->spec->route;
    json_object_set_new(json, "source",
                        route == PH_ROUTE_LOAD ? archive_json(plan->spec->archive->set)
                                               : side_json(&plan->source));
    json_object_set_new(json, "target",
                        route == PH_ROUTE_EXTRACT && !plan->spec->to_be_made
                            ? archive_json(NULL)
                            : side_json(&plan->target));
    json_object_set_new(json, "tables", tables_json(make));
    if (plan->spec->source_encoding)
        json_object_set_new(json, "source_encoding", text(plan->spec->source_encoding));
    if (plan->spec->create && route == PH_ROUTE_EXTRACT && !plan->spec->to_be_made)
        json_object_set_new(json, "schema", json_true());
    if (plan->spec->large_objects)
        json_object_set_new(json, "large_objects", json_true());
    if (plan->spec->no_rows)
        json_object_set_new(json, "rows", json_false());
    char *dump = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(json);
    if (!dump)
        return ph_err_nomem(err);
    plan->definition = ph_arena_strdup(&plan->arena, dump);
    free(dump);
    XXH128_hash_t hash = XXH3_128bits(plan->definition, strlen(plan->definition));
    snprintf(plan->fingerprint, sizeof plan->fingerprint, "%016" PRIx64 "%016" PRIx64,
             (uint64_t)hash.high64, (uint64_t)hash.low64);
    if (plan->spec->job_name && !check_name(plan->spec->job_name, err))
        return false;
    plan->job_name = plan->spec->job_name ? ph_arena_strdup(&plan->arena, plan->spec->job_name)
                                          : default_name(plan);
    return true;
}
