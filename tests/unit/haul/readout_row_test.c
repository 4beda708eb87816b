#include "unit.h"

#include <endian.h>

#include "haul/readout_row.h"
#include "pghaul/tally.h"

/* What the visitor saw last. */
struct seen {
    int rows;
    uint64_t hash_lo, hash_hi, bytes;
    char lead[64], key[64];
    size_t key_len;
};

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct seen *seen = arg;
    assert_int_equal(worker, 3);
    seen->rows++;
    seen->hash_lo = row->hash_lo;
    seen->hash_hi = row->hash_hi;
    seen->bytes = row->bytes;
    seen->key_len = row->key_len;
    memcpy(seen->lead, row->lead, 10);
    memcpy(seen->key, row->key, row->key_len);
}

/* The tally of a stream that has only this row. */
static struct ph_tally tally_of(const char *row, size_t len)
{
    struct ph_tally tally = {0};
    uint32_t edge = (uint32_t)len;
    const struct ph_batch batch = {.data = row, .len = len, .edge = &edge, .rows = 1};
    assert_true(ph_tally_add(&tally, &batch));
    return tally;
}

static void is_row(const struct seen *seen, const char *row, size_t len)
{
    struct ph_tally tally = tally_of(row, len);
    assert_int_equal(seen->rows, 1);
    assert_true(seen->hash_lo == tally.hash_lo && seen->hash_hi == tally.hash_hi);
    assert_int_equal(seen->bytes, len);
}

/* An int4 and a text of two letters; with an xid in front. */
static const char plain[] = "\0\2\0\0\0\4\0\0\0\7\0\0\0\2ab";
static const char led[] = "\0\3\0\0\0\4\0\0\1\0\0\0\0\4\0\0\0\7\0\0\0\2ab";
static const char line[] = "7\ta\\tb\n", led_line[] = "256\t7\ta\\tb\n";

static struct ph_row_taker taker(const struct ph_readout_rel *rel, struct seen *seen)
{
    *seen = (struct seen){0};
    return (struct ph_row_taker){.visit = visit, .arg = seen, .worker = 3, .rel = rel};
}

static void take(const struct ph_readout_rel *rel, const char *row, size_t len, struct seen *seen)
{
    char copy[64];
    uint32_t edge = (uint32_t)len;
    struct ph_err err;
    struct ph_row_taker t = taker(rel, seen);
    memcpy(copy, row, len);
    assert_true(ph_row_taker_rows(&t, copy, &edge, 1, &err));
    ph_row_taker_fini(&t);
}

TEST(a_row_is_hashed_as_a_stream_of_its_columns_alone_would_have_it)
{
    struct seen seen;
    const struct ph_readout_rel alone = {.lead = "", .n_columns = 2, .n_key = 1};
    take(&alone, plain, sizeof plain - 1, &seen);
    is_row(&seen, plain, sizeof plain - 1);
    assert_int_equal(seen.key_len, 8);
    assert_memory_equal(seen.key, plain + 2, 8);

    const struct ph_readout_rel behind = {.lead = "xmin", .n_lead = 1, .n_columns = 2};
    take(&behind, led, sizeof led - 1, &seen);
    is_row(&seen, plain, sizeof plain - 1);
    assert_memory_equal(seen.lead, led + 2, 8);

    /* the lead is the key: its last bytes are lent for the field count, and given back */
    const struct ph_readout_rel keyed = {.lead = "k", .n_lead = 1, .n_key = 1, .n_columns = 2};
    take(&keyed, led, sizeof led - 1, &seen);
    is_row(&seen, plain, sizeof plain - 1);
    assert_memory_equal(seen.key, led + 2, 8);
}

TEST(a_line_is_hashed_without_what_stands_in_front)
{
    struct seen seen;
    const struct ph_readout_rel rel = {.lead = "xmin", .n_lead = 1, .n_columns = 2, .text = true};
    take(&rel, led_line, sizeof led_line - 1, &seen);
    is_row(&seen, line, sizeof line - 1);
    assert_memory_equal(seen.lead, "256\t", 4);
}

TEST(a_row_that_comes_in_pieces_is_the_same_row)
{
    const struct ph_readout_rel rels[] = {
        {.lead = "xmin", .n_lead = 1, .n_columns = 2},
        {.lead = "xmin", .n_lead = 1, .n_columns = 2, .text = true},
    };
    for (int i = 0; i < 2; i++) {
        const char *row = i ? led_line : led;
        size_t len = i ? sizeof led_line - 1 : sizeof led - 1, first = i ? 5 : 13;
        for (size_t cut = first; cut < len; cut++) {
            char copy[64];
            struct seen seen;
            struct ph_err err;
            struct ph_row_taker t = taker(&rels[i], &seen);
            memcpy(copy, row, len);
            assert_true(ph_row_taker_piece(&t, copy, cut, false, &err));
            assert_true(ph_row_taker_piece(&t, copy + cut, len - cut, true, &err));
            ph_row_taker_fini(&t);
            if (i)
                is_row(&seen, line, sizeof line - 1);
            else
                is_row(&seen, plain, sizeof plain - 1);
        }
    }
}

TEST(a_row_that_is_shorter_than_its_fields_is_an_error)
{
    const struct ph_readout_rel rels[] = {
        {.lead = "", .n_columns = 2, .n_key = 1},
        {.lead = "xmin", .n_lead = 1, .n_columns = 2},
        {.lead = "xmin", .n_lead = 1, .n_columns = 2, .text = true},
    };
    const char *const rows[] = {"\0\2\0\0\0\4\0\0", "\0\3\0\0\0\4\0\0", "256\n"};
    const uint32_t lens[] = {8, 8, 4};
    for (int i = 0; i < 3; i++) {
        char copy[64];
        struct seen seen;
        struct ph_err err;
        struct ph_row_taker t = taker(&rels[i], &seen);
        memcpy(copy, rows[i], lens[i]);
        assert_false(ph_row_taker_rows(&t, copy, &lens[i], 1, &err));
        assert_int_equal(seen.rows, 0);
        ph_row_taker_fini(&t);
    }
}

int main(void)
{
    return RUN(cmocka_unit_test(a_row_is_hashed_as_a_stream_of_its_columns_alone_would_have_it),
               cmocka_unit_test(a_line_is_hashed_without_what_stands_in_front),
               cmocka_unit_test(a_row_that_comes_in_pieces_is_the_same_row),
               cmocka_unit_test(a_row_that_is_shorter_than_its_fields_is_an_error));
}
