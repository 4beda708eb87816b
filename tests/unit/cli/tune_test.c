#include "unit.h"

#include <stdio.h>

#include "cli/render.h"
#include "cli/report.h"

static struct ph_tune_point point(double value, const char *label, double speed, int n)
{
    return (struct ph_tune_point){.value = value,
                                  .label = label,
                                  .n = n,
                                  .speed = {speed * 1e6, speed * 0.9e6, speed * 1.1e6}};
}

/* Four workers were in force, eight are better; size was not tried; WAL was measured, checkpoints were not. */
static void found(struct ph_tune_result *r)
{
    *r = (struct ph_tune_result){
        .source = "public.<b>&orders",
        .target = "public.orders",
        .scratch = "public.pghaul_scratch_1",
        .table_bytes = 1 << 30,
        .trials = 42,
        .seconds = 61,
        .speed = {100e6, 90e6, 110e6},
        .gain = {1.2, 1.1, 1.3},
        .gain_pairs = 5,
        .n_settings = 2,
        .n_moves = 2,
        .notes = {"a note"},
        .n_notes = 1,
    };
    r->settings[0] = (struct ph_tune_setting){
        .name = "jobs",
        .number = true,
        .points = {point(4, "4", 100, 3), point(1, "1", 40, 1), point(8, "8", 120, 3),
                   point(16, "16", 0, 0)},
        .n_points = 4,
        .start = 0,
        .best = 2,
        .challenger = 2,
        .gain = {1.2, 1.1, 1.3},
        .pairs = 5,
        .why = "8 is 20 % faster (10 to 30)",
    };
    r->settings[1] = (struct ph_tune_setting){.name = "split",
                                              .points = {point(1, "block", 100, 0)},
                                              .n_points = 1,
                                              .challenger = -1,
                                              .why = "there is no other way to cut it"};
    r->moves[0] = (struct ph_tune_move){.what = "WAL",
                                        .now = "replica",
                                        .then = "none",
                                        .measured = true,
                                        .gain = {1.3, 1.25, 1.35},
                                        .pairs = 6,
                                        .text = "an unlogged table shows what WAL costs"};
    r->moves[1] = (struct ph_tune_move){
        .what = "max_wal_size", .now = "1GB", .then = "8 GiB", .text = "a checkpoint too often"};
}

TEST(a_gain_is_told_with_its_interval)
{
    char text[48];
    assert_string_equal(ph_render_gain(text, &(struct ph_estimate){1.084, 1.052, 1.11}),
                        "+8 % (+5 to +11)");
    assert_string_equal(ph_render_gain(text, &(struct ph_estimate){0.9, 0.8, 1.02}),
                        "-10 % (-20 to +2)");
    assert_string_equal(ph_render_gain(text, &(struct ph_estimate){0}), "");
}

TEST(people_read_what_was_what_is_best_and_why)
{
    struct ph_tune_result r;
    struct ph_buf out = {0};
    found(&r);
    ph_render_tune(&out, &r, &(struct ph_term){.width = 80}, 0);
    const char *text = ph_buf_text(&out);
    assert_contains(text, "8 is 20 % faster (10 to 30)");
    assert_contains(text, "+20 % (+10 to +30)");
    assert_contains(text, "<- best");
    assert_contains(text, "<- was");
    assert_contains(text, "WAL: replica");
    assert_contains(text, "not measured");
    assert_contains(text, "note: a note");
    assert_lacks(text, "  16 "); /* never tried, so it is on no curve */
    assert_true(strstr(text, "\n          1 ") < strstr(text, "\n          8 "));
    ph_buf_fini(&out);
}

TEST(programs_read_numbers_as_numbers_and_what_is_not_known_as_null)
{
    struct ph_tune_result r;
    found(&r);
    json_t *json = ph_render_tune_json(&r);
    assert_non_null(json);
    json_t *jobs = json_array_get(json_object_get(json, "settings"), 0),
           *split = json_array_get(json_object_get(json, "settings"), 1),
           *curve = json_object_get(jobs, "curve");
    assert_int_equal(json_integer_value(json_object_get(jobs, "was")), 4);
    assert_int_equal(json_integer_value(json_object_get(jobs, "best")), 8);
    assert_true(json_is_true(json_object_get(jobs, "changed")));
    assert_string_equal(json_string_value(json_object_get(split, "best")), "block");
    assert_false(json_is_true(json_object_get(split, "changed")));
    assert_true(json_is_null(json_object_get(split, "challenger")));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(curve, 0), "value")), 1);
    assert_true(json_is_null(json_object_get(json_array_get(curve, 3), "median")));
    json_t *unmeasured = json_array_get(json_object_get(json, "servers"), 1);
    assert_true(json_is_null(json_object_get(json_object_get(unmeasured, "gain"), "median")));
    json_decref(json);
}

TEST(the_page_stands_alone_and_its_names_are_harmless)
{
    struct ph_tune_result r;
    struct ph_buf out = {0};
    found(&r);
    ph_report_tune_html(&out, &r, false);
    const char *text = ph_buf_text(&out);
    assert_contains(text, "public.&lt;b&gt;&amp;orders");
    assert_lacks(text, "<b>&orders");
    assert_lacks(text, "http:");
    assert_lacks(text, "https:");
    assert_lacks(text, "<script");
    assert_contains(text, "default-src 'none'");
    assert_contains(text, "<path class=curve");
    assert_lacks(text, "nan");
    ph_buf_fini(&out);
}

TEST(an_interrupted_page_says_so)
{
    struct ph_tune_result r = {.source = "t", .target = "t"};
    struct ph_buf out = {0};
    ph_report_tune_html(&out, &r, true);
    assert_contains(ph_buf_text(&out), "interrupted");
    ph_buf_fini(&out);
}

int main(void)
{
    return RUN(cmocka_unit_test(a_gain_is_told_with_its_interval),
               cmocka_unit_test(people_read_what_was_what_is_best_and_why),
               cmocka_unit_test(programs_read_numbers_as_numbers_and_what_is_not_known_as_null),
               cmocka_unit_test(the_page_stands_alone_and_its_names_are_harmless),
               cmocka_unit_test(an_interrupted_page_says_so));
}
