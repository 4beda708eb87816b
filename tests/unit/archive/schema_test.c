/* The schema's two files are believed only as they were written. */
#include "archive/shard_maker.h"

#include "archive/schema.h"

static struct place place;
static struct ph_archive_schema schema;
static const char content[] = "what pg_dump wrote\n\0\x80 and more";

static void make(enum ph_schema_file which)
{
    struct ph_buf buf = {0};
    struct ph_err err;
    ph_buf_addn(&buf, content, sizeof content);
    if (!ph_schema_write(&schema, which, place.dir, "the archive", &buf, &err))
        fail_msg("%s", err.text);
    ph_buf_fini(&buf);
}

static bool reads(enum ph_schema_file which, struct ph_err *err)
{
    struct ph_buf buf = {0};
    bool ok = ph_schema_read(&schema, which, place.dir, "the archive", &buf, err);
    if (ok) {
        assert_int_equal(buf.len, sizeof content);
        assert_memory_equal(buf.data, content, sizeof content);
    } else {
        assert_int_equal(err->code, PH_DAMAGED);
        assert_contains(err->text, ph_schema_files[which]);
        assert_int_equal(buf.len, 0);
    }
    ph_buf_fini(&buf);
    return ok;
}

static void overwrite(enum ph_schema_file which, const char *data, size_t len)
{
    struct ph_err err;
    assert_true(ph_file_replace(place.dir, "", ph_schema_files[which], data, len, &err));
}

TEST(both_files_come_back_byte_for_byte)
{
    struct ph_err err;
    make(PH_SCHEMA_DUMP);
    make(PH_SCHEMA_FACTS);
    assert_true(reads(PH_SCHEMA_DUMP, &err));
    assert_true(reads(PH_SCHEMA_FACTS, &err));
}

TEST(every_flipped_bit_and_every_other_length_is_found)
{
    char odd[2 * sizeof content] = {0};
    struct ph_err err;
    make(PH_SCHEMA_DUMP);
    memcpy(odd, content, sizeof content);
    for (size_t at = 0; at < sizeof content; at++)
        for (int bit = 0; bit < 8; bit++) {
            odd[at] = (char)(odd[at] ^ 1 << bit);
            overwrite(PH_SCHEMA_DUMP, odd, sizeof content);
            assert_false(reads(PH_SCHEMA_DUMP, &err));
            odd[at] = (char)(odd[at] ^ 1 << bit);
        }
    for (size_t len = 0; len < sizeof odd; len++) {
        overwrite(PH_SCHEMA_DUMP, odd, len);
        assert_true(reads(PH_SCHEMA_DUMP, &err) == (len == sizeof content));
    }
}

TEST(a_file_that_is_missing_or_the_other_one_is_damage)
{
    struct ph_err err;
    make(PH_SCHEMA_DUMP);
    make(PH_SCHEMA_FACTS);
    schema.file[PH_SCHEMA_FACTS].hash_lo++;
    assert_false(reads(PH_SCHEMA_FACTS, &err));
    place_remove(&place, ph_schema_files[PH_SCHEMA_DUMP]);
    assert_false(reads(PH_SCHEMA_DUMP, &err));
    assert_contains(err.text, "is missing");
    assert_int_equal(symlinkat("lock", place.dir, ph_schema_files[PH_SCHEMA_DUMP]), 0);
    assert_false(reads(PH_SCHEMA_DUMP, &err));
}

int main(void)
{
    place_init(&place);
    int failed = RUN(cmocka_unit_test(both_files_come_back_byte_for_byte),
                     cmocka_unit_test(every_flipped_bit_and_every_other_length_is_found),
                     cmocka_unit_test(a_file_that_is_missing_or_the_other_one_is_damage));
    for (int i = 0; i < PH_SCHEMA_FILES; i++)
        place_remove(&place, ph_schema_files[i]);
    place_fini(&place);
    return failed;
}
