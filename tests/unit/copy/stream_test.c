#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "copy/stream.h"
#include "pghaul/tally.h"

static void put16(struct ph_buf *b, int v)
{
    ph_buf_addc(b, (char)(v >> 8));
    ph_buf_addc(b, (char)v);
}

static void put32(struct ph_buf *b, int32_t v)
{
    put16(b, v >> 16);
    put16(b, v);
}

static void put_value(struct ph_buf *b, const char *bytes, size_t n)
{
    put32(b, (int32_t)n);
    ph_buf_addn(b, bytes, n);
}

/* Two fields: a number as text and a filling of `width` bytes, or NULL. */
static void put_row(struct ph_buf *b, int i, int width)
{
    char text[16] = {0};
    text[0] = (char)('0' + i % 10);
    put16(b, 2);
    put_value(b, text, 1);
    if (width < 0) {
        put32(b, -1);
        return;
    }
    put32(b, width);
    for (int k = 0; k < width; k++)
        ph_buf_addc(b, (char)(i + k));
}

static void put_header(struct ph_buf *b)
{
    ph_buf_addn(b, ph_stream_header, PH_STREAM_HEADER);
}

static void put_trailer(struct ph_buf *b)
{
    ph_buf_addn(b, ph_stream_trailer, PH_STREAM_TRAILER);
}

/* Plays a reader with a buffer of `room` bytes that gets the stream in two steps, up to `split` and
 * behind it, and goes on as sources do: rows are tallied, what is unfinished is shown again with
 * more behind it. */
static bool feed(struct ph_scan *scan, const char *stream, size_t len, size_t split, size_t room,
                 struct ph_tally *tally, struct ph_err *err)
{
    static char buffer[4096];
    uint32_t edge[64];
    size_t have = 0, at = 0;
    assert_true(room <= sizeof buffer);
    for (;;) {
        size_t limit = at < split ? split : len;
        size_t take = limit - at < room - have ? limit - at : room - have;
        memcpy(buffer + have, stream + at, take);
        have += take;
        at += take;
        struct ph_scan_view view;
        if (!ph_scan_look(scan, buffer, have, have == room, edge, 3, &view, err))
            return false;
        assert_true(view.begin <= view.end && view.end <= have);
        struct ph_batch batch = {.data = buffer + view.begin,
                                 .len = view.end - view.begin,
                                 .edge = edge,
                                 .rows = view.rows,
                                 .piece = view.piece,
                                 .last_piece = view.last_piece};
        if (view.rows > 0)
            assert_int_equal(edge[view.rows - 1], batch.len);
        if (view.rows > 0 || view.piece)
            assert_true(ph_tally_add(tally, &batch));
        size_t done = scan->at == PH_SCAN_END ? have : view.end; /* with the trailer */
        memmove(buffer, buffer + done, have - done);
        have -= done;
        if (take == 0 && at == len && view.end == 0)
            return true;
    }
}

static void build(struct ph_buf *stream, struct ph_tally *wanted)
{
    static const int widths[] = {0, 5, -1, 1, 30, 0, 17, 2, -1, 9};
    put_header(stream);
    for (int i = 0; i < 10; i++) {
        size_t begin = stream->len;
        put_row(stream, i, widths[i]);
        uint32_t edge = (uint32_t)(stream->len - begin);
        struct ph_batch row = {.data = stream->data + begin, .len = edge, .edge = &edge, .rows = 1};
        assert_true(ph_tally_add(wanted, &row));
    }
    put_trailer(stream);
}

static void same(const struct ph_tally *got, const struct ph_tally *wanted, size_t split,
                 size_t room)
{
    if (got->rows != wanted->rows || got->bytes != wanted->bytes ||
        got->hash_lo != wanted->hash_lo || got->hash_hi != wanted->hash_hi)
        fail_msg("split at %zu, room %zu: %ju rows of %ju bytes", split, room, (uintmax_t)got->rows,
                 (uintmax_t)got->bytes);
}

TEST(rows_are_found_wherever_the_stream_is_split)
{
    struct ph_buf stream = {0};
    struct ph_tally wanted = {0};
    build(&stream, &wanted);
    for (size_t split = 0; split <= stream.len; split++) {
        struct ph_scan scan = {.format = PH_BINARY, .fields = 2};
        struct ph_tally got = {0};
        struct ph_err err;
        assert_true(feed(&scan, stream.data, stream.len, split, 4096, &got, &err));
        assert_true(ph_scan_complete(&scan));
        same(&got, &wanted, split, 4096);
    }
    ph_buf_fini(&stream);
}

TEST(rows_wider_than_the_buffer_pass_in_pieces_with_the_same_tally)
{
    struct ph_buf stream = {0};
    struct ph_tally wanted = {0};
    build(&stream, &wanted);
    for (size_t room = PH_STREAM_HEADER + 5; room < 80; room++) {
        for (size_t split = 0; split <= stream.len; split++) {
            struct ph_scan scan = {.format = PH_BINARY, .fields = 2};
            struct ph_tally got = {0};
            struct ph_err err;
            if (!feed(&scan, stream.data, stream.len, split, room, &got, &err))
                fail_msg("split at %zu, room %zu: %s", split, room, err.text);
            assert_true(ph_scan_complete(&scan));
            same(&got, &wanted, split, room);
        }
    }
    ph_buf_fini(&stream);
}

TEST(a_stream_that_is_cut_anywhere_is_not_complete)
{
    struct ph_buf stream = {0};
    struct ph_tally wanted = {0};
    build(&stream, &wanted);
    for (size_t len = 0; len < stream.len; len++) {
        struct ph_scan scan = {.format = PH_BINARY, .fields = 2};
        struct ph_tally got = {0};
        struct ph_err err;
        bool ok = feed(&scan, stream.data, len, len, 4096, &got, &err);
        assert_false(ok && ph_scan_complete(&scan));
        assert_true(got.rows <= wanted.rows);
    }
    ph_buf_fini(&stream);
}

static void refused(const struct ph_buf *stream, const char *why)
{
    struct ph_scan scan = {.format = PH_BINARY, .fields = 2};
    struct ph_tally got = {0};
    struct ph_err err = {0};
    bool ok = feed(&scan, stream->data, stream->len, stream->len, 4096, &got, &err);
    if (ok && ph_scan_complete(&scan))
        fail_msg("%s was taken", why);
    if (!ok)
        assert_int_equal(err.code, PH_FAILED);
    ph_tally_fini(&got);
}

TEST(headers_that_are_none_are_refused)
{
    for (size_t i = 0; i < 15; i++) { /* signature and flags */
        struct ph_buf b = {0};
        put_header(&b);
        b.data[i] = (char)(b.data[i] ^ 0x41);
        put_trailer(&b);
        refused(&b, "a header with a wrong byte");
        ph_buf_fini(&b);
    }
    struct ph_buf b = {0};
    ph_buf_addn(&b, ph_stream_header, 15);
    put32(&b, -5);
    put_trailer(&b);
    refused(&b, "a header extension of negative length");
    ph_buf_clear(&b);
    ph_buf_addn(&b, ph_stream_header, 15);
    put32(&b, 0x7fffffff);
    put_trailer(&b);
    refused(&b, "a header extension without end");
    ph_buf_fini(&b);
}

TEST(a_header_extension_is_skipped)
{
    struct ph_buf b = {0};
    ph_buf_addn(&b, ph_stream_header, 15);
    put_value(&b, "future", 6);
    put_row(&b, 3, 4);
    put_trailer(&b);
    struct ph_scan scan = {.format = PH_BINARY, .fields = 2};
    struct ph_tally got = {0};
    struct ph_err err;
    assert_true(feed(&scan, b.data, b.len, 21, 4096, &got, &err));
    assert_true(ph_scan_complete(&scan));
    assert_int_equal(got.rows, 1);
    ph_buf_fini(&b);
}

TEST(rows_of_an_impossible_shape_are_refused)
{
    static const int32_t lengths[] = {-2, -1000, INT32_MIN, 0x40000001, INT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct ph_buf b = {0};
        put_header(&b);
        put_row(&b, 1, 3);
        put16(&b, 2);
        put32(&b, lengths[i]);
        ph_buf_add(&b, "some bytes that follow");
        put_trailer(&b);
        refused(&b, "an impossible length");
        ph_buf_fini(&b);
    }
    static const int counts[] = {0, 1, 3, -2, 32767};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct ph_buf b = {0};
        put_header(&b);
        put16(&b, counts[i]);
        put_value(&b, "x", 1);
        put_trailer(&b);
        refused(&b, "a row with another number of fields");
        ph_buf_fini(&b);
    }
}

TEST(bytes_behind_the_trailer_are_refused)
{
    struct ph_buf b = {0};
    put_header(&b);
    put_row(&b, 1, 3);
    put_trailer(&b);
    ph_buf_addc(&b, 'x');
    refused(&b, "a byte behind the trailer");
    for (size_t split = PH_STREAM_HEADER; split <= b.len; split++) {
        struct ph_scan scan = {.format = PH_BINARY, .fields = 2};
        struct ph_tally got = {0};
        struct ph_err err;
        assert_false(feed(&scan, b.data, b.len, split, 4096, &got, &err));
        ph_tally_fini(&got);
    }
    ph_buf_fini(&b);
}

TEST(a_table_without_columns_has_rows_without_fields)
{
    struct ph_buf b = {0};
    put_header(&b);
    put16(&b, 0);
    put16(&b, 0);
    put_trailer(&b);
    struct ph_scan scan = {.format = PH_BINARY, .fields = 0};
    struct ph_tally got = {0};
    struct ph_err err;
    assert_true(feed(&scan, b.data, b.len, 20, 4096, &got, &err));
    assert_true(ph_scan_complete(&scan));
    assert_int_equal(got.rows, 2);
    ph_buf_fini(&b);
}

TEST(an_empty_table_is_a_header_and_a_trailer)
{
    struct ph_buf b = {0};
    put_header(&b);
    put_trailer(&b);
    struct ph_scan scan = {.format = PH_BINARY, .fields = 7};
    struct ph_tally got = {0};
    struct ph_err err;
    assert_true(feed(&scan, b.data, b.len, 5, 4096, &got, &err));
    assert_true(ph_scan_complete(&scan));
    assert_int_equal(got.rows, 0);
    assert_int_equal(got.bytes, 0);
    ph_buf_fini(&b);
}

TEST(text_rows_are_lines_wherever_the_stream_is_split)
{
    static const char stream[] = "1\tone\n2\t\\N\n\n4\tfour \\n and a line wider than most\n5\t\n";
    size_t len = sizeof stream - 1;
    struct ph_tally wanted = {0};
    for (const char *p = stream; *p;) {
        uint32_t edge = (uint32_t)(strchr(p, '\n') + 1 - p);
        struct ph_batch row = {.data = p, .len = edge, .edge = &edge, .rows = 1};
        assert_true(ph_tally_add(&wanted, &row));
        p += edge;
    }
    assert_int_equal(wanted.rows, 5);
    for (size_t room = 4; room < 64; room++) {
        for (size_t split = 0; split <= len; split++) {
            struct ph_scan scan = {.format = PH_TEXT, .fields = 2};
            struct ph_tally got = {0};
            struct ph_err err;
            assert_true(feed(&scan, stream, len, split, room, &got, &err));
            assert_true(ph_scan_complete(&scan));
            same(&got, &wanted, split, room);
        }
    }
}

TEST(a_text_stream_may_not_end_within_a_wide_line)
{
    struct ph_scan scan = {.format = PH_TEXT, .fields = 1};
    struct ph_tally got = {0};
    struct ph_err err;
    assert_true(feed(&scan, "a line without an end", 21, 21, 8, &got, &err));
    assert_false(ph_scan_complete(&scan));
    ph_tally_fini(&got);
}

/* Runs of rows that are alike, next to rows of the same size whose fields have other lengths. */
TEST(rows_that_are_alike_end_where_a_plain_walk_says)
{
    enum { N = 400, FIELDS = 3 };
    static const int32_t shapes[][FIELDS] = {{4, 8, 2},  {4, 8, 2},  {8, 4, 2}, {4, 8, 2},
                                             {-1, 8, 6}, {0, 14, 0}, {4, 8, 2}, {-1, -1, -1}};
    struct ph_buf rows = {0};
    uint32_t edge[N], expected[N], n = 0;
    uint64_t seed = 1;
    while (n < N) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const int32_t *shape = shapes[(seed >> 33) % (sizeof shapes / sizeof *shapes)];
        for (uint64_t run = 1 + (seed >> 50) % 9; run > 0 && n < N; run--) {
            put16(&rows, FIELDS);
            for (int f = 0; f < FIELDS; f++) {
                put32(&rows, shape[f]);
                for (int32_t i = 0; i < shape[f]; i++)
                    ph_buf_addc(&rows, (char)(seed >> (i % 8 * 8)));
            }
            expected[n++] = (uint32_t)rows.len;
        }
    }
    for (size_t len = 0; len <= rows.len; len++) {
        struct ph_scan scan = {.format = PH_BINARY, .fields = FIELDS, .at = PH_SCAN_ROWS};
        struct ph_scan_view view;
        struct ph_err err;
        size_t whole = 0;
        while (whole < N && expected[whole] <= len)
            whole++;
        size_t most = len % 2 ? N : 7;
        char *exactly = malloc(len + 1); /* so that a sanitizer sees a byte read too many */
        assert_non_null(exactly);
        memcpy(exactly + 1, rows.data, len);
        assert_true(ph_scan_look(&scan, exactly + 1, len, false, edge, most, &view, &err));
        assert_int_equal(view.rows, whole < most ? whole : most);
        if (view.rows)
            assert_memory_equal(edge, expected, view.rows * sizeof *edge);
        free(exactly);
    }
    ph_buf_fini(&rows);
}

TEST(a_malformed_row_behind_rows_that_are_alike_is_found)
{
    static const int32_t bad[] = {-2, INT32_MIN, 0x7fffffff};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ph_buf rows = {0};
        struct ph_scan scan = {.format = PH_BINARY, .fields = 2, .at = PH_SCAN_ROWS};
        struct ph_scan_view view;
        struct ph_err err;
        uint32_t edge[16];
        for (int row = 0; row < 10; row++)
            put_row(&rows, row, 20);
        put16(&rows, 2);
        put_value(&rows, "x", 1);
        put32(&rows, bad[i]);
        for (int byte = 0; byte < 20; byte++)
            ph_buf_addc(&rows, 'x');
        assert_false(ph_scan_look(&scan, rows.data, rows.len, false, edge, 16, &view, &err));
        ph_buf_fini(&rows);
    }
}

int main(void)
{
    return RUN(cmocka_unit_test(rows_that_are_alike_end_where_a_plain_walk_says),
               cmocka_unit_test(a_malformed_row_behind_rows_that_are_alike_is_found),
               cmocka_unit_test(rows_are_found_wherever_the_stream_is_split),
               cmocka_unit_test(rows_wider_than_the_buffer_pass_in_pieces_with_the_same_tally),
               cmocka_unit_test(a_stream_that_is_cut_anywhere_is_not_complete),
               cmocka_unit_test(headers_that_are_none_are_refused),
               cmocka_unit_test(a_header_extension_is_skipped),
               cmocka_unit_test(rows_of_an_impossible_shape_are_refused),
               cmocka_unit_test(bytes_behind_the_trailer_are_refused),
               cmocka_unit_test(a_table_without_columns_has_rows_without_fields),
               cmocka_unit_test(an_empty_table_is_a_header_and_a_trailer),
               cmocka_unit_test(text_rows_are_lines_wherever_the_stream_is_split),
               cmocka_unit_test(a_text_stream_may_not_end_within_a_wide_line));
}
