#include "unit.h"

#include <stdlib.h>

#include "cli/help.h"
#include "cli/opts.h"

static struct ph_settings s;
static struct ph_command_line line;
static struct ph_err err;
static char memory[64][128];

/* Parses a command line; arguments end with NULL. */
static bool parse(const char *first, ...)
{
    char *argv[64] = {strcpy(memory[0], "pghaul")};
    int argc = 1;
    va_list ap;
    va_start(ap, first);
    for (const char *arg = first; arg; arg = va_arg(ap, const char *), argc++)
        argv[argc] = strcpy(memory[argc], arg);
    va_end(ap);
    ph_settings_fini(&s);
    ph_settings_init(&s);
    err = (struct ph_err){0};
    return ph_opts_parse(&s, &line, argc, argv, &err);
}

#define WRONG(part, ...)                                                                           \
    do {                                                                                           \
        assert_false(parse(__VA_ARGS__, NULL));                                                    \
        assert_int_equal(err.code, PH_WRONG);                                                      \
        assert_contains(err.text, part);                                                           \
    } while (0)

TEST(options_come_in_every_form_that_gnu_programs_take)
{
    assert_true(parse("copy", "-s", "a", "--target=b", "-t", "x", "-tY", "--table", "z", "-j4",
                      "-nq", "myjob", NULL));
    assert_string_equal(line.command->name, "copy");
    assert_string_equal(s.source, "a");
    assert_string_equal(s.target, "b");
    assert_int_equal(s.tables.n, 3);
    assert_string_equal(s.tables.item[1], "Y");
    assert_int_equal(s.jobs, 4);
    assert_true(s.dry_run && s.quiet);
    assert_string_equal(s.job, "myjob");
}

TEST(the_number_of_workers_may_be_left_to_the_run)
{
    assert_true(parse("copy", "-j", "auto", NULL));
    assert_int_equal(s.jobs, PH_JOBS_AUTO);
}

TEST(options_may_stand_before_the_command_and_after_operands)
{
    assert_true(parse("--json", "status", "j1", "-d", "x", "--shards", NULL));
    assert_string_equal(line.command->name, "status");
    assert_true(s.json && s.shards);
}

TEST(schema_without_a_value_means_definitions_where_verify_is_asked)
{
    assert_true(parse("verify", "--schema", "-t", "x", NULL));
    assert_true(s.definitions);
    assert_int_equal(s.schemas.n, 0);
    assert_true(parse("verify", "--schema", "public", "--schema=s", "--schema", NULL));
    assert_true(s.definitions);
    assert_int_equal(s.schemas.n, 2);
    assert_true(parse("verify", "--schema", "public", NULL));
    assert_false(s.definitions);
    WRONG("needs a value", "copy", "--schema", "-t", "x");
}

TEST(after_two_dashes_everything_is_an_operand)
{
    assert_true(parse("copy", "--", "-h", NULL));
    assert_false(s.help);
    assert_string_equal(s.job, "-h");
}

TEST(values_are_read_by_their_type)
{
    assert_true(parse("copy", "--shard-size", "64MiB", "--shard-rows=200k", "--max-outage", "5m",
                      "--mode", "replace", "--triggers=skip", "-vv", "--split", "key", NULL));
    assert_int_equal(s.shard_size, 64 << 20);
    assert_int_equal(s.shard_rows, 200000);
    assert_true(s.max_outage_s == 300);
    assert_int_equal(s.mode, PH_REPLACE);
    assert_int_equal(s.triggers, PH_TRIGGERS_SKIP);
    assert_int_equal(s.split, PH_SPLIT_KEY);
    assert_int_equal(s.verbose, 2);
}

TEST(names_fold_unless_they_are_quoted)
{
    assert_true(parse("copy", "--columns", "Id, \"Na,me\",\"a\"\"b\"", NULL));
    assert_int_equal(s.columns.n, 3);
    assert_string_equal(s.columns.item[0], "id");
    assert_string_equal(s.columns.item[1], "Na,me");
    assert_string_equal(s.columns.item[2], "a\"b");
}

TEST(unknown_words_are_refused_with_the_nearest_known_one)
{
    WRONG("unknown option --tabel", "copy", "--tabel", "x");
    assert_contains(err.hint, "--table");
    WRONG("unknown option -table", "copy", "-table=x");
    WRONG("unknown option -Z", "copy", "-Z");
    WRONG("unknown command \"cpoy\"", "cpoy");
    assert_contains(err.hint, "copy");
    WRONG("stage is not in this release", "stage");
    WRONG("not one of append", "copy", "--mode", "upsrt");
    assert_contains(err.hint, "upsert");
    WRONG("from 1 to 256", "copy", "-j", "autp");
    assert_contains(err.hint, "did you mean auto?");
    WRONG("from 1 to 256", "copy", "-j", "0");
    assert_contains(err.hint, "auto");
}

TEST(wrong_values_are_refused)
{
    WRONG("from 1 to 256", "copy", "-j0");
    WRONG("from 1 to 256", "copy", "-j", "-1");
    WRONG("from 1 to 256", "copy", "--jobs=1e9");
    WRONG("from 1 to 256", "copy", "--jobs=automatic");
    WRONG("from 1 to 256", "copy", "--jobs", "9999999999999999999");
    WRONG("is empty", "copy", "--jobs=");
    WRONG("is empty", "copy", "-t", "");
    WRONG("not a size", "copy", "--memory", "10XB");
    WRONG("not a size", "copy", "--shard-size", "0");
    WRONG("not between", "copy", "--keep-snapshot", "0");
    WRONG("UTF-8", "copy", "-t", "\xff");
    WRONG("takes no value", "copy", "--json=yes");
    WRONG("needs a value", "copy", "-s");
    WRONG("needs a value", "copy", "-s", "-d", "x");
    WRONG("too many arguments", "copy", "a", "b");
    WRONG("not the name of a job", "copy", "host=x");
    WRONG("named twice", "copy", "--key", "a,a");
    WRONG("empty", "copy", "--key", "a,,b");
    WRONG("more than one @", "copy", "-s", "postgresql://bob:p@ss@h/db");
    assert_lacks(err.text, "ss@h");
}

TEST(an_option_given_twice_has_to_say_the_same)
{
    assert_true(parse("copy", "-j2", "--jobs=2", NULL));
    WRONG("twice", "copy", "-j2", "-j3");
    WRONG("twice", "copy", "-s", "secret1", "-s", "secret2");
    assert_lacks(err.text, "secret");
}

TEST(an_option_of_another_command_is_refused)
{
    WRONG("status does not take option --jobs", "status", "-j2");
    assert_contains(err.hint, "plan, copy");
    WRONG("plan does not take option --watch", "plan", "--watch");
    assert_true(parse("plan", "--max-rate", "1MiB", "--max-lag", "9s", "--verify", "--join", NULL));
}

TEST(json_is_known_even_when_parsing_fails)
{
    assert_false(parse("copy", "--bogus", "--json", NULL));
    assert_true(line.wants_json);
}

TEST(the_command_line_wins_over_the_environment)
{
    setenv("PGHAUL_JOBS", "7", 1);
    setenv("PGHAUL_TABLE", "a,\"b,c\"", 1);
    setenv("PGHAUL_STRICT", "yes", 1);
    setenv("PGHAUL_MODE", "", 1);
    assert_true(parse("copy", "-j2", NULL));
    assert_true(ph_opts_environment(&s, PH_CMD_COPY, &err));
    assert_int_equal(s.jobs, 2);
    assert_int_equal(s.tables.n, 2);
    assert_string_equal(s.tables.item[1], "\"b,c\"");
    assert_true(s.strict);
    assert_true(parse("copy", "-t", "x", NULL));
    assert_true(ph_opts_environment(&s, PH_CMD_COPY, &err));
    assert_int_equal(s.jobs, 7);
    assert_int_equal(s.tables.n, 1);
    setenv("PGHAUL_JOBS", "abc", 1);
    assert_false(ph_opts_environment(&s, PH_CMD_COPY, &err));
    assert_contains(err.text, "PGHAUL_JOBS");
    assert_true(parse("status", NULL)); /* which has no such option */
    assert_true(ph_opts_environment(&s, PH_CMD_STATUS, &err));
    unsetenv("PGHAUL_JOBS");
    unsetenv("PGHAUL_TABLE");
    unsetenv("PGHAUL_STRICT");
    unsetenv("PGHAUL_MODE");
}

TEST(a_misspelt_variable_is_told_from_somebody_elses)
{
    char meant[64];
    assert_string_equal(ph_opts_stray_variable("PGHAUL_SHARDSIZE", meant), "PGHAUL_SHARD_SIZE");
    assert_string_equal(ph_opts_stray_variable("PGHAUL_TRAGET", meant), "PGHAUL_TARGET");
    static const char *const fine[] = {"PGHAUL_TARGET",    "PGHAUL_SHARD_SIZE", "PGHAUL_FAULT",
                                       "PGHAUL_FAULT_LOG", "PGHAUL_VERSION",    "PGHAUL_HOME",
                                       "PGHAUL_",          "PGHAULER",          "PATH"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_null(ph_opts_stray_variable(fine[i], meant));
    setenv("PGHAUL_VERSION", "1.2.3", 1); /* as images of containers have it */
    assert_true(parse("status", NULL));
    assert_true(ph_opts_environment(&s, PH_CMD_STATUS, &err));
    unsetenv("PGHAUL_VERSION");
}

TEST(filters_and_columns_are_for_a_single_table)
{
    struct ph_job_spec spec;
    assert_true(parse("copy", "-t", "a=b.c", "--where", "x > 1", "--key", "id", NULL));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_int_equal(spec.n_requests, 1);
    assert_string_equal(spec.requests[0].pattern, "a");
    assert_string_equal(spec.requests[0].target, "b.c");
    assert_string_equal(spec.requests[0].filter, "x > 1");
    assert_int_equal(spec.requests[0].n_key, 1);
    assert_true(parse("copy", "-t", "a", "-t", "b", "--where", "x > 1", NULL));
    assert_false(ph_settings_spec(&s, &spec, false, &err));
    assert_true(parse("copy", "-t", "a*", "--columns", "x", NULL));
    assert_false(ph_settings_spec(&s, &spec, false, &err));
    assert_true(parse("copy", "--all", "--key", "x", NULL));
    assert_false(ph_settings_spec(&s, &spec, false, &err));
    assert_true(parse("copy", NULL));
    assert_false(ph_settings_spec(&s, &spec, false, &err));
    assert_contains(err.text, "no table is named");
}

TEST(table_names_that_cannot_be_are_refused)
{
    static const char *const wrong[] = {"a=\"b", "\"a",  "a..b", ".a",   "=b",
                                        "a=",    "a*=b", "a=b*", "a=b=c"};
    struct ph_job_spec spec;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_true(parse("copy", "-t", wrong[i], NULL));
        assert_false(ph_settings_spec(&s, &spec, false, &err));
        assert_int_equal(err.code, PH_WRONG);
    }
    assert_true(parse("copy", "-t", "\"a=b*\".\"x\"\"\"=\"c d\"", NULL));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_string_equal(spec.requests[0].pattern, "\"a=b*\".\"x\"\"\"");
    assert_string_equal(spec.requests[0].target, "\"c d\"");
}

TEST(help_is_at_most_a_hundred_columns_wide_and_names_every_option)
{
    struct ph_buf text = {0};
    ph_help_text(&text, NULL);
    for (size_t i = 0; i < ph_n_commands; i++)
        ph_help_text(&text, &ph_commands[i]);
    for (size_t i = 0; i < ph_n_options; i++)
        if (!(ph_options[i].flags & PH_OPT_HIDDEN))
            assert_contains(text.data, ph_options[i].name);
    for (const char *p = text.data; *p; p += strcspn(p, "\n") + 1)
        assert_in_range(strcspn(p, "\n"), 0, 100);
    ph_buf_fini(&text);
}

TEST(no_two_options_share_a_letter_or_a_name)
{
    for (size_t i = 0; i < ph_n_options; i++) {
        assert_ptr_equal(ph_option_find(ph_options[i].name), &ph_options[i]);
        if (ph_options[i].letter)
            assert_ptr_equal(ph_option_find_letter(ph_options[i].letter), &ph_options[i]);
    }
}

int main(void)
{
    int failed =
        RUN(cmocka_unit_test(options_come_in_every_form_that_gnu_programs_take),
            cmocka_unit_test(the_number_of_workers_may_be_left_to_the_run),
            cmocka_unit_test(options_may_stand_before_the_command_and_after_operands),
            cmocka_unit_test(schema_without_a_value_means_definitions_where_verify_is_asked),
            cmocka_unit_test(after_two_dashes_everything_is_an_operand),
            cmocka_unit_test(values_are_read_by_their_type),
            cmocka_unit_test(names_fold_unless_they_are_quoted),
            cmocka_unit_test(unknown_words_are_refused_with_the_nearest_known_one),
            cmocka_unit_test(wrong_values_are_refused),
            cmocka_unit_test(an_option_given_twice_has_to_say_the_same),
            cmocka_unit_test(an_option_of_another_command_is_refused),
            cmocka_unit_test(json_is_known_even_when_parsing_fails),
            cmocka_unit_test(the_command_line_wins_over_the_environment),
            cmocka_unit_test(a_misspelt_variable_is_told_from_somebody_elses),
            cmocka_unit_test(filters_and_columns_are_for_a_single_table),
            cmocka_unit_test(table_names_that_cannot_be_are_refused),
            cmocka_unit_test(help_is_at_most_a_hundred_columns_wide_and_names_every_option),
            cmocka_unit_test(no_two_options_share_a_letter_or_a_name));
    ph_settings_fini(&s);
    return failed;
}
