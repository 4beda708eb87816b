/* The tail of a shard file in memory: what it refuses, though its hash is right. */
#include "archive/shard_maker.h"

#include <endian.h>
#include <xxhash.h>

#include "archive/tail.h"

enum { FRAMES_END = 3000 };

struct made {
    struct ph_buf bytes;
    struct ph_sealed sealed;
};

/* Three frames of 1000 bytes in the file, 2000 of the stream and 10 rows each. */
static struct made make(void)
{
    struct made made = {0};
    struct ph_buf index = {0};
    struct ph_err err;
    for (int i = 0; i < 3; i++)
        ph_tail_add(&index, &(struct ph_tail_entry){.offset = (uint64_t)i * 1000,
                                                    .stored = 1000,
                                                    .raw = 2000,
                                                    .rows = 10,
                                                    .hash = 0x0102030405060708});
    struct ph_receipt receipt = maker_receipt(PH_TEXT);
    receipt.rows = 30;
    receipt.bytes = 6000;
    receipt.hash_lo = 0xfedcba9876543210;
    receipt.hash_hi = 1;
    if (!ph_tail_format(&made.bytes, &index, &receipt, FRAMES_END, &made.sealed, &err))
        fail_msg("%s", err.text);
    ph_buf_fini(&index);
    return made;
}

static void rehash(struct made *made)
{
    XXH128_canonical_t canonical;
    size_t len = made->bytes.len - PH_SHARDFILE_HASH;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(made->bytes.data, len));
    memcpy(made->bytes.data + len, canonical.digest, PH_SHARDFILE_HASH);
}

static bool parses(const struct made *made, uint64_t file_size, struct ph_err *err)
{
    struct ph_arena arena = {0};
    struct ph_tail tail;
    bool ok = ph_tail_parse(&tail, &arena, made->bytes.data, made->bytes.len, file_size, err);
    ph_arena_fini(&arena);
    return ok;
}

/* What is said of a tail in which the 32-bit number at `at` (from the end when negative) is another. */
static struct ph_err said_of(long at, uint32_t number)
{
    struct made made = make();
    struct ph_err err = {0};
    char *p = at < 0 ? made.bytes.data + made.bytes.len + at : made.bytes.data + at;
    number = htole32(number);
    memcpy(p, &number, sizeof number);
    rehash(&made);
    assert_false(parses(&made, FRAMES_END + made.bytes.len, &err));
    ph_buf_fini(&made.bytes);
    return err;
}

enum { FIRST_ENTRY = 8, SECOND_ENTRY = FIRST_ENTRY + PH_TAIL_ENTRY, FOOTER = -PH_TAIL_FOOTER };

TEST(what_was_written_comes_back)
{
    struct made made = make();
    struct ph_err err;
    struct ph_arena arena = {0};
    struct ph_tail tail;
    uint64_t file_size = FRAMES_END + made.bytes.len;
    size_t size;
    assert_true(
        ph_tail_size(made.bytes.data + made.bytes.len - PH_TAIL_FOOTER, file_size, &size, &err));
    assert_int_equal(size, made.bytes.len);
    assert_true(ph_tail_parse(&tail, &arena, made.bytes.data, size, file_size, &err));
    assert_int_equal(tail.n_entries, 3);
    assert_int_equal(tail.offset, FRAMES_END);
    assert_int_equal(tail.stream, 6000);
    assert_int_equal(tail.entries[1].offset, 1000);
    assert_int_equal(tail.entries[1].stored, 1000);
    assert_int_equal(tail.entries[1].raw, 2000);
    assert_int_equal(tail.entries[1].rows, 10);
    assert_int_equal(tail.entries[1].hash, 0x0102030405060708);
    assert_int_equal(tail.receipt.hash_lo, 0xfedcba9876543210);
    assert_int_equal(tail.receipt.hash_hi, 1);
    assert_int_equal(tail.sealed.size, file_size);
    assert_memory_equal(tail.sealed.hash, made.sealed.hash, PH_SHARDFILE_HASH);
    ph_arena_fini(&arena);
    ph_buf_fini(&made.bytes);
}

TEST(numbers_are_little_endian)
{
    struct made made = make();
    assert_memory_equal(made.bytes.data + SECOND_ENTRY,
                        "\xe8\x03\0\0\0\0\0\0"
                        "\xe8\x03\0\0"
                        "\xd0\x07\0\0"
                        "\x0a\0\0\0"
                        "\x08\x07\x06\x05\x04\x03\x02\x01",
                        PH_TAIL_ENTRY);
    const char *footer = made.bytes.data + made.bytes.len - PH_TAIL_FOOTER;
    assert_memory_equal(footer, "pghaulSF\x01\0\0\0", 12);
    assert_memory_equal(footer + 16, "\x03\0\0\0", 4);
    assert_memory_equal(footer + 24, "\x70\x17\0\0\0\0\0\0", 8);
    ph_buf_fini(&made.bytes);
}

TEST(a_newer_version_is_named_and_an_older_one_does_not_exist)
{
    struct ph_err err = said_of(FOOTER + 8, 2);
    assert_int_equal(err.code, PH_OTHER_JOB);
    assert_contains(err.text, "version 2");
    err = said_of(FOOTER + 8, 0);
    assert_int_equal(err.code, PH_FAILED);
}

TEST(frames_that_do_not_follow_each_other_are_refused)
{
    assert_contains(said_of(FIRST_ENTRY, 1).text, "do not follow each other");
    assert_contains(said_of(SECOND_ENTRY, 1001).text, "do not follow each other");
    assert_contains(said_of(SECOND_ENTRY + 8, 999).text, "do not follow each other");
    assert_contains(said_of(SECOND_ENTRY + 4, 1).text, "do not follow each other");
    assert_contains(said_of(SECOND_ENTRY + PH_TAIL_ENTRY + 8, 999).text, "do not reach");
}

TEST(frames_of_impossible_sizes_are_refused)
{
    assert_contains(said_of(FIRST_ENTRY + 8, 19).text, "do not follow");
    assert_contains(said_of(FIRST_ENTRY + 8, PH_TAIL_STORED + 1).text, "do not follow");
    assert_contains(said_of(FIRST_ENTRY + 12, 0).text, "impossible size");
    assert_contains(said_of(FIRST_ENTRY + 12, PH_TAIL_RAW + 1).text, "impossible size");
    assert_contains(said_of(FIRST_ENTRY + 16, 2001).text, "impossible size");
}

TEST(sums_that_do_not_agree_are_refused)
{
    assert_contains(said_of(FIRST_ENTRY + 12, 2001).text, "not of one size");
    assert_contains(said_of(FIRST_ENTRY + 16, 11).text, "number of rows");
    assert_contains(said_of(FOOTER + 24, 6001).text, "not of one size");
    assert_contains(said_of(FOOTER + 32, 31).text, "number of rows");
    assert_contains(said_of(FOOTER + 40, FRAMES_END - 1).text, "impossible lengths");
}

TEST(lengths_that_do_not_fit_are_refused)
{
    assert_contains(said_of(FOOTER + 16, 4).text, "impossible lengths");
    assert_contains(said_of(FOOTER + 16, UINT32_MAX).text, "impossible lengths");
    assert_contains(said_of(FOOTER + 20, 10).text, "impossible lengths");
    assert_contains(said_of(FOOTER + 20, UINT32_MAX).text, "impossible lengths");
    assert_contains(said_of(FOOTER + 12, UINT32_MAX).text, "impossible length");
    assert_contains(said_of(FOOTER + 12, 3).text, "impossible length");
    assert_contains(said_of(4, 3).text, "not where it should be");
    assert_contains(said_of(0, 0x184D2A50).text, "not where it should be");
}

/* What is said when the receipt has `digit` behind `field`. */
static struct ph_err said_with(const char *field, char digit)
{
    struct made made = make();
    struct ph_err err = {0};
    char *at = memmem(made.bytes.data, made.bytes.len, field, strlen(field));
    assert_non_null(at);
    at[strlen(field)] = digit;
    rehash(&made);
    assert_false(parses(&made, FRAMES_END + made.bytes.len, &err));
    ph_buf_fini(&made.bytes);
    return err;
}

TEST(a_receipt_that_has_other_sums_is_refused)
{
    assert_contains(said_with("\"rows\":", '1').text, "number of rows");
    assert_contains(said_with("\"bytes\":", '7').text, "not of one size");
}

TEST(a_tail_in_a_file_of_another_size_is_refused)
{
    struct made made = make();
    struct ph_err err;
    assert_false(parses(&made, FRAMES_END + made.bytes.len + 1, &err));
    assert_false(parses(&made, FRAMES_END + made.bytes.len - 1, &err));
    assert_false(parses(&made, 10, &err));
    ph_buf_fini(&made.bytes);
}

TEST(an_index_beyond_a_skippable_frame_is_refused_before_it_is_copied)
{
    struct ph_err err;
    struct ph_sealed sealed;
    struct ph_buf out = {0};
    char nothing[1] = "";
    struct ph_buf index = {.data = nothing,
                           .len = (size_t)UINT32_MAX}; /* only its length is looked at */
    struct ph_receipt receipt = maker_receipt(PH_TEXT);
    assert_false(ph_tail_format(&out, &index, &receipt, 0, &sealed, &err));
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, "4 GiB");
    ph_buf_fini(&out);
}

int main(void)
{
    return RUN(cmocka_unit_test(what_was_written_comes_back),
               cmocka_unit_test(numbers_are_little_endian),
               cmocka_unit_test(a_newer_version_is_named_and_an_older_one_does_not_exist),
               cmocka_unit_test(frames_that_do_not_follow_each_other_are_refused),
               cmocka_unit_test(frames_of_impossible_sizes_are_refused),
               cmocka_unit_test(sums_that_do_not_agree_are_refused),
               cmocka_unit_test(lengths_that_do_not_fit_are_refused),
               cmocka_unit_test(a_receipt_that_has_other_sums_is_refused),
               cmocka_unit_test(a_tail_in_a_file_of_another_size_is_refused),
               cmocka_unit_test(an_index_beyond_a_skippable_frame_is_refused_before_it_is_copied));
}
