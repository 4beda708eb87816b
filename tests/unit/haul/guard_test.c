#include "unit.h"

#include "haul/guard.h"

TEST(how_often_within_what_time_is_read)
{
    int n;
    double within_s;
    struct ph_err err;
    assert_true(ph_guard_often("3/10m", &n, &within_s, &err));
    assert_int_equal(n, 3);
    assert_true(within_s == 600);
    static const char *const wrong[] = {"",      "3",      "/10m", "3/",      "0/10m", "-1/10m",
                                        "3/10x", "3/10m/", "x/1h", "512/10m", "3/0",   "3 /1m"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (ph_guard_often(wrong[i], &n, &within_s, &err))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(err.code, PH_WRONG);
    }
}

TEST(a_query_says_of_which_server_it_is)
{
    bool source;
    const char *sql;
    assert_true(ph_guard_side("source:select 1", &source, &sql) && source);
    assert_string_equal(sql, "select 1");
    assert_true(ph_guard_side("target:select 2", &source, &sql) && !source);
    assert_false(ph_guard_side("select 'source:'", &source, &sql));
    assert_string_equal(sql, "select 'source:'");
}

TEST(a_canary_of_commits_is_of_every_server_unless_it_says_of_which)
{
    static const char *const canaries[] = {"commit", "select 1, 2", "source:commit"};
    const struct ph_guard_limits limits = {.canary = canaries, .n_canary = 3};
    const struct ph_dsn *server = (const void *)&limits; /* nobody is asked here */
    struct ph_guards guards;
    struct ph_err err;
    assert_true(ph_guards_init(
        &guards, &(struct ph_guards_opts){.limits = &limits, .source = server, .target = server},
        &err));
    assert_int_equal(guards.n, 4);
    static const bool source[] = {true, false, false, true};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(guards.guard[i].hold.kind, PH_HOLD_CANARY);
        assert_int_equal(guards.guard[i].source, source[i]);
        if (i != 2)
            assert_contains(guards.guard[i].sql, "pg_logical_emit_message(true");
    }
    assert_string_equal(guards.guard[2].sql, "select 1, 2");
    ph_guards_fini(&guards);
    assert_false(ph_guards_init(
        &guards, &(struct ph_guards_opts){.limits = &limits, .target = server}, &err));
    assert_int_equal(err.code, PH_WRONG); /* source:commit, and there is none */
    ph_guards_fini(&guards);
}

int main(void)
{
    return RUN(cmocka_unit_test(a_canary_of_commits_is_of_every_server_unless_it_says_of_which),
               cmocka_unit_test(how_often_within_what_time_is_read),
               cmocka_unit_test(a_query_says_of_which_server_it_is));
}
