#include "unit.h"

#include <stdlib.h>

#include "base/timetable.h"

/* Local time of Berlin: 2026-11-23 is a Monday; summer time ends on 2026-10-25 and begins on 2026-03-29. */
static time_t at(int year, int month, int day, int hour, int minute, int summer)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_isdst = summer};
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return mktime(&tm);
}

static const char *entry_at(const char *text, time_t when)
{
    static struct ph_timetable table;
    struct ph_err err;
    if (!ph_timetable_parse(&table, text, &err))
        fail_msg("%s", err.text);
    const struct ph_timetable_entry *e = ph_timetable_at(&table, when);
    return e ? e->text : "none";
}

TEST(the_first_entry_that_fits_counts)
{
    const char *text = "Mon-Fri 08:00-18:00 20MiB/s; Sat,Sun pause; else off";
    assert_string_equal(entry_at(text, at(2026, 11, 23, 8, 0, 0)), "Mon-Fri 08:00-18:00 20MiB/s");
    assert_string_equal(entry_at(text, at(2026, 11, 27, 17, 59, 0)), "Mon-Fri 08:00-18:00 20MiB/s");
    assert_string_equal(entry_at(text, at(2026, 11, 27, 18, 0, 0)), "else off");
    assert_string_equal(entry_at(text, at(2026, 11, 28, 12, 0, 0)), "Sat,Sun pause");
    assert_string_equal(entry_at("Mon 5MiB", at(2026, 11, 24, 0, 0, 0)), "none");
}

TEST(what_an_entry_says_is_read)
{
    struct ph_timetable t;
    struct ph_err err;
    assert_true(
        ph_timetable_parse(&t, "Fri-Mon 22:00-06:00 1.5MiB/s;; 12:00-24:00 PAUSE ; off", &err));
    assert_int_equal(t.n, 3);
    assert_int_equal(t.entry[0].days, 1 << 5 | 1 << 6 | 1 << 0 | 1 << 1);
    assert_int_equal(t.entry[0].per_s, 3 << 19);
    assert_int_equal(t.entry[0].end, 30 * 60);
    assert_true(t.entry[1].pause);
    assert_int_equal(t.entry[1].days, 127);
    assert_int_equal(t.entry[2].per_s, 0);
    assert_false(t.entry[2].pause);
}

TEST(hours_over_midnight_belong_to_the_day_that_they_begin_on)
{
    const char *text = "Sat 22:00-06:00 pause; else off";
    assert_string_equal(entry_at(text, at(2026, 11, 28, 21, 59, 0)), "else off");
    assert_string_equal(entry_at(text, at(2026, 11, 28, 22, 0, 0)), "Sat 22:00-06:00 pause");
    assert_string_equal(entry_at(text, at(2026, 11, 29, 5, 59, 0)), "Sat 22:00-06:00 pause");
    assert_string_equal(entry_at(text, at(2026, 11, 29, 6, 0, 0)), "else off");
    assert_string_equal(entry_at(text, at(2026, 11, 29, 23, 0, 0)), "else off");
}

TEST(daylight_saving_repeats_an_hour_and_skips_one)
{
    const char *text = "Sun 02:30-03:30 pause; else off";
    /* on 25 October 02:45 comes twice, with 02:15 in between */
    time_t first = at(2026, 10, 25, 2, 45, 1), second = first + 3600;
    assert_string_equal(entry_at(text, first), "Sun 02:30-03:30 pause");
    assert_string_equal(entry_at(text, first + 1800), "else off");
    assert_string_equal(entry_at(text, second), "Sun 02:30-03:30 pause");
    /* on 29 March 03:00 follows 01:59 */
    time_t before = at(2026, 3, 29, 1, 59, 0);
    assert_string_equal(entry_at(text, before), "else off");
    assert_string_equal(entry_at(text, before + 60), "Sun 02:30-03:30 pause");
    assert_string_equal(entry_at(text, before + 60 + 1800), "else off");
}

TEST(what_is_no_timetable_is_refused_with_its_entry)
{
    static const char *const wrong[] = {"",
                                        ";",
                                        "Mon",
                                        "Mon 08:00-18:00",
                                        "Mon-Foo 1MiB",
                                        "8-18 1MiB",
                                        "08:00 1MiB",
                                        "25:00-26:00 off",
                                        "08:00-08:00 off",
                                        "else",
                                        "1XiB",
                                        "Mon 1MiB 2",
                                        "24:00-06:00 off",
                                        "08:60-09:00 off",
                                        "Mon, 1MiB",
                                        "else Mon off",
                                        "-1MiB"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ph_err err = {0};
        if (ph_timetable_parse(NULL, wrong[i], &err))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(err.code, PH_WRONG);
        assert_contains(err.text, "timetable");
        assert_true(err.hint[0] != '\0');
    }
}

int main(void)
{
    return RUN(cmocka_unit_test(the_first_entry_that_fits_counts),
               cmocka_unit_test(what_an_entry_says_is_read),
               cmocka_unit_test(hours_over_midnight_belong_to_the_day_that_they_begin_on),
               cmocka_unit_test(daylight_saving_repeats_an_hour_and_skips_one),
               cmocka_unit_test(what_is_no_timetable_is_refused_with_its_entry));
}
