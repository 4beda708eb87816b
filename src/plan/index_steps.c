/* Which steps an index takes, and in which order, so that several can be built at once and none waits for another's lock:
 *
 *     a table's index        CREATE INDEX takes a SHARE lock: any number at once, once the rows are there
 *     its constraint         by USING INDEX, which locks the table for itself: when all its indexes are over
 *     exclusion constraint   likewise, but its index is built then
 *     of a tiny table        index and constraint in one step, the lock first: many tables to a transaction
 *     partitioned index      ON ONLY, then all below are attached: when those are done
 *     foreign key            NOT VALID, one at a time, when all rows are there and the key that it refers to; then validated,
 *                            which locks nobody out. Of a tiny table, and of or to a partitioned one, where that does not exist: at once
 *
 * What is marked by CLUSTER ON and REPLICA IDENTITY is marked when the table's indexes are over, since that takes locks that
 * builds do not share.
 */
#include "plan/index_steps.h"

#include <string.h>

#include "pg/sql.h"

static const int64_t soon = INT64_MAX / 2; /* short, and others wait for it */

static const char *keep(struct ph_index_maker *m, struct ph_buf *buf)
{
    const char *text = ph_arena_strdup(m->set.arena, ph_buf_text(buf));
    ph_buf_fini(buf);
    return text;
}

/* Which rows, and how many bytes of them. */

static struct ph_index_table *above(const struct ph_index_maker *m, const struct ph_index_table *t)
{
    return t->parent ? ph_index_find_table(&m->set, t->parent) : NULL;
}

static bool is_below(const struct ph_index_maker *m, const struct ph_index_table *t, uint32_t root)
{
    while (t && t->oid != root)
        t = above(m, t);
    return t != NULL;
}

static void add_tab(struct ph_index_maker *m, struct ph_index_table *t, const struct ph_plan *plan,
                    const struct ph_table *from, int64_t bytes)
{
    if (!t->tabs)
        t->tabs = ph_arena_calloc(m->set.arena, (size_t)plan->n_tables, sizeof(int));
    t->tabs[t->n_tabs++] = from->id;
    t->bytes += bytes;
}

/* Rows that go through a partitioned table may land anywhere below it. */
static void assign_routed(struct ph_index_maker *m, const struct ph_plan *plan,
                          const struct ph_table *from, uint32_t root)
{
    int leaves = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < m->set.n_tables; i++) {
            struct ph_index_table *t = &m->set.tables[i];
            if (t->kind != 'r' || !is_below(m, t, root))
                continue;
            if (pass == 1)
                add_tab(m, t, plan, from, from->bytes / leaves);
            leaves += pass == 0;
        }
}

void ph_index_assign(struct ph_index_maker *m, const struct ph_plan *plan, bool by_target)
{
    for (int i = 0; i < plan->n_tables; i++) {
        const struct ph_table *p = &plan->tables[i];
        uint32_t oid = by_target ? p->target_oid : p->source_oid;
        struct ph_index_table *t = ph_index_find_table(&m->set, oid);
        if (t && t->kind == 'p')
            assign_routed(m, plan, p, oid);
        else if (t)
            add_tab(m, t, plan, p, p->bytes);
    }
    for (int i = 0; i < m->set.n_tables; i++)
        m->set.tables[i].whole = m->set.tables[i].kind == 'p' || m->set.tables[i].n_tabs > 0;
    for (int i = 0; i < m->set.n_tables; i++)
        if (!m->set.tables[i].whole)
            for (struct ph_index_table *t = above(m, &m->set.tables[i]); t; t = above(m, t))
                t->whole = false;
}

/* Steps. */

/* About how much work, in bytes of the table: more for methods that insert row by row, and they have no parallel workers. */
static int64_t weight_of(const struct ph_index_def *x)
{
    static const struct {
        const char *method;
        double times;
    } methods[] = {{"gin", 8}, {"gist", 8}, {"spgist", 5}, {"hash", 2}, {"brin", 0.3}};
    double weight = (double)x->table->bytes * (0.7 + 0.5 * x->key_cost) * (x->expression ? 1.5 : 1);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (!strcmp(x->method, methods[i].method))
            weight *= methods[i].times;
    return weight < (double)(soon / 2) ? (int64_t)weight : soon / 2;
}

static struct ph_step *add(struct ph_index_maker *m, const char *kind, const char *object,
                           struct ph_buf *sql, int64_t weight)
{
    struct ph_step *step = ph_steps_add(m->steps, kind, object, keep(m, sql));
    step->restores = m->restores;
    step->weight = weight;
    step->tabs = ph_arena_calloc(m->set.arena, 1, sizeof(int)); /* none, until it is said */
    return step;
}

static void wait_for_rows(struct ph_step *step, const struct ph_index_table *t)
{
    if (t->n_tabs)
        step->tabs = t->tabs;
    step->n_tabs = t->n_tabs;
}

/* A list of steps to come after, in the arena. */
struct after {
    int64_t *ids;
    int n, room;
};

static void push(struct ph_index_maker *m, struct after *list, int64_t id)
{
    if (list->n == list->room) {
        int room = list->room ? 2 * list->room : 8;
        int64_t *more = ph_arena_calloc(m->set.arena, (size_t)room, sizeof *more);
        if (list->n)
            memcpy(more, list->ids, (size_t)list->n * sizeof *more);
        list->ids = more;
        list->room = room;
    }
    list->ids[list->n++] = id;
}

static void come_after(struct ph_step *step, const struct after *list)
{
    step->after = list->ids;
    step->n_after = list->n;
}

static void note(struct ph_index_maker *m, struct ph_index_table *t, int64_t id)
{
    struct after list = {t->steps, t->n_steps, t->room_steps};
    push(m, &list, id);
    t->steps = list.ids;
    t->n_steps = list.n;
    t->room_steps = list.room;
}

/* When nothing of a table's is being built any more. */
static void push_over(struct ph_index_maker *m, struct after *list, const struct ph_index_table *t)
{
    for (int i = 0; t && i < t->n_steps; i++)
        push(m, list, -t->steps[i]);
}

/* SQL. */

static const char *shown(struct ph_index_maker *m, const struct ph_index_def *x)
{
    const char *kind = x->constraint == 'p'   ? "primary key"
                       : x->constraint == 'u' ? "unique constraint"
                       : x->constraint == 'x' ? "exclusion constraint"
                       : x->unique            ? "unique index"
                                              : "index";
    return ph_arena_printf(m->set.arena, "%s %s of %s (%s)", kind, x->name, x->table->name,
                           x->shown_keys ? x->shown_keys : "");
}

static void add_space(struct ph_buf *sql, const struct ph_index_def *x)
{
    ph_sql_add(sql, "SET LOCAL default_tablespace = %L;", x->space);
}

/* What belongs to the index itself, and locks nothing else. */
static void add_extras(struct ph_index_maker *m, struct ph_buf *sql, const struct ph_index_def *x)
{
    if (x->extras)
        ph_sql_add(sql, ";%s", x->extras);
    if (m->restores && x->comment)
        ph_sql_add(sql, ";COMMENT ON INDEX %s IS %L", x->name, x->comment);
}

static bool has_marks(const struct ph_index_maker *m, const struct ph_index_def *x)
{
    return x->clustered || x->identity || (m->restores && x->constraint_comment);
}

/* What is said of it in its table. Each begins with a semicolon. */
static void add_marks(struct ph_index_maker *m, struct ph_buf *sql, const struct ph_index_def *x)
{
    if (x->clustered)
        ph_sql_add(sql, ";ALTER TABLE %s CLUSTER ON %I", x->table->name, x->bare);
    if (x->identity)
        ph_sql_add(sql, ";ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I", x->table->name,
                   x->bare);
    if (m->restores && x->constraint_comment)
        ph_sql_add(sql, ";COMMENT ON CONSTRAINT %I ON %s IS %L", x->bare, x->table->name,
                   x->constraint_comment);
}

static const char *deferral(const struct ph_index_def *x)
{
    return x->deferred ? " DEFERRABLE INITIALLY DEFERRED" : x->deferrable ? " DEFERRABLE" : "";
}

static void add_using(struct ph_buf *sql, const struct ph_index_def *x)
{
    ph_sql_add(sql, "ALTER TABLE ONLY %s ADD CONSTRAINT %I %s USING INDEX %I%s", x->table->name,
               x->bare, x->constraint == 'p' ? "PRIMARY KEY" : "UNIQUE", x->bare, deferral(x));
}

/* The server's text of a constraint leaves storage parameters out, except an exclusion's. */
static void add_plain(struct ph_buf *sql, const struct ph_index_def *x)
{
    const char *suffix = x->constraint == 'x' ? "" : deferral(x);
    size_t whole = strlen(x->constraint_def), tail = strlen(suffix);
    ph_sql_add(sql, "ALTER TABLE ONLY %s ADD CONSTRAINT %I ", x->table->name, x->bare);
    ph_buf_addn(sql, x->constraint_def, whole > tail ? whole - tail : 0);
    if (x->constraint != 'x' && x->constraint_options)
        ph_sql_add(sql, " WITH (%s)", x->constraint_options);
    ph_buf_add(sql, suffix);
}

/* Whether the constraint can take an index over that was built before. */
static bool takes_index(const struct ph_index_def *x)
{
    return (x->constraint == 'p' || x->constraint == 'u') && !x->period && x->table->kind == 'r';
}

/* Kinds of tables. */

static bool is_tiny(const struct ph_index_table *t)
{
    return t->kind == 'r' && t->bytes <= PH_STEP_TINY;
}

/* The strongest lock first: transactions that hold several tables' indexes cannot wait for each other in a circle. */
static void make_tiny(struct ph_index_maker *m, struct ph_index_def *x)
{
    struct ph_buf sql = {0};
    if (x->constraint || has_marks(m, x))
        ph_sql_add(&sql, "LOCK TABLE ONLY %s;", x->table->name);
    add_space(&sql, x);
    if (!x->constraint || takes_index(x))
        ph_buf_add(&sql, x->sql);
    if (takes_index(x))
        ph_buf_add(&sql, ";");
    if (takes_index(x))
        add_using(&sql, x);
    else if (x->constraint)
        add_plain(&sql, x);
    add_extras(m, &sql, x);
    add_marks(m, &sql, x);
    int64_t weight = weight_of(x);
    struct ph_step *step = add(m, x->constraint ? "constraint" : "index", shown(m, x), &sql,
                               weight < PH_STEP_TINY ? weight : PH_STEP_TINY);
    wait_for_rows(step, x->table);
    x->step = step->id;
    note(m, x->table, x->step);
}

static void make_index(struct ph_index_maker *m, struct ph_index_def *x)
{
    struct ph_buf sql = {0};
    int64_t weight = weight_of(x);
    if (x->constraint && !takes_index(x))
        return;
    add_space(&sql, x);
    ph_buf_add(&sql, x->sql);
    add_extras(m, &sql, x);
    struct ph_step *step =
        add(m, "index", shown(m, x), &sql, weight > PH_STEP_TINY ? weight : PH_STEP_TINY + 1);
    wait_for_rows(step, x->table);
    x->step = step->id;
    note(m, x->table, x->step);
}

static void make_constraint(struct ph_index_maker *m, struct ph_index_def *x)
{
    struct ph_buf sql = {0};
    struct after after = {0};
    if (!x->constraint && !has_marks(m, x))
        return;
    if (x->step)
        push(m, &after, x->step);
    push_over(m, &after, x->table);
    if (takes_index(x)) {
        add_using(&sql, x);
    } else if (x->constraint) {
        add_space(&sql, x);
        add_plain(&sql, x);
        add_extras(m, &sql, x);
    } else {
        ph_sql_add(&sql, "LOCK TABLE ONLY %s", x->table->name);
    }
    add_marks(m, &sql, x);
    struct ph_step *step = add(m, "constraint", shown(m, x), &sql,
                               x->constraint == 'x' || x->period ? weight_of(x) : soon);
    wait_for_rows(step, x->table);
    come_after(step, &after);
    x->step = step->id;
    note(m, x->table, x->step); /* foreign keys come after it, and the table's next constraint */
}

/* Those below have been made. They hang on this one by name only. */
static void make_partitioned(struct ph_index_maker *m, struct ph_index_def *x)
{
    struct ph_buf sql = {0};
    struct after after = {0};
    add_space(&sql, x);
    if (x->constraint)
        add_plain(&sql, x);
    else
        ph_buf_add(&sql, x->sql);
    for (int i = 0; i < m->set.n_indexes; i++) {
        const struct ph_index_def *below = &m->set.indexes[i];
        if (below->parent != x->oid || !below->wanted)
            continue;
        ph_sql_add(&sql, ";ALTER INDEX %s ATTACH PARTITION %s", x->name, below->name);
        push(m, &after, below->step);
    }
    add_extras(m, &sql, x);
    add_marks(m, &sql, x);
    struct ph_step *step = add(m, "attach", shown(m, x), &sql, PH_STEP_TINY + 1);
    come_after(step, &after);
    x->step = step->id;
}

static void make_table(struct ph_index_maker *m, int first, int end)
{
    struct ph_index_table *t = m->set.indexes[first].table;
    for (int i = first; i < end; i++) {
        struct ph_index_def *x = &m->set.indexes[i];
        if (x->wanted && t->kind == 'p')
            make_partitioned(m, x);
        else if (x->wanted && is_tiny(t))
            make_tiny(m, x);
        else if (x->wanted)
            make_index(m, x);
    }
    for (int i = first; i < end && t->kind == 'r' && !is_tiny(t); i++)
        if (m->set.indexes[i].wanted)
            make_constraint(m, &m->set.indexes[i]);
}

/* Foreign keys, and checks that were never validated. */

static void make_check(struct ph_index_maker *m, const struct ph_index_key *k)
{
    struct ph_buf sql = {0};
    struct after after = {0};
    ph_sql_add(&sql, "ALTER TABLE %s ADD CONSTRAINT %I %s", k->table, k->name, k->def);
    const char *object =
        ph_arena_printf(m->set.arena, "check constraint %s of %s", k->name, k->table);
    push_over(m, &after, ph_index_find_table(&m->set, k->table_oid));
    struct ph_step *step = add(m, "constraint", object, &sql, soon);
    step->tabs = NULL; /* those that inherit it must have their rows too */
    come_after(step, &after);
}

static void make_foreign_key(struct ph_index_maker *m, const struct ph_index_key *k)
{
    const struct ph_index_table *t = ph_index_find_table(&m->set, k->table_oid);
    const struct ph_index_def *x = ph_index_find(&m->set, k->index);
    bool partitioned = k->table_kind == 'p' || k->other_kind == 'p', tiny = t && is_tiny(t);
    bool validate = k->validated && !partitioned && !tiny;
    int64_t weight = t ? t->bytes : 1;
    const char *object = ph_arena_printf(m->set.arena, "foreign key %s of %s (%s) to %s", k->name,
                                         k->table, k->columns ? k->columns : "", k->other);
    struct ph_buf sql = {0};
    struct after after = {0}, added = {0};
    if (x && x->step)
        push(m, &after, x->step);
    push_over(m, &after, t);
    push_over(m, &after, ph_index_find_table(&m->set, k->other_oid));
    ph_sql_add(&sql, "ALTER TABLE %s%s ADD CONSTRAINT %I %s%s", k->table_kind == 'p' ? "" : "ONLY ",
               k->table, k->name, k->def, validate ? " NOT VALID" : "");
    if (m->restores && k->comment)
        ph_sql_add(&sql, ";COMMENT ON CONSTRAINT %I ON %s IS %L", k->name, k->table, k->comment);
    struct ph_step *step = add(m, "fk", object, &sql, tiny || !validate ? weight : soon);
    step->tabs = NULL; /* rows of whatever table may be taken back and come again until then */
    step->alone = validate || (!partitioned && !tiny) ? "fk" : NULL;
    come_after(step, &after);
    if (!validate)
        return;
    push(m, &added, step->id);
    ph_sql_add(&sql, "ALTER TABLE ONLY %s VALIDATE CONSTRAINT %I", k->table, k->name);
    step = add(m, "validate", object, &sql, weight);
    step->tabs = NULL;
    step->alone = ph_arena_printf(m->set.arena, "validate %u", k->table_oid);
    come_after(step, &added);
}

void ph_index_make(struct ph_index_maker *m)
{
    for (int first = 0, end; first < m->set.n_indexes; first = end) {
        for (end = first + 1; end < m->set.n_indexes; end++)
            if (m->set.indexes[end].table != m->set.indexes[first].table)
                break;
        make_table(m, first, end);
    }
    for (int i = 0; i < m->set.n_keys; i++)
        if (m->set.keys[i].wanted && m->set.keys[i].type == 'f')
            make_foreign_key(m, &m->set.keys[i]);
        else if (m->set.keys[i].wanted)
            make_check(m, &m->set.keys[i]);
}
