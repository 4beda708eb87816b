#include "unit.h"

#include "haul/definitions.h"

static struct ph_relation orders[2] = {{.oid = 10, .schema = "public", .name = "a", .kind = 'r'},
                                       {.oid = 20, .schema = "public", .name = "b", .kind = 'r'}};
static struct ph_relation gone = {.oid = 11, .schema = "public", .name = "gone", .kind = 'r'};

static struct ph_arena arena;
static struct ph_verify_definitions out;

static void diff(struct ph_scope_pair *pairs, int n, struct ph_fact *a, int n_a, struct ph_fact *b,
                 int n_b)
{
    const struct ph_definitions_in in = {
        .pairs = pairs, .n_pairs = n, .facts = {{a, n_a}, {b, n_b}}};
    ph_definitions_diff(&arena, &in, &out);
}

TEST(a_renamed_table_is_read_by_its_other_name_in_texts_and_after_it)
{
    struct ph_scope_pair pair = {{&orders[0], &orders[1]}};
    struct ph_fact a[] = {
        {"constraint", 10, "", "a_pkey", 1, "definition", "PRIMARY KEY (id)"},
        {"constraint", 10, "", "self", 1, "definition", "REFERENCES public.a(id)"},
        {"trigger", 10, "", "t", 1, "definition", "ON public.a FOR EACH ROW"},
        {"trigger", 10, "", "u", 1, "definition", "ON public.ab EXECUTE public.a_f()"}};
    struct ph_fact b[] = {
        {"trigger", 20, "", "u", 1, "definition", "ON public.ab EXECUTE public.a_f()"},
        {"trigger", 20, "", "t", 1, "definition", "ON public.b FOR EACH ROW"},
        {"constraint", 20, "", "self", 1, "definition", "REFERENCES public.b(id)"},
        {"constraint", 20, "", "b_pkey", 1, "definition", "PRIMARY KEY (id)"}};
    diff(&pair, 1, a, 4, b, 4);
    assert_true(out.equal);
    assert_int_equal(out.objects, 4);
    b[2].value = "REFERENCES public.a(id)"; /* the other table, which is there as well */
    diff(&pair, 1, a, 4, b, 4);
    assert_int_equal(out.n_differences, 1);
    assert_string_equal(out.differences[0].object, "self on public.a");
    assert_int_equal(out.differences[0].kind, PH_CHANGED);
}

TEST(of_a_table_that_is_missing_only_the_table_is_told)
{
    struct ph_scope_pair pair = {{&gone, NULL}};
    struct ph_fact a[] = {{"column", 11, "", "x", 1, "type", "integer"},
                          {"table", 11, "", "", 1, "kind", "table"},
                          {"table", 11, "", "", 2, "owner", "bob"}};
    diff(&pair, 1, a, 3, NULL, 0);
    assert_int_equal(out.n_differences, 1);
    assert_string_equal(out.differences[0].object, "public.gone");
    assert_string_equal(out.differences[0].source, "table");
    assert_int_equal(out.differences[0].kind, PH_MISSING);
}

TEST(a_materialized_view_that_is_filled_in_the_source_alone_is_told_apart)
{
    struct ph_scope_pair pair = {{&orders[0], &orders[0]}};
    struct ph_fact a = {"table", 10, "", "", 13, "populated", "yes"};
    struct ph_fact b = {"table", 10, "", "", 13, "populated", "no"};
    diff(&pair, 1, &a, 1, &b, 1);
    assert_true(out.equal);
    assert_int_equal(out.n_unfilled, 1);
    assert_string_equal(out.unfilled[0], "public.a");
    diff(&pair, 1, &b, 1, &a, 1);
    assert_false(out.equal);
    assert_int_equal(out.n_unfilled, 0);
}

TEST(a_sequence_may_be_ahead_and_must_not_be_behind)
{
    struct ph_fact a = {"sequence", 0, "s", "s.q", 11, "position", "100"};
    struct ph_fact b = {"sequence", 0, "s", "s.q", 11, "position", "99"};
    diff(NULL, 0, &a, 1, &b, 1);
    assert_int_equal(out.n_differences, 1);
    b.value = "1000"; /* as text it would be less */
    diff(NULL, 0, &a, 1, &b, 1);
    assert_true(out.equal);
    a.property = b.property = "position, falling";
    diff(NULL, 0, &a, 1, &b, 1);
    assert_false(out.equal);
}

TEST(a_grant_on_what_is_missing_is_not_told_apart)
{
    struct ph_fact a[] = {{"schema", 0, "t", "t", 1, "kind", "schema"},
                          {"grant", 0, "t", "to bob on schema t", 1, "privileges", "USAGE"},
                          {"grant", 0, "t", "to bob on schema at", 1, "privileges", "USAGE"}};
    diff(NULL, 0, a, 3, NULL, 0);
    assert_int_equal(out.n_differences, 2);
    assert_string_equal(out.differences[0].object, "to bob on schema at");
    assert_string_equal(out.differences[1].object, "t");
}

int main(void)
{
    int failed =
        RUN(cmocka_unit_test(a_renamed_table_is_read_by_its_other_name_in_texts_and_after_it),
            cmocka_unit_test(of_a_table_that_is_missing_only_the_table_is_told),
            cmocka_unit_test(a_materialized_view_that_is_filled_in_the_source_alone_is_told_apart),
            cmocka_unit_test(a_sequence_may_be_ahead_and_must_not_be_behind),
            cmocka_unit_test(a_grant_on_what_is_missing_is_not_told_apart));
    ph_arena_fini(&arena);
    return failed;
}
