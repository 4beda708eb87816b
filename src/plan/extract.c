/* Planning an extract: there is no target server, so the target's catalog is made up: it describes
 * the tables as the archive will hold them. Everything else works on that as it does on a server's,
 * and it is what a later load will take for its source (catalog_json.h).
 *
 *     ph_extract_target    a name in the archive for each table as named
 *     ph_extract_catalog   a relation for each one on the source that goes into it, under the
 *                          source's OID
 *     ph_extract_columns   its columns: those of the source, and what the user's expressions yield
 *     ph_extract_describe  the text for the archive, when it is known how tables are cut
 */
#include <stdlib.h>
#include <string.h>

#include "plan/catalog_json.h"
#include "plan/make.h"

enum { LONGEST_NAME = 63 };

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

bool ph_extract_check(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    if (spec->mode != PH_APPEND) {
        ph_err_set(err, PH_WRONG, "--mode %s says how rows are loaded, and an extract loads none",
                   ph_mode_name(spec->mode));
        return ph_err_hint(err, "say it when the archive is loaded");
    }
    return true;
}

bool ph_extract_target(struct ph_make *make, struct ph_pick *pick, struct ph_err *err)
{
    const char *wanted = pick->request ? pick->request->target : NULL;
    struct ph_pattern pattern = {.schema.text = pick->source->schema,
                                 .name.text = pick->source->name};
    if (wanted && !ph_select_target(make, pick, &pattern, err))
        return false;
    struct ph_relation *name = ph_arena_alloc(arena_of(make), sizeof *name);
    *name = (struct ph_relation){
        .schema = pattern.schema.text ? pattern.schema.text : pick->source->schema,
        .name = pattern.name.text,
    };
    pick->target = name;
    return true;
}

/* Which pick every relation of the source goes along with; by position in its catalog. */
struct claims {
    struct ph_make *make;
    struct ph_pick **owner;
    int n;
};

/* As ph_tree_pairs() shares the leaves out. */
static void claim(struct claims *claims, struct ph_pick *pick, struct ph_relation *relation)
{
    struct ph_make *make = claims->make;
    const struct ph_catalog *source = &make->side[PH_SOURCE];
    struct ph_pick **owner = &claims->owner[relation - source->relations];
    bool is_table = relation->kind == 'r' || relation->kind == 'p';
    if (*owner || !is_table || (relation != pick->source && ph_select_is_excluded(make, relation)))
        return;
    *owner = pick;
    claims->n++;
    int n = 0;
    const struct ph_inherit *children = ph_catalog_children(source, relation->oid, &n);
    for (int i = 0; i < n; i++) {
        struct ph_relation *child = ph_catalog_relation(source, children[i].child);
        if (child)
            claim(claims, pick, child);
    }
}

static bool gather_claims(struct claims *claims, struct ph_make *make, struct ph_err *err)
{
    size_t room = (size_t)make->side[PH_SOURCE].n_relations + 1;
    *claims = (struct claims){.make = make, .owner = calloc(room, sizeof(*claims->owner))};
    if (!claims->owner)
        return ph_err_nomem(err);
    for (int wild = 0; wild < 2; wild++)
        for (int i = 0; i < make->n_picks; i++)
            if (make->picks[i].by_wildcard == (wild == 1))
                claim(claims, &make->picks[i], make->picks[i].source);
    return true;
}

/* Leaves follow a root that gets another name, as tree.c looks for them: orders → orders_new makes
 * orders_new_2024 of orders_2024. */
static void name_relation(struct ph_make *make, const struct ph_pick *pick,
                          const struct ph_relation *source, struct ph_relation *out)
{
    const char *old = pick->source->name, *name = pick->target->name;
    size_t n = strlen(old);
    bool same_schema = !strcmp(source->schema, pick->source->schema);
    out->schema = same_schema ? pick->target->schema : source->schema;
    out->name = source->name;
    if (source == pick->source)
        out->name = name;
    else if (strcmp(old, name) != 0 && !strncmp(source->name, old, n) &&
             strlen(name) + strlen(source->name + n) <= LONGEST_NAME)
        out->name = ph_arena_printf(arena_of(make), "%s%s", name, source->name + n);
}

static struct ph_relation make_relation(struct ph_make *make, const struct ph_pick *pick,
                                        const struct ph_relation *source)
{
    struct ph_relation out = {
        .oid = source->oid,
        .kind = source->kind,
        .persistence = 'p',
        .detailed = true,
        .filenode = source->filenode,
        .heap = source->heap,
        .toast = source->toast,
        .blocks = source->blocks,
        .rows = source->rows,
        .part_key = source->part_key,
        .may_use_schema = true,
        .may_select = true,
        .may_insert = true,
        .indexes = source->indexes,
        .n_indexes = source->n_indexes,
    };
    name_relation(make, pick, source, &out);
    return out;
}

static void add_relations(struct ph_make *make, const struct claims *claims)
{
    const struct ph_catalog *source = &make->side[PH_SOURCE];
    struct ph_catalog *target = &make->side[PH_TARGET];
    target->relations =
        ph_arena_calloc(arena_of(make), (size_t)claims->n, sizeof *target->relations);
    for (int i = 0; i < source->n_relations; i++)
        if (claims->owner[i])
            target->relations[target->n_relations++] =
                make_relation(make, claims->owner[i], &source->relations[i]);
    target->inherits =
        ph_arena_calloc(arena_of(make), (size_t)source->n_inherits, sizeof *target->inherits);
    for (int i = 0; i < source->n_inherits; i++) {
        const struct ph_inherit *link = &source->inherits[i];
        struct ph_relation *child = ph_catalog_relation(target, link->child);
        if (!child || !ph_catalog_relation(target, link->parent))
            continue;
        target->inherits[target->n_inherits++] = *link;
        const struct ph_relation *original = ph_catalog_relation(source, link->child);
        child->is_partition = original->is_partition;
        child->bound = original->bound;
    }
}

static bool refuse_same_names(struct ph_make *make, struct ph_err *err)
{
    const struct ph_catalog *target = &make->side[PH_TARGET];
    for (int i = 1; i < target->n_relations; i++) {
        const struct ph_relation *a = target->by_name[i - 1], *b = target->by_name[i];
        if (strcmp(a->name, b->name) != 0 || strcmp(a->schema, b->schema) != 0)
            continue;
        const struct ph_catalog *source = &make->side[PH_SOURCE];
        ph_err_set(err, PH_WRONG, "%s and %s would both be %s in the archive",
                   ph_make_name(make, ph_catalog_relation(source, a->oid)),
                   ph_make_name(make, ph_catalog_relation(source, b->oid)), ph_make_name(make, a));
        return ph_err_hint(err, "give one of them another name by -t NAME=OTHER");
    }
    return true;
}

bool ph_extract_catalog(struct ph_make *make, struct ph_err *err)
{
    struct ph_catalog *target = &make->side[PH_TARGET];
    struct claims claims;
    if (!gather_claims(&claims, make, err))
        return false;
    *target = (struct ph_catalog){.arena = arena_of(make), .server = make->side[PH_SOURCE].server};
    add_relations(make, &claims);
    ph_catalog_index(target);
    for (int i = 0; i < make->n_picks; i++)
        make->picks[i].target = ph_catalog_relation(target, make->picks[i].source->oid);
    free(claims.owner);
    return refuse_same_names(make, err);
}

/* Columns. */

static const struct ph_make_mapping *mapping_of(const struct ph_pick *pick, const char *column)
{
    for (int i = 0; i < pick->n_mappings; i++)
        if (!strcmp(pick->mappings[i].column, column))
            return &pick->mappings[i];
    return NULL;
}

static bool is_listed(const struct ph_request *request, const char *column)
{
    for (int i = 0; request && i < request->n_columns; i++)
        if (!strcmp(request->columns[i], column))
            return true;
    return false;
}

/* Generated ones compute themselves wherever they are loaded; who lists one wants its values. */
static bool is_taken(const struct ph_request *request, const struct ph_column *column)
{
    if (request && request->columns)
        return is_listed(request, column->name);
    return !column->generated;
}

static struct ph_column yielded(const struct ph_make_mapping *mapping, int number)
{
    return (struct ph_column){.number = number,
                              .name = mapping->column,
                              .type = mapping->type,
                              .typmod = mapping->typmod,
                              .shown = mapping->shown ? mapping->shown : ""};
}

/* What an expression yields has a number that no index of the source knows. */
static void make_columns(struct ph_make *make, const struct ph_pick *pick,
                         const struct ph_relation *source, struct ph_relation *out)
{
    size_t room = (size_t)source->n_columns + (size_t)pick->n_mappings;
    int next = source->n_columns ? source->columns[source->n_columns - 1].number + 1 : 1;
    out->columns = ph_arena_calloc(arena_of(make), room, sizeof *out->columns);
    for (int i = 0; i < source->n_columns; i++) {
        const struct ph_column *column = &source->columns[i];
        const struct ph_make_mapping *mapping = mapping_of(pick, column->name);
        if (mapping) {
            out->columns[out->n_columns++] = yielded(mapping, next++);
        } else if (is_taken(pick->request, column)) {
            out->columns[out->n_columns] = (struct ph_column){
                .number = column->number,
                .name = column->name,
                .type = column->type,
                .typmod = column->typmod,
                .shown = column->shown ? column->shown : "",
                .not_null = column->not_null,
            };
            out->n_columns++;
        }
    }
    for (int i = 0; i < pick->n_mappings; i++)
        if (!ph_relation_column(source, pick->mappings[i].column) &&
            mapping_of(pick, pick->mappings[i].column) == &pick->mappings[i])
            out->columns[out->n_columns++] = yielded(&pick->mappings[i], next++);
}

static bool check_names(struct ph_make *make, const struct ph_pick *pick, struct ph_err *err)
{
    for (int i = 0; i < pick->n_mappings; i++) {
        const char *name = pick->mappings[i].column;
        if (*name && strlen(name) <= LONGEST_NAME)
            continue;
        ph_err_set(err, PH_WRONG, "\"%.80s\" cannot be the name of a column of %s", name,
                   ph_make_name(make, pick->source));
        return ph_err_hint(err, "1 to %d bytes", LONGEST_NAME);
    }
    return true;
}

bool ph_extract_columns(struct ph_make *make, struct ph_err *err)
{
    struct ph_catalog *target = &make->side[PH_TARGET];
    struct claims claims;
    if (!gather_claims(&claims, make, err))
        return false;
    for (int i = 0, at = 0; i < make->side[PH_SOURCE].n_relations; i++)
        if (claims.owner[i])
            make_columns(make, claims.owner[i], &make->side[PH_SOURCE].relations[i],
                         &target->relations[at++]);
    free(claims.owner);
    target->types = make->side[PH_SOURCE].types;
    for (int i = 0; i < make->n_picks; i++)
        if (!check_names(make, &make->picks[i], err))
            return false;
    return true;
}

void ph_extract_warn(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    const char **names =
        ph_arena_calloc(arena_of(make), (size_t)pair->source->n_columns, sizeof *names);
    int n = 0;
    const struct ph_request *request = pair->pick->request;
    for (int i = 0; i < pair->source->n_columns; i++) {
        const struct ph_column *column = &pair->source->columns[i];
        if (column->generated && !(request && request->columns) &&
            !ph_relation_column(pair->target, column->name))
            names[n++] = ph_make_quote(make, column->name);
    }
    if (n)
        ph_make_table_warning(make, table,
                              "%s: generated column%s %s %s left out: where the archive is "
                              "loaded, the table computes %s",
                              ph_make_name(make, pair->source), n == 1 ? "" : "s",
                              ph_make_list(make, names, n), n == 1 ? "is" : "are",
                              n == 1 ? "it" : "them");
}

/* Text. */

/* The columns of the cut by their names in the archive; none when one of them is not there as it
 * was. */
static void note_cut(struct ph_make *make, const struct ph_table *table,
                     struct ph_relation *relation)
{
    if (table->split != PH_SPLIT_KEY && table->split != PH_SPLIT_HASH)
        return;
    const char **key = ph_arena_calloc(arena_of(make), (size_t)table->n_key, sizeof *key);
    for (int i = 0; i < table->n_key; i++) {
        for (int k = 0; k < table->n_columns && !key[i]; k++)
            if (!table->columns[k].is_expression &&
                !strcmp(table->columns[k].source, table->key[i].column))
                key[i] = table->columns[k].name;
        if (!key[i])
            return;
    }
    relation->cut_key = key;
    relation->n_cut_key = table->n_key;
}

bool ph_extract_describe(struct ph_make *make, struct ph_err *err)
{
    for (int i = 0; i < make->n_pairs; i++)
        note_cut(make, &make->plan->tables[i], make->pairs[i].target);
    for (int i = 0; i < make->n_picks; i++) {
        make->picks[i].target->without = make->picks[i].without;
        make->picks[i].target->n_without = make->picks[i].n_without;
    }
    make->plan->catalog_json = ph_catalog_json(&make->side[PH_TARGET]);
    return make->plan->catalog_json || ph_err_nomem(err);
}
