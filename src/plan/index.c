#include "plan/index.h"

#include <stdlib.h>
#include <string.h>

#include "pg/sql.h"
#include "plan/index_steps.h"

/* A sorted list of texts. */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(char *const *keys, int n, const char *key)
{
    return n > 0 && bsearch(&key, keys, (size_t)n, sizeof *keys, compare) != NULL;
}

static void cover_add(struct ph_index_cover *cover, const char *kind, const char *schema,
                      const char *tag)
{
    if (!cover)
        return;
    if (cover->n == cover->room) {
        int room = cover->room ? 2 * cover->room : 64;
        char **more = ph_arena_calloc(cover->arena, (size_t)room, sizeof *more);
        if (cover->n)
            memcpy(more, cover->keys, (size_t)cover->n * sizeof *more);
        cover->keys = more;
        cover->room = room;
    }
    cover->keys[cover->n++] = ph_arena_printf(cover->arena, "%s\n%s\n%s", kind, schema, tag);
}

bool ph_index_covers(const struct ph_index_cover *cover, const char *kind, const char *schema,
                     const char *tag)
{
    char *key = NULL;
    struct ph_buf buf = {0};
    ph_buf_addf(&buf, "%s\n%s\n%s", kind, schema, tag);
    key = buf.data;
    bool found = has(cover->keys, cover->n, key);
    ph_buf_fini(&buf);
    return found;
}

/* What the target has. */

struct target {
    char **names; /* "schema\nrelation", "schema\nrelation\nconstraint", "\ntablespace"; sorted */
    int n;
};

static bool read_target(struct target *t, struct ph_arena *arena, struct ph_conn *conn,
                        struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(
            conn,
            "SELECT pg_catalog.concat(n.nspname, E'\\n', c.relname) FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'i', 'I') UNION ALL"
            " SELECT pg_catalog.concat(n.nspname, E'\\n', c.relname, E'\\n', k.conname)"
            " FROM pg_catalog.pg_constraint k"
            " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.conrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
            " UNION ALL SELECT pg_catalog.concat(E'\\n', spcname) FROM pg_catalog.pg_tablespace",
            &rows, err))
        return ph_err_prefix(err, "reading indexes and constraints of the target");
    t->n = ph_rows_count(rows);
    t->names = ph_arena_calloc(arena, (size_t)t->n, sizeof *t->names);
    for (int i = 0; i < t->n; i++)
        t->names[i] = ph_arena_strdup(arena, ph_rows_text(rows, i, 0));
    if (t->n)
        qsort(t->names, (size_t)t->n, sizeof *t->names, compare);
    ph_rows_free(rows);
    return true;
}

static bool target_has(const struct target *t, struct ph_arena *arena, const char *schema,
                       const char *name, const char *constraint)
{
    return has(t->names, t->n,
               ph_arena_printf(arena, "%s\n%s%s%s", schema, name, constraint ? "\n" : "",
                               constraint ? constraint : ""));
}

/* What is wanted. */

static bool want_index(struct ph_index_maker *m, struct ph_index_def *x, const struct target *have,
                       struct ph_index_cover *cover, struct ph_err *err)
{
    struct ph_arena *arena = m->set.arena;
    const struct ph_index_table *t = x->table;
    if ((t->kind == 'r' && (!x->valid || t->n_tabs == 0)) ||
        !target_has(have, arena, t->schema, t->bare, NULL))
        return true;
    if (x->constraint)
        cover_add(cover, "CONSTRAINT", t->schema,
                  ph_arena_printf(arena, "%s %s", t->bare, x->bare));
    else
        cover_add(cover, "INDEX", x->schema, x->bare);
    x->wanted = !target_has(have, arena, x->schema, x->bare, NULL);
    if (!x->wanted || !*x->space || target_has(have, arena, "", x->space, NULL))
        return true;
    ph_err_set(err, PH_WRONG, "index %s is in tablespace %s, which the target does not have",
               x->name, x->space);
    return ph_err_hint(err, "create it there: CREATE TABLESPACE");
}

static void want_key(struct ph_index_maker *m, struct ph_index_key *k, const struct target *have,
                     struct ph_index_cover *cover)
{
    struct ph_arena *arena = m->set.arena;
    const struct ph_index_table *t = ph_index_find_table(&m->set, k->table_oid);
    if (!t || (t->kind == 'r' && t->n_tabs == 0) ||
        !target_has(have, arena, t->schema, t->bare, NULL))
        return;
    cover_add(cover, k->type == 'f' ? "FK CONSTRAINT" : "CHECK CONSTRAINT", t->schema,
              ph_arena_printf(arena, "%s %s", t->bare, k->name));
    k->wanted = !target_has(have, arena, t->schema, t->bare, k->name);
    /* a selection may leave the other table out */
    if (k->type == 'f' && !target_has(have, arena, k->other_schema, k->bare_other, NULL))
        k->wanted = false;
}

static bool want(struct ph_index_maker *m, struct ph_conn *target, struct ph_index_cover *cover,
                 struct ph_err *err)
{
    struct target have = {0};
    if (!read_target(&have, m->set.arena, target, err))
        return false;
    for (int i = 0; i < m->set.n_indexes; i++)
        if (!want_index(m, &m->set.indexes[i], &have, cover, err))
            return false;
    for (int i = 0; i < m->set.n_indexes; i++) {
        const struct ph_index_def *x = &m->set.indexes[i];
        const struct ph_index_def *root = x->parent ? ph_index_find(&m->set, x->parent) : NULL;
        if (x->wanted && root && root->wanted)
            cover_add(cover, "INDEX ATTACH", x->schema, x->bare);
    }
    for (int i = 0; i < m->set.n_keys; i++)
        want_key(m, &m->set.keys[i], &have, cover);
    if (cover && cover->n)
        qsort(cover->keys, (size_t)cover->n, sizeof *cover->keys, compare);
    return true;
}

/* What the source says of the tables that bear the same name on both sides. */
static bool read_source(struct ph_index_set *set, const struct ph_plan *plan,
                        const struct ph_witness *source, struct ph_err *err)
{
    uint32_t *oids = ph_arena_calloc(set->arena, (size_t)plan->n_tables, sizeof *oids);
    int n = 0;
    for (int i = 0; i < plan->n_tables; i++) {
        const struct ph_table *t = &plan->tables[i];
        if (!strcmp(t->source_schema, t->target_schema) && !strcmp(t->source_name, t->target_name))
            oids[n++] = t->source_oid;
    }
    return ph_index_read(set, source, oids, n, false, err);
}

bool ph_index_ask(const struct ph_plan *plan, const struct ph_witness *source, struct ph_err *err)
{
    struct ph_arena arena = {0};
    struct ph_index_set set = {.arena = &arena};
    bool ok = read_source(&set, plan, source, err);
    ph_arena_fini(&arena);
    return ok;
}

bool ph_index_plan(const struct ph_plan *plan, const struct ph_witness *source,
                   struct ph_conn *target, struct ph_steps *steps, struct ph_index_cover *cover,
                   struct ph_err *err)
{
    struct ph_index_maker m = {.set = {.arena = steps->arena}, .steps = steps};
    if (!read_source(&m.set, plan, source, err))
        return false;
    ph_index_assign(&m, plan, false);
    if (!want(&m, target, cover, err))
        return false;
    ph_index_make(&m);
    return true;
}
