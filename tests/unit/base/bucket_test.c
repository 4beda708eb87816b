/* Buckets over a clock of our own: workers in turn, each waiting for what its turn says. */
#include "unit.h"

#include <stdlib.h>

#include "base/bucket.h"

enum { MAX_PASSED = 400000 };
static const uint64_t second = 1000000000;

struct passed {
    uint64_t at_ns, n;
};
static struct passed passed[MAX_PASSED];
static int n_passed;

/* `workers` pass pieces of n for `seconds`, as fast as the bucket lets them; each piece takes its worker `work_ns` besides. */
static void pass(struct ph_bucket *bucket, int workers, uint64_t n, uint64_t work_ns,
                 uint64_t begin, double seconds)
{
    uint64_t ready[16], end = begin + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < workers; i++)
        ready[i] = begin;
    for (;;) {
        int next = 0;
        for (int i = 1; i < workers; i++)
            if (ready[i] < ready[next])
                next = i;
        uint64_t now = ready[next];
        if (now >= end || n_passed == MAX_PASSED)
            return;
        struct ph_bucket_turn turn = ph_bucket_take(bucket, n, now);
        now += ph_bucket_wait(bucket, &turn, now);
        passed[n_passed++] = (struct passed){now, n};
        ready[next] = now + work_ns;
    }
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = ((const struct passed *)a)->at_ns, y = ((const struct passed *)b)->at_ns;
    return (x > y) - (x < y);
}

/* The most and the least that passed within any window that begins with a piece and lies before `end`. */
static void windows(uint64_t length, uint64_t end, double *most, double *least)
{
    qsort(passed, (size_t)n_passed, sizeof *passed, by_time);
    uint64_t sum = 0;
    *most = 0, *least = 1e30;
    for (int i = 0, j = 0; i < n_passed; i++) {
        for (; j < n_passed && passed[j].at_ns < passed[i].at_ns + length; j++)
            sum += passed[j].n;
        if (passed[i].at_ns + length > end)
            break;
        *most = (double)sum > *most ? (double)sum : *most;
        *least = (double)sum < *least ? (double)sum : *least;
        sum -= passed[i].n;
    }
}

static void check_rate(uint64_t per_s, uint64_t piece, int workers)
{
    struct ph_bucket bucket = {0};
    double most, least;
    uint64_t begin = 77 * second;
    n_passed = 0;
    ph_bucket_set(&bucket, per_s, begin);
    pass(&bucket, workers, piece, 20000, begin, 25);
    windows(10 * second, begin + 25 * second, &most, &least);
    if (most > 10.16 * (double)per_s || least < 9.8 * (double)per_s)
        fail_msg("%ju a second by %d workers: %.0f to %.0f in 10 s", (uintmax_t)per_s, workers,
                 least, most);
    windows(second, begin + 25 * second, &most, &least);
    if (most > 1.16 * (double)per_s)
        fail_msg("%ju a second by %d workers: %.0f in 1 s", (uintmax_t)per_s, workers, most);
}

TEST(the_rate_is_kept_in_any_second_and_any_ten_by_one_worker_and_by_many)
{
    for (int workers = 1; workers <= 16; workers *= 4) {
        check_rate(1 << 20, 65536, workers);
        check_rate(20 << 20, 65536, workers);
        check_rate(200 << 20, 65536, workers);
        check_rate(50000, 900, workers);
    }
}

TEST(a_new_bucket_has_no_burst)
{
    struct ph_bucket bucket = {0};
    ph_bucket_set(&bucket, 1000, second);
    struct ph_bucket_turn first = ph_bucket_take(&bucket, 100, second);
    struct ph_bucket_turn then = ph_bucket_take(&bucket, 100, second);
    assert_int_equal(ph_bucket_wait(&bucket, &first, second), 0);
    assert_int_equal(ph_bucket_wait(&bucket, &then, second), 100000000);
    assert_int_equal(ph_bucket_debt(&bucket, second), 200000000);
}

TEST(after_an_idle_time_no_more_than_the_burst_passes_at_once)
{
    struct ph_bucket bucket = {0};
    uint64_t later = 60 * second;
    int at_once = 0;
    ph_bucket_set(&bucket, 1000, second);
    ph_bucket_take(&bucket, 1, second);
    for (struct ph_bucket_turn turn;; at_once++) {
        turn = ph_bucket_take(&bucket, 1, later);
        if (ph_bucket_wait(&bucket, &turn, later))
            break;
    }
    assert_int_equal(at_once, 150);
}

TEST(who_waits_waits_for_what_is_left_at_the_new_rate)
{
    struct ph_bucket bucket = {0};
    ph_bucket_set(&bucket, 10, second);
    ph_bucket_take(&bucket, 1000, second);
    struct ph_bucket_turn turn = ph_bucket_take(&bucket, 1, second);
    assert_int_equal(ph_bucket_wait(&bucket, &turn, second), 100 * second);
    ph_bucket_set(&bucket, 100, 51 * second);
    assert_int_equal(ph_bucket_wait(&bucket, &turn, 51 * second), 5 * second);
    assert_in_range(ph_bucket_debt(&bucket, 51 * second), 5 * second, 5 * second + second / 10);
    ph_bucket_set(&bucket, 0, 52 * second);
    assert_int_equal(ph_bucket_wait(&bucket, &turn, 52 * second), 0);
    assert_int_equal(ph_bucket_debt(&bucket, 52 * second), 0);
}

TEST(a_bucket_without_a_limit_never_makes_wait)
{
    struct ph_bucket bucket = {0};
    struct ph_bucket_turn turn = ph_bucket_take(&bucket, UINT64_MAX, second);
    assert_int_equal(ph_bucket_wait(&bucket, &turn, second), 0);
}

TEST(one_unit_a_second_and_a_huge_piece_overflow_nothing)
{
    struct ph_bucket bucket = {0};
    ph_bucket_set(&bucket, 1, second);
    for (int i = 0; i < 3; i++)
        ph_bucket_take(&bucket, UINT64_MAX, second);
    struct ph_bucket_turn turn = ph_bucket_take(&bucket, 1, second);
    assert_true(ph_bucket_wait(&bucket, &turn, second) > 1000000 * second);
    ph_bucket_set(&bucket, UINT64_MAX, second);
    assert_true(ph_bucket_wait(&bucket, &turn, second) < 3 * second);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(the_rate_is_kept_in_any_second_and_any_ten_by_one_worker_and_by_many),
        cmocka_unit_test(a_new_bucket_has_no_burst),
        cmocka_unit_test(after_an_idle_time_no_more_than_the_burst_passes_at_once),
        cmocka_unit_test(who_waits_waits_for_what_is_left_at_the_new_rate),
        cmocka_unit_test(a_bucket_without_a_limit_never_makes_wait),
        cmocka_unit_test(one_unit_a_second_and_a_huge_piece_overflow_nothing));
}
