/* A file is read only as what the manifest means by it. */
#include "shard_maker.h"

#include "archive/rows.h"

static struct place place;
static struct maker maker;
static struct ph_archive archive;
static struct ph_archive_table tables[2];
static struct ph_archive_shard shard;

/* A file of a few rows, and the manifest that means it. */
static void make(enum ph_format format)
{
    maker_open(&maker, &place, "f.lz4", format, PH_COMPRESS_ALWAYS);
    maker.receipt.n_columns = 1; /* what maker_row makes */
    for (uint32_t i = 0; i < 500; i++)
        maker_row(&maker, i % 50, i % 2);
    maker_put(&maker);
    maker_row(&maker, 200000, true);
    maker_put_pieces(&maker, 65536);
    maker_seal(&maker);
    const struct ph_receipt *r = &maker.receipt;
    tables[1] = (struct ph_archive_table){.id = 2,
                                          .schema = r->schema,
                                          .name = r->table,
                                          .format = format,
                                          .columns = r->columns,
                                          .types = r->types,
                                          .n_columns = r->n_columns};
    shard = (struct ph_archive_shard){.id = r->shard,
                                      .tab = r->tab,
                                      .where = r->where,
                                      .lo = r->lo,
                                      .hi = r->hi,
                                      .file = "f.lz4",
                                      .sealed = maker.sealed,
                                      .tally = maker.tally,
                                      .snapshot = r->snapshot};
    archive = (struct ph_archive){.set = r->set,
                                  .encoding = r->encoding,
                                  .tables = tables,
                                  .n_tables = 2,
                                  .shards = &shard,
                                  .n_shards = 1};
}

/* Reads it to its end; *rows: how many were lent. */
static bool read_all(uint64_t *rows, struct ph_err *err)
{
    struct ph_place at = {
        .dir = place.dir, .shown = "the archive", .set = archive.set, .ring = place.ring};
    struct ph_archive_rows *reader = test_malloc(sizeof *reader);
    struct ph_batch batch = {.len = 1};
    assert_true(ph_archive_rows_init(reader, &at, &archive, err));
    bool ok = ph_archive_rows_open(reader, &shard, err);
    bool opened = ok;
    while (ok && batch.len > 0)
        ok = ph_archive_rows_next(reader, &batch, err);
    *rows = opened ? reader->tally.rows : 0;
    ph_archive_rows_fini(reader);
    test_free(reader);
    return ok;
}

static void expect_refused(const char *why)
{
    struct ph_err err;
    uint64_t rows;
    assert_false(read_all(&rows, &err));
    assert_int_equal(err.code, PH_DAMAGED);
    assert_int_equal(rows, 0);
    assert_contains(err.text, "the archive/f.lz4");
    assert_contains(err.text, why);
}

TEST(rows_of_both_formats_are_lent_and_proven)
{
    for (int format = PH_BINARY; format <= PH_TEXT; format++) {
        struct ph_err err;
        uint64_t rows;
        make((enum ph_format)format);
        if (!read_all(&rows, &err))
            fail_msg("%s", err.text);
        assert_int_equal(rows, 501);
        maker_fini(&maker);
    }
}

TEST(a_file_is_refused_where_the_manifest_says_otherwise)
{
    static const char *const others[] = {"other", "other"};
    make(PH_TEXT);
    const struct ph_archive a = archive;
    const struct ph_archive_table t = tables[1];
    const struct ph_archive_shard s = shard;
#define REFUSED(change, why)                                                                       \
    do {                                                                                           \
        change;                                                                                    \
        expect_refused(why);                                                                       \
        archive = a;                                                                               \
        tables[1] = t;                                                                             \
        shard = s;                                                                                 \
    } while (0)
    REFUSED(archive.set = "ffffffffffffffffffffffffffffffff", "another archive");
    REFUSED(archive.encoding = "LATIN1", "another encoding");
    REFUSED(tables[1].schema = "other", "another table");
    REFUSED(tables[1].name = "other", "another table");
    REFUSED(tables[1].format = PH_BINARY, "another table");
    REFUSED(tables[1].n_columns = 2, "another table");
    REFUSED(tables[1].columns = others, "another table");
    REFUSED(tables[1].types = others, "another table");
    REFUSED(shard.id++, "another shard");
    REFUSED(shard.snapshot++, "another shard");
    REFUSED(shard.where = "", "another shard");
    REFUSED(shard.lo = NULL, "another shard");
    REFUSED(shard.hi = "20", "another shard");
    REFUSED(shard.sealed.size++, "another size");
    REFUSED(shard.sealed.hash[15] ^= 1, "another hash");
    REFUSED(shard.tally.rows++, "other rows");
    REFUSED(shard.tally.bytes++, "other rows");
    REFUSED(shard.tally.hash_lo ^= 1, "other rows");
    struct ph_err err;
    uint64_t rows;
    assert_true(read_all(&rows, &err));
    maker_fini(&maker);
}

TEST(a_file_that_is_missing_is_named)
{
    make(PH_TEXT);
    maker_fini(&maker);
    expect_refused("No such file");
}

static int set_up(void **state)
{
    (void)state;
    place_init(&place);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    place_fini(&place);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_both_formats_are_lent_and_proven),
        cmocka_unit_test(a_file_is_refused_where_the_manifest_says_otherwise),
        cmocka_unit_test(a_file_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
