/* --fk-order: which tables must be there before which others, by the foreign keys that the target has already.
 *
 * What counts are roots: a key of or to a partitioned table is one of all its leaves. A table comes after every root that it
 * refers to, unless that leads back to it: for those, no order helps, and they are left to what the plan says of foreign keys
 * otherwise (check_table.c). Of a table that refers to itself the rows may come in any order within one statement, so it is
 * not cut.
 */
#include <stdlib.h>

#include "plan/circles.h"
#include "plan/make.h"

/* The targets' roots, sorted, and who refers to whom, by their places. */
struct family {
    uint32_t *roots;
    int n;
    struct ph_reference *references;
    int n_references, room;
};

static int order_oids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int place_of(const struct family *f, uint32_t oid)
{
    const uint32_t *at = bsearch(&oid, f->roots, (size_t)f->n, sizeof oid, order_oids);
    return at ? (int)(at - f->roots) : -1;
}

/* NULL: it is not there any more. */
static const struct ph_relation *root_of(struct ph_make *make, uint32_t oid)
{
    struct ph_catalog *target = &make->side[PH_TARGET];
    struct ph_relation *r = ph_catalog_relation(target, oid);
    return r ? ph_tree_root(target, r) : NULL;
}

static void gather_roots(struct ph_make *make, struct family *f)
{
    f->roots = ph_arena_calloc(&make->plan->arena, (size_t)make->n_pairs + 1, sizeof *f->roots);
    for (int i = 0; i < make->n_pairs; i++)
        f->roots[i] = make->plan->tables[i].target_root =
            ph_tree_root(&make->side[PH_TARGET], make->pairs[i].target)->oid;
    qsort(f->roots, (size_t)make->n_pairs, sizeof *f->roots, order_oids);
    for (int i = 0; i < make->n_pairs; i++)
        if (i == 0 || f->roots[i] != f->roots[f->n - 1])
            f->roots[f->n++] = f->roots[i];
}

static void gather_references(struct ph_make *make, struct family *f)
{
    for (int i = 0; i < make->n_pairs; i++) {
        const struct ph_relation *r = make->pairs[i].target;
        for (int k = 0; k < r->n_foreign_keys; k++) {
            const struct ph_relation *root = root_of(make, r->foreign_keys[k].other);
            int to = root ? place_of(f, root->oid) : -1;
            if (r->foreign_keys[k].incoming || to < 0)
                continue;
            void *items = f->references;
            struct ph_reference *reference = ph_make_push(
                &make->plan->arena, &items, &f->n_references, &f->room, sizeof *reference);
            *reference = (struct ph_reference){place_of(f, make->plan->tables[i].target_root), to};
            f->references = items;
        }
    }
}

bool ph_fk_order_has(const struct ph_table *table, const struct ph_relation *root)
{
    for (int i = 0; i < table->n_after; i++)
        if (table->after[i] == root->oid)
            return true;
    return false;
}

static void set_after(struct ph_make *make, int i, const struct family *f, const int *circle)
{
    struct ph_table *table = &make->plan->tables[i];
    const struct ph_relation *r = make->pairs[i].target;
    uint32_t *after =
        ph_arena_calloc(&make->plan->arena, (size_t)r->n_foreign_keys + 1, sizeof *after);
    const char **names =
        ph_arena_calloc(&make->plan->arena, (size_t)r->n_foreign_keys + 1, sizeof *names);
    int mine = place_of(f, table->target_root);
    table->after = after;
    table->after_names = names;
    for (int k = 0; k < r->n_foreign_keys; k++) {
        const struct ph_relation *root = root_of(make, r->foreign_keys[k].other);
        int to = root ? place_of(f, root->oid) : -1;
        if (r->foreign_keys[k].incoming || to < 0)
            continue;
        if (circle[to] != circle[mine]) {
            if (ph_fk_order_has(table, root))
                continue;
            names[table->n_after] = ph_make_name(make, root);
            after[table->n_after++] = root->oid;
        } else if (root == r && r->kind == 'r' && table->split == PH_SPLIT_AUTO &&
                   make->plan->spec->split == PH_SPLIT_AUTO) {
            table->split = PH_SPLIT_NONE;
            table->split_reason = "it refers to itself (--fk-order)";
        }
    }
}

void ph_fk_order(struct ph_make *make)
{
    struct family f = {0};
    if (make->n_pairs == 0)
        return;
    gather_roots(make, &f);
    gather_references(make, &f);
    const int *circle = ph_circles_find(&make->plan->arena, f.n, f.references, f.n_references);
    for (int i = 0; i < make->n_pairs; i++)
        set_after(make, i, &f, circle);
}
