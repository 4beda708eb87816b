#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"

static char path[] = "/tmp/pghaul-log-XXXXXX";
static char text[65536];

static struct ph_log *open_log(bool json, enum ph_log_level level)
{
    struct ph_log *log;
    struct ph_err err;
    assert_int_equal(truncate(path, 0), 0);
    struct ph_log_opts opts = {.level = level, .json = json, .file = path};
    assert_true(ph_log_open(&log, &opts, &err));
    return log;
}

static void read_back(struct ph_log *log)
{
    ph_log_close(log);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
}

static size_t count_lines(void)
{
    size_t n = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

TEST(only_what_is_coarse_enough_is_written)
{
    struct ph_log *log = open_log(false, PH_LOG_NOTE);
    ph_log(log, PH_LOG_ERROR, "one");
    ph_log(log, PH_LOG_NOTE, "two");
    ph_log(log, PH_LOG_INFO, "three");
    ph_log(log, PH_LOG_DEBUG, "four");
    read_back(log);
    assert_contains(text, "error: one");
    assert_contains(text, "two");
    assert_lacks(text, "three");
    assert_lacks(text, "four");
    assert_int_equal(count_lines(), 2);
}

TEST(an_event_is_one_line_whatever_it_says)
{
    struct ph_log *log = open_log(false, PH_LOG_DEBUG);
    ph_log(log, PH_LOG_INFO, "a\nb\x1b[2Jc\r");
    static char big[9000];
    memset(big, 'x', sizeof big - 1);
    ph_log(log, PH_LOG_INFO, "%s", big);
    read_back(log);
    assert_int_equal(count_lines(), 2);
    assert_contains(text, "a b?[2Jc?");
    assert_int_equal(text[strlen(text) - 1], '\n');
}

TEST(each_json_line_is_an_object_with_time_level_and_message)
{
    struct ph_log *log = open_log(true, PH_LOG_DEBUG);
    ph_log(log, PH_LOG_WARN, "quote \" backslash \\ newline \n unicode é");
    ph_log(log, PH_LOG_INFO, "plain");
    read_back(log);
    assert_int_equal(count_lines(), 2);
    *strchr(text, '\n') = '\0';
    json_error_t error;
    json_t *object = json_loads(text, 0, &error);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "level")), "warning");
    assert_string_equal(json_string_value(json_object_get(object, "message")),
                        "quote \" backslash \\ newline   unicode é");
    assert_non_null(json_string_value(json_object_get(object, "time")));
    json_decref(object);
}

TEST(an_error_is_logged_with_its_hint)
{
    struct ph_log *log = open_log(false, PH_LOG_INFO);
    struct ph_err err;
    ph_err_set(&err, PH_WRONG, "no table x");
    ph_err_hint(&err, "did you mean y?");
    ph_log_err(log, PH_LOG_ERROR, &err);
    ph_err_set(&err, PH_FAILED, "100%% %s", "%s%n");
    ph_log_err(log, PH_LOG_ERROR, &err);
    read_back(log);
    assert_contains(text, "no table x");
    assert_contains(text, "hint: did you mean y?");
    assert_contains(text, "100% %s%n");
}

TEST(a_file_that_cannot_be_opened_is_the_users_mistake)
{
    struct ph_log *log = NULL;
    struct ph_err err = {0};
    assert_false(ph_log_open(&log, &(struct ph_log_opts){.file = "/nonexistent/dir/log"}, &err));
    assert_int_equal(err.code, PH_WRONG);
    assert_contains(err.text, "/nonexistent/dir/log");
}

TEST(no_log_is_a_log_that_says_nothing)
{
    ph_log(NULL, PH_LOG_ERROR, "x");
    ph_log_close(NULL);
}

TEST(an_event_has_its_name_its_job_and_what_it_is_about)
{
    struct ph_log *log = open_log(true, PH_LOG_INFO);
    ph_log_set_job(log, "nightly");
    const struct ph_log_fields f = {
        .event = "landed", .shard = 3, .table = "public.\"o\xff\"", .rows = 7, .bytes = 70};
    ph_log_event(log, PH_LOG_INFO, &f, "shard %d", 3);
    ph_log_event(log, PH_LOG_DEBUG, &f, "too fine");
    read_back(log);
    assert_int_equal(count_lines(), 1);
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "event")), "landed");
    assert_string_equal(json_string_value(json_object_get(line, "job")), "nightly");
    assert_string_equal(json_string_value(json_object_get(line, "table")), "public.\"o?\"");
    assert_int_equal(json_integer_value(json_object_get(line, "shard")), 3);
    assert_int_equal(json_integer_value(json_object_get(line, "rows")), 7);
    assert_string_equal(json_string_value(json_object_get(line, "message")), "shard 3");
    assert_string_equal(json_string_value(json_object_get(line, "ts")),
                        json_string_value(json_object_get(line, "time")));
    json_decref(line);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int failed = RUN(cmocka_unit_test(only_what_is_coarse_enough_is_written),
                     cmocka_unit_test(an_event_is_one_line_whatever_it_says),
                     cmocka_unit_test(each_json_line_is_an_object_with_time_level_and_message),
                     cmocka_unit_test(an_error_is_logged_with_its_hint),
                     cmocka_unit_test(a_file_that_cannot_be_opened_is_the_users_mistake),
                     cmocka_unit_test(no_log_is_a_log_that_says_nothing),
                     cmocka_unit_test(an_event_has_its_name_its_job_and_what_it_is_about));
    unlink(path);
    return failed;
}
