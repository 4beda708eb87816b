#include "unit.h"

#include <stdlib.h>

#include "haul/meeting.h"

static struct ph_spot at(uint32_t block)
{
    return (struct ph_spot){.block = block, .offset = 1};
}

static struct ph_odds harvest(struct ph_meeting *meeting)
{
    struct ph_odds odds = {0};
    struct ph_err err;
    assert_true(ph_meeting_harvest(meeting, &odds, &err));
    ph_meeting_free(meeting);
    return odds;
}

TEST(rows_that_both_sides_have_leave_nothing)
{
    struct ph_meeting *meeting = ph_meeting_new();
    for (uint64_t i = 0; i < 100000; i++)
        ph_meeting_add(meeting, 0, i * 0x9E3779B97F4A7C15u, i, at(1));
    for (uint64_t i = 100000; i-- > 0;)
        ph_meeting_add(meeting, 1, i * 0x9E3779B97F4A7C15u, i, at(2));
    struct ph_odds odds = harvest(meeting);
    assert_int_equal(odds.n, 0);
    free(odds.items);
}

TEST(a_doubled_row_is_left_over_once_and_keeps_its_place)
{
    struct ph_meeting *meeting = ph_meeting_new();
    ph_meeting_add(meeting, 0, 7, 70, at(1));
    ph_meeting_add(meeting, 1, 7, 70, at(2));
    ph_meeting_add(meeting, 1, 7, 70, at(3));
    struct ph_odds odds = harvest(meeting);
    struct ph_verdict verdict;
    assert_int_equal(odds.n, 1);
    assert_int_equal(ph_odds_group(&odds, 0, &verdict), 1);
    assert_int_equal(verdict.extra, 1);
    assert_int_equal(verdict.missing + verdict.changed, 0);
    assert_int_equal(odds.items[0].place[1].block, 3);
    free(odds.items);
}

TEST(other_content_under_one_key_is_a_change_and_what_is_too_much_is_extra)
{
    struct ph_meeting *meeting = ph_meeting_new();
    ph_meeting_add(meeting, 0, 7, 70, at(1));
    ph_meeting_add(meeting, 1, 7, 71, at(2));
    ph_meeting_add(meeting, 1, 7, 72, at(3));
    ph_meeting_add(meeting, 0, 9, 90, at(4));
    struct ph_odds odds = harvest(meeting);
    struct ph_verdict verdict;
    assert_int_equal(odds.n, 4);
    assert_int_equal(ph_odds_group(&odds, 0, &verdict), 3);
    assert_int_equal(verdict.changed, 1);
    assert_int_equal(verdict.extra, 1);
    assert_int_equal(verdict.missing, 0);
    assert_int_equal(ph_odds_group(&odds, 3, &verdict), 1);
    assert_int_equal(verdict.missing, 1);
    free(odds.items);
}

TEST(two_rows_swapped_between_keys_do_not_cancel_out)
{
    struct ph_meeting *meeting = ph_meeting_new();
    ph_meeting_add(meeting, 0, 1, 10, at(1));
    ph_meeting_add(meeting, 0, 2, 20, at(1));
    ph_meeting_add(meeting, 1, 1, 20, at(1));
    ph_meeting_add(meeting, 1, 2, 10, at(1));
    struct ph_odds odds = harvest(meeting);
    assert_int_equal(odds.n, 4);
    free(odds.items);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(rows_that_both_sides_have_leave_nothing),
        cmocka_unit_test(a_doubled_row_is_left_over_once_and_keeps_its_place),
        cmocka_unit_test(other_content_under_one_key_is_a_change_and_what_is_too_much_is_extra),
        cmocka_unit_test(two_rows_swapped_between_keys_do_not_cancel_out));
}
