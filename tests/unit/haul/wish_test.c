#include "unit.h"

#include "haul/control.h"

static struct ph_wish read_word(const char *word)
{
    struct ph_wish wish = {0};
    struct ph_err err;
    if (!ph_wish_parse(word, &wish, &err))
        fail_msg("\"%s\" was refused: %s", word, err.text);
    return wish;
}

TEST(words_are_read_as_they_are_written_in_the_manual)
{
    assert_int_equal(read_word("pause").kind, PH_WISH_PAUSE);
    assert_int_equal(read_word("stop").kind, PH_WISH_STOP);
    assert_int_equal(read_word("rate=20MiB/s").n, 20 << 20);
    assert_int_equal(read_word("target-rate=1.5MiB").n, 3 << 19);
    assert_int_equal(read_word("target-rate=1.5MiB").kind, PH_WISH_TARGET_RATE);
    assert_int_equal(read_word("rows=300k/s").n, 300000);
    assert_int_equal(read_word("rate=off").n, 0);
    assert_int_equal(read_word("jobs=256").n, 256);
}

TEST(what_a_run_cannot_be_asked_is_refused_with_what_is_near)
{
    static const char *const wrong[] = {
        "",       "paus",     "pause=1",  "rate",   "rate=", "rate=fast",     "rate=-1",
        "jobs=0", "jobs=257", "jobs=off", "rows=0", "=",     "rate=20MiB/s/s"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ph_wish wish;
        struct ph_err err = {0};
        if (ph_wish_parse(wrong[i], &wish, &err))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(err.code, PH_WRONG);
    }
    struct ph_wish wish;
    struct ph_err err;
    assert_false(ph_wish_parse("resum", &wish, &err));
    assert_contains(err.hint, "resume");
}

int main(void)
{
    return RUN(cmocka_unit_test(words_are_read_as_they_are_written_in_the_manual),
               cmocka_unit_test(what_a_run_cannot_be_asked_is_refused_with_what_is_near));
}
