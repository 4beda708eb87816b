#include "unit.h"

#include "plan/index_steps.h"

enum { BIG = 10 << 20 };

static int rows_of_one[] = {1};

/* A maker over tables 1 (plain), 2 (root) and 3, 4 (its partitions). */
struct bench {
    struct ph_arena arena;
    struct ph_steps steps;
    struct ph_index_table tables[4];
    struct ph_index_def indexes[8], *by_oid[8];
    struct ph_index_key keys[2];
    struct ph_index_maker maker;
};

static void set_up(struct bench *b, int64_t bytes)
{
    *b = (struct bench){.tables = {
                            {.oid = 1, .name = "s.t", .kind = 'r', .bytes = bytes},
                            {.oid = 2, .name = "s.root", .kind = 'p'},
                            {.oid = 3, .name = "s.a", .kind = 'r', .parent = 2, .depth = 1},
                            {.oid = 4, .name = "s.b", .kind = 'r', .parent = 2, .depth = 1},
                        }};
    b->steps.arena = &b->arena;
    for (int i = 0; i < 4; i++) {
        b->tables[i].tabs = b->tables[i].kind == 'r' ? rows_of_one : NULL;
        b->tables[i].n_tabs = b->tables[i].kind == 'r';
        b->tables[i].bytes = bytes;
    }
    b->maker = (struct ph_index_maker){.set = {.arena = &b->arena,
                                               .tables = b->tables,
                                               .n_tables = 4,
                                               .indexes = b->indexes,
                                               .by_oid = b->by_oid,
                                               .keys = b->keys},
                                       .steps = &b->steps};
}

static struct ph_index_def *add(struct bench *b, int table, const char *name, char constraint)
{
    int n = b->maker.set.n_indexes++;
    struct ph_index_def *x = &b->indexes[n];
    b->by_oid[n] = x;
    *x = (struct ph_index_def){.oid = (uint32_t)(100 + n),
                               .table = &b->tables[table - 1],
                               .bare = name,
                               .name = name,
                               .sql = "CREATE INDEX",
                               .shown_keys = "k",
                               .method = "btree",
                               .space = "",
                               .valid = true,
                               .wanted = true,
                               .key_cost = 1,
                               .constraint = constraint,
                               .constraint_def = constraint == 'p'   ? "PRIMARY KEY (k)"
                                                 : constraint == 'u' ? "UNIQUE (k)"
                                                                     : NULL};
    return x;
}

static const struct ph_step *step(const struct bench *b, int id)
{
    return &b->steps.items[id - 1];
}

static bool comes_after(const struct ph_step *s, int64_t id)
{
    for (int i = 0; i < s->n_after; i++)
        if (s->after[i] == id)
            return true;
    return false;
}

static void tear_down(struct bench *b)
{
    ph_arena_fini(&b->arena);
}

TEST(a_key_is_attached_when_its_own_index_is_done_and_the_others_are_over)
{
    struct bench b;
    set_up(&b, BIG);
    add(&b, 1, "t_pkey", 'p')->sql = "CREATE UNIQUE INDEX t_pkey";
    add(&b, 1, "t_k", '\0');
    ph_index_make(&b.maker);
    assert_int_equal(b.steps.n, 3);
    assert_string_equal(step(&b, 1)->kind, "index");
    assert_contains(step(&b, 1)->sql, "CREATE UNIQUE INDEX t_pkey");
    assert_int_equal(step(&b, 1)->n_after, 0);
    assert_int_equal(step(&b, 1)->n_tabs, 1);
    assert_string_equal(step(&b, 3)->kind, "constraint");
    assert_string_equal(step(&b, 3)->sql, "ALTER TABLE ONLY s.t ADD CONSTRAINT \"t_pkey\" PRIMARY "
                                          "KEY USING INDEX \"t_pkey\"");
    assert_true(comes_after(step(&b, 3), 1));
    assert_true(comes_after(step(&b, 3), -2)); /* its failure does not stop the key */
    assert_false(comes_after(step(&b, 3), 2));
    assert_true(step(&b, 1)->weight > PH_STEP_TINY);
    assert_string_equal(step(&b, 1)->object, "primary key t_pkey of s.t (k)");
    tear_down(&b);
}

TEST(a_tiny_tables_index_and_key_are_one_step_that_locks_first)
{
    struct bench b;
    set_up(&b, 8192);
    add(&b, 1, "t_pkey", 'p');
    add(&b, 1, "t_k", '\0');
    ph_index_make(&b.maker);
    assert_int_equal(b.steps.n, 2);
    assert_int_equal(strncmp(step(&b, 1)->sql, "LOCK TABLE ONLY s.t;", 20), 0);
    assert_contains(step(&b, 1)->sql, "USING INDEX");
    assert_lacks(step(&b, 2)->sql, "LOCK");
    assert_true(step(&b, 1)->weight <= PH_STEP_TINY && step(&b, 2)->weight <= PH_STEP_TINY);
    tear_down(&b);
}

TEST(an_exclusion_constraint_is_made_as_a_whole_and_alone_on_its_table)
{
    struct bench b;
    set_up(&b, BIG);
    struct ph_index_def *x = add(&b, 1, "t_excl", 'x');
    x->constraint_def = "EXCLUDE USING gist (k WITH &&) WHERE (k > 0) DEFERRABLE";
    x->deferrable = true;
    x->constraint_options = "fillfactor = '70'"; /* the server's text has them already */
    add(&b, 1, "t_k", '\0');
    ph_index_make(&b.maker);
    assert_int_equal(b.steps.n, 2);
    assert_string_equal(step(&b, 1)->kind, "index");
    assert_string_equal(step(&b, 2)->sql,
                        "SET LOCAL default_tablespace = '';ALTER TABLE ONLY s.t ADD CONSTRAINT "
                        "\"t_excl\" EXCLUDE USING gist (k WITH &&) WHERE (k > 0) DEFERRABLE");
    assert_true(comes_after(step(&b, 2), -1));
    assert_int_equal(step(&b, 2)->n_tabs, 1);
    tear_down(&b);
}

TEST(a_partitioned_key_comes_after_those_below_and_keeps_its_parameters)
{
    struct bench b;
    set_up(&b, BIG);
    struct ph_index_def *a = add(&b, 3, "a_key", 'u'), *c = add(&b, 4, "b_key", 'u'),
                        *root = add(&b, 2, "root_key", 'u');
    a->parent = c->parent = root->oid;
    root->constraint_options = "fillfactor = '70'";
    root->deferrable = root->deferred = true;
    root->constraint_def = "UNIQUE (k) INCLUDE (v) DEFERRABLE INITIALLY DEFERRED";
    ph_index_make(&b.maker);
    const struct ph_step *last = step(&b, b.steps.n);
    assert_string_equal(last->kind, "attach");
    assert_contains(last->sql, "ALTER TABLE ONLY s.root ADD CONSTRAINT \"root_key\" UNIQUE (k) "
                               "INCLUDE (v) WITH (fillfactor = '70') DEFERRABLE INITIALLY DEFERRED;"
                               "ALTER INDEX root_key ATTACH PARTITION a_key;"
                               "ALTER INDEX root_key ATTACH PARTITION b_key");
    assert_true(comes_after(last, a->step) && comes_after(last, c->step));
    assert_true(last->tabs != NULL && last->n_tabs == 0);
    tear_down(&b);
}

TEST(what_is_marked_in_the_table_waits_for_its_builds)
{
    struct bench b;
    set_up(&b, BIG);
    struct ph_index_def *x = add(&b, 1, "t_u", '\0');
    x->identity = x->clustered = true;
    x->extras = "ALTER INDEX t_u ALTER COLUMN 1 SET STATISTICS 7";
    add(&b, 1, "t_k", '\0');
    ph_index_make(&b.maker);
    assert_int_equal(b.steps.n, 3);
    assert_contains(step(&b, 1)->sql, "SET STATISTICS 7");
    assert_lacks(step(&b, 1)->sql, "CLUSTER");
    assert_contains(step(&b, 3)->sql, "CLUSTER ON \"t_u\"");
    assert_contains(step(&b, 3)->sql, "REPLICA IDENTITY USING INDEX \"t_u\"");
    assert_true(comes_after(step(&b, 3), 1) && comes_after(step(&b, 3), -2));
    tear_down(&b);
}

static struct ph_index_key *add_key(struct bench *b, const struct ph_index_def *x, const char *def)
{
    struct ph_index_key *k = &b->keys[b->maker.set.n_keys++];
    *k = (struct ph_index_key){.type = 'f',
                               .index = x->oid,
                               .table = "s.t",
                               .table_oid = 1,
                               .other_oid = 1,
                               .table_kind = 'r',
                               .other_kind = 'r',
                               .other = "s.t",
                               .name = "t_fk",
                               .def = def,
                               .columns = "k",
                               .validated = true,
                               .wanted = true};
    return k;
}

TEST(a_foreign_key_is_added_unchecked_and_then_validated)
{
    struct bench b;
    set_up(&b, BIG);
    struct ph_index_def *x = add(&b, 1, "t_pkey", 'p');
    add_key(&b, x, "FOREIGN KEY (k) REFERENCES s.t(k)");
    ph_index_make(&b.maker);
    assert_int_equal(b.steps.n, 4);
    assert_contains(step(&b, 3)->sql, "FOREIGN KEY (k) REFERENCES s.t(k) NOT VALID");
    assert_string_equal(step(&b, 3)->alone, "fk");
    assert_null(step(&b, 3)->tabs); /* every table's rows */
    assert_true(comes_after(step(&b, 3), x->step));
    assert_string_equal(step(&b, 4)->sql, "ALTER TABLE ONLY s.t VALIDATE CONSTRAINT \"t_fk\"");
    assert_true(comes_after(step(&b, 4), 3));
    tear_down(&b);
}

TEST(a_foreign_key_that_was_never_validated_stays_so)
{
    struct bench b;
    set_up(&b, BIG);
    add_key(&b, add(&b, 1, "t_pkey", 'p'), "FOREIGN KEY (k) REFERENCES s.t(k) NOT VALID")
        ->validated = false;
    ph_index_make(&b.maker);
    const struct ph_step *last = step(&b, b.steps.n);
    assert_string_equal(last->kind, "fk");
    assert_string_equal(last->sql, "ALTER TABLE ONLY s.t ADD CONSTRAINT \"t_fk\" FOREIGN KEY (k) "
                                   "REFERENCES s.t(k) NOT VALID");
    tear_down(&b);
}

TEST(a_foreign_key_of_a_partitioned_table_is_checked_at_once)
{
    struct bench b;
    set_up(&b, BIG);
    add_key(&b, add(&b, 1, "t_pkey", 'p'), "FOREIGN KEY (k) REFERENCES s.t(k)")->table_kind = 'p';
    ph_index_make(&b.maker);
    const struct ph_step *last = step(&b, b.steps.n);
    assert_string_equal(last->sql, "ALTER TABLE s.t ADD CONSTRAINT \"t_fk\" FOREIGN KEY (k) "
                                   "REFERENCES s.t(k)");
    tear_down(&b);
}

TEST(methods_without_parallel_builds_weigh_more)
{
    struct bench b;
    set_up(&b, BIG);
    add(&b, 1, "plain", '\0');
    add(&b, 1, "inverted", '\0')->method = "gin";
    add(&b, 1, "ranges", '\0')->method = "brin";
    ph_index_make(&b.maker);
    assert_true(step(&b, 2)->weight > 2 * step(&b, 1)->weight);
    assert_true(step(&b, 3)->weight < step(&b, 1)->weight);
    tear_down(&b);
}

TEST(rows_that_go_through_a_root_may_land_in_every_partition)
{
    struct bench b;
    set_up(&b, 0);
    for (int i = 0; i < 4; i++)
        b.tables[i].n_tabs = 0, b.tables[i].tabs = NULL;
    struct ph_table planned[2] = {{.id = 1, .target_oid = 2, .bytes = 1000},
                                  {.id = 2, .target_oid = 2, .bytes = 3000}};
    struct ph_plan plan = {.tables = planned, .n_tables = 2};
    ph_index_assign(&b.maker, &plan, true);
    assert_int_equal(b.tables[2].n_tabs, 2);
    assert_int_equal(b.tables[3].n_tabs, 2);
    assert_int_equal(b.tables[2].bytes, 2000);
    assert_true(b.tables[1].whole);
    assert_false(b.tables[0].whole);
    tear_down(&b);
}

TEST(a_root_is_not_whole_without_each_of_its_partitions)
{
    struct bench b;
    set_up(&b, 0);
    for (int i = 0; i < 4; i++)
        b.tables[i].n_tabs = 0, b.tables[i].tabs = NULL;
    struct ph_table planned[1] = {{.id = 1, .target_oid = 3, .bytes = 1000}};
    struct ph_plan plan = {.tables = planned, .n_tables = 1};
    ph_index_assign(&b.maker, &plan, true);
    assert_true(b.tables[2].whole);
    assert_false(b.tables[1].whole);
    tear_down(&b);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(a_key_is_attached_when_its_own_index_is_done_and_the_others_are_over),
        cmocka_unit_test(a_tiny_tables_index_and_key_are_one_step_that_locks_first),
        cmocka_unit_test(an_exclusion_constraint_is_made_as_a_whole_and_alone_on_its_table),
        cmocka_unit_test(a_partitioned_key_comes_after_those_below_and_keeps_its_parameters),
        cmocka_unit_test(what_is_marked_in_the_table_waits_for_its_builds),
        cmocka_unit_test(a_foreign_key_is_added_unchecked_and_then_validated),
        cmocka_unit_test(a_foreign_key_that_was_never_validated_stays_so),
        cmocka_unit_test(a_foreign_key_of_a_partitioned_table_is_checked_at_once),
        cmocka_unit_test(methods_without_parallel_builds_weigh_more),
        cmocka_unit_test(rows_that_go_through_a_root_may_land_in_every_partition),
        cmocka_unit_test(a_root_is_not_whole_without_each_of_its_partitions));
}
