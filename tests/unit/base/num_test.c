#include "unit.h"

#include <locale.h>

#include "base/num.h"

static void size_is(const char *text, uint64_t wanted)
{
    struct ph_err err;
    uint64_t got = 0;
    if (!ph_num_size(text, &got, &err))
        fail_msg("\"%s\" was refused: %s", text, err.text);
    if (got != wanted)
        fail_msg("\"%s\" is %ju, not %ju", text, (uintmax_t)got, (uintmax_t)wanted);
}

TEST(sizes_know_powers_of_ten_and_of_two)
{
    size_is("1", 1);
    size_is("123", 123);
    size_is("64MiB", 64u << 20);
    size_is("64MB", 64000000);
    size_is("200k", 200000);
    size_is("1.5G", 1500000000);
    size_is("0.5KiB", 512);
    size_is("2TiB", 2199023255552);
    size_is("10B", 10);
    size_is("1GiB", 1u << 30);
}

TEST(what_is_no_size_is_refused)
{
    static const char *const wrong[] = {
        "",      "0",    "0MiB", "-1",   "+1",         " 1",  "1 ",
        "MiB",   "1 MB", "1XB",  "1e3",  "0x10",       ".",   "1.2.3",
        "64mib", "inf",  "nan",  "1,5G", "99999TiB99", "0.1", "99999999999999999999",
        "1\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ph_err err = {0};
        uint64_t got = 77;
        if (ph_num_size(wrong[i], &got, &err))
            fail_msg("\"%s\" was taken as %ju", wrong[i], (uintmax_t)got);
        assert_int_equal(err.code, PH_WRONG);
        assert_true(err.hint[0] != '\0');
        assert_int_equal(got, 77);
    }
}

static void duration_is(const char *text, double wanted)
{
    struct ph_err err;
    double got = -1;
    if (!ph_num_duration(text, &got, &err))
        fail_msg("\"%s\" was refused: %s", text, err.text);
    if (got < wanted - 1e-9 || got > wanted + 1e-9)
        fail_msg("\"%s\" is %g, not %g", text, got, wanted);
}

TEST(durations_are_seconds_unless_a_unit_says_more)
{
    duration_is("10s", 10);
    duration_is("10", 10);
    duration_is("5m", 300);
    duration_is("1h", 3600);
    duration_is("2d", 172800);
    duration_is("250ms", 0.25);
    duration_is("1.5s", 1.5);
    duration_is("0", 0);
}

TEST(what_is_no_duration_is_refused)
{
    static const char *const wrong[] = {"",    "-1s", "s",          "1y", "1 s",
                                        "1s ", "1e2", "999999999h", "inf"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ph_err err = {0};
        double got;
        if (ph_num_duration(wrong[i], &got, &err))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(err.code, PH_WRONG);
    }
}

TEST(integers_keep_to_their_bounds)
{
    struct ph_err err;
    int64_t n = 0;
    assert_true(ph_num_int("0", 0, 10, &n, &err));
    assert_int_equal(n, 0);
    assert_true(ph_num_int("10", 0, 10, &n, &err));
    assert_int_equal(n, 10);
    assert_true(ph_num_int("-5", -5, 10, &n, &err));
    assert_int_equal(n, -5);
    assert_true(ph_num_int("007", 0, 10, &n, &err));
    assert_int_equal(n, 7);
    static const char *const wrong[] = {"",
                                        "-",
                                        "11",
                                        "-1",
                                        "1x",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "+1",
                                        "--1",
                                        "9223372036854775808",
                                        "99999999999999999999999",
                                        "0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (ph_num_int(wrong[i], 0, 10, &n, &err))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(err.code, PH_WRONG);
        assert_contains(err.text, "from 0 to 10");
    }
}

TEST(numbers_are_shown_for_people)
{
    char out[PH_NUM_TEXT];
    assert_string_equal(ph_num_show_bytes(out, 0), "0 B");
    assert_string_equal(ph_num_show_bytes(out, 512), "512 B");
    assert_string_equal(ph_num_show_bytes(out, 1503238554), "1.4 GiB");
    assert_string_equal(ph_num_show_bytes(out, 64 << 20), "64.0 MiB");
    assert_string_equal(ph_num_show_count(out, 0), "0");
    assert_string_equal(ph_num_show_count(out, 999), "999");
    assert_string_equal(ph_num_show_count(out, 1000), "1,000");
    assert_string_equal(ph_num_show_count(out, 1234567), "1,234,567");
    assert_string_equal(ph_num_show_count(out, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(ph_num_show_short(out, 12), "12");
    assert_string_equal(ph_num_show_short(out, 345000), "345 k");
    assert_string_equal(ph_num_show_short(out, 1200000), "1.2 M");
    assert_string_equal(ph_num_show_duration(out, 0.84), "0.8 s");
    assert_string_equal(ph_num_show_duration(out, 12.3), "12.3 s");
    assert_string_equal(ph_num_show_duration(out, 245), "4m05s");
    assert_string_equal(ph_num_show_duration(out, 11520), "3h12m");
    assert_string_equal(ph_num_show_duration(out, -1), "0.0 s");
}

int main(void)
{
    /* Where the machine has one: a locale with a comma for the point must not matter. */
    setlocale(LC_ALL, "de_DE.UTF-8");
    return RUN(cmocka_unit_test(sizes_know_powers_of_ten_and_of_two),
               cmocka_unit_test(what_is_no_size_is_refused),
               cmocka_unit_test(durations_are_seconds_unless_a_unit_says_more),
               cmocka_unit_test(what_is_no_duration_is_refused),
               cmocka_unit_test(integers_keep_to_their_bounds),
               cmocka_unit_test(numbers_are_shown_for_people));
}
