#include "ledger/roster.h"

#include "base/clock.h"

#include "unit.h"

static struct ph_roster *three(void)
{
    /* ids have gaps, and come in no order */
    const struct ph_roster_item items[] = {
        {.id = 9, .tab = 1, .where = "c", .weight = 30},
        {.id = 2, .tab = 1, .where = "a", .weight = 10, .lo = "1"},
        {.id = 5, .tab = 2, .where = "b", .weight = 20}};
    struct ph_roster *roster = NULL;
    struct ph_err err;
    assert_true(ph_roster_new(&roster, items, 3, &err));
    return roster;
}

static int64_t claim(struct ph_roster *roster, bool insure)
{
    int attempt, left;
    double wait;
    const struct ph_roster_item *item = ph_roster_claim(roster, insure, &attempt, &left, &wait);
    return item ? item->id : 0;
}

static void seal(struct ph_roster *roster, int64_t id)
{
    struct ph_spill_note note = {.file = "x.lz4", .snapshot = 1};
    ph_roster_sealed(roster, id, &note);
}

TEST(the_heaviest_comes_first_and_each_only_once)
{
    struct ph_roster *r = three();
    int attempt, left = 0;
    double wait = 0;
    assert_int_equal(claim(r, false), 9);
    assert_int_equal(claim(r, false), 5);
    assert_int_equal(claim(r, false), 2);
    assert_null(ph_roster_claim(r, false, &attempt, &left, &wait));
    assert_int_equal(left, 3); /* in hand, not done */
    assert_string_equal(ph_roster_find(r, 2)->lo, "1");
    assert_null(ph_roster_find(r, 3));
    ph_roster_free(r);
}

TEST(a_shard_that_failed_comes_again_after_its_delay_with_another_attempt)
{
    struct ph_roster *r = three();
    int attempt = 0, left = 0;
    double wait = 0;
    claim(r, false);
    assert_false(ph_roster_fail(r, 9, true, false, "why", 0));
    assert_int_equal(ph_roster_claim(r, false, &attempt, &left, &wait)->id, 9);
    assert_int_equal(attempt, 2);
    assert_false(ph_roster_fail(r, 9, true, false, "why", 60));
    assert_int_equal(claim(r, false), 5);
    assert_int_equal(claim(r, false), 2);
    assert_null(ph_roster_claim(r, false, &attempt, &left, &wait));
    assert_true(wait > 0 && wait <= 1); /* asked again within a second, whatever the delay */
    ph_roster_free(r);
}

TEST(the_fifth_failure_of_its_own_parks_a_shard_and_others_do_not_count)
{
    struct ph_roster *r = three();
    int at = 0, tab = 0;
    int64_t id = 0;
    const char *why = NULL;
    for (int i = 0; i < 20; i++)
        assert_false(ph_roster_fail(r, 5, false, false, "lost", 0));
    for (int i = 0; i < 4; i++)
        assert_false(ph_roster_fail(r, 5, true, false, "bad", 0));
    assert_false(ph_roster_next_parked(r, &at, &id, &tab, &why));
    assert_true(ph_roster_fail(r, 5, true, false, "worse", 0));
    at = 0;
    assert_true(ph_roster_next_parked(r, &at, &id, &tab, &why));
    assert_int_equal(id, 5);
    assert_int_equal(tab, 2);
    assert_string_equal(why, "worse");
    assert_false(ph_roster_is_drained(r));
    ph_roster_free(r);
}

TEST(it_is_drained_when_all_is_in_files_or_flushed)
{
    struct ph_roster *r = three();
    ph_roster_landed(r, 9, false);
    seal(r, 5);
    assert_false(ph_roster_is_drained(r));
    seal(r, 2);
    assert_false(ph_roster_is_drained(r)); /* 9 may vanish with a crash of the target */
    ph_roster_flushed(r, 1);               /* a flush from before it landed */
    assert_false(ph_roster_is_drained(r));
    ph_roster_flushed(r, ph_clock_ns() + 1);
    assert_true(ph_roster_is_drained(r));
    ph_roster_free(r);
}

TEST(what_landed_in_an_unlogged_table_is_never_safe)
{
    struct ph_roster *r = three();
    seal(r, 2);
    seal(r, 5);
    ph_roster_landed(r, 9, true);
    ph_roster_flushed(r, ph_clock_ns() + 1);
    assert_false(ph_roster_is_drained(r));
    ph_roster_free(r);
}

TEST(while_the_target_is_away_what_has_landed_unflushed_is_read_again_as_insurance)
{
    struct ph_roster *r = three();
    ph_roster_landed(r, 9, false);
    assert_int_equal(claim(r, false), 5);
    assert_int_equal(claim(r, true), 9);
    ph_roster_landed(r, 2, false);
    ph_roster_flushed(r, ph_clock_ns() + 1);
    assert_int_equal(claim(r, true), 0);
    ph_roster_free(r);
}

TEST(a_file_is_unnoted_until_the_ledger_has_heard_of_it)
{
    struct ph_roster *r = three();
    struct ph_spill_note note;
    int64_t id = 0;
    int at = 0;
    assert_false(ph_roster_has_unnoted(r));
    seal(r, 5);
    assert_true(ph_roster_has_unnoted(r));
    assert_true(ph_roster_next_sealed(r, &at, false, &id, &note));
    assert_int_equal(id, 5);
    assert_string_equal(note.file, "x.lz4");
    ph_roster_noted(r, 5);
    assert_false(ph_roster_has_unnoted(r));
    ph_roster_planned(r, 5); /* the file was damaged */
    assert_int_equal(claim(r, false), 9);
    assert_int_equal(claim(r, false), 5);
    seal(r, 5);
    seal(r, 5); /* told twice, counted once */
    assert_true(ph_roster_has_unnoted(r));
    ph_roster_planned(r, 5);
    assert_false(ph_roster_has_unnoted(r));
    ph_roster_free(r);
}

TEST(a_shard_that_came_later_than_the_roster_disturbs_nobody)
{
    struct ph_roster *r = three();
    ph_roster_landed(r, 77, false);
    seal(r, 77);
    ph_roster_noted(r, 77);
    ph_roster_planned(r, 77);
    assert_false(ph_roster_fail(r, 77, true, true, "why", 0));
    assert_false(ph_roster_has_unnoted(r));
    assert_int_equal(claim(r, false), 9);
    ph_roster_free(r);
}

TEST(a_desk_at_a_roster_hands_out_what_the_roster_has)
{
    struct ph_roster *r = three();
    struct ph_desk_local desk;
    const struct ph_claim *claims = NULL;
    struct ph_shard shard = {.id = 9};
    struct ph_err err;
    int n = 0;
    bool parked = false;
    ph_desk_local_init(&desk, r, false);
    assert_true(ph_desk_claim(&desk.base, &claims, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(claims->shard, 9);
    assert_string_equal(claims->where, "c");
    assert_null(claims->file);
    assert_true(ph_desk_fail(&desk.base, &shard, true, true, "bad", 0, &parked, &err));
    assert_true(parked);
    ph_desk_claim(&desk.base, &claims, &n, &err);
    ph_desk_claim(&desk.base, &claims, &n, &err);
    ph_desk_claim(&desk.base, &claims, &n, &err);
    assert_int_equal(claims->shard, 0);
    assert_int_equal(claims->remaining, 2);
    ph_roster_free(r);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(the_heaviest_comes_first_and_each_only_once),
        cmocka_unit_test(a_shard_that_failed_comes_again_after_its_delay_with_another_attempt),
        cmocka_unit_test(the_fifth_failure_of_its_own_parks_a_shard_and_others_do_not_count),
        cmocka_unit_test(it_is_drained_when_all_is_in_files_or_flushed),
        cmocka_unit_test(what_landed_in_an_unlogged_table_is_never_safe),
        cmocka_unit_test(
            while_the_target_is_away_what_has_landed_unflushed_is_read_again_as_insurance),
        cmocka_unit_test(a_file_is_unnoted_until_the_ledger_has_heard_of_it),
        cmocka_unit_test(a_shard_that_came_later_than_the_roster_disturbs_nobody),
        cmocka_unit_test(a_desk_at_a_roster_hands_out_what_the_roster_has));
}
