/* Token buckets: time is an argument, so no test waits. */
#include "base/bucket.h"

#include "unit.h"

static const uint64_t second = 1000000000;

TEST(a_bucket_without_a_rate_lets_everything_pass)
{
    struct ph_bucket b = {0};
    for (int i = 0; i < 100; i++)
        assert_int_equal(ph_bucket_charge(&b, UINT64_MAX / 2, 5 * second), 0);
    assert_int_equal(ph_bucket_debt(&b, 5 * second), 0);
}

TEST(after_a_pause_no_more_than_the_burst_passes_at_once)
{
    struct ph_bucket b = {0};
    ph_bucket_set(&b, 1000);
    /* idle for an hour: 150 ms' worth is all that has been saved up */
    uint64_t now = 3600 * second;
    assert_int_equal(ph_bucket_charge(&b, 150, now), 0);
    assert_int_equal(ph_bucket_charge(&b, 100, now), second / 10);
    assert_int_equal(ph_bucket_debt(&b, now), second / 10);
}

/* Passes pieces of `piece` units, each when the last one's wait is over, for `seconds`; how many units passed. */
static uint64_t flow(struct ph_bucket *b, uint64_t piece, uint64_t seconds)
{
    uint64_t now = 100 * second, end = now + seconds * second, passed = 0;
    while (now < end) {
        now += ph_bucket_charge(b, piece, now);
        passed += piece;
    }
    return passed;
}

TEST(over_ten_seconds_the_rate_is_kept_to_within_two_percent)
{
    static const uint64_t rates[] = {1 << 20, 20 << 20, 200 << 20, 50000};
    static const uint64_t pieces[] = {65536, 65536, 65536, 2000};
    for (int i = 0; i < 4; i++) {
        struct ph_bucket b = {0};
        ph_bucket_set(&b, rates[i]);
        double expected = (double)rates[i] * 10, got = (double)flow(&b, pieces[i], 10);
        assert_true(got > expected * 0.98 && got < expected * 1.02 + (double)pieces[i]);
    }
}

TEST(debts_are_shared_by_all_who_charge)
{
    struct ph_bucket b = {0};
    ph_bucket_set(&b, 1000);
    uint64_t now = 100 * second;
    ph_bucket_charge(&b, 150, now); /* the burst */
    assert_int_equal(ph_bucket_charge(&b, 500, now), second / 2);
    assert_int_equal(ph_bucket_charge(&b, 500, now), second);
    assert_int_equal(ph_bucket_charge(&b, 500, now + second), second / 2);
}

TEST(a_new_rate_counts_from_the_next_piece_on)
{
    struct ph_bucket b = {0};
    uint64_t now = 100 * second;
    ph_bucket_set(&b, 1000);
    ph_bucket_charge(&b, 150, now);
    ph_bucket_set(&b, 2000);
    assert_int_equal(ph_bucket_charge(&b, 1000, now), second / 2);
    ph_bucket_set(&b, 0);
    assert_int_equal(ph_bucket_charge(&b, 1000, now), 0);
    assert_int_equal(ph_bucket_debt(&b, now), 0);
}

TEST(one_byte_a_second_does_not_overflow)
{
    struct ph_bucket b = {0};
    ph_bucket_set(&b, 1);
    uint64_t wait = ph_bucket_charge(&b, (uint64_t)1 << 40, 100 * second);
    assert_true(wait > 0 && wait <= (uint64_t)1000000000000000000);
}

int main(void)
{
    return RUN(cmocka_unit_test(a_bucket_without_a_rate_lets_everything_pass),
               cmocka_unit_test(after_a_pause_no_more_than_the_burst_passes_at_once),
               cmocka_unit_test(over_ten_seconds_the_rate_is_kept_to_within_two_percent),
               cmocka_unit_test(debts_are_shared_by_all_who_charge),
               cmocka_unit_test(a_new_rate_counts_from_the_next_piece_on),
               cmocka_unit_test(one_byte_a_second_does_not_overflow));
}
