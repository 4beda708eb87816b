#include "unit.h"

#include "archive/manifest.h"
#include "plan/plan.h"

static struct ph_plan *plan;
static struct ph_table tables[2];
static struct ph_archive_table archived[3];
static struct ph_archive_shard shards[5];
static struct ph_archive archive;
static struct ph_err err;

static struct ph_archive_shard file(int64_t id, int tab, const char *name, uint64_t bytes)
{
    return (struct ph_archive_shard){.id = id,
                                     .tab = tab,
                                     .where = "true",
                                     .lo = name,
                                     .weight = 1,
                                     .file = name,
                                     .tally = {.rows = 1, .bytes = bytes},
                                     .snapshot = 2};
}

/* An archive of three tables; the plan loads the third and the first. */
static int set_up(void **state)
{
    (void)state;
    plan = test_calloc(1, sizeof *plan);
    tables[0] = (struct ph_table){
        .id = 1, .source_schema = "s", .source_name = "a", .format = PH_TEXT, .n_shards = 9};
    tables[1] = (struct ph_table){.id = 2, .source_schema = "public", .source_name = "a"};
    plan->tables = tables;
    plan->n_tables = 2;
    archived[0] = (struct ph_archive_table){.id = 1, .schema = "public", .name = "a"};
    archived[1] = (struct ph_archive_table){.id = 2, .schema = "public", .name = "b"};
    archived[2] = (struct ph_archive_table){.id = 3, .schema = "s", .name = "a"};
    shards[0] = file(1, 1, "one", 10);
    shards[1] = file(2, 2, "two", 99);
    shards[2] = file(3, 3, "three", 30);
    shards[3] = file(4, 3, "four", 10);
    shards[4] = file(5, 1, "five", 50);
    archive =
        (struct ph_archive){.tables = archived, .n_tables = 3, .shards = shards, .n_shards = 5};
    err = (struct ph_err){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ph_arena_fini(&plan->arena);
    test_free(plan);
    return 0;
}

TEST(shards_of_the_planned_tables_are_numbered_anew_biggest_first)
{
    static const char *const files[] = {"five", "three", "one", "four"};
    static const int tabs[] = {2, 1, 2, 1};
    assert_true(ph_plan_adopt_shards(plan, &archive, &err));
    assert_int_equal(plan->n_shards, 4);
    for (int i = 0; i < 4; i++) {
        const struct ph_shard *s = &plan->shards[i];
        assert_int_equal(s->id, i + 1);
        assert_string_equal(s->file, files[i]);
        assert_int_equal(s->tab, tabs[i]);
        assert_ptr_equal(s->table, &tables[tabs[i] - 1]);
        assert_int_equal(s->format, s->table->format);
        assert_string_equal(s->where, "true");
        assert_int_equal(s->snapshot, 2);
        assert_string_equal(plan->shard_lo[i], files[i]);
        assert_null(plan->shard_hi[i]);
    }
    assert_int_equal(plan->shards[0].weight, 50);
    assert_int_equal(tables[0].n_shards, 2);
    assert_int_equal(tables[1].n_shards, 2);
}

TEST(an_archive_that_lacks_a_planned_file_is_refused)
{
    shards[2].file = NULL;
    assert_false(ph_plan_adopt_shards(plan, &archive, &err));
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, "shard 3 of s.a is missing");
}

TEST(a_file_that_is_missing_of_another_table_does_not_matter)
{
    shards[1].file = NULL;
    assert_true(ph_plan_adopt_shards(plan, &archive, &err));
    assert_int_equal(plan->n_shards, 4);
}

TEST(a_table_without_any_shard_is_refused)
{
    archive.n_shards = 2;
    assert_false(ph_plan_adopt_shards(plan, &archive, &err));
    assert_contains(err.text, "no shard of s.a");
}

TEST(a_shard_of_no_table_is_refused)
{
    static const int wrong[] = {0, -1, 4};
    for (int i = 0; i < 3; i++) {
        shards[4].tab = wrong[i];
        assert_false(ph_plan_adopt_shards(plan, &archive, &err));
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "shard 5 is of no table");
    }
}

TEST(an_extract_s_plan_says_what_the_archive_will_hold)
{
    static const struct ph_plan_column columns[] = {
        {.name = "new", .source = "id + 1", .is_expression = true, .target_type = "bigint"},
        {.name = "t", .source = "t", .target_type = "text"}};
    static struct ph_shard cut[] = {
        {.id = 1, .table = &tables[1], .where = "ctid < '(4,0)'", .weight = 7},
        {.id = 2, .table = &tables[0], .where = "", .weight = 3}};
    static const char *lo[] = {NULL, NULL}, *hi[] = {"(4,0)", NULL};
    struct ph_archive out;
    tables[1] = (struct ph_table){.id = 2,
                                  .source_name = "a",
                                  .target_schema = "public",
                                  .target_name = "b",
                                  .split = PH_SPLIT_BLOCK,
                                  .filter = "id > 1",
                                  .columns = columns,
                                  .n_columns = 2,
                                  .bytes = 11};
    plan->source = (struct ph_side){.shown = "shop at db1",
                                    .database = "shop",
                                    .database_oid = 5,
                                    .system_id = 18446744073709551557u,
                                    .version = 150018,
                                    .encoding = "LATIN1"};
    plan->job_name = "nightly";
    plan->definition = "{}";
    plan->catalog_json = "{\"format\":1}";
    plan->shards = cut;
    plan->shard_lo = lo;
    plan->shard_hi = hi;
    plan->n_shards = 2;
    ph_plan_archive(plan, &out);
    assert_null(out.set);
    assert_string_equal(out.name, "nightly");
    assert_string_equal(out.catalog, plan->catalog_json);
    assert_string_equal(out.source_system, "18446744073709551557");
    assert_int_equal(out.source_version, 150018);
    assert_string_equal(out.encoding, "LATIN1");
    assert_int_equal(out.n_tables, 2);
    const struct ph_archive_table *t = &out.tables[1];
    assert_int_equal(t->id, 2);
    assert_string_equal(t->name, "b");
    assert_string_equal(t->split, "block");
    assert_string_equal(t->filter, "id > 1");
    assert_int_equal(t->n_columns, 2);
    assert_string_equal(t->columns[0], "new");
    assert_string_equal(t->types[0], "bigint");
    assert_int_equal(t->bytes, 11);
    assert_int_equal(out.n_shards, 2);
    assert_int_equal(out.shards[0].tab, 2);
    assert_string_equal(out.shards[0].where, "ctid < '(4,0)'");
    assert_string_equal(out.shards[0].hi, "(4,0)");
    assert_int_equal(out.shards[0].weight, 7);
    assert_null(out.shards[0].file);
    assert_int_equal(out.shards[1].tab, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    return RUN(CASE(shards_of_the_planned_tables_are_numbered_anew_biggest_first),
               CASE(an_archive_that_lacks_a_planned_file_is_refused),
               CASE(a_file_that_is_missing_of_another_table_does_not_matter),
               CASE(a_table_without_any_shard_is_refused), CASE(a_shard_of_no_table_is_refused),
               CASE(an_extract_s_plan_says_what_the_archive_will_hold));
}
