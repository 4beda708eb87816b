#include "unit.h"

#include "plan/format.h"

/* Built-in types by the OIDs that they have everywhere, and some of a user's by what a side made
 * up. */
enum {
    BOOL = 16,
    BYTEA,
    CHAR,
    NAME,
    INT8,
    INT2,
    INT4 = 23,
    TEXT = 25,
    OID,
    JSON = 114,
    XML = 142,
    FLOAT4 = 700,
    FLOAT8,
    MONEY = 790,
    INT4S = 1007,
    TEXTS = 1009,
    INT8S = 1016,
    BPCHAR = 1042,
    VARCHAR,
    DATE = 1082,
    TIMESTAMP = 1114,
    TIMESTAMPTZ = 1184,
    NUMERIC = 1700,
    REGCLASS = 2205,
    UUID = 2950,
    JSONB = 3802,
    USER = 20000
};

#define BASE(o, n)                                                                                 \
    {                                                                                              \
        .oid = o, .schema = "pg_catalog", .name = n, .kind = 'b', .has_send = true,                \
        .has_receive = true, .base_typmod = -1                                                     \
    }
#define ARRAY(o, n, e)                                                                             \
    {                                                                                              \
        .oid = o, .schema = "pg_catalog", .name = n, .kind = 'b', .element = e, .has_send = true,  \
        .has_receive = true, .base_typmod = -1                                                     \
    }

enum { MOST = 64 };
static struct ph_type items[2][MOST];
static struct ph_types sides[2];
static struct ph_arena arena;

static const struct ph_type builtin[] = {BASE(BOOL, "bool"),
                                         BASE(BYTEA, "bytea"),
                                         BASE(CHAR, "char"),
                                         BASE(NAME, "name"),
                                         BASE(INT8, "int8"),
                                         BASE(INT2, "int2"),
                                         BASE(INT4, "int4"),
                                         BASE(TEXT, "text"),
                                         BASE(OID, "oid"),
                                         BASE(JSON, "json"),
                                         BASE(XML, "xml"),
                                         BASE(FLOAT4, "float4"),
                                         BASE(FLOAT8, "float8"),
                                         BASE(MONEY, "money"),
                                         ARRAY(INT4S, "_int4", INT4),
                                         ARRAY(TEXTS, "_text", TEXT),
                                         ARRAY(INT8S, "_int8", INT8),
                                         BASE(BPCHAR, "bpchar"),
                                         BASE(VARCHAR, "varchar"),
                                         BASE(DATE, "date"),
                                         BASE(TIMESTAMP, "timestamp"),
                                         BASE(TIMESTAMPTZ, "timestamptz"),
                                         BASE(NUMERIC, "numeric"),
                                         BASE(REGCLASS, "regclass"),
                                         BASE(UUID, "uuid"),
                                         BASE(JSONB, "jsonb")};

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        memcpy(items[i], builtin, sizeof builtin);
        sides[i] = (struct ph_types){items[i], sizeof builtin / sizeof *builtin};
    }
    return 0;
}

/* Adds a user's type to both sides, under different OIDs; returns the source's, the target's is one
 * more. */
static uint32_t add_user(struct ph_type source, struct ph_type target)
{
    uint32_t oid = USER + 2 * (uint32_t)sides[0].n;
    source.oid = oid;
    target.oid = oid + 1;
    items[0][sides[0].n++] = source;
    items[1][sides[1].n++] = target;
    return oid;
}

static struct ph_fit fit_in(int version, uint32_t s, int smod, uint32_t d, int dmod)
{
    struct ph_fit fit;
    struct ph_format_sides format = {&arena, &sides[0], &sides[1], version, version, "c"};
    ph_format_fit(&format, s, smod, d, dmod, &fit);
    return fit;
}

static struct ph_fit fit(uint32_t s, int smod, uint32_t d, int dmod)
{
    return fit_in(150000, s, smod, d, dmod);
}

static int kind(uint32_t s, uint32_t d)
{
    return (int)fit(s, -1, d, -1).kind;
}

static int numeric(int precision, int scale)
{
    return ((precision << 16) | (scale & 0x7ff)) + 4;
}

TEST(the_same_type_goes_as_binary)
{
    assert_int_equal(kind(INT4, INT4), PH_FIT_BINARY);
    assert_int_equal(kind(JSONB, JSONB), PH_FIT_BINARY);
    assert_int_equal(kind(INT4S, INT4S), PH_FIT_BINARY);
    assert_string_equal(fit(INT4, -1, INT4, -1).why, "");
}

TEST(lossless_differences_become_casts_without_modifier)
{
    assert_string_equal(fit(INT4, -1, INT8, -1).cast, "::pg_catalog.int8");
    assert_string_equal(fit(INT2, -1, FLOAT4, -1).cast, "::pg_catalog.float4");
    assert_string_equal(fit(DATE, -1, TIMESTAMP, -1).cast, "::pg_catalog.timestamp");
    assert_string_equal(fit(UUID, -1, VARCHAR, -1).cast, "::pg_catalog.text");
    assert_string_equal(fit(INT4S, -1, INT8S, -1).cast, "::pg_catalog.int8[]");
}

TEST(the_text_of_a_float4_is_another_float8)
{
    assert_true(fit(FLOAT4, -1, FLOAT8, -1).rounds);
    assert_int_equal(kind(FLOAT4, FLOAT8), PH_FIT_CAST);
    assert_false(fit(INT4, -1, FLOAT8, -1).rounds);
    assert_false(fit(INT4S, -1, INT8S, -1).rounds);
    assert_false(fit(FLOAT4, -1, FLOAT4, -1).rounds);
}

TEST(what_binary_would_load_with_other_values_is_refused)
{
    static const struct {
        uint32_t source, target;
    } silent[] = {{INT4, DATE},
                  {INT4, FLOAT4},
                  {INT8, FLOAT8},
                  {INT8, TIMESTAMP},
                  {INT8, MONEY},
                  {FLOAT8, INT8},
                  {FLOAT4, INT4},
                  {MONEY, INT8},
                  {MONEY, NUMERIC},
                  {TIMESTAMP, TIMESTAMPTZ},
                  {TIMESTAMPTZ, TIMESTAMP},
                  {DATE, INT4},
                  {JSONB, TEXT},
                  {TEXT, BYTEA},
                  {BYTEA, TEXT},
                  {BPCHAR, TEXT},
                  {BOOL, TEXT},
                  {CHAR, BOOL},
                  {REGCLASS, OID},
                  {OID, REGCLASS},
                  {XML, INT4},
                  {DATE, TIMESTAMPTZ},
                  {INT4S, BYTEA},
                  {INT8, INT4},
                  {JSON, JSONB},
                  {TEXT, INT4}};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        assert_int_equal(kind(silent[i].source, silent[i].target), PH_FIT_NONE);
}

TEST(modifiers_may_widen_and_never_narrow)
{
    assert_int_equal(fit(VARCHAR, 4 + 4, VARCHAR, 10 + 4).kind, PH_FIT_BINARY);
    assert_int_equal(fit(VARCHAR, 10 + 4, VARCHAR, 4 + 4).kind, PH_FIT_NONE);
    assert_int_equal(fit(VARCHAR, -1, VARCHAR, 4 + 4).kind, PH_FIT_NONE);
    assert_int_equal(fit(VARCHAR, 4 + 4, TEXT, -1).kind, PH_FIT_BINARY);
    assert_int_equal(fit(TEXT, -1, VARCHAR, 4 + 4).kind, PH_FIT_NONE);
    assert_int_equal(fit(TIMESTAMP, 0, TIMESTAMP, 3).kind, PH_FIT_BINARY);
    assert_int_equal(fit(TIMESTAMP, -1, TIMESTAMP, 0).kind, PH_FIT_NONE);
    assert_int_equal(fit(TIMESTAMP, -1, TIMESTAMP, 6).kind, PH_FIT_BINARY);
    assert_int_equal(fit(NUMERIC, numeric(5, 1), NUMERIC, numeric(8, 1)).kind, PH_FIT_BINARY);
    assert_int_equal(fit(NUMERIC, numeric(5, 1), NUMERIC, numeric(5, 2)).kind, PH_FIT_NONE);
    assert_int_equal(fit(NUMERIC, -1, NUMERIC, numeric(5, 1)).kind, PH_FIT_NONE);
}

TEST(what_is_written_differently_over_there_is_cast_to_that)
{
    assert_string_equal(fit(BPCHAR, 3 + 4, BPCHAR, 5 + 4).cast, "::pg_catalog.bpchar(5)");
    assert_int_equal(fit(BPCHAR, 5 + 4, BPCHAR, 3 + 4).kind, PH_FIT_NONE);
    assert_string_equal(fit(NUMERIC, numeric(5, 1), NUMERIC, numeric(8, 3)).cast,
                        "::pg_catalog.numeric(8,3)");
    assert_string_equal(fit(NUMERIC, numeric(3, -2), NUMERIC, numeric(5, 0)).cast,
                        "::pg_catalog.numeric(5,0)");
    assert_string_equal(fit(INT4, -1, NUMERIC, numeric(12, 2)).cast, "::pg_catalog.numeric(12,2)");
    assert_int_equal(fit(INT4, -1, NUMERIC, numeric(11, 2)).kind, PH_FIT_NONE);
}

TEST(regclass_and_xml_go_as_text)
{
    struct ph_fit f = fit(REGCLASS, -1, REGCLASS, -1);
    assert_int_equal(f.kind, PH_FIT_TEXT);
    assert_true(f.needs_text && f.qualify);
    f = fit(XML, -1, XML, -1);
    assert_int_equal(f.kind, PH_FIT_TEXT);
    assert_false(f.qualify);
    assert_string_equal(f.cast, "::pg_catalog.text");
}

TEST(infinite_intervals_do_not_become_finite_in_silence)
{
    struct ph_type interval = {.schema = "pg_catalog", .name = "interval", .kind = 'b'};
    interval.has_send = interval.has_receive = true;
    uint32_t oid = add_user(interval, interval);
    struct ph_format_sides format = {&arena, &sides[0], &sides[1], 170002, 160000, "c"};
    struct ph_fit f;
    ph_format_fit(&format, oid, -1, oid + 1, -1, &f);
    assert_int_equal(f.kind, PH_FIT_TEXT);
    format.target_version = 180000;
    ph_format_fit(&format, oid, -1, oid + 1, -1, &f);
    assert_int_equal(f.kind, PH_FIT_BINARY);
}

TEST(what_binary_does_not_take_back_when_empty_goes_as_text)
{
    struct ph_type tsquery = {.schema = "pg_catalog", .name = "tsquery", .kind = 'b'};
    tsquery.has_send = tsquery.has_receive = true;
    uint32_t oid = add_user(tsquery, tsquery);
    struct ph_fit f = fit(oid, -1, oid + 1, -1);
    assert_int_equal(f.kind, PH_FIT_TEXT);
    assert_true(f.but_empty);
    items[0][sides[0].n - 1].has_send = false;
    f = fit(oid, -1, oid + 1, -1);
    assert_int_equal(f.kind, PH_FIT_TEXT);
    assert_false(f.but_empty);
    assert_false(fit(XML, -1, XML, -1).but_empty);
}

TEST(a_type_without_binary_form_goes_as_text_however_deep_it_is)
{
    struct ph_type seg = {.schema = "public", .name = "seg", .kind = 'b'};
    uint32_t oid = add_user(seg, seg);
    struct ph_attribute here[] = {{"a", INT4, -1}, {"s", oid, -1}};
    struct ph_attribute there[] = {{"a", INT4, -1}, {"s", oid + 1, -1}};
    struct ph_type c = {.schema = "public",
                        .name = "c",
                        .kind = 'c',
                        .has_send = true,
                        .has_receive = true,
                        .attributes = here,
                        .n_attributes = 2};
    struct ph_type d = c;
    d.attributes = there;
    uint32_t composite = add_user(c, d);
    struct ph_fit f = fit(composite, -1, composite + 1, -1);
    assert_int_equal(f.kind, PH_FIT_TEXT);
    assert_string_equal(f.why, "public.seg has no binary form at c.s");
}

TEST(labels_that_the_target_lacks_are_named)
{
    static const char *const more[] = {"a", "b", "new"}, *const less[] = {"b", "a"};
    struct ph_type s = {.schema = "public",
                        .name = "mood",
                        .kind = 'e',
                        .has_send = true,
                        .has_receive = true,
                        .labels = more,
                        .n_labels = 3};
    struct ph_type d = s;
    d.labels = less;
    d.n_labels = 2;
    uint32_t mood = add_user(s, d);
    struct ph_fit f = fit(mood, -1, mood + 1, -1);
    assert_int_equal(f.kind, PH_FIT_NONE);
    assert_string_equal(f.why, "the target's enum public.mood has no label \"new\"");
    uint32_t same = add_user(d, d); /* another order is no difference for loading */
    assert_int_equal(fit(same, -1, same + 1, -1).kind, PH_FIT_BINARY);
    assert_string_equal(fit(mood, -1, TEXT, -1).cast, "::pg_catalog.text");
}

TEST(a_domain_is_what_is_beneath_it)
{
    struct ph_type s = {.schema = "public",
                        .name = "dz",
                        .kind = 'd',
                        .base = INT4,
                        .base_typmod = -1,
                        .has_send = true,
                        .has_receive = true};
    struct ph_type d = s;
    uint32_t same = add_user(s, d);
    d.base = FLOAT4;
    uint32_t other = add_user(s, d);
    assert_int_equal(fit(same, -1, same + 1, -1).kind, PH_FIT_BINARY);
    assert_int_equal(fit(same, -1, INT4, -1).kind, PH_FIT_BINARY);
    assert_int_equal(fit(INT4, -1, same + 1, -1).kind, PH_FIT_BINARY);
    assert_string_equal(fit(same, -1, INT8, -1).cast, "::pg_catalog.int8");
    assert_int_equal(fit(other, -1, other + 1, -1).kind, PH_FIT_NONE);
}

TEST(other_attributes_are_another_composite)
{
    struct ph_attribute ab[] = {{"a", INT4, -1}, {"b", TEXT, -1}};
    struct ph_attribute ba[] = {{"b", TEXT, -1}, {"a", INT4, -1}};
    struct ph_attribute narrow[] = {{"a", INT4, -1}, {"b", VARCHAR, 8}};
    struct ph_type s = {.schema = "public",
                        .name = "c",
                        .kind = 'c',
                        .has_send = true,
                        .has_receive = true,
                        .attributes = ab,
                        .n_attributes = 2};
    struct ph_type d = s;
    d.attributes = ba;
    uint32_t swapped = add_user(s, d);
    d.attributes = narrow;
    uint32_t narrowed = add_user(s, d);
    assert_contains(fit(swapped, -1, swapped + 1, -1).why, "attribute 1 of public.c is a");
    assert_string_equal(fit(narrowed, -1, narrowed + 1, -1).why,
                        "text in the source is varchar in the target at c.b");
}

TEST(servers_before_14_get_arrays_of_user_types_as_text)
{
    static const char *const labels[] = {"a"};
    struct ph_type e = {.schema = "public",
                        .name = "mood",
                        .kind = 'e',
                        .has_send = true,
                        .has_receive = true,
                        .labels = labels,
                        .n_labels = 1};
    uint32_t mood = add_user(e, e);
    struct ph_type s = {.schema = "public",
                        .name = "_mood",
                        .kind = 'b',
                        .element = mood,
                        .has_send = true,
                        .has_receive = true};
    struct ph_type d = s;
    d.element = mood + 1;
    uint32_t moods = add_user(s, d);
    assert_int_equal(fit(moods, -1, moods + 1, -1).kind, PH_FIT_BINARY);
    assert_int_equal(fit_in(130000, moods, -1, moods + 1, -1).kind, PH_FIT_TEXT);
    assert_int_equal(fit_in(130000, INT4S, -1, INT4S, -1).kind, PH_FIT_BINARY);
}

TEST(an_extension_of_another_version_goes_as_text)
{
    struct ph_type s = {.schema = "public",
                        .name = "hstore",
                        .kind = 'b',
                        .has_send = true,
                        .has_receive = true,
                        .extension = "hstore",
                        .extension_version = "1.7"};
    struct ph_type d = s;
    d.schema = "extensions"; /* where it lives says nothing */
    uint32_t same = add_user(s, d);
    d.extension_version = "1.8";
    uint32_t newer = add_user(s, d);
    assert_int_equal(fit(same, -1, same + 1, -1).kind, PH_FIT_BINARY);
    assert_int_equal(fit(newer, -1, newer + 1, -1).kind, PH_FIT_TEXT);
}

TEST(rows_are_compared_as_text_where_equal_is_not_identical)
{
    assert_string_equal(ph_format_compare(&sides[0], INT4), "");
    assert_string_equal(ph_format_compare(&sides[0], UUID), "");
    assert_contains(ph_format_compare(&sides[0], NUMERIC), "::pg_catalog.text");
    assert_contains(ph_format_compare(&sides[0], JSON), "::pg_catalog.text");
    assert_contains(ph_format_compare(&sides[0], TEXT), "COLLATE");
    assert_contains(ph_format_compare(&sides[0], INT4S), "::pg_catalog.text");
}

/* Adds a type of the user's to the source side. */
static uint32_t add_type(struct ph_type type)
{
    type.oid = (uint32_t)(USER + 1000 + sides[0].n);
    type.schema = "public";
    type.base_typmod = -1;
    items[0][sides[0].n++] = type;
    return type.oid;
}

TEST(types_that_hold_oids_of_a_database_have_no_portable_bytes)
{
    uint32_t mood = add_type((struct ph_type){.name = "mood", .kind = 'e'});
    uint32_t moods = add_type((struct ph_type){.name = "_mood", .kind = 'b', .element = mood});
    uint32_t feeling = add_type((struct ph_type){.name = "feeling", .kind = 'd', .base = mood});
    uint32_t list = add_type((struct ph_type){.name = "list", .kind = 'd', .base = moods});
    static const struct ph_attribute plain_parts[] = {{"a", INT4, -1}, {"b", INT4S, -1}};
    uint32_t plain = add_type((struct ph_type){
        .name = "plain", .kind = 'c', .attributes = plain_parts, .n_attributes = 2});
    struct ph_attribute parts[] = {{"a", INT4, -1}, {"m", mood, -1}};
    uint32_t mixed = add_type(
        (struct ph_type){.name = "mixed", .kind = 'c', .attributes = parts, .n_attributes = 2});
    uint32_t range = add_type((struct ph_type){.name = "r", .kind = 'r', .subtype = plain});
    uint32_t bad_range = add_type((struct ph_type){.name = "s", .kind = 'r', .subtype = mixed});
    assert_true(ph_format_is_portable(&sides[0], INT4S));
    assert_true(ph_format_is_portable(&sides[0], mood));
    assert_false(ph_format_is_portable(&sides[0], moods));
    assert_true(ph_format_is_portable(&sides[0], feeling));
    assert_false(ph_format_is_portable(&sides[0], list));
    assert_true(ph_format_is_portable(&sides[0], plain));
    assert_false(ph_format_is_portable(&sides[0], mixed));
    assert_true(ph_format_is_portable(&sides[0], range));
    assert_false(ph_format_is_portable(&sides[0], bad_range));
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    int failed = RUN(
        CASE(the_same_type_goes_as_binary),
        CASE(lossless_differences_become_casts_without_modifier),
        CASE(the_text_of_a_float4_is_another_float8),
        CASE(what_binary_would_load_with_other_values_is_refused),
        CASE(modifiers_may_widen_and_never_narrow),
        CASE(what_is_written_differently_over_there_is_cast_to_that),
        CASE(regclass_and_xml_go_as_text), CASE(infinite_intervals_do_not_become_finite_in_silence),
        CASE(what_binary_does_not_take_back_when_empty_goes_as_text),
        CASE(a_type_without_binary_form_goes_as_text_however_deep_it_is),
        CASE(labels_that_the_target_lacks_are_named), CASE(a_domain_is_what_is_beneath_it),
        CASE(other_attributes_are_another_composite),
        CASE(servers_before_14_get_arrays_of_user_types_as_text),
        CASE(an_extension_of_another_version_goes_as_text),
        CASE(rows_are_compared_as_text_where_equal_is_not_identical),
        CASE(types_that_hold_oids_of_a_database_have_no_portable_bytes));
    ph_arena_fini(&arena);
    return failed;
}
