#include "unit.h"

#include <stdlib.h>

#include "plan/waves.h"

static struct ph_arena arena;

static const char *const schemas[] = {"s"};
static const char *const roles[] = {"me"};
static const struct ph_toc_names names = {schemas, roles, 1, 1};

/* The waves of a list, shown as "1 2|3 4,5": ids, chunks of one wave by commas, waves by bars. */
static char *cut(const char *list, const struct ph_wave_need *needs, int n, int most, int beside)
{
    struct ph_toc toc;
    struct ph_waves waves;
    struct ph_buf out = {0};
    ph_toc_parse(&toc, &arena, list, &names);
    ph_waves_cut(&waves, &arena, &toc, needs, n, most, beside);
    for (int i = 0; i < waves.n; i++) {
        if (i)
            ph_buf_addc(&out, waves.wave[i] == waves.wave[i - 1] ? ',' : '|');
        const char *at = waves.chunks[i];
        for (int k = 0; *at; k++) {
            ph_buf_addf(&out, "%s%d", k ? " " : "", (int)strtol(at, NULL, 10));
            at = strchr(at, '\n') + 1;
        }
    }
    return ph_arena_strdup(&arena, ph_buf_text(&out));
}

#define TABLE(id) #id "; 1259 " #id " TABLE s t" #id " me\n"
#define VIEW(id) #id "; 1259 " #id " VIEW s v" #id " me\n"
#define SEQUENCE(id) #id "; 1259 " #id " SEQUENCE s q" #id " me\n"
#define TYPE(id) #id "; 1247 " #id " TYPE s y" #id " me\n"
#define COMMENT(id) #id "; 0 0 COMMENT s TABLE t me\n"

TEST(tables_that_need_nothing_of_each_other_are_made_beside_each_other)
{
    assert_string_equal(cut(TYPE(1) TABLE(2) TABLE(3) TABLE(4) TYPE(5), NULL, 0, 100, 2),
                        "1|2 3,4|5");
}

TEST(what_needs_each_other_stays_together_in_its_order)
{
    const struct ph_wave_need needs[] = {{4, 2, false}, {6, 4, false}};
    assert_string_equal(cut(TABLE(2) TABLE(3) SEQUENCE(4) TABLE(5) TABLE(6), needs, 2, 100, 1),
                        "2 4 6,3,5");
}

TEST(comments_and_owners_go_with_what_they_follow)
{
    assert_string_equal(cut(TABLE(1) COMMENT(2)
                                SEQUENCE(3) "4; 0 0 SEQUENCE OWNED BY s q me\n" TYPE(5) COMMENT(6)
                                    TABLE(7) COMMENT(8),
                            NULL, 0, 100, 1),
                        "1 2,3 4|5 6|7 8");
}

TEST(views_wait_unless_a_table_needs_one)
{
    const struct ph_wave_need needs[] = {{5, 2, false}};
    assert_string_equal(cut(TABLE(1) VIEW(2) TABLE(3) VIEW(4), NULL, 0, 100, 9), "1 3|2 4");
    assert_string_equal(cut(TABLE(1) VIEW(2) TABLE(3) VIEW(4) TABLE(5), needs, 1, 100, 9),
                        "1 3|2 4|5");
}

TEST(whatever_else_stands_between_tables_stays_between_them)
{
    assert_string_equal(cut(TABLE(1) TYPE(2) VIEW(3) TABLE(4), NULL, 0, 100, 9), "1|2 3|4");
}

TEST(a_partition_needs_its_parent_where_nothing_attaches_it_later)
{
    const struct ph_wave_need needs[] = {{2, 1, true}};
    assert_string_equal(cut(TABLE(1) TABLE(2), needs, 1, 100, 1), "1 2");
    assert_string_equal(cut(TABLE(1) TABLE(2) "3; 0 0 TABLE ATTACH s t2 me\n", needs, 1, 100, 1),
                        "1,2|3");
}

TEST(a_group_that_is_too_large_comes_in_several_chunks_one_after_the_other)
{
    const struct ph_wave_need needs[] = {{2, 1, false}, {4, 1, false}};
    assert_string_equal(cut(TABLE(1) TABLE(2) TABLE(3) TABLE(4), needs, 2, 2, 2), "3|1 2|4");
}

TEST(long_lists_are_cut_and_no_comment_loses_its_object)
{
    assert_string_equal(cut(TYPE(1) TYPE(2) COMMENT(3) TYPE(4), NULL, 0, 2, 2), "1 2 3|4");
    assert_string_equal(cut("", NULL, 0, 2, 2), "");
}

int main(void)
{
    int rc =
        RUN(cmocka_unit_test(tables_that_need_nothing_of_each_other_are_made_beside_each_other),
            cmocka_unit_test(what_needs_each_other_stays_together_in_its_order),
            cmocka_unit_test(comments_and_owners_go_with_what_they_follow),
            cmocka_unit_test(views_wait_unless_a_table_needs_one),
            cmocka_unit_test(whatever_else_stands_between_tables_stays_between_them),
            cmocka_unit_test(a_partition_needs_its_parent_where_nothing_attaches_it_later),
            cmocka_unit_test(a_group_that_is_too_large_comes_in_several_chunks_one_after_the_other),
            cmocka_unit_test(long_lists_are_cut_and_no_comment_loses_its_object));
    ph_arena_fini(&arena);
    return rc;
}
