#include "unit.h"

#include <stdalign.h>

#include "base/arena.h"

TEST(memory_is_zeroed_aligned_and_apart)
{
    struct ph_arena arena = {0};
    unsigned char *last = NULL;
    for (size_t size = 1; size < 3000; size += 7) {
        unsigned char *p = ph_arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
        if (last)
            assert_int_equal(*last, 0xff);
        last = p;
    }
    ph_arena_fini(&arena);
}

TEST(what_is_larger_than_a_block_gets_one_of_its_own)
{
    struct ph_arena arena = {0};
    char *small = ph_arena_strdup(&arena, "small");
    char *big = ph_arena_calloc(&arena, 1000, 1000);
    big[999999] = 'x';
    char *after = ph_arena_strdup(&arena, "after");
    assert_string_equal(small, "small");
    assert_string_equal(after, "after");
    assert_int_equal(big[0], 0);
    ph_arena_fini(&arena);
}

TEST(texts_are_copied_and_null_stays_null)
{
    struct ph_arena arena = {0};
    char text[] = "abc";
    char *copy = ph_arena_strdup(&arena, text);
    text[0] = 'x';
    assert_string_equal(copy, "abc");
    assert_null(ph_arena_strdup(&arena, NULL));
    assert_string_equal(ph_arena_printf(&arena, "%s/%d", "t", 5), "t/5");
    ph_arena_fini(&arena);
}

TEST(an_arena_can_be_used_again_after_its_end)
{
    struct ph_arena arena = {0};
    ph_arena_fini(&arena);
    ph_arena_alloc(&arena, 10);
    ph_arena_fini(&arena);
    assert_string_equal(ph_arena_strdup(&arena, "x"), "x");
    ph_arena_fini(&arena);
}

int main(void)
{
    return RUN(cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
               cmocka_unit_test(what_is_larger_than_a_block_gets_one_of_its_own),
               cmocka_unit_test(texts_are_copied_and_null_stays_null),
               cmocka_unit_test(an_arena_can_be_used_again_after_its_end));
}
