#include "unit.h"

#include "plan/cut_where.h"

static struct ph_buf buf;

static const struct ph_plan_key one[] = {
    {.column = "id", .type = "pg_catalog.int8", .op_schema = "pg_catalog"}};
static const struct ph_plan_key two[] = {
    {.column = "a", .type = "pg_catalog.int4", .op_schema = "pg_catalog"},
    {.column = "b\"x", .type = "pg_catalog.text", .op_schema = "pg_catalog", .nullable = true}};
static const struct ph_plan_key mixed[] = {
    {.column = "a", .type = "pg_catalog.int4", .op_schema = "pg_catalog"},
    {.column = "c", .type = "ext.citext", .op_schema = "ext"}};

static const char *blocks(int64_t lo, int64_t hi)
{
    ph_buf_clear(&buf);
    ph_cut_where_blocks(&buf, lo, hi);
    return ph_buf_text(&buf);
}

static const char *range(const struct ph_plan_key *key, int n, const char *const *lo,
                         const char *const *hi)
{
    ph_buf_clear(&buf);
    ph_cut_where_range(&buf, key, n, lo, hi);
    return ph_buf_text(&buf);
}

TEST(block_ranges_are_half_open_and_open_at_the_ends)
{
    assert_string_equal(blocks(0, -1), "");
    assert_string_equal(blocks(0, 10), "ctid OPERATOR(pg_catalog.<) '(10,0)'::pg_catalog.tid");
    assert_string_equal(blocks(10, -1), "ctid OPERATOR(pg_catalog.>=) '(10,0)'::pg_catalog.tid");
    assert_string_equal(blocks(10, 4294967295),
                        "ctid OPERATOR(pg_catalog.>=) '(10,0)'::pg_catalog.tid AND "
                        "ctid OPERATOR(pg_catalog.<) '(4294967295,0)'::pg_catalog.tid");
}

TEST(key_ranges_compare_typed_literals_by_qualified_operators)
{
    const char *const lo[] = {"-5"}, *const hi[] = {"7"};
    assert_string_equal(range(one, 1, NULL, NULL), "");
    assert_string_equal(range(one, 1, lo, hi),
                        "\"id\" OPERATOR(\"pg_catalog\".>=) '-5'::pg_catalog.int8 AND "
                        "\"id\" OPERATOR(\"pg_catalog\".<) '7'::pg_catalog.int8");
    assert_string_equal(range(one, 1, NULL, hi),
                        "\"id\" OPERATOR(\"pg_catalog\".<) '7'::pg_catalog.int8");
}

TEST(composite_keys_compare_as_rows_and_leave_nulls_to_their_own_shard)
{
    const char *const lo[] = {"1", "it's"};
    assert_string_equal(range(two, 2, lo, NULL),
                        "ROW(\"a\", \"b\"\"x\") OPERATOR(\"pg_catalog\".>=) "
                        "ROW('1'::pg_catalog.int4, 'it''s'::pg_catalog.text) AND "
                        "\"b\"\"x\" IS DISTINCT FROM NULL");
    assert_string_equal(range(two, 2, NULL, NULL), "\"b\"\"x\" IS DISTINCT FROM NULL");
    ph_buf_clear(&buf);
    ph_cut_where_null(&buf, two, 2);
    assert_string_equal(buf.data, "(\"b\"\"x\" IS NOT DISTINCT FROM NULL)");
}

TEST(operators_of_several_schemas_take_the_long_form)
{
    const char *const bound[] = {"1", "x"};
    assert_string_equal(range(mixed, 2, NULL, bound),
                        "'1'::pg_catalog.int4 OPERATOR(\"pg_catalog\".>=) \"a\" AND "
                        "(\"a\" OPERATOR(\"pg_catalog\".<) '1'::pg_catalog.int4 OR "
                        "\"c\" OPERATOR(\"ext\".<) 'x'::ext.citext)");
    assert_string_equal(range(mixed, 2, bound, NULL),
                        "\"a\" OPERATOR(\"pg_catalog\".>=) '1'::pg_catalog.int4 AND "
                        "('1'::pg_catalog.int4 OPERATOR(\"pg_catalog\".<) \"a\" OR "
                        "\"c\" OPERATOR(\"ext\".>=) 'x'::ext.citext)");
}

TEST(hashes_are_of_the_record_where_every_type_has_one)
{
    ph_buf_clear(&buf);
    ph_cut_where_hash(&buf, one, 1, 2, 8, 150000);
    assert_contains(buf.data, "hash_record_extended(ROW(\"id\"), 0::pg_catalog.int8)");
    assert_contains(buf.data, "9223372036854775807");
    assert_contains(buf.data, "8::pg_catalog.int8");
    assert_contains(buf.data, "OPERATOR(pg_catalog.=) 2::pg_catalog.int8");
    ph_buf_clear(&buf);
    ph_cut_where_hash(&buf, one, 1, 2, 8, 130000);
    assert_contains(buf.data, "hashtextextended(ROW(\"id\")::pg_catalog.text");
    static const struct ph_plan_key json[] = {{.column = "j", .type = "pg_catalog.json"}};
    ph_buf_clear(&buf);
    ph_cut_where_hash(&buf, json, 1, 0, 2, 150000);
    assert_contains(buf.data, "hashtextextended(ROW(\"j\")::pg_catalog.text");
}

int main(void)
{
    int failed =
        RUN(cmocka_unit_test(block_ranges_are_half_open_and_open_at_the_ends),
            cmocka_unit_test(key_ranges_compare_typed_literals_by_qualified_operators),
            cmocka_unit_test(composite_keys_compare_as_rows_and_leave_nulls_to_their_own_shard),
            cmocka_unit_test(operators_of_several_schemas_take_the_long_form),
            cmocka_unit_test(hashes_are_of_the_record_where_every_type_has_one));
    ph_buf_fini(&buf);
    return failed;
}
