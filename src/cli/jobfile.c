#include "cli/jobfile.h"

#include <string.h>

#include "base/near.h"
#include "cli/names.h"
#include "cli/opts.h"
#include "cli/yamltree.h"

struct reader {
    struct ph_settings *s;
    const char *name; /* of the file */
};

/* Puts file:line:column and the key in front of an error that was set already. */
static bool wrong_value(const struct reader *r, const struct ph_node *node, struct ph_err *err)
{
    if (node->key)
        return ph_err_prefix(err, "%s:%d:%d: %.64s", r->name, node->line, node->column, node->key);
    return ph_err_prefix(err, "%s:%d:%d", r->name, node->line, node->column);
}

static bool wrong_kind(const struct reader *r, const struct ph_node *node, const char *wanted,
                       struct ph_err *err)
{
    static const char *const kinds[] = {"nothing", "a single value", "a list", "a map"};
    ph_err_set(err, PH_WRONG, "%s is wanted here, not %s", wanted, kinds[node->kind]);
    return wrong_value(r, node, err);
}

static bool is_filled(const struct reader *r, const struct ph_node *node, const char *wanted,
                      struct ph_err *err)
{
    if (node->kind != PH_NODE_SCALAR)
        return wrong_kind(r, node, wanted, err);
    if (*node->text)
        return true;
    ph_err_set(err, PH_WRONG, "its value is empty");
    return wrong_value(r, node, err);
}

/* Lists of names
 * -------------------------------------------------------------------------------------------------
 */

static bool add_name(const struct reader *r, const struct ph_node *node, struct ph_words *out,
                     struct ph_err *err)
{
    const char *name = NULL;
    if (!is_filled(r, node, "a name", err))
        return false;
    if (!ph_names_one(&r->s->arena, node->text, &name, err))
        return wrong_value(r, node, err);
    for (int i = 0; i < out->n; i++)
        if (!strcmp(out->item[i], name)) {
            ph_err_set(err, PH_WRONG, "\"%s\" is named twice", name);
            return wrong_value(r, node, err);
        }
    ph_words_add(&r->s->arena, out, name);
    return true;
}

static bool read_key(const struct reader *r, const struct ph_node *node, struct ph_request *request,
                     struct ph_err *err)
{
    struct ph_words words = {0};
    if (node->kind == PH_NODE_SCALAR) { /* key: id   key: a,b */
        if (!ph_names_list(&r->s->arena, node->text, &words, err))
            return wrong_value(r, node, err);
    } else if (node->kind != PH_NODE_LIST) {
        return wrong_kind(r, node, "a name or a list of names", err);
    }
    for (const struct ph_node *child = node->first; child; child = child->next)
        if (!add_name(r, child, &words, err))
            return false;
    request->key = words.item;
    request->n_key = words.n;
    return true;
}

/* column: expression, for every entry of a map. */
static bool add_mappings(const struct reader *r, const struct ph_node *map, struct ph_mapping *out,
                         int *n, struct ph_words *columns, struct ph_err *err)
{
    for (const struct ph_node *child = map->first; child; child = child->next) {
        if (!is_filled(r, child, "an SQL expression", err))
            return false;
        const char *column = NULL;
        if (!ph_names_one(&r->s->arena, child->key, &column, err))
            return wrong_value(r, child, err);
        if (columns)
            ph_words_add(&r->s->arena, columns, column);
        out[(*n)++] = (struct ph_mapping){column, child->text};
    }
    return true;
}

static bool read_columns(const struct reader *r, const struct ph_node *node,
                         struct ph_request *request, struct ph_err *err)
{
    struct ph_words words = {0};
    int room = node->n, n = 0;
    if (node->kind == PH_NODE_SCALAR) {
        if (!ph_names_list(&r->s->arena, node->text, &words, err))
            return wrong_value(r, node, err);
    } else if (node->kind == PH_NODE_NULL || node->n == 0) {
        return wrong_kind(r, node, "a list of columns, or a map from column to SQL expression",
                          err);
    }
    for (const struct ph_node *child = node->first; child; child = child->next)
        room += child->n;
    struct ph_mapping *mappings = ph_arena_calloc(&r->s->arena, (size_t)room + 1, sizeof *mappings);
    if (node->kind == PH_NODE_MAP && !add_mappings(r, node, mappings, &n, NULL, err))
        return false;
    for (const struct ph_node *child = node->first; child && node->kind == PH_NODE_LIST;
         child = child->next) {
        bool ok = child->kind == PH_NODE_MAP ? add_mappings(r, child, mappings, &n, &words, err)
                                             : add_name(r, child, &words, err);
        if (!ok)
            return false;
    }
    request->columns = words.n ? words.item : NULL;
    request->n_columns = words.n;
    request->mappings = n ? mappings : NULL;
    request->n_mappings = n;
    return true;
}

/* Tables
 * --------------------------------------------------------------------------------------------------------
 */

static bool set_pattern(const struct reader *r, const struct ph_node *node, const char *text,
                        struct ph_request *request, struct ph_err *err)
{
    const char *target = NULL;
    if (request->pattern)
        return ph_err_set(err, PH_WRONG, "%s:%d:%d: the table is named twice", r->name,
                          node->key_line, node->key_column);
    if (!ph_names_table(&r->s->arena, text, &request->pattern, &target, err))
        return wrong_value(r, node, err);
    if (target && request->target) {
        ph_err_set(err, PH_WRONG, "the target is named twice");
        return wrong_value(r, node, err);
    }
    if (target)
        request->target = target;
    return true;
}

static bool set_target(const struct reader *r, const struct ph_node *node,
                       struct ph_request *request, struct ph_err *err)
{
    const char *name = NULL, *more = NULL;
    if (!is_filled(r, node, "a table's name", err))
        return false;
    if (!ph_names_table(&r->s->arena, node->text, &name, &more, err))
        return wrong_value(r, node, err);
    const char *wrong = request->target          ? "the target is named twice"
                        : more                   ? "a target's name has no = in it"
                        : ph_names_is_wild(name) ? "a target's name cannot be a pattern"
                                                 : NULL;
    if (wrong) {
        ph_err_set(err, PH_WRONG, "%s", wrong);
        return wrong_value(r, node, err);
    }
    request->target = name;
    return true;
}

static bool set_filter(const struct reader *r, const struct ph_node *node,
                       struct ph_request *request, struct ph_err *err)
{
    if (!is_filled(r, node, "an SQL condition", err))
        return false;
    if (request->filter)
        return ph_err_set(err, PH_WRONG, "%s:%d:%d: the filter is given twice", r->name,
                          node->key_line, node->key_column);
    request->filter = node->text;
    return true;
}

static bool set_split(const struct reader *r, const struct ph_node *node,
                      struct ph_request *request, struct ph_err *err)
{
    const struct ph_option *o = ph_option_find("split");
    if (!is_filled(r, node, "a way to cut", err))
        return false;
    for (int i = 0; o->choices[i]; i++)
        if (!strcmp(o->choices[i], node->text)) {
            request->split = (enum ph_split)i;
            return true;
        }
    ph_err_set(err, PH_WRONG, "\"%.40s\" is not one of auto, block, key or hash", node->text);
    const char *near = ph_near(node->text, o->choices, 4);
    if (near)
        ph_err_hint(err, "did you mean %s?", near);
    return wrong_value(r, node, err);
}

static bool set_entry(const struct reader *r, const struct ph_node *node,
                      struct ph_request *request, struct ph_err *err)
{
    static const char *const known[] = {"table", "source",  "target", "filter",
                                        "where", "columns", "key",    "split"};
    size_t i = 0, n = sizeof known / sizeof *known;
    while (i < n && strcmp(known[i], node->key) != 0)
        i++;
    switch (i) {
    case 0:
    case 1:
        return is_filled(r, node, "a table's name", err) &&
               set_pattern(r, node, node->text, request, err);
    case 2:
        return set_target(r, node, request, err);
    case 3:
    case 4:
        return set_filter(r, node, request, err);
    case 5:
        return read_columns(r, node, request, err);
    case 6:
        return read_key(r, node, request, err);
    case 7:
        return set_split(r, node, request, err);
    default:
        break;
    }
    ph_err_set(err, PH_WRONG, "%s:%d:%d: unknown key \"%.64s\" of a table", r->name, node->key_line,
               node->key_column, node->key);
    const char *near = ph_near(node->key, known, n);
    return near ? ph_err_hint(err, "did you mean %s?", near)
                : ph_err_hint(err, "a table has table, target, filter, columns, key and split");
}

static bool check_request(const struct reader *r, const struct ph_node *node,
                          const struct ph_request *request, struct ph_err *err)
{
    const char *wrong = NULL;
    if (!request->pattern)
        wrong = "this entry names no table: table: [SCHEMA.]NAME";
    else if (request->target && ph_names_is_wild(request->pattern))
        wrong = "a pattern cannot have one target";
    if (wrong) {
        ph_err_set(err, PH_WRONG, "%s", wrong);
        return wrong_value(r, node, err);
    }
    return true;
}

/* One entry of a list (node->key is NULL), or of a map (the key names the table). */
static bool read_table(const struct reader *r, const struct ph_node *node,
                       struct ph_request *request, struct ph_err *err)
{
    if (node->key && !set_pattern(r, node, node->key, request, err))
        return false;
    if (node->kind == PH_NODE_SCALAR && node->key)
        return set_target(r, node, request, err) && check_request(r, node, request, err);
    if (node->kind == PH_NODE_SCALAR)
        return set_pattern(r, node, node->text, request, err);
    if (node->kind == PH_NODE_NULL && node->key)
        return true;
    if (node->kind != PH_NODE_MAP)
        return wrong_kind(r, node, "a table's name, or a map", err);
    for (const struct ph_node *child = node->first; child; child = child->next)
        if (!set_entry(r, child, request, err))
            return false;
    return check_request(r, node, request, err);
}

static bool read_tables(const struct reader *r, const struct ph_node *node, struct ph_err *err)
{
    struct ph_settings *s = r->s;
    if (s->requests)
        return ph_err_set(err, PH_WRONG, "%s:%d:%d: table and tables are the same key", r->name,
                          node->key_line, node->key_column);
    if (node->kind == PH_NODE_NULL)
        return wrong_kind(r, node, "a list of tables, or a map", err);
    int n = node->kind == PH_NODE_SCALAR ? 1 : node->n;
    s->requests = ph_arena_calloc(&s->arena, (size_t)n + 1, sizeof *s->requests);
    if (node->kind == PH_NODE_SCALAR) {
        s->n_requests = 1;
        return set_pattern(r, node, node->text, s->requests, err);
    }
    for (const struct ph_node *child = node->first; child; child = child->next)
        if (!read_table(r, child, &s->requests[s->n_requests++], err))
            return false;
    return true;
}

/* The rest
 * --------------------------------------------------------------------------------------------------------
 */

static bool set_option(const struct reader *r, const struct ph_option *o,
                       const struct ph_node *node, const char *text, struct ph_err *err)
{
    if (ph_option_set(r->s, o, text, PH_FROM_FILE, err))
        return true;
    return wrong_value(r, node, err);
}

/* A list of names becomes the text that the command line would have: one form, one check. */
static const char *join_names(const struct reader *r, const struct ph_words *words)
{
    struct ph_buf text = {0};
    for (int i = 0; i < words->n; i++) {
        ph_buf_add(&text, i ? ",\"" : "\"");
        for (const char *p = words->item[i]; *p; p++)
            ph_buf_add(&text, *p == '"' ? "\"\"" : (const char[]){*p, '\0'});
        ph_buf_add(&text, "\"");
    }
    const char *result = ph_arena_strdup(&r->s->arena, ph_buf_text(&text));
    ph_buf_fini(&text);
    return result;
}

static bool read_option(const struct reader *r, const struct ph_option *o,
                        const struct ph_node *node, struct ph_err *err)
{
    if (node->kind == PH_NODE_SCALAR)
        return set_option(r, o, node, node->text, err);
    bool list = o->type == PH_OPT_WORDS || o->type == PH_OPT_NAMES;
    if (!list || node->kind != PH_NODE_LIST)
        return wrong_kind(r, node, list ? "a name or a list of names" : "a single value", err);
    struct ph_words words = {0};
    for (const struct ph_node *child = node->first; child; child = child->next) {
        if (o->type == PH_OPT_NAMES) {
            if (!add_name(r, child, &words, err))
                return false;
        } else if (!is_filled(r, child, "a name or a pattern", err) ||
                   !set_option(r, o, child, child->text, err)) {
            return false;
        }
    }
    if (o->type == PH_OPT_NAMES && words.n > 0)
        return set_option(r, o, node, join_names(r, &words), err);
    return true;
}

static bool read_top(const struct reader *r, const struct ph_node *node, struct ph_err *err)
{
    if (!strcmp(node->key, "tables") || !strcmp(node->key, "table"))
        return read_tables(r, node, err);
    const struct ph_option *o = ph_option_find(node->key);
    if (o && !(o->flags & PH_OPT_NOT_FILE))
        return read_option(r, o, node, err);
    ph_err_set(err, PH_WRONG, "%s:%d:%d: %s key \"%.64s\"", r->name, node->key_line,
               node->key_column, o ? "command line only:" : "unknown", node->key);
    return o ? false
             : ph_opts_hint_near(err, node->key, PH_CMD_ALL, true,
                                 "pghaul --help lists the options");
}

static bool read_root(const struct reader *r, const struct ph_node *root, struct ph_err *err)
{
    if (root->kind != PH_NODE_MAP)
        return wrong_kind(r, root, "a map from option to value", err);
    for (const struct ph_node *node = root->first; node; node = node->next)
        if (!read_top(r, node, err))
            return false;
    return true;
}

bool ph_jobfile_read(struct ph_settings *s, const char *path, struct ph_err *err)
{
    struct ph_node *root = NULL;
    struct reader r = {.s = s, .name = !strcmp(path, "-") ? "standard input" : path};
    const struct ph_yaml_file file = {
        .what = "job file", .hint = "pghaul plan ... --write-file FILE makes one", .path = path};
    return ph_yaml_read(&s->arena, &file, &root, err) && read_root(&r, root, err);
}

bool ph_jobfile_parse(struct ph_settings *s, const char *name, const char *text, size_t len,
                      struct ph_err *err)
{
    struct ph_node *root = NULL;
    struct reader r = {.s = s, .name = name};
    return ph_yaml_parse(&s->arena, name, text, len, &root, err) && read_root(&r, root, err);
}
