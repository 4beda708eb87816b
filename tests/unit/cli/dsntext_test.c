#include "unit.h"

#include "cli/dsntext.h"

static struct ph_arena arena;

#define CLEAN(text, wanted) assert_string_equal(ph_dsntext_without_password(&arena, text), wanted)

TEST(a_second_at_sign_before_the_parameters_is_refused)
{
    struct ph_err err = {0};
    assert_false(ph_dsntext_check("postgresql://bob:p@ss@h/db", &err));
    assert_false(ph_dsntext_check("postgres://bob:p@s/s@h/db", &err));
    assert_false(ph_dsntext_check("postgres://bob:p?x@ss@h/db", &err));
    assert_true(ph_dsntext_check("postgresql://bob:p%40ss@h/db?user=a@b", &err));
    assert_true(ph_dsntext_check("postgresql:///db?host=/tmp&user=a@b@c", &err));
    assert_true(ph_dsntext_check("host=h user=a@b@c", &err));
    assert_true(ph_dsntext_check("db", &err));
}

TEST(passwords_are_taken_out_of_uris)
{
    CLEAN("postgresql://bob:pw@h:5432/db", "postgresql://bob@h:5432/db");
    CLEAN("postgres://bob@h/db", "postgres://bob@h/db");
    CLEAN("postgres://h1:1,h2:2/db?password=x", "postgres://h1:1,h2:2/db");
    CLEAN("postgres://bob:p:w?@h?sslpassword=x&port=1&password=y&user=z",
          "postgres://bob@h?port=1&user=z");
}

TEST(passwords_are_taken_out_of_keywords)
{
    CLEAN("host=h password=pw user=u", "host=h user=u");
    CLEAN("password = 'a b\\' c' host = h", "host = h");
    CLEAN("host='a b' sslpassword=x\\ y", "host='a b'");
    CLEAN("service=old", "service=old");
    CLEAN("plain", "plain");
    assert_null(ph_dsntext_without_password(&arena, "host=a password='x"));
}

int main(void)
{
    int failed = RUN(cmocka_unit_test(a_second_at_sign_before_the_parameters_is_refused),
                     cmocka_unit_test(passwords_are_taken_out_of_uris),
                     cmocka_unit_test(passwords_are_taken_out_of_keywords));
    ph_arena_fini(&arena);
    return failed;
}
