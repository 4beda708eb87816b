/* A source that reads a file leaves out the rows that it is told to, and only those; and it still knows all of the file. */
#include "archive/shard_maker.h"

#include "pg/reject.h"
#include "pg/table.h"
#include "pghaul/tally.h"
#include "source/archive.h"

enum { NARROW = 500, WIDE = 2, ROWS = NARROW + WIDE + 3 };

static struct place place;
static struct maker maker;

/* Narrow rows, two that come in pieces, three behind them. */
static void make(enum ph_format format)
{
    maker_open(&maker, &place, "f.lz4", format, PH_COMPRESS_ALWAYS);
    maker.receipt.n_columns = 1;
    for (uint32_t i = 0; i < NARROW; i++)
        maker_row(&maker, i % 50, i % 2);
    maker_put(&maker);
    for (int i = 0; i < WIDE; i++) {
        maker_row(&maker, 200000, true);
        maker_put_pieces(&maker, 65536);
    }
    for (uint32_t i = 0; i < 3; i++)
        maker_row(&maker, 7 + i, false);
    maker_put(&maker);
    maker_seal(&maker);
}

/* Where each row of the stream ends. */
static void find_rows(size_t end[static ROWS])
{
    size_t at = maker.receipt.format == PH_BINARY ? PH_STREAM_HEADER : 0;
    for (int i = 0; i < ROWS; i++) {
        const unsigned char *p = (const unsigned char *)maker.stream.data + at;
        if (maker.receipt.format == PH_TEXT)
            at += (size_t)((const unsigned char *)memchr(p, '\n', maker.stream.len - at) - p) + 1;
        else
            at += 6u + ((size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5]);
        end[i] = at;
    }
}

/* What should be lent: the stream's rows without those. */
static void expected(struct ph_buf *out, const struct ph_rejects *rejects)
{
    size_t end[ROWS], begin = maker.receipt.format == PH_BINARY ? PH_STREAM_HEADER : 0;
    int next = 0;
    find_rows(end);
    for (int i = 0; i < ROWS; begin = end[i++])
        if (next < rejects->n && rejects->item[next].row == (uint64_t)i + 1)
            next++;
        else
            ph_buf_addn(out, maker.stream.data + begin, end[i] - begin);
}

static bool read_without(const struct ph_rejects *rejects, const struct ph_tally *expect,
                         struct ph_buf *out, struct ph_tally *tally, struct ph_err *err)
{
    struct ph_place at = {
        .dir = place.dir, .shown = "the archive", .set = maker.receipt.set, .ring = place.ring};
    const struct ph_table table = {.n_columns = 1};
    const struct ph_shard shard = {.id = 7,
                                   .tab = 2,
                                   .table = &table,
                                   .format = maker.receipt.format,
                                   .file = "f.lz4",
                                   .expect = expect,
                                   .rejects = rejects};
    struct ph_source *source;
    struct ph_batch batch = {.len = 1};
    assert_true(ph_source_archive_new(&source, &at, err));
    bool ok = source->ops->open(source, &shard, err);
    while (ok && batch.len > 0) {
        ok = source->ops->next(source, &batch, err);
        if (ok && batch.len > 0) {
            assert_true(batch.piece || (batch.rows > 0 && batch.edge[batch.rows - 1] == batch.len));
            assert_true(ph_tally_add(tally, &batch));
            ph_buf_addn(out, batch.data, batch.len);
        }
    }
    source->ops->abandon(source);
    source->ops->free(source);
    return ok;
}

static void check(enum ph_format format, struct ph_reject *items, int n)
{
    struct ph_rejects rejects = {.item = items, .n = n};
    struct ph_buf lent = {0}, wanted = {0};
    struct ph_tally tally = {0};
    struct ph_err err;
    make(format);
    expected(&wanted, &rejects);
    if (!read_without(&rejects, &maker.tally, &lent, &tally, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lent.len, wanted.len);
    assert_memory_equal(lent.data, wanted.data, wanted.len);
    assert_int_equal(tally.rows, ROWS - n);
    ph_buf_fini(&lent);
    ph_buf_fini(&wanted);
    maker_fini(&maker);
}

TEST(rows_at_both_ends_side_by_side_and_wide_ones_are_left_out)
{
    struct ph_reject items[] = {{.row = 1},        {.row = 2},      {.row = 3},
                                {.row = 250},      {.row = NARROW}, {.row = NARROW + 1},
                                {.row = ROWS - 1}, {.row = ROWS}};
    for (int format = 0; format < 2; format++) {
        check(format ? PH_TEXT : PH_BINARY, items, 8);
        check(format ? PH_TEXT : PH_BINARY, items + 3, 1);
        check(format ? PH_TEXT : PH_BINARY, items, 0);
    }
}

TEST(every_row_may_be_left_out)
{
    struct ph_reject items[ROWS] = {{0}};
    for (int i = 0; i < ROWS; i++)
        items[i].row = (uint64_t)i + 1;
    check(PH_BINARY, items, ROWS);
    check(PH_TEXT, items, ROWS);
}

TEST(a_row_that_the_file_does_not_have_is_not_passed_over_in_silence)
{
    struct ph_reject items[] = {{.row = 5}, {.row = ROWS + 1}};
    struct ph_rejects rejects = {.item = items, .n = 2};
    struct ph_buf lent = {0};
    struct ph_tally tally = {0};
    struct ph_err err;
    make(PH_BINARY);
    assert_false(read_without(&rejects, &maker.tally, &lent, &tally, &err));
    assert_int_equal(err.code, PH_DAMAGED);
    ph_tally_fini(&tally);
    ph_buf_fini(&lent);
    maker_fini(&maker);
}

int main(void)
{
    place_init(&place);
    int failed =
        RUN(cmocka_unit_test(rows_at_both_ends_side_by_side_and_wide_ones_are_left_out),
            cmocka_unit_test(every_row_may_be_left_out),
            cmocka_unit_test(a_row_that_the_file_does_not_have_is_not_passed_over_in_silence));
    place_fini(&place);
    return failed;
}
