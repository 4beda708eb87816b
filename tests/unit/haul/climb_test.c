#include "haul/climb.h"
#include "unit.h"

/* A crew whose goodput is a function of the number of workers: what the climber asks for is there 50 ms later. */
struct crew {
    struct ph_climb climb;
    double (*rate)(int workers, double now_s);
    double now_s, bytes;
    int workers, most_seen, changes;
};

static void run(struct crew *c, double seconds, bool steady)
{
    for (double end = c->now_s + seconds; c->now_s < end; c->now_s += 0.1) {
        c->bytes += 0.1 * c->rate(c->workers, c->now_s);
        int n = ph_climb_look(&c->climb, c->now_s, (uint64_t)c->bytes, steady);
        c->changes += n != c->workers;
        c->workers = n;
        c->most_seen = n > c->most_seen ? n : c->most_seen;
    }
}

static struct crew begin(int workers, int most, double (*rate)(int, double))
{
    struct crew c = {.rate = rate, .now_s = 100, .workers = workers};
    ph_climb_begin(&c.climb, workers, 1, most);
    return c;
}

/* Two cores: two are the best, more get into each other's way. */
static double two_cores(int n, double now_s)
{
    (void)now_s;
    return n == 1 ? 60e6 : 100e6 - 2e6 * (n - 2);
}

/* A long way: each worker waits most of its time, until the wire is full at 24. */
static double long_way(int n, double now_s)
{
    (void)now_s;
    return 10e6 * (n < 24 ? n : 24);
}

/* Every few seconds rows have another price, up to five times as dear. */
static double changing_rows(int n, double now_s)
{
    uint64_t dice = (uint64_t)(now_s / 3) * 6364136223846793005u + 1442695040888963407u;
    return two_cores(n, 0) * (1 - 0.1 * (double)(dice >> 61));
}

static double flat(int n, double now_s)
{
    (void)n, (void)now_s;
    return 100e6;
}

static void a_number_that_is_the_best_is_kept_at_little_cost(void **state)
{
    (void)state;
    static const int seconds[] = {4, 10, 60, 600};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        struct crew c = begin(2, 16, two_cores);
        run(&c, seconds[i], true);
        assert_int_equal(c.climb.at, 2);
        assert_true(c.bytes >= 0.97 * 100e6 * seconds[i]);
    }
}

static void too_many_become_fewer(void **state)
{
    (void)state;
    struct crew c = begin(16, 64, two_cores);
    run(&c, 60, true);
    assert_true(c.climb.at <= 4);
}

static void too_few_become_many(void **state)
{
    (void)state;
    struct crew c = begin(4, 64, long_way);
    run(&c, 60, true);
    assert_in_range(c.climb.at, 20, 36);
    run(&c, 240, true);
    assert_true(c.bytes >= 0.9 * 300 * long_way(24, 0));
}

static void it_stays_within_its_bounds(void **state)
{
    (void)state;
    struct crew c = begin(4, 10, long_way);
    run(&c, 120, true);
    assert_int_equal(c.climb.at, 10);
    assert_int_equal(c.most_seen, 10);
    struct crew one = begin(1, 1, long_way);
    run(&one, 60, true);
    assert_int_equal(one.changes, 0);
}

static void rows_whose_price_changes_do_not_pass_for_a_better_number(void **state)
{
    (void)state;
    struct crew c = begin(2, 16, changing_rows);
    double fixed = 0;
    for (double now_s = 100; now_s < 700; now_s += 0.1)
        fixed += 0.1 * changing_rows(2, now_s);
    run(&c, 600, true);
    assert_true(c.bytes >= 0.97 * fixed);
}

static void where_the_number_does_not_matter_it_stays_and_trials_get_rare(void **state)
{
    (void)state;
    struct crew c = begin(4, 16, flat);
    run(&c, 60, true);
    int early = c.changes;
    assert_int_equal(c.climb.at, 4);
    run(&c, 600, true);
    assert_true(c.changes - early <= 2 * early);
}

static void while_something_else_holds_nothing_is_tried(void **state)
{
    (void)state;
    struct crew c = begin(4, 64, long_way);
    run(&c, 60, false);
    assert_int_equal(c.changes, 0);
    /* a trial that is interrupted does not leave its number behind */
    while (c.workers == 4)
        run(&c, 0.05, true);
    run(&c, 0.05, false);
    assert_int_equal(c.workers, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_that_is_the_best_is_kept_at_little_cost),
        cmocka_unit_test(too_many_become_fewer),
        cmocka_unit_test(too_few_become_many),
        cmocka_unit_test(it_stays_within_its_bounds),
        cmocka_unit_test(rows_whose_price_changes_do_not_pass_for_a_better_number),
        cmocka_unit_test(where_the_number_does_not_matter_it_stays_and_trials_get_rare),
        cmocka_unit_test(while_something_else_holds_nothing_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
