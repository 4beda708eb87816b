#include "plan/scope.h"

#include <stdlib.h>
#include <string.h>

#include "plan/make.h"

/* Which relations have a pair already, by their places in the catalogs. */
struct seen {
    bool *side[2];
};

static struct ph_arena *arena_of(const struct ph_scope *scope)
{
    return &scope->make->plan->arena;
}

static bool *mark_of(const struct ph_scope *scope, struct seen *seen, int side,
                     const struct ph_relation *r)
{
    return &seen->side[side][r - scope->make->side[side].relations];
}

/* A relation that is given is not paired yet. */
static void add(struct ph_scope *scope, struct seen *seen, const struct ph_relation *source,
                const struct ph_relation *target)
{
    const struct ph_relation *r[2] = {source, target};
    void *items = scope->pairs;
    struct ph_scope_pair *pair =
        ph_make_push(arena_of(scope), &items, &scope->n, &scope->room, sizeof *pair);
    scope->pairs = items;
    for (int side = 0; side < 2; side++) {
        pair->side[side] = r[side];
        if (r[side])
            *mark_of(scope, seen, side, r[side]) = true;
    }
}

static bool is_below(const struct ph_catalog *catalog, const struct ph_relation *r,
                     const struct ph_relation *root)
{
    while (r && r != root)
        r = ph_catalog_relation(catalog, ph_catalog_parent(catalog, r->oid));
    return r != NULL;
}

/* The part of the target's tree that has the name of a part of the source's, which may be in the
 * schema of either root. What has left the tree is still meant, unless the tree has another name. */
static const struct ph_relation *counterpart(const struct ph_scope *scope, struct seen *seen,
                                             const struct ph_relation *part,
                                             const struct ph_pick *pick)
{
    const struct ph_relation *root = pick->target;
    const struct ph_catalog *catalog = &scope->make->side[PH_TARGET];
    const char *schemas[2] = {part->schema, root ? root->schema : NULL};
    bool same_tree = root && !strcmp(pick->source->name, root->name) &&
                     !strcmp(pick->source->schema, root->schema);
    for (int i = 0; root && i < 2; i++) {
        const struct ph_relation *r = ph_catalog_named(catalog, schemas[i], part->name);
        bool meant = r && (is_below(catalog, r, root) || same_tree);
        if (meant && !*mark_of(scope, seen, PH_TARGET, r) && strchr("rpf", r->kind))
            return r;
    }
    return NULL;
}

/* Everything below a relation of one side that has no pair yet. */
static void add_below(struct ph_scope *scope, struct seen *seen, int side,
                      const struct ph_relation *top, const struct ph_pick *pick)
{
    const struct ph_catalog *catalog = &scope->make->side[side];
    int n = 0;
    const struct ph_inherit *children = ph_catalog_children(catalog, top->oid, &n);
    for (int i = 0; i < n; i++) {
        const struct ph_relation *child = ph_catalog_relation(catalog, children[i].child);
        if (!child || ph_select_is_excluded_of(scope->make, side, child))
            continue;
        if (!*mark_of(scope, seen, side, child)) {
            if (side == PH_SOURCE)
                add(scope, seen, child, counterpart(scope, seen, child, pick));
            else
                add(scope, seen, NULL, child);
        }
        add_below(scope, seen, side, child, pick);
    }
}

static void add_picks(struct ph_scope *scope, struct seen *seen)
{
    const struct ph_make *make = scope->make;
    for (int i = 0; i < make->n_picks; i++) {
        const struct ph_pick *pick = &make->picks[i];
        bool taken = pick->target && *mark_of(scope, seen, PH_TARGET, pick->target);
        if (!*mark_of(scope, seen, PH_SOURCE, pick->source))
            add(scope, seen, pick->source, taken ? NULL : pick->target);
    }
    for (int i = 0; i < make->n_picks; i++)
        add_below(scope, seen, PH_SOURCE, make->picks[i].source, &make->picks[i]);
    for (int i = 0; i < make->n_picks; i++)
        if (make->picks[i].target)
            add_below(scope, seen, PH_TARGET, make->picks[i].target, &make->picks[i]);
}

static bool is_comparable(const struct ph_scope *scope, int side, const struct ph_relation *r)
{
    return strchr("rpvmf", r->kind) && r->persistence != 't' && !r->of_extension &&
           !ph_select_is_excluded_of(scope->make, side, r);
}

static void add_all(struct ph_scope *scope, struct seen *seen)
{
    const struct ph_catalog *sides = scope->make->side;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < sides[side].n_relations; i++) {
            const struct ph_relation *r = &sides[side].relations[i], *other;
            if (seen->side[side][i] || !is_comparable(scope, side, r))
                continue;
            other = ph_catalog_named(&sides[!side], r->schema, r->name);
            if (other &&
                (!is_comparable(scope, !side, other) || *mark_of(scope, seen, !side, other)))
                other = NULL;
            add(scope, seen, side == PH_SOURCE ? r : other, side == PH_SOURCE ? other : r);
        }
}

static bool fill(struct ph_scope *scope, struct ph_conn *source, struct ph_conn *target,
                 struct ph_err *err)
{
    struct ph_make *make = scope->make;
    struct seen seen;
    if (!ph_catalog_open(&make->side[PH_SOURCE], source, arena_of(scope), err) ||
        !ph_catalog_open(&make->side[PH_TARGET], target, arena_of(scope), err) ||
        !ph_select_tables(make, err))
        return false;
    for (int side = 0; side < 2; side++)
        seen.side[side] = ph_arena_calloc(arena_of(scope), (size_t)make->side[side].n_relations + 1,
                                          sizeof **seen.side);
    add_picks(scope, &seen);
    if (make->plan->spec->all)
        add_all(scope, &seen);
    return true;
}

bool ph_scope_make(struct ph_scope *scope, const struct ph_job_spec *spec, struct ph_conn *source,
                   struct ph_conn *target, struct ph_err *err)
{
    struct ph_plan *plan = calloc(1, sizeof *plan);
    *scope = (struct ph_scope){0};
    if (!plan)
        return ph_err_nomem(err);
    plan->spec = spec;
    scope->make = ph_arena_alloc(&plan->arena, sizeof *scope->make);
    *scope->make = (struct ph_make){.plan = plan, .half_picks = true};
    return fill(scope, source, target, err);
}

uint32_t *ph_scope_oids(const struct ph_scope *scope, int side, int *n)
{
    uint32_t *oids = ph_arena_calloc(arena_of(scope), (size_t)scope->n + 1, sizeof *oids);
    *n = 0;
    for (int i = 0; i < scope->n; i++)
        if (scope->pairs[i].side[side])
            oids[(*n)++] = scope->pairs[i].side[side]->oid;
    return oids;
}

bool ph_scope_has_schema(const struct ph_scope *scope, const char *schema)
{
    return !ph_select_is_excluded_schema(scope->make, schema);
}

void ph_scope_fini(struct ph_scope *scope)
{
    if (scope->make)
        ph_plan_free(scope->make->plan);
    scope->make = NULL;
}
