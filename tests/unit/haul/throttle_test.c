#include "unit.h"

#include "base/clock.h"
#include "haul/throttle.h"

static struct ph_interrupt interrupt;

static void begin(struct ph_throttle *t, const struct ph_rates *rates)
{
    struct ph_err err;
    assert_true(ph_interrupt_init(&interrupt, &err));
    ph_throttle_init(t, rates, NULL, &interrupt);
    ph_throttle_crew(t, 4);
}

static void end(struct ph_throttle *t)
{
    ph_throttle_fini(t);
    ph_interrupt_fini(&interrupt);
}

TEST(a_hop_is_let_pass_at_once_when_nothing_holds_it_back)
{
    struct ph_throttle t;
    struct ph_throttle_hop hop = {0};
    struct ph_err err;
    begin(&t, &(struct ph_rates){0});
    ph_throttle_begin(&hop, &t, PH_AT_BOTH);
    assert_true(ph_throttle_wait(&hop, 1 << 30, 1 << 30, &err));
    assert_int_equal(hop.slept_ns, 0);
    ph_throttle_end(&hop);
    end(&t);
}

TEST(a_hop_waits_for_the_servers_that_it_touches_only)
{
    struct ph_throttle t;
    struct ph_throttle_hop load = {0}, read = {0};
    struct ph_err err;
    begin(&t, &(struct ph_rates){.source_bytes = 1000});
    ph_throttle_begin(&load, &t, PH_AT_TARGET);
    ph_throttle_begin(&read, &t, PH_AT_SOURCE);
    for (int i = 0; i < 3; i++) {
        assert_true(ph_throttle_wait(&load, 1000000, 1, &err));
        assert_true(ph_throttle_wait(&read, 50, 1, &err));
    }
    assert_int_equal(load.slept_ns, 0);
    assert_in_range(read.slept_ns, 95000000, 200000000);
    end(&t);
}

TEST(movers_divide_the_rate_and_none_gets_nothing)
{
    struct ph_throttle t;
    begin(&t, &(struct ph_rates){.source_bytes = 3000, .target_rows = 2});
    ph_throttle_share(&t, 3);
    assert_int_equal(atomic_load(&t.source_bytes.per_s), 1000);
    assert_int_equal(atomic_load(&t.target_rows.per_s), 1);
    ph_throttle_share(&t, 1);
    assert_int_equal(atomic_load(&t.source_bytes.per_s), 3000);
    end(&t);
}

TEST(a_held_side_gives_a_hop_a_moment_and_then_gives_it_up)
{
    struct ph_throttle t;
    struct ph_throttle_hop hop = {0}, other = {0};
    struct ph_err err;
    struct ph_hold lag = {.kind = PH_HOLD_LAG, .share = 1};
    begin(&t, &(struct ph_rates){0});
    ph_throttle_begin(&hop, &t, PH_AT_BOTH);
    ph_throttle_begin(&other, &t, PH_AT_SOURCE);
    ph_throttle_hold(&t, &lag, PH_AT_TARGET, 1, "lag of %d s", 12);
    assert_true(ph_throttle_wait(&hop, 1, 1, &err));
    ph_interrupt_sleep(&interrupt, 1, 0.3);
    assert_true(ph_throttle_wait(&other, 1, 1, &err));
    assert_false(ph_throttle_wait(&hop, 1, 1, &err));
    assert_int_equal(err.code, PH_PAUSED);
    assert_contains(err.text, "lag of 12 s");
    ph_throttle_hold(&t, &lag, 0, 1, "%s", "");
    assert_true(ph_throttle_wait(&hop, 1, 1, &err));
    end(&t);
}

TEST(who_waits_for_a_rate_is_given_up_too_when_its_server_is_held)
{
    struct ph_throttle t;
    struct ph_throttle_hop hop = {0};
    struct ph_err err;
    begin(&t, &(struct ph_rates){.target_bytes = 1});
    ph_throttle_begin(&hop, &t, PH_AT_TARGET);
    ph_throttle_hold(&t, &t.pause, PH_AT_BOTH, 1, "pause by bob");
    assert_true(ph_throttle_wait(&hop, 1000, 1, &err));
    uint64_t before = ph_clock_ns();
    assert_false(ph_throttle_wait(&hop, 1, 1, &err));
    assert_int_equal(err.code, PH_PAUSED);
    assert_in_range(ph_clock_ns() - before, 100000000, 600000000);
    end(&t);
}

TEST(the_first_hard_reason_is_shown_then_the_soft_one_that_leaves_least)
{
    struct ph_throttle t;
    char text[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused;
    struct ph_hold load = {.kind = PH_HOLD_LOAD, .share = 1},
                   canary = {.kind = PH_HOLD_CANARY, .share = 1},
                   lag = {.kind = PH_HOLD_LAG, .share = 1};
    begin(&t, &(struct ph_rates){0});
    assert_false(ph_throttle_reason(&t, text, &kind, &paused));
    ph_throttle_hold(&t, &load, 0, 0.5, "load");
    assert_true(ph_throttle_reason(&t, text, &kind, &paused));
    assert_string_equal(text, "load");
    assert_false(paused);
    ph_throttle_hold(&t, &canary, 0, 0.4, "canary");
    assert_true(ph_throttle_reason(&t, text, &kind, &paused));
    assert_string_equal(text, "canary");
    ph_throttle_hold(&t, &load, 0, 0.3, "load");
    assert_true(ph_throttle_reason(&t, text, &kind, &paused));
    assert_string_equal(text, "load");
    ph_throttle_hold(&t, &lag, PH_AT_TARGET, 1, "lag");
    ph_throttle_hold(&t, &t.pause, PH_AT_BOTH, 1, "pause");
    assert_true(ph_throttle_reason(&t, text, &kind, &paused));
    assert_string_equal(text, "lag");
    assert_true(paused);
    ph_throttle_hold(&t, &lag, 0, 1, "%s", "");
    assert_true(ph_throttle_reason(&t, text, &kind, &paused));
    assert_string_equal(text, "pause");
    assert_int_equal(ph_throttle_held(&t), PH_AT_BOTH);
    end(&t);
}

TEST(a_rate_is_no_reason_any_more_when_it_is_off)
{
    struct ph_throttle t;
    char text[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused;
    begin(&t, &(struct ph_rates){.target_bytes = 1000});
    atomic_store(&t.rate_seen_ns, ph_clock_ns());
    assert_true(ph_throttle_reason(&t, text, &kind, &paused));
    assert_string_equal(text, "rate: 1.0 KiB/s");
    t.rates.target_bytes = 0;
    ph_throttle_settle(&t);
    assert_false(ph_throttle_reason(&t, text, &kind, &paused));
    end(&t);
}

TEST(a_share_lays_workers_off_and_slows_the_last_one_down)
{
    struct ph_throttle t;
    struct ph_throttle_hop hop = {0};
    struct ph_err err;
    struct ph_hold load = {.kind = PH_HOLD_LOAD, .share = 1};
    begin(&t, &(struct ph_rates){0});
    assert_int_equal(ph_throttle_workers(&t), 4);
    ph_throttle_hold(&t, &load, 0, 0.5, "load");
    assert_int_equal(ph_throttle_workers(&t), 2);
    ph_throttle_hold(&t, &load, 0, 0.05, "load"); /* a fifth of one worker */
    assert_int_equal(ph_throttle_workers(&t), 1);
    ph_throttle_begin(&hop, &t, PH_AT_BOTH);
    assert_true(ph_throttle_wait(&hop, 1, 1, &err));
    ph_interrupt_sleep(&interrupt, 1, 0.03); /* its work */
    assert_true(ph_throttle_wait(&hop, 1, 1, &err));
    assert_in_range(hop.slept_ns, 100000000, 300000000);
    end(&t);
}

TEST(a_shard_of_one_piece_is_rested_for_in_the_next_one)
{
    struct ph_throttle t;
    struct ph_throttle_hop hop = {0};
    struct ph_err err;
    struct ph_hold canary = {.kind = PH_HOLD_CANARY, .share = 1};
    begin(&t, &(struct ph_rates){0});
    ph_throttle_hold(&t, &canary, 0, 0.05, "canary"); /* a fifth of one worker */
    ph_throttle_begin(&hop, &t, PH_AT_BOTH);
    assert_true(ph_throttle_wait(&hop, 1, 1, &err));
    ph_interrupt_sleep(&interrupt, 1, 0.03); /* its commit */
    ph_throttle_end(&hop);
    ph_interrupt_sleep(&interrupt, 1, 0.1); /* nothing to do meanwhile */
    ph_throttle_begin(&hop, &t, PH_AT_BOTH);
    assert_true(ph_throttle_wait(&hop, 1, 1, &err));
    assert_in_range(hop.slept_ns, 100000000, 300000000);
    ph_throttle_end(&hop);
    end(&t);
}

int main(void)
{
    return RUN(cmocka_unit_test(a_shard_of_one_piece_is_rested_for_in_the_next_one),
               cmocka_unit_test(a_hop_is_let_pass_at_once_when_nothing_holds_it_back),
               cmocka_unit_test(a_hop_waits_for_the_servers_that_it_touches_only),
               cmocka_unit_test(movers_divide_the_rate_and_none_gets_nothing),
               cmocka_unit_test(a_held_side_gives_a_hop_a_moment_and_then_gives_it_up),
               cmocka_unit_test(who_waits_for_a_rate_is_given_up_too_when_its_server_is_held),
               cmocka_unit_test(the_first_hard_reason_is_shown_then_the_soft_one_that_leaves_least),
               cmocka_unit_test(a_rate_is_no_reason_any_more_when_it_is_off),
               cmocka_unit_test(a_share_lays_workers_off_and_slows_the_last_one_down));
}
