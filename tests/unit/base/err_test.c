#include "unit.h"

#include "pghaul/err.h"

TEST(setting_an_error_returns_false_and_clears_what_was_there)
{
    struct ph_err err = {.transient = true, .sqlstate = "40001", .hint = "old"};
    assert_false(ph_err_set(&err, PH_WRONG, "no table %s", "x"));
    assert_int_equal(err.code, PH_WRONG);
    assert_string_equal(err.text, "no table x");
    assert_string_equal(err.hint, "");
    assert_string_equal(err.sqlstate, "");
    assert_false(err.transient);
}

TEST(a_null_error_is_allowed_everywhere)
{
    assert_false(ph_err_set(NULL, PH_FAILED, "x"));
    assert_false(ph_err_prefix(NULL, "x"));
    assert_false(ph_err_hint(NULL, "x"));
    assert_false(ph_err_nomem(NULL));
}

TEST(context_goes_in_front_and_keeps_the_rest)
{
    struct ph_err err;
    ph_err_set(&err, PH_CONNECTION, "server closed the connection");
    err.transient = true;
    strcpy(err.sqlstate, "57P01");
    ph_err_hint(&err, "try again");
    assert_false(ph_err_prefix(&err, "shard %d", 7));
    assert_string_equal(err.text, "shard 7: server closed the connection");
    assert_string_equal(err.hint, "try again");
    assert_string_equal(err.sqlstate, "57P01");
    assert_true(err.transient);
    assert_int_equal(err.code, PH_CONNECTION);
}

TEST(control_characters_of_names_and_servers_do_not_reach_the_text)
{
    struct ph_err err;
    ph_err_set(&err, PH_FAILED, "a\nb\x1b[31mc\td\x7f");
    ph_err_hint(&err, "e\rf");
    assert_string_equal(err.text, "a b?[31mc?d?");
    assert_string_equal(err.hint, "e?f");
}

TEST(over_long_texts_are_cut_and_stay_terminated)
{
    static char big[4 * PH_ERR_TEXT];
    memset(big, 'x', sizeof big - 1);
    struct ph_err err;
    ph_err_set(&err, PH_FAILED, "%s", big);
    assert_int_equal(strlen(err.text), PH_ERR_TEXT - 1);
    ph_err_prefix(&err, "%s", "front");
    assert_int_equal(strlen(err.text), PH_ERR_TEXT - 1);
    assert_memory_equal(err.text, "front: xxx", 10);
    ph_err_prefix(&err, "%s", big);
    assert_int_equal(strlen(err.text), PH_ERR_TEXT - 1);
    ph_err_hint(&err, "%s", big);
    assert_int_equal(strlen(err.hint), PH_ERR_HINT - 1);
}

TEST(exit_statuses_are_those_of_the_contract)
{
    assert_int_equal(ph_err_exit_status(PH_OK), 0);
    assert_int_equal(ph_err_exit_status(PH_FAILED), 1);
    assert_int_equal(ph_err_exit_status(PH_WRONG), 2);
    assert_int_equal(ph_err_exit_status(PH_DIFFERS), 3);
    assert_int_equal(ph_err_exit_status(PH_HELD), 4);
    assert_int_equal(ph_err_exit_status(PH_OTHER_JOB), 5);
    assert_int_equal(ph_err_exit_status(PH_INTERRUPTED), 130);
    assert_int_equal(ph_err_exit_status(PH_CONNECTION), 1);
    assert_int_equal(ph_err_exit_status(PH_FENCED), 1);
}

int main(void)
{
    return RUN(cmocka_unit_test(setting_an_error_returns_false_and_clears_what_was_there),
               cmocka_unit_test(a_null_error_is_allowed_everywhere),
               cmocka_unit_test(context_goes_in_front_and_keeps_the_rest),
               cmocka_unit_test(control_characters_of_names_and_servers_do_not_reach_the_text),
               cmocka_unit_test(over_long_texts_are_cut_and_stay_terminated),
               cmocka_unit_test(exit_statuses_are_those_of_the_contract));
}
