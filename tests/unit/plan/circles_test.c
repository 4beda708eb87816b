#include "unit.h"

#include "plan/circles.h"

static struct ph_arena arena;

static const int *find(int n, const char *references)
{
    struct ph_reference list[64];
    int found = 0;
    for (const char *p = references; *p; p += p[2] == ' ' ? 3 : 2)
        list[found++] = (struct ph_reference){p[0] - 'a', p[1] - 'a'};
    return ph_circles_find(&arena, n, list, found);
}

TEST(things_that_refer_to_nothing_are_in_no_circle)
{
    const int *c = find(3, "");
    assert_true(c[0] != c[1] && c[1] != c[2] && c[0] != c[2]);
}

TEST(a_chain_is_no_circle_whatever_its_order)
{
    const int *c = find(4, "dc ba cb");
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_int_not_equal(c[i], c[k]);
}

TEST(what_leads_back_is_a_circle_and_what_only_leads_there_is_not)
{
    const int *c = find(6, "ea ab bc ca cd df");
    assert_true(c[0] == c[1] && c[1] == c[2]);
    assert_true(c[4] != c[0] && c[3] != c[0] && c[5] != c[3]);
}

TEST(two_circles_that_lead_one_to_the_other_are_two)
{
    const int *c = find(5, "ab ba bc cd dc ce ee");
    assert_true(c[0] == c[1] && c[2] == c[3] && c[0] != c[2] && c[4] != c[2] && c[4] != c[0]);
}

TEST(circles_that_share_a_thing_are_one)
{
    const int *c = find(5, "ab bc cb ca cd dc ae");
    assert_true(c[0] == c[1] && c[1] == c[2] && c[2] == c[3] && c[4] != c[0]);
}

TEST(a_chain_of_very_many_needs_no_deep_stack)
{
    enum { MANY = 300000 };
    struct ph_reference *list = ph_arena_calloc(&arena, MANY, sizeof *list);
    for (int i = 0; i < MANY; i++)
        list[i] = (struct ph_reference){i, i + 1 < MANY ? i + 1 : MANY / 2};
    const int *c = ph_circles_find(&arena, MANY, list, MANY);
    assert_int_not_equal(c[0], c[MANY - 1]);
    assert_int_equal(c[MANY / 2], c[MANY - 1]);
    assert_int_not_equal(c[MANY / 2 - 1], c[MANY / 2]);
}

static int free_arena(void **state)
{
    (void)state;
    ph_arena_fini(&arena);
    return 0;
}

#define CASE(name) cmocka_unit_test_teardown(name, free_arena)

int main(void)
{
    return RUN(CASE(things_that_refer_to_nothing_are_in_no_circle),
               CASE(a_chain_is_no_circle_whatever_its_order),
               CASE(what_leads_back_is_a_circle_and_what_only_leads_there_is_not),
               CASE(two_circles_that_lead_one_to_the_other_are_two),
               CASE(circles_that_share_a_thing_are_one),
               CASE(a_chain_of_very_many_needs_no_deep_stack));
}
