#include "unit.h"

#include <signal.h>
#include <stdlib.h>

#include "pg/program.h"

static struct ph_err err;
static struct ph_buf out;

static bool shell(const char *script, const char *const *env, const struct ph_buf *file,
                  struct ph_interrupt *interrupt)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct ph_program program = {
        .path = "/bin/sh", .argv = argv, .env = env, .files = {file}, .interrupt = interrupt};
    ph_buf_clear(&out);
    return ph_program_run(&program, &out, &err);
}

TEST(what_it_prints_is_gathered)
{
    assert_true(shell("seq 1 100000 | tail -1; cat", NULL, NULL, NULL));
    assert_string_equal(ph_buf_text(&out), "100000\n");
}

TEST(the_environment_is_ours_with_more)
{
    const char *const env[] = {"PGPASSWORD=x y", "HOME=elsewhere", NULL};
    setenv("PH_TEST_OURS", "ours", 1);
    assert_true(shell("echo $PGPASSWORD,$HOME,$PH_TEST_OURS", env, NULL, NULL));
    assert_string_equal(ph_buf_text(&out), "x y,elsewhere,ours\n");
}

TEST(a_file_of_it_is_in_memory_and_read_from_the_beginning_each_time)
{
    const struct ph_buf file = {.data = "bytes", .len = 5};
    struct ph_buf script = {0};
    ph_buf_addf(&script, "cat %s %s", ph_program_file(0), ph_program_file(0));
    assert_true(shell(script.data, NULL, &file, NULL));
    assert_string_equal(ph_buf_text(&out), "bytesbytes");
    ph_buf_fini(&script);
}

TEST(its_first_error_is_the_text)
{
    assert_false(shell("echo 'pg_dump: warning: odd' >&2; echo 'pg_dump: error: no such thing' >&2;"
                       "echo 'pg_dump: error: query was' >&2; exit 1",
                       NULL, NULL, NULL));
    assert_int_equal(err.code, PH_FAILED);
    assert_string_equal(err.text, "sh: no such thing");
    assert_false(shell("exit 3", NULL, NULL, NULL));
    assert_contains(err.text, "status 3");
    assert_false(shell("kill -9 $$", NULL, NULL, NULL));
    assert_contains(err.text, "signal 9");
}

TEST(what_is_ignored_here_is_not_there)
{
    signal(SIGPIPE, SIG_IGN);
    assert_true(shell("yes | head -1", NULL, NULL, NULL)); /* yes dies of it, without a word */
    assert_string_equal(ph_buf_text(&out), "y\n");
}

TEST(an_interrupt_ends_it)
{
    struct ph_interrupt interrupt;
    assert_true(ph_interrupt_init(&interrupt, &err));
    ph_interrupt_raise(&interrupt);
    assert_false(shell("sleep 100", NULL, NULL, &interrupt));
    assert_int_equal(err.code, PH_INTERRUPTED);
    ph_interrupt_fini(&interrupt);
}

TEST(a_program_that_is_not_there_is_an_error)
{
    const char *const argv[] = {"nothing", NULL};
    struct ph_program program = {.path = "/nowhere/nothing", .argv = argv};
    assert_false(ph_program_run(&program, &out, &err));
    assert_contains(err.text, "cannot run /nowhere/nothing");
}

int main(void)
{
    int rc = RUN(cmocka_unit_test(what_it_prints_is_gathered),
                 cmocka_unit_test(the_environment_is_ours_with_more),
                 cmocka_unit_test(a_file_of_it_is_in_memory_and_read_from_the_beginning_each_time),
                 cmocka_unit_test(its_first_error_is_the_text),
                 cmocka_unit_test(what_is_ignored_here_is_not_there),
                 cmocka_unit_test(an_interrupt_ends_it),
                 cmocka_unit_test(a_program_that_is_not_there_is_an_error));
    ph_buf_fini(&out);
    return rc;
}
