#include "unit.h"

#include "base/buf.h"
#include "copy/decode.h"
#include "copy/stream.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__})

static struct ph_decoder *new_decoder(enum ph_format format, enum ph_decode_as as, int n)
{
    struct ph_decoder *decoder;
    struct ph_err err = {0};
    if (!ph_decoder_new(&decoder,
                        &(struct ph_decode_opts){.format = format,
                                                 .as = as,
                                                 .columns = TEXTS("a", "b,c", "d\te"),
                                                 .types = TEXTS("text", "integer", "bytea"),
                                                 .n_columns = n},
                        &err))
        fail_msg("%s", err.text);
    return decoder;
}

static void refused(const struct ph_decode_opts *opts, const char *part, const char *other)
{
    struct ph_decoder *decoder;
    struct ph_err err = {0};
    assert_false(ph_decoder_new(&decoder, opts, &err));
    assert_null(decoder);
    assert_int_equal(err.code, PH_WRONG);
    assert_contains(err.text, part);
    assert_contains(err.text, other);
    assert_contains(err.hint, "--format binary");
}

static void put32(struct ph_buf *b, size_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        ph_buf_addc(b, (char)(v >> shift));
}

/* A binary row of n texts, NULL for NULL. */
static void put_row(struct ph_buf *b, const char *const *values, int n)
{
    ph_buf_addc(b, 0);
    ph_buf_addc(b, (char)n);
    for (int i = 0; i < n; i++) {
        put32(b, values[i] ? strlen(values[i]) : SIZE_MAX);
        if (values[i])
            ph_buf_add(b, values[i]);
    }
}

static void expect_field(enum ph_decode_as as, const char *value, const char *line)
{
    struct ph_decoder *decoder = new_decoder(PH_BINARY, as, 1);
    struct ph_buf row = {0}, out = {0};
    struct ph_err err = {0};
    put_row(&row, &value, 1);
    assert_true(ph_decoder_row(decoder, row.data, row.len, &out, &err));
    assert_string_equal(out.data, line);
    ph_buf_fini(&row);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

/* A line of COPY text as CSV; NULL when it must be malformed. */
static void expect_csv(int columns, const char *line, const char *csv)
{
    struct ph_decoder *decoder = new_decoder(PH_TEXT, PH_AS_CSV, columns);
    struct ph_buf out = {0};
    struct ph_err err = {0};
    bool ok = ph_decoder_row(decoder, line, strlen(line), &out, &err);
    if (ok != (csv != NULL))
        fail_msg("%s: %s", line, ok ? out.data : err.text);
    assert_string_equal(ph_buf_text(&out), csv ? csv : "");
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

TEST(copy_text_escapes_what_the_server_escapes)
{
    expect_field(PH_AS_TEXT, "a\tb\nc\rd\be\ff\vg\\h", "a\\tb\\nc\\rd\\be\\ff\\vg\\\\h\n");
    expect_field(PH_AS_TEXT, "\x01\x1f\x7f\"',", "\x01\x1f\x7f\"',\n");
    expect_field(PH_AS_TEXT, "", "\n");
    expect_field(PH_AS_TEXT, "\\N", "\\\\N\n");
    expect_field(PH_AS_TEXT, NULL, "\\N\n");
}

TEST(csv_quotes_what_the_server_quotes)
{
    expect_field(PH_AS_CSV, "a b\tc'\\", "a b\tc'\\\n");
    expect_field(PH_AS_CSV, "a,b", "\"a,b\"\n");
    expect_field(PH_AS_CSV, "\"a\"\"", "\"\"\"a\"\"\"\"\"\n");
    expect_field(PH_AS_CSV, "a\nb", "\"a\nb\"\n");
    expect_field(PH_AS_CSV, "a\rb", "\"a\rb\"\n");
    expect_field(PH_AS_CSV, "", "\"\"\n");
    expect_field(PH_AS_CSV, NULL, "\n");
    expect_field(PH_AS_CSV, "\\.", "\"\\.\"\n");
    expect_field(PH_AS_CSV, "\\.x", "\\.x\n");
}

TEST(an_end_marker_is_quoted_only_when_it_is_alone)
{
    expect_csv(1, "\\\\.\n", "\"\\.\"\n");
    expect_csv(2, "\\\\.\t1\n", "\\.,1\n");
}

TEST(copy_text_becomes_csv)
{
    expect_csv(3, "a\\tb\t\\N\t\n", "a\tb,,\"\"\n");
    expect_csv(3, "\\n\\r\\b\\f\\v\\\\\tx\\q\t\\\\N\n", "\"\n\r\b\f\v\\\",xq,\\N\n");
    expect_csv(1, "\\101\\x41\\x4a\\60\\xz\n", "AAJ0xz\n");
    expect_csv(1, "a\\\n", "a\\\n");
    expect_csv(1, "\\x2\n", "\x02\n");
}

TEST(a_line_of_another_shape_is_malformed)
{
    expect_csv(2, "a\n", NULL);
    expect_csv(2, "a\tb\tc\n", NULL);
    expect_csv(1, "a", NULL);
    expect_csv(1, "a\nb\n", NULL);
    expect_csv(1, "\\.\n", NULL);
    expect_csv(0, "a\n", NULL);
    expect_csv(0, "\n", "\n");
}

TEST(names_make_a_header_line)
{
    struct ph_decoder *csv = new_decoder(PH_BINARY, PH_AS_CSV, 3);
    struct ph_decoder *text = new_decoder(PH_TEXT, PH_AS_TEXT, 3);
    struct ph_buf out = {0};
    ph_decoder_names(csv, &out);
    ph_decoder_names(text, &out);
    assert_string_equal(out.data, "a,\"b,c\",d\te\na\tb,c\td\\te\n");
    ph_buf_fini(&out);
    ph_decoder_free(csv);
    ph_decoder_free(text);
}

static void put_stream(struct ph_buf *stream)
{
    ph_buf_addn(stream, ph_stream_header, PH_STREAM_HEADER);
    put_row(stream, TEXTS("x", NULL, "z"), 3);
    put_row(stream, TEXTS("tab\t", "\1\1\1\1", ""), 3);
    put_row(stream, TEXTS(NULL, NULL, NULL), 3);
    ph_buf_addn(stream, ph_stream_trailer, PH_STREAM_TRAILER);
}

static const char stream_text[] = "x\t\\N\t\\\\x7a\ntab\\t\t16843009\t\\\\x\n\\N\t\\N\t\\N\n";

TEST(a_stream_may_be_cut_anywhere)
{
    struct ph_buf stream = {0}, out = {0};
    struct ph_err err = {0};
    struct ph_decoder *decoder = new_decoder(PH_BINARY, PH_AS_TEXT, 3);
    put_stream(&stream);
    for (size_t first = 0; first <= stream.len; first++)
        for (size_t second = first; second <= stream.len; second += 3) {
            ph_buf_clear(&out);
            assert_true(ph_decoder_feed(decoder, stream.data, first, &out, &err));
            assert_true(ph_decoder_feed(decoder, stream.data + first, second - first, &out, &err));
            assert_true(
                ph_decoder_feed(decoder, stream.data + second, stream.len - second, &out, &err));
            assert_true(ph_decoder_end(decoder, &err));
            assert_string_equal(out.data, stream_text);
        }
    assert_int_equal(ph_decoder_rows(decoder) % 3, 0);
    ph_buf_fini(&stream);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

TEST(a_stream_that_is_not_whole_is_an_error_at_its_end)
{
    struct ph_buf stream = {0}, out = {0};
    put_stream(&stream);
    for (size_t len = 0; len < stream.len; len++) {
        struct ph_decoder *decoder = new_decoder(PH_BINARY, PH_AS_TEXT, 3);
        struct ph_err err = {0};
        assert_true(ph_decoder_feed(decoder, stream.data, len, &out, &err));
        assert_false(ph_decoder_end(decoder, &err));
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "ends");
        ph_decoder_free(decoder);
    }
    ph_buf_fini(&stream);
    ph_buf_fini(&out);
}

TEST(bytes_behind_the_trailer_are_an_error)
{
    struct ph_buf stream = {0}, out = {0};
    struct ph_err err = {0};
    put_stream(&stream);
    for (size_t cut = stream.len - 1; cut <= stream.len + 1; cut++) {
        struct ph_decoder *decoder = new_decoder(PH_BINARY, PH_AS_TEXT, 3);
        struct ph_buf more = {0};
        ph_buf_addn(&more, stream.data, stream.len);
        ph_buf_add(&more, "x");
        assert_false(ph_decoder_feed(decoder, more.data, cut, &out, &err) &&
                     ph_decoder_feed(decoder, more.data + cut, more.len - cut, &out, &err) &&
                     ph_decoder_end(decoder, &err));
        ph_buf_fini(&more);
        ph_decoder_free(decoder);
    }
    ph_buf_fini(&stream);
    ph_buf_fini(&out);
}

TEST(lines_of_text_pass_as_they_are)
{
    struct ph_decoder *decoder = new_decoder(PH_TEXT, PH_AS_TEXT, 2);
    struct ph_buf out = {0};
    struct ph_err err = {0};
    assert_true(ph_decoder_feed(decoder, "a\\t\t", 4, &out, &err));
    assert_true(ph_decoder_feed(decoder, "b\nc\td\n", 6, &out, &err));
    assert_true(ph_decoder_end(decoder, &err));
    assert_string_equal(out.data, "a\\t\tb\nc\td\n");
    assert_int_equal(ph_decoder_rows(decoder), 2);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

TEST(a_malformed_value_is_told_by_row_column_and_type_and_leaves_nothing)
{
    struct ph_decoder *decoder = new_decoder(PH_BINARY, PH_AS_CSV, 3);
    struct ph_buf stream = {0}, out = {0};
    struct ph_err err = {0};
    ph_buf_addn(&stream, ph_stream_header, PH_STREAM_HEADER);
    put_row(&stream, TEXTS("good", NULL, NULL), 3);
    put_row(&stream, TEXTS("secret", "\1\1\1\1\1", NULL), 3);
    assert_false(ph_decoder_feed(decoder, stream.data, stream.len, &out, &err));
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, "row 2: malformed integer in column \"b,c\"");
    assert_lacks(err.text, "secret");
    assert_string_equal(out.data, "good,,\n");
    ph_buf_fini(&stream);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

TEST(a_row_by_itself_is_checked_whole)
{
    struct ph_decoder *decoder = new_decoder(PH_BINARY, PH_AS_CSV, 3);
    struct ph_buf row = {0}, out = {0};
    struct ph_err err = {0};
    put_row(&row, TEXTS("a", NULL, "b"), 3);
    for (size_t len = 0; len < row.len; len++)
        assert_false(ph_decoder_row(decoder, row.data, len, &out, &err));
    assert_true(ph_decoder_row(decoder, row.data, row.len, &out, &err));
    ph_buf_addc(&row, 0);
    assert_false(ph_decoder_row(decoder, row.data, row.len, &out, &err));
    row.data[1] = 2;
    assert_false(ph_decoder_row(decoder, row.data, row.len, &out, &err));
    assert_contains(err.text, "number of fields");
    assert_string_equal(out.data, "a,,\\x62\n");
    ph_buf_fini(&row);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

TEST(what_cannot_be_shown_is_named)
{
    struct ph_decode_opts opts = {.columns = TEXTS("ok", "v"), .n_columns = 2};
    opts.types = TEXTS("integer", "money");
    refused(&opts, "column \"v\" of type money cannot be shown", "lc_monetary");
    opts.types = TEXTS("integer", "regclass[]");
    refused(&opts, "column \"v\" of type regclass[]", "regclass is archived as a number");
    opts.types = TEXTS("integer", "public.geometry(Point,4326)");
    refused(&opts, "column \"v\" of type public.geometry(Point,4326)", "no type whose bytes");
    opts.types = TEXTS("integer", "citext"); /* the system has none of that name */
    refused(&opts, "citext", "no type whose bytes");
}

TEST(what_cannot_be_shown_is_found_deep_within)
{
    const struct ph_decode_type described[] = {
        {.name = "public.c",
         .kind = PH_DECODE_COMPOSITE,
         .attributes = TEXTS("integer", "public.d[]"),
         .n_attributes = 2},
        {.name = "public.d", .kind = PH_DECODE_DOMAIN, .of = "money"},
        {.name = "public.self", .kind = PH_DECODE_DOMAIN, .of = "public.self"},
        {.name = "public.half", .kind = PH_DECODE_RANGE},
    };
    struct ph_decode_opts opts = {
        .columns = TEXTS("v"), .n_columns = 1, .described = described, .n_described = 4};
    opts.types = TEXTS("public.c[]");
    refused(&opts, "column \"v\" of type public.c[]", "money is shown as");
    opts.types = TEXTS("public.self");
    refused(&opts, "public.self", "nested too deeply");
    opts.types = TEXTS("public.half");
    refused(&opts, "public.half", "not described in full");
}

TEST(types_of_a_text_stream_do_not_matter)
{
    struct ph_decoder *decoder;
    struct ph_err err = {0};
    struct ph_decode_opts opts = {.format = PH_TEXT, .columns = TEXTS("v"), .n_columns = 1};
    assert_true(ph_decoder_new(&decoder, &opts, &err));
    ph_decoder_free(decoder);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(copy_text_escapes_what_the_server_escapes),
        cmocka_unit_test(csv_quotes_what_the_server_quotes),
        cmocka_unit_test(an_end_marker_is_quoted_only_when_it_is_alone),
        cmocka_unit_test(copy_text_becomes_csv),
        cmocka_unit_test(a_line_of_another_shape_is_malformed),
        cmocka_unit_test(names_make_a_header_line), cmocka_unit_test(a_stream_may_be_cut_anywhere),
        cmocka_unit_test(a_stream_that_is_not_whole_is_an_error_at_its_end),
        cmocka_unit_test(bytes_behind_the_trailer_are_an_error),
        cmocka_unit_test(lines_of_text_pass_as_they_are),
        cmocka_unit_test(a_malformed_value_is_told_by_row_column_and_type_and_leaves_nothing),
        cmocka_unit_test(a_row_by_itself_is_checked_whole),
        cmocka_unit_test(what_cannot_be_shown_is_named),
        cmocka_unit_test(what_cannot_be_shown_is_found_deep_within),
        cmocka_unit_test(types_of_a_text_stream_do_not_matter));
}
