#include "unit.h"

#include <stdlib.h>

#include "pg/conn.h"

static struct ph_dsn *parse(const char *text)
{
    struct ph_dsn *dsn = NULL;
    struct ph_err err = {0};
    if (!ph_dsn_parse(&dsn, "source", text, &err))
        fail_msg("\"%s\" was refused: %s", text, err.text);
    return dsn;
}

TEST(a_password_is_kept_and_never_shown)
{
    static const char *const texts[] = {
        "postgresql://bob:s3cret@db1:5433/shop",
        "postgresql://bob@db1:5433/shop?password=s3cret",
        "host=db1 port=5433 dbname=shop user=bob password=s3cret",
        "host=db1 port=5433 dbname=shop user=bob password='s3cret'",
        "host=db1 port=5433 dbname=shop user=bob sslkey=k sslpassword=s3cret",
        "postgresql://bob@db1:5433/shop?sslpassword=s3cret"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct ph_dsn *dsn = parse(texts[i]);
        assert_true(ph_dsn_has_password(dsn));
        assert_lacks(ph_dsn_shown(dsn), "s3cret");
        assert_contains(ph_dsn_shown(dsn), "shop");
        assert_contains(ph_dsn_shown(dsn), "db1");
        assert_contains(ph_dsn_shown(dsn), "bob");
        assert_string_equal(ph_dsn_side(dsn), "source");
        ph_dsn_free(dsn);
    }
}

TEST(a_string_without_a_password_has_none)
{
    struct ph_dsn *dsn = parse("host=db1 dbname=shop user=bob");
    assert_false(ph_dsn_has_password(dsn));
    ph_dsn_free(dsn);
}

TEST(a_malformed_string_is_refused_without_an_echo)
{
    static const char *const texts[] = {"postgresql://bob:s3cr%zz@db/x",
                                        "host=db password=s3cr'et x", "host=db password='s3cret",
                                        "postgresql://bob:s3cret@[::1/x", "nosuchkeyword=s3cret"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct ph_dsn *dsn = NULL;
        struct ph_err err = {0};
        if (ph_dsn_parse(&dsn, "target", texts[i], &err)) {
            ph_dsn_free(dsn);
            fail_msg("\"%s\" was taken", texts[i]);
        }
        assert_int_equal(err.code, PH_WRONG);
        assert_contains(err.text, "target");
        assert_lacks(err.text, "s3c");
        assert_lacks(err.hint, "s3c");
    }
}

TEST(no_connection_string_needs_no_freeing)
{
    ph_dsn_free(NULL);
}

TEST(a_copy_differs_in_one_parameter_alone)
{
    struct ph_err err;
    struct ph_dsn *copy = NULL, *without = NULL,
                  *dsn = parse(
                      "host=db1 port=5433 dbname='it\\'s \\\\ odd' password='p w' sslmode=require");
    assert_true(ph_dsn_with(&copy, dsn, "sslmode", "disable", &err));
    assert_string_equal(ph_dsn_get(copy, "sslmode"), "disable");
    assert_string_equal(ph_dsn_get(copy, "dbname"), "it's \\ odd");
    assert_string_equal(ph_dsn_get(copy, "password"), "p w");
    assert_string_equal(ph_dsn_side(copy), "source");
    assert_true(ph_dsn_with(&without, copy, "port", NULL, &err));
    assert_null(ph_dsn_get(without, "port"));
    assert_string_equal(ph_dsn_get(without, "host"), "db1");
    ph_dsn_free(without);
    ph_dsn_free(copy);
    ph_dsn_free(dsn);
}

TEST(what_a_service_has_to_say_is_not_guessed)
{
    struct ph_dsn *dsn = parse("service=old");
    assert_string_equal(ph_dsn_shown(dsn), "service old");
    ph_dsn_free(dsn);
    dsn = parse("service=old user=bob port=5433");
    assert_string_equal(ph_dsn_shown(dsn), "port 5433 as bob (service old)");
    ph_dsn_free(dsn);
    dsn = parse("service=old host=db1 dbname=shop");
    assert_string_equal(ph_dsn_shown(dsn), "shop at db1 (service old)");
    ph_dsn_free(dsn);
}

int main(void)
{
    /* libpq's environment would fill in what the texts leave out */
    unsetenv("PGPASSWORD");
    unsetenv("PGSERVICE");
    return RUN(cmocka_unit_test(a_password_is_kept_and_never_shown),
               cmocka_unit_test(a_string_without_a_password_has_none),
               cmocka_unit_test(a_malformed_string_is_refused_without_an_echo),
               cmocka_unit_test(no_connection_string_needs_no_freeing),
               cmocka_unit_test(a_copy_differs_in_one_parameter_alone),
               cmocka_unit_test(what_a_service_has_to_say_is_not_guessed));
}
