#include "unit.h"

#include "base/near.h"

static const char *const known[] = {"source", "target", "table", NULL, "shard-size", "jobs"};
enum { N = sizeof known / sizeof *known };

TEST(a_slip_of_the_finger_finds_its_word)
{
    assert_string_equal(ph_near("sorce", known, N), "source");
    assert_string_equal(ph_near("taget", known, N), "target");
    assert_string_equal(ph_near("tabel", known, N), "table");
    assert_string_equal(ph_near("shardsize", known, N), "shard-size");
    assert_string_equal(ph_near("JOBS", known, N), "jobs");
}

TEST(what_resembles_nothing_finds_nothing)
{
    assert_null(ph_near("zzzzzzzz", known, N));
    assert_null(ph_near("", known, N));
    assert_null(ph_near("x", known, N));
    assert_null(ph_near("source", known, 0));
}

TEST(words_of_any_length_are_survived)
{
    char longest[500];
    memset(longest, 's', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *const odd[] = {longest, "", "s"};
    assert_null(ph_near(longest, known, N));
    assert_null(ph_near("target", odd, 3));
}

int main(void)
{
    return RUN(cmocka_unit_test(a_slip_of_the_finger_finds_its_word),
               cmocka_unit_test(what_resembles_nothing_finds_nothing),
               cmocka_unit_test(words_of_any_length_are_survived));
}
