/* Batches out of bytes that come in pieces of any size. */
#include "copy/batcher.h"

#include <stdlib.h>

#include "unit.h"

struct stream {
    const char *data;
    size_t len, at, step; /* step: at most so many bytes a read */
};

static bool read_stream(void *from, char *to, size_t room, size_t *n, struct ph_err *err)
{
    struct stream *s = from;
    (void)err;
    size_t left = s->len - s->at;
    *n = left < room ? left : room;
    *n = *n < s->step ? *n : s->step;
    memcpy(to, s->data + s->at, *n);
    s->at += *n;
    return true;
}

/* All that was lent, put together again, and the rows. */
static size_t collect(struct ph_batcher *b, struct stream *s, char *out, uint64_t *rows,
                      bool *whole)
{
    struct ph_err err = {0};
    struct ph_batch batch;
    size_t len = 0;
    *rows = 0;
    *whole = false;
    for (;;) {
        if (!ph_batcher_next(b, read_stream, s, &batch, &err))
            return len;
        if (batch.len == 0)
            break;
        assert_true(batch.piece || batch.edge[batch.rows - 1] == batch.len);
        memcpy(out + len, batch.data, batch.len);
        len += batch.len;
        *rows += batch.rows + batch.last_piece;
    }
    *whole = ph_batcher_complete(b, "the test", &err);
    return len;
}

TEST(lines_come_whole_whatever_the_size_of_reads)
{
    static const char text[] = "1\ta\n22\tbb\n\n4444\tdddd\n";
    struct ph_err err;
    struct ph_batcher b;
    char out[64];
    assert_true(ph_batcher_init(&b, 16, &err));
    for (size_t step = 1; step <= sizeof text; step++) {
        struct stream s = {text, sizeof text - 1, 0, step};
        uint64_t rows;
        bool whole;
        ph_batcher_begin(&b, PH_TEXT, 2);
        assert_int_equal(collect(&b, &s, out, &rows, &whole), sizeof text - 1);
        assert_memory_equal(out, text, sizeof text - 1);
        assert_int_equal(rows, 4);
        assert_int_equal(b.rows, 4);
        assert_true(whole);
    }
    ph_batcher_fini(&b);
}

TEST(a_row_wider_than_the_buffer_comes_in_pieces_and_counts_once)
{
    char text[101], out[128];
    memset(text, 'x', sizeof text);
    text[9] = text[100] = '\n';
    struct ph_err err;
    struct ph_batcher b;
    struct stream s = {text, sizeof text, 0, 1000};
    uint64_t rows;
    bool whole;
    assert_true(ph_batcher_init(&b, 16, &err));
    ph_batcher_begin(&b, PH_TEXT, 1);
    assert_int_equal(collect(&b, &s, out, &rows, &whole), sizeof text);
    assert_memory_equal(out, text, sizeof text);
    assert_int_equal(rows, 2);
    assert_true(whole);
    ph_batcher_fini(&b);
}

static size_t binary(char *to, int n)
{
    char *p = to;
    memcpy(p, ph_stream_header, PH_STREAM_HEADER);
    p += PH_STREAM_HEADER;
    for (int i = 0; i < n; i++) {
        static const char row[] = "\0\1\0\0\0\2ab";
        memcpy(p, row, 8);
        p += 8;
    }
    memcpy(p, ph_stream_trailer, PH_STREAM_TRAILER);
    return (size_t)(p - to) + PH_STREAM_TRAILER;
}

TEST(of_a_binary_stream_header_and_trailer_are_not_lent)
{
    char stream[512], out[512];
    size_t len = binary(stream, 40);
    struct ph_err err;
    struct ph_batcher b;
    assert_true(ph_batcher_init(&b, 64, &err));
    for (size_t step = 1; step < 100; step += 7) {
        struct stream s = {stream, len, 0, step};
        uint64_t rows;
        bool whole;
        ph_batcher_begin(&b, PH_BINARY, 1);
        assert_int_equal(collect(&b, &s, out, &rows, &whole), 40 * 8);
        assert_int_equal(rows, 40);
        assert_true(whole);
        assert_memory_equal(out, stream + PH_STREAM_HEADER, 40 * 8);
    }
    ph_batcher_fini(&b);
}

TEST(an_end_in_the_middle_of_a_row_or_without_a_trailer_is_none)
{
    char stream[512], out[512];
    size_t len = binary(stream, 3);
    struct ph_err err;
    struct ph_batcher b;
    assert_true(ph_batcher_init(&b, 64, &err));
    for (size_t cut = 1; cut < len; cut++) {
        struct stream s = {stream, cut, 0, 1000};
        uint64_t rows;
        bool whole;
        ph_batcher_begin(&b, PH_BINARY, 1);
        collect(&b, &s, out, &rows, &whole);
        assert_false(whole);
    }
    ph_batcher_fini(&b);
}

int main(void)
{
    return RUN(cmocka_unit_test(lines_come_whole_whatever_the_size_of_reads),
               cmocka_unit_test(a_row_wider_than_the_buffer_comes_in_pieces_and_counts_once),
               cmocka_unit_test(of_a_binary_stream_header_and_trailer_are_not_lent),
               cmocka_unit_test(an_end_in_the_middle_of_a_row_or_without_a_trailer_is_none));
}
