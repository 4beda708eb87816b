/* Each type by itself: bytes of its send function, and the text of its output function. */
#include "unit.h"

#include <stdio.h>

#include "base/buf.h"
#include "copy/decode.h"

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* A row of one value: `hex` is its bytes, blanks are skipped. */
static void put_row(struct ph_buf *row, const char *hex)
{
    ph_buf_clear(row);
    ph_buf_addn(row, "\0\1\0\0\0\0", 6);
    for (const char *p = hex; *p; p++)
        if (*p != ' ') {
            ph_buf_addc(row, (char)(digit(p[0]) << 4 | digit(p[1])));
            p++;
        }
    size_t len = row->len - 6;
    for (size_t i = 0; i < 4; i++)
        row->data[2 + i] = (char)(len >> (24 - 8 * i));
}

static struct ph_decoder *new_decoder(const char *type, int version)
{
    static const char *const mood[] = {"integer", "public.mood", "text[]"};
    static const struct ph_decode_type described[] = {
        {.name = "public.mood", .kind = PH_DECODE_ENUM},
        {.name = "public.\"a.b(c)[]\"", .kind = PH_DECODE_ENUM},
        {.name = "public.price", .kind = PH_DECODE_DOMAIN, .of = "numeric(10,2)"},
        {.name = "public.boxes", .kind = PH_DECODE_DOMAIN, .of = "box"},
        {.name = "public.textrange", .kind = PH_DECODE_RANGE, .of = "text"},
        {.name = "public.textranges", .kind = PH_DECODE_MULTIRANGE, .of = "public.textrange"},
        {.name = "public.row", .kind = PH_DECODE_COMPOSITE, .attributes = mood, .n_attributes = 3},
        {.name = "public.nothing", .kind = PH_DECODE_COMPOSITE},
        {.name = "app.citext", .kind = PH_DECODE_BASE},
    };
    struct ph_err err = {0};
    struct ph_decoder *decoder;
    if (!ph_decoder_new(
            &decoder,
            &(struct ph_decode_opts){.format = PH_BINARY,
                                     .as = PH_AS_CSV,
                                     .columns = (const char *const[]){"v"},
                                     .types = &type,
                                     .n_columns = 1,
                                     .described = described,
                                     .n_described = sizeof described / sizeof *described,
                                     .source_version = version},
            &err))
        fail_msg("%s: %s", type, err.text);
    return decoder;
}

/* As CSV, since quotes are fewer there than backslashes in text: `expected` is the field as it is written. */
static void expect_of(int version, const char *type, const char *hex, const char *expected)
{
    struct ph_decoder *decoder = new_decoder(type, version);
    struct ph_buf row = {0}, out = {0}, line = {0};
    struct ph_err err = {0};
    put_row(&row, hex);
    ph_buf_addf(&line, "%s\n", expected);
    if (!ph_decoder_row(decoder, row.data, row.len, &out, &err))
        fail_msg("%s %s: %s", type, hex, err.text);
    assert_string_equal(out.data, line.data);
    ph_buf_fini(&row);
    ph_buf_fini(&out);
    ph_buf_fini(&line);
    ph_decoder_free(decoder);
}

static void expect(const char *type, const char *hex, const char *expected)
{
    expect_of(150000, type, hex, expected);
}

static void malformed(const char *type, const char *hex, const char *why)
{
    struct ph_decoder *decoder = new_decoder(type, 0);
    struct ph_buf row = {0}, out = {0};
    struct ph_err err = {0};
    ph_buf_add(&out, "before");
    put_row(&row, hex);
    if (ph_decoder_row(decoder, row.data, row.len, &out, &err))
        fail_msg("%s %s is %s", type, hex, out.data);
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, "malformed");
    assert_contains(err.text, type);
    assert_contains(err.text, why);
    assert_string_equal(out.data, "before");
    ph_buf_fini(&row);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

static void expect_float8(double v, const char *expected)
{
    char hex[17];
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)bits);
    expect("double precision", hex, expected);
}

static void expect_float4(float v, const char *expected)
{
    char hex[9];
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    snprintf(hex, sizeof hex, "%08x", bits);
    expect("real", hex, expected);
}

TEST(integers_and_their_kin_are_decimal)
{
    expect("boolean", "01", "t");
    expect("boolean", "00", "f");
    expect("smallint", "8000", "-32768");
    expect("integer", "80000000", "-2147483648");
    expect("bigint", "8000000000000000", "-9223372036854775808");
    expect("bigint", "7fffffffffffffff", "9223372036854775807");
    expect("int8", "0000000000000000", "0");
    expect("oid", "ffffffff", "4294967295");
    expect("xid", "80000000", "2147483648");
    expect("cid", "00000007", "7");
    expect("xid8", "ffffffffffffffff", "18446744073709551615");
}

TEST(a_numeric_has_as_many_decimals_as_its_scale)
{
    expect("numeric", "0000 0000 0000 0000", "0");
    expect("numeric", "0000 0000 0000 0003", "0.000");
    expect("numeric(10,2)", "0002 0000 0000 0002 0001 1388", "1.50");
    expect("numeric", "0002 0001 4000 0000 000c 0d80", "-123456");
    expect("numeric", "0001 0002 0000 0000 0001", "100000000");
    expect("numeric", "0001 fffe 0000 0008 0001", "0.00000001");
    expect("numeric", "0001 fffe 0000 0006 04d2", "0.000012");
    expect("numeric", "0002 0000 0000 0005 0001 04d2",
           "1.12340"); /* the fifth decimal is beyond its digits */
    expect("numeric", "0000 0000 c000 0000", "NaN");
    expect("numeric", "0000 0000 d000 0000", "Infinity");
    expect("numeric", "0000 0000 f000 0000", "-Infinity");
}

TEST(a_numeric_that_cannot_be_is_malformed)
{
    malformed("numeric", "0001 0000 0000 0000 2710", "a digit of it is none");
    malformed("numeric", "0001 0000 0001 0000 0001", "sign");
    malformed("numeric", "0000 0000 0000 4000", "scale");
    malformed("numeric", "7fff 0000 0000 0000 0001", "too short");
    malformed("numeric", "0000 0000 0000 0000 00", "bytes are behind it");
}

TEST(a_double_has_the_shortest_digits_that_are_read_back)
{
    expect_float8(0, "0");
    expect_float8(-0.0, "-0");
    expect_float8(0.1, "0.1");
    expect_float8(0.1 + 0.2, "0.30000000000000004");
    expect_float8(1.0 / 3, "0.3333333333333333");
    expect_float8(-12.5, "-12.5");
    expect_float8(0x1p-1074, "5e-324");
    expect_float8(1.7976931348623157e308, "1.7976931348623157e+308");
    expect_float8(2.2250738585072014e-308, "2.2250738585072014e-308");
    expect_float8(0x1p-44, "5.684341886080802e-14");
    expect_float8(__builtin_inf(), "Infinity");
    expect_float8(-__builtin_inf(), "-Infinity");
    expect_float8(__builtin_nan(""), "NaN");
}

TEST(an_exponent_is_written_below_minus_four_and_from_fifteen_on)
{
    expect_float8(0.0001, "0.0001");
    expect_float8(0.00001, "1e-05");
    expect_float8(123456789012345, "123456789012345");
    expect_float8(100000000000000, "100000000000000");
    expect_float8(1e15, "1e+15");
    expect_float8(1234567890123456, "1.234567890123456e+15");
    expect_float8(1e100, "1e+100");
    expect_float4(100000, "100000");
    expect_float4(1e6f, "1e+06");
    expect_float4(0.0001f, "0.0001");
    expect_float4(1e-5f, "1e-05");
}

TEST(a_decimal_half_way_between_two_doubles_is_not_taken)
{
    expect_float8(1e23, "9.999999999999999e+22");
    expect_float8(9007199254740993.0 * 2, "1.8014398509481984e+16");
}

TEST(a_real_has_its_own_shortest_digits)
{
    expect_float4(0.1f, "0.1");
    expect_float4(16777216, "1.6777216e+07");
    expect_float4(3.4028235e38f, "3.4028235e+38");
    expect_float4(0x1p-149f, "1e-45");
    expect_float4(1.0f / 3, "0.33333334");
}

TEST(dates_are_iso_and_there_is_no_year_zero)
{
    expect("date", "00000000", "2000-01-01");
    expect("date", "ffffffff", "1999-12-31");
    expect("date", "0000003b", "2000-02-29");
    expect("date", "fff4dbf9", "0001-01-01");
    expect("date", "fff4dbf8", "0001-12-31 BC");
    expect("date", "ffda97a7", "4714-11-24 BC");
    expect("date", "7fda970c", "5874897-12-31");
    expect("date", "7fffffff", "infinity");
    expect("date", "80000000", "-infinity");
    malformed("date", "7ffffffe", "outside the calendar");
}

TEST(times_have_no_zeros_at_the_end_of_a_fraction)
{
    expect("time without time zone", "0000000000000000", "00:00:00");
    expect("time(3) without time zone", "000000141dd76000", "24:00:00");
    expect("time without time zone", "0000000000000001", "00:00:00.000001");
    expect("time without time zone", "000000000007a120", "00:00:00.5");
    malformed("time without time zone", "000000141dd76001", "no time of a day");
    malformed("time without time zone", "ffffffffffffffff", "no time of a day");
}

TEST(a_time_zone_is_shown_as_far_as_it_must)
{
    expect("time with time zone", "0000000000000000 00000000", "00:00:00+00");
    expect("time with time zone", "0000000000000000 ffffb2a8", "00:00:00+05:30");
    expect("time with time zone", "0000000000000000 00000e10", "00:00:00-01");
    expect("time with time zone", "0000000000000000 00000001", "00:00:00-00:00:01");
    malformed("time with time zone", "0000000000000000 7fffffff", "time zone");
}

TEST(timestamps_are_iso_and_in_utc)
{
    expect("timestamp without time zone", "0000000000000000", "2000-01-01 00:00:00");
    expect("timestamp(6) without time zone", "ffffffffffffffff", "1999-12-31 23:59:59.999999");
    expect("timestamp with time zone", "0000000000000001", "2000-01-01 00:00:00.000001+00");
    expect("timestamp with time zone", "fd0f7cc1411fa000", "4714-11-24 00:00:00+00 BC");
    expect("timestamp with time zone", "7fffffffffffffff", "infinity");
    expect("timestamp without time zone", "8000000000000000", "-infinity");
    malformed("timestamp without time zone", "7ffffffffffffffe", "outside the calendar");
}

TEST(an_interval_is_shown_in_the_style_of_postgres)
{
    expect("interval", "0000000000000000 00000000 00000000", "00:00:00");
    expect("interval", "0000000000000000 00000001 0000000e", "1 year 2 mons 1 day");
    expect("interval day to second(3)", "00000000000f4240 ffffffff 00000000", "-1 days +00:00:01");
    expect("interval", "fffffffffff0bdc0 00000000 fffffff3", "-1 years -1 mons -00:00:01");
    expect("interval", "0000000000000000 00000002 ffffffff", "-1 mons +2 days");
    expect("interval", "000000000007a120 00000000 00000000", "00:00:00.5");
    expect("interval", "00000053d1ac1000 00000000 00000000", "100:00:00");
}

TEST(the_greatest_interval_is_infinite_since_release_17)
{
    const char *greatest = "7fffffffffffffff 7fffffff 7fffffff";
    expect_of(160000, "interval", greatest,
              "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807");
    expect_of(170000, "interval", greatest, "infinity");
    expect_of(0, "interval", "8000000000000000 80000000 80000000", "-infinity");
}

TEST(texts_are_what_they_are)
{
    expect("text", "61", "a");
    expect("character varying(20)", "", "\"\"");
    expect("character(3)", "612020", "a  ");
    expect("name", "c3a4", "ä");
    expect("public.mood", "736164", "sad");
    expect("public.\"a.b(c)[]\"", "61", "a");
    expect("app.citext", "41", "A");
    expect("json", "7b7d", "{}");
    expect("jsonb", "017b7d", "{}");
    expect("jsonpath", "0124", "$");
    expect("bytea", "00ff", "\\x00ff");
    expect("bytea", "", "\\x");
    malformed("text", "6100", "zero byte");
    malformed("jsonb", "027b7d", "version");
    malformed("jsonb", "", "too short");
}

TEST(a_char_that_is_no_ascii_is_octal_since_release_16)
{
    expect_of(150000, "\"char\"", "80", "\200");
    expect_of(160000, "\"char\"", "80", "\\200");
    expect("\"char\"", "00", "\"\"");
    expect("\"char\"", "61", "a");
}

TEST(bits_are_as_many_as_they_say)
{
    expect("bit(5)", "00000005 a8", "10101");
    expect("\"bit\"", "00000001 80", "1");
    expect("bit varying", "00000009 ff80", "111111111");
    expect("bit varying(3)", "00000000", "\"\"");
    malformed("bit varying", "00000009 ff", "number of bits");
    malformed("bit varying", "ffffffff ff", "number of bits");
    malformed("bit varying", "00000008 ffff", "behind");
}

TEST(addresses_are_short)
{
    expect("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    expect("inet", "02 20 00 04 7f000001", "127.0.0.1");
    expect("inet", "02 08 00 04 7f000001", "127.0.0.1/8");
    expect("cidr", "02 20 01 04 7f000001", "127.0.0.1/32");
    expect("inet", "03 80 00 10 00000000000000000000000000000000", "::");
    expect("inet", "03 80 00 10 00000000000000000000000000000001", "::1");
    expect("inet", "03 40 00 10 20010db8000000000001000000000000", "2001:db8:0:0:1::/64");
    expect("inet", "03 80 00 10 00000000000000000000ffff0a000001", "::ffff:10.0.0.1");
    expect("inet", "03 80 00 10 0000000000000000000000000a000001", "::10.0.0.1");
    expect("inet", "03 80 00 10 20010000000300040005000600070008", "2001:0:3:4:5:6:7:8");
    expect("macaddr", "08002b010203", "08:00:2b:01:02:03");
    expect("macaddr8", "08002b0102030405", "08:00:2b:01:02:03:04:05");
    expect("pg_lsn", "000000160b374d80", "16/B374D80");
    expect("tid", "00000001 0002", "\"(1,2)\"");
    expect("pg_snapshot", "00000001 000000000000000a 0000000000000014 000000000000000c",
           "10:20:12");
    malformed("inet", "04 20 00 04 7f000001", "family");
    malformed("inet", "02 21 00 04 7f000001", "size");
    malformed("inet", "02 20 00 10 7f000001", "size");
    malformed("pg_snapshot", "00ffffff 000000000000000a 0000000000000014", "too short");
}

#define ONE "3ff0000000000000"
#define TWO "4000000000000000"

TEST(the_halves_of_an_lsn_are_full_since_release_19)
{
    expect_of(180000, "pg_lsn", "0000000100000000", "1/0");
    expect_of(190000, "pg_lsn", "0000000100000000", "1/00000000");
}

TEST(geometry_has_its_brackets)
{
    expect("point", ONE TWO, "\"(1,2)\"");
    expect("lseg", ONE TWO TWO ONE, "\"[(1,2),(2,1)]\"");
    expect("box", TWO TWO ONE ONE, "\"(2,2),(1,1)\"");
    expect("path", "01 00000002" ONE TWO TWO ONE, "\"((1,2),(2,1))\"");
    expect("path", "00 00000001" ONE TWO, "\"[(1,2)]\"");
    expect("polygon", "00000001" ONE TWO, "\"((1,2))\"");
    expect("line", ONE TWO ONE, "\"{1,2,1}\"");
    expect("circle", ONE TWO ONE, "\"<(1,2),1>\"");
    malformed("polygon", "0fffffff" ONE TWO, "number of points");
    malformed("path", "01 00000000", "number of points");
    malformed("point", ONE, "too short");
}

TEST(words_of_a_tsvector_have_places_and_weights)
{
    expect("tsvector", "00000000", "\"\"");
    expect("tsvector", "00000002 6100 0000 6227 00 0003 c001 8002 0003", "\"'a' 'b''':1A,2B,3\"");
    malformed("tsvector", "00000001 61", "has no end");
    malformed("tsvector", "7fffffff", "has no end");
    malformed("tsvector", "00000001 6100 ffff 0001", "too short");
}

TEST(a_tsquery_has_only_the_parentheses_that_it_needs)
{
    const char *a = "01 00 00 6100 ", *b = "01 00 00 6200 ", *c = "01 00 00 6300 ";
    char hex[200];
    expect("tsquery", "00000000", "\"\"");
    expect("tsquery", "00000001 01 09 01 6100", "'a':*AD");
    snprintf(hex, sizeof hex, "00000005 02 02 %s 02 03 %s %s", c, b, a);
    expect("tsquery", hex, "( 'a' | 'b' ) & 'c'");
    snprintf(hex, sizeof hex, "00000005 02 03 %s 02 02 %s %s", c, b, a);
    expect("tsquery", hex, "'a' & 'b' | 'c'");
    snprintf(hex, sizeof hex, "00000006 02 01 02 04 0002 02 04 0001 %s %s %s", c, b, a);
    expect("tsquery", hex, "!( 'a' <2> ( 'b' <-> 'c' ) )");
}

TEST(a_tsquery_whose_tree_is_broken_is_malformed)
{
    malformed("tsquery", "00000001 02 01", "tree");
    malformed("tsquery", "00000002 02 02 01 00 00 6100", "tree");
    malformed("tsquery", "00000002 01 00 00 6100 01 00 00 6100", "tree");
    malformed("tsquery", "7fffffff 01 00 00 6100", "number of nodes");
    malformed("tsquery", "00000001 02 09", "operator");
    malformed("tsquery", "00000001 03 00", "kind");
}

TEST(hstore_quotes_everything)
{
    expect("public.hstore", "00000002 00000001 61 ffffffff 00000001 22 00000000",
           "\"\"\"a\"\"=>NULL, \"\"\\\"\"\"\"=>\"\"\"\"\"");
    malformed("public.hstore", "00000001 ffffffff ffffffff", "NULL");
    malformed("public.hstore", "7fffffff", "too short");
}

TEST(an_array_quotes_what_could_be_misread)
{
    expect("integer[]", "00000000 00000000 00000017", "{}");
    expect("integer[]", "00000001 00000001 00000017 00000002 00000001 00000004 00000007 ffffffff",
           "\"{7,NULL}\"");
    expect("text[]",
           "00000001 00000000 00000019 00000004 00000001 00000000 00000004 6e756c6c 00000001 5c"
           " 00000002 612e",
           "\"{\"\"\"\",\"\"null\"\",\"\"\\\\\"\",a.}\"");
}

TEST(dimensions_and_bounds_of_an_array_are_shown)
{
    expect("smallint[]",
           "00000002 00000000 00000015 00000002 00000000 00000001 00000005 00000002 0001 00000002 "
           "0002",
           "\"[0:1][5:5]={{1},{2}}\"");
}

TEST(elements_of_box_are_set_apart_by_semicolons)
{
    expect("box[]",
           "00000001 00000001 0000025b 00000002 00000001 ffffffff 00000020" TWO TWO ONE ONE,
           "\"{NULL;(2,2),(1,1)}\"");
    expect("public.boxes[]", "00000001 00000001 00012345 00000002 00000001 ffffffff ffffffff",
           "{NULL;NULL}");
}

TEST(an_array_that_cannot_be_is_malformed)
{
    malformed("integer[]", "00000007 00000000 00000017", "dimensions");
    malformed("integer[]", "ffffffff 00000000 00000017", "dimensions");
    malformed("integer[]", "00000001 00000002 00000017", "dimensions");
    malformed("integer[]", "00000001 00000000 00000014 00000001 00000001 00000004 00000001",
              "another type");
    malformed("integer[]", "00000001 00000000 00000017 ffffffff 00000001", "dimensions");
    malformed("integer[]", "00000001 00000000 00000017 7fffffff 00000001", "dimensions");
    malformed("integer[]", "00000001 00000000 00000017 00100000 00000001 ffffffff",
              "fewer elements");
    malformed("integer[]", "00000001 00000000 00000017 00000001 00000001 fffffffe",
              "negative length");
    malformed("integer[]", "00000001 00000000 00000017 00000001 00000001 00000002 0001",
              "too short");
    malformed("integer[]", "00000001 00000000 00000017 00000001 7fffffff ffffffff", "dimensions");
    malformed("int2vector", "00000001 00000000 00000015 00000001 00000000 ffffffff", "NULL");
}

TEST(vectors_have_neither_braces_nor_commas)
{
    expect("int2vector", "00000001 00000000 00000015 00000002 00000000 00000002 0001 00000002 ffff",
           "1 -1");
    expect("oidvector", "00000001 00000000 0000001a 00000000 00000000", "\"\"");
}

TEST(a_composite_quotes_its_fields)
{
    expect("public.row",
           "00000003 00000017 00000004 00000005 00012345 00000003 612c62 000003f1 0000001d"
           "00000001 00000000 00000019 00000001 00000001 00000005 61225c2062",
           "\"(5,\"\"a,b\"\",\"\"{\"\"\"\"a\\\\\"\"\"\"\\\\\\\\ b\"\"\"\"}\"\")\"");
    expect("public.row", "00000003 00000017 ffffffff 00012345 00000000 000003f1 ffffffff",
           "\"(,\"\"\"\",)\"");
    expect("public.nothing", "00000000", "()");
    malformed("public.row", "00000002 00000017 ffffffff 00012345 ffffffff", "number of attributes");
    malformed("public.row", "00000003 00000014 ffffffff 00012345 ffffffff 000003f1 ffffffff",
              "another type");
}

TEST(a_domain_is_shown_as_its_base_type_is)
{
    expect("public.price", "0002 0000 0000 0002 0001 1388", "1.50");
    expect("public.price[]",
           "00000001 00000000 00012345 00000001 00000001 0000000c 0002 0000 0000 0002 0001 1388",
           "{1.50}");
}

TEST(ranges_have_brackets_and_quotes)
{
    expect("int4range", "02 00000004 00000001 00000004 00000005", "\"[1,5)\"");
    expect("int4range", "01", "empty");
    expect("int4range", "18", "\"(,)\"");
    expect("daterange", "0c 00000004 00000000", "\"(,2000-01-01]\"");
    expect("tsrange", "12 00000008 0000000000000000", "\"[\"\"2000-01-01 00:00:00\"\",)\"");
    expect("public.textrange", "06 00000000 00000002 225c", "\"[\"\"\"\",\"\"\"\"\"\"\\\\\"\"]\"");
    malformed("int4range", "40", "flags");
    malformed("int4range", "02 ffffffff 00000004 00000005", "NULL");
    malformed("int4range", "01 00", "behind");
}

TEST(multiranges_have_braces)
{
    expect("int4multirange", "00000000", "{}");
    expect("int4multirange",
           "00000002 00000011 02 00000004 00000001 00000004 00000005 00000009 12 00000004 00000007",
           "\"{[1,5),[7,)}\"");
    expect("public.textranges", "00000001 00000001 18", "\"{(,)}\"");
    malformed("int4multirange", "ffffffff", "number of ranges");
    malformed("int4multirange", "00000001 ffffffff", "NULL");
}

int main(void)
{
    return RUN(cmocka_unit_test(integers_and_their_kin_are_decimal),
               cmocka_unit_test(a_numeric_has_as_many_decimals_as_its_scale),
               cmocka_unit_test(a_numeric_that_cannot_be_is_malformed),
               cmocka_unit_test(a_double_has_the_shortest_digits_that_are_read_back),
               cmocka_unit_test(an_exponent_is_written_below_minus_four_and_from_fifteen_on),
               cmocka_unit_test(a_decimal_half_way_between_two_doubles_is_not_taken),
               cmocka_unit_test(a_real_has_its_own_shortest_digits),
               cmocka_unit_test(dates_are_iso_and_there_is_no_year_zero),
               cmocka_unit_test(times_have_no_zeros_at_the_end_of_a_fraction),
               cmocka_unit_test(a_time_zone_is_shown_as_far_as_it_must),
               cmocka_unit_test(timestamps_are_iso_and_in_utc),
               cmocka_unit_test(an_interval_is_shown_in_the_style_of_postgres),
               cmocka_unit_test(the_greatest_interval_is_infinite_since_release_17),
               cmocka_unit_test(texts_are_what_they_are),
               cmocka_unit_test(a_char_that_is_no_ascii_is_octal_since_release_16),
               cmocka_unit_test(bits_are_as_many_as_they_say),
               cmocka_unit_test(addresses_are_short),
               cmocka_unit_test(the_halves_of_an_lsn_are_full_since_release_19),
               cmocka_unit_test(geometry_has_its_brackets),
               cmocka_unit_test(words_of_a_tsvector_have_places_and_weights),
               cmocka_unit_test(a_tsquery_has_only_the_parentheses_that_it_needs),
               cmocka_unit_test(a_tsquery_whose_tree_is_broken_is_malformed),
               cmocka_unit_test(hstore_quotes_everything),
               cmocka_unit_test(an_array_quotes_what_could_be_misread),
               cmocka_unit_test(dimensions_and_bounds_of_an_array_are_shown),
               cmocka_unit_test(elements_of_box_are_set_apart_by_semicolons),
               cmocka_unit_test(an_array_that_cannot_be_is_malformed),
               cmocka_unit_test(vectors_have_neither_braces_nor_commas),
               cmocka_unit_test(a_composite_quotes_its_fields),
               cmocka_unit_test(a_domain_is_shown_as_its_base_type_is),
               cmocka_unit_test(ranges_have_brackets_and_quotes),
               cmocka_unit_test(multiranges_have_braces));
}
