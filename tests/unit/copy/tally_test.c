#include "unit.h"

#include "pghaul/tally.h"

/* A batch of up to 8 rows from texts. */
struct rows {
    char data[256];
    uint32_t edge[8];
    struct ph_batch batch;
};

static struct ph_batch *rows(struct rows *r, size_t n, const char *const *texts)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(texts[i]);
        memcpy(r->data + len, texts[i], size);
        len += size;
        r->edge[i] = (uint32_t)len;
    }
    r->batch = (struct ph_batch){.data = r->data, .len = len, .edge = r->edge, .rows = n};
    return &r->batch;
}

static void add(struct ph_tally *tally, size_t n, const char *const *texts)
{
    struct rows r;
    assert_true(ph_tally_add(tally, rows(&r, n, texts)));
}

static bool same(const struct ph_tally *a, const struct ph_tally *b)
{
    return a->rows == b->rows && a->bytes == b->bytes && a->hash_lo == b->hash_lo &&
           a->hash_hi == b->hash_hi;
}

TEST(the_order_of_rows_does_not_matter)
{
    struct ph_tally a = {0}, b = {0};
    add(&a, 3, (const char *const[]){"alpha\n", "beta\n", "gamma\n"});
    add(&b, 3, (const char *const[]){"gamma\n", "alpha\n", "beta\n"});
    assert_true(same(&a, &b));
    assert_int_equal(a.rows, 3);
    assert_int_equal(a.bytes, 17);
}

TEST(a_row_that_came_twice_is_seen)
{
    struct ph_tally a = {0}, b = {0}, c = {0};
    add(&a, 2, (const char *const[]){"x\n", "y\n"});
    add(&b, 4, (const char *const[]){"x\n", "y\n", "z\n", "z\n"});
    assert_false(a.hash_lo == b.hash_lo && a.hash_hi == b.hash_hi);
    add(&c, 4, (const char *const[]){"x\n", "y\n", "q\n", "q\n"});
    assert_int_equal(b.rows, c.rows);
    assert_false(same(&b, &c));
}

TEST(where_a_row_ends_matters)
{
    struct ph_tally a = {0}, b = {0};
    add(&a, 2, (const char *const[]){"ab", "c"});
    add(&b, 2, (const char *const[]){"a", "bc"});
    assert_int_equal(a.bytes, b.bytes);
    assert_false(same(&a, &b));
}

TEST(the_parts_of_a_table_add_up_however_it_was_cut)
{
    static const char *const texts[] = {"1\n", "2\n", "3\n", "4\n", "5\n", "6\n"};
    struct ph_tally whole = {0};
    add(&whole, 6, texts);
    for (size_t cut = 0; cut <= 6; cut++) {
        struct ph_tally left = {0}, right = {0};
        add(&left, cut, texts);
        add(&right, 6 - cut, texts + cut);
        ph_tally_merge(&right, &left);
        assert_true(same(&whole, &right));
    }
}

TEST(the_sum_carries_from_the_low_half_into_the_high_one)
{
    struct ph_tally a = {.hash_lo = UINT64_MAX}, b = {.hash_lo = 1};
    ph_tally_merge(&a, &b);
    assert_int_equal(a.hash_lo, 0);
    assert_int_equal(a.hash_hi, 1);
}

TEST(a_row_in_pieces_has_the_hash_of_the_row)
{
    static const char row[] = "a row that is wider than any buffer, or so we say\n";
    size_t n = sizeof row - 1;
    struct ph_tally whole = {0};
    add(&whole, 1, (const char *const[]){row});
    for (size_t i = 1; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            struct ph_tally tally = {0};
            const size_t end[] = {i, j, n};
            size_t at = 0;
            for (int k = 0; k < 3; at = end[k], k++) {
                struct ph_batch piece = {
                    .data = row + at, .len = end[k] - at, .piece = true, .last_piece = k == 2};
                assert_true(ph_tally_add(&tally, &piece));
            }
            assert_true(same(&whole, &tally));
            assert_null(tally.open_row);
        }
    }
}

TEST(an_unfinished_row_does_not_count_and_can_be_given_up)
{
    struct ph_tally tally = {0};
    struct ph_batch piece = {.data = "abc", .len = 3, .piece = true};
    assert_true(ph_tally_add(&tally, &piece));
    assert_int_equal(tally.rows, 0);
    assert_non_null(tally.open_row);
    ph_tally_fini(&tally);
    assert_null(tally.open_row);
    ph_tally_fini(&tally);
}

TEST(the_fingerprint_is_that_of_the_specification)
{
    /* XXH3-128, seed 0, of no bytes at all, as `xxh128sum` of an empty file prints it */
    struct ph_tally tally = {0};
    char out[PH_TALLY_HASH_TEXT];
    add(&tally, 1, (const char *const[]){""});
    assert_string_equal(ph_tally_hash_text(&tally, out), "99aa06d3014798d86001c324468d497f");
    struct ph_tally none = {0};
    assert_string_equal(ph_tally_hash_text(&none, out), "00000000000000000000000000000000");
}

int main(void)
{
    return RUN(cmocka_unit_test(the_order_of_rows_does_not_matter),
               cmocka_unit_test(a_row_that_came_twice_is_seen),
               cmocka_unit_test(where_a_row_ends_matters),
               cmocka_unit_test(the_parts_of_a_table_add_up_however_it_was_cut),
               cmocka_unit_test(the_sum_carries_from_the_low_half_into_the_high_one),
               cmocka_unit_test(a_row_in_pieces_has_the_hash_of_the_row),
               cmocka_unit_test(an_unfinished_row_does_not_count_and_can_be_given_up),
               cmocka_unit_test(the_fingerprint_is_that_of_the_specification));
}
