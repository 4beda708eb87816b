/* --defer-indexes: what the target's tables have is written down, dropped, and made again when their rows are there.
 *
 * Only what the job loads as a whole loses its indexes: those of a partitioned table stay when one of its partitions is not
 * the job's. Invalid ones stay, and so does a constraint that a view or a function needs to exist.
 */
#include <string.h>

#include "pg/sql.h"
#include "plan/index.h"
#include "plan/index_steps.h"

/* A part of a partitioned index goes with it. */
static const struct ph_index_def *topmost(const struct ph_index_maker *m,
                                          const struct ph_index_def *x)
{
    while (x && x->parent)
        x = ph_index_find(&m->set, x->parent);
    return x;
}

static bool is_loaded(const struct ph_index_table *t)
{
    return t && t->whole;
}

static void want_indexes(struct ph_index_maker *m)
{
    for (int i = 0; i < m->set.n_indexes; i++) {
        struct ph_index_def *x = &m->set.indexes[i];
        const struct ph_index_def *top = topmost(m, x);
        x->wanted = top && is_loaded(top->table) && top->valid && !top->needed;
    }
}

static void want_keys(struct ph_index_maker *m)
{
    for (int i = 0; i < m->set.n_keys; i++) {
        struct ph_index_key *k = &m->set.keys[i];
        const struct ph_index_def *x = ph_index_find(&m->set, k->index);
        if (k->type == 'f')
            k->wanted = is_loaded(ph_index_find_table(&m->set, k->table_oid)) || (x && x->wanted);
    }
}

/* Foreign keys first, since indexes cannot go before them. */
static void drop(struct ph_index_maker *m)
{
    struct ph_arena *arena = m->set.arena;
    for (int i = 0; i < m->set.n_keys + m->set.n_indexes; i++) {
        const struct ph_index_key *k = i < m->set.n_keys ? &m->set.keys[i] : NULL;
        const struct ph_index_def *x = k ? NULL : &m->set.indexes[i - m->set.n_keys];
        struct ph_buf sql = {0};
        if (k && k->wanted)
            ph_sql_add(&sql, "ALTER TABLE %s DROP CONSTRAINT %I", k->table, k->name);
        else if (x && x->wanted && !x->parent && x->constraint)
            ph_sql_add(&sql, "ALTER TABLE %s DROP CONSTRAINT %I", x->table->name, x->bare);
        else if (x && x->wanted && !x->parent)
            ph_sql_add(&sql, "DROP INDEX %s", x->name);
        if (sql.len)
            ph_steps_drop(m->steps, ph_arena_strdup(arena, sql.data));
        ph_buf_fini(&sql);
    }
}

bool ph_index_defer(const struct ph_plan *plan, struct ph_conn *target, struct ph_steps *steps,
                    struct ph_err *err)
{
    struct ph_index_maker m = {.set = {.arena = steps->arena}, .steps = steps, .restores = true};
    uint32_t *oids = ph_arena_calloc(steps->arena, (size_t)plan->n_tables, sizeof *oids);
    for (int i = 0; i < plan->n_tables; i++)
        oids[i] = plan->tables[i].target_oid;
    const struct ph_witness witness = {.conn = target};
    if (!ph_index_read(&m.set, &witness, oids, plan->n_tables, true, err))
        return false;
    ph_index_assign(&m, plan, true);
    want_indexes(&m);
    want_keys(&m);
    ph_index_make(&m);
    drop(&m);
    return true;
}
