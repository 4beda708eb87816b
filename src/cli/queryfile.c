#include "cli/queryfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/near.h"
#include "cli/yamltree.h"

static bool wrong(const char *path, const struct ph_node *node, struct ph_err *err)
{
    return ph_err_prefix(err, "%s:%d:%d", path, node->line, node->column);
}

static bool read_tolerance(const char *text, struct ph_query *q, struct ph_err *err)
{
    char *end;
    q->tolerance = strtod(text, &end);
    bool number = end != text && isfinite(q->tolerance) && q->tolerance >= 0;
    while (number && *end == ' ')
        end++;
    q->percent = number && *end == '%';
    end += q->percent;
    return (number && !*end) ||
           ph_err_set(err, PH_WRONG, "\"%.40s\" is neither a number nor a percentage", text);
}

static bool take(const char *path, const struct ph_node *node, struct ph_query *q,
                 struct ph_err *err)
{
    static const char *const known[] = {"name", "sql", "source", "target", "tolerance"};
    const char *key = node->key;
    if (node->kind != PH_NODE_SCALAR || !*node->text) {
        ph_err_set(err, PH_WRONG, "%.40s wants a text", key);
        return wrong(path, node, err);
    }
    if (!strcmp(key, "name"))
        q->name = node->text;
    else if (!strcmp(key, "sql"))
        q->sql[0] = q->sql[1] = node->text;
    else if (!strcmp(key, "source") || !strcmp(key, "target"))
        q->sql[*key == 't'] = node->text;
    else if (!strcmp(key, "tolerance"))
        return read_tolerance(node->text, q, err) || wrong(path, node, err);
    else {
        ph_err_set(err, PH_WRONG, "unknown key \"%.40s\"", key);
        wrong(path, node, err);
        const char *near = ph_near(key, known, sizeof known / sizeof *known);
        return near ? ph_err_hint(err, "did you mean %s?", near) : false;
    }
    return true;
}

static bool has(const struct ph_node *map, const char *key)
{
    for (const struct ph_node *n = map->first; n; n = n->next)
        if (!strcmp(n->key, key))
            return true;
    return false;
}

static bool read_query(const char *path, const struct ph_node *map, struct ph_query *q,
                       struct ph_err *err)
{
    if (map->kind != PH_NODE_MAP) {
        ph_err_set(err, PH_WRONG, "a query is a map with name and sql");
        return wrong(path, map, err);
    }
    for (const struct ph_node *n = map->first; n; n = n->next)
        if (!take(path, n, q, err))
            return false;
    bool two = has(map, "source") && has(map, "target");
    bool one = has(map, "sql") && !has(map, "source") && !has(map, "target");
    if (q->name && one + two == 1 && !(has(map, "sql") && two))
        return true;
    ph_err_set(err, PH_WRONG,
               q->name ? "a query has either sql, or source and target" : "a query has no name");
    return wrong(path, map, err);
}

bool ph_queryfile_read(struct ph_arena *arena, const char *path, struct ph_query **out, int *n,
                       struct ph_err *err)
{
    struct ph_node *root = NULL;
    const struct ph_yaml_file file = {.what = "queries file",
                                      .hint = "it is YAML: queries: [{name: ..., sql: ...}]",
                                      .path = path};
    if (!ph_yaml_read(arena, &file, &root, err))
        return false;
    if (root->kind == PH_NODE_MAP && root->n == 1 && !strcmp(root->first->key, "queries"))
        root = root->first;
    if (root->kind != PH_NODE_LIST || root->n == 0) {
        ph_err_set(err, PH_WRONG, "%s: a list of queries is wanted", path);
        return ph_err_hint(err, "queries: [{name: ..., sql: ...}]");
    }
    *out = ph_arena_calloc(arena, (size_t)root->n, sizeof **out);
    *n = 0;
    for (const struct ph_node *node = root->first; node; node = node->next) {
        struct ph_query *q = &(*out)[(*n)++];
        if (!read_query(path, node, q, err))
            return false;
        for (int i = 0; i + 1 < *n; i++)
            if (!strcmp((*out)[i].name, q->name)) {
                ph_err_set(err, PH_WRONG, "\"%.64s\" is named twice", q->name);
                return wrong(path, node, err);
            }
    }
    return true;
}
