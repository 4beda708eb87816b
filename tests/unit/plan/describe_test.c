#include "unit.h"

#include "plan/describe.h"

static const struct ph_attribute attributes[] = {
    {"a", 23, -1}, {"b", 1000, -1}, {"c", 901, 3}, {"d", 77777, -1}};

static struct ph_type items[] = {
    {.oid = 18, .schema = "pg_catalog", .name = "char", .kind = 'b'},
    {.oid = 23, .schema = "pg_catalog", .name = "int4", .kind = 'b'},
    {.oid = 900, .schema = "Odd", .name = "Mo.od", .kind = 'e'},
    {.oid = 901, .schema = "public", .name = "dom", .kind = 'd', .base = 18},
    {.oid = 902, .schema = "public", .name = "doms", .kind = 'd', .base = 1000},
    {.oid = 903, .schema = "public", .name = "ran", .kind = 'r', .subtype = 901},
    {.oid = 904, .schema = "public", .name = "multi", .kind = 'm', .subtype = 903},
    {.oid = 905,
     .schema = "public",
     .name = "select",
     .kind = 'c',
     .attributes = attributes,
     .n_attributes = 4},
    {.oid = 906, .schema = "ext", .name = "hstore", .kind = 'b', .extension = "hstore"},
    {.oid = 1000, .schema = "Odd", .name = "_Mo.od", .kind = 'b', .element = 900},
};
static const struct ph_types types = {.items = items, .n = sizeof items / sizeof *items};

static const struct ph_decode_type *described;
static struct ph_arena arena;
static int n;

static const struct ph_decode_type *find(const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(described[i].name, name))
            return &described[i];
    fail_msg("%s is not described", name);
    return NULL;
}

static int set_up(void **state)
{
    (void)state;
    described = ph_describe_types(&types, &arena, &n);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ph_arena_fini(&arena);
    return 0;
}

TEST(types_of_the_system_and_arrays_are_not_described)
{
    assert_int_equal(n, 7);
}

TEST(each_kind_says_what_it_is_made_of)
{
    assert_int_equal(find("\"Odd\".\"Mo.od\"")->kind, PH_DECODE_ENUM);
    assert_int_equal(find("ext.hstore")->kind, PH_DECODE_BASE);
    assert_int_equal(find("public.dom")->kind, PH_DECODE_DOMAIN);
    assert_string_equal(find("public.dom")->of, "pg_catalog.\"char\"");
    assert_string_equal(find("public.doms")->of, "\"Odd\".\"Mo.od\"[]");
    assert_int_equal(find("public.ran")->kind, PH_DECODE_RANGE);
    assert_string_equal(find("public.ran")->of, "public.dom");
    assert_int_equal(find("public.multi")->kind, PH_DECODE_MULTIRANGE);
    assert_string_equal(find("public.multi")->of, "public.ran");
}

TEST(a_composite_names_its_attributes_types_in_order)
{
    const struct ph_decode_type *type = find("public.\"select\"");
    assert_int_equal(type->kind, PH_DECODE_COMPOSITE);
    assert_int_equal(type->n_attributes, 4);
    assert_string_equal(type->attributes[0], "pg_catalog.int4");
    assert_string_equal(type->attributes[1], "\"Odd\".\"Mo.od\"[]");
    assert_string_equal(type->attributes[2], "public.dom");
    assert_null(type->attributes[3]); /* of a type that is not there: the decoder refuses it */
}

TEST(a_decoder_takes_the_descriptions)
{
    static const char *const columns[] = {"a", "b", "c", "d"};
    const char *shown[] = {"\"Odd\".\"Mo.od\"[]", "public.doms", "public.multi[]", "ext.hstore"};
    struct ph_decode_opts opts = {.columns = columns,
                                  .types = shown,
                                  .n_columns = 4,
                                  .described = described,
                                  .n_described = n};
    struct ph_decoder *decoder;
    struct ph_err err;
    if (!ph_decoder_new(&decoder, &opts, &err))
        fail_msg("%s", err.text);
    ph_decoder_free(decoder);
    shown[3] = "public.\"select\"";
    assert_false(ph_decoder_new(&decoder, &opts, &err));
    assert_int_equal(err.code, PH_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_of_the_system_and_arrays_are_not_described),
        cmocka_unit_test(each_kind_says_what_it_is_made_of),
        cmocka_unit_test(a_composite_names_its_attributes_types_in_order),
        cmocka_unit_test(a_decoder_takes_the_descriptions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
