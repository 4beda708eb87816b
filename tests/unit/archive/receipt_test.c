/* Receipts as JSON: what comes back, and what is refused. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/receipt.h"

static const char *const columns[] = {"id", "t\xe4g"};
static const char *const types[] = {"bigint", "text"};

static struct ph_receipt a_receipt(void)
{
    return (struct ph_receipt){.set = "00112233445566778899aabbccddeeff",
                               .shard = INT64_MAX,
                               .tab = 1,
                               .schema = "s",
                               .table = "t",
                               .format = PH_TEXT,
                               .encoding = "LATIN1",
                               .columns = columns,
                               .types = types,
                               .n_columns = 1,
                               .where = "",
                               .rows = 3,
                               .bytes = 100,
                               .hash_lo = 1,
                               .hash_hi = UINT64_MAX};
}

/* The receipt's text with `old` replaced by `new`, parsed. */
static bool parse_with(const char *old, const char *new, struct ph_err *err)
{
    size_t len;
    struct ph_receipt receipt = a_receipt();
    char *text = ph_receipt_format(&receipt, &len, err), *at = strstr(text, old);
    if (!at)
        fail_msg("%s is not in %s", old, text);
    char *changed;
    int n = asprintf(&changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    assert_true(n > 0);
    struct ph_arena arena = {0};
    bool ok = ph_receipt_parse(&receipt, &arena, changed, (size_t)n, err);
    ph_arena_fini(&arena);
    free(changed);
    free(text);
    return ok;
}

static void refused(const char *old, const char *new, const char *why)
{
    struct ph_err err = {0};
    if (parse_with(old, new, &err))
        fail_msg("%s instead of %s passed", new, old);
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, why);
}

TEST(unknown_snapshots_and_open_bounds_come_back_as_null)
{
    struct ph_err err;
    struct ph_arena arena = {0};
    size_t len;
    struct ph_receipt receipt = a_receipt(), again;
    char *text = ph_receipt_format(&receipt, &len, &err);
    assert_true(ph_receipt_parse(&again, &arena, text, len, &err));
    assert_null(again.lo);
    assert_null(again.hi);
    assert_null(again.pg_snapshot);
    assert_null(again.lsn);
    assert_int_equal(again.shard, INT64_MAX);
    assert_int_equal(again.hash_hi, UINT64_MAX);
    assert_int_equal(again.hash_lo, 1);
    free(text);
    ph_arena_fini(&arena);
}

TEST(a_table_without_columns_has_a_receipt_too)
{
    struct ph_err err;
    size_t len;
    struct ph_receipt receipt = a_receipt();
    receipt.n_columns = 0;
    char *text = ph_receipt_format(&receipt, &len, &err);
    assert_non_null(text);
    free(text);
}

TEST(texts_of_any_bytes_come_back)
{
    struct ph_err err;
    struct ph_arena arena = {0};
    size_t len;
    char all[256];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = '\0';
    struct ph_receipt receipt = a_receipt(), again;
    receipt.n_columns = 2;
    receipt.where = all;
    char *text = ph_receipt_format(&receipt, &len, &err);
    assert_non_null(text);
    assert_contains(text, "\"texts\":\"bytes\"");
    assert_true(ph_receipt_parse(&again, &arena, text, len, &err));
    assert_string_equal(again.where, all);
    assert_string_equal(again.columns[1], "t\xe4g");
    free(text);
    ph_arena_fini(&arena);
}

TEST(utf_8_stays_utf_8_even_where_it_looks_like_bytes)
{
    struct ph_err err;
    struct ph_arena arena = {0};
    size_t len;
    struct ph_receipt receipt = a_receipt(), again;
    receipt.where = "Ã¤ = '\xf0\x9f\x90\x98'";
    char *text = ph_receipt_format(&receipt, &len, &err);
    assert_contains(text, "\"texts\":\"utf-8\"");
    assert_contains(text, receipt.where);
    assert_true(ph_receipt_parse(&again, &arena, text, len, &err));
    assert_string_equal(again.where, receipt.where);
    free(text);
    ph_arena_fini(&arena);
}

TEST(fields_of_the_wrong_type_or_range_are_refused)
{
    refused("\"tab\":1", "\"tab\":\"1\"", "\"tab\" of the receipt is no whole number");
    refused("\"tab\":1", "\"tab\":1.0", "no whole number");
    refused("\"tab\":1", "\"tab\":0", "out of range");
    refused("\"tab\":1", "\"tab\":2147483648", "out of range");
    refused("\"attempt\":0", "\"attempt\":-1", "out of range");
    refused("\"rows\":3", "\"rows\":-3", "out of range");
    refused("\"rows\":3", "\"rows\":9223372036854775808", "JSON");
    refused("\"schema\":\"s\"", "\"schema\":null", "no text");
    refused("\"schema\":\"s\"", "\"schema\":\"\"", "empty");
    refused("\"format\":\"text\"", "\"format\":\"csv\"", "known words");
    refused("\"where\":\"\"", "\"where\":7", "no text");
    refused("\"lo\":null", "\"lo\":{}", "no text");
    refused("\"lsn\":null", "\"lsn\":\"16B374D848\"", "no LSN");
    refused("\"lsn\":null", "\"lsn\":\"16/B374D848 \"", "no LSN");
    refused("\"lsn\":null", "\"lsn\":\"/B374D848\"", "no LSN");
    refused("\"columns\":[\"id\"]", "\"columns\":\"id\"", "no list");
    refused("\"columns\":[\"id\"]", "\"columns\":[\"\"]", "empty text");
    refused("\"columns\":[\"id\"]", "\"columns\":[1]", "no text");
    refused("\"types\":[\"bigint\"]", "\"types\":[]", "not one for each column");
    refused("\"set\":\"00", "\"set\":\"0", "hexadecimal");
    refused("\"set\":\"00", "\"set\":\"000", "hexadecimal");
    refused("\"set\":\"00", "\"set\":\"0A", "hexadecimal");
    refused("\"tally\":\"f", "\"tally\":\"g", "hexadecimal");
    refused("\"texts\":\"utf-8\"", "\"texts\":\"utf-16\"", "known words");
}

TEST(missing_doubled_and_unknown_fields_are_refused)
{
    refused("\"tab\":1,", "", "\"tab\" of the receipt is missing");
    refused("\"tab\":1", "\"tab\":1,\"tab\":1", "JSON");
    refused("\"tab\":1", "\"tab\":1,\"tub\":1", "fields that this version has not");
}

TEST(what_is_no_json_object_is_refused)
{
    refused("{", "[", "JSON");
    refused("}", "", "JSON");
    refused("}", "}}", "JSON");
    refused("\"s\"", "\"\\u0000\"", "JSON");
    refused("\"s\"", "\"\xe4\"", "JSON");
    struct ph_err err;
    struct ph_arena arena = {0};
    struct ph_receipt receipt;
    assert_false(ph_receipt_parse(&receipt, &arena, "[]", 2, &err));
    assert_false(ph_receipt_parse(&receipt, &arena, "", 0, &err));
    ph_arena_fini(&arena);
}

TEST(a_character_that_is_no_byte_is_refused_where_texts_are_bytes)
{
    struct ph_err err;
    struct ph_arena arena = {0};
    size_t len;
    struct ph_receipt receipt = a_receipt();
    receipt.where = "\xe4";
    char *text = ph_receipt_format(&receipt, &len, &err);
    char *at = strstr(text, "\xc3\xa4");
    memcpy(at, "\xc4\xa4", 2);
    assert_false(ph_receipt_parse(&receipt, &arena, text, len, &err));
    assert_contains(err.text, "no byte");
    free(text);
    ph_arena_fini(&arena);
}

TEST(what_could_not_be_read_is_not_written)
{
    struct ph_err err;
    size_t len;
    struct ph_receipt receipt = a_receipt();
    receipt.rows = UINT64_MAX;
    assert_null(ph_receipt_format(&receipt, &len, &err));
    assert_contains(err.text, "rows");
    receipt = a_receipt();
    receipt.encoding = NULL;
    assert_null(ph_receipt_format(&receipt, &len, &err));
    assert_contains(err.text, "encoding");
}

int main(void)
{
    return RUN(cmocka_unit_test(unknown_snapshots_and_open_bounds_come_back_as_null),
               cmocka_unit_test(a_table_without_columns_has_a_receipt_too),
               cmocka_unit_test(texts_of_any_bytes_come_back),
               cmocka_unit_test(utf_8_stays_utf_8_even_where_it_looks_like_bytes),
               cmocka_unit_test(fields_of_the_wrong_type_or_range_are_refused),
               cmocka_unit_test(missing_doubled_and_unknown_fields_are_refused),
               cmocka_unit_test(what_is_no_json_object_is_refused),
               cmocka_unit_test(a_character_that_is_no_byte_is_refused_where_texts_are_bytes),
               cmocka_unit_test(what_could_not_be_read_is_not_written));
}
