/* The two ways to batches must find the same rows, however the stream is cut. */
#include "unit.h"

#include "base/buf.h"
#include "copy/batcher.h"
#include "pghaul/tally.h"

enum { CAP = 256, ROWS = 300 };

static void put_number(struct ph_buf *b, int bytes, uint32_t v)
{
    while (bytes-- > 0)
        ph_buf_addc(b, (char)(v >> (8 * bytes)));
}

static void put_row(struct ph_buf *b, enum ph_format format, uint32_t width)
{
    if (format == PH_BINARY) {
        put_number(b, 2, 1);
        put_number(b, 4, width);
    }
    for (uint32_t i = 0; i < width; i++)
        ph_buf_addc(b, (char)('a' + (i * 7 + width) % 26));
    if (format == PH_TEXT)
        ph_buf_addc(b, '\n');
}

/* Rows of all widths around the buffer's size, and many small ones. */
static void put_stream(struct ph_buf *b, enum ph_format format)
{
    if (format == PH_BINARY)
        ph_buf_addn(b, ph_stream_header, PH_STREAM_HEADER);
    for (uint32_t i = 0; i < ROWS; i++)
        put_row(b, format, i % 10 == 0 ? i * 3 : i % 17);
    if (format == PH_BINARY)
        ph_buf_addn(b, ph_stream_trailer, PH_STREAM_TRAILER);
}

/* Gives a stream away in pieces of at most `most` bytes; 0: of random lengths. */
struct giver {
    const char *data;
    size_t left, most;
    uint64_t seed;
    const char *lent; /* where the last loan lies */
    size_t n_lent;
};

static size_t piece(struct giver *g)
{
    g->seed = g->seed * 6364136223846793005u + 1442695040888963407u;
    size_t n = g->most ? g->most : 1 + (g->seed >> 33) % 700;
    return n < g->left ? n : g->left;
}

static bool lend(void *from, const char **data, size_t *n, struct ph_err *err)
{
    struct giver *g = from;
    (void)err;
    *n = g->n_lent = piece(g);
    *data = g->lent = g->data;
    g->data += *n;
    g->left -= *n;
    return true;
}

static bool read_some(void *from, char *to, size_t room, size_t *n, struct ph_err *err)
{
    struct giver *g = from;
    (void)err;
    *n = g->left < room ? g->left : room;
    memcpy(to, g->data, *n);
    g->data += *n;
    g->left -= *n;
    return true;
}

/* *direct counts the bytes that were lent where they lay. */
static bool gather(const struct ph_buf *stream, enum ph_format format, struct giver *g, bool pass,
                   struct ph_tally *tally, size_t *direct, struct ph_err *err)
{
    struct ph_batcher b = {0};
    struct ph_batch batch;
    g->data = stream->data;
    g->left = stream->len;
    assert_true(ph_batcher_init(&b, CAP, err));
    ph_batcher_begin(&b, format, 1);
    bool ok;
    for (*tally = (struct ph_tally){0}, *direct = 0;;) {
        ok = pass ? ph_batcher_pass(&b, lend, g, &batch, err)
                  : ph_batcher_next(&b, read_some, g, &batch, err);
        if (!ok || batch.len == 0)
            break;
        if (!batch.piece)
            assert_int_equal(batch.edge[batch.rows - 1], batch.len);
        assert_true(ph_tally_add(tally, &batch));
        bool lent = pass && batch.data >= g->lent && batch.data < g->lent + g->n_lent;
        *direct += lent ? batch.len : 0;
    }
    assert_true(!ok || b.rows == tally->rows);
    ok = ok && ph_batcher_complete(&b, "a test", err);
    ph_tally_fini(tally);
    ph_batcher_fini(&b);
    return ok;
}

static void expect_same(enum ph_format format, size_t most, uint64_t seed)
{
    struct ph_buf stream = {0};
    struct ph_err err = {0};
    struct ph_tally read, passed;
    size_t direct;
    put_stream(&stream, format);
    assert_true(gather(&stream, format, &(struct giver){.most = 1}, false, &read, &direct, &err));
    assert_int_equal(read.rows, ROWS);
    struct giver g = {.most = most, .seed = seed};
    if (!gather(&stream, format, &g, true, &passed, &direct, &err))
        fail_msg("loans of %zu bytes, seed %d: %s", most, (int)seed, err.text);
    assert_true(ph_tally_equal(&read, &passed));
    ph_buf_fini(&stream);
}

TEST(loans_of_every_length_hold_the_rows_that_reading_finds)
{
    for (size_t most = 1; most < 2 * CAP + 3; most++) {
        expect_same(PH_BINARY, most, 0);
        expect_same(PH_TEXT, most, 0);
    }
}

TEST(loans_of_random_lengths_hold_them_too)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        expect_same(PH_BINARY, 0, seed);
        expect_same(PH_TEXT, 0, seed);
    }
}

TEST(whole_rows_are_lent_where_they_lie)
{
    struct ph_buf stream = {0};
    struct ph_err err = {0};
    struct ph_tally tally;
    size_t direct;
    for (int i = 0; i < 100; i++)
        put_row(&stream, PH_TEXT, 99);
    struct giver g = {.most = 500}; /* five rows */
    assert_true(gather(&stream, PH_TEXT, &g, true, &tally, &direct, &err));
    assert_int_equal(tally.rows, 100);
    assert_int_equal(direct, stream.len);
    ph_buf_fini(&stream);
}

TEST(pieces_of_a_wide_row_are_lent_where_they_lie)
{
    struct ph_buf stream = {0};
    struct ph_err err = {0};
    struct ph_tally tally;
    size_t direct;
    put_row(&stream, PH_TEXT, 10000);
    struct giver g = {.most = 500};
    assert_true(gather(&stream, PH_TEXT, &g, true, &tally, &direct, &err));
    assert_int_equal(tally.rows, 1);
    assert_true(direct >= stream.len - CAP);
    ph_buf_fini(&stream);
}

TEST(a_stream_that_is_cut_short_anywhere_is_no_whole_one)
{
    struct ph_buf stream = {0};
    struct ph_err err;
    struct ph_tally tally;
    size_t direct;
    put_stream(&stream, PH_BINARY);
    for (struct ph_buf cut = {.data = stream.data}; cut.len < stream.len; cut.len++) {
        struct giver g = {.seed = cut.len};
        assert_false(gather(&cut, PH_BINARY, &g, true, &tally, &direct, &err));
    }
    ph_buf_fini(&stream);
}

TEST(bytes_behind_the_trailer_are_refused_in_the_same_loan_and_in_the_next)
{
    struct ph_buf stream = {0};
    struct ph_err err;
    struct ph_tally tally;
    size_t direct;
    put_stream(&stream, PH_BINARY);
    ph_buf_addc(&stream, 'x');
    for (size_t most = 1; most < 400; most++) {
        struct giver g = {.most = most};
        assert_false(gather(&stream, PH_BINARY, &g, true, &tally, &direct, &err));
        assert_contains(err.text, "behind the trailer");
    }
    ph_buf_fini(&stream);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(loans_of_every_length_hold_the_rows_that_reading_finds),
        cmocka_unit_test(loans_of_random_lengths_hold_them_too),
        cmocka_unit_test(whole_rows_are_lent_where_they_lie),
        cmocka_unit_test(pieces_of_a_wide_row_are_lent_where_they_lie),
        cmocka_unit_test(a_stream_that_is_cut_short_anywhere_is_no_whole_one),
        cmocka_unit_test(bytes_behind_the_trailer_are_refused_in_the_same_loan_and_in_the_next));
}
