/* The key of an upsert: a unique index of the target that INSERT ... ON CONFLICT can take for its
 * arbiter. */
#include <string.h>

#include "plan/make.h"

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

static bool can_arbitrate(const struct ph_index *index)
{
    return index->unique && index->valid && index->immediate && !index->partial &&
           !index->expression;
}

static const char *key_name(const struct ph_relation *relation, const struct ph_index *index, int i)
{
    const struct ph_column *c = ph_relation_column_number(relation, index->key[i]);
    return c ? c->name : "";
}

static bool is_named(const struct ph_request *request, const char *column)
{
    for (int i = 0; i < request->n_key; i++)
        if (!strcmp(request->key[i], column))
            return true;
    return false;
}

/* The index that has exactly the columns that were asked for, or the primary key. */
static const struct ph_index *choose_index(const struct ph_relation *target,
                                           const struct ph_request *request)
{
    for (int i = 0; i < target->n_indexes; i++) {
        const struct ph_index *index = &target->indexes[i];
        if (!can_arbitrate(index))
            continue;
        if (!request || !request->n_key) {
            if (index->primary)
                return index;
            continue;
        }
        int found = 0;
        for (int k = 0; k < index->n_key; k++)
            found += is_named(request, key_name(target, index, k));
        if (found == index->n_key && found == request->n_key)
            return index;
    }
    return NULL;
}

static const char *list_key(struct ph_make *make, const struct ph_relation *relation,
                            const struct ph_index *index)
{
    const char **names = ph_arena_calloc(arena_of(make), (size_t)index->n_key, sizeof *names);
    for (int i = 0; i < index->n_key; i++)
        names[i] = ph_make_quote(make, key_name(relation, index, i));
    return ph_make_list(make, names, index->n_key);
}

static void refuse(struct ph_make *make, const struct ph_pair *pair)
{
    const struct ph_request *request = pair->pick->request;
    const char *hint = "create a unique index on columns that are not null, or use another --mode";
    for (int i = 0; i < pair->target->n_indexes; i++)
        if (can_arbitrate(&pair->target->indexes[i]))
            hint =
                ph_arena_printf(arena_of(make), "a unique index is there on %s: name it by --key",
                                list_key(make, pair->target, &pair->target->indexes[i]));
    if (request && request->n_key)
        ph_make_obstacle(make, hint,
                         "%s has no valid unique index on exactly %s, without condition or "
                         "expression, that an upsert needs",
                         ph_make_name(make, pair->target),
                         ph_make_list(make, request->key, request->n_key));
    else
        ph_make_obstacle(make, hint, "%s has no primary key, which an upsert needs",
                         ph_make_name(make, pair->target));
}

static const struct ph_plan_column *planned(const struct ph_table *table, const char *name)
{
    for (int i = 0; i < table->n_columns; i++)
        if (!strcmp(table->columns[i].name, name))
            return &table->columns[i];
    return NULL;
}

static bool in_conflict(const struct ph_table *table, const char *source_column)
{
    for (int i = 0; i < table->n_conflict; i++) {
        const struct ph_plan_column *c = planned(table, table->conflict[i]);
        if (c && !c->is_expression && !strcmp(c->source, source_column))
            /* 'a' and 'A' are one key to citext: what is unique there need not be here */
            return strstr(c->target_type, "citext") == NULL || strstr(c->source_type, "citext");
    }
    return false;
}

/* Whether the source cannot hold two rows with the same upsert key. */
static bool is_unique_in(const struct ph_relation *source, const struct ph_table *table)
{
    for (int i = 0; i < source->n_indexes; i++) {
        const struct ph_index *index = &source->indexes[i];
        bool covered = can_arbitrate(index);
        for (int k = 0; covered && k < index->n_key; k++) {
            const struct ph_column *c = ph_relation_column_number(source, index->key[k]);
            covered = c && c->not_null && in_conflict(table, c->name);
        }
        if (covered)
            return true;
    }
    return false;
}

static bool shares_target(const struct ph_make *make, const struct ph_pair *pair)
{
    int n = 0;
    for (int i = 0; i < make->n_pairs; i++)
        n += make->pairs[i].target == pair->target;
    return n > 1;
}

/* Rows of several leaves that meet in one target are unique only by an index of their root. */
static bool source_guarantees(struct ph_make *make, const struct ph_pair *pair,
                              const struct ph_table *table)
{
    int children = 0;
    ph_catalog_children(&make->side[PH_SOURCE], pair->pick->source->oid, &children);
    if (children && shares_target(make, pair))
        return pair->pick->source->kind == 'p' && is_unique_in(pair->pick->source, table);
    return is_unique_in(pair->source, table);
}

bool ph_match_conflict(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table,
                       struct ph_err *err)
{
    const struct ph_request *request = pair->pick->request;
    for (int i = 0; request && i < request->n_key; i++)
        if (!ph_relation_column(pair->target, request->key[i])) {
            ph_err_set(err, PH_WRONG, "key column %s does not exist in %s",
                       ph_make_quote(make, request->key[i]), ph_make_name(make, pair->target));
            return ph_err_hint(err, "--key names columns of the target table");
        }
    const struct ph_index *index = choose_index(pair->target, request);
    if (!index) {
        refuse(make, pair);
        return true;
    }
    const char **conflict = ph_arena_calloc(arena_of(make), (size_t)index->n_key, sizeof *conflict);
    for (int i = 0; i < index->n_key; i++) {
        const struct ph_column *c = ph_relation_column_number(pair->target, index->key[i]);
        conflict[i] = c ? c->name : "";
        if (c && !c->not_null)
            ph_make_obstacle(
                make, "ALTER TABLE ... ALTER COLUMN ... SET NOT NULL",
                "key column %s of %s may be null: rows with null in it would be doubled "
                "by the next upsert",
                ph_make_quote(make, c->name), ph_make_name(make, pair->target));
        if (c && !planned(table, c->name))
            ph_make_obstacle(make, "copy it too, or name another key by --key",
                             "key column %s of %s is not among the columns that are copied",
                             ph_make_quote(make, c->name), ph_make_name(make, pair->target));
    }
    table->conflict = conflict;
    table->n_conflict = index->n_key;
    table->source_key_unique = source_guarantees(make, pair, table);
    if (make->plan->spec->route == PH_ROUTE_LOAD)
        ph_load_conflict(make, pair, table, shares_target(make, pair));
    return true;
}
