/* Partitions and inheritance: from tables as the user named them to relations with storage, on both
 * sides.
 *
 * A source leaf goes to the target leaf of the same name when partition keys and bounds agree all
 * the way up to the roots; else to the target's root, which routes its rows. COPY into a leaf
 * checks the bounds again, so a mistake here would be an error there, never a row in the wrong
 * place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "plan/make.h"

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

/* Relations, in a list of their own and without doubles (a child can have several parents). There
 * is room for all. */
struct list {
    struct ph_relation **items;
    int n;
    bool *seen; /* by position in the catalog */
};

static bool list_init(struct list *list, const struct ph_catalog *catalog, struct ph_err *err)
{
    size_t room = (size_t)catalog->n_relations + 1;
    *list = (struct list){.items = calloc(room, sizeof(*list->items)),
                          .seen = calloc(room, sizeof(bool))};
    return (list->items && list->seen) || ph_err_nomem(err);
}

static void list_add(struct list *list, const struct ph_catalog *catalog, struct ph_relation *r)
{
    size_t slot = (size_t)(r - catalog->relations);
    if (list->seen[slot])
        return;
    list->seen[slot] = true;
    list->items[list->n++] = r;
}

static void list_fini(struct list *list)
{
    free(list->items);
    free(list->seen);
}

/* A relation and everything below it, parents before children. */
static void add_tree(struct list *list, const struct ph_catalog *catalog, struct ph_relation *r)
{
    int next = list->n;
    list_add(list, catalog, r);
    for (; next < list->n; next++) {
        int n = 0;
        const struct ph_inherit *children =
            ph_catalog_children(catalog, list->items[next]->oid, &n);
        for (int i = 0; i < n; i++) {
            struct ph_relation *child = ph_catalog_relation(catalog, children[i].child);
            if (child)
                list_add(list, catalog, child);
        }
    }
}

struct ph_relation *ph_tree_root(const struct ph_catalog *catalog, struct ph_relation *relation)
{
    while (relation->is_partition) {
        struct ph_relation *above =
            ph_catalog_relation(catalog, ph_catalog_parent(catalog, relation->oid));
        if (!above)
            break;
        relation = above;
    }
    return relation;
}

bool ph_tree_relations(struct ph_make *make, int side, uint32_t **oids, int *n, struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[side];
    struct list list;
    if (!list_init(&list, catalog, err)) {
        list_fini(&list);
        return false;
    }
    for (int i = 0; i < make->n_picks; i++) {
        struct ph_pick *pick = &make->picks[i];
        struct ph_relation *r = side == PH_SOURCE ? pick->source : pick->target;
        add_tree(&list, catalog, r);
        list_add(&list, catalog, ph_tree_root(catalog, r));
    }
    *n = list.n;
    *oids = malloc(((size_t)list.n + 1) * sizeof **oids);
    for (int i = 0; *oids && i < list.n; i++)
        (*oids)[i] = list.items[i]->oid;
    list_fini(&list);
    return *oids || ph_err_nomem(err);
}

/* Counterparts. */

/* Bounds and partition keys from a leaf up to a root, as one text; NULL when root is not above it.
 */
static char *path_to_root(const struct ph_catalog *catalog, const struct ph_relation *leaf,
                          const struct ph_relation *root)
{
    struct ph_buf path = {0};
    ph_buf_add(&path, "");
    while (leaf && leaf != root) {
        ph_buf_addf(&path, "%s\n", leaf->bound ? leaf->bound : "");
        leaf = ph_catalog_relation(catalog, ph_catalog_parent(catalog, leaf->oid));
        if (leaf)
            ph_buf_addf(&path, "%s\n", leaf->part_key ? leaf->part_key : "");
    }
    if (leaf)
        return path.data;
    ph_buf_fini(&path);
    return NULL;
}

static bool bounds_agree(struct ph_make *make, const struct ph_pick *pick,
                         const struct ph_relation *leaf, const struct ph_relation *candidate)
{
    char *here = path_to_root(&make->side[PH_SOURCE], leaf, pick->source);
    char *there = path_to_root(&make->side[PH_TARGET], candidate, pick->target);
    bool agree = here && there && !strcmp(here, there);
    free(here);
    free(there);
    return agree;
}

/* The target relation that a source leaf's name means: by its own name, or with the root's new name
 * in place of the old one (orders → orders_new: orders_2024 → orders_new_2024). */
static struct ph_relation *named_like(struct ph_make *make, const struct ph_pick *pick,
                                      const struct ph_relation *leaf)
{
    const struct ph_catalog *target = &make->side[PH_TARGET];
    bool same_schema = !strcmp(leaf->schema, pick->source->schema);
    const char *schema = same_schema ? pick->target->schema : leaf->schema;
    size_t n = strlen(pick->source->name);
    if (!strncmp(leaf->name, pick->source->name, n) &&
        strcmp(pick->source->name, pick->target->name) != 0) {
        const char *renamed =
            ph_arena_printf(arena_of(make), "%s%s", pick->target->name, leaf->name + n);
        struct ph_relation *r = ph_catalog_named(target, schema, renamed);
        if (r)
            return r;
    }
    return ph_catalog_named(target, schema, leaf->name);
}

/* Where the rows of `leaf` go; NULL: nowhere, which the caller reports. `below` holds the target's
 * tree. */
static struct ph_relation *counterpart(struct ph_make *make, const struct ph_pick *pick,
                                       const struct ph_relation *leaf, const struct list *below)
{
    if (leaf == pick->source)
        return pick->target;
    if (ph_make_invents(make))
        return ph_catalog_relation(&make->side[PH_TARGET], leaf->oid);
    const struct ph_catalog *target = &make->side[PH_TARGET];
    struct ph_relation *r = named_like(make, pick, leaf);
    bool inside = r && r->kind == 'r' && below->seen[r - target->relations];
    bool routes = pick->target->kind == 'p';
    if (routes)
        return inside && pick->source->kind == 'p' && bounds_agree(make, pick, leaf, r)
                   ? r
                   : pick->target;
    if (inside)
        return r;
    return below->n == 1 ? pick->target : NULL; /* a plain table takes the whole tree's rows */
}

/* Pairs. */

struct pairing {
    struct ph_make *make;
    struct ph_pick **owner; /* by position in the source's catalog */
};

static void add_pair(struct ph_make *make, const struct ph_pick *pick, struct ph_relation *source,
                     struct ph_relation *target)
{
    void *items = make->pairs;
    struct ph_pair *pair =
        ph_make_push(arena_of(make), &items, &make->n_pairs, &make->room_pairs, sizeof *pair);
    make->pairs = items;
    *pair = (struct ph_pair){pick, source, target};
}

static bool claim(struct pairing *pairing, struct ph_pick *pick, const struct ph_relation *leaf,
                  bool *mine, struct ph_err *err)
{
    struct ph_make *make = pairing->make;
    struct ph_pick **owner = &pairing->owner[leaf - make->side[PH_SOURCE].relations];
    *mine = !*owner;
    if (!*owner) {
        *owner = pick;
    } else if (!pick->by_wildcard && !(*owner)->by_wildcard) {
        const struct ph_pick *root = pick->source == leaf ? *owner : pick;
        ph_err_set(err, PH_WRONG, "table %s is named twice, the second time as a part of %s",
                   ph_make_name(make, leaf), ph_make_name(make, root->source));
        return ph_err_hint(err, "a table stands for its partitions and children too");
    }
    return true;
}

/* `replace` empties a leaf for each leaf that is loaded. Leaves that only the target has would keep
 * their rows: then everything goes through the root, which is emptied as a whole. */
static bool target_has_more_leaves(struct ph_make *make, const struct list *below, int first)
{
    int leaves = 0, used = 0;
    for (int i = 0; i < below->n; i++)
        leaves += below->items[i]->kind != 'p';
    for (int i = first; i < make->n_pairs; i++)
        used += make->pairs[i].target->kind == 'r';
    return used < leaves;
}

static void settle_replace(struct ph_make *make, const struct ph_pick *pick,
                           const struct list *below, int first)
{
    bool all_leaves = !target_has_more_leaves(make, below, first);
    bool some_routed = false;
    for (int i = first; i < make->n_pairs; i++)
        some_routed = some_routed || make->pairs[i].target == pick->target;
    if (all_leaves && !some_routed)
        return;
    if (pick->n_without) {
        if (some_routed)
            ph_make_obstacle(make, "name the partitions to be replaced one by one",
                             "%s cannot be replaced while partitions of it are left out: its "
                             "partitions differ, and it would be emptied as a whole",
                             ph_make_name(make, pick->target));
        return;
    }
    for (int i = first; i < make->n_pairs; i++)
        make->pairs[i].target = pick->target;
}

static void leave_out(struct ph_make *make, struct ph_pick *pick, const char *name)
{
    void *items = pick->without;
    const char **slot =
        ph_make_push(arena_of(make), &items, &pick->n_without, &pick->room_without, sizeof *slot);
    pick->without = items;
    *slot = name;
}

/* What an extract left out is not in the archive's tree; all that stands above it says so. */
static void leave_out_archived(struct ph_make *make, struct ph_pick *pick)
{
    const struct ph_catalog *source = &make->side[PH_SOURCE];
    const struct ph_relation *r = pick->source;
    for (; r; r = ph_catalog_relation(source, ph_catalog_parent(source, r->oid)))
        for (int i = 0; i < r->n_without; i++)
            leave_out(make, pick, r->without[i]);
}

static bool pair_tree(struct pairing *pairing, struct ph_pick *pick, struct ph_err *err)
{
    struct ph_make *make = pairing->make;
    leave_out_archived(make, pick);
    struct list here = {0}, there = {0};
    bool ok = list_init(&here, &make->side[PH_SOURCE], err) &&
              list_init(&there, &make->side[PH_TARGET], err);
    int first = make->n_pairs;
    if (ok) {
        add_tree(&here, &make->side[PH_SOURCE], pick->source);
        add_tree(&there, &make->side[PH_TARGET], pick->target);
    }
    for (int i = 0; ok && i < here.n; i++) {
        struct ph_relation *leaf = here.items[i];
        bool mine = false;
        if (leaf->kind == 'p')
            continue;
        if (leaf != pick->source && ph_select_is_excluded(make, leaf)) {
            leave_out(make, pick, ph_make_name(make, leaf));
            continue;
        }
        if (leaf->kind != 'r') {
            ph_make_obstacle(make, "leave it out by --exclude-table", "%s, a part of %s, is a %s",
                             ph_make_name(make, leaf), ph_make_name(make, pick->source),
                             ph_relation_kind_name(leaf));
            continue;
        }
        ok = claim(pairing, pick, leaf, &mine, err);
        if (!ok || !mine)
            continue;
        struct ph_relation *target = counterpart(make, pick, leaf, &there);
        if (target)
            add_pair(make, pick, leaf, target);
        else
            ph_make_obstacle(make, "create it, or leave it out by --exclude-table",
                             "%s, a child of %s, has no counterpart in the target",
                             ph_make_name(make, leaf), ph_make_name(make, pick->source));
    }
    if (ok && make->plan->spec->mode == PH_REPLACE && pick->target->kind == 'p' &&
        pick->source->kind == 'p')
        settle_replace(make, pick, &there, first);
    list_fini(&here);
    list_fini(&there);
    return ok;
}

/* The common case needs no lists. */
static bool pair_pick(struct pairing *pairing, struct ph_pick *pick, struct ph_err *err)
{
    struct ph_make *make = pairing->make;
    int n = 0;
    ph_catalog_children(&make->side[PH_SOURCE], pick->source->oid, &n);
    if (n || pick->source->kind == 'p')
        return pair_tree(pairing, pick, err);
    bool mine = false;
    if (!claim(pairing, pick, pick->source, &mine, err))
        return false;
    if (mine)
        add_pair(make, pick, pick->source, pick->target);
    return true;
}

/* What must never be. */

static bool refuse_itself(struct ph_make *make, struct ph_err *err)
{
    const struct ph_server *s = &make->side[PH_SOURCE].server, *t = &make->side[PH_TARGET].server;
    if (make->plan->spec->route != PH_ROUTE_COPY)
        return true; /* an archive may go back to where it came from */
    if (!s->system_id || s->system_id != t->system_id || s->database_oid != t->database_oid)
        return true;
    for (int i = 0; i < make->n_pairs; i++)
        if (make->pairs[i].source->oid == make->pairs[i].target->oid) {
            ph_err_set(err, PH_WRONG, "source and target are the same table: %s",
                       ph_make_name(make, make->pairs[i].source));
            return ph_err_hint(err, "both connections lead to database %s of one server",
                               s->database);
        }
    return true;
}

static int order_targets(const void *a, const void *b)
{
    const struct ph_pair *x = *(const struct ph_pair *const *)a;
    const struct ph_pair *y = *(const struct ph_pair *const *)b;
    if (x->target->oid != y->target->oid)
        return x->target->oid < y->target->oid ? -1 : 1;
    return (x > y) - (x < y);
}

static bool refuse_pair(struct ph_make *make, const struct ph_pair *a, const struct ph_pair *b,
                        struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "%s and %s would both be loaded into %s",
               ph_make_name(make, a->source), ph_make_name(make, b->source),
               ph_make_name(make, b->target));
    return ph_err_hint(err, "two tables go into one by two jobs, the second with --allow-nonempty");
}

static const struct ph_pair *find_target(const struct ph_pair **sorted, int n, uint32_t oid)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (sorted[mid]->target->oid < oid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && sorted[lo]->target->oid == oid ? sorted[lo] : NULL;
}

/* Two tables as named may not meet in one target, nor one in a leaf of the other's root. */
static bool refuse_shared_targets(struct ph_make *make, struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[PH_TARGET];
    int n = make->n_pairs;
    const struct ph_pair **sorted = ph_arena_calloc(arena_of(make), (size_t)n, sizeof *sorted);
    for (int i = 0; i < n; i++)
        sorted[i] = &make->pairs[i];
    if (n)
        qsort(sorted, (size_t)n, sizeof(*sorted), order_targets);
    for (int i = 1; i < n; i++)
        if (sorted[i]->target == sorted[i - 1]->target && sorted[i]->pick != sorted[i - 1]->pick)
            return refuse_pair(make, sorted[i - 1], sorted[i], err);
    for (int i = 0; i < n; i++) {
        const struct ph_relation *r = sorted[i]->target;
        while (r && r->is_partition) {
            r = ph_catalog_relation(catalog, ph_catalog_parent(catalog, r->oid));
            const struct ph_pair *above = r ? find_target(sorted, n, r->oid) : NULL;
            if (above && above->pick != sorted[i]->pick)
                return refuse_pair(make, sorted[i], above, err);
        }
    }
    return true;
}

bool ph_tree_pairs(struct ph_make *make, struct ph_err *err)
{
    struct pairing pairing = {.make = make};
    pairing.owner = calloc((size_t)make->side[PH_SOURCE].n_relations + 1, sizeof *pairing.owner);
    if (!pairing.owner)
        return ph_err_nomem(err);
    bool ok = true;
    /* what was named one by one wins over what a wildcard or a root sweeps in */
    for (int pass = 0; ok && pass < 2; pass++)
        for (int i = 0; ok && i < make->n_picks; i++)
            if (make->picks[i].by_wildcard == (pass == 1))
                ok = pair_pick(&pairing, &make->picks[i], err);
    free(pairing.owner);
    if (!ok)
        return false;
    if (make->n_pairs == 0 && make->plan->n_obstacles == 0 && make->n_picks) {
        ph_err_set(err, PH_WRONG, "there is no table to copy");
        return ph_err_hint(err, "the tables that were named have no partitions");
    }
    return refuse_itself(make, err) && refuse_shared_targets(make, err);
}
