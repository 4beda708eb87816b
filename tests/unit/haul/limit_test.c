/* What limits a run, from where its time went. */
#include "unit.h"

#include <math.h>

#include "haul/limit.h"

/* cmocka's own works on floats. */
static void assert_near(double is, double should)
{
    assert_true(fabs(is - should) < 1e-6);
}

static const char *words(const double stages[PH_N_STAGES], const char *busy)
{
    static char text[160];
    ph_limit_words(stages, busy, text, sizeof text);
    return text;
}

TEST(who_has_half_of_the_time_is_the_limit_and_the_longest_of_its_stages_is_named)
{
    const double target[PH_N_STAGES] = {[PH_STAGE_SOURCE_WAIT] = 12,
                                        [PH_STAGE_TARGET_WAIT] = 70,
                                        [PH_STAGE_COMMIT_WAIT] = 8,
                                        [PH_STAGE_SOURCE_READ] = 10};
    assert_string_equal(words(target, "WAL flush"),
                        "target is the limit: 78 % of the time waiting for COPY FROM; WAL flush");
    assert_string_equal(words(target, ""),
                        "target is the limit: 78 % of the time waiting for COPY FROM");
    const double commit[PH_N_STAGES] = {[PH_STAGE_TARGET_WAIT] = 1, [PH_STAGE_COMMIT_WAIT] = 3};
    assert_string_equal(words(commit, NULL),
                        "target is the limit: 100 % of the time waiting for COMMIT");
    const double source[PH_N_STAGES] = {[PH_STAGE_SOURCE_WAIT] = 3, [PH_STAGE_TARGET_WAIT] = 1};
    assert_string_equal(words(source, "WAL flush"),
                        "source is the limit: 75 % of the time waiting for COPY TO");
    const double self[PH_N_STAGES] = {[PH_STAGE_COMPRESS] = 6, [PH_STAGE_SOURCE_WAIT] = 4};
    assert_string_equal(words(self, NULL), "mover is the limit: 60 % of the time compressing");
    const double held[PH_N_STAGES] = {[PH_STAGE_THROTTLED] = 9, [PH_STAGE_SOURCE_WAIT] = 1};
    assert_string_equal(words(held, NULL), "the rate is the limit: 90 % of the time held back");
}

TEST(where_nobody_has_half_of_it_the_shares_are_told)
{
    const double even[PH_N_STAGES] = {
        [PH_STAGE_SOURCE_WAIT] = 4, [PH_STAGE_TARGET_WAIT] = 4, [PH_STAGE_FINGERPRINT] = 2};
    assert_string_equal(words(even, NULL), "balanced: source 40 %, target 40 %, mover 20 %");
    const double none[PH_N_STAGES] = {0};
    assert_string_equal(words(none, NULL), "");
}

TEST(shares_leave_out_what_was_held_back_and_take_an_archive_for_the_end_that_it_is)
{
    struct ph_limit_shares s;
    const double stages[PH_N_STAGES] = {[PH_STAGE_SOURCE_WAIT] = 2,
                                        [PH_STAGE_SPILL_WRITE] = 5,
                                        [PH_STAGE_SPILL_READ] = 1,
                                        [PH_STAGE_COMPRESS] = 2,
                                        [PH_STAGE_THROTTLED] = 90};
    ph_limit_shares(stages, false, false, &s);
    assert_near(s.source, 0.2);
    assert_near(s.target, 0);
    assert_near(s.self, 0.8);
    ph_limit_shares(stages, true, false, &s);
    assert_near(s.target, 0.5);
    ph_limit_shares(stages, false, true, &s);
    assert_near(s.source, 0.3);
    assert_near(s.source + s.target + s.self, 1);
}

TEST(wait_events_have_plain_words_or_keep_their_names)
{
    assert_string_equal(ph_limit_event("WALSync"), "WAL flush");
    assert_string_equal(ph_limit_event("extend"), "relation extension");
    assert_string_equal(ph_limit_event("SomethingOfVersion99"), "SomethingOfVersion99");
}

int main(void)
{
    return RUN(cmocka_unit_test(
                   who_has_half_of_the_time_is_the_limit_and_the_longest_of_its_stages_is_named),
               cmocka_unit_test(where_nobody_has_half_of_it_the_shares_are_told),
               cmocka_unit_test(
                   shares_leave_out_what_was_held_back_and_take_an_archive_for_the_end_that_it_is),
               cmocka_unit_test(wait_events_have_plain_words_or_keep_their_names));
}
