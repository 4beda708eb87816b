#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "plan/catalog_json.h"

static struct ph_arena arena;
static struct ph_catalog given, back;
static struct ph_err err;

static const char *const labels[] = {"sad", "it's \"ok\"", "\xc3\xbc", "\xfc\xff"};
static const struct ph_attribute attributes[] = {{"x", 23, -1}, {"a \"q\"", 20000, -1}};
static const char *const path[] = {"pg_catalog", "public"};
static const char *const cut_key[] = {"id"};
static const char *const without[] = {"public.left"};
static const int key[] = {1, 0};

static struct ph_type types[] = {
    {.oid = 23,
     .schema = "pg_catalog",
     .name = "int4",
     .kind = 'b',
     .length = 4,
     .by_value = true,
     .has_send = true,
     .has_receive = true,
     .base_typmod = -1},
    {.oid = 1007,
     .schema = "pg_catalog",
     .name = "_int4",
     .kind = 'b',
     .element = 23,
     .length = -1,
     .has_send = true,
     .has_receive = true,
     .base_typmod = -1},
    {.oid = 20000,
     .schema = "public",
     .name = "mood",
     .kind = 'e',
     .length = 4,
     .by_value = true,
     .has_send = true,
     .has_receive = true,
     .base_typmod = -1,
     .labels = labels,
     .n_labels = 4},
    {.oid = 20001,
     .schema = "public",
     .name = "pair",
     .kind = 'c',
     .length = -1,
     .base_typmod = -1,
     .attributes = attributes,
     .n_attributes = 2},
    {.oid = 20002,
     .schema = "public",
     .name = "small",
     .kind = 'd',
     .base = 1007,
     .base_typmod = 12,
     .length = -1,
     .not_null = true,
     .has_default = true},
    {.oid = 20003,
     .schema = "public",
     .name = "span",
     .kind = 'r',
     .subtype = 23,
     .length = -1,
     .base_typmod = -1},
    {.oid = 20004,
     .schema = "public",
     .name = "hstore",
     .kind = 'b',
     .length = -1,
     .base_typmod = -1,
     .extension = "hstore",
     .extension_version = "1.8"},
};

static struct ph_column columns[] = {
    {.number = 1, .name = "id", .type = 23, .typmod = -1, .shown = "integer", .not_null = true},
    {.number = 4, .name = "Odd \"name\"\t\\", .type = 20000, .typmod = -1, .shown = "mood"},
    {.number = 5, .name = "gr\xfc\xdf", .type = 20002, .typmod = 7, .shown = "small"},
};

static struct ph_index indexes[] = {
    {.name = "i", .unique = false, .valid = true, .n_key = 1, .key = key},
    {.name = "u",
     .unique = true,
     .primary = true,
     .valid = true,
     .immediate = true,
     .partial = true,
     .expression = true,
     .n_key = 2,
     .key = key},
};

static struct ph_relation relations[] = {
    {.oid = 100,
     .schema = "public",
     .name = "root",
     .kind = 'p',
     .persistence = 'p',
     .part_key = "RANGE (id)",
     .without = without,
     .n_without = 1},
    {.oid = 200,
     .schema = "public",
     .name = "leaf",
     .kind = 'r',
     .persistence = 'p',
     .is_partition = true,
     .bound = "FOR VALUES FROM (1) TO (2)",
     .filenode = 4000000000,
     .heap = 8192000000000,
     .toast = 5,
     .blocks = 7,
     .rows = 12345678901,
     .columns = columns,
     .n_columns = 3,
     .indexes = indexes,
     .n_indexes = 2,
     .cut_key = cut_key,
     .n_cut_key = 1},
};

static struct ph_inherit inherits[] = {{100, 200}};

static int set_up(void **state)
{
    (void)state;
    memset(&arena, 0, sizeof arena);
    memset(&back, 0, sizeof back);
    given = (struct ph_catalog){
        .arena = &arena,
        .server = {.version = 150018,
                   .encoding = "LATIN1",
                   .system_id = 18446744073709551557u,
                   .database = "d\xe9j\xe0",
                   .database_oid = 4294967295,
                   .role = "bob",
                   .lc_monetary = "C.UTF-8",
                   .money_unit = "0000000000000064",
                   .has_large_objects = true,
                   .path = path,
                   .n_path = 2},
        .relations = relations,
        .n_relations = 2,
        .inherits = inherits,
        .n_inherits = 1,
        .types = {types, 7},
    };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ph_arena_fini(&arena);
    return 0;
}

static bool read(const char *text)
{
    err = (struct ph_err){0};
    return ph_catalog_json_read(&back, &arena, text, &err);
}

static const struct ph_type *type(uint32_t oid)
{
    return ph_types_find(&back.types, oid);
}

TEST(a_catalog_that_is_read_and_written_again_is_the_same_text)
{
    const char *text = ph_catalog_json(&given);
    assert_true(read(text));
    assert_string_equal(ph_catalog_json(&back), text);
}

TEST(the_server_comes_back)
{
    assert_true(read(ph_catalog_json(&given)));
    assert_null(back.conn);
    assert_int_equal(back.server.version, 150018);
    assert_string_equal(back.server.encoding, "LATIN1");
    assert_true(back.server.system_id == 18446744073709551557u);
    assert_true(back.server.database_oid == 4294967295);
    assert_string_equal(back.server.database, "d\xe9j\xe0");
    assert_string_equal(back.server.money_unit, "0000000000000064");
    assert_string_equal(back.server.lc_monetary, "C.UTF-8");
    assert_true(back.server.has_large_objects);
    assert_int_equal(back.server.n_path, 2);
    assert_string_equal(back.server.path[1], "public");
}

TEST(types_of_all_kinds_come_back)
{
    assert_true(read(ph_catalog_json(&given)));
    assert_int_equal(back.types.n, 7);
    assert_true(type(23)->by_value && type(23)->has_send && type(23)->has_receive);
    assert_int_equal(type(23)->length, 4);
    assert_int_equal(type(1007)->element, 23);
    assert_int_equal(type(1007)->length, -1);
    assert_int_equal(type(20000)->n_labels, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(type(20000)->labels[i], labels[i]);
    assert_int_equal(type(20001)->n_attributes, 2);
    assert_string_equal(type(20001)->attributes[1].name, "a \"q\"");
    assert_int_equal(type(20001)->attributes[1].type, 20000);
    assert_int_equal(type(20001)->attributes[1].typmod, -1);
    assert_int_equal(type(20002)->base, 1007);
    assert_int_equal(type(20002)->base_typmod, 12);
    assert_true(type(20002)->not_null && type(20002)->has_default);
    assert_int_equal(type(20003)->subtype, 23);
    assert_string_equal(type(20004)->extension, "hstore");
    assert_string_equal(type(20004)->extension_version, "1.8");
    assert_null(type(23)->extension);
    assert_false(type(20004)->has_send);
}

TEST(relations_come_back_and_are_found)
{
    assert_true(read(ph_catalog_json(&given)));
    const struct ph_relation *leaf = ph_catalog_visible(&back, "leaf");
    assert_non_null(leaf);
    assert_ptr_equal(leaf, ph_catalog_relation(&back, 200));
    assert_true(leaf->detailed && leaf->is_partition && leaf->may_select && leaf->may_use_schema);
    assert_string_equal(leaf->bound, "FOR VALUES FROM (1) TO (2)");
    assert_true(leaf->filenode == 4000000000);
    assert_true(leaf->heap == 8192000000000 && leaf->toast == 5 && leaf->blocks == 7);
    assert_true(leaf->rows == 12345678901.0);
    assert_int_equal(ph_catalog_parent(&back, 200), 100);
    int n = 0;
    assert_int_equal(ph_catalog_children(&back, 100, &n)->child, 200);
    assert_int_equal(n, 1);
    assert_string_equal(leaf->cut_key[0], "id");
    assert_int_equal(leaf->n_without, 0);
    assert_int_equal(ph_catalog_relation(&back, 100)->n_without, 1);
    assert_string_equal(ph_catalog_relation(&back, 100)->without[0], "public.left");
    assert_null(ph_catalog_relation(&back, 100)->bound);
    assert_string_equal(ph_catalog_relation(&back, 100)->part_key, "RANGE (id)");
}

TEST(columns_come_back_with_any_name)
{
    assert_true(read(ph_catalog_json(&given)));
    const struct ph_relation *leaf = ph_catalog_named(&back, "public", "leaf");
    assert_int_equal(leaf->n_columns, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(leaf->columns[i].name, columns[i].name);
        assert_string_equal(leaf->columns[i].shown, columns[i].shown);
        assert_int_equal(leaf->columns[i].number, columns[i].number);
        assert_int_equal(leaf->columns[i].type, columns[i].type);
        assert_int_equal(leaf->columns[i].typmod, columns[i].typmod);
        assert_int_equal(leaf->columns[i].not_null, columns[i].not_null);
    }
}

TEST(only_unique_indexes_are_kept)
{
    assert_true(read(ph_catalog_json(&given)));
    const struct ph_relation *leaf = ph_catalog_named(&back, "public", "leaf");
    assert_int_equal(leaf->n_indexes, 1);
    const struct ph_index *u = &leaf->indexes[0];
    assert_true(u->unique && u->primary && u->valid && u->immediate && u->partial && u->expression);
    assert_int_equal(u->n_key, 2);
    assert_int_equal(u->key[0], 1);
    assert_int_equal(u->key[1], 0);
}

TEST(every_single_byte_is_a_name_that_comes_back)
{
    char name[] = {'a', 0, 'z', 0};
    for (int c = 1; c < 256; c++) {
        name[1] = (char)c;
        relations[1].name = name;
        assert_true(read(ph_catalog_json(&given)));
        assert_string_equal(ph_catalog_relation(&back, 200)->name, name);
    }
    relations[1].name = "leaf";
}

TEST(a_catalog_without_any_table_is_one)
{
    given.n_relations = given.n_inherits = given.types.n = 0;
    assert_true(read(ph_catalog_json(&given)));
    assert_null(ph_catalog_visible(&back, "leaf"));
}

TEST(what_is_no_catalog_is_refused)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{\"format\": \"1\"}",
                                        "{\"a\": 1}",
                                        "{\"format\": 0}",
                                        "{\"format\": 1, \"format\": 1}"};
    assert_false(read(NULL));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(read(texts[i]));
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "none of ours");
    }
}

TEST(a_newer_format_is_told_apart)
{
    assert_false(read("{\"format\": 2}"));
    assert_int_equal(err.code, PH_OTHER_JOB);
    assert_contains(err.text, "format 2");
}

/* The text with the first `from` replaced. */
static const char *changed(const char *from, const char *to)
{
    const char *text = ph_catalog_json(&given), *at = strstr(text, from);
    assert_non_null(at);
    return ph_arena_printf(&arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

TEST(what_is_missing_or_of_another_kind_is_named)
{
    static const struct {
        const char *from, *to, *key;
    } cases[] = {
        {"\"version\":150018", "\"version\":\"15\"", "version"},
        {"\"version\":150018,", "", "version"},
        {"\"encoding\":\"LATIN1\"", "\"encoding\":null", "encoding"},
        {"\"system\":\"18446744073709551557\"", "\"system\":\"18446744073709551616\"", "system"},
        {"\"system\":\"", "\"system\":\"-", "system"},
        {"\"path\":[", "\"path\":[7,", "path"},
        {"\"kind\":\"b\"", "\"kind\":\"x\"", "kind"},
        {"\"kind\":\"b\"", "\"kind\":\"\"", "kind"},
        {"\"oid\":23", "\"oid\":0", "oid"},
        {"\"oid\":23", "\"oid\":4294967296", "oid"},
        {"\"oid\":23", "\"oid\":-1", "oid"},
        {"\"base_typmod\":-1", "\"base_typmod\":-2", "base_typmod"},
        {"\"by_value\":true", "\"by_value\":1", "by_value"},
        {"\"labels\":[", "\"labels\":[null,", "labels"},
        {"\"labels\":", "\"label\":", "labels"},
        {"{\"latin1\":\"", "{\"latin1\":\"\xe2\x82\xac", "database"},
        {",\"extension_version\":\"1.8\"", "", "extension_version"},
        {"\"heap\":8192000000000", "\"heap\":-5", "heap"},
        {"\"rows\":12345678901", "\"rows\":0.5", "rows"},
        {"\"kind\":\"p\"", "\"kind\":\"v\"", "kind"},
        {"\"columns\":[]", "\"columns\":{}", "columns"},
        {"\"number\":1", "\"number\":0", "number"},
        {"\"inherits\":[[100,200]]", "\"inherits\":[[100]]", "inherits"},
        {"\"inherits\":[[100,200]]", "\"inherits\":[7]", "inherits"},
        {"\"inherits\":", "\"inherit\":", "inherits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (read(changed(cases[i].from, cases[i].to)))
            fail_msg("%s is taken", cases[i].to);
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, ph_arena_printf(&arena, "\"%s\"", cases[i].key));
    }
}

TEST(disorder_doubles_and_circles_are_refused)
{
    static const char *const cases[][2] = {
        {"\"oid\":1007", "\"oid\":23"},
        {"\"oid\":1007", "\"oid\":22"},
        {"\"oid\":200,", "\"oid\":100,"},
        {"\"oid\":200,", "\"oid\":99,"},
        {"\"name\":\"leaf\"", "\"name\":\"root\""},
        {"[[100,200]]", "[[100,200],[100,200]]"},
        {"[[100,200]]", "[[100,200],[200,100]]"},
        {"[[100,200]]", "[[100,100]]"},
        {"[[100,200]]", "[[100,300]]"},
        {"[[100,200]]", "[[300,200]]"},
        {"\"element\":23", "\"element\":1007"},
        {"\"element\":23", "\"element\":20002"},
        {"\"type\":20000,\"typmod\":-1}]", "\"type\":20001,\"typmod\":-1}]"},
        {"\"subtype\":23", "\"subtype\":20003"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (read(changed(cases[i][0], cases[i][1])))
            fail_msg("%s is taken", cases[i][1]);
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "damaged");
    }
}

TEST(a_text_that_is_cut_or_changed_anywhere_does_no_harm)
{
    char *text = strdup(ph_catalog_json(&given));
    size_t n = strlen(text);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        char old = text[i];
        text[i] = '\0';
        assert_false(read(text));
        for (size_t k = 0; k < 4; k++) {
            text[i] = "9\"[-"[k];
            read(text); /* may be taken: a digit of a size, say */
        }
        text[i] = old;
    }
    assert_true(read(text));
    free(text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    return RUN(
        CASE(a_catalog_that_is_read_and_written_again_is_the_same_text),
        CASE(the_server_comes_back), CASE(types_of_all_kinds_come_back),
        CASE(relations_come_back_and_are_found), CASE(columns_come_back_with_any_name),
        CASE(only_unique_indexes_are_kept), CASE(every_single_byte_is_a_name_that_comes_back),
        CASE(a_catalog_without_any_table_is_one), CASE(what_is_no_catalog_is_refused),
        CASE(a_newer_format_is_told_apart), CASE(what_is_missing_or_of_another_kind_is_named),
        CASE(disorder_doubles_and_circles_are_refused),
        CASE(a_text_that_is_cut_or_changed_anywhere_does_no_harm));
}
