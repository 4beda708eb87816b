#include "unit.h"

#include "plan/split.h"

TEST(the_ways_of_cutting_have_the_names_of_the_option)
{
    assert_string_equal(ph_split_name(PH_SPLIT_AUTO), "auto");
    assert_string_equal(ph_split_name(PH_SPLIT_BLOCK), "block");
    assert_string_equal(ph_split_name(PH_SPLIT_KEY), "key");
    assert_string_equal(ph_split_name(PH_SPLIT_HASH), "hash");
    assert_string_equal(ph_split_name(PH_SPLIT_NONE), "none");
}

static int count(uint64_t size, uint64_t rows, double estimate, int64_t bytes)
{
    struct ph_job_spec spec = {.shard_size = size, .shard_rows = rows};
    struct ph_plan plan = {.spec = &spec, .shard_size = size ? size : 64 << 20};
    struct ph_table table = {.rows_estimate = estimate, .bytes = bytes};
    return ph_split_count(&plan, &table, bytes);
}

TEST(shards_are_counted_by_bytes_and_there_is_always_one)
{
    assert_int_equal(count(1000, 0, 0, 0), 1);
    assert_int_equal(count(1000, 0, 0, -1), 1);
    assert_int_equal(count(1000, 0, 0, 1000), 1);
    assert_int_equal(count(1000, 0, 0, 1001), 2);
    assert_int_equal(count(1000, 0, 0, 10000), 10);
}

TEST(shards_are_counted_by_rows_where_rows_were_asked_for)
{
    assert_int_equal(count(0, 1000, 100000, 1), 100);
    assert_int_equal(count(0, 1000, 100001, 1), 101);
    assert_int_equal(count(0, 1000, 10, INT64_MAX), 1);
    /* never analyzed */
    assert_int_equal(count(0, 1000, -1, 1000000), 10);
    /* both: the finer one */
    assert_int_equal(count(1000, 1000, 2000, 10000), 10);
    assert_int_equal(count(1000, 10, 2000, 10000), 200);
}

TEST(no_size_makes_shards_without_number)
{
    int n = count(1, 0, 0, INT64_MAX);
    assert_true(n > 1000 && n <= 1000000);
}

TEST(warnings_of_a_table_add_up)
{
    struct ph_plan plan = {0};
    struct ph_table table = {0};
    ph_split_warn(&plan, &table, "one %d", 1);
    ph_split_warn(&plan, &table, "two");
    assert_int_equal(table.n_warnings, 2);
    assert_string_equal(table.warnings[0], "one 1");
    assert_string_equal(table.warnings[1], "two");
    ph_arena_fini(&plan.arena);
}

int main(void)
{
    return RUN(cmocka_unit_test(the_ways_of_cutting_have_the_names_of_the_option),
               cmocka_unit_test(shards_are_counted_by_bytes_and_there_is_always_one),
               cmocka_unit_test(shards_are_counted_by_rows_where_rows_were_asked_for),
               cmocka_unit_test(no_size_makes_shards_without_number),
               cmocka_unit_test(warnings_of_a_table_add_up));
}
