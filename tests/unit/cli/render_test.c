#include "unit.h"

#include <stdlib.h>

#include <jansson.h>

#include "cli/progress_block.h"
#include "cli/render.h"

static const struct ph_term plain = {.width = 100, .height = 24};

static struct ph_table table(const char *name)
{
    static const struct ph_plan_column columns[] = {
        {.name = "id", .source = "id", .format = "cast", .why = "int4 to int8, lossless"},
        {.name = "name", .source = "name", .format = "binary", .why = "same type text"}};
    return (struct ph_table){.source_schema = "public",
                             .source_name = name,
                             .target_schema = "public",
                             .target_name = name,
                             .columns = columns,
                             .n_columns = 2,
                             .split = PH_SPLIT_BLOCK,
                             .split_reason = "one snapshot",
                             .rows_estimate = 1234567,
                             .bytes = 1 << 20,
                             .n_shards = 3};
}

TEST(a_plan_shows_columns_that_are_not_passed_through_and_what_stands_in_the_way)
{
    static const struct ph_obstacle obstacle = {"table orders has rows", "use --allow-nonempty"};
    struct ph_table tables[] = {table("orders")};
    struct ph_job_spec spec = {0};
    struct ph_plan plan = {.spec = &spec,
                           .tables = tables,
                           .n_tables = 1,
                           .obstacles = &obstacle,
                           .n_obstacles = 1,
                           .job_name = "j",
                           .jobs = 2,
                           .bytes = 1 << 20};
    struct ph_buf text = {0};
    ph_render_plan(&text, &plan, &plain, 0);
    assert_contains(text.data, "orders");
    assert_contains(text.data, "~1,234,567");
    assert_contains(text.data, "block: one snapshot");
    assert_contains(text.data, "int4 to int8, lossless");
    assert_lacks(text.data, "same type text");
    assert_contains(text.data, "hint: use --allow-nonempty");
    ph_buf_clear(&text);
    ph_render_plan(&text, &plan, &plain, 1);
    assert_contains(text.data, "same type text");
    ph_buf_fini(&text);
    ph_arena_fini(&plan.arena);
}

TEST(a_plan_as_json_has_the_keys_of_the_contract)
{
    static const char *const keys[] = {"source", "target",  "rows_estimate",
                                       "bytes",  "split",   "split_reason",
                                       "shards", "columns", "warnings"};
    struct ph_table tables[] = {table("\xff broken")};
    struct ph_job_spec spec = {0};
    struct ph_plan plan = {.spec = &spec, .tables = tables, .n_tables = 1, .job_name = "j"};
    json_t *o = ph_render_plan_json(&plan);
    const json_t *t = json_array_get(json_object_get(o, "tables"), 0);
    assert_non_null(t);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(json_object_get(t, keys[i]));
    assert_non_null(json_object_get(o, "forecast"));
    assert_true(json_is_array(json_object_get(o, "obstacles")));
    json_decref(o);
    ph_arena_fini(&plan.arena);
}

TEST(names_cannot_write_to_the_terminal)
{
    struct ph_buf text = {0};
    ph_term_safe(&text, "a\033[31m\n\xc2\x9b\xff\xc3\xbc");
    assert_string_equal(text.data, "a?[31m???\xc3\xbc");
    ph_buf_fini(&text);
}

TEST(texts_are_cut_by_columns_and_not_by_bytes)
{
    struct ph_buf text = {0};
    assert_int_equal(ph_term_columns("\xe4\xb8\xad\xc3\xbc\033[32mx\033[0m"), 4);
    ph_term_fit(&text, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 4, true, false);
    assert_string_equal(text.data, "\xe4\xb8\xad~ ");
    ph_buf_fini(&text);
}

TEST(the_living_block_fits_the_terminal_whatever_its_size)
{
    enum { TABLES = 97 };
    static struct ph_progress_table tables[TABLES];
    static struct ph_track track[TABLES];
    for (int i = 0; i < TABLES; i++)
        tables[i] = (struct ph_progress_table){.source = "public.a_rather_long_name_of_a_table",
                                               .target = "t",
                                               .weight = 1000,
                                               .shards = 4,
                                               .weight_done = i * 10,
                                               .bytes = (uint64_t)i * 10,
                                               .shards_landed = i > 90 ? 4 : 0};
    struct ph_progress now = {.job = "j",
                              .seconds = 5,
                              .tables = tables,
                              .n_tables = TABLES,
                              .eta_s = 3,
                              .workers = 4,
                              .phase = "copying",
                              .source_share = 1};
    ph_track_update(track, &now, 0.2);
    for (int width = 20; width < 160; width += 7)
        for (int height = 6; height < 40; height += 5) {
            struct ph_term term = {.width = width, .height = height, .utf8 = width & 1};
            struct ph_buf text = {0};
            int lines = ph_block_render(&text, &now, track, &term), counted = 0;
            assert_in_range(lines, 3, height - 1);
            for (char *p = text.data, *end; (end = strchr(p, '\n')); p = end + 1, counted++) {
                *end = '\0';
                assert_in_range(ph_term_columns(p), 0, width - 1);
            }
            assert_int_equal(counted, lines);
            ph_buf_fini(&text);
        }
}

TEST(a_steady_speed_is_shown_from_the_first_second)
{
    struct ph_progress_table table = {.source = "t", .weight = 100000, .shards = 4};
    struct ph_track track = {0};
    struct ph_progress now = {.tables = &table, .n_tables = 1};
    for (int tick = 0; tick < 60; tick++) {
        now.seconds += 0.2;
        bool moves = tick >= 20; /* another table was moved before */
        table.bytes += moves ? 200 : 0;
        table.weight_done += moves ? 400 : 0;
        ph_track_update(&track, &now, 0.2);
        assert_int_equal((int)(track.rate + 0.5), tick > 20 ? 1000 : 0);
        assert_int_equal((int)(track.pace + 0.5), tick > 20 ? 2000 : 0);
    }
    now.seconds += 0.2;
    ph_track_update(&track, &now, 0.2); /* a tick without a byte makes it slower, and not 0 */
    assert_in_range((int)track.rate, 800, 999);
}

TEST(a_verdict_as_json_has_the_keys_of_the_contract_and_numbers_as_numbers)
{
    static const char *const key[] = {"id", "name"};
    static const bool number[] = {true, false};
    static const char *const values[] = {"9007199254740993", NULL};
    static const char *const columns[] = {"price"};
    struct ph_difference difference = {
        .kind = PH_CHANGED, .key = values, .copies = 1, .columns = columns, .n_columns = 1};
    struct ph_verify_table t = {.source = "public.a",
                                .target = "public.a",
                                .level = PH_VERIFY_SOURCE,
                                .source_rows = 7,
                                .target_rows = -1,
                                .key = key,
                                .key_is_number = number,
                                .n_key = 2,
                                .changed = 1,
                                .differences = &difference,
                                .n_differences = 1};
    const struct ph_verify_result r = {
        .job = "j", .level = PH_VERIFY_READBACK, .tables = &t, .n_tables = 1};
    json_t *json = ph_render_verify_json(&r);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_contains(text, "\"equal\":false");
    assert_contains(text, "\"level\":\"readback\"");
    assert_contains(text, "\"source_rows\":7,\"target_rows\":null");
    assert_contains(text, "{\"key\":{\"id\":9007199254740993,\"name\":null},\"kind\":\"changed\","
                          "\"columns\":[\"price\"]}");
    assert_contains(text, "\"repaired\":0");
    free(text);
    json_decref(json);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(
            a_plan_shows_columns_that_are_not_passed_through_and_what_stands_in_the_way),
        cmocka_unit_test(a_plan_as_json_has_the_keys_of_the_contract),
        cmocka_unit_test(names_cannot_write_to_the_terminal),
        cmocka_unit_test(texts_are_cut_by_columns_and_not_by_bytes),
        cmocka_unit_test(a_verdict_as_json_has_the_keys_of_the_contract_and_numbers_as_numbers),
        cmocka_unit_test(a_steady_speed_is_shown_from_the_first_second),
        cmocka_unit_test(the_living_block_fits_the_terminal_whatever_its_size));
}
