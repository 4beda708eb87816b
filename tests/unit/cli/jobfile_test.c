#include "unit.h"

#include "cli/jobfile.h"
#include "cli/opts.h"

static struct ph_settings s;
static struct ph_err err;

static bool parse_n(const char *text, size_t len)
{
    ph_settings_fini(&s);
    ph_settings_init(&s);
    err = (struct ph_err){0};
    return ph_jobfile_parse(&s, "job.yaml", text, len, &err);
}

static bool parse(const char *text)
{
    return parse_n(text, strlen(text));
}

#define WRONG(part, yaml)                                                                          \
    do {                                                                                           \
        assert_false(parse(yaml));                                                                 \
        assert_int_equal(err.code, PH_WRONG);                                                      \
        assert_contains(err.text, part);                                                           \
        assert_lacks(err.text, "secret");                                                          \
    } while (0)

static const char whole[] = "source: host=a dbname=x\n"
                            "target: service=new\n"
                            "mode: upsert\n"
                            "shard_size: 64MiB\n"
                            "exclude-table: [tmp_*, '*_old']\n"
                            "strict: yes\n"
                            "tables:\n"
                            "  - public.orders\n"
                            "  - table: '\"Users\"'\n"
                            "    target: crm.people\n"
                            "    filter: \"not deleted and name <> 'it''s: #y'\"\n"
                            "    columns:\n"
                            "      email_norm: lower(trim(email))\n"
                            "      '\"q\"': '1'\n"
                            "    key: [id, Name]\n"
                            "    split: key\n"
                            "  - source: a=b\n"
                            "    columns: [x, yes, z: x||y]\n";

static void check_whole(const struct ph_job_spec *spec)
{
    const struct ph_request *r = spec->requests;
    assert_int_equal(spec->n_requests, 3);
    assert_int_equal(spec->mode, PH_UPSERT);
    assert_true(spec->strict);
    assert_int_equal(spec->shard_size, 64 << 20);
    assert_int_equal(spec->n_exclude_tables, 2);
    assert_string_equal(r[0].pattern, "public.orders");
    assert_string_equal(r[1].pattern, "\"Users\"");
    assert_string_equal(r[1].target, "crm.people");
    assert_string_equal(r[1].filter, "not deleted and name <> 'it''s: #y'");
    assert_null(r[1].columns);
    assert_int_equal(r[1].n_mappings, 2);
    assert_string_equal(r[1].mappings[0].column, "email_norm");
    assert_string_equal(r[1].mappings[0].expression, "lower(trim(email))");
    assert_string_equal(r[1].mappings[1].column, "q");
    assert_int_equal(r[1].n_key, 2);
    assert_string_equal(r[1].key[1], "Name");
    assert_int_equal(r[1].split, PH_SPLIT_KEY);
    assert_string_equal(r[2].target, "b");
    assert_int_equal(r[2].n_columns, 3);
    assert_string_equal(r[2].columns[1], "yes");
    assert_int_equal(r[2].n_mappings, 1);
    assert_string_equal(r[2].mappings[0].column, "z");
}

TEST(a_job_file_names_what_options_can_and_more)
{
    struct ph_job_spec spec;
    assert_true(parse(whole));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    check_whole(&spec);
    assert_string_equal(s.source, "host=a dbname=x");
}

TEST(what_is_written_reads_back_as_the_same)
{
    struct ph_job_spec spec;
    struct ph_buf first = {0}, second = {0};
    assert_true(parse(whole));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_true(ph_jobfile_write(&s, &spec, NULL, &first, &err));
    assert_true(parse(first.data));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    check_whole(&spec);
    assert_true(ph_jobfile_write(&s, &spec, NULL, &second, &err));
    assert_string_equal(first.data, second.data);
    ph_buf_fini(&first);
    ph_buf_fini(&second);
}

TEST(a_password_is_not_written)
{
    struct ph_job_spec spec;
    struct ph_buf text = {0};
    assert_true(
        parse("source: postgresql://bob:secret1@h/db?sslpassword=secret2&application_name=x\n"
              "target: host=h password='secret 3' user=bob\ntables: a\n"));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_true(ph_jobfile_write(&s, &spec, NULL, &text, &err));
    assert_lacks(text.data, "secret");
    assert_contains(text.data, "source: postgresql://bob@h/db?application_name=x");
    assert_contains(text.data, "target: host=h user=bob");
    assert_contains(text.data, "# The source's password is left out");
    ph_buf_fini(&text);
}

TEST(tables_may_be_a_map_a_list_or_a_word)
{
    struct ph_job_spec spec;
    assert_true(parse("tables:\n  orders:\n  users: crm.users\n  x: {where: a > 1}\n"));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_int_equal(spec.n_requests, 3);
    assert_null(spec.requests[0].target);
    assert_string_equal(spec.requests[1].target, "crm.users");
    assert_string_equal(spec.requests[2].filter, "a > 1");
    assert_true(parse("table: orders=o2"));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_string_equal(spec.requests[0].target, "o2");
}

TEST(a_byte_order_mark_and_dos_lines_are_fine)
{
    struct ph_job_spec spec;
    assert_true(parse("\xef\xbb\xbfjobs: 3\r\ntables:\r\n  - a\r\n"));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_int_equal(spec.jobs, 3);
    assert_string_equal(spec.requests[0].pattern, "a");
}

TEST(the_command_line_wins_and_keeps_what_the_file_says_of_its_table)
{
    struct ph_job_spec spec;
    assert_true(parse("jobs: 3\ntables:\n  a: {filter: x > 1}\n  b:\n"));
    assert_true(ph_option_set(&s, ph_option_find("jobs"), "5", PH_FROM_ARGUMENTS, &err));
    assert_true(ph_option_set(&s, ph_option_find("table"), "a=c", PH_FROM_ARGUMENTS, &err));
    assert_true(ph_settings_spec(&s, &spec, false, &err));
    assert_int_equal(spec.jobs, 5);
    assert_int_equal(spec.n_requests, 1);
    assert_string_equal(spec.requests[0].target, "c");
    assert_string_equal(spec.requests[0].filter, "x > 1");
}

TEST(mistakes_are_named_with_their_place)
{
    WRONG("job.yaml:1:1: the file is empty", "");
    WRONG("job.yaml:1:1: the file is empty", "# only a comment\n");
    WRONG("job.yaml:1:1: unknown key \"sorce\"", "sorce: secret");
    assert_contains(err.hint, "source");
    WRONG("job.yaml:2:1: key \"source\" stands twice", "source: a\nsource: secret");
    WRONG("job.yaml:1:9: source: a single value", "source: [a, secret]");
    WRONG("job.yaml:1:9: source: the connection URI", "source: postgresql://bob:p@secret@h/db");
    WRONG("job.yaml:1:7: jobs", "jobs: 0");
    WRONG("job.yaml:2:7: mode", "tables: x\nmode: apend");
    assert_contains(err.hint, "append");
    WRONG("job.yaml:2:5: unknown key \"tabel\"", "tables:\n  - tabel: x");
    WRONG("job.yaml:3:11: split", "tables:\n - table: x\n   split: keyy");
    WRONG("names no table", "tables:\n  - filter: x > 1");
    WRONG("filter is given twice", "tables:\n  - table: x\n    filter: a\n    where: b");
    WRONG("SQL expression is wanted", "tables:\n  - table: x\n    columns: {a: }");
    WRONG("named twice", "tables:\n  - table: x\n    columns: [a, a]");
    WRONG("twice, with different values", "shard-size: 1MiB\nshard_size: 2MiB");
    WRONG("command line only", "file: x");
    WRONG("its value is empty", "where: \"\"");
    WRONG("a map from option to value", "- a\n- b");
}

TEST(what_is_no_plain_yaml_is_refused)
{
    WRONG("not valid YAML", "source: \"abc");
    WRONG("not valid YAML", "tables:\n\t- x");
    WRONG("aliases", "jobs: &x 1\nshard-rows: *x");
    WRONG("nested too deeply", "tables: [[[[[[[[[[[[x]]]]]]]]]]]]");
    WRONG("second document", "tables: x\n---\ntables: y");
    WRONG("job.yaml:2:4: not valid UTF-8", "a: b\nx: \xff");
    WRONG("control character", "a: \001");
    assert_false(parse_n("a\0b", 3));
    assert_contains(err.text, "job.yaml:1:2: a NUL byte");
}

int main(void)
{
    int failed =
        RUN(cmocka_unit_test(a_job_file_names_what_options_can_and_more),
            cmocka_unit_test(what_is_written_reads_back_as_the_same),
            cmocka_unit_test(a_password_is_not_written),
            cmocka_unit_test(tables_may_be_a_map_a_list_or_a_word),
            cmocka_unit_test(a_byte_order_mark_and_dos_lines_are_fine),
            cmocka_unit_test(the_command_line_wins_and_keeps_what_the_file_says_of_its_table),
            cmocka_unit_test(mistakes_are_named_with_their_place),
            cmocka_unit_test(what_is_no_plain_yaml_is_refused));
    ph_settings_fini(&s);
    return failed;
}
