#include "unit.h"

#include "base/buf.h"

TEST(an_empty_buffer_has_an_empty_text)
{
    struct ph_buf buf = {0};
    assert_string_equal(ph_buf_text(&buf), "");
    ph_buf_fini(&buf);
}

TEST(adding_nothing_still_terminates)
{
    struct ph_buf buf = {0};
    ph_buf_add(&buf, "");
    assert_non_null(buf.data);
    assert_string_equal(buf.data, "");
    ph_buf_fini(&buf);
}

TEST(pieces_follow_each_other_and_zero_bytes_are_kept)
{
    struct ph_buf buf = {0};
    ph_buf_add(&buf, "ab");
    ph_buf_addc(&buf, 'c');
    ph_buf_addf(&buf, "%d-%s", 42, "x");
    ph_buf_addn(&buf, "\0z", 2);
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.data, "abc42-x\0z", 10);
    ph_buf_fini(&buf);
}

TEST(it_grows_over_every_size_without_losing_a_byte)
{
    struct ph_buf buf = {0};
    for (int i = 0; i < 5000; i++) {
        ph_buf_addc(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.data[buf.len], '\0');
    }
    ph_buf_addf(&buf, "%4096d", 7);
    assert_int_equal(buf.len, 5000 + 4096);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
    assert_int_equal(buf.data[buf.len - 1], '7');
    ph_buf_fini(&buf);
}

TEST(clearing_keeps_the_memory_and_ending_allows_use_again)
{
    struct ph_buf buf = {0};
    ph_buf_add(&buf, "text");
    size_t cap = buf.cap;
    ph_buf_clear(&buf);
    assert_int_equal(buf.cap, cap);
    assert_string_equal(ph_buf_text(&buf), "");
    ph_buf_fini(&buf);
    ph_buf_add(&buf, "again");
    assert_string_equal(buf.data, "again");
    ph_buf_fini(&buf);
}

TEST(bytes_of_any_encoding_become_utf8)
{
    struct ph_buf buf = {0};
    ph_buf_add_bytes(&buf, "a\x7f\x80\xbf\xc0\xff");
    assert_string_equal(buf.data, "a\x7f\xc2\x80\xc2\xbf\xc3\x80\xc3\xbf");
    ph_buf_fini(&buf);
}

int main(void)
{
    return RUN(cmocka_unit_test(an_empty_buffer_has_an_empty_text),
               cmocka_unit_test(adding_nothing_still_terminates),
               cmocka_unit_test(pieces_follow_each_other_and_zero_bytes_are_kept),
               cmocka_unit_test(it_grows_over_every_size_without_losing_a_byte),
               cmocka_unit_test(clearing_keeps_the_memory_and_ending_allows_use_again),
               cmocka_unit_test(bytes_of_any_encoding_become_utf8));
}
